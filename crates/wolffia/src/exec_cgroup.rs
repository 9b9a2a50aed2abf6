//! Which cgroups a further process enters: the container's own, or some below them.

use crate::container::{Container, legacy_of};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use wolffia_cgroup::{Cgroup, LegacyPlace};

/// Where a further process goes.
#[derive(Debug)]
pub(crate) struct ExecCgroups {
    /// To be born in.
    pub unified: Option<OwnedFd>,
    /// To be put into, with the path below the container's own cgroup by controller.
    pub legacy: Option<(LegacyPlace, BTreeMap<String, String>)>,
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
        Ok(ExecCgroups { unified: self.unified_for_exec(unified)?, legacy: legacy.map(|place| (place, below)) })
    }

    /// Where nothing is asked, init's own cgroup, if the container's is gone or hands controllers down, because then it can hold
    /// no process (cgroups(7)): a systemd inside does that.
    fn unified_for_exec(&self, asked: Option<&str>) -> Result<Option<OwnedFd>> {
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
        Ok(Some(own.below(asked.unwrap_or_default())?))
    }

    fn cgroup_of_init(&self) -> Result<String> {
        let path = format!("/proc/{}/cgroup", self.record.pid);
        let failed = |source| Error::File { act: "read", path: path.clone().into(), source };
        let text = std::fs::read_to_string(&path).map_err(failed)?;
        text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned).ok_or_else(|| self.vanished())
    }
}
