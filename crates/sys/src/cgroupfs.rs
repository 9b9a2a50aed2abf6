//! What only the cgroup file system does: its directories are cgroups, and its files wake poll(2) when they change.

use crate::error::{Call, show_fd};
use crate::fd::{self, OFlags};
use crate::{Errno, Error, Result, eventfd};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Dir, FileType, XattrFlags};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// The names of the cgroups right below `dir`, in no order. It takes the type that the directory entry carries, which
/// kernfs always fills, so a cgroup without children costs one listing and no look-up.
pub fn children(dir: BorrowedFd<'_>) -> Result<Vec<String>> {
    let args = || show_fd(dir);
    let mut names = Vec::new();
    for entry in Dir::read_from(dir).call("openat", args)? {
        let entry = entry.call("getdents64", args)?;
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
            let name = name.to_str().map_err(|_| Error::new("getdents64", args(), Errno::EBADMSG))?;
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Marks a cgroup by the extended attribute `name`, which must begin with `user.` (Linux 5.7). It goes with the cgroup.
pub fn mark(dir: BorrowedFd<'_>, name: &str) -> Result<()> {
    rustix::fs::fsetxattr(dir, name, b"1", XattrFlags::empty()).call("fsetxattr", || format!("{}, {name}", show_fd(dir)))
}

/// Whether it has that mark.
pub fn is_marked(dir: BorrowedFd<'_>, name: &str) -> Result<bool> {
    match rustix::fs::fgetxattr(dir, name, &mut [0_u8; 8]) {
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => Ok(false),
        outcome => outcome.call("fgetxattr", || format!("{}, {name}", show_fd(dir))).map(|_| true),
    }
}

/// A counter of the times that the cgroup `dir` of version 1 had no memory left; its removal counts too
/// (memcg: Documentation/admin-guide/cgroup-v1/memory.rst, "OOM Control"). Closing it ends the notification.
pub fn on_out_of_memory(dir: BorrowedFd<'_>) -> Result<OwnedFd> {
    let counter = eventfd::new()?;
    let watched = fd::openat(dir, "memory.oom_control", OFlags::RDONLY | OFlags::NOFOLLOW, 0)?;
    let control = fd::openat(dir, "cgroup.event_control", OFlags::WRONLY | OFlags::NOFOLLOW, 0)?;
    fd::write_all(&control, format!("{} {}", counter.as_raw_fd(), watched.as_raw_fd()).as_bytes())?;
    Ok(counter)
}

/// Waits until one of the interface files changes that `files` were opened on, since each was read last, or one of `others` can be
/// read. `false` if `timeout` passes first. A file of a removed cgroup counts as changed.
pub fn wait_change(files: &[BorrowedFd<'_>], others: &[BorrowedFd<'_>], timeout: Duration) -> Result<bool> {
    let deadline = Instant::now().checked_add(timeout);
    // kernfs answers POLLIN at all times; POLLPRI (with POLLERR) is what means "changed" (cgroups(7), "cgroup.events").
    let changed = files.iter().map(|file| PollFd::from_borrowed_fd(*file, PollFlags::PRI));
    let readable = others.iter().map(|other| PollFd::from_borrowed_fd(*other, PollFlags::IN));
    let mut polled: Vec<_> = changed.chain(readable).collect();
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(&mut polled, left.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            outcome => {
                let args = || files.iter().chain(others).map(|file| show_fd(*file)).collect::<Vec<_>>().join(", ");
                return outcome.call("ppoll", args).map(|ready| ready > 0);
            }
        }
    }
}
