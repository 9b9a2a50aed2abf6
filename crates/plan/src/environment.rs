//! The payload's environment.

use crate::mounts::NOTIFY_DIRECTORY;
use crate::{Home, Refusal};
use std::collections::BTreeSet;

/// What the runtime adds to the environment that the configuration gives.
pub(crate) struct Additions {
    /// Descriptors of sd_listen_fds(3); 0 adds nothing.
    pub listen: u32,
    pub notify_socket: bool,
}

/// Checks `process.env`, keeps the last value of each name, and adds what the runtime has to say.
///
/// `HOME` is not added here when it is absent or empty: it is the directory that the container's /etc/passwd gives the user's
/// number, which only execution can read (`Process::home`).
///
/// # Errors
/// An entry without a name or without `=`, or with a NUL byte.
pub(crate) fn plan_environment(field: &str, given: &[String], additions: &Additions) -> Result<Vec<String>, Refusal> {
    for (index, entry) in given.iter().enumerate() {
        check(entry).map_err(|reason| {
            Refusal::new(format!("{field}/env/{index}"), format!("invalid environment variable: {reason}"), "write NAME=value")
        })?;
    }
    let mut wanted = given.to_vec();
    if additions.listen > 0 {
        wanted.extend([format!("LISTEN_FDS={}", additions.listen), "LISTEN_PID=1".to_owned()]);
    }
    if additions.notify_socket {
        wanted.push(format!("NOTIFY_SOCKET={NOTIFY_DIRECTORY}/notify.sock"));
    }
    let mut seen = BTreeSet::new();
    let mut environment: Vec<String> = wanted.iter().rev().filter(|entry| seen.insert(name(entry))).cloned().collect();
    environment.reverse();
    environment.retain(|entry| entry != "HOME=");
    Ok(environment)
}

/// What `HOME` becomes where the configuration does not say.
pub(crate) fn plan_home(environment: &[String], uid: u32) -> Home {
    if environment.iter().any(|entry| name(entry) == "HOME") {
        return Home::Given;
    }
    Home::Looked { fallback: if uid == 0 { "/root" } else { "/" }.to_owned() }
}

fn check(entry: &str) -> Result<(), &'static str> {
    match entry.split_once('=') {
        None => Err("missing '='"),
        Some(("", _)) => Err("name cannot be empty"),
        Some(_) if entry.contains('\0') => Err("contains nul byte (\\x00)"),
        Some(_) => Ok(()),
    }
}

fn name(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}
