//! Where a container stands in its life.

use crate::{Dir, Phase, ProcessStat, Record, StateError, process_stat};
use serde::Serialize;
use std::fmt;
use wolffia_sys::Pid;

/// runtime.md's words, and runc's `paused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// `create` is at work.
    Creating,
    /// The container waits for `start`.
    Created,
    Running,
    /// Its cgroup is frozen.
    Paused,
    /// Its first process has ended.
    Stopped,
}

impl Status {
    pub const ALL: [Status; 5] = [Status::Creating, Status::Created, Status::Running, Status::Paused, Status::Stopped];

    pub fn as_str(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Looks how the container is now. `is_frozen` asks its cgroup, and is called only if its first process lives.
///
/// # Errors
/// What `is_frozen` answers; /proc or the container's directory cannot be read.
pub fn status<T, E: From<StateError>>(
    record: &Record<T>,
    dir: &Dir,
    is_frozen: impl FnOnce() -> Result<bool, E>,
) -> Result<Status, E> {
    let Some(stat) = living(record)? else { return Ok(Status::Stopped) };
    if record.phase == Phase::Creating {
        return Ok(Status::Creating);
    }
    if is_frozen()? {
        return Ok(Status::Paused);
    }
    // The socket alone does not tell: a `start` that is killed leaves it. The process alone does not tell either: in `run` it was
    // never waiting for `start`.
    Ok(if !stat.executed && dir.has_start_socket()? { Status::Created } else { Status::Running })
}

/// The container's first process, if it lives: the pid alone may belong to another by now.
fn living<T>(record: &Record<T>) -> Result<Option<ProcessStat>, StateError> {
    let Some(pid) = Pid::from_raw(record.pid) else { return Ok(None) };
    let stat = process_stat(pid)?;
    Ok(stat.filter(|stat| stat.start_time == record.start_time && !stat.has_ended()))
}
