//! Waiting for what happens to a running container, without asking again and again.

use crate::tree::is_gone;
use crate::{Cgroup, CgroupError, LegacyPlace};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
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

/// Watches one container's cgroups; made by [`Cgroup::watch`] or [`Watch::until`].
#[derive(Debug)]
pub struct Watch<'a> {
    cgroup: Option<&'a Cgroup>,
    seen: u64,
    /// The directory of cgroup v1 and the counter of its memory.
    legacy: Option<(PathBuf, OwnedFd)>,
    /// A pidfd, where no file tells that the last process is gone.
    end: Option<OwnedFd>,
}

impl Cgroup {
    /// Watches from now on.
    pub fn watch(&self) -> Result<Watch<'_>, CgroupError> {
        Ok(Watch { cgroup: Some(self), seen: self.oom_kills()?, legacy: None, end: None })
    }
}

impl Watch<'_> {
    /// Without a cgroup of version 2, until the process of this pidfd ends.
    pub fn until(process: OwnedFd) -> Self {
        Watch { cgroup: None, seen: 0, legacy: None, end: Some(process) }
    }

    /// The memory too, if it is of version 1.
    pub fn with_legacy(self, place: &LegacyPlace) -> Result<Self, CgroupError> {
        Ok(Self { legacy: place.watch_memory()?, ..self })
    }

    /// The next thing that happens; `None` if `timeout` passes first. Several kills at once are told once, and
    /// [`Happening::Empty`] is told last.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Happening>, CgroupError> {
        let deadline = Instant::now() + timeout;
        loop {
            // Opened anew each time: reading is what arms the next notification.
            let files = [self.open("memory.events")?, self.open("cgroup.events")?];
            let [memory, processes] = &files;
            let kills = self.read(memory, "oom_kill ")?.unwrap_or(self.seen);
            if kills > self.seen || self.legacy_ran_out()? {
                self.seen = kills;
                return Ok(Some(Happening::OutOfMemory));
            }
            if self.is_over(processes)? {
                return Ok(Some(Happening::Empty));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let open: Vec<_> = files.iter().flatten().map(AsFd::as_fd).collect();
            let counter = self.legacy.as_ref().map(|(_, counter)| counter.as_fd());
            let others: Vec<_> = counter.into_iter().chain(self.end.as_ref().map(AsFd::as_fd)).collect();
            sys::cgroupfs::wait_change(&open, &others, left).map_err(|source| self.failed("watch", source))?;
        }
    }

    /// The removal of the cgroup is counted too, and means nothing here.
    fn legacy_ran_out(&self) -> Result<bool, CgroupError> {
        let Some((directory, counter)) = &self.legacy else { return Ok(false) };
        let count = sys::eventfd::take(counter).map_err(|source| self.failed("watch", source))?;
        Ok(count > u64::from(!directory.exists()))
    }

    fn is_over(&self, processes: &Option<OwnedFd>) -> Result<bool, CgroupError> {
        match &self.end {
            Some(process) => sys::pidfd::wait_exit(process, Some(Duration::ZERO)).map_err(|source| self.failed("watch", source)),
            None => Ok(self.read(processes, "populated ")?.unwrap_or(0) == 0),
        }
    }

    /// `None`: there is no such file, because the memory controller is not enabled or the cgroup is gone.
    fn open(&self, file: &str) -> Result<Option<OwnedFd>, CgroupError> {
        let Some(cgroup) = self.cgroup else { return Ok(None) };
        match cgroup.as_dir().open_to_read(file) {
            Ok(fd) => Ok(Some(fd)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(cgroup.as_dir().file_error("open", file, error)),
        }
    }

    /// The number after `key`; `None` when the file is gone.
    fn read(&self, file: &Option<OwnedFd>, key: &str) -> Result<Option<u64>, CgroupError> {
        let Some(file) = file else { return Ok(None) };
        match crate::files::read_text(file.as_fd()) {
            Ok(text) => Ok(text.lines().find_map(|line| line.strip_prefix(key)?.parse().ok())),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(self.failed("read", error)),
        }
    }

    fn failed(&self, act: &'static str, source: sys::Error) -> CgroupError {
        let legacy = self.legacy.as_ref().map(|(directory, _)| directory.display().to_string());
        let path = self.cgroup.map(|cgroup| cgroup.path().to_owned()).or(legacy).unwrap_or_default();
        CgroupError::File { act, file: "the events".to_owned(), path, source }
    }
}
