//! User and group ids of the calling thread.
//!
//! glibc's functions send a signal to every thread and wait for them; the kernel's calls change this thread only,
//! which in a single-threaded child is the same and costs nothing.

use crate::error::check;
use crate::{Errno, Error, Result};

/// Sets the real, effective and saved user id. `u32::MAX` is refused: to the kernel it means "leave as it is".
pub fn setresuid(uid: u32) -> Result<()> {
    let args = || uid.to_string();
    if uid == u32::MAX {
        return Err(Error::new("setresuid", args(), Errno::EINVAL));
    }
    // SAFETY: setresuid reads no memory.
    let outcome = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
    check(outcome, "setresuid", args).map(drop)
}

/// Sets the real, effective and saved group id. `u32::MAX` is refused: to the kernel it means "leave as it is".
pub fn setresgid(gid: u32) -> Result<()> {
    let args = || gid.to_string();
    if gid == u32::MAX {
        return Err(Error::new("setresgid", args(), Errno::EINVAL));
    }
    // SAFETY: setresgid reads no memory.
    let outcome = unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) };
    check(outcome, "setresgid", args).map(drop)
}

/// Sets the supplementary groups to exactly these.
pub fn setgroups(groups: &[u32]) -> Result<()> {
    // SAFETY: the kernel reads `len` ids of 32 bits from the slice.
    let outcome = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
    check(outcome, "setgroups", || format!("{groups:?}")).map(drop)
}

/// The effective user id. Cannot fail.
pub fn geteuid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The effective group id. Cannot fail.
pub fn getegid() -> u32 {
    rustix::process::getegid().as_raw()
}

/// Real, effective and saved user id.
pub fn getresuid() -> Result<(u32, u32, u32)> {
    let ids = nix::unistd::getresuid().map_err(|errno| Error::new("getresuid", "", errno))?;
    Ok((ids.real.as_raw(), ids.effective.as_raw(), ids.saved.as_raw()))
}

/// Real, effective and saved group id.
pub fn getresgid() -> Result<(u32, u32, u32)> {
    let ids = nix::unistd::getresgid().map_err(|errno| Error::new("getresgid", "", errno))?;
    Ok((ids.real.as_raw(), ids.effective.as_raw(), ids.saved.as_raw()))
}

/// The supplementary groups.
pub fn getgroups() -> Result<Vec<u32>> {
    let groups = rustix::process::getgroups().map_err(|errno| Error::new("getgroups", "", errno))?;
    Ok(groups.into_iter().map(|gid| gid.as_raw()).collect())
}
