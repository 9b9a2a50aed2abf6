//! A container's place in the cgroup v1 hierarchies, through cgroups-rs. Deprecated with the hosts that still have them.
//!
//! Limits are written here, not by the crate: its errors do not say which limit the kernel refused, and it leaves values out.

use crate::cgroup::MARK;
use crate::files::DIRECTORY;
use crate::{CgroupError, tree};
use cgroups_rs::CgroupPid;
use cgroups_rs::fs::{Cgroup as Hierarchies, Subsystem, hierarchies};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{ErrorKind, Result as IoResult};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use wolffia_plan::resources::{CgroupWrite, IfAbsent};
use wolffia_plan::{LegacyCgroups, LegacyDirectory};
use wolffia_sys::{self as sys, Pid};

/// Deepest tree of cgroups below a container's that is removed with it.
const DEPTH: usize = 32;

/// The container's directory in every v1 hierarchy.
#[derive(Debug)]
pub struct LegacyPlace {
    hierarchies: Hierarchies,
    /// In hierarchies that cgroups-rs does not know, `misc` and named ones: nothing is limited there, but who is left out of them
    /// would see, and be in, the runtime's own.
    others: Vec<LegacyDirectory>,
    /// Written down before they were made: who is killed in between cannot mark them.
    made: Vec<PathBuf>,
}

impl LegacyPlace {
    /// Names the place; it need not exist.
    pub fn open(place: &LegacyCgroups) -> Self {
        let starts = place.starts.iter().map(|(controller, start)| (controller.clone(), start.clone())).collect();
        let v1 = Box::new(hierarchies::V1::new());
        let hierarchies = Hierarchies::load_with_relative_paths(v1, &place.path, starts);
        let known: Vec<String> = hierarchies.subsystems().iter().map(Subsystem::controller_name).collect();
        let unknown = |one: &&LegacyDirectory| !one.controllers.iter().any(|controller| known.contains(controller));
        let others = place.directories.iter().filter(unknown).cloned().collect();
        Self { hierarchies, others, made: Vec::new() }
    }

    /// With the list that [`LegacyPlace::missing`] gave before it was created: these are removed with it.
    pub fn with_made(self, made: Vec<PathBuf>) -> Self {
        Self { made, ..self }
    }

    /// The directories that `create` would make now.
    pub fn missing(&self) -> Vec<PathBuf> {
        let above = |directory: PathBuf| directory.ancestors().map(Path::to_owned).collect::<Vec<_>>();
        self.directories().flat_map(above).filter(|directory| !directory.exists()).collect()
    }

    /// Whether a container may have it: its limits would be those of whoever is in it already, and nothing in a frozen cgroup would
    /// start.
    pub fn check_fit(&self) -> Result<(), CgroupError> {
        for directory in self.directories() {
            let path = directory.display().to_string();
            match fs::read_to_string(directory.join("cgroup.procs")) {
                Ok(inside) if !inside.is_empty() => return Err(CgroupError::NotEmpty { path, count: inside.lines().count() }),
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(CgroupError::Legacy { act: "look into", path, reason: error.to_string() });
                }
                _ => {}
            }
        }
        match self.directory_of("freezer").map(|directory| fs::read_to_string(directory.join("freezer.state"))) {
            Some(Ok(state)) if state.trim() != "THAWED" => Err(CgroupError::Frozen { path: self.hierarchies.path().to_owned() }),
            _ => Ok(()),
        }
    }

    /// Makes the directories. A new cpuset gets its parent's processors and memory, without which nobody can be in it.
    pub fn create(&self) -> Result<(), CgroupError> {
        let missing = self.missing();
        let made = self.hierarchies.create().map_err(|error| self.failed("make", &error)).and_then(|()| self.create_others());
        for directory in missing.iter().filter(|directory| directory.exists()) {
            let failed = |source| CgroupError::Failed { act: "mark", path: directory.display().to_string(), source };
            mark(directory).map_err(failed)?;
        }
        made
    }

    /// Sets the limits, in their order; those that the kernel refuses as not fitting the others once more at the end.
    pub fn limit(&self, writes: &[CgroupWrite]) -> Result<(), CgroupError> {
        let mut refused = Vec::new();
        for write in writes {
            if self.write(write).is_err() {
                refused.push(write);
            }
        }
        for write in refused {
            self.write(write).map_err(|source| CgroupError::LegacyLimit { write: Box::new(write.clone()), source })?;
        }
        Ok(())
    }

    /// Moves the process `pid` into every one of them.
    pub fn add(&self, pid: Pid) -> Result<(), CgroupError> {
        let task = CgroupPid::from(u64::from(pid.get().unsigned_abs()));
        self.hierarchies.add_task_by_tgid(task).map_err(|error| self.failed("enter", &error))?;
        self.others.iter().try_for_each(|other| join(other.path.as_path(), pid))
    }

    /// `path` for each of the `controllers`, or for all hierarchies if none is named, as [`LegacyPlace::add_below`] takes it.
    pub fn below(&self, controllers: &[&str], path: &str) -> Result<Vec<(String, String)>, CgroupError> {
        let path = tree::names_below(path)?.join("/");
        let known: Vec<String> = self.named().into_keys().collect();
        if let Some(unknown) = controllers.iter().find(|one| !known.iter().any(|name| name == *one)) {
            return Err(CgroupError::NoSuchController { controller: (*unknown).to_owned() });
        }
        let wanted = known.into_iter().filter(|name| controllers.is_empty() || controllers.contains(&name.as_str()));
        Ok(wanted.map(|name| (name, path.clone())).collect())
    }

    /// Moves the process `pid` into every one of them, or into the cgroup below it that `below` gives for its controller.
    pub fn add_below(&self, pid: Pid, below: &BTreeMap<String, String>) -> Result<(), CgroupError> {
        if below.is_empty() {
            return self.add(pid);
        }
        self.named()
            .iter()
            .try_for_each(|(controller, directory)| join(&directory.join(below.get(controller).map_or("", String::as_str)), pid))
    }

    /// Removes every one of them that was made for a container, what that made below, and what was made above and is in use by
    /// nobody. No process may be in it any more. One that is gone is no error.
    pub fn remove(&self) -> Result<(), CgroupError> {
        for directory in self.directories().filter(|directory| self.is_ours(directory)) {
            let failed = |source| CgroupError::LegacyRemove { directory: directory.clone(), source };
            remove_tree(&directory, DEPTH).map_err(failed)?;
            for above in directory.ancestors().skip(1).take_while(|above| self.is_ours(above)) {
                match fs::remove_dir(above) {
                    Err(error) if matches!(error.kind(), ErrorKind::ResourceBusy | ErrorKind::DirectoryNotEmpty) => break,
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn is_ours(&self, directory: &Path) -> bool {
        is_marked(directory) || self.made.iter().any(|made| made == directory)
    }

    pub(crate) fn hierarchies(&self) -> &Hierarchies {
        &self.hierarchies
    }

    fn directories(&self) -> impl Iterator<Item = PathBuf> {
        // cpu and cpuacct are one directory.
        self.named().into_values().collect::<BTreeSet<_>>().into_iter()
    }

    /// The directories by the names of controllers and hierarchies.
    fn named(&self) -> BTreeMap<String, PathBuf> {
        let known =
            self.hierarchies.subsystems().iter().map(|one| (one.controller_name(), one.to_controller().path().to_owned()));
        let other = |one: &LegacyDirectory| one.controllers.first().map(|name| (name.clone(), one.path.as_path().to_owned()));
        known.chain(self.others.iter().filter_map(other)).collect()
    }

    fn create_others(&self) -> Result<(), CgroupError> {
        self.others.iter().try_for_each(|other| {
            let failed = |error: std::io::Error| CgroupError::Legacy {
                act: "make",
                path: other.path.to_string(),
                reason: error.to_string(),
            };
            fs::create_dir_all(other.path.as_path()).map_err(failed)
        })
    }

    /// Counts from now on when its memory runs out; with the directory. `None` where memory is not of version 1.
    pub(crate) fn watch_memory(&self) -> Result<Option<(PathBuf, OwnedFd)>, CgroupError> {
        let Some(directory) = self.directory_of("memory") else { return Ok(None) };
        let path = || directory.display().to_string();
        let failed = |source| CgroupError::Failed { act: "watch the memory of", path: path(), source };
        let opened = sys::fd::open(&directory, DIRECTORY, 0).map_err(failed)?;
        let counter = sys::cgroupfs::on_out_of_memory(opened.as_fd()).map_err(failed)?;
        Ok(Some((directory, counter)))
    }

    /// `None` if it is not there, or cannot be read.
    pub(crate) fn read(&self, controller: &str, file: &str) -> Option<String> {
        fs::read_to_string(self.directory_of(controller)?.join(file)).ok()
    }

    pub(crate) fn write(&self, write: &CgroupWrite) -> IoResult<()> {
        let Some(directory) = self.directory_of(&write.controller) else {
            let reason = format!("this host has no {} hierarchy", write.controller);
            return Err(std::io::Error::new(ErrorKind::NotFound, reason));
        };
        match put(&directory.join(&write.file), &write.value) {
            Err(error) if error.kind() == ErrorKind::NotFound => match &write.if_absent {
                IfAbsent::Skip => Ok(()),
                IfAbsent::Instead { file, value } => put(&directory.join(file), value),
                IfAbsent::Fail => Err(error),
            },
            done => done,
        }
    }

    fn directory_of(&self, controller: &str) -> Option<PathBuf> {
        let of = |one: &&Subsystem| one.controller_name() == controller;
        self.hierarchies.subsystems().iter().find(of).map(|one| one.to_controller().path().to_owned())
    }

    fn failed(&self, act: &'static str, error: &cgroups_rs::fs::error::Error) -> CgroupError {
        CgroupError::Legacy { act, path: self.hierarchies.path().to_owned(), reason: error.to_string() }
    }
}

/// The kernel keeps it with the directory (Linux 5.7).
fn mark(directory: &Path) -> Result<(), sys::Error> {
    sys::cgroupfs::mark(sys::fd::open(directory, DIRECTORY, 0)?.as_fd(), MARK)
}

/// One that is gone counts as marked, for the look above it.
fn is_marked(directory: &Path) -> bool {
    match sys::fd::open(directory, DIRECTORY, 0).and_then(|fd| sys::cgroupfs::is_marked(fd.as_fd(), MARK)) {
        Err(error) => error.is(sys::Errno::ENOENT),
        Ok(marked) => marked,
    }
}

fn join(directory: &Path, pid: Pid) -> Result<(), CgroupError> {
    let (file, pid) = (directory.join("cgroup.procs"), pid.get());
    put(&file, &pid.to_string()).map_err(|source| CgroupError::Join { pid, file, source })
}

fn put(file: &Path, value: &str) -> IoResult<()> {
    use std::io::Write;
    fs::OpenOptions::new()
        .write(true)
        .custom_flags(wolffia_sys::fd::OFlags::NOFOLLOW.bits().cast_signed())
        .open(file)?
        .write_all(value.as_bytes())
}

fn remove_tree(directory: &Path, depth: usize) -> IoResult<()> {
    let gone = |error: &std::io::Error| error.kind() == ErrorKind::NotFound;
    let entries = match fs::read_dir(directory) {
        Err(error) if gone(&error) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if depth > 0 && entry.file_type()?.is_dir() {
            remove_tree(&entry.path(), depth - 1)?;
        }
    }
    match fs::remove_dir(directory) {
        Err(error) if !gone(&error) => Err(error),
        _ => Ok(()),
    }
}
