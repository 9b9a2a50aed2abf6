//! What a payload gets from whoever started it.

use crate::canary::LEAK;
use wolffia_tests::{ANYBODY, Pty, json, scenario};

/// A terminal that the container shares with its caller must not take input from the container (also Flatpak's CVE-2023-28100).
#[test]
fn cve_2017_5226_nothing_is_typed_into_the_callers_terminal() {
    scenario(ANYBODY, |case| {
        if !std::path::Path::new("/usr/bin/perl").exists() {
            case.skip("there is no perl, which asks for TIOCSTI");
        }
        // TIOCSTI, then TIOCSCTTY to get the right to it, then again, then TIOCLINUX.
        let script = r#"for my $turn (0, 1) {
                my ($typed, $order) = ("x", "\x03");
                print ioctl(STDIN, 0x5412, $typed) ? "LEAK" : "refused", "\n";
                ioctl(STDIN, 0x540e, 1) and print "LEAK\n";
                print ioctl(STDIN, 0x541c, $order) ? "LEAK" : "refused", "\n";
            }"#;
        let result = case.path("result");
        std::fs::write(&result, "").unwrap();
        let pty = Pty::open();
        // The standard output is no terminal, so that the caller's is handed in as it is.
        let call = case.wolffia().args(["sandbox", "--", "perl", "-e", script]);
        let call = call.by_shell(&format!("exec \"$@\" > {}", result.display()));
        pty.spawn(call).wait(std::time::Duration::from_secs(20));
        let seen = std::fs::read_to_string(&result).unwrap();
        assert!(seen.contains("refused") && !seen.contains(LEAK), "{seen}");
    });
}

/// Signals that are blocked or ignored, limits of the umask, variables of the caller's: runtimes have handed on all of them.
#[test]
fn leaks_nothing_of_the_caller_is_inherited() {
    scenario(ANYBODY, |case| {
        let script = "grep -E '^(SigBlk|SigIgn|NoNewPrivs|Groups)' /proc/self/status; env | sort; cat /proc/self/sessionid /proc/self/loginuid 2>/dev/null | wc -l > /dev/null";
        let bundle = case.shell(script);
        bundle.edit(|config| config["process"]["env"] = json!(["PATH=/bin"]));
        let call = case
            .call_on("run", &bundle, &case.id())
            .env("SECRET", "x")
            .env("LD_PRELOAD", "/nosuch.so")
            .env("WOLFFIA_SECRET", "x");
        let seen = call.by_shell("trap '' HUP USR1 PIPE TERM; exec \"$@\" 2>/dev/null").run();
        let groups = if seen.stdout.contains("Groups:\t \n") { "Groups:\t \n" } else { "Groups:\t\n" };
        let blocked = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nNoNewPrivs:\t1\n";
        let env: String = seen.stdout.lines().filter(|line| line.contains('=')).map(|line| format!("{line}\n")).collect();
        assert!(seen.stdout.contains("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"), "{seen}");
        assert!(seen.stdout.contains("NoNewPrivs:\t1") && blocked.contains("NoNewPrivs"), "{seen}");
        assert!(seen.stdout.contains(groups), "{seen}");
        // PWD, OLDPWD and SHLVL are the shell's own.
        let env: Vec<&str> = env.lines().filter(|line| !line.starts_with("PWD=") && !line.starts_with("SHLVL=")).collect();
        assert_eq!(env, ["HOME=/root", "PATH=/bin"]);
    });
}
