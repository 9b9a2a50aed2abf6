//! Who owns the container's cgroup.

use crate::host::CgroupLayout;
use crate::mounts::Surroundings;
use crate::{CgroupPlan, CgroupView, Mount, MountKind, NamespaceKind};
use libc::MOUNT_ATTR_RDONLY;
use wolffia_spec::oci;

const PLACE: &str = "/sys/fs/cgroup";

/// The user that the cgroup is given to, as the runtime's user namespace numbers it, so that the container can make cgroups below it:
/// by the rules of config-linux.md, "Cgroup ownership". `None`: it stays its maker's.
pub(crate) fn plan_cgroup_owner(spec: &oci::Spec, around: &Surroundings, mounts: &[Mount]) -> Option<u32> {
    let has_own = matches!(around.cgroup, CgroupPlan::Unified { .. } | CgroupPlan::Systemd(_));
    // Version 1 has no delegation that is safe (cgroups(7)).
    let safe = matches!(around.host.cgroups, CgroupLayout::Unified { .. });
    if !has_own || !safe || !around.namespaces.is_new(NamespaceKind::Cgroup) || !shown_writable(spec, mounts) {
        return None;
    }
    let user = spec.process().as_ref().map_or(0, |process| process.user().uid());
    let owner = if around.namespaces.is_private(NamespaceKind::User) {
        // A namespace that was joined may have maps that nobody named.
        around.ids.uids.as_ref()?.iter().find_map(|range| range.outside(user))?
    } else {
        user
    };
    (owner != around.host.euid).then_some(owner)
}

/// Whether a mount that the rules speak of is there: of source `cgroup`, in its usual place, not read-only.
fn shown_writable(spec: &oci::Spec, mounts: &[Mount]) -> bool {
    spec.mounts().iter().flatten().zip(mounts).any(|(given, mount)| {
        let shows = match &mount.what {
            MountKind::Cgroup(CgroupView::Unified { .. }) => true,
            MountKind::Filesystem { fstype, .. } => fstype == "cgroup2",
            _ => false,
        };
        let readonly = mount.late_readonly || (mount.attributes.set | mount.attributes.recursive_set) & MOUNT_ATTR_RDONLY != 0;
        let source = given.source().as_ref().is_some_and(|source| source.as_os_str() == "cgroup");
        shows && source && !readonly && mount.destination.as_str() == PLACE
    })
}
