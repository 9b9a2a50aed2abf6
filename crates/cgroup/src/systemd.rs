//! A container's scope: a cgroup that systemd makes, delegates and removes.
//!
//! systemd is asked for the unit and told every limit that it has a property for; all else is done in the cgroup itself, which is
//! the container's own (`Delegate=yes`).

mod aside;
mod bus;
mod calls;

use crate::{Cgroup, CgroupError};
use aside::Trouble;
use calls::Call;
use serde::{Deserialize, Serialize};
use wolffia_plan::{SystemdManager, SystemdScope, UnitProperty};
use wolffia_sys::Pid;

/// A scope by its name, which is all that later commands need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    pub manager: SystemdManager,
    pub unit: String,
}

impl Scope {
    pub fn of(plan: &SystemdScope) -> Self {
        Self { manager: plan.manager, unit: plan.unit.clone() }
    }

    /// Makes the unit with the process `pid` in it, and opens its cgroup when systemd has put the process there. A unit of this
    /// name in which nobody is is replaced; one that lives is an error, and so is a frozen cgroup at its place.
    pub fn start(plan: &SystemdScope, pid: Pid) -> Result<Cgroup, CgroupError> {
        // systemd puts a process into a frozen cgroup, where it would hang before it starts.
        Cgroup::check_place(plan.mount.as_path(), &plan.path)?;
        let scope = Self::of(plan);
        let (unit, slice, properties) = (plan.unit.clone(), plan.slice.clone(), plan.properties.clone());
        scope.ask("start", Call::Start { unit, slice, properties, pid: pid.get().unsigned_abs() })?;
        let path = cgroup_of(pid).map_err(|reason| scope.failed("find the cgroup of", reason))?;
        // The number may mean another process to a systemd that lives in another pid namespace.
        if path.rsplit('/').next() != Some(&plan.unit) {
            return Err(scope.failed("start", format!("process {pid} is in {path} afterwards")));
        }
        Cgroup::open(plan.mount.as_path(), &path)
    }

    /// Moves the process `pid` into it, or into the cgroup `below` it (a path with a leading slash, or empty): systemd may where a
    /// user may not, from a session's cgroup to one of the user's manager.
    pub fn attach(&self, pid: Pid, below: &str) -> Result<(), CgroupError> {
        let (unit, below, pid) = (self.unit.clone(), below.to_owned(), pid.get().unsigned_abs());
        self.ask("put a process into", Call::Attach { unit, below, pid })
    }

    /// Changes properties, until the unit ends.
    pub fn set(&self, properties: &[UnitProperty]) -> Result<(), CgroupError> {
        if properties.is_empty() {
            return Ok(());
        }
        self.ask("change", Call::Set { unit: self.unit.clone(), properties: properties.to_vec() })
    }

    /// Ends the unit and takes its name away, failed or not. One that is gone is no error. What is in it should be dead by now, or
    /// systemd waits for it as long as the unit's `TimeoutStopUSec` says.
    pub fn stop(&self) -> Result<(), CgroupError> {
        self.ask("stop", Call::Stop { unit: self.unit.clone() })
    }

    /// The same if nobody is in it; a scope that lives is somebody else's, and stays.
    pub fn discard(&self) -> Result<(), CgroupError> {
        self.ask("discard", Call::Discard { unit: self.unit.clone() })
    }

    fn ask(&self, act: &'static str, call: Call) -> Result<(), CgroupError> {
        let bus = bus::find(self.manager);
        aside::carry_out(&bus, call).map_err(|trouble| match trouble {
            Trouble::Unreachable { reason } => {
                let (reason, cure) = (format!("no answer from systemd at {}: {reason}", bus.address), bus.cure());
                CgroupError::Systemd { act, unit: self.unit.clone(), reason, cure }
            }
            Trouble::Refused { reason } => self.failed(act, reason),
        })
    }

    fn failed(&self, act: &'static str, reason: String) -> CgroupError {
        let cure = match self.manager {
            SystemdManager::System => format!("`systemctl status '{}'` and the journal say more", self.unit),
            SystemdManager::User { .. } => format!("`systemctl --user status '{}'` and the journal say more", self.unit),
        };
        CgroupError::Systemd { act, unit: self.unit.clone(), reason, cure: cure + "; or use --cgroup-manager cgroupfs" }
    }
}

/// Where the process is in the cgroup2 hierarchy, as /proc/PID/cgroup shows it.
fn cgroup_of(pid: Pid) -> Result<String, String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).map_err(|error| error.to_string())?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"));
    path.map(str::to_owned).ok_or_else(|| "it is in no cgroup of version 2".to_owned())
}
