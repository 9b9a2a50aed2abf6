//! Where the resctrl file system is mounted.

use crate::{HostError, read};
use std::path::PathBuf;
use wolffia_plan::HostPath;

/// Where the kernel keeps a place for it (Documentation/filesystems/resctrl.rst).
const USUAL: &str = "/sys/fs/resctrl";
/// statfs(2), `RDTGROUP_SUPER_MAGIC`.
const MAGIC: u64 = 0x0765_5821;

/// The usual place, else wherever it is mounted.
pub(crate) fn mount() -> Result<Option<HostPath>, HostError> {
    match read::file_system(USUAL)? {
        // No such place: the kernel or the processor has no resctrl.
        None => Ok(None),
        Some(MAGIC) => Ok(HostPath::new(USUAL)),
        Some(_) => Ok(read::optional("/proc/self/mountinfo")?.and_then(|text| find(&text))),
    }
}

/// proc_pid_mountinfo(5): the mount point is the fifth field, the type the first after a lone hyphen.
fn find(mountinfo: &str) -> Option<HostPath> {
    let line = mountinfo.lines().find(|line| line.split(" - ").nth(1).is_some_and(|rest| rest.starts_with("resctrl ")))?;
    line.split(' ').nth(4).filter(|path| !path.contains('\\')).and_then(|path| HostPath::new(PathBuf::from(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_place_is_found() {
        let text = "22 1 0:21 / /sys rw - sysfs sysfs rw\n30 22 0:30 / /rdt rw,nosuid shared:9 - resctrl resctrl rw,mba_MBps\n";
        assert_eq!(find(text), HostPath::new("/rdt"));
        assert_eq!(find("22 1 0:21 / /sys rw - sysfs resctrl rw\n"), None);
    }
}
