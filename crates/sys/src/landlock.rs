//! Landlock: rules on what a process may reach, which it puts on itself for good (landlock(7)).
//!
//! Bits are handed to the kernel as they are, so that rights which are newer than this program can be used by number.

use crate::Result;
use crate::error::{check, show_fd};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

const RULE_PATH_BENEATH: libc::c_uint = 1;
const RULE_NET_PORT: libc::c_uint = 2;

/// Rights that make sense for a directory only: the kernel refuses them in a rule about anything else (`EINVAL`).
pub const DIRECTORY_RIGHTS: u64 = 0b11_1111_1111_1000;
/// Rights that a descriptor gives which is open for reading: `read_file`, `read_dir`.
pub const READ_RIGHTS: u64 = 0b1100;
/// Rights that a descriptor gives which is open for writing: `write_file`, `truncate`.
pub const WRITE_RIGHTS: u64 = 1 << 1 | 1 << 14;
/// What any open descriptor of a device gives: `ioctl_dev`.
pub const DEVICE_RIGHTS: u64 = 1 << 15;

/// `struct landlock_ruleset_attr` of ABI 6. An older kernel takes it as long as what it does not know is zero.
#[repr(C)]
struct Handled {
    access_fs: u64,
    access_net: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr`, which the kernel reads without the padding that C would add.
#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent_fd: i32,
}

#[repr(C)]
struct NetPort {
    allowed_access: u64,
    port: u64,
}

/// Rules that are not in force yet.
#[derive(Debug)]
pub struct Ruleset(OwnedFd);

impl Ruleset {
    /// Everything in these sets (`LANDLOCK_ACCESS_FS_*`, `LANDLOCK_ACCESS_NET_*`, `LANDLOCK_SCOPE_*`) will be denied unless a rule
    /// allows it. `EINVAL` for a right that the kernel does not know, `ENOMSG` if the sets are all empty.
    pub fn new(handled_fs: u64, handled_net: u64, scoped: u64) -> Result<Self> {
        let handled = Handled { access_fs: handled_fs, access_net: handled_net, scoped };
        let (size, no_flags) = (size_of::<Handled>(), 0_u32);
        // SAFETY: the kernel reads `size` bytes of the structure, which outlives the call.
        let outcome = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const handled, size, no_flags) };
        let args = || format!("fs {handled_fs:#x}, net {handled_net:#x}, scoped {scoped:#x}");
        let descriptor = check(outcome, "landlock_create_ruleset", args)?;
        // SAFETY: the answer is a new descriptor (close-on-exec), which nothing else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) }))
    }

    /// Allows these rights on what `parent` is open on, and on everything below it.
    pub fn allow_beneath(&self, parent: BorrowedFd<'_>, access: u64) -> Result<()> {
        let rule = PathBeneath { allowed_access: access, parent_fd: parent.as_raw_fd() };
        self.add(RULE_PATH_BENEATH, (&raw const rule).cast(), || format!("{}, access {access:#x}", show_fd(parent)))
    }

    /// Allows these rights on a port.
    pub fn allow_port(&self, port: u16, access: u64) -> Result<()> {
        let rule = NetPort { allowed_access: access, port: port.into() };
        self.add(RULE_NET_PORT, (&raw const rule).cast(), || format!("port {port}, access {access:#x}"))
    }

    /// Puts this thread, and all that it becomes and makes, under the rules for good. One system call and no memory.
    /// `EPERM` without no_new_privs and without CAP_SYS_ADMIN in the user namespace, `E2BIG` below sixteen others.
    pub fn restrict_self(&self) -> Result<()> {
        let (ruleset, no_flags) = (self.0.as_raw_fd(), 0_u32);
        // SAFETY: the call takes numbers only.
        let outcome = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, no_flags) };
        check(outcome, "landlock_restrict_self", String::new).map(drop)
    }

    fn add(&self, kind: libc::c_uint, rule: *const libc::c_void, args: impl Fn() -> String) -> Result<()> {
        let (ruleset, no_flags) = (self.0.as_raw_fd(), 0_u32);
        // SAFETY: both callers pass the structure that belongs to `kind`, and it outlives the call.
        let outcome = unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, kind, rule, no_flags) };
        check(outcome, "landlock_add_rule", args).map(drop)
    }
}

impl AsFd for Ruleset {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The ABI of this kernel, from 1; 0 if it cannot be had here: not built in, off at boot, or behind an outer container's filter.
pub fn abi() -> u32 {
    crate::features::landlock_abi().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Errno;
    use crate::fd::{self, OFlags};

    const READ_FILE: u64 = 1 << 2;
    const MAKE_DIR: u64 = 1 << 7;

    #[test]
    fn a_ruleset_takes_what_the_kernel_knows() {
        if abi() < 4 {
            eprintln!("skipped: needs Landlock ABI 4");
            return;
        }
        let rules = Ruleset::new(READ_FILE | MAKE_DIR, 1, 0).unwrap();
        let (directory, file) = (fd::open("/", OFlags::PATH, 0).unwrap(), fd::open("/proc/self/exe", OFlags::PATH, 0).unwrap());
        rules.allow_beneath(directory.as_fd(), READ_FILE | MAKE_DIR).unwrap();
        rules.allow_beneath(file.as_fd(), READ_FILE).unwrap();
        rules.allow_port(443, 1).unwrap();
        assert!(rules.allow_beneath(file.as_fd(), DIRECTORY_RIGHTS & MAKE_DIR).unwrap_err().is(Errno::EINVAL));
        assert!(rules.allow_port(443, 2).unwrap_err().is(Errno::EINVAL), "connecting is not handled");
        assert!(Ruleset::new(1 << 63, 0, 0).unwrap_err().is(Errno::EINVAL));
        assert!(Ruleset::new(0, 0, 0).unwrap_err().is(Errno::ENOMSG));
    }

    #[test]
    fn rights_of_directories_are_all_but_those_of_files() {
        // execute, write_file, read_file, truncate, ioctl_dev
        let of_files: u64 = 0b111 | 1 << 14 | 1 << 15;
        assert_eq!(DIRECTORY_RIGHTS & of_files, 0);
        assert_eq!(DIRECTORY_RIGHTS | of_files, (1 << 16) - 1);
    }
}
