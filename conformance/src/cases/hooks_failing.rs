//! runtime.md, Lifecycle: what a failing hook of each kind leads to.

use super::hooks::{dashed, hook, kinds, log};
use crate::bench::Bench;
use crate::bundle::{Bundle, PAYLOAD};
use crate::case::{Case, Clause, Verdict, ensure};
use serde_json::json;
use std::path::PathBuf;

const IN_CREATE: Clause = Clause::must(
    "runtime.md, Lifecycle 3-5",
    "If any hook fails, the runtime MUST generate an error, stop the container, and continue the lifecycle at step 12.",
);
const POSTSTOP_RUNS: Clause = Clause::must(
    "runtime.md, Lifecycle 12-13",
    "continue the lifecycle at step 12. […] 13. The poststop hooks MUST be invoked by the runtime.",
);
const START_CONTAINER: Clause = Clause::must(
    "runtime.md, Lifecycle 7",
    "If any startContainer hook fails, the runtime MUST generate an error, stop the container, and continue the lifecycle at step 12.",
);
const POSTSTART: Clause = Clause::must(
    "runtime.md, Lifecycle 9",
    "If any poststart hook fails, the runtime MUST generate an error, stop the container, and continue the lifecycle at step 12.",
);
const POSTSTOP: Clause = Clause::must(
    "runtime.md, Lifecycle 13",
    "If any poststop hook fails, the runtime MUST log a warning, but the remaining hooks and lifecycle continue as if the hook had succeeded.",
);

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let name = dashed(kind);
        cases.push(IN_CREATE.case(format!("hooks.{name}.failure"), move |bench| in_create(bench, kind).map(drop)));
        cases.push(POSTSTOP_RUNS.case(format!("hooks.{name}.failure.poststop-runs"), move |bench| {
            let log = in_create(bench, kind)?;
            let seen = kinds(&log)?;
            ensure(seen.contains(&"poststop".to_owned()), || format!("hooks that ran: {seen:?}"))
        }));
    }
    cases.extend([
        START_CONTAINER.case("hooks.start-container.failure.process-not-run", start_container_not_run),
        START_CONTAINER.case("hooks.start-container.failure.error", start_container_error),
        POSTSTART.since(3, "hooks.poststart.failure", poststart),
        POSTSTOP.case("hooks.poststop.failure", poststop),
    ]);
    cases
}

/// A bundle whose hook of one kind fails, and whose poststop hook tells of it.
fn failing(bench: &Bench, kind: &str) -> Verdict<(Bundle, PathBuf)> {
    let mut bundle = bench.bundle()?;
    let log = log(&bundle)?;
    bundle.push(&format!("/hooks/{kind}"), hook(bench, &log, kind, &["fail"]));
    bundle.push("/hooks/poststop", hook(bench, &log, "poststop", &[]));
    Ok((bundle, log))
}

fn in_create(bench: &Bench, kind: &str) -> Verdict<PathBuf> {
    let (bundle, log) = failing(bench, kind)?;
    bench.refused(&bundle)?;
    let seen = kinds(&log)?;
    ensure(seen.contains(&kind.to_owned()), || "the hook was not called at all".into())?;
    Ok(log)
}

fn start_container(bench: &Bench) -> Verdict<Bundle> {
    let mut bundle = bench.bundle()?;
    let entry = json!({ "path": PAYLOAD, "args": ["payload", "hook", "/data/log", "startContainer", "fail"] });
    bundle.push("/hooks/startContainer", entry);
    bundle.verbs(&["write /data/ran yes"]);
    Ok(bundle)
}

fn start_container_not_run(bench: &Bench) -> Verdict {
    let bundle = start_container(bench)?;
    let container = bench.create(&bundle)?;
    let pid = container.pid()?;
    container.try_start()?;
    container.wait_ended(pid)?;
    ensure(bundle.inside("data/log").exists(), || "the hook was not called at all".into())?;
    ensure(!bundle.inside("data/ran").exists(), || "the process ran after the hook had failed".into())
}

fn start_container_error(bench: &Bench) -> Verdict {
    let bundle = start_container(bench)?;
    bench.create(&bundle)?.try_start()?.failure("start").map(drop)
}

fn poststart(bench: &Bench) -> Verdict {
    let (mut bundle, log) = failing(bench, "poststart")?;
    bundle.verbs(&["sleep 30"]);
    let container = bench.create(&bundle)?;
    let pid = container.pid()?;
    container.try_start()?.failure("start")?;
    container.wait_ended(pid)?;
    let seen = kinds(&log)?;
    ensure(seen.contains(&"poststart".to_owned()), || "the hook was not called at all".into())
}

fn poststop(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let log = log(&bundle)?;
    bundle.push("/hooks/poststop", hook(bench, &log, "first", &["fail"]));
    bundle.push("/hooks/poststop", hook(bench, &log, "second", &[]));
    let container = bench.create(&bundle)?;
    container.run_to_end()?;
    container.delete()?.success("delete")?;
    let seen = kinds(&log)?;
    ensure(seen == ["first", "second"], || format!("hooks that ran: {seen:?}"))?;
    let state = bench.runtime.call(&["state", &container.id]).run()?;
    state.failure("state after delete").map(drop)
}
