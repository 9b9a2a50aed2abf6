//! The session keyring.

use crate::Result;
use crate::error::check;
use std::ffi::c_char;

const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;
const KEYCTL_SETPERM: i32 = 5;

/// Takes a new session keyring, of which nobody else can have a part, and returns its serial number. It has no name of its own: one
/// that is joined by name may be another's, who knew the name before (keyctl_join_session_keyring(3)).
/// `ENOSYS` on a kernel without keys, which is how many container hosts are built.
pub fn new_session() -> Result<i32> {
    let nameless = std::ptr::null::<c_char>();
    // SAFETY: a null name is allowed, and nothing is read from memory.
    let outcome = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nameless) };
    let serial = check(outcome, "keyctl", || "KEYCTL_JOIN_SESSION_KEYRING, NULL".into())? as i32;
    close_to_others(serial).map(|()| serial)
}

/// Whoever has the keyring may do everything with it; others of the same user may see that it is there, and no more.
fn close_to_others(serial: i32) -> Result<()> {
    const POSSESSOR_ALL: u32 = 0x3f00_0000;
    const OWNER_MAY_VIEW: u32 = 0x0001_0000;
    let permissions = POSSESSOR_ALL | OWNER_MAY_VIEW;
    // SAFETY: KEYCTL_SETPERM reads no memory.
    let outcome = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SETPERM, serial, permissions) };
    check(outcome, "keyctl", || format!("KEYCTL_SETPERM, {serial}, {permissions:#x}")).map(drop)
}
