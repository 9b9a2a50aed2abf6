//! The part of the plan that is about one process: its program, who it is, and what it may.

use crate::{ContainerPath, Labels, Landlock, Seccomp};
use serde::{Deserialize, Serialize};

/// The payload: for `create` and for `exec` alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub home: Home,
    pub cwd: ContainerPath,
    pub terminal: Option<Terminal>,
    pub identity: Identity,
    pub capabilities: Capabilities,
    pub no_new_privileges: bool,
    pub labels: Labels,
    pub landlock: Option<Landlock>,
    pub seccomp: Option<Seccomp>,
    pub rlimits: Vec<Rlimit>,
    pub oom_score_adj: Option<i32>,
    pub scheduler: Option<Scheduler>,
    /// The value of ioprio_set(2): class and priority.
    pub io_priority: Option<u32>,
    /// CPUs for the time until the exec, and from then on (`execCPUAffinity`; only `exec` has it).
    pub cpu_affinity: CpuAffinity,
    /// The value of personality(2).
    pub personality: Option<u32>,
    pub memory_policy: Option<MemoryPolicy>,
    pub descriptors: Descriptors,
}

/// Where `HOME` comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Home {
    /// `env` has it.
    Given,
    /// The line of the container's /etc/passwd that has the user's number, else `fallback`: engines leave it to the runtime.
    /// Only a directory is taken from there, never an id or a name.
    Looked { fallback: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Rows and columns, when the configuration gives them; else the caller's, else the kernel's default.
    pub size: Option<(u16, u16)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Groups,
    pub umask: u32,
}

/// Supplementary groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Groups {
    /// setgroups(2) with exactly these.
    Set(Vec<u32>),
    /// The caller's groups stay: setgroups(2) is denied in this user namespace, or the configuration wants it so.
    Keep,
}

/// Bit sets, capability N at bit N.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capabilities {
    pub bounding: u64,
    pub effective: u64,
    pub inheritable: u64,
    pub permitted: u64,
    pub ambient: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// `RLIMIT_*` number.
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
}

/// The fields of `struct sched_attr` (sched_setattr(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scheduler {
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CpuAffinity {
    // `None` is every CPU that the cgroup allows, whatever the runtime itself was pinned to: an engine that is pinned
    // must not pin its containers by accident (runc does the same).
    pub initial: Option<Vec<usize>>,
    pub last: Option<Vec<usize>>,
}

/// The arguments of set_mempolicy(2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPolicy {
    /// Mode and mode flags together.
    pub mode: u32,
    /// NUMA nodes, as numbers.
    pub nodes: Vec<u32>,
}

/// Descriptors that the payload gets beside 0, 1 and 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Descriptors {
    /// How many of `LISTEN_FDS`, from 3 on (sd_listen_fds(3)).
    pub listen: u32,
    /// How many more after those (`--preserve-fds`).
    pub preserve: u32,
}
