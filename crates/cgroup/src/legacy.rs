//! A container's place in the cgroup v1 hierarchies, through cgroups-rs. Deprecated with the hosts that still have them.
//!
//! Limits are written here, not by the crate: its errors do not say which limit the kernel refused, and it leaves values out.

use crate::CgroupError;
use cgroups_rs::CgroupPid;
use cgroups_rs::fs::{Cgroup as Hierarchies, Subsystem, hierarchies};
use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Result as IoResult};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use wolffia_plan::LegacyCgroups;
use wolffia_plan::resources::{CgroupWrite, IfAbsent};
use wolffia_sys::Pid;

/// Deepest tree of cgroups below a container's that is removed with it.
const DEPTH: usize = 32;

/// The container's directory in every v1 hierarchy.
#[derive(Debug)]
pub struct LegacyPlace {
    hierarchies: Hierarchies,
}

impl LegacyPlace {
    /// Names the place; it need not exist.
    pub fn open(place: &LegacyCgroups) -> Self {
        let starts = place.starts.iter().map(|(controller, start)| (controller.clone(), start.clone())).collect();
        let v1 = Box::new(hierarchies::V1::new());
        Self { hierarchies: Hierarchies::load_with_relative_paths(v1, &place.path, starts) }
    }

    /// Makes the directories. A new cpuset gets its parent's processors and memory, without which nobody can be in it.
    pub fn create(&self) -> Result<(), CgroupError> {
        self.hierarchies.create().map_err(|error| self.failed("make", &error))
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
        let pid = CgroupPid::from(u64::from(pid.get().unsigned_abs()));
        self.hierarchies.add_task_by_tgid(pid).map_err(|error| self.failed("enter", &error))
    }

    /// Removes every one of them, and what the container made below. Nobody may be in it any more. One that is gone is no error.
    pub fn remove(&self) -> Result<(), CgroupError> {
        for directory in self.directories() {
            remove_tree(&directory, DEPTH)
                .map_err(|source| CgroupError::LegacyRemove { directory: directory.clone(), source })?;
        }
        Ok(())
    }

    pub(crate) fn hierarchies(&self) -> &Hierarchies {
        &self.hierarchies
    }

    fn directories(&self) -> impl Iterator<Item = PathBuf> {
        // cpu and cpuacct are one directory.
        let unique: BTreeMap<PathBuf, ()> =
            self.hierarchies.subsystems().iter().map(|one| (one.to_controller().path().to_owned(), ())).collect();
        unique.into_keys()
    }

    fn write(&self, write: &CgroupWrite) -> IoResult<()> {
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
