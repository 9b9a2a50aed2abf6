//! The host's own /dev, known by what it is and not by its name: a root may hold it anywhere, by a bind mount of / or of /dev or by
//! another mount of devtmpfs, and what is made there is made for the whole machine. So no node, link or file is.

use crate::failure::Cause;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use wolffia_sys::Errno;
use wolffia_sys::fd::{self, OFlags};
use wolffia_sys::root::Root;

/// `None` on a host that has no /dev.
#[derive(Debug)]
pub struct HostDev(Option<Identity>);

#[derive(Debug)]
struct Identity {
    device: (u32, u32),
    inode: u64,
    /// A file system of its own, all of which is the host's. Else it is a directory among others.
    whole: bool,
}

impl HostDev {
    /// To be called while "/dev" is the host's.
    pub fn find() -> Result<Self, Cause> {
        let dev = match fd::path_stat("/dev") {
            Err(error) if error.is(Errno::ENOENT) => return Ok(Self(None)),
            other => other?,
        };
        let whole = dev.is_mount_root && dev.dev != fd::path_stat("/")?.dev;
        Ok(Self(Some(Identity { device: dev.dev, inode: dev.ino, whole })))
    }

    /// Where new files of `root` go.
    pub fn places<'a>(&'a self, root: &'a Root) -> Places<'a> {
        Places { host: self, root, last: None }
    }

    /// The directory for a new file at `path`, made where it is missing, and the file's name in it. `None` in the host's /dev.
    fn place<'a>(&self, root: &Root, path: &'a str) -> Result<Option<(Root, &'a str)>, Cause> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let directory = match root.resolve(above, OFlags::DIRECTORY) {
            Err(error) if error.is(Errno::ENOENT) && !above.is_empty() => {
                // Looked at first, because the directory itself would be made there.
                if self.place(root, above)?.is_none() {
                    return Ok(None);
                }
                root.make_dirs(above, 0o755)?
            }
            other => other?,
        };
        Ok((!self.holds(directory.as_fd())?).then(|| (Root::from(directory), name)))
    }

    fn holds(&self, directory: BorrowedFd<'_>) -> Result<bool, Cause> {
        let Some(dev) = &self.0 else { return Ok(false) };
        let stat = fd::stat(directory)?;
        Ok(stat.dev == dev.device && (dev.whole || stat.ino == dev.inode))
    }
}

/// The directories of new files, each looked up once when its files come one after the other, as those of /dev do.
#[derive(Debug)]
pub struct Places<'a> {
    host: &'a HostDev,
    pub root: &'a Root,
    last: Option<(&'a str, Option<Root>)>,
}

impl<'a> Places<'a> {
    /// The directory for a new file at `path` and the file's name in it; `None` in the host's /dev.
    pub fn of(&mut self, path: &'a str) -> Result<Option<(&Root, &'a str)>, Cause> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        if self.last.as_ref().is_none_or(|(last, _)| *last != above) {
            let place = self.host.place(self.root, path)?;
            self.last = Some((above, place.map(|(directory, _)| directory)));
        }
        Ok(self.last.as_ref().and_then(|(_, directory)| directory.as_ref()).map(|directory| (directory, name)))
    }

    /// What a node is mounted on: what is there, or a new file.
    pub fn target(&mut self, path: &'a str, mode: u32) -> Result<OwnedFd, Cause> {
        match self.root.resolve(path, OFlags::empty()) {
            Err(error) if error.is(Errno::ENOENT) && self.of(path)?.is_none() => Err(untouched()),
            _ => Ok(self.root.make_file(path, mode)?),
        }
    }
}

/// Why something that is missing in the host's /dev stays missing.
pub fn untouched() -> Cause {
    Cause { text: "it is missing in the host's own /dev, where nothing is made".to_owned(), errno: Errno::EBUSY.0 }
}
