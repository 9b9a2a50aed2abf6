//! Kernel keys.

use std::time::Duration;
use wolffia_tests::{ANYBODY, Case, Process, scenario, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);

/// Takes the name that runc gives the session keyring of the container `$ARGV[0]`, opens the keyring to everybody, and puts a key
/// into it that only who has the keyring can see. Then it goes on living.
const TRAP: &str = r#"
    my ($keyctl, $join, $setperm, $add_key) = (250, 1, 5, 248);
    my $name = "_ses.$ARGV[0]\0";
    my $keyring = syscall($keyctl, $join, $name);
    die "no keyring: $!" if $keyring < 0;
    syscall($keyctl, $setperm, $keyring, 0x3f3f3f3f) == 0 or die "setperm: $!";
    my ($type, $what, $secret) = ("user\0", "LEAK-key\0", "trap");
    my $key = syscall($add_key, $type, $what, $secret, 4, $keyring);
    syscall($keyctl, $setperm, $key, 0x3f000000) == 0 or die "setperm: $!";
    $| = 1;
    print "set\n";
    sleep 300;
"#;

fn set_trap(case: &Case, id: &str) -> Process {
    if !cfg!(target_arch = "x86_64") || !std::path::Path::new("/usr/bin/perl").exists() {
        case.skip("the trap is written in perl for x86_64");
    }
    let trap = case.program("perl").args(["-e", TRAP, id]).spawn();
    if !wait_until(PATIENCE, || trap.stdout().contains("set")) {
        trap.signal(rustix::process::Signal::KILL);
        let outcome = trap.wait(PATIENCE);
        case.skip(&format!("the kernel has no keys, or no more for this user: {outcome}"));
    }
    trap
}

/// The keys that a process in the container can see, its own session keyring among them.
fn keys(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.contains("keyring") || line.contains("LEAK")).collect()
}

/// A keyring whose name somebody of the same user knew before would hold that one's keys, and show the container's to him.
#[test]
fn a_session_keyring_is_nobody_elses() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("cat /proc/keys; exec sleep 300");
        bundle.edit(|config| config["linux"]["maskedPaths"] = wolffia_tests::json!([]));
        let id = case.id();
        let trap = set_trap(case, &id);
        let container = case.call_on("run", &bundle, &id).spawn();
        case.wait_for_status(&id, "running");
        assert!(wait_until(PATIENCE, || !keys(&container.stdout()).is_empty()), "no keyring: {}", container.stdout());
        let inside = container.stdout();
        assert!(!inside.contains("LEAK") && inside.contains("_ses"), "{inside}");
        let by_exec = case.wolffia().args(["exec", &id, "cat", "/proc/keys"]).run().succeeds();
        assert!(!by_exec.contains("LEAK") && by_exec.contains("_ses"), "{by_exec}");
        case.wolffia().args(["kill", &id, "KILL"]).run().succeeds();
        container.wait(PATIENCE);
        trap.signal(rustix::process::Signal::KILL);
        trap.wait(PATIENCE);
    });
}
