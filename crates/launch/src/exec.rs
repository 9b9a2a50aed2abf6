//! A further process in a container that runs: joined through a bridge, then the same last steps as init's.

use crate::failure::{Cause, Failure};
use crate::handshake::{self, FromInit, InitSide, RuntimeSide, ToInit};
use crate::hooks::HookState;
use crate::init::{execute, hand_over, settle_identity};
use crate::spawn::{self, Fledgling, Spawned, Target, Wanted};
use crate::stage::{Stage, Trace, TraceLine};
use crate::start::until_executed;
use crate::{console, create, identity, labels, settings, tune};
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use wolffia_plan::{Actor, Groups, Labels, NamespaceKind, Namespaces, Process, SetupIds, Step};
use wolffia_sys::fd::OFlags;
use wolffia_sys::process::{self, SingleThreaded, exit};
use wolffia_sys::procfs::ProcHandle;
use wolffia_sys::root::Root;
use wolffia_sys::{Pid, fd, prctl};

/// Longest time between two words of the new process: it runs no hooks.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// What `exec` is given.
pub struct Exec<'a> {
    pub process: &'a Process,
    /// The running container, as a seccomp agent is told of it.
    pub state: HookState,
    /// Init of the container.
    pub init: BorrowedFd<'a>,
    /// The namespaces to enter: all that are not the runtime's own.
    pub namespaces: &'a [NamespaceKind],
    /// Set in a container with a user namespace of its own: the ids to take in it first.
    pub setup: Option<SetupIds>,
    pub tuned_by: Actor,
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Puts the process where the container is accounted, if it cannot be born there.
    pub join: Option<&'a dyn Fn(Pid) -> Result<(), Cause>>,
    /// Takes a session keyring of its own. That of init has no name to join it by, which others of the same user could as well.
    pub new_keyring: bool,
    pub console: &'a mut dyn FnMut(&str, OwnedFd) -> Result<(), Cause>,
    pub trace: Option<&'a dyn Fn(TraceLine)>,
}

impl std::fmt::Debug for Exec<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exec").field("process", self.process).finish_non_exhaustive()
    }
}

/// Runs the process. Returns when it is executed.
pub fn exec(exec: Exec<'_>) -> Result<create::Running, Failure> {
    let stage = Stage { trace: exec.trace.map_or(Trace::Off, Trace::Log) };
    let token = stage.act(Step::NamespacesJoin, || "single-threaded".into(), SingleThreaded::check)?;
    let target = stage.act(Step::NamespacesJoin, || "container".into(), || target(&exec))?;
    let (ours, theirs) = stage.act(Step::NamespacesJoin, || "handshake".into(), handshake::pair)?;
    let wanted = Wanted {
        new: &Namespaces::default(),
        flags: 0,
        targets: &target,
        cgroup: exec.cgroup,
        oom_score: exec.process.oom_score_adj,
    };
    let tenant = match spawn::spawn(&stage, &token, &wanted)? {
        Spawned::Init => {
            drop(ours);
            Tenant { exec: &exec }.run(theirs)
        }
        Spawned::Runtime(tenant) => tenant,
    };
    drop(theirs);
    if let Some(join) = exec.join {
        stage.act(Step::CgroupJoin, String::new, || join(tenant.pid))?;
    }
    accompany(&stage, exec.process, &exec.state, &tenant, &ours, exec.tuned_by, exec.console)?;
    stage.act(Step::StartWait, String::new, || ours.send(&ToInit::Start))?;
    until_executed(&stage, &ours, tenant.pid, tenant.pidfd.as_fd())?;
    tenant.release()
}

/// All namespaces in one setns(2), by init's pidfd: none of them can be swapped in between.
fn target(exec: &Exec<'_>) -> Result<Vec<Target>, Cause> {
    let flags = exec.namespaces.iter().fold(0, |flags, kind| flags | kind.clone_flag());
    let descriptor = exec.init.try_clone_to_owned()?;
    Ok(vec![Target { name: "the container's namespaces".to_owned(), descriptor, flags }])
}

fn accompany(
    stage: &Stage<'_>,
    process: &Process,
    state: &HookState,
    tenant: &Fledgling,
    channel: &RuntimeSide,
    tuned_by: Actor,
    console: &mut dyn FnMut(&str, OwnedFd) -> Result<(), Cause>,
) -> Result<(), Failure> {
    let pidfd = tenant.pidfd.as_fd();
    stage.act(Step::SessionStart, || "proceed".into(), || channel.send(&ToInit::Proceed))?;
    loop {
        let word = create::next_word(stage, channel, pidfd, Step::NamespacesJoin, Some(SILENCE_LIMIT))?
            .map_err(|silence| Failure::new(Step::NamespacesJoin, "process", create::died(&silence, pidfd)))?;
        match word {
            FromInit::Console { name, master } => stage.act(Step::Console, || name.clone(), || console(&name, master))?,
            FromInit::SeccompListener(listener) => create::take_listener(stage, process, listener, tenant.pid, state, channel)?,
            FromInit::TuneWanted => {
                if tuned_by == Actor::Parent {
                    tune::apply(stage, process, Some(tenant.pid))?;
                }
                stage.act(Step::Rlimits, || "done".into(), || channel.send(&ToInit::Tuned))?;
            }
            FromInit::Created => return Ok(()),
            other => return Err(Failure::new(Step::NamespacesJoin, "process", format!("unexpected {other:?}"))),
        }
    }
}

/// The new process itself, already inside.
struct Tenant<'a, 'b> {
    exec: &'a Exec<'b>,
}

impl Tenant<'_, '_> {
    fn run(&self, channel: InitSide) -> ! {
        let Err(failure) = self.become_payload(&channel);
        let told = channel.send(&FromInit::Failed(failure));
        exit(if told.is_ok() { 1 } else { 2 })
    }

    fn become_payload(&self, channel: &InitSide) -> Result<Infallible, Failure> {
        let (exec, payload) = (self.exec, self.exec.process);
        let tracing = exec.trace.is_some() || cfg!(feature = "faults");
        let trace = if tracing { Trace::Channel(channel) } else { Trace::Off };
        let stage = Stage { trace };
        stage.act(Step::SessionStart, String::new, || -> Result<(), Cause> {
            // The bridge did this before it joined; said again, because a change of user could have undone it.
            prctl::set_dumpable(false)?;
            process::setsid()?;
            crate::payload::close_others(Some(payload), &[channel.as_fd()])?;
            channel.expect("Proceed").map(drop)
        })?;
        let proc = match payload.labels == Labels::default() {
            true => None,
            false => Some(stage.act(Step::Selinux, || "/proc".into(), own_proc)?),
        };
        if exec.new_keyring {
            stage.act(Step::SessionKeyring, String::new, || match &proc {
                Some(proc) => labels::with_key_label(proc, &payload.labels, settings::take_session_keyring),
                None => settings::take_session_keyring(),
            })?;
        }
        if let Some(setup) = exec.setup {
            let groups: &Groups = &payload.identity.groups;
            stage.act(Step::IdsBecome, || format!("{setup:?}"), || identity::become_setup_user(setup, groups))?;
        }
        let root = stage.act(
            Step::RootfsOpen,
            || "/".into(),
            || -> Result<Root, Cause> { Ok(Root::from(fd::open("/", OFlags::PATH | OFlags::DIRECTORY, 0)?)) },
        )?;
        let console = match &payload.terminal {
            None => None,
            Some(terminal) => {
                Some(stage.act(Step::Console, String::new, || hand_over(channel, console::open(&root, terminal)?))?)
            }
        };
        match exec.tuned_by {
            Actor::Init | Actor::Bridge => tune::apply(&stage, payload, None)?,
            Actor::Parent => stage.act(
                Step::Rlimits,
                || "by the runtime".into(),
                || -> Result<(), Cause> {
                    channel.send(&FromInit::TuneWanted)?;
                    channel.expect("Tuned").map(drop)
                },
            )?,
        }
        if let Some(proc) = &proc {
            labels::name_program(&stage, proc, &payload.labels)?;
        }
        let program = settle_identity(&stage, channel, &root, payload, console)?;
        stage.act(Step::StartWait, String::new, || -> Result<(), Cause> {
            channel.send(&FromInit::Created)?;
            channel.expect("Start").map(drop)
        })?;
        execute(&stage, channel, payload, &program)
    }
}

/// The container's /proc if it is one, else one of our own: here nothing but the kernel says what /proc is.
fn own_proc() -> wolffia_sys::Result<ProcHandle> {
    ProcHandle::open().or_else(|_| ProcHandle::detached())
}
