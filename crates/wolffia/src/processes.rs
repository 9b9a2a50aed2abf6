//! Which processes belong to a container that has no cgroup of its own: those of its pid namespace.

use crate::error::{Error, Result};
use std::io::ErrorKind;
use std::path::PathBuf;
use wolffia_sys::Pid;

/// Host pids of all processes in the pid namespace of `init`, or below it, in ascending order.
pub fn of_pid_namespace(init: i32) -> Result<Vec<Pid>> {
    let failed = |path: &str, source| Error::File { act: "read", path: PathBuf::from(path), source };
    let namespace = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid"));
    let own = namespace(init).map_err(|source| failed("/proc", source))?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").map_err(|source| failed("/proc", source))? {
        let entry = entry.map_err(|source| failed("/proc", source))?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        match namespace(pid) {
            Ok(other) if other == own => found.extend(Pid::from_raw(pid)),
            Ok(_) => {}
            // Ended meanwhile, or somebody else's: not of this container.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {}
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(source) => return Err(failed("/proc", source)),
        }
    }
    found.sort_unstable_by_key(|pid| pid.get());
    Ok(found)
}
