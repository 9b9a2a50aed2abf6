//! The payload's environment.

use crate::Refusal;
use crate::mounts::NOTIFY_DIRECTORY;
use std::collections::BTreeSet;

/// What the runtime adds to the environment that the configuration gives.
pub(crate) struct Additions {
    pub uid: u32,
    /// Descriptors of sd_listen_fds(3); 0 adds nothing.
    pub listen: u32,
    pub notify_socket: bool,
}

/// Checks `process.env`, keeps the last value of each name, and adds what the runtime has to say.
///
/// `HOME` is added when it is absent or empty: `/root` for uid 0, else `/`. runc and crun read the container's /etc/passwd for
/// it; wolffia resolves no names inside a container (CVE-2026-30892 and its kin), so a caller that wants another one says so.
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
    if !environment.iter().any(|entry| name(entry) == "HOME") {
        environment.push(if additions.uid == 0 { "HOME=/root" } else { "HOME=/" }.to_owned());
    }
    Ok(environment)
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
