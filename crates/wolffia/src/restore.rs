//! Making a container of what `checkpoint` has saved. Its surroundings are made of the configuration, as `create` makes them; CRIU
//! restores the processes into them; and before these go on they are compared with the plan.

use crate::accounting::Accounting;
use crate::checkpoint::{CriuOptions, NETWORK, STREAMS, check_places, explained, failed, must_be_root, system};
use crate::container::{Container, hook_state};
use crate::create::{Bundle, CreateOptions, new_record, remove_pid_file, report, single_threaded};
use crate::error::{Error, Result, cause};
use crate::inspect;
use crate::record::Launched;
use crate::runtime::{Runtime, parse_id};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use wolffia_criu::{Act, Images, Notice, Options, Preparation, Worker};
use wolffia_launch::{HookState, Running, Stage, Trace, restage};
use wolffia_plan::{External, NamespaceKind, Plan, Step, judge_filters, plan_externals};
use wolffia_state::{Dir, Phase, Record, Reservation, Store, process_stat};
use wolffia_sys::fd::{self, OFlags};
use wolffia_sys::process::SingleThreaded;
use wolffia_sys::{Errno, Pid, pidfd};

const LOG: &str = "restore.log";
/// Where CRIU's view of the container is laid out, in the container's directory.
const STAGE: &str = "stage";
/// The first descriptor of CRIU's that is not its own.
const FIRST_INHERITED: i32 = 4;

/// What `restore` takes besides the options of `create`.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    pub criu: CriuOptions,
    pub lsm_profile: Option<String>,
    pub lsm_mount_context: Option<String>,
}

impl Runtime {
    /// Restores a container. Its first process is this process's own child.
    pub fn restore(
        &self,
        id: &str,
        bundle: &Bundle,
        options: &CreateOptions,
        how: &RestoreOptions,
    ) -> Result<(Container, Running)> {
        must_be_root("restore")?;
        single_threaded()?;
        let id = parse_id(id)?;
        let (plan, host) = self.plan(id.as_str(), bundle, options)?;
        crate::protection::require(&plan)?;
        options.terminal.fits(plan.process.as_ref())?;
        let externals = plan_externals(&plan)?;
        let program = wolffia_criu::find().map_err(failed(Step::RestoreProcesses, &how.criu))?;
        let images = Images::open(&how.criu.images).map_err(failed(Step::RestoreProcesses, &how.criu))?;
        let work = how.criu.work.as_deref().map(Images::make).transpose().map_err(failed(Step::RestoreProcesses, &how.criu))?;
        check_places(&images, work.as_ref(), LOG, plan.root.path.as_path()).map_err(failed(Step::RestoreProcesses, &how.criu))?;
        judge_filters(&plan, &images.first_filters().map_err(failed(Step::RestoreProcesses, &how.criu))?)?;
        let store = self.store(true)?;
        let reservation = store.reserve(&id)?;
        let record = new_record(&id, bundle, &plan, &host);
        let stage = Stage { trace: self.trace().map_or(Trace::Off, Trace::Log) };
        let outside = Outside { plan: &plan, externals: &externals, program: &program, images: &images, work: work.as_ref() };
        let mut restoring =
            Restoring { store, reservation, record, accounting: Accounting::default(), stage, init: None, verified: false };
        match restoring.carry_out(&outside, bundle, options, how) {
            Ok(running) => restoring.commit(self, running, options),
            Err(error) => {
                remove_pid_file(options);
                Err(restoring.undo(error))
            }
        }
    }
}

/// What is there before, and stays.
struct Outside<'a> {
    plan: &'a Plan,
    externals: &'a [External],
    program: &'a Path,
    images: &'a Images,
    work: Option<&'a Images>,
}

/// What has been made so far.
struct Restoring<'a> {
    store: Store,
    reservation: Reservation<Launched>,
    record: Record<Launched>,
    accounting: Accounting,
    stage: Stage<'a>,
    /// Once CRIU has told of it.
    init: Option<Running>,
    verified: bool,
}

impl Restoring<'_> {
    fn carry_out(
        &mut self,
        outside: &Outside<'_>,
        bundle: &Bundle,
        options: &CreateOptions,
        how: &RestoreOptions,
    ) -> Result<Running> {
        let Outside { plan, externals, images, .. } = *outside;
        if let Some(stale) = self.reservation.stale() {
            crate::container::clean_up(stale)?;
        }
        self.accounting.make(&self.stage, plan, &self.reservation, &mut self.record)?;
        let dir = self.reservation.dir();
        dir.save_config(&bundle.text)?;
        fd::mkdirat(dir, STAGE, 0o700).map_err(system("make a place for the mounts"))?;
        let place = dir.path().join(STAGE);
        let (network, mut inherited) = (network_of(plan)?, streams(images)?);
        inherited.extend(network.iter().map(|_| (NETWORK.to_owned(), FIRST_INHERITED)));
        let inherits: Vec<BorrowedFd<'_>> = network.iter().map(AsFd::as_fd).collect();
        let work = || restage::restage(plan, externals, &place).map_err(|cause| cause.text);
        let preparation = Preparation {
            program: outside.program,
            namespaces: NamespaceKind::Mount.clone_flag(),
            cgroup: self.accounting.birthplace(),
            streams: true,
            work: &work,
            inherits: &inherits,
        };
        let alone = SingleThreaded::check().map_err(system("count the threads"))?;
        let worker = self.stage.act(
            Step::RestoreProcesses,
            || "start criu".to_owned(),
            || Worker::start(&alone, &preparation).map_err(cause),
        )?;
        if self.accounting.joins() {
            self.stage.act(Step::CgroupJoin, String::new, || self.accounting.join(plan, worker.pid()))?;
        }
        // Here, because nothing of the container may run without its limits: CRIU makes its processes from now on.
        self.accounting.limit(&self.stage, plan)?;
        let mut request = how.criu.request(images, outside.work, LOG);
        request.root = restage::root_of(&place).display().to_string();
        request.external = named(externals, &place);
        request.inherited = inherited;
        request.lsm_profile.clone_from(&how.lsm_profile);
        request.lsm_mount_context.clone_from(&how.lsm_mount_context);
        request.cgroup_roots = inspect::cgroups_of(worker.pid())?;
        self.converse(worker, &request, outside, options, how)?;
        self.accounting.note(&mut self.record);
        let running = self.init.take().ok_or_else(unverified)?;
        if inspect::has_own_clocks(running.pid)? && !self.record.launch.namespaces.contains(&NamespaceKind::Time) {
            // CRIU's doing, so that clocks go on from where they were; `exec` has to enter it too.
            self.record.launch.namespaces.push(NamespaceKind::Time);
        }
        if let Some(path) = &options.pid_file {
            let what = || path.display().to_string();
            self.stage.act(Step::PidFile, what, || crate::pid_file::write(path, running.pid))?;
        }
        Ok(running)
    }

    /// Lets CRIU restore, and answers it. Nothing of the container has run before it was compared with the plan.
    fn converse(
        &mut self,
        worker: Worker,
        request: &Options,
        outside: &Outside<'_>,
        options: &CreateOptions,
        how: &RestoreOptions,
    ) -> Result<()> {
        let criu = worker.pid();
        let log = outside.work.unwrap_or(outside.images);
        let Self { stage, reservation, record, init, verified, .. } = self;
        let mut answer = |notice: &Notice, fds: Vec<OwnedFd>| -> Result<()> {
            match (notice.moment.as_str(), notice.pid.and_then(Pid::from_raw)) {
                ("setup-namespaces", Some(pid)) => {
                    // Before the processes, because connections that are restored need it.
                    if outside.plan.namespaces.is_new(NamespaceKind::Network) {
                        stage.act(Step::Loopback, String::new, || restage::set_loopback_up(pid))?;
                    }
                    run_hooks(stage, outside.plan, &hook_state(record, "creating", Some(pid.get())))
                }
                ("post-restore", Some(pid)) => {
                    *init = Some(Running { pid, pidfd: pidfd::open(pid).map_err(system("open the restored process"))? });
                    record.pid = pid.get();
                    record.start_time = process_stat(pid)?.map_or(0, |stat| stat.start_time);
                    // Killed from here on, `delete --force` ends the processes.
                    Ok(reservation.dir().save(record)?)
                }
                ("orphan-pts-master", _) => {
                    let master = fds.into_iter().next().ok_or_else(no_terminal)?;
                    Ok(stage.act(Step::Console, String::new, || options.terminal.receive("orphan-pts-master", master))?)
                }
                ("pre-resume", _) => {
                    let running = init.as_ref().ok_or_else(unverified)?;
                    let place = reservation.dir().path().join(STAGE);
                    let compared = finish_root(stage, outside.plan, running.pid).and_then(|()| {
                        let compare = || inspect::compare(outside.plan, running.pid, criu, &place).map_err(cause);
                        Ok(stage.act(Step::RestoreVerify, String::new, compare)?)
                    });
                    // CRIU lets them go on whatever it is answered now. Who has a SIGKILL pending does not.
                    compared.or_else(|error| inspect::kill_stopped(running.pid, criu).and(Err(error)))?;
                    *verified = true;
                    Ok(())
                }
                _ => Ok(()),
            }
        };
        let mut stopped = None;
        let answered = stage.act(
            Step::RestoreProcesses,
            || how.criu.images.display().to_string(),
            || {
                let answered = worker.ask(Act::Restore, request, log.as_fd(), &mut |notice, fds| {
                    answer(notice, fds).map_err(|error| {
                        let text = error.to_string();
                        stopped.get_or_insert(error);
                        text
                    })
                });
                answered.map_err(|error| explained(error, &how.criu, LOG))
            },
        );
        match (stopped, answered) {
            (Some(reason), _) => Err(reason),
            (None, Err(failure)) => Err(failure.into()),
            (None, Ok(())) if self.verified => Ok(()),
            (None, Ok(())) => Err(unverified()),
        }
    }

    fn commit(self, runtime: &Runtime, running: Running, options: &CreateOptions) -> Result<(Container, Running)> {
        let Self { store, reservation, mut record, stage, .. } = self;
        report(remove_stage(reservation.dir()));
        record.phase = Phase::Created;
        let id = reservation.dir().id().to_string();
        let dir = stage.act(Step::StateCommit, || id.clone(), || reservation.commit(&record).map_err(cause))?;
        let container = Container::new(runtime, store, dir, record);
        match container.after_start() {
            Ok(()) => Ok((container, running)),
            Err(error) => {
                crate::warn_on_error(container.delete(true));
                remove_pid_file(options);
                Err(error)
            }
        }
    }

    /// Takes away what was made; returns the error that led here.
    fn undo(self, error: Error) -> Error {
        if let Some(running) = &self.init
            && let Err(left) = running.end()
            && !left.is(Errno::ESRCH)
        {
            crate::warn(&format!("the restored process {} could not be ended: {left}", running.pid));
        }
        self.accounting.remove();
        report(remove_stage(self.reservation.dir()));
        report(self.reservation.abandon(&self.store));
        error
    }
}

fn finish_root(stage: &Stage<'_>, plan: &Plan, init: Pid) -> Result<()> {
    if !plan.root.readonly {
        return Ok(());
    }
    let change = || SingleThreaded::check().map_err(Into::into).and_then(|alone| restage::make_root_readonly(&alone, init));
    Ok(stage.act(Step::RootfsReadonly, String::new, change)?)
}

fn remove_stage(dir: &Dir) -> wolffia_sys::Result<()> {
    match fd::unlinkat(dir, STAGE, true) {
        Err(error) if !error.is(Errno::ENOENT) => Err(error),
        _ => Ok(()),
    }
}

fn run_hooks(stage: &Stage<'_>, plan: &Plan, state: &HookState) -> Result<()> {
    let directory = plan.bundle.as_path();
    let all = [
        (Step::HooksPrestart, "prestart", &plan.hooks.prestart),
        (Step::HooksCreateRuntime, "createRuntime", &plan.hooks.create_runtime),
    ];
    for (step, kind, hooks) in all.into_iter().filter(|(.., hooks)| !hooks.is_empty()) {
        stage.act(step, String::new, || wolffia_launch::run_hooks(kind, hooks, state, directory))?;
    }
    Ok(())
}

/// `mnt[NAME]:PATH` for each name: where several places show the same, they share the first.
fn named(externals: &[External], place: &Path) -> Vec<String> {
    let mut names: Vec<&str> = Vec::new();
    let mut all = Vec::new();
    for (index, external) in externals.iter().enumerate() {
        if !names.contains(&external.name.as_str()) {
            names.push(&external.name);
            all.push(format!("mnt[{}]:{}", external.name, restage::external_of(place, index).display()));
        }
    }
    all
}

/// The caller's standard streams take the place of those that the container had from outside.
fn streams(images: &Images) -> Result<Vec<(String, i32)>> {
    const LONGEST: usize = 64 << 10;
    let wrong = |reason: String| Error::Usage { reason, cure: "checkpoint writes it beside the images" };
    let text = images.read(STREAMS, LONGEST).map_err(|error| wrong(format!("{STREAMS}: {}", cause(error).text)))?;
    let names: Vec<String> = serde_json::from_slice(&text).map_err(|error| wrong(format!("{STREAMS}: {error}")))?;
    if names.len() > 3 {
        return Err(wrong(format!("{STREAMS} names more than three streams")));
    }
    let known = |name: &str| ["pipe:[", "file["].iter().any(|kind| name.starts_with(kind));
    Ok((0..).zip(names).map(|(number, name)| (name, number)).filter(|(name, _)| known(name)).collect())
}

fn network_of(plan: &Plan) -> Result<Option<OwnedFd>> {
    let joined = plan.namespaces.joined(NamespaceKind::Network);
    joined.map(|path| fd::open(path.as_path(), OFlags::RDONLY, 0).map_err(system("open the network namespace"))).transpose()
}

fn unverified() -> Error {
    Error::Usage {
        reason: "criu let the restored processes go on before they could be compared with the configuration".to_owned(),
        cure: "use a newer criu",
    }
}

fn no_terminal() -> Error {
    Error::Usage { reason: "criu sent no terminal".to_owned(), cure: "use a newer criu" }
}
