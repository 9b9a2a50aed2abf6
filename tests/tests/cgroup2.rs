//! Whose the container's cgroup is, where there is nothing but cgroup v2 (config-linux.md, "Cgroup ownership").

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use wolffia_tests::{Bundle, Case, ROOT, Value, json, scenario};

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
        let hosts = bundle(case, LOOK, &[]);
        hosts.edit(|config| {
            config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "cgroup");
        });
        assert_eq!(look(case, &hosts), given(NOBODY, NOBODY), "the host's cgroups are in sight");
    });
}

/// A runtime without CAP_CHOWN goes on without, and says so.
#[test]
fn a_cgroup_that_cannot_be_given_is_recorded() {
    scenario(ROOT, |case| {
        let bundle = bundle(case, "sleep 300", &[]);
        let id = case.id();
        let powerless = VIEW.replace("exec unshare", "exec setpriv --bounding-set=-chown unshare");
        case.call_on("run", &bundle, &id).arg("--detach").by_shell(&powerless).run().succeeds();
        let state = case.wolffia().args(["state", &id]).by_shell(VIEW).run().succeeds();
        let recorded = &serde_json::from_str::<Value>(&state).unwrap()["recorded"];
        let about = |one: &&Value| one["reason"].as_str().unwrap().contains("the container's user can make no cgroups");
        assert_eq!(recorded.as_array().unwrap().iter().filter(about).count(), 1, "{recorded}");
        case.wolffia().args(["delete", "--force", &id]).by_shell(VIEW).run().succeeds();
    });
}
