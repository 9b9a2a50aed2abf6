//! Reading and writing a cgroup's interface files through its directory's descriptor.

use crate::CgroupError;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use wolffia_sys as sys;
use wolffia_sys::fd::OFlags;

/// How a cgroup's directory is opened. Never by O_PATH: it is listed as well.
pub(crate) const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const WRITE: OFlags = OFlags::WRONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The largest of all, `cgroup.procs`, has one line of at most eight bytes for each of at most 2^22 processes.
const LARGEST: usize = 32 << 20;

/// A cgroup's directory and the path to name it by in errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dir<'a> {
    pub fd: BorrowedFd<'a>,
    pub path: &'a str,
}

impl Dir<'_> {
    pub fn open_to_read(self, file: &str) -> Result<OwnedFd, sys::Error> {
        sys::fd::openat(self.fd, file, READ, 0)
    }

    pub fn open_to_write(self, file: &str) -> Result<OwnedFd, sys::Error> {
        sys::fd::openat(self.fd, file, WRITE, 0)
    }

    /// The file's text. The kernel writes ASCII; anything else is shown as it can be.
    pub fn read(self, file: &str) -> Result<String, sys::Error> {
        read_text(self.open_to_read(file)?.as_fd())
    }

    /// One write(2) of `value`: the kernel takes each write as one command.
    pub fn write(self, file: &str, value: &str) -> Result<(), sys::Error> {
        sys::fd::write_all(self.open_to_write(file)?, value.as_bytes())
    }

    /// Whether there is such a file.
    pub fn has(self, file: &str) -> Result<bool, CgroupError> {
        match sys::fd::stat_at(self.fd, file) {
            Ok(_) => Ok(true),
            Err(error) if error.is(sys::Errno::ENOENT) => Ok(false),
            Err(error) => Err(self.file_error("look for", file, error)),
        }
    }

    pub fn must_read(self, file: &str) -> Result<String, CgroupError> {
        self.read(file).map_err(|source| self.file_error("read", file, source))
    }

    pub fn must_write(self, file: &str, value: &str) -> Result<(), CgroupError> {
        self.write(file, value).map_err(|source| self.file_error("write", file, source))
    }

    pub fn file_error(self, act: &'static str, file: &str, source: sys::Error) -> CgroupError {
        CgroupError::File { act, file: file.to_owned(), path: self.path.to_owned(), source }
    }
}

pub(crate) fn read_text(fd: BorrowedFd<'_>) -> Result<String, sys::Error> {
    sys::fd::read_all(fd, LARGEST).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
