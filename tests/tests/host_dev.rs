//! A root that is, or holds, the host's own: its /dev is the host's, and stays as it is. In every test "the host's /dev" is a
//! private one, because a fault here would harm the machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use wolffia_tests::{ANYBODY, Bundle, Case, Outcome, ROOT, ROOTLESS, json, scenario};

/// A /dev with two nodes and nothing else, shown at the end. `$1`: what is to be mounted too.
const PRIVATE_DEV: &str = r#"
set -e
more=$1; shift
mount -t tmpfs -o mode=755 none /dev
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/ptmx c 5 2
mkdir /dev/pts
sh -c "$more"
status=0
"$@" || status=$?
echo "left: $(cd /dev; echo *) $(stat -c %F /dev/ptmx)"
exit $status
"#;

const UNTOUCHED: &str = "left: null ptmx pts character special file\n";

/// A bundle whose configuration mounts nothing on or below /dev.
fn without_dev(case: &Case, root: &str) -> Bundle {
    let bundle = case.shell("echo $(ls /dev)");
    bundle.edit(|config| {
        config["root"]["path"] = json!(root);
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    });
    bundle
}

/// Runs it as root of a machine whose /dev is that of `PRIVATE_DEV`; `more` may mount something beside it.
fn run(case: &Case, bundle: &Bundle, more: &str) -> Outcome {
    let call = case.program("unshare").args(["--mount", "--propagation=private", "sh", "-c", PRIVATE_DEV, "sh", more]);
    let call = call.arg(case.binary()).arg("--root").arg(case.root()).arg("run").arg("--bundle").arg(bundle.path());
    call.arg(case.id()).run()
}

#[test]
fn a_root_that_is_the_hosts_leaves_its_dev_alone() {
    scenario(ROOT, |case| {
        let bundle = without_dev(case, "/");
        assert_eq!(run(case, &bundle, "").succeeds(), format!("null ptmx pts\n{UNTOUCHED}"));
    });
}

/// Root's mounts are not a user's to make; the nodes are there, and nothing has to be made.
#[test]
fn a_user_runs_on_the_hosts_root() {
    scenario(ROOTLESS, |case| {
        let bundle = without_dev(case, "/");
        bundle.args(&["sh", "-c", "echo x > /dev/null && echo works"]);
        assert_eq!(case.run(&bundle).succeeds(), "works\n");
    });
}

/// The same directory by other names: a bind mount of /dev, and one of / with all that is mounted in it.
#[test]
fn the_hosts_dev_is_known_under_any_name() {
    scenario(ROOT, |case| {
        let bundle = without_dev(case, "rootfs");
        let rootfs = bundle.rootfs();
        let bound = format!("mount --bind /dev {}/dev", rootfs.display());
        let refused = run(case, &bundle, &bound);
        assert_eq!(refused.stdout, UNTOUCHED);
        refused.fails(1, "the host's own /dev, where nothing is made");

        let all = case.directory("all");
        bundle.edit(|config| config["root"]["path"] = json!(all));
        let refused = run(case, &bundle, &format!("mount --rbind / {}", all.display()));
        assert_eq!(refused.stdout, UNTOUCHED);
        refused.fails(1, "mount a tmpfs on /dev");
    });
}

/// What is there is used: a tree that was made for chroot(8), with /dev bound into it.
#[test]
fn a_tree_with_the_hosts_whole_dev_works() {
    scenario(ROOT, |case| {
        let bundle = without_dev(case, "rootfs");
        let script = format!(
            "cd /dev; mknod -m 666 zero c 1 5; mknod -m 666 full c 1 7; mknod -m 666 random c 1 8; mknod -m 666 urandom c 1 9
            mknod -m 666 tty c 5 0; ln -s /proc/self/fd fd; ln -s fd/0 stdin; ln -s fd/1 stdout; ln -s fd/2 stderr; ln -s x core
            mount --bind /dev {}/dev",
            bundle.rootfs().display()
        );
        bundle.args(&["true"]);
        let all = "core fd full null ptmx pts random stderr stdin stdout tty urandom zero";
        assert_eq!(run(case, &bundle, &script).succeeds(), format!("left: {all} character special file\n"));
    });
}

/// A terminal is shown on /dev/console, which is not made there either.
#[test]
fn a_terminal_makes_no_console_in_the_hosts_dev() {
    scenario(ROOT, |case| {
        let bundle = without_dev(case, "/");
        bundle.edit(|config| config["process"]["terminal"] = json!(true));
        let socket = case.path("console.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let call = case.program("unshare").args(["--mount", "--propagation=private", "sh", "-c", PRIVATE_DEV, "sh"]);
        let call = call.arg("mount -t devpts -o newinstance,ptmxmode=666 none /dev/pts").arg(case.binary()).arg("--root");
        let call = call.arg(case.root()).arg("create").arg("--console-socket").arg(&socket).arg("--bundle").arg(bundle.path());
        let refused = call.arg(case.id()).run();
        assert_eq!(refused.stdout, UNTOUCHED);
        refused.fails(1, "/dev/console: it is missing in the host's own /dev");
    });
}

/// One for the machine, however often it is mounted: its directory is looked at, nothing is started in it that could change it.
#[test]
fn a_devtmpfs_of_the_configuration_gets_no_nodes() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("echo unreachable");
        bundle.edit(|config| {
            config["mounts"] = json!([{ "destination": "/proc", "type": "proc" }, { "destination": "/dev", "type": "devtmpfs" }]);
        });
        let plan = case.wolffia().arg("plan").arg("--bundle").arg(bundle.path()).arg("x").run().succeeds();
        assert!(plan.contains("devtmpfs") && !plan.contains("devices.links") && !plan.contains("devices.create"), "{plan}");
    });
}
