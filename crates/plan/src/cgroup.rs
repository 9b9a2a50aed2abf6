//! Where the container's processes are accounted.

use crate::host::{CgroupLayout, Host};
use crate::resources::Resources;
use crate::{CgroupManager, CgroupPlan, ContainerPath, HostPath, Refusal, Request};
use wolffia_spec::oci;

const FIELD: &str = "/linux/cgroupsPath";

/// Decides the container's cgroup by `linux.cgroupsPath`, `--cgroup-manager` and the host's layout, and what of `resources`
/// can be set in it.
///
/// # Errors
/// A path that names no cgroup, a path or limits on a host without cgroup2, and managers that this version lacks.
pub(crate) fn plan_cgroup(
    linux: &oci::Linux,
    resources: Resources,
    request: &Request,
    host: &Host,
) -> Result<(CgroupPlan, Resources), Refusal> {
    let asked = linux.cgroups_path().as_ref().map(|path| path.to_string_lossy().into_owned()).filter(|path| !path.is_empty());
    if asked.as_ref().is_some_and(|path| path.contains(|c: char| c.is_control())) {
        return Err(Refusal::new(FIELD, "the path of the cgroup holds a control character", "remove it"));
    }
    match request.cgroups {
        CgroupManager::Disabled => return Ok(inherited("--cgroup-manager disabled", resources)),
        CgroupManager::Systemd => {
            return Err(Refusal::new(
                FIELD,
                "the systemd cgroup manager is not in this version",
                "use --cgroup-manager cgroupfs",
            ));
        }
        CgroupManager::Cgroupfs => {}
    }
    let Some((mount, own)) = unified(&host.cgroups) else {
        return without_unified(asked.is_some() && !request.rootless, resources);
    };
    let path = place(asked.as_deref(), &request.id, own, host.privileged)?;
    if path.as_str() == "/" {
        return Err(Refusal::new(
            FIELD,
            "the container's cgroup cannot be the root cgroup",
            "name a cgroup below it, for example /containers/web",
        ));
    }
    let optional = request.rootless && asked.is_none() && !resources.limits();
    Ok((CgroupPlan::Unified { mount: mount.clone(), path: path.to_string(), optional }, resources))
}

/// The host's cgroup2 mount and the runtime's own cgroup in it.
pub(crate) fn unified(layout: &CgroupLayout) -> Option<(&HostPath, &str)> {
    match layout {
        CgroupLayout::Unified { mount, own } => Some((mount, own)),
        CgroupLayout::Legacy { unified, .. } => unified.as_ref().map(|cgroup| (&cgroup.mount, cgroup.own.as_str())),
        CgroupLayout::Absent => None,
    }
}

/// An absolute path starts at the mount (config-linux.md, "Cgroups Path"). A relative one starts beside the runtime's own
/// cgroup, as runc's does: below it no controller could be handed on, because there are processes in it (cgroups(7)).
fn place(asked: Option<&str>, id: &str, own: &str, privileged: bool) -> Result<ContainerPath, Refusal> {
    let clean = |path: &str| {
        ContainerPath::new(path).ok_or_else(|| Refusal::new(FIELD, "the path of the cgroup is not a path", "remove the NUL byte"))
    };
    let beside_own = |path: &str| {
        let parent = clean(own)?.split().map_or_else(ContainerPath::root, |(parent, _)| parent);
        // Cleaned by itself first, so that `..` cannot climb out of the parent.
        clean(&format!("{parent}/{}", clean(path)?))
    };
    match asked {
        Some(path) if path.starts_with('/') => clean(path),
        Some(path) => beside_own(path),
        None if privileged => clean(id),
        None => beside_own(id),
    }
}

fn without_unified(asked: bool, resources: Resources) -> Result<(CgroupPlan, Resources), Refusal> {
    let reason = "this host has no cgroup2 mount, and this version makes cgroups of no other kind";
    let cure = "mount cgroup2, for example on /sys/fs/cgroup/unified, or use --cgroup-manager disabled";
    let limit = resources.writes.first().map(|write| write.field.clone());
    match limit.or(asked.then(|| FIELD.to_owned())) {
        Some(field) => Err(Refusal::new(field, reason, cure)),
        None => Ok(inherited(reason, resources)),
    }
}

fn inherited(because: &str, resources: Resources) -> (CgroupPlan, Resources) {
    (CgroupPlan::Inherited { because: because.to_owned() }, resources.unlimited(because))
}
