//! What a failed system call says about itself.

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A system call that failed: its name, its arguments as a reader wants to see them, and the kernel's answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call}({args}): {errno} (os error {})", errno.0)]
pub struct Error {
    /// The system call, or the library function where one stands for several calls.
    pub call: &'static str,
    /// The arguments, already rendered. Built only on failure.
    pub args: String,
    /// The kernel's answer.
    pub errno: Errno,
}

impl Error {
    /// Whether the kernel answered `errno`.
    pub fn is(&self, errno: Errno) -> bool {
        self.errno == errno
    }

    pub(crate) fn new(call: &'static str, args: impl Into<String>, errno: impl Into<Errno>) -> Self {
        Self { call, args: args.into(), errno: errno.into() }
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        std::io::Error::from_raw_os_error(error.errno.0)
    }
}

/// An error number of the kernel (errno(3)). Its `Display` is the text of strerror(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident)+) => {
        /// The numbers that callers tell apart.
        #[allow(missing_docs)]
        impl Errno { $( pub const $name: Errno = Errno(libc::$name); )+ }
    };
}

errnos! {
    E2BIG EACCES EADDRINUSE EAGAIN EBADF EBADFD EBADMSG EBUSY ECHILD ECONNREFUSED ECONNRESET EDQUOT EEXIST EFAULT EFBIG EINTR EINVAL EIO
    EISDIR ELOOP EMFILE EMLINK EMSGSIZE ENAMETOOLONG ENFILE ENODATA ENODEV ENOENT ENOEXEC ENOMEM ENOMSG ENOSPC ENOSYS ENOTCONN
    ENOTDIR ENOTEMPTY ENOTSUP ENOTTY ENXIO EOPNOTSUPP EOVERFLOW EPERM EPIPE EPROTO EROFS ESRCH ESTALE ETIMEDOUT
    ETXTBSY EUSERS EXDEV
}

impl Errno {
    pub(crate) fn last() -> Self {
        Self(nix::errno::Errno::last_raw())
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match nix::errno::Errno::from_raw(self.0) {
            nix::errno::Errno::UnknownErrno => write!(f, "Unknown error {}", self.0),
            known => f.write_str(known.desc()),
        }
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(errno: rustix::io::Errno) -> Self {
        Self(errno.raw_os_error())
    }
}

impl From<nix::errno::Errno> for Errno {
    fn from(errno: nix::errno::Errno) -> Self {
        Self(errno as i32)
    }
}

/// Names the call and its arguments on an error of rustix or nix. The arguments are rendered only on failure.
pub(crate) trait Call<T> {
    fn call(self, call: &'static str, args: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Errno>> Call<T> for std::result::Result<T, E> {
    fn call(self, call: &'static str, args: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| Error::new(call, args(), errno))
    }
}

/// The outcome of a raw system call: -1 means that errno holds the reason.
pub(crate) fn check(outcome: libc::c_long, call: &'static str, args: impl FnOnce() -> String) -> Result<libc::c_long> {
    if outcome == -1 {
        let errno = Errno::last();
        return Err(Error::new(call, args(), errno));
    }
    Ok(outcome)
}

/// How a descriptor is shown in an error.
pub(crate) fn show_fd(fd: BorrowedFd<'_>) -> String {
    format!("fd {}", fd.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_call_arguments_and_reason() {
        let error = Error::new("openat2", "rootfs, \"proc\", RESOLVE_IN_ROOT", Errno::ENOENT);
        assert_eq!(error.to_string(), "openat2(rootfs, \"proc\", RESOLVE_IN_ROOT): No such file or directory (os error 2)");
        assert!(error.is(Errno::ENOENT));
        assert!(!error.is(Errno::EPERM));
    }

    #[test]
    fn an_errno_reads_as_strerror() {
        assert_eq!(Errno::EPERM.to_string(), "Operation not permitted");
        assert_eq!(Errno(4095).to_string(), "Unknown error 4095");
    }

    #[test]
    fn arguments_are_rendered_only_on_failure() {
        let fine: std::result::Result<u8, rustix::io::Errno> = Ok(7);
        assert_eq!(fine.call("x", || panic!("rendered on success")), Ok(7));
    }
}
