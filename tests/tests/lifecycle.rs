//! A container's life: run, create, start, state, kill, delete, list, ps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::time::Duration;
use wolffia_tests::{ANYBODY, ROOT, Rootfs, Value, json, scenario, wait_until};

const SLEEP: &str = "exec sleep 300";
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_program_runs_and_its_output_and_status_are_the_callers() {
    scenario(ANYBODY, |case| {
        assert_eq!(case.run_shell("echo out; echo $0", |_| {}).succeeds(), "out\nsh\n");
        let outcome = case.run_shell("echo err >&2; exit 7", |_| {});
        assert_eq!((outcome.code(), outcome.stderr.as_str()), (7, "err\n"));
    });
}

#[test]
fn a_program_that_a_signal_ends_gives_128_and_its_number() {
    scenario(ANYBODY, |case| {
        let (id, process) = case.running(&case.shell(&format!("echo ready; {SLEEP}")));
        // And not for the status, which says `running` before the program is: what is killed then has not run.
        assert!(wait_until(PATIENCE, || process.stdout() == "ready\n"));
        case.wolffia().args(["kill", &id, "KILL"]).run().succeeds();
        process.wait(PATIENCE).ends_with(137);
    });
}

#[test]
fn signals_to_the_runtime_reach_the_program() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("trap 'echo got it; exit 5' TERM; echo ready; while :; do sleep 0.05; done");
        let (_, process) = case.running(&bundle);
        assert!(wait_until(PATIENCE, || process.stdout() == "ready\n"));
        process.signal(rustix::process::Signal::TERM);
        assert_eq!(process.wait(PATIENCE).ends_with(5), "ready\ngot it\n");
    });
}

#[test]
fn created_started_killed_deleted() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("echo started > /shared/file; exec sleep 300");
        let shared = case.directory("shared");
        bundle.mount(json!({ "destination": "/shared", "source": shared, "options": ["bind"] }));
        bundle.edit(|config| config["annotations"] = json!({ "org.example.key": "value" }));
        let id = case.id();

        case.call_on("create", &bundle, &id).run().succeeds();
        let created = case.state(&id);
        assert_eq!(created["status"], "created");
        assert_eq!(created["id"], id.as_str());
        assert_eq!(created["bundle"], bundle.path().to_str().unwrap());
        assert_eq!(created["rootfs"], bundle.rootfs().to_str().unwrap());
        assert_eq!(created["annotations"], json!({ "org.example.key": "value" }));
        assert_eq!(created["ociVersion"], bundle.config()["ociVersion"]);
        let pid = created["pid"].as_i64().unwrap();
        assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
        assert!(!shared.join("file").exists(), "the program ran before start");

        case.wolffia().args(["start", &id]).run().succeeds();
        assert_eq!(case.wait_for_file(&shared.join("file")), "started\n");
        let running = case.state(&id);
        assert_eq!((&running["status"], &running["pid"]), (&json!("running"), &json!(pid)));

        case.wolffia().args(["kill", &id, "9"]).run().succeeds();
        case.wait_for_status(&id, "stopped");
        assert_eq!(case.state(&id)["pid"], 0);

        case.wolffia().args(["delete", &id]).run().succeeds();
        case.wolffia().args(["state", &id]).run().fails(1, "container does not exist");
    });
}

#[test]
fn operations_that_the_status_forbids_are_refused_in_runcs_words() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell(SLEEP);
        let id = case.id();
        let wolffia = |args: &[&str]| case.wolffia().args(args).run();
        for command in ["state", "start", "delete", "kill", "ps"] {
            wolffia(&[command, &id]).fails(1, "container does not exist");
        }
        wolffia(&["delete", "--force", &id]).succeeds();
        case.call_on("create", &bundle, &id).run().succeeds();
        case.call_on("create", &bundle, &id).run().fails(1, "container with given ID already exists");
        wolffia(&["delete", &id]).fails(1, &format!("cannot delete container {id} that is not stopped: created"));
        wolffia(&["start", &id]).succeeds();
        wolffia(&["start", &id]).fails(1, "cannot start an already running container");
        wolffia(&["delete", &id]).fails(1, &format!("cannot delete container {id} that is not stopped: running"));
        wolffia(&["kill", &id, "NOSUCH"]).fails(1, "signal");
        wolffia(&["kill", &id, "SIGKILL"]).succeeds();
        case.wait_for_status(&id, "stopped");
        wolffia(&["kill", &id]).fails(1, "container not running");
        wolffia(&["start", &id]).fails(1, "cannot start a container that has stopped");
        wolffia(&["exec", &id, "true"]).fails(255, "cannot exec in a stopped container");
        wolffia(&["delete", &id]).succeeds();
    });
}

#[test]
fn an_id_that_could_be_a_path_is_refused() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("true");
        for id in ["..", ".", "a/b", "../x", "a b", "a\nb", "é", ""] {
            case.call_on("run", &bundle, id).run().fails(1, "invalid container ID format");
        }
        for id in ["-x", "--x"] {
            assert_eq!(case.wolffia().arg("run").arg("--bundle").arg(bundle.path()).arg(id).run().code(), 1);
        }
        case.call_on("run", &bundle, "0_+.-Az").run().succeeds();
    });
}

/// Docker makes 126 and 127 of these texts.
#[test]
fn a_program_that_cannot_be_executed_is_named_and_leaves_nothing() {
    scenario(ANYBODY, |case| {
        let bundle = case.bundle(Rootfs::Busybox);
        bundle.file("plain", "not executable");
        for (program, words) in [
            ("nosuchprogram", "executable file not found in $PATH"),
            ("/nosuchprogram", "no such file or directory"),
            ("/plain", "permission denied"),
            ("/etc", "is a directory: permission denied"),
            ("/plain/x", "not a directory"),
        ] {
            bundle.args(&[program]);
            for command in ["create", "run"] {
                let id = case.id();
                let error = case.call_on(command, &bundle, &id).run().fails(1, words);
                assert!(
                    error.contains(&format!(
                        "unable to start container process: error during container init: exec: {program:?}: "
                    )),
                    "{error}"
                );
                case.wolffia().args(["state", &id]).run().fails(1, "container does not exist");
            }
        }
    });
}

#[test]
fn run_detached_returns_and_the_container_goes_on() {
    scenario(ANYBODY, |case| {
        let id = case.started(&case.shell(SLEEP));
        assert_eq!(case.state(&id)["status"], "running");
        case.wolffia().args(["delete", "--force", &id]).run().succeeds();
        case.wolffia().args(["state", &id]).run().fails(1, "container does not exist");
    });
}

#[test]
fn run_deletes_the_container_unless_it_is_kept() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("exit 3");
        let id = case.id();
        case.call_on("run", &bundle, &id).run().ends_with(3);
        case.wolffia().args(["state", &id]).run().fails(1, "container does not exist");
        case.call_on("run", &bundle, &id).arg("--keep").run().ends_with(3);
        assert_eq!(case.state(&id)["status"], "stopped");
        case.wolffia().args(["delete", &id]).run().succeeds();
    });
}

#[test]
fn list_shows_all_containers() {
    scenario(ANYBODY, |case| {
        let list = |args: &[&str]| case.wolffia().arg("list").args(args).run();
        list(&[]).fails(1, "no such directory");
        std::fs::create_dir(case.root()).unwrap();
        assert_eq!(list(&["--format", "json"]).succeeds(), "null");
        assert_eq!(list(&["--quiet"]).succeeds(), "");

        let bundle = case.shell(SLEEP);
        let running = case.started(&bundle);
        let created = case.id();
        case.call_on("create", &bundle, &created).run().succeeds();
        assert_eq!(list(&["-q"]).succeeds(), format!("{running}\n{created}\n"));

        let json: Value = serde_json::from_str(&list(&["--format=json"]).succeeds()).unwrap();
        let statuses: Vec<_> = json.as_array().unwrap().iter().map(|entry| (&entry["id"], &entry["status"])).collect();
        assert_eq!(statuses, [(&json!(running), &json!("running")), (&json!(created), &json!("created"))]);

        let table = list(&[]).succeeds();
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
        assert_eq!(
            lines[1][..4],
            [&*running, &case.state(&running)["pid"].to_string(), "running", bundle.path().to_str().unwrap()]
        );
        list(&["--format", "xml"]).fails(1, "invalid format option");
    });
}

#[test]
fn ps_shows_the_containers_processes_and_no_others() {
    scenario(ANYBODY, |case| {
        let id = case.started(&case.shell("sleep 301 & exec sleep 302"));
        let pid = case.state(&id)["pid"].as_i64().unwrap();
        let both = wait_until(PATIENCE, || {
            let pids: Vec<i64> =
                serde_json::from_str(&case.wolffia().args(["ps", "--format", "json", &id]).run().succeeds()).unwrap();
            pids.len() == 2 && pids.contains(&pid)
        });
        assert!(both, "{}", case.wolffia().args(["ps", "-f", "json", &id]).run());
        let table = case.wolffia().args(["ps", &id]).run().succeeds();
        assert_eq!(table.lines().count(), 3, "{table}");
        assert!(table.contains("sleep 301") && table.contains("sleep 302") && table.starts_with("UID"), "{table}");
        let table = case.wolffia().args(["ps", &id, "-o", "pid,comm", "-e"]).run().succeeds();
        assert_eq!(table.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(), ["PID", "COMMAND"]);
        assert_eq!(table.lines().count(), 3, "{table}");
    });
}

/// Callers read it with atoi, some without trimming.
#[test]
fn the_pid_file_holds_the_number_and_no_newline() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell(SLEEP);
        let file = case.path("pid");
        let id = case.id();
        case.call_on("create", &bundle, &id).arg("--pid-file").arg(&file).run().succeeds();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), case.state(&id)["pid"].to_string());
        let failing = case.call_on("run", &case.bundle(Rootfs::Empty), &case.id()).arg("--pid-file").arg(case.path("none")).run();
        assert_eq!(failing.code(), 1);
        assert!(!case.path("none").exists());
    });
}

#[test]
fn delete_with_force_ends_a_container_whose_program_ignores_signals() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("trap '' TERM INT HUP; sleep 300 & sleep 300 & echo up; while :; do sleep 1; done");
        let id = case.started(&bundle);
        let begin = std::time::Instant::now();
        case.wolffia().args(["delete", "--force", &id]).run().succeeds();
        assert!(begin.elapsed() < Duration::from_secs(5), "it took {:?}", begin.elapsed());
    });
}

#[test]
fn a_bundle_without_configuration_is_named() {
    scenario(ANYBODY, |case| {
        let empty = case.directory("empty");
        let error = case.wolffia().args(["create", "--bundle"]).arg(&empty).arg(case.id()).run();
        error.fails(1, &format!("JSON specification file {} not found", empty.join("config.json").display()));
    });
}

#[test]
fn spec_writes_a_configuration_and_never_over_another() {
    scenario(ANYBODY, |case| {
        let directory = case.directory("b");
        let spec = |flags: &[&str]| case.wolffia().args(["spec", "--bundle"]).arg(&directory).args(flags).run();
        spec(&[]).succeeds();
        let before = std::fs::read(directory.join("config.json")).unwrap();
        spec(&[]).fails(1, "File config.json exists. Remove it first");
        spec(&["--file", "other.json"]).succeeds();
        spec(&["-f", "other.json"]).fails(1, "File other.json exists. Remove it first");
        for file in ["config.json", "other.json"] {
            assert_eq!(std::fs::read(directory.join(file)).unwrap(), before, "{file}");
        }
    });
}

#[test]
fn kill_all_reaches_every_process() {
    scenario(ANYBODY, |case| {
        let (id, process) = case.running(&case.shell("sleep 300 & sleep 300 & echo ready; wait"));
        assert!(wait_until(PATIENCE, || process.stdout() == "ready\n"));
        case.wolffia().args(["kill", "--all", &id, "9"]).run().succeeds();
        process.wait(PATIENCE).ends_with(137);
    });
}

#[test]
fn containers_are_killed_and_deleted_by_a_pattern_of_their_ids() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("exec sleep 300");
        let start = |id: &str| {
            case.call_on("run", &bundle, id).arg("--detach").run().succeeds();
            id.to_owned()
        };
        let (first, second, other) = (start("one-a1"), start("one-a2"), start("two-a1"));
        case.wolffia().args(["kill", "--regex", "^one-", "KILL"]).run().succeeds();
        case.wait_for_status(&first, "stopped");
        case.wait_for_status(&second, "stopped");
        assert_eq!(case.state(&other)["status"], "running");
        let text = case.wolffia().args(["delete", "--regex", "a1$"]).run().fails(1, "1 of the containers that match failed");
        assert!(text.contains("two-a1: cannot delete"), "{text}");
        case.wolffia().args(["state", &first]).run().fails(1, "container does not exist");
        assert_eq!(case.state(&second)["status"], "stopped");
        case.wolffia().args(["delete", "--regex", "a("]).run().fails(1, "is no regular expression");
        case.wolffia().args(["delete", "-rf", "."]).run().succeeds();
        assert_eq!(case.wolffia().args(["list", "--quiet"]).run().succeeds(), "");
        case.wolffia().args(["kill", "--regex", "."]).run().succeeds();
    });
}

/// CRI-O and Docker read these; nothing but the answer may be printed.
#[test]
fn features_and_version_are_what_engines_parse() {
    scenario(ANYBODY, |case| {
        let features: Value = serde_json::from_str(&case.wolffia().arg("features").run().succeeds()).unwrap();
        assert!(features["ociVersionMin"].is_string() && features["ociVersionMax"].is_string());
        assert!(features["mountOptions"].as_array().unwrap().contains(&json!("rro")));
        assert!(features["linux"]["namespaces"].as_array().unwrap().contains(&json!("user")));
        let version = case.program(case.binary()).arg("--version").run().succeeds();
        let lines: Vec<&str> = version.lines().collect();
        assert!(lines[0].starts_with("wolffia version ") && lines[1].starts_with("commit: ") && lines[2].starts_with("spec: "));
    });
}

/// What was killed on its way, and what has ended, goes; what runs, and what nobody can read, stays.
#[test]
fn what_dead_containers_left_is_found_and_removed() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("");
        bundle.args(&["sleep", "300"]);
        let running = case.started(&bundle);
        let stopped = case.started(&bundle);
        case.wolffia().args(["kill", &stopped, "KILL"]).run().succeeds();
        case.wait_for_status(&stopped, "stopped");
        let (half_made, unreadable) = (case.root().join("half-made"), case.root().join("unreadable"));
        std::fs::create_dir(&half_made).unwrap();
        std::fs::create_dir(&unreadable).unwrap();
        for (name, text) in [("lock", ""), ("state.json", "{")] {
            std::fs::write(unreadable.join(name), text).unwrap();
        }
        let shown = case.wolffia().args(["gc", "--dry-run"]).run().succeeds();
        assert!(shown.contains(&format!("{stopped}: stopped, would be removed")), "{shown}");
        assert!(stopped != running && case.root().join(&stopped).exists() && !shown.contains(&running), "{shown}");
        let done = case.wolffia().arg("gc").run();
        assert_eq!(done.code(), 1, "{done}");
        assert!(done.stdout.contains("half-made: its creator was killed, removed"), "{done}");
        assert!(done.stdout.contains("unreadable: its record cannot be read, kept"), "{done}");
        assert!(!case.root().join(&stopped).exists() && !half_made.exists() && unreadable.exists(), "{done}");
        std::fs::remove_dir_all(&unreadable).unwrap();
        assert_eq!(case.wolffia().arg("gc").run().succeeds(), "");
        assert_eq!(case.state(&running)["status"], "running");
    });
}

/// A creator that was killed before it saw that the cgroup was somebody else's has written down that it would be the container's.
#[test]
fn what_a_killed_creator_left_is_removed_without_the_cgroup_of_another() {
    scenario(ROOT, |case| {
        let bundle = case.shell("");
        bundle.args(&["sleep", "300"]);
        bundle.edit(|config| config["linux"]["cgroupsPath"] = json!(format!("/wolffia-tests-{}/shared", std::process::id())));
        let running = case.started(&bundle);
        let text = std::fs::read_to_string(case.root().join(&running).join("state.json")).unwrap();
        let mut record: Value = text.parse().unwrap();
        if record["launch"]["cgroup"].is_null() {
            case.skip("no cgroup2 mount on this host");
        }
        record["launch"]["cgroup"]["made"] = json!([]);
        (record["phase"], record["pid"], record["id"]) = (json!("creating"), json!(0), json!("half-made"));
        for words in [&["delete", "--force", "half-made"] as &[&str], &["gc"]] {
            let half_made = case.root().join("half-made");
            std::fs::create_dir(&half_made).unwrap();
            std::fs::write(half_made.join("lock"), "").unwrap();
            std::fs::write(half_made.join("state.json"), record.to_string()).unwrap();
            let done = case.wolffia().args(words).run();
            assert!(done.status.success() && done.stderr.contains("in use by somebody else") && !half_made.exists(), "{done}");
            assert_eq!(case.state(&running)["status"], "running");
        }
        case.wolffia().args(["delete", "--force", &running]).run().succeeds();
    });
}
