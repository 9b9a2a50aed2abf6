//! What a mount of type `cgroup` shows.

use crate::cgroup::unified;
use crate::host::{CgroupHierarchy, CgroupLayout};
use crate::mounts::Surroundings;
use crate::{CgroupPlan, CgroupView, HostPath, LegacyCgroups, LegacyHierarchy, NamespaceKind, Refusal, SystemdScope};

/// Decides the view by the host's layout and by whether the container has a cgroup namespace.
///
/// # Errors
/// A host without any cgroup file system.
pub(crate) fn plan_view(field: &str, around: &Surroundings) -> Result<CgroupView, Refusal> {
    let private = around.namespaces.is_private(NamespaceKind::Cgroup);
    match &around.host.cgroups {
        CgroupLayout::Unified { .. } if private => {
            own_unified(around).map(|fallback| CgroupView::Unified { fallback }).ok_or_else(|| absent(field))
        }
        // The whole hierarchy, because /proc/self/cgroup names places in it: what reads both (systemd, monitors) must find them.
        CgroupLayout::Unified { mount, .. } => Ok(CgroupView::UnifiedBind { source: mount.clone() }),
        CgroupLayout::Legacy { hierarchies, .. } => {
            let hierarchies =
                hierarchies.iter().map(|hierarchy| legacy(hierarchy, around.legacy, private)).collect::<Option<Vec<_>>>();
            hierarchies.map(|hierarchies| CgroupView::Legacy { hierarchies }).ok_or_else(|| absent(field))
        }
        CgroupLayout::Absent => Err(absent(field)),
    }
}

/// Whether the view is writable where the mount's options say nothing: one of cgroups that are the container's own, and for root's
/// containers the whole hierarchy, because Docker's `--privileged` only takes `ro` away. A cgroup namespace alone makes none its own with
/// version 1: it has the cgroups of the moment as its roots, which are the runtime's for a container that has no place there.
pub(crate) fn is_writable_unasked(around: &Surroundings) -> bool {
    match &around.host.cgroups {
        CgroupLayout::Unified { .. } => {
            let roots = !around.in_user_namespace() && !matches!(around.cgroup, CgroupPlan::Inherited { .. });
            roots || around.namespaces.is_private(NamespaceKind::Cgroup)
        }
        CgroupLayout::Legacy { .. } => around.legacy.is_some(),
        CgroupLayout::Absent => false,
    }
}

/// The directory of the cgroup that the container will be in.
fn own_unified(around: &Surroundings) -> Option<HostPath> {
    let (mount, own) = unified(&around.host.cgroups)?;
    match around.cgroup {
        CgroupPlan::Unified { mount, path, .. } | CgroupPlan::Systemd(SystemdScope { mount, path, .. }) => below(mount, path),
        CgroupPlan::Inherited { .. } => below(mount, own),
    }
}

fn legacy(hierarchy: &CgroupHierarchy, placed: Option<&LegacyCgroups>, private: bool) -> Option<LegacyHierarchy> {
    let named = hierarchy.controllers.iter().any(|controller| controller.starts_with("name="));
    // A named hierarchy has no controller, and cgroup v1 has to be told so.
    let mount_options = named.then(|| "none".to_owned()).into_iter().chain(hierarchy.controllers.iter().cloned()).collect();
    let links = hierarchy.directory.split(',').filter(|name| *name != hierarchy.directory).map(str::to_owned).collect();
    let own = placed.map_or_else(|| hierarchy.own.clone(), |placed| placed.path_for(&hierarchy.controllers));
    Some(LegacyHierarchy {
        directory: hierarchy.directory.clone(),
        mount_options: private.then_some(mount_options),
        source: below(&hierarchy.mount, &own)?,
        links,
    })
}

/// `path` of a cgroup, which may lie above the root that the runtime sees (`/..`), as a directory below its mount.
fn below(mount: &HostPath, path: &str) -> Option<HostPath> {
    let path = crate::ContainerPath::new(path)?;
    HostPath::new(mount.as_path().join(path.relative()))
}

fn absent(field: &str) -> Refusal {
    Refusal::new(format!("{field}/type"), "this host has no cgroup file system mounted", "remove the mount of type cgroup")
}
