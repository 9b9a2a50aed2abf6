//! A container's cgroup: made, opened, joined, removed.

use crate::CgroupError;
use crate::events::{self, Event};
use crate::files::{self, DIRECTORY, Dir};
use crate::processes::process_ids;
use crate::tree::{self, Visitor};
use crate::{controllers, devices};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use wolffia_sys as sys;
use wolffia_sys::Pid;
use wolffia_sys::fd::OFlags;

/// Another runtime may remove a shared parent between two of our steps.
const CREATE_ATTEMPTS: usize = 16;
/// Another process may be moved in, or another cgroup be made, between two of our steps.
const REMOVE_ATTEMPTS: usize = 8;
/// On every cgroup that we make: two containers may share a parent that neither can call its own.
pub(crate) const MARK: &str = "user.wolffia.made";
/// What a killed process may take to be gone.
const REMOVE_TIME: Duration = Duration::from_secs(10);

/// A cgroup of the cgroup2 hierarchy, held by its directory's descriptor.
#[derive(Debug)]
pub struct Cgroup {
    mount: OwnedFd,
    dir: OwnedFd,
    path: String,
    made: Vec<String>,
    /// Not the container's alone: others will be born in it.
    stays: bool,
}

impl Cgroup {
    /// Makes the cgroup `path` below `mount`, with every cgroup on the way that is missing, and hands all controllers
    /// down to it that can be handed down. On an error, what was made is taken away again.
    ///
    /// One that exists already must be empty (runc: `container's cgroup is not empty`); none may be frozen
    /// (`container's cgroup unexpectedly frozen`), or the container would hang before it starts.
    pub fn create(mount: &Path, path: &str) -> Result<Self, CgroupError> {
        let names = tree::names(path)?;
        let mount = open_mount(mount)?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            match Self::create_below(&mount, &names) {
                Err(error) if attempt < CREATE_ATTEMPTS && vanished(&error) => {}
                Err(error) => return Err(error),
                Ok((dir, made)) => {
                    let path = tree::join(&names);
                    return Ok(Self { mount, dir, stays: !made.contains(&path), path, made });
                }
            }
        }
    }

    /// The cgroups that `create` would make now, as paths like [`Cgroup::path`], outermost first: to be written down before, because
    /// a process that is killed in `create` cannot say how far it came.
    pub fn missing(mount: &Path, path: &str) -> Result<Vec<String>, CgroupError> {
        let names = tree::names(path)?;
        let mount = open_mount(mount)?;
        for depth in 1..=names.len() {
            let above = &names[..depth];
            match tree::open(mount.as_fd(), above) {
                Ok(_) => {}
                Err(error) if tree::is_gone(&error) => {
                    return Ok((depth..=names.len()).map(|depth| tree::join(&names[..depth])).collect());
                }
                Err(error) => return Err(failed("open", &tree::join(above))(error)),
            }
        }
        Ok(Vec::new())
    }

    /// Removes what is left on the way to a cgroup that is gone, or was not made any more: those of `made`, and those that an
    /// earlier container made, as far as nobody uses them.
    pub fn remove_way(mount: &Path, path: &str, made: &[String]) -> Result<(), CgroupError> {
        remove_above(open_mount(mount)?.as_fd(), &tree::names(path)?, made)
    }

    /// Opens the existing cgroup `path` below `mount`. It is taken to be the container's own, to be removed with it;
    /// [`Cgroup::with_made`] says it better.
    pub fn open(mount: &Path, path: &str) -> Result<Self, CgroupError> {
        let names = tree::names(path)?;
        let mount = open_mount(mount)?;
        let path = tree::join(&names);
        let dir = tree::open(mount.as_fd(), &names).map_err(failed("open", &path))?;
        Ok(Self { mount, dir, made: vec![path.clone()], path, stays: false })
    }

    /// Whether a container can be born at `path`, where somebody else will make the cgroup: one that exists already must be as
    /// [`Cgroup::create`] wants it.
    pub fn check_place(mount: &Path, path: &str) -> Result<(), CgroupError> {
        match Self::open(mount, path).and_then(|cgroup| check_fit(cgroup.as_dir(), false)) {
            Err(error) if vanished(&error) => Ok(()),
            checked => checked,
        }
    }

    /// With the list that [`Cgroup::made`] gave when it was created: only these are removed.
    pub fn with_made(self, made: Vec<String>) -> Self {
        Self { made, ..self }
    }

    /// Whether it was there before the container, and is there after it.
    pub fn that_stays(self, stays: bool) -> Self {
        Self { stays, ..self }
    }

    pub(crate) fn stays(&self) -> bool {
        self.stays
    }

    /// The directory of the cgroup `path` below it; of itself if `path` names none. runc's text for a path that leads out.
    pub fn below(&self, path: &str) -> Result<OwnedFd, CgroupError> {
        let names = tree::names_below(path)?;
        let whole = format!("{}/{}", self.path.trim_end_matches('/'), names.join("/"));
        tree::open(self.dir.as_fd(), &names).map_err(failed("open", &whole))
    }

    /// Whether it enables controllers for the cgroups below it, and so can hold no process itself (cgroups(7)).
    pub fn hands_down(&self) -> Result<bool, CgroupError> {
        Ok(!self.as_dir().must_read("cgroup.subtree_control")?.trim().is_empty())
    }

    /// The cgroups that `create` made, as paths like [`Cgroup::path`], outermost first. Empty if all existed.
    pub fn made(&self) -> &[String] {
        &self.made
    }

    /// The path below the mount, with a leading slash, as /proc/PID/cgroup shows it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The directory, fit for `CLONE_INTO_CGROUP` and for attaching a program.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Moves the process `pid` into it: for when the kernel refused `CLONE_INTO_CGROUP`, which is much faster.
    pub fn add(&self, pid: Pid) -> Result<(), CgroupError> {
        self.as_dir().must_write("cgroup.procs", &pid.to_string())
    }

    /// Gives it to a user, who may then make cgroups in it: the directory and the files that /sys/kernel/cgroup/delegate lists. The
    /// limits and every file's group stay as they are (config-linux.md, "Cgroup ownership").
    pub fn delegate(&self, uid: u32) -> Result<(), CgroupError> {
        let failed = |source| CgroupError::Failed { act: "delegate", path: self.path.clone(), source };
        for file in delegated_files().map_err(failed)? {
            // To write: some cannot be read (memory.reclaim).
            match self.as_dir().open_to_write(&file) {
                // Listed for other controllers, or by a newer kernel.
                Err(error) if error.is(sys::Errno::ENOENT) => {}
                opened => opened.and_then(|file| sys::fd::fchown(file, uid, SAME_GROUP)).map_err(failed)?,
            }
        }
        // Last, because its owner can make directories in it by the names of files that are not there.
        sys::fd::fchown(&self.dir, uid, SAME_GROUP).map_err(failed)
    }

    /// Removes every cgroup below it, then itself and those above it, as far as `create` made them. Kills what is still
    /// in it. A cgroup that is gone already is no error; a parent that others use by now stays.
    pub fn remove(&self) -> Result<(), CgroupError> {
        let names = tree::names(&self.path)?;
        let mut attempt = 0;
        while !self.remove_own(&names)? {
            attempt += 1;
            self.kill_all(9)?;
            events::wait(self.as_dir(), Event::Empty, REMOVE_TIME)?;
            tree::walk(self.dir.as_fd(), &self.path, &mut RemoveChildren { path: &self.path })?;
            if attempt == REMOVE_ATTEMPTS {
                return Err(CgroupError::Restless { path: self.path.clone() });
            }
        }
        remove_above(self.mount.as_fd(), &names, &self.made)
    }

    pub(crate) fn mount(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }

    pub(crate) fn as_dir(&self) -> Dir<'_> {
        Dir { fd: self.dir.as_fd(), path: &self.path }
    }

    /// Removes the cgroup itself. `false`: something is in it or below it.
    fn remove_own(&self, names: &[&str]) -> Result<bool, CgroupError> {
        if self.made.contains(&self.path) {
            return remove_one(self.mount.as_fd(), names).map_err(failed("remove", &self.path));
        }
        match self.leave() {
            // systemd removes a scope's cgroup as soon as it is empty.
            Err(error) if vanished(&error) => Ok(true),
            left => left,
        }
    }

    /// Not ours: it stays, but nothing of the container stays in it. `false` as above.
    fn leave(&self) -> Result<bool, CgroupError> {
        let mut count = Count { cgroups: 0 };
        tree::walk(self.dir.as_fd(), &self.path, &mut count)?;
        if count.cgroups > 0 || !events::is(self.as_dir(), Event::Empty)? {
            return Ok(false);
        }
        devices::detach(self.as_dir()).map(|()| true)
    }

    fn create_below(mount: &OwnedFd, names: &[&str]) -> Result<(OwnedFd, Vec<String>), CgroupError> {
        let mut made = Vec::new();
        let result = descend(mount.as_fd(), names, &mut made).and_then(|dir| {
            let path = tree::join(names);
            check_fit(Dir { fd: dir.as_fd(), path: &path }, made.contains(&path))?;
            Ok(dir)
        });
        match result {
            Ok(dir) => Ok((dir, made)),
            Err(error) => match remove_made(mount.as_fd(), made.iter()) {
                Ok(()) => Err(error),
                Err(undo) => {
                    let path = made.first().cloned().unwrap_or_default();
                    Err(CgroupError::LeftBehind { path, reason: undo.to_string(), source: Box::new(error) })
                }
            },
        }
    }
}

/// Of fchown(2).
const SAME_GROUP: u32 = u32::MAX;

/// A kernel without the list has these three (config-linux.md, "cgroup ownership").
fn delegated_files() -> Result<Vec<String>, sys::Error> {
    match sys::fd::open("/sys/kernel/cgroup/delegate", OFlags::RDONLY, 0) {
        Err(error) if error.is(sys::Errno::ENOENT) => {
            Ok(["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"].map(str::to_owned).to_vec())
        }
        list => Ok(files::read_text(list?.as_fd())?.lines().filter(|name| !name.contains('/')).map(str::to_owned).collect()),
    }
}

fn open_mount(mount: &Path) -> Result<OwnedFd, CgroupError> {
    let failed = |source| CgroupError::Failed { act: "open the mount of", path: mount.display().to_string(), source };
    let fd = sys::fd::open(mount, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, 0).map_err(failed)?;
    if sys::fd::fs_magic(fd.as_fd()).map_err(failed)? != sys::fd::CGROUP2_SUPER_MAGIC {
        return Err(CgroupError::NotCgroup2 { mount: mount.to_owned() });
    }
    Ok(fd)
}

/// Goes down from the mount, makes what is missing and notes it in `made`.
fn descend(mount: BorrowedFd<'_>, names: &[&str], made: &mut Vec<String>) -> Result<OwnedFd, CgroupError> {
    let mut parent = tree::open(mount, &[]).map_err(failed("open", "/"))?;
    for (depth, name) in names.iter().enumerate() {
        let above = tree::join(&names[..depth]);
        let path = tree::join(&names[..=depth]);
        // Best effort, see there: a controller that is missing in the end is named by the limit that needs it.
        controllers::enable_all(Dir { fd: parent.as_fd(), path: &above });
        let child = match sys::fd::openat(parent.as_fd(), name, DIRECTORY, 0) {
            Err(error) if error.is(sys::Errno::ENOENT) => make(parent.as_fd(), name, &path, made)?,
            other => other.map_err(failed("open", &path))?,
        };
        parent = child;
    }
    Ok(parent)
}

fn make(parent: BorrowedFd<'_>, name: &str, path: &str, made: &mut Vec<String>) -> Result<OwnedFd, CgroupError> {
    let open = || sys::fd::openat(parent, name, DIRECTORY, 0).map_err(failed("open", path));
    match sys::fd::mkdirat(parent, name, 0o755) {
        Ok(()) => made.push(path.to_owned()),
        Err(error) if error.is(sys::Errno::EEXIST) => return open(),
        Err(error) => return Err(failed("make", path)(error)),
    }
    let dir = open()?;
    match sys::cgroupfs::mark(dir.as_fd(), MARK) {
        // Before Linux 5.7: the list of what was made has to do.
        Err(error) if !error.is(sys::Errno::EOPNOTSUPP) => Err(failed("mark", path)(error)),
        _ => Ok(dir),
    }
}

fn check_fit(dir: Dir<'_>, new: bool) -> Result<(), CgroupError> {
    if !new {
        let count = process_ids(dir)?.len();
        if count > 0 {
            return Err(CgroupError::NotEmpty { path: dir.path.to_owned(), count });
        }
        // Another user's of the same name can be looked at, and not entered.
        dir.open_to_write("cgroup.procs").map_err(failed("enter", dir.path))?;
    }
    if events::is(dir, Event::Frozen)? {
        return Err(CgroupError::Frozen { path: dir.path.to_owned() });
    }
    Ok(())
}

/// Whether a cgroup on the way was removed by somebody else.
fn vanished(error: &CgroupError) -> bool {
    error.errno().is_some_and(|errno| [sys::Errno::ENOENT, sys::Errno::ENODEV].contains(&errno))
}

/// Removes the deepest of `made` first. One that is in use by now stays, and so do those above it.
fn remove_made<'a>(mount: BorrowedFd<'_>, made: impl DoubleEndedIterator<Item = &'a String>) -> Result<(), CgroupError> {
    for path in made.rev() {
        if !remove_one(mount, &tree::names(path)?).map_err(failed("remove", path))? {
            break;
        }
    }
    Ok(())
}

/// Removes the cgroups above that we or an earlier container of ours made, up to the first that is in use or was there.
fn remove_above(mount: BorrowedFd<'_>, names: &[&str], made: &[String]) -> Result<(), CgroupError> {
    for depth in (1..names.len()).rev() {
        let above = &names[..depth];
        let path = tree::join(above);
        if !made.contains(&path) && !is_marked(mount, above).map_err(failed("look at", &path))? {
            break;
        }
        if !remove_one(mount, above).map_err(failed("remove", &path))? {
            break;
        }
    }
    Ok(())
}

/// One that is gone already counts as marked: the look goes on above it.
fn is_marked(mount: BorrowedFd<'_>, names: &[&str]) -> Result<bool, sys::Error> {
    match tree::open(mount, names).and_then(|dir| sys::cgroupfs::is_marked(dir.as_fd(), MARK)) {
        Err(error) if tree::is_gone(&error) => Ok(true),
        other => other,
    }
}

/// rmdir(2) of one cgroup; `false`: it is in use. One that is gone already counts as removed.
fn remove_one(mount: BorrowedFd<'_>, names: &[&str]) -> Result<bool, sys::Error> {
    let removed = match names.split_last() {
        None => return Ok(true),
        Some((name, above)) => tree::open(mount, above).and_then(|parent| remove_dir(parent.as_fd(), name)),
    };
    match removed {
        Ok(()) => Ok(true),
        Err(error) if tree::is_gone(&error) => Ok(true),
        Err(error) if error.is(sys::Errno::EBUSY) => Ok(false),
        Err(error) => Err(error),
    }
}

fn remove_dir(parent: BorrowedFd<'_>, name: &str) -> Result<(), sys::Error> {
    sys::fd::unlinkat(parent, name, true)
}

fn failed<'a>(act: &'static str, path: &'a str) -> impl FnOnce(sys::Error) -> CgroupError + 'a {
    move |source| CgroupError::Failed { act, path: path.to_owned(), source }
}

/// Removes every cgroup below the top, deepest first. One that is in use again stays, for the next attempt.
struct RemoveChildren<'a> {
    path: &'a str,
}

impl Visitor for RemoveChildren<'_> {
    fn enter(&mut self, _: BorrowedFd<'_>) -> Result<(), CgroupError> {
        Ok(())
    }

    fn leave(&mut self, parent: BorrowedFd<'_>, name: &str) -> Result<(), CgroupError> {
        match remove_dir(parent, name) {
            Err(error) if !tree::is_gone(&error) && !error.is(sys::Errno::EBUSY) => Err(failed("empty", self.path)(error)),
            _ => Ok(()),
        }
    }
}

struct Count {
    cgroups: usize,
}

impl Visitor for Count {
    fn enter(&mut self, _: BorrowedFd<'_>) -> Result<(), CgroupError> {
        Ok(())
    }

    fn leave(&mut self, _: BorrowedFd<'_>, _: &str) -> Result<(), CgroupError> {
        self.cgroups += 1;
        Ok(())
    }
}
