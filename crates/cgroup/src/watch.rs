//! Waiting for what happens to a running container, without asking again and again.

use crate::tree::is_gone;
use crate::{Cgroup, CgroupError};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use wolffia_sys as sys;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// The kernel killed a process for want of memory.
    OutOfMemory,
    /// The last process is gone, or the cgroup itself.
    Empty,
}

/// Watches one cgroup; made by [`Cgroup::watch`].
#[derive(Debug)]
pub struct Watch<'a> {
    cgroup: &'a Cgroup,
    seen: u64,
}

impl Cgroup {
    /// Watches from now on.
    pub fn watch(&self) -> Result<Watch<'_>, CgroupError> {
        Ok(Watch { cgroup: self, seen: self.oom_kills()? })
    }
}

impl Watch<'_> {
    /// The next thing that happens; `None` if `timeout` passes first. Several kills at once are told once, and
    /// [`Happening::Empty`] is told last.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Happening>, CgroupError> {
        let deadline = Instant::now() + timeout;
        loop {
            // Opened anew each time: reading is what arms the next notification.
            let files = [self.open("memory.events")?, self.open("cgroup.events")?];
            let [memory, processes] = &files;
            let kills = read(memory, "oom_kill ", self.cgroup)?.unwrap_or(self.seen);
            if kills > self.seen {
                self.seen = kills;
                return Ok(Some(Happening::OutOfMemory));
            }
            if read(processes, "populated ", self.cgroup)?.unwrap_or(0) == 0 {
                return Ok(Some(Happening::Empty));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let open: Vec<_> = files.iter().flatten().map(|file| file.as_fd()).collect();
            sys::cgroupfs::wait_change(&open, left)
                .map_err(|source| self.cgroup.as_dir().file_error("watch", "cgroup.events", source))?;
        }
    }

    /// `None`: there is no such file, because the memory controller is not enabled or the cgroup is gone.
    fn open(&self, file: &str) -> Result<Option<OwnedFd>, CgroupError> {
        match self.cgroup.as_dir().open_to_read(file) {
            Ok(fd) => Ok(Some(fd)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(self.cgroup.as_dir().file_error("open", file, error)),
        }
    }
}

/// The number after `key`; `None` when the file is gone.
fn read(file: &Option<OwnedFd>, key: &str, cgroup: &Cgroup) -> Result<Option<u64>, CgroupError> {
    let Some(file) = file else { return Ok(None) };
    match crate::files::read_text(file.as_fd()) {
        Ok(text) => Ok(text.lines().find_map(|line| line.strip_prefix(key)?.parse().ok())),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(cgroup.as_dir().file_error("read", "cgroup.events", error)),
    }
}
