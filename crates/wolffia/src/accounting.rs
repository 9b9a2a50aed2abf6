//! Where a container that is being made is accounted: its cgroups made, limited, joined, and taken away again.

use crate::create::report;
use crate::error::{Result, cause};
use crate::record::{CgroupPlace, Launched};
use std::cell::OnceCell;
use std::os::fd::BorrowedFd;
use std::path::Path;
use wolffia_cgroup::{Cgroup, LegacyPlace, MonitoredGroup, RdtPlace, Scope};
use wolffia_launch::{Cause, Failure, Stage};
use wolffia_plan::{CgroupPlan, Plan, Recorded, Step, SystemdScope};
use wolffia_state::{Record, Reservation};
use wolffia_sys::Pid;

/// What has been made so far.
#[derive(Debug, Default)]
pub(crate) struct Accounting {
    /// Empty until systemd has made it, when it is systemd's to make.
    cgroup: OnceCell<Cgroup>,
    legacy: Option<LegacyPlace>,
    scope: Option<SystemdScope>,
    rdt: Option<MonitoredGroup>,
    /// Why the cgroup is not the container's user's.
    kept: OnceCell<Recorded>,
}

impl Accounting {
    /// Makes what can be made before there is a process. Written down before, so that `delete --force` finds it if we are killed in
    /// between; and the poststop hooks, if there is no cgroup.
    pub fn make(
        &mut self,
        stage: &Stage<'_>,
        plan: &Plan,
        reservation: &Reservation<Launched>,
        record: &mut Record<Launched>,
    ) -> Result<()> {
        match &plan.cgroup {
            CgroupPlan::Unified { mount, path, optional } => {
                let place = CgroupPlace { mount: mount.to_string(), path: path.clone(), made: Vec::new() };
                if !self.make_unified(stage, reservation, record, place, *optional)? {
                    record.launch.recorded.extend(plan.held_by_nothing(false));
                    return Ok(());
                }
            }
            CgroupPlan::Systemd(scope) => {
                // Not yet its cgroup, which may turn out to be somebody else's.
                record.launch.scope = Some(Scope::of(scope));
                reservation.dir().save(record)?;
                self.scope = Some(scope.clone());
            }
            CgroupPlan::Inherited { .. } => reservation.dir().save(record)?,
        }
        self.make_legacy(stage, plan, reservation, record)?;
        let has_cgroup = self.cgroup.get().is_some() || self.joins();
        record.launch.recorded.extend(plan.held_by_nothing(has_cgroup));
        self.make_rdt(stage, plan, reservation, record)
    }

    /// The cgroup to be born in.
    pub fn birthplace(&self) -> Option<BorrowedFd<'_>> {
        self.cgroup.get().map(Cgroup::dir)
    }

    /// Whether init must be put somewhere before it goes on.
    pub fn joins(&self) -> bool {
        self.legacy.is_some() || self.scope.is_some() || self.rdt.is_some()
    }

    /// Puts init where it could not be born. The limits of a scope are set now, before init has done anything.
    pub fn join(&self, plan: &Plan, init: Pid) -> std::result::Result<(), Cause> {
        if let Some(rdt) = &self.rdt {
            rdt.add(init).map_err(cause)?;
        }
        if let Some(legacy) = &self.legacy {
            legacy.add(init).map_err(cause)?;
        }
        let Some(scope) = &self.scope else { return Ok(()) };
        let cgroup = Scope::start(scope, init).map_err(cause)?;
        self.cgroup.get_or_init(|| cgroup).limit(&plan.resources).map_err(cause)
    }

    /// Sets the limits of the cgroup that init was born in (where it joined, they were set before), and gives it to its user.
    pub fn limit(&self, stage: &Stage<'_>, plan: &Plan) -> std::result::Result<(), Failure> {
        let resources = &plan.resources;
        match self.cgroup.get() {
            Some(cgroup) if self.scope.is_none() && !(resources.writes.is_empty() && resources.devices.is_none()) => {
                stage.act(Step::CgroupLimit, || cgroup.path().to_owned(), || cgroup.limit(resources).map_err(cause))?;
            }
            _ => {}
        }
        match (self.cgroup.get(), plan.cgroup_owner) {
            (Some(cgroup), Some(owner)) => self.delegate(stage, cgroup, owner),
            _ => Ok(()),
        }
    }

    /// A runtime that may give nothing away keeps the cgroup: it is the container's user who misses something, not the host. One that
    /// was there before is kept too: it stays when the container is gone, and its owner would.
    fn delegate(&self, stage: &Stage<'_>, cgroup: &Cgroup, owner: u32) -> std::result::Result<(), Failure> {
        let what = || format!("{} to user {owner}", cgroup.path());
        let kept = stage.act(Step::CgroupDelegate, what, || {
            if !cgroup.made().iter().any(|made| made == cgroup.path()) {
                return Ok(Some("the cgroup was there before the container".to_owned()));
            }
            match cgroup.delegate(owner) {
                Err(error) if error.is_permission() => Ok(Some(cause(error).text)),
                given => given.map(|()| None).map_err(cause),
            }
        })?;
        if let Some(reason) = kept {
            let reason = format!("the container's user can make no cgroups: {reason}");
            self.kept.get_or_init(|| Recorded { field: "/linux/cgroupsPath".to_owned(), reason });
        }
        Ok(())
    }

    /// Writes down what systemd has made, and what could not be had.
    pub fn note(&self, record: &mut Record<Launched>) {
        record.launch.recorded.extend(self.kept.get().cloned());
        let (Some(scope), Some(cgroup)) = (&self.scope, self.cgroup.get()) else { return };
        let place = CgroupPlace { mount: scope.mount.to_string(), path: cgroup.path().to_owned(), made: Vec::new() };
        record.cgroup = Some(whole(&place));
        record.launch.cgroup = Some(place);
    }

    /// Takes away what was made. What goes wrong is said.
    pub fn remove(&self) {
        if let Some(cgroup) = self.cgroup.get() {
            report(cgroup.kill_all(libc::SIGKILL));
            if let Some(scope) = &self.scope {
                report(Scope::of(scope).stop());
            }
            report(cgroup.remove());
        }
        if let Some(legacy) = &self.legacy {
            report(legacy.remove());
        }
        if let Some(rdt) = &self.rdt {
            report(rdt.remove());
        }
    }

    /// False: there is none, and the container does without.
    fn make_unified(
        &mut self,
        stage: &Stage<'_>,
        reservation: &Reservation<Launched>,
        record: &mut Record<Launched>,
        mut place: CgroupPlace,
        optional: bool,
    ) -> Result<bool> {
        let mount = Path::new(&place.mount);
        place.made = match Cgroup::missing(mount, &place.path) {
            Err(error) if optional && error.is_permission() => Vec::new(),
            missing => missing?,
        };
        record.cgroup = Some(whole(&place));
        record.launch.cgroup = Some(place.clone());
        reservation.dir().save(record)?;
        let made = stage.act(
            Step::CgroupCreate,
            || place.path.clone(),
            || match Cgroup::create(mount, &place.path) {
                // Ours from this moment on, whatever comes after it.
                Ok(cgroup) => Ok(Ok(self.cgroup.get_or_init(|| cgroup))),
                Err(error) if optional && error.is_permission() => Ok(Err(cause(error).text)),
                Err(error) => Err(cause(error)),
            },
        )?;
        match made {
            Ok(cgroup) => {
                place.made = cgroup.made().to_vec();
                record.launch.cgroup = Some(place);
                Ok(true)
            }
            Err(reason) => {
                record.cgroup = None;
                record.launch.cgroup = None;
                let reason = format!("no cgroup of its own: {reason}");
                record.launch.recorded.push(Recorded { field: "/linux/cgroupsPath".to_owned(), reason });
                Ok(false)
            }
        }
    }

    fn make_rdt(
        &mut self,
        stage: &Stage<'_>,
        plan: &Plan,
        reservation: &Reservation<Launched>,
        record: &mut Record<Launched>,
    ) -> Result<()> {
        let Some(rdt) = &plan.rdt else { return Ok(()) };
        let place = RdtPlace::of(rdt);
        let what = || format!("/{}", place.group);
        let found = stage.act(Step::RdtGroup, what, || {
            let group = place.clone().open().map_err(cause)?;
            group.must_be_free().map(|()| group).map_err(cause)
        })?;
        record.launch.rdt = Some(place.clone());
        reservation.dir().save(record)?;
        let group = self.rdt.insert(found);
        Ok(stage.act(Step::RdtGroup, what, || group.make(&rdt.group).map_err(cause))?)
    }

    fn make_legacy(
        &mut self,
        stage: &Stage<'_>,
        plan: &Plan,
        reservation: &Reservation<Launched>,
        record: &mut Record<Launched>,
    ) -> Result<()> {
        let Some(place) = &plan.legacy_cgroups else { return Ok(()) };
        let found = LegacyPlace::open(place);
        let what = || format!("{} of version 1", place.path);
        // Before it counts as ours, because what is frozen was there, and stays.
        stage.act(Step::CgroupCreate, what, || found.check_fit().map_err(cause))?;
        record.launch.legacy_made = found.missing();
        reservation.dir().save(record)?;
        let legacy = self.legacy.insert(found.with_made(record.launch.legacy_made.clone()));
        stage.act(Step::CgroupCreate, what, || legacy.create().map_err(cause))?;
        // Before there is an init, because version 1's list of devices is denied as a whole and then allowed line by line: in between
        // it would be refused its own nodes.
        if plan.resources.legacy.is_empty() {
            return Ok(());
        }
        Ok(stage.act(Step::CgroupLimit, what, || legacy.limit(&plan.resources.legacy).map_err(cause))?)
    }
}

fn whole(place: &CgroupPlace) -> std::path::PathBuf {
    Path::new(&place.mount).join(place.path.trim_start_matches('/'))
}
