//! Why a fact about the host could not be had.

use std::io;

/// A fact about the host that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The kernel did not give the file.
    #[error("read {path} (procfs belongs at /proc, sysfs at /sys, and this user must be able to read them)")]
    Read { path: String, source: io::Error },
    /// A file that is longer than anything that an administrator writes is not read to its end.
    #[error("read {path}: it is longer than {limit} bytes; shorten it")]
    TooLong { path: String, limit: u64 },
    /// What file system a directory is on could not be found out.
    #[error("identify the file system at {path} (this user must be able to search its directories)")]
    Identify { path: String, source: wolffia_sys::Error },
    /// The kernel did not say which capabilities it knows.
    #[error("list the kernel's capabilities (prctl(2) must not be forbidden by an outer container's filter)")]
    Capabilities(#[source] wolffia_sys::Error),
    /// The file does not have the form that its man page gives.
    #[error("read {path}: {found:?} where {expected} was expected; is something else mounted there?")]
    Malformed { path: String, found: String, expected: &'static str },
}

impl HostError {
    pub(crate) fn malformed(path: &str, found: impl Into<String>, expected: &'static str) -> Self {
        Self::Malformed { path: path.to_owned(), found: found.into(), expected }
    }
}
