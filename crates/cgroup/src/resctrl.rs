//! A container's group in the resctrl file system (Intel RDT): made or found, entered, removed.
//!
//! Everything goes through the descriptor of the mount, so the tests drive the same code over a directory of theirs.

use crate::CgroupError;
use crate::files::{DIRECTORY, Dir};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, OwnedFd};
use wolffia_plan::{HostPath, Rdt, RdtGroup, rdt_mismatch};
use wolffia_sys::fd::OFlags;
use wolffia_sys::{self as sys, Errno, Pid};

/// statfs(2), `RDTGROUP_SUPER_MAGIC`.
const MAGIC: u64 = 0x0765_5821;
const MONITORS: &str = "mon_groups";

/// What a container's record keeps of its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RdtPlace {
    pub mount: HostPath,
    /// Below the mount; empty for the default group.
    pub group: String,
    /// Whether it goes with the container.
    pub own: bool,
    /// A monitoring group in it, which goes with the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor: Option<String>,
}

impl RdtPlace {
    pub fn of(rdt: &Rdt) -> Self {
        let own = matches!(rdt.group, RdtGroup::Own { .. });
        Self { mount: rdt.mount.clone(), group: rdt.group.name().to_owned(), own, monitor: rdt.monitoring.clone() }
    }

    /// Opens the file system that the group is in.
    pub fn open(self) -> Result<MonitoredGroup, CgroupError> {
        let path = self.mount.to_string();
        let failed = |source| CgroupError::Resctrl { act: "open", path: path.clone(), source, said: String::new() };
        let root = sys::fd::open(self.mount.as_path(), DIRECTORY, 0).map_err(failed)?;
        if sys::fd::fs_magic(root.as_fd()).map_err(failed)? != MAGIC {
            return Err(CgroupError::NotResctrl { mount: self.mount.as_path().to_owned() });
        }
        Ok(MonitoredGroup { root, place: self })
    }
}

/// A class of service, perhaps with a monitoring group of the container's own in it.
#[derive(Debug)]
pub struct MonitoredGroup {
    root: OwnedFd,
    place: RdtPlace,
}

impl MonitoredGroup {
    /// As [`RdtPlace::open`], with the mount's directory given.
    pub fn at(root: OwnedFd, place: RdtPlace) -> Self {
        Self { root, place }
    }

    /// Whether a group that is to be made, and removed again, would be somebody else's. Asked before it is written down as ours.
    pub fn must_be_free(&self) -> Result<(), CgroupError> {
        let taken = |path: String| match sys::fd::stat_at(&self.root, &path) {
            Ok(_) => Err(CgroupError::RdtTaken { path }),
            Err(error) if error.is(Errno::ENOENT) => Ok(()),
            Err(source) => Err(self.failed("look for", &path, source)),
        };
        if self.place.own {
            return taken(self.place.group.clone());
        }
        self.monitor_path().map_or(Ok(()), taken)
    }

    /// Makes the groups that are to be made, and writes the lines where they are ours to write.
    pub fn make(&self, group: &RdtGroup) -> Result<(), CgroupError> {
        let path = &self.place.group;
        let made = match group {
            RdtGroup::Own { .. } => self.mkdir(path).map(|()| true)?,
            RdtGroup::Existing { .. } => false,
            RdtGroup::Shared { .. } => match sys::fd::mkdirat(&self.root, path, 0o755) {
                Err(error) if error.is(Errno::EEXIST) => false,
                made => made.map(|()| true).map_err(|source| self.failed("make", path, source))?,
            },
        };
        let directory = self.directory(path)?;
        if made {
            self.write_lines(&directory, group.schemata()).or_else(|error| self.unmake(path, error))?;
        } else {
            self.compare(&directory, group.schemata())?;
        }
        self.monitor_path().map_or(Ok(()), |monitor| self.mkdir(&monitor))
    }

    /// Changes what the container's own group may use.
    pub fn change(&self, lines: &[String]) -> Result<(), CgroupError> {
        self.write_lines(self.directory(&self.place.group)?, lines)
    }

    /// Puts one task into the group; what it starts from now on is born there.
    pub fn add(&self, pid: Pid) -> Result<(), CgroupError> {
        for path in [Some(self.place.group.clone()), self.monitor_path()].into_iter().flatten() {
            let directory = self.directory(&path)?;
            write(directory, "tasks", &pid.to_string()).map_err(|source| self.failed("enter", &path, source))?;
        }
        Ok(())
    }

    /// Takes away what goes with the container. The kernel gives who is still in it back to the default group.
    pub fn remove(&self) -> Result<(), CgroupError> {
        let path = if self.place.own { Some(self.place.group.clone()) } else { self.monitor_path() };
        let Some(path) = path else { return Ok(()) };
        match sys::fd::unlinkat(&self.root, &path, true) {
            Err(error) if !error.is(Errno::ENOENT) => Err(self.failed("remove", &path, error)),
            _ => Ok(()),
        }
    }

    fn monitor_path(&self) -> Option<String> {
        let prefix = if self.place.group.is_empty() { String::new() } else { format!("{}/", self.place.group) };
        self.place.monitor.as_ref().map(|name| format!("{prefix}{MONITORS}/{name}"))
    }

    fn mkdir(&self, path: &str) -> Result<(), CgroupError> {
        sys::fd::mkdirat(&self.root, path, 0o755).map_err(|source| self.failed("make", path, source))
    }

    fn directory(&self, path: &str) -> Result<OwnedFd, CgroupError> {
        let path = if path.is_empty() { "." } else { path };
        sys::fd::openat(&self.root, path, DIRECTORY, 0).map_err(|source| self.failed("open", path, source))
    }

    fn write_lines(&self, directory: impl AsFd, lines: &[String]) -> Result<(), CgroupError> {
        if lines.is_empty() {
            return Ok(());
        }
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        // At once: the kernel checks a whole write before it sets any of it.
        write(directory, "schemata", &text).map_err(|source| self.failed("write the schemata of", &self.place.group, source))
    }

    /// A group that others may share would stay, without its lines.
    fn unmake(&self, path: &str, error: CgroupError) -> Result<(), CgroupError> {
        sys::fd::unlinkat(&self.root, path, true).map_err(|source| self.failed("remove", path, source))?;
        Err(error)
    }

    fn compare(&self, directory: impl AsFd, lines: &[String]) -> Result<(), CgroupError> {
        if lines.is_empty() {
            return Ok(());
        }
        let path = &self.place.group;
        let has = Dir { fd: directory.as_fd(), path }.read("schemata");
        let has = has.map_err(|source| self.failed("read the schemata of", path, source))?;
        match rdt_mismatch(lines, &has) {
            None => Ok(()),
            Some(line) => {
                let has = has.lines().map(str::trim).collect::<Vec<_>>().join(", ");
                Err(CgroupError::RdtMismatch { path: format!("/{path}"), line: line.to_owned(), has })
            }
        }
    }

    /// The kernel says in words what was wrong with the last command.
    fn failed(&self, act: &'static str, path: &str, source: sys::Error) -> CgroupError {
        let info = Dir { fd: self.root.as_fd(), path };
        let said = info.read("info/last_cmd_status").map_or_else(|_| String::new(), |text| text.trim().to_owned());
        let said = if said.is_empty() || said == "ok" { String::new() } else { format!(" ({said})") };
        CgroupError::Resctrl { act, path: format!("/{path}"), source, said }
    }
}

/// The file is there, because the kernel makes it with the directory; in a directory of a test it is made.
fn write(directory: impl AsFd, file: &str, text: &str) -> Result<(), sys::Error> {
    sys::fd::openat(directory, file, OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW, 0o644)
        .and_then(|file| sys::fd::write_all(file, text.as_bytes()))
}
