//! What this version does not carry out: refused by name, because a limit or a filter that is passed over is a hole.

use crate::Refusal;
use crate::host::Host;
use wolffia_spec::oci;

/// Refuses the properties of `linux` that ask for something that this version or this host cannot do.
///
/// # Errors
/// The first of them.
pub(crate) fn check_linux(linux: &oci::Linux, host: &Host) -> Result<(), Refusal> {
    if linux.mount_label().as_ref().is_some_and(|label| !label.is_empty()) {
        return Err(selinux("/linux/mountLabel".to_owned(), host));
    }
    if linux.intel_rdt().is_some() {
        return Err(Refusal::new(
            "/linux/intelRdt",
            "intelRdt is specified in config, but Intel RDT is not in this version",
            "remove linux.intelRdt",
        ));
    }
    Ok(())
}

/// Refuses the properties of a process that ask for something that this version or this host cannot do.
///
/// # Errors
/// The first of them.
pub(crate) fn check_process(field: &str, process: &oci::Process, host: &Host) -> Result<(), Refusal> {
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if given(process.selinux_label()) {
        return Err(selinux(format!("{field}/selinuxLabel"), host));
    }
    if given(process.apparmor_profile()) {
        let (reason, cure) = match host.lsm.apparmor {
            true => (
                "AppArmor profiles are not in this version",
                "remove apparmorProfile: docker and podman do with --security-opt apparmor=unconfined",
            ),
            false => {
                ("apparmor: config provided but apparmor not supported", "remove apparmorProfile, or enable AppArmor on the host")
            }
        };
        return Err(Refusal::new(format!("{field}/apparmorProfile"), reason, cure));
    }
    Ok(())
}

fn selinux(field: String, host: &Host) -> Refusal {
    match host.lsm.selinux {
        true => Refusal::new(
            field,
            "SELinux labels are not in this version",
            "remove the label: podman does with --security-opt label=disable",
        ),
        false => Refusal::new(
            field,
            "selinux label is specified in config, but selinux is disabled or not supported",
            "remove the label",
        ),
    }
}
