//! Read-only and masked paths.

use crate::failure::Cause;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use wolffia_plan::ContainerPath;
use wolffia_sys::fd::{self, FileKind, OFlags};
use wolffia_sys::mount::{self, FsContext, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, OpenTree};
use wolffia_sys::root::Root;
use wolffia_sys::{Errno, Error};

/// Makes a path read-only, with all that is mounted below it. One that does not exist needs no protection.
pub fn make_readonly(root: &Root, path: &ContainerPath) -> Result<(), Cause> {
    let Some(target) = existing(root, path)? else { return Ok(()) };
    let tree = mount::open_tree(target.as_fd(), "", OpenTree { clone: true, recursive: true, ..OpenTree::of_descriptor() })?;
    mount::mount_setattr(tree.as_fd(), true, MOUNT_ATTR_RDONLY, 0, 0, None)?;
    Ok(mount::move_mount(tree.as_fd(), target.as_fd())?)
}

/// What masks are made of: /dev/null for files, one empty read-only tmpfs for all directories, because each tmpfs is a superblock
/// of its own and thousands of them slow a host down (runc #5275).
#[derive(Debug)]
pub struct Masks {
    file: Cover,
    directory: Cover,
}

impl Masks {
    /// `null` is a detached clone of the host's /dev/null.
    pub fn new(null: OwnedFd) -> Self {
        Self { file: Cover::Detached(null), directory: Cover::Unmade }
    }

    /// Hides a path. One that does not exist needs no mask.
    pub fn hide(&mut self, root: &Root, path: &ContainerPath) -> Result<(), Cause> {
        let Some(target) = existing(root, path)? else { return Ok(()) };
        let cover = match fd::stat(target.as_fd())?.kind {
            FileKind::Directory => &mut self.directory,
            _ => &mut self.file,
        };
        cover.put(target.as_fd())
    }
}

/// A mount that covers many places: the first attachment takes the detached mount itself, the others clone that one, because the
/// kernel clones no detached mount before 6.15.
#[derive(Debug)]
enum Cover {
    Unmade,
    Detached(OwnedFd),
    Attached(OwnedFd),
}

impl Cover {
    fn put(&mut self, target: BorrowedFd<'_>) -> Result<(), Cause> {
        if let Cover::Attached(first) = self {
            let options = OpenTree { clone: true, ..OpenTree::of_descriptor() };
            let copy = mount::open_tree(first.as_fd(), "", options)?;
            return Ok(mount::move_mount(copy.as_fd(), target)?);
        }
        let tree = match std::mem::replace(self, Cover::Unmade) {
            Cover::Detached(tree) | Cover::Attached(tree) => tree,
            Cover::Unmade => empty_directory()?,
        };
        mount::move_mount(tree.as_fd(), target)?;
        *self = Cover::Attached(tree);
        Ok(())
    }
}

fn empty_directory() -> Result<OwnedFd, Cause> {
    let context = FsContext::open("tmpfs")?;
    context.string("nr_inodes", "1")?;
    context.string("mode", "555")?;
    context.create()?;
    Ok(context.mount(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)?)
}

fn existing(root: &Root, path: &ContainerPath) -> Result<Option<OwnedFd>, Error> {
    match root.resolve(path.relative(), OFlags::empty()) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is(Errno::ENOENT) || error.is(Errno::ENOTDIR) => Ok(None),
        Err(error) => Err(error),
    }
}
