//! Changing the limits of a container that exists.

use crate::container::{Container, LOCK_PATIENCE, legacy_of};
use crate::error::{Error, Result, cause};
use serde_json::Value;
use wolffia_cgroup::{Cgroup, Earlier, LegacyPlace, Scope};
use wolffia_host::Needs;
use wolffia_launch::Stage;
use wolffia_plan::resources::{CgroupWrite, Resources, plan_resources};
use wolffia_plan::{Host, Step, plan_rdt_lines, unit_properties};
use wolffia_spec::oci::{LinuxCpu, LinuxIntelRdt, LinuxResources};
use wolffia_state::Operation;

impl Container {
    /// Sets the limits that `change` has; those that it leaves out, or gives as zero, stay as they are, and so do the device
    /// rules. Then they are the container's, for `exec` and the next update. All of them or none: on an error the limits are what
    /// they were.
    ///
    /// # Errors
    /// As when a container is made, and when it has no cgroup of its own. [`Error::HalfUpdated`] names what could not be set back.
    pub fn update(&self, change: &LinuxResources) -> Result<()> {
        // Another update would read, and put back, what this one is just changing.
        let _lock = self.dir.lock(LOCK_PATIENCE)?;
        self.allow(Operation::Update)?;
        let config = self.config()?;
        let stored = config.spec.linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default();
        let mut change = with_whole_bandwidth(change, &stored);
        change.set_devices(None);
        let host = wolffia_host::probe(Needs::default())?;
        let planned = Resources { devices: None, ..plan_resources(Some(&change), &host)? };
        for missing in &planned.recorded {
            crate::warn(&format!("{}: {}", missing.field, missing.reason));
        }
        let mut limited = Limited {
            cgroup: self.cgroup()?,
            scope: self.record.launch.scope.as_ref(),
            legacy: legacy_of(&self.record),
            others: Earlier::default(),
        };
        if let (Some(cgroup), Some(_)) = (&limited.cgroup, limited.scope) {
            limited.others = cgroup.earlier(&others(stored, &planned.writes, &host));
        }
        let (earlier, legacy_earlier) = limited.earlier(&planned)?;
        let set = limited.set(&self.stage(), &planned).and_then(|()| self.keep(&change));
        set.map_err(|error| limited.put_back(&earlier, &legacy_earlier, error))
    }

    /// Changes what the container's class of service may use (Intel RDT).
    ///
    /// # Errors
    /// It has none of its own; one that `closID` names is everybody's who is in it.
    pub fn update_rdt(&self, change: &LinuxIntelRdt) -> Result<()> {
        let _lock = self.dir.lock(LOCK_PATIENCE)?;
        self.allow(Operation::Update)?;
        let lines = plan_rdt_lines(change)?;
        let Some(place) = self.record.launch.rdt.clone().filter(|place| place.own) else {
            return Err(Error::Usage {
                reason: "Intel RDT cannot be changed: the container has no resctrl group of its own".to_owned(),
                cure: "create it with linux.intelRdt and without closID",
            });
        };
        Ok(self.stage().act(
            Step::RdtGroup,
            || format!("/{}", place.group),
            || place.clone().open().and_then(|group| group.change(&lines)).map_err(cause),
        )?)
    }

    /// Lays the change over the configuration that was kept at `create`.
    fn keep(&self, change: &LinuxResources) -> Result<()> {
        let unreadable = |error: serde_json::Error| Error::Usage { reason: format!("the kept configuration: {error}"), cure: "" };
        let text = self.dir.config()?.unwrap_or_default();
        let mut config: Value = serde_json::from_slice(&text).map_err(unreadable)?;
        let resources = serde_json::to_value(change).map_err(unreadable)?;
        lay_over(&mut config["linux"]["resources"], resources);
        let text = serde_json::to_vec(&config).map_err(unreadable)?;
        Ok(self.dir.save_config(&text)?)
    }
}

/// Where a container's limits are.
struct Limited<'a> {
    cgroup: Option<Cgroup>,
    scope: Option<&'a Scope>,
    legacy: Option<LegacyPlace>,
    /// What the container has of limits that are not to change.
    others: Earlier,
}

impl Limited<'_> {
    /// What is there before the update: in version 2, and in version 1.
    fn earlier(&self, planned: &Resources) -> Result<(Earlier, Earlier)> {
        let lacking = |writes: &[CgroupWrite]| match writes.first() {
            None => Ok(Earlier::default()),
            Some(first) => Err(Error::Usage {
                reason: format!("{} cannot be changed: the container was created without a cgroup for it", first.field),
                cure: "create it with linux.cgroupsPath, where cgroups can be made",
            }),
        };
        let Resources { writes, legacy, .. } = planned;
        Ok((
            self.cgroup.as_ref().map_or_else(|| lacking(writes), |cgroup| Ok(cgroup.earlier(writes)))?,
            self.legacy.as_ref().map_or_else(|| lacking(legacy), |place| Ok(place.earlier(legacy)))?,
        ))
    }

    fn set(&self, stage: &Stage<'_>, planned: &Resources) -> Result<()> {
        if let Some(cgroup) = self.cgroup.as_ref().filter(|_| !planned.writes.is_empty()) {
            if let Some(scope) = self.scope {
                cgroup.check(planned)?;
                scope.set(&unit_properties(&planned.writes))?;
                self.keep_others(cgroup);
            }
            // After systemd, which keeps a quota less exactly.
            stage.act(Step::CgroupLimit, || cgroup.path().to_owned(), || cgroup.limit(planned).map_err(cause))?;
        }
        if let Some(place) = self.legacy.as_ref().filter(|_| !planned.legacy.is_empty()) {
            stage.act(Step::CgroupLimit, || "of version 1".to_owned(), || place.limit(&planned.legacy).map_err(cause))?;
        }
        Ok(())
    }

    /// systemd writes more than it was told of: a quota as it keeps it, and `memory.oom.group`.
    fn keep_others(&self, cgroup: &Cgroup) {
        let left = cgroup.put_back(&self.others);
        if !left.is_empty() {
            crate::warn(&format!(
                "systemd has changed {} of cgroup {}, which could not be set back",
                left.join(", "),
                cgroup.path()
            ));
        }
    }

    /// Takes back what `set` has done so far; returns the error that led here.
    fn put_back(&self, earlier: &Earlier, legacy: &Earlier, error: Error) -> Error {
        let mut left = Vec::new();
        if let Some(place) = &self.legacy {
            left.append(&mut place.put_back(legacy));
        }
        if let Some(cgroup) = &self.cgroup {
            if let Some(scope) = self.scope
                && let Err(refused) = scope.set(&unit_properties(&earlier.writes()))
            {
                crate::warn(&cause(refused).text);
            }
            self.keep_others(cgroup);
            left.append(&mut cgroup.put_back(earlier));
        }
        match left.is_empty() {
            true => error,
            false => Error::HalfUpdated { left: left.join(", "), source: Box::new(error) },
        }
    }
}

/// The writes of the limits that are kept and that `writes` leave as they are.
fn others(mut kept: LinuxResources, writes: &[CgroupWrite], host: &Host) -> Vec<CgroupWrite> {
    kept.set_devices(None);
    let kept = plan_resources(Some(&kept), host).map(|planned| planned.writes).unwrap_or_else(|refusal| {
        crate::warn(&format!(
            "what systemd changes of the other limits is not set back, because they cannot be planned: {refusal}"
        ));
        Vec::new()
    });
    kept.into_iter().filter(|one| !writes.iter().any(|write| touches(&write.file, &one.file))).collect()
}

/// Whether a write to `file` changes `other`. Of weight and idleness, one takes back the other.
fn touches(file: &str, other: &str) -> bool {
    let weighs = |file: &str| matches!(file, "cpu.weight" | "cpu.idle");
    file == other || weighs(file) && weighs(other)
}

/// Quota and period are one file of cgroup v2: the one that is not given is what it was.
fn with_whole_bandwidth(change: &LinuxResources, stored: &LinuxResources) -> LinuxResources {
    let (Some(cpu), Some(before)) = (change.cpu(), stored.cpu()) else { return change.clone() };
    let mut whole: LinuxCpu = cpu.clone();
    // Zero is none given, and must not take the place of what is kept: the next change of the other would lift the quota.
    whole.set_quota(cpu.quota().filter(|quota| *quota != 0)).set_period(cpu.period().filter(|period| *period != 0));
    match (whole.quota(), whole.period()) {
        (None, Some(_)) => whole.set_quota(before.quota()),
        (Some(_), None) => whole.set_period(before.period()),
        _ => &mut whole,
    };
    let mut change = change.clone();
    change.set_cpu(Some(whole));
    change
}

/// Objects are merged; anything else that is not null takes the other's place.
fn lay_over(below: &mut Value, above: Value) {
    match (below, above) {
        (_, Value::Null) => {}
        (Value::Object(below), Value::Object(above)) => {
            for (name, value) in above {
                lay_over(below.entry(name).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_is_laid_over_what_was() {
        let mut config = json!({ "cpu": { "shares": 3, "quota": 5 }, "unified": { "a.b": "1" }, "pids": null });
        lay_over(
            &mut config,
            json!({ "cpu": { "quota": 7, "period": null }, "unified": { "c.d": "2" }, "pids": { "limit": 1 } }),
        );
        let whole = json!({ "cpu": { "shares": 3, "quota": 7, "period": null }, "unified": { "a.b": "1", "c.d": "2" }, "pids": { "limit": 1 } });
        assert_eq!(config, whole);
    }

    #[test]
    fn a_weight_is_not_set_back_beside_idleness() {
        assert!(touches("cpu.weight", "cpu.weight"));
        assert!(touches("cpu.weight", "cpu.idle") && touches("cpu.idle", "cpu.weight"));
        assert!(!touches("cpu.max", "cpu.max.burst") && !touches("pids.max", "memory.oom.group"));
    }

    #[test]
    fn the_other_half_of_a_bandwidth_is_what_it_was() {
        let resources = |value: Value| -> LinuxResources { serde_json::from_value(value).unwrap() };
        let stored = resources(json!({ "cpu": { "quota": 5, "period": 9 } }));
        let cpu = |change: Value| {
            let cpu = with_whole_bandwidth(&resources(change), &stored).cpu().clone().unwrap();
            (cpu.quota(), cpu.period())
        };
        assert_eq!(cpu(json!({ "cpu": { "quota": 7 } })), (Some(7), Some(9)));
        assert_eq!(cpu(json!({ "cpu": { "period": 7 } })), (Some(5), Some(7)));
        assert_eq!(cpu(json!({ "cpu": { "shares": 7 } })), (None, None));
        assert_eq!(cpu(json!({ "cpu": { "quota": 0, "period": 0 } })), (None, None), "what is kept stays");
    }
}
