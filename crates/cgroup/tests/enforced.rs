//! Limits that bite, where cgroup2 has their controllers. Elsewhere each test says what it lacks.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{Area, Running};
use serde_json::json;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use wolffia_cgroup::{Cgroup, Happening};
use wolffia_plan::Host;
use wolffia_plan::resources::{Resources, plan_resources};
use wolffia_spec::oci;

/// An area whose `cgroup` has all of these controllers.
fn area(test: &str, controllers: &[&str]) -> Option<Area> {
    let area = Area::new(test)?;
    let available = fs::read_to_string(area.mount.join("cgroup.controllers")).unwrap();
    match controllers.iter().find(|controller| !available.split_whitespace().any(|one| one == **controller)) {
        Some(missing) => {
            println!("skipped: no {missing} controller on cgroup2 here");
            None
        }
        None => Some(area),
    }
}

fn converted(config: serde_json::Value) -> Resources {
    let config: oci::LinuxResources = serde_json::from_value(config).unwrap();
    let host: Host = serde_json::from_value(json!({
        "euid": 0, "egid": 0, "privileged": false, "in_user_namespace": true, "own_uid_map": [], "own_gid_map": [],
        "subordinate_uids": [], "subordinate_gids": [], "known_capabilities": 0, "bounding_capabilities": 0,
        "cgroups": {"layout": "absent"}, "lsm": {"apparmor": false, "selinux": false}, "umask": 18,
    }))
    .unwrap();
    plan_resources(Some(&config), &host).unwrap()
}

fn limited(area: &Area, config: serde_json::Value) -> Cgroup {
    let cgroup = Cgroup::create(&area.mount, &area.path("c")).unwrap();
    cgroup.limit(&converted(config)).unwrap();
    cgroup
}

/// A shell that joins the cgroup `c` and then runs `script`.
fn inside(area: &Area, script: &str) -> Command {
    let mut command = Command::new("sh");
    let script = format!("echo $$ >{} || exit 99; {script}", area.host("c/cgroup.procs").display());
    command.arg("-c").arg(script).stdin(Stdio::null());
    command
}

fn value(area: &Area, file: &str) -> String {
    fs::read_to_string(area.host("c").join(file)).unwrap().trim_end().to_owned()
}

#[test]
fn what_is_read_back_is_what_was_asked_for() {
    let Some(area) = area("readback", &["cpu", "cpuset", "memory", "pids"]) else { return };
    let cgroup = limited(
        &area,
        json!({
            "cpu": {"shares": 2048, "quota": 20000, "period": 50000, "burst": 1000, "cpus": "0", "mems": "0"},
            "memory": {"limit": 33554432, "reservation": 16777216, "swap": 50331648},
            "pids": {"limit": 42},
            "unified": {"memory.high": "20971520"},
        }),
    );
    let files = [
        ("cpu.weight", "174"),
        ("cpu.max", "20000 50000"),
        ("cpu.max.burst", "1000"),
        ("cpuset.cpus", "0"),
        ("cpuset.mems", "0"),
        ("memory.max", "33554432"),
        ("memory.low", "16777216"),
        ("memory.swap.max", "16777216"),
        ("memory.high", "20971520"),
        ("pids.max", "42"),
    ];
    let read =
        || files.map(|(file, _)| if area.host("c").join(file).exists() { value(&area, file) } else { format!("no {file}") });
    assert_eq!(read(), files.map(|(_, expected)| expected.to_owned()));
    cgroup
        .limit(&converted(
            json!({"cpu": {"quota": 2000, "period": 10000, "burst": 100}, "pids": {"limit": -1}, "memory": {"limit": -1}}),
        ))
        .unwrap();
    assert_eq!([value(&area, "cpu.max"), value(&area, "cpu.max.burst")], ["2000 10000", "100"]);
    assert_eq!([value(&area, "pids.max"), value(&area, "memory.max"), value(&area, "memory.swap.max")], ["max", "max", "max"]);
    cgroup.limit(&converted(json!({"cpu": {"idle": 1}}))).unwrap();
    assert_eq!(value(&area, "cpu.idle"), "1");
}

#[test]
fn memory_beyond_the_limit_is_fatal() {
    let Some(area) = area("memory", &["memory"]) else { return };
    let cgroup = limited(&area, json!({"memory": {"limit": 16777216, "swap": 16777216}}));
    let sleeper = Running::sleep().in_cgroup(&area.host("c"));
    let mut watch = cgroup.watch().unwrap();
    let hog = Running::command(&mut inside(&area, "exec tail /dev/zero"));
    assert_eq!(watch.next(Duration::from_secs(60)).unwrap(), Some(Happening::OutOfMemory));
    assert_eq!(hog.signal(), Some(9));
    assert!(cgroup.oom_kills().unwrap() >= 1);
    let stats = cgroup.stats().unwrap();
    assert_eq!(stats.memory.usage.limit, 16_777_216);
    assert!(stats.memory.usage.max > 8_000_000, "{stats:?}");
    drop(sleeper);
    let error = cgroup.limit(&converted(json!({"memory": {"limit": 1, "checkBeforeUpdate": true}})));
    assert!(error.unwrap_err().to_string().starts_with("rejecting memory limit 1 <= usage "));
}

#[test]
fn more_processes_than_the_limit_are_refused() {
    let Some(area) = area("pids", &["pids"]) else { return };
    let cgroup = limited(&area, json!({"pids": {"limit": 4}}));
    let script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done 2>/dev/null; wait";
    let _bomb = Running::command(inside(&area, script).stderr(Stdio::null()));
    let end = Instant::now() + Duration::from_secs(20);
    while !value(&area, "pids.events").lines().any(|line| line.starts_with("max ") && line != "max 0") && Instant::now() < end {
        std::thread::yield_now();
    }
    let stats = cgroup.stats().unwrap().pids;
    assert!(stats.current <= 4 && stats.limit == 4, "{stats:?}");
    assert_ne!(value(&area, "pids.events"), "max 0");
}

#[test]
fn a_busy_loop_gets_its_quota() {
    let Some(area) = area("quota", &["cpu"]) else { return };
    let cgroup = limited(&area, json!({"cpu": {"quota": 10000, "period": 50000}}));
    let _busy = Running::command(&mut inside(&area, "while :; do :; done"));
    std::thread::sleep(Duration::from_secs(1));
    let used = |stats: wolffia_cgroup::Stats| stats.cpu.usage.total;
    let (begin, before) = (Instant::now(), used(cgroup.stats().unwrap()));
    std::thread::sleep(Duration::from_secs(2));
    let share = (used(cgroup.stats().unwrap()) - before) as f64 / begin.elapsed().as_nanos() as f64;
    println!("a quota of 0.20: {share:.3}");
    assert!((0.1..0.26).contains(&share), "{share}");
    assert!(cgroup.stats().unwrap().cpu.throttling.throttled_periods > 0);
}

#[test]
fn a_cpuset_pins() {
    let Some(area) = area("cpuset", &["cpuset"]) else { return };
    let _cgroup = limited(&area, json!({"cpu": {"cpus": "0"}}));
    let output = inside(&area, "grep Cpus_allowed_list /proc/self/status").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).split_whitespace().nth(1), Some("0"));
}

#[test]
fn a_throttle_slows_a_write_down() {
    let Some(area) = area("io", &["io"]) else { return };
    let Some(disk) = std::env::var("WOLFFIA_TEST_DISK").ok() else {
        println!("skipped: WOLFFIA_TEST_DISK names no block device to overwrite");
        return;
    };
    let number = fs::read_to_string(format!("/sys/class/block/{}/dev", disk.trim_start_matches("/dev/"))).unwrap();
    let (major, minor) = number.trim().split_once(':').unwrap();
    let rate = 1_048_576;
    let (major, minor): (u32, u32) = (major.parse().unwrap(), minor.parse().unwrap());
    let throttle = json!([{"major": major, "minor": minor, "rate": rate}]);
    let cgroup = limited(&area, json!({"blockIO": {"throttleWriteBpsDevice": throttle, "weight": 500}}));
    assert!(value(&area, "io.max").contains(&format!("wbps={rate}")));
    let begin = Instant::now();
    assert!(
        inside(&area, &format!("dd if=/dev/zero of={disk} bs=64k count=48 conv=fsync 2>/dev/null")).status().unwrap().success()
    );
    let took = begin.elapsed();
    println!("3 MiB at 1 MiB/s: {took:?}");
    assert!(took > Duration::from_secs(2) && took < Duration::from_secs(20), "{took:?}");
    assert!(cgroup.stats().unwrap().blkio.io_service_bytes_recursive.iter().any(|entry| entry.op == "Write" && entry.value > 0));
}
