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

/// A kernel without keyrings has none to protect. A full quota, which anybody of the same user can fill, is an error as it is for runc:
/// the container would have its caller's keyring.
pub fn take_session_keyring() -> Result<(), Cause> {
    match keyring::new_session() {
        Ok(_) => Ok(()),
        Err(error) if error.is(Errno::ENOSYS) => Ok(()),
        Err(error) if error.is(Errno::EDQUOT) => {
            let cure = "the user has no more kernel keys: see kernel.keys.maxkeys, or use --no-new-keyring";
            Err(Cause::from(error).context(format!("unable to join session keyring: {cure}")))
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    /// Nobody's, whose keys are nobody's either.
    const USER: u32 = 54_321;
    const MARK: &str = "WOLFFIA_TESTS_FULL_KEYRING";
    const FILL: &str = r#"
        syscall(250, 1, 0) >= 0 or die "skip: $!";
        for (my $i = 0; ; $i++) {
            my ($type, $name, $text) = ("user\0", "key $i\0", "x");
            last if syscall(248, $type, $name, $text, 1, -3) < 0 || $i > 100000;
        }
        $| = 1;
        print "full";
        sleep 60;
    "#;

    #[test]
    fn a_full_quota_is_no_reason_to_keep_the_callers_keyring() {
        if std::env::var_os(MARK).is_some() {
            // The first is granted beyond the quota (install_session_keyring_to_cred() in the kernel).
            keyring::new_session().unwrap();
            let refused = take_session_keyring().unwrap_err();
            assert!(refused.errno == Errno::EDQUOT.0 && refused.text.contains("--no-new-keyring"), "{refused:?}");
            return;
        }
        if wolffia_sys::ids::geteuid() != 0 || !cfg!(target_arch = "x86_64") || !std::path::Path::new("/usr/bin/perl").exists() {
            eprintln!("skipped: needs root, x86_64 and perl");
            return;
        }
        let mut filler = Command::new("perl").args(["-e", FILL]).uid(USER).stdout(Stdio::piped()).spawn().unwrap();
        let mut told = [0; 4];
        let full = filler.stdout.take().unwrap().read_exact(&mut told).is_ok();
        // Through a descriptor, because the way to the program may be closed to that user.
        let program = std::fs::File::open("/proc/self/exe").unwrap();
        let words = ["--exact", "settings::tests::a_full_quota_is_no_reason_to_keep_the_callers_keyring"];
        let mut child = Command::new("/proc/self/fd/0");
        let outcome = child.args(words).env(MARK, "1").uid(USER).stdin(program).output();
        filler.kill().unwrap();
        filler.wait().unwrap();
        if !full {
            eprintln!("skipped: the kernel has no keys");
            return;
        }
        let outcome = outcome.unwrap();
        assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stdout));
    }
}
