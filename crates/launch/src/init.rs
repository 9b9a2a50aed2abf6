//! THE step list: what the container's first process does, from `clone3` to the payload's exec, in this order.
//!
//! It decides nothing. Each line is a named step; a position that is not obvious says why it is there.

use crate::console::Console;
use crate::failure::{Cause, Failure};
use crate::handshake::{FromInit, InitSide, ToInit};
use crate::hooks::{self, ByInit, HookState};
use crate::host_dev::HostDev;
use crate::paths::{Masks, Places};
use crate::payload::{self, Program};
use crate::stage::{Stage, Trace};
use crate::{confine, console, devices, identity, labels, landlock, mounts, netdevices, rootfs, settings, tune};
use std::os::fd::{AsFd, OwnedFd};
use wolffia_plan::{Actor, Groups, Ids, LandlockMoment, Mount, NamespaceKind, Plan, Process, SeccompMoment, Step};
use wolffia_sys::process::{self, exit};
use wolffia_sys::procfs::ProcHandle;
use wolffia_sys::root::Root;
use wolffia_sys::{namespaces, poll, prctl, signals, socket};

/// What init is given beside the plan.
#[derive(Debug)]
pub struct Init<'a> {
    pub plan: &'a Plan,
    pub state: &'a HookState,
    /// The runtime writes the id maps as an unprivileged user: it can do so only while init is dumpable.
    pub dumpable_until_mapped: bool,
    /// Where init waits for `start` after a `Stay`.
    pub listener: Option<OwnedFd>,
    pub tracing: bool,
}

impl Init<'_> {
    /// Never returns: becomes the payload, or reports and exits.
    pub fn run(&self, channel: InitSide) -> ! {
        let mut channel = channel;
        let Err(failure) = self.set_up(&channel).and_then(|program| self.wait_and_execute(&mut channel, program));
        // A runtime that is gone cannot be told; the exit status still says that it failed.
        let told = channel.send(&FromInit::Failed(failure));
        exit(if told.is_ok() { 1 } else { 2 })
    }

    /// From the clone to the point where only `start` is missing.
    fn set_up(&self, channel: &InitSide) -> Result<Option<Program>, Failure> {
        let plan = self.plan;
        let trace = if self.tracing { Trace::Channel(channel) } else { Trace::Off };
        let stage = Stage { trace };
        if !self.dumpable_until_mapped {
            stage.act(Step::SessionStart, || "hide from ptrace".into(), || prctl::set_dumpable(false))?;
        }
        let mut prepared = Prepared::default();
        stage.act(Step::SessionStart, String::new, || self.enter_session(channel, &mut prepared))?;
        if self.plan.enters_cgroup_namespace_late() {
            let unshare = || namespaces::unshare(NamespaceKind::Cgroup.clone_flag());
            stage.act(Step::CgroupNamespace, String::new, unshare)?;
        }
        // Opened now, while it is the host's: every later write to /proc goes through it (CVE-2025-52881).
        let proc = stage.act(Step::TimeOffsets, || "/proc".into(), ProcHandle::open)?;
        if self.plan.namespaces.is_new(NamespaceKind::Time) {
            // Before init hides from ptrace, because its /proc files belong to root afterwards.
            let offsets = &self.plan.time_offsets;
            stage.act(Step::TimeOffsets, || format!("{offsets:?}"), || settings::enter_time_namespace(&proc, offsets))?;
        }
        self.become_someone(&stage, &proc)?;
        self.hand_network_over(&stage, channel)?;
        let Built { root, mounts, console } = self.build_root(&stage, &proc, channel, prepared)?;
        self.run_early_hooks(&stage, channel)?;
        self.enter_root(&stage, &Places { root: &root, mounts: &mounts })?;
        // Before the payload's own limits hold: each is a descriptor.
        drop(mounts);
        match &plan.process {
            Some(payload) => {
                labels::name_program(&stage, &proc, &payload.labels)?;
                self.become_payload(&stage, channel, &root, payload, console).map(Some)
            }
            None => Ok(None),
        }
    }

    /// A session of its own; nothing stays open that the runtime had; then the runtime's word is awaited.
    fn enter_session(&self, channel: &InitSide, prepared: &mut Prepared) -> Result<(), Cause> {
        process::setsid()?;
        let keep: Vec<_> = [channel.as_fd()].into_iter().chain(self.listener.as_ref().map(AsFd::as_fd)).collect();
        payload::close_others(self.plan.process.as_ref(), &keep)?;
        loop {
            match channel.receive()? {
                ToInit::Sources(sources) => prepared.0.extend(sources),
                ToInit::Proceed => return Ok(()),
                other => return Err(format!("expected Proceed, got {other:?}").into()),
            }
        }
    }

    fn become_someone(&self, stage: &Stage<'_>, proc: &ProcHandle) -> Result<(), Failure> {
        let plan = self.plan;
        if plan.session_keyring {
            stage.act(Step::SessionKeyring, String::new, || match &plan.process {
                Some(payload) => labels::with_key_label(proc, &payload.labels, settings::take_session_keyring),
                None => settings::take_session_keyring(),
            })?;
        }
        let groups = plan.process.as_ref().map_or(&Groups::Keep, |process| &process.identity.groups);
        match &plan.ids {
            Ids::Inherited => {}
            Ids::Joined { setup } | Ids::Mapped { setup, .. } => {
                stage.act(Step::IdsBecome, || format!("{setup:?}"), || identity::become_setup_user(*setup, groups))?;
            }
        }
        // Because the mode of everything that init makes is the plan's business, not the caller's umask's.
        process::umask(0);
        // The change of user already did this; where there was none, it is done here, after the maps were written.
        stage.act(Step::IdsBecome, || "hide from ptrace".into(), || prctl::set_dumpable(false))
    }

    /// The runtime sets the network up meanwhile, because that takes the kernel as long as all mounts together.
    fn hand_network_over(&self, stage: &Stage<'_>, channel: &InitSide) -> Result<(), Failure> {
        if !self.plan.namespaces.is_new(NamespaceKind::Network) && self.plan.net_devices.is_empty() {
            return Ok(());
        }
        let send = || -> Result<(), Cause> { channel.send(&FromInit::Network(netdevices::open_socket()?)) };
        stage.act(Step::Loopback, || "hand over".into(), send)
    }

    /// The file tree, complete, still below the host's root.
    fn build_root(
        &self,
        stage: &Stage<'_>,
        proc: &ProcHandle,
        channel: &InitSide,
        mut prepared: Prepared,
    ) -> Result<Built<'_>, Failure> {
        let plan = self.plan;
        // First of all, because from here on nothing that is mounted may show up on the host.
        stage.act(Step::MountsPropagation, String::new, || settings::cut_propagation(plan.root.host_propagation))?;
        let place = || plan.root.path.to_string();
        let host_dev = stage.act(Step::RootfsOpen, || "/dev".into(), HostDev::find)?;
        let root = stage.act(Step::RootfsOpen, place, || rootfs::open(&plan.root, prepared.root(plan)))?;
        let mut made = Vec::new();
        for mount in &plan.mounts {
            let what = || settings::mount_words(mount);
            let mounted = stage.act(Step::Mount, what, || mounts::apply(&root, mount, prepared.source(mount)))?;
            made.push((mount, Root::from(mounted)));
        }
        let mut places = host_dev.places(&root);
        for device in &plan.devices {
            stage.act(Step::Devices, || device.path.to_string(), || devices::create(&mut places, device))?;
        }
        for link in &plan.device_links {
            stage.act(Step::DeviceLinks, || link.path.to_string(), || devices::link(&mut places, link))?;
        }
        let terminal = plan.process.as_ref().and_then(|process| process.terminal.as_ref());
        let console = match terminal {
            None => None,
            Some(terminal) => Some(stage.act(Step::Console, String::new, || -> Result<Console, Cause> {
                let console = console::open(&root, terminal)?;
                console.show(&mut places)?;
                hand_over(channel, console)
            })?),
        };
        // Now that everything is made that is made in them.
        for (mount, mounted) in made.iter().filter(|(mount, _)| mount.late_readonly) {
            let what = || format!("{} read-only", settings::mount_words(mount));
            stage.act(Step::Mount, what, || mounts::make_readonly(mounted.as_fd()))?;
        }
        self.name_and_tune_kernel(stage, proc)?;
        Ok(Built { root, mounts: made, console })
    }

    fn name_and_tune_kernel(&self, stage: &Stage<'_>, proc: &ProcHandle) -> Result<(), Failure> {
        if let Some(name) = &self.plan.hostname {
            stage.act(Step::Hostname, || name.clone(), || settings::set_hostname(name))?;
        }
        if let Some(name) = &self.plan.domainname {
            stage.act(Step::Domainname, || name.clone(), || settings::set_domainname(name))?;
        }
        for sysctl in &self.plan.sysctl {
            stage.act(Step::Sysctl, || sysctl.path.clone(), || settings::write_sysctl(proc, sysctl))?;
        }
        Ok(())
    }

    /// Before the pivot, because the hooks' paths are the host's (config.md, "POSIX-platform Hooks").
    fn run_early_hooks(&self, stage: &Stage<'_>, channel: &InitSide) -> Result<(), Failure> {
        let hooks = &self.plan.hooks;
        if !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty() || !hooks.create_container.is_empty() {
            // For createContainer hooks alone too, because with the answer everything that the runtime does meanwhile is done.
            stage.act(Step::HooksCreateRuntime, String::new, || -> Result<(), Cause> {
                channel.send(&FromInit::HooksWanted)?;
                channel.expect("HooksDone").map(drop)
            })?;
        }
        if !hooks.create_container.is_empty() {
            let state = self.state.with("creating", Some(process::getpid().get()));
            // In the root that is about to be entered, as runc's hooks are: ldconfig of a driver's hook works on `.`.
            let root = self.plan.root.path.as_path();
            let by_init = ByInit { caller: Some(channel.as_fd()), ..ByInit::default() };
            stage.act(Step::HooksCreateContainer, String::new, || {
                hooks::run_by_init(&by_init, "createContainer", &hooks.create_container, &state, root)
            })?;
        }
        Ok(())
    }

    /// Leaves the host's tree, then locks down what is left.
    fn enter_root(&self, stage: &Stage<'_>, places: &Places<'_>) -> Result<(), Failure> {
        let (plan, root) = (self.plan, places.root);
        // Taken while the host's /dev can be reached: the container's own could be anything (CVE-2025-31133).
        let null = stage.act(Step::RootfsPivot, || "/dev/null".into(), devices::host_null)?;
        stage.act(Step::RootfsPivot, || plan.root.path.to_string(), || rootfs::switch(root, &plan.root))?;
        if let Some(payload) = &plan.process {
            // Before the root becomes read-only, because it may have to be made.
            stage.act(Step::CwdMake, || payload.cwd.to_string(), || payload::make_directory(root, &payload.cwd))?;
        }
        // After the hooks, because they may mount something into /proc that has to be read-only too.
        for path in &plan.readonly_paths {
            stage.act(Step::ReadonlyPaths, || path.to_string(), || crate::paths::make_readonly(places, path))?;
        }
        let mut masks = Masks::new(null, plan.mount_label.as_deref());
        for path in &plan.masked_paths {
            stage.act(Step::MaskedPaths, || path.to_string(), || masks.hide(places, path))?;
        }
        if plan.root.readonly {
            stage.act(Step::RootfsReadonly, String::new, || rootfs::make_readonly(root))?;
        }
        if let Some(propagation) = plan.root.propagation {
            stage.act(Step::RootfsPropagation, String::new, || rootfs::set_propagation(root, propagation))?;
        }
        Ok(())
    }

    /// From here on nothing is done for the container any more, only to this process.
    fn become_payload(
        &self,
        stage: &Stage<'_>,
        channel: &InitSide,
        root: &Root,
        payload: &Process,
        console: Option<Console>,
    ) -> Result<Program, Failure> {
        // Before the identity changes, because raising a limit or a priority takes a capability that goes with it.
        match self.plan.tuned_by {
            Actor::Init | Actor::Bridge => tune::apply(stage, payload, None)?,
            Actor::Parent => stage.act(
                Step::Rlimits,
                || "by the runtime".into(),
                || -> Result<(), Cause> {
                    channel.send(&FromInit::TuneWanted)?;
                    channel.expect("Tuned").map(drop)
                },
            )?,
        }
        settle_identity(stage, channel, root, payload, console)
    }

    fn wait_and_execute(&self, channel: &mut InitSide, program: Option<Program>) -> Result<std::convert::Infallible, Failure> {
        let wait = |cause| Failure::new(Step::StartWait, "", cause);
        channel.send(&FromInit::Created).map_err(wait)?;
        match channel.receive().map_err(wait)? {
            ToInit::Start => {}
            ToInit::Stay => *channel = self.accept_start().map_err(wait)?,
            other => return Err(wait(format!("unexpected {other:?}").into())),
        }
        let trace = if self.tracing { Trace::Channel(channel) } else { Trace::Off };
        let stage = Stage { trace };
        let nothing = "the configuration has no `process`, so there is nothing to start";
        let (program, payload) =
            stage.act(Step::StartWait, String::new, || program.zip(self.plan.process.as_ref()).ok_or(nothing))?;
        let hooks = &self.plan.hooks.start_container;
        if !hooks.is_empty() {
            let state = self.state.with("created", Some(process::getpid().get()));
            let root = std::path::Path::new("/");
            // What runs in the container runs under its filter, as with runc, also where this process itself is not yet under it.
            let filter = confine::last(&stage, payload)?;
            stage.act(Step::HooksStartContainer, String::new, || {
                let environment = program.environment();
                let by_init = ByInit { caller: Some(channel.as_fd()), filter: filter.as_ref(), environment };
                hooks::run_by_init(&by_init, "startContainer", hooks, &state, root)
            })?;
        }
        execute(&stage, channel, payload, &program)
    }

    /// Only the host reaches the socket: it lies in the state directory. The first who connects and says start is obeyed. A signal
    /// that would end any other process ends this one too, although the kernel spares the first process of a pid namespace.
    fn accept_start(&self) -> Result<InitSide, Cause> {
        let listener = self.listener.as_ref().ok_or("there is no socket to wait on")?;
        signals::block_all()?;
        let deaths = signals::signalfd_all()?;
        loop {
            let ready = poll::poll_readable(&[listener.as_fd(), deaths.as_fd()], None)?;
            if ready.get(1) == Some(&true)
                && let Some(signal) = signals::read_signal(&deaths)?
                && signals::ends_by_default(signal.signo)
            {
                exit(128 + signal.signo);
            }
            if ready.first() != Some(&true) {
                continue;
            }
            let channel = InitSide::accepted(socket::accept(listener.as_fd())?);
            // A `start` that was killed before it said so is no start; the next one is waited for.
            if let Ok(ToInit::Start) = channel.receive() {
                return Ok(channel);
            }
        }
    }
}

/// The file tree, before it is entered.
struct Built<'a> {
    root: Root,
    /// Each mount of the plan, by itself.
    mounts: Vec<(&'a Mount, Root)>,
    console: Option<Console>,
}

/// Capabilities, user and groups, no_new_privs, directory and program: the same for init and for `exec`.
pub(crate) fn settle_identity(
    stage: &Stage<'_>,
    channel: &InitSide,
    root: &Root,
    payload: &Process,
    console: Option<Console>,
) -> Result<Program, Failure> {
    let user = &payload.identity;
    if let Some(domain) = payload.personality {
        stage.act(Step::Personality, || format!("{domain:#x}"), || settings::set_personality(domain))?;
    }
    if let Some(policy) = &payload.memory_policy {
        stage.act(Step::MemoryPolicy, || format!("{policy:?}"), || settings::set_memory_policy(policy))?;
    }
    stage.act(
        Step::Console,
        || "standard streams".into(),
        || match console {
            Some(console) => console.take(user.uid),
            None => console::own_standard_pipes(user.uid),
        },
    )?;
    stage.act(Step::CapabilitiesBound, String::new, || identity::bound(&payload.capabilities))?;
    // Tried first with the rights of the setup user, as runc does; where they do not suffice, the payload's own have to.
    let what = || payload.cwd.to_string();
    let entered = stage.act(Step::Cwd, what, || Ok::<bool, Cause>(payload::enter_directory(root, &payload.cwd).is_ok()))?;
    // Now, because a filter that is loaded early need not allow it; what is opened from here on is closed by exec anyway.
    stage.act(Step::Descriptors, || "close on exec".into(), payload::close_on_exec)?;
    let rules = landlock::prepare(stage, root, payload)?;
    // As late as rules and a filter can be that take CAP_SYS_ADMIN: the next steps give that up.
    landlock::submit(stage, &rules, payload, LandlockMoment::BeforeIdentity)?;
    confine::load(stage, channel, payload, SeccompMoment::BeforeIdentity)?;
    stage.act(Step::Identity, || format!("{}:{}", user.uid, user.gid), || identity::assume(user))?;
    stage.act(Step::Capabilities, String::new, || identity::set_capabilities(&payload.capabilities))?;
    if payload.no_new_privileges {
        stage.act(Step::NoNewPrivileges, String::new, prctl::set_no_new_privileges)?;
    }
    if !entered {
        stage.act(Step::Cwd, what, || payload::enter_directory(root, &payload.cwd))?;
    }
    let program = stage.act(Step::Executable, || payload.args.join(" "), || payload::find(root, payload))?;
    // Before any filter, which need not allow it.
    landlock::submit(stage, &rules, payload, LandlockMoment::BeforeFilter)?;
    // Where its agent is told of the container before `start`, as with runc.
    confine::load(stage, channel, payload, SeccompMoment::BeforeStart)?;
    Ok(program)
}

/// Says so, then becomes the payload.
pub(crate) fn execute(
    stage: &Stage<'_>,
    channel: &InitSide,
    payload: &Process,
    program: &Program,
) -> Result<std::convert::Infallible, Failure> {
    tune::settle(stage, payload)?;
    stage.act(Step::Descriptors, String::new, || payload::keep_own(payload.descriptors))?;
    stage.act(Step::Descriptors, || "signals".into(), signals::reset_for_exec)?;
    let filter = confine::last(stage, payload)?;
    stage.act(Step::Exec, || payload.args.join(" "), || channel.send(&FromInit::Executing))?;
    // The profile need not allow anything that the runtime does: from here to the program there is one call, execve. Where that
    // fails and the profile forbids to say so, the runtime sees that this process ended without executing anything.
    if let Some(filter) = &filter {
        filter.load().map_err(|error| Failure::new(Step::Seccomp, "", error))?;
    }
    Err(Failure::new(Step::Exec, "", program.execute()))
}

pub(crate) fn hand_over(channel: &InitSide, console: Console) -> Result<Console, Cause> {
    let name = console.name.clone();
    let master = console.master.try_clone()?;
    channel.send(&FromInit::Console { name, master })?;
    Ok(console)
}

/// The detached mounts that the runtime cloned, in the order of the plan.
#[derive(Debug, Default)]
struct Prepared(std::collections::VecDeque<OwnedFd>);

impl Prepared {
    fn root(&mut self, plan: &Plan) -> Option<OwnedFd> {
        crate::sources::root_is_prepared(plan).then(|| self.0.pop_front()).flatten()
    }

    fn source(&mut self, mount: &Mount) -> Option<OwnedFd> {
        crate::sources::is_prepared(mount).then(|| self.0.pop_front()).flatten()
    }
}
