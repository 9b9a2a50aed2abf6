//! The container's terminal: a pseudo-terminal of its own devpts, shown as /dev/console, its master handed to the caller.

use crate::failure::Cause;
use crate::host_dev::Places;
use std::os::fd::{AsFd, OwnedFd};
use wolffia_plan::Terminal;
use wolffia_sys::fd::{self, OFlags};
use wolffia_sys::mount::{self, OpenTree};
use wolffia_sys::root::Root;
use wolffia_sys::{Errno, file, tty};

/// A new terminal, before it becomes the process's standard streams.
#[derive(Debug)]
pub struct Console {
    pub master: OwnedFd,
    slave: OwnedFd,
    /// Its path, as the container sees it.
    pub name: String,
}

/// Opens a terminal in the container's /dev/pts; in the host's where the container has none.
pub fn open(root: &Root, terminal: &Terminal) -> Result<Console, Cause> {
    let (master, slave) = match root.resolve("dev/pts", OFlags::empty()) {
        Ok(directory) if tty::is_devpts(directory.as_fd())? => tty::open_pty_in(directory.as_fd())?,
        Ok(_) => tty::open_host_pty()?,
        Err(error) if error.is(Errno::ENOENT) => tty::open_host_pty()?,
        Err(error) => return Err(error.into()),
    };
    if let Some((rows, columns)) = terminal.size {
        tty::set_window_size(slave.as_fd(), rows, columns)?;
    }
    tty::clear_onlcr(slave.as_fd())?;
    let name = tty::pty_name(master.as_fd())?;
    Ok(Console { master, slave, name })
}

impl Console {
    /// Shows the terminal as /dev/console. The mount is made from the open descriptor: the path of the slave might be swapped
    /// (CVE-2025-52565), and so might /dev/console itself (CVE-2026-88264).
    pub fn show(&self, places: &mut Places<'_>) -> Result<(), Cause> {
        let tree = mount::open_tree(self.slave.as_fd(), "", OpenTree { clone: true, ..OpenTree::of_descriptor() })?;
        let target = places.target("dev/console", 0o620).map_err(|cause| cause.context("/dev/console"))?;
        Ok(mount::move_mount(tree.as_fd(), target.as_fd())?)
    }

    /// Makes it the controlling terminal and the three standard streams, owned by the container's user.
    pub fn take(self, uid: u32) -> Result<(), Cause> {
        fd::fchown(self.slave.as_fd(), uid, u32::MAX)?;
        tty::make_controlling(self.slave.as_fd())?;
        for stream in 0..3 {
            fd::dup_to(self.slave.as_fd(), stream)?;
        }
        Ok(())
    }
}

/// Standard streams that are pipes belong to whoever made them; the container's user must be able to open them again through
/// /dev/stdout. Nothing else is touched: a character device or a file is somebody else's (CVE-2026-88265).
pub fn own_standard_pipes(uid: u32) -> Result<(), Cause> {
    for stream in 0..3 {
        let Some(descriptor) = file::standard(stream) else { continue };
        if fd::stat(descriptor)?.kind == fd::FileKind::Fifo {
            match fd::fchown(descriptor, uid, u32::MAX) {
                Ok(()) => {}
                // In a user namespace the pipe of an unmapped owner cannot be given away; it stays usable as it is.
                Err(error) if error.is(Errno::EPERM) || error.is(Errno::EINVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
