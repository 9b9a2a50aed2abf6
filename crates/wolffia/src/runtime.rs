//! Where containers are kept and how they are made: the settings that all operations share.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use wolffia_launch::TraceLine;
use wolffia_plan::CgroupManager;
use wolffia_state::{ContainerId, Store};

/// The directory of containers and the settings of the command line's global flags.
#[derive(Debug, Clone)]
pub struct Runtime {
    pub(crate) root: PathBuf,
    pub(crate) cgroups: CgroupManager,
    pub(crate) rootless: Option<bool>,
    pub(crate) trace: Option<fn(TraceLine)>,
}

impl Runtime {
    /// Containers live below `root`, which is made when it is missing. Two runtimes with the same root share their containers.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), cgroups: CgroupManager::default(), rootless: None, trace: None }
    }

    /// The directory that `wolffia` uses unless it is told another one: `/run/wolffia` for root, and
    /// `$XDG_RUNTIME_DIR/wolffia`, else `/tmp/wolffia-UID`, for everybody else.
    pub fn default_root() -> PathBuf {
        let uid = wolffia_sys::ids::geteuid();
        let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty());
        match own {
            Some(directory) if uid != 0 || in_user_namespace() => Path::new(&directory).join("wolffia"),
            None if uid != 0 => PathBuf::from(format!("/tmp/wolffia-{uid}")),
            _ => PathBuf::from("/run/wolffia"),
        }
    }

    /// `--cgroup-manager`
    #[must_use]
    pub fn with_cgroups(mut self, manager: CgroupManager) -> Self {
        self.cgroups = manager;
        self
    }

    /// `--rootless`: go on when a cgroup that nobody asked for cannot be made. `None`: for everybody but root.
    #[must_use]
    pub fn with_rootless(mut self, rootless: Option<bool>) -> Self {
        self.rootless = rootless;
        self
    }

    /// Calls `trace` for every step that is carried out.
    #[must_use]
    pub fn with_trace(mut self, trace: fn(TraceLine)) -> Self {
        self.trace = Some(trace);
        self
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The ids of all containers, sorted. A root that does not exist holds none.
    pub fn list(&self) -> Result<Vec<ContainerId>> {
        match Store::open(&self.root, false) {
            Err(wolffia_state::StateError::RootMissing { .. }) => Ok(Vec::new()),
            store => Ok(store?.list()?),
        }
    }

    pub(crate) fn store(&self, create: bool) -> Result<Store> {
        Ok(Store::open(&self.root, create)?)
    }

    pub(crate) fn trace(&self) -> Option<&dyn Fn(TraceLine)> {
        self.trace.as_ref().map(|trace| trace as &dyn Fn(TraceLine))
    }

    pub(crate) fn is_rootless(&self) -> bool {
        self.rootless.unwrap_or_else(|| wolffia_sys::ids::geteuid() != 0 || in_user_namespace())
    }
}

/// Whether this process is in a user namespace other than the initial one, whose map holds all ids in one line.
pub(crate) fn in_user_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !map.split_ascii_whitespace().eq(["0", "0", "4294967295"]))
}

pub(crate) fn parse_id(id: &str) -> Result<ContainerId> {
    ContainerId::parse(id).map_err(Error::from)
}
