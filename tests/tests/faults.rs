//! What is left when something fails: the runtime is broken at each of its steps, and killed at any moment. It must be nothing, or
//! what `delete --force` or the next `create` takes away.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use rustix::process::Signal;
use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wolffia_tests::faults::{Broken, Fault, Kind, Lab, Variant, prepare};
use wolffia_tests::{ANYBODY, Case, Identity, ROOT, json, scenario, wait_until};

const PATIENCE: Duration = Duration::from_secs(10);
/// Where subordinate ids make no difference.
const BOTH: &[Identity] = &[Identity::Root, Identity::User { subordinate: false }];

/// Breaks `create` or `run` at each step.
fn break_making(case: &Case, variant: Variant, subcommand: &str) {
    let lab = Lab::new(case, variant);
    let faults = lab.faults_of_making(subcommand);
    lab.remove_everything();
    let mut reached = 0;
    for (number, fault) in faults.iter().enumerate() {
        let poststop = lab.hook_mark("poststop");
        std::fs::remove_file(&poststop).ok();
        let broken = lab.run(lab.make(subcommand, Some(fault)), fault);
        reached += usize::from(broken.reached);
        match (broken.killed, fault.step.as_str()) {
            (false, _) if !broken.reached => lab.remove_everything(),
            (false, _) => lab.assert_nothing_left(&broken),
            // The container's program runs.
            (true, "hooks.poststart") => lab.assert_deletable(&broken, false),
            (true, _) => lab.assert_cleanable(&broken, number % 2 == 0),
        }
        // What earlier hooks have set up, this one takes away. A creator that was killed first has not written down that there is one.
        if broken.reached && fault.step != "state.reserve" {
            assert!(poststop.exists(), "no poststop hook was run: {}", broken.what);
        }
    }
    assert!(reached * 10 > faults.len() * 8, "only {reached} of {} faults were reached", faults.len());
}

#[test]
fn create_broken_at_each_step_leaves_nothing() {
    prepare();
    scenario(ANYBODY, |case| break_making(case, Variant::Rich, "create"));
}

#[test]
fn create_with_ids_mapped_broken_at_each_step_leaves_nothing() {
    prepare();
    scenario(ROOT, |case| break_making(case, Variant::Mapped, "create"));
}

#[test]
fn create_by_joining_broken_at_each_step_leaves_nothing() {
    prepare();
    scenario(ROOT, |case| break_making(case, Variant::Joined, "create"));
}

#[test]
fn run_broken_at_each_step_leaves_nothing() {
    prepare();
    scenario(BOTH, |case| break_making(case, Variant::Rich, "run"));
}

#[test]
fn start_broken_at_each_step_can_be_repeated_or_deleted() {
    prepare();
    scenario(BOTH, |case| {
        let lab = Lab::new(case, Variant::Lasting);
        let create = || lab.make("create", None).run().succeeds();
        create();
        let faults = lab.faults(|call| call.args(["start", lab.id()]));
        lab.remove_everything();
        assert!(faults.len() > 10, "{faults:?}");
        for fault in &faults {
            create();
            let broken = lab.run(lab.on(&["start", lab.id()], Some(fault)), fault);
            let status = case.state(lab.id())["status"].as_str().unwrap().to_owned();
            match (fault.kind, status.as_str()) {
                // runtime.md, lifecycle: a container whose start failed is stopped.
                (Kind::Error, status) => {
                    assert!(!broken.reached || status == "stopped", "{status}: {}", broken.what);
                    assert!(!broken.reached || lab.running().is_empty(), "{:?}: {}", lab.running(), broken.what);
                }
                (_, "created") => start_again(case, &lab),
                (_, "running" | "stopped") => {}
                (_, other) => panic!("{other}: {}", broken.what),
            }
            lab.assert_deletable(&broken, false);
        }
    });
}

/// It starts, unless it had been told to by the `start` that was killed: then it ends, because nobody hears how that goes.
fn start_again(case: &Case, lab: &Lab<'_>) {
    let again = lab.on(&["start", lab.id()], None).run();
    assert!(again.status.success() || case.state(lab.id())["status"] == "stopped", "{again}");
}

#[test]
fn exec_broken_at_each_step_leaves_the_container_as_it_was() {
    prepare();
    scenario(BOTH, |case| {
        let lab = Lab::new(case, Variant::Lasting);
        lab.make("run", None).run().succeeds();
        std::fs::remove_file(lab.pid_file()).unwrap();
        let before = lab.running();
        let socket = lab.console_socket();
        let pid_file = lab.pid_file();
        let words =
            ["exec", "--detach", "--tty", "--console-socket", socket.to_str().unwrap(), "--pid-file", pid_file.to_str().unwrap()];
        let words = [&words[..], &[lab.id(), "sleep", "2000"]].concat();
        let faults = lab.faults(|call| call.args(&words));
        lab.end_others(&before);
        assert!(faults.len() > 40, "{faults:?}");
        for fault in &faults {
            let broken = lab.run(lab.on(&words, Some(fault)), fault);
            match (broken.reached, broken.killed, fault.step.as_str()) {
                (false, ..) => lab.end_others(&before),
                // The process runs, and its caller knows it.
                (true, true, "state.pidFile") => lab.end_others(&before),
                (true, killed, _) => {
                    let patience = if killed { PATIENCE } else { Duration::ZERO };
                    wait_until(patience, || lab.running() == before);
                    assert_eq!(lab.running(), before, "{}", broken.what);
                    assert!(!lab.pid_file().exists(), "{}", broken.what);
                }
            }
            std::fs::remove_file(lab.pid_file()).ok();
        }
        assert_eq!(case.state(lab.id())["status"], "running");
        lab.on(&["exec", lab.id(), "true"], None).run().succeeds();
        lab.remove_everything();
    });
}

#[test]
fn delete_broken_at_each_step_can_be_repeated() {
    prepare();
    scenario(BOTH, |case| {
        let lab = Lab::new(case, Variant::Lasting);
        for words in [&["delete", "--force"][..], &["delete"], &["kill"]] {
            let prepare = || {
                lab.make("run", None).run().succeeds();
                if words == ["delete"] {
                    lab.on(&["kill", lab.id(), "KILL"], None).run().succeeds();
                    case.wait_for_status(lab.id(), "stopped");
                }
            };
            prepare();
            let with_id: Vec<&str> = words.iter().copied().chain([lab.id()]).collect();
            let faults = lab.faults(|call| call.args(&with_id));
            lab.remove_everything();
            assert!(faults.len() >= 3, "{faults:?}");
            for fault in &faults {
                prepare();
                let broken = lab.run(lab.on(&with_id, Some(fault)), fault);
                assert!(broken.reached, "{}", broken.what);
                lab.assert_deletable(&broken, false);
            }
        }
    });
}

/// Each step that `plan` shows for these containers is carried out under its name, so that it was broken above.
#[test]
fn each_planned_step_is_carried_out_under_its_name() {
    prepare();
    scenario(ANYBODY, |case| {
        let variants: &[Variant] =
            if case.identity.is_root() { &[Variant::Mapped, Variant::Joined, Variant::Rich] } else { &[Variant::Rich] };
        for variant in variants {
            let lab = Lab::again(case, *variant);
            let steps = |faults: Vec<Fault>| faults.into_iter().map(|fault| fault.step).collect::<BTreeSet<String>>();
            let mut done = steps(lab.faults_of_making("create"));
            done.extend(steps(lab.faults(|call| call.args(["start", lab.id()]))));
            lab.remove_everything();
            let planned = lab.planned();
            assert!(planned.len() > 40, "{planned:?}");
            let missing: Vec<&String> = planned.difference(&done).collect();
            assert!(missing.is_empty(), "{variant:?}: planned, but not carried out: {missing:?}");
        }
    });
}

const HOOKS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A hook that waits, in a process that it started itself.
fn hang(lab: &Lab<'_>, kind: &str, timeout: Option<u32>) {
    lab.bundle.edit(|config| {
        let mut hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", "sleep 7777; true"] });
        if let Some(seconds) = timeout {
            hook["timeout"] = json!(seconds);
        }
        config["hooks"] = json!({ kind: [hook] });
    });
}

#[test]
fn a_hook_that_hangs_is_ended_by_its_timeout() {
    prepare();
    scenario(BOTH, |case| {
        let lab = Lab::new(case, Variant::Lasting);
        for kind in HOOKS {
            hang(&lab, kind, Some(1));
            let begun = Instant::now();
            let call = lab.make("run", None).run();
            if kind == "poststop" {
                call.succeeds();
                let deleted = lab.on(&["delete", "--force", lab.id()], None).run();
                assert!(deleted.status.success(), "{deleted}");
                std::fs::remove_file(lab.pid_file()).unwrap();
            } else {
                call.fails(1, "did not end within its timeout of 1 s");
            }
            assert!(begun.elapsed() < Duration::from_secs(5), "{kind}: {:?}", begun.elapsed());
            lab.assert_nothing_left(&Broken::at(&format!("a {kind} hook with a timeout")));
        }
    });
}

#[test]
fn a_hook_that_hangs_ends_with_the_runtime_that_is_killed() {
    prepare();
    scenario(BOTH, |case| {
        let lab = Lab::new(case, Variant::Lasting);
        let hangs = || lab.running_commands().iter().any(|line| line.starts_with("(sleep) sleep 7777"));
        for kind in HOOKS {
            hang(&lab, kind, None);
            let before = if kind == "poststop" { lab.make("run", None).run().succeeds() } else { String::new() };
            assert_eq!(before, "");
            let call = match kind {
                "poststop" => lab.on(&["delete", "--force", lab.id()], None),
                _ => lab.make("run", None),
            };
            let process = call.spawn();
            assert!(wait_until(PATIENCE, hangs), "the {kind} hook does not run");
            process.signal(Signal::KILL);
            process.wait(PATIENCE);
            assert!(wait_until(PATIENCE, || !hangs()), "the {kind} hook runs on: {:?}", lab.running_commands());
            let broken = Broken::at(&format!("killed during a {kind} hook"));
            hang(&lab, "prestart", Some(1));
            lab.bundle.edit(|config| config["hooks"] = json!({}));
            match kind {
                "poststart" | "poststop" => lab.assert_deletable(&broken, false),
                _ => lab.assert_cleanable(&broken, true),
            }
        }
    });
}

#[test]
fn a_start_hook_that_hangs_ends_with_the_start_that_is_killed() {
    prepare();
    scenario(BOTH, |case| {
        let lab = Lab::new(case, Variant::Lasting);
        let hangs = || lab.running_commands().iter().any(|line| line.contains("sleep 7777"));
        for kind in ["startContainer", "poststart"] {
            hang(&lab, kind, None);
            lab.make("create", None).run().succeeds();
            let process = lab.on(&["start", lab.id()], None).spawn();
            assert!(wait_until(PATIENCE, hangs), "the {kind} hook does not run");
            process.signal(Signal::KILL);
            process.wait(PATIENCE);
            assert!(wait_until(PATIENCE, || !hangs()), "the {kind} hook runs on: {:?}", lab.running_commands());
            lab.assert_deletable(&Broken::at(&format!("start killed during a {kind} hook")), false);
        }
    });
}

#[test]
fn a_caller_that_dies_leaves_a_container_to_delete() {
    prepare();
    scenario(BOTH, |case| {
        let lab = Lab::new(case, Variant::Lasting);
        let call = lab.foreground().by_shell("\"$@\" & wait");
        let shell = call.spawn();
        // Its last act.
        if !wait_until(PATIENCE, || lab.hook_mark("poststart").exists()) {
            panic!("it does not start: {:?}\n{}", lab.running_commands(), shell.wait(PATIENCE));
        }
        shell.signal(Signal::KILL);
        shell.wait(PATIENCE);
        assert_eq!(case.state(lab.id())["status"], "running");
        let broken = Broken::at("the caller of a run in the foreground was killed");
        lab.delete_by_force(&broken);
        assert!(wait_until(PATIENCE, || lab.running().is_empty()), "{:?}", lab.running_commands());
        std::fs::remove_file(lab.pid_file()).unwrap();
        lab.assert_nothing_left(&broken);
    });
}

#[test]
fn nobody_at_the_console_socket_is_a_failure_that_leaves_nothing() {
    prepare();
    scenario(BOTH, |case| {
        let lab = Lab::new(case, Variant::Rich);
        std::fs::remove_file(lab.console_socket()).unwrap();
        lab.make("create", None).run().fails(1, "console.open");
        lab.assert_nothing_left(&Broken::at("no console socket"));
    });
}

#[test]
fn a_failure_of_the_kernel_names_step_object_cause_and_cure() {
    prepare();
    scenario(BOTH, |case| {
        let lab = Lab::new(case, Variant::Lasting);
        lab.bundle.mount(json!({ "destination": "/mnt", "type": "bind", "source": "/nowhere/at/all", "options": ["bind"] }));
        let words = lab.make("create", None).run().fails(1, "/nowhere/at/all");
        assert!(words.contains("No such file or directory") && words.contains("correct the path"), "{words}");
        let record = lab.logged_error();
        assert!(["mounts.apply", "mounts.sources"].iter().any(|step| record["step"] == *step), "{record}");
        for (member, part) in [("object", "/mnt"), ("cause", "No such file"), ("cure", "path"), ("msg", "/nowhere/at/all")] {
            assert!(record[member].as_str().is_some_and(|text| text.contains(part)), "{member}: {record}");
        }
        lab.assert_nothing_left(&Broken::at("a source that is not there"));
    });
}

/// Numbers that differ each time; the first is printed, so that a failure can be looked into.
fn delays(count: u32, longest: Duration) -> impl Iterator<Item = Duration> {
    let mut seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    println!("the seed of the delays is {seed}");
    (0..count).map(move |_| {
        // xorshift64 (Marsaglia, 2003).
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        longest.mul_f64((seed >> 11) as f64 / (1_u64 << 53) as f64)
    })
}

#[test]
fn run_killed_at_any_time_leaves_what_can_be_deleted() {
    prepare();
    scenario(BOTH, |case| {
        let lab = Lab::new(case, Variant::Lasting);
        let begun = Instant::now();
        lab.make("run", None).run().succeeds();
        let longest = begun.elapsed().mul_f64(1.2);
        lab.remove_everything();
        let mut created = 0;
        for (number, delay) in delays(50, longest).enumerate() {
            let process = lab.foreground().spawn();
            std::thread::sleep(delay);
            process.signal(Signal::KILL);
            process.wait(PATIENCE);
            let broken = Broken::at(&format!("run killed after {delay:?}"));
            match lab.is_created() {
                true => lab.assert_deletable(&broken, false),
                false => lab.assert_cleanable(&broken, number % 2 == 0),
            }
            created += u32::from(lab.is_created());
        }
        assert!(created < 50, "no run was killed before it was done");
    });
}

#[test]
fn start_and_delete_killed_at_any_time_can_be_repeated() {
    prepare();
    scenario(BOTH, |case| {
        let lab = Lab::new(case, Variant::Lasting);
        for delay in delays(20, Duration::from_millis(12)) {
            lab.make("create", None).run().succeeds();
            for words in [&["start"][..], &["delete", "--force"]] {
                let process = lab.on(&[words, &[lab.id()]].concat(), None).spawn();
                std::thread::sleep(delay);
                process.signal(Signal::KILL);
                process.wait(PATIENCE);
                if words == ["start"] && case.state(lab.id())["status"] == "created" {
                    start_again(case, &lab);
                }
            }
            lab.assert_deletable(&Broken::at(&format!("start and delete killed after {delay:?}")), false);
        }
    });
}

#[test]
fn a_directory_that_was_just_made_or_almost_removed_is_taken_away() {
    prepare();
    scenario(&[Identity::Root], |case| {
        let lab = Lab::new(case, Variant::Lasting);
        let directory = case.root().join(lab.id());
        for lock in [false, true] {
            std::fs::create_dir_all(&directory).unwrap();
            if lock {
                std::fs::write(directory.join("lock"), "").unwrap();
            }
            lab.assert_deletable(&Broken::at(&format!("an empty directory, lock: {lock}")), false);
        }
    });
}
