//! What can go wrong with a cgroup. Callers of runc match the texts of `NotEmpty` and `Frozen`.

use std::path::PathBuf;
use wolffia_plan::resources::CgroupWrite;
use wolffia_sys as sys;

/// Why something could not be done to a cgroup. `path` is always relative to the cgroup2 mount, with a leading slash.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The path is not one that a container may have.
    #[error("cgroup path {path:?} {reason}")]
    Path { path: String, reason: &'static str },
    /// runc's text: `exec --cgroup`.
    #[error("bad sub cgroup path: {path:?} does not lead to a cgroup below the container's own")]
    BadSub { path: String },
    /// runc's text: `exec --cgroup`.
    #[error("unknown controller {controller:?}: the host has no such hierarchy of version 1")]
    NoSuchController { controller: String },
    /// runc's text: `exec --cgroup`, and the kernel's "no internal process constraint" (cgroups(7)).
    #[error(
        "error adding pid of the new process to cgroups: {path}: device or resource busy: it enables controllers for the cgroups below it \
         (cgroup.subtree_control), so that no process can be in it itself: name one below it with --cgroup"
    )]
    Inner { path: String },
    /// runc's text.
    #[error("error adding pid {pid} to cgroups: {}", file.display())]
    Join { pid: i32, file: PathBuf, source: std::io::Error },
    /// The mount point is something else.
    #[error("{} is not a cgroup2 file system: mount it there, or run with --cgroup-manager disabled", mount.display())]
    NotCgroup2 { mount: PathBuf },
    /// runc's text.
    #[error("container's cgroup is not empty: {count} process(es) found")]
    NotEmpty { path: String, count: usize },
    /// runc's text.
    #[error("container's cgroup unexpectedly frozen")]
    Frozen { path: String },
    /// The kernel refused one act.
    #[error("cannot {act} cgroup {path}")]
    Failed { act: &'static str, path: String, source: sys::Error },
    /// The kernel refused access to one interface file.
    #[error("cannot {act} {file} of cgroup {path}")]
    File { act: &'static str, file: String, path: String, source: sys::Error },
    /// An interface file holds what it never should.
    #[error("{file} of cgroup {path} holds {content:?}, which no kernel is known to write")]
    Content { file: String, path: String, content: String },
    /// A controller that a limit needs does not reach the cgroup: `at` is the cgroup where it ends.
    #[error("cannot set {} of cgroup {path} ({}): the {} controller ends at cgroup {at}: {cure}", write.file, write.field, write.controller)]
    NoController { write: Box<CgroupWrite>, path: String, at: String, cure: String, source: Option<Box<sys::Error>> },
    /// The kernel refused a limit.
    #[error("cannot write {:?} to {} of cgroup {path} ({}, {} controller): {cure}", write.value, write.file, write.field, write.controller)]
    Limit { write: Box<CgroupWrite>, path: String, cure: String, source: sys::Error },
    /// cgroups-rs failed: it says why in words alone.
    #[error("cannot {act} cgroup {path} of version 1: {reason}")]
    Legacy { act: &'static str, path: String, reason: String },
    /// The kernel refused a limit of version 1.
    #[error("cannot write {:?} to {} of the container's cgroup of version 1 ({})", write.value, write.file, write.field)]
    LegacyLimit { write: Box<CgroupWrite>, source: std::io::Error },
    #[error("cannot remove {}", directory.display())]
    LegacyRemove { directory: PathBuf, source: std::io::Error },
    /// systemd refused, or could not be asked; its own words.
    #[error("cannot {act} {unit}: {reason}: {cure}")]
    Systemd { act: &'static str, unit: String, reason: String, cure: String },
    /// runc's text: `memory.checkBeforeUpdate`.
    #[error("rejecting {name} limit {limit} <= usage {usage}")]
    BelowUsage { field: String, name: String, limit: u64, usage: u64 },
    /// More device rules than a program can hold.
    #[error(
        "the {count} device rules of cgroup {path} do not fit into a program: use ranges (no minor, no major) in /linux/resources/devices"
    )]
    TooManyRules { path: String, count: usize },
    /// The device program was refused.
    #[error("cannot {act} the device program of cgroup {path}: {cure}")]
    Devices { act: &'static str, path: String, cure: &'static str, source: sys::Error },
    /// cgroup.events did not change in time.
    #[error("cgroup {path} did not report \"{event}\" in cgroup.events within {seconds} s: {cure}")]
    Timeout { path: String, event: &'static str, seconds: u64, cure: &'static str },
    /// New processes appeared faster than they could be signalled.
    #[error("processes appear in cgroup {path} faster than they can be signalled: use SIGKILL, or pause the container first")]
    Restless { path: String },
    /// `cgroup.procs` shows a process as 0.
    #[error("a process of another pid namespace is in cgroup {path}: it has no id here; act from the pid namespace it is in")]
    Nameless { path: String },
    /// More cgroups below than any container needs.
    #[error("cgroup {path} holds more than {limit} cgroups: remove some of them by hand (rmdir)")]
    TooMany { path: String, limit: usize },
    /// The mount point is something else by now.
    #[error("{} is not a resctrl file system: mount it there", mount.display())]
    NotResctrl { mount: PathBuf },
    /// The kernel refused one act; its own words follow.
    #[error("cannot {act} resctrl group {path}{said}")]
    Resctrl { act: &'static str, path: String, source: sys::Error, said: String },
    #[error("resctrl group {path} is there already: remove it (rmdir), or name it with linux.intelRdt.closID")]
    RdtTaken { path: String },
    /// config-linux.md, `closID`.
    #[error("resctrl group {path} is there already and does not have {line:?}, but {has}")]
    RdtMismatch { path: String, line: String, has: String },
    /// An error on the way, after which even the cgroups made so far could not be taken away again.
    #[error("cgroup {path} was left behind ({reason})")]
    LeftBehind { path: String, reason: String, source: Box<CgroupError> },
}

impl CgroupError {
    /// The kernel's error number, when it was the kernel that refused.
    pub fn errno(&self) -> Option<sys::Errno> {
        match self {
            Self::Failed { source, .. }
            | Self::File { source, .. }
            | Self::Limit { source, .. }
            | Self::Resctrl { source, .. }
            | Self::Devices { source, .. } => Some(source.errno),
            Self::NoController { source, .. } => source.as_ref().map(|source| source.errno),
            Self::LeftBehind { source, .. } => source.errno(),
            _ => None,
        }
    }

    /// Whether this user may not do it: the case in which a rootless container without limits goes on without a cgroup.
    pub fn is_permission(&self) -> bool {
        self.errno().is_some_and(|errno| [sys::Errno::EACCES, sys::Errno::EPERM, sys::Errno::EROFS].contains(&errno))
    }
}
