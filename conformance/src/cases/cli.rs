//! The command line that engines know: states and texts, signals, lists, logs, versions.

use crate::bench::Bench;
use crate::bundle::PAYLOAD;
use crate::case::{Case, Clause, Verdict, ensure, expect, fail, skip};
use crate::container::Container;
use crate::processes::{ended_within, kill};
use rustix::process::Pid;
use serde_json::{Value, json};
use std::time::Duration;

const VERSION: Clause = Clause::contract(
    "containerd go-runc, Docker, nerdctl",
    "--version prints `NAME version VERSION`, then lines such as `commit: …` and `spec: …`.",
);
const STATUS: Clause =
    Clause::contract("every engine", "A failing command exits with a status that is not 0, and says why on standard error.");
const STATE: Clause = Clause::contract(
    "CRI-O, Buildah, Podman",
    "state prints ociVersion, id, pid, status, bundle, rootfs, created (RFC 3339), owner; pid is 0 when stopped.",
);
const LIST: Clause = Clause::contract("containerd go-runc", "list --format json prints an array; list --quiet prints ids.");
const PS: Clause = Clause::contract("containerd go-runc", "ps --format json ID prints an array of process ids.");
const SIGNALS: Clause = Clause::contract(
    "containerd (numbers), CRI-O (names), runc",
    "kill takes numbers, names, and names with SIG; the signal is SIGTERM when none is given; --all stands before the id.",
);
const KILL_TEXT: Clause = Clause::contract(
    "containerd, CRI-O",
    "kill of a container that does not run says `container not running` or `no such process`.",
);
const KILL_ALL: Clause = Clause::contract(
    "containerd shim",
    "kill --all ID 9 ends what is left in the cgroup when the first process is gone already.",
);
const DELETE_FORCE: Clause = Clause::contract("containerd, CRI-O", "delete --force of an unknown id succeeds.");
const DELETE_TEXT: Clause = Clause::contract("containerd", "delete of an unknown id says `does not exist`.");
const LOG: Clause = Clause::contract(
    "Podman (one object in the whole file), containerd (time as RFC 3339)",
    "--log FILE --log-format json: a failing command writes one record with level, msg and time.",
);
const PAUSE: Clause = Clause::contract("Docker, Podman", "pause and resume; the status of a paused container is `paused`.");
const SPEC: Clause = Clause::contract("runc, crun", "spec writes a config.json to start from.");

pub fn cases() -> Vec<Case> {
    vec![
        VERSION.case("cli.version", version),
        STATUS.case("cli.unknown-command", |bench| {
            bench.runtime.call(&["no-such-command"]).run()?.failure("no-such-command").map(drop)
        }),
        STATUS.case("cli.error-on-stderr", error_on_stderr),
        STATE.case("cli.state.fields", state_fields),
        STATE.case("cli.state.pid-when-stopped", state_stopped),
        LIST.case("cli.list.json", list_json),
        LIST.case("cli.list.quiet", list_quiet),
        LIST.case("cli.list.empty", list_empty),
        PS.case("cli.ps.json", ps_json),
        SIGNALS.case("cli.kill.number", |bench| signal(bench, &["10"], 10)),
        SIGNALS.case("cli.kill.name", |bench| signal(bench, &["USR2"], 12)),
        SIGNALS.case("cli.kill.name-with-sig", |bench| signal(bench, &["SIGHUP"], 1)),
        SIGNALS.case("cli.kill.default", |bench| signal(bench, &[], 15)),
        SIGNALS.case("cli.kill.all-before-id", kill_all_running),
        SIGNALS.case("cli.kill.unknown-signal", unknown_signal),
        KILL_TEXT.case("cli.kill.text-of-stopped", kill_stopped_text),
        KILL_ALL.case("cli.kill.all-after-exit", kill_all_after_exit),
        DELETE_FORCE.case("cli.delete.force-unknown", |bench| {
            bench.runtime.call(&["delete", "--force", &bench.id()]).run()?.success("delete --force").map(drop)
        }),
        DELETE_FORCE.case("cli.delete.force-running", delete_force_running),
        DELETE_TEXT.case("cli.delete.text-of-unknown", |bench| {
            bench.runtime.call(&["delete", &bench.id()]).run()?.failure("delete")?.says(&["does not exist"])
        }),
        LOG.case("cli.log.one-json-record", log_record),
        LOG.case("cli.log.silent-on-success", log_silent),
        PAUSE.case("cli.pause.and-resume", pause),
        PAUSE.case("cli.pause.exec-refused", pause_exec),
        SPEC.case("cli.spec", spec),
    ]
}

fn version(bench: &Bench) -> Verdict {
    let text = bench.runtime.version()?;
    let words: Vec<&str> = text.lines().next().unwrap_or_default().split(' ').collect();
    ensure(words.len() == 3 && words[1] == "version", || format!("the first line is {words:?}"))?;
    for name in ["commit: ", "spec: "] {
        ensure(text.lines().any(|line| line.starts_with(name)), || format!("no line begins with {name:?}: {text:?}"))?;
    }
    Ok(())
}

fn error_on_stderr(bench: &Bench) -> Verdict {
    let output = bench.runtime.call(&["state", &bench.id()]).run()?.failure("state")?;
    expect("the exit status", &json!(output.code), &json!(1))?;
    ensure(!output.stderr.trim().is_empty() && output.stdout.trim().is_empty(), || {
        format!("standard output has {:?}, standard error {:?}", output.stdout, output.stderr)
    })
}

fn rfc3339(text: &str) -> bool {
    let shape: String = text.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    shape.starts_with("0000-00-00T00:00:00") && (shape.ends_with('Z') || shape.ends_with("00:00"))
}

fn state_fields(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    let state = bench.create(&bundle)?.state()?;
    ensure(state["rootfs"].as_str().is_some_and(|path| path.ends_with("rootfs")), || format!("rootfs is {}", state["rootfs"]))?;
    let created = state["created"].as_str().unwrap_or_default();
    ensure(rfc3339(created), || format!("created is {created:?}"))?;
    ensure(state["owner"].is_string(), || format!("no owner in {state}"))
}

fn state_stopped(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    let container = bench.create(&bundle)?;
    container.run_to_end()?;
    expect("the pid", &container.state()?["pid"], &json!(0))
}

fn list_json(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    let container = bench.create(&bundle)?;
    let list = bench.runtime.call(&["list", "--format", "json"]).run()?.success("list")?.json()?;
    let entry = list.as_array().and_then(|entries| entries.iter().find(|entry| entry["id"] == container.id.as_str()));
    let entry = entry.ok_or_else(|| fail(format!("the container is not in {list}")))?;
    expect(
        "id, status, bundle",
        &json!([entry["id"], entry["status"], entry["bundle"]]),
        &json!([container.id, "created", bundle.path]),
    )?;
    ensure(entry["pid"].as_i64().is_some_and(|pid| pid > 0), || format!("no pid in {entry}"))
}

fn list_quiet(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    let container = bench.create(&bundle)?;
    let text = bench.runtime.call(&["list", "--quiet"]).run()?.success("list")?.stdout;
    expect("the ids", &json!(text.lines().collect::<Vec<_>>()), &json!([container.id]))
}

fn list_empty(bench: &Bench) -> Verdict {
    std::fs::create_dir(bench.runtime.root())?;
    if bench.who.switch {
        std::os::unix::fs::chown(bench.runtime.root(), Some(bench.who.uid), Some(bench.who.gid))?;
    }
    let list = bench.runtime.call(&["list", "--format", "json"]).run()?.success("list")?.json()?;
    ensure(list.is_null() || list == json!([]), || format!("the list of nothing is {list}"))
}

fn ps_json(bench: &Bench) -> Verdict {
    bench.needs_cgroup()?;
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    let list = bench.runtime.call(&["ps", "--format", "json", &container.id]).run()?.success("ps")?.json()?;
    expect("the processes", &list, &json!([container.pid()?.as_raw_nonzero().get()]))
}

/// A container that tells which signal reached it.
fn waiting(bench: &Bench) -> Verdict<(Container<'_>, Pid)> {
    let mut bundle = bench.bundle()?;
    bundle.verbs(&["wait-signal"]);
    let container = bench.create(&bundle)?;
    let pid = container.pid()?;
    container.start()?;
    container.wait_answers(1)?;
    Ok((container, pid))
}

fn signal(bench: &Bench, argument: &[&str], due: i32) -> Verdict {
    let (container, pid) = waiting(bench)?;
    let words: Vec<&str> = ["kill", &container.id].into_iter().chain(argument.iter().copied()).collect();
    bench.runtime.call(&words).run()?.success("kill")?;
    container.wait_ended(pid)?;
    expect("the signal that arrived", &container.wait_answers(2)?[1], &json!({ "ok": due }))
}

fn kill_all_running(bench: &Bench) -> Verdict {
    bench.needs_cgroup()?;
    let (container, pid) = waiting(bench)?;
    bench.runtime.call(&["kill", "--all", &container.id, "9"]).run()?.success("kill --all ID 9")?;
    container.wait_ended(pid)
}

fn unknown_signal(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    container.kill("SIGNOSUCH")?.failure("kill SIGNOSUCH")?;
    expect("the status", &json!(container.status()?), &json!("running"))
}

fn kill_stopped_text(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    let container = bench.create(&bundle)?;
    container.run_to_end()?;
    container.kill("9")?.failure("kill")?.says(&["container not running", "no such process", "process already finished"])
}

/// In the host's pid namespace a process outlives the first one: the shim counts on the runtime to end it.
fn kill_all_after_exit(bench: &Bench) -> Verdict {
    bench.needs_root("a procfs of a pid namespace that is not its own")?;
    let mut bundle = bench.bundle()?;
    bundle.namespace("pid", None);
    bundle.verbs(&["background 30"]);
    let container = bench.create(&bundle)?;
    container.run_to_end()?;
    let answers = container.answers()?;
    let number = answers.first().and_then(|answer| i32::try_from(answer["ok"].as_i64()?).ok());
    let Some(left) = number.and_then(Pid::from_raw) else { return Err(skip(format!("no process was left behind: {answers:?}"))) };
    let output = bench.runtime.call(&["kill", "--all", &container.id, "9"]).run()?;
    if output.code != 0 {
        output.says(&["container not running", "no such process", "process already finished"])?;
    }
    let ended = ended_within(left, Duration::from_secs(2))?;
    kill(left)?;
    ensure(ended, || "the process that was left behind still runs".into())
}

fn delete_force_running(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    let pid = container.pid()?;
    bench.runtime.call(&["delete", "--force", &container.id]).run()?.success("delete --force")?;
    container.wait_ended(pid)?;
    bench.runtime.call(&["state", &container.id]).run()?.failure("state").map(drop)
}

fn log_record(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["process"]["args"] = json!(["/no/such/program"]);
    bundle.write()?;
    let file = bench.folder.join("log.json");
    let path = bundle.path.to_string_lossy().into_owned();
    let call = bench.runtime.call(&["run", "--bundle", &path, &bench.id()]);
    let output = call.global("--log").global(file.to_string_lossy()).global("--log-format").global("json").run()?;
    let output = output.failure("run of a missing program")?;
    ensure(!output.stderr.trim().is_empty(), || "nothing is said on standard error".into())?;
    let text = std::fs::read_to_string(&file)?;
    let record: Value =
        serde_json::from_str(&text).map_err(|error| fail(format!("the log is not one object ({error}): {text}")))?;
    expect("the level", &record["level"], &json!("error"))?;
    ensure(record["msg"].as_str().is_some_and(|text| !text.is_empty()), || format!("no msg in {record}"))?;
    ensure(record["time"].as_str().is_some_and(rfc3339), || format!("the time is {}", record["time"]))
}

fn log_silent(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.verbs(&["say up"]);
    bundle.write()?;
    let file = bench.folder.join("log.json");
    let path = bundle.path.to_string_lossy().into_owned();
    let call = bench.runtime.call(&["run", "--bundle", &path, &bench.id()]);
    call.global("--log").global(file.to_string_lossy()).global("--log-format").global("json").run()?.success("run")?;
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    ensure(text.is_empty(), || format!("a run without trouble logs {text}"))
}

fn pause(bench: &Bench) -> Verdict {
    bench.needs_cgroup()?;
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    bench.runtime.call(&["pause", &container.id]).run()?.success("pause")?;
    expect("the status after pause", &json!(container.status()?), &json!("paused"))?;
    bench.runtime.call(&["resume", &container.id]).run()?.success("resume")?;
    expect("the status after resume", &json!(container.status()?), &json!("running"))
}

fn pause_exec(bench: &Bench) -> Verdict {
    bench.needs_cgroup()?;
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    bench.runtime.call(&["pause", &container.id]).run()?.success("pause")?;
    let output = container.exec(&[], &[PAYLOAD, "say", "up"]);
    bench.runtime.call(&["resume", &container.id]).run()?.success("resume")?;
    output?.failure("exec in a paused container")?.says(&["paused"])
}

fn spec(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    bench.runtime.call(&["spec", "--bundle", &bundle.path.to_string_lossy()]).run()?.success("spec")?;
    let text = std::fs::read_to_string(bundle.path.join("config.json"))?;
    let config: Value = serde_json::from_str(&text).map_err(|error| fail(format!("config.json is not JSON: {error}")))?;
    for pointer in ["/ociVersion", "/root/path", "/process/args/0", "/process/cwd", "/linux/namespaces/0/type"] {
        ensure(config.pointer(pointer).is_some(), || format!("config.json has no {pointer}"))?;
    }
    Ok(())
}
