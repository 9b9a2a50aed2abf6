//! The session keyring.

use crate::Result;
use crate::error::check;
use std::ffi::CStr;

const KEYCTL_GET_KEYRING_ID: i32 = 0;
const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;
const KEYCTL_SETPERM: i32 = 5;
const KEY_SPEC_SESSION_KEYRING: i32 = -3;
/// `KEY_USR_SEARCH`: the keyring's owner may find and join it (keyctl_setperm(3)).
const OWNER_MAY_SEARCH: u32 = 0x0008_0000;

/// Joins the session keyring `name`, made if there is none, and returns its serial number.
/// `ENOSYS` on a kernel without keys, which is how many container hosts are built.
pub fn join_session(name: &CStr) -> Result<i32> {
    // SAFETY: the kernel reads the NUL-terminated name.
    let outcome = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) };
    match check(outcome, "keyctl", || format!("KEYCTL_JOIN_SESSION_KEYRING, {name:?}"))? {
        // The answer when it was the caller's session keyring before (join_session_keyring() in the kernel).
        0 => session(),
        serial => Ok(serial as i32),
    }
}

/// The serial number of the caller's session keyring.
fn session() -> Result<i32> {
    // SAFETY: KEYCTL_GET_KEYRING_ID reads no memory.
    let outcome = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0) };
    check(outcome, "keyctl", || "KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING".into()).map(|serial| serial as i32)
}

/// Lets processes of the keyring's owner join it too: those that are started later in the same container.
pub fn permit_owner_search(serial: i32) -> Result<()> {
    const POSSESSOR_ALL: u32 = 0x3f00_0000;
    const OWNER_MAY_VIEW: u32 = 0x0001_0000;
    let permissions = POSSESSOR_ALL | OWNER_MAY_VIEW | OWNER_MAY_SEARCH;
    // SAFETY: KEYCTL_SETPERM reads no memory.
    let outcome = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SETPERM, serial, permissions) };
    check(outcome, "keyctl", || format!("KEYCTL_SETPERM, {serial}, {permissions:#x}")).map(drop)
}
