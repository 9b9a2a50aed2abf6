//! Programs that a configuration runs at six moments of a container's life.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use serde_json::Map;
use std::path::Path;
use std::time::{Duration, Instant};
use wolffia_tests::{ANYBODY, Bundle, Case, Value, json, scenario};

const KINDS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A bundle whose hooks write their names in the order of their running, and what they read, into `directory`.
fn observed(case: &Case, directory: &Path, script: &str) -> Bundle {
    let bundle = case.shell(script);
    // The same path on both sides: some hooks see the host's files, one the container's.
    bundle.mount(json!({ "destination": directory, "source": directory, "options": ["bind"] }));
    let hooks: Map<String, Value> = KINDS.iter().map(|kind| ((*kind).to_owned(), json!([observer(directory, kind)]))).collect();
    bundle.edit(|config| config["hooks"] = Value::Object(hooks));
    bundle
}

fn observer(directory: &Path, kind: &str) -> Value {
    let directory = directory.display();
    let script = format!(
        "echo {kind} >> {directory}/order; cat > {directory}/{kind}.json; readlink /proc/self/ns/mnt > {directory}/{kind}.mnt; env > {directory}/{kind}.env"
    );
    hook(&script)
}

fn hook(script: &str) -> Value {
    json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin", "HOOK=yes"] })
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn they_run_in_order_with_the_state_on_their_input() {
    scenario(ANYBODY, |case| {
        let directory = case.directory("hooks");
        let bundle = observed(case, &directory, &format!("echo program >> {}/order; exec sleep 300", directory.display()));
        bundle.edit(|config| config["annotations"] = json!({ "key": "value" }));
        let id = case.id();
        let order = || read(&directory.join("order"));

        case.call_on("create", &bundle, &id).run().succeeds();
        assert_eq!(order(), "prestart\ncreateRuntime\ncreateContainer\n");
        let pid = case.state(&id)["pid"].clone();
        case.wolffia().args(["start", &id]).run().succeeds();
        let lines = order();
        let lines: Vec<&str> = lines.lines().collect();
        let at = |name: &str| lines.iter().position(|line| *line == name);
        assert_eq!(lines[3], "startContainer");
        assert!(at("poststart").is_some() && !lines.contains(&"poststop"), "{lines:?}");
        case.wolffia().args(["delete", "--force", &id]).run().succeeds();
        assert!(order().ends_with("poststop\n"), "{}", order());

        for (kind, status) in KINDS.iter().zip(["creating", "creating", "creating", "created", "running", "stopped"]) {
            let text = read(&directory.join(format!("{kind}.json")));
            let state: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{kind}: {error}: {text:?}"));
            assert_eq!(state["status"], status, "{kind}");
            assert_eq!((&state["id"], &state["bundle"]), (&json!(id), &json!(bundle.path())), "{kind}");
            assert_eq!(state["annotations"]["key"], "value", "{kind}");
            assert_eq!(state["ociVersion"], bundle.config()["ociVersion"], "{kind}");
            if ["prestart", "createRuntime", "poststart"].contains(kind) {
                assert_eq!(state["pid"], pid, "{kind}");
            }
            let env = read(&directory.join(format!("{kind}.env")));
            assert!(env.contains("HOOK=yes\n") && !env.contains("XDG_RUNTIME_DIR"), "{kind}: {env}");
        }
        let own = std::fs::read_link("/proc/self/ns/mnt").unwrap();
        for (kind, outside) in KINDS.iter().zip([true, true, false, false, true, true]) {
            let namespace = read(&directory.join(format!("{kind}.mnt")));
            assert_eq!(namespace.trim() == own.to_str().unwrap(), outside, "{kind} ran in {namespace}");
        }
    });
}

#[test]
fn a_failure_before_start_ends_creation_and_is_named() {
    scenario(ANYBODY, |case| {
        let directory = case.directory("hooks");
        for kind in &KINDS[..3] {
            let bundle = observed(case, &directory, "true");
            bundle.edit(|config| {
                let list = config["hooks"][*kind].as_array_mut().unwrap();
                list.push(hook("echo words of the hook >&2; exit 3"));
                list.push(hook(&format!("touch {}/not-reached", directory.display())));
            });
            for command in ["create", "run"] {
                let id = case.id();
                let error = case.call_on(command, &bundle, &id).run().fails(1, &format!("error running {kind} hook #1:"));
                assert!(error.contains("words of the hook"), "{error}");
                case.wolffia().args(["state", &id]).run().fails(1, "container does not exist");
            }
            assert!(!directory.join("not-reached").exists());
        }
    });
}

#[test]
fn a_failure_at_start_ends_the_container() {
    scenario(ANYBODY, |case| {
        let directory = case.directory("hooks");
        for kind in ["startContainer", "poststart"] {
            let bundle = observed(case, &directory, "exec sleep 300");
            bundle.edit(|config| config["hooks"][kind] = json!([hook("exit 3")]));
            let id = case.id();
            case.call_on("create", &bundle, &id).run().succeeds();
            case.wolffia().args(["start", &id]).run().fails(1, &format!("error running {kind} hook #0:"));
            case.wait_for_status(&id, "stopped");
            case.wolffia().args(["delete", &id]).run().succeeds();
            let id = case.id();
            case.call_on("run", &bundle, &id).run().fails(1, &format!("error running {kind} hook #0:"));
            case.wolffia().args(["state", &id]).run().fails(1, "container does not exist");
        }
    });
}

#[test]
fn a_failure_afterwards_is_a_warning_and_the_others_run() {
    scenario(ANYBODY, |case| {
        let directory = case.directory("hooks");
        let bundle = case.shell("true");
        let last = hook(&format!("echo ran > {}/last", directory.display()));
        bundle.edit(|config| config["hooks"] = json!({ "poststop": [hook("exit 3"), last] }));
        let id = case.id();
        case.call_on("run", &bundle, &id).run().fails(0, "poststop");
        assert_eq!(read(&directory.join("last")), "ran\n");
        case.wolffia().args(["state", &id]).run().fails(1, "container does not exist");
    });
}

#[test]
fn a_hook_that_hangs_is_ended_at_its_timeout() {
    scenario(ANYBODY, |case| {
        for kind in &KINDS[..5] {
            let bundle = case.shell("exec sleep 300");
            let mut slow = hook("sleep 300 & sleep 300");
            slow["timeout"] = json!(1);
            bundle.edit(|config| config["hooks"] = json!({ *kind: [slow] }));
            let begin = Instant::now();
            let id = case.id();
            case.call_on("run", &bundle, &id).run().fails(1, &format!("error running {kind} hook #0:"));
            // The hook takes 300 s, and a busy machine may take some.
            assert!(begin.elapsed() < Duration::from_secs(50), "{kind}: {:?}", begin.elapsed());
            case.wolffia().args(["state", &id]).run().fails(1, "container does not exist");
        }
    });
}

#[test]
fn a_hook_that_is_not_there_fails_and_one_with_a_relative_path_is_refused() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("true");
        bundle.edit(|config| config["hooks"] = json!({ "createRuntime": [{ "path": "/nosuchhook" }] }));
        case.run(&bundle).fails(1, "/nosuchhook");
        bundle.edit(|config| config["hooks"] = json!({ "createRuntime": [{ "path": "bin/sh" }] }));
        case.run(&bundle).fails(1, "bin/sh");
        bundle.edit(|config| config["hooks"] = json!({ "createRuntime": [{ "path": "/bin/true", "timeout": 0 }] }));
        case.run(&bundle).fails(1, "timeout");
    });
}

#[test]
fn arguments_and_the_environment_are_the_hooks_own() {
    scenario(ANYBODY, |case| {
        let file = case.path("out");
        let bundle = case.shell("true");
        let script = format!("echo \"$0 $1\" > {0}; env >> {0}", file.display());
        bundle.edit(|config| {
            config["hooks"] = json!({ "createRuntime": [{ "path": "/bin/sh", "args": ["sh", "-c", script, "zero", "one"] }] })
        });
        case.run(&bundle).succeeds();
        let text = read(&file);
        assert!(text.starts_with("zero one\n") && !text.contains("HOME=") && !text.contains("XDG_RUNTIME_DIR="), "{text}");
    });
}

/// The state is longer than a pipe holds.
#[test]
fn a_hook_that_reads_nothing_is_ended_at_its_timeout_too() {
    scenario(ANYBODY, |case| {
        let directory = case.directory("hooks");
        for kind in &KINDS[..5] {
            let bundle = observed(case, &directory, "exec sleep 300");
            let mut deaf = hook("exec sleep 300");
            deaf["timeout"] = json!(1);
            bundle.edit(|config| {
                config["annotations"] = json!({ "long": "x".repeat(300_000) });
                config["hooks"] = json!({ *kind: [observer(&directory, kind), deaf] });
            });
            let begin = Instant::now();
            let id = case.id();
            let error = case.call_on("run", &bundle, &id).run().fails(1, &format!("error running {kind} hook #1:"));
            // Far from the 300 s that it would sleep, on a machine however busy.
            assert!(error.contains("timeout of 1 s") && begin.elapsed() < Duration::from_secs(60), "{kind}: {error}");
            let state: Value = serde_json::from_str(&read(&directory.join(format!("{kind}.json")))).unwrap();
            assert_eq!(state["annotations"]["long"].as_str().unwrap().len(), 300_000, "{kind}");
        }
    });
}

/// `start` has the container's lock meanwhile.
#[test]
fn delete_with_force_does_not_wait_for_a_hook_of_start() {
    scenario(ANYBODY, |case| {
        let directory = case.directory("hooks");
        let bundle = case.shell("exec sleep 300");
        bundle.mount(json!({ "destination": directory, "source": directory, "options": ["bind"] }));
        let hangs = hook(&format!("echo begun > {}/begun; exec sleep 300", directory.display()));
        bundle.edit(|config| config["hooks"] = json!({ "startContainer": [hangs] }));
        let id = case.id();
        case.call_on("create", &bundle, &id).run().succeeds();
        let start = case.wolffia().args(["start", &id]).spawn();
        case.wait_for_file(&directory.join("begun"));
        let begin = Instant::now();
        case.wolffia().args(["delete", "--force", &id]).run().succeeds();
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        start.wait(Duration::from_secs(10)).fails(1, "");
        case.wolffia().args(["state", &id]).run().fails(1, "container does not exist");
    });
}

/// The host's hook goes on, and so does who waits for it; the id is free meanwhile, and whoever has it next is spared.
#[test]
fn delete_with_force_does_not_wait_for_a_poststart_hook() {
    scenario(ANYBODY, |case| {
        let directory = case.directory("hooks");
        let bundle = case.shell("exec sleep 300");
        let begun = directory.join("begun");
        for subcommand in ["start", "run"] {
            let id = case.id();
            let hangs = hook(&format!("echo $$ > {}; exec sleep 300", begun.display()));
            bundle.edit(|config| config["hooks"] = json!({ "poststart": [hangs] }));
            let waiting = if subcommand == "start" {
                case.call_on("create", &bundle, &id).run().succeeds();
                case.wolffia().args(["start", &id]).spawn()
            } else {
                case.call_on("run", &bundle, &id).arg("--detach").spawn()
            };
            let hook: i32 = case.wait_for_file(&begun).trim().parse().unwrap();
            let begin = Instant::now();
            case.wolffia().args(["delete", "--force", &id]).run().succeeds();
            assert!(begin.elapsed() < Duration::from_secs(10), "{subcommand}: {:?}", begin.elapsed());
            bundle.edit(|config| config["hooks"] = json!({}));
            case.call_on("run", &bundle, &id).arg("--detach").run().succeeds();

            case.program("kill").arg(hook.to_string()).run().succeeds();
            waiting.wait(Duration::from_secs(10)).fails(1, "poststart");
            assert_eq!(case.state(&id)["status"], "running", "{subcommand}");
            case.wolffia().args(["delete", "--force", &id]).run().succeeds();
            std::fs::remove_file(&begun).unwrap();
        }
    });
}
