//! Capability sets as bit sets, capability N at bit N (capabilities(7)). Names come from the caps crate.

use crate::Result;
use crate::error::Call;
use ::caps::Capability;
use rustix::thread as rx;
use rustix::thread::{CapabilitySet, CapabilitySets};

/// The bits that the runtime itself asks for or checks.
pub const CAP_CHOWN: u64 = CapabilitySet::CHOWN.bits();
/// Read, write and search whatever the permission bits say.
pub const CAP_DAC_OVERRIDE: u64 = CapabilitySet::DAC_OVERRIDE.bits();
/// Signal processes of other users.
pub const CAP_KILL: u64 = CapabilitySet::KILL.bits();
/// Change group ids, and write a gid_map.
pub const CAP_SETGID: u64 = CapabilitySet::SETGID.bits();
/// Change user ids, and write a uid_map.
pub const CAP_SETUID: u64 = CapabilitySet::SETUID.bits();
/// Drop capabilities from the bounding set.
pub const CAP_SETPCAP: u64 = CapabilitySet::SETPCAP.bits();
/// Configure network devices.
pub const CAP_NET_ADMIN: u64 = CapabilitySet::NET_ADMIN.bits();
/// chroot(2), and joining a mount namespace.
pub const CAP_SYS_CHROOT: u64 = CapabilitySet::SYS_CHROOT.bits();
/// Trace any process of the user namespace.
pub const CAP_SYS_PTRACE: u64 = CapabilitySet::SYS_PTRACE.bits();
/// Mount, make namespaces, set the host name and much else.
pub const CAP_SYS_ADMIN: u64 = CapabilitySet::SYS_ADMIN.bits();
/// Raise scheduling priority.
pub const CAP_SYS_NICE: u64 = CapabilitySet::SYS_NICE.bits();
/// Raise hard resource limits, lower oom_score_adj.
pub const CAP_SYS_RESOURCE: u64 = CapabilitySet::SYS_RESOURCE.bits();
/// Make device nodes.
pub const CAP_MKNOD: u64 = CapabilitySet::MKNOD.bits();
/// Load BPF programs (5.8).
pub const CAP_BPF: u64 = CapabilitySet::BPF.bits();

/// The three sets that capset(2) sets in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sets {
    /// What the kernel checks.
    pub effective: u64,
    /// What the thread may make effective.
    pub permitted: u64,
    /// What an exec of a file with inheritable capabilities keeps.
    pub inheritable: u64,
}

/// Every capability that this kernel knows.
pub fn known() -> Result<u64> {
    // Knowledge has no holes: capabilities are numbered from 0 to the last, so bisecting finds it in six calls without /proc.
    let (mut known, mut unknown) = (0, u64::BITS);
    while known + 1 < unknown {
        let middle = known.midpoint(unknown);
        match rx::capability_is_in_bounding_set(one(middle)) {
            Ok(_) => known = middle,
            Err(rustix::io::Errno::INVAL) => unknown = middle,
            Err(errno) => return Err(errno).call("prctl", || format!("PR_CAPBSET_READ, {middle}")),
        }
    }
    Ok(u64::MAX >> (u64::BITS - 1 - known))
}

/// The calling thread's bounding set.
pub fn bounding() -> Result<u64> {
    let mut set = 0;
    for bit in bits_of(known()?) {
        if rx::capability_is_in_bounding_set(one(bit)).call("prctl", || format!("PR_CAPBSET_READ, {}", label(bit)))? {
            set |= 1 << bit;
        }
    }
    Ok(set)
}

/// Takes everything but `keep` out of the bounding set. Needs CAP_SETPCAP, unless nothing is to be taken.
pub fn drop_bounding(keep: u64) -> Result<()> {
    for bit in bits_of(known()? & !keep) {
        match rx::remove_capability_from_bounding_set(one(bit)) {
            // Without CAP_SETPCAP even dropping what is not there is refused.
            Err(errno) if rx::capability_is_in_bounding_set(one(bit)) != Ok(false) => {
                return Err(errno).call("prctl", || format!("PR_CAPBSET_DROP, {}", label(bit)));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Sets the calling thread's effective, permitted and inheritable set in one call.
pub fn set(effective: u64, permitted: u64, inheritable: u64) -> Result<()> {
    let set = CapabilitySet::from_bits_retain;
    let sets = CapabilitySets { effective: set(effective), permitted: set(permitted), inheritable: set(inheritable) };
    rx::set_capabilities(None, sets)
        .call("capset", || format!("effective {effective:#x}, permitted {permitted:#x}, inheritable {inheritable:#x}"))
}

/// The calling thread's effective, permitted and inheritable set.
pub fn get() -> Result<Sets> {
    let sets = rx::capabilities(None).call("capget", String::new)?;
    Ok(Sets { effective: sets.effective.bits(), permitted: sets.permitted.bits(), inheritable: sets.inheritable.bits() })
}

/// The calling thread's effective set.
pub fn effective() -> Result<u64> {
    Ok(get()?.effective)
}

/// Makes the ambient set exactly this. Each bit must be permitted and inheritable already, else `EPERM`.
pub fn set_ambient(ambient: u64) -> Result<()> {
    rx::clear_ambient_capability_set().call("prctl", || "PR_CAP_AMBIENT_CLEAR_ALL".into())?;
    for bit in bits_of(ambient) {
        rx::configure_capability_in_ambient_set(one(bit), true)
            .call("prctl", || format!("PR_CAP_AMBIENT_RAISE, {}", label(bit)))?;
    }
    Ok(())
}

/// The calling thread's ambient set.
pub fn ambient() -> Result<u64> {
    let mut set = 0;
    for bit in bits_of(known()?) {
        if rx::capability_is_in_ambient_set(one(bit)).call("prctl", || format!("PR_CAP_AMBIENT_IS_SET, {}", label(bit)))? {
            set |= 1 << bit;
        }
    }
    Ok(set)
}

/// The name of capability number `bit`, for example `CAP_CHOWN`; `None` if it is newer than this program.
pub fn name(bit: u8) -> Option<String> {
    ::caps::all().into_iter().find(|capability| capability.index() == bit).map(|capability| capability.to_string())
}

/// The number of the capability `name`: `CAP_CHOWN`, `cap_chown` or `chown`.
pub fn by_name(name: &str) -> Option<u8> {
    ::caps::to_canonical(name).parse::<Capability>().ok().map(|capability| capability.index())
}

fn one(bit: u32) -> CapabilitySet {
    CapabilitySet::from_bits_retain(1 << bit)
}

fn bits_of(set: u64) -> impl Iterator<Item = u32> {
    (0..u64::BITS).filter(move |bit| set & (1 << bit) != 0)
}

fn label(bit: u32) -> String {
    u8::try_from(bit).ok().and_then(name).unwrap_or_else(|| bit.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn names_and_numbers_agree() {
        for name in ["CAP_SYS_ADMIN", "cap_sys_admin", "SYS_ADMIN", "sys_admin"] {
            assert_eq!(by_name(name), Some(21), "{name}");
        }
        for name in ["", "CAP_", "CAP_NOSUCH", "CAP_SYS_ADMIN ", "21"] {
            assert_eq!(by_name(name), None, "{name:?}");
        }
        for bit in 0..41 {
            assert_eq!(by_name(&name(bit).unwrap()), Some(bit));
        }
        assert_eq!(name(63), None);
        assert_eq!(label(63), "63");
    }

    #[test]
    fn constants_are_at_their_bits() {
        for (name, bit) in [("CAP_CHOWN", CAP_CHOWN), ("CAP_SETUID", CAP_SETUID), ("CAP_MKNOD", CAP_MKNOD), ("CAP_BPF", CAP_BPF)]
        {
            assert_eq!(by_name(name).map(|number| 1 << number), Some(bit));
        }
    }
}
