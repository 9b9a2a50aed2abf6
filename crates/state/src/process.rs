//! Whether the process that a record names is still that process.

use crate::StateError;
use crate::error::Context;
use std::path::PathBuf;
use wolffia_sys::fd::{self, OFlags};
use wolffia_sys::{Errno, Pid};

/// `comm` is at most 64 bytes and 52 numbers follow it (proc_pid_stat(5)): one page holds any line.
const STAT_LIMIT: usize = 4096;

/// What /proc/PID/stat says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStat {
    /// `R`, `S`, …; `Z` and `X` for one that has ended.
    pub state: char,
    /// When it was started, in clock ticks since boot: with the pid it names a process for good.
    pub start_time: u64,
    /// It has become a program of its own since it was forked.
    pub executed: bool,
}

impl ProcessStat {
    /// Ended, but not yet reaped or just being reaped.
    pub fn has_ended(self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// `comm` may hold spaces and parentheses, so the fields are counted from its last `)`.
    fn parse(line: &str) -> Option<Self> {
        const FIELD_STATE: usize = 3;
        const FIELD_FLAGS: usize = 9;
        const FIELD_START_TIME: usize = 22;
        /// PF_FORKNOEXEC of the kernel's include/linux/sched.h, unchanged since 2.6.
        const FORKED_BUT_NOT_EXECUTED: u64 = 0x40;
        let (_, after_comm) = line.rsplit_once(") ")?;
        let mut fields = after_comm.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let flags: u64 = fields.nth(FIELD_FLAGS - FIELD_STATE - 1)?.parse().ok()?;
        let start_time = fields.nth(FIELD_START_TIME - FIELD_FLAGS - 1)?.parse().ok()?;
        Some(Self { state, start_time, executed: flags & FORKED_BUT_NOT_EXECUTED == 0 })
    }
}

/// Looks at process `pid`; `None` when there is none.
///
/// # Errors
/// /proc cannot be read, or its line is not as proc_pid_stat(5) says.
pub fn process_stat(pid: Pid) -> Result<Option<ProcessStat>, StateError> {
    let path = || PathBuf::from(format!("/proc/{pid}/stat"));
    let line = fd::open(path(), OFlags::RDONLY, 0).and_then(|file| fd::read_all(&file, STAT_LIMIT));
    // The process may end between open and read: then the read says ESRCH.
    let line = match line {
        Err(error) if error.is(Errno::ENOENT) || error.is(Errno::ESRCH) => return Ok(None),
        outcome => outcome.context("read", path)?,
    };
    match ProcessStat::parse(&String::from_utf8_lossy(&line)) {
        Some(stat) => Ok(Some(stat)),
        None => Err(StateError::NoProcessStat { file: path() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_name_with_parentheses_confuses_nobody() {
        let line = "12 (a) R 1 (b) S 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9 9\n";
        assert_eq!(ProcessStat::parse(line), Some(ProcessStat { state: 'S', start_time: 4711, executed: true }));
        assert_eq!(ProcessStat::parse("12 (a) S 1 2 3"), None);
        assert_eq!(ProcessStat::parse(""), None);
    }

    #[test]
    fn a_child_lives_ends_and_is_gone() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let alive = process_stat(pid).unwrap().unwrap();
        assert!(!alive.has_ended());
        assert!(alive.start_time > 0);

        child.kill().unwrap();
        let pidfd = wolffia_sys::pidfd::open(pid).unwrap();
        assert!(wolffia_sys::pidfd::wait_exit(&pidfd, Some(std::time::Duration::from_secs(10))).unwrap());
        let ended = process_stat(pid).unwrap().unwrap();
        assert!(ended.has_ended(), "{ended:?}");
        assert_eq!(ended.start_time, alive.start_time);

        child.wait().unwrap();
        assert_eq!(process_stat(pid).unwrap(), None);
    }
}
