//! What `plan` knows of the machine: plain data, filled by `wolffia-host`, invented by tests.

use crate::HostPath;
use serde::{Deserialize, Serialize};

/// Facts about this kernel and this user. A fact is advice: at execution the kernel's answer decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Effective user id of the runtime, in its own user namespace.
    pub euid: u32,
    /// Effective group id of the runtime.
    pub egid: u32,
    /// Whether the runtime holds CAP_SYS_ADMIN in its own user namespace: without it every container needs a new one.
    pub privileged: bool,
    /// Whether the runtime itself lives in a user namespace other than the initial one.
    pub in_user_namespace: bool,
    /// The runtime's own id maps (`/proc/self/uid_map`): which ids it may hand on at all.
    pub own_uid_map: Vec<IdRange>,
    pub own_gid_map: Vec<IdRange>,
    /// Ranges of /etc/subuid and /etc/subgid for this user, in the order of the files.
    pub subordinate_uids: Vec<SubordinateRange>,
    pub subordinate_gids: Vec<SubordinateRange>,
    /// The helpers of Debian's uidmap, when they are installed.
    pub newuidmap: Option<HostPath>,
    pub newgidmap: Option<HostPath>,
    /// Capabilities that the kernel knows, as a bit set.
    pub known_capabilities: u64,
    /// Capabilities in the runtime's bounding set: more than these cannot be granted without a user namespace.
    pub bounding_capabilities: u64,
    /// How the cgroup file systems are laid out.
    pub cgroups: CgroupLayout,
    /// The cgroup mounts' place and the runtime's own position.
    pub lsm: Lsm,
    /// The kernel's Landlock ABI; 0 for none.
    pub landlock_abi: u32,
    /// Where resctrl (Intel RDT, AMD QoS, Arm MPAM) is mounted; looked for only where a configuration wants it.
    #[serde(default)]
    pub resctrl: Option<HostPath>,
    /// Umask of the caller: kept when `process.user.umask` is absent (config.md, "umask").
    pub umask: u32,
}

/// One line of an id map: `size` ids from `container` inside are the ids from `host` outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    pub container: u32,
    pub host: u32,
    pub size: u32,
}

/// One line of /etc/subuid or /etc/subgid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubordinateRange {
    pub first: u32,
    pub count: u32,
}

/// Security modules of this kernel that a configuration can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lsm {
    pub apparmor: bool,
    pub selinux: bool,
}

/// How /sys/fs/cgroup is laid out on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "layout", rename_all = "lowercase")]
pub enum CgroupLayout {
    /// cgroup2 alone.
    Unified { mount: HostPath, own: String },
    /// v1 hierarchies, and perhaps cgroup2 beside them.
    Legacy { hierarchies: Vec<CgroupHierarchy>, unified: Option<CgroupMount> },
    /// No cgroup file system is mounted.
    Absent,
}

impl CgroupLayout {
    /// The v1 hierarchy that `controller` is bound to, if it is.
    pub fn legacy(&self, controller: &str) -> Option<&CgroupHierarchy> {
        match self {
            Self::Legacy { hierarchies, .. } => {
                hierarchies.iter().find(|hierarchy| hierarchy.controllers.iter().any(|one| one == controller))
            }
            Self::Unified { .. } | Self::Absent => None,
        }
    }
}

/// A mounted cgroup2 and the runtime's own cgroup in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupMount {
    pub mount: HostPath,
    pub own: String,
}

/// One mounted cgroup v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupHierarchy {
    /// Directory name under /sys/fs/cgroup, for example `cpu,cpuacct` or `systemd`.
    pub directory: String,
    /// Controllers (`cpu`, `cpuacct`) or, for a named hierarchy, `name=systemd`.
    pub controllers: Vec<String>,
    pub mount: HostPath,
    /// The runtime's own cgroup in it, from /proc/self/cgroup.
    pub own: String,
}
