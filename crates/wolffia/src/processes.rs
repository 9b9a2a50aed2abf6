//! A container's processes: the first one, by its record; and all of one that has no cgroup of its own, by its pid namespace.

use crate::error::{Error, Result};
use crate::record::Launched;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use wolffia_state::{ProcessStat, Record, process_stat};
use wolffia_sys::{Errno, Pid, pidfd};

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

/// A pidfd of the container's first process, if that lives.
pub fn init_of(record: &Record<Launched>) -> Result<Option<OwnedFd>> {
    Ok(first_of(record)?.and_then(|(pidfd, stat)| (!stat.has_ended()).then_some(pidfd)))
}

/// The container's first process, as long as its number is its own: until its parent has taken its status.
pub fn first_of(record: &Record<Launched>) -> Result<Option<(OwnedFd, ProcessStat)>> {
    let Some(pid) = Pid::from_raw(record.pid) else { return Ok(None) };
    let pidfd = match pidfd::open(pid) {
        Err(error) if error.is(Errno::ESRCH) => return Ok(None),
        other => other.map_err(|source| Error::System { act: "open the container's process", source })?,
    };
    // After the open, because only now the number cannot be given to another process any more.
    let stat = process_stat(pid)?.filter(|stat| stat.start_time == record.start_time);
    Ok(stat.map(|stat| (pidfd, stat)))
}
