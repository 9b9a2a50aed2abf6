//! The directory of images, before anything is restored from it: whoever could write it decides what the restored processes are.

use crate::CriuError;
use crate::wire::{Value, fields};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use wolffia_sys::fd::{self, FileKind, OFlags, Stat};
use wolffia_sys::{Errno, file, ids};

/// Filters of a thousand processes; more is not read.
const LONGEST: usize = 64 << 20;
/// images/magic.h
const SERVICE_MAGIC: u32 = 0x5510_5940;
const COMMON_MAGIC: u32 = 0x5456_4319;

/// A directory of images.
#[derive(Debug)]
pub struct Images {
    directory: OwnedFd,
    path: PathBuf,
}

impl Images {
    /// Makes the directory if it is missing, for this user alone: images hold the memory of the container.
    pub fn make(path: &Path) -> Result<Self, CriuError> {
        match fd::mkdirat(file::CWD, path, 0o700) {
            Err(error) if !error.is(Errno::EEXIST) => {
                Err(CriuError::System { act: "make the directory for images", source: error })
            }
            _ => Self::open(path),
        }
    }

    pub fn open(path: &Path) -> Result<Self, CriuError> {
        let directory = fd::open(path, OFlags::RDONLY | OFlags::DIRECTORY, 0)
            .map_err(|source| CriuError::System { act: "open the directory of images", source })?;
        Ok(Self { directory, path: path.to_owned() })
    }

    /// Refuses a directory that somebody else may write: whoever puts a link where CRIU writes its log has that overwritten.
    pub fn must_be_private(&self, log: &str) -> Result<(), CriuError> {
        self.judge(&self.path, &fd::stat(&self.directory).map_err(look)?)?;
        match fd::stat_at(&self.directory, log) {
            Ok(stat) if stat.kind != FileKind::File => {
                Err(CriuError::Foreign { path: self.path.join(log), reason: "it is not a regular file" })
            }
            Err(error) if !error.is(Errno::ENOENT) => Err(look(error)),
            _ => Ok(()),
        }
    }

    /// Where the directory is now, whatever links led to it.
    pub fn real_path(&self) -> Result<PathBuf, CriuError> {
        file::readlinkat(file::CWD, format!("/proc/self/fd/{}", self.directory.as_raw_fd())).map_err(look)
    }

    /// Refuses images that somebody else may write: restoring makes processes with the rights, filters and memory that they hold.
    pub fn must_be_own(&self) -> Result<(), CriuError> {
        let stat = fd::stat(&self.directory).map_err(look)?;
        self.judge(&self.path, &stat)?;
        for name in fd::read_dir_names(&self.directory).map_err(look)? {
            let path = self.path.join(&name);
            let stat = fd::stat_at(&self.directory, &name).map_err(look)?;
            // The one link that CRIU makes: to the images that these are the continuation of.
            let (path, stat) = match (stat.kind, name == "parent") {
                (FileKind::Symlink, true) => {
                    let parent = Self::open(&path)?;
                    (path, fd::stat(&parent.directory).map_err(look)?)
                }
                _ => (path, stat),
            };
            match stat.kind {
                FileKind::File | FileKind::Directory => self.judge(&path, &stat)?,
                // The one that `criu lazy-pages` listens on, and hands the memory out by.
                FileKind::Socket if name == "lazy-pages.socket" => self.judge(&path, &stat)?,
                _ => return Err(CriuError::Foreign { path, reason: "neither a file nor a directory" }),
            }
        }
        Ok(())
    }

    /// The programs (`struct sock_filter`, one after the other) of all filters of system calls that are not laid over another one.
    pub fn first_filters(&self) -> Result<Vec<Vec<u8>>, CriuError> {
        const NAME: &str = "seccomp.img";
        let wrong = |reason| CriuError::Image { path: self.path.join(NAME), reason };
        let bytes = match self.read(NAME, LONGEST) {
            Err(CriuError::System { source, .. }) if source.is(Errno::ENOENT) => return Ok(Vec::new()),
            other => other?,
        };
        let magic = |at: usize| bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map(u32::from_le_bytes);
        // Newer images have a word before the one of their kind.
        let header = if matches!(magic(0), Some(COMMON_MAGIC | SERVICE_MAGIC)) { 8 } else { 4 };
        let Some(length) = magic(header) else { return Ok(Vec::new()) };
        let entry = bytes.get(header + 4..).and_then(|rest| rest.get(..length as usize)).ok_or_else(|| wrong("it is cut off"))?;
        let filters = fields(entry).ok_or_else(|| wrong("it is no message"))?;
        let mut first = Vec::new();
        for (_, value) in filters.into_iter().filter(|(field, _)| *field == 1) {
            let Value::Bytes(filter) = value else { return Err(wrong("a filter is a number")) };
            let filter = fields(filter).ok_or_else(|| wrong("a filter is no message"))?;
            let has_previous = filter.iter().any(|(field, _)| *field == 2);
            let program = filter.iter().find_map(|(field, value)| match value {
                Value::Bytes(program) if *field == 1 => Some(program.to_vec()),
                _ => None,
            });
            if !has_previous {
                first.push(program.ok_or_else(|| wrong("a filter has no program"))?);
            }
        }
        Ok(first)
    }

    pub fn read(&self, name: &str, limit: usize) -> Result<Vec<u8>, CriuError> {
        fd::openat(&self.directory, name, OFlags::RDONLY | OFlags::NOFOLLOW, 0)
            .and_then(|file| fd::read_all(file, limit))
            .map_err(|source| CriuError::System { act: "read an image", source })
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CriuError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
        fd::openat(&self.directory, name, flags, 0o600)
            .and_then(|file| fd::write_all(file, bytes))
            .map_err(|source| CriuError::System { act: "write an image", source })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn judge(&self, path: &Path, stat: &Stat) -> Result<(), CriuError> {
        let reason = match (stat.uid, stat.mode & 0o022) {
            (uid, _) if uid != 0 && uid != ids::geteuid() => "it belongs to another user",
            (_, 0) => return Ok(()),
            _ => "others may write it",
        };
        Err(CriuError::Foreign { path: path.to_owned(), reason })
    }
}

impl AsFd for Images {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

fn look(source: wolffia_sys::Error) -> CriuError {
    CriuError::System { act: "look at the images", source }
}
