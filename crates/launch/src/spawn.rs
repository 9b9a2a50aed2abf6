//! Making init: one `clone3`; through a bridge when namespaces are joined.

use crate::create::Running;
use crate::failure::{Cause, Failure};
use crate::stage::Stage;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use wolffia_plan::{JoinNamespace, NamespaceKind, Namespaces, Step};
use wolffia_sys::fd::OFlags;
use wolffia_sys::process::{self, CloneRequest, Forked, SingleThreaded};
use wolffia_sys::{Errno, Pid, fd, namespaces, pidfd, prctl, socket};

/// Longest time that the bridge may take: it makes a handful of system calls.
const BRIDGE_LIMIT: Duration = Duration::from_secs(30);

/// In which process the caller is now.
#[derive(Debug)]
pub enum Spawned {
    Init,
    Runtime(Fledgling),
}

/// A process on its way to the payload. Dropped before it is released, it is killed: a caller that fails leaves nothing behind.
#[derive(Debug)]
pub struct Fledgling {
    pub pid: Pid,
    pub pidfd: OwnedFd,
    released: bool,
}

impl Fledgling {
    fn new(pid: Pid, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd, released: false }
    }

    /// It may live on.
    pub fn release(mut self) -> Result<Running, Failure> {
        let pidfd = self.pidfd.try_clone().map_err(|error| Failure::new(Step::Exec, "pidfd", error))?;
        self.released = true;
        Ok(Running { pid: self.pid, pidfd })
    }
}

impl Drop for Fledgling {
    fn drop(&mut self) {
        if !self.released {
            // Nothing to report to: the failure that led here is the one that is told. A process that is gone needs no kill.
            let killed = pidfd::send_signal(self.pidfd.as_fd(), libc::SIGKILL);
            if killed.is_ok() {
                drop(pidfd::wait(self.pidfd.as_fd()));
            }
        }
    }
}

/// A namespace that is entered: what it is for messages, the descriptor, and the `CLONE_NEW*` bits.
#[derive(Debug)]
pub struct Target {
    pub name: String,
    pub descriptor: OwnedFd,
    pub flags: u64,
}

/// Opens the namespaces to join and checks their kinds, so that a wrong path is an error before a process is made.
pub fn targets(join: &[JoinNamespace]) -> Result<Vec<Target>, Cause> {
    join.iter().map(target).collect()
}

fn target(join: &JoinNamespace) -> Result<Target, Cause> {
    let descriptor = fd::open(join.path.as_path(), OFlags::RDONLY, 0)?;
    let flags = join.kind.clone_flag();
    let found = namespaces::ns_type(descriptor.as_fd())
        .map_err(|error| Cause::from(error).context(format!("{} is not a namespace", join.path)))?;
    if found != flags {
        return Err(format!("{} is not a {} namespace", join.path, join.kind.spec_name()).into());
    }
    Ok(Target { name: format!("{} {}", join.kind.spec_name(), join.path), descriptor, flags })
}

/// Makes init in `new` namespaces, inside `cgroup`. Returns twice, as fork does.
pub fn spawn(
    stage: &Stage<'_>,
    token: &SingleThreaded,
    new: &Namespaces,
    targets: &[Target],
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Spawned, Failure> {
    let request = CloneRequest { flags: new.clone_flags(), cgroup, sibling: false };
    let here = |spawned: &Spawned| matches!(spawned, Spawned::Runtime(_));
    if targets.is_empty() {
        return stage.act_where(Step::NamespacesClone, || words(new), here, || clone(token, &request));
    }
    stage.act_where(Step::NamespacesJoin, || joined_words(targets), here, || across_a_bridge(token, request, targets))
}

fn clone(token: &SingleThreaded, request: &CloneRequest<'_>) -> Result<Spawned, Cause> {
    Ok(match process::clone3(token, request)? {
        Forked::Child => Spawned::Init,
        Forked::Parent { pid, pidfd } => Spawned::Runtime(Fledgling::new(pid, pidfd)),
    })
}

/// Joining changes the process that joins, and a joined pid namespace only its children: so a short-lived process joins, and
/// makes init as its sibling (`CLONE_PARENT`): our own child, which we can wait for.
fn across_a_bridge(token: &SingleThreaded, request: CloneRequest<'_>, targets: &[Target]) -> Result<Spawned, Cause> {
    let (ours, theirs) = socket::seqpacket_pair()?;
    let plain = CloneRequest { flags: 0, cgroup: None, sibling: false };
    let bridge = match process::clone3(token, &plain)? {
        Forked::Child => {
            drop(ours);
            return bridge(token, CloneRequest { sibling: true, ..request }, targets, theirs);
        }
        Forked::Parent { pidfd, .. } => pidfd,
    };
    drop(theirs);
    let answer = socket::recv(ours.as_fd(), 4096);
    if !pidfd::wait_exit(bridge.as_fd(), Some(BRIDGE_LIMIT))? {
        pidfd::send_signal(bridge.as_fd(), libc::SIGKILL)?;
    }
    pidfd::wait(bridge.as_fd())?;
    let (bytes, descriptors) = answer?.ok_or("the process that joins the namespaces was killed")?;
    let text = String::from_utf8_lossy(&bytes);
    let Some(pid) = text.parse().ok().and_then(Pid::from_raw) else {
        let (errno, text) = text.split_once(' ').unwrap_or(("0", &text));
        return Err(Cause { text: text.to_owned(), errno: errno.parse().unwrap_or(0) });
    };
    let pidfd = descriptors.into_iter().next().ok_or("the process that joins the namespaces sent no descriptor")?;
    Ok(Spawned::Runtime(Fledgling::new(pid, pidfd)))
}

/// The bridge itself: joins, makes init, tells the runtime init's pid, ends. Returns only as init.
fn bridge(token: &SingleThreaded, request: CloneRequest<'_>, targets: &[Target], report: OwnedFd) -> Result<Spawned, Cause> {
    let made = join_all(targets).and_then(|()| Ok(process::clone3(token, &request)?));
    let sent = match made {
        Ok(Forked::Child) => return Ok(Spawned::Init),
        Ok(Forked::Parent { pid, pidfd }) => socket::send(report.as_fd(), pid.to_string().as_bytes(), &[pidfd.as_fd()]),
        Err(cause) => socket::send(report.as_fd(), format!("{} {}", cause.errno, cause.text).as_bytes(), &[]),
    };
    // A runtime that is gone hears nothing; the exit status is all that is left to say.
    process::exit(i32::from(sent.is_err()))
}

/// Joins with the caller's own rights first. What they do not suffice for is joined again from inside the user namespace: a pod's
/// namespaces belong to it, while a network namespace made by an engine belongs to the host.
fn join_all(targets: &[Target]) -> Result<(), Cause> {
    // Because a process in a joined pid namespace could otherwise open our descriptors through /proc (CVE-2016-9962).
    prctl::set_dumpable(false)?;
    let user = NamespaceKind::User.clone_flag();
    let mut later = Vec::new();
    for target in targets.iter().filter(|target| target.flags & user == 0) {
        match namespaces::setns(target.descriptor.as_fd(), target.flags) {
            Ok(()) => {}
            Err(error) if error.is(Errno::EPERM) => later.push(target),
            Err(error) => return Err(Cause::from(error).context(&target.name)),
        }
    }
    let users = targets.iter().filter(|target| target.flags & user != 0);
    for target in users.chain(later) {
        namespaces::setns(target.descriptor.as_fd(), target.flags).map_err(|error| Cause::from(error).context(&target.name))?;
    }
    Ok(())
}

fn words(new: &Namespaces) -> String {
    new.new.iter().map(|kind| kind.spec_name()).collect::<Vec<_>>().join(" ")
}

fn joined_words(targets: &[Target]) -> String {
    targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>().join(", ")
}
