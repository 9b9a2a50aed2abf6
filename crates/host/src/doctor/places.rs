//! Directories that the runtime keeps its state in.

use super::cgroups::has_systemd;
use super::{Facts, Finding};
use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use wolffia_sys::fd::{self, OFlags};

const VARIABLE: &str = "XDG_RUNTIME_DIR";

pub(super) fn runtime_directory(facts: &Facts) -> Finding {
    const MEANING: &str = "there is no place for the state of this user's containers, unless --root names one";
    const INSTEAD: &str = "the state of this user's containers goes to /tmp, and outlives the session";
    if facts.is_host_root() {
        return Finding::good(VARIABLE, "not needed: root's state is in /run", "");
    }
    let uid = facts.host.euid;
    let Some(directory) = directory() else {
        return Finding::limited(VARIABLE, "not set", INSTEAD).mend(session_lines(facts));
    };
    let shown = directory.display();
    match std::fs::metadata(&directory) {
        Err(error) => Finding::missing(VARIABLE, format!("{shown}: {error}"), MEANING).mend(session_lines(facts)),
        Ok(meta) if meta.uid() != uid => {
            let found = format!("{shown} belongs to uid {}, not to {uid}, as after su or sudo", meta.uid());
            Finding::missing(VARIABLE, found, MEANING).mend(session_lines(facts))
        }
        Ok(meta) if meta.mode() & 0o022 != 0 => {
            let found = format!("others may write to {shown} (mode {:o})", meta.mode() & 0o7777);
            Finding::limited(VARIABLE, found, "another user could put a forged state there")
                .mend([format!("chmod 700 \"${VARIABLE}\"")])
        }
        Ok(_) => Finding::good(VARIABLE, shown.to_string(), "the state of this user's containers goes there"),
    }
}

/// What the variable names, if it is set.
fn directory() -> Option<PathBuf> {
    env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn session_lines(facts: &Facts) -> Vec<String> {
    let uid = facts.host.euid;
    if has_systemd() {
        return vec![format!("sudo loginctl enable-linger {}", facts.user()), format!("export {VARIABLE}=/run/user/{uid}")];
    }
    let group = facts.host.egid;
    vec![format!("sudo install -d -m 700 -o {uid} -g {group} /run/user/{uid}"), format!("export {VARIABLE}=/run/user/{uid}")]
}

pub(super) fn state_directory(facts: &Facts) -> Finding {
    const TOPIC: &str = "state directory";
    const MEANING: &str = "no container can be recorded, unless --root names another place";
    // The same choice as the runtime's.
    let root = match directory() {
        Some(directory) if facts.host.euid != 0 || facts.host.in_user_namespace => directory.join("wolffia"),
        None if facts.host.euid != 0 => PathBuf::from(format!("/tmp/wolffia-{}", facts.host.euid)),
        _ => PathBuf::from("/run/wolffia"),
    };
    let above = root.parent().unwrap_or(&root);
    match accepts_files(if root.is_dir() { &root } else { above }) {
        Ok(()) => Finding::good(TOPIC, format!("{} can be written", root.display()), "containers are recorded there"),
        Err(error) => Finding::missing(TOPIC, error.to_string(), MEANING),
    }
}

/// Really makes a file, one without a name that the kernel forgets with the descriptor (open(2), `O_TMPFILE`).
fn accepts_files(directory: &Path) -> wolffia_sys::Result<()> {
    fd::open(directory, OFlags::TMPFILE | OFlags::RDWR, 0o600).map(drop)
}
