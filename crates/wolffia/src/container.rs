//! A container that exists: its state, and start, kill and delete.

use crate::error::{Error, Result, cause};
use crate::notify::Readiness;
use crate::processes;
use crate::record::{Launched, report_status};
use crate::runtime::{Runtime, parse_id};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use wolffia_cgroup::{Cgroup, CgroupError, LegacyPlace};
use wolffia_launch::{Cause, HookState, Stage, Trace};
use wolffia_plan::{NamespaceKind, Step};
use wolffia_spec::documents::StateReport;
use wolffia_state::{Dir, Operation, Phase, Record, StateError, Status, Store, allowed, status};
use wolffia_sys::pidfd::{self, ExitStatus};
use wolffia_sys::{Errno, Pid};

/// How long a command waits for another one that works on the same container.
pub(crate) const LOCK_PATIENCE: Duration = Duration::from_secs(30);
/// How long a killed process may take to be gone: one in uninterruptible sleep takes as long as its device.
const DEATH_PATIENCE: Duration = Duration::from_secs(10);

/// A container, as its directory and its record describe it.
#[derive(Debug)]
pub struct Container {
    pub(crate) runtime: Runtime,
    store: Store,
    pub(crate) dir: Dir,
    pub(crate) record: Record<Launched>,
    /// Only after `run`.
    pub(crate) readiness: Option<Readiness>,
}

impl Runtime {
    /// Opens a container that exists.
    pub fn container(&self, id: &str) -> Result<Container> {
        let id = parse_id(id)?;
        let store = match self.store(false) {
            Err(Error::State(StateError::RootMissing { .. })) => return Err(StateError::NotFound { id }.into()),
            other => other?,
        };
        let (dir, record) = store.load(&id)?;
        Ok(Container::new(self, store, dir, record))
    }

    /// `delete --force`: whatever is there, in whatever state, is gone afterwards. True if there was something.
    pub fn force_delete(&self, id: &str) -> Result<bool> {
        let id = parse_id(id)?;
        let Ok(store) = self.store(false) else { return Ok(false) };
        let Ok(dir) = store.open_dir(&id) else { return Ok(false) };
        // A `start` holds the lock while a startContainer hook hangs, which ends with the container. Not yet in one that is being
        // made, whose record may name a cgroup of somebody else's.
        if let Ok(Some(record)) = dir.record::<Launched>()
            && record.phase == Phase::Created
        {
            kill_all_of(&record)?;
        }
        // Whoever makes or removes it now has its turn first: what there is to remove is known afterwards.
        let lock = match dir.lock(LOCK_PATIENCE) {
            Ok(lock) => Some(lock),
            // Removed meanwhile; or its creator or a `delete` was killed with nothing but the directory there.
            Err(StateError::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        match (store.load(&id), lock) {
            (Ok((dir, record)), lock) => {
                drop(lock);
                Container::new(self, store, dir, record).delete(true).map(|()| true)
            }
            (Err(error @ StateError::Corrupt { .. }), Some(lock)) => {
                crate::warn(&format!("{error}; its processes, if any, are left alone"));
                Ok(store.remove(dir, lock).map(|()| true)?)
            }
            (Err(StateError::NotFound { .. }), Some(lock)) => Ok(store.remove(dir, lock).map(|()| true)?),
            (Err(StateError::NotFound { .. }), None) if store.open_dir(&id).is_err() => Ok(true),
            (Err(StateError::NotFound { .. }), None) => Ok(store.reserve::<Launched>(&id)?.abandon(&store).map(|()| true)?),
            (Err(error), _) => Err(error.into()),
        }
    }
}

impl Container {
    pub(crate) fn new(runtime: &Runtime, store: Store, dir: Dir, record: Record<Launched>) -> Self {
        Self { runtime: runtime.clone(), store, dir, record, readiness: None }
    }

    /// The socket on which the program that `run` has started says that it is ready, where the caller's `NOTIFY_SOCKET` is to be
    /// told. Once.
    pub fn take_readiness(&mut self) -> Option<Readiness> {
        self.readiness.take()
    }

    pub fn id(&self) -> &str {
        self.record.id.as_str()
    }

    /// Protections that this container goes without, with the reason (`field`, `reason`).
    pub fn recorded(&self) -> &[wolffia_plan::Recorded] {
        &self.record.launch.recorded
    }

    /// Says what has to be said of a container that was made. Not before, because Podman reads a failure's log as one record.
    pub(crate) fn warned(self) -> Self {
        for missing in self.recorded().iter().filter(|missing| missing.warns()) {
            crate::warn(&format!("{}: {}", missing.field, missing.reason));
        }
        self
    }

    /// Host pid of the container's first process; `None` once it has ended.
    pub fn pid(&self) -> Result<Option<Pid>> {
        Ok(match self.status()? {
            Status::Stopped => None,
            _ => Pid::from_raw(self.record.pid),
        })
    }

    pub fn status(&self) -> Result<Status> {
        status(&self.record, &self.dir, || self.is_frozen())
    }

    /// The document of `wolffia state`.
    pub fn state(&self) -> Result<StateReport> {
        let status = self.status()?;
        let record = &self.record;
        Ok(StateReport {
            oci_version: record.oci_version.clone(),
            id: record.id.to_string(),
            pid: if status == Status::Stopped { 0 } else { record.pid },
            status: report_status(status),
            bundle: record.bundle.clone(),
            rootfs: record.rootfs.clone(),
            created: record.created.to_string(),
            annotations: record.annotations.clone(),
            owner: record.owner.to_string(),
            landlock: record.launch.landlock_report(),
            recorded: record.launch.recorded_report(),
        })
    }

    /// Lets the program of a created container start; returns when it is executed and the poststart hooks have run.
    pub fn start(&self) -> Result<()> {
        let lock = self.dir.lock(LOCK_PATIENCE)?;
        self.allow(Operation::Start)?;
        let init = self.init()?.ok_or_else(|| self.vanished())?;
        let readiness = Readiness::bind(&self.dir)?;
        let pid = Pid::from_raw(self.record.pid).ok_or_else(|| self.vanished())?;
        let outcome = wolffia_launch::start(self.dir.as_fd(), pid, init.as_fd(), self.runtime.trace());
        if let Err(failure) = outcome {
            // The container was created and can never run now: runtime.md, lifecycle step 9.
            crate::warn_on_error(self.kill_init());
            return Err(failure.into());
        }
        self.unlink_start_socket()?;
        // Not while hooks run, which may take for ever: nobody could delete the container.
        drop(lock);
        self.after_start()?;
        readiness.map_or(Ok(()), |readiness| readiness.forward(init.as_fd(), pid))
    }

    /// Sends `signal` to the container's first process. SIGKILL reaches the whole container also where that has no pid
    /// namespace of its own, in which the death of the first process would be everybody's.
    pub fn kill(&self, signal: i32) -> Result<()> {
        let stage = self.stage();
        let alone = !self.record.launch.namespaces.contains(&NamespaceKind::Pid);
        match self.allow(Operation::Kill) {
            Ok(()) => {}
            // What is left in the cgroup of a container without a pid namespace outlives its init.
            Err(error) if !(signal == libc::SIGKILL && alone) => return Err(error),
            Err(error) => return if self.kill_cgroup(signal)? { Ok(()) } else { Err(error) },
        }
        if signal == libc::SIGKILL && alone && self.kill_cgroup(signal)? {
            return Ok(());
        }
        let init = self.init()?.ok_or_else(|| self.vanished())?;
        stage.act(Step::Kill, || format!("signal {signal}"), || pidfd::send_signal(init.as_fd(), signal))?;
        if signal == libc::SIGKILL && self.is_frozen()? {
            // A frozen process dies when it thaws.
            self.with_cgroup(|cgroup| cgroup.thaw())?;
        }
        Ok(())
    }

    /// `kill --all`: every process of the container.
    pub fn kill_all(&self, signal: i32) -> Result<()> {
        match self.kill_cgroup(signal)? {
            true => Ok(()),
            // runc's `--all` is content with a container that has stopped, and its callers rely on that.
            false if self.status()? == Status::Stopped => Ok(()),
            false => self.kill(signal),
        }
    }

    /// Freezes every process of the container; returns when they are frozen.
    pub fn pause(&self) -> Result<()> {
        self.allow(Operation::Pause)?;
        self.with_cgroup(|cgroup| cgroup.freeze())?.ok_or_else(no_freezer)
    }

    /// Lets a paused container go on.
    pub fn resume(&self) -> Result<()> {
        self.allow(Operation::Resume)?;
        self.with_cgroup(|cgroup| cgroup.thaw())?.ok_or_else(no_freezer)
    }

    /// Host pids of the container's processes, as its cgroup or its pid namespace shows them.
    pub fn processes(&self) -> Result<Vec<Pid>> {
        if self.status()? == Status::Stopped {
            return Ok(Vec::new());
        }
        match self.with_cgroup(|cgroup| cgroup.processes())? {
            Some(processes) => Ok(processes),
            None => processes::of_pid_namespace(self.record.pid),
        }
    }

    /// Removes a container that has stopped; with `force` one in any state, killed first, and one that somebody else has removed
    /// meanwhile is no error. Runs the poststop hooks.
    pub fn delete(mut self, force: bool) -> Result<()> {
        let lock = match self.dir.lock(LOCK_PATIENCE) {
            // A `run` in the foreground removes its container as well, as soon as `delete --force` has killed it.
            Err(StateError::NotFound { .. }) if force => return Ok(()),
            other => other?,
        };
        // Who held the lock may have written since it was read: `create` has then made what is to be removed.
        if let Some(record) = self.dir.record()? {
            self.record = record;
        }
        let status = match self.record.phase {
            // We have the lock: its creator is gone.
            Phase::Creating => Status::Stopped,
            Phase::Created => self.status()?,
        };
        allowed(if force { Operation::DeleteForce } else { Operation::Delete }, &self.record.id, status)?;
        let trace = self.runtime.clone();
        let stage = Stage { trace: trace.trace().map_or(Trace::Off, Trace::Log) };
        if force {
            stage.act(Step::Kill, String::new, || kill_all_of(&self.record).map_err(cause))?;
        }
        let Self { store, dir, record, .. } = self;
        stage.act(Step::CgroupRemove, String::new, || remove_cgroup_of(&record).map_err(cause))?;
        if record.launch.rdt.is_some() {
            stage.act(Step::RdtRemove, String::new, || remove_rdt_of(&record).map_err(cause))?;
        }
        remove_draft_of(&record);
        stage.act(Step::StateRemove, || record.id.to_string(), || store.remove(dir, lock).map_err(cause))?;
        if record.launch.poststop.is_empty() {
            return Ok(());
        }
        Ok(stage.act(Step::HooksPoststop, String::new, || -> std::result::Result<(), Cause> {
            run_poststop_hooks(&record);
            Ok(())
        })?)
    }

    /// The container as hooks and agents are told of it.
    pub(crate) fn hook_state(&self, status: &str) -> HookState {
        hook_state(&self.record, status, Some(self.record.pid))
    }

    /// Waits until the container's first process has ended: with its status if it is a child of this process.
    pub fn wait(&self) -> Result<Option<ExitStatus>> {
        // Also of one that has ended already: its status waits for its parent.
        let Some((init, _)) = processes::first_of(&self.record)? else { return Ok(None) };
        wait_for(pidfd::wait_exit(init.as_fd(), None))?;
        match pidfd::wait(init.as_fd()) {
            Ok(status) => Ok(Some(status)),
            Err(error) if error.is(Errno::ECHILD) => Ok(None),
            Err(source) => Err(Error::System { act: "wait for the container", source }),
        }
    }

    /// Hooks of the host after the program has started; a failure stops the container (runtime.md, lifecycle step 9).
    pub(crate) fn after_start(&self) -> Result<()> {
        let hooks = &self.record.launch.poststart;
        if hooks.is_empty() {
            return Ok(());
        }
        let state = hook_state(&self.record, "running", Some(self.record.pid));
        let ran = self.stage().act(Step::HooksPoststart, String::new, || {
            wolffia_launch::run_hooks("poststart", hooks, &state, &self.record.bundle)
        });
        ran.map_err(|failure| {
            crate::warn_on_error(self.stop());
            Error::from(failure)
        })
    }

    /// Kills every process, unless the container is gone: another one may have its cgroup by now.
    fn stop(&self) -> Result<()> {
        match self.dir.lock(LOCK_PATIENCE) {
            Err(StateError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_lock) => self.kill_init(),
        }
    }

    pub(crate) fn allow(&self, operation: Operation) -> Result<()> {
        let status = self.status()?;
        allowed(operation, &self.record.id, status).map_err(Error::from)
    }

    /// A pidfd of the container's first process, if that lives.
    pub(crate) fn init(&self) -> Result<Option<OwnedFd>> {
        processes::init_of(&self.record)
    }

    pub(crate) fn vanished(&self) -> Error {
        wolffia_state::Forbidden::NotRunning.into()
    }

    pub(crate) fn stage(&self) -> Stage<'_> {
        Stage { trace: self.runtime.trace().map_or(Trace::Off, Trace::Log) }
    }

    pub(crate) fn with_cgroup<T>(
        &self,
        work: impl FnOnce(&Cgroup) -> std::result::Result<T, wolffia_cgroup::CgroupError>,
    ) -> Result<Option<T>> {
        match cgroup_of(&self.record)? {
            Some(cgroup) => Ok(Some(work(&cgroup)?)),
            None => Ok(None),
        }
    }

    pub(crate) fn cgroup(&self) -> Result<Option<Cgroup>> {
        cgroup_of(&self.record)
    }

    fn is_frozen(&self) -> Result<bool> {
        Ok(self.with_cgroup(|cgroup| cgroup.is_frozen())?.unwrap_or(false))
    }

    /// False if the container has no cgroup, or nobody is in it.
    fn kill_cgroup(&self, signal: i32) -> Result<bool> {
        let Some(cgroup) = cgroup_of(&self.record)? else { return Ok(false) };
        if cgroup.processes()?.is_empty() {
            return Ok(false);
        }
        let what = || format!("signal {signal} to every process");
        self.stage().act(Step::Kill, what, || cgroup.kill_all(signal).map_err(cause))?;
        Ok(true)
    }

    fn kill_init(&self) -> Result<()> {
        kill_all_of(&self.record)
    }

    fn unlink_start_socket(&self) -> Result<()> {
        match wolffia_sys::fd::unlinkat(&self.dir, wolffia_launch::SOCKET, false) {
            Err(error) if !error.is(Errno::ENOENT) => Err(Error::System { act: "remove the start socket", source: error }),
            _ => Ok(()),
        }
    }
}

fn no_freezer() -> Error {
    Error::Usage {
        reason: "the container has no cgroup of its own, so it cannot be frozen".to_owned(),
        cure: "create it where cgroups can be made: `wolffia doctor` says what is missing",
    }
}

/// What a creator that was killed left: its processes end by themselves, its cgroup does not, nor what its hooks have set up.
pub(crate) fn clean_up(record: &Record<Launched>) -> Result<()> {
    kill_all_of(record)?;
    remove_cgroup_of(record)?;
    remove_rdt_of(record)?;
    remove_draft_of(record);
    run_poststop_hooks(record);
    Ok(())
}

fn remove_draft_of(record: &Record<Launched>) {
    if let Some(path) = &record.launch.pid_file {
        crate::pid_file::remove_draft(path);
    }
}

/// runtime.md, lifecycle step 13: a failure is a warning, and the others run.
fn run_poststop_hooks(record: &Record<Launched>) {
    let state = hook_state(record, "stopped", None);
    for cause in wolffia_launch::run_all_hooks("poststop", &record.launch.poststop, &state, &record.bundle) {
        crate::warn(&cause.text);
    }
}

pub(crate) fn hook_state(record: &Record<Launched>, status: &str, pid: Option<i32>) -> HookState {
    HookState {
        oci_version: record.oci_version.clone(),
        id: record.id.to_string(),
        status: status.to_owned(),
        pid,
        bundle: record.bundle.display().to_string(),
        annotations: record.annotations.clone(),
    }
}

fn kill_all_of(record: &Record<Launched>) -> Result<()> {
    if !is_anothers(record)?
        && let Some(cgroup) = cgroup_of(record)?
    {
        cgroup.kill_all(libc::SIGKILL)?;
    }
    let Some(init) = processes::init_of(record)? else { return Ok(()) };
    match pidfd::send_signal(init.as_fd(), libc::SIGKILL) {
        Err(error) if !error.is(Errno::ESRCH) => {
            return Err(Error::System { act: "kill the container's process", source: error });
        }
        _ => {}
    }
    if wait_for(pidfd::wait_exit(init.as_fd(), Some(DEATH_PATIENCE)))? {
        return Ok(());
    }
    Err(Error::Usage {
        reason: format!("container init still running {} s after it was killed", DEATH_PATIENCE.as_secs()),
        cure: "it waits for a device or a file server that does not answer: look at /proc/PID/stack",
    })
}

fn cgroup_of(record: &Record<Launched>) -> Result<Option<Cgroup>> {
    let Some(place) = &record.launch.cgroup else { return Ok(None) };
    match Cgroup::open(Path::new(&place.mount), &place.path) {
        Ok(cgroup) => {
            // Not made means that it was there before; a scope's is systemd's, and goes with it.
            let stays = !place.made.contains(&place.path) && record.launch.scope.is_none();
            Ok(Some(cgroup.with_made(place.made.clone()).that_stays(stays)))
        }
        Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether its creator was killed before it could see that the cgroup is in use by somebody else. What was born there of its own has
/// died with it.
fn is_anothers(record: &Record<Launched>) -> Result<bool> {
    let found = record.launch.cgroup.as_ref().is_some_and(|place| !place.made.contains(&place.path));
    if record.phase != Phase::Creating || !found {
        return Ok(false);
    }
    cgroup_of(record)?.map_or(Ok(false), |cgroup| Ok(!cgroup.processes()?.is_empty()))
}

fn remove_cgroup_of(record: &Record<Launched>) -> Result<()> {
    if is_anothers(record)? {
        crate::warn(&format!("the cgroup of container {} is in use by somebody else, and is left alone", record.id));
        return Ok(());
    }
    match (cgroup_of(record)?, &record.launch.cgroup) {
        (Some(cgroup), _) => {
            if let Some(scope) = &record.launch.scope {
                // Or systemd asks them to end, and waits.
                cgroup.kill_all(libc::SIGKILL)?;
                scope.stop()?;
            }
            cgroup.remove()?;
        }
        // systemd has taken the cgroup away, because nobody was in it; or the creator was killed and does not know whether it is made.
        (None, _) if record.launch.scope.is_some() => record.launch.scope.as_ref().map_or(Ok(()), |scope| scope.discard())?,
        // Its creator was killed on the way to it, or somebody has removed it.
        (None, Some(place)) => Cgroup::remove_way(Path::new(&place.mount), &place.path, &place.made)?,
        (None, None) => {}
    }
    // After the other, which waits for the last process to be gone from all of them.
    Ok(legacy_of(record).map_or(Ok(()), |place| place.remove())?)
}

fn remove_rdt_of(record: &Record<Launched>) -> Result<()> {
    let Some(place) = record.launch.rdt.clone() else { return Ok(()) };
    match place.open() {
        // Somebody has unmounted it, and with it went every group.
        Err(CgroupError::NotResctrl { .. }) => Ok(()),
        group => Ok(group?.remove()?),
    }
}

pub(crate) fn legacy_of(record: &Record<Launched>) -> Option<LegacyPlace> {
    let made = || record.launch.legacy_made.clone();
    record.launch.legacy_cgroups.as_ref().map(|place| LegacyPlace::open(place).with_made(made()))
}

fn wait_for(outcome: wolffia_sys::Result<bool>) -> Result<bool> {
    outcome.map_err(|source| Error::System { act: "wait for the container's process", source })
}
