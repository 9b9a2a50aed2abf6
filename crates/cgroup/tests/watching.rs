//! Statistics, and waiting for what happens.

mod common;

use common::{Area, Running};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};
use wolffia_cgroup::{Cgroup, Happening, Stats};

#[test]
fn stats_have_the_shape_of_runc() {
    let empty = serde_json::to_value(Stats::default()).unwrap();
    let expected = json!({
        "cpu": {},
        "cpuset": {
            "cpu_exclusive": 0, "mem_hardwall": 0, "mem_exclusive": 0, "memory_migrate": 0, "memory_spread_page": 0,
            "memory_spread_slab": 0, "memory_pressure": 0, "sched_load_balance": 0, "sched_relax_domain_level": 0,
        },
        "memory": {}, "pids": {}, "blkio": {}, "hugetlb": {}, "intel_rdt": {}, "network_interfaces": null,
    });
    assert_eq!(empty, expected);
}

#[test]
fn stats_of_a_busy_cgroup() {
    let Some(area) = Area::new("stats") else { return };
    let cgroup = Cgroup::create(&area.mount, &area.path("c")).unwrap();
    let busy = Running::command(Command::new("sh").arg("-c").arg("while :; do :; done"));
    cgroup.add(busy.pid()).unwrap();
    let end = Instant::now() + Duration::from_secs(5);
    while cgroup.stats().unwrap().cpu.usage.total < 20_000_000 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    let stats = cgroup.stats().unwrap();
    assert!(stats.cpu.usage.total >= 20_000_000, "{stats:?}");
    assert_eq!(stats.pids.current, 1);
    let value: Value = serde_json::to_value(&stats).unwrap();
    assert!(value["cpu"]["usage"]["user"].is_u64());
    if area.host("c/hugetlb.2MB.max").exists() {
        assert_eq!(value["hugetlb"]["2MB"], json!({"failcnt": 0}));
    }
    if area.host("c/cpu.pressure").exists() {
        assert!(value["cpu"]["psi"].is_object());
    }
}

#[test]
fn the_end_of_the_last_process_is_told_when_it_comes() {
    let Some(area) = Area::new("watch") else { return };
    let cgroup = Cgroup::create(&area.mount, &area.path("c")).unwrap();
    let sleeper = Running::sleep();
    cgroup.add(sleeper.pid()).unwrap();
    let mut watch = cgroup.watch().unwrap();
    assert_eq!(watch.next(Duration::from_millis(20)).unwrap(), None);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            drop(sleeper);
        });
        assert_eq!(watch.next(Duration::from_secs(10)).unwrap(), Some(Happening::Empty));
    });
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(50) && took < Duration::from_secs(5), "{took:?}");
    cgroup.remove().unwrap();
    assert_eq!(watch.next(Duration::ZERO).unwrap(), Some(Happening::Empty));
}

#[test]
fn a_kill_for_want_of_memory_is_told() {
    let Some(area) = Area::new("oom") else { return };
    let cgroup = Cgroup::create(&area.mount, &area.path("c")).unwrap();
    if !area.host("c/memory.max").exists() {
        println!("skipped: no memory controller on cgroup2 here");
        return;
    }
    fs::write(area.host("c/memory.max"), "8388608").unwrap();
    let sleeper = Running::sleep();
    cgroup.add(sleeper.pid()).unwrap();
    let mut watch = cgroup.watch().unwrap();
    let hog = format!("echo $$ >{}; exec tail /dev/zero", area.host("c/cgroup.procs").display());
    let hog = Running::command(Command::new("sh").arg("-c").arg(hog));
    assert_eq!(watch.next(Duration::from_secs(20)).unwrap(), Some(Happening::OutOfMemory));
    assert_eq!(hog.signal(), Some(9));
    assert!(cgroup.oom_kills().unwrap() >= 1);
}
