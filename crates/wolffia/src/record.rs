//! What `create` writes down for the commands that follow.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use wolffia_cgroup::{RdtPlace, Scope};
use wolffia_plan::{
    Actor, Hook, Ids, KnownIds, LandlockLayer, LegacyCgroups, MemoryPolicy, NamespaceKind, Plan, Recorded, Setgroups, SetupIds,
};
use wolffia_spec::documents::{LandlockReport, RecordedReport};

/// The part of a container's record that the facade owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Launched {
    /// Namespaces that are not the runtime's own: `exec` enters these.
    pub namespaces: Vec<NamespaceKind>,
    /// The ids to take first in a user namespace of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<SetupIds>,
    pub setgroups: Setgroups,
    pub ids: KnownIds,
    /// Capabilities that no process of the container gets.
    pub withheld_capabilities: u64,
    pub tuned_by: Actor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personality: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_policy: Option<MemoryPolicy>,
    /// Landlock rules that every process of the container submits to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub landlock: Vec<LandlockLayer>,
    pub session_keyring: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<CgroupPlace>,
    /// The unit that holds the cgroup, when systemd made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// The container's place in the cgroup v1 hierarchies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy_cgroups: Option<LegacyCgroups>,
    /// Those of its directories that were made for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legacy_made: Vec<PathBuf>,
    /// The container's place in the resctrl file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdt: Option<RdtPlace>,
    /// Only until the container is created: the pid file that its creator writes, absolute. A draft of it may be left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_file: Option<PathBuf>,
    pub poststart: Vec<Hook>,
    pub poststop: Vec<Hook>,
    /// Protections that the container goes without, with the reason.
    pub recorded: Vec<Recorded>,
}

/// Where the container's cgroup is, and which directories on the way were made for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPlace {
    pub mount: String,
    pub path: String,
    pub made: Vec<String>,
}

impl Launched {
    pub fn of(plan: &Plan, ids: KnownIds, cgroup: Option<CgroupPlace>) -> Self {
        let (setup, setgroups) = match &plan.ids {
            Ids::Inherited => (None, Setgroups::Allow),
            Ids::Joined { setup } => (Some(*setup), Setgroups::Allow),
            Ids::Mapped { setup, setgroups, .. } => (Some(*setup), *setgroups),
        };
        let process = plan.process.as_ref();
        Self {
            namespaces: NamespaceKind::ALL.into_iter().filter(|kind| plan.namespaces.is_private(*kind)).collect(),
            setup,
            setgroups,
            ids,
            withheld_capabilities: plan.withheld_capabilities,
            tuned_by: plan.tuned_by,
            personality: process.and_then(|process| process.personality),
            memory_policy: process.and_then(|process| process.memory_policy.clone()),
            landlock: process.and_then(|process| process.landlock.clone()).map_or_else(Vec::new, |landlock| landlock.layers),
            session_keyring: plan.session_keyring,
            cgroup,
            scope: None,
            legacy_cgroups: plan.legacy_cgroups.clone(),
            legacy_made: Vec::new(),
            rdt: None,
            pid_file: None,
            poststart: plan.hooks.poststart.clone(),
            poststop: plan.hooks.poststop.clone(),
            recorded: plan.recorded.clone(),
        }
    }

    /// The part of the state document that says what Landlock denies.
    pub fn landlock_report(&self) -> Vec<LandlockReport> {
        self.landlock.iter().map(|layer| LandlockReport::of(layer.handled_fs, layer.handled_net, layer.scoped)).collect()
    }

    /// The part of the state document that says what is missing.
    pub fn recorded_report(&self) -> Vec<RecordedReport> {
        let report = |Recorded { field, reason }: &Recorded| RecordedReport { field: field.clone(), reason: reason.clone() };
        self.recorded.iter().map(report).collect()
    }
}

/// The word of the state document.
pub(crate) fn report_status(status: wolffia_state::Status) -> wolffia_spec::documents::Status {
    use wolffia_spec::documents::Status as Report;
    use wolffia_state::Status;
    match status {
        Status::Creating => Report::Creating,
        Status::Created => Report::Created,
        Status::Running => Report::Running,
        Status::Paused => Report::Paused,
        Status::Stopped => Report::Stopped,
    }
}
