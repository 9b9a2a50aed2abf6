//! Handing controllers down to a cgroup: `cgroup.subtree_control` of every cgroup above it.

use crate::files::Dir;

/// Enables every controller that `dir` has for the cgroups below it, as far as the kernel lets it.
///
/// A refusal is no error here, as it is none for runc: statistics want as much as can be had, and a limit whose
/// controller is missing in the end is refused, with the reason, when it is set.
pub(crate) fn enable_all(dir: Dir<'_>) {
    let (Ok(available), Ok(enabled)) = (dir.read("cgroup.controllers"), dir.read("cgroup.subtree_control")) else { return };
    let missing: Vec<String> = available
        .split_whitespace()
        .filter(|controller| !enabled.split_whitespace().any(|other| other == *controller))
        .map(|controller| format!("+{controller}"))
        .collect();
    if missing.is_empty() || dir.write("cgroup.subtree_control", &missing.join(" ")).is_ok() {
        return;
    }
    // One that cannot be handed on makes the kernel refuse the whole line.
    for one in &missing {
        if dir.write("cgroup.subtree_control", one).is_err() {
            continue;
        }
    }
}
