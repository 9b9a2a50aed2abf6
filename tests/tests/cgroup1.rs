//! Hierarchies of cgroup v1 that limit nothing: named ones, and controllers that no limit is for (`misc`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::path::{Path, PathBuf};
use wolffia_tests::{ROOT, json, scenario};

/// The host's hierarchies, and one more that exists as long as this view does.
const VIEW: &str = r#"
set -e
all=$1; name=$2; shift 2
mount -t tmpfs none "$all"
for one in /sys/fs/cgroup/*; do
    mkdir "$all/${one##*/}"
    mount --bind "$one" "$all/${one##*/}"
done
mkdir "$all/$name"
mount -t cgroup -o none,name="$name" none "$all/$name"
mount --rbind "$all" /sys/fs/cgroup
sh -c "$1" || exit
echo "left: $(cd "$all/$name"; echo */)"
"#;

/// A hierarchy whose last mount goes while a removed cgroup is not yet quite gone stays for ever: the kernel lets go of it at the end of
/// a mount without (`cgroup_kill_sb`).
const FORGET: &str = r#"
for try in $(seq 200); do
    grep -q ":name=$1:" /proc/self/cgroup || exit 0
    mount -t cgroup -o none,name="$1" none "$2" && umount "$2"
    sleep 0.05
done
exit 1
"#;

#[test]
fn a_hierarchy_that_limits_nothing_is_the_containers_too() {
    scenario(ROOT, |case| {
        if !Path::new("/sys/fs/cgroup/pids/cgroup.procs").exists() {
            case.skip("no hierarchy of cgroup v1 on this host");
        }
        let name = format!("wolffia-test-{}", std::process::id());
        let bundle = case.shell(&format!("exec 3>&1; echo $$ > /sys/fs/cgroup/{name}/cgroup.procs; sleep 300"));
        let place = format!("/{name}/own");
        for private in [false, true] {
            bundle.edit(|config| {
                config["linux"]["cgroupsPath"] = json!(place);
                let mounts = config["mounts"].as_array_mut().unwrap();
                mounts.retain(|mount| mount["type"] != "cgroup");
                mounts.push(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup" }));
                let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
                namespaces.retain(|namespace| namespace["type"] != "cgroup");
                namespaces.extend(private.then(|| json!({ "type": "cgroup" })));
            });
            let id = case.id();
            let wolffia = format!("{} --root {}", case.binary().display(), case.root().display());
            let script = format!(
                "{wolffia} run --detach --bundle {} {id} &&
                grep -h :name={name}: /proc/$({wolffia} state {id} | sed -n 's/.*\"pid\": \\([0-9]*\\).*/\\1/p')/cgroup &&
                {wolffia} exec {id} sh -c 'grep :name={name}: /proc/self/cgroup; ls -d /sys/fs/cgroup/{name}/tasks' &&
                {wolffia} delete --force {id}",
                bundle.path().display()
            );
            let call = case.program("unshare").args(["--mount", "--propagation=private", "sh", "-c", VIEW, "sh"]);
            let out = call.arg(case.directory("all")).args([&name, &script]).run().succeeds();
            let lines: Vec<&str> = out.lines().map(|line| line.split_once(':').map_or(line, |(_, rest)| rest)).collect();
            let seen = if private { "/" } else { &place };
            let expected = [
                format!("name={name}:{place}"),
                format!("name={name}:{seen}"),
                format!("/sys/fs/cgroup/{name}/tasks"),
                " */".to_owned(),
            ];
            assert_eq!(lines, expected, "private: {private}");
        }
        let call = case.program("unshare").args(["--mount", "--propagation=private", "sh", "-c", FORGET, "sh"]);
        call.arg(&name).arg(case.directory("once-more")).run().succeeds();
    });
}

/// A cgroup namespace begins at the cgroup of whoever makes it: where the container has none of its own, that is the runtime's.
#[test]
fn a_cgroup_namespace_does_not_open_the_runtimes_own_limits() {
    scenario(ROOT, |case| {
        let own = PathBuf::from(format!("/sys/fs/cgroup/pids/wolffia-test-{}", std::process::id()));
        if !Path::new("/sys/fs/cgroup/pids/cgroup.procs").exists() {
            case.skip("no hierarchy of cgroup v1 on this host");
        }
        let bundle = case.shell("echo 99 > /sys/fs/cgroup/pids/pids.max; cat /sys/fs/cgroup/pids/pids.max");
        bundle.edit(|config| {
            config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "cgroup" }));
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| mount["type"] != "cgroup");
            mounts.push(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup" }));
        });
        std::fs::create_dir(&own).unwrap();
        let script = format!("echo $$ > {}/cgroup.procs; exec \"$@\"", own.display());
        let outcome = case.call_on("run", &bundle, &case.id()).by_shell(&script).run();
        let limit = std::fs::read_to_string(own.join("pids.max")).unwrap();
        std::fs::remove_dir(&own).unwrap();
        assert_eq!((limit.as_str(), outcome.stdout.as_str()), ("max\n", "max\n"), "{outcome}");
        assert!(outcome.stderr.contains("Read-only file system"), "{outcome}");
    });
}
