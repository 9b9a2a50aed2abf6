//! What deleting a container will touch.

use crate::container::Container;
use std::path::{Path, PathBuf};

/// What [`Container::delete`] needs of the host: for a program that gives up everything else before it waits for the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    /// The directory of all containers.
    pub root: PathBuf,
    /// This container's own directory in it.
    pub directory: PathBuf,
    /// Its cgroup, if it has one.
    pub cgroup: Option<CgroupRemains>,
    /// It has places in the hierarchies of cgroup 1.
    pub legacy_cgroups: bool,
    /// Where resctrl is mounted, if it has a group there.
    pub resctrl: Option<PathBuf>,
    /// Its cgroup is systemd's, which is asked over a socket to take it away.
    pub asks_systemd: bool,
    /// Poststop hooks will be run, which are anybody's programs and may need anything.
    pub runs_programs: bool,
}

/// Where a container's cgroup is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupRemains {
    /// Where the hierarchy is mounted.
    pub mount: PathBuf,
    pub directory: PathBuf,
}

impl Container {
    /// What [`Container::delete`] needs of the host.
    pub fn remains(&self) -> Remains {
        let launch = &self.record.launch;
        Remains {
            root: self.runtime.root().to_owned(),
            directory: self.dir.path().to_owned(),
            cgroup: launch.cgroup.as_ref().map(|place| CgroupRemains {
                mount: PathBuf::from(&place.mount),
                directory: Path::new(&place.mount).join(place.path.trim_start_matches('/')),
            }),
            legacy_cgroups: launch.legacy_cgroups.is_some(),
            resctrl: launch.rdt.as_ref().map(|place| place.mount.as_path().to_owned()),
            asks_systemd: launch.scope.is_some(),
            runs_programs: !launch.poststop.is_empty(),
        }
    }
}
