//! New and joined namespaces, and the ids of user namespaces.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use rustix::process::Signal;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::time::Duration;
use wolffia_tests::{ANYBODY, Bundle, Case, ROOT, ROOTLESS, SUBIDS, USER, Value, json, scenario, wait_until};

const PATIENCE: Duration = Duration::from_secs(5);

fn namespaces(config: &mut Value) -> &mut Vec<Value> {
    config["linux"]["namespaces"].as_array_mut().unwrap()
}

fn namespace(pid: i64, file: &str) -> String {
    std::fs::read_link(format!("/proc/{pid}/ns/{file}")).unwrap().display().to_string()
}

/// Another container, whose namespaces are joined: what a pod does. Its first process's pid.
fn holder(case: &Case, edit: impl FnOnce(&mut Value)) -> i64 {
    let bundle = case.shell("exec sleep 300");
    bundle.edit(edit);
    case.state(&case.started(&bundle))["pid"].as_i64().unwrap()
}

/// Joins these namespaces of the process instead of making them. Who is not root can join only what belongs to a user namespace
/// that is joined too.
fn join(case: &Case, bundle: &Bundle, pid: i64, kinds: &[(&str, &str)]) {
    bundle.edit(|config| {
        let mut all = kinds.to_vec();
        if !case.identity.is_root() {
            all.push(("user", "user"));
            config["linux"].as_object_mut().unwrap().retain(|key, _| key != "uidMappings" && key != "gidMappings");
        }
        for (kind, file) in all {
            namespaces(config).retain(|one| one["type"] != kind);
            namespaces(config).push(json!({ "type": kind, "path": format!("/proc/{pid}/ns/{file}") }));
        }
    });
}

/// `run` of a container that nothing may hold together, without the warning of that.
fn unwarned(case: &Case, bundle: &Bundle, id: &str, flags: &[&str]) -> String {
    let call = case.wolffia().args(["--log-level", "error", "run", "--bundle"]).arg(bundle.path());
    call.args(flags).arg(id).run().succeeds()
}

fn with_network(config: &mut Value) {
    namespaces(config).retain(|one| one["type"] != "network");
    namespaces(config).push(json!({ "type": "network" }));
}

#[test]
fn namespaces_of_another_container_are_joined() {
    scenario(ANYBODY, |case| {
        let pid = holder(case, with_network);
        let kinds = [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")];
        let script = "for n in net ipc uts pid user; do readlink /proc/self/ns/$n; done";
        let bundle = case.shell(script);
        bundle.edit(|config| drop(config.as_object_mut().unwrap().remove("hostname")));
        join(case, &bundle, pid, &kinds);
        let expected: String = ["net", "ipc", "uts", "pid", "user"].map(|file| namespace(pid, file) + "\n").concat();
        assert_eq!(unwarned(case, &bundle, &case.id(), &[]), expected);
        // Its end is not theirs.
        assert!(Path::new(&format!("/proc/{pid}/exe")).exists());
    });
}

#[test]
fn a_container_in_another_ones_pid_namespace_can_be_entered_and_killed() {
    scenario(ANYBODY, |case| {
        let pid = holder(case, |_| {});
        let bundle = case.shell("exec sleep 301");
        join(case, &bundle, pid, &[("pid", "pid")]);
        let id = case.id();
        unwarned(case, &bundle, &id, &["--detach"]);
        let out = case.wolffia().args(["exec", &id, "readlink", "/proc/self/ns/pid"]).run().succeeds();
        assert_eq!(out.trim(), namespace(pid, "pid"));
        case.wolffia().args(["kill", &id, "KILL"]).run().succeeds();
        case.wait_for_status(&id, "stopped");
        case.wolffia().args(["delete", &id]).run().succeeds();
    });
}

/// As runc warns of a rootless one.
#[test]
fn what_neither_a_cgroup_nor_a_pid_namespace_holds_together_is_warned_of() {
    scenario(ANYBODY, |case| {
        let warns = |bundle: &Bundle, manager: &str| {
            let call = case.wolffia().args(["--cgroup-manager", manager, "run", "--bundle"]);
            let outcome = call.arg(bundle.path()).arg(case.id()).run();
            assert_eq!(outcome.code(), 0, "{outcome}");
            outcome.stderr.contains("level=warning") && outcome.stderr.contains("Such configuration is strongly discouraged")
        };
        let bundle = case.shell("true");
        assert!(!warns(&bundle, "disabled"), "a pid namespace of its own");
        join(case, &bundle, holder(case, |_| {}), &[("pid", "pid")]);
        assert!(warns(&bundle, "disabled"), "another one's pid namespace");
        let bundle = case.shell("true");
        bundle.edit(|config| {
            let options = json!(["rbind", "nosuid", "nodev", "noexec"]);
            config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "proc");
            let proc = json!({ "destination": "/proc", "type": "none", "source": "/proc", "options": options });
            config["mounts"].as_array_mut().unwrap().insert(0, proc);
            namespaces(config).retain(|one| one["type"] != "pid");
        });
        assert!(warns(&bundle, "disabled"), "the host's pid namespace");
        assert_eq!(warns(&bundle, "cgroupfs"), !case.identity.is_root(), "a cgroup, where the caller may make one");
    });
}

/// An engine makes the network namespace as root of the host, and the container's user namespace has no rights over it.
#[test]
fn a_network_namespace_of_the_hosts_and_a_user_namespace_of_its_own() {
    scenario(ROOT, |case| {
        let unshared = case.program("unshare").args(["--net", "sleep", "300"]).spawn();
        let path = format!("/proc/{}/ns/net", unshared.pid());
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        assert!(wait_until(PATIENCE, || std::fs::read_link(&path).is_ok_and(|net| net != own)));
        let net = namespace(unshared.pid().into(), "net");
        let bundle = case.shell("exec sleep 300");
        bundle.edit(|config| {
            namespaces(config).retain(|one| one["type"] != "network");
            namespaces(config).extend([json!({ "type": "network", "path": path }), json!({ "type": "user" })]);
            let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
            config["linux"]["uidMappings"] = map.clone();
            config["linux"]["gidMappings"] = map;
            config["mounts"].as_array_mut().unwrap().retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/sys"));
        });
        let id = case.started(&bundle);
        let out =
            case.wolffia().args(["exec", &id, "sh", "-c", "readlink /proc/self/ns/net; id -u; cat /proc/self/uid_map"]).run();
        assert_eq!(out.succeeds().split_whitespace().collect::<Vec<_>>(), [&*net, "0", "0", "100000", "65536"]);
        unshared.signal(Signal::KILL);
        unshared.wait(PATIENCE);
    });
}

#[test]
fn a_path_that_is_no_namespace_or_another_kind_is_named() {
    scenario(ANYBODY, |case| {
        for (path, words) in [
            ("/etc/passwd", "/etc/passwd is not a namespace"),
            ("/proc/self/ns/uts", "/proc/self/ns/uts is not a network namespace"),
            ("/nosuchnamespace", "/nosuchnamespace"),
        ] {
            let edit = |config: &mut Value| {
                namespaces(config).retain(|one| one["type"] != "network");
                namespaces(config).push(json!({ "type": "network", "path": path }));
            };
            case.run_shell("true", edit).fails(1, words);
        }
        case.run_shell("true", |config| namespaces(config).push(json!({ "type": "pid" }))).fails(1, "pid");
    });
}

#[test]
fn a_new_network_namespace_has_a_loopback_that_works() {
    scenario(ANYBODY, |case| {
        let out = case
            .run_shell("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '; ip link show lo | grep -o LOWER_UP", with_network);
        assert_eq!(out.succeeds(), "lo\nLOWER_UP\n");
    });
}

#[test]
fn clocks_can_be_moved() {
    scenario(ANYBODY, |case| {
        let out = case.run_shell("cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets", |config| {
            namespaces(config).push(json!({ "type": "time" }));
            config["linux"]["timeOffsets"] =
                json!({ "boottime": { "secs": 10_000_000 }, "monotonic": { "secs": 5, "nanosecs": 7 } });
        });
        let out = out.succeeds();
        let words: Vec<&str> = out.split_whitespace().collect();
        assert!(words[0].parse::<u64>().unwrap() > 10_000_000, "{out}");
        assert_eq!(words[1..], ["monotonic", "5", "7", "boottime", "10000000", "0"]);
    });
}

#[test]
fn a_single_id_needs_no_helper() {
    scenario(USER, |case| {
        let out = case.run_shell("cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups", |_| {}).succeeds();
        let own = case.own_id().to_string();
        assert_eq!(out.split_whitespace().collect::<Vec<_>>(), ["0", &own, "1", "0", &own, "1", "deny"]);
    });
}

#[test]
fn ranges_are_mapped_by_newuidmap() {
    scenario(SUBIDS, |case| {
        let script = "cat /proc/self/uid_map; id -u; touch /dev/shm/x; chown 1000 /dev/shm/x; stat -c %u /dev/shm/x; cat /proc/self/setgroups";
        let edit = |config: &mut Value| {
            for set in ["bounding", "permitted", "effective"] {
                config["process"]["capabilities"][set] = json!(["CAP_CHOWN"]);
            }
        };
        let out = case.run_shell(script, edit).succeeds();
        let words: Vec<&str> = out.split_whitespace().collect();
        let own = case.own_id().to_string();
        assert_eq!((words[..3].to_vec(), words[3], words[5]), (vec!["0", &*own, "1"], "1", "65535"));
        assert_eq!(words[6..], ["0", "1000", "allow"]);
    });
}

#[test]
fn mappings_are_derived_when_there_are_none() {
    scenario(ROOTLESS, |case| {
        let remove = |config: &mut Value| {
            config["linux"].as_object_mut().unwrap().retain(|key, _| key != "uidMappings" && key != "gidMappings")
        };
        let out = case.run_shell("cat /proc/self/uid_map", remove).succeeds();
        let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["0", &*case.own_id().to_string(), "1"], "{out}");
        assert_eq!(lines.len(), if case.has_subordinate_ids() { 2 } else { 1 }, "{out}");
    });
}

#[test]
fn ids_that_are_not_the_users_are_refused() {
    scenario(ROOTLESS, |case| {
        let map = |lines: Value| case.run_shell("true", |config| config["linux"]["uidMappings"] = lines);
        for host in [0, 1, 99_999] {
            let outcome = map(json!([{ "containerID": 0, "hostID": host, "size": 1 }]));
            assert_eq!(outcome.code(), 1, "{outcome}");
        }
        let own = case.own_id();
        let outcome = map(json!([{ "containerID": 0, "hostID": own, "size": 2 }, { "containerID": 1, "hostID": 5, "size": 1 }]));
        assert_eq!(outcome.code(), 1, "{outcome}");
    });
}

#[test]
fn root_maps_what_it_likes() {
    scenario(ROOT, |case| {
        let bundle = case.shell("id -u; cat /proc/self/uid_map; touch /shared/file");
        let shared = case.directory("shared");
        chown(&shared, Some(200_000), Some(300_000)).unwrap();
        // Root of the container may make nothing in a root directory that is not its own.
        std::fs::create_dir(bundle.rootfs().join("shared")).unwrap();
        bundle.mount(json!({ "destination": "/shared", "source": shared, "options": ["bind"] }));
        bundle.edit(|config| {
            namespaces(config).push(json!({ "type": "user" }));
            config["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": 200_000, "size": 10 }]);
            config["linux"]["gidMappings"] = json!([{ "containerID": 0, "hostID": 300_000, "size": 10 }]);
        });
        let out = case.run(&bundle).succeeds();
        assert_eq!(out.split_whitespace().collect::<Vec<_>>(), ["0", "0", "200000", "10"]);
        let owner = shared.join("file").metadata().unwrap();
        assert_eq!((owner.uid(), owner.gid()), (200_000, 300_000));
    });
}

/// What the outer container hides of its /proc, the kernel would not show to the inner one: so it hides nothing.
#[test]
fn a_user_namespace_can_be_made_in_a_user_namespace() {
    scenario(ROOTLESS, |case| {
        let script =
            "readlink /proc/self/ns/user && /wolffia --root /dev/shm/run --cgroup-manager disabled run --bundle /inner x";
        let bundle = case.shell(script);
        let mut inner = bundle.config();
        inner["process"]["args"] = json!(["sh", "-c", "readlink /proc/self/ns/user; cat /proc/self/uid_map; id -u"]);
        for kind in ["uidMappings", "gidMappings"] {
            inner["linux"][kind] = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
        }
        inner["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "cgroup");
        bundle.file("inner/config.json", &inner.to_string());
        let (binary, root) = (case.binary(), bundle.rootfs());
        bundle.edit(|config| {
            config["root"]["readonly"] = json!(false);
            config["process"]["noNewPrivileges"] = json!(false);
            for set in ["bounding", "effective", "permitted"] {
                config["process"]["capabilities"][set] =
                    json!(["CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETFCAP"]);
            }
            config["linux"]["maskedPaths"] = json!([]);
            config["linux"]["readonlyPaths"] = json!([]);
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.push(json!({ "destination": "/wolffia", "source": binary, "options": ["bind", "ro"] }));
            mounts.push(json!({ "destination": "/inner/rootfs", "source": root, "options": ["bind"] }));
        });
        let out = case.run(&bundle).succeeds();
        let lines: Vec<&str> = out.lines().collect();
        let own = std::fs::read_link("/proc/self/ns/user").unwrap();
        assert!(lines[0] != own.to_str().unwrap() && lines[1] != lines[0], "{out}");
        assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>(), ["0", "0", "1"], "{out}");
        assert_eq!(lines[3], "0");
    });
}
