//! What the kernel itself offers: system calls, confinement, namespaces of time, mapped mounts.

use super::attempts::{Attempts, SYSTEM_CALLS};
use super::{Facts, Finding};
use crate::read;
use std::path::Path;
use wolffia_sys::{Errno, features};

pub(super) fn release() -> Finding {
    match read::proc("/proc/sys/kernel/osrelease") {
        Ok(release) => {
            Finding::good("kernel", release.trim_end(), "for bug reports; every feature below was tried, not derived from this")
        }
        Err(error) => Finding::limited("kernel", error.to_string(), "its release is for bug reports only"),
    }
}

pub(super) fn system_calls(tried: &Attempts) -> Finding {
    const TOPIC: &str = "system calls";
    let report = match &tried.container {
        Ok(report) => report,
        Err(failure) => {
            return Finding::limited(TOPIC, format!("not tried: {}", failure.text), "they are tried inside a new user namespace");
        }
    };
    let failures: Vec<_> = SYSTEM_CALLS.iter().filter_map(|name| report.of(name).err()).collect();
    if failures.is_empty() {
        let newer = if features::has_open_tree_attr() { "; open_tree_attr is there too" } else { "" };
        return Finding::good(TOPIC, format!("clone3, {} work{newer}", SYSTEM_CALLS.join(", ")), "all that wolffia is built on");
    }
    let found = failures.iter().map(|failure| failure.text.as_str()).collect::<Vec<_>>().join("; ");
    let meaning = if failures.iter().any(|failure| failure.is(Errno::ENOSYS)) {
        "no container can be made: the kernel is older than 5.12, or the filter of an outer container hides the calls"
    } else {
        "no container can be made: a security module or the filter of an outer container forbids the calls"
    };
    Finding::missing(TOPIC, found, meaning)
}

pub(super) fn landlock() -> Finding {
    const TOPIC: &str = "Landlock";
    const MEANING: &str = "what a container asks of Landlock is left out and recorded, or refused where it is required";
    match features::landlock_abi() {
        Ok(abi) => {
            Finding::good(TOPIC, format!("ABI {abi}: {}", landlock_scope(abi)), "Landlock rules can be enforced without root")
        }
        Err(error) if error.is(Errno::EOPNOTSUPP) => {
            let finding = Finding::missing(TOPIC, "built into the kernel and switched off at boot", MEANING);
            // lsm= replaces the whole list, so without the present one no line is safe to give.
            finding.mend(active_modules().map(|list| boot_parameter_lines(&format!("lsm=landlock,{list}"))).unwrap_or_default())
        }
        Err(error) if error.is(Errno::ENOSYS) => {
            Finding::missing(TOPIC, "not in this kernel (CONFIG_SECURITY_LANDLOCK)", MEANING)
        }
        Err(error) => Finding::missing(TOPIC, error.to_string(), MEANING),
    }
}

/// What the kernel documentation (userspace-api/landlock) lists for each ABI, the newest first.
fn landlock_scope(abi: u32) -> &'static str {
    match abi {
        0..=3 => "files",
        4 => "files, TCP ports",
        5 => "files, TCP ports, ioctl on devices",
        _ => "files, TCP ports, ioctl on devices, signals and abstract sockets",
    }
}

pub(super) fn seccomp(facts: &Facts) -> Finding {
    const TOPIC: &str = "seccomp";
    // What the profiles of Docker and Podman use, and user notification.
    const WANTED: [&str; 7] = ["allow", "errno", "kill_process", "kill_thread", "log", "trace", "user_notif"];
    let outer = if facts.status.filtered { "; the filter of an outer container is over this process" } else { "" };
    match read::optional("/proc/sys/kernel/seccomp/actions_avail") {
        Err(error) => Finding::limited(TOPIC, error.to_string(), "which filter actions the kernel has could not be read"),
        Ok(None) => Finding::missing(
            TOPIC,
            "the kernel has no filters (CONFIG_SECCOMP_FILTER)",
            "a container with a seccomp profile is refused; Docker and Podman give every container one",
        ),
        Ok(Some(text)) => {
            let actions: Vec<&str> = text.split_ascii_whitespace().collect();
            let lacking: Vec<&str> = WANTED.into_iter().filter(|wanted| !actions.contains(wanted)).collect();
            let found = format!("actions {}{outer}", actions.join(" "));
            if lacking.is_empty() {
                return Finding::good(TOPIC, found, "every action of the OCI specification can be enforced");
            }
            Finding::limited(TOPIC, found, format!("a profile that uses {} is refused", lacking.join(", ")))
        }
    }
}

pub(super) fn security_modules(facts: &Facts) -> Finding {
    let named = [("AppArmor", facts.host.lsm.apparmor), ("SELinux", facts.host.lsm.selinux)];
    let usable: Vec<&str> = named.iter().filter(|(_, enabled)| *enabled).map(|(name, _)| *name).collect();
    let active = active_modules().map(|list| format!(" (active: {list})")).unwrap_or_default();
    if usable.is_empty() {
        return Finding::good(
            "security modules",
            format!("neither AppArmor nor SELinux{active}"),
            "a configuration that names a profile or a label is refused; none is needed otherwise",
        );
    }
    Finding::good("security modules", format!("{}{active}", usable.join(", ")), "profiles and labels can be enforced")
}

/// The list of /sys/kernel/security/lsm, where securityfs is mounted.
fn active_modules() -> Option<String> {
    let text = read::optional("/sys/kernel/security/lsm").ok()??;
    Some(text.trim_end().to_owned()).filter(|list| !list.is_empty())
}

pub(super) fn time_namespaces(tried: &Attempts) -> Finding {
    const TOPIC: &str = "time namespaces";
    match tried.time_namespace() {
        Ok(()) => Finding::good(TOPIC, "can be made", "containers can have boot and monotonic clocks of their own"),
        Err(failure) => {
            Finding::limited(TOPIC, failure.text, "a container with timeOffsets is refused; all others are not concerned")
        }
    }
}

pub(super) fn idmapped_mounts(facts: &Facts, tried: &Attempts) -> Finding {
    const TOPIC: &str = "idmapped mounts";
    match (&tried.idmap, facts.host.privileged) {
        (Ok(()), true) => {
            Finding::good(TOPIC, "work on the file system of /", "mounts with uidMappings and gidMappings can be made")
        }
        (Ok(()), false) => Finding::limited(
            TOPIC,
            "work on file systems that the container mounts itself (tmpfs)",
            "a bind mount of the host's files cannot be mapped: the kernel wants CAP_SYS_ADMIN where that file system was mounted",
        ),
        (Err(failure), _) => Finding::limited(TOPIC, failure.text.as_str(), "a mount with uidMappings or gidMappings is refused"),
    }
}

/// The lines that add a parameter to the kernel's command line, with the tool that is here.
pub(super) fn boot_parameter_lines(parameter: &str) -> Vec<String> {
    if Path::new("/usr/sbin/grubby").exists() {
        return vec![format!("sudo grubby --update-kernel=ALL --args='{parameter}'"), "sudo reboot".to_owned()];
    }
    if !Path::new("/usr/sbin/update-grub").exists() {
        return vec![format!("{parameter}   # to be added to the kernel's command line by the boot loader")];
    }
    vec![
        "sudo mkdir -p /etc/default/grub.d".to_owned(),
        format!("echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {parameter}\"' | sudo tee -a /etc/default/grub.d/wolffia.cfg"),
        "sudo update-grub && sudo reboot".to_owned(),
    ]
}
