//! The five capability sets.

use crate::host::Host;
use crate::process::ProcessContext;
use crate::{Capabilities, Recorded};
use wolffia_spec::{Extra, oci};

/// Lets a process load a filter without no_new_privs (seccomp(2)).
pub(crate) const SYS_ADMIN: u64 = 1 << 21;

/// Makes device nodes (mknod(2)).
pub(crate) const MKNOD: u64 = 1 << 27;

/// Reads `process.capabilities`; without them the payload gets none at all, its bounding set included.
///
/// What cannot be granted is left out and recorded, as config.md asks since 1.1 ("warning"): names that nobody knows,
/// capabilities beyond the kernel's or the runtime's own, and members that the kernel would refuse in a set. No set
/// is ever filled from another one (CVE-2022-29162).
pub(crate) fn plan_capabilities(
    field: &str,
    given: Option<&oci::LinuxCapabilities>,
    extra: &Extra,
    context: &ProcessContext,
    host: &Host,
    recorded: &mut Vec<Recorded>,
) -> Capabilities {
    let Some(given) = given else {
        return Capabilities::default();
    };
    recorded.extend(extra.unknown_capabilities.iter().map(|unknown| Recorded {
        field: unknown.field.clone(),
        reason: format!("ignoring unknown or unavailable capability {}", unknown.name),
    }));
    let grantable = if context.user_namespace_inherited {
        host.known_capabilities & host.bounding_capabilities
    } else {
        host.known_capabilities
    };
    let mut keep = |name: &str, wanted: u64, limit: u64, why: &str| {
        let lost = wanted & !limit;
        if lost != 0 {
            // For ambient ones in the words that callers of runc know.
            let act = if name == "ambient" { "can't raise ambient capability" } else { "not granting" };
            let reason = format!("{act} {}: {why}", names(lost).join(", "));
            recorded.push(Recorded { field: format!("{field}/capabilities/{name}"), reason });
        }
        wanted & limit
    };
    let mut set = |name: &str, wanted: &Option<oci::Capabilities>| {
        let available = keep(name, bits(wanted), grantable, "the kernel does not know it, or the runtime has not got it");
        keep(name, available, !context.withheld_capabilities, "no device program bounds it")
    };
    let (bounding, permitted) = (set("bounding", given.bounding()), set("permitted", given.permitted()));
    let (effective, inheritable, ambient) =
        (set("effective", given.effective()), set("inheritable", given.inheritable()), set("ambient", given.ambient()));
    // capset(2) and prctl(2), PR_CAP_AMBIENT_RAISE.
    let effective = keep("effective", effective, permitted, "it is not in the permitted set");
    let inheritable = keep("inheritable", inheritable, bounding, "it is not in the bounding set");
    let ambient = keep("ambient", ambient, permitted & inheritable, "it is not in both the permitted and the inheritable set");
    Capabilities { bounding, effective, inheritable, permitted, ambient }
}

/// The names of a set's members, lowest number first.
pub(crate) fn names(set: u64) -> Vec<String> {
    (0..u64::BITS)
        .filter(|bit| set & (1 << bit) != 0)
        .map(|bit| NAMES.get(bit as usize).map_or_else(|| format!("capability {bit}"), |name| format!("CAP_{name}")))
        .collect()
}

/// The names by number (linux/capability.h).
#[rustfmt::skip]
const NAMES: [&str; 41] = [
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
    "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
    "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
    "PERFMON", "BPF", "CHECKPOINT_RESTORE",
];

fn bits(set: &Option<oci::Capabilities>) -> u64 {
    set.iter().flatten().fold(0, |bits, capability| bits | 1 << number(*capability))
}

fn number(capability: oci::Capability) -> u32 {
    use oci::Capability::*;
    match capability {
        Chown => 0,
        DacOverride => 1,
        DacReadSearch => 2,
        Fowner => 3,
        Fsetid => 4,
        Kill => 5,
        Setgid => 6,
        Setuid => 7,
        Setpcap => 8,
        LinuxImmutable => 9,
        NetBindService => 10,
        NetBroadcast => 11,
        NetAdmin => 12,
        NetRaw => 13,
        IpcLock => 14,
        IpcOwner => 15,
        SysModule => 16,
        SysRawio => 17,
        SysChroot => 18,
        SysPtrace => 19,
        SysPacct => 20,
        SysAdmin => 21,
        SysBoot => 22,
        SysNice => 23,
        SysResource => 24,
        SysTime => 25,
        SysTtyConfig => 26,
        Mknod => 27,
        Lease => 28,
        AuditWrite => 29,
        AuditControl => 30,
        Setfcap => 31,
        MacOverride => 32,
        MacAdmin => 33,
        Syslog => 34,
        WakeAlarm => 35,
        BlockSuspend => 36,
        AuditRead => 37,
        Perfmon => 38,
        Bpf => 39,
        CheckpointRestore => 40,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        for (number_, name) in NAMES.iter().enumerate() {
            let capability: oci::Capability = serde_json::from_value(format!("CAP_{name}").into()).unwrap();
            assert_eq!(number(capability) as usize, number_, "{name}");
        }
    }
}
