//! The command line of `create` and `run`, as engines call it: pid files, descriptors, statuses, texts.

use crate::bench::{Bench, has};
use crate::bundle::{Bundle, PAYLOAD};
use crate::case::{Case, Clause, Verdict, ensure, expect, fail};
use crate::container::{Container, parse_answers, value};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const PID_FILE: Clause = Clause::contract(
    "containerd (strconv.Atoi of the whole file), conmon",
    "--pid-file holds the process id in decimal, without a newline, before the command returns.",
);
const ARGUMENTS: Clause = Clause::contract(
    "containerd go-runc, conmon",
    "BIN --root R --log F --log-format json create --bundle B --pid-file P --no-new-keyring ID",
);
const PRESERVED: Clause = Clause::contract("Podman, runc", "--preserve-fds N hands descriptors 3 to 2+N to the process.");
const LISTEN: Clause = Clause::contract(
    "systemd socket activation, conmon",
    "With LISTEN_FDS the descriptors are handed on, LISTEN_FDS is set and LISTEN_PID is 1.",
);
const NOTIFY: Clause = Clause::contract(
    "Podman --sdnotify, systemd",
    "With NOTIFY_SOCKET the container gets a socket of its own for notifications, named by its NOTIFY_SOCKET.",
);
const STATUS: Clause =
    Clause::contract("every engine", "run in the foreground ends with the status of its process, 128+n after signal n.");
const TEXTS: Clause = Clause::contract(
    "Docker (exit status 126, 127), Podman",
    "Why the program cannot run is told by a text: executable file not found, no such file or directory, permission denied, is a directory.",
);
const RUN: Clause = Clause::contract("runc", "run deletes the container at its end; --keep keeps it; --detach returns at once.");
const ENVIRONMENT: Clause =
    Clause::contract("every engine", "Nothing of the runtime's or the caller's environment reaches the process.");
const CWD: Clause = Clause::contract("Buildah", "The bundle is the current directory when --bundle is not given.");
const SESSION: Clause = Clause::contract(
    "containerd shim, conmon, Buildah",
    "create returns while the first process lives on as an orphan of the caller.",
);
const NO_PIVOT: Clause = Clause::contract("Docker with DOCKER_RAMDISK", "--no-pivot runs without pivot_root.");

pub fn cases() -> Vec<Case> {
    vec![
        PID_FILE.case("cli.create.pid-file", pid_file),
        PID_FILE.case("cli.run.detach.pid-file", detached_pid_file),
        ARGUMENTS.case("cli.create.as-containerd-calls", as_containerd),
        SESSION.case("cli.create.orphans-to-caller", orphan),
        CWD.case("cli.create.bundle-is-current-directory", bundle_is_cwd),
        PRESERVED.case("cli.run.preserve-fds", preserve_fds),
        PRESERVED.case("cli.run.preserve-fds.missing", preserve_missing),
        LISTEN.case("cli.run.listen-fds", listen_fds),
        NOTIFY.case("cli.run.notify-socket", notify_socket),
        STATUS.case("cli.run.status", |bench| status(bench, &["exit 7"], 7)),
        STATUS.case("cli.run.status.of-signal", status_of_signal),
        TEXTS.case("cli.run.text.not-found", |bench| {
            text(bench, "no-such-program", &["executable file not found", "no such file or directory"])
        }),
        TEXTS.case("cli.run.text.no-such-path", |bench| text(bench, "/no/such/program", &["no such file or directory"])),
        TEXTS.case("cli.run.text.not-executable", |bench| text(bench, "/data/plain", &["permission denied"])),
        TEXTS.case("cli.run.text.directory", |bench| text(bench, "/data", &["is a directory", "permission denied"])),
        RUN.case("cli.run.deletes", run_deletes),
        RUN.case("cli.run.keep", run_keeps),
        RUN.case("cli.run.detach", run_detached),
        ENVIRONMENT.case("cli.run.environment", environment),
        NO_PIVOT.case("cli.run.no-pivot", no_pivot),
    ]
}

fn pid_text(file: &Path) -> Verdict<i64> {
    let text = std::fs::read_to_string(file)?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    ensure(digits, || format!("the pid file holds {text:?}"))?;
    text.parse().map_err(|_| fail(format!("the pid file holds {text:?}")))
}

/// Calls with `--bundle` and more flags, and takes over the container.
fn made<'bench>(bench: &'bench Bench, command: &str, bundle: &Bundle, flags: &[&str]) -> Verdict<Container<'bench>> {
    bundle.write()?;
    let id = bench.id();
    let path = bundle.path.to_string_lossy().into_owned();
    let words: Vec<&str> = [command, "--bundle", &path].into_iter().chain(flags.iter().copied()).chain([id.as_str()]).collect();
    let output = bench.runtime.call(&words).run()?;
    let container = Container::made(bench, id.clone(), &output);
    output.success(command)?;
    Ok(container)
}

fn pid_file(bench: &Bench) -> Verdict {
    let file = bench.folder.join("init.pid");
    let container = made(bench, "create", &bench.bundle()?, &["--pid-file", &file.to_string_lossy()])?;
    expect("the pid file", &json!(pid_text(&file)?), &container.state()?["pid"])
}

fn detached_pid_file(bench: &Bench) -> Verdict {
    let file = bench.folder.join("init.pid");
    let mut bundle = bench.bundle()?;
    bundle.verbs(&["sleep 30"]);
    let container = made(bench, "run", &bundle, &["--detach", "--pid-file", &file.to_string_lossy()])?;
    expect("the pid file", &json!(pid_text(&file)?), &container.state()?["pid"])
}

fn as_containerd(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    bundle.write()?;
    let (log, pid) = (bench.folder.join("log.json"), bench.folder.join("init.pid"));
    let (path, pid) = (bundle.path.to_string_lossy().into_owned(), pid.to_string_lossy().into_owned());
    let id = bench.id();
    let call = bench.runtime.call(&["create", "--bundle", &path, "--pid-file", &pid, "--no-new-keyring", &id]);
    let output = call.global("--log").global(log.to_string_lossy()).global("--log-format").global("json").run()?;
    let container = Container::made(bench, id, &output);
    output.success("create")?;
    container.run_to_end()
}

fn orphan(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    let container = bench.create(&bundle)?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", container.pid()?.as_raw_nonzero()))?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).map(str::trim).unwrap_or_default();
    // This process is the subreaper that a shim is for its containers.
    expect("the parent of the first process", &json!(parent), &json!(std::process::id().to_string()))
}

fn bundle_is_cwd(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    bundle.write()?;
    let id = bench.id();
    let call = bench.runtime.call(&["run", &id]).through_shell("cd \"$0\" && exec \"$@\"", &bundle.path);
    let answers = parse_answers(&call.run()?.success("run")?.stdout)?;
    ensure(!answers.is_empty(), || "the container of the current directory did not run".into())
}

fn extra_file(bundle: &Bundle) -> Verdict<PathBuf> {
    let path = bundle.path.join("extra");
    bundle.file_on_host(&path, "text of the caller")?;
    Ok(path)
}

fn preserve_fds(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.verbs(&["read-fd 3", "read-fd 4", "report"]);
    bundle.write()?;
    let path = bundle.path.to_string_lossy().into_owned();
    let call = bench.runtime.call(&["run", "--bundle", &path, "--preserve-fds", "2", &bench.id()]);
    let script = "exec \"$@\" 3<\"$0\" 4<\"$0\" 5<\"$0\"";
    let answers = parse_answers(&call.through_shell(script, &extra_file(&bundle)?).run()?.success("run")?.stdout)?;
    expect(
        "what descriptors 3 and 4 read",
        &json!(answers[..2]),
        &json!([{ "ok": "text of the caller" }, { "ok": "text of the caller" }]),
    )?;
    let open = value(&answers[2])?["descriptors"].as_object().cloned().unwrap_or_default();
    expect("the open descriptors", &json!(open.keys().collect::<Vec<_>>()), &json!(["0", "1", "2", "3", "4"]))
}

fn preserve_missing(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    bundle.write()?;
    let path = bundle.path.to_string_lossy().into_owned();
    bench.runtime.call(&["run", "--bundle", &path, "--preserve-fds", "40", &bench.id()]).run()?.failure("run").map(drop)
}

fn listen_fds(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.verbs(&["read-fd 3", "report"]);
    bundle.write()?;
    let path = bundle.path.to_string_lossy().into_owned();
    let call = bench.runtime.call(&["run", "--bundle", &path, &bench.id()]);
    let script = "export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\" 3<\"$0\"";
    let answers = parse_answers(&call.through_shell(script, &extra_file(&bundle)?).run()?.success("run")?.stdout)?;
    expect("what descriptor 3 reads", &answers[0], &json!({ "ok": "text of the caller" }))?;
    let environment = &value(&answers[1])?["environment"];
    let both = has(environment, "LISTEN_FDS=1") && has(environment, "LISTEN_PID=1");
    ensure(both, || format!("the environment is {environment}"))
}

fn notify_socket(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let socket = bench.folder.join("notify.sock");
    let _listener = std::os::unix::net::UnixDatagram::bind(&socket)?;
    if bench.who.switch {
        std::os::unix::fs::chown(&socket, Some(bench.who.uid), Some(bench.who.gid))?;
    }
    bundle.verbs(&["stat-named NOTIFY_SOCKET"]);
    bundle.write()?;
    let id = bench.id();
    let path = bundle.path.to_string_lossy().into_owned();
    let output =
        bench.runtime.call(&["create", "--bundle", &path, &id]).environment("NOTIFY_SOCKET", &socket.to_string_lossy()).run()?;
    let container = Container::made(bench, id, &output);
    output.success("create")?;
    let pid = container.pid()?;
    let start = bench.runtime.call(&["start", &container.id]).environment("NOTIFY_SOCKET", &socket.to_string_lossy());
    // The runtime waits for READY=1, which the payload never sends: that start ends with the process is enough here.
    start.run()?;
    container.wait_ended(pid)?;
    let answers = container.wait_answers(1)?;
    expect("what NOTIFY_SOCKET names in the container", &value(&answers[0])?["type"], &json!("socket"))
}

fn status(bench: &Bench, verbs: &[&str], due: i32) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.verbs(verbs);
    expect("the exit status of run", &json!(bench.run(&bundle)?.code), &json!(due))
}

/// Only outside a pid namespace of its own can a first process end itself by a signal.
fn status_of_signal(bench: &Bench) -> Verdict {
    bench.needs_root("a procfs of a pid namespace that is not its own")?;
    let mut bundle = bench.bundle()?;
    bundle.namespace("pid", None);
    bundle.verbs(&["signal-self 15"]);
    expect("the exit status of run", &json!(bench.run(&bundle)?.code), &json!(143))
}

fn text(bench: &Bench, program: &str, texts: &[&str]) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.file("data/plain", "text")?;
    bundle.config["process"]["args"] = json!([program]);
    bench.run(&bundle)?.failure("run")?.says(texts)
}

fn run_deletes(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.verbs(&["say up"]);
    bundle.write()?;
    let id = bench.id();
    bench.runtime.call(&["run", "--bundle", &bundle.path.to_string_lossy(), &id]).run()?.success("run")?;
    bench.runtime.call(&["state", &id]).run()?.failure("state after run").map(drop)
}

fn run_keeps(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.verbs(&["say up"]);
    let container = made(bench, "run", &bundle, &["--keep"])?;
    expect("the status", &json!(container.status()?), &json!("stopped"))
}

fn run_detached(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.verbs(&["say up", "sleep 30"]);
    let container = made(bench, "run", &bundle, &["--detach"])?;
    container.wait_answers(1)?;
    expect("the status", &json!(container.status()?), &json!("running"))
}

fn environment(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.verbs(&["report"]);
    bundle.write()?;
    let path = bundle.path.to_string_lossy().into_owned();
    let call = bench.runtime.call(&["run", "--bundle", &path, &bench.id()]).environment("SECRET_OF_CALLER", "yes");
    let answers = parse_answers(&call.run()?.success("run")?.stdout)?;
    let report = value(answers.first().unwrap_or(&Value::Null))?;
    let environment = &report["environment"];
    let allowed = |entry: &Value| entry.as_str().is_some_and(|text| text.starts_with("PATH=") || text.starts_with("HOME="));
    let right = environment.as_array().is_some_and(|entries| entries.iter().all(allowed));
    ensure(right, || format!("the environment is {environment}"))
}

fn no_pivot(bench: &Bench) -> Verdict {
    bench.needs_root("moving the root of a mount namespace that it does not own")?;
    let mut bundle = bench.bundle()?;
    bundle.config["process"]["args"] = json!([PAYLOAD, "say", "up"]);
    bundle.write()?;
    let path = bundle.path.to_string_lossy().into_owned();
    let output = bench.runtime.call(&["run", "--bundle", &path, "--no-pivot", &bench.id()]).run()?.success("run --no-pivot")?;
    expect("the answers", &json!(parse_answers(&output.stdout)?), &json!([{ "ok": "up" }]))
}
