//! Where the container's processes are accounted.

use crate::host::{CgroupLayout, Host};
use crate::resources::{IfAbsent, Resources};
use crate::systemd::plan_scope;
use crate::{CgroupManager, CgroupPlan, ContainerPath, HostPath, LegacyCgroups, LegacyDirectory, Refusal, Request};
use std::collections::BTreeMap;
use wolffia_spec::oci;

const FIELD: &str = "/linux/cgroupsPath";

/// Where the container is accounted and how it is limited there.
#[derive(Debug)]
pub(crate) struct Accounting {
    pub cgroup: CgroupPlan,
    pub legacy: Option<LegacyCgroups>,
    pub resources: Resources,
}

/// Decides the container's cgroup by `linux.cgroupsPath`, `--cgroup-manager` and the host's layout, and what of `resources`
/// can be set in it.
///
/// # Errors
/// A path that names no cgroup, a path or limits on a host that has no cgroups for them.
pub(crate) fn plan_cgroup(
    spec: &oci::Spec,
    linux: &oci::Linux,
    mut resources: Resources,
    request: &Request,
    host: &Host,
) -> Result<Accounting, Refusal> {
    let asked = linux.cgroups_path().as_ref().map(|path| path.to_string_lossy().into_owned()).filter(|path| !path.is_empty());
    if asked.as_ref().is_some_and(|path| path.contains(|c: char| c.is_control())) {
        return Err(Refusal::new(FIELD, "the path of the cgroup holds a control character", "remove it"));
    }
    match request.cgroups {
        CgroupManager::Disabled => return Ok(inherited("--cgroup-manager disabled", resources)),
        CgroupManager::Systemd => {
            let mut annotations: Vec<_> =
                spec.annotations().iter().flatten().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            annotations.sort_unstable();
            let scope = plan_scope(asked.as_deref(), &annotations, &resources.writes, request, host)?;
            return Ok(Accounting { cgroup: CgroupPlan::Systemd(scope), legacy: None, resources });
        }
        CgroupManager::Cgroupfs => {}
    }
    let unified = unified(&host.cgroups);
    if unified.is_none() && host.cgroups.legacy("devices").is_some() {
        resources.legacy_devices();
    }
    let legacy = plan_legacy(asked.as_deref(), &mut resources, request, host)?;
    let Some((mount, own)) = unified else {
        return without_unified(asked.is_some() && !request.rootless, legacy, resources);
    };
    let path = place(asked.as_deref(), &request.id, own, host.privileged)?;
    if path.as_str() == "/" {
        return Err(whole_hierarchy());
    }
    let optional = request.rootless && asked.is_none() && !resources.limits();
    let cgroup = CgroupPlan::Unified { mount: mount.clone(), path: path.to_string(), optional };
    Ok(Accounting { cgroup, legacy, resources })
}

/// A place in the v1 hierarchies is for who asked for one, or for limits: it costs a directory in each of a dozen of them.
fn plan_legacy(
    asked: Option<&str>,
    resources: &mut Resources,
    request: &Request,
    host: &Host,
) -> Result<Option<LegacyCgroups>, Refusal> {
    let CgroupLayout::Legacy { hierarchies, .. } = &host.cgroups else { return Ok(None) };
    if !host.privileged || host.in_user_namespace {
        resources.legacy.retain(|write| write.if_absent == IfAbsent::Fail);
        return match resources.legacy.first() {
            None => Ok(None),
            Some(write) => {
                let reason =
                    format!("the host's {} controller is bound to cgroup v1, which knows no delegation", write.controller);
                Err(Refusal::new(
                    &write.field,
                    reason,
                    "run as root, leave the limit out, or boot with systemd.unified_cgroup_hierarchy=1",
                ))
            }
        };
    }
    if hierarchies.is_empty() || asked.is_none() && resources.legacy.is_empty() && unified(&host.cgroups).is_some() {
        return Ok(None);
    }
    let relative = asked.is_some_and(|path| !path.starts_with('/'));
    let path = place(asked, &request.id, "/", host.privileged)?;
    if path == ContainerPath::root() {
        // The host's own cgroup, or the one that the runtime's own lies in.
        return Err(whole_hierarchy());
    }
    let mut starts = BTreeMap::new();
    for hierarchy in hierarchies.iter().filter(|_| relative) {
        let parent = cleaned(&hierarchy.own)?.split().map_or_else(ContainerPath::root, |(parent, _)| parent);
        starts.extend(hierarchy.controllers.iter().map(|controller| (controller.clone(), parent.to_string())));
    }
    let mut place = LegacyCgroups { path: path.relative().to_owned(), starts, directories: Vec::new() };
    for hierarchy in hierarchies {
        let whole = cleaned(&place.path_for(&hierarchy.controllers))?;
        let path = HostPath::new(hierarchy.mount.as_path().join(whole.relative()));
        place.directories.extend(path.map(|path| LegacyDirectory { controllers: hierarchy.controllers.clone(), path }));
    }
    Ok(Some(place))
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
    let beside_own = |path: &str| {
        let parent = cleaned(own)?.split().map_or_else(ContainerPath::root, |(parent, _)| parent);
        // Cleaned by itself first, so that `..` cannot climb out of the parent.
        cleaned(&format!("{parent}/{}", cleaned(path)?))
    };
    match asked {
        Some(path) if path.starts_with('/') => cleaned(path),
        Some(path) => beside_own(path),
        None if privileged => cleaned(id),
        None => beside_own(id),
    }
}

fn whole_hierarchy() -> Refusal {
    Refusal::new(FIELD, "the container's cgroup cannot be the root cgroup", "name a cgroup below it, for example /containers/web")
}

fn cleaned(path: &str) -> Result<ContainerPath, Refusal> {
    ContainerPath::new(path).ok_or_else(|| Refusal::new(FIELD, "the path of the cgroup is not a path", "remove the NUL byte"))
}

fn without_unified(asked: bool, legacy: Option<LegacyCgroups>, resources: Resources) -> Result<Accounting, Refusal> {
    let reason = "this host has no cgroup2 mount";
    let cure = "mount cgroup2, for example on /sys/fs/cgroup/unified, or use --cgroup-manager disabled";
    let limit = resources.writes.first().map(|write| write.field.clone());
    match limit.or((asked && legacy.is_none()).then(|| FIELD.to_owned())) {
        Some(field) => Err(Refusal::new(field, reason, cure)),
        None if legacy.is_some() => {
            let because = format!("{reason}; see the cgroup v1 hierarchies");
            Ok(Accounting { cgroup: CgroupPlan::Inherited { because }, legacy, resources })
        }
        None => Ok(inherited(reason, resources)),
    }
}

fn inherited(because: &str, resources: Resources) -> Accounting {
    let cgroup = CgroupPlan::Inherited { because: because.to_owned() };
    Accounting { cgroup, legacy: None, resources: resources.unlimited(because) }
}
