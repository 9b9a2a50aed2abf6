//! Namespaces by descriptor.

use crate::error::{Call, check, show_fd};
use crate::fd::{NSFS_MAGIC, fs_magic, stat};
use crate::{Errno, Error, Pid, Result};
use rustix::fs::{CWD, Mode, OFlags};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Joins the namespace behind `fd`, or with a pidfd several namespaces of that process at once (5.8).
/// `kinds` are the `CLONE_NEW*` bits to join; with a namespace's own descriptor 0 allows any.
pub fn setns(fd: impl AsFd, kinds: u64) -> Result<()> {
    let fd = fd.as_fd();
    let args = || format!("{}, {kinds:#x}", show_fd(fd));
    let flags = i32::try_from(kinds).map_err(|_| Error::new("setns", args(), Errno::EINVAL))?;
    // SAFETY: setns reads no memory; what changes are this thread's namespaces.
    let outcome = unsafe { libc::setns(fd.as_raw_fd(), flags) };
    check(outcome.into(), "setns", args).map(drop)
}

/// Moves the caller into new namespaces of these kinds (`CLONE_NEW*`). A new pid or time namespace is for its children only.
pub fn unshare(kinds: u64) -> Result<()> {
    let args = || format!("{kinds:#x}");
    let flags = i32::try_from(kinds).map_err(|_| Error::new("unshare", args(), Errno::EINVAL))?;
    // CLONE_FILES would take the descriptor table from under other owners; namespaces alone are safe to leave.
    if flags & libc::CLONE_FILES != 0 {
        return Err(Error::new("unshare", args(), Errno::EINVAL));
    }
    // SAFETY: unshare reads no memory, and the descriptor table stays shared.
    let outcome = unsafe { libc::unshare(flags) };
    check(outcome.into(), "unshare", args).map(drop)
}

/// The calling thread's namespace; `name` is a file name of /proc/PID/ns, for example `mnt` or `pid_for_children`.
pub fn open_own(name: &str) -> Result<OwnedFd> {
    open_path(&format!("/proc/thread-self/ns/{name}"))
}

/// The namespace `name` (a file name of /proc/PID/ns) of another process.
pub fn open_of(pid: Pid, name: &str) -> Result<OwnedFd> {
    open_path(&format!("/proc/{pid}/ns/{name}"))
}

/// The `CLONE_NEW*` bit of the namespace behind `fd`. `ENOTTY` if it is no namespace.
pub fn ns_type(fd: impl AsFd) -> Result<u64> {
    let fd = fd.as_fd();
    // SAFETY: NS_GET_NSTYPE takes no argument and only returns a number.
    let outcome = unsafe { libc::ioctl(fd.as_raw_fd(), libc::NS_GET_NSTYPE) };
    check(outcome.into(), "ioctl", || format!("{}, NS_GET_NSTYPE", show_fd(fd))).map(|kind| kind as u64)
}

/// Whether both are the same namespace (namespaces(7): device and inode tell).
pub fn same_namespace(one: impl AsFd, other: impl AsFd) -> Result<bool> {
    let (one, other) = (stat(one)?, stat(other)?);
    Ok((one.dev, one.ino) == (other.dev, other.ino))
}

fn open_path(path: &str) -> Result<OwnedFd> {
    let fd =
        rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).call("open", || format!("{path:?}"))?;
    // Something else may be mounted over the link: a namespace's file lives on nsfs only.
    if fs_magic(&fd)? != NSFS_MAGIC {
        return Err(Error::new("open", format!("{path:?}: not a namespace"), Errno::EINVAL));
    }
    Ok(fd)
}
