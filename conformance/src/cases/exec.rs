//! The command `exec`, as engines call it.

use crate::bench::{Bench, has};
use crate::bundle::{Bundle, PAYLOAD};
use crate::case::{Case, Clause, Verdict, ensure, expect, fail, skip};
use crate::container::{Container, parse_answers, value};
use crate::runtime::Output;
use rustix::process::Pid;
use serde_json::{Value, json};
use std::path::PathBuf;

const EXEC: Clause =
    Clause::contract("runc, every engine", "exec runs a process in a running container, with that container's namespaces.");
const FLAGS: Clause =
    Clause::contract("runc exec", "--user, --cwd, --env, --cap, --no-new-privs, --additional-gids, --preserve-fds");
const STATUS: Clause = Clause::contract("CRI-O, Podman, runc", "exec in the foreground ends with the status of its process.");
const FAILURE: Clause = Clause::contract(
    "Docker, Podman",
    "A program that cannot be run is told by a text: executable file not found, no such file or directory, permission denied.",
);
const PROCESS: Clause =
    Clause::contract("containerd, conmon", "exec --process FILE --detach --pid-file FILE ID runs the process of a document.");
const NUMERIC: Clause = Clause::contract(
    "runc CVE-2016-3697, crun CVE-2026-30892, containerd CVE-2026-46680",
    "A numeric user is an id and never a name of the image's passwd file.",
);
const TOO_LARGE: Clause =
    Clause::contract("containerd CVE-2024-40635", "A user id beyond 32 bits is refused, not cut down to another user.");
const INHERITABLE: Clause =
    Clause::contract("runc CVE-2022-29162, crun CVE-2022-27650", "exec --cap leaves the inheritable set empty.");
const REFUSED: Clause = Clause::contract("runc", "exec in a stopped container is refused.");

pub fn cases() -> Vec<Case> {
    vec![
        EXEC.case("exec.namespaces", namespaces),
        EXEC.case("exec.in-created", in_created),
        EXEC.case("exec.arguments-untouched", arguments),
        EXEC.case("exec.descriptors", descriptors),
        FLAGS.case("exec.user", |bench| user(bench, "1234:4321", &json!([1234, 4321]))),
        FLAGS.case("exec.user.uid-alone", |bench| user(bench, "1", &json!([1, 0]))),
        FLAGS.case("exec.cwd", cwd),
        FLAGS.case("exec.env", |bench| env(bench, &["ONE=a,TWO=b", "THREE=c d"])),
        FLAGS.case("exec.env.adds-to-container", |bench| env(bench, &["PATH=/bin:/usr/bin"])),
        FLAGS.case("exec.cap", cap),
        FLAGS.case("exec.no-new-privs", no_new_privs),
        FLAGS.case("exec.additional-gids", additional_gids),
        FLAGS.case("exec.preserve-fds", preserve_fds),
        STATUS.case("exec.status", |bench| status(bench, &["exit", "7"], 7)),
        STATUS.case("exec.status.of-signal", |bench| status(bench, &["signal-self", "15"], 143)),
        FAILURE.case("exec.failure.missing-program", missing_program),
        FAILURE.case("exec.failure.not-executable", not_executable),
        PROCESS.case("exec.process-file", process_file),
        PROCESS.case("exec.detach.pid-file", detach),
        NUMERIC.case("exec.user.numeric-name", numeric_name),
        NUMERIC.case("exec.user.not-a-number", |bench| user_refused(bench, &["0x1", "1a", "1:2:3", "1:2x"])),
        TOO_LARGE.case("exec.user.too-large", |bench| user_refused(bench, &["4294967296", "99999999999"])),
        INHERITABLE.case("exec.cap.inheritable-empty", inheritable),
        REFUSED.case("exec.in-stopped", in_stopped),
        REFUSED.case("exec.in-missing", |bench| {
            bench.runtime.call(&["exec", &bench.id(), PAYLOAD, "report"]).run()?.failure("exec").map(drop)
        }),
    ]
}

fn first(output: Output) -> Verdict<Value> {
    let output = output.success("exec")?;
    let answers = parse_answers(&output.stdout)?;
    let Some(answer) = answers.first() else { return Err(fail(format!("exec printed {:?}", output.stdout))) };
    Ok(value(answer)?.clone())
}

/// What the payload reports from an exec with these flags, in a fresh container.
fn report(bench: &Bench, flags: &[&str]) -> Verdict<Value> {
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    first(container.exec(flags, &[PAYLOAD, "report"])?)
}

fn namespaces(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.verbs(&["report", "sleep 30"]);
    let container = bench.create(&bundle)?;
    container.start()?;
    let answers = container.wait_answers(1)?;
    let seen = first(container.exec(&[], &[PAYLOAD, "report"])?)?;
    expect("the namespaces of an exec", &seen["namespaces"], &value(&answers[0])?["namespaces"])
}

fn in_created(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    let container = bench.create(&bundle)?;
    first(container.exec(&[], &[PAYLOAD, "report"])?)?;
    expect("the status afterwards", &json!(container.status()?), &json!("created"))
}

fn arguments(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    let words = [PAYLOAD, "say", "--user", "--", "report"];
    let answers = parse_answers(&container.exec(&[], &words)?.success("exec")?.stdout)?;
    expect("argv", answers.get(1).map_or(&Value::Null, |answer| &answer["ok"]["argv"]), &json!(words))
}

fn descriptors(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    let extra = extra_file(&bundle)?;
    let call = bench.runtime.call(&["exec", &container.id, PAYLOAD, "report"]);
    let report = first(call.through_shell("exec \"$@\" 5<\"$0\" 9<\"$0\"", &extra).run()?)?;
    let open = report["descriptors"].as_object().cloned().unwrap_or_default();
    ensure(open.keys().all(|number| ["0", "1", "2"].contains(&number.as_str())), || format!("open descriptors are {open:?}"))
}

fn extra_file(bundle: &Bundle) -> Verdict<PathBuf> {
    let path = bundle.path.join("extra");
    bundle.file_on_host(&path, "text of the caller")?;
    Ok(path)
}

fn user(bench: &Bench, flag: &str, due: &Value) -> Verdict {
    bench.needs_many_ids()?;
    let report = report(bench, &["--user", flag])?;
    expect("uid and gid", &json!([report["uids"][0], report["gids"][0]]), due)
}

fn cwd(bench: &Bench) -> Verdict {
    expect("the working directory", &report(bench, &["--cwd", "/data"])?["cwd"], &json!("/data"))
}

fn env(bench: &Bench, wanted: &[&str]) -> Verdict {
    let report = report(bench, &["--env", "ONE=a,TWO=b", "--env", "THREE=c d"])?;
    let seen: Vec<&str> = report["environment"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    wanted
        .iter()
        .try_for_each(|wanted| ensure(seen.contains(wanted), || format!("{wanted:?} is not in the environment {seen:?}")))
}

/// CAP_NET_RAW, which the container itself does not have.
const NET_RAW: u64 = 1 << 13;

fn cap(bench: &Bench) -> Verdict {
    let report = report(bench, &["--cap", "CAP_NET_RAW"])?;
    for set in ["bounding", "effective", "permitted"] {
        let seen = report["capabilities"][set].as_u64().unwrap_or_default();
        ensure(seen & NET_RAW != 0, || format!("the {set} set is {seen:#x}"))?;
    }
    Ok(())
}

fn inheritable(bench: &Bench) -> Verdict {
    expect("the inheritable set", &report(bench, &["--cap", "CAP_NET_RAW"])?["capabilities"]["inheritable"], &json!(0))
}

fn no_new_privs(bench: &Bench) -> Verdict {
    expect("NoNewPrivs", &report(bench, &["--no-new-privs"])?["no_new_privs"], &json!(1))
}

fn additional_gids(bench: &Bench) -> Verdict {
    bench.needs_many_ids()?;
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    let output = container.exec(&["--additional-gids", "77", "--additional-gids", "78"], &[PAYLOAD, "report"])?;
    if output.code != 0 && !bench.who.is_root() && output.stderr.contains("rootless") {
        return Err(skip(format!("refused to an unprivileged user: {}", output.said())));
    }
    let report = first(output)?;
    let groups = report["groups"].as_array().cloned().unwrap_or_default();
    ensure(groups.contains(&json!(77)) && groups.contains(&json!(78)), || format!("the groups are {groups:?}"))
}

fn preserve_fds(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    let extra = extra_file(&bundle)?;
    let call = bench.runtime.call(&["exec", "--preserve-fds", "1", &container.id, PAYLOAD, "read-fd", "3"]);
    let seen = first(call.through_shell("exec \"$@\" 3<\"$0\"", &extra).run()?)?;
    expect("what descriptor 3 reads", &seen, &json!("text of the caller"))
}

fn status(bench: &Bench, verb: &[&str], due: i32) -> Verdict {
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    let words: Vec<&str> = std::iter::once(PAYLOAD).chain(verb.iter().copied()).collect();
    expect("the exit status of exec", &json!(container.exec(&[], &words)?.code), &json!(due))
}

fn missing_program(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    let output = container.exec(&[], &["no-such-program"])?.failure("exec of a missing program")?;
    output.says(&["executable file not found", "no such file or directory"])
}

fn not_executable(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.file("data/plain", "text")?;
    let container = bench.running(&mut bundle)?;
    container.exec(&[], &["/data/plain"])?.failure("exec of a plain file")?.says(&["permission denied"])
}

/// A process document in a file, as engines write it.
fn document(bench: &Bench, bundle: &Bundle, words: &Value) -> Verdict<String> {
    let mut process = bundle.config["process"].clone();
    process["args"] = words.clone();
    process["cwd"] = json!("/tmp");
    process["env"] = json!(["DOCUMENT=yes"]);
    let path = bench.folder.join("process.json");
    bundle.file_on_host(&path, &process.to_string())?;
    Ok(path.to_string_lossy().into_owned())
}

fn process_file(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    let document = document(bench, &bundle, &json!([PAYLOAD, "report"]))?;
    let report = first(container.exec(&["--process", &document], &[])?)?;
    expect("the working directory", &report["cwd"], &json!("/tmp"))?;
    let environment = &report["environment"];
    ensure(has(environment, "DOCUMENT=yes"), || format!("the environment is {environment}"))
}

fn detach(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    let document = document(bench, &bundle, &json!([PAYLOAD, "say", "detached", "--", "sleep", "30"]))?;
    let file = bench.folder.join("exec.pid");
    let output =
        container.exec(&["--process", &document, "--detach", "--pid-file", &file.to_string_lossy()], &[])?.success("exec")?;
    let text = std::fs::read_to_string(&file)?;
    let pid = text.parse::<i32>().ok().and_then(Pid::from_raw).ok_or_else(|| fail(format!("the pid file holds {text:?}")))?;
    ensure(rustix::process::test_kill_process(pid).is_ok(), || format!("no process {pid:?} runs"))?;
    Container::made(bench, container.id.clone(), &output).wait_answers(1).map(drop)
}

fn numeric_name(bench: &Bench) -> Verdict {
    bench.needs_many_ids()?;
    let mut bundle = bench.bundle()?;
    bundle.file("etc/passwd", "root:x:0:0::/:/\n1000:x:0:0::/:/\n1000:x:5:5::/:/\n")?;
    bundle.file("etc/group", "root:x:0:\n1000:x:0:\n")?;
    let container = bench.running(&mut bundle)?;
    let report = first(container.exec(&["--user", "1000"], &[PAYLOAD, "report"])?)?;
    expect("the uid", &report["uids"][0], &json!(1000))
}

fn user_refused(bench: &Bench, users: &[&str]) -> Verdict {
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    for user in users {
        container.exec(&["--user", user], &[PAYLOAD, "report"])?.failure(&format!("exec --user {user}"))?;
    }
    Ok(())
}

fn in_stopped(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    let container = bench.create(&bundle)?;
    container.run_to_end()?;
    let output = container.exec(&[], &[PAYLOAD, "report"])?.failure("exec in a stopped container")?;
    output.says(&["cannot exec in a stopped container", "is not running"])
}
