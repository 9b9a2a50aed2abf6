//! Names that security modules give to processes and files: AppArmor profiles, SELinux labels.

use crate::host::Host;
use crate::{FsOption, Mount, MountKind, Refusal};
use serde::{Deserialize, Serialize};
use wolffia_spec::oci;

/// What a process is called from its exec on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Labels {
    pub apparmor: Option<String>,
    pub selinux: Option<String>,
}

/// Reads `apparmorProfile` and `selinuxLabel`.
///
/// # Errors
/// A name for a security module that is not there, or one that could not be written as one.
pub(crate) fn plan_labels(field: &str, process: &oci::Process, host: &Host) -> Result<Labels, Refusal> {
    let apparmor = given(format!("{field}/apparmorProfile"), process.apparmor_profile())?;
    if apparmor.is_some() && !host.lsm.apparmor {
        return Err(Refusal::new(
            format!("{field}/apparmorProfile"),
            "apparmor: config provided but apparmor not supported",
            "remove apparmorProfile, or enable AppArmor on the host",
        ));
    }
    let selinux = plan_selinux(format!("{field}/selinuxLabel"), process.selinux_label(), host)?;
    Ok(Labels { apparmor, selinux })
}

/// Reads `linux.mountLabel`.
///
/// # Errors
/// As [`plan_labels`].
pub(crate) fn plan_mount_label(linux: &oci::Linux, host: &Host) -> Result<Option<String>, Refusal> {
    plan_selinux("/linux/mountLabel".to_owned(), linux.mount_label(), host)
}

/// Labels the file systems that are mounted anew, as runc does: not those that label their own files (proc, sysfs, cgroups), and
/// mqueue by its root directory, because every mount of it is one that the kernel has already.
pub(crate) fn label_mounts(mounts: &mut [Mount], label: &str) {
    for mount in mounts {
        let MountKind::Filesystem { fstype, options, .. } = &mut mount.what else { continue };
        match fstype.as_str() {
            "proc" | "sysfs" => {}
            "mqueue" => mount.root_label = Some(label.to_owned()),
            _ => options.push(FsOption::Value { key: "context".to_owned(), value: label.to_owned() }),
        }
    }
}

fn plan_selinux(field: String, label: &Option<String>, host: &Host) -> Result<Option<String>, Refusal> {
    let label = given(field.clone(), label)?;
    if label.is_some() && !host.lsm.selinux {
        return Err(Refusal::new(
            field,
            "selinux label is specified in config, but selinux is disabled or not supported",
            "remove the label",
        ));
    }
    Ok(label)
}

fn given(field: String, name: &Option<String>) -> Result<Option<String>, Refusal> {
    let name = name.as_ref().filter(|name| !name.is_empty());
    match name.filter(|name| name.contains(|c: char| c.is_control() || c == '"')) {
        Some(name) => Err(Refusal::new(field, format!("{name:?} holds a control character or a quote"), "remove it")),
        None => Ok(name.cloned()),
    }
}
