//! Processes of this suite: waiting for one with an end, and leaving none behind.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, waitpid};
use std::io;
use std::time::{Duration, Instant};

/// Makes orphaned containers our children, so that their end is seen at once and none outlives its case.
pub fn become_subreaper() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Waits until a process has ended; `false` when the time is over first.
///
/// A process that is gone already counts as ended.
pub fn ended_within(pid: Pid, limit: Duration) -> io::Result<bool> {
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(rustix::io::Errno::SRCH) => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// As `ended_within`, collecting orphans meanwhile as every engine does: a pid namespace cannot end before its last
/// process has been collected, and a runtime that waits for that end would wait for us.
pub fn ended_collecting_orphans(pid: Pid, limit: Duration) -> io::Result<bool> {
    const SLICE: Duration = Duration::from_millis(40);
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if ended_within(pid, SLICE)? {
            return Ok(true);
        }
        for child in children_of(rustix::process::getpid())?.into_iter().filter(|child| *child != pid) {
            reap(child)?;
        }
    }
    Ok(false)
}

/// Collects an ended child of ours; a process that is somebody else's child is left to them.
pub fn reap(pid: Pid) -> io::Result<()> {
    match waitpid(Some(pid), WaitOptions::NOHANG) {
        Ok(_) | Err(rustix::io::Errno::CHILD) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Ends every descendant of this process but the kept ones, and collects them. Orphans come to us one generation at a
/// time, hence the rounds; their number is bounded because nothing here may fork for ever.
pub fn end_descendants(kept: &[Pid]) -> io::Result<()> {
    for _ in 0..64 {
        let children: Vec<Pid> = children_of(rustix::process::getpid())?.into_iter().filter(|pid| !kept.contains(pid)).collect();
        if children.is_empty() {
            return Ok(());
        }
        for child in children {
            kill(child)?;
            if ended_within(child, Duration::from_secs(2))? {
                reap(child)?;
            }
        }
    }
    Err(io::Error::other("processes of a case could not be ended"))
}

/// SIGKILL to a process that may be gone.
pub fn kill(pid: Pid) -> io::Result<()> {
    match kill_process(pid, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The children of all threads of a process.
pub fn children_of(pid: Pid) -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()))? {
        let list = std::fs::read_to_string(task?.path().join("children"))?;
        children.extend(list.split_whitespace().filter_map(|word| Pid::from_raw(word.parse().ok()?)));
    }
    Ok(children)
}
