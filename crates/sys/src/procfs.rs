//! /proc, verified: a write to it must reach the kernel, not a file that somebody mounted over it
//! (CVE-2019-16884, CVE-2025-52881).

use crate::error::{Call, show_fd};
use crate::fd::{self, OFlags, PROC_SUPER_MAGIC};
use crate::mount::FsContext;
use crate::{Errno, Error, Pid, Result};
use rustix::fs::{Mode, ResolveFlags};
use std::cell::OnceCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The inode number of procfs's root directory (`PROC_ROOT_INO`): no bind mount of a part of it has it.
const ROOT_INODE: u64 = 1;
const TRIES: u32 = 128;

/// A procfs that was found to be one. Its files are opened without crossing a mount and without following a link.
#[derive(Debug)]
pub struct ProcHandle {
    mounted: OwnedFd,
    /// Made when something turns out to be mounted over a file of the other. Never installed anywhere.
    private: OnceCell<OwnedFd>,
}

impl ProcHandle {
    /// The procfs at /proc. Fails with `ENODEV` if something else is there.
    pub fn open() -> Result<Self> {
        let mounted = fd::open("/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW, 0)?;
        require_procfs(mounted.as_fd(), "/proc")?;
        if fd::stat(&mounted)?.ino != ROOT_INODE {
            return Err(Error::new("open", "\"/proc\": not the root of a procfs", Errno::ENODEV));
        }
        Ok(Self { mounted, private: OnceCell::new() })
    }

    /// A procfs of its own, mounted nowhere. It shows the caller's pid namespace. Needs CAP_SYS_ADMIN over that.
    pub fn detached() -> Result<Self> {
        Ok(Self { mounted: detached()?, private: OnceCell::new() })
    }

    /// Reads the file at `path` (relative to /proc), at most `limit` bytes.
    pub fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>> {
        let file = self.open_file(path, OFlags::RDONLY)?;
        fd::read_all(&file, limit).map_err(|error| named(path, error))
    }

    /// Writes `bytes` to the file at `path` (relative to /proc), in one write as procfs wants it.
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let file = self.open_file(path, OFlags::WRONLY)?;
        fd::write_all(&file, bytes).map_err(|error| named(path, error))
    }

    /// Writes `bytes` to the file `name` of the process `pid`, as this procfs numbers it.
    pub fn write_for(&self, pid: Pid, name: &str, bytes: &[u8]) -> Result<()> {
        self.write(&format!("{pid}/{name}"), bytes)
    }

    /// Opens the file or directory at `path` (relative to /proc, of plain names).
    pub fn open_file(&self, path: &str, flags: OFlags) -> Result<OwnedFd> {
        // A path that leaves procfs gives EXDEV too, and is nothing that a mount was put over.
        if path.split('/').any(|name| matches!(name, "" | "..")) {
            return Err(Error::new("openat2", format!("/proc, {path:?}"), Errno::EINVAL));
        }
        let file = match open_beneath(self.mounted.as_fd(), path, flags) {
            Err(error) if error.is(Errno::EXDEV) => open_beneath(self.private(path)?, path, flags)?,
            outcome => outcome?,
        };
        require_procfs(file.as_fd(), path)?;
        Ok(file)
    }

    /// The path of the calling thread's file `name`, for example `12/task/12/attr/exec`: links are refused, "thread-self" too.
    pub fn self_path(&self, name: &str) -> Result<String> {
        self.followed("thread-self", name)
    }

    /// The path of the calling process's file `name`: for the few that a thread's directory lacks, as `timens_offsets`.
    pub fn process_path(&self, name: &str) -> Result<String> {
        self.followed("self", name)
    }

    fn followed(&self, link: &str, name: &str) -> Result<String> {
        let target = rustix::fs::readlinkat(&self.mounted, link, Vec::new()).call("readlinkat", || format!("/proc, {link:?}"))?;
        Ok(format!("{}/{name}", target.to_string_lossy()))
    }

    fn private(&self, path: &str) -> Result<BorrowedFd<'_>> {
        if let Some(made) = self.private.get() {
            return Ok(made.as_fd());
        }
        let made = detached().map_err(|error| {
            let story = format!("something is mounted over /proc/{path}, and a private procfs cannot be had: {}", error.args);
            Error { args: story, ..error }
        })?;
        Ok(self.private.get_or_init(|| made).as_fd())
    }
}

fn detached() -> Result<OwnedFd> {
    let context = FsContext::open("proc")?;
    context.create()?;
    context.mount(crate::mount::MOUNT_ATTR_NOSUID | crate::mount::MOUNT_ATTR_NODEV | crate::mount::MOUNT_ATTR_NOEXEC)
}

fn open_beneath(proc: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    let mut tries = 0;
    loop {
        tries += 1;
        match rustix::fs::openat2(proc, path, flags | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty(), resolve) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) if tries < TRIES => {}
            outcome => return outcome.call("openat2", || format!("/proc, {path:?}, {flags:?}, {resolve:?}")),
        }
    }
}

fn require_procfs(fd: BorrowedFd<'_>, path: &str) -> Result<()> {
    if fd::fs_magic(fd)? == PROC_SUPER_MAGIC {
        return Ok(());
    }
    Err(Error::new("open", format!("{path:?}, {}: not on a procfs", show_fd(fd)), Errno::ENODEV))
}

fn named(path: &str, error: Error) -> Error {
    Error { args: format!("/proc/{path}, {}", error.args), ..error }
}
