//! What wolffia does with every property of `config.json`, and the table in the docs that says so.
//!
//! `docs/oci-support.md` is rendered from here and a test compares the two, so that it cannot drift.

use std::fmt;

/// What becomes of a property that a configuration sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Carried out as the specification says.
    Handled,
    /// A configuration that sets it is refused, for this reason.
    Refused(&'static str),
    /// It has no effect, and need not have one.
    Ignored(&'static str),
    /// It has no effect, and the plan says so.
    Recorded(&'static str),
}

/// One property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// From the top of `config.json`; `[]` stands for every element and `{}` for every key.
    pub path: &'static str,
    /// The release of the specification that brought it.
    pub since: &'static str,
    pub verdict: Verdict,
}

/// Properties that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    pub title: &'static str,
    pub fields: &'static [Field],
}

/// Every property that runtime-spec 1.3 defines for Linux, and the sections of other platforms as one each.
pub fn fields() -> impl Iterator<Item = &'static Field> {
    SECTIONS.iter().flat_map(|section| section.fields)
}

/// The text of `docs/oci-support.md`.
pub fn render() -> String {
    let mut text = String::from(HEAD);
    let count = |wanted: fn(&Verdict) -> bool| fields().filter(|field| wanted(&field.verdict)).count();
    let (handled, refused) = (count(|v| matches!(v, Verdict::Handled)), count(|v| matches!(v, Verdict::Refused(_))));
    let (ignored, recorded) = (count(|v| matches!(v, Verdict::Ignored(_))), count(|v| matches!(v, Verdict::Recorded(_))));
    text += &format!("{handled} properties are handled, {refused} refused, {recorded} recorded, {ignored} ignored.\n");
    for section in SECTIONS {
        text += &format!("\n## {}\n\n| property | since | verdict |\n|---|---|---|\n", section.title);
        for Field { path, since, verdict } in section.fields {
            text += &format!("| `{path}` | {since} | {verdict} |\n");
        }
    }
    text
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Handled => f.write_str("handled"),
            Verdict::Refused(reason) => write!(f, "**refused**: {reason}"),
            Verdict::Ignored(reason) => write!(f, "ignored: {reason}"),
            Verdict::Recorded(reason) => write!(f, "recorded: {reason}"),
        }
    }
}

const HEAD: &str = "\
# Support of the OCI runtime specification

Every property of `config.json` in runtime-spec 1.3 for Linux, and what becomes of it. *Refused*: `create` fails and
names the property. *Recorded*: no effect, and `wolffia plan` says so. *Ignored*: no effect, and none is due.
Properties that the specification does not know are ignored, as it demands, but for these, which are wolffia's own:
`process.landlock` (also `linux.landlock`) and the annotations `io.wolffia.landlock`, `io.wolffia.landlock.required`
([landlock-formats.md](decisions/landlock-formats.md)) and `io.wolffia.root.readonly` (`recursive`: all mounts are read-only too).

`linux.intelRdt` was carried out in a directory that looks like resctrl, and on no hardware yet: no machine of the project has it.

Rendered from `crates/spec/src/coverage.rs`; `WOLFFIA_BLESS=1 cargo test -p wolffia-spec` writes it anew.

";

const NO_FLAGS: &str = "the specification defines no flags";
const RDT: &str = "runtime-spec 1.3 has no such property any more, but `enableMonitoring`";
const HIERARCHY: &str = "cgroup v2 has nothing else";
const KERNEL_MEMORY: &str = "kernels since 5.16 have no such limit, and the specification lets it be ignored";
const LEAF: &str = "cgroup v2 has no leaf weights";
const NETWORK: &str = "cgroup v2 has no network controllers";
const OOM_KILLER: &str = "cgroup v2 cannot turn the out-of-memory killer off";
const REALTIME: &str = "cgroup v2 cannot limit real-time scheduling";
const SWAPPINESS: &str = "cgroup v2 has no swappiness of its own for a cgroup";

const fn handled(path: &'static str, since: &'static str) -> Field {
    Field { path, since, verdict: Verdict::Handled }
}

const fn refused(path: &'static str, since: &'static str, reason: &'static str) -> Field {
    Field { path, since, verdict: Verdict::Refused(reason) }
}

const fn ignored(path: &'static str, since: &'static str, reason: &'static str) -> Field {
    Field { path, since, verdict: Verdict::Ignored(reason) }
}

const fn recorded(path: &'static str, since: &'static str, reason: &'static str) -> Field {
    Field { path, since, verdict: Verdict::Recorded(reason) }
}

const SECTIONS: &[Section] = &[
    Section {
        title: "The container",
        fields: &[
            handled("ociVersion", "1.0"),
            handled("root.path", "1.0"),
            handled("root.readonly", "1.0"),
            handled("hostname", "1.0"),
            handled("domainname", "1.1"),
            handled("annotations", "1.0"),
        ],
    },
    Section {
        title: "Mounts",
        fields: &[
            handled("mounts[].destination", "1.0"),
            handled("mounts[].type", "1.0"),
            handled("mounts[].source", "1.0"),
            handled("mounts[].options", "1.0"),
            handled("mounts[].uidMappings[].containerID", "1.1"),
            handled("mounts[].uidMappings[].hostID", "1.1"),
            handled("mounts[].uidMappings[].size", "1.1"),
            handled("mounts[].gidMappings[].containerID", "1.1"),
            handled("mounts[].gidMappings[].hostID", "1.1"),
            handled("mounts[].gidMappings[].size", "1.1"),
        ],
    },
    Section {
        title: "Process",
        fields: &[
            handled("process.terminal", "1.0"),
            handled("process.consoleSize.height", "1.0"),
            handled("process.consoleSize.width", "1.0"),
            handled("process.cwd", "1.0"),
            handled("process.env", "1.0"),
            handled("process.args", "1.0"),
            ignored("process.commandLine", "1.0.2", "for Windows"),
            handled("process.user.uid", "1.0"),
            handled("process.user.gid", "1.0"),
            handled("process.user.umask", "1.0.2"),
            handled("process.user.additionalGids", "1.0"),
            ignored("process.user.username", "1.0", "for Windows"),
            handled("process.capabilities.bounding", "1.0"),
            handled("process.capabilities.effective", "1.0"),
            handled("process.capabilities.inheritable", "1.0"),
            handled("process.capabilities.permitted", "1.0"),
            handled("process.capabilities.ambient", "1.0"),
            handled("process.noNewPrivileges", "1.0"),
            handled("process.rlimits[].type", "1.0"),
            handled("process.rlimits[].soft", "1.0"),
            handled("process.rlimits[].hard", "1.0"),
            handled("process.oomScoreAdj", "1.0"),
            handled("process.scheduler.policy", "1.1"),
            handled("process.scheduler.nice", "1.1"),
            handled("process.scheduler.priority", "1.1"),
            handled("process.scheduler.flags", "1.1"),
            handled("process.scheduler.runtime", "1.1"),
            handled("process.scheduler.deadline", "1.1"),
            handled("process.scheduler.period", "1.1"),
            handled("process.ioPriority.class", "1.1"),
            handled("process.ioPriority.priority", "1.1"),
            handled("process.execCPUAffinity.initial", "1.2.1"),
            handled("process.execCPUAffinity.final", "1.2.1"),
            handled("process.apparmorProfile", "1.0"),
            handled("process.selinuxLabel", "1.0"),
        ],
    },
    Section {
        title: "Hooks",
        fields: &[
            handled("hooks.prestart[].path", "1.0"),
            handled("hooks.prestart[].args", "1.0"),
            handled("hooks.prestart[].env", "1.0"),
            handled("hooks.prestart[].timeout", "1.0"),
            handled("hooks.createRuntime[].path", "1.0.2"),
            handled("hooks.createRuntime[].args", "1.0.2"),
            handled("hooks.createRuntime[].env", "1.0.2"),
            handled("hooks.createRuntime[].timeout", "1.0.2"),
            handled("hooks.createContainer[].path", "1.0.2"),
            handled("hooks.createContainer[].args", "1.0.2"),
            handled("hooks.createContainer[].env", "1.0.2"),
            handled("hooks.createContainer[].timeout", "1.0.2"),
            handled("hooks.startContainer[].path", "1.0.2"),
            handled("hooks.startContainer[].args", "1.0.2"),
            handled("hooks.startContainer[].env", "1.0.2"),
            handled("hooks.startContainer[].timeout", "1.0.2"),
            handled("hooks.poststart[].path", "1.0"),
            handled("hooks.poststart[].args", "1.0"),
            handled("hooks.poststart[].env", "1.0"),
            handled("hooks.poststart[].timeout", "1.0"),
            handled("hooks.poststop[].path", "1.0"),
            handled("hooks.poststop[].args", "1.0"),
            handled("hooks.poststop[].env", "1.0"),
            handled("hooks.poststop[].timeout", "1.0"),
        ],
    },
    Section {
        title: "Linux",
        fields: &[
            handled("linux.namespaces[].type", "1.0"),
            handled("linux.namespaces[].path", "1.0"),
            handled("linux.uidMappings[].containerID", "1.0"),
            handled("linux.uidMappings[].hostID", "1.0"),
            handled("linux.uidMappings[].size", "1.0"),
            handled("linux.gidMappings[].containerID", "1.0"),
            handled("linux.gidMappings[].hostID", "1.0"),
            handled("linux.gidMappings[].size", "1.0"),
            handled("linux.timeOffsets{}.secs", "1.1"),
            handled("linux.timeOffsets{}.nanosecs", "1.1"),
            handled("linux.devices[].type", "1.0"),
            handled("linux.devices[].path", "1.0"),
            handled("linux.devices[].major", "1.0"),
            handled("linux.devices[].minor", "1.0"),
            handled("linux.devices[].fileMode", "1.0"),
            handled("linux.devices[].uid", "1.0"),
            handled("linux.devices[].gid", "1.0"),
            handled("linux.netDevices{}.name", "1.3"),
            handled("linux.cgroupsPath", "1.0"),
            handled("linux.rootfsPropagation", "1.0"),
            handled("linux.sysctl", "1.0"),
            handled("linux.maskedPaths", "1.0"),
            handled("linux.readonlyPaths", "1.0"),
            handled("linux.memoryPolicy.mode", "1.3"),
            handled("linux.memoryPolicy.nodes", "1.3"),
            handled("linux.memoryPolicy.flags", "1.3"),
            handled("linux.personality.domain", "1.0.2"),
            refused("linux.personality.flags", "1.0.2", NO_FLAGS),
            handled("linux.mountLabel", "1.0"),
            handled("linux.intelRdt.closID", "1.0.2"),
            handled("linux.intelRdt.l3CacheSchema", "1.0"),
            handled("linux.intelRdt.memBwSchema", "1.0.2"),
            handled("linux.intelRdt.schemata", "1.3"),
            handled("linux.intelRdt.enableMonitoring", "1.3"),
            ignored("linux.intelRdt.enableCMT", "1.1", RDT),
            ignored("linux.intelRdt.enableMBM", "1.1", RDT),
        ],
    },
    Section {
        title: "Resources",
        fields: &[
            handled("linux.resources.devices[].allow", "1.0"),
            handled("linux.resources.devices[].type", "1.0"),
            handled("linux.resources.devices[].major", "1.0"),
            handled("linux.resources.devices[].minor", "1.0"),
            handled("linux.resources.devices[].access", "1.0"),
            handled("linux.resources.memory.limit", "1.0"),
            handled("linux.resources.memory.reservation", "1.0"),
            handled("linux.resources.memory.swap", "1.0"),
            ignored("linux.resources.memory.kernel", "1.0", KERNEL_MEMORY),
            ignored("linux.resources.memory.kernelTCP", "1.0", KERNEL_MEMORY),
            recorded("linux.resources.memory.swappiness", "1.0", SWAPPINESS),
            recorded("linux.resources.memory.disableOOMKiller", "1.0", OOM_KILLER),
            ignored("linux.resources.memory.useHierarchy", "1.0.2", HIERARCHY),
            handled("linux.resources.memory.checkBeforeUpdate", "1.1"),
            handled("linux.resources.cpu.shares", "1.0"),
            handled("linux.resources.cpu.quota", "1.0"),
            handled("linux.resources.cpu.burst", "1.1"),
            handled("linux.resources.cpu.period", "1.0"),
            refused("linux.resources.cpu.realtimeRuntime", "1.0", REALTIME),
            refused("linux.resources.cpu.realtimePeriod", "1.0", REALTIME),
            handled("linux.resources.cpu.cpus", "1.0"),
            handled("linux.resources.cpu.mems", "1.0"),
            handled("linux.resources.cpu.idle", "1.1"),
            handled("linux.resources.blockIO.weight", "1.0"),
            refused("linux.resources.blockIO.leafWeight", "1.0", LEAF),
            handled("linux.resources.blockIO.weightDevice[].major", "1.0"),
            handled("linux.resources.blockIO.weightDevice[].minor", "1.0"),
            handled("linux.resources.blockIO.weightDevice[].weight", "1.0"),
            refused("linux.resources.blockIO.weightDevice[].leafWeight", "1.0", LEAF),
            handled("linux.resources.blockIO.throttleReadBpsDevice[].major", "1.0"),
            handled("linux.resources.blockIO.throttleReadBpsDevice[].minor", "1.0"),
            handled("linux.resources.blockIO.throttleReadBpsDevice[].rate", "1.0"),
            handled("linux.resources.blockIO.throttleWriteBpsDevice[].major", "1.0"),
            handled("linux.resources.blockIO.throttleWriteBpsDevice[].minor", "1.0"),
            handled("linux.resources.blockIO.throttleWriteBpsDevice[].rate", "1.0"),
            handled("linux.resources.blockIO.throttleReadIOPSDevice[].major", "1.0"),
            handled("linux.resources.blockIO.throttleReadIOPSDevice[].minor", "1.0"),
            handled("linux.resources.blockIO.throttleReadIOPSDevice[].rate", "1.0"),
            handled("linux.resources.blockIO.throttleWriteIOPSDevice[].major", "1.0"),
            handled("linux.resources.blockIO.throttleWriteIOPSDevice[].minor", "1.0"),
            handled("linux.resources.blockIO.throttleWriteIOPSDevice[].rate", "1.0"),
            handled("linux.resources.hugepageLimits[].pageSize", "1.0"),
            handled("linux.resources.hugepageLimits[].limit", "1.0"),
            refused("linux.resources.network.classID", "1.0", NETWORK),
            refused("linux.resources.network.priorities[].name", "1.0", NETWORK),
            refused("linux.resources.network.priorities[].priority", "1.0", NETWORK),
            handled("linux.resources.pids.limit", "1.0"),
            handled("linux.resources.rdma{}.hcaHandles", "1.0.2"),
            handled("linux.resources.rdma{}.hcaObjects", "1.0.2"),
            handled("linux.resources.unified", "1.1"),
        ],
    },
    Section {
        title: "Seccomp",
        fields: &[
            handled("linux.seccomp.defaultAction", "1.0"),
            handled("linux.seccomp.defaultErrnoRet", "1.1"),
            handled("linux.seccomp.architectures", "1.0"),
            handled("linux.seccomp.flags", "1.0.2"),
            handled("linux.seccomp.listenerPath", "1.1"),
            handled("linux.seccomp.listenerMetadata", "1.1"),
            handled("linux.seccomp.syscalls[].names", "1.0"),
            handled("linux.seccomp.syscalls[].action", "1.0"),
            handled("linux.seccomp.syscalls[].errnoRet", "1.1"),
            handled("linux.seccomp.syscalls[].args[].index", "1.0"),
            handled("linux.seccomp.syscalls[].args[].value", "1.0"),
            handled("linux.seccomp.syscalls[].args[].valueTwo", "1.0"),
            handled("linux.seccomp.syscalls[].args[].op", "1.0"),
        ],
    },
    Section {
        title: "Other platforms",
        fields: &[
            ignored("windows", "1.0", "wolffia runs on Linux"),
            ignored("solaris", "1.0", "wolffia runs on Linux"),
            ignored("vm", "1.0.2", "wolffia runs on Linux"),
            ignored("zos", "1.1", "wolffia runs on Linux"),
            ignored("freebsd", "1.3", "wolffia runs on Linux"),
        ],
    },
];
