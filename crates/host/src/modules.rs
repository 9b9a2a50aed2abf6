//! Which security modules can carry out a profile or a label.

use crate::{HostError, read};
use wolffia_plan::host::Lsm;

/// statfs(2), `SELINUX_MAGIC`.
const SELINUX_MAGIC: u64 = 0xf97c_ff8c;

/// AppArmor answers by its module parameter, which is there whether or not securityfs is mounted; SELinux is usable
/// exactly when its file system is mounted (selinux(8)).
pub(crate) fn enabled() -> Result<Lsm, HostError> {
    let parameter = read::optional("/sys/module/apparmor/parameters/enabled")?;
    Ok(Lsm {
        apparmor: parameter.is_some_and(|text| text.starts_with('Y')),
        selinux: read::file_system("/sys/fs/selinux")? == Some(SELINUX_MAGIC),
    })
}
