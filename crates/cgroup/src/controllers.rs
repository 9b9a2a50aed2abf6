//! Handing controllers down to a cgroup: `cgroup.subtree_control` of every cgroup above it.

use crate::CgroupError;
use crate::files::{DIRECTORY, Dir};
use crate::tree;
use std::os::fd::{AsFd, BorrowedFd};
use wolffia_plan::resources::CgroupWrite;
use wolffia_sys as sys;

/// Those that systemd can delegate to a user (systemd.resource-control(5), `Delegate=`).
const DELEGABLE: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

/// Enables every controller that `dir` has for the cgroups below it, as far as the kernel lets it.
///
/// A refusal is no error here, as it is none for runc: statistics want as much as can be had, and a limit whose
/// controller is missing in the end is refused, with the reason, when it is set.
pub(crate) fn enable_all(dir: Dir<'_>) {
    let (Ok(available), Ok(enabled)) = (dir.read("cgroup.controllers"), dir.read("cgroup.subtree_control")) else { return };
    let missing: Vec<String> = available
        .split_whitespace()
        .filter(|controller| !contains(&enabled, controller))
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

/// Whether `dir` has the controller for its own limits.
pub(crate) fn has(dir: Dir<'_>, controller: &str) -> Result<bool, CgroupError> {
    dir.must_read("cgroup.controllers").map(|list| contains(&list, controller))
}

/// Hands the controller that `write` needs down from the mount to the cgroup `path`, or says which cgroup refuses it.
pub(crate) fn hand_down(mount: BorrowedFd<'_>, path: &str, write: &CgroupWrite) -> Result<(), CgroupError> {
    let missing = |at: &str, cure: String, source: Option<sys::Error>| CgroupError::NoController {
        write: Box::new(write.clone()),
        path: path.to_owned(),
        at: at.to_owned(),
        cure,
        source: source.map(Box::new),
    };
    let names = tree::names(path)?;
    let failed = |source| CgroupError::Failed { act: "open", path: path.to_owned(), source };
    let mut here = tree::open(mount, &[]).map_err(failed)?;
    let mut at = "/".to_owned();
    if !has(Dir { fd: here.as_fd(), path: &at }, &write.controller)? {
        let top = Dir { fd: here.as_fd(), path: &at };
        return Err(missing(&at, unoffered_cure(top, &write.controller)?, None));
    }
    for (depth, name) in names.iter().enumerate() {
        let parent = Dir { fd: here.as_fd(), path: &at };
        if !contains(&parent.must_read("cgroup.subtree_control")?, &write.controller) {
            parent
                .write("cgroup.subtree_control", &format!("+{}", write.controller))
                .map_err(|error| missing(&at, refusal_cure(&at, &write.controller, &error), Some(error)))?;
        }
        here = sys::fd::openat(here.as_fd(), name, DIRECTORY, 0).map_err(failed)?;
        at = tree::join(&names[..=depth]);
    }
    Ok(())
}

/// What an administrator does so that a user may use `controller`, word for word.
pub(crate) fn delegation_cure(controller: &str) -> String {
    if !DELEGABLE.contains(&controller) {
        return format!("systemd delegates no {controller} controller to users: run wolffia as root, or leave the limit out");
    }
    let delegate = DELEGABLE.join(" ");
    format!(
        "as root, once: mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate={delegate}\\n' \
         >/etc/systemd/system/user@.service.d/delegate.conf && systemctl daemon-reload, then log out and in again; \
         or run without limits: --cgroup-manager disabled"
    )
}

fn unoffered_cure(top: Dir<'_>, controller: &str) -> Result<String, CgroupError> {
    // Only the hierarchy's true root has no cgroup.events (cgroup-v2.rst, "Core Interface Files").
    if top.has("cgroup.events")? {
        return Ok(format!(
            "the host gives this container no {controller} controller: give its cgroup one, or leave the limit out"
        ));
    }
    Ok(format!(
        "the kernel has no {controller} controller for cgroup v2: where /proc/cgroups shows it in another hierarchy, boot with \
         systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all; else the kernel was built or booted without it"
    ))
}

fn refusal_cure(at: &str, controller: &str, error: &sys::Error) -> String {
    match error.errno {
        // cgroups(7), "no internal processes" rule.
        sys::Errno::EBUSY => format!(
            "processes live in {at} itself, and a cgroup with processes hands no controllers down: start wolffia with \
             `systemd-run --user --scope -p Delegate=yes wolffia ...`, or set linux.cgroupsPath to a cgroup beside that one"
        ),
        sys::Errno::EOPNOTSUPP => format!("{at} is a threaded cgroup: set linux.cgroupsPath to a cgroup that is not"),
        _ => delegation_cure(controller),
    }
}

fn contains(list: &str, controller: &str) -> bool {
    list.split_whitespace().any(|one| one == controller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cure_can_be_pasted_into_a_shell() {
        let cure = delegation_cure("memory");
        let file = "/etc/systemd/system/user@.service.d/delegate.conf";
        assert!(cure.contains(r"printf '[Service]\nDelegate=cpu cpuset io memory pids\n'"), "{cure}");
        assert!(cure.contains(&format!(">{file} && systemctl daemon-reload")), "{cure}");
        assert!(delegation_cure("hugetlb").contains("systemd delegates no hugetlb controller"));
    }
}
