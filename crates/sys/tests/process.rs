//! Making, waiting for, signalling and becoming processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it goes wrong")]

mod common;

use common::scratch::Scratch;
use common::{Step, in_child, need_root, run, skip, start};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use wolffia_sys::mount::FsContext;
use wolffia_sys::pidfd::{self, ExitStatus};
use wolffia_sys::process::{self, CloneRequest, Forked, SingleThreaded};
use wolffia_sys::{Errno, Pid, fd, memfd, prctl, sched, signals, socket};

const STEPS: &[Step] = &[
    ("a_thread_is_noticed", a_thread_is_noticed),
    ("a_child_has_pid_and_pidfd", a_child_has_pid_and_pidfd),
    ("a_new_pid_namespace_begins_with_1", a_new_pid_namespace_begins_with_1),
    ("a_sibling_is_the_parents_child", a_sibling_is_the_parents_child),
    ("a_child_starts_in_its_cgroup", a_child_starts_in_its_cgroup),
    ("flags_that_share_memory_are_refused", flags_that_share_memory_are_refused),
    ("exec_by_path", exec_by_path),
    ("exec_of_a_sealed_copy", exec_of_a_sealed_copy),
    ("exec_failure_names_the_path", exec_failure_names_the_path),
    ("a_signal_ends_a_child", a_signal_ends_a_child),
    ("waiting_is_bounded", waiting_is_bounded),
    ("a_subreaper_reaps_orphans", a_subreaper_reaps_orphans),
    ("a_child_dies_with_its_parent", a_child_dies_with_its_parent),
    ("blocked_signals_are_read", blocked_signals_are_read),
    ("ignored_signals_are_reset", ignored_signals_are_reset),
    ("a_session_has_its_leader", a_session_has_its_leader),
    ("a_directory_outside_the_root_is_no_cwd", a_directory_outside_the_root_is_no_cwd),
    ("attributes_show_in_proc", attributes_show_in_proc),
    ("descriptors_close_on_exec", descriptors_close_on_exec),
    ("descriptors_beyond_the_limit_are_an_error", descriptors_beyond_the_limit_are_an_error),
];

fn main() -> ExitCode {
    run(STEPS)
}

fn a_thread_is_noticed() {
    SingleThreaded::check().expect("one thread");
    // What the check falls back on where unshare(2) is filtered.
    let tasks = || fd::path_stat("/proc/self/task").unwrap().links;
    assert_eq!(tasks(), 3);
    let (stop, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || wait.recv());
    let error = SingleThreaded::check().expect_err("two threads");
    assert!(error.is(Errno::EBUSY), "{error}");
    assert_eq!(tasks(), 4);
    drop(stop);
    thread.join().unwrap().expect_err("the channel is closed");
    // The thread leaves its group a moment after it can be joined.
    let deadline = Instant::now() + Duration::from_secs(5);
    while SingleThreaded::check().is_err() {
        assert!(Instant::now() < deadline, "still two threads");
    }
}

fn a_child_has_pid_and_pidfd() {
    let own = process::getpid();
    let alone = SingleThreaded::check().unwrap();
    let Forked::Parent { pid, pidfd } = process::clone3(&alone, &CloneRequest::default()).unwrap() else {
        process::exit(if process::getppid() == Some(own) { 7 } else { 1 });
    };
    assert_eq!(pidfd::wait(&pidfd).unwrap(), ExitStatus::Exited(7));
    assert_ne!(pid, own);
    let gone = pidfd::wait(&pidfd).unwrap_err();
    assert!(gone.is(Errno::ECHILD), "{gone}");
    let gone = pidfd::open(pid).unwrap_err();
    assert!(gone.is(Errno::ESRCH), "{gone}");
}

fn a_new_pid_namespace_begins_with_1() {
    common::within(libc::CLONE_NEWPID as u64, || {
        assert_eq!(process::getpid().get(), 1);
        assert_eq!(process::getppid(), None);
    });
}

/// The bridge of joining namespaces: its child must be the runtime's own.
fn a_sibling_is_the_parents_child() {
    let own = process::getpid();
    let (ours, theirs) = socket::seqpacket_pair().unwrap();
    let bridge = start(&CloneRequest::default(), || {
        let request = CloneRequest { sibling: true, ..CloneRequest::default() };
        match process::clone3(&SingleThreaded::check().unwrap(), &request).unwrap() {
            Forked::Child => process::exit(if process::getppid() == Some(own) { 9 } else { 1 }),
            Forked::Parent { pid, pidfd } => {
                socket::send(&theirs, &pid.get().to_ne_bytes(), &[pidfd.as_fd()]).unwrap();
            }
        }
    });
    let (bytes, fds) = socket::recv(&ours, 16).unwrap().expect("a message");
    let sibling = Pid::from_raw(i32::from_ne_bytes(bytes.try_into().unwrap())).unwrap();
    assert_eq!(pidfd::wait(&bridge).unwrap(), ExitStatus::Exited(0));
    assert_eq!(fds.len(), 1, "pidfd of {sibling}");
    assert_eq!(pidfd::wait(&fds[0]).unwrap(), ExitStatus::Exited(9));
}

fn a_child_starts_in_its_cgroup() {
    need_root();
    // A detached mount of the hierarchy: nothing is mounted anywhere on the machine.
    let context = FsContext::open("cgroup2").unwrap();
    context.create().unwrap();
    let hierarchy = context.mount(0).unwrap();
    let name = format!("wolffia-sys-{}", process::getpid());
    fd::mkdirat(&hierarchy, &name, 0o755).unwrap();
    let cgroup = fd::openat(&hierarchy, &name, fd::OFlags::PATH | fd::OFlags::DIRECTORY, 0).unwrap();
    let request = CloneRequest { cgroup: Some(cgroup.as_fd()), ..CloneRequest::default() };
    let status = in_child(&request, || {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        assert!(own.lines().any(|line| line.starts_with("0::") && line.ends_with(&name)), "{own}");
    });
    fd::unlinkat(&hierarchy, &name, true).unwrap();
    assert_eq!(status, ExitStatus::Exited(0));
}

fn flags_that_share_memory_are_refused() {
    let request = CloneRequest { flags: libc::CLONE_VM as u64, ..CloneRequest::default() };
    let error = process::clone3(&SingleThreaded::check().unwrap(), &request).unwrap_err();
    assert!(error.is(Errno::EINVAL), "{error}");
}

fn words(words: &[&str]) -> Vec<CString> {
    words.iter().map(|word| CString::new(*word).unwrap()).collect()
}

fn exec_by_path() {
    let status = in_child(&CloneRequest::default(), || {
        let env = words(&["CODE=5"]);
        panic!("{}", process::execve(c"/bin/sh", &words(&["sh", "-c", "exit $CODE"]), &env));
    });
    assert_eq!(status, ExitStatus::Exited(5));
}

fn exec_of_a_sealed_copy() {
    let shell = fd::open("/bin/sh", fd::OFlags::RDONLY, 0).unwrap();
    let copy = memfd::sealed_copy(&shell, "sh").unwrap();
    let status = in_child(&CloneRequest::default(), || {
        let error = process::execve_fd(copy.as_fd(), &words(&["sh", "-c", "exit 6"]), &[]);
        panic!("{error}");
    });
    assert_eq!(status, ExitStatus::Exited(6));
}

fn exec_failure_names_the_path() {
    let error = process::execve(c"/nowhere/sh", &words(&["sh"]), &[]);
    assert_eq!(error.to_string(), "execve(\"/nowhere/sh\"): No such file or directory (os error 2)");
}

fn a_signal_ends_a_child() {
    let sleeper = start(&CloneRequest::default(), sleep);
    assert_eq!(pidfd::try_wait(&sleeper).unwrap(), None);
    pidfd::send_signal(&sleeper, 0).unwrap();
    pidfd::send_signal(&sleeper, libc::SIGTERM).unwrap();
    let status = pidfd::wait(&sleeper).unwrap();
    assert_eq!(status, ExitStatus::Signaled(libc::SIGTERM));
    assert_eq!(status.code(), 143);
    let gone = pidfd::send_signal(&sleeper, libc::SIGTERM).unwrap_err();
    assert!(gone.is(Errno::ESRCH), "{gone}");
}

fn waiting_is_bounded() {
    let sleeper = start(&CloneRequest::default(), sleep);
    let before = Instant::now();
    assert!(!pidfd::wait_exit(&sleeper, Some(Duration::from_millis(50))).unwrap());
    assert!(before.elapsed() >= Duration::from_millis(50));
    pidfd::send_signal(&sleeper, libc::SIGKILL).unwrap();
    assert!(pidfd::wait_exit(&sleeper, Some(Duration::from_secs(30))).unwrap());
    assert_eq!(pidfd::try_wait(&sleeper).unwrap(), Some(ExitStatus::Signaled(libc::SIGKILL)));
}

fn sleep() {
    std::thread::sleep(Duration::from_secs(50));
}

/// Reaps until `count` processes are reaped.
fn reap(count: usize) -> Vec<ExitStatus> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut reaped = Vec::new();
    while reaped.len() < count {
        reaped.extend(pidfd::reap_any_children().unwrap().into_iter().map(|(_pid, status)| status));
        assert!(Instant::now() < deadline, "{reaped:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
    reaped
}

fn a_subreaper_reaps_orphans() {
    assert_eq!(pidfd::reap_any_children().unwrap(), []);
    prctl::set_child_subreaper(true).unwrap();
    drop(start(&CloneRequest::default(), || {
        drop(start(&CloneRequest::default(), || process::exit(4)));
        process::exit(3);
    }));
    let mut codes: Vec<i32> = reap(2).into_iter().map(ExitStatus::code).collect();
    codes.sort_unstable();
    assert_eq!(codes, [3, 4]);
}

fn a_child_dies_with_its_parent() {
    prctl::set_child_subreaper(true).unwrap();
    let (ours, theirs) = socket::seqpacket_pair().unwrap();
    drop(start(&CloneRequest::default(), || {
        drop(start(&CloneRequest::default(), || {
            prctl::set_parent_death_signal(libc::SIGKILL).unwrap();
            socket::send(&theirs, b"armed", &[]).unwrap();
            sleep();
        }));
        socket::recv(&ours, 16).unwrap().expect("armed");
        process::exit(0);
    }));
    let mut reaped = reap(2);
    reaped.sort_by_key(|status| status.code());
    assert_eq!(reaped, [ExitStatus::Exited(0), ExitStatus::Signaled(libc::SIGKILL)]);
}

fn blocked_signals_are_read() {
    let old = signals::block_all().unwrap();
    let queue = signals::signalfd_all().unwrap();
    assert_eq!(signals::read_signal(&queue).unwrap(), None);
    let own = process::getpid();
    let real_time = signals::number("RTMIN+3").unwrap();
    process::kill(own, libc::SIGUSR1).unwrap();
    process::kill(own, real_time).unwrap();
    for signo in [libc::SIGUSR1, real_time] {
        assert_eq!(signals::read_signal(&queue).unwrap(), Some(signals::SignalInfo { signo, pid: Some(own) }));
    }
    assert_eq!(signals::read_signal(&queue).unwrap(), None);
    assert_ne!(status_field("SigBlk"), 0);
    signals::restore(&old).unwrap();
    assert_eq!(status_field("SigBlk"), 0);
    signals::block_all().unwrap();
    signals::unblock_all().unwrap();
    assert_eq!(status_field("SigBlk"), 0);
}

/// A hexadecimal field of /proc/self/status.
fn status_field(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("the field");
    u64::from_str_radix(value.trim(), 16).unwrap()
}

fn ignored_signals_are_reset() {
    // The standard library ignores SIGPIPE before main.
    assert_ne!(status_field("SigIgn") & (1 << (libc::SIGPIPE - 1)), 0);
    signals::reset_all_to_default().unwrap();
    assert_eq!(status_field("SigIgn"), 0);
    assert_eq!(status_field("SigCgt"), 0);
}

fn a_session_has_its_leader() {
    process::setsid().unwrap();
    let again = process::setsid().unwrap_err();
    assert!(again.is(Errno::EPERM), "{again}");
}

fn a_directory_outside_the_root_is_no_cwd() {
    let (outside, root) = (Scratch::new(), Scratch::new());
    // In a process of its own, so that the scratch directories can be removed.
    common::within(0, || {
        process::chdir(outside.path()).unwrap();
        assert_eq!(process::getcwd().unwrap(), outside.path());
        process::chroot(root.path()).unwrap();
        let error = process::getcwd().unwrap_err();
        assert!(error.is(Errno::ENOENT), "{error}");
        process::fchdir(fd::open("/", fd::OFlags::PATH, 0).unwrap()).unwrap();
        assert_eq!(process::getcwd().unwrap(), std::path::Path::new("/"));
    });
}

fn attributes_show_in_proc() {
    prctl::set_name(c"wolffia-test").unwrap();
    assert_eq!(std::fs::read_to_string("/proc/self/comm").unwrap(), "wolffia-test\n");
    prctl::set_no_new_privileges().unwrap();
    assert_eq!(status_field("NoNewPrivs"), 1);
    prctl::set_dumpable(false).unwrap();
    assert!(!nix::sys::prctl::get_dumpable().unwrap());
    prctl::set_keep_capabilities(true).unwrap();
    assert!(nix::sys::prctl::get_keepcaps().unwrap());
    assert!(prctl::set_parent_death_signal(4711).unwrap_err().is(Errno::EINVAL));
    process::umask(0o027);
    assert_eq!(process::umask(0o022), 0o027);
}

/// Only what is handed on is open in the program that follows.
fn descriptors_close_on_exec() {
    if !std::path::Path::new("/proc/self/fd").exists() {
        skip("needs /proc");
    }
    let (ours, theirs) = socket::seqpacket_pair().unwrap();
    let status = in_child(&CloneRequest::default(), || {
        // A descriptor without close-on-exec, as a careless caller leaks it.
        fd::set_cloexec(&ours, false).unwrap();
        fd::dup_to(&ours, 40).unwrap();
        assert!(fd::is_open(40) && !fd::is_open(41));
        fd::close_range_cloexec(3).unwrap();
        fd::dup_to(&theirs, 3).unwrap();
        fd::dup_to(&theirs, 3).unwrap();
        let list = "set -- /proc/self/fd/*; for f; do case ${f##*/} in 0|1|2|3) ;; *) [ -e $f ] && exit 9;; esac; done; [ -e /proc/self/fd/3 ]";
        let shell: &CStr = c"/bin/sh";
        panic!("{}", process::execve(shell, &words(&["sh", "-c", list]), &[]));
    });
    assert_eq!(status, ExitStatus::Exited(0));
}

/// The kernel installs what fits and cuts the rest off: the receiver must neither take half nor keep it.
fn descriptors_beyond_the_limit_are_an_error() {
    let (one, other) = socket::seqpacket_pair().unwrap();
    socket::send(&one, b"x", &[one.as_fd(); 20]).unwrap();
    let next = fd::dup_above(&one, 3).unwrap().as_raw_fd() as u64;
    sched::prlimit(None, libc::RLIMIT_NOFILE, next + 5, 1000).unwrap();
    let error = socket::recv(&other, 16).unwrap_err();
    assert!(error.is(Errno::EMSGSIZE), "{error}");
    assert_eq!(fd::dup_above(&one, 3).unwrap().as_raw_fd() as u64, next, "the five that fitted are closed");
}
