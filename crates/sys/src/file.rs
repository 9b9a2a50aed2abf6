//! Files by descriptor: links, copies, access checks, and the descriptors that the payload is given.

use crate::error::{Call, show_fd};
use crate::{Errno, Error, Result, fd};
use rustix::fs as rx;
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The working directory, where a directory's descriptor is wanted.
pub use rustix::fs::CWD;

/// Bytes that one sendfile(2) is asked for.
const COPY_CHUNK: usize = 16 << 20;

/// Makes a symbolic link `name` in `dir`. `EEXIST` if anything is there.
pub fn symlinkat(target: impl AsRef<Path>, dir: impl AsFd, name: impl AsRef<Path>) -> Result<()> {
    let (target, dir, name) = (target.as_ref(), dir.as_fd(), name.as_ref());
    rx::symlinkat(target, dir, name).call("symlinkat", || format!("{target:?}, {}, {name:?}", show_fd(dir)))
}

/// Where the symbolic link `name` in `dir` points to.
pub fn readlinkat(dir: impl AsFd, name: impl AsRef<Path>) -> Result<PathBuf> {
    let (dir, name) = (dir.as_fd(), name.as_ref());
    let target = rx::readlinkat(dir, name, Vec::new()).call("readlinkat", || format!("{}, {name:?}", show_fd(dir)))?;
    Ok(OsString::from_vec(target.into_bytes()).into())
}

/// Copies all that is left of `from` to `to`, in the kernel.
pub fn copy_all(from: impl AsFd, to: impl AsFd) -> Result<()> {
    let (from, to) = (from.as_fd(), to.as_fd());
    let args = || format!("{}, {}", show_fd(to), show_fd(from));
    loop {
        match rx::sendfile(to, from, None, COPY_CHUNK) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno).call("sendfile", args),
        }
    }
}

/// Whether `path` is a directory; symbolic links are followed. By the oldest call that tells, because a container's filter of
/// system calls may already hold, and old profiles deny statx(2).
pub fn is_directory(path: impl AsRef<Path>) -> Result<bool> {
    let path = path.as_ref();
    let stat = rx::stat(path).call("newfstatat", || format!("{path:?}"))?;
    Ok(rx::FileType::from_raw_mode(stat.st_mode) == rx::FileType::Directory)
}

/// Whether the caller, with its real ids, may execute `path`. `EACCES` if not. Not faccessat2(2), for the same reason.
pub fn may_execute(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    rx::accessat(CWD, path, rx::Access::EXEC_OK, rx::AtFlags::empty()).call("faccessat", || format!("{path:?}, X_OK"))
}

/// Whether the caller, with its effective ids and capabilities, may execute `path`. `EACCES` if not. A filter that denies
/// faccessat2(2) leaves the answer to execve(2).
pub fn may_execute_now(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    match rx::accessat(CWD, path, rx::Access::EXEC_OK, rx::AtFlags::EACCESS) {
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => Ok(()),
        other => other.call("faccessat2", || format!("{path:?}, X_OK, AT_EACCESS")),
    }
}

/// Standard stream 0, 1 or 2, if it is open.
pub fn standard(number: u8) -> Option<BorrowedFd<'static>> {
    if number > 2 || !fd::is_open(number.into()) {
        return None;
    }
    // SAFETY: it is open, and nothing in this project closes a standard stream.
    Some(unsafe { BorrowedFd::borrow_raw(number.into()) })
}

/// What a descriptor may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFor {
    pub reading: bool,
    pub writing: bool,
}

/// What `fd` is open for: nothing, for one that only names a place (`O_PATH`).
pub fn open_for(fd: impl AsFd) -> Result<OpenFor> {
    let fd = fd.as_fd();
    let flags = rx::fcntl_getfl(fd).call("fcntl", || format!("{}, F_GETFL", show_fd(fd)))?;
    let mode = flags & rx::OFlags::RWMODE;
    let usable = !flags.contains(rx::OFlags::PATH);
    Ok(OpenFor { reading: usable && mode != rx::OFlags::WRONLY, writing: usable && mode != rx::OFlags::RDONLY })
}

/// Gives what `fd` is open on the extended attribute `name`.
pub fn set_attribute(fd: impl AsFd, name: &str, value: &str) -> Result<()> {
    let fd = fd.as_fd();
    rx::fsetxattr(fd, name, value.as_bytes(), rx::XattrFlags::empty())
        .call("fsetxattr", || format!("{}, {name}, {value:?}", show_fd(fd)))
}

/// Lets the descriptor `number` survive exec; for those that the payload is given. False if it is not open.
pub fn inherit(number: u32) -> Result<bool> {
    let raw = RawFd::try_from(number).map_err(|_| Error::new("fcntl", number.to_string(), Errno::EINVAL))?;
    if !fd::is_open(raw) {
        return Ok(false);
    }
    // SAFETY: it was open a moment ago and only a flag is changed; its owner is not affected.
    let descriptor = unsafe { BorrowedFd::borrow_raw(raw) };
    fd::set_cloexec(descriptor, false).map(|()| true)
}
