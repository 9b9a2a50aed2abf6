//! The Plan: every decision about a container, taken. Executors choose nothing.
//!
//! An `Option` here means "this step is not part of the plan", never "decide later". Flags are the
//! kernel's own numbers, so that an executor hands them on as they are. `Plan::outline` (outline.rs)
//! prints it step by step.

mod accounts;

pub use accounts::{CgroupPlan, LegacyCgroups, LegacyDirectory};

use crate::host::IdRange;
use crate::resources::Resources;
use crate::{Actor, ContainerPath, HostPath, Process, Rdt};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that `create` will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    pub bundle: HostPath,
    pub annotations: BTreeMap<String, String>,
    pub self_protection: SelfProtection,
    pub namespaces: Namespaces,
    pub ids: Ids,
    pub cgroup: CgroupPlan,
    /// Beside it, on a host whose controllers are bound to cgroup v1.
    pub legacy_cgroups: Option<LegacyCgroups>,
    /// The user that the cgroup of version 2 is given to, as the runtime's user namespace numbers it. `None`: it stays its maker's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup_owner: Option<u32>,
    /// Set before the first process is in the cgroup.
    pub resources: Resources,
    /// `None`: no resctrl file system is touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdt: Option<Rdt>,
    pub time_offsets: Vec<TimeOffset>,
    pub net_devices: Vec<NetDevice>,
    pub root: Root,
    pub mounts: Vec<Mount>,
    /// SELinux label of what is mounted beside `mounts`: the cover of masked directories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_label: Option<String>,
    pub devices: Vec<Device>,
    /// Links in /dev, for example `/dev/fd` → `/proc/self/fd`.
    pub device_links: Vec<DeviceLink>,
    pub masked_paths: Vec<ContainerPath>,
    pub readonly_paths: Vec<ContainerPath>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    pub sysctl: Vec<Sysctl>,
    pub hooks: Hooks,
    /// Take a new session keyring, without a name of its own.
    pub session_keyring: bool,
    /// `None` if the configuration has no `process`: `create` works, `start` is an error (runtime.md).
    pub process: Option<Process>,
    /// Who sets resource limits, scheduler, I/O priority and affinity: init itself, or the runtime where init's user
    /// namespace has taken away the right that the runtime has.
    pub tuned_by: Actor,
    /// Capabilities that no process of the container gets, as a bit set: what nothing else in this plan would bound.
    #[serde(default)]
    pub withheld_capabilities: u64,
    /// Protections that were asked for and cannot be had here, which a rule allows to go on without (house rule 8).
    pub recorded: Vec<Recorded>,
}

impl Plan {
    /// Whether init enters its new cgroup namespace by itself, after it was put into its cgroups: the namespace shows the cgroups of
    /// the moment as roots (cgroup_namespaces(7)), and a process can be born only into one of version 2 that exists.
    pub fn enters_cgroup_namespace_late(&self) -> bool {
        (self.legacy_cgroups.is_some() || matches!(self.cgroup, CgroupPlan::Systemd(_)))
            && self.namespaces.is_new(NamespaceKind::Cgroup)
    }

    /// What clone3(2) makes anew.
    pub fn clone_flags(&self) -> u64 {
        let late = if self.enters_cgroup_namespace_late() { NamespaceKind::Cgroup.clone_flag() } else { 0 };
        self.namespaces.clone_flags() & !late
    }

    /// What is missing where nothing holds the container's processes together: `kill --all` and `delete` find the first alone.
    pub fn held_by_nothing(&self, has_cgroup: bool) -> Option<Recorded> {
        // In a pid namespace of another's they outlive the first as well.
        let held = has_cgroup || self.namespaces.is_new(NamespaceKind::Pid);
        let reason = "neither a new pid namespace nor a cgroup of its own, so processes that the first leaves behind are not found and not \
                      ended. Such configuration is strongly discouraged";
        (!held).then(|| Recorded { field: FIELD_OF_NAMESPACES.to_owned(), reason: reason.to_owned() })
    }
}

const FIELD_OF_NAMESPACES: &str = "/linux/namespaces";

/// A protection that is missing, and why the container is made all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    pub field: String,
    pub reason: String,
}

impl Recorded {
    /// Whether it is logged as a warning too: a capability that cannot be granted (config.md, "capabilities": MUST), and processes that
    /// nothing holds together, as runc does.
    pub fn warns(&self) -> bool {
        self.field.contains("/capabilities/") || self.field == FIELD_OF_NAMESPACES
    }
}

/// How the runtime's binary is kept out of the container's reach (CVE-2019-5736).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelfProtection {
    /// Run from a copy that nobody can write.
    Sealed,
    /// No id of the container may write the binary.
    NotWritable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceKind {
    User,
    Mount,
    Pid,
    Network,
    Ipc,
    Uts,
    Cgroup,
    Time,
}

impl NamespaceKind {
    pub const ALL: [NamespaceKind; 8] = {
        use NamespaceKind::*;
        [User, Mount, Pid, Network, Ipc, Uts, Cgroup, Time]
    };

    /// The `CLONE_NEW*` bit (namespaces(7)).
    pub const fn clone_flag(self) -> u64 {
        match self {
            NamespaceKind::User => 0x1000_0000,
            NamespaceKind::Mount => 0x0002_0000,
            NamespaceKind::Pid => 0x2000_0000,
            NamespaceKind::Network => 0x4000_0000,
            NamespaceKind::Ipc => 0x0800_0000,
            NamespaceKind::Uts => 0x0400_0000,
            NamespaceKind::Cgroup => 0x0200_0000,
            NamespaceKind::Time => 0x0000_0080,
        }
    }

    /// The file's name under /proc/PID/ns.
    pub const fn file_name(self) -> &'static str {
        match self {
            NamespaceKind::User => "user",
            NamespaceKind::Mount => "mnt",
            NamespaceKind::Pid => "pid",
            NamespaceKind::Network => "net",
            NamespaceKind::Ipc => "ipc",
            NamespaceKind::Uts => "uts",
            NamespaceKind::Cgroup => "cgroup",
            NamespaceKind::Time => "time",
        }
    }

    /// The name in config.json.
    pub const fn spec_name(self) -> &'static str {
        match self {
            NamespaceKind::Mount => "mount",
            NamespaceKind::Network => "network",
            other => other.file_name(),
        }
    }
}

/// Which namespaces the container has of its own. A kind in neither list is inherited from the runtime.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Namespaces {
    pub new: Vec<NamespaceKind>,
    pub join: Vec<JoinNamespace>,
}

impl Namespaces {
    pub fn is_new(&self, kind: NamespaceKind) -> bool {
        self.new.contains(&kind)
    }

    pub fn joined(&self, kind: NamespaceKind) -> Option<&HostPath> {
        self.join.iter().find(|join| join.kind == kind).map(|join| &join.path)
    }

    /// New or joined: not the runtime's own.
    pub fn is_private(&self, kind: NamespaceKind) -> bool {
        self.is_new(kind) || self.joined(kind).is_some()
    }

    /// The flags of the kinds to make anew, as `clone3` takes them. A new time namespace is left out:
    /// its offsets can only be written before a process is in it (time_namespaces(7)), so init unshares it.
    pub fn clone_flags(&self) -> u64 {
        self.new.iter().filter(|kind| **kind != NamespaceKind::Time).fold(0, |flags, kind| flags | kind.clone_flag())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinNamespace {
    pub kind: NamespaceKind,
    pub path: HostPath,
}

/// Who the container's ids are on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Ids {
    /// The runtime's own user namespace.
    Inherited,
    /// A user namespace joined by path, with the maps it has.
    Joined { setup: SetupIds },
    /// A new user namespace with these maps.
    Mapped { uids: Vec<IdRange>, gids: Vec<IdRange>, writer: MapWriter, setgroups: Setgroups, setup: SetupIds },
}

/// The ids that init takes in its user namespace while it sets the container up: 0 where 0 is mapped,
/// else the payload's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupIds {
    pub uid: u32,
    pub gid: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum MapWriter {
    /// The runtime writes /proc/PID/uid_map itself.
    Runtime,
    /// newuidmap(1) and newgidmap(1), side by side. Init stays dumpable until they are done: they refuse a
    /// process whose /proc directory is not its user's.
    Helpers { newuidmap: HostPath, newgidmap: HostPath },
}

/// What is written to /proc/PID/setgroups (user_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Setgroups {
    Allow,
    Deny,
}

/// A line of /proc/PID/timens_offsets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeOffset {
    /// `monotonic` or `boottime`.
    pub clock: String,
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// A network device that is moved into the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetDevice {
    pub host_name: String,
    /// The name inside; may be a template with `%d`, which the kernel fills (config-linux.md, netDevices).
    pub container_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    pub path: HostPath,
    /// Whose rights open it, as for a bind mount's source.
    pub opened_by: Opener,
    pub readonly: bool,
    /// Every mount below the root is read-only too (annotation `io.wolffia.root.readonly: recursive`; it can only strengthen).
    pub readonly_recursive: bool,
    /// Propagation (`MS_*` bits) given to the whole tree of the new mount namespace first, so that nothing
    /// that follows reaches the host.
    pub host_propagation: u64,
    /// Propagation of the mount that holds the root, set before the root is cloned and becomes a mount of its own: the clone
    /// inherits it, attaching it must not reach the host, and pivot_root(2) wants a parent that is not shared. A clone
    /// that was taken elsewhere gets it itself. `MS_PRIVATE` or `MS_SLAVE`.
    pub parent_propagation: u64,
    /// Propagation of the container's root mount in the end, when the configuration names one.
    pub propagation: Option<u64>,
    pub switch: RootSwitch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootSwitch {
    /// pivot_root(2).
    Pivot,
    /// `--no-pivot`: move the root over `/` and chroot, for an initramfs that cannot be pivoted.
    Move,
}

/// One entry of `mounts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Its place in the configuration, for example `/mounts/3`.
    pub field: String,
    pub destination: ContainerPath,
    pub what: MountKind,
    pub attributes: MountAttributes,
    /// Propagation to set afterwards: `MS_SHARED`, `MS_PRIVATE`, `MS_SLAVE` or `MS_UNBINDABLE`, perhaps with `MS_REC`.
    pub propagation: Vec<u64>,
    pub id_map: Option<IdMappedMount>,
    /// Copy what the destination holds into the new tmpfs first (`tmpcopyup`).
    pub copy_up: bool,
    /// A tmpfs without a `mode` takes the mode of the directory that it covers, as runc's does.
    pub mode_from_destination: bool,
    /// Becomes read-only only when all mounts, devices and links are in place, because they are made in it: `ro` of a
    /// tmpfs or of /dev. `attributes` does not hold the bit then.
    pub late_readonly: bool,
    /// Open the destination without following a symbolic link at its end (`dest-nofollow`).
    pub destination_nofollow: bool,
    /// SELinux label that the mount's root directory gets, where the file system takes none as a parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_label: Option<String>,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum MountKind {
    /// A new file system.
    Filesystem { fstype: String, source: String, options: Vec<FsOption>, fallback: MountFallback },
    /// A part of the host's file tree. The file or directory that it is mounted on is made to match.
    Bind { source: HostPath, recursive: bool, opened_by: Opener, source_nofollow: bool },
    /// Change attributes of what is mounted at the destination already.
    Remount,
    /// Only change propagation of what is mounted at the destination already.
    Propagation,
    /// The cgroup file system as this host has it.
    Cgroup(CgroupView),
}

/// What to do when the kernel refuses a new proc or sysfs (EPERM: `mount_too_revealing`, or no network
/// namespace of its own). The reason of the refusal is shown when there is no fallback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "on-eperm", rename_all = "kebab-case")]
pub enum MountFallback {
    Fail,
    /// Bind this path of the host, recursively, with the mount's own attributes.
    BindFromHost {
        source: HostPath,
        readonly: bool,
    },
}

/// Whose rights open a bind mount's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Opener {
    /// Init opens it, in its own mount namespace.
    Init,
    /// The runtime clones it beforehand, because init in its user namespace may lack the right. The clone is taken where
    /// the host's propagation still holds, so it gets the root's `host_propagation` before anything is mounted in it: else,
    /// on a host whose mounts are shared, what is mounted in it shows up on the host.
    Parent,
}

/// A file system's own parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FsOption {
    Value { key: String, value: String },
    Flag { key: String },
}

/// `mount_setattr` bits (`MOUNT_ATTR_*`), for the mount itself and for the whole tree below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountAttributes {
    pub set: u64,
    pub clear: u64,
    /// Cleared too, unless the kernel has locked one of them (EPERM, mount_namespaces(7)): then none of these. An option
    /// on a bind mount replaces all flags of its source, as mount(8) has it, but nobody asked for these by name.
    pub clear_unless_locked: u64,
    pub recursive_set: u64,
    pub recursive_clear: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMappedMount {
    pub recursive: bool,
    pub map: IdMapSource,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum IdMapSource {
    /// The container's own user namespace.
    Container,
    /// A map of its own: a helper user namespace is made for it.
    Own { uids: Vec<IdRange>, gids: Vec<IdRange> },
}

/// What a `cgroup` mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "view", rename_all = "kebab-case")]
pub enum CgroupView {
    /// A new cgroup2 mount, rooted at the container's cgroup namespace; bound from `host` when the kernel refuses.
    Unified { fallback: HostPath },
    /// Bind the host's cgroup2 mount: the container has no cgroup namespace.
    UnifiedBind { source: HostPath },
    /// A tmpfs with a directory for each v1 hierarchy.
    Legacy { hierarchies: Vec<LegacyHierarchy> },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyHierarchy {
    pub directory: String,
    /// Mounted anew with these options (`cpu`, `cpuacct`; `none`, `name=systemd`) in a cgroup namespace;
    /// without one, bound from `source`.
    pub mount_options: Option<Vec<String>>,
    pub source: HostPath,
    /// Names that link to the directory (`cpu` → `cpu,cpuacct`).
    pub links: Vec<String>,
}

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    pub field: String,
    pub path: ContainerPath,
    pub how: DeviceHow,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum DeviceHow {
    /// mknod(2). `mode` holds permission bits only; umask does not apply.
    Make { kind: DeviceKind, major: u32, minor: u32, mode: u32, uid: u32, gid: u32 },
    /// Bind the host's node of the same path, after its kind and number were checked: mknod is not allowed in a user namespace.
    Bind { kind: DeviceKind, major: u32, minor: u32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    Char,
    Block,
    Fifo,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceLink {
    pub path: ContainerPath,
    pub target: String,
}

/// A file below /proc/sys and what is written to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// Relative to /proc/sys, with slashes: `net/ipv4/ip_forward`.
    pub path: String,
    pub value: String,
    /// The namespace that keeps it from the host. When that one was joined by path, it must turn out not to be the
    /// runtime's own, or the write would change the host.
    pub namespace: NamespaceKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hooks {
    pub prestart: Vec<Hook>,
    pub create_runtime: Vec<Hook>,
    pub create_container: Vec<Hook>,
    pub start_container: Vec<Hook>,
    pub poststart: Vec<Hook>,
    pub poststop: Vec<Hook>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    pub path: String,
    /// `argv`, `argv[0]` included; the path when the configuration gives none.
    pub args: Vec<String>,
    pub env: HookEnvironment,
    pub timeout_seconds: Option<u32>,
}

/// A hook's environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookEnvironment {
    /// Exactly this.
    Given(Vec<String>),
    /// The payload's, as execution completes it: for a startContainer hook that brings none, because it runs in the container.
    Payload,
}
