//! Kinds of root file systems.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use wolffia_tests::{ANYBODY, Identity, Rootfs, json, scenario};

const MANY_IDS: &[Identity] = &[Identity::Root, Identity::User { subordinate: true }];

/// /bin is a link, there are users, and a package manager with files of its own.
#[test]
fn a_real_debian() {
    scenario(ANYBODY, |case| {
        let bundle = case.bundle(Rootfs::Debian);
        let script = ". /etc/os-release; echo $ID; readlink /bin; dpkg-query -W -f '${Package}\\n' apt; perl -e 'print \"perl\\n\"'; grep -c . /etc/passwd";
        bundle.args(&["sh", "-c", script]);
        let out = case.run(&bundle).succeeds();
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[..4], ["debian", "usr/bin", "apt", "perl"]);
        assert!(lines[4].parse::<u32>().unwrap() > 10);
        // /bin/sh by its absolute path leads through the link.
        bundle.args(&["/bin/sh", "-c", "echo $0"]);
        assert_eq!(case.run(&bundle).succeeds(), "/bin/sh\n");
    });
}

#[test]
fn users_of_a_real_debian() {
    scenario(MANY_IDS, |case| {
        let bundle = case.bundle(Rootfs::Debian);
        bundle.edit(|config| config["process"]["user"] = json!({ "uid": 33, "gid": 33 }));
        bundle.args(&["sh", "-c", "id -un; id -gn; touch /dev/shm/x && stat -c %U /dev/shm/x"]);
        assert_eq!(case.run(&bundle).succeeds(), "www-data\nwww-data\nwww-data\n");
    });
}

/// No /etc, no /proc, no /dev: the runtime makes the directories that it mounts on, as runc does, before the root is read-only.
#[test]
fn a_single_static_program() {
    scenario(ANYBODY, |case| {
        let bundle = case.bundle(Rootfs::Single);
        bundle.args(&["/busybox", "ls", "-1", "/"]);
        assert_eq!(bundle.config()["root"]["readonly"], true);
        assert_eq!(case.run(&bundle).succeeds(), "busybox\ndev\nproc\nsys\n");
        bundle.args(&["/busybox", "touch", "/new"]);
        let outcome = case.run(&bundle);
        assert!(outcome.code() == 1 && outcome.stderr.contains("Read-only file system"), "{outcome}");
        bundle.args(&["/busybox", "sh", "-c", "echo $$; /busybox head -c 1 /dev/zero | /busybox wc -c"]);
        assert_eq!(case.run(&bundle).succeeds(), "1\n1\n");
    });
}

#[test]
fn a_root_that_is_a_link_or_no_directory() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("echo here");
        std::os::unix::fs::symlink(bundle.rootfs(), bundle.path().join("link")).unwrap();
        bundle.edit(|config| config["root"]["path"] = json!("link"));
        assert_eq!(case.run(&bundle).succeeds(), "here\n");
        bundle.edit(|config| config["root"]["path"] = json!("config.json"));
        case.run(&bundle).fails(1, "config.json");
        bundle.edit(|config| config["root"]["path"] = json!("missing"));
        case.run(&bundle).fails(1, "missing");
    });
}

#[test]
fn the_bundle_is_the_directory_of_the_caller_by_default() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("echo here");
        let outcome = case.wolffia().args(["run", &case.id()]).in_directory(bundle.path()).run();
        assert_eq!(outcome.succeeds(), "here\n");
    });
}
