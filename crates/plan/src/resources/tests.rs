use super::*;
use crate::HostPath;
use crate::host::{CgroupHierarchy, CgroupLayout, CgroupMount, Lsm};
use serde_json::{Value, json};

fn host(privileged: bool, in_user_namespace: bool) -> Host {
    Host {
        euid: 0,
        egid: 0,
        privileged,
        in_user_namespace,
        own_uid_map: Vec::new(),
        own_gid_map: Vec::new(),
        subordinate_uids: Vec::new(),
        subordinate_gids: Vec::new(),
        newuidmap: None,
        newgidmap: None,
        known_capabilities: 0,
        bounding_capabilities: 0,
        cgroups: CgroupLayout::Unified { mount: HostPath::new("/sys/fs/cgroup").unwrap(), own: "/".to_owned() },
        lsm: Lsm::default(),
        landlock_abi: 7,
        resctrl: None,
        umask: 0o22,
    }
}

fn convert(config: Value) -> Result<Resources, Refusal> {
    let config: oci::LinuxResources = serde_json::from_value(config).unwrap();
    resources(&config, &host(false, true))
}

/// `file=value`, in order.
fn writes(config: Value) -> Vec<String> {
    convert(config).unwrap().writes.iter().map(|write| format!("{}={}", write.file, write.value)).collect()
}

fn refusal(config: Value) -> String {
    convert(config).unwrap_err().to_string()
}

#[test]
fn nothing_asked_is_nothing_written() {
    assert_eq!(convert(json!({})).unwrap(), Resources::default());
    let zeros = json!({
        "memory": {"limit": 0, "reservation": 0, "swap": 0},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": "", "realtimeRuntime": 0},
        "blockIO": {"weight": 0, "leafWeight": 0},
        "network": {},
    });
    assert_eq!(convert(zeros).unwrap(), Resources::default());
}

#[test]
fn shares_become_weights_along_the_new_curve() {
    // As runc 1.4 and crun 1.23 have it.
    let low = [(1, 1), (2, 1), (3, 2), (10, 4), (100, 17), (512, 59), (1024, 100)];
    let high = [(2048, 174), (10_000, 627), (262_143, 10_000), (262_144, 10_000), (u64::MAX, 10_000)];
    for (shares, weight) in low.into_iter().chain(high) {
        assert_eq!(cpu_weight(shares), Some(weight), "{shares} shares");
    }
    assert_eq!(cpu_weight(0), None);
    let weights: Vec<_> = (2..=262_144).step_by(61).map(|shares| cpu_weight(shares).unwrap()).collect();
    assert!(weights.is_sorted() && weights.iter().all(|weight| (1..=10_000).contains(weight)));
}

#[test]
fn cpu_limits() {
    assert_eq!(writes(json!({"cpu": {"shares": 1024}})), ["cpu.weight=100"]);
    assert_eq!(writes(json!({"cpu": {"quota": 50_000, "period": 200_000}})), ["cpu.max=50000 200000"]);
    assert_eq!(writes(json!({"cpu": {"quota": 50_000}})), ["cpu.max=50000 100000"]);
    assert_eq!(writes(json!({"cpu": {"period": 50_000}})), ["cpu.max=max 50000"]);
    assert_eq!(writes(json!({"cpu": {"quota": -1}})), ["cpu.max=max 100000"]);
    assert_eq!(writes(json!({"cpu": {"burst": 1000}})), ["cpu.max.burst=1000"]);
    let all = json!({"cpu": {"quota": 2000, "burst": 1000, "period": 5000}});
    assert_eq!(writes(all), ["cpu.max.burst=0", "cpu.max=2000 5000", "cpu.max.burst=1000"]);
    assert_eq!(writes(json!({"cpu": {"idle": 1, "shares": 1024}})), ["cpu.idle=1"]);
    assert_eq!(writes(json!({"cpu": {"idle": 0, "shares": 1024}})), ["cpu.idle=0", "cpu.weight=100"]);
    assert_eq!(writes(json!({"cpu": {"cpus": "0-1,3", "mems": "0"}})), ["cpuset.cpus=0-1,3", "cpuset.mems=0"]);
    assert!(refusal(json!({"cpu": {"quota": 1000, "burst": 1001}})).starts_with("/linux/resources/cpu/burst: 1001 is more"));
    assert!(refusal(json!({"cpu": {"realtimeRuntime": 950_000}})).starts_with("/linux/resources/cpu/realtimeRuntime: "));
    assert!(refusal(json!({"cpu": {"realtimePeriod": 1}})).starts_with("/linux/resources/cpu/realtimePeriod: "));
    assert!(refusal(json!({"cpu": {"idle": 2}})).contains("2 is neither 0 nor 1"));
}

#[test]
fn an_idle_cgroup_is_told_that_it_has_no_weight() {
    let unified = json!({"unified": {"cpu.idle": "1\n", "cpu.weight": "8", "cpu.weight.nice": "3"}});
    for (config, written, fields) in [
        (json!({"cpu": {"idle": 1, "shares": 8}}), "cpu.idle=1", vec!["cpu/shares"]),
        (unified, "cpu.idle=1", vec!["unified/cpu.weight", "unified/cpu.weight.nice"]),
        (json!({"unified": {"cpu.weight": "8"}}), "cpu.weight=8", vec![]),
    ] {
        assert_eq!(writes(config.clone()), [written]);
        let recorded = convert(config).unwrap().recorded;
        assert!(recorded.iter().all(|recorded| recorded.reason.starts_with("unable to apply both")), "{recorded:?}");
        let expected: Vec<_> = fields.into_iter().map(at).collect();
        assert_eq!(recorded.into_iter().map(|recorded| recorded.field).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn memory_limits() {
    assert_eq!(writes(json!({"memory": {"limit": 1000, "reservation": 500}})), ["memory.max=1000", "memory.low=500"]);
    assert_eq!(
        writes(json!({"memory": {"limit": -1, "reservation": -1}})),
        ["memory.swap.max=max", "memory.max=max", "memory.low=max"]
    );
    assert_eq!(writes(json!({"memory": {"limit": 1000, "swap": 3000}})), ["memory.swap.max=2000", "memory.max=1000"]);
    assert_eq!(writes(json!({"memory": {"limit": 1000, "swap": 1000}})), ["memory.swap.max=0", "memory.max=1000"]);
    assert_eq!(writes(json!({"memory": {"limit": 1000, "swap": -1}})), ["memory.swap.max=max", "memory.max=1000"]);
    assert_eq!(writes(json!({"memory": {"limit": -1, "swap": 500}})), ["memory.swap.max=500", "memory.max=max"]);
    assert_eq!(writes(json!({"memory": {"swap": -1}})), ["memory.swap.max=max"]);
    assert!(refusal(json!({"memory": {"swap": 1000}})).contains("unable to set swap limit without memory limit"));
    assert!(refusal(json!({"memory": {"limit": 1000, "swap": 999}})).contains("memory+swap limit should be >= memory limit"));
    assert!(refusal(json!({"memory": {"limit": -2}})).contains("-2 is less than -1"));
    assert!(refusal(json!({"memory": {"limit": -2, "swap": 5}})).contains("-2 is less than -1"));
    assert!(refusal(json!({"memory": {"limit": 5, "swap": -3}})).starts_with("/linux/resources/memory/swap"));
}

#[test]
fn swap_that_does_not_exist_needs_no_limit() {
    let if_absent = |config| convert(config).unwrap().writes[0].if_absent.clone();
    assert_eq!(if_absent(json!({"memory": {"limit": 1000, "swap": 1000}})), IfAbsent::Skip);
    assert_eq!(if_absent(json!({"memory": {"limit": 1000, "swap": -1}})), IfAbsent::Skip);
    assert_eq!(if_absent(json!({"memory": {"limit": 1000, "swap": 2000}})), IfAbsent::Fail);
}

#[test]
fn usage_is_looked_at_first_when_asked() {
    let checks = |check| convert(json!({"memory": {"limit": 1000, "swap": 2000, "checkBeforeUpdate": check}})).unwrap().checks;
    assert_eq!(checks(false), []);
    let found: Vec<_> = checks(true).into_iter().map(|check| (check.limit_name, check.limit, check.usage_file)).collect();
    let current = || "memory.current".to_owned();
    assert_eq!(found, [("memory+swap".to_owned(), 2000, current()), ("memory".to_owned(), 1000, current())]);
    assert_eq!(convert(json!({"memory": {"limit": -1, "checkBeforeUpdate": true}})).unwrap().checks, []);
}

#[test]
fn what_v2_has_no_file_for_is_recorded() {
    let config = json!({"memory": {"swappiness": 60, "disableOOMKiller": true, "kernel": 1, "useHierarchy": true}});
    let fields: Vec<_> = convert(config).unwrap().recorded.into_iter().map(|recorded| recorded.field).collect();
    assert_eq!(fields, ["/linux/resources/memory/swappiness", "/linux/resources/memory/disableOOMKiller"]);
    assert_eq!(convert(json!({"memory": {"disableOOMKiller": false}})).unwrap().recorded, []);
}

#[test]
fn pids_limits() {
    assert_eq!(writes(json!({"pids": {"limit": 42}})), ["pids.max=42"]);
    assert_eq!(writes(json!({"pids": {"limit": 0}})), ["pids.max=1"]);
    assert_eq!(writes(json!({"pids": {"limit": -1}})), ["pids.max=max"]);
    assert!(refusal(json!({"pids": {"limit": -7}})).contains("-7 is less than -1"));
}

#[test]
fn io_limits() {
    let weight = convert(json!({"blockIO": {"weight": 1000}})).unwrap().writes.remove(0);
    assert_eq!((weight.file.as_str(), weight.value.as_str(), weight.controller.as_str()), ("io.bfq.weight", "1000", "io"));
    assert_eq!(weight.if_absent, IfAbsent::Instead { file: "io.weight".to_owned(), value: "10000".to_owned() });
    let device =
        convert(json!({"blockIO": {"weightDevice": [{"major": 8, "minor": 16, "weight": 10}]}})).unwrap().writes.remove(0);
    assert_eq!(device.value, "8:16 10");
    assert_eq!(device.if_absent, IfAbsent::Instead { file: "io.weight".to_owned(), value: "8:16 1".to_owned() });
    let throttles = json!({"blockIO": {
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 100}, {"major": 8, "minor": 1, "rate": 0}],
        "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 200}],
        "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 300}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 400}],
    }});
    let expected = ["8:0 rbps=100", "8:1 rbps=max", "8:0 wbps=200", "8:0 riops=300", "8:0 wiops=400"];
    assert_eq!(writes(throttles), expected.map(|value| format!("io.max={value}")));
    assert!(refusal(json!({"blockIO": {"weight": 9}})).contains("weight 9 is out of range"));
    assert!(refusal(json!({"blockIO": {"leafWeight": 10}})).contains("no leaf weights"));
    assert!(refusal(json!({"blockIO": {"weightDevice": [{"major": 8, "minor": 0}]}})).contains("neither weight nor leafWeight"));
    let negative = json!({"blockIO": {"throttleReadBpsDevice": [{"major": -1, "minor": 0, "rate": 1}]}});
    assert!(refusal(negative).starts_with("/linux/resources/blockIO/throttleReadBpsDevice/0: -1:0 is not"));
}

#[test]
fn huge_pages_and_rdma() {
    let config = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}]});
    assert_eq!(writes(config.clone()), ["hugetlb.2MB.max=4194304", "hugetlb.2MB.rsvd.max=4194304"]);
    assert_eq!(convert(config).unwrap().writes[1].if_absent, IfAbsent::Skip);
    for size in ["2M", "MB", "../x", "2MB.x", "", "-2MB"] {
        assert!(refusal(json!({"hugepageLimits": [{"pageSize": size, "limit": 1}]})).contains("is not one"), "{size}");
    }
    let rdma = json!({"rdma": {"mlx5_1": {"hcaHandles": 3}, "mlx4_0": {"hcaHandles": 2, "hcaObjects": 2000}}});
    assert_eq!(writes(rdma), ["rdma.max=mlx4_0 hca_handle=2 hca_object=2000", "rdma.max=mlx5_1 hca_handle=3"]);
    assert!(refusal(json!({"rdma": {"mlx": {}}})).contains("it limits nothing"));
    assert!(refusal(json!({"rdma": {"a b": {"hcaHandles": 1}}})).contains("is not a device's name"));
}

#[test]
fn unified_files_come_last_in_the_order_of_their_names() {
    let config = json!({
        "unified": {"memory.high": "1000", "io.max": "8:0 rbps=1\n8:1 rbps=2\n", "cpuset.cpus": ""},
        "pids": {"limit": 3},
    });
    assert_eq!(writes(config), ["pids.max=3", "io.max=8:0 rbps=1", "io.max=8:1 rbps=2", "memory.high=1000"]);
    assert!(refusal(json!({"unified": {"../x/memory.max": "1"}})).contains("must be a file name (no slashes)"));
    assert!(refusal(json!({"unified": {"memory": "1"}})).contains("must be in the form CONTROLLER.PARAMETER"));
    assert!(refusal(json!({"unified": {"..": "1"}})).contains("must be in the form CONTROLLER.PARAMETER"));
    assert!(refusal(json!({"unified": {"cgroup.procs": "1"}})).contains("acts on processes"));
    assert_eq!(writes(json!({"unified": {"cgroup.max.depth": "3"}})), ["cgroup.max.depth=3"]);
}

#[test]
fn network_limits_are_refused() {
    assert!(refusal(json!({"network": {"classID": 1}})).contains("no network controllers"));
    assert!(refusal(json!({"network": {"priorities": [{"name": "eth0", "priority": 1}]}})).contains("no network controllers"));
}

#[test]
fn device_rules_are_followed_by_those_of_every_container() {
    let config: oci::LinuxResources = serde_json::from_value(json!({"devices": [
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"},
        {"allow": true, "type": "b", "major": -1, "minor": -1, "access": "m"},
    ]}))
    .unwrap();
    let rules = resources(&config, &host(true, false)).unwrap().devices.unwrap();
    let all = DeviceAccess { read: true, write: true, make: true };
    assert_eq!(rules[0], DeviceRule { allow: false, kind: None, major: None, minor: None, access: all });
    let access = DeviceAccess { read: true, write: true, make: false };
    assert_eq!(rules[1], DeviceRule { allow: true, kind: Some(DeviceType::Char), major: Some(10), minor: Some(229), access });
    assert_eq!((rules[2].kind, rules[2].major, rules[2].minor), (Some(DeviceType::Block), None, None));
    assert_eq!(rules.len(), 3 + 11);
    assert!(rules[3..].iter().all(|rule| rule.allow));

    let without = resources(&config, &host(true, true)).unwrap();
    assert_eq!((without.devices, without.recorded.len()), (None, 1));
    assert_eq!(resources(&oci::LinuxResources::default(), &host(true, false)).unwrap().devices.unwrap().len(), 11);
}

#[test]
fn device_rules_that_mean_nothing_are_refused() {
    assert!(refusal(json!({"devices": [{"allow": true}]})).contains("device access at 0 field cannot be empty"));
    assert!(refusal(json!({"devices": [{"allow": true, "access": "rx"}]})).contains("unknown device access 'x'"));
    assert!(
        refusal(json!({"devices": [{"allow": true, "type": "p", "access": "r"}]})).contains("invalid cgroup device type \"p\"")
    );
    assert!(
        refusal(json!({"devices": [{"allow": true, "major": -2, "access": "r"}]}))
            .starts_with("/linux/resources/devices/0/major: -2")
    );
}

/// A host with the controllers `bound` in cgroup v1, and cgroup2 beside them.
fn hybrid(bound: &[&str]) -> Host {
    let hierarchy = |name: &&str| CgroupHierarchy {
        directory: (*name).to_owned(),
        controllers: vec![(*name).to_owned()],
        mount: HostPath::new(format!("/sys/fs/cgroup/{name}")).unwrap(),
        own: "/".to_owned(),
    };
    let unified = CgroupMount { mount: HostPath::new("/sys/fs/cgroup/unified").unwrap(), own: "/".to_owned() };
    let cgroups = CgroupLayout::Legacy { hierarchies: bound.iter().map(hierarchy).collect(), unified: Some(unified) };
    Host { cgroups, ..host(true, false) }
}

#[test]
fn what_is_bound_to_version_one_is_written_there() {
    let all = ["memory", "cpu", "cpuset", "pids", "blkio", "net_cls", "net_prio"];
    let config: oci::LinuxResources = serde_json::from_value(json!({
        "memory": {"limit": 4096, "swap": -1, "reservation": 2048, "swappiness": 7, "disableOOMKiller": true},
        "cpu": {"shares": 2, "quota": -1, "period": 1000, "burst": 0, "realtimeRuntime": 5, "cpus": "0-1"},
        "pids": {"limit": -1},
        "blockIO": {"weight": 10, "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 0}]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 5}],
        "network": {"classID": 3, "priorities": [{"name": "lo", "priority": 4}]},
    }))
    .unwrap();
    let planned = resources(&config, &hybrid(&all)).unwrap();
    let lines = |writes: &[CgroupWrite]| -> Vec<String> {
        writes.iter().map(|write| format!("{}: {}={}", write.controller, write.file, write.value)).collect()
    };
    assert_eq!(
        lines(&planned.legacy),
        [
            "pids: pids.max=max",
            "memory: memory.limit_in_bytes=4096",
            "memory: memory.memsw.limit_in_bytes=-1",
            "memory: memory.soft_limit_in_bytes=2048",
            "memory: memory.swappiness=7",
            "memory: memory.oom_control=1",
            "blkio: blkio.bfq.weight=10",
            "blkio: blkio.throttle.write_bps_device=8:0 0",
            "cpu: cpu.shares=2",
            "cpu: cpu.cfs_period_us=1000",
            "cpu: cpu.cfs_quota_us=-1",
            "cpu: cpu.cfs_burst_us=0",
            "cpu: cpu.rt_runtime_us=5",
            "cpuset: cpuset.cpus=0-1",
            "net_cls: net_cls.classid=3",
            "net_prio: net_prio.ifpriomap=lo 4",
        ]
    );
    assert_eq!(
        lines(&planned.writes),
        ["hugetlb: hugetlb.2MB.max=5", "hugetlb: hugetlb.2MB.rsvd.max=5"],
        "version 2 has this one"
    );
    assert!(planned.devices.is_some() && planned.recorded.is_empty());
    let refused = |config: Value, host: Host| resources(&serde_json::from_value(config).unwrap(), &host).unwrap_err().to_string();
    let unified = json!({"unified": {"memory.high": "9"}});
    assert!(refused(unified, hybrid(&all)).contains("bound to cgroup v1 at /sys/fs/cgroup/memory"));
    let less = json!({"memory": {"limit": 9, "swap": 8}});
    assert!(refused(less, hybrid(&all)).contains("memory+swap limit should be >= memory limit"));
}

#[test]
fn device_rules_as_lines() {
    let config = serde_json::from_value(json!({"devices": [
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 10, "access": "rw"},
    ]}))
    .unwrap();
    let mut planned = resources(&config, &hybrid(&["devices"])).unwrap();
    planned.legacy_devices();
    let lines: Vec<String> = planned.legacy.iter().map(|write| format!("{}={}", write.file, write.value)).collect();
    assert_eq!(lines[..3], ["devices.deny=a", "devices.deny=a *:* rwm", "devices.allow=c 10:* rw"]);
    assert_eq!(lines.last().unwrap(), "devices.allow=c 10:200 rwm");
}
