//! Making init: one `clone3`; through a bridge when namespaces are joined.

use crate::create::Running;
use crate::failure::{Cause, Failure};
use crate::patience;
use crate::stage::Stage;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use wolffia_plan::{JoinNamespace, NamespaceKind, Namespaces, Step};
use wolffia_sys::fd::OFlags;
use wolffia_sys::process::{self, CloneRequest, Forked, SingleThreaded};
use wolffia_sys::procfs::ProcHandle;
use wolffia_sys::{Errno, Pid, fd, namespaces, pidfd, prctl, socket};

/// Longest time that the bridge may take: it makes a handful of system calls.
const BRIDGE_LIMIT: Duration = Duration::from_secs(30);
/// What the bridge waits for.
const BEGIN: &[u8] = b"b";

/// In which process the caller is now.
#[derive(Debug)]
pub enum Spawned {
    Init,
    Runtime(Fledgling),
}

impl Spawned {
    fn is_runtime(&self) -> bool {
        matches!(self, Spawned::Runtime(_))
    }
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

/// What is asked of [`spawn`].
#[derive(Debug)]
pub struct Wanted<'a> {
    pub new: &'a Namespaces,
    /// Those of `new` that the clone makes.
    pub flags: u64,
    /// To be joined; through a bridge.
    pub targets: &'a [Target],
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The badness score, given to the bridge: a process that has joined hides its /proc files from an unprivileged runtime.
    pub oom_score: Option<i32>,
}

/// Makes init. Returns twice, as fork does.
pub fn spawn(stage: &Stage<'_>, token: &SingleThreaded, wanted: &Wanted<'_>) -> Result<Spawned, Failure> {
    let request = CloneRequest { flags: wanted.flags, cgroup: wanted.cgroup, sibling: false };
    if wanted.targets.is_empty() {
        return stage.act_where(Step::NamespacesClone, || words(wanted.new), Spawned::is_runtime, || clone(token, &request));
    }
    across_a_bridge(stage, token, request, wanted)
}

fn clone(token: &SingleThreaded, request: &CloneRequest<'_>) -> Result<Spawned, Cause> {
    Ok(match process::clone3(token, request)? {
        Forked::Child => Spawned::Init,
        Forked::Parent { pid, pidfd } => Spawned::Runtime(Fledgling::new(pid, pidfd)),
    })
}

/// Joining changes the process that joins, and a joined pid namespace only its children: so a short-lived process joins, and
/// makes init as its sibling (`CLONE_PARENT`): our own child, which we can wait for.
fn across_a_bridge(
    stage: &Stage<'_>,
    token: &SingleThreaded,
    request: CloneRequest<'_>,
    wanted: &Wanted<'_>,
) -> Result<Spawned, Failure> {
    let (ours, theirs) = stage.act(Step::NamespacesJoin, || "bridge".into(), socket::seqpacket_pair)?;
    if wanted.oom_score.is_none() {
        // Lies in the socket when the bridge looks: it need not wait for us to be scheduled.
        stage.act(Step::NamespacesJoin, || "begin".into(), || socket::send(ours.as_fd(), BEGIN, &[]))?;
    }
    // Where the cgroup mount has `nsdelegate`, nobody gets into a cgroup namespace from a cgroup outside of it (cgroup-v2.rst,
    // "Delegation Containment"): so the bridge is born in the cgroup already, and init with it.
    let enclosed = wanted.targets.iter().any(|target| target.flags & NamespaceKind::Cgroup.clone_flag() != 0);
    let plain = CloneRequest { cgroup: request.cgroup.filter(|_| enclosed), ..CloneRequest::default() };
    let request = CloneRequest { cgroup: request.cgroup.filter(|_| !enclosed), ..request };
    let bridge = match stage.act_where(Step::NamespacesJoin, || "bridge".into(), Spawned::is_runtime, || clone(token, &plain))? {
        Spawned::Init => {
            drop(ours);
            return Ok(bridge(token, CloneRequest { sibling: true, ..request }, wanted.targets, &theirs));
        }
        Spawned::Runtime(bridge) => bridge,
    };
    drop(theirs);
    if let Some(score) = wanted.oom_score {
        stage.act(Step::OomScore, || score.to_string(), || set_oom_score(bridge.pid, score))?;
        stage.act(Step::NamespacesJoin, || "begin".into(), || socket::send(ours.as_fd(), BEGIN, &[]))?;
    }
    stage.act(Step::NamespacesJoin, || joined_words(wanted.targets), || cross(&bridge, &ours, BRIDGE_LIMIT))
}

/// Sets the badness score of `pid`.
pub fn set_oom_score(pid: Pid, score: i32) -> Result<(), Cause> {
    Ok(ProcHandle::open()?.write_for(pid, "oom_score_adj", score.to_string().as_bytes())?)
}

/// Takes over what the bridge has made, and waits for its end.
fn cross(bridge: &Fledgling, channel: &OwnedFd, limit: Duration) -> Result<Spawned, Cause> {
    let process = bridge.pidfd.as_fd();
    let comes = |fd| patience::poll_readable(&[fd], process, Some(limit)).map(|ready| ready.contains(&true));
    let spoke = comes(channel.as_fd())?;
    let answer = if spoke { socket::recv(channel.as_fd(), 4096) } else { Ok(None) };
    // Before it is killed, because it tells why no more then.
    let silence = (!spoke).then(|| patience::silence(process, limit));
    if !(spoke && comes(process)?) {
        pidfd::send_signal(bridge.pidfd.as_fd(), libc::SIGKILL)?;
    }
    pidfd::wait(bridge.pidfd.as_fd())?;
    if let Some(silence) = silence {
        return Err(format!("the process that joins the namespaces said nothing {silence}").into());
    }
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
fn bridge(token: &SingleThreaded, request: CloneRequest<'_>, targets: &[Target], report: &OwnedFd) -> Spawned {
    let begun = match socket::recv(report.as_fd(), BEGIN.len()) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err("the runtime went away".into()),
        Err(error) => Err(Cause::from(error)),
    };
    let made = begun.and_then(|()| join_all(targets)).and_then(|()| Ok(process::clone3(token, &request)?));
    let sent = match made {
        Ok(Forked::Child) => return Spawned::Init,
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::Instant;

    #[test]
    fn a_bridge_that_hangs_is_waited_for_no_longer_than_its_limit() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let hanging = Fledgling::new(pid, pidfd::open(pid).unwrap());
        // The other end stays open, as a process that hangs leaves it.
        let (ours, _theirs) = socket::seqpacket_pair().unwrap();
        let begin = Instant::now();
        let error = cross(&hanging, &ours, Duration::from_secs(1)).unwrap_err();
        assert!(error.text.contains("said nothing for 1 s") && begin.elapsed() < Duration::from_secs(10), "{error:?}");
        assert!(child.try_wait().is_err(), "it was not reaped");
    }
}
