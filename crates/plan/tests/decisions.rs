//! What is decided where several answers are possible, subject by subject.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod common;

use common::{hybrid_host, path, plan, request, root_host, rootless_request, user_host};
use libc::{
    MOUNT_ATTR__ATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY, MOUNT_ATTR_STRICTATIME, MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, MS_UNBINDABLE,
};
use serde_json::{Value, json};
use wolffia_plan::host::{CgroupLayout, IdRange};
use wolffia_plan::*;
use wolffia_spec::ProcessConfig;

fn config(mounts: Value, linux: Value) -> Value {
    let mut config = json!({
        "ociVersion": "1.3.0",
        "root": { "path": "rootfs" },
        "process": { "user": { "uid": 0, "gid": 0 }, "args": ["sh"], "cwd": "/" },
        "mounts": mounts,
        "linux": { "namespaces": [{ "type": "mount" }] }
    });
    for (key, value) in linux.as_object().unwrap() {
        config["linux"][key] = value.clone();
    }
    config
}

fn with_namespaces(kinds: &[&str]) -> Value {
    json!({ "namespaces": kinds.iter().map(|kind| json!({ "type": kind })).collect::<Vec<_>>() })
}

fn mount_with(mount: Value, linux: Value, host: &Host) -> Mount {
    plan(&config(json!([mount]), linux), &request(), host).unwrap().mounts.remove(0)
}

fn tmpfs(options: &[&str]) -> Mount {
    mount_with(json!({"destination": "/a", "type": "tmpfs", "options": options}), json!({}), &root_host())
}

fn bind(options: &[&str]) -> MountAttributes {
    mount_with(json!({"destination": "/a", "source": "/s", "options": options}), json!({}), &root_host()).attributes
}

/// A fresh file system without `noatime` and its kin has nothing to clear; `ro` of a tmpfs comes in the end.
#[test]
fn every_option_on_a_new_file_system() {
    let cases: &[(&[&str], u64)] = &[
        (&["defaults"], 0),
        (
            &[
                "async",
                "atime",
                "dev",
                "diratime",
                "exec",
                "loud",
                "noiversion",
                "nolazytime",
                "nomand",
                "rw",
                "suid",
                "symfollow",
            ],
            0,
        ),
        (&["norelatime"], 0),
        (&["nostrictatime"], 0),
        (&["relatime"], 0),
        (&["silent", "iversion"], 0),
        (&["noatime"], MOUNT_ATTR_NOATIME),
        (&["noatime", "atime"], 0),
        (&["noatime", "strictatime"], MOUNT_ATTR_STRICTATIME),
        (&["strictatime", "nostrictatime"], 0),
        (&["strictatime", "norelatime"], MOUNT_ATTR_STRICTATIME),
        (&["nodiratime"], MOUNT_ATTR_NODIRATIME),
        (&["nodiratime", "diratime"], 0),
        (&["nosuid", "nodev", "noexec"], MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC),
        (&["nosuid", "suid", "dev", "nodev"], MOUNT_ATTR_NODEV),
        (&["nosymfollow"], MOUNT_ATTR_NOSYMFOLLOW),
        (&["ro"], 0),
    ];
    for (options, set) in cases {
        let mount = tmpfs(options);
        assert_eq!(mount.attributes, MountAttributes { set: *set, ..Default::default() }, "{options:?}");
        assert_eq!(mount.late_readonly, options == &["ro"], "{options:?}");
    }
}

fn superblock(mount: &Mount) -> Vec<String> {
    let MountKind::Filesystem { options, .. } = &mount.what else { panic!("{mount:?} is not a file system") };
    options
        .iter()
        .map(|option| match option {
            FsOption::Value { key, value } => format!("{key}={value}"),
            FsOption::Flag { key } => key.clone(),
        })
        .collect()
}

#[test]
fn flags_of_a_superblock() {
    assert_eq!(superblock(&tmpfs(&["sync", "dirsync", "lazytime", "mand"])), ["dirsync", "lazytime", "mand", "sync"]);
    assert_eq!(superblock(&tmpfs(&["sync", "async", "lazytime", "nolazytime", "mand", "nomand", "ro", "rw"])), [""; 0]);
    assert_eq!(superblock(&tmpfs(&["iversion", "silent", "defaults", "size=1m", "", "huge", "size=2m"])), ["huge", "size=2m"]);
    let proc =
        mount_with(json!({"destination": "/proc", "type": "proc", "options": ["ro", "hidepid=2"]}), json!({}), &root_host());
    assert_eq!(superblock(&proc), ["hidepid=2", "ro"]);
    assert_eq!((proc.attributes.set, proc.late_readonly), (MOUNT_ATTR_RDONLY, false));
    let overlay = json!({"destination": "/o", "type": "overlay", "options": ["lowerdir+=/a", "lowerdir+=/b"]});
    assert_eq!(superblock(&mount_with(overlay, json!({}), &root_host())), ["lowerdir+=/a", "lowerdir+=/b"]);
    let dev = mount_with(json!({"destination": "dev/", "type": "devtmpfs", "options": ["ro"]}), json!({}), &root_host());
    assert_eq!((superblock(&dev), dev.attributes.set, dev.late_readonly), (vec![], 0, true));
}

#[test]
fn options_on_a_bind_mount() {
    let rest =
        |set: u64| (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW) & !set;
    let untouched: &[&[&str]] = &[
        &["bind"],
        &["rbind", "rprivate"],
        &["bind", "defaults"],
        &["bind", "atime"],
        &["bind", "norelatime", "nostrictatime", "diratime"],
        &["bind", "sync", "silent", "mand"],
    ];
    for options in untouched {
        assert_eq!(bind(options), MountAttributes::default(), "{options:?}");
    }
    let atime = MOUNT_ATTR__ATIME;
    let cases: &[(&[&str], u64, u64, u64)] = &[
        (&["bind", "ro"], MOUNT_ATTR_RDONLY, 0, rest(MOUNT_ATTR_RDONLY)),
        (&["bind", "rw"], 0, MOUNT_ATTR_RDONLY, rest(MOUNT_ATTR_RDONLY)),
        (&["bind", "ro", "rw"], 0, MOUNT_ATTR_RDONLY, rest(MOUNT_ATTR_RDONLY)),
        (&["bind", "suid", "nodev"], MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, rest(MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID)),
        (&["bind", "noatime"], MOUNT_ATTR_NOATIME, atime | MOUNT_ATTR_NODIRATIME, rest(0)),
        (&["bind", "relatime"], 0, atime | MOUNT_ATTR_NODIRATIME, rest(0)),
        (&["bind", "nodiratime"], MOUNT_ATTR_NODIRATIME, atime, rest(0)),
        (&["bind", "nodiratime", "strictatime"], MOUNT_ATTR_NODIRATIME | MOUNT_ATTR_STRICTATIME, atime, rest(0)),
        (&["bind", "remount", "ro"], MOUNT_ATTR_RDONLY, 0, 0),
        (&["remount", "rw", "nosuid"], MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, 0),
    ];
    for (options, set, clear, clear_unless_locked) in cases {
        let expected =
            MountAttributes { set: *set, clear: *clear, clear_unless_locked: *clear_unless_locked, ..Default::default() };
        assert_eq!(bind(options), expected, "{options:?}");
    }
}

#[test]
fn recursive_options() {
    let atime = MOUNT_ATTR__ATIME;
    let cases: &[(&[&str], u64, u64)] = &[
        (&["rro"], MOUNT_ATTR_RDONLY, 0),
        (&["rro", "rrw"], 0, MOUNT_ATTR_RDONLY),
        (&["rnosuid", "rnodev", "rnoexec"], MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0),
        (&["rsuid", "rdev", "rexec"], 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC),
        (&["rnosymfollow"], MOUNT_ATTR_NOSYMFOLLOW, 0),
        (&["rsymfollow"], 0, MOUNT_ATTR_NOSYMFOLLOW),
        (&["rnodiratime"], MOUNT_ATTR_NODIRATIME, 0),
        (&["rdiratime"], 0, MOUNT_ATTR_NODIRATIME),
        (&["rnoatime"], MOUNT_ATTR_NOATIME, atime),
        (&["ratime"], 0, atime),
        (&["rrelatime"], 0, atime),
        (&["rnorelatime"], 0, atime),
        (&["rstrictatime"], MOUNT_ATTR_STRICTATIME, atime),
        (&["rnoatime", "rstrictatime"], MOUNT_ATTR_STRICTATIME, atime),
        (&["rnostrictatime"], 0, atime),
    ];
    for (options, recursive_set, recursive_clear) in cases {
        let options: Vec<&str> = ["rbind"].into_iter().chain(options.iter().copied()).collect();
        let expected = MountAttributes { recursive_set: *recursive_set, recursive_clear: *recursive_clear, ..Default::default() };
        assert_eq!(bind(&options), expected, "{options:?}");
    }
}

#[test]
fn every_option_of_the_specification_is_listed() {
    let of_runc = "async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev nodiratime noexec noiversion \
        nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime remount rexec rnoatime \
        rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime \
        rsuid rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync tmpcopyup unbindable idmap ridmap";
    let names = mount_option_names();
    for name in of_runc.split_whitespace() {
        assert!(names.contains(&name), "{name} is missing");
    }
    assert!(names.is_sorted_by(|a, b| a < b), "sorted, and each once: {names:?}");
}

#[test]
fn kinds_of_mounts() {
    let here = mount_with(
        json!({"destination": "a/b", "source": "data", "type": "bind", "options": ["dest-nofollow", "src-nofollow"]}),
        json!({}),
        &root_host(),
    );
    assert_eq!(here.destination.as_str(), "/a/b", "a relative destination starts at the root");
    assert!(here.destination_nofollow);
    let source = path("/bundle/data");
    assert_eq!(here.what, MountKind::Bind { source, recursive: false, opened_by: Opener::Init, source_nofollow: true });
    let shared =
        mount_with(json!({"destination": "/a", "type": "none", "options": ["rshared", "unbindable"]}), json!({}), &root_host());
    assert_eq!((shared.what, shared.propagation), (MountKind::Propagation, vec![MS_SHARED | MS_REC, MS_UNBINDABLE]));
    assert!(tmpfs(&["size=1"]).mode_from_destination);
    assert!(!tmpfs(&["mode=755"]).mode_from_destination);
    assert!(tmpfs(&["tmpcopyup"]).copy_up);
}

fn user_namespace() -> Value {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    json!({"namespaces": [{"type": "mount"}, {"type": "user"}], "uidMappings": map, "gidMappings": map})
}

#[test]
fn a_user_namespace_of_root_leaves_the_host_to_the_runtime() {
    let plan = plan(
        &config(json!([{"destination": "/a", "source": "/s", "options": ["bind"]}]), user_namespace()),
        &request(),
        &root_host(),
    )
    .unwrap();
    assert!(matches!(plan.mounts[0].what, MountKind::Bind { opened_by: Opener::Parent, .. }));
    assert_eq!((plan.root.opened_by, plan.tuned_by), (Opener::Parent, Actor::Parent));
    assert!(matches!(
        plan.ids,
        Ids::Mapped { writer: MapWriter::Runtime, setgroups: Setgroups::Allow, setup: SetupIds { uid: 0, gid: 0 }, .. }
    ));
    assert!(plan.devices.iter().all(|device| matches!(device.how, DeviceHow::Bind { .. })), "mknod is not allowed there");
    assert_eq!(plan.self_protection, SelfProtection::NotWritable);
}

#[test]
fn what_stands_in_for_sysfs_and_proc() {
    let fallback = |fstype: &str, linux: Value, host: &Host| match mount_with(
        json!({"destination": format!("/{}", fstype.trim_end_matches("fs")), "type": fstype}),
        linux,
        host,
    )
    .what
    {
        MountKind::Filesystem { fallback, .. } => fallback,
        other => panic!("{other:?}"),
    };
    let sys = MountFallback::BindFromHost { source: path("/sys"), readonly: true };
    let proc = MountFallback::BindFromHost { source: path("/proc"), readonly: false };
    assert_eq!(fallback("sysfs", json!({}), &root_host()), MountFallback::Fail);
    assert_eq!(fallback("sysfs", user_namespace(), &root_host()), sys);
    assert_eq!(fallback("sysfs", json!({}), &Host { in_user_namespace: true, ..root_host() }), sys);
    assert_eq!(fallback("proc", json!({}), &root_host()), MountFallback::Fail);
    assert_eq!(fallback("proc", user_namespace(), &root_host()), proc);
    let mut own_pids = user_namespace();
    own_pids["namespaces"].as_array_mut().unwrap().push(json!({"type": "pid"}));
    assert_eq!(fallback("proc", own_pids, &root_host()), MountFallback::Fail, "the host's processes are not the container's");
}

#[test]
fn cgroup_views() {
    let view = |linux: Value, options: Value, host: &Host| {
        let mount = mount_with(json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "options": options}), linux, host);
        match mount.what {
            MountKind::Cgroup(view) => (view, mount.attributes.set & MOUNT_ATTR_RDONLY != 0),
            other => panic!("{other:?}"),
        }
    };
    let own = path("/sys/fs/cgroup/box");
    let private = with_namespaces(&["mount", "cgroup"]);
    assert_eq!(view(private.clone(), json!([]), &root_host()), (CgroupView::Unified { fallback: own.clone() }, false));
    assert_eq!(view(private.clone(), json!(["ro"]), &root_host()), (CgroupView::Unified { fallback: own.clone() }, true));
    let bound = CgroupView::UnifiedBind { source: path("/sys/fs/cgroup") };
    assert_eq!(view(json!({}), json!([]), &root_host()), (bound.clone(), false));
    assert_eq!(view(json!({}), json!(["ro"]), &root_host()), (bound.clone(), true));
    let disabled = Request { cgroups: CgroupManager::Disabled, ..request() };
    let mount = json!([{"destination": "/sys/fs/cgroup", "type": "cgroup"}]);
    let without = plan(&config(mount, json!({})), &disabled, &root_host()).unwrap().mounts.remove(0).attributes;
    assert_eq!(
        without.recursive_set & MOUNT_ATTR_RDONLY,
        MOUNT_ATTR_RDONLY,
        "it has no cgroup of its own; nor what is mounted below"
    );
    let users = || with_namespaces(&["mount", "user"]);
    let (user, asked) = (view(users(), json!([]), &user_host()), view(users(), json!(["rw"]), &user_host()));
    assert_eq!((user, asked), ((bound.clone(), true), (bound, false)), "the host's are a user's only for the asking");
    let placed = view(json!({"cgroupsPath": "/a"}), json!([]), &hybrid_host());
    let (CgroupView::Legacy { hierarchies }, false) = placed else { panic!("not its own: {placed:?}") };
    assert_eq!(hierarchies[0].source, path("/sys/fs/cgroup/cpu,cpuacct/a"));
    let (CgroupView::Legacy { hierarchies }, true) = view(json!({}), json!([]), &hybrid_host()) else {
        panic!("not read-only v1")
    };
    assert_eq!(hierarchies[0].links, ["cpu", "cpuacct"]);
    assert_eq!(
        (&hierarchies[0].mount_options, &hierarchies[0].source),
        (&None, &path("/sys/fs/cgroup/cpu,cpuacct")),
        "the host's own"
    );
    let runtimes = view(private.clone(), json!([]), &hybrid_host());
    assert!(runtimes.1, "the namespace begins at the runtime's own cgroups: {runtimes:?}");
    let mut placed = private;
    placed["cgroupsPath"] = json!("/a");
    let (CgroupView::Legacy { hierarchies }, false) = view(placed, json!([]), &hybrid_host()) else { panic!("not writable v1") };
    assert_eq!(hierarchies[0].mount_options.as_deref().unwrap(), ["cpu", "cpuacct"]);
    assert_eq!(hierarchies[2].mount_options.as_deref().unwrap(), ["none", "name=systemd"]);
    assert!(hierarchies[2].links.is_empty());
}

/// By the rules of config-linux.md, "Cgroup ownership".
#[test]
fn cgroup_owners() {
    let owner = |kinds: &[&str], mount: Value, host: &Host, request: &Request, user: u32| {
        let mut config = config(json!([mount]), with_namespaces(kinds));
        if kinds.contains(&"user") {
            let map = json!([{"containerID": 0, "hostID": 100_000, "size": 10}, {"containerID": 10, "hostID": 1000, "size": 1}]);
            (config["linux"]["uidMappings"], config["linux"]["gidMappings"]) = (map.clone(), map);
        }
        config["process"]["user"]["uid"] = json!(user);
        plan(&config, request, host).unwrap().cgroup_owner
    };
    let mount = |kind: &str, source: &str, place: &str, options: Value| json!({"destination": place, "type": kind, "source": source, "options": options});
    let usual = mount("cgroup", "cgroup", "/sys/fs/cgroup", json!(["nosuid"]));
    let private = ["mount", "user", "cgroup"];
    let as_root = |kinds: &[&str], mount: &Value, user| owner(kinds, mount.clone(), &root_host(), &request(), user);
    assert_eq!(as_root(&private, &usual, 0), Some(100_000));
    assert_eq!(as_root(&private, &usual, 10), Some(1000), "the user whom the program runs as");
    assert_eq!(as_root(&private, &mount("cgroup2", "cgroup", "/sys/fs/cgroup/", json!([])), 1), Some(100_001));
    assert_eq!(as_root(&["mount", "cgroup"], &usual, 7), Some(7), "an id of the host's");
    assert_eq!(as_root(&["mount", "cgroup"], &usual, 0), None, "it is the runtime's already");
    assert_eq!(as_root(&["mount", "user"], &usual, 0), None, "the host's cgroups are in sight");
    let unusual = [
        mount("cgroup", "cgroup", "/sys/fs/cgroup", json!(["ro"])),
        mount("cgroup", "cgroup", "/sys/fs/cgroup", json!(["rro"])),
        mount("cgroup", "cgroups", "/sys/fs/cgroup", json!([])),
        mount("cgroup", "cgroup", "/cgroup", json!([])),
        mount("tmpfs", "cgroup", "/sys/fs/cgroup", json!([])),
    ];
    for mount in unusual {
        assert_eq!(as_root(&private, &mount, 0), None, "{mount}");
    }
    assert_eq!(owner(&private, usual.clone(), &hybrid_host(), &request(), 0), None, "version 1");
    let disabled = Request { cgroups: CgroupManager::Disabled, ..request() };
    assert_eq!(owner(&private, usual.clone(), &root_host(), &disabled, 0), None, "it has no cgroup of its own");
    let systemd = Request { cgroups: CgroupManager::Systemd, ..request() };
    assert_eq!(owner(&private, usual.clone(), &root_host(), &systemd, 0), Some(100_000));
    let own = Host { subordinate_uids: user_host().subordinate_uids, euid: 1000, ..root_host() };
    assert_eq!(owner(&private, usual, &own, &rootless_request(), 10), None, "it is the runtime's already");
}

#[test]
fn cgroup_paths() {
    let planned = |path: Value, request: &Request, host: &Host| {
        plan(&config(json!([]), json!({"cgroupsPath": path})), request, host).unwrap().cgroup
    };
    let place = |path: Value, host: &Host| match planned(path, &request(), host) {
        CgroupPlan::Unified { path, optional: false, .. } => path,
        other => panic!("{other:?}"),
    };
    let limited = |request: &Request| {
        let linux = json!({"resources": {"pids": {"limit": 7}, "memory": {"swappiness": 3}}});
        plan(&config(json!([]), linux), request, &root_host()).unwrap()
    };
    assert!(matches!(limited(&rootless_request()).cgroup, CgroupPlan::Unified { optional: false, .. }), "it is to be limited");
    assert_eq!(place(json!("/a/./b//../c"), &root_host()), "/a/c", "absolute is below the mount");
    assert_eq!(place(json!("/../../a"), &root_host()), "/a");
    assert_eq!(place(json!("a"), &root_host()), "/user.slice/a", "relative is beside the runtime's own");
    assert_eq!(place(json!("../../a"), &root_host()), "/user.slice/a", "and cannot climb");
    assert_eq!(place(Value::Null, &root_host()), "/box");
    assert_eq!(place(json!("a"), &hybrid_host()), "/a");
    let inside = Host { in_user_namespace: true, ..root_host() };
    let rootless = |path: Value| planned(path, &rootless_request(), &inside);
    assert!(matches!(rootless(Value::Null), CgroupPlan::Unified { optional: true, .. }));
    assert!(matches!(rootless(json!("/a")), CgroupPlan::Unified { optional: false, .. }));
    let disabled = Request { cgroups: CgroupManager::Disabled, ..request() };
    assert!(matches!(planned(json!("/a"), &disabled, &root_host()), CgroupPlan::Inherited { .. }));
    let unlimited = limited(&disabled);
    let recorded: Vec<&str> = unlimited.recorded.iter().map(|recorded| recorded.field.as_str()).collect();
    assert_eq!(recorded[..2], ["/linux/resources/memory/swappiness", "/linux/resources/pids/limit"]);
    assert!(!unlimited.resources.limits());
    let none = Host { cgroups: CgroupLayout::Absent, ..root_host() };
    assert!(matches!(planned(Value::Null, &request(), &none), CgroupPlan::Inherited { .. }));
}

#[test]
fn maps_of_a_user() {
    let planned =
        |host: &Host| plan(&config(json!([]), with_namespaces(&["mount", "user"])), &rootless_request(), host).unwrap().ids;
    let (own, rest) = (IdRange { container: 0, host: 1000, size: 1 }, IdRange { container: 1, host: 100_000, size: 65_536 });
    let Ids::Mapped { uids, gids, writer, setgroups, .. } = planned(&user_host()) else { panic!("not mapped") };
    assert_eq!((uids, gids, setgroups), (vec![own, rest], vec![own, rest], Setgroups::Allow));
    assert!(matches!(writer, MapWriter::Helpers { .. }));
    for host in [Host { newgidmap: None, ..user_host() }, Host { subordinate_gids: Vec::new(), ..user_host() }] {
        let Ids::Mapped { uids, gids, writer, setgroups, .. } = planned(&host) else { panic!("not mapped") };
        assert_eq!((uids, gids, writer, setgroups), (vec![own], vec![own], MapWriter::Runtime, Setgroups::Deny));
    }
}

#[test]
fn init_sets_up_as_an_id_that_exists() {
    let map = json!([{"containerID": 500, "hostID": 1000, "size": 1}]);
    let mut config =
        config(json!([]), json!({"namespaces": [{"type": "mount"}, {"type": "user"}], "uidMappings": map, "gidMappings": map}));
    config["process"]["user"] = json!({"uid": 500, "gid": 500});
    let plan = plan(&config, &rootless_request(), &user_host()).unwrap();
    assert!(matches!(plan.ids, Ids::Mapped { setup: SetupIds { uid: 500, gid: 500 }, .. }));
    assert_eq!(plan.process.unwrap().identity.groups, Groups::Keep);
}

#[test]
fn propagation_of_the_root() {
    let cases = [
        ("", MS_REC | MS_SLAVE, MS_SLAVE, None),
        ("private", MS_REC | MS_PRIVATE, MS_PRIVATE, None),
        ("rslave", MS_REC | MS_SLAVE, MS_SLAVE, None),
        ("shared", MS_SHARED, MS_PRIVATE, Some(MS_SHARED)),
        ("rshared", MS_SHARED | MS_REC, MS_PRIVATE, Some(MS_SHARED | MS_REC)),
        ("unbindable", MS_REC | MS_SLAVE, MS_SLAVE, Some(MS_UNBINDABLE)),
    ];
    for (name, host, parent, end) in cases {
        let root = plan(&config(json!([]), json!({"rootfsPropagation": name})), &request(), &root_host()).unwrap().root;
        assert_eq!((root.host_propagation, root.parent_propagation, root.propagation), (host, parent, end), "{name}");
    }
}

#[test]
fn devices_where_dev_is_the_hosts() {
    let devices =
        json!({"devices": [{"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229}, {"type": "p", "path": "/run/p"}]});
    let dev = json!([{"destination": "/dev", "source": "/dev", "options": ["rbind"]}]);
    let plan = plan(&config(dev, devices), &request(), &root_host()).unwrap();
    assert_eq!(plan.devices.iter().map(|device| device.path.as_str()).collect::<Vec<_>>(), ["/run/p"]);
    assert!(plan.device_links.is_empty());
    assert_eq!(plan.recorded[0].field, "/linux/devices/0");
}

/// There may be no mount that says so: a root that is the host's brings the host's /dev along, and devtmpfs is one for the machine.
#[test]
fn devices_where_dev_comes_with_the_hosts_root() {
    let made = |root: &str, mounts: Value| {
        let mut config = config(mounts, json!({}));
        config["root"]["path"] = json!(root);
        let plan = plan(&config, &request(), &root_host()).unwrap();
        assert_eq!(plan.devices.is_empty(), plan.device_links.is_empty());
        (!plan.devices.is_empty(), plan.recorded.iter().any(|missing| missing.field == "/root/path"))
    };
    let on_dev = |fstype: &str| json!([{ "destination": "/dev", "type": fstype }]);
    for root in ["/", "//", "/."] {
        assert_eq!(made(root, json!([])), (false, true), "{root}");
        assert_eq!(made(root, json!([{ "destination": "/dev/shm", "type": "tmpfs" }])), (false, true), "{root}");
        assert_eq!(made(root, on_dev("tmpfs")), (true, false), "{root}");
    }
    assert_eq!(made("rootfs", json!([])), (true, false));
    assert_eq!(made("rootfs", on_dev("devtmpfs")), (false, false));
    let covered =
        json!([{ "destination": "/dev", "source": "/dev", "options": ["bind"] }, { "destination": "/dev", "type": "tmpfs" }]);
    assert_eq!(made("rootfs", covered), (true, false), "what is on top counts");
}

fn environment(env: Value, uid: u32) -> Vec<String> {
    let mut config = config(json!([]), json!({}));
    config["process"]["env"] = env;
    config["process"]["user"]["uid"] = uid.into();
    plan(&config, &request(), &root_host()).unwrap().process.unwrap().env
}

#[test]
fn the_environment() {
    assert_eq!(environment(json!(["A=1", "B=2", "A=3=4"]), 0), ["B=2", "A=3=4"], "the last one counts, in its place");
    assert_eq!(environment(json!(["HOME=/srv", "X="]), 0), ["HOME=/srv", "X="]);
    assert_eq!(environment(json!(["HOME="]), 5), [""; 0], "an empty HOME is none");
}

#[test]
fn capabilities_that_cannot_be_granted() {
    let mut config = config(json!([]), json!({}));
    config["process"]["capabilities"] =
        json!({"bounding": ["CAP_KILL", "CAP_SYS_RESOURCE"], "permitted": ["CAP_KILL", "CAP_NOBODY_KNOWS"]});
    let host = Host { bounding_capabilities: root_host().bounding_capabilities & !(1 << 24), ..root_host() };
    let planned = plan(&config, &request(), &host).unwrap();
    let capabilities = planned.process.unwrap().capabilities;
    assert_eq!(capabilities, Capabilities { bounding: 1 << 5, permitted: 1 << 5, ..Default::default() });
    let reasons: Vec<&str> = planned.recorded.iter().map(|recorded| recorded.reason.as_str()).collect();
    assert!(reasons[0].contains("CAP_NOBODY_KNOWS") && reasons[1].contains("CAP_SYS_RESOURCE"), "{reasons:?}");
    config["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "user"}]);
    config["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 7, "size": 1}]);
    config["linux"]["gidMappings"] = json!([{"containerID": 0, "hostID": 7, "size": 1}]);
    let capabilities = plan(&config, &request(), &host).unwrap().process.unwrap().capabilities;
    assert_eq!(capabilities.bounding, 1 << 5 | 1 << 24, "a user namespace has a full bounding set of its own");
    config["process"].as_object_mut().unwrap().remove("capabilities");
    assert_eq!(plan(&config, &request(), &host).unwrap().process.unwrap().capabilities, Capabilities::default());
}

#[test]
fn mknod_is_withheld_where_no_device_program_bounds_it() {
    let planned = |linux: Value, request: &Request| {
        let mut config = config(json!([]), linux);
        config["process"]["capabilities"] =
            json!({"bounding": ["CAP_MKNOD"], "permitted": ["CAP_MKNOD"], "effective": ["CAP_MKNOD"]});
        plan(&config, request, &root_host()).unwrap()
    };
    let bounded = planned(json!({}), &request());
    assert_eq!(bounded.process.unwrap().capabilities.bounding, 1 << 27);
    assert_eq!(bounded.resources.devices.unwrap().len(), 11, "the default devices, also when nothing is said of any");
    let disabled = Request { cgroups: CgroupManager::Disabled, ..request() };
    let unbounded = planned(json!({}), &disabled);
    assert_eq!((unbounded.process.unwrap().capabilities, unbounded.withheld_capabilities), (Capabilities::default(), 1 << 27));
    let recorded = |text: &str| unbounded.recorded.iter().any(|recorded| recorded.reason.contains(text));
    assert!(recorded("CAP_MKNOD") && recorded("bounded by their modes alone"), "{:?}", unbounded.recorded);
    let inside = planned(user_namespace(), &disabled).process.unwrap().capabilities.bounding;
    assert_eq!(inside, 1 << 27, "a user namespace makes it harmless");
}

#[test]
fn no_process_is_no_error() {
    let mut config = config(json!([]), json!({}));
    config.as_object_mut().unwrap().remove("process");
    assert_eq!(plan(&config, &request(), &root_host()).unwrap().process, None);
}

#[test]
fn readonly_annotation_only_strengthens() {
    let mut config = config(json!([]), json!({}));
    config["annotations"] = json!({"io.wolffia.root.readonly": "recursive", "io.wolffia.unknown": "x"});
    let root = plan(&config, &request(), &root_host()).unwrap().root;
    assert_eq!((root.readonly, root.readonly_recursive), (true, true));
}

#[test]
fn the_runtimes_binary() {
    let protection = |binary: BinaryOwner, linux: Value, host: &Host| {
        let request = Request { binary, ..rootless_request() };
        plan(&config(json!([]), linux), &request, host).unwrap().self_protection
    };
    let binary = |uid, gid, mode| BinaryOwner { uid, gid, mode };
    let user = with_namespaces(&["mount", "user"]);
    let cases = [
        (binary(0, 0, 0o755), user.clone(), SelfProtection::NotWritable, "nobody in the container is root outside"),
        (binary(1000, 1000, 0o555), user.clone(), SelfProtection::Sealed, "its owner may change the mode"),
        (binary(100_005, 0, 0o755), user.clone(), SelfProtection::Sealed, "its owner is in the container"),
        (binary(0, 1000, 0o775), user.clone(), SelfProtection::Sealed, "its group is in the container"),
        (binary(0, 0, 0o757), user, SelfProtection::Sealed, "everybody may write it"),
    ];
    for (binary, linux, expected, why) in cases {
        assert_eq!(protection(binary, linux, &user_host()), expected, "{why}");
    }
    assert_eq!(protection(binary(0, 0, 0o555), json!({}), &root_host()), SelfProtection::Sealed, "root is root");
    let single = Host { newuidmap: None, ..user_host() };
    let denied = protection(binary(0, 44, 0o775), with_namespaces(&["mount", "user"]), &single);
    assert_eq!(denied, SelfProtection::Sealed, "the caller's groups stay, and 44 may be one of them");
}

#[test]
fn the_callers_groups_stay_where_the_annotation_of_crun_wants_it() {
    let mut config = config(json!([]), with_namespaces(&["mount", "user"]));
    config["process"]["user"] = json!({"uid": 0, "gid": 0, "additionalGids": [0, 5]});
    let request = Request { binary: BinaryOwner { uid: 0, gid: 44, mode: 0o775 }, ..rootless_request() };
    let mut planned = |value: &str| {
        config["annotations"] = json!({"run.oci.keep_original_groups": value, "run.oci.systemd.subgroup": ""});
        plan(&config, &request, &user_host()).unwrap()
    };
    let (kept, set) = (planned("1"), planned("0"));
    assert_eq!(kept.process.unwrap().identity.groups, Groups::Keep);
    assert_eq!(kept.recorded.iter().map(|one| one.field.as_str()).collect::<Vec<_>>(), ["/process/user/additionalGids"]);
    assert_eq!(kept.self_protection, SelfProtection::Sealed, "44 may be one of them");
    assert_eq!(set.process.unwrap().identity.groups, Groups::Set(vec![0, 5]));
    assert_eq!((set.recorded, set.self_protection), (vec![], SelfProtection::NotWritable));
}

#[test]
fn annotations_of_crun_that_are_not_carried_out_are_recorded() {
    let mut config = config(json!([]), json!({}));
    config["annotations"] = json!({"run.oci.hooks.stdout": "/tmp/x", "run.oci.delegate-cgroup": "below", "org.example": "y"});
    let recorded = plan(&config, &request(), &root_host()).unwrap().recorded;
    let fields: Vec<&str> = recorded.iter().map(|one| one.field.as_str()).filter(|field| field.starts_with("/anno")).collect();
    assert_eq!(fields, ["/annotations/run.oci.delegate-cgroup", "/annotations/run.oci.hooks.stdout"]);
}

#[test]
fn exec_takes_what_the_container_has() {
    let host = user_host();
    let mut linux = with_namespaces(&["mount", "user"]);
    linux["personality"] = json!({"domain": "LINUX32"});
    let plan = plan(&config(json!([]), linux), &rootless_request(), &host).unwrap();
    let Ids::Mapped { uids, gids, setgroups, .. } = plan.ids else { panic!("not mapped") };
    let context = ProcessContext {
        field: String::new(),
        role: Role::Exec,
        ids: KnownIds { uids: Some(uids), gids: Some(gids) },
        setgroups,
        keeps_groups: false,
        user_namespace_inherited: false,
        withheld_capabilities: plan.withheld_capabilities,
        notify_socket: false,
        personality: plan.process.and_then(|process| process.personality),
        memory_policy: None,
        seccomp: None,
        landlock: Vec::new(),
        descriptors: Descriptors { listen: 0, preserve: 1 },
    };
    let parse = |process: Value| ProcessConfig::parse(process.to_string().as_bytes()).unwrap();
    let given = parse(
        json!({"user": {"uid": 3, "gid": 4}, "args": ["id"], "cwd": "/", "execCPUAffinity": {"initial": "0-2,5", "final": "1"}}),
    );
    let (process, recorded) = plan_process(&given.process, &given.extra, &context, &host).unwrap();
    assert_eq!(process.cpu_affinity, CpuAffinity { initial: Some(vec![0, 1, 2, 5]), last: Some(vec![1]) });
    assert_eq!((process.personality, process.identity.uid, process.descriptors.preserve), (Some(8), 3, 1));
    assert!(recorded.is_empty());
    let given = parse(json!({"user": {"uid": 70_000, "gid": 0}, "args": ["id"], "cwd": "/"}));
    assert_eq!(plan_process(&given.process, &given.extra, &context, &host).unwrap_err().field, "/user/uid");
}

#[test]
fn sysctl_names() {
    let linux = json!({
        "namespaces": [{"type": "mount"}, {"type": "network"}, {"type": "ipc", "path": "/proc/7/ns/ipc"}],
        "sysctl": {"net/ipv4/conf/eno2.100/rp_filter": "1", "net.ipv6.conf.eno2/7.rp_filter": "2\t3", "kernel.sem": "1 2 3 4"}
    });
    let sysctl = plan(&config(json!([]), linux), &request(), &root_host()).unwrap().sysctl;
    let found: Vec<_> = sysctl.iter().map(|sysctl| (sysctl.path.as_str(), sysctl.namespace)).collect();
    let net = NamespaceKind::Network;
    assert_eq!(
        found,
        [("kernel/sem", NamespaceKind::Ipc), ("net/ipv4/conf/eno2.100/rp_filter", net), ("net/ipv6/conf/eno2.7/rp_filter", net)]
    );
}
