//! What of a container is outside of what CRIU saves, and which containers it cannot save whole.

use crate::{CgroupView, ContainerPath, DeviceHow, Ids, MountKind, NamespaceKind, Plan, Refusal};

/// A mount whose content is the host's: saved as its name alone, and restored from the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// The name, the same at both ends. It goes into `mnt[NAME]:…`.
    pub name: String,
    /// Where the container has it.
    pub path: ContainerPath,
    pub source: ExternalSource,
}

/// Where the mount comes from when the container is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExternalSource {
    /// What an entry of `mounts` has mounted.
    Mount { index: usize },
    /// A directory in that: a hierarchy of cgroup v1.
    Below { index: usize, directory: String },
    /// The host's /dev/null, which covers a file.
    Null,
}

/// The name that all covered files share.
const NULL: &str = "null";

/// The mounts that CRIU must leave to us, for a container that it can save and restore with everything that its plan protects it by.
///
/// # Errors
/// What would be lost, or cannot be made again.
pub fn plan_externals(plan: &Plan) -> Result<Vec<External>, Refusal> {
    refuse_what_is_lost(plan)?;
    let mut externals = Vec::new();
    for (index, mount) in plan.mounts.iter().enumerate() {
        match &mount.what {
            MountKind::Bind { .. } | MountKind::Cgroup(CgroupView::Unified { .. } | CgroupView::UnifiedBind { .. }) => {
                let path = mount.destination.clone();
                externals.push(External { name: name(&mount.field, &path)?, path, source: ExternalSource::Mount { index } });
            }
            MountKind::Cgroup(CgroupView::Legacy { hierarchies }) => {
                for hierarchy in hierarchies {
                    let path = mount.destination.join(&hierarchy.directory);
                    let source = ExternalSource::Below { index, directory: hierarchy.directory.clone() };
                    externals.push(External { name: name(&mount.field, &path)?, path, source });
                }
            }
            MountKind::Filesystem { .. } | MountKind::Remount | MountKind::Propagation => {}
        }
    }
    let null = |path: &ContainerPath| External { name: NULL.to_owned(), path: path.clone(), source: ExternalSource::Null };
    externals.extend(plan.masked_paths.iter().map(null));
    Ok(externals)
}

/// Brackets end a name in CRIU's options, and what follows would be another path (CVE-2026-119101, CVE-2026-115520).
fn name(field: &str, path: &ContainerPath) -> Result<String, Refusal> {
    if path.as_str().contains(|c: char| matches!(c, '[' | ']') || c.is_control()) {
        let reason = format!("a mount at {:?} cannot be told to CRIU", path.as_str());
        return Err(Refusal::new(
            format!("{field}/destination"),
            reason,
            "checkpoint and restore take no brackets in a destination",
        ));
    }
    Ok(format!("bind:{path}"))
}

fn refuse_what_is_lost(plan: &Plan) -> Result<(), Refusal> {
    let refuse = |field: &str, reason: &str, cure: &str| {
        Err(Refusal::new(field, format!("checkpoint and restore: {reason}"), cure.to_owned()))
    };
    if plan.ids != Ids::Inherited {
        return refuse("/linux/namespaces", "containers with a user namespace are not in this version", "run it without one");
    }
    if let Some(join) = plan.namespaces.join.iter().find(|join| join.kind != NamespaceKind::Network) {
        let reason = format!("a {} namespace that is joined by path is not in this version", join.kind.spec_name());
        return refuse("/linux/namespaces", &reason, "let the container have its own, or the host's");
    }
    // Every process is inside: CRIU finds them by their pids in it, and gives them the same again.
    for kind in [NamespaceKind::Pid, NamespaceKind::Mount] {
        if !plan.namespaces.is_new(kind) {
            let reason = format!("a container without a {} namespace of its own", kind.spec_name());
            return refuse("/linux/namespaces", &reason, "add it to linux.namespaces");
        }
    }
    if !plan.net_devices.is_empty() {
        return refuse("/linux/netDevices", "devices of the host's are not in this version", "leave netDevices out");
    }
    let bound = plan.devices.iter().find(|device| matches!(device.how, DeviceHow::Bind { .. }));
    if let Some(device) = bound {
        return refuse("/linux/devices", &format!("{} is the host's own node", device.path), "leave the device out");
    }
    let Some(process) = &plan.process else { return refuse("/process", "a container without a program", "give it one") };
    if process.landlock.is_some() {
        let reason = "CRIU does not save Landlock rules, and the restored processes would be without them";
        return refuse("/process/landlock", reason, "run it without");
    }
    if process.seccomp.as_ref().is_some_and(|seccomp| seccomp.filter.listener.is_some()) {
        let reason = "an agent's listener cannot be saved";
        return refuse("/linux/seccomp/listenerPath", reason, "use a profile without SCMP_ACT_NOTIFY");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_holds_nothing_that_ends_it() {
        let name = |path: &str| name("/mounts/0", &ContainerPath::new(path).unwrap());
        assert_eq!(name("/etc/hosts").unwrap(), "bind:/etc/hosts");
        for path in ["/a]:/etc", "/a[b", "/a\nb"] {
            assert_eq!(name(path).unwrap_err().field, "/mounts/0/destination");
        }
    }
}
