//! The process that waits beside a container shuts itself in: from then on it passes bytes and signals on, and deletes.
//!
//! It reads what a hostile program writes, with its caller's rights. Whoever found a hole in that finds no way to run a program, to
//! open a socket, to look into a process or to mount, and no files but those that are to be deleted.

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;
use std::path::Path;
use wolffia::Remains;

/// What a process that only waits has to do with the kernel: bytes, signals, memory, its end.
const TO_WAIT: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fcntl,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_pidfd_send_signal,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_waitid,
    libc::SYS_write,
    libc::SYS_writev,
    // A test build kills itself at a step.
    #[cfg(feature = "faults")]
    libc::SYS_kill,
];

/// For the records of `--log`, which are appended to the file one by one.
const TO_LOG: &[i64] = &[libc::SYS_openat, libc::SYS_lseek];

/// For the container's directory and its cgroup.
const TO_DELETE: &[i64] = &[
    libc::SYS_fgetxattr,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_pidfd_open,
    // The libraries of younger architectures take `unlinkat`.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    libc::SYS_statx,
    libc::SYS_unlinkat,
];

/// What this process has still to do.
#[derive(Debug, Clone, Copy)]
pub struct Duties<'a> {
    /// It copies between two terminals.
    pub terminal: bool,
    /// What it deletes.
    pub remains: Option<&'a Remains>,
    /// The file that it appends records to.
    pub log: Option<&'a Path>,
}

/// Shuts this process in for good.
///
/// The container runs already, so what the kernel does not have is done without, and said in the log.
pub fn myself(duties: Duties<'_>) {
    if duties.remains.is_some_and(|remains| remains.runs_programs) {
        return crate::log::debug("the waiting process is not confined, because its poststop hooks would be too");
    }
    if duties.remains.is_some_and(|remains| remains.asks_systemd) {
        return crate::log::debug(
            "the waiting process is not confined, because it asks systemd to take the container's scope away",
        );
    }
    let files = files(duties).unwrap_or_else(|error| format!("without Landlock: {error}"));
    let calls = match calls(duties) {
        Ok(()) => "a filter of system calls".to_owned(),
        Err(error) => format!("without a filter: {error}"),
    };
    crate::log::debug(&format!("the waiting process is confined: {files}; {calls}"));
}

/// Any file may be used only as the rules say. Descriptors that are open stay what they are.
fn files(duties: Duties<'_>) -> anyhow::Result<String> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let change = read | AccessFs::WriteFile | AccessFs::RemoveFile | AccessFs::RemoveDir;
    let mut rules = vec![(Path::new("/proc"), AccessFs::ReadFile.into())];
    if let Some(remains) = duties.remains {
        rules.push((&remains.root, AccessFs::RemoveDir.into()));
        rules.push((&remains.directory, change));
        if let Some(cgroup) = &remains.cgroup {
            rules.push((&cgroup.mount, read | AccessFs::RemoveDir));
            rules.push((&cgroup.directory, change));
        }
        if let Some(mount) = &remains.resctrl {
            rules.push((mount, read | AccessFs::RemoveDir));
        }
        if remains.legacy_cgroups {
            rules.push((Path::new("/sys/fs/cgroup"), read | AccessFs::RemoveDir));
        }
    }
    if let Some(directory) = duties.log.and_then(Path::parent) {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        rules.push((directory, AccessFs::WriteFile | AccessFs::MakeReg));
    }
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    let mut ruleset = ruleset.handle_access(AccessFs::from_all(ABI::V5))?.create()?;
    for (path, access) in rules {
        // One that is gone by now needs no rule.
        if let Ok(directory) = PathFd::new(path) {
            ruleset = ruleset.add_rule(PathBeneath::new(directory, access))?;
        }
    }
    Ok(match ruleset.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => "Landlock".to_owned(),
        RulesetStatus::PartiallyEnforced => "as much of Landlock as this kernel has".to_owned(),
        RulesetStatus::NotEnforced => "without Landlock, which this kernel does not have".to_owned(),
    })
}

/// What is not on the list fails with EPERM: then an error is reported, while a killed process would leave the container to itself.
fn calls(duties: Duties<'_>) -> anyhow::Result<()> {
    let mut calls: BTreeMap<i64, Vec<SeccompRule>> = TO_WAIT.iter().map(|call| (*call, Vec::new())).collect();
    if duties.log.is_some() {
        calls.extend(TO_LOG.iter().map(|call| (*call, Vec::new())));
    }
    if duties.remains.is_some() {
        calls.extend(TO_DELETE.iter().map(|call| (*call, Vec::new())));
    }
    if duties.terminal {
        calls.insert(libc::SYS_ioctl, terminal_requests()?);
    }
    // Memory, but none that holds instructions.
    let executable = SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64);
    calls
        .insert(libc::SYS_mmap, vec![SeccompRule::new(vec![SeccompCondition::new(2, SeccompCmpArgLen::Dword, executable, 0)?])?]);
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let program: BpfProgram = SeccompFilter::new(calls, refused, SeccompAction::Allow, architecture)?.try_into()?;
    Ok(seccompiler::apply_filter(&program)?)
}

/// The kernel takes the low half of a request.
fn terminal_requests() -> anyhow::Result<Vec<SeccompRule>> {
    let requests = [libc::TCGETS, libc::TCSETS, libc::TCGETS2, libc::TCSETS2, libc::TIOCGWINSZ, libc::TIOCSWINSZ];
    let rule = |request: libc::Ioctl| -> anyhow::Result<SeccompRule> {
        let equal = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, request)?;
        Ok(SeccompRule::new(vec![equal])?)
    };
    requests.into_iter().map(rule).collect()
}
