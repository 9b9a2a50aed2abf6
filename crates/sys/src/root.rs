//! The container's root directory: every path inside it is looked up here, through its descriptor.
//!
//! The kernel resolves with the directory as "/" (`RESOLVE_IN_ROOT`): absolute links and ".." stay inside, and links of
//! /proc that jump elsewhere are refused (`RESOLVE_NO_MAGICLINKS`). What is missing is made one name at a time through
//! its parent's descriptor, never through a path, so a link that is swapped in meanwhile is met and refused
//! (CVE-2024-45310).

use crate::error::{Call, Error};
use crate::fd::{self, FileKind, OFlags};
use crate::{Errno, Result};
use rustix::fs::{self as rx, FileType, Mode, ResolveFlags};
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// How often a lookup is tried again when a rename or a mount anywhere on the machine disturbed it (`EAGAIN`, openat2(2)).
const TRIES: u32 = 128;
/// How often making a file is tried again when somebody else makes and removes the same one.
const CREATIONS: u32 = 8;
/// As many symbolic links as the kernel follows in one path (`MAXSYMLINKS`, path_resolution(7)).
const MOST_LINKS: u32 = 40;
/// Permission bits of directories that are made only so that a file has a place.
const PARENT_MODE: u32 = 0o755;

/// A container's root. Paths are relative to it; "" is the root itself.
#[derive(Debug)]
pub struct Root(OwnedFd);

impl From<OwnedFd> for Root {
    fn from(directory: OwnedFd) -> Self {
        Self(directory)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Root {
    /// A handle (`O_PATH`) on what is at `path`. `flags` may add `DIRECTORY` and `NOFOLLOW`.
    pub fn resolve(&self, path: &str, flags: OFlags) -> Result<OwnedFd> {
        self.open_in_root(path, flags | OFlags::PATH)
    }

    /// Opens the existing file at `path`. Opening never blocks, because the container may have put a pipe there, and never
    /// makes the file: that is [`make_file`](Self::make_file)'s.
    pub fn open_file(&self, path: &str, flags: OFlags) -> Result<OwnedFd> {
        // O_TMPFILE holds the bit of O_DIRECTORY, so that only the whole of it means an unnamed file.
        if flags.contains(OFlags::CREATE) || flags.contains(OFlags::TMPFILE) {
            return Err(failure("openat2", path, Errno::EINVAL));
        }
        let file = self.open_in_root(path, flags | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        if !flags.intersects(OFlags::NONBLOCK | OFlags::PATH) {
            let blocking = rx::fcntl_getfl(&file).and_then(|now| rx::fcntl_setfl(&file, now.difference(OFlags::NONBLOCK)));
            blocking.call("fcntl", || format!("rootfs, {path:?}, F_SETFL"))?;
        }
        Ok(file)
    }

    /// The directory at `path`, made with all that is missing above it (`mode`; the umask applies).
    /// What a symbolic link names that leads nowhere is made too, inside the root: images bring such links (/etc/resolv.conf,
    /// /var/run) and expect to be mounted on through them, as runc does.
    pub fn make_dirs(&self, path: &str, mode: u32) -> Result<OwnedFd> {
        let wanted = OFlags::DIRECTORY;
        match self.resolve(path, wanted) {
            Err(error) if error.is(Errno::ENOENT) => {}
            outcome => return outcome,
        }
        let path = &self.without_links(path)?;
        let names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
        for present in (0..names.len()).rev() {
            let directory = match self.resolve(&names[..present].join("/"), wanted) {
                Err(error) if error.is(Errno::ENOENT) && present > 0 => continue,
                outcome => outcome?,
            };
            return names[present..].iter().try_fold(directory, |parent, name| make_dir(parent, name, path, mode));
        }
        Err(failure("mkdirat", path, Errno::ENOENT))
    }

    /// What is at `path`, or a new empty file (`mode`; the umask applies) with all directories that are missing above it.
    /// The new one is open for reading, what existed is an `O_PATH` handle; both can be mounted on.
    pub fn make_file(&self, path: &str, mode: u32) -> Result<OwnedFd> {
        split(path)?;
        match self.resolve(path, OFlags::empty()) {
            Err(error) if error.is(Errno::ENOENT) => {}
            outcome => return outcome,
        }
        let path = &self.without_links(path)?;
        let (above, name) = split(path)?;
        for _ in 0..CREATIONS {
            match self.resolve(path, OFlags::empty()) {
                Err(error) if error.is(Errno::ENOENT) => {}
                outcome => return outcome,
            }
            let parent = self.make_dirs(above, PARENT_MODE)?;
            let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match rx::openat(&parent, name, flags, Mode::from_bits_truncate(mode)) {
                // Somebody made it, so that the next look finds it; or it is a link that leads nowhere, and no look ever will.
                Err(rustix::io::Errno::EXIST) => {}
                outcome => return outcome.call("openat", || format!("rootfs, {path:?}, O_CREAT|O_EXCL|O_NOFOLLOW")),
            }
        }
        Err(failure("openat", path, Errno::EEXIST))
    }

    /// Makes a symbolic link at `path`, with all directories that are missing above it. `EEXIST` if anything is there.
    pub fn symlink(&self, target: &str, path: &str) -> Result<()> {
        let (above, name) = split(path)?;
        let parent = self.parent(above, |above| self.make_dirs(above, PARENT_MODE))?;
        rx::symlinkat(target, &parent, name).call("symlinkat", || format!("{target:?}, rootfs, {path:?}"))
    }

    /// Makes a device node or a pipe at `path` with exactly these permission bits and this owner (uid and gid), and all directories
    /// that are missing above it. `dev` is major and minor. `EEXIST` if anything is there.
    pub fn mknod(&self, path: &str, kind: FileKind, dev: (u32, u32), mode: u32, owner: (u32, u32)) -> Result<()> {
        let args = || format!("rootfs, {path:?}, {kind:?}, {}:{}", dev.0, dev.1);
        let file_type = match kind {
            FileKind::Char => FileType::CharacterDevice,
            FileKind::Block => FileType::BlockDevice,
            FileKind::Fifo => FileType::Fifo,
            _ => return Err(Error::new("mknodat", args(), Errno::EINVAL)),
        };
        let (above, name) = split(path)?;
        let parent = self.parent(above, |above| self.make_dirs(above, PARENT_MODE))?;
        let number = rx::makedev(dev.0, dev.1);
        rx::mknodat(&parent, name, file_type, Mode::from_bits_truncate(mode), number).call("mknodat", args)?;
        let node = fd::openat(&parent, name, OFlags::PATH | OFlags::NOFOLLOW, 0)?;
        // Whoever shares the directory may have put something else there since.
        let stat = fd::stat(&node)?;
        if stat.kind != kind || (kind != FileKind::Fifo && stat.rdev != dev) {
            return Err(Error::new("mknodat", format!("{}: replaced while it was made", args()), Errno::EEXIST));
        }
        if stat.mode != mode {
            fd::fchmod(&node, mode)?;
        }
        // Of a device node, unlike of a program, chown clears no bit.
        if (stat.uid, stat.gid) != owner {
            fd::fchown(&node, owner.0, owner.1)?;
        }
        Ok(())
    }

    /// Removes what is at `path`, which must not be a directory. A symbolic link at its end is removed itself.
    pub fn unlink(&self, path: &str) -> Result<()> {
        let (above, name) = split(path)?;
        let parent = self.parent(above, |above| self.resolve(above, OFlags::DIRECTORY))?;
        rx::unlinkat(&parent, name, rx::AtFlags::empty()).call("unlinkat", || format!("rootfs, {path:?}"))
    }

    /// Where the symbolic link at `path` points to. `EINVAL` if it is none.
    pub fn read_link(&self, path: &str) -> Result<PathBuf> {
        let (above, name) = split(path)?;
        let parent = self.parent(above, |above| self.resolve(above, OFlags::DIRECTORY))?;
        let target = rx::readlinkat(&parent, name, Vec::new()).call("readlinkat", || format!("rootfs, {path:?}"))?;
        Ok(OsString::from_vec(target.into_bytes()).into())
    }

    /// The path with every symbolic link in it replaced by what it says, as far as the path exists; all of it relative to the
    /// root. A link that is swapped in afterwards is met by who walks the result without following links.
    fn without_links(&self, path: &str) -> Result<String> {
        let mut done: Vec<String> = Vec::new();
        let mut ahead: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    done.pop();
                    continue;
                }
                _ => done.push(name),
            }
            let target = match self.read_link(&done.join("/")) {
                Ok(target) => target,
                // Not a link, or nothing: what is ahead is looked at as it stands.
                Err(error) if error.is(Errno::EINVAL) || error.is(Errno::ENOENT) || error.is(Errno::ENOTDIR) => continue,
                Err(error) => return Err(error),
            };
            links += 1;
            let target =
                target.to_str().filter(|_| links <= MOST_LINKS).ok_or_else(|| failure("readlinkat", path, Errno::ELOOP))?;
            done.pop();
            if target.starts_with('/') {
                done.clear();
            }
            ahead.extend(target.split('/').rev().map(str::to_owned));
        }
        Ok(done.join("/"))
    }

    /// The directory at `above`, opened by `open` unless it is the root itself, which is open.
    fn parent<'a>(&'a self, above: &str, open: impl FnOnce(&str) -> Result<OwnedFd>) -> Result<Parent<'a>> {
        if above.is_empty() { Ok(Parent::Root(self.as_fd())) } else { open(above).map(Parent::Below) }
    }

    fn open_in_root(&self, path: &str, flags: OFlags) -> Result<OwnedFd> {
        let name = if path.is_empty() { "." } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let mut tries = 0;
        loop {
            tries += 1;
            match rx::openat2(&self.0, name, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) if tries < TRIES => {}
                // Without the flags, because many lookups are of what may be missing, and to write flags out takes long.
                outcome => return outcome.map_err(|errno| failure("openat2", path, errno)),
            }
        }
    }
}

enum Parent<'a> {
    Root(BorrowedFd<'a>),
    Below(OwnedFd),
}

impl AsFd for Parent<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Parent::Root(directory) => *directory,
            Parent::Below(directory) => directory.as_fd(),
        }
    }
}

/// Makes `name` in `parent` unless it is there, and opens it without following it.
fn make_dir(parent: OwnedFd, name: &str, path: &str, mode: u32) -> Result<OwnedFd> {
    // A ".." in the part that does not exist would lead out of what was checked.
    if name == ".." {
        return Err(failure("mkdirat", path, Errno::EINVAL));
    }
    match rx::mkdirat(&parent, name, Mode::from_bits_truncate(mode)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(errno) => return Err(failure("mkdirat", path, errno)),
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rx::openat(&parent, name, flags, Mode::empty())
        .call("openat", || format!("rootfs, {path:?} at {name:?}, O_DIRECTORY|O_NOFOLLOW"))
}

/// The part above the last name, and the last name, which must be one.
fn split(path: &str) -> Result<(&str, &str)> {
    let trimmed = path.trim_end_matches('/');
    let (above, name) = trimmed.rsplit_once('/').unwrap_or(("", trimmed));
    match name {
        "" | "." | ".." => Err(failure("openat2", path, Errno::EINVAL)),
        name => Ok((above, name)),
    }
}

fn failure(call: &'static str, path: &str, errno: impl Into<Errno>) -> Error {
    Error::new(call, format!("rootfs, {path:?}"), errno)
}
