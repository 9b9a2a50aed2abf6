//! What the payload inherits: three streams, and what was handed on by name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::os::unix::net::UnixDatagram;
use std::time::Duration;
use wolffia_tests::{ANYBODY, Bundle, Case, json, scenario, wait_until};

/// `ls` opens the directory that it lists, as the next free number.
const LIST: &str = "ls /proc/self/fd";
/// More open descriptors than the runtime expects: a file, and a directory of the host (CVE-2024-21626).
const EXTRA: &str = "exec 5</etc/passwd 6</ 9<.; exec \"$@\"";

#[test]
fn nothing_but_the_three_streams() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell(LIST);
        assert_eq!(case.run(&bundle).succeeds(), "0\n1\n2\n3\n");
        assert_eq!(case.call_on("run", &bundle, &case.id()).by_shell(EXTRA).run().succeeds(), "0\n1\n2\n3\n");
        let id = case.started(&case.shell("exec sleep 300"));
        let exec = || case.wolffia().args(["exec", &id, "ls", "/proc/self/fd"]);
        assert_eq!(exec().run().succeeds(), "0\n1\n2\n3\n");
        assert_eq!(exec().by_shell(EXTRA).run().succeeds(), "0\n1\n2\n3\n");
        // The first process too, while it runs and while it waits for start.
        assert_eq!(case.wolffia().args(["exec", &id, "ls", "/proc/1/fd"]).run().succeeds(), "0\n1\n2\n");
        let sandbox = || case.wolffia().args(["sandbox", "--", "ls", "/proc/self/fd"]);
        assert_eq!(sandbox().by_shell(EXTRA).run().succeeds(), "0\n1\n2\n3\n");
    });
}

/// CVE-2024-21626: a working directory that leads through a descriptor of the runtime's.
#[test]
fn a_working_directory_through_a_descriptor_is_refused() {
    scenario(ANYBODY, |case| {
        let id = case.started(&case.shell("exec sleep 300"));
        for number in 3..30 {
            let cwd = format!("/proc/self/fd/{number}");
            let bundle = case.shell("pwd; ls");
            bundle.edit(|config| config["process"]["cwd"] = cwd.clone().into());
            let run = case.call_on("run", &bundle, &case.id()).by_shell(EXTRA).run();
            assert!(run.code() == 1 && run.stdout.is_empty(), "{run}");
            let exec = case.wolffia().args(["exec", "--cwd", &cwd, &id, "ls"]).by_shell(EXTRA).run();
            assert!(exec.code() == 255 && exec.stdout.is_empty(), "{exec}");
        }
    });
}

/// The same with a link that the container made.
#[test]
fn a_working_directory_through_a_link_to_a_descriptor_is_refused() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("for n in 3 4 5 6 7 8 9 10 11 12; do ln -s /proc/self/fd/$n /shared/$n; done; echo done > /shared/done; exec sleep 300");
        let shared = case.directory("shared");
        bundle.mount(serde_json::json!({ "destination": "/shared", "source": shared, "options": ["bind"] }));
        let id = case.started(&bundle);
        case.wait_for_file(&shared.join("done"));
        for number in 3..13 {
            let exec = case.wolffia().args(["exec", "--cwd", &format!("/shared/{number}"), &id, "ls"]).by_shell(EXTRA).run();
            assert!(exec.code() == 255 && exec.stdout.is_empty(), "{exec}");
        }
    });
}

fn files(case: &Case) -> String {
    std::fs::write(case.path("one"), "one\n").unwrap();
    std::fs::write(case.path("two"), "two\n").unwrap();
    "exec 3<one 4<two 7</; exec \"$@\"".to_owned()
}

#[test]
fn preserved_descriptors_are_handed_on() {
    scenario(ANYBODY, |case| {
        let open = files(case);
        let script = "cat <&3; cat <&4; ls /proc/self/fd";
        let expected = "one\ntwo\n0\n1\n2\n3\n4\n5\n";
        let run = case.call_on("run", &case.shell(script), &case.id()).args(["--preserve-fds", "2"]);
        assert_eq!(run.by_shell(&open).run().succeeds(), expected);
        let id = case.started(&case.shell("exec sleep 300"));
        let exec = case.wolffia().args(["exec", "--preserve-fds", "2", &id, "sh", "-c", script]);
        assert_eq!(exec.by_shell(&open).run().succeeds(), expected);
        // Across create and start, which are two processes.
        let id = case.id();
        let out = case.path("out");
        let create = case.call_on("create", &case.shell("cat <&3 >&4; ls /proc/self/fd >&4"), &id).args(["--preserve-fds", "2"]);
        create.by_shell("exec 3<one 4>out; exec \"$@\"").run().succeeds();
        case.wolffia().args(["start", &id]).run().succeeds();
        assert!(wait_until(Duration::from_secs(10), || std::fs::read_to_string(&out).unwrap() == "one\n0\n1\n2\n3\n4\n5\n"));
    });
}

#[test]
fn a_descriptor_that_is_not_open_is_no_descriptor_to_preserve() {
    scenario(ANYBODY, |case| {
        let open = files(case);
        let run = case.call_on("run", &case.shell("true"), &case.id()).args(["--preserve-fds", "3"]);
        run.by_shell(&open).run().fails(1, "unable to stat preserved-fd 3 (of 3)");
    });
}

#[test]
fn sockets_of_systemd_are_handed_on_with_the_containers_own_pid() {
    scenario(ANYBODY, |case| {
        let open = files(case).replace("exec \"$@\"", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"");
        let script = "echo $LISTEN_FDS $LISTEN_PID; cat <&3; cat <&4; ls /proc/self/fd";
        let run = || case.call_on("run", &case.shell(script), &case.id());
        let out = run().args(["--preserve-fds", "1"]).by_shell(&open).run();
        assert_eq!(out.succeeds(), "1 1\none\ntwo\n0\n1\n2\n3\n4\n5\n");
        // Meant for another process.
        let other = open.replace("LISTEN_PID=$$", "LISTEN_PID=1");
        let out =
            case.call_on("run", &case.shell("echo ${LISTEN_FDS-none}; ls /proc/self/fd"), &case.id()).by_shell(&other).run();
        assert_eq!(out.succeeds(), "none\n0\n1\n2\n3\n");
    });
}

/// The container's program says that it is ready; whoever started the runtime hears it, with the pid of what goes on.
#[test]
fn readiness_reaches_the_caller() {
    scenario(ANYBODY, |case| {
        let socket = case.path("notify.sock");
        let receiver = UnixDatagram::bind(&socket).unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let send =
            "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{NOTIFY_SOCKET}) or die $!;
            $s->send(\"STATUS=starting\"); $s->send(\"READY=1\\nSTATUS=up\"); syswrite STDOUT, \"sent\"; sleep 300;";
        // The host's own files, because there is a language in them that can send a datagram.
        // Without Landlock, whose domains do not look into each other: `exec` reads init's environment below.
        let flags = ["sandbox", "--print-config", "--landlock", "off", "--", "perl", "-e", send];
        let config = case.wolffia().args(flags).run().succeeds();
        let bundle = Bundle::new(case.directory("host"));
        std::fs::write(bundle.path().join("config.json"), config).unwrap();
        let id = case.id();
        case.call_on("create", &bundle, &id).env("NOTIFY_SOCKET", &socket).run().succeeds();
        let pid = case.state(&id)["pid"].clone();
        let start = case.wolffia().args(["start", &id]).env("NOTIFY_SOCKET", &socket).spawn();
        let readiness = || {
            let mut buffer = [0; 4096];
            let mut text = String::new();
            while !text.contains("BARRIER=1") {
                let count = receiver.recv(&mut buffer).unwrap();
                text.push_str(&String::from_utf8_lossy(&buffer[..count]));
                text.push('\n');
            }
            assert!(text.contains("READY=1") && !text.contains("STATUS"), "only readiness is forwarded: {text}");
            text
        };
        let text = readiness();
        assert!(text.contains(&format!("MAINPID={pid}")), "{text}");
        start.wait(Duration::from_secs(40)).succeeds();
        // No environment of the host's gets in.
        let env = case.wolffia().args(["exec", &id, "sh", "-c", "tr '\\0' '\\n' < /proc/1/environ"]).run().succeeds();
        assert!(env.contains("NOTIFY_SOCKET=/run/notify/notify.sock\n"), "{env}");
        for flags in [&["--detach"] as &[&str], &[]] {
            let id = case.id();
            let run = case.wolffia().arg("run").args(flags).args(["--bundle", bundle.path().to_str().unwrap(), &id]);
            let run = run.env("NOTIFY_SOCKET", &socket).spawn();
            let text = readiness();
            // Who stays in the foreground is the service's main process.
            let main = if flags.is_empty() { json!(run.pid()) } else { case.state(&id)["pid"].clone() };
            assert!(text.contains(&format!("MAINPID={main}\n")), "{main}: {text}");
            case.wolffia().args(["kill", &id, "KILL"]).run().succeeds();
            assert_eq!(run.wait(Duration::from_secs(40)).code(), if flags.is_empty() { 137 } else { 0 });
        }
        // Nobody there to be told: the container is attended to all the same, to its end.
        let id = case.id();
        let run = case.wolffia().args(["run", "--bundle", bundle.path().to_str().unwrap(), &id]);
        let run = run.env("NOTIFY_SOCKET", case.path("nobody.sock")).spawn();
        assert!(wait_until(Duration::from_secs(20), || run.stdout().contains("sent")), "{}", run.stdout());
        case.wolffia().args(["kill", &id, "KILL"]).run().succeeds();
        let ended = run.wait(Duration::from_secs(40));
        assert!(ended.code() == 137 && ended.stderr.contains("cannot connect to NOTIFY_SOCKET"), "{ended}");
        assert!(!case.root().join(&id).exists());
    });
}
