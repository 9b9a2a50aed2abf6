//! The container's root: made a mount of its own, and in the end made the root directory.

use crate::failure::Cause;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use wolffia_plan::{self as plan, RootSwitch};
use wolffia_sys::fd::{self, OFlags};
use wolffia_sys::mount::{self, MOUNT_ATTR_NODEV, MOUNT_ATTR_RDONLY, OpenTree};
use wolffia_sys::root::Root;
use wolffia_sys::{file, process};

/// Clones the root's file tree for init, without attaching it. Taken where the host's propagation still holds, so it is cut here:
/// what is mounted in it would show up on the host otherwise.
pub fn clone_for_init(root: &plan::Root) -> Result<OwnedFd, Cause> {
    let tree = clone_tree(root)?;
    cut(tree.as_fd(), root)?;
    mount::mount_setattr(tree.as_fd(), false, 0, 0, root.parent_propagation, None)?;
    Ok(tree)
}

/// Gives a tree that was cloned on the host the propagation that the container's mount namespace has.
pub fn cut(tree: BorrowedFd<'_>, root: &plan::Root) -> Result<(), Cause> {
    Ok(mount::mount_setattr(tree, true, 0, 0, root.host_propagation & !libc::MS_REC, None)?)
}

/// Attaches the root's clone over the directory it was cloned from: `pivot_root` takes only a mount.
pub fn open(root: &plan::Root, prepared: Option<OwnedFd>) -> Result<Root, Cause> {
    let target = fd::open(root.path.as_path(), OFlags::PATH | OFlags::DIRECTORY, 0)?;
    // Before the clone, because that inherits it.
    set_parent_propagation(target.as_fd(), root.parent_propagation)?;
    let tree = match prepared {
        Some(tree) => tree,
        None => clone_tree(root)?,
    };
    if root.readonly_recursive {
        // Already here, because nothing may be created in a root that is the host's own. And no device nodes: what is written to
        // one passes a read-only mount by (mount(2)); the container's own are mounts of their own.
        mount::mount_setattr(tree.as_fd(), true, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV, 0, 0, None)?;
    }
    mount::move_mount(tree.as_fd(), target.as_fd())?;
    Ok(Root::from(tree))
}

pub(crate) fn clone_tree(root: &plan::Root) -> Result<OwnedFd, Cause> {
    let options = OpenTree { clone: true, recursive: true, ..OpenTree::default() };
    Ok(mount::open_tree(file::CWD, root.path.as_path(), options)?)
}

/// Deepest directory that a mount point is looked for from.
const DEPTH_LIMIT: usize = 256;

/// Changes the mount that holds `directory`: the nearest mount point above it.
fn set_parent_propagation(directory: BorrowedFd<'_>, propagation: u64) -> Result<(), Cause> {
    let mut current = directory.try_clone_to_owned()?;
    for _ in 0..DEPTH_LIMIT {
        if fd::stat(current.as_fd())?.is_mount_root {
            return Ok(mount::mount_setattr(current.as_fd(), false, 0, 0, propagation, None)?);
        }
        current = fd::openat(current.as_fd(), "..", OFlags::PATH | OFlags::DIRECTORY, 0)?;
    }
    Err("no mount point above the root".into())
}

/// Makes `root` the root directory and lets go of the host's.
pub fn switch(root: &Root, plan: &plan::Root) -> Result<(), Cause> {
    process::fchdir(root.as_fd())?;
    match plan.switch {
        RootSwitch::Pivot => {
            // Held, because afterwards no path leads to it.
            let host = fd::open("/", OFlags::PATH | OFlags::DIRECTORY, 0)?;
            // The old root lands on top of the new one and is taken off there: no directory is needed (pivot_root(2), NOTES).
            mount::pivot_root_here()?;
            if plan.host_propagation & libc::MS_SHARED != 0 {
                // Because the unmount would travel to the host.
                mount::mount_setattr(host.as_fd(), true, 0, 0, libc::MS_SLAVE, None)?;
            }
            mount::unmount_detached(".")?;
        }
        RootSwitch::Move => {
            crate::initramfs::hide_kernel_file_systems(root)?;
            mount::move_to_root()?;
            process::chroot(".")?;
        }
    }
    process::chdir("/")?;
    Ok(())
}

/// The last act on the root mount, because everything before it may still create files in it.
pub fn make_readonly(root: &Root) -> Result<(), Cause> {
    Ok(mount::mount_setattr(root.as_fd(), false, MOUNT_ATTR_RDONLY, 0, 0, None)?)
}

pub fn set_propagation(root: &Root, propagation: u64) -> Result<(), Cause> {
    let recursive = propagation & libc::MS_REC != 0;
    Ok(mount::mount_setattr(root.as_fd(), recursive, 0, 0, propagation & !libc::MS_REC, None)?)
}
