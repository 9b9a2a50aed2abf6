//! One container's directory, by descriptor.

use crate::error::Context;
use crate::{ContainerId, Record, StateError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wolffia_sys::fd::{self, FileKind, OFlags};
use wolffia_sys::{Errno, poll};

pub(crate) const LOCK: &str = "lock";
pub(crate) const RECORD: &str = "state.json";
const CONFIG: &str = "config.json";
const START_SOCKET: &str = "start.sock";

/// Only the owner reads what a container was made of: environments hold passwords.
const FILE_MODE: u32 = 0o600;
/// Room for a configuration with megabytes of annotations; nothing that we read back may fill our memory.
const FILE_LIMIT: usize = 16 << 20;

/// The directory `ROOT/ID`.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    id: ContainerId,
    /// For messages only: files are opened through the descriptor.
    path: PathBuf,
}

/// Whether a missing lock file is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockFile {
    /// By who reserves the id.
    Make,
    /// Everybody else: a container without one is being deleted.
    Expect,
}

/// The container's lock, held until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Lock(pub(crate) OwnedFd);

impl Dir {
    /// `None` if there is no such directory.
    pub(crate) fn open(root: impl AsFd, root_path: &Path, id: &ContainerId) -> Result<Option<Dir>, StateError> {
        let path = root_path.join(id.as_str());
        match fd::openat(root, id.as_str(), OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW, 0) {
            Ok(fd) => Ok(Some(Dir { fd, id: id.clone(), path })),
            Err(error) if error.is(Errno::ENOENT) => Ok(None),
            Err(source) => Err(StateError::Kernel { act: "open", object: path, source }),
        }
    }

    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// For messages, and for those who need a path: `AsFd` is the way to the files.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the record; `None` if `create` has not written one.
    ///
    /// # Errors
    /// [`StateError::Corrupt`] for one that this version cannot read.
    pub fn record<T: DeserializeOwned>(&self) -> Result<Option<Record<T>>, StateError> {
        let Some(bytes) = self.read(RECORD)? else { return Ok(None) };
        match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(source) => Err(StateError::Corrupt { id: self.id.clone(), file: self.path.join(RECORD), source }),
        }
    }

    /// Writes the record; a reader sees the old one or the new one, never a part.
    pub fn save<T: Serialize>(&self, record: &Record<T>) -> Result<(), StateError> {
        let bytes = serde_json::to_vec(record).map_err(|source| StateError::Encode { file: self.path.join(RECORD), source })?;
        self.replace(RECORD, &bytes)
    }

    /// Keeps the configuration as it was at `create`: later changes in the bundle have no effect (runtime.md).
    pub fn save_config(&self, bytes: &[u8]) -> Result<(), StateError> {
        self.replace(CONFIG, bytes)
    }

    /// The configuration as it was at `create`; `None` if none was kept.
    pub fn config(&self) -> Result<Option<Vec<u8>>, StateError> {
        self.read(CONFIG)
    }

    /// Whether the container still waits on its socket for `start`.
    pub fn has_start_socket(&self) -> Result<bool, StateError> {
        match fd::stat_at(&self.fd, START_SOCKET) {
            Ok(stat) => Ok(stat.kind == FileKind::Socket),
            Err(error) if error.is(Errno::ENOENT) => Ok(false),
            Err(source) => Err(StateError::Kernel { act: "look at", object: self.path.join(START_SOCKET), source }),
        }
    }

    /// Takes the lock, waiting at most `patience` for another command to give it up.
    ///
    /// The lock file is a pipe, because flock(2) has no timeout and no descriptor that could be polled. Whoever holds or tries the
    /// lock has it open for writing, so its readers are hung up on when the last of them is gone, and the kernel takes the lock
    /// away before it closes the pipe: after the hang-up somebody can have it, and none is missed by who opened it before asking.
    ///
    /// # Errors
    /// [`StateError::Busy`] after that time; [`StateError::NotFound`] if the container was deleted meanwhile.
    pub fn lock(&self, patience: Duration) -> Result<Lock, StateError> {
        if let Some(lock) = self.try_lock(LockFile::Expect)? {
            return self.linked(lock);
        }
        let deadline = Instant::now() + patience;
        loop {
            // Anew each time: another container may have made another lock in the same directory.
            let waiting = self.open_lock(OFlags::RDONLY)?;
            if let Some(lock) = self.try_lock(LockFile::Expect)? {
                return self.linked(lock);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(StateError::Busy { id: self.id.clone(), waited: patience });
            }
            poll::wait_hangup(&waiting, Some(left)).context("wait for", || self.path.join(LOCK))?;
        }
    }

    /// `None` if somebody else holds the lock.
    pub(crate) fn try_lock(&self, file: LockFile) -> Result<Option<Lock>, StateError> {
        let path = || self.path.join(LOCK);
        if file == LockFile::Make {
            match fd::mkfifoat(&self.fd, LOCK, FILE_MODE) {
                Err(error) if error.is(Errno::EEXIST) => {}
                // Nothing can be made in a directory that was removed.
                Err(error) if error.is(Errno::ENOENT) => return Err(StateError::NotFound { id: self.id.clone() }),
                outcome => outcome.context("make", path)?,
            }
        }
        let file = self.open_lock(OFlags::RDWR)?;
        match fd::flock(&file, true, false) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(error) if error.is(Errno::EAGAIN) => Ok(None),
            Err(source) => Err(StateError::Kernel { act: "lock", object: path(), source }),
        }
    }

    fn open_lock(&self, access: OFlags) -> Result<OwnedFd, StateError> {
        match fd::openat(&self.fd, LOCK, access | OFlags::NONBLOCK | OFlags::NOFOLLOW, 0) {
            Err(error) if error.is(Errno::ENOENT) => Err(StateError::NotFound { id: self.id.clone() }),
            outcome => outcome.context("open", || self.path.join(LOCK)),
        }
    }

    /// Who waited may have got the lock of a container that was deleted.
    fn linked(&self, lock: Lock) -> Result<Lock, StateError> {
        if is_linked(&lock, self)? { Ok(lock) } else { Err(StateError::NotFound { id: self.id.clone() }) }
    }

    /// Whether this is a container's directory, or what a creator left that was killed at its first step.
    pub(crate) fn is_a_containers(&self) -> Result<bool, StateError> {
        let names = match fd::read_dir_names(&self.fd) {
            // Removed meanwhile: who asks finds that out.
            Err(error) if error.is(Errno::ENOENT) => return Ok(true),
            outcome => outcome.context("list", || self.path.clone())?,
        };
        Ok(names.is_empty() || names.iter().any(|name| name == LOCK))
    }

    /// Removes everything but the files named in `keep`. A directory in it may hold files, but no directories.
    pub(crate) fn clear(&self, keep: &[&str]) -> Result<(), StateError> {
        for name in fd::read_dir_names(&self.fd).context("list", || self.path.clone())? {
            if !keep.iter().any(|kept| *kept == name) {
                remove_entry(self.fd.as_fd(), Path::new(&name)).context("remove", || self.path.join(&name))?;
            }
        }
        Ok(())
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        match fd::openat(&self.fd, name, OFlags::RDONLY | OFlags::NOFOLLOW, 0).and_then(|file| fd::read_all(&file, FILE_LIMIT)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is(Errno::ENOENT) => Ok(None),
            Err(source) => Err(StateError::Kernel { act: "read", object: self.path.join(name), source }),
        }
    }

    /// Without fsync: the directory is meant to lie in /run and need not outlive the machine's uptime, as no container does.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let draft = format!("{name}.new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
        fd::openat(&self.fd, &draft, flags, FILE_MODE)
            .and_then(|file| fd::write_all(&file, bytes))
            .and_then(|()| fd::renameat(&self.fd, &draft, &self.fd, name))
            .context("write", || self.path.join(name))
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether the locked file is still the container's.
pub(crate) fn is_linked(lock: &Lock, dir: &Dir) -> Result<bool, StateError> {
    let stat = fd::stat(&lock.0).context("look at", || dir.path.join(LOCK))?;
    Ok(stat.links > 0)
}

fn remove_entry(dir: BorrowedFd<'_>, name: &Path) -> wolffia_sys::Result<()> {
    match fd::unlinkat(dir, name, false) {
        // The container removes its own socket when it starts.
        Err(error) if error.is(Errno::ENOENT) => Ok(()),
        Err(error) if error.is(Errno::EISDIR) => {
            let inner = fd::openat(dir, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW, 0)?;
            for file in fd::read_dir_names(&inner)? {
                fd::unlinkat(&inner, &file, false)?;
            }
            fd::unlinkat(dir, name, true)
        }
        outcome => outcome,
    }
}
