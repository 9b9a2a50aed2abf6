//! runtime.md: state and the five operations.

use crate::bench::Bench;
use crate::case::{Case, Clause, Verdict, ensure, expect};
use crate::container::Container;
use crate::processes::{children_of, ended_within};
use crate::view::cgroups_named;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

const STATE: Clause = Clause::must(
    "runtime.md, State",
    "ociVersion, id, status, bundle (REQUIRED); pid (REQUIRED when status is created or running on Linux).",
);
const STATE_MISSING: Clause =
    Clause::must("runtime.md, Query State", "Attempting to query a container that does not exist MUST generate an error.");
const STATE_ANNOTATIONS: Clause =
    Clause::must("runtime.md, State", "annotations contains the list of annotations associated with the container.");
const CREATE_ID: Clause = Clause::must(
    "runtime.md, Create",
    "If the ID provided is not unique […] or is not valid in any other way, the implementation MUST generate an error and a new container MUST NOT be created.",
);
const CREATE_ARGUMENTS: Clause = Clause::must(
    "runtime.md, Create",
    "This operation MUST generate an error if it is not provided a path to the bundle and the container ID.",
);
const NOT_BEFORE_START: Clause =
    Clause::must("runtime.md, Create", "process.args MUST NOT be applied until triggered by the start operation.");
const CONFIG_ONCE: Clause =
    Clause::must("runtime.md, Lifecycle 2", "Any updates to config.json after this step MUST NOT affect the container.");
const START_CREATED: Clause = Clause::must(
    "runtime.md, Start",
    "Attempting to start a container that is not created MUST have no effect on the container and MUST generate an error.",
);
const START_RUNS: Clause =
    Clause::must("runtime.md, Start", "This operation MUST run the user-specified program as specified by process.");
const KILL_SENDS: Clause =
    Clause::must("runtime.md, Kill", "This operation MUST send the specified signal to the container process.");
const KILL_STATUS: Clause = Clause::must(
    "runtime.md, Kill",
    "Attempting to send a signal to a container that is neither created nor running MUST have no effect on the container and MUST generate an error.",
);
const DELETE_STOPPED: Clause = Clause::must(
    "runtime.md, Delete",
    "Attempting to delete a container that is not stopped MUST have no effect on the container and MUST generate an error.",
);
const DELETE_RESOURCES: Clause = Clause::must(
    "runtime.md, Delete",
    "Deleting a container MUST delete the resources that were created during the create step.",
);
const DELETE_ID: Clause =
    Clause::must("runtime.md, Delete", "Once a container is deleted its ID MAY be used by a subsequent container.");
const AS_IF_NEVER: Clause = Clause::must(
    "runtime.md, Errors",
    "generating an error MUST leave the state of the environment as if the operation were never attempted.",
);

pub fn cases() -> Vec<Case> {
    vec![
        STATE.case("lifecycle.state.created", state_created),
        STATE.case("lifecycle.state.running", state_running),
        STATE.case("lifecycle.state.stopped", state_stopped),
        STATE_ANNOTATIONS.case("lifecycle.state.annotations", state_annotations),
        STATE_MISSING.case("lifecycle.state.missing", |bench| missing(bench, &["state"], &[])),
        CREATE_ID.case("lifecycle.create.duplicate-id", duplicate_id),
        CREATE_ID.case("lifecycle.create.id-with-slash", |bench| bad_id(bench, "a/b")),
        CREATE_ID.case("lifecycle.create.id-dot-dot", |bench| bad_id(bench, "..")),
        CREATE_ID.case("lifecycle.create.id-empty", |bench| bad_id(bench, "")),
        CREATE_ARGUMENTS.case("lifecycle.create.missing-bundle", missing_bundle),
        CREATE_ARGUMENTS.case("lifecycle.create.missing-id", missing_id),
        NOT_BEFORE_START.case("lifecycle.create.does-not-run", does_not_run),
        CONFIG_ONCE.case("lifecycle.create.reads-config-once", config_once),
        AS_IF_NEVER.case("lifecycle.create.failure-leaves-nothing", failure_leaves_nothing),
        START_RUNS.case("lifecycle.start.runs", start_runs),
        START_CREATED.case("lifecycle.start.of-running", start_of_running),
        START_CREATED.case("lifecycle.start.of-stopped", start_of_stopped),
        START_CREATED.case("lifecycle.start.of-missing", |bench| missing(bench, &["start"], &[])),
        KILL_SENDS.case("lifecycle.kill.sends", kill_sends),
        KILL_SENDS.case("lifecycle.kill.of-created", kill_of_created),
        KILL_STATUS.case("lifecycle.kill.of-stopped", kill_of_stopped),
        KILL_STATUS.case("lifecycle.kill.of-missing", |bench| missing(bench, &["kill"], &["KILL"])),
        DELETE_STOPPED.case("lifecycle.delete.of-created", delete_of_created),
        DELETE_STOPPED.case("lifecycle.delete.of-running", delete_of_running),
        DELETE_STOPPED.case("lifecycle.delete.of-missing", |bench| missing(bench, &["delete"], &[])),
        DELETE_RESOURCES.case("lifecycle.delete.resources", delete_resources),
        DELETE_ID.case("lifecycle.delete.id-reusable", id_reusable),
    ]
}

/// Whether a state document holds what the specification requires for a status.
fn check(container: &Container, state: &Value, status: &str, bundle: &Path) -> Verdict {
    expect("the status", &state["status"], &json!(status))?;
    expect("the id", &state["id"], &json!(container.id))?;
    expect("the bundle", &state["bundle"], &json!(bundle))?;
    ensure(state["ociVersion"].as_str().is_some_and(|text| text.starts_with("1.")), || format!("no ociVersion in {state}"))?;
    ensure(status == "stopped" || state["pid"].as_i64().is_some_and(|pid| pid > 0), || format!("no pid in {state}"))
}

fn state_created(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    let container = bench.create(&bundle)?;
    check(&container, &container.state()?, "created", &bundle.path)
}

fn state_running(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    check(&container, &container.state()?, "running", &bundle.path)
}

fn state_stopped(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    let container = bench.create(&bundle)?;
    container.run_to_end()?;
    check(&container, &container.state()?, "stopped", &bundle.path)
}

fn state_annotations(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["annotations"] = json!({ "org.example.key": "value", "org.example.empty": "" });
    let container = bench.create(&bundle)?;
    let seen = container.state()?["annotations"].clone();
    expect("org.example.key", &seen["org.example.key"], &json!("value"))?;
    expect("org.example.empty", &seen["org.example.empty"], &json!(""))
}

fn missing(bench: &Bench, before: &[&str], after: &[&str]) -> Verdict {
    let id = bench.id();
    let words: Vec<&str> = before.iter().copied().chain([id.as_str()]).chain(after.iter().copied()).collect();
    bench.runtime.call(&words).run()?.failure(&words.join(" ")).map(drop)
}

fn duplicate_id(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    let before = container.state()?;
    let other = bench.bundle()?;
    bench.try_create(&other, &container.id)?.failure("create of an id in use")?;
    expect("the state of the first container", &container.state()?, &before)
}

fn bad_id(bench: &Bench, id: &str) -> Verdict {
    let bundle = bench.bundle()?;
    bench.try_create(&bundle, id)?.failure(&format!("create {id:?}")).map(drop)
}

fn missing_bundle(bench: &Bench) -> Verdict {
    let id = bench.id();
    bench.runtime.call(&["create", "--bundle", "/no/such/bundle", &id]).run()?.failure("create")?;
    bench.runtime.call(&["state", &id]).run()?.failure("state").map(drop)
}

fn missing_id(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    bundle.write()?;
    bench.runtime.call(&["create", "--bundle", &bundle.path.to_string_lossy()]).run()?.failure("create without an id").map(drop)
}

fn does_not_run(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.verbs(&["write /data/ran yes"]);
    let _container = bench.create(&bundle)?;
    std::thread::sleep(Duration::from_millis(100));
    ensure(!bundle.inside("data/ran").exists(), || "the process ran before start".into())
}

fn config_once(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.verbs(&["say first"]);
    let container = bench.create(&bundle)?;
    bundle.verbs(&["say second"]);
    bundle.config["process"]["cwd"] = json!("/no/such/folder");
    bundle.write()?;
    container.run_to_end()?;
    expect("the answers", &json!(container.answers()?), &json!([{ "ok": "first" }]))
}

/// Cgroups and state of a container, as far as their names tell.
fn left_over(bench: &Bench, id: &str) -> Vec<PathBuf> {
    let state = bench.runtime.root().join(id);
    cgroups_named(id).into_iter().chain(state.exists().then_some(state)).collect()
}

fn failure_leaves_nothing(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.mount("/data", "tmpfs", "tmpfs", &["nosuchoption=1"]);
    bundle.write()?;
    let id = bench.id();
    bench.try_create(&bundle, &id)?.failure("create")?;
    for process in children_of(rustix::process::getpid())? {
        // A killed process may take a moment to end, and then only waits to be collected.
        ensure(ended_within(process, Duration::from_secs(1))?, || format!("the failed create left the process {process:?}"))?;
    }
    let left = left_over(bench, &id);
    ensure(left.is_empty(), || format!("the failed create left {left:?}"))
}

fn start_runs(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.verbs(&["say one", "say two"]);
    let container = bench.create(&bundle)?;
    container.run_to_end()?;
    expect("the answers", &json!(container.answers()?), &json!([{ "ok": "one" }, { "ok": "two" }]))
}

fn start_of_running(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    let before = container.state()?;
    container.try_start()?.failure("start of a running container")?;
    expect("the state", &container.state()?, &before)
}

fn start_of_stopped(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.verbs(&["say once"]);
    let container = bench.create(&bundle)?;
    container.run_to_end()?;
    container.try_start()?.failure("start of a stopped container")?;
    expect("the status", &json!(container.status()?), &json!("stopped"))
}

fn kill_sends(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.verbs(&["wait-signal"]);
    let container = bench.create(&bundle)?;
    let pid = container.pid()?;
    container.start()?;
    container.wait_answers(1)?;
    container.kill("USR1")?.success("kill USR1")?;
    container.wait_ended(pid)?;
    expect("the signal that arrived", &container.wait_answers(2)?[1], &json!({ "ok": 10 }))
}

fn kill_of_created(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    let container = bench.create(&bundle)?;
    container.stop()?;
    expect("the status", &json!(container.status()?), &json!("stopped"))
}

fn kill_of_stopped(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    let container = bench.create(&bundle)?;
    container.run_to_end()?;
    container.kill("KILL")?.failure("kill of a stopped container")?;
    expect("the status", &json!(container.status()?), &json!("stopped"))
}

fn delete_of_created(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    let container = bench.create(&bundle)?;
    container.delete()?.failure("delete of a created container")?;
    expect("the status", &json!(container.status()?), &json!("created"))
}

fn delete_of_running(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    container.delete()?.failure("delete of a running container")?;
    expect("the status", &json!(container.status()?), &json!("running"))
}

fn delete_resources(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    let container = bench.create(&bundle)?;
    container.run_to_end()?;
    container.delete()?.success("delete")?;
    let left = left_over(bench, &container.id);
    ensure(left.is_empty(), || format!("delete left {left:?}"))?;
    ensure(bundle.rootfs().exists() && bundle.path.join("config.json").exists(), || {
        "delete removed what create did not make".into()
    })
}

fn id_reusable(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    let container = bench.create(&bundle)?;
    container.run_to_end()?;
    container.delete()?.success("delete")?;
    bench.try_create(&bundle, &container.id)?.success("create with the id of a deleted container").map(drop)
}
