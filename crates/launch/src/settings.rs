//! Single values that init sets: names, kernel parameters, clocks, memory policy, keyring, propagation.

use crate::failure::Cause;
use crate::spawn::Target;
use std::os::fd::AsFd;
use wolffia_plan::{MemoryPolicy, Mount, MountKind, NamespaceKind, Sysctl, TimeOffset};
use wolffia_sys::procfs::ProcHandle;
use wolffia_sys::{Errno, hostname, keyring, mount, namespaces, prctl, sched};

/// Changes the whole mount namespace's propagation.
pub fn cut_propagation(propagation: u64) -> Result<(), Cause> {
    Ok(mount::set_root_propagation(propagation)?)
}

pub fn set_hostname(name: &str) -> Result<(), Cause> {
    Ok(hostname::set_hostname(name)?)
}

pub fn set_domainname(name: &str) -> Result<(), Cause> {
    Ok(hostname::set_domainname(name)?)
}

/// A joined namespace may turn out to be the runtime's own: then writing its parameters would change the host (CVE-2022-0532).
pub fn check_sysctls(sysctls: &[Sysctl], targets: &[Target]) -> Result<(), Cause> {
    for sysctl in sysctls {
        let joined = targets.iter().find(|target| target.flags == sysctl.namespace.clone_flag());
        let Some(joined) = joined else { continue };
        let own = namespaces::open_own(sysctl.namespace.file_name())?;
        if namespaces::same_namespace(joined.descriptor.as_fd(), own.as_fd())? {
            return Err(format!("sysctl {:?} is not in a separate kernel namespace", sysctl.path.replace('/', ".")).into());
        }
    }
    Ok(())
}

/// Writes a kernel parameter through the host's /proc as it was opened at the start, never through what the container mounted.
pub fn write_sysctl(proc: &ProcHandle, sysctl: &Sysctl) -> Result<(), Cause> {
    Ok(proc.write(&format!("sys/{}", sysctl.path), sysctl.value.as_bytes())?)
}

/// The offsets can be written only while no process is in the namespace (time_namespaces(7)): so it is made for children first,
/// then entered.
pub fn enter_time_namespace(proc: &ProcHandle, offsets: &[TimeOffset]) -> Result<(), Cause> {
    let flag = NamespaceKind::Time.clone_flag();
    namespaces::unshare(flag)?;
    let lines: String =
        offsets.iter().map(|offset| format!("{} {} {}\n", offset.clock, offset.seconds, offset.nanoseconds)).collect();
    if !lines.is_empty() {
        // The file is root's while the process hides from ptrace. Nobody can use the moment: whoever shares the pid namespace has
        // no rights over this user namespace.
        prctl::set_dumpable(true)?;
        let written = proc.process_path("timens_offsets").and_then(|path| proc.write(&path, lines.as_bytes()));
        prctl::set_dumpable(false)?;
        written?;
    }
    let made = namespaces::open_own("time_for_children")?;
    Ok(namespaces::setns(made.as_fd(), flag)?)
}

/// A kernel without keyrings has none to protect, and a full quota is what every runtime goes on with (runc does).
pub fn take_session_keyring() -> Result<(), Cause> {
    match keyring::new_session() {
        Ok(_) => Ok(()),
        Err(error) if error.is(Errno::ENOSYS) || error.is(Errno::EDQUOT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub fn set_personality(value: u32) -> Result<(), Cause> {
    Ok(sched::personality(value).map(drop)?)
}

pub fn set_memory_policy(policy: &MemoryPolicy) -> Result<(), Cause> {
    Ok(sched::set_mempolicy(policy.mode, &policy.nodes)?)
}

/// What a mount is, for traces and errors.
pub fn mount_words(mount: &Mount) -> String {
    let what = match &mount.what {
        MountKind::Filesystem { fstype, .. } => fstype.clone(),
        MountKind::Bind { source, recursive, .. } => format!("{}bind of {source}", if *recursive { "recursive " } else { "" }),
        MountKind::Remount => "remount".to_owned(),
        MountKind::Propagation => "propagation".to_owned(),
        MountKind::Cgroup(_) => "cgroup".to_owned(),
    };
    format!("{}: {what} on {}", mount.field, mount.destination)
}
