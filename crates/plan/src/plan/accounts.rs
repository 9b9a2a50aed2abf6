//! The part of the plan that says in which cgroups the container is.

use crate::{HostPath, SystemdScope};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where the container's processes are accounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum CgroupPlan {
    /// Stay in the runtime's cgroup.
    Inherited { because: String },
    /// A cgroup of its own in the cgroup2 hierarchy; `path` is below `mount`.
    Unified {
        mount: HostPath,
        path: String,
        /// Go on in the runtime's own cgroup when it cannot be made: only for a rootless container that asked for no
        /// path and no limits, as runc does.
        optional: bool,
    },
    /// A scope of systemd's, which init is put into.
    Systemd(SystemdScope),
}

/// The container's place in every cgroup v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyCgroups {
    /// Without a leading slash.
    pub path: String,
    /// By controller, where `path` starts when it is not the hierarchy's root.
    pub starts: BTreeMap<String, String>,
    /// All of them, those too that limit nothing: what the container sees of a hierarchy is its own.
    #[serde(default)]
    pub directories: Vec<LegacyDirectory>,
}

/// The container's cgroup in one hierarchy of cgroup v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyDirectory {
    /// Or the hierarchy's name, `name=systemd`.
    pub controllers: Vec<String>,
    pub path: HostPath,
}

impl LegacyCgroups {
    /// Whole, for a hierarchy with these controllers.
    pub fn path_for(&self, controllers: &[String]) -> String {
        let start = controllers.iter().find_map(|controller| self.starts.get(controller));
        format!("{}/{}", start.map_or("", |start| start.trim_end_matches('/')), self.path)
    }
}
