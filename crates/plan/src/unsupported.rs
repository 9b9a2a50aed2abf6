//! What this version does not carry out: refused by name, because a limit or a filter that is passed over is a hole.

use crate::host::Host;
use crate::{Recorded, Refusal, capabilities};
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

/// Without a device program, CAP_MKNOD opens every device of the host: it is withheld from a container that is to be
/// kept from some, unless a user namespace makes it harmless.
pub(crate) fn withheld_capabilities(linux: &oci::Linux, in_user_namespace: bool) -> u64 {
    let rules = linux.resources().iter().flat_map(|resources| resources.devices().iter().flatten());
    if !in_user_namespace && rules.into_iter().any(|rule| !rule.allow()) { capabilities::MKNOD } else { 0 }
}

/// Refuses every limit; a value that runc reads as no limit is none here either.
///
/// # Errors
/// The first limit.
pub(crate) fn check_resources(given: Option<&oci::LinuxResources>) -> Result<Vec<Recorded>, Refusal> {
    let Some(given) = given else {
        return Ok(Vec::new());
    };
    let asks = [
        ("memory", given.memory().as_ref().is_some_and(limits_memory)),
        ("cpu", given.cpu().as_ref().is_some_and(limits_cpu)),
        // -1 is no limit; 0 is one (config-linux.md, 1.3).
        ("pids", given.pids().as_ref().is_some_and(|pids| pids.limit() >= 0)),
        ("blockIO", given.block_io().as_ref().is_some_and(limits_io)),
        ("hugepageLimits", given.hugepage_limits().as_ref().is_some_and(|limits| !limits.is_empty())),
        (
            "network",
            given.network().as_ref().is_some_and(|network| {
                network.class_id().unwrap_or(0) != 0 || network.priorities().iter().flatten().next().is_some()
            }),
        ),
        ("rdma", given.rdma().as_ref().is_some_and(|limits| !limits.is_empty())),
        ("unified", given.unified().as_ref().is_some_and(|files| !files.is_empty())),
    ];
    if let Some((name, _)) = asks.iter().find(|(_, asked)| *asked) {
        return Err(Refusal::new(
            format!("/linux/resources/{name}"),
            format!("limits of {name} are not in this version"),
            format!("remove linux.resources.{name}, and limit the cgroup that the runtime is called in"),
        ));
    }
    let devices = given.devices().as_ref().is_some_and(|rules| !rules.is_empty());
    let recorded = devices.then(|| Recorded {
        field: "/linux/resources/devices".to_owned(),
        reason:
            "device access is bounded by the nodes that exist and the missing CAP_MKNOD, not by a device program, in this version"
                .to_owned(),
    });
    Ok(recorded.into_iter().collect())
}

fn limits_memory(memory: &oci::LinuxMemory) -> bool {
    // Limits of kernel memory are not listed: the specification lets a runtime pass over them, and kernels do since 5.16.
    [memory.limit(), memory.reservation(), memory.swap()].iter().flatten().any(|limit| !matches!(limit, 0 | -1))
        || memory.swappiness().is_some()
        || memory.disable_oom_killer() == Some(true)
}

fn limits_cpu(cpu: &oci::LinuxCpu) -> bool {
    let list = |list: &Option<String>| list.as_ref().is_some_and(|list| !list.is_empty());
    [cpu.shares(), cpu.burst(), cpu.period(), cpu.realtime_period()].iter().flatten().any(|value| *value != 0)
        || [cpu.quota(), cpu.realtime_runtime(), cpu.idle()].iter().flatten().any(|value| !matches!(value, 0 | -1))
        || list(cpu.cpus())
        || list(cpu.mems())
}

fn limits_io(io: &oci::LinuxBlockIo) -> bool {
    let throttles = [
        io.throttle_read_bps_device(),
        io.throttle_write_bps_device(),
        io.throttle_read_iops_device(),
        io.throttle_write_iops_device(),
    ];
    [io.weight(), io.leaf_weight()].iter().flatten().any(|weight| *weight != 0)
        || io.weight_device().iter().flatten().next().is_some()
        || throttles.iter().any(|devices| devices.iter().flatten().next().is_some())
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
