//! Whose the container's cgroup is, where there is nothing but cgroup v2 (config-linux.md, "Cgroup ownership").

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use wolffia_tests::{Bundle, Case, ROOT, Value, json, scenario, wait_until};

/// The unified hierarchy alone, whatever the host's mounts are.
const VIEW: &str =
    r#"exec unshare --mount --propagation=private sh -c 'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"' sh "$@""#;

/// The owners of what can be given and of what cannot, and what a user can do with it.
const LOOK: &str = "cd /sys/fs/cgroup
    stat -c '%n %u %g' . cgroup.procs cgroup.subtree_control cgroup.threads cgroup.freeze
    mkdir inner && echo 0 >inner/cgroup.procs && cat /proc/self/cgroup | grep ^0
    rmdir inner 2>/dev/null
    exit 0";

const FIRST: u32 = 100_000;

/// A bundle with ids of its own and a cgroup namespace, whose cgroup mount has these options.
fn bundle(case: &Case, script: &str, options: &[&str]) -> Bundle {
    let bundle = case.shell(script);
    bundle.edit(|config| {
        let map = json!([{ "containerID": 0, "hostID": FIRST, "size": 1000 }]);
        (config["linux"]["uidMappings"], config["linux"]["gidMappings"]) = (map.clone(), map);
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "cgroup");
        namespaces.extend([json!({ "type": "user" }), json!({ "type": "cgroup" })]);
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["type"] != "cgroup");
        mounts.push(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options }));
    });
    bundle
}

fn look(case: &Case, bundle: &Bundle) -> Vec<String> {
    let outcome = case.call_on("run", bundle, &case.id()).by_shell(VIEW).run();
    assert_eq!(outcome.code(), 0, "{outcome}");
    outcome.stdout.lines().map(str::to_owned).collect()
}

const NOBODY: &str = "65534";

#[test]
fn a_writable_cgroup_is_its_users_and_its_limits_are_not() {
    scenario(ROOT, |case| {
        let given = |user: &str, group: &str| {
            let files = [".", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"];
            let files = files.map(|file| format!("{file} {user} {group}"));
            files.into_iter().chain([format!("cgroup.freeze {NOBODY} {NOBODY}")]).collect::<Vec<String>>()
        };
        let mut expected = given("0", NOBODY);
        expected.push("0::/inner".to_owned());
        assert_eq!(look(case, &bundle(case, LOOK, &["rw"])), expected);
        let other = bundle(case, LOOK, &[]);
        other.edit(|config| config["process"]["user"]["uid"] = json!(7));
        expected = given("7", NOBODY);
        expected.push("0::/inner".to_owned());
        assert_eq!(look(case, &other), expected, "the user whom the program runs as");
        assert_eq!(look(case, &bundle(case, LOOK, &["ro"])), given(NOBODY, NOBODY), "it is shown read-only");
    });
}

/// Without a cgroup namespace /proc/self/cgroup names a place in the host's hierarchy, and there it is: read-only unless asked in a
/// user namespace (CVE-2023-25809), and nobody's but the host's.
#[test]
fn the_hosts_hierarchy_is_what_a_container_without_a_cgroup_namespace_sees() {
    scenario(ROOT, |case| {
        const LOOK: &str = "place=/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)
            grep ' /sys/fs/cgroup ' /proc/self/mountinfo | cut -d ' ' -f 6 | cut -c 1-2
            stat -c %u $place $place/cgroup.procs
            mkdir $place/inner 2>/dev/null && echo made && rmdir $place/inner
            exit 0";
        let seen = |options: &[&str], own_ids: bool| {
            let bundle = bundle(case, LOOK, options);
            bundle.edit(|config| {
                let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
                namespaces.retain(|namespace| namespace["type"] != "cgroup" && (own_ids || namespace["type"] != "user"));
                if !own_ids {
                    config["linux"].as_object_mut().unwrap().retain(|name, _| !name.ends_with("Mappings"));
                }
            });
            look(case, &bundle)
        };
        assert_eq!(seen(&["rw"], true), ["rw", NOBODY, NOBODY], "it is not given to a user");
        assert_eq!(seen(&[], true), ["ro", NOBODY, NOBODY]);
        assert_eq!(seen(&["rw"], false), ["rw", "0", "0", "made"]);
        assert_eq!(seen(&[], false), ["rw", "0", "0", "made"]);
        assert_eq!(seen(&["ro"], false), ["ro", "0", "0"]);
    });
}

/// A cgroup that hands controllers down can hold no process itself (cgroups(7)).
#[test]
fn exec_goes_where_a_process_can_be() {
    scenario(ROOT, |case| {
        let script = "cd /sys/fs/cgroup && mkdir inner && echo 0 >inner/cgroup.procs && echo +hugetlb >cgroup.subtree_control && exec sleep 300";
        let bundle = bundle(case, script, &[]);
        let id = case.id();
        case.call_on("run", &bundle, &id).arg("--detach").by_shell(VIEW).run().succeeds();
        let exec = |cgroup: &[&str], command: &[&str]| {
            case.wolffia().arg("exec").args(cgroup).arg(&id).args(command).by_shell(VIEW).run()
        };
        let ready = || exec(&["--cgroup", "inner"], &["cat", "/sys/fs/cgroup/cgroup.subtree_control"]).stdout == "hugetlb\n";
        assert!(wait_until(Duration::from_secs(20), ready), "controllers are handed down");
        let place = ["grep", "^0", "/proc/self/cgroup"];
        assert_eq!(exec(&[], &place).succeeds(), "0::/inner\n", "where init is");
        assert_eq!(exec(&["--cgroup", "inner"], &place).succeeds(), "0::/inner\n");
        exec(&["--cgroup", "/"], &place).fails(255, "device or resource busy: it enables controllers");
        case.wolffia().args(["delete", "--force", &id]).by_shell(VIEW).run().succeeds();
    });
}

/// A runtime without CAP_CHOWN goes on without, and so does one that finds the cgroup there: each says so.
#[test]
fn a_cgroup_that_cannot_be_given_is_recorded() {
    scenario(ROOT, |case| {
        let without = |reason: &str, view: &str, place: Option<&str>| {
            let bundle = bundle(case, "stat -c %u /sys/fs/cgroup >/out; exec sleep 300", &[]);
            bundle.edit(|config| {
                config["root"]["readonly"] = json!(false);
                config["linux"]["cgroupsPath"] = json!(place);
            });
            std::fs::set_permissions(bundle.rootfs(), Permissions::from_mode(0o777)).unwrap();
            let id = case.id();
            case.call_on("run", &bundle, &id).arg("--detach").by_shell(view).run().succeeds();
            let state = case.wolffia().args(["state", &id]).by_shell(VIEW).run().succeeds();
            assert_eq!(case.wait_for_file(&bundle.rootfs().join("out")).trim(), NOBODY);
            case.wolffia().args(["delete", "--force", &id]).by_shell(VIEW).run().succeeds();
            let recorded = &serde_json::from_str::<Value>(&state).unwrap()["recorded"];
            let text = format!("the container's user can make no cgroups: {reason}");
            let about = |one: &&Value| one["reason"].as_str().unwrap().starts_with(&text);
            assert_eq!(recorded.as_array().unwrap().iter().filter(about).count(), 1, "{recorded}");
        };
        without("cannot delegate", &VIEW.replace("exec unshare", "exec setpriv --bounding-set=-chown unshare"), None);
        let name = format!("wolffia-test-{}", std::process::id());
        let there = VIEW.replace("/sys/fs/cgroup &&", &format!("/sys/fs/cgroup && mkdir /sys/fs/cgroup/{name} &&"));
        without("the cgroup was there before", &there, Some(&format!("/{name}")));
        case.program("rmdir").arg(format!("/sys/fs/cgroup/{name}")).by_shell(VIEW).run().succeeds();
    });
}
