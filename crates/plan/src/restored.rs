//! Whether a restored container is confined as its plan would have confined a new one. Images say what the restored processes are;
//! here that is compared with the configuration, before the first of them goes on (invariant: restore = create).

use crate::{Capabilities, ContainerPath, MountKind, NamespaceKind, Plan, Refusal};
use std::collections::BTreeMap;

/// One task of a restored container, as /proc shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredTask {
    pub pid: i32,
    pub capabilities: Capabilities,
    pub no_new_privileges: bool,
    /// A filter of system calls is over it.
    pub filtered: bool,
    /// Inode of each namespace.
    pub namespaces: BTreeMap<NamespaceKind, u64>,
    /// What /proc/PID/attr/current says; `None` without a security module.
    pub label: Option<String>,
}

/// The namespaces that the runtime is in, and those that the plan joins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutsideNamespaces {
    pub own: BTreeMap<NamespaceKind, u64>,
    pub joined: BTreeMap<NamespaceKind, u64>,
}

/// A line of /proc/PID/mountinfo (proc_pid_mountinfo(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenMount {
    pub id: u64,
    /// `major:minor`
    pub device: String,
    /// What of the file system is mounted.
    pub root: String,
    pub point: String,
    pub fstype: String,
    pub readonly: bool,
}

impl SeenMount {
    /// Reads a line; `None` if it is none.
    pub fn parse(line: &str) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut fields = mount.split(' ');
        let id = fields.next()?.parse().ok()?;
        let (device, root, point) = (fields.nth(1)?.to_owned(), fields.next()?.to_owned(), fields.next()?.to_owned());
        let readonly = fields.next()?.split(',').any(|option| option == "ro");
        let fstype = filesystem.split(' ').next()?.to_owned();
        Some(Self { id, device, root, point, fstype, readonly })
    }

    /// Whether `other` shows a part of what this one shows.
    fn covers(&self, other: &SeenMount) -> bool {
        let below = other.root.strip_prefix(self.root.trim_end_matches('/'));
        self.device == other.device && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// What is at a path of the restored container that the plan says something about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenPath {
    pub path: ContainerPath,
    /// `MOUNT_ATTR_*` of the mount that it is on.
    pub attributes: u64,
    pub is_mount_root: bool,
    /// /dev/null, or a directory that holds nothing.
    pub is_cover: bool,
}

/// Checks every task.
///
/// # Errors
/// The first that has more than the plan gives.
pub fn judge_tasks(plan: &Plan, outside: &OutsideNamespaces, tasks: &[RestoredTask]) -> Result<(), Refusal> {
    for task in tasks {
        judge_rights(plan, task)?;
        judge_namespaces(plan, outside, task)?;
    }
    match tasks {
        [] => Err(Refusal::new("", "the restored container has no process", "")),
        _ => Ok(()),
    }
}

/// Checks what is mounted: `seen` in the container, `given` by the plan, `hosts` on the host.
///
/// # Errors
/// A mount that shows something of the host's that the plan does not give, or lets it be written where the plan does not.
pub fn judge_mounts(given: &[SeenMount], hosts: &[SeenMount], seen: &[SeenMount]) -> Result<(), Refusal> {
    let foreign = seen.iter().filter(|mount| hosts.iter().any(|host| host.device == mount.device));
    for mount in foreign {
        let covering: Vec<&SeenMount> = given.iter().filter(|one| one.covers(mount)).collect();
        let what = || format!("{} of device {} ({}) at {}", mount.root, mount.device, mount.fstype, mount.point);
        if covering.is_empty() {
            return Err(differs("/mounts", format!("a mount that the configuration does not have: {}", what())));
        }
        if !mount.readonly && covering.iter().all(|one| one.readonly) {
            return Err(differs("/mounts", format!("a mount is writable that the configuration makes read-only: {}", what())));
        }
    }
    Ok(())
}

/// Checks what the plan says of single paths. A path that does not exist is in nobody's reach.
///
/// # Errors
/// A mask or a protection that is not there.
pub fn judge_paths(plan: &Plan, look: &dyn Fn(&ContainerPath) -> Result<Option<SeenPath>, Refusal>) -> Result<(), Refusal> {
    const READONLY: u64 = libc::MOUNT_ATTR_RDONLY;
    for path in &plan.masked_paths {
        if look(path)?.is_some_and(|seen| !(seen.is_mount_root && seen.is_cover)) {
            return Err(differs("/linux/maskedPaths", format!("{path} is not masked")));
        }
    }
    for path in &plan.readonly_paths {
        if look(path)?.is_some_and(|seen| seen.attributes & READONLY == 0) {
            return Err(differs("/linux/readonlyPaths", format!("{path} is writable")));
        }
    }
    let root = look(&ContainerPath::root())?;
    if plan.root.readonly && root.is_none_or(|seen| seen.attributes & READONLY == 0) {
        return Err(differs("/root/readonly", "the root is writable".to_owned()));
    }
    for mount in plan.mounts.iter().filter(|mount| !matches!(mount.what, MountKind::Remount | MountKind::Propagation)) {
        let late = if mount.late_readonly { READONLY } else { 0 };
        // Access times protect nothing, and are named in several ways.
        let wanted = (mount.attributes.set | mount.attributes.recursive_set | late)
            & (READONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC);
        // One that a later entry covers, or that the container has unmounted, has no flags to compare.
        let covered = plan.mounts.iter().filter(|other| other.destination == mount.destination).count() > 1;
        if let Some(seen) = look(&mount.destination)?.filter(|seen| seen.is_mount_root && !covered)
            && seen.attributes & wanted != wanted
        {
            let field = format!("{}/options", mount.field);
            return Err(differs(&field, format!("{} has fewer flags than the configuration gives it", mount.destination)));
        }
    }
    Ok(())
}

/// Checks the filters of the images: each that is not laid over another must be the plan's.
///
/// # Errors
/// One that is not.
pub fn judge_filters(plan: &Plan, first: &[Vec<u8>]) -> Result<(), Refusal> {
    let Some(seccomp) = plan.process.as_ref().and_then(|process| process.seccomp.as_ref()) else { return Ok(()) };
    let program: Vec<u8> = seccomp
        .filter
        .program
        .0
        .iter()
        .flat_map(|step| [&step.code.to_ne_bytes()[..], &[step.jt, step.jf], &step.k.to_ne_bytes()].concat())
        .collect();
    match first.iter().all(|filter| *filter == program) && !first.is_empty() {
        true => Ok(()),
        false => Err(differs("/linux/seccomp", "the images hold another filter".to_owned())),
    }
}

fn judge_rights(plan: &Plan, task: &RestoredTask) -> Result<(), Refusal> {
    let Some(process) = &plan.process else { return Err(differs("/process", "there is a process".to_owned())) };
    let (has, may) = (&task.capabilities, &process.capabilities);
    let sets = [has.bounding, has.effective, has.inheritable, has.permitted, has.ambient];
    // The bounding set is the largest of them, and what a set-uid program can have back.
    let most = may.bounding | may.permitted | may.inheritable;
    if let Some(more) = sets.iter().map(|set| set & !most).find(|more| *more != 0) {
        let reason = format!("process {} has capabilities that it gives to none ({more:#x})", task.pid);
        return Err(differs("/process/capabilities", reason));
    }
    if process.no_new_privileges && !task.no_new_privileges {
        return Err(differs("/process/noNewPrivileges", format!("process {} may gain privileges", task.pid)));
    }
    if process.seccomp.is_some() && !task.filtered {
        return Err(differs("/linux/seccomp", format!("process {} has no filter", task.pid)));
    }
    let labels = [("/process/apparmorProfile", &process.labels.apparmor), ("/process/selinuxLabel", &process.labels.selinux)];
    for (field, wanted) in labels {
        let has = task.label.as_deref().unwrap_or_default();
        if wanted.as_ref().is_some_and(|wanted| has != wanted && has != format!("{wanted} (enforce)")) {
            return Err(differs(field, format!("process {} is {has:?}", task.pid)));
        }
    }
    Ok(())
}

fn judge_namespaces(plan: &Plan, outside: &OutsideNamespaces, task: &RestoredTask) -> Result<(), Refusal> {
    for kind in NamespaceKind::ALL {
        let (is, own) = (task.namespaces.get(&kind), outside.own.get(&kind));
        let fits = match (plan.namespaces.is_new(kind), plan.namespaces.joined(kind)) {
            (true, _) => is != own,
            (false, Some(_)) => is == outside.joined.get(&kind),
            // CRIU restores into a time namespace of its own, so that clocks go on from where they were.
            (false, None) => is == own || kind == NamespaceKind::Time,
        };
        if !fits {
            let reason = format!("process {} is in another {} namespace", task.pid, kind.spec_name());
            return Err(differs("/linux/namespaces", reason));
        }
    }
    Ok(())
}

fn differs(field: &str, reason: String) -> Refusal {
    Refusal::new(
        field,
        format!("the checkpoint is not of this configuration: {reason}"),
        "restore it with the configuration that it was made with",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(line: &str) -> SeenMount {
        SeenMount::parse(line).unwrap()
    }

    #[test]
    fn a_mount_shows_only_what_is_given() {
        let hosts = [mount("1 0 8:1 / / rw - ext4 /dev/sda rw"), mount("2 1 0:5 / /proc rw - proc proc rw")];
        let given = [
            mount("9 1 8:1 /b/rootfs /s/root rw - ext4 /dev/sda rw"),
            mount("10 1 8:1 /etc/hosts /s/x/0 ro,nodev - ext4 /dev/sda rw"),
        ];
        let judge = |line: &str| judge_mounts(&given, &hosts, &[mount(line)]).map_err(|refusal| refusal.reason);
        assert_eq!(judge("20 1 8:1 /b/rootfs / rw - ext4 /dev/sda rw"), Ok(()));
        assert_eq!(judge("20 1 8:1 /b/rootfs/var /mnt rw - ext4 /dev/sda rw"), Ok(()));
        assert_eq!(judge("20 1 8:1 /etc/hosts /etc/hosts ro - ext4 /dev/sda rw"), Ok(()));
        assert_eq!(judge("20 1 0:77 / /tmp rw - tmpfs tmpfs rw"), Ok(()), "one of the container's own");
        assert!(judge("20 1 8:1 /etc/hosts /x rw - ext4 /dev/sda rw").unwrap_err().contains("writable"));
        assert!(judge("20 1 8:1 /etc /x ro - ext4 /dev/sda rw").unwrap_err().contains("does not have"));
        assert!(judge("20 1 8:1 /b/rootfs2 /x ro - ext4 /dev/sda rw").unwrap_err().contains("does not have"));
        assert!(judge("20 1 0:5 / /proc rw - proc proc rw").unwrap_err().contains("does not have"));
    }

    #[test]
    fn a_line_that_is_cut_off_is_none() {
        assert_eq!(SeenMount::parse("1 0 8:1 / /"), None);
        assert_eq!(SeenMount::parse(""), None);
    }
}
