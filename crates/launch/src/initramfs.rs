//! `--no-pivot`: an initramfs cannot be pivoted, so the root is moved over `/` and the host's tree stays below it, out of reach of
//! paths, but not of a process that regains CAP_SYS_ADMIN and unmounts.

use crate::failure::Cause;
use std::os::fd::AsFd;
use wolffia_sys::mount::{self, FsContext, MOUNT_ATTR_RDONLY, OpenTree};
use wolffia_sys::root::Root;
use wolffia_sys::{Errno, fd, file, procfs};

/// Longest mountinfo that is read.
const MOUNTINFO_LIMIT: usize = 16 << 20;

/// Takes every proc and sysfs of the host away, because a bare /proc below the container's root would undo its masks (runc's test
/// "--no-pivot must not expose bare /proc").
pub fn hide_kernel_file_systems(root: &Root) -> Result<(), Cause> {
    let own = fd::stat(root.as_fd())?.mnt_id;
    let proc = procfs::ProcHandle::open()?;
    let table = proc.read(&proc.self_path("mountinfo")?, MOUNTINFO_LIMIT)?;
    let table = String::from_utf8_lossy(&table);
    let entries: Vec<Entry<'_>> = table.lines().filter_map(Entry::parse).collect();
    for entry in entries.iter().filter(|entry| matches!(entry.fstype, "proc" | "sysfs") && !entry.is_below(own, &entries)) {
        let path = entry.path();
        match mount::unmount_detached(&path) {
            Ok(()) => {}
            // Already gone with its parent.
            Err(error) if error.is(Errno::ENOENT) => {}
            Err(_) => cover(&path)?,
        }
    }
    Ok(())
}

/// An empty read-only tmpfs on top of a mount that is locked.
fn cover(path: &str) -> Result<(), Cause> {
    let context = FsContext::open("tmpfs")?;
    context.create()?;
    let tree = context.mount(MOUNT_ATTR_RDONLY)?;
    let target = mount::open_tree(file::CWD, path, OpenTree::default())?;
    Ok(mount::move_mount(tree.as_fd(), target.as_fd())?)
}

/// A line of mountinfo (proc_pid_mountinfo(5)).
struct Entry<'a> {
    id: u64,
    parent: u64,
    mount_point: &'a str,
    fstype: &'a str,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ');
        let (id, parent) = (front.next()?.parse().ok()?, front.next()?.parse().ok()?);
        Some(Entry { id, parent, mount_point: front.nth(2)?, fstype: back.split(' ').next()? })
    }

    /// Whether this is the mount `ancestor` or lies below it.
    fn is_below(&self, ancestor: u64, all: &[Entry<'_>]) -> bool {
        let mut current = (self.id, self.parent);
        for _ in 0..all.len() {
            if current.0 == ancestor {
                return true;
            }
            match all.iter().find(|entry| entry.id == current.1) {
                Some(parent) => current = (parent.id, parent.parent),
                None => return false,
            }
        }
        false
    }

    /// The mount point with its octal escapes undone.
    fn path(&self) -> String {
        ["\\040", "\\011", "\\012"]
            .iter()
            .zip([" ", "\t", "\n"])
            .fold(self.mount_point.to_owned(), |path, (from, to)| path.replace(from, to))
            .replace("\\134", "\\")
    }
}
