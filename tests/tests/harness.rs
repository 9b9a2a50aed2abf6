//! The harness itself: what a scenario leaves behind is found, and what it starts is a user's as it says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use wolffia_tests::{ANYBODY, Identity, ROOT, ROOTLESS, scenario, scenario_fails};

#[test]
fn a_process_that_is_left_is_found() {
    scenario_fails(ANYBODY, "process", |case| {
        // In a session of its own, with a parent that ends: adopted, and still found.
        case.program("setsid").args(["--fork", "sleep", "300"]).run().succeeds();
    });
}

#[test]
fn a_mount_that_is_left_is_found() {
    scenario_fails(ROOT, "mount ", |case| {
        case.program("mount").args(["-t", "tmpfs", "none"]).arg(case.directory("m")).run().succeeds();
    });
}

#[test]
fn a_mount_that_is_lost_is_found() {
    scenario_fails(ROOT, "lost mount ", |case| {
        case.program("umount").args(["--lazy", "/dev/shm"]).run().succeeds();
    });
}

#[test]
fn state_that_is_left_is_found() {
    scenario_fails(ANYBODY, "state ", |case| std::fs::create_dir_all(case.root().join("left")).unwrap());
}

#[test]
fn a_socket_that_is_left_is_found() {
    scenario_fails(ANYBODY, "socket ", |case| {
        std::mem::forget(std::os::unix::net::UnixListener::bind(case.path("left.sock")).unwrap());
    });
}

#[test]
fn a_container_that_is_left_is_removed() {
    scenario(ANYBODY, |case| {
        case.started(&case.shell("exec sleep 300"));
    });
}

#[test]
fn identities_are_what_they_say() {
    scenario(ROOTLESS, |case| {
        let status = case.program("cat").arg("/proc/self/status").run().succeeds();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        assert!(field("Uid:").split_whitespace().all(|uid| uid == case.own_id().to_string() && uid != "0"));
        assert_eq!(field("CapEff:"), "0000000000000000");
        assert_eq!(case.mappings().is_some(), case.identity == Identity::User { subordinate: true });
    });
}
