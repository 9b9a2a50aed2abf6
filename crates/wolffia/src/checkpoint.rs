//! Saving a container that runs, with CRIU.

use crate::container::Container;
use crate::create::{Bundle, CreateOptions, single_threaded};
use crate::error::{Error, Result, cause};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use wolffia_criu::{Act, CgroupMode, CriuError, Images, Notice, Options, PageServer, Preparation, Worker};
use wolffia_launch::{Cause, Failure};
use wolffia_plan::{External, NamespaceKind, SeenMount, Step, plan_externals};
use wolffia_state::Operation;
use wolffia_sys::fd::{self, FileKind, OFlags};
use wolffia_sys::process::SingleThreaded;
use wolffia_sys::root::Root;

/// What init's standard streams were at the checkpoint; runc's name and form.
pub(crate) const STREAMS: &str = "descriptors.json";
const LOG: &str = "dump.log";
/// What `restore` gives the network namespace that was joined.
pub(crate) const NETWORK: &str = "extRootNetNS";

/// What both `checkpoint` and `restore` take.
#[derive(Debug, Clone, Default)]
pub struct CriuOptions {
    /// Where the images are.
    pub images: PathBuf,
    /// Where the log is; `None`: beside the images.
    pub work: Option<PathBuf>,
    pub tcp_established: bool,
    pub external_unix_sockets: bool,
    pub shell_job: bool,
    pub file_locks: bool,
    pub auto_dedup: bool,
    pub lazy_pages: bool,
    pub cgroups: CgroupMode,
}

/// What `checkpoint` takes besides.
#[derive(Debug, Default)]
pub struct CheckpointOptions {
    pub criu: CriuOptions,
    /// Images of an earlier pre-dump, relative to these.
    pub parent: Option<PathBuf>,
    pub leave_running: bool,
    pub pre_dump: bool,
    pub tcp_skip_in_flight: bool,
    pub link_remap: bool,
    pub page_server: Option<PageServer>,
    /// Gets a zero byte when the page server listens.
    pub ready: Option<OwnedFd>,
}

impl CriuOptions {
    /// The part of the request that needs no container.
    pub(crate) fn request(&self, images: &Images, work: Option<&Images>, log_file: &'static str) -> Options {
        Options {
            images: images.as_fd().as_raw_fd(),
            work: work.map(|work| work.as_fd().as_raw_fd()),
            log_file,
            tcp_established: self.tcp_established,
            external_unix_sockets: self.external_unix_sockets,
            shell_job: self.shell_job,
            file_locks: self.file_locks,
            auto_dedup: self.auto_dedup,
            lazy_pages: self.lazy_pages,
            cgroups: self.cgroups,
            // As with runc: what is in a network namespace is the business of whoever set it up.
            empty_namespaces: u32::try_from(NamespaceKind::Network.clone_flag()).unwrap_or_default(),
            ..Options::default()
        }
    }
}

impl Container {
    /// Saves the container's processes. They are gone afterwards, and so is the container, unless they are left running.
    ///
    /// # Errors
    /// As CRIU says. The container runs on then.
    pub fn checkpoint(self, options: CheckpointOptions) -> Result<()> {
        let criu = &options.criu;
        must_be_root("checkpoint")?;
        let alone = single_threaded().and_then(|()| SingleThreaded::check().map_err(system("count the threads")))?;
        let lock = self.dir.lock(crate::container::LOCK_PATIENCE)?;
        self.allow(Operation::Checkpoint)?;
        let program = wolffia_criu::find().map_err(failed(Step::CheckpointDump, criu))?;
        let text = self.dir.config()?.unwrap_or_default();
        let bundle = Bundle::of_text(&self.record.bundle, text)?;
        let (plan, _) = self.runtime.plan(self.id(), &bundle, &CreateOptions::default())?;
        let externals = plan_externals(&plan)?;
        let images = Images::make(&criu.images).map_err(failed(Step::CheckpointDump, criu))?;
        let work = criu.work.as_deref().map(Images::make).transpose().map_err(failed(Step::CheckpointDump, criu))?;
        check_places(&images, work.as_ref(), LOG, &self.record.rootfs).map_err(failed(Step::CheckpointDump, criu))?;
        check_parent(&images, options.parent.as_deref())?;
        let mut request = self.request(&options, &images, work.as_ref())?;
        if !options.pre_dump {
            request.external = self.external(&externals)?;
            request.external.extend(self.streams(&images)?);
            request.external.extend(plan.namespaces.joined(NamespaceKind::Network).map(|_| self.network()).transpose()?);
        }
        let act = if options.pre_dump { Act::PreDump } else { Act::Dump };
        let log = work.as_ref().unwrap_or(&images);
        let mut ready = options.ready;
        let mut told = |notice: &Notice, _| match ready.take_if(|_| notice.moment == "status-ready") {
            Some(ready) => fd::write_all(ready, &[0]).map_err(|error| error.to_string()),
            None => Ok(()),
        };
        self.stage().act(
            Step::CheckpointDump,
            || criu.images.display().to_string(),
            || {
                let preparation = Preparation {
                    program: &program,
                    namespaces: 0,
                    cgroup: None,
                    streams: false,
                    work: &|| Ok(()),
                    inherits: &[],
                };
                Worker::start(&alone, &preparation)
                    .and_then(|worker| worker.ask(act, &request, log.as_fd(), &mut told))
                    .map_err(|error| explained(error, criu, LOG))
            },
        )?;
        drop(lock);
        if options.leave_running || options.pre_dump { Ok(()) } else { self.delete(true) }
    }

    fn request(&self, options: &CheckpointOptions, images: &Images, work: Option<&Images>) -> Result<Options> {
        let request = options.criu.request(images, work, LOG);
        let parent = options.parent.as_ref().map(|parent| parent.display().to_string());
        Ok(Options {
            root: self.record.rootfs.display().to_string(),
            pid: Some(self.record.pid),
            leave_running: options.leave_running,
            tcp_skip_in_flight: options.tcp_skip_in_flight,
            link_remap: options.link_remap,
            track_memory: parent.is_some() || options.pre_dump,
            parent_images: parent,
            page_server: options.page_server.clone(),
            freezer: self.record.cgroup.as_ref().map(|path| path.display().to_string()),
            ..request
        })
    }

    /// The external mounts, with the mount points that the kernel has for them: found by descriptor and by the mount's number, never
    /// by putting paths together (CVE-2026-119101).
    fn external(&self, externals: &[External]) -> Result<Vec<String>> {
        let pid = self.record.pid;
        let mounts = mounts_of(pid)?;
        let path = format!("/proc/{pid}/root");
        let root = fd::open(&path, OFlags::PATH | OFlags::DIRECTORY, 0).map_err(system("open the container's root"))?;
        let root = Root::from(root);
        let mut found = Vec::new();
        for external in externals {
            let Ok(place) = root.resolve(external.path.relative(), OFlags::empty()) else { continue };
            let stat = fd::stat(&place).map_err(system("look at a mount"))?;
            let covers_file = external.source != wolffia_plan::ExternalSource::Null || stat.kind != FileKind::Directory;
            let Some(mount) = mounts.iter().find(|mount| mount.id == stat.mnt_id && stat.is_mount_root && covers_file) else {
                continue;
            };
            if mount.point.contains("]:") {
                let reason = format!("the mount point {:?} cannot be told to CRIU", mount.point);
                return Err(Error::Usage { reason, cure: "checkpoint takes no brackets in a mount point" });
            }
            found.push(format!("mnt[{}]:{}", mount.point, external.name));
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Init's standard streams, of which those that lie outside of the container are external. They are noted beside the images.
    fn streams(&self, images: &Images) -> Result<Vec<String>> {
        let pid = self.record.pid;
        let inside: Vec<u64> = mounts_of(pid)?.iter().map(|mount| mount.id).collect();
        let (mut names, mut external) = (Vec::new(), Vec::new());
        for number in 0..3 {
            let path = PathBuf::from(format!("/proc/{pid}/fd/{number}"));
            let Ok(link) = fs::read_link(&path) else {
                names.push(String::new());
                continue;
            };
            let stat = fd::path_stat(&path).map_err(system("look at a stream"))?;
            let (mount, link) = (mount_of_descriptor(pid, number)?, link.display().to_string());
            // Pipes and sockets are on no mount of anybody's.
            let outside = link.starts_with('/') && !inside.contains(&mount);
            let key = format!("file[{mount:x}:{:x}]", stat.ino);
            names.push(if outside { key.clone() } else { link });
            external.extend(outside.then_some(key));
        }
        let text = serde_json::to_vec(&names).map_err(|error| Error::Usage { reason: error.to_string(), cure: "" })?;
        images.write(STREAMS, &text).map_err(|error| Error::from(Failure::new(Step::CheckpointDump, STREAMS, cause(error))))?;
        external.sort();
        external.dedup();
        Ok(external)
    }

    /// The network namespace that was joined: CRIU leaves it alone.
    fn network(&self) -> Result<String> {
        let path = format!("/proc/{}/ns/net", self.record.pid);
        let stat = fd::path_stat(&path).map_err(system("look at the network namespace"))?;
        Ok(format!("net[{}]:{NETWORK}", stat.ino))
    }
}

/// CRIU traces every process, writes to its memory and makes namespaces: the rights of the host's root.
pub(crate) fn must_be_root(what: &str) -> Result<()> {
    if wolffia_sys::ids::geteuid() == 0 && !crate::runtime::in_user_namespace() {
        return Ok(());
    }
    Err(Error::Usage {
        reason: format!("{what} takes root, outside of any user namespace: CRIU cannot save and restore namespaces without"),
        cure: "run it as root",
    })
}

pub(crate) fn mounts_of(pid: i32) -> Result<Vec<SeenMount>> {
    let path = format!("/proc/{pid}/mountinfo");
    let text = fs::read_to_string(&path).map_err(|source| Error::File { act: "read", path: path.into(), source })?;
    Ok(text.lines().filter_map(SeenMount::parse).collect())
}

fn mount_of_descriptor(pid: i32, number: i32) -> Result<u64> {
    let path = format!("/proc/{pid}/fdinfo/{number}");
    let text = fs::read_to_string(&path).map_err(|source| Error::File { act: "read", path: path.clone().into(), source })?;
    let line = text.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    line.and_then(|number| number.trim().parse().ok())
        .ok_or_else(|| Error::Usage { reason: format!("{path} has no mnt_id"), cure: "" })
}

/// Nobody else writes where the images and the log are, and the container does not see them: it would read its own memory, and make
/// of itself what it likes.
pub(crate) fn check_places(
    images: &Images,
    work: Option<&Images>,
    log: &str,
    rootfs: &Path,
) -> std::result::Result<(), CriuError> {
    images.must_be_own()?;
    work.unwrap_or(images).must_be_private(log)?;
    let rootfs = fs::canonicalize(rootfs).unwrap_or_else(|_| rootfs.to_owned());
    match images.real_path()?.starts_with(rootfs) {
        true => Err(CriuError::Foreign { path: images.path().to_owned(), reason: "it is in the container's root file system" }),
        false => Ok(()),
    }
}

/// CRIU's own message for a wrong one does not name it.
fn check_parent(images: &Images, parent: Option<&Path>) -> Result<()> {
    let Some(parent) = parent else { return Ok(()) };
    if parent.is_absolute() {
        return Err(Error::Usage { reason: "--parent-path must be relative".to_owned(), cure: "it starts at --image-path" });
    }
    match fd::openat(images, parent, OFlags::RDONLY | OFlags::DIRECTORY, 0) {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::System { act: "open --parent-path, which starts at --image-path", source }),
    }
}

pub(crate) fn system(act: &'static str) -> impl Fn(wolffia_sys::Error) -> Error {
    move |source| Error::System { act, source }
}

/// The error with where CRIU's log is.
pub(crate) fn explained(error: CriuError, options: &CriuOptions, log: &str) -> Cause {
    let has_log = matches!(error, CriuError::Failed { .. });
    let cause = cause(error);
    let log = options.work.as_ref().unwrap_or(&options.images).join(log);
    if has_log { Cause { text: format!("{}; log file: {}", cause.text, log.display()), ..cause } } else { cause }
}

pub(crate) fn failed(step: Step, options: &CriuOptions) -> impl Fn(CriuError) -> Error {
    let path = options.images.display().to_string();
    move |error| match error {
        CriuError::Missing => Error::Usage {
            reason: CriuError::Missing.to_string(),
            cure: "install criu (the package of that name, version 3.16 or newer); `criu check` says whether it works here",
        },
        other => Failure::new(step, path.clone(), cause(other)).into(),
    }
}
