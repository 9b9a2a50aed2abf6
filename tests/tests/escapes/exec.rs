//! Entering a container that is already hostile.

use crate::canary::{Canary, LEAK};
use crate::image::own_copy;
use crate::inside;
use std::time::Duration;
use wolffia_tests::{ANYBODY, Value, json, scenario, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);
const EXECS: usize = 40;

fn give_capability(config: &mut Value, name: &str) {
    for set in ["bounding", "effective", "permitted"] {
        config["process"]["capabilities"][set].as_array_mut().unwrap().push(json!(name));
    }
}

/// With CAP_SYS_PTRACE where it is only the user namespace's: a container that has the machine's may trace root (docs/security.md).
#[test]
fn cve_2016_9962_who_comes_in_cannot_be_looked_into() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("");
        inside::play(&bundle, "look-at-others");
        if !case.identity.is_root() {
            bundle.edit(|config| give_capability(config, "CAP_SYS_PTRACE"));
        }
        let (id, attacker) = case.running(&bundle);
        assert!(wait_until(PATIENCE, || attacker.stdout().contains("ready")), "{}", attacker.stdout());
        case.wait_for_status(&id, "running");
        for _ in 0..EXECS {
            case.wolffia().args(["exec", &id, "true"]).run().succeeds();
        }
        case.wolffia().args(["kill", &id, "KILL"]).run().succeeds();
        let seen = attacker.wait(PATIENCE);
        assert!(!seen.stdout.contains(LEAK), "{seen}");
    });
}

/// Also GHSA-gxmr-w5mj-v8hh: a read-only bind mount of the program was not enough.
#[test]
fn cve_2019_5736_who_comes_in_brings_no_program_to_overwrite() {
    scenario(ANYBODY, |case| {
        let binary = own_copy(case);
        let before = std::fs::read(&binary).unwrap();
        let bundle = case.shell("");
        inside::play(&bundle, "write-their-program");
        bundle.edit(|config| {
            if !case.identity.is_root() {
                give_capability(config, "CAP_SYS_PTRACE");
                give_capability(config, "CAP_SYS_ADMIN");
            }
        });
        bundle.script("bin/itself", "#!/proc/self/exe\n");
        let (id, attacker) = case.running(&bundle);
        assert!(wait_until(PATIENCE, || attacker.stdout().contains("ready")), "{}", attacker.stdout());
        case.wait_for_status(&id, "running");
        let exec = |args: &[&str]| case.program(&binary).arg("--root").arg(case.root()).args(["exec", &id]).args(args).run();
        for round in 0..EXECS {
            match round % 4 {
                0 => exec(&["/proc/self/exe", "--version"]),
                1 => exec(&["/bin/itself"]),
                _ => exec(&["true"]),
            };
        }
        assert!(std::fs::read(&binary).unwrap() == before, "the runtime's program was overwritten: {}", attacker.stdout());
        exec(&["echo", "honest"]).succeeds();
        case.wolffia().args(["kill", &id, "KILL"]).run().succeeds();
        let seen = attacker.wait(PATIENCE);
        assert!(!seen.stdout.contains(LEAK), "{seen}");
    });
}

/// A capability that exec adds is not inheritable: a file's capabilities would then grow (also Moby, Podman, crun, Buildah and
/// youki's CVE-2022-24769, -27649, -27650, -27651 and CVE-2025-27612).
#[test]
fn cve_2022_29162_no_capability_is_inheritable_unasked() {
    scenario(ANYBODY, |case| {
        let sets = |status: &str| -> Vec<u64> {
            let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
            ["CapInh:", "CapAmb:", "CapEff:"].iter().map(|name| u64::from_str_radix(&field(name), 16).unwrap()).collect()
        };
        let id = case.started(&case.shell("exec sleep 300"));
        let plain = sets(&case.wolffia().args(["exec", &id, "cat", "/proc/self/status"]).run().succeeds());
        assert_eq!(plain[..2], [0, 0], "{plain:?}");
        let more = case.wolffia().args(["exec", "--cap", "CAP_KILL", &id, "cat", "/proc/self/status"]).run().succeeds();
        let more = sets(&more);
        assert_eq!(more[..2], [0, 0], "{more:?}");
        assert_eq!(more[2] & 1 << 5, 1 << 5, "CAP_KILL was asked for: {more:?}");
    });
}

/// "Leaky Vessels": a directory of the host that the runtime left open became the working directory.
#[test]
fn cve_2024_21626_no_directory_of_the_host_is_left_open() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        let leaking = format!("exec \"$@\" 3<{0} 4<{0} 5<{0} 7<{0} 8<{0} 9<{0}", canary.text());
        let look = "cat of-the-host ../of-the-host ../../../../../etc/hostname 2>/dev/null; for f in /proc/self/fd/*; do
            [ -d $f ] && echo LEAK $f; [ -e $f/of-the-host ] && echo LEAK $f; done; true";
        for number in (3..16).chain([31, 63, 1000]) {
            let bundle = case.shell(look);
            bundle.edit(|config| config["process"]["cwd"] = json!(format!("/proc/self/fd/{number}")));
            let outcome = case.call_on("run", &bundle, &case.id()).by_shell(&leaking).run();
            canary.survived(&outcome);
            assert!(!outcome.status.success(), "a descriptor is no working directory: {outcome}");
        }
        let bundle = case.shell("exec sleep 300");
        for number in 3..12 {
            let link = bundle.rootfs().join(format!("way{number}"));
            std::os::unix::fs::symlink(format!("/proc/self/fd/{number}"), link).unwrap();
        }
        let id = case.started(&bundle);
        for number in 3..12 {
            for cwd in [format!("/way{number}"), format!("/proc/self/fd/{number}"), format!("/proc/1/fd/{number}")] {
                let call = case.wolffia().args(["exec", "--cwd", &cwd, &id, "sh", "-c", look]).by_shell(&leaking);
                let outcome = call.run();
                canary.survived(&outcome);
                assert!(!outcome.status.success(), "{cwd}: {outcome}");
            }
        }
        let listing = "for f in /proc/self/fd/*; do echo ${f##*/}; done";
        let own = case.wolffia().args(["exec", "--cwd", "/tmp", &id, "sh", "-c", listing]).by_shell(&leaking).run();
        // The fourth is the shell's own, of the directory that it lists.
        assert_eq!(own.succeeds(), "0\n1\n2\n3\n");
    });
}

/// The shape of the same hole in `run`: nothing that the caller has open is in the container.
#[test]
fn cve_2024_21626_no_descriptor_of_the_caller_comes_along() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        let leaking = format!("exec \"$@\" 3<{0} 4</etc/passwd 9<{0}", canary.text());
        let bundle = case.shell("for f in /proc/self/fd/*; do echo ${f##*/}; done");
        let outcome = case.call_on("run", &bundle, &case.id()).by_shell(&leaking).run();
        canary.survived(&outcome);
        assert_eq!(outcome.succeeds(), "0\n1\n2\n3\n");
        let honest = case.shell("cat <&3");
        let call = case.call_on("run", &honest, &case.id()).arg("--preserve-fds=1");
        assert_eq!(
            call.by_shell("exec \"$@\" 3</etc/hostname 4</etc/passwd").run().succeeds(),
            std::fs::read_to_string("/etc/hostname").unwrap()
        );
    });
}

/// crun read "1" as root once, and others half-read numbers before it.
#[test]
fn cve_2026_30892_a_user_is_a_whole_number() {
    scenario(ANYBODY, |case| {
        let id = case.started(&case.shell("exec sleep 300"));
        let exec = |user: &str| case.wolffia().args(["exec", "--user", user, &id, "id", "-u"]).run();
        for wrong in [
            "",
            ":",
            "1:",
            ":2",
            "0x1",
            "+1",
            "-1",
            "1a",
            " 1",
            "1 ",
            "4294967295",
            "4294967296",
            "18446744073709551616",
            "1:2:3",
            "1:x",
        ] {
            let outcome = exec(wrong);
            assert!(!outcome.status.success() && outcome.stdout.is_empty(), "{wrong:?}: {outcome}");
        }
        if case.identity.is_root() || case.mappings().is_some() {
            assert_eq!(exec("1").succeeds(), "1\n");
            assert_eq!(exec("1000:7").succeeds(), "1000\n");
        } else {
            // An id that the container lacks is refused, not replaced by one that it has.
            let outcome = exec("1");
            assert!(!outcome.status.success() && outcome.stdout.is_empty(), "{outcome}");
        }
        assert_eq!(exec("0").succeeds(), "0\n");
    });
}

/// `exec` into a container that has covered its /proc and /dev/pts, as one with CAP_SYS_ADMIN can.
#[test]
fn cve_2025_52565_exec_trusts_nothing_that_the_container_mounted() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        let script = "mount -t tmpfs none /dev/pts && ln -s /proc/self/fd/5 /dev/pts/ptmx && mount -t tmpfs none /proc &&
            mkdir -p /proc/self/attr /proc/self/fd /proc/sys && echo covered; exec sleep 300";
        let bundle = case.shell(script);
        bundle.edit(|config| give_capability(config, "CAP_SYS_ADMIN"));
        let (id, container) = case.running(&bundle);
        assert!(wait_until(PATIENCE, || container.stdout().contains("covered")), "{}", container.stdout());
        let inside = case.wolffia().args(["exec", &id, "sh", "-c", "ls /proc; id -u; echo $$ > /dev/null"]).run();
        canary.survived(&inside);
        assert_eq!(inside.succeeds(), "self\nsys\n0\n");
        let socket = wolffia_tests::ConsoleSocket::listen(case.path("tty.sock"));
        let call = case.wolffia().args(["exec", "--tty", "--detach", "--console-socket"]).arg(socket.path());
        canary.survived(&call.args([&id, "true"]).run());
        case.wolffia().args(["kill", &id, "KILL"]).run().succeeds();
        container.wait(PATIENCE);
    });
}
