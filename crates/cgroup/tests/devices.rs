//! The device program, loaded into the kernel and asked.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{Area, Running};
use std::fs;
use std::process::{Command, Stdio};
use wolffia_cgroup::Cgroup;
use wolffia_plan::resources::{DeviceAccess, DeviceRule, DeviceType, Resources};

const READ: DeviceAccess = DeviceAccess { read: true, write: false, make: false };
const ALL: DeviceAccess = DeviceAccess { read: true, write: true, make: true };

fn char(allow: bool, major: u32, minor: u32, access: DeviceAccess) -> DeviceRule {
    DeviceRule { allow, kind: Some(DeviceType::Char), major: Some(major), minor: Some(minor), access }
}

fn only(rules: Vec<DeviceRule>) -> Resources {
    Resources { devices: Some(rules), ..Resources::default() }
}

fn limited(area: &Area, name: &str, rules: Vec<DeviceRule>) -> Cgroup {
    let cgroup = Cgroup::create(&area.mount, &area.path(name)).unwrap();
    cgroup.limit(&only(rules)).unwrap();
    cgroup
}

/// An area where device programs can be attached.
fn area(test: &str) -> Option<Area> {
    let area = Area::new(test)?;
    let cgroup = Cgroup::create(&area.mount, &area.path("probe")).unwrap();
    match cgroup.limit(&only(Vec::new())) {
        Err(error) if error.is_permission() => {
            println!("skipped: {error}");
            None
        }
        attached => {
            attached.unwrap();
            Some(area)
        }
    }
}

/// What `sh` in that cgroup says of `redirection`.
fn shell(area: &Area, name: &str, script: &str) -> bool {
    let procs = area.host(name).join("cgroup.procs");
    let script = format!("echo $$ >{} && {{ {script}; }}", procs.display());
    Command::new("sh").arg("-c").arg(script).stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

#[test]
fn only_what_is_allowed_can_be_opened_and_made() {
    let Some(area) = area("devices") else { return };
    let make = DeviceAccess { read: false, write: false, make: true };
    let any_char = DeviceRule { allow: true, kind: Some(DeviceType::Char), major: None, minor: None, access: make };
    limited(
        &area,
        "c",
        vec![any_char, char(true, 1, 3, ALL), char(true, 1, 5, READ), char(true, 1, 9, ALL), char(false, 1, 9, READ)],
    );
    let node = std::env::temp_dir().join(&area.name);
    let node = node.display();
    assert!(shell(&area, "c", ": </dev/null && : >/dev/null && : <>/dev/null"));
    assert!(shell(&area, "c", ": </dev/zero"));
    assert!(!shell(&area, "c", ": >/dev/zero"), "write was not allowed");
    assert!(!shell(&area, "c", ": <>/dev/zero"), "nor was both at once");
    assert!(!shell(&area, "c", ": </dev/full"), "no rule names it");
    assert!(!shell(&area, "c", ": </dev/urandom"), "a later rule denies it");
    assert!(shell(&area, "c", ": >/dev/urandom"));
    assert!(shell(&area, "c", &format!("mknod {node} c 1 7")), "making is allowed");
    assert!(!shell(&area, "c", &format!(": <{node}")), "using what was made is not");
    fs::remove_file(node.to_string()).unwrap();
    assert!(!shell(&area, "c", &format!("mknod {node} b 7 0")));
}

#[test]
fn a_cgroup_below_cannot_allow_more() {
    let Some(area) = area("nested") else { return };
    limited(&area, "c", vec![char(true, 1, 3, ALL)]);
    limited(&area, "c/below", vec![char(true, 1, 3, READ), char(true, 1, 5, ALL)]);
    assert!(shell(&area, "c/below", ": </dev/null"));
    assert!(!shell(&area, "c/below", ": >/dev/null"));
    assert!(!shell(&area, "c/below", ": </dev/zero"));
}

#[test]
fn a_program_replaces_the_one_before_and_goes_with_the_container() {
    let Some(area) = area("again") else { return };
    fs::create_dir(area.host("kept")).unwrap();
    // More often than a cgroup can have programs.
    for _ in 0..70 {
        limited(&area, "kept", vec![char(true, 1, 3, READ)]);
    }
    assert!(!shell(&area, "kept", ": </dev/zero"));
    let kept = limited(&area, "kept", vec![char(true, 1, 5, READ)]);
    assert!(shell(&area, "kept", ": </dev/zero"));
    assert!(!shell(&area, "kept", ": </dev/null"));
    kept.remove().unwrap();
    assert!(shell(&area, "kept", ": </dev/null && : </dev/full"), "the cgroup was there before, the program was ours");
}

#[test]
fn the_largest_list_that_an_engine_could_send_is_accepted() {
    let Some(area) = area("many") else { return };
    let rules = (0..4000).map(|minor| char(minor % 2 == 0, 10, minor, if minor % 3 == 0 { READ } else { ALL })).collect();
    limited(&area, "c", rules);
    assert!(!shell(&area, "c", ": </dev/null"));
}

#[test]
fn without_privileges_the_error_says_what_is_missing() {
    let Some(area) = area("denied") else { return };
    Cgroup::create(&area.mount, &area.path("c")).unwrap();
    let drop = ["--bounding-set=-bpf,-sys_admin", "--inh-caps=-bpf,-sys_admin"];
    let known = Command::new("setpriv").args(drop).arg("true").output();
    if !known.is_ok_and(|output| output.status.success()) {
        println!("skipped: no setpriv of util-linux that can drop CAP_BPF");
        return;
    }
    let run = Command::new("setpriv")
        .args(drop)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child_attaches", "--ignored", "--nocapture"])
        .env("WOLFFIA_TEST_CGROUP", area.host("c"))
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{out}{}", String::from_utf8_lossy(&run.stderr));
    assert!(out.contains("cannot load the device program of cgroup"), "{out}");
}

#[test]
#[ignore = "the child of the test above"]
fn child_attaches() {
    let path = std::path::PathBuf::from(std::env::var_os("WOLFFIA_TEST_CGROUP").unwrap());
    let mount = common::mount().unwrap();
    let below = path.strip_prefix(&mount).unwrap().to_str().unwrap();
    let cgroup = Cgroup::open(&mount, below).unwrap();
    let error = cgroup.limit(&only(Vec::new())).unwrap_err();
    println!("{error}");
    assert!(error.is_permission());
}

#[test]
fn a_process_that_is_in_it_already_is_bound_as_well() {
    let Some(area) = area("running") else { return };
    let cgroup = Cgroup::create(&area.mount, &area.path("c")).unwrap();
    let gate = std::env::temp_dir().join(format!("{}-gate", area.name));
    let script = format!("until [ -e {} ]; do :; done; exec 3</dev/full", gate.display());
    let running = Running::command(Command::new("sh").arg("-c").arg(script).stderr(Stdio::null()));
    cgroup.add(running.pid()).unwrap();
    cgroup.limit(&only(Vec::new())).unwrap();
    fs::write(&gate, "").unwrap();
    assert!(!running.success());
    fs::remove_file(gate).unwrap();
}
