//! Ids, capabilities, scheduling and limits of a process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it goes wrong")]

mod common;

use common::{Step, need_root, run, skip};
use std::process::ExitCode;
use wolffia_sys::caps::{self, CAP_CHOWN, CAP_KILL, CAP_SETPCAP, CAP_SETUID, Sets};
use wolffia_sys::sched::{self, SchedAttr};
use wolffia_sys::{Errno, ids, keyring, prctl, process};

const STEPS: &[Step] = &[
    ("ids_are_given_up_for_good", ids_are_given_up_for_good),
    ("an_id_that_means_nothing_is_refused", an_id_that_means_nothing_is_refused),
    ("capabilities_have_names_and_a_last_one", capabilities_have_names_and_a_last_one),
    ("the_bounding_set_shrinks", the_bounding_set_shrinks),
    ("sets_are_set_in_one_call", sets_are_set_in_one_call),
    ("ambient_needs_permitted_and_inheritable", ambient_needs_permitted_and_inheritable),
    ("kept_capabilities_survive_a_new_user", kept_capabilities_survive_a_new_user),
    ("scheduling_is_set", scheduling_is_set),
    ("memory_policy_is_set", memory_policy_is_set),
    ("limits_are_set", limits_are_set),
    ("the_execution_domain_is_set", the_execution_domain_is_set),
    ("a_session_keyring_is_new_and_closed", a_session_keyring_is_new_and_closed),
];

fn main() -> ExitCode {
    run(STEPS)
}

fn ids_are_given_up_for_good() {
    need_root();
    ids::setgroups(&[1236, 1237]).unwrap();
    ids::setresgid(1235).unwrap();
    ids::setresuid(1234).unwrap();
    assert_eq!(ids::getresuid().unwrap(), (1234, 1234, 1234));
    assert_eq!(ids::getresgid().unwrap(), (1235, 1235, 1235));
    assert_eq!(ids::getgroups().unwrap(), [1236, 1237]);
    let error = ids::setresuid(0).unwrap_err();
    assert_eq!(error.to_string(), "setresuid(0): Operation not permitted (os error 1)");
    assert!(ids::setgroups(&[]).unwrap_err().is(Errno::EPERM));
    assert_eq!(caps::get().unwrap(), Sets::default());
}

fn an_id_that_means_nothing_is_refused() {
    assert!(ids::setresuid(u32::MAX).unwrap_err().is(Errno::EINVAL));
    assert!(ids::setresgid(u32::MAX).unwrap_err().is(Errno::EINVAL));
}

fn capabilities_have_names_and_a_last_one() {
    let last: u32 = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap().trim().parse().unwrap();
    assert_eq!(caps::known().unwrap(), (1 << (last + 1)) - 1);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap().trim();
    assert_eq!(caps::bounding().unwrap(), u64::from_str_radix(bounding, 16).unwrap());
}

fn the_bounding_set_shrinks() {
    need_root();
    caps::drop_bounding(CAP_CHOWN | CAP_KILL).unwrap();
    assert_eq!(caps::bounding().unwrap(), CAP_CHOWN | CAP_KILL);
    caps::set(0, CAP_CHOWN, 0).unwrap();
    caps::drop_bounding(CAP_CHOWN | CAP_KILL).expect("nothing is to be dropped, so no right is needed");
    let error = caps::drop_bounding(CAP_CHOWN).unwrap_err();
    assert_eq!(error.to_string(), "prctl(PR_CAPBSET_DROP, CAP_KILL): Operation not permitted (os error 1)");
}

fn sets_are_set_in_one_call() {
    need_root();
    caps::set(CAP_CHOWN, CAP_CHOWN | CAP_KILL, CAP_KILL).unwrap();
    assert_eq!(caps::get().unwrap(), Sets { effective: CAP_CHOWN, permitted: CAP_CHOWN | CAP_KILL, inheritable: CAP_KILL });
    assert_eq!(caps::effective().unwrap(), CAP_CHOWN);
    let error = caps::set(CAP_SETUID, CAP_SETUID, 0).unwrap_err();
    assert!(error.is(Errno::EPERM), "what was given up does not come back: {error}");
}

fn ambient_needs_permitted_and_inheritable() {
    need_root();
    let error = caps::set_ambient(CAP_CHOWN).unwrap_err();
    assert_eq!(error.to_string(), "prctl(PR_CAP_AMBIENT_RAISE, CAP_CHOWN): Operation not permitted (os error 1)");
    caps::set(CAP_CHOWN, CAP_CHOWN | CAP_KILL, CAP_CHOWN | CAP_KILL).unwrap();
    caps::set_ambient(CAP_CHOWN | CAP_KILL).unwrap();
    assert_eq!(caps::ambient().unwrap(), CAP_CHOWN | CAP_KILL);
    caps::set_ambient(CAP_KILL).unwrap();
    assert_eq!(caps::ambient().unwrap(), CAP_KILL);
}

fn kept_capabilities_survive_a_new_user() {
    need_root();
    caps::set(CAP_SETUID | CAP_SETPCAP, CAP_SETUID | CAP_SETPCAP, 0).unwrap();
    prctl::set_keep_capabilities(true).unwrap();
    ids::setresuid(1234).unwrap();
    let sets = caps::get().unwrap();
    assert_eq!((sets.effective, sets.permitted), (0, CAP_SETUID | CAP_SETPCAP));
}

fn scheduling_is_set() {
    let batch = SchedAttr { policy: libc::SCHED_BATCH as u32, nice: 7, ..SchedAttr::default() };
    sched::sched_setattr(process::getpid(), &batch).unwrap();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // Fields 19 (nice) and 41 (policy) of proc_pid_stat(5); the third is the first after the name.
    assert_eq!((fields[19 - 3], fields[41 - 3]), ("7", "3"));
    let error = sched::sched_setattr(None, &SchedAttr { policy: 99, ..SchedAttr::default() }).unwrap_err();
    assert!(error.is(Errno::EINVAL), "{error}");

    let best_effort = 2 << 13 | 6;
    sched::ioprio_set(None, best_effort).unwrap();
    let shown = std::process::Command::new("ionice").args(["-p", &process::getpid().to_string()]).output().unwrap();
    assert_eq!(String::from_utf8(shown.stdout).unwrap(), "best-effort: prio 6\n");
    assert!(sched::ioprio_set(None, 7 << 13).unwrap_err().is(Errno::EINVAL));

    let before = sched::affinity().unwrap();
    sched::set_affinity(process::getpid(), &before[..1]).unwrap();
    assert_eq!(sched::affinity().unwrap(), before[..1]);
    assert!(sched::set_affinity(None, &[8191]).unwrap_err().is(Errno::EINVAL), "no such CPU");
    assert!(sched::set_affinity(None, &[1 << 40]).unwrap_err().is(Errno::EINVAL), "no mask of that size");
}

fn memory_policy_is_set() {
    const MPOL_BIND: u32 = 2;
    match sched::set_mempolicy(MPOL_BIND, &[0]) {
        Err(error) if error.is(Errno::ENOSYS) => skip("the kernel has no NUMA"),
        outcome => outcome.unwrap(),
    }
    assert!(std::fs::read_to_string("/proc/self/numa_maps").unwrap().contains("bind:0"));
    sched::set_mempolicy(0, &[]).unwrap();
    assert!(!std::fs::read_to_string("/proc/self/numa_maps").unwrap().contains("bind:0"));
    assert!(sched::set_mempolicy(MPOL_BIND, &[]).unwrap_err().is(Errno::EINVAL));
    assert!(sched::set_mempolicy(MPOL_BIND, &[63]).unwrap_err().is(Errno::EINVAL), "no such node");
}

fn limits_are_set() {
    let resource = libc::RLIMIT_NOFILE;
    let (_, hard) = sched::getrlimit(resource).unwrap();
    sched::prlimit(process::getpid(), resource, 64, hard - 1).unwrap();
    assert_eq!(sched::getrlimit(resource).unwrap(), (64, hard - 1));
    assert!(sched::prlimit(None, resource, 65, 64).unwrap_err().is(Errno::EINVAL));
    let error = sched::prlimit(None, 99, 1, 1).unwrap_err();
    assert_eq!(error.to_string(), "prlimit64(0, resource 99, soft 1, hard 1): Invalid argument (os error 22)");
}

fn the_execution_domain_is_set() {
    const LINUX32: u32 = 8;
    let native = rustix::system::uname().machine().to_owned();
    sched::personality(LINUX32).unwrap();
    assert_ne!(rustix::system::uname().machine(), native.as_c_str(), "uname -m names the 32-bit machine");
    assert_eq!(std::fs::read_to_string("/proc/self/personality").unwrap(), "00000008\n");
    sched::personality(0).unwrap();
    assert_eq!(rustix::system::uname().machine(), native.as_c_str());
}

fn a_session_keyring_is_new_and_closed() {
    let serial = match keyring::new_session() {
        Err(error) if error.is(Errno::ENOSYS) => skip("the kernel has no keys"),
        outcome => outcome.unwrap(),
    };
    assert!(serial > 0);
    let keys = std::fs::read_to_string("/proc/keys").unwrap();
    let own = keys.lines().find(|line| line.starts_with(&format!("{serial:08x} "))).unwrap();
    assert!(own.contains(" 3f010000 ") && own.contains("keyring   _ses"), "{own}");
    assert_ne!(keyring::new_session().unwrap(), serial);
}
