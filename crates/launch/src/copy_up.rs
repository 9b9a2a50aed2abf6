//! `tmpcopyup`: what the destination held, copied into the new file system before it covers it.

use crate::failure::Cause;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use wolffia_sys::fd::{self, FileKind, OFlags};
use wolffia_sys::file;

/// Deepest directory tree that is copied.
const DEPTH_LIMIT: usize = 64;

/// Copies the content, owner and mode of `from` to `to`; both are directories, opened in any way.
pub fn directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Cause> {
    tree(reopened(from)?, reopened(to)?, DEPTH_LIMIT)
}

fn reopened(directory: BorrowedFd<'_>) -> Result<OwnedFd, Cause> {
    Ok(fd::openat(directory, ".", OFlags::RDONLY | OFlags::DIRECTORY, 0)?)
}

fn tree(from: OwnedFd, to: OwnedFd, depth: usize) -> Result<(), Cause> {
    if depth == 0 {
        return Err(format!("tmpcopyup: more than {DEPTH_LIMIT} directories deep").into());
    }
    for name in fd::read_dir_names(from.as_fd())? {
        let found = fd::openat(from.as_fd(), &name, OFlags::PATH | OFlags::NOFOLLOW, 0)?;
        match fd::stat(found.as_fd())?.kind {
            FileKind::Directory => {
                fd::mkdirat(to.as_fd(), &name, 0o700)?;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                tree(fd::openat(from.as_fd(), &name, flags, 0)?, fd::openat(to.as_fd(), &name, flags, 0)?, depth - 1)?;
            }
            FileKind::File => regular(from.as_fd(), to.as_fd(), &name)?,
            FileKind::Symlink => file::symlinkat(&file::readlinkat(from.as_fd(), &name)?, to.as_fd(), &name)?,
            // Device nodes, sockets and pipes are what a runtime makes, not what an image brings: runc leaves them out too.
            FileKind::Char | FileKind::Block | FileKind::Fifo | FileKind::Socket | FileKind::Other => {}
        }
    }
    owner_and_mode(from.as_fd(), to.as_fd())
}

fn regular(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &OsStr) -> Result<(), Cause> {
    let source = fd::openat(from, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK, 0)?;
    let copy = fd::openat(to, name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, 0o600)?;
    file::copy_all(source.as_fd(), copy.as_fd())?;
    owner_and_mode(source.as_fd(), copy.as_fd())
}

fn owner_and_mode(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Cause> {
    let stat = fd::stat(from)?;
    fd::fchown(to, stat.uid, stat.gid)?;
    Ok(fd::fchmod(to, stat.mode & 0o7777)?)
}
