//! The runtime's own files: its state, what it writes for callers, its program.

use crate::canary::Canary;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use wolffia_tests::{ANYBODY, ROOT, ROOTLESS, json, scenario};

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// And Docker's CVE-2021-41091, containerd's CVE-2024-25621.
#[test]
fn cve_2021_41091_others_do_not_look_into_the_state() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("exec sleep 300");
        let root = case.path("run/fresh");
        let id = case.id();
        let wolffia = || case.program(case.binary()).arg("--root").arg(&root);
        wolffia().args(["create", "--bundle"]).arg(bundle.path()).arg(&id).by_shell("umask 0; exec \"$@\"").run().succeeds();
        assert_eq!(mode(&root) & 0o066, 0, "{:o}", mode(&root));
        for entry in std::fs::read_dir(root.join(&id)).unwrap() {
            let path = entry.unwrap().path();
            let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
            assert!(!kind.is_file() || mode(&path) & 0o077 == 0, "{} {:o}", path.display(), mode(&path));
        }
        wolffia().args(["delete", "--force", &id]).run().succeeds();
        std::fs::remove_dir(&root).unwrap();
    });
}

/// A name in a directory where everybody writes is anybody's to take first: bubblewrap had one, and firejail.
#[test]
fn cve_2019_12439_a_state_directory_that_others_can_change_is_refused() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        let bundle = case.shell("echo started");
        let run = |root: &Path| {
            case.program(case.binary()).arg("--root").arg(root).args(["run", "--bundle"]).arg(bundle.path()).arg("empty").run()
        };
        let planted = case.path("planted");
        symlink(canary.path(), &planted).unwrap();
        let open = case.directory("open");
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o1777)).unwrap();
        for root in [&planted, &open] {
            let outcome = run(root);
            assert!(!outcome.status.success() && outcome.stdout.is_empty(), "{}: {outcome}", root.display());
        }
        // With a wrong --root the id may be the name of something else, which is not to be emptied.
        std::fs::create_dir(case.path("precious")).unwrap();
        std::fs::create_dir(case.path("precious/empty")).unwrap();
        std::fs::write(case.path("precious/empty/file"), "").unwrap();
        assert!(!run(&case.path("precious")).status.success());
        assert!(case.path("precious/empty/file").exists());
        canary.is_unharmed();
        assert_eq!(run(&case.path("run/honest")).succeeds(), "started\n");
    });
}

/// Files that the runtime writes where the caller says so lead nowhere else.
#[test]
fn cve_2025_9566_links_at_the_pid_file_are_not_followed() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        let folder = case.directory("pids");
        for name in ["c.pid", ".c.pid"] {
            symlink(canary.path().join("of-the-host"), folder.join(name)).unwrap();
        }
        let bundle = case.shell("exec sleep 300");
        let id = case.id();
        let call = case.call_on("run", &bundle, &id).args(["--detach", "--pid-file"]).arg(folder.join("c.pid"));
        call.run().succeeds();
        canary.is_unharmed();
        let pid = std::fs::read_to_string(folder.join("c.pid")).unwrap();
        assert_eq!(case.state(&id)["pid"], json!(pid.parse::<i32>().unwrap()));
    });
}

/// And CVE-2016-8659: bubblewrap's set-user-id mode, since removed. Ours never was, and refuses to be made one.
#[test]
fn cve_2026_41163_no_rights_by_set_user_id() {
    scenario(ROOT, |case| {
        let copy = case.path("set-user-id");
        std::fs::copy(case.binary(), &copy).unwrap();
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o4755)).unwrap();
        let call = case.program("setpriv").args(["--reuid=64210", "--regid=64210", "--clear-groups"]);
        call.arg(&copy).arg("list").run().fails(1, "refusing");
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
        let call = case.program("setpriv").args(["--reuid=64210", "--regid=64210", "--clear-groups"]);
        call.arg(&copy).arg("--version").run().succeeds();
    });
}

/// containerd's shim listened on an abstract socket, which every container with the host's network could reach.
#[test]
fn cve_2020_15257_no_socket_of_ours_is_abstract() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("grep -c . /proc/net/unix; grep -i -E '@.*(wolffia|runc|wt[0-9])' /proc/net/unix; true");
        bundle.edit(|config| {
            config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "network");
            config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "sysfs");
        });
        let id = case.id();
        case.call_on("create", &bundle, &id).run().succeeds();
        let host = std::fs::read_to_string("/proc/net/unix").unwrap();
        let ours: Vec<&str> = host.lines().filter(|line| line.contains('@') && line.contains(&id)).collect();
        assert!(ours.is_empty(), "{ours:?}");
        let seen = case.run(&bundle).succeeds();
        assert_eq!(seen.lines().count(), 1, "{seen}");
    });
}

/// A user who cannot make cgroups must not get the host's by way of a mount (runc without a cgroup namespace).
#[test]
fn cve_2023_25809_the_hosts_cgroups_are_readonly() {
    scenario(ROOTLESS, |case| {
        let script = "for d in /sys/fs/cgroup /sys/fs/cgroup/*/; do mkdir ${d%/}/escape 2>/dev/null && echo LEAK $d; done;
            awk '$5 ~ \"^/sys/fs/cgroup\" { last[$5] = $6 } END { for (d in last) if (last[d] !~ /^ro/) print d }' /proc/self/mountinfo |
                while read d; do [ -d $d ] && echo LEAK $d is writable; done
            ls /sys/fs/cgroup > /dev/null && echo honest";
        let outcome = case.run_shell(script, |config| {
            config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "cgroup");
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
            mounts.push(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev"] }));
        });
        assert_eq!(outcome.stdout, "honest\n", "{outcome}");
    });
}
