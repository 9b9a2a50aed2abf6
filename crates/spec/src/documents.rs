//! The documents that wolffia writes for others: the state of a container, and what this runtime can do.

use crate::landlock::{ANNOTATION_FILE, Kind};
use crate::{OCI_VERSION, OCI_VERSION_MIN};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where a container stands in its life: runtime.md's words, and runc's `paused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

/// The state document that hooks read on their standard input (runtime.md, "State").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    pub oci_version: String,
    pub id: String,
    pub status: Status,
    /// Of the container's first process, as the runtime's pid namespace numbers it; absent once it has gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    pub bundle: PathBuf,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What `wolffia state` and `wolffia list` print: runc's document, property for property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateReport {
    pub oci_version: String,
    pub id: String,
    /// 0 when the container has stopped.
    pub pid: i32,
    pub status: Status,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    /// RFC 3339, UTC, with nanoseconds.
    pub created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Name or number of the user who made it.
    pub owner: String,
    /// Rules that every process of the container submits to: not runc's, and absent without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub landlock: Vec<LandlockReport>,
    /// What was asked for and is not enforced: not runc's, and absent if there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recorded: Vec<RecordedReport>,
}

/// What one layer of Landlock denies unless it allows it: of what was asked for, the part that the kernel gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LandlockReport {
    #[serde(rename = "handledAccessFS")]
    pub handled_fs: Vec<String>,
    #[serde(rename = "handledAccessNet")]
    pub handled_net: Vec<String>,
    pub scoped: Vec<String>,
}

/// A property that is not enforced, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordedReport {
    pub field: String,
    pub reason: String,
}

impl LandlockReport {
    /// Names the bits of the kernel.
    pub fn of(handled_fs: u64, handled_net: u64, scoped: u64) -> Self {
        Self {
            handled_fs: Kind::Fs.names(handled_fs),
            handled_net: Kind::Net.names(handled_net),
            scoped: Kind::Scope.names(scoped),
        }
    }
}

/// What the features document says beyond what this crate knows itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Support {
    /// Every mount option that the planner recognises.
    pub mount_options: Vec<String>,
    /// Every capability name that is recognised, `CAP_` included.
    pub capabilities: Vec<String>,
    /// The seccomp flags of [`SECCOMP_FLAGS`] that this kernel takes.
    pub seccomp_flags: Vec<String>,
    /// For example the runtime's version.
    pub annotations: BTreeMap<String, String>,
}

/// Every flag that `linux.seccomp.flags` can have.
pub const SECCOMP_FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// The features document (features.md): what this build can do, whatever the host can.
///
/// A property that wolffia refuses in a configuration is reported as disabled, never left out as "unknown".
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Features {
    oci_version_min: &'static str,
    oci_version_max: &'static str,
    hooks: &'static [&'static str],
    mount_options: Vec<String>,
    linux: LinuxFeatures,
    annotations: BTreeMap<String, String>,
    potentially_unsafe_config_annotations: &'static [&'static str],
}

impl Features {
    /// `support` says what other parts of the runtime recognise.
    pub fn of(support: Support) -> Features {
        Features {
            oci_version_min: OCI_VERSION_MIN,
            oci_version_max: OCI_VERSION,
            hooks: &["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
            mount_options: sorted(support.mount_options),
            linux: LinuxFeatures::with(sorted(support.capabilities), support.seccomp_flags),
            annotations: support.annotations,
            // It names a file of the host, which the caller's rights open. None weakens anything.
            potentially_unsafe_config_annotations: &[ANNOTATION_FILE, "org.systemd.property.", "run.oci.keep_original_groups"],
        }
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names.dedup();
    names
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct LinuxFeatures {
    namespaces: &'static [&'static str],
    capabilities: Vec<String>,
    cgroup: CgroupFeatures,
    seccomp: SeccompFeatures,
    apparmor: Switch,
    selinux: Switch,
    intel_rdt: RdtFeatures,
    memory_policy: MemoryPolicyFeatures,
    mount_extensions: MountExtensions,
    net_devices: Switch,
}

impl LinuxFeatures {
    fn with(capabilities: Vec<String>, seccomp_flags: Vec<String>) -> Self {
        let on = Switch { enabled: true };
        LinuxFeatures {
            namespaces: &["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            capabilities,
            cgroup: CgroupFeatures { v1: true, v2: true, systemd: true, systemd_user: true, rdma: true },
            seccomp: SeccompFeatures {
                enabled: true,
                actions: &SECCOMP_ACTIONS,
                operators: &SECCOMP_OPERATORS,
                archs: &SECCOMP_ARCHS,
                known_flags: &SECCOMP_FLAGS,
                supported_flags: sorted(seccomp_flags),
            },
            apparmor: on,
            selinux: on,
            intel_rdt: RdtFeatures { enabled: true, schemata: true, monitoring: true },
            memory_policy: MemoryPolicyFeatures {
                modes: &[
                    "MPOL_BIND",
                    "MPOL_DEFAULT",
                    "MPOL_INTERLEAVE",
                    "MPOL_LOCAL",
                    "MPOL_PREFERRED",
                    "MPOL_PREFERRED_MANY",
                    "MPOL_WEIGHTED_INTERLEAVE",
                ],
                flags: &["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"],
            },
            mount_extensions: MountExtensions { idmap: on },
            net_devices: on,
        }
    }
}

/// What a host with resctrl can be asked for (features-linux.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct RdtFeatures {
    enabled: bool,
    schemata: bool,
    monitoring: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Switch {
    enabled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct CgroupFeatures {
    v1: bool,
    v2: bool,
    systemd: bool,
    systemd_user: bool,
    rdma: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct SeccompFeatures {
    enabled: bool,
    actions: &'static [&'static str],
    operators: &'static [&'static str],
    archs: &'static [&'static str],
    known_flags: &'static [&'static str],
    supported_flags: Vec<String>,
}

const SECCOMP_ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

const SECCOMP_OPERATORS: [&str; 7] =
    ["SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"];

/// Those that a filter can be made for; the others of the specification are recognised, and are never the kernel's.
const SECCOMP_ARCHS: [&str; 8] = [
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct MemoryPolicyFeatures {
    modes: &'static [&'static str],
    flags: &'static [&'static str],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct MountExtensions {
    idmap: Switch,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, oci};
    use serde_json::{Value, json};

    fn features() -> Value {
        let support = Support {
            mount_options: vec!["rro".into(), "bind".into(), "bind".into()],
            capabilities: vec!["CAP_KILL".into()],
            ..Support::default()
        };
        serde_json::to_value(Features::of(support)).unwrap()
    }

    fn strings(list: &Value) -> Vec<&str> {
        list.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
    }

    fn accepted(document: Value) -> Config {
        Config::parse(document.to_string().as_bytes()).unwrap()
    }

    /// features.md: everything in the lists MUST be recognised.
    #[test]
    fn what_the_features_list_is_what_the_parser_reads() {
        let features = features();
        for hook in strings(&features["hooks"]) {
            let config = accepted(json!({"ociVersion": "1.3.0", "hooks": {hook: [{"path": "/bin/true"}]}}));
            assert_ne!(serde_json::to_value(config.spec.hooks()).unwrap().get(hook), None, "{hook} was read");
        }
        for kind in strings(&features["linux"]["namespaces"]) {
            accepted(json!({"linux": {"namespaces": [{"type": kind}]}}));
        }
        for mode in strings(&features["linux"]["memoryPolicy"]["modes"]) {
            let flags = &features["linux"]["memoryPolicy"]["flags"];
            accepted(json!({"linux": {"memoryPolicy": {"mode": mode, "flags": flags}}}));
        }
        let seccomp = &features["linux"]["seccomp"];
        for action in strings(&seccomp["actions"]) {
            for operator in strings(&seccomp["operators"]) {
                let rule = json!({"names": ["read"], "action": action, "args": [{"index": 0, "value": 1, "op": operator}]});
                let (archs, flags) = (&seccomp["archs"], &seccomp["knownFlags"]);
                let profile =
                    json!({"defaultAction": "SCMP_ACT_LOG", "architectures": archs, "flags": flags, "syscalls": [rule]});
                accepted(json!({"linux": {"seccomp": profile}}));
            }
        }
        for version in [&features["ociVersionMin"], &features["ociVersionMax"]] {
            assert_eq!(accepted(json!({"ociVersion": version})).spec.version(), version);
        }
    }

    #[test]
    fn the_features_are_a_document_that_others_read() {
        let document = features();
        assert_eq!(document["mountOptions"], json!(["bind", "rro"]));
        assert_eq!(document["linux"]["mountExtensions"], json!({"idmap": {"enabled": true}}));
        assert_eq!(
            document["potentiallyUnsafeConfigAnnotations"],
            json!(["io.wolffia.landlock", "org.systemd.property.", "run.oci.keep_original_groups"])
        );
        let read: oci::Features = serde_json::from_value(document).unwrap();
        assert_eq!(read.oci_version_max(), "1.3.0");
        assert_eq!(read.linux().as_ref().unwrap().seccomp().as_ref().unwrap().enabled(), &Some(true));
    }

    #[test]
    fn the_state_is_what_hooks_and_callers_expect() {
        let state = State {
            oci_version: OCI_VERSION.into(),
            id: "c1".into(),
            status: Status::Creating,
            pid: Some(42),
            bundle: "/b".into(),
            annotations: BTreeMap::new(),
        };
        let text = r#"{"ociVersion":"1.3.0","id":"c1","status":"creating","pid":42,"bundle":"/b"}"#;
        assert_eq!(serde_json::to_string(&state).unwrap(), text);
        let read: oci::State = serde_json::from_str(text).unwrap();
        assert_eq!(read.pid(), &Some(42));

        let report = StateReport {
            oci_version: OCI_VERSION.into(),
            id: "c1".into(),
            pid: 0,
            status: Status::Stopped,
            bundle: "/b".into(),
            rootfs: "/b/rootfs".into(),
            created: "2026-01-02T03:04:05.000000006Z".into(),
            annotations: BTreeMap::from([("a".into(), "b".into())]),
            owner: "root".into(),
            landlock: Vec::new(),
            recorded: Vec::new(),
        };
        let text = concat!(
            r#"{"ociVersion":"1.3.0","id":"c1","pid":0,"status":"stopped","bundle":"/b","rootfs":"/b/rootfs","#,
            r#""created":"2026-01-02T03:04:05.000000006Z","annotations":{"a":"b"},"owner":"root"}"#
        );
        assert_eq!(serde_json::to_string(&report).unwrap(), text);
    }
}
