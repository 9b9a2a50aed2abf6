//! Waiting for `cgroup.events` (cgroups(7)): the kernel wakes poll(2) when the file changes.

use crate::CgroupError;
use crate::files::{Dir, read_text};
use crate::tree::is_gone;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use wolffia_sys as sys;

/// A state that `cgroup.events` reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Frozen,
    Thawed,
    Empty,
}

impl Event {
    const fn line(self) -> &'static str {
        match self {
            Event::Frozen => "frozen 1",
            Event::Thawed => "frozen 0",
            Event::Empty => "populated 0",
        }
    }

    const fn cure(self) -> &'static str {
        match self {
            Event::Frozen => "a process in it is in an uninterruptible wait (see /proc/PID/stack); it was thawed again",
            Event::Thawed => "a cgroup above it is frozen; write 0 to that one's cgroup.freeze",
            Event::Empty => "a killed process in it is in an uninterruptible wait (see /proc/PID/stack); try again later",
        }
    }
}

/// Whether `event` is so now.
pub(crate) fn is(dir: Dir<'_>, event: Event) -> Result<bool, CgroupError> {
    dir.must_read("cgroup.events").map(|text| text.lines().any(|line| line == event.line()))
}

/// Waits until `event` is so. A cgroup that was removed meanwhile is empty and thawed.
pub(crate) fn wait(dir: Dir<'_>, event: Event, at_most: Duration) -> Result<(), CgroupError> {
    let failed = |source: sys::Error| dir.file_error("watch", "cgroup.events", source);
    let deadline = Instant::now() + at_most;
    loop {
        // Opened anew each time, because reading is what arms the next notification.
        let file = match dir.open_to_read("cgroup.events") {
            Err(error) if is_gone(&error) && event != Event::Frozen => return Ok(()),
            other => other.map_err(failed)?,
        };
        match read_text(file.as_fd()) {
            Ok(text) if text.lines().any(|line| line == event.line()) => return Ok(()),
            Err(error) if is_gone(&error) && event != Event::Frozen => return Ok(()),
            Err(error) => return Err(failed(error)),
            Ok(_) => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(CgroupError::Timeout {
                path: dir.path.to_owned(),
                event: event.line(),
                seconds: at_most.as_secs(),
                cure: event.cure(),
            });
        }
        sys::cgroupfs::wait_change(&[file.as_fd()], &[], left).map_err(failed)?;
    }
}
