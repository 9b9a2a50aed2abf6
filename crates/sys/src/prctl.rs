//! Attributes of the process that prctl(2) sets.

use crate::error::Call;
use crate::{Errno, Error, Result};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use std::ffi::CStr;

/// Whether others of the same user may trace the process and open its /proc files.
pub fn set_dumpable(dumpable: bool) -> Result<()> {
    prctl::set_dumpable(dumpable).call("prctl", || format!("PR_SET_DUMPABLE, {dumpable}"))
}

/// From now on no exec gains privileges; it cannot be taken back.
pub fn set_no_new_privileges() -> Result<()> {
    prctl::set_no_new_privs().call("prctl", || "PR_SET_NO_NEW_PRIVS".into())
}

/// Whether orphaned descendants become children of this process.
pub fn set_child_subreaper(subreaper: bool) -> Result<()> {
    prctl::set_child_subreaper(subreaper).call("prctl", || format!("PR_SET_CHILD_SUBREAPER, {subreaper}"))
}

/// Whether the permitted capabilities survive the change from user 0 to another. Exec clears it.
pub fn set_keep_capabilities(keep: bool) -> Result<()> {
    prctl::set_keepcaps(keep).call("prctl", || format!("PR_SET_KEEPCAPS, {keep}"))
}

/// Names the thread, for ps(1); the kernel keeps the first 15 bytes.
pub fn set_name(name: &CStr) -> Result<()> {
    prctl::set_name(name).call("prctl", || format!("PR_SET_NAME, {name:?}"))
}

/// The signal that this process gets when its parent's thread ends.
pub fn set_parent_death_signal(signal: i32) -> Result<()> {
    let args = || format!("PR_SET_PDEATHSIG, {signal}");
    let signal = Signal::try_from(signal).map_err(|_| Error::new("prctl", args(), Errno::EINVAL))?;
    prctl::set_pdeathsig(signal).call("prctl", args)
}
