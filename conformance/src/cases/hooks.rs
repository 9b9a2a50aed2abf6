//! config.md, hooks: where, when and how each of the six kinds is called.

use crate::bench::Bench;
use crate::bundle::{Bundle, PAYLOAD};
use crate::case::{Case, Clause, VALID_VALUES, Verdict, ensure, expect};
use crate::container::value;
use serde_json::{Value, json};
use std::path::PathBuf;

const PRESTART: Clause = Clause::must("config.md, Prestart", "The prestart hooks MUST be called before the createRuntime hooks.");
const CREATE_PHASE: Clause = Clause::must(
    "config.md, CreateRuntime Hooks",
    "hooks MUST be called as part of the create operation after the runtime environment has been created but before the pivot_root or any equivalent operation has been executed.",
);
const CREATE_CONTAINER: Clause =
    Clause::must("config.md, CreateContainer Hooks", "The createContainer hooks MUST be called after the createRuntime hooks.");
const START_CONTAINER: Clause = Clause::must(
    "config.md, StartContainer Hooks",
    "The startContainer hooks MUST be called before the user-specified process is executed as part of the start operation. […] path MUST resolve in the container namespace.",
);
const POSTSTART: Clause = Clause::must(
    "config.md, Poststart",
    "The poststart hooks MUST be called after the user-specified process is executed but before the start operation returns.",
);
const POSTSTOP: Clause = Clause::must(
    "config.md, Poststop",
    "The poststop hooks MUST be called after the container is deleted but before the delete operation returns.",
);
const RUNTIME_NAMESPACE: Clause =
    Clause::must("config.md, POSIX-platform Hooks", "The hooks MUST be executed in the runtime namespace.");
const CONTAINER_NAMESPACE: Clause =
    Clause::must("config.md, CreateContainer Hooks", "The createContainer hooks MUST be executed in the container namespace.");
const STATE: Clause =
    Clause::must("config.md, POSIX-platform Hooks", "The state of the container MUST be passed to hooks over stdin.");
const LISTED_ORDER: Clause = Clause::must("config.md, POSIX-platform Hooks", "Hooks MUST be called in the listed order.");
const ENV: Clause = Clause::must(
    "config.md, POSIX-platform Hooks",
    "args with the same semantics as execv's argv. env with the same semantics as environ.",
);
const TIMEOUT: Clause = Clause::must(
    "config.md, POSIX-platform Hooks",
    "timeout is the number of seconds before aborting the hook. If set, timeout MUST be greater than zero.",
);
const PATH: Clause = Clause::must(
    "config.md, POSIX-platform Hooks",
    "This specification extends the IEEE standard in that path MUST be absolute.",
);

/// The kinds that run on the runtime's side and so can write to the host's log.
const ON_HOST: [&str; 5] = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        PRESTART.case("hooks.prestart.phase", |bench| phase(bench, "prestart")),
        CREATE_PHASE.case("hooks.create-runtime.phase", |bench| phase(bench, "createRuntime")),
        CREATE_CONTAINER.case("hooks.create-container.phase", |bench| phase(bench, "createContainer")),
        START_CONTAINER.case("hooks.start-container.phase", start_container),
        POSTSTART.case("hooks.poststart.phase", |bench| phase(bench, "poststart")),
        POSTSTOP.case("hooks.poststop.phase", |bench| phase(bench, "poststop")),
        PRESTART.case("hooks.order.of-kinds", order_of_kinds),
        LISTED_ORDER.case("hooks.order.in-list", order_in_list),
        CONTAINER_NAMESPACE.case("hooks.create-container.namespace", |bench| namespace(bench, "createContainer", false)),
        ENV.case("hooks.environment-and-arguments", environment),
        TIMEOUT.case("hooks.timeout.aborts", timeout),
        TIMEOUT.case("hooks.timeout.zero", |bench| refused(bench, json!({ "path": bench.payload(), "timeout": 0 }))),
        TIMEOUT.case("hooks.timeout.negative", |bench| refused(bench, json!({ "path": bench.payload(), "timeout": -1 }))),
        PATH.case("hooks.path.relative", |bench| refused(bench, json!({ "path": "bin/true" }))),
        VALID_VALUES.case("hooks.path.missing", |bench| refused(bench, json!({ "path": "/no/such/hook" }))),
    ];
    for kind in ["prestart", "createRuntime", "poststart", "poststop"] {
        cases
            .push(RUNTIME_NAMESPACE.case(format!("hooks.{}.namespace", dashed(kind)), move |bench| namespace(bench, kind, true)));
    }
    cases.extend(ON_HOST.map(|kind| STATE.case(format!("hooks.{}.state", dashed(kind)), move |bench| state(bench, kind))));
    cases
}

/// `createRuntime` as the names of cases spell it.
pub fn dashed(kind: &str) -> String {
    kind.chars()
        .flat_map(|letter| if letter.is_uppercase() { vec!['-', letter.to_ascii_lowercase()] } else { vec![letter] })
        .collect()
}

/// A log that hooks of every user of a case may append to.
pub fn log(bundle: &Bundle) -> Verdict<PathBuf> {
    let path = bundle.path.join("hooks.log");
    bundle.file_on_host(&path, "")?;
    Ok(path)
}

/// A hook that writes its kind, and more arguments, to the log.
pub fn hook(bench: &Bench, log: &std::path::Path, kind: &str, more: &[&str]) -> Value {
    let mut arguments = json!(["payload", "hook", log, kind]);
    if let Some(list) = arguments.as_array_mut() {
        list.extend(more.iter().map(|word| json!(word)));
    }
    json!({ "path": bench.payload(), "args": arguments })
}

/// What hooks have written so far.
pub fn records(log: &std::path::Path) -> Verdict<Vec<Value>> {
    let text = std::fs::read_to_string(log)?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// The kinds in the log, in order.
pub fn kinds(log: &std::path::Path) -> Verdict<Vec<String>> {
    Ok(records(log)?.iter().map(|record| record["arguments"][0].as_str().unwrap_or_default().to_owned()).collect())
}

/// A bundle with one hook of every kind that writes to the host's log.
fn with_all(bench: &Bench) -> Verdict<(Bundle, PathBuf)> {
    let mut bundle = bench.bundle()?;
    let log = log(&bundle)?;
    for kind in ON_HOST {
        bundle.push(&format!("/hooks/{kind}"), hook(bench, &log, kind, &[]));
    }
    bundle.verbs(&["say up"]);
    Ok((bundle, log))
}

/// The log after create, after start and after delete tells in which operation a kind was called.
fn phase(bench: &Bench, kind: &str) -> Verdict {
    let (bundle, log) = with_all(bench)?;
    let container = bench.create(&bundle)?;
    let created = kinds(&log)?;
    container.run_to_end()?;
    let started = kinds(&log)?;
    container.delete()?.success("delete")?;
    let deleted = kinds(&log)?;
    let times = |kinds: &[String]| kinds.iter().filter(|name| *name == kind).count();
    let due = match kind {
        "poststart" => [0, 1, 1],
        "poststop" => [0, 0, 1],
        _ => [1, 1, 1],
    };
    expect("calls by the end of create, start, delete", &json!([times(&created), times(&started), times(&deleted)]), &json!(due))
}

fn order_of_kinds(bench: &Bench) -> Verdict {
    let (bundle, log) = with_all(bench)?;
    bench.create(&bundle)?;
    let mut seen = kinds(&log)?;
    seen.retain(|kind| ["prestart", "createRuntime", "createContainer"].contains(&kind.as_str()));
    expect("the order of hooks in create", &json!(seen), &json!(["prestart", "createRuntime", "createContainer"]))
}

fn order_in_list(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let log = log(&bundle)?;
    for word in ["first", "second", "third"] {
        bundle.push("/hooks/createRuntime", hook(bench, &log, word, &[]));
    }
    bench.create(&bundle)?;
    expect("the order of hooks", &json!(kinds(&log)?), &json!(["first", "second", "third"]))
}

/// The hook's program and its log are named as the container sees them.
fn start_container(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let entry = json!({ "path": PAYLOAD, "args": ["payload", "hook", "/data/log", "startContainer"] });
    bundle.push("/hooks/startContainer", entry);
    bundle.verbs(&["cat /data/log"]);
    let container = bench.create(&bundle)?;
    ensure(!bundle.inside("data/log").exists(), || "called during create".into())?;
    container.run_to_end()?;
    let answers = container.answers()?;
    let seen = value(answers.first().unwrap_or(&Value::Null))?.as_str().unwrap_or_default();
    ensure(seen.contains("startContainer"), || format!("when the process runs, the hook's log is {seen:?}"))
}

fn namespace(bench: &Bench, kind: &str, runtime: bool) -> Verdict {
    let (bundle, log) = with_all(bench)?;
    let container = bench.create(&bundle)?;
    let inside = std::fs::read_link(format!("/proc/{}/ns/mnt", container.pid()?.as_raw_nonzero()))?;
    container.run_to_end()?;
    container.delete()?.success("delete")?;
    let own = std::fs::read_link("/proc/self/ns/mnt")?;
    let due = if runtime { own } else { inside };
    let records = records(&log)?;
    let record = records.iter().find(|record| record["arguments"][0] == kind);
    let seen = record.map_or(&Value::Null, |record| &record["mount_namespace"]);
    expect("the mount namespace of the hook", seen, &json!(due))
}

fn state(bench: &Bench, kind: &str) -> Verdict {
    let (mut bundle, log) = with_all(bench)?;
    bundle.config["annotations"] = json!({ "org.example.key": "value" });
    let container = bench.create(&bundle)?;
    container.run_to_end()?;
    container.delete()?.success("delete")?;
    let records = records(&log)?;
    let record = records.iter().find(|record| record["arguments"][0] == kind);
    let state = record.map_or(&Value::Null, |record| &record["state"]);
    expect("the id", &state["id"], &json!(container.id))?;
    expect("the bundle", &state["bundle"], &json!(bundle.path))?;
    expect("the annotations", &state["annotations"], &json!({ "org.example.key": "value" }))?;
    ensure(state["ociVersion"].is_string(), || format!("no ociVersion in {state}"))?;
    let status = state["status"].as_str().unwrap_or_default();
    ensure(["creating", "created", "running", "stopped"].contains(&status), || format!("the status is {status:?}"))?;
    // pid is REQUIRED when the status is created or running.
    let pid_due = ["created", "running"].contains(&status);
    ensure(!pid_due || state["pid"].as_i64().is_some_and(|pid| pid > 0), || format!("no pid in {state}"))
}

fn environment(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let log = log(&bundle)?;
    let mut entry = hook(bench, &log, "createRuntime", &["an argument"]);
    entry["env"] = json!(["HOOK=on"]);
    bundle.push("/hooks/createRuntime", entry);
    bundle.write()?;
    let id = bench.id();
    let path = bundle.path.to_string_lossy().into_owned();
    bench.runtime.call(&["create", "--bundle", &path, &id]).environment("LEAK", "yes").run()?.success("create")?;
    bench.runtime.call(&["delete", "--force", &id]).run()?;
    let records = records(&log)?;
    let record = records.first().unwrap_or(&Value::Null);
    expect("argv[0]", &record["argv0"], &json!("payload"))?;
    expect("the arguments", &record["arguments"], &json!(["createRuntime", "an argument"]))?;
    expect("the environment", &record["environment"], &json!(["HOOK=on"]))
}

fn timeout(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.push("/hooks/createRuntime", json!({ "path": bench.payload(), "args": ["payload", "sleep", "30"], "timeout": 1 }));
    bench.refused(&bundle).map(drop)
}

fn refused(bench: &Bench, entry: Value) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.push("/hooks/createRuntime", entry);
    bench.refused(&bundle).map(drop)
}
