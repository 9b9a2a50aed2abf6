//! Whether the kernel has a facility at all, asked by calls that change nothing.

use crate::error::check;
use crate::{Errno, Result};

/// The same number on every architecture, as all calls since 5.0.
const OPEN_TREE_ATTR: libc::c_long = 467;

/// The Landlock ABI of this kernel, from 1 (landlock_create_ruleset(2)).
/// `ENOSYS` if it is not built in, `EOPNOTSUPP` if it is switched off at boot.
pub fn landlock_abi() -> Result<u32> {
    // `LANDLOCK_CREATE_RULESET_VERSION` (linux/landlock.h).
    const VERSION: u32 = 1;
    let no_attributes = std::ptr::null::<libc::c_void>();
    // SAFETY: asked for the version the kernel wants a null pointer and size 0, and makes nothing.
    let outcome = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, no_attributes, 0_usize, VERSION) };
    let abi = check(outcome, "landlock_create_ruleset", || "LANDLOCK_CREATE_RULESET_VERSION".into())?;
    Ok(abi as u32)
}

/// Whether the kernel knows open_tree_attr (6.15): asked with flags that no kernel takes.
pub fn has_open_tree_attr() -> bool {
    let null = std::ptr::null::<libc::c_void>();
    // SAFETY: the flags are refused before anything is read from the null pointers.
    let outcome = unsafe { libc::syscall(OPEN_TREE_ATTR, -1, null, u32::MAX, null, 0_usize) };
    check(outcome, "open_tree_attr", String::new).is_err_and(|error| error.is(Errno::EINVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn landlock_has_an_abi_or_a_known_reason() {
        match landlock_abi() {
            Ok(abi) => assert!(abi >= 1),
            Err(error) => assert!(error.is(Errno::ENOSYS) || error.is(Errno::EOPNOTSUPP), "{error}"),
        }
    }
}
