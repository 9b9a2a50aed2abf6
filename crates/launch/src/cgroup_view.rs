//! What a `cgroup` mount shows: cgroup2, or one directory for each v1 hierarchy.

use crate::failure::Cause;
use crate::mounts::{clone_source, set_attributes};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use wolffia_plan::{CgroupView, HostPath, LegacyHierarchy, Mount};
use wolffia_sys::fd::{self, OFlags};
use wolffia_sys::mount::{self, FsContext};
use wolffia_sys::root::Root;
use wolffia_sys::{Errno, file};

/// Mounts the view; returns the mount at the destination itself.
pub fn apply(root: &Root, mount: &Mount, view: &CgroupView) -> Result<OwnedFd, Cause> {
    let target = root.make_dirs(mount.destination.relative(), 0o755)?;
    match view {
        CgroupView::Unified { fallback } => {
            let tree = match new_cgroup2() {
                // Busy: the hierarchy is in use with other options; not permitted: the cgroup namespace is not ours.
                Err(cause) if matches!(Errno(cause.errno), Errno::EPERM | Errno::EBUSY) => {
                    clone_source(fallback, true, false).map_err(|other| other.context(&cause.text))?
                }
                other => other?,
            };
            attach(mount, tree, target.as_fd())
        }
        CgroupView::UnifiedBind { source } => attach(mount, clone_source(source, true, false)?, target.as_fd()),
        CgroupView::Legacy { hierarchies } => legacy(mount, hierarchies, target.as_fd()),
    }
}

fn new_cgroup2() -> Result<OwnedFd, Cause> {
    let context = FsContext::open("cgroup2")?;
    context.create()?;
    Ok(context.mount(0)?)
}

fn attach(mount: &Mount, tree: OwnedFd, target: BorrowedFd<'_>) -> Result<OwnedFd, Cause> {
    set_attributes(tree.as_fd(), &mount.attributes)?;
    mount::move_mount(tree.as_fd(), target)?;
    Ok(tree)
}

/// The tmpfs is finished while nobody sees it, then attached, then filled with mounts: the kernel takes no mount on a detached one.
fn legacy(mount: &Mount, hierarchies: &[LegacyHierarchy], target: BorrowedFd<'_>) -> Result<OwnedFd, Cause> {
    let context = FsContext::open("tmpfs")?;
    context.string("mode", "755")?;
    context.create()?;
    let base = context.mount(0)?;
    for hierarchy in hierarchies {
        fd::mkdirat(base.as_fd(), &hierarchy.directory, 0o755)?;
        for link in &hierarchy.links {
            file::symlinkat(&hierarchy.directory, base.as_fd(), link)?;
        }
    }
    mount::move_mount(base.as_fd(), target)?;
    for hierarchy in hierarchies {
        let tree = match &hierarchy.mount_options {
            Some(options) => new_hierarchy(options, &hierarchy.source)?,
            None => clone_source(&hierarchy.source, true, false)?,
        };
        set_attributes(tree.as_fd(), &mount.attributes)?;
        let place = fd::openat(base.as_fd(), &hierarchy.directory, OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY, 0)?;
        mount::move_mount(tree.as_fd(), place.as_fd())?;
    }
    // Last, because the directories above had to be opened through it.
    set_attributes(base.as_fd(), &mount.attributes)?;
    Ok(base)
}

fn new_hierarchy(options: &[String], fallback: &HostPath) -> Result<OwnedFd, Cause> {
    let made = (|| -> Result<OwnedFd, Cause> {
        let context = FsContext::open(if options.is_empty() { "cgroup2" } else { "cgroup" })?;
        for option in options {
            match option.split_once('=') {
                Some((key, value)) => context.string(key, value)?,
                None => context.flag(option)?,
            }
        }
        context.create()?;
        Ok(context.mount(0)?)
    })();
    match made {
        Err(cause) if matches!(Errno(cause.errno), Errno::EPERM | Errno::EBUSY) => {
            clone_source(fallback, true, false).map_err(|other| other.context(&cause.text))
        }
        other => other,
    }
}
