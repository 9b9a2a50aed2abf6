//! The runtime's side of making a container: from the clone to init's word that only `start` is missing.

use crate::failure::{Cause, Failure};
use crate::handshake::{self, FromInit, RuntimeSide, Silence, ToInit};
use crate::hooks::{self, HookState};
use crate::init::Init;
use crate::netdevices::Network;
use crate::spawn::{self, Fledgling, Spawned, Wanted};
use crate::stage::{Stage, Trace, TraceLine};
use crate::{confine, idmaps, settings, sources, tune};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use wolffia_plan::{Actor, Ids, NamespaceKind, Plan, Process, Step};
use wolffia_sys::pidfd::{self, ExitStatus};
use wolffia_sys::process::SingleThreaded;
use wolffia_sys::procfs::ProcHandle;
use wolffia_sys::{Pid, ids, namespaces};

/// Longest time between two words of init where no hook without a timeout can hold it up.
const SILENCE_LIMIT: Duration = Duration::from_secs(120);

/// What `create` is given beside the plan.
pub struct Launch<'a> {
    pub plan: &'a Plan,
    /// What hooks are told; `status` and `pid` are filled in.
    pub state: HookState,
    /// The container's cgroup, to be born in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Puts init where it is accounted before it goes on, if it cannot be born there: hierarchies of cgroup v1, a scope of systemd's.
    pub join: Option<&'a dyn Fn(Pid) -> Result<(), Cause>>,
    /// Sets the limits of the cgroup that init was born in, and its owner.
    pub limit: &'a dyn Fn() -> Result<(), Failure>,
    /// The socket on which init waits for `start`; `None` when the caller starts it at once.
    pub listener: Option<OwnedFd>,
    /// Takes the terminal's master and its name.
    pub console: &'a mut dyn FnMut(&str, OwnedFd) -> Result<(), Cause>,
    /// Takes trace lines, when somebody wants them.
    pub trace: Option<&'a dyn Fn(TraceLine)>,
}

impl std::fmt::Debug for Launch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Launch").field("plan", self.plan).field("state", &self.state).finish_non_exhaustive()
    }
}

/// An init that has done everything but start. Dropped, it is killed.
#[derive(Debug)]
pub struct Launched {
    init: Fledgling,
    channel: RuntimeSide,
}

/// A process that runs the payload, our own child.
#[derive(Debug)]
pub struct Running {
    pub pid: Pid,
    pub pidfd: OwnedFd,
}

impl Running {
    /// Ends it.
    pub fn end(&self) -> wolffia_sys::Result<()> {
        pidfd::send_signal(self.pidfd.as_fd(), libc::SIGKILL)?;
        pidfd::wait(self.pidfd.as_fd()).map(drop)
    }

    /// Waits for its end, without a limit: the payload's life is its own.
    pub fn wait(&self) -> Result<ExitStatus, Cause> {
        Ok(pidfd::wait(self.pidfd.as_fd())?)
    }
}

/// Carries the plan out up to the point where only `start` is missing.
pub fn launch(launch: Launch<'_>) -> Result<Launched, Failure> {
    let plan = launch.plan;
    let stage = Stage { trace: launch.trace.map_or(Trace::Off, Trace::Log) };
    let token = stage.act(Step::NamespacesClone, || "single-threaded".into(), SingleThreaded::check)?;
    let targets = stage.act(Step::NamespacesJoin, String::new, || spawn::targets(&plan.namespaces.join))?;
    stage.act(Step::Sysctl, || "whose they are".into(), || settings::check_sysctls(&plan.sysctl, &targets))?;
    let (ours, theirs) = stage.act(Step::NamespacesClone, || "handshake".into(), handshake::pair)?;
    let needs_nothing = needs_nothing(plan) && launch.join.is_none();
    if needs_nothing {
        // Lies in the socket when init looks: it need not wait for us to be scheduled.
        stage.act(Step::SessionStart, || "proceed".into(), || ours.send(&ToInit::Proceed))?;
    }
    // Asked before the clone: once it is mapped, init is user 0 in its own eyes.
    let dumpable_until_mapped = matches!(plan.ids, Ids::Mapped { .. }) && ids::geteuid() != 0;
    let wanted = Wanted {
        new: &plan.namespaces,
        flags: plan.clone_flags(),
        targets: &targets,
        cgroup: launch.cgroup,
        oom_score: oom_score(plan),
    };
    let init = match spawn::spawn(&stage, &token, &wanted)? {
        Spawned::Init => {
            // The other end must be gone here, or init would never see the runtime's end of file.
            drop(ours);
            let tracing = launch.trace.is_some() || cfg!(feature = "faults");
            Init { plan, state: &launch.state, dumpable_until_mapped, listener: launch.listener, tracing }.run(theirs)
        }
        Spawned::Runtime(init) => init,
    };
    drop(theirs);
    let launched = Launched { init, channel: ours };
    let sent_off = if needs_nothing { Ok(()) } else { send_off(&stage, &token, &launch, &launched) };
    // Only now, because init mounts meanwhile, and a device program takes the kernel a fifth of a millisecond; in time, because the
    // payload starts at a word of ours.
    let limited = sent_off.and_then(|()| (launch.limit)());
    let mut network = None;
    let ready = limited.and_then(|()| accompany(&stage, plan, &launched, &mut network, &launch.state, launch.console));
    let Err(failure) = ready else { return Ok(launched) };
    // Before init goes, because with its namespace the devices in it go too.
    let failure = match network.map_or(Ok(()), Network::give_back) {
        Ok(()) => failure,
        Err(cause) => Failure { cause: format!("{}; and a network device was lost: {}", failure.cause, cause.text), ..failure },
    };
    Err(launched.first_reason(failure))
}

/// Init's network: its loopback interface, and the host's devices.
fn set_network_up(stage: &Stage<'_>, plan: &Plan, init: Pid, network: &mut Network) -> Result<(), Failure> {
    if plan.namespaces.is_new(NamespaceKind::Network) {
        stage.act(Step::Loopback, String::new, || network.set_loopback_up())?;
    }
    if plan.net_devices.is_empty() {
        return Ok(());
    }
    let kind = NamespaceKind::Network.file_name();
    let namespace = stage.act(Step::NetDevicesMove, String::new, || namespaces::open_of(init, kind))?;
    for device in &plan.net_devices {
        stage.act(Step::NetDevicesMove, || device.host_name.clone(), || network.move_in(device, &namespace))?;
        stage.act(Step::NetDevicesConfigure, || device.container_name.clone(), || network.configure(device))?;
    }
    Ok(())
}

fn oom_score(plan: &Plan) -> Option<i32> {
    plan.process.as_ref().and_then(|process| process.oom_score_adj)
}

/// Whether init can begin without anything done for it.
fn needs_nothing(plan: &Plan) -> bool {
    let mapped = matches!(plan.ids, Ids::Mapped { .. });
    let scored = oom_score(plan).is_some();
    let cloned = sources::root_is_prepared(plan) || plan.mounts.iter().any(sources::is_prepared);
    !mapped && !scored && !cloned
}

/// What init cannot do for itself, and the word to begin.
fn send_off(stage: &Stage<'_>, token: &SingleThreaded, launch: &Launch<'_>, launched: &Launched) -> Result<(), Failure> {
    let (plan, pid) = (launch.plan, launched.init.pid);
    if let Some(join) = launch.join {
        stage.act(Step::CgroupJoin, String::new, || join(pid))?;
    }
    let proc = stage.act(Step::IdsMap, || "/proc".into(), ProcHandle::open)?;
    if let (Some(score), true) = (oom_score(plan), plan.namespaces.join.is_empty()) {
        // Before init hides from ptrace: its /proc files belong to root afterwards. A bridge has handed it down already.
        stage.act(Step::OomScore, || score.to_string(), || spawn::set_oom_score(pid, score))?;
    }
    if matches!(plan.ids, Ids::Mapped { .. }) {
        stage.act(Step::IdsMap, || format!("{:?}", plan.ids), || idmaps::write(&proc, pid, &plan.ids))?;
    }
    sources::send(stage, token, &proc, plan, pid, &launched.channel)?;
    stage.act(Step::SessionStart, || "proceed".into(), || launched.channel.send(&ToInit::Proceed))
}

/// Answers init until it is ready.
fn accompany(
    stage: &Stage<'_>,
    plan: &Plan,
    launched: &Launched,
    network: &mut Option<Network>,
    state: &HookState,
    console: &mut dyn FnMut(&str, OwnedFd) -> Result<(), Cause>,
) -> Result<(), Failure> {
    let limit = plan.hooks.create_container.is_empty().then_some(SILENCE_LIMIT);
    loop {
        match launched.next(stage, Step::NamespacesClone, limit)? {
            FromInit::Network(socket) => {
                let network = network.insert(Network::of(socket));
                set_network_up(stage, plan, launched.init.pid, network)?;
            }
            FromInit::Console { name, master } => stage.act(Step::Console, || name.clone(), || console(&name, master))?,
            FromInit::HooksWanted => {
                let state = state.with("creating", Some(launched.init.pid.get()));
                let directory = plan.bundle.as_path();
                stage
                    .act(Step::HooksPrestart, String::new, || hooks::run("prestart", &plan.hooks.prestart, &state, directory))?;
                stage.act(Step::HooksCreateRuntime, String::new, || {
                    hooks::run("createRuntime", &plan.hooks.create_runtime, &state, directory)
                })?;
                stage.act(Step::HooksCreateRuntime, || "done".into(), || launched.channel.send(&ToInit::HooksDone))?;
            }
            FromInit::SeccompListener(listener) => {
                let pid = launched.init.pid;
                let state = state.with("creating", Some(pid.get()));
                let process =
                    plan.process.as_ref().ok_or_else(|| Failure::new(Step::SeccompNotify, "", "there is no process"))?;
                take_listener(stage, process, listener, pid, &state, &launched.channel)?;
            }
            FromInit::TuneWanted => {
                if let (Actor::Parent, Some(process)) = (plan.tuned_by, &plan.process) {
                    tune::apply(stage, process, Some(launched.init.pid))?;
                }
                stage.act(Step::Rlimits, || "done".into(), || launched.channel.send(&ToInit::Tuned))?;
            }
            FromInit::Created => return Ok(()),
            other => return Err(Failure::new(Step::NamespacesClone, "init", format!("unexpected {other:?}"))),
        }
    }
}

/// Passes the listener of `process` on to its agent, and lets the process go on.
pub(crate) fn take_listener(
    stage: &Stage<'_>,
    process: &Process,
    listener: OwnedFd,
    pid: Pid,
    state: &HookState,
    channel: &RuntimeSide,
) -> Result<(), Failure> {
    let agent = process.seccomp.as_ref().and_then(|seccomp| seccomp.filter.listener.as_ref());
    let agent = agent.ok_or_else(|| Failure::new(Step::SeccompNotify, "", "a listener that the plan does not know"))?;
    stage.act(Step::SeccompNotify, || agent.path.to_string(), || confine::inform_agent(agent, listener, pid, state))?;
    stage.act(Step::SeccompNotify, || "done".into(), || channel.send(&ToInit::ListenerTaken))
}

impl Launched {
    pub fn pid(&self) -> Pid {
        self.init.pid
    }

    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.init.pidfd.as_fd()
    }

    /// `create`: init waits on its socket; the caller may end.
    pub fn stay(self) -> Result<(), Failure> {
        self.channel.send(&ToInit::Stay).map_err(|cause| Failure::new(Step::StartWait, "", cause))?;
        self.init.release().map(drop)
    }

    /// `run`: init starts now. Returns when the payload is executed.
    pub fn start(self, trace: Option<&dyn Fn(TraceLine)>) -> Result<Running, Failure> {
        self.channel.send(&ToInit::Start).map_err(|cause| Failure::new(Step::StartWait, "", cause))?;
        let stage = Stage { trace: trace.map_or(Trace::Off, Trace::Log) };
        crate::start::until_executed(&stage, &self.channel, self.init.pid, self.init.pidfd.as_fd())?;
        self.init.release()
    }

    /// Where init failed first, which made a step of ours fail too, its reason is the one to tell.
    fn first_reason(&self, ours: Failure) -> Failure {
        while let Ok(Ok(word)) = self.channel.receive(self.pidfd(), Some(Duration::ZERO)) {
            if let FromInit::Failed(failure) = word {
                return failure;
            }
        }
        ours
    }

    fn next(&self, stage: &Stage<'_>, step: Step, limit: Option<Duration>) -> Result<FromInit, Failure> {
        next_word(stage, &self.channel, self.pidfd(), step, limit)?
            .map_err(|silence| Failure::new(step, "init", died(&silence, self.pidfd())))
    }
}

/// Init's next word that is not a trace line; its failure as ours.
pub(crate) fn next_word(
    stage: &Stage<'_>,
    channel: &RuntimeSide,
    init: BorrowedFd<'_>,
    step: Step,
    limit: Option<Duration>,
) -> Result<Result<FromInit, Silence>, Failure> {
    loop {
        match channel.receive(init, limit).map_err(|cause| Failure::new(step, "init", cause))? {
            Ok(FromInit::Trace(line)) => {
                if let Trace::Log(log) = stage.trace {
                    log(line);
                }
            }
            Ok(FromInit::Failed(failure)) => return Err(failure),
            #[cfg(feature = "faults")]
            Ok(FromInit::KillRuntime) => crate::fault::die(),
            other => return Ok(other),
        }
    }
}

pub(crate) fn died(silence: &Silence, init: BorrowedFd<'_>) -> String {
    let status = match silence {
        Silence::Exited(status) => Some(*status),
        Silence::EndOfFile => match pidfd::wait_exit(init, Some(Duration::from_secs(5))) {
            Ok(true) => pidfd::wait(init).ok(),
            _ => None,
        },
    };
    match status {
        Some(ExitStatus::Signaled(9)) => "init was killed (SIGKILL): by somebody, or for want of memory".to_owned(),
        Some(ExitStatus::Signaled(signal)) => format!("init was killed by signal {signal}"),
        Some(ExitStatus::Exited(code)) => format!("init ended with status {code} without a word"),
        None => "init closed the connection without a word".to_owned(),
    }
}
