//! What takes a process to itself: a clone that is born in its cgroup, and a limit on descriptors.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::Area;
use std::fs;
use std::time::Duration;
use wolffia_cgroup::Cgroup;
use wolffia_sys::process::{CloneRequest, Forked, SingleThreaded, clone3, exit};
use wolffia_sys::{pidfd, sched};

const RLIMIT_NOFILE: u32 = 7;

fn main() {
    // What cargo and nextest ask of a test program: a list, or the tests whose names hold a word.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if given("--list") {
        if !given("--ignored") {
            println!("alone: test");
        }
        return;
    }
    if arguments.iter().any(|argument| !argument.starts_with('-') && !"alone".contains(argument.as_str())) {
        return;
    }
    born_inside();
    deep_tree_with_few_descriptors();
    println!("alone: 2 passed");
}

fn born_inside() {
    let Some(area) = Area::new("born") else { return };
    let cgroup = Cgroup::create(&area.mount, &area.path("c")).unwrap();
    let alone = SingleThreaded::check().unwrap();
    match clone3(&alone, &CloneRequest { flags: 0, cgroup: Some(cgroup.dir()), sibling: false }).unwrap() {
        Forked::Child => {
            std::thread::sleep(Duration::from_secs(60));
            exit(1)
        }
        Forked::Parent { pid, pidfd: child } => {
            assert_eq!(cgroup.processes().unwrap(), [pid]);
            cgroup.remove().unwrap();
            assert_eq!(pidfd::wait(&child).unwrap(), pidfd::ExitStatus::Signaled(9));
        }
    }
}

/// A tenant may nest cgroups as deep as it likes; the runtime must still be able to remove them.
fn deep_tree_with_few_descriptors() {
    let Some(area) = Area::new("deep") else { return };
    let cgroup = Cgroup::create(&area.mount, &area.path("d")).unwrap();
    let mut path = area.host("d");
    for _ in 0..300 {
        path.push("x");
        fs::create_dir(&path).unwrap();
    }
    sched::prlimit(None, RLIMIT_NOFILE, 32, 32).unwrap();
    assert_eq!(cgroup.processes().unwrap(), []);
    cgroup.remove().unwrap();
    assert!(!area.host("d").exists());
}
