//! All containers below one root directory.

use crate::directory::{LOCK, LockFile, RECORD, is_linked};
use crate::error::Context;
use crate::{ContainerId, Dir, Lock, Phase, Record, StateError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::DirBuilder;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use wolffia_sys::fd::{self, FileKind, OFlags, Stat};
use wolffia_sys::{Errno, ids};

/// Who may list the containers: the owner.
const ROOT_MODE: u32 = 0o700;
/// Others may pass, not list: a hook in the container's user namespace reaches its files by name.
const CONTAINER_MODE: u32 = 0o711;
/// How often an id that is deleted at the same moment is asked for again.
const RESERVE_TRIES: u32 = 16;

/// The directory of `--root`.
#[derive(Debug)]
pub struct Store {
    fd: OwnedFd,
    path: PathBuf,
}

/// An id that is ours alone, and the directory that goes with it.
///
/// Dropped without [`Reservation::commit`] or [`Reservation::abandon`] it leaves what a killed creator leaves: a
/// directory that the next reservation of the id takes over.
#[derive(Debug)]
#[must_use]
pub struct Reservation<T> {
    dir: Dir,
    lock: Lock,
    stale: Option<Record<T>>,
}

impl Store {
    /// Opens `root`. `create` makes it, with mode 0700, and the directories above it; an empty one that somebody has just made with
    /// the umask of user-private groups (002) gets that mode.
    ///
    /// # Errors
    /// [`StateError::RootMissing`] if it is not there and was not to be made; [`StateError::UnsafeRoot`] if somebody else could
    /// change what is in it.
    pub fn open(root: &Path, create: bool) -> Result<Store, StateError> {
        if create {
            let made = DirBuilder::new().recursive(true).mode(ROOT_MODE).create(root);
            made.map_err(|source| StateError::MakeRoot { root: root.to_owned(), source })?;
        }
        let fd = match fd::open(root, OFlags::PATH | OFlags::NOFOLLOW, 0) {
            Err(error) if error.is(Errno::ENOENT) => return Err(StateError::RootMissing { root: root.to_owned() }),
            other => other.context("open", || root.to_owned())?,
        };
        let stat = fd::stat(&fd).context("look at", || root.to_owned())?;
        match distrust(&stat) {
            None => Ok(Store { fd, path: root.to_owned() }),
            Some(_) if create && is_fresh(&stat) && make_private(&fd, root)? => Ok(Store { fd, path: root.to_owned() }),
            Some(reason) => Err(StateError::UnsafeRoot { root: root.to_owned(), reason }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes `id` for a new container and holds its lock. What a killed creator left behind is taken over: its record,
    /// if it wrote one, is in [`Reservation::stale`] and stays on disk until the next is saved.
    ///
    /// # Errors
    /// [`StateError::AlreadyExists`]; [`StateError::Corrupt`] if what is there cannot be read.
    pub fn reserve<T: DeserializeOwned>(&self, id: &ContainerId) -> Result<Reservation<T>, StateError> {
        for _ in 0..RESERVE_TRIES {
            if let Some(reservation) = self.try_reserve(id)? {
                return Ok(reservation);
            }
        }
        Err(StateError::AlreadyExists { id: id.clone() })
    }

    /// `None` if the directory went away while it was being taken over.
    fn try_reserve<T: DeserializeOwned>(&self, id: &ContainerId) -> Result<Option<Reservation<T>>, StateError> {
        let exists = || StateError::AlreadyExists { id: id.clone() };
        let made = match fd::mkdirat(&self.fd, id.as_str(), CONTAINER_MODE) {
            Err(error) if error.is(Errno::EEXIST) => false,
            outcome => outcome.context("make", || self.path.join(id.as_str())).map(|()| true)?,
        };
        let Some(dir) = Dir::open(&self.fd, &self.path, id)? else { return Ok(None) };
        // What is taken over is emptied: with a wrong --root that could be anything.
        if !made && !dir.is_a_containers()? {
            return Err(StateError::NotAContainers { path: dir.path().to_owned() });
        }
        let lock = match dir.try_lock(LockFile::Make) {
            Ok(Some(lock)) => lock,
            Ok(None) => return Err(exists()),
            Err(StateError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if !is_linked(&lock, &dir)? {
            return Ok(None);
        }
        let stale = dir.record::<T>()?;
        if stale.as_ref().is_some_and(|record| record.phase == Phase::Created) {
            return Err(exists());
        }
        dir.clear(&[LOCK, RECORD])?;
        // The umask may have taken from the mode of mkdir(2).
        fd::fchmod(&dir, CONTAINER_MODE).context("set the mode of", || dir.path().to_owned())?;
        Ok(Some(Reservation { dir, lock, stale }))
    }

    /// Opens the container's directory, whatever is in it.
    ///
    /// # Errors
    /// [`StateError::NotFound`].
    pub fn open_dir(&self, id: &ContainerId) -> Result<Dir, StateError> {
        Dir::open(&self.fd, &self.path, id)?.ok_or_else(|| StateError::NotFound { id: id.clone() })
    }

    /// Opens the container's directory and reads its record.
    ///
    /// # Errors
    /// [`StateError::NotFound`] also while `create` has not yet written a record.
    pub fn load<T: DeserializeOwned>(&self, id: &ContainerId) -> Result<(Dir, Record<T>), StateError> {
        let dir = self.open_dir(id)?;
        let record = dir.record()?.ok_or_else(|| StateError::NotFound { id: id.clone() })?;
        Ok((dir, record))
    }

    /// The ids of all directories, sorted. One may have gone, or may have no record yet, when it is loaded.
    pub fn list(&self) -> Result<Vec<ContainerId>, StateError> {
        let names = fd::read_dir_names(&self.fd).context("list", || self.path.clone())?;
        let mut ids: Vec<_> = names.iter().filter_map(|name| ContainerId::parse(name.to_str()?).ok()).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Removes the container's directory. The id is free when this returns.
    pub fn remove(&self, dir: Dir, lock: Lock) -> Result<(), StateError> {
        // The lock goes last: without it somebody could take over a directory that is still being emptied.
        dir.clear(&[LOCK])?;
        fd::unlinkat(&dir, LOCK, false).context("remove", || dir.path().join(LOCK))?;
        drop(lock);
        match fd::unlinkat(&self.fd, dir.id().as_str(), true) {
            // Taken over between the two: ours has gone, and what is there now is not ours.
            Err(error) if error.is(Errno::ENOTEMPTY) || error.is(Errno::ENOENT) => Ok(()),
            outcome => outcome.context("remove", || dir.path().to_owned()),
        }
    }
}

impl<T> Reservation<T> {
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// What a killed creator of the same id wrote: its processes, its cgroup and its mounts are to be cleaned away.
    pub fn stale(&self) -> Option<&Record<T>> {
        self.stale.as_ref()
    }

    /// The container is created: writes its record and gives the lock up, also on behalf of the container's first
    /// process, which was forked with the lock's descriptor open.
    pub fn commit(self, record: &Record<T>) -> Result<Dir, StateError>
    where
        T: Serialize,
    {
        self.dir.save(record)?;
        fd::unlock(&self.lock.0).context("unlock", || self.dir.path().join(LOCK))?;
        Ok(self.dir)
    }

    /// Creating has failed: leaves nothing behind.
    pub fn abandon(self, store: &Store) -> Result<(), StateError> {
        store.remove(self.dir, self.lock)
    }
}

/// Whether it may be what mkdir(1) has made for this user a moment ago. A shared directory has the set-group-id bit.
fn is_fresh(root: &Stat) -> bool {
    const GROUP_ALONE: u32 = 0o020;
    root.uid == ids::geteuid() && root.kind == FileKind::Directory && root.mode & 0o7022 == GROUP_ALONE
}

/// False if there is something in it, or was put there meanwhile: by whom is not known.
fn make_private(root: &OwnedFd, path: &Path) -> Result<bool, StateError> {
    let is_empty = || fd::read_dir_names(root).map(|names| names.is_empty()).context("list", || path.to_owned());
    if !is_empty()? {
        return Ok(false);
    }
    fd::fchmod(root, ROOT_MODE).context("set the mode of", || path.to_owned())?;
    is_empty()
}

/// Why a directory is no place for containers: from the records in it hooks are run and processes are killed, so nobody else may
/// write there (a name in /tmp is anybody's to take first).
fn distrust(root: &Stat) -> Option<&'static str> {
    const OTHERS_WRITE: u32 = 0o022;
    let own = root.uid == ids::geteuid();
    match root.kind {
        FileKind::Directory if !own && root.uid != 0 => Some("belongs to another user"),
        FileKind::Directory if root.mode & OTHERS_WRITE != 0 => Some("can be written by others"),
        FileKind::Directory => None,
        FileKind::Symlink => Some("is a symbolic link"),
        _ => Some("is not a directory"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A forked init shares the open lock file with its creator: then closing it in one of them frees nothing.
    #[test]
    fn commit_frees_the_lock_that_a_child_still_has_open() {
        let root = std::env::temp_dir().join(format!("wolffia-store-{}", std::process::id()));
        let store = Store::open(&root, true).unwrap();
        let id = ContainerId::parse("c1").unwrap();
        let record: Record<()> = serde_json::from_str(
            r#"{"version":1,"id":"c1","ociVersion":"1.3.0","bundle":"/b","rootfs":"/b/r","pid":0,"startTime":0,"created":"",
                "annotations":{},"owner":0,"phase":"created","cgroup":null,"namespaces":[],"launch":null}"#,
        )
        .unwrap();

        let reservation = store.reserve::<()>(&id).unwrap();
        let inherited = fd::dup_above(&reservation.lock.0, 3).unwrap();
        let dir = reservation.commit(&record).unwrap();
        let lock = dir.lock(Duration::ZERO).unwrap();
        store.remove(dir, lock).unwrap();
        drop(inherited);

        std::fs::remove_dir(&root).unwrap();
    }
}
