//! What a restored container gets from the host, laid out for CRIU in a mount namespace of its own: the root, and each external mount
//! at a path of ours.
//!
//! The mounts are made by the same code as a new container's, with the same flags, and are handed over by descriptor. CRIU opens them
//! by path, so no part of that path may be the container's: a link in its root would lead elsewhere (CVE-2026-119101).

use crate::failure::Cause;
use crate::netdevices::{self, Network};
use crate::{mounts, rootfs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use wolffia_plan::{External, ExternalSource, NamespaceKind, Plan};
use wolffia_sys::fd::{self, FileKind, OFlags};
use wolffia_sys::mount::{self, FsContext, MOUNT_ATTR_NODEV, MOUNT_ATTR_RDONLY, OpenTree};
use wolffia_sys::process::{self, CloneRequest, Forked, SingleThreaded};
use wolffia_sys::root::Root;
use wolffia_sys::{Errno, Error, Pid, file, keyring, namespaces, pidfd};

const HANDLE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW);

/// Where CRIU finds the root.
pub fn root_of(stage: &Path) -> PathBuf {
    stage.join("root")
}

/// Where CRIU finds the external mount of this index.
pub fn external_of(stage: &Path, index: usize) -> PathBuf {
    stage.join(format!("external-{index}"))
}

/// Lays it out in the directory `stage`. For a process that is in the container's cgroups and in a mount namespace of its own.
pub fn restage(plan: &Plan, externals: &[External], stage: &Path) -> Result<(), Cause> {
    if plan.session_keyring {
        // CRIU restores none: the container would have the caller's (keyctl(2)).
        match keyring::new_session() {
            Err(error) if !error.is(Errno::ENOSYS) => return Err(error.into()),
            _ => {}
        }
    }
    if plan.namespaces.is_new(NamespaceKind::Cgroup) {
        // Before anything is mounted, because a cgroup mount shows what its maker's namespace has as root.
        namespaces::unshare(NamespaceKind::Cgroup.clone_flag())?;
    }
    // As for a new container: where that follows the host's mounts, CRIU wants to find in the source what follows them.
    mount::set_root_propagation(plan.root.host_propagation)?;
    let directory = place(stage)?;
    let bare = rootfs::clone_tree(&plan.root)?;
    if plan.root.readonly_recursive {
        mount::mount_setattr(bare.as_fd(), true, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV, 0, 0, None)?;
    }
    attach(bare.as_fd(), directory.as_fd(), &root_of(stage))?;
    // Another clone: what is mounted in the one that CRIU gets would be mounted in the container too.
    let whole = rootfs::clone_tree(&plan.root)?;
    attach(whole.as_fd(), directory.as_fd(), &stage.join("whole"))?;
    let whole = Root::from(whole);
    let mut made = Vec::new();
    for mount in &plan.mounts {
        let mounted = mounts::apply(&whole, mount, None).map_err(|cause| cause.context(mount.destination.to_string()))?;
        made.push(mounted);
    }
    for (index, external) in externals.iter().enumerate() {
        let tree = source(&external.source, &made).map_err(|cause| cause.context(external.path.to_string()))?;
        attach(tree.as_fd(), directory.as_fd(), &external_of(stage, index))?;
    }
    Ok(())
}

/// Brings the loopback interface of a restored network namespace up: CRIU makes it anew.
pub fn set_loopback_up(pid: Pid) -> Result<(), Cause> {
    const NETWORK: u64 = NamespaceKind::Network.clone_flag();
    let name = NamespaceKind::Network.file_name();
    let own = namespaces::open_own(name)?;
    namespaces::setns(namespaces::open_of(pid, name)?, NETWORK)?;
    let socket = netdevices::open_socket();
    // Before anything else, because all that follows is meant for the host.
    namespaces::setns(own, NETWORK)?;
    Network::of(socket?).set_loopback_up()
}

/// Makes the root of a restored container read-only: CRIU makes the mount without flags, and works in it until it is done. `EBUSY`
/// if a process has a file of it open for writing.
pub fn make_root_readonly(alone: &SingleThreaded, pid: Pid) -> Result<(), Cause> {
    let change = || -> Result<(), Error> {
        // Only who is in its mount namespace may (mount_setattr(2)).
        namespaces::setns(namespaces::open_of(pid, NamespaceKind::Mount.file_name())?, NamespaceKind::Mount.clone_flag())?;
        let root = fd::open("/", HANDLE | OFlags::DIRECTORY, 0)?;
        mount::mount_setattr(root, false, MOUNT_ATTR_RDONLY, 0, 0, None)
    };
    match process::clone3(alone, &CloneRequest::default())? {
        Forked::Child => process::exit(change().map_or_else(|error| error.errno.0, |()| 0)),
        Forked::Parent { pidfd, .. } => match pidfd::wait(&pidfd)?.code() {
            0 => Ok(()),
            errno => Err(Cause { text: format!("the root cannot be made read-only: {}", Errno(errno)), errno }),
        },
    }
}

/// A tmpfs that nobody else sees.
fn place(stage: &Path) -> Result<OwnedFd, Cause> {
    let target = fd::open(stage, HANDLE | OFlags::DIRECTORY, 0)?;
    let context = FsContext::open("tmpfs")?;
    context.string("mode", "700")?;
    context.create()?;
    let tree = context.mount(0)?;
    mount::move_mount(tree.as_fd(), target.as_fd())?;
    Ok(tree)
}

/// Mounts `tree` in the stage, on a directory or a file as it is one.
fn attach(tree: BorrowedFd<'_>, stage: BorrowedFd<'_>, path: &Path) -> Result<(), Cause> {
    let name = path.file_name().ok_or("a stage without a name")?;
    match fd::stat(tree)?.kind {
        FileKind::Directory => fd::mkdirat(stage, name, 0o700)?,
        _ => drop(fd::openat(stage, name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, 0o600)?),
    }
    let target = fd::openat(stage, name, HANDLE, 0)?;
    Ok(mount::move_mount(tree, target.as_fd())?)
}

fn source(source: &ExternalSource, made: &[OwnedFd]) -> Result<OwnedFd, Cause> {
    let clone = OpenTree { clone: true, ..OpenTree::of_descriptor() };
    let mounted = |index: usize| made.get(index).ok_or("no such entry of mounts");
    match source {
        ExternalSource::Mount { index } => Ok(mount::open_tree(mounted(*index)?.as_fd(), "", clone)?),
        ExternalSource::Below { index, directory } => {
            let below = fd::openat(mounted(*index)?.as_fd(), directory, HANDLE | OFlags::DIRECTORY, 0)?;
            Ok(mount::open_tree(below.as_fd(), "", clone)?)
        }
        ExternalSource::Null => {
            let null = fd::open("/dev/null", HANDLE, 0)?;
            if fd::stat(&null)?.rdev != (1, 3) {
                return Err("/dev/null is not the null device".into());
            }
            Ok(mount::open_tree(file::CWD, "/dev/null", OpenTree { clone: true, nofollow: true, ..OpenTree::default() })?)
        }
    }
}
