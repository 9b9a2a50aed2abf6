//! The main job: `wolffia sandbox -- CMD`, with nothing set up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::collections::BTreeSet;
use wolffia_tests::{ANYBODY, Bundle, Call, Case, USER, json, scenario};

fn sandbox(case: &Case, flags: &[&str], script: &str) -> Call {
    case.wolffia().arg("sandbox").args(flags).args(["--", "/bin/sh", "-c", script])
}

#[test]
fn a_command_runs_and_its_output_and_status_are_the_callers() {
    scenario(ANYBODY, |case| {
        assert_eq!(sandbox(case, &[], "echo hello").run().succeeds(), "hello\n");
        assert_eq!(sandbox(case, &[], "echo so; exit 9").run().ends_with(9), "so\n");
        assert_eq!(case.wolffia().args(["sandbox", "echo", "-n", "--rw"]).run().succeeds(), "--rw");
    });
}

/// Fresh clone, no account, no subordinate ids, no XDG_RUNTIME_DIR.
#[test]
fn it_needs_no_set_up_at_all() {
    scenario(USER, |case| {
        let call = case.program(case.binary()).without_env("XDG_RUNTIME_DIR").without_env("HOME");
        assert_eq!(call.args(["sandbox", "--", "echo", "it works"]).run().succeeds(), "it works\n");
        let fallback = format!("/tmp/wolffia-{}", case.own_id());
        let left: Vec<_> = std::fs::read_dir(&fallback).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        std::fs::remove_dir(fallback).unwrap();
    });
}

#[test]
fn the_hosts_files_are_seen_and_cannot_be_written() {
    scenario(ANYBODY, |case| {
        let script = "cat /etc/os-release; for d in / /etc /usr /home /root /boot /var /opt; do
            [ -d $d ] && touch $d/wolffia-test 2>&1 | grep -v 'Read-only\\|denied'; done; exit 0";
        let seen = sandbox(case, &[], script).run().succeeds();
        assert_eq!(seen, std::fs::read_to_string("/etc/os-release").unwrap());
        // Every mount of the host is read-only, those below the root directory too.
        let writable = sandbox(
            case,
            &[],
            "awk '$6 ~ /^rw/ && $5 !~ \"^/(proc|dev|tmp|var/tmp|run)(/|$)\" { print $5 }' /proc/self/mountinfo",
        );
        assert_eq!(writable.run().succeeds(), "");
    });
}

#[test]
fn tmp_is_private_and_writable() {
    scenario(ANYBODY, |case| {
        let name = format!("wolffia-test-marker-{}", std::process::id());
        let script = format!("for d in /tmp /var/tmp; do ls -A $d; echo x > $d/{name} && cat $d/{name}; done");
        assert_eq!(sandbox(case, &[], &script).run().succeeds(), "x\nx\n");
        assert!(!std::path::Path::new("/tmp").join(&name).exists() && !std::path::Path::new("/var/tmp").join(&name).exists());
    });
}

#[test]
fn no_capabilities_and_no_new_privileges() {
    scenario(ANYBODY, |case| {
        let status = sandbox(case, &[], "cat /proc/self/status").run().succeeds();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(field(set), "0000000000000000", "{set}");
        }
        assert_eq!(field("NoNewPrivs:"), "1");
    });
}

#[test]
fn namespaces_are_fresh() {
    scenario(ANYBODY, |case| {
        let kinds = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];
        let script = kinds.map(|kind| format!("readlink /proc/self/ns/{kind}")).join("; ");
        let inside: Vec<String> = sandbox(case, &[], &script).run().succeeds().lines().map(str::to_owned).collect();
        for (kind, inside) in kinds.iter().zip(&inside) {
            let outside = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
            assert_ne!(inside, outside.to_str().unwrap(), "{kind}");
        }
        assert_eq!(sandbox(case, &[], "echo $$; ls -d /proc/[0-9]* | wc -l").run().succeeds().lines().next(), Some("1"));
    });
}

#[test]
fn there_is_no_network_unless_it_is_the_hosts() {
    scenario(ANYBODY, |case| {
        let interfaces = "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '";
        assert_eq!(sandbox(case, &[], interfaces).run().succeeds(), "lo\n");
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let host = sandbox(case, &["--net", "host"], "readlink /proc/self/ns/net").run().succeeds();
        assert_eq!(host.trim(), own.to_str().unwrap());
        assert_eq!(case.wolffia().args(["sandbox", "--net", "moon", "true"]).run().code(), 1);
    });
}

#[test]
fn rw_shows_a_directory_for_writing_and_ro_for_reading() {
    scenario(ANYBODY, |case| {
        let (rw, ro) = (case.directory("rw"), case.directory("ro"));
        std::fs::write(ro.join("file"), "readable\n").unwrap();
        let (rw_text, ro_text) = (rw.to_str().unwrap(), ro.to_str().unwrap());
        let script = format!("cat {ro_text}/file; echo written > {rw_text}/file; ! touch {ro_text}/new 2>/dev/null");
        let shown = sandbox(case, &["--rw", rw_text, "--ro", ro_text], &script).run().succeeds();
        assert_eq!(shown, "readable\n");
        assert_eq!(std::fs::read_to_string(rw.join("file")).unwrap(), "written\n");
        assert!(!ro.join("new").exists());
        // Without the flags both are hidden: they lie in /tmp.
        sandbox(case, &[], &format!("! ls {ro_text}")).run().fails(0, "No such file");
        sandbox(case, &["--rw", "/nosuchdirectory"], "true").run().fails(125, "/nosuchdirectory");
    });
}

#[test]
fn a_writable_directory_inside_a_readonly_one_stays_writable() {
    scenario(ANYBODY, |case| {
        let outer = case.directory("outer");
        let inner = case.directory("outer/inner");
        let flags = ["--rw", inner.to_str().unwrap(), "--ro", outer.to_str().unwrap()];
        let script = format!("touch {0}/inner/new && ! touch {0}/new 2>/dev/null", outer.display());
        sandbox(case, &flags, &script).run().succeeds();
        assert!(inner.join("new").exists() && !outer.join("new").exists());
    });
}

#[test]
fn tmpfs_and_hide() {
    scenario(ANYBODY, |case| {
        let script = "ls -A /usr/share; echo x > /usr/share/file; cat /usr/share/file; cat /etc/os-release; ls -A /etc/apt";
        let seen = sandbox(case, &["--tmpfs", "/usr/share", "--hide", "/etc/os-release", "--hide", "/etc/apt"], script).run();
        assert_eq!(seen.succeeds(), "x\n");
        let tight =
            sandbox(case, &["--hide", "/etc/passwd"], "umount /etc/passwd || echo x > /etc/passwd; cat /etc/passwd").run();
        assert_eq!(tight.stdout, "");
    });
}

#[test]
fn the_environment_is_what_was_asked_for() {
    scenario(ANYBODY, |case| {
        let call = sandbox(case, &["--env", "A=1", "-e", "NAMED", "-e", "NOT_SET"], "env")
            .env("NAMED", "from outside")
            .env("SECRET", "x");
        let env = call.run().succeeds();
        let names: BTreeSet<&str> = env.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        assert!(env.contains("A=1\n") && env.contains("NAMED=from outside\n"), "{env}");
        assert!(!names.contains("SECRET") && !names.contains("NOT_SET") && !names.contains("XDG_RUNTIME_DIR"), "{env}");
        assert!(names.contains("PATH") && names.contains("HOME"), "{env}");
    });
}

#[test]
fn cwd_hostname_uid_gid() {
    scenario(ANYBODY, |case| {
        assert_eq!(sandbox(case, &["--cwd", "/usr/bin"], "pwd").run().succeeds(), "/usr/bin\n");
        assert_eq!(sandbox(case, &[], "pwd").in_directory("/usr/share").run().succeeds(), "/usr/share\n");
        // /tmp is private, so a directory in it is no place to be.
        assert_eq!(sandbox(case, &[], "pwd").run().succeeds(), "/\n");
        assert_eq!(sandbox(case, &["--hostname", "pond"], "uname -n").run().succeeds(), "pond\n");
        let own = case.own_id();
        assert_eq!(sandbox(case, &[], "id -u; id -g").run().succeeds(), format!("{own}\n{own}\n"));
        assert_eq!(sandbox(case, &["--uid", "0", "--gid", "7"], "id -u; id -g").run().succeeds(), "0\n7\n");
        assert_eq!(sandbox(case, &["--uid", "1234"], "touch /tmp/x; stat -c %u /tmp/x").run().succeeds(), "1234\n");
    });
}

#[test]
fn rlimits() {
    scenario(ANYBODY, |case| {
        let flags = ["--rlimit", "nofile=100:200", "--rlimit", "core=0"];
        assert_eq!(sandbox(case, &flags, "ulimit -Sn; ulimit -Hn; ulimit -c").run().succeeds(), "100\n200\n0\n");
        for wrong in ["nofile", "nofile=x", "nosuch=1", "nofile=1:2:3"] {
            assert_eq!(sandbox(case, &["--rlimit", wrong], "true").run().code(), 125, "{wrong}");
        }
    });
}

#[test]
fn kernel_paths_are_masked_and_readonly() {
    scenario(ANYBODY, |case| {
        let script = "cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c; ls -A /sys/firmware | wc -l;
            (echo 1 > /proc/sys/kernel/printk) 2>/dev/null || echo readonly; (echo h > /proc/sysrq-trigger) 2>/dev/null || echo readonly";
        assert_eq!(sandbox(case, &[], script).run().succeeds(), "0\n0\nreadonly\nreadonly\n");
    });
}

#[test]
fn the_printed_configuration_run_as_a_bundle_gives_the_same() {
    scenario(ANYBODY, |case| {
        let rw = case.directory("rw");
        let script = "id -u; id -g; pwd; uname -n; env | sort; cut -d' ' -f5,6 /proc/self/mountinfo | sort; grep -i cap /proc/self/status; ulimit -n";
        let flags = ["--rw", rw.to_str().unwrap(), "--hostname", "twin", "--rlimit", "nofile=64", "--env", "X=y"];
        let direct = sandbox(case, &flags, script).run().succeeds();
        let mut printing = flags.to_vec();
        printing.push("--print-config");
        let config = sandbox(case, &printing, script).run().succeeds();
        let bundle = Bundle::new(case.directory("printed"));
        std::fs::write(bundle.path().join("config.json"), config).unwrap();
        assert_eq!(bundle.config()["process"]["args"], json!(["/bin/sh", "-c", script]));
        assert_eq!(case.run(&bundle).succeeds(), direct);
    });
}

#[test]
fn a_command_that_is_not_there_is_named() {
    scenario(ANYBODY, |case| {
        case.wolffia().args(["sandbox", "--", "nosuchcommand"]).run().fails(125, "executable file not found in $PATH");
        case.wolffia().args(["sandbox"]).run().fails(1, "required");
    });
}

#[test]
fn standard_streams_are_the_callers() {
    scenario(ANYBODY, |case| {
        assert_eq!(sandbox(case, &[], "tr a-z A-Z").stdin("text\n").run().succeeds(), "TEXT\n");
        assert_eq!(sandbox(case, &[], "ls /proc/self/fd").run().succeeds(), "0\n1\n2\n3\n");
    });
}
