//! Read-only and masked paths.

use crate::failure::Cause;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use wolffia_plan::{ContainerPath, Mount, MountKind};
use wolffia_sys::fd::{self, FileKind, OFlags};
use wolffia_sys::mount::{self, FsContext, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, OpenTree};
use wolffia_sys::root::Root;
use wolffia_sys::{Errno, Error};

/// Where paths are looked up: below a mount that was made, by that mount's own descriptor; all others below the root. By the root
/// alone, whoever shares the root file system could put another directory at /proc for that moment, and have the true one bare.
#[derive(Debug)]
pub struct Places<'a> {
    pub root: &'a Root,
    /// In the order of the plan.
    pub mounts: &'a [(&'a Mount, Root)],
}

impl Places<'_> {
    fn existing(&self, path: &ContainerPath) -> Result<Option<OwnedFd>, Error> {
        let made = self.mounts.iter().filter(|(mount, _)| !matches!(mount.what, MountKind::Remount | MountKind::Propagation));
        let above = made.filter(|(mount, _)| path.is_under(&mount.destination));
        // The last of several at the same place lies on top.
        let found = match above.max_by_key(|(mount, _)| mount.destination.as_str().len()) {
            // It may be a file, in which nothing can be looked up.
            Some((entry, mounted)) if *path == entry.destination => mount::open_tree(mounted, "", OpenTree::of_descriptor()),
            Some((entry, mounted)) => mounted.resolve(path.below(&entry.destination), OFlags::empty()),
            None => self.root.resolve(path.relative(), OFlags::empty()),
        };
        match found {
            Err(error) if error.is(Errno::ENOENT) || error.is(Errno::ENOTDIR) => Ok(None),
            other => other.map(Some),
        }
    }
}

/// Makes a path read-only, with all that is mounted below it. One that does not exist needs no protection.
pub fn make_readonly(places: &Places<'_>, path: &ContainerPath) -> Result<(), Cause> {
    let Some(target) = places.existing(path)? else { return Ok(()) };
    let tree = mount::open_tree(target.as_fd(), "", OpenTree { clone: true, recursive: true, ..OpenTree::of_descriptor() })?;
    mount::mount_setattr(tree.as_fd(), true, MOUNT_ATTR_RDONLY, 0, 0, None)?;
    Ok(mount::move_mount(tree.as_fd(), target.as_fd())?)
}

/// What masks are made of: /dev/null for files, one empty read-only tmpfs for all directories, because each tmpfs is a superblock
/// of its own and thousands of them slow a host down (runc #5275).
#[derive(Debug)]
pub struct Masks<'a> {
    file: Cover,
    directory: Cover,
    /// SELinux label of the tmpfs.
    label: Option<&'a str>,
}

impl<'a> Masks<'a> {
    /// `null` is a detached clone of the host's /dev/null.
    pub fn new(null: OwnedFd, label: Option<&'a str>) -> Self {
        Self { file: Cover::Detached(null), directory: Cover::Unmade, label }
    }

    /// Hides a path. One that does not exist needs no mask.
    pub fn hide(&mut self, places: &Places<'_>, path: &ContainerPath) -> Result<(), Cause> {
        let Some(target) = places.existing(path)? else { return Ok(()) };
        let cover = match fd::stat(target.as_fd())?.kind {
            FileKind::Directory => &mut self.directory,
            _ => &mut self.file,
        };
        cover.put(target.as_fd(), self.label)
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
    fn put(&mut self, target: BorrowedFd<'_>, label: Option<&str>) -> Result<(), Cause> {
        if let Cover::Attached(first) = self {
            let options = OpenTree { clone: true, ..OpenTree::of_descriptor() };
            let copy = mount::open_tree(first.as_fd(), "", options)?;
            return Ok(mount::move_mount(copy.as_fd(), target)?);
        }
        let tree = match std::mem::replace(self, Cover::Unmade) {
            Cover::Detached(tree) | Cover::Attached(tree) => tree,
            Cover::Unmade => empty_directory(label)?,
        };
        mount::move_mount(tree.as_fd(), target)?;
        *self = Cover::Attached(tree);
        Ok(())
    }
}

fn empty_directory(label: Option<&str>) -> Result<OwnedFd, Cause> {
    let context = FsContext::open("tmpfs")?;
    context.string("nr_inodes", "1")?;
    context.string("mode", "555")?;
    if let Some(label) = label {
        context.string("context", label)?;
    }
    context.create()?;
    Ok(context.mount(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)?)
}
