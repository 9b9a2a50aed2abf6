//! Setting limits: executes what `plan` made of `linux.resources`, and chooses nothing.

use crate::files::Dir;
use crate::{Cgroup, CgroupError, controllers, devices};
use wolffia_plan::resources::{CgroupWrite, IfAbsent, Resources, UsageCheck};
use wolffia_sys as sys;

impl Cgroup {
    /// Sets all limits, in their order. A limit that cannot be set is an error that names its field of the
    /// configuration, the controller, the file, and the cure.
    ///
    /// Once more for an update: with `devices` left out, as runc leaves them as they are.
    pub fn limit(&self, resources: &Resources) -> Result<(), CgroupError> {
        self.check(resources)?;
        for write in &resources.writes {
            self.write_limit(write)?;
        }
        match &resources.devices {
            Some(rules) => devices::attach(self.as_dir(), rules),
            None => Ok(()),
        }
    }

    /// Whether so much is in use already that a limit is to be rejected (`memory.checkBeforeUpdate`).
    pub fn check(&self, resources: &Resources) -> Result<(), CgroupError> {
        resources.checks.iter().try_for_each(|check| check_usage(self.as_dir(), check))
    }

    fn write_limit(&self, write: &CgroupWrite) -> Result<(), CgroupError> {
        let dir = self.as_dir();
        let Err(error) = dir.write(&write.file, &write.value) else { return Ok(()) };
        if !error.is(sys::Errno::ENOENT) || dir.has(&write.file)? {
            return Err(refused(dir, write.clone(), error));
        }
        if write.controller != "cgroup" && !controllers::has(dir, &write.controller)? {
            match controllers::hand_down(self.mount(), self.path(), write) {
                Err(_) if write.if_absent == IfAbsent::Skip => return Ok(()),
                handed => handed?,
            }
        }
        let write = match &write.if_absent {
            IfAbsent::Skip if !dir.has(&write.file)? => return Ok(()),
            IfAbsent::Instead { file, value } if !dir.has(&write.file)? => {
                CgroupWrite { file: file.clone(), value: value.clone(), ..write.clone() }
            }
            _ => write.clone(),
        };
        dir.write(&write.file, &write.value).map_err(|error| refused(dir, write, error))
    }
}

/// An absent file is left to the write that follows, which says why it is absent.
fn check_usage(dir: Dir<'_>, check: &UsageCheck) -> Result<(), CgroupError> {
    let text = match dir.read(&check.usage_file) {
        Err(error) if error.is(sys::Errno::ENOENT) => return Ok(()),
        other => other.map_err(|source| dir.file_error("read", &check.usage_file, source))?,
    };
    let usage: u64 = text.trim_end().parse().map_err(|_| CgroupError::Content {
        file: check.usage_file.clone(),
        path: dir.path.to_owned(),
        content: text.clone(),
    })?;
    if check.limit > usage {
        return Ok(());
    }
    Err(CgroupError::BelowUsage { name: check.limit_name.clone(), limit: check.limit, usage, field: check.field.clone() })
}

fn refused(dir: Dir<'_>, write: CgroupWrite, source: sys::Error) -> CgroupError {
    let cure = match source.errno {
        sys::Errno::ENOENT => "this kernel has no such file: it is too old for this limit, or was built without it".to_owned(),
        sys::Errno::ENODEV | sys::Errno::ENXIO => "there is no such device on this host".to_owned(),
        sys::Errno::EACCES | sys::Errno::EPERM | sys::Errno::EROFS => controllers::delegation_cure(&write.controller),
        _ => "the kernel does not accept this value here; cgroup-v2.rst says what it accepts".to_owned(),
    };
    CgroupError::Limit { write: Box::new(write), path: dir.path.to_owned(), cure, source }
}
