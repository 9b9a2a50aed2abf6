//! `config.json` and `process.json`, from bytes to types.

use crate::landlock::{self, Landlock};
use crate::{mend, oci, pointer};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::path::PathBuf;

/// A container's configuration.
///
/// Optional texts that are empty (`"path": ""` in a namespace) are absent here, as Go's callers mean them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Boxed, because it is large: each function that hands it on would have a copy on its stack.
    pub spec: Box<oci::Spec>,
    /// What the configuration says beyond the types of `oci-spec`.
    pub extra: Extra,
}

/// The process of `exec --process FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessConfig {
    pub process: oci::Process,
    /// What the file says beyond the types of `oci-spec`.
    pub extra: Extra,
}

/// What a configuration says and the types of `oci-spec` cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extra {
    /// Capability names that are not granted, because nobody knows them: config.md asks for a warning.
    pub unknown_capabilities: Vec<UnknownCapability>,
    /// `process.landlock`.
    pub landlock: Option<Landlock>,
    /// The rules of the file that the annotation [`landlock::ANNOTATION_FILE`] names: whoever may read files puts them here.
    pub landlock_file: Option<Landlock>,
}

/// A capability that the specification's types do not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCapability {
    /// JSON pointer, for example `/process/capabilities/bounding/3`.
    pub field: String,
    /// The name as written.
    pub name: String,
}

/// A configuration that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// JSON pointer to the property, for example `/linux/namespaces/2/type`; empty for the whole document.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
    /// What to write instead; may be empty.
    pub cure: String,
}

impl Config {
    /// Reads `config.json`. Unknown properties are ignored (config.md, "Extensibility").
    ///
    /// # Errors
    /// No JSON, a property of the wrong type or with a value that the specification does not define.
    pub fn parse(bytes: &[u8]) -> Result<Config, ConfigError> {
        let mut config: Config = match serde_json::from_slice::<Box<oci::Spec>>(bytes) {
            Ok(spec) if !may_have_lost_something(&spec) => spec.into(),
            Ok(_) | Err(_) => {
                let (spec, extra) = parse_mended::<Box<oci::Spec>>(bytes, mend::config)?;
                Config { extra, ..spec.into() }
            }
        };
        config.extra.landlock = landlock::of_config(bytes)?;
        Ok(config)
    }
}

impl ProcessConfig {
    /// Reads the `process` object that `exec --process` names.
    ///
    /// # Errors
    /// As [`Config::parse`].
    pub fn parse(bytes: &[u8]) -> Result<ProcessConfig, ConfigError> {
        let mut config: ProcessConfig = match serde_json::from_slice::<oci::Process>(bytes) {
            Ok(process) => process.into(),
            Err(_) => {
                let (process, extra) = parse_mended::<oci::Process>(bytes, mend::process)?;
                ProcessConfig { extra, ..process.into() }
            }
        };
        config.extra.landlock = landlock::of_process(bytes)?;
        Ok(config)
    }
}

impl From<Box<oci::Spec>> for Config {
    fn from(mut spec: Box<oci::Spec>) -> Self {
        drop_empty_texts(&mut spec);
        Self { spec, extra: Extra::default() }
    }
}

impl From<oci::Process> for ProcessConfig {
    fn from(mut process: oci::Process) -> Self {
        drop_empty_labels(&mut process);
        Self { process, extra: Extra::default() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.reason)?;
        if self.cure.is_empty() { Ok(()) } else { write!(f, " ({})", self.cure) }
    }
}

/// `oci-spec` reads a `pids` without a limit as limit 0, which is a limit of its own since runtime-spec 1.3.
fn may_have_lost_something(spec: &oci::Spec) -> bool {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    resources.and_then(|resources| resources.pids().as_ref()).is_some_and(|pids| pids.limit() == 0)
}

/// The slow way: through a JSON value, in which `mend` rewrites what `oci-spec` would reject.
fn parse_mended<T: DeserializeOwned>(bytes: &[u8], mend: fn(&mut Value, &mut Extra)) -> Result<(T, Extra), ConfigError> {
    let mut document: Value = serde_json::from_slice(bytes).map_err(|error| ConfigError {
        field: pointer::at(bytes, error.line(), error.column()),
        reason: format!("no valid JSON: {error}"),
        cure: String::new(),
    })?;
    let mut extra = Extra::default();
    mend(&mut document, &mut extra);
    let mended = document.to_string();
    match serde_json::from_slice(mended.as_bytes()) {
        Ok(parsed) => Ok((parsed, extra)),
        Err(error) => Err(located(&error, mended.as_bytes())),
    }
}

/// Names the property instead of a position in a text that the user never saw.
fn located(error: &serde_json::Error, document: &[u8]) -> ConfigError {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(before, _)| before);
    let (reason, cure) = match text.rsplit_once(", expected ") {
        Some((reason, expected)) => (reason, format!("expected {expected}")),
        None => (text, String::new()),
    };
    let field = pointer::at(document, error.line(), error.column());
    let reason = match field.strip_prefix("/linux/memoryPolicy") {
        None => reason.to_owned(),
        // runc's words, which its callers match.
        Some(rest) if rest.starts_with("/flags") => format!("invalid memory policy flag: {reason}"),
        Some(_) => format!("invalid memory policy mode: {reason}"),
    };
    ConfigError { field, reason, cure }
}

fn drop_empty_texts(spec: &mut oci::Spec) {
    drop_empty(spec.hostname_mut());
    drop_empty(spec.domainname_mut());
    if let Some(process) = spec.process_mut() {
        drop_empty_labels(process);
    }
    for mount in spec.mounts_mut().iter_mut().flatten() {
        drop_empty(mount.typ_mut());
        drop_empty_path(mount.source_mut());
    }
    let Some(linux) = spec.linux_mut() else { return };
    drop_empty_path(linux.cgroups_path_mut());
    drop_empty(linux.rootfs_propagation_mut());
    drop_empty(linux.mount_label_mut());
    for namespace in linux.namespaces_mut().iter_mut().flatten() {
        if namespace.path().as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            namespace.set_path(None);
        }
    }
}

fn drop_empty_labels(process: &mut oci::Process) {
    if process.apparmor_profile().as_deref() == Some("") {
        process.set_apparmor_profile(None);
    }
    if process.selinux_label().as_deref() == Some("") {
        process.set_selinux_label(None);
    }
}

fn drop_empty(text: &mut Option<String>) {
    text.take_if(|text| text.is_empty());
}

fn drop_empty_path(path: &mut Option<PathBuf>) {
    path.take_if(|path| path.as_os_str().is_empty());
}
