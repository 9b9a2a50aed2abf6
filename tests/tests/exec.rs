//! Further processes in a container.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::time::Duration;
use wolffia_tests::{ANYBODY, Call, Case, Identity, ROOT, Rootfs, SUBIDS, json, scenario, wait_until};

const SLEEP: &str = "exec sleep 300";
/// A user of its own: nobody's processes but the container's.
const BOTH_KINDS: &[Identity] = &[Identity::Root, Identity::User { subordinate: true }];

/// A container that sleeps, and `exec` in it.
fn sleeper(case: &Case) -> String {
    case.started(&case.shell(SLEEP))
}

fn exec(case: &Case, flags: &[&str], id: &str, command: &[&str]) -> Call {
    case.wolffia().arg("exec").args(flags).arg(id).args(command)
}

#[test]
fn a_command_runs_and_its_status_is_the_callers() {
    scenario(ANYBODY, |case| {
        let id = sleeper(case);
        assert_eq!(exec(case, &[], &id, &["echo", "-n", "--all"]).run().succeeds(), "--all");
        exec(case, &[], &id, &["sh", "-c", "exit 42"]).run().ends_with(42);
        exec(case, &[], &id, &["sh", "-c", "kill -9 $$"]).run().ends_with(137);
        assert_eq!(exec(case, &[], &id, &["tr", "a-z", "A-Z"]).stdin("text").run().succeeds(), "TEXT");
    });
}

#[test]
fn every_namespace_is_the_containers() {
    scenario(ANYBODY, |case| {
        let script = "for n in user mnt pid net ipc uts cgroup time; do readlink /proc/self/ns/$n; done";
        let bundle = case.shell(&format!("({script}) > /shared/init; exec sleep 300"));
        let shared = case.directory("shared");
        bundle.mount(json!({ "destination": "/shared", "source": shared, "options": ["bind"] }));
        let id = case.started(&bundle);
        assert!(wait_until(Duration::from_secs(10), || case.wait_for_file(&shared.join("init")).lines().count() == 8));
        let init = case.wait_for_file(&shared.join("init"));
        assert_eq!(exec(case, &[], &id, &["sh", "-c", script]).run().succeeds(), init);
        // And so are its root directory and its cgroup.
        assert_eq!(
            exec(case, &[], &id, &["cat", "/proc/self/cgroup"]).run().succeeds(),
            exec(case, &[], &id, &["cat", "/proc/1/cgroup"]).run().succeeds()
        );
        exec(case, &[], &id, &["test", "/", "-ef", "/proc/1/root"]).run().succeeds();
    });
}

#[test]
fn cwd_and_environment() {
    scenario(ANYBODY, |case| {
        let id = sleeper(case);
        assert_eq!(exec(case, &["--cwd", "/etc"], &id, &["pwd"]).run().succeeds(), "/etc\n");
        let env = exec(case, &["--env", "A=1,2", "-e", "B="], &id, &["env"]).run().succeeds();
        assert!(env.contains("A=1,2\n") && env.contains("B=\n") && env.contains("TERM=xterm\n"), "{env}");
        assert!(!env.contains("XDG_RUNTIME_DIR"), "{env}");
        exec(case, &["--cwd", "/nosuchdirectory"], &id, &["pwd"]).run().fails(255, "exec failed");
    });
}

#[test]
fn users_and_groups_are_numbers() {
    scenario(BOTH_KINDS, |case| {
        let id = sleeper(case);
        let ids = |flags: &[&str]| exec(case, flags, &id, &["sh", "-c", "id -u; id -g; id -G"]).run().succeeds();
        assert_eq!(ids(&["--user", "1000"]), "1000\n0\n0\n");
        assert_eq!(ids(&["-u", "1000:7"]), "1000\n7\n7\n");
        assert_eq!(ids(&["-u", "1000:7", "--additional-gids", "8", "-g", "9"]), "1000\n7\n7 8 9\n");
    });
}

/// CVE-2026-30892: half of a number was taken for root.
#[test]
fn what_is_no_user_is_refused() {
    scenario(ANYBODY, |case| {
        let id = sleeper(case);
        for user in ["", ":", "1:", ":2", "0x1", "+1", "-1", "1a", "4294967295", "4294967296", "root"] {
            let outcome = case.wolffia().arg("exec").arg(format!("--user={user}")).args([&id, "id"]).run();
            assert!(outcome.code() != 0 && outcome.stdout.is_empty(), "{user:?}: {outcome}");
        }
    });
}

#[test]
fn a_user_that_is_not_mapped_is_refused() {
    scenario(SUBIDS, |case| {
        let id = sleeper(case);
        exec(case, &["--user", "70000"], &id, &["id"]).run().fails(255, "70000");
    });
}

/// CVE-2022-29162: inheritable capabilities let files give more.
#[test]
fn a_capability_is_added_and_never_inheritable() {
    scenario(ANYBODY, |case| {
        let id = sleeper(case);
        let sets = |flags: &[&str], id: &str| {
            let status = exec(case, flags, id, &["grep", "Cap", "/proc/self/status"]).run().succeeds();
            let set = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
            [set("CapInh:"), set("CapPrm:"), set("CapEff:"), set("CapBnd:"), set("CapAmb:")]
        };
        let zero = "0000000000000000";
        // CAP_KILL, CAP_NET_BIND_SERVICE, CAP_AUDIT_WRITE of the template; and CAP_NET_RAW, which is number 13.
        let own = "0000000020000420";
        let more = "0000000020002420";
        assert_eq!(sets(&[], &id), [zero, own, own, own, zero]);
        assert_eq!(sets(&["--cap", "CAP_NET_RAW"], &id), [zero, more, more, more, zero]);
        exec(case, &["--cap", "CAP_NO_SUCH"], &id, &["true"]).run().fails(255, "CAP_NO_SUCH");
    });
}

#[test]
fn no_new_privileges_can_be_asked_for() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell(SLEEP);
        bundle.edit(|config| config["process"]["noNewPrivileges"] = json!(false));
        let id = case.started(&bundle);
        let get = ["sh", "-c", "grep NoNewPrivs /proc/self/status | cut -f2"];
        assert_eq!(exec(case, &[], &id, &get).run().succeeds(), "0\n");
        assert_eq!(exec(case, &["--no-new-privs"], &id, &get).run().succeeds(), "1\n");
    });
}

#[test]
fn a_process_comes_from_a_file() {
    scenario(ANYBODY, |case| {
        let id = sleeper(case);
        let file = case.path("process.json");
        let process = json!({
            "user": { "uid": 0, "gid": 0 }, "cwd": "/etc", "args": ["sh", "-c", "pwd; echo $ONLY; grep CapEff /proc/self/status; ulimit -n"],
            "env": ["ONLY=this", "PATH=/bin"], "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 77, "hard": 77 }],
        });
        std::fs::write(&file, process.to_string()).unwrap();
        let out = case.wolffia().args(["exec", "--process"]).arg(&file).arg(&id).run().succeeds();
        assert_eq!(out, "/etc\nthis\nCapEff:\t0000000000000000\n77\n");
        let refused = |document: &str, words: &str| {
            std::fs::write(&file, document).unwrap();
            case.wolffia().args(["exec", "--process"]).arg(&file).arg(&id).run().fails(255, words);
        };
        refused(r#"{"user":{"uid":0,"gid":0},"cwd":"/","args":[]}"#, "args must not be empty");
        refused(r#"{"user":{"uid":0,"gid":0},"cwd":"","args":["id"]}"#, "Cwd property must not be empty");
        refused(r#"{"user":{"uid":0,"gid":0},"cwd":"etc","args":["id"]}"#, "Cwd must be an absolute path");
        refused("{", "process.json");
    });
}

#[test]
fn detached_it_returns_with_the_pid_in_a_file() {
    scenario(ANYBODY, |case| {
        let id = sleeper(case);
        let file = case.path("pid");
        exec(case, &["--detach", "--pid-file", file.to_str().unwrap()], &id, &["sleep", "301"]).run().succeeds();
        let pid = std::fs::read_to_string(&file).unwrap();
        assert!(std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap().starts_with("sleep\u{0}301"), "{pid:?}");
        let pids = case.wolffia().args(["ps", "--format", "json", &id]).run().succeeds();
        assert!(pids.contains(&pid), "{pids}");
    });
}

#[test]
fn signals_to_the_runtime_reach_the_process() {
    scenario(ANYBODY, |case| {
        let id = sleeper(case);
        let process = exec(case, &[], &id, &["sh", "-c", "trap 'exit 6' USR1; echo ready; while :; do sleep 0.05; done"]).spawn();
        assert!(wait_until(Duration::from_secs(10), || process.stdout() == "ready\n"));
        process.signal(rustix::process::Signal::USR1);
        process.wait(Duration::from_secs(10)).ends_with(6);
    });
}

#[test]
fn what_cannot_be_executed_gives_255() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell(SLEEP);
        bundle.file("plain", "not executable");
        let id = case.started(&bundle);
        exec(case, &[], &id, &["nosuchprogram"]).run().fails(255, "executable file not found in $PATH");
        exec(case, &[], &id, &["/plain"]).run().fails(255, "permission denied");
        exec(case, &[], &id, &["/etc"]).run().fails(255, "is a directory: permission denied");
        exec(case, &[], &id, &[]).run().fails(255, "process args cannot be empty");
        exec(case, &[], "nosuchcontainer", &["true"]).run().fails(255, "container does not exist");
        // It did not hurt.
        exec(case, &[], &id, &["true"]).run().succeeds();
    });
}

#[test]
fn labels_that_this_kernel_cannot_set_are_refused() {
    scenario(ANYBODY, |case| {
        let modules = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
        if modules.contains("apparmor") || modules.contains("selinux") {
            case.skip("this kernel has AppArmor or SELinux");
        }
        let id = sleeper(case);
        exec(case, &["--apparmor", "profile"], &id, &["true"]).run().fails(255, "apparmor not supported");
        exec(case, &["--process-label", "a:b:c"], &id, &["true"]).run().fails(255, "selinux is disabled or not supported");
    });
}

/// Its first process cannot be looked into by other users (it is not dumpable), not even by its owner: only root enters it.
#[test]
fn a_created_container_can_be_entered() {
    scenario(ROOT, |case| {
        let id = case.id();
        case.call_on("create", &case.shell(SLEEP), &id).run().succeeds();
        exec(case, &[], &id, &["true"]).run().succeeds();
        assert_eq!(case.state(&id)["status"], "created");
    });
}

#[test]
fn a_paused_container_is_entered_only_on_demand() {
    scenario(ROOT, |case| {
        let id = sleeper(case);
        let paused = case.wolffia().args(["pause", &id]).run();
        if paused.stderr.contains("no cgroup of its own") {
            case.skip("there is no cgroup2 that could be frozen");
        }
        paused.succeeds();
        assert_eq!(case.state(&id)["status"], "paused");
        exec(case, &[], &id, &["true"]).run().fails(255, "cannot exec in a paused container (use --ignore-paused to override)");
        let mut process = exec(case, &["--ignore-paused"], &id, &["echo", "thawed"]).spawn();
        std::thread::sleep(Duration::from_millis(300));
        assert!(!process.has_ended(), "it runs although the container is paused");
        case.wolffia().args(["resume", &id]).run().succeeds();
        assert_eq!(process.wait(Duration::from_secs(10)).succeeds(), "thawed\n");
        case.wolffia().args(["resume", &id]).run().fails(1, "container not paused");
        // A paused container can be killed.
        case.wolffia().args(["pause", &id]).run().succeeds();
        case.wolffia().args(["kill", &id, "KILL"]).run().succeeds();
        case.wait_for_status(&id, "stopped");
    });
}

#[test]
fn a_container_with_nothing_but_one_program_can_be_entered() {
    scenario(ANYBODY, |case| {
        let bundle = case.bundle(Rootfs::Single);
        bundle.args(&["/busybox", "sleep", "300"]);
        let id = case.started(&bundle);
        assert_eq!(exec(case, &[], &id, &["/busybox", "echo", "in"]).run().succeeds(), "in\n");
    });
}
