//! The last acts of a container's process: ids, capabilities, no_new_privs, the filter.

use crate::kernel::{limit_open_files, load_filter, process_control, set_capabilities};

/// `wolffia seccomp show benchmark/profile.json` as the kernel takes it: the profile was compiled beforehand.
static FILTER: &[u8] = include_bytes!("filter.bpf");

/// CAP_KILL, CAP_NET_BIND_SERVICE, CAP_AUDIT_WRITE: those of the configuration that all runtimes get.
const CAPABILITIES: u32 = 1 << 5 | 1 << 10 | 1 << 29;
const LAST_CAPABILITY: usize = 40;

const BOUNDING_SET_DROP: usize = 24;
const AMBIENT: usize = 47;
const AMBIENT_CLEAR: usize = 4;
const NO_NEW_PRIVILEGES: usize = 38;

/// `become_root` sets the ids, between what takes the rights of before and what takes away those of after.
pub fn confine(with_filter: bool, become_root: impl FnOnce()) {
    limit_open_files(1024);
    for capability in (0..=LAST_CAPABILITY).filter(|capability| *capability > 31 || CAPABILITIES & 1 << capability == 0) {
        process_control(BOUNDING_SET_DROP, capability, 0);
    }
    become_root();
    set_capabilities(CAPABILITIES);
    process_control(AMBIENT, AMBIENT_CLEAR, 0);
    process_control(NO_NEW_PRIVILEGES, 1, 0);
    if with_filter {
        load_filter(FILTER);
    }
}
