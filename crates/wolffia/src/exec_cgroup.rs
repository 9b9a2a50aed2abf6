//! Which cgroups a further process enters: the container's own, or some below them.

use crate::container::{Container, legacy_of};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use wolffia_cgroup::{Cgroup, CgroupError, LegacyPlace, MonitoredGroup, RdtPlace, Scope};
use wolffia_launch::Failure;
use wolffia_plan::{Step, SystemdManager};
use wolffia_sys::{Errno, Pid};

/// Where a further process goes.
#[derive(Debug)]
pub(crate) struct ExecCgroups {
    /// To be born in: the directory and the path.
    birthplace: Option<(OwnedFd, String)>,
    /// To be put into by systemd, with the path below the scope.
    scope: Option<(Scope, String)>,
    /// To be put into, with the path below the container's own cgroup by controller.
    legacy: Option<(LegacyPlace, BTreeMap<String, String>)>,
    /// Nothing is born there but what is already in it.
    rdt: Option<MonitoredGroup>,
}

impl ExecCgroups {
    /// The cgroup to be born in.
    pub fn birthplace(&self) -> Option<BorrowedFd<'_>> {
        self.birthplace.as_ref().map(|(directory, _)| directory.as_fd())
    }

    /// The failure of making the process. `EBUSY` means its birthplace: which controllers forbid processes there is the kernel's to know.
    pub fn explained(&self, failure: Failure) -> Error {
        match &self.birthplace {
            Some((_, path)) if failure.step == Step::NamespacesJoin && failure.errno == Errno::EBUSY.0 => {
                CgroupError::Inner { path: path.clone() }.into()
            }
            _ => failure.into(),
        }
    }

    /// Whether the process must be put somewhere before it goes on.
    pub fn joins(&self) -> bool {
        self.scope.is_some() || self.legacy.is_some() || self.rdt.is_some()
    }

    /// Puts the process where it could not be born.
    pub fn join(&self, pid: Pid) -> std::result::Result<(), CgroupError> {
        if let Some(rdt) = &self.rdt {
            rdt.add(pid)?;
        }
        if let Some((scope, below)) = &self.scope {
            scope.attach(pid, below)?;
        }
        self.legacy.as_ref().map_or(Ok(()), |(place, below)| place.add_below(pid, below))
    }
}

impl Container {
    /// `asked` are the values of `--cgroup`: `[CONTROLLER[,CONTROLLER…]:]PATH`, the path below the container's own cgroup.
    pub(crate) fn exec_cgroups(&self, asked: &[String]) -> Result<ExecCgroups> {
        let legacy = legacy_of(&self.record);
        let mut below = BTreeMap::new();
        let mut unified = None;
        for word in asked {
            let (controllers, path) = match word.rsplit_once(':') {
                Some((controllers, path)) => (controllers.split(',').collect(), path),
                None => (Vec::new(), word.as_str()),
            };
            match &legacy {
                // Without a controller it is for all hierarchies.
                Some(place) => below.extend(place.below(&controllers, path)?),
                None if controllers.is_empty() => unified = Some(path),
                None => {
                    return Err(Error::Usage {
                        reason: format!(
                            "unknown controller {:?} in --cgroup {word:?}: the container has no cgroup of version 1",
                            controllers
                        ),
                        cure: "name the path alone",
                    });
                }
            }
        }
        let (birthplace, scope) = match self.unified_for_exec(unified)? {
            Some((cgroup, path)) => match self.scope_to_join(&path) {
                None => (Some((cgroup, path)), None),
                scope => (None, scope),
            },
            None => (None, None),
        };
        let rdt = self.record.launch.rdt.clone().map(RdtPlace::open).transpose()?;
        Ok(ExecCgroups { birthplace, scope, legacy: legacy.map(|place| (place, below)), rdt })
    }

    /// A user's scope: the way from a session's cgroup to one of the user's manager leads through cgroups that are root's.
    fn scope_to_join(&self, path: &str) -> Option<(Scope, String)> {
        let launch = &self.record.launch;
        let scope = launch.scope.as_ref().filter(|scope| scope.manager != SystemdManager::System)?;
        let below = path.strip_prefix(&launch.cgroup.as_ref()?.path)?;
        Some((scope.clone(), below.to_owned()))
    }

    /// The directory and the path. Where nothing is asked, init's own cgroup, if the container's is gone or hands controllers down, because then it can hold
    /// no process (cgroups(7)): a systemd inside does that.
    fn unified_for_exec(&self, asked: Option<&str>) -> Result<Option<(OwnedFd, String)>> {
        let Some(place) = &self.record.launch.cgroup else {
            return match asked {
                None => Ok(None),
                Some(_) => Err(Error::Usage {
                    reason: "bad sub cgroup path: the container has no cgroup of its own".to_owned(),
                    cure: "leave --cgroup out",
                }),
            };
        };
        let own = match self.cgroup()? {
            Some(cgroup) if asked.is_some() || !cgroup.hands_down()? => cgroup,
            _ => Cgroup::open(Path::new(&place.mount), &self.cgroup_of_init()?)?,
        };
        let below = asked.unwrap_or_default();
        let names = [own.path()].into_iter().chain(below.split('/').filter(|name| !name.is_empty()));
        Ok(Some((own.below(below)?, names.collect::<Vec<_>>().join("/"))))
    }

    fn cgroup_of_init(&self) -> Result<String> {
        let path = format!("/proc/{}/cgroup", self.record.pid);
        let failed = |source| Error::File { act: "read", path: path.clone().into(), source };
        let text = std::fs::read_to_string(&path).map_err(failed)?;
        text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned).ok_or_else(|| self.vanished())
    }
}
