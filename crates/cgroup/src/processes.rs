//! The processes of a cgroup and of all below it: finding, signalling, freezing them.

use crate::events::{self, Event};
use crate::files::Dir;
use crate::tree::{self, Visitor};
use crate::{Cgroup, CgroupError};
use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use wolffia_sys as sys;
use wolffia_sys::Pid;

/// What runc allows a cgroup for freezing.
const FREEZE_TIME: Duration = Duration::from_secs(10);
/// How often a signal other than SIGKILL goes through the list again for processes that appeared meanwhile.
const SIGNAL_ROUNDS: usize = 32;
/// How many pidfds are open at once: far below the usual limit of 1024 descriptors.
const SIGNAL_BATCH: usize = 256;
const SIGKILL: i32 = 9;

impl Cgroup {
    /// The processes in it and in every cgroup below it, in the caller's pid namespace, ascending.
    pub fn processes(&self) -> Result<Vec<Pid>, CgroupError> {
        let nameless = || CgroupError::Nameless { path: self.path().to_owned() };
        let ids = process_ids(self.as_dir())?;
        let mut pids = ids.into_iter().map(|id| Pid::from_raw(id).ok_or_else(nameless)).collect::<Result<Vec<_>, _>>()?;
        pids.sort_unstable_by_key(|pid| pid.get());
        Ok(pids)
    }

    /// Sends `signal` to every process in it and below it. None there is no error.
    ///
    /// SIGKILL reaches them all at once (`cgroup.kill`, Linux 5.14), frozen ones too, and leaves the cgroup thawed.
    pub fn kill_all(&self, signal: i32) -> Result<(), CgroupError> {
        match signal {
            SIGKILL if self.stays() => self.kill_each()?,
            SIGKILL => self.kill_at_once()?,
            _ => return self.signal_each(signal),
        }
        let dir = self.as_dir();
        // After the kill, so that no frozen process runs on in between.
        match dir.read("cgroup.freeze") {
            Ok(text) if text.trim_end() == "1" => dir.must_write("cgroup.freeze", "0"),
            Err(error) if !tree::is_gone(&error) => Err(dir.file_error("read", "cgroup.freeze", error)),
            _ => Ok(()),
        }
    }

    fn kill_at_once(&self) -> Result<(), CgroupError> {
        let dir = self.as_dir();
        match dir.write("cgroup.kill", "1") {
            Ok(()) => Ok(()),
            Err(error) if error.is(sys::Errno::ENOENT) => self.signal_each(SIGKILL),
            Err(error) if tree::is_gone(&error) => Ok(()),
            Err(error) => Err(dir.file_error("write", "cgroup.kill", error)),
        }
    }

    /// Without `cgroup.kill`, because who is cloned into a cgroup that it was ever written to dies: the kernel compares its count of
    /// kills with that of the cgroup that the clone was made from (seen with Linux 6.18).
    fn kill_each(&self) -> Result<(), CgroupError> {
        let dir = self.as_dir();
        // Frozen first, so that none makes another one meanwhile. One that does not stand still is killed all the same.
        match dir.write("cgroup.freeze", "1") {
            Err(error) if tree::is_gone(&error) => return Ok(()),
            written => written.map_err(|error| dir.file_error("write", "cgroup.freeze", error))?,
        }
        match events::wait(dir, Event::Frozen, FREEZE_TIME) {
            Ok(()) | Err(CgroupError::Timeout { .. }) => self.signal_each(SIGKILL),
            Err(error) => Err(error),
        }
    }

    /// Stops every process in it and below it, and waits until they stand still.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        let dir = self.as_dir();
        dir.must_write("cgroup.freeze", "1")?;
        let frozen = events::wait(dir, Event::Frozen, FREEZE_TIME);
        if frozen.is_err() {
            dir.must_write("cgroup.freeze", "0")?;
        }
        frozen
    }

    /// Lets them go on, and waits until they do.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.as_dir().must_write("cgroup.freeze", "0")?;
        events::wait(self.as_dir(), Event::Thawed, FREEZE_TIME)
    }

    /// Whether all that is in it stands still, by its own freeze or by one of a cgroup above it.
    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        events::is(self.as_dir(), Event::Frozen)
    }

    fn signal_each(&self, signal: i32) -> Result<(), CgroupError> {
        let failed = |source| CgroupError::Failed { act: "signal the processes of", path: self.path().to_owned(), source };
        let mut signalled = BTreeSet::new();
        for _ in 0..SIGNAL_ROUNDS {
            let fresh: Vec<Pid> = self.processes()?.into_iter().filter(|pid| !signalled.contains(&pid.get())).collect();
            if fresh.is_empty() {
                return Ok(());
            }
            for batch in fresh.chunks(SIGNAL_BATCH) {
                let open: Vec<(Pid, OwnedFd)> =
                    batch.iter().filter_map(|pid| open_alive(*pid).transpose()).collect::<Result<_, _>>().map_err(failed)?;
                // Listed again after the pidfd was opened: so it is this process, not a later one of the same number.
                let still = process_ids(self.as_dir())?;
                for (pid, fd) in open.iter().filter(|(pid, _)| still.contains(&pid.get())) {
                    match sys::pidfd::send_signal(fd.as_fd(), signal) {
                        Err(error) if !error.is(sys::Errno::ESRCH) => return Err(failed(error)),
                        _ => signalled.insert(pid.get()),
                    };
                }
            }
        }
        Err(CgroupError::Restless { path: self.path().to_owned() })
    }
}

fn open_alive(pid: Pid) -> Result<Option<(Pid, OwnedFd)>, sys::Error> {
    match sys::pidfd::open(pid) {
        Ok(fd) => Ok(Some((pid, fd))),
        Err(error) if error.is(sys::Errno::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The numbers in `cgroup.procs` of the whole tree; 0 is a process that this pid namespace cannot see.
pub(crate) fn process_ids(dir: Dir<'_>) -> Result<BTreeSet<i32>, CgroupError> {
    let mut collect = Collect { path: dir.path, top: true, ids: BTreeSet::new() };
    tree::walk(dir.fd, dir.path, &mut collect)?;
    Ok(collect.ids)
}

struct Collect<'a> {
    path: &'a str,
    top: bool,
    ids: BTreeSet<i32>,
}

impl Visitor for Collect<'_> {
    fn enter(&mut self, fd: BorrowedFd<'_>) -> Result<(), CgroupError> {
        let dir = Dir { fd, path: self.path };
        let top = std::mem::take(&mut self.top);
        let text = match dir.read("cgroup.procs") {
            Err(error) if tree::is_gone(&error) => return Ok(()),
            // A threaded cgroup's processes are listed by the top of its threaded tree (cgroups(7), "Threaded cgroups").
            Err(error) if !top && error.is(sys::Errno::EOPNOTSUPP) => return Ok(()),
            other => other.map_err(|source| dir.file_error("read", "cgroup.procs", source))?,
        };
        for line in text.lines() {
            let id = line.parse().map_err(|_| CgroupError::Content {
                file: "cgroup.procs".to_owned(),
                path: self.path.to_owned(),
                content: line.to_owned(),
            })?;
            self.ids.insert(id);
        }
        Ok(())
    }

    fn leave(&mut self, _: BorrowedFd<'_>, _: &str) -> Result<(), CgroupError> {
        Ok(())
    }
}
