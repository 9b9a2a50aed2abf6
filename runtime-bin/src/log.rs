//! `--log`, `--log-format`, `--log-level`: records in the form of runc's, one line each.

use crate::cli::Global;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;
use wolffia::TraceLine;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

#[derive(Debug)]
struct Log {
    file: Option<PathBuf>,
    json: bool,
    level: Level,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Takes the global flags. Nothing is opened before there is something to write.
pub fn set_up(global: &Global) -> anyhow::Result<()> {
    let json = match global.log_format.as_str() {
        "" | "text" => false,
        "json" => true,
        other => anyhow::bail!("invalid log-format: {other:?}"),
    };
    // Podman takes a JSON log only if it holds exactly one record, the error.
    let default = if json { "error" } else { "warning" };
    let level = match global.log_level.as_deref().unwrap_or(default) {
        _ if global.debug => Level::Debug,
        "debug" => Level::Debug,
        "info" => Level::Info,
        "warning" | "warn" => Level::Warning,
        "error" => Level::Error,
        other => anyhow::bail!("invalid log-level: {other:?}"),
    };
    let file = global.log.as_deref().map(destination).transpose()?;
    LOG.get_or_init(|| Log { file, json, level });
    wolffia::set_warning_sink(warning);
    Ok(())
}

/// A path, which may have crun's `file:` before it. Crun's other words are not taken for the name of a file that nobody would look for.
fn destination(given: &Path) -> anyhow::Result<PathBuf> {
    let bytes = given.as_os_str().as_bytes();
    for service in ["journald:", "syslog:"] {
        anyhow::ensure!(
            !bytes.starts_with(service.as_bytes()),
            "invalid log: {given:?}: records go to a file or to the standard error (name a file, or ./{service}… for one of that name)"
        );
    }
    let path = bytes.strip_prefix(b"file:").unwrap_or(bytes);
    anyhow::ensure!(!path.is_empty(), "invalid log: {given:?}: the name of the file is missing");
    Ok(OsStr::from_bytes(path).into())
}

pub fn is_tracing() -> bool {
    LOG.get().is_some_and(|log| log.level == Level::Debug)
}

/// One step that was carried out.
pub fn trace(line: TraceLine) {
    let object = if line.object.is_empty() { String::new() } else { format!(": {}", line.object) };
    write(Level::Debug, &format!("{}{object} ({} µs)", line.step, line.microseconds), &[]);
}

/// What was done about this process itself.
pub fn debug(message: &str) {
    write(Level::Debug, message, &[]);
}

/// The file of `--log`.
pub fn file() -> Option<&'static Path> {
    LOG.get()?.file.as_deref()
}

pub fn warning(message: &str) {
    write(Level::Warning, message, &[]);
}

/// An error, with further members for machines. Returns whether people have still to be told: unless the record itself went to
/// the standard error.
pub fn error(message: &str, details: &[(&str, String)]) -> bool {
    let Some(log) = LOG.get().filter(|log| log.json || log.file.is_some()) else { return true };
    write(Level::Error, message, details);
    log.file.is_some()
}

fn write(level: Level, message: &str, details: &[(&str, String)]) {
    let Some(log) = LOG.get().filter(|log| level >= log.level) else { return };
    let record = if log.json { json(level, message, details) } else { text(level, message, details) };
    let written = match &log.file {
        None => std::io::stderr().write_all(record.as_bytes()),
        // Opened for each record: the runtime writes one, and a forked init must not inherit it.
        Some(path) => std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o644)
            .open(path)
            .and_then(|mut file| file.write_all(record.as_bytes())),
    };
    if let Err(error) = written {
        eprintln!("wolffia: cannot log: {error}\n{message}");
    }
}

fn json(level: Level, message: &str, details: &[(&str, String)]) -> String {
    let mut record = serde_json::Map::new();
    let mut put = |key: &str, value: &str| record.insert(key.to_owned(), value.into());
    put("level", name(level));
    put("msg", message);
    put("time", &now());
    for (key, value) in details {
        put(key, value);
    }
    format!("{}\n", serde_json::Value::Object(record))
}

fn text(level: Level, message: &str, details: &[(&str, String)]) -> String {
    let cure = details.iter().find(|(key, value)| *key == "cure" && !value.is_empty());
    let cure = cure.map_or_else(String::new, |(_, cure)| format!(" cure={cure:?}"));
    format!("time={:?} level={} msg={message:?}{cure}\n", now(), name(level))
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

fn now() -> String {
    wolffia::timestamp(SystemTime::now())
}
