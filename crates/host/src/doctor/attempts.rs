//! What is tried in child processes: the acts that a rootless container begins with.

use super::Facts;
use super::trial::{self, Failure, Report, Reporter, Tried};
use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use wolffia_plan::NamespaceKind as Kind;
use wolffia_sys::fd::{self, OFlags};
use wolffia_sys::mount::{self, FsContext, OpenTree};
use wolffia_sys::process::SingleThreaded;
use wolffia_sys::procfs::ProcHandle;
use wolffia_sys::root::Root;
use wolffia_sys::{Pid, namespaces, pidfd, process};

/// Names of attempts in a [`Report`].
pub(super) const IDS: &str = "ids";
pub(super) const TMPFS: &str = "fsmount";
pub(super) const PROC: &str = "proc";
const TIME: &str = "time";
const IDMAP: &str = "idmap";
/// System calls that every container needs, in the order in which they are tried.
pub(super) const SYSTEM_CALLS: [&str; 6] = ["openat2", TMPFS, "open_tree", "mount_setattr", "close_range", "pidfd_open"];

/// How everything went that was tried.
#[derive(Debug)]
pub(super) struct Attempts {
    /// Making a user namespace together with all the others.
    pub(super) user: Tried,
    /// What a process in them could do; without the user namespace if that failed and root can do without.
    pub(super) container: Result<Report, Failure>,
    /// Giving a mount another id map.
    pub(super) idmap: Tried,
}

impl Attempts {
    pub(super) fn time_namespace(&self) -> Tried {
        self.container.as_ref().map_err(Clone::clone)?.of(TIME)
    }
}

pub(super) fn run(alone: &SingleThreaded, facts: &Facts) -> Attempts {
    let with_user = in_namespaces(alone, &[Kind::User], Some(facts));
    let user = with_user.as_ref().map(drop).map_err(Clone::clone);
    let container = if with_user.is_err() && facts.host.privileged { in_namespaces(alone, &[], None) } else { with_user };
    Attempts { user, container, idmap: idmap(alone, facts) }
}

/// Tries it all as the first process of new namespaces. `mapped` is who maps its own id to root in a new user namespace.
fn in_namespaces(alone: &SingleThreaded, more: &[Kind], mapped: Option<&Facts>) -> Result<Report, Failure> {
    let kinds = [Kind::Mount, Kind::Pid, Kind::Network, Kind::Ipc, Kind::Uts, Kind::Cgroup];
    let child = trial::start(alone, flags(&[&kinds, more].concat()), |report, gate| {
        if opened(gate).is_ok() {
            for (name, attempt) in CONTAINER {
                report.tell(name, attempt());
            }
        }
    })?;
    let ids = mapped.map_or(Ok(()), |facts| map_ids(child.pid, (facts.host.euid, facts.host.egid)));
    Ok(child.finish()?.with(IDS, ids))
}

fn flags(kinds: &[Kind]) -> u64 {
    kinds.iter().fold(0, |flags, kind| flags | kind.clone_flag())
}

/// Waits until the parent has done its part.
fn opened(mut gate: PipeReader) -> std::io::Result<usize> {
    gate.read(&mut [0])
}

/// Maps root in the new user namespace to the maker's own ids, which needs no right but to have made it (user_namespaces(7)).
fn map_ids(pid: Pid, (uid, gid): (u32, u32)) -> Tried {
    let proc = ProcHandle::open()?;
    proc.write_for(pid, "setgroups", b"deny")?;
    proc.write_for(pid, "gid_map", format!("0 {gid} 1").as_bytes())?;
    proc.write_for(pid, "uid_map", format!("0 {uid} 1").as_bytes())?;
    Ok(())
}

type Attempt = fn() -> Tried;

const CONTAINER: [(&str, Attempt); 8] = [
    ("openat2", || Ok(host_root().and_then(|root| Root::from(root).resolve("", OFlags::DIRECTORY)).map(drop)?)),
    (TMPFS, || Ok(file_system("tmpfs").map(drop)?)),
    ("open_tree", || Ok(mount::open_tree(host_root()?, "", COPY).map(drop)?)),
    ("mount_setattr", || Ok(mount::mount_setattr(file_system("tmpfs")?, true, mount::MOUNT_ATTR_RDONLY, 0, 0, None)?)),
    ("close_range", || Ok(fd::close_range_cloexec(3)?)),
    ("pidfd_open", || Ok(pidfd::open(process::getpid()).map(drop)?)),
    (PROC, || Ok(file_system("proc").map(drop)?)),
    // The last one: it is the only one that changes the process.
    (TIME, || Ok(namespaces::unshare(Kind::Time.clone_flag())?)),
];

/// A copy of a whole tree, as a recursive bind mount makes: the only kind that a user namespace may copy (mount_namespaces(7)).
const COPY: OpenTree = OpenTree { clone: true, recursive: true, nofollow: false, empty_path: true };

fn host_root() -> wolffia_sys::Result<OwnedFd> {
    fd::open("/", OFlags::PATH | OFlags::DIRECTORY, 0)
}

/// A new file system, mounted nowhere.
fn file_system(kind: &str) -> wolffia_sys::Result<OwnedFd> {
    let context = FsContext::open(kind)?;
    context.create()?;
    context.mount(mount::MOUNT_ATTR_NOSUID | mount::MOUNT_ATTR_NODEV | mount::MOUNT_ATTR_NOEXEC)
}

/// Gives a detached mount the id map of yet another user namespace: for root a copy of "/", for others a tmpfs of their own.
fn idmap(alone: &SingleThreaded, facts: &Facts) -> Tried {
    let privileged = facts.host.privileged;
    let kinds: &[Kind] = if privileged { &[Kind::Mount] } else { &[Kind::User, Kind::Mount] };
    let child = trial::start(alone, flags(kinds), |report: &mut Reporter, gate| {
        if opened(gate).is_ok() {
            report.tell(IDMAP, map_mount(alone, privileged, facts));
        }
    })?;
    if !privileged {
        map_ids(child.pid, (facts.host.euid, facts.host.egid))?;
    }
    child.finish()?.of(IDMAP)
}

fn map_mount(alone: &SingleThreaded, of_host: bool, facts: &Facts) -> Tried {
    let owner = trial::start(alone, Kind::User.clone_flag(), |_, gate| opened(gate).map_or((), drop))?;
    // In a user namespace of its own this process is root.
    map_ids(owner.pid, if of_host { (facts.host.euid, facts.host.egid) } else { (0, 0) })?;
    let userns = namespaces::open_of(owner.pid, "user")?;
    let tree =
        if of_host { mount::open_tree(host_root()?, "", OpenTree { recursive: false, ..COPY })? } else { file_system("tmpfs")? };
    mount::mount_setattr(tree, false, 0, 0, 0, Some(userns.as_fd()))?;
    owner.finish().map(drop)
}
