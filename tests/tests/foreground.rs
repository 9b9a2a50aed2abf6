//! The process that waits beside a container: what it still can do, and what it still does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use rustix::process::Signal;
use std::time::Duration;
use wolffia_tests::{ANYBODY, Case, Process, Pty, json, scenario, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);

/// `NoNewPrivs` and `Seccomp` of a process, as proc_pid_status(5) has them.
fn confinement(pid: i32) -> (String, String) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    (field("NoNewPrivs:"), field("Seccomp:"))
}

#[track_caller]
fn is_confined(process: &Process) {
    let confined = wait_until(PATIENCE, || confinement(process.pid()) == ("1".to_owned(), "2".to_owned()));
    assert!(confined, "{:?}", confinement(process.pid()));
}

fn end(case: &Case, id: &str, process: Process) {
    case.wolffia().args(["kill", id, "KILL"]).run().succeeds();
    assert_eq!(process.wait(PATIENCE).ends_with(137), "");
    case.wolffia().args(["state", id]).run().fails(1, "container does not exist");
}

#[test]
fn run_is_confined_and_deletes_the_container() {
    scenario(ANYBODY, |case| {
        let (id, process) = case.running(&case.shell("exec sleep 300"));
        is_confined(&process);
        end(case, &id, process);
        // What is kept is left for `delete`.
        let id = case.id();
        let process = case.call_on("run", &case.shell("sleep 1"), &id).arg("--keep").spawn();
        is_confined(&process);
        assert_eq!(process.wait(PATIENCE).code(), 0);
        assert_eq!(case.state(&id)["status"], "stopped");
    });
}

#[test]
fn run_and_a_deletion_by_force_do_not_quarrel_about_who_removes() {
    scenario(ANYBODY, |case| {
        for _ in 0..20 {
            let (id, process) = case.running(&case.shell("exec sleep 300"));
            is_confined(&process);
            let deleted = case.wolffia().args(["delete", "--force", &id]).run();
            assert!(deleted.status.success() && deleted.stderr.is_empty(), "{deleted}");
            assert_eq!(process.wait(PATIENCE).ends_with(137), "");
        }
    });
}

#[test]
fn exec_and_sandbox_are_confined() {
    scenario(ANYBODY, |case| {
        let id = case.started(&case.shell("exec sleep 300"));
        let process = case.wolffia().args(["exec", &id, "sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.05; done"]).spawn();
        is_confined(&process);
        // It hands signals on as before. The shell may not have its trap yet.
        std::thread::sleep(Duration::from_millis(300));
        process.signal(Signal::TERM);
        assert_eq!(process.wait(PATIENCE).ends_with(7), "");
        let process = case.wolffia().args(["sandbox", "--", "sleep", "300"]).spawn();
        is_confined(&process);
        process.signal(Signal::KILL);
        process.wait(PATIENCE);
        let left = std::fs::read_dir(case.root()).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
        for id in left.filter(|name| name.starts_with("sandbox-")) {
            case.wolffia().args(["delete", "--force", &id]).run().succeeds();
        }
    });
}

#[test]
fn a_terminal_works_beside_a_process_that_is_confined() {
    scenario(ANYBODY, |case| {
        let mut pty = Pty::open();
        pty.resize(24, 80);
        let bundle = case
            .shell("trap 'stty size; new=1' WINCH; echo ready; until [ $new ]; do sleep 0.05; done; read line; echo got:$line");
        bundle.edit(|config| config["process"]["terminal"] = json!(true));
        let id = case.id();
        let process = pty.spawn(case.call_on("run", &bundle, &id));
        pty.expect("ready");
        is_confined(&process);
        pty.resize(50, 132);
        pty.expect("50 132");
        pty.send("typed\n");
        pty.expect("got:typed");
        assert_eq!(process.wait(PATIENCE).code(), 0);
    });
}

/// A hook would run under what holds for the process that waits.
#[test]
fn a_poststop_hook_is_not_confined() {
    scenario(ANYBODY, |case| {
        let seen = case.path("seen");
        let script = format!("grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status > {}", seen.display());
        let bundle = case.shell("sleep 0.1");
        bundle.edit(|config| {
            config["hooks"] =
                json!({ "poststop": [{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] }] });
        });
        let log = case.wolffia().arg("--debug").args(["run", "--bundle"]).arg(bundle.path()).arg(case.id()).run().stderr;
        assert!(log.contains("not confined, because its poststop hooks would be too"), "{log}");
        let (no_new_privileges, filter) = confinement(std::process::id().cast_signed());
        let callers = format!("NoNewPrivs:\t{no_new_privileges}\nSeccomp:\t{filter}\n");
        assert_eq!(std::fs::read_to_string(seen).unwrap(), callers);
    });
}

#[test]
fn the_log_says_what_holds_and_is_written_afterwards_too() {
    scenario(ANYBODY, |case| {
        let log = case.path("log");
        let bundle = case.shell("sleep 0.1");
        let call =
            case.wolffia().arg("--debug").arg("--log").arg(&log).args(["run", "--bundle"]).arg(bundle.path()).arg(case.id());
        call.run().succeeds();
        let text = std::fs::read_to_string(&log).unwrap();
        let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words:?} is not in {text}"));
        assert!(at("the waiting process is confined: ") < at("state.remove"), "{text}");
    });
}
