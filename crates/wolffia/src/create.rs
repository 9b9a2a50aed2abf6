//! Making a container: reserve, plan, launch, commit. Whatever fails, nothing is left.

use crate::accounting::Accounting;
use crate::container::Container;
use crate::error::{Error, Result, cause};
use crate::notify::Readiness;
use crate::record::Launched as Payload;
use crate::runtime::{Runtime, parse_id};
use crate::terminal::Terminal;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use wolffia_host::Needs;
use wolffia_launch::{Cause, HookState, Launch, Launched, Running, Stage, Trace};
use wolffia_plan::{BinaryOwner, Host, HostPath, Ids, KnownIds, Plan, Request, Step};
use wolffia_spec::Config;
use wolffia_state::{Dir, Phase, Record, Reservation, Store, Timestamp, process_stat};
use wolffia_sys::process::SingleThreaded;

/// What a container is made of.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Absolute; relative paths of the configuration start here.
    pub directory: PathBuf,
    pub config: Config,
    /// The configuration's text, kept for `exec`.
    pub text: Vec<u8>,
}

impl Bundle {
    /// Reads `config.json` of the bundle `directory`.
    pub fn load(directory: &Path) -> Result<Self> {
        Self::load_file(directory, Path::new("config.json"))
    }

    /// Reads the configuration from `file`, which may be relative to the bundle.
    pub fn load_file(directory: &Path, file: &Path) -> Result<Self> {
        let directory = std::path::absolute(directory).map_err(|source| file_error("find", directory, source))?;
        let path = directory.join(file);
        let text = match read_document(&path) {
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Err(Error::NoConfig { path, source }),
            other => other.map_err(|source| file_error("read", &path, source))?,
        };
        Self::of_text(&directory, text)
    }

    /// A configuration made in memory. `directory` must be absolute.
    pub fn of_spec(directory: &Path, spec: wolffia_spec::oci::Spec) -> Result<Self> {
        let text = serde_json::to_vec(&spec)
            .map_err(|error| Error::Usage { reason: format!("the configuration cannot be written: {error}"), cure: "" })?;
        Self::of_text(directory, text)
    }

    /// The text of a configuration, which may say more than the specification's types hold. `directory` must be absolute.
    pub fn of_text(directory: &Path, text: Vec<u8>) -> Result<Self> {
        let mut config = Config::parse(&text)?;
        crate::landlock_file::add(&mut config, directory)?;
        Ok(Self { directory: directory.to_owned(), config, text })
    }
}

/// Longest configuration: as long as the store of containers keeps for `exec`.
const DOCUMENT_LIMIT: u64 = 16 << 20;

/// Reads a configuration, whoever wrote it, without filling the memory.
pub fn read_document(path: &Path) -> std::io::Result<Vec<u8>> {
    // Room for the usual one, which then takes two reads.
    let mut text = Vec::with_capacity(8192);
    std::fs::File::open(path)?.take(DOCUMENT_LIMIT + 1).read_to_end(&mut text)?;
    if text.len() as u64 > DOCUMENT_LIMIT {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, format!("more than {DOCUMENT_LIMIT} bytes")));
    }
    Ok(text)
}

/// The command line's part of `create` and `run`.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    pub terminal: Terminal,
    /// Written before the call returns: init's pid, without a newline.
    pub pid_file: Option<PathBuf>,
    /// Send a pidfd of init to this unix socket.
    pub pidfd_socket: Option<PathBuf>,
    pub no_pivot: bool,
    pub no_new_keyring: bool,
    /// Descriptors from 3 (after `listen_fds`) that the container gets too.
    pub preserve_fds: u32,
    /// Descriptors from 3 that are handed on as `LISTEN_FDS`.
    pub listen_fds: u32,
    /// The caller waits for readiness messages (`NOTIFY_SOCKET`).
    pub notify: bool,
}

impl Runtime {
    /// Decides what `create` would do, and does none of it.
    pub fn plan(&self, id: &str, bundle: &Bundle, options: &CreateOptions) -> Result<(Plan, Host)> {
        parse_id(id)?;
        let host = wolffia_host::probe(needs(&bundle.config))?;
        let request = self.request(id, bundle, options)?;
        Ok((wolffia_plan::plan(&bundle.config, &request, &host)?, host))
    }

    /// Makes a container; it waits for [`Container::start`].
    pub fn create(&self, id: &str, bundle: &Bundle, options: &CreateOptions) -> Result<Container> {
        let Made { store, dir, launched, record } = self.make(id, bundle, options, Start::Later)?;
        let container = Container::new(self, store, dir, record);
        match launched.stay() {
            Ok(()) => Ok(container.warned()),
            Err(failure) => Err(discard(container, options, failure.into())),
        }
    }

    /// Makes a container and starts it. The process is this process's own child.
    pub fn run(&self, id: &str, bundle: &Bundle, options: &CreateOptions) -> Result<(Container, Running)> {
        let Made { store, dir, launched, record } = self.make(id, bundle, options, Start::Now)?;
        let mut container = Container::new(self, store, dir, record);
        if options.notify {
            match Readiness::bind(&container.dir) {
                Ok(readiness) => container.readiness = readiness,
                Err(error) => return Err(discard(container, options, error)),
            }
        }
        let running = match launched.start(self.trace()) {
            Ok(running) => running,
            Err(failure) => return Err(discard(container, options, failure.into())),
        };
        match container.after_start() {
            Ok(()) => Ok((container.warned(), running)),
            Err(error) => Err(discard(container, options, error)),
        }
    }

    fn request(&self, id: &str, bundle: &Bundle, options: &CreateOptions) -> Result<Request> {
        let host_path = |path: PathBuf| {
            HostPath::new(&path).ok_or_else(|| Error::Usage {
                reason: format!("{} is not an absolute path", path.display()),
                cure: "name an absolute path",
            })
        };
        let notify = options.notify.then(|| host_path(self.root.join(id).join(crate::notify::DIRECTORY))).transpose()?;
        Ok(Request {
            id: id.to_owned(),
            bundle: host_path(bundle.directory.clone())?,
            no_pivot: options.no_pivot,
            no_new_keyring: options.no_new_keyring,
            preserve_fds: options.preserve_fds,
            listen_fds: options.listen_fds,
            notify_directory: notify,
            cgroups: self.cgroups,
            rootless: self.is_rootless(),
            binary: own_binary()?,
        })
    }

    fn make(&self, id: &str, bundle: &Bundle, options: &CreateOptions, start: Start) -> Result<Made> {
        // First of all, because nothing is to be undone yet.
        single_threaded()?;
        let id = parse_id(id)?;
        let (plan, host) = self.plan(id.as_str(), bundle, options)?;
        crate::protection::require(&plan)?;
        options.terminal.fits(plan.process.as_ref())?;
        let stage = Stage { trace: self.trace().map_or(Trace::Off, Trace::Log) };
        let store = self.store(true)?;
        let mut making = Making { reservation: store.reserve(&id)?, store, accounting: Accounting::default(), stage };
        let made = match making.carry_out(self, &plan, &host, bundle, options, start) {
            Ok((launched, record)) => making.commit(launched, record),
            Err(error) => Err(making.undo(error)),
        };
        made.inspect_err(|_| {
            remove_pid_file(options);
            // runtime.md, lifecycle: a hook that fails ends in the container's destruction, poststop included.
            let state = hook_state(&id, bundle, &plan).with("stopped", None);
            for cause in wolffia_launch::run_all_hooks("poststop", &plan.hooks.poststop, &state, &bundle.directory) {
                crate::warn(&cause.text);
            }
        })
    }
}

/// When the container's program starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// By `start`, from another process.
    Later,
    /// By this process.
    Now,
}

/// What has been made so far.
struct Making<'a> {
    store: Store,
    reservation: Reservation<Payload>,
    accounting: Accounting,
    stage: Stage<'a>,
}

/// A container that is made and written down, and its init, which is ours until it is let go.
struct Made {
    store: Store,
    dir: Dir,
    launched: Launched,
    record: Record<Payload>,
}

impl Making<'_> {
    fn carry_out(
        &mut self,
        runtime: &Runtime,
        plan: &Plan,
        host: &Host,
        bundle: &Bundle,
        options: &CreateOptions,
        start: Start,
    ) -> Result<(Launched, Record<Payload>)> {
        self.stage.act(Step::StateReserve, String::new, || Ok::<(), Cause>(()))?;
        if let Some(stale) = self.reservation.stale() {
            crate::container::clean_up(stale)?;
        }
        let id = self.reservation.dir().id().clone();
        let mut record = new_record(&id, bundle, plan, host);
        if let Some(path) = &options.pid_file {
            record.launch.pid_file = Some(std::path::absolute(path).map_err(|source| file_error("find", path, source))?);
        }
        self.accounting.make(&self.stage, plan, &self.reservation, &mut record)?;
        let dir = self.reservation.dir();
        dir.save_config(&bundle.text)?;
        if options.notify {
            crate::notify::make_directory(dir)?;
        }
        let listener = match start {
            Start::Now => None,
            Start::Later => Some(self.stage.act(Step::StartSocket, String::new, || wolffia_launch::listen(dir.as_fd()))?),
        };
        let join = |init| self.accounting.join(plan, init);
        let launched = wolffia_launch::launch(Launch {
            plan,
            state: hook_state(&id, bundle, plan),
            cgroup: self.accounting.birthplace(),
            join: self.accounting.joins().then_some(&join),
            limit: &|| self.accounting.limit(&self.stage, plan),
            listener,
            console: &mut |name, master| options.terminal.receive(name, master),
            trace: runtime.trace(),
        })?;
        self.accounting.note(&mut record);
        let stat = process_stat(launched.pid())?;
        record.pid = launched.pid().get();
        record.start_time = stat.map_or(0, |stat| stat.start_time);
        record.phase = Phase::Created;
        if let Some(path) = &options.pid_file {
            let what = || path.display().to_string();
            self.stage.act(Step::PidFile, what, || crate::pid_file::write(path, launched.pid()))?;
        }
        if let Some(path) = &options.pidfd_socket {
            let what = || path.display().to_string();
            self.stage.act(Step::PidFile, what, || crate::pid_file::send_pidfd(path, launched.pidfd()))?;
        }
        record.launch.pid_file = None;
        Ok((launched, record))
    }

    fn commit(self, launched: Launched, record: Record<Payload>) -> Result<Made> {
        let Making { store, reservation, accounting, stage } = self;
        let id = reservation.dir().id().clone();
        let committed = stage.act(Step::StateCommit, || id.to_string(), || reservation.commit(&record).map_err(cause));
        match committed {
            Ok(dir) => Ok(Made { store, dir, launched, record }),
            Err(failure) => {
                drop(launched);
                accounting.remove();
                let Ok(dir) = store.open_dir(&id) else { return Err(failure.into()) };
                if let Ok(lock) = dir.lock(crate::container::LOCK_PATIENCE) {
                    report(store.remove(dir, lock));
                }
                Err(failure.into())
            }
        }
    }

    /// Takes away what was made; returns the error that led here.
    fn undo(self, error: Error) -> Error {
        self.accounting.remove();
        report(self.reservation.abandon(&self.store));
        error
    }
}

/// Takes away a container that was made, because it cannot be let go; returns the error that led here.
fn discard(container: Container, options: &CreateOptions, error: Error) -> Error {
    crate::warn_on_error(container.delete(true));
    remove_pid_file(options);
    error
}

pub(crate) fn remove_pid_file(options: &CreateOptions) {
    if let Some(path) = &options.pid_file {
        crate::pid_file::remove(path);
    }
}

/// What goes wrong while cleaning up is said, and does not hide the error that it follows.
pub(crate) fn report<E: std::fmt::Display>(result: std::result::Result<(), E>) {
    if let Err(error) = result {
        crate::warn(&error.to_string());
    }
}

pub(crate) fn new_record(id: &wolffia_state::ContainerId, bundle: &Bundle, plan: &Plan, host: &Host) -> Record<Payload> {
    let ids = match &plan.ids {
        Ids::Inherited => KnownIds::of_host(host),
        Ids::Mapped { uids, gids, .. } => KnownIds { uids: Some(uids.clone()), gids: Some(gids.clone()) },
        Ids::Joined { .. } => KnownIds::default(),
    };
    Record {
        version: Default::default(),
        id: id.clone(),
        oci_version: bundle.config.spec.version().clone(),
        bundle: bundle.directory.clone(),
        rootfs: plan.root.path.as_path().to_owned(),
        pid: 0,
        start_time: 0,
        created: Timestamp::from(SystemTime::now()),
        annotations: plan.annotations.clone(),
        owner: host.euid,
        phase: Phase::Creating,
        cgroup: None,
        namespaces: Vec::new(),
        launch: Payload::of(plan, ids, None),
    }
}

fn hook_state(id: &wolffia_state::ContainerId, bundle: &Bundle, plan: &Plan) -> HookState {
    HookState {
        oci_version: bundle.config.spec.version().clone(),
        id: id.to_string(),
        status: "creating".to_owned(),
        pid: None,
        bundle: bundle.directory.display().to_string(),
        annotations: plan.annotations.clone(),
    }
}

/// What `plan` needs to know of the host for this configuration.
fn needs(config: &Config) -> Needs {
    let linux = config.spec.linux().as_ref();
    let ranges = |maps: &Option<Vec<wolffia_spec::oci::LinuxIdMapping>>| {
        maps.as_ref().is_none_or(|maps| maps.len() != 1 || maps.iter().any(|map| map.size() != 1))
    };
    let user = wolffia_spec::oci::LinuxNamespaceType::User;
    let new_user = linux
        .and_then(|linux| linux.namespaces().as_ref())
        .is_some_and(|all| all.iter().any(|one| one.typ() == user && one.path().is_none()));
    let labels = config
        .spec
        .process()
        .as_ref()
        .is_some_and(|process| process.apparmor_profile().is_some() || process.selinux_label().is_some());
    Needs {
        subordinate_ids: new_user && linux.is_some_and(|linux| ranges(linux.uid_mappings()) || ranges(linux.gid_mappings())),
        security_modules: labels || linux.is_some_and(|linux| linux.mount_label().is_some()),
        resctrl: linux.is_some_and(|linux| linux.intel_rdt().is_some()),
    }
}

fn own_binary() -> Result<BinaryOwner> {
    let stat =
        wolffia_sys::fd::path_stat("/proc/self/exe").map_err(|source| Error::System { act: "look at the own binary", source })?;
    Ok(BinaryOwner { uid: stat.uid, gid: stat.gid, mode: stat.mode })
}

pub(crate) fn single_threaded() -> Result<()> {
    match SingleThreaded::check() {
        Ok(_) => Ok(()),
        Err(error) if error.is(wolffia_sys::Errno::EBUSY) => Err(Error::Threaded),
        Err(source) => Err(Error::System { act: "count the threads", source }),
    }
}

fn file_error(act: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::File { act, path: path.to_owned(), source }
}
