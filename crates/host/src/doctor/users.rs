//! User namespaces, and procfs inside them: what a rootless container begins with.

use super::attempts::{Attempts, IDS, PROC, TMPFS};
use super::trial::Failure;
use super::{Facts, Finding};
use crate::read;
use wolffia_sys::Errno;

pub(super) fn user_namespaces(facts: &Facts, tried: &Attempts) -> Finding {
    const TOPIC: &str = "user namespaces";
    let Err(failure) = tried.user_namespace() else {
        return Finding::good(TOPIC, "can be made, with ids mapped and file systems mounted inside", "containers need no root");
    };
    let (cause, mend) = cause(facts, &failure);
    let found = format!("{} ({cause})", failure.text);
    if facts.is_host_root() {
        return Finding::limited(TOPIC, found, "only containers without a user namespace, for root alone").mend(mend);
    }
    Finding::missing(TOPIC, found, "this user can make no container at all").mend(mend)
}

/// The wall that a new user namespace ran into, as far as it can be told, and the lines that open it.
fn cause(facts: &Facts, failure: &Failure) -> (&'static str, Vec<String>) {
    let setting = |name: &str| read::optional(&format!("/proc/sys/{name}")).ok().flatten().map(|text| text.trim().to_owned());
    let is = |name, value: &str| setting(name).is_some_and(|found| found == value);
    if failure.is(Errno::ENOSPC) || is("user/max_user_namespaces", "0") {
        return (
            "user.max_user_namespaces, here or in an outer container, allows no more",
            sysctl_lines("user.max_user_namespaces", "15000"),
        );
    }
    if failure.is_denied() && is("kernel/unprivileged_userns_clone", "0") {
        return ("kernel.unprivileged_userns_clone is 0", sysctl_lines("kernel.unprivileged_userns_clone", "1"));
    }
    if failure.is_denied() && is("kernel/apparmor_restrict_unprivileged_userns", "1") {
        return ("kernel.apparmor_restrict_unprivileged_userns is 1 and no AppArmor profile allows wolffia", apparmor_lines());
    }
    if facts.status.filtered && (failure.is_denied() || failure.is(Errno::ENOSYS)) {
        return ("the seccomp filter of an outer container; ask for one that allows clone3, unshare and mount", Vec::new());
    }
    if failure.is(Errno::EINVAL) || failure.is(Errno::ENOSYS) {
        return ("the kernel has no user namespaces (CONFIG_USER_NS) or no clone3", Vec::new());
    }
    if failure.is(Errno::EPERM) {
        return ("a chroot, a security module or an outer container forbids it", Vec::new());
    }
    ("no known cause", Vec::new())
}

fn sysctl_lines(name: &str, value: &str) -> Vec<String> {
    vec![format!("echo '{name} = {value}' | sudo tee /etc/sysctl.d/60-wolffia-{name}.conf"), "sudo sysctl --system".to_owned()]
}

/// Installs a profile that confines nothing and allows `userns`: Ubuntu's own way for programs that make user namespaces.
fn apparmor_lines() -> Vec<String> {
    let binary = binary();
    vec![
        format!(
            "printf '%s\\n' 'abi <abi/4.0>,' 'include <tunables/global>' 'profile wolffia {binary} flags=(unconfined) {{' \
             '  userns,' '  include if exists <local/wolffia>' '}}' | sudo tee /etc/apparmor.d/wolffia"
        ),
        "sudo apparmor_parser --replace /etc/apparmor.d/wolffia".to_owned(),
    ]
}

/// The path that a profile attaches to: this program's, if it can stand in a profile and a shell line as it is.
fn binary() -> String {
    let plain =
        |path: &str| path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._+-".contains(&byte));
    let own = std::env::current_exe().ok().and_then(|path| path.to_str().map(str::to_owned));
    own.filter(|path| plain(path)).unwrap_or_else(|| "/usr/local/bin/wolffia".to_owned())
}

pub(super) fn proc_mount(tried: &Attempts) -> Finding {
    const TOPIC: &str = "/proc in containers";
    let outcome = match &tried.container {
        Ok(report) => report.of(PROC),
        Err(failure) => Err(failure.clone()),
    };
    let Err(failure) = outcome else {
        return Finding::good(TOPIC, "a new procfs can be mounted", "containers see their own processes");
    };
    let meaning = "a container with a new pid namespace cannot have its own /proc";
    // The kernel lets a user namespace mount procfs only where the outer one is wholly visible (fs/namespace.c, mount_too_revealing).
    let covered = read::proc("/proc/self/mountinfo").map(|text| covered_entries(&text)).unwrap_or_default();
    if !failure.is(Errno::EPERM) || covered.is_empty() {
        return Finding::missing(TOPIC, failure.text, meaning);
    }
    Finding::missing(TOPIC, format!("{}; an outer container covers {}", failure.text, covered.join(", ")), meaning).mend([
        "docker run --security-opt systempaths=unconfined ...   # the outer container".to_owned(),
        "podman run --security-opt unmask=ALL ...   # the outer container".to_owned(),
    ])
}

/// Mount points below /proc, from the fifth field of /proc/self/mountinfo (proc_pid_mountinfo(5)).
fn covered_entries(mountinfo: &str) -> Vec<String> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    points.filter(|point| point.starts_with("/proc/")).map(str::to_owned).collect()
}

impl Attempts {
    /// Whether a user namespace can be made and used: AppArmor lets it be made and then takes its capabilities away.
    fn user_namespace(&self) -> Result<(), Failure> {
        self.user.clone()?;
        let report = self.container.as_ref().map_err(Clone::clone)?;
        report.of(IDS)?;
        report.of(TMPFS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_are_mount_points_below_proc_only() {
        let text = "22 27 0:21 / /proc rw - proc proc rw\n23 22 0:22 /null /proc/kcore ro - tmpfs t rw\n\
            24 22 0:23 / /process rw - tmpfs t rw\n25 22 0:21 /sys /proc/sys ro - proc proc rw\n";
        assert_eq!(covered_entries(text), ["/proc/kcore", "/proc/sys"]);
    }

    #[test]
    fn the_profile_line_writes_a_whole_profile() {
        let lines = apparmor_lines();
        assert!(lines[0].contains("flags=(unconfined) {' '  userns,'") && lines[0].contains("'}' | sudo tee"), "{}", lines[0]);
    }
}
