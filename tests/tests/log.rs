//! What the runtime says, to people and to machines.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use wolffia_tests::{ANYBODY, Case, Outcome, Value, json, scenario};

/// A run that fails at a named step.
fn failing(case: &Case, flags: &[&str]) -> Outcome {
    let bundle = case.shell("true");
    bundle.args(&["nosuchprogram"]);
    case.wolffia().args(flags).args(["create", "--bundle"]).arg(bundle.path()).arg(case.id()).run()
}

/// containerd reads a stream of records and Podman exactly one.
#[test]
fn a_failure_is_one_json_record() {
    scenario(ANYBODY, |case| {
        let log = case.path("log.json");
        let outcome = failing(case, &["--log", log.to_str().unwrap(), "--log-format", "json"]);
        let record: Value = serde_json::from_str(&std::fs::read_to_string(&log).unwrap()).unwrap();
        assert_eq!(record["level"], "error");
        assert!(record["msg"].as_str().unwrap().contains("executable file not found in $PATH"), "{record}");
        let time = record["time"].as_str().unwrap();
        assert!(time.len() >= 20 && time.as_bytes()[10] == b'T' && time.ends_with('Z'), "{record}");
        assert_eq!(record["step"], "process.executable");
        for key in ["cause", "cure", "object"] {
            assert!(record[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {record}");
        }
        outcome.fails(1, "executable file not found in $PATH");
    });
}

#[test]
fn records_are_appended() {
    scenario(ANYBODY, |case| {
        let log = case.path("log.json");
        for count in 1..3 {
            failing(case, &["--log", log.to_str().unwrap(), "--log-format=json"]);
            assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), count);
        }
    });
}

#[test]
fn a_destination_as_crun_names_it_is_a_file_or_refused() {
    scenario(ANYBODY, |case| {
        let log = case.path("log.json");
        failing(case, &["--log", &format!("file:{}", log.display()), "--log-format=json"]);
        assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 1);
        failing(case, &["--log", "file:"]).fails(1, "the name of the file is missing");
        for service in ["journald:web", "syslog:web"] {
            failing(case, &["--log", service]).fails(1, "records go to a file or to the standard error");
        }
    });
}

#[test]
fn without_a_failure_nothing_is_logged() {
    scenario(ANYBODY, |case| {
        let log = case.path("log.json");
        let bundle = case.shell("true");
        let call = case.wolffia().arg("--log").arg(&log).args(["--log-format", "json", "run", "--bundle"]).arg(bundle.path());
        call.arg(case.id()).run().succeeds();
        assert_eq!(std::fs::read_to_string(&log).unwrap_or_default(), "");
    });
}

#[test]
fn a_trace_has_the_names_of_the_plan() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("true");
        let plan = case.call_on("plan", &bundle, "x").run().succeeds();
        let planned: Vec<&str> = plan.lines().filter_map(|line| line.split_whitespace().next()).collect();
        let log = case.path("trace");
        let call = case.wolffia().arg("--debug").arg("--log").arg(&log).args(["run", "--bundle"]).arg(bundle.path());
        assert_eq!(call.arg(case.id()).run().code(), 0);
        let trace = std::fs::read_to_string(&log).unwrap();
        for step in ["namespaces.clone", "mounts.apply", "rootfs.pivot", "capabilities.set"] {
            assert!(planned.contains(&step), "{step} is not planned:\n{plan}");
            assert!(trace.contains(step), "{step} is not traced:\n{trace}");
        }
    });
}

#[test]
fn a_plan_does_nothing() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("touch /shared/ran");
        let shared = case.directory("shared");
        bundle.mount(json!({ "destination": "/shared", "source": shared, "options": ["bind"] }));
        let plan = case.call_on("plan", &bundle, "x").arg("--json").run().succeeds();
        let plan: Value = serde_json::from_str(&plan).unwrap();
        assert!(plan["mounts"].as_array().unwrap().iter().any(|mount| mount["destination"] == "/shared"));
        assert!(!shared.join("ran").exists() && !case.root().exists());
        bundle.edit(|config| config["linux"]["sysctl"] = json!({ "kernel.core_pattern": "|/x" }));
        case.call_on("plan", &bundle, "x").run().fails(1, "kernel.core_pattern");
    });
}

#[test]
fn the_doctor_examines() {
    scenario(ANYBODY, |case| {
        let findings: Value = serde_json::from_str(&case.wolffia().args(["doctor", "--json"]).run().succeeds()).unwrap();
        assert!(findings.as_array().is_some_and(|all| !all.is_empty()), "{findings}");
        assert!(!case.wolffia().arg("doctor").run().succeeds().is_empty());
    });
}

#[test]
fn what_is_wrong_on_the_command_line_is_said() {
    scenario(ANYBODY, |case| {
        case.wolffia().arg("nosuchcommand").run().fails(3, "No help topic for 'nosuchcommand'");
        case.wolffia().arg("run").run().fails(1, "required");
        case.wolffia().args(["state", "a", "b"]).run().fails(1, "unexpected");
        case.wolffia().args(["--log-format", "xml", "list"]).run().fails(1, "invalid log-format");
        let root = case.program(case.binary()).args(["--root", "/", "list"]).run();
        root.fails(1, "Option --root argument should not be set to /");
        assert!(case.wolffia().args(["help", "run"]).run().succeeds().contains("--bundle"));
        assert!(case.wolffia().args(["run", "--help"]).run().succeeds().contains("--bundle"));
    });
}

/// config.md, "capabilities": what cannot be granted must be logged as a warning, and should not fail. Not in a log for machines
/// unless they ask for warnings: Podman reads that as one record, the error.
#[test]
fn a_capability_that_cannot_be_granted_is_warned_of() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("true");
        bundle.edit(|config| config["process"]["capabilities"]["bounding"] = json!(["CAP_KILL", "CAP_NO_SUCH_THING"]));
        let log = case.path("log");
        let create = |flags: &[&str]| {
            let call = case.wolffia().arg("--log").arg(&log).args(flags).args(["create", "--bundle"]).arg(bundle.path());
            let outcome = call.arg(case.id()).run();
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let _absent = std::fs::remove_file(&log);
            (outcome, text)
        };
        let (outcome, text) = create(&[]);
        outcome.succeeds();
        assert!(text.contains("level=warning") && text.contains("capability CAP_NO_SUCH_THING"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        let (outcome, text) = create(&["--log-format", "json"]);
        outcome.succeeds();
        assert_eq!(text, "");
        bundle.args(&["nosuchprogram"]);
        let (outcome, text) = create(&[]);
        outcome.fails(1, "nosuchprogram");
        assert!(!text.contains("warning"), "{text}");
    });
}
