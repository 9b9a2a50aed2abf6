//! What is refused: which field, and why. Every case starts from a configuration that is accepted, so it can fail only
//! by what it changes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod common;

use common::{hybrid_host, plan, request, root_host, rootless_request, user_host};
use serde_json::{Value, json};
use wolffia_plan::host::{CgroupLayout, IdRange};
use wolffia_plan::{CgroupManager, Host, HostPath, Refusal, Request};

fn good() -> Value {
    json!({
        "ociVersion": "1.3.0",
        "root": { "path": "rootfs" },
        "process": { "user": { "uid": 0, "gid": 0 }, "args": ["sh"], "cwd": "/" },
        "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
        "linux": { "namespaces": [{ "type": "mount" }, { "type": "pid" }] }
    })
}

/// The same for a user: a user namespace with one id.
fn good_rootless() -> Value {
    let mut config = good();
    config["linux"]["namespaces"] = json!([{ "type": "mount" }, { "type": "pid" }, { "type": "user" }]);
    config["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]);
    config["linux"]["gidMappings"] = json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]);
    config
}

fn set(config: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match config.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}")) {
        Value::Array(array) if key == "-" => array.push(value),
        other => other[key] = value,
    }
}

#[track_caller]
fn expect(refusal: Refusal, field: &str, reason: &str) {
    assert!(refusal.reason.contains(reason), "expected the reason {reason:?}, got: {refusal}");
    assert_eq!(refusal.field, field, "{refusal}");
    assert!(!refusal.cure.is_empty(), "a refusal names its cure: {refusal}");
    assert!(!refusal.to_string().contains("  "), "{refusal}");
}

/// A pointer, what is put there, and the field and reason of the refusal.
type Case = (&'static str, Value, &'static str, &'static str);

#[track_caller]
fn refuse_all(base: Value, request: &Request, host: &Host, cases: Vec<Case>) {
    plan(&base, request, host).expect("the case before the change must be accepted");
    for (pointer, value, field, reason) in cases {
        let mut config = base.clone();
        set(&mut config, pointer, value.clone());
        match plan(&config, request, host) {
            Err(refusal) => expect(refusal, field, reason),
            Ok(_) => panic!("{pointer} = {value} must be refused: {reason}"),
        }
    }
}

#[test]
fn version_root_and_names() {
    let cases = vec![
        ("/ociVersion", json!("1.0"), "/ociVersion", "is not a SemVer version"),
        ("/ociVersion", json!(""), "/ociVersion", "is not a SemVer version"),
        ("/ociVersion", json!("1.02.0"), "/ociVersion", "is not a SemVer version"),
        ("/ociVersion", json!("1.0.0-"), "/ociVersion", "is not a SemVer version"),
        ("/ociVersion", json!("v1.0.0"), "/ociVersion", "is not a SemVer version"),
        ("/ociVersion", json!("2.0.0"), "/ociVersion", "version 2.0.0 of the specification is not supported"),
        ("/ociVersion", json!("0.9.0"), "/ociVersion", "not supported"),
        ("/root", Value::Null, "/root", "root must be specified"),
        ("/root/path", json!(""), "/root/path", "is not a path"),
        ("/linux", Value::Null, "/linux", "not one for Linux"),
        ("/hostname", json!("box"), "/hostname", "unable to set hostname without a private UTS namespace"),
        ("/domainname", json!("lan"), "/domainname", "unable to set domainname without a private UTS namespace"),
        (
            "/linux/rootfsPropagation",
            json!("sideways"),
            "/linux/rootfsPropagation",
            "rootfsPropagation=sideways is not supported",
        ),
        (
            "/annotations",
            json!({"io.wolffia.root.readonly": "yes"}),
            "/annotations/io.wolffia.root.readonly",
            "not a value of this",
        ),
        ("/annotations", json!({"run.oci.handler": "krun"}), "/annotations/run.oci.handler", "wolffia has no handlers"),
        (
            "/annotations",
            json!({"run.oci.seccomp_bpf_data": "BgAAAAAA/38="}),
            "/annotations/run.oci.seccomp_bpf_data",
            "the filter would be missing",
        ),
        ("/annotations", json!({"run.oci.keep_original_groups": "yes"}), "/annotations/run.oci.keep_original_groups", "neither"),
    ];
    refuse_all(good(), &request(), &root_host(), cases);
    let mut config = good();
    set(&mut config, "/linux/namespaces/-", json!({"type": "uts"}));
    let cases = vec![
        ("/hostname", json!("x".repeat(65)), "/hostname", "longer than 64"),
        ("/hostname", json!("a\nb"), "/hostname", "control character"),
    ];
    refuse_all(config, &request(), &root_host(), cases);
    let no_pivot = Request { no_pivot: true, ..request() };
    let private =
        vec![("/linux/rootfsPropagation", json!("rprivate"), "/linux/rootfsPropagation", "not safe without pivot_root")];
    refuse_all(good(), &no_pivot, &root_host(), private);
}

#[test]
fn namespaces_and_time() {
    let cases = vec![
        ("/linux/namespaces/-", json!({"type": "pid"}), "/linux/namespaces/2/type", "duplicated ns \"pid\""),
        ("/linux/namespaces/-", json!({"type": "network", "path": "ns/net"}), "/linux/namespaces/2/path", "is not absolute"),
        ("/linux/namespaces", json!([{"type": "pid"}]), "/linux/namespaces", "mounts would reach the host"),
        ("/linux/timeOffsets", json!({"monotonic": {"secs": 1}}), "/linux/timeOffsets", "time namespace isn't enabled"),
    ];
    refuse_all(good(), &request(), &root_host(), cases);
    let mut config = good();
    set(&mut config, "/linux/namespaces/-", json!({"type": "time", "path": "/proc/1/ns/time"}));
    let both = vec![("/linux/timeOffsets", json!({"monotonic": {"secs": 1}}), "/linux/timeOffsets", "you may only provide one")];
    refuse_all(config, &request(), &root_host(), both);
    let mut config = good();
    set(&mut config, "/linux/namespaces/-", json!({"type": "time"}));
    let cases = vec![
        ("/linux/timeOffsets", json!({"realtime": {"secs": 1}}), "/linux/timeOffsets/realtime", "no clock \"realtime\""),
        (
            "/linux/timeOffsets",
            json!({"boottime": {"nanosecs": 1_000_000_000}}),
            "/linux/timeOffsets/boottime/nanosecs",
            "more than a second",
        ),
    ];
    refuse_all(config, &request(), &root_host(), cases);
    let refusal = plan(&good(), &rootless_request(), &user_host()).unwrap_err();
    assert!(refusal.cure.contains("wolffia spec --rootless"), "{refusal}");
    expect(refusal, "/linux/namespaces", "rootless container requires user namespaces");
}

#[test]
fn ids_of_root() {
    let one = |container: u32, host: u32, size: u32| json!({"containerID": container, "hostID": host, "size": size});
    let cases = vec![
        ("/linux/uidMappings", json!([one(0, 1, 1)]), "/linux/uidMappings", "user namespace isn't enabled"),
        ("/linux/namespaces/-", json!({"type": "user"}), "/linux/uidMappings", "but no uid mappings found"),
    ];
    refuse_all(good(), &request(), &root_host(), cases);
    let mut config = good_rootless();
    config["linux"]["uidMappings"] = json!([one(0, 100_000, 1000)]);
    config["linux"]["gidMappings"] = json!([one(0, 100_000, 1000)]);
    let line = "/linux/uidMappings/1";
    let cases = vec![
        ("/linux/gidMappings", json!([]), "/linux/gidMappings", "but no gid mappings found"),
        ("/linux/uidMappings/-", one(5000, 5000, 0), line, "its size is 0"),
        ("/linux/uidMappings/-", one(999, 5000, 2), line, "give a container id twice"),
        ("/linux/uidMappings/-", one(5000, 100_999, 2), line, "give a host id twice"),
        ("/linux/uidMappings/-", one(u32::MAX - 1, 5000, 2), line, "beyond the last id"),
        ("/linux/uidMappings/-", one(5000, 4_000_000_000, 500_000_000), line, "beyond the last id"),
        (
            "/linux/uidMappings",
            json!((0..341).map(|id| one(id, id, 1)).collect::<Vec<_>>()),
            "/linux/uidMappings",
            "more than the kernel's 340",
        ),
        ("/process/user/uid", json!(1000), "/process/user/uid", "cannot setuid to unmapped uid 1000 in user namespace"),
        ("/process/user/gid", json!(1000), "/process/user/gid", "cannot setgid to unmapped gid 1000 in user namespace"),
        ("/process/user/additionalGids", json!([0, 1000]), "/process/user/additionalGids/1", "unmapped group 1000"),
        (
            "/mounts/-",
            json!({"destination": "/t", "type": "tmpfs", "options": ["gid=1005"]}),
            "/mounts/1/options/0",
            "cannot specify gid=1005 mount option for rootless container",
        ),
        (
            "/linux/devices",
            json!([{"type": "p", "path": "/run/p", "uid": 1000}]),
            "/linux/devices/0/uid",
            "no mapping found for uid 1000",
        ),
    ];
    refuse_all(config.clone(), &request(), &root_host(), cases);
    let nested = Host { own_uid_map: vec![IdRange { container: 0, host: 5, size: 500 }], in_user_namespace: true, ..root_host() };
    expect(plan(&config, &request(), &nested).unwrap_err(), "/linux/uidMappings/0", "own user namespace lacks");
}

#[test]
fn ids_of_a_user() {
    let range = json!([{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 165_000, "size": 600}]);
    let other = json!([{"containerID": 0, "hostID": 1001, "size": 1}]);
    let cases = vec![
        ("/linux/uidMappings", range.clone(), "/linux/uidMappings/1", "/etc/subuid does not give the host uids 165000..165599"),
        ("/linux/gidMappings", range.clone(), "/linux/gidMappings/1", "/etc/subgid does not give the host gids 165000..165599"),
        ("/linux/uidMappings", other, "/linux/uidMappings/0", "/etc/subuid does not give"),
        ("/process/user/uid", json!(1), "/process/user/uid", "unmapped uid 1"),
        (
            "/process/user/additionalGids",
            json!([0, 5]),
            "/process/user/additionalGids/1",
            "cannot set any additional groups in a rootless container",
        ),
        (
            "/mounts/-",
            json!({"destination": "/dev/pts", "type": "devpts", "options": ["gid=5"]}),
            "/mounts/1/options/0",
            "no mapping found for gid 5",
        ),
        ("/linux/netDevices", json!({"eth0": {}}), "/linux/netDevices", "without a NET namespace"),
    ];
    refuse_all(good_rootless(), &rootless_request(), &user_host(), cases);
    let mut config = good_rootless();
    config["linux"]["uidMappings"] = range;
    let refusal = plan(&config, &rootless_request(), &user_host()).unwrap_err();
    assert!(refusal.cure.contains("`1000:165000:600`"), "{refusal}");
    let bare = Host { newuidmap: None, ..user_host() };
    let refusal = plan(&config, &rootless_request(), &bare).unwrap_err();
    assert!(refusal.cure.contains("apt install uidmap"), "{refusal}");
    expect(refusal, "/linux/uidMappings", "only newuidmap and newgidmap may map");
    let mut config = good_rootless();
    set(&mut config, "/linux/namespaces/-", json!({"type": "network"}));
    let moves = vec![("/linux/netDevices", json!({"eth0": {}}), "/linux/netDevices", "not supported for rootless")];
    refuse_all(config, &rootless_request(), &user_host(), moves);
}

#[test]
fn mounts() {
    let mount = |value: Value| value;
    let map = json!([{"containerID": 0, "hostID": 5, "size": 1}]);
    let broken = json!([{"containerID": 0, "hostID": 5, "size": 0}]);
    let new = |destination: &str, fstype: &str, options: Value| json!({"destination": destination, "type": fstype, "source": "s", "options": options});
    let at = "/mounts/-";
    let cases = vec![
        (at, new("/", "tmpfs", json!([])), "/mounts/1/destination", "on the top of rootfs"),
        (at, new("/../.", "tmpfs", json!([])), "/mounts/1/destination", "on the top of rootfs"),
        (at, new("/a", "", json!(["ro"])), "/mounts/1/type", "neither a type nor the option `bind`"),
        (at, new("/a", "none", json!([])), "/mounts/1/type", "neither a type nor the option `bind`"),
        (at, mount(json!({"destination": "/a", "options": ["bind"]})), "/mounts/1/source", "a bind mount needs a source"),
        (at, new("/a", "bind", json!(["rbind", "size=1"])), "/mounts/1/options/1", "cannot have any filesystem-specific options"),
        (at, new("/a", "tmpfs", json!(["remount", "size=1"])), "/mounts/1/options/1", "a remount changes the mount"),
        (at, new("/a", "cgroup", json!(["cpu"])), "/mounts/1/options/0", "takes no parameters"),
        (at, new("/a", "tmpfs", json!(["ro", "copy-symlink"])), "/mounts/1/options/1", "`copy-symlink` is crun's"),
        (at, new("/a", "bind", json!(["bind", "idmap=uids=0-1-1"])), "/mounts/1/options/1", "is crun's and not supported"),
        (at, new("/a", "tmpfs", json!(["size=1\n"])), "/mounts/1/options/0", "control character"),
        (at, new("/a", "tmpfs", json!(["=1"])), "/mounts/1/options/0", "a value and no name"),
        (at, new("/a", "proc", json!(["tmpcopyup"])), "/mounts/1/options/0", "tmpcopyup is for a new tmpfs"),
        (at, new("/a", "bind", json!(["bind", "tmpcopyup"])), "/mounts/1/options/1", "tmpcopyup is for a new tmpfs"),
        (at, new("/a", "tm\0pfs", json!([])), "/mounts/1", "null byte"),
        (at, new("/a\0", "tmpfs", json!([])), "/mounts/1/destination", "is not a path"),
        (at, new("/proc", "tmpfs", json!([])), "/mounts/1/destination", "not of type proc"),
        (at, new("/proc", "bind", json!(["bind"])), "/mounts/1/destination", "not of type proc"),
        (at, new("/proc/self", "tmpfs", json!([])), "/mounts/1/destination", "it is inside /proc"),
        (at, new("proc/../proc/sys", "bind", json!(["bind"])), "/mounts/1/destination", "it is inside /proc"),
        (at, new("/a", "tmpfs", json!(["idmap"])), "/mounts/1", "only supported for bind-mounts"),
        (at, new("/a", "bind", json!(["bind", "idmap"])), "/mounts/1", "must have both uid and gid mappings"),
        (
            at,
            mount(json!({"destination": "/a", "source": "/s", "options": ["bind"], "uidMappings": map})),
            "/mounts/1",
            "must have both uid and gid mappings",
        ),
        (
            at,
            mount(json!({"destination": "/a", "source": "/s", "options": ["bind"], "uidMappings": map, "gidMappings": broken})),
            "/mounts/1/gidMappings/0",
            "its size is 0",
        ),
    ];
    refuse_all(good(), &request(), &root_host(), cases);
    let rootless = vec![(at, new("/a", "bind", json!(["bind", "idmap"])), "/mounts/1", "not supported for rootless containers")];
    refuse_all(good_rootless(), &rootless_request(), &user_host(), rootless);
    let bare = Host { cgroups: CgroupLayout::Absent, ..root_host() };
    let cgroup = vec![(at, new("/sys/fs/cgroup", "cgroup", json!([])), "/mounts/1/type", "no cgroup file system mounted")];
    refuse_all(good(), &request(), &bare, cgroup);
}

#[test]
fn devices_and_paths() {
    let device = |value: Value| json!([value]);
    let at = "/linux/devices";
    let cases = vec![
        (at, device(json!({"type": "a", "path": "/dev/x"})), "/linux/devices/0/type", "invalid device type \"a\""),
        (at, device(json!({"type": "c", "path": "dev/x", "major": 1, "minor": 1})), "/linux/devices/0/path", "not the full path"),
        (at, device(json!({"type": "c", "path": "", "major": 1, "minor": 1})), "/linux/devices/0/path", "not the full path"),
        (at, device(json!({"type": "c", "path": "/..", "major": 1, "minor": 1})), "/linux/devices/0/path", "not the full path"),
        (at, device(json!({"type": "c", "path": "/dev/x", "major": 4096, "minor": 1})), "/linux/devices/0/major", "4096 is not"),
        (at, device(json!({"type": "b", "path": "/dev/x", "major": 1, "minor": -1})), "/linux/devices/0/minor", "-1 is not"),
        ("/linux/maskedPaths", json!(["/proc/kcore", "proc/keys"]), "/linux/maskedPaths/1", "is not absolute"),
        ("/linux/readonlyPaths", json!([""]), "/linux/readonlyPaths/0", "is not absolute"),
    ];
    refuse_all(good(), &request(), &root_host(), cases);
}

#[test]
fn network_devices() {
    let mut config = good();
    set(&mut config, "/linux/namespaces/-", json!({"type": "network"}));
    let at = "/linux/netDevices";
    let cases = vec![
        (at, json!({"a/b": {}}), "/linux/netDevices/a/b", "invalid network device name \"a/b\""),
        (at, json!({"e": {"name": "a b"}}), "/linux/netDevices/e/name", "invalid network device name \"a b\""),
        (at, json!({"e": {"name": ".."}}), "/linux/netDevices/e/name", "invalid network device name"),
        (at, json!({"e": {"name": "sixteen_bytes_xx"}}), "/linux/netDevices/e/name", "1 to 15 bytes"),
        (at, json!({"e": {"name": "a%s"}}), "/linux/netDevices/e/name", "a template has one %d"),
        (at, json!({"e": {"name": "%d%d"}}), "/linux/netDevices/e/name", "a template has one %d"),
        (at, json!({"a": {"name": "x"}, "b": {"name": "x"}}), "/linux/netDevices/a/name", "two devices are named \"x\""),
    ];
    refuse_all(config, &request(), &root_host(), cases);
}

#[test]
fn sysctl() {
    let cases = vec![
        (
            "/linux/sysctl",
            json!({"net.ipv4.ip_forward": "1"}),
            "/linux/sysctl/net.ipv4.ip_forward",
            "not allowed in host network namespace",
        ),
        ("/linux/sysctl", json!({"kernel.shmmax": "1"}), "/linux/sysctl/kernel.shmmax", "not allowed in the hosts ipc namespace"),
        (
            "/linux/sysctl",
            json!({"fs.mqueue.msg_max": "1"}),
            "/linux/sysctl/fs.mqueue.msg_max",
            "not allowed in the hosts ipc namespace",
        ),
        (
            "/linux/sysctl",
            json!({"user.max_pid_namespaces": "1"}),
            "/linux/sysctl/user.max_pid_namespaces",
            "without a user namespace",
        ),
        (
            "/linux/sysctl",
            json!({"kernel.domainname": "x"}),
            "/linux/sysctl/kernel.domainname",
            "not in a separate kernel namespace",
        ),
        ("/linux/sysctl", json!({"kernel.hostname": "x"}), "/linux/sysctl/kernel.hostname", "not in a separate kernel namespace"),
    ];
    refuse_all(good(), &request(), &root_host(), cases);
    let mut config = good();
    config["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}]);
    let field = "/linux/sysctl/net.ipv4.ip_forward";
    let cases = vec![
        (
            "/linux/sysctl",
            json!({"kernel.core_pattern": "|/x"}),
            "/linux/sysctl/kernel.core_pattern",
            "sysctl \"kernel.core_pattern\" is not in a separate kernel namespace",
        ),
        ("/linux/sysctl", json!({"vm/swappiness": "1"}), "/linux/sysctl/vm~1swappiness", "is not in a separate kernel namespace"),
        (
            "/linux/sysctl",
            json!({"kernel.hostname": "x"}),
            "/linux/sysctl/kernel.hostname",
            "conflicts with the OCI \"hostname\" field",
        ),
        ("/linux/sysctl", json!({"net": "1"}), "/linux/sysctl/net", "is not in a separate kernel namespace"),
        (
            "/linux/sysctl",
            json!({"net/../kernel/core_pattern": "1"}),
            "/linux/sysctl/net~1..~1kernel~1core_pattern",
            "is not a parameter's name",
        ),
        ("/linux/sysctl", json!({"net.//.kernel": "1"}), "/linux/sysctl/net.~1~1.kernel", "is not a parameter's name"),
        ("/linux/sysctl", json!({"net..x": "1"}), "/linux/sysctl/net..x", "is not a parameter's name"),
        ("/linux/sysctl", json!({"": "1"}), "/linux/sysctl/", "is not a parameter's name"),
        ("/linux/sysctl", json!({"net.x\n": "1"}), "/linux/sysctl/net.x\n", "is not a parameter's name"),
        ("/linux/sysctl", json!({"net.a+net.b": "1"}), "/linux/sysctl/net.a+net.b", "is not a parameter's name"),
        ("/linux/sysctl", json!({"net.ipv4.ip_forward": "1\n2"}), field, "holds more than a value"),
        ("/linux/sysctl", json!({"net.ipv4.ip_forward": "1\u{0}"}), field, "holds more than a value"),
        (
            "/linux/sysctl",
            json!({"kernel.shm_rmid_forced": "1+kernel.core_pattern=|/x"}),
            "/linux/sysctl/kernel.shm_rmid_forced",
            "holds more than a value",
        ),
        ("/linux/sysctl", json!({"net.ipv4.x": "1", "net/ipv4/x": "2"}), "/linux/sysctl", "is set twice"),
    ];
    refuse_all(config, &request(), &root_host(), cases);
}

#[test]
fn process() {
    let cases = vec![
        ("/process/args", json!([]), "/process/args", "args must not be empty"),
        ("/process/args", Value::Null, "/process/args", "args must not be empty"),
        ("/process/args", json!(["a", "b\u{0}"]), "/process/args/1", "nul byte"),
        ("/process/cwd", json!(""), "/process/cwd", "Cwd property must not be empty"),
        ("/process/cwd", json!("srv"), "/process/cwd", "Cwd must be an absolute path"),
        ("/process/env", json!(["A=1", "B"]), "/process/env/1", "invalid environment variable: missing '='"),
        ("/process/env", json!(["=1"]), "/process/env/0", "name cannot be empty"),
        ("/process/env", json!(["A=\u{0}"]), "/process/env/0", "contains nul byte"),
        ("/process/user/umask", json!(512), "/process/user/umask", "more than permission bits"),
        ("/process/oomScoreAdj", json!(1001), "/process/oomScoreAdj", "invalid oomScoreAdj 1001"),
        (
            "/process/apparmorProfile",
            json!("docker-default"),
            "/process/apparmorProfile",
            "apparmor: config provided but apparmor not supported",
        ),
        ("/process/selinuxLabel", json!("a:b:c"), "/process/selinuxLabel", "selinux is disabled or not supported"),
        (
            "/process/rlimits",
            json!([{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}, {"type": "RLIMIT_CPU", "soft": 1, "hard": 1}]),
            "/process/rlimits/1/type",
            "duplicate rlimit type RLIMIT_CPU",
        ),
        (
            "/process/rlimits",
            json!([{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]),
            "/process/rlimits/0/soft",
            "is above its hard limit",
        ),
    ];
    refuse_all(good(), &request(), &root_host(), cases);
    let mut terminal = good();
    set(&mut terminal, "/process/terminal", json!(true));
    let size =
        vec![("/process/consoleSize", json!({"height": 70_000, "width": 1}), "/process/consoleSize/height", "cannot have 70000")];
    refuse_all(terminal, &request(), &root_host(), size);
}

#[test]
fn scheduling() {
    let scheduler = |value: Value| value;
    let at = "/process/scheduler";
    let cases = vec![
        (at, scheduler(json!({"policy": "SCHED_ISO"})), "/process/scheduler/policy", "SCHED_ISO is reserved"),
        (at, scheduler(json!({"policy": "SCHED_OTHER", "nice": 20})), "/process/scheduler/nice", "invalid scheduler.nice: 20"),
        (
            at,
            scheduler(json!({"policy": "SCHED_BATCH", "priority": 1})),
            "/process/scheduler/priority",
            "only be specified for SchedFIFO",
        ),
        (at, scheduler(json!({"policy": "SCHED_FIFO"})), "/process/scheduler/priority", "invalid scheduler.priority: 0"),
        (
            at,
            scheduler(json!({"policy": "SCHED_RR", "priority": 100})),
            "/process/scheduler/priority",
            "invalid scheduler.priority: 100",
        ),
        (
            at,
            scheduler(json!({"policy": "SCHED_IDLE", "runtime": 1})),
            "/process/scheduler/runtime",
            "only be specified for SchedDeadline",
        ),
        (
            at,
            scheduler(json!({"policy": "SCHED_DEADLINE", "runtime": 2, "deadline": 1})),
            "/process/scheduler/deadline",
            "0 < runtime",
        ),
        (
            "/process/ioPriority",
            json!({"class": "IOPRIO_CLASS_BE", "priority": 8}),
            "/process/ioPriority/priority",
            "invalid ioPriority.Priority: 8",
        ),
        (
            "/process/ioPriority",
            json!({"class": "IOPRIO_CLASS_BE", "priority": -1}),
            "/process/ioPriority/priority",
            "invalid ioPriority.Priority: -1",
        ),
        (
            "/process/execCPUAffinity",
            json!({"initial": "3-1"}),
            "/process/execCPUAffinity/initial",
            "bad CPUAffinity.Initial: invalid range: 3-1",
        ),
        ("/process/execCPUAffinity", json!({"final": "0-99999"}), "/process/execCPUAffinity/final", "larger than 65536"),
    ];
    refuse_all(good(), &request(), &root_host(), cases);
}

#[test]
fn memory_policy_and_personality() {
    let policy = "/linux/memoryPolicy";
    let cases = vec![
        (policy, json!({"mode": "MPOL_DEFAULT", "nodes": "0-7"}), "/linux/memoryPolicy/nodes", "mode requires 0 nodes but got 8"),
        (policy, json!({"mode": "MPOL_BIND"}), "/linux/memoryPolicy/nodes", "invalid memory policy"),
        (
            policy,
            json!({"mode": "MPOL_BIND", "nodes": "0-9876543210"}),
            "/linux/memoryPolicy/nodes",
            "invalid memory policy node",
        ),
        (policy, json!({"mode": "MPOL_BIND", "nodes": "x"}), "/linux/memoryPolicy/nodes", "\"x\" is not a number"),
        (policy, json!({"mode": "MPOL_BIND", "nodes": ","}), "/linux/memoryPolicy/nodes", "no members found"),
        (
            policy,
            json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]}),
            "/linux/memoryPolicy/flags",
            "invalid memory policy flag",
        ),
        (
            "/linux/personality",
            json!({"domain": "LINUX", "flags": ["X"]}),
            "/linux/personality/flags",
            "flag \"X\" is not supported",
        ),
    ];
    refuse_all(good(), &request(), &root_host(), cases);
}

#[test]
fn hooks() {
    let hook = |name: &str, hook: Value| json!({ name: [hook] });
    let cases = vec![
        ("/hooks", hook("prestart", json!({"path": "bin/x"})), "/hooks/prestart/0/path", "is not absolute"),
        ("/hooks", hook("createRuntime", json!({"path": ""})), "/hooks/createRuntime/0/path", "is not absolute"),
        (
            "/hooks",
            hook("createContainer", json!({"path": "/x", "timeout": 0})),
            "/hooks/createContainer/0/timeout",
            "not above zero",
        ),
        (
            "/hooks",
            hook("startContainer", json!({"path": "/x", "timeout": -1})),
            "/hooks/startContainer/0/timeout",
            "not above zero",
        ),
        ("/hooks", hook("poststart", json!({"path": "/x", "args": ["a\u{0}"]})), "/hooks/poststart/0", "nul byte"),
        ("/hooks", hook("poststop", json!({"path": "/x", "env": ["A"]})), "/hooks/poststop/0/env/0", "missing '='"),
    ];
    refuse_all(good(), &request(), &root_host(), cases);
}

#[test]
fn classes_of_service() {
    let at = "/linux/intelRdt";
    let cases = vec![
        (at, json!({"l3CacheSchema": "MB:0=1"}), "/linux/intelRdt/l3CacheSchema", "does not begin with L3"),
        (at, json!({"memBwSchema": "L3:0=1"}), "/linux/intelRdt/memBwSchema", "does not begin with MB:"),
        (at, json!({"memBwSchema": "MB:0=1\nL3:0=1"}), "/linux/intelRdt/memBwSchema", "is not one line"),
        (at, json!({"schemata": ["L3:0=1", "L2:"]}), "/linux/intelRdt/schemata/1", "is not one line"),
        (at, json!({"schemata": ["L3:0"]}), "/linux/intelRdt/schemata/0", "is not one line"),
        (at, json!({"closID": "../x"}), "/linux/intelRdt/closID", "cannot be the name"),
        (at, json!({"closID": "info"}), "/linux/intelRdt/closID", "cannot be the name"),
        (at, json!({"closID": ".."}), "/linux/intelRdt/closID", "cannot be the name"),
    ];
    let host = Host { resctrl: HostPath::new("/sys/fs/resctrl"), ..root_host() };
    refuse_all(good(), &request(), &host, cases);
    let named_so = Request { id: "mon_groups".to_owned(), ..request() };
    refuse_all(good(), &named_so, &host, vec![(at, json!({}), at, "cannot be the name")]);
}

#[test]
fn what_this_version_lacks() {
    let resources = |name: &str, value: Value| json!({ name: value });
    let at = "/linux/resources";
    let cases = vec![
        ("/linux/mountLabel", json!("x"), "/linux/mountLabel", "selinux is disabled or not supported"),
        ("/linux/intelRdt", json!({}), "/linux/intelRdt", "the host has no resctrl file system mounted"),
        (at, resources("cpu", json!({"realtimeRuntime": 1})), "/linux/resources/cpu/realtimeRuntime", "real-time"),
        (at, resources("network", json!({"classID": 1})), "/linux/resources/network/classID", "no network controllers"),
        (at, resources("unified", json!({"cgroup.procs": "1"})), "/linux/resources/unified/cgroup.procs", "limits nothing"),
        ("/linux/cgroupsPath", json!("/"), "/linux/cgroupsPath", "cannot be the root cgroup"),
        ("/linux/cgroupsPath", json!("/a\nb"), "/linux/cgroupsPath", "control character"),
    ];
    refuse_all(good(), &request(), &root_host(), cases);
    let systemd = Request { cgroups: CgroupManager::Systemd, ..request() };
    refuse_all(
        good(),
        &systemd,
        &root_host(),
        vec![
            ("/linux/cgroupsPath", json!("/x"), "/linux/cgroupsPath", "\"slice:prefix:name\""),
            ("/linux/cgroupsPath", json!("a/b.slice:x:y"), "/linux/cgroupsPath", "is not the name of a slice"),
        ],
    );
    expect(
        plan(&good(), &systemd, &hybrid_host()).unwrap_err(),
        "/linux/cgroupsPath",
        "systemd makes cgroups for containers only where cgroup v2 is the host's only hierarchy",
    );
    let old = Host { cgroups: CgroupLayout::Legacy { hierarchies: Vec::new(), unified: None }, ..hybrid_host() };
    let path = vec![
        ("/linux/cgroupsPath", json!("/x"), "/linux/cgroupsPath", "has no cgroup2 mount"),
        (at, resources("pids", json!({"limit": 1})), "/linux/resources/pids/limit", "has no cgroup2 mount"),
    ];
    refuse_all(good(), &request(), &old, path);
    // Its limits and its device rules would be the whole host's.
    let CgroupLayout::Legacy { hierarchies, .. } = hybrid_host().cgroups else { panic!("not version 1") };
    let alone = Host { cgroups: CgroupLayout::Legacy { hierarchies, unified: None }, ..hybrid_host() };
    let root = |path: &str| ("/linux/cgroupsPath", json!(path), "/linux/cgroupsPath", "cannot be the root cgroup");
    refuse_all(good(), &request(), &alone, vec![root("/"), root("."), root("..")]);
}

#[test]
fn seccomp() {
    let profile = |change: Value| {
        let mut profile = json!({ "defaultAction": "SCMP_ACT_ALLOW" });
        profile.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        profile
    };
    let notify = |names: &[&str]| json!([{ "names": names, "action": "SCMP_ACT_NOTIFY" }]);
    let at = "/linux/seccomp";
    let cases = vec![
        (
            at,
            profile(json!({ "syscalls": notify(&["mkdir"]) })),
            "/linux/seccomp/listenerPath",
            "seccomp listenerPath is not set",
        ),
        (
            at,
            profile(json!({ "syscalls": notify(&["mkdir"]), "listenerPath": "agent.sock" })),
            "/linux/seccomp/listenerPath",
            "not an absolute path",
        ),
        (
            at,
            profile(json!({ "syscalls": notify(&["mkdir", "write"]), "listenerPath": "/a" })),
            "/linux/seccomp/syscalls/0/names/1",
            "SCMP_ACT_NOTIFY cannot be used for the write syscall",
        ),
        (
            at,
            profile(json!({ "syscalls": notify(&["sendmsg"]), "listenerPath": "/a" })),
            "/linux/seccomp/syscalls/0/names/0",
            "SCMP_ACT_NOTIFY cannot be used for the sendmsg syscall",
        ),
        (at, profile(json!({ "listenerMetadata": "x" })), "/linux/seccomp/listenerMetadata", "without a listenerPath"),
        (at, json!({ "defaultAction": "SCMP_ACT_NOTIFY" }), "/linux/seccomp/defaultAction", "cannot be used as default action"),
        (
            at,
            profile(json!({ "syscalls": [{ "names": [], "action": "SCMP_ACT_LOG" }] })),
            "/linux/seccomp/syscalls/0/names",
            "at least one",
        ),
        (
            at,
            profile(json!({ "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 1 }] })),
            "/linux/seccomp/syscalls/0/action",
            "which takes none",
        ),
        (
            at,
            profile(json!({ "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"] })),
            "/linux/seccomp/flags",
            "needs a rule with SCMP_ACT_NOTIFY",
        ),
    ];
    refuse_all(good(), &request(), &root_host(), cases);
}
