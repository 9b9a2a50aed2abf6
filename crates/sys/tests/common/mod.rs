//! Steps in a row, each in a process of its own that is copied from this single-threaded one, as the runtime does it.
//! libtest runs threads, from which no process may be copied.
#![allow(dead_code, reason = "every test binary uses a part of this")]

pub mod scratch;

use std::process::ExitCode;
use std::time::Duration;
use wolffia_sys::pidfd::{self, ExitStatus};
use wolffia_sys::process::{self, CloneRequest, Forked, SingleThreaded};

/// What a skipped step exits with.
const SKIPPED: i32 = 77;
const PATIENCE: Duration = Duration::from_secs(60);

pub type Step = (&'static str, fn());

/// Runs the steps that the command line names (all if none), as libtest and cargo-nextest would ask for them.
pub fn run(steps: &[Step]) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    if has("--list") {
        if !has("--ignored") {
            steps.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |name: &str| {
        let fits = |filter: &&String| if has("--exact") { name == **filter } else { name.contains(filter.as_str()) };
        filters.is_empty() || filters.iter().any(fits)
    };
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, step) in steps.iter().filter(|(name, _)| wanted(name)) {
        match in_child(&CloneRequest::default(), step) {
            ExitStatus::Exited(0) => passed += 1,
            ExitStatus::Exited(SKIPPED) => skipped += 1,
            status => {
                println!("FAILED {name}: {status:?}");
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs `step` in a copy of this process. A panic there is exit code 101.
pub fn in_child(request: &CloneRequest<'_>, step: impl FnOnce()) -> ExitStatus {
    let pidfd = start(request, step);
    if !pidfd::wait_exit(&pidfd, Some(PATIENCE)).unwrap() {
        println!("no end after {PATIENCE:?}");
        pidfd::send_signal(&pidfd, libc::SIGKILL).unwrap();
    }
    pidfd::wait(&pidfd).unwrap()
}

/// Starts `step` in a copy of this process.
pub fn start(request: &CloneRequest<'_>, step: impl FnOnce()) -> std::os::fd::OwnedFd {
    match process::clone3(&SingleThreaded::check().unwrap(), request).unwrap() {
        Forked::Child => {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(step));
            process::exit(if outcome.is_ok() { 0 } else { 101 })
        }
        Forked::Parent { pidfd, .. } => pidfd,
    }
}

/// Runs `step` as root in new namespaces of these kinds, and passes its failure on. Who is not root becomes it in a user
/// namespace, so that the steps hold for rootless callers too.
pub fn within(kinds: u64, step: impl FnOnce()) {
    let (_, uid, _) = wolffia_sys::ids::getresuid().unwrap();
    let (_, gid, _) = wolffia_sys::ids::getresgid().unwrap();
    let new_user = if uid == 0 { 0 } else { libc::CLONE_NEWUSER as u64 };
    let request = CloneRequest { flags: kinds | new_user, ..CloneRequest::default() };
    let status = in_child(&request, || {
        if uid != 0 {
            let write = |name: &str, text: String| std::fs::write(format!("/proc/self/{name}"), text).unwrap();
            write("setgroups", "deny".into());
            write("uid_map", format!("0 {uid} 1"));
            write("gid_map", format!("0 {gid} 1"));
        }
        step();
    });
    assert_eq!(status, ExitStatus::Exited(0));
}

/// Ends the step's process as skipped.
pub fn skip(reason: &str) -> ! {
    println!("skipped: {reason}");
    process::exit(SKIPPED)
}

pub fn need_root() {
    let (_, uid, _) = wolffia_sys::ids::getresuid().unwrap();
    if uid != 0 {
        skip("needs root");
    }
}
