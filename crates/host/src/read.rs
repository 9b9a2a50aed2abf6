//! Bounded reads of files that the kernel or the administrator writes.

use crate::HostError;
use std::fs::File;
use std::io::{ErrorKind, Read};
use wolffia_sys::{Errno, fd};

/// More than the longest file of /proc that is read here: an id map of 340 lines (user_namespaces(7)), 33 bytes each.
const PROC_LIMIT: u64 = 64 << 10;
/// Files of /etc: a hundred thousand users fit.
const FILE_LIMIT: u64 = 16 << 20;

/// Reads a file of /proc or /sys that every Linux has.
pub(crate) fn proc(path: &str) -> Result<String, HostError> {
    let file = File::open(path).map_err(|source| HostError::Read { path: path.to_owned(), source })?;
    text_of(file, path, PROC_LIMIT)
}

/// Reads a file that need not exist: `None` if it does not.
pub(crate) fn optional(path: &str) -> Result<Option<String>, HostError> {
    match File::open(path) {
        Ok(file) => text_of(file, path, FILE_LIMIT).map(Some),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(HostError::Read { path: path.to_owned(), source }),
    }
}

fn text_of(file: File, path: &str, limit: u64) -> Result<String, HostError> {
    // Room for the usual file at once: procfs then answers with one read and the end of file with another.
    let mut bytes = Vec::with_capacity(4096);
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|source| HostError::Read { path: path.to_owned(), source })?;
    if bytes.len() as u64 > limit {
        return Err(HostError::TooLong { path: path.to_owned(), limit });
    }
    // A stray byte of some encoding (a GECOS field) must not hide the other lines; no id or name that matters holds one.
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// The magic number (statfs(2)) of the file system at `path`; `None` if there is no such path.
pub(crate) fn file_system(path: &str) -> Result<Option<u64>, HostError> {
    match fd::path_fs_magic(path) {
        Ok(magic) => Ok(Some(magic)),
        Err(error) if error.is(Errno::ENOENT) => Ok(None),
        Err(source) => Err(HostError::Identify { path: path.to_owned(), source }),
    }
}
