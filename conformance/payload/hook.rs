//! The verb that hooks run: it writes down how it was called, one JSON line in a log that all hooks of a case share.

use crate::Answer;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};

/// Appends arguments, environment, standard input and namespaces to `log`; `fail` among the arguments makes it exit 3.
pub fn record(log: &str, arguments: &[&str]) -> Answer {
    let mut stdin = String::new();
    std::io::stdin().take(64 * 1024).read_to_string(&mut stdin)?;
    let environment: Vec<String> =
        std::env::vars_os().map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy())).collect();
    let line = json!({
        "arguments": arguments,
        "argv0": std::env::args().next(),
        "environment": environment,
        "state": serde_json::from_str::<Value>(&stdin).unwrap_or(Value::Null),
        "mount_namespace": crate::report::namespace("mnt"),
    });
    let mut file = OpenOptions::new().append(true).create(true).open(log)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    // Silent: a hook may share its output with the container, whose answers a case reads.
    std::process::exit(if arguments.contains(&"fail") { 3 } else { 0 })
}
