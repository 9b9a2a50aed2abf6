//! One test, once for each identity, in processes of their own.

use crate::case::Case;
use crate::identity::Identity;
use crate::processes;
use crate::published::{own_directory, publish, wolffia};
use crate::scratch::{self, Scratch};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What a scenario's process exits with when it was skipped.
pub const SKIPPED: i32 = 77;
/// A scenario that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(180);

const IDENTITY: &str = "WOLFFIA_TESTS_IDENTITY";
const SCRATCH: &str = "WOLFFIA_TESTS_SCRATCH";

/// The machine's mounts become a private copy whose mounts are shared with each other, as systemd sets a machine up: a container
/// that lets a mount escape is seen. Files that take the place of others in this view are the further arguments up to `--`.
const PRIVATE_VIEW: &str = r#"
set -e
mount --make-rshared /
while [ "$1" != -- ]; do
    mount --bind "$1" "$2"
    shift 2
done
shift
exec "$@"
"#;

/// Runs `body` once for each of `identities`, each time in a new process. Fails if one of them fails or leaves something behind.
///
/// The process is this same test binary, asked for this same test by its name.
pub fn scenario(identities: &[Identity], body: impl FnOnce(&Case)) {
    if let Some((identity, scratch)) = assigned() {
        return Case::conduct(identity, scratch, body);
    }
    let name = test_name();
    let verdicts = identities.iter().map(|identity| (*identity, outside(&name, *identity)));
    let failures: Vec<String> = verdicts.filter_map(|(identity, verdict)| report(&name, identity, verdict).err()).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// The opposite, for tests of this harness: fails unless every run fails with these words.
pub fn scenario_fails(identities: &[Identity], words: &str, body: impl FnOnce(&Case)) {
    if let Some((identity, scratch)) = assigned() {
        return Case::conduct(identity, scratch, body);
    }
    let name = test_name();
    for identity in identities {
        let verdict = match outside(&name, *identity) {
            Verdict::Failed { output, .. } if output.contains(words) => Verdict::Passed(Duration::ZERO),
            Verdict::Passed(_) => Verdict::Failed { why: "it passed, although it should not".to_owned(), output: String::new() },
            other => other,
        };
        report(&name, *identity, verdict).unwrap();
    }
}

/// What this process was started for, if it is a scenario's.
fn assigned() -> Option<(Identity, PathBuf)> {
    let word = std::env::var(IDENTITY).ok()?;
    Some((Identity::from_word(&word), PathBuf::from(std::env::var_os(SCRATCH)?)))
}

fn test_name() -> String {
    let thread = std::thread::current();
    thread.name().filter(|name| *name != "main").expect("libtest names a test's thread after the test").to_owned()
}

/// How a scenario ended.
enum Verdict {
    Passed(Duration),
    Skipped(String),
    Failed { why: String, output: String },
}

fn outside(name: &str, identity: Identity) -> Verdict {
    if let Some(reason) = identity.obstacle() {
        return Verdict::Skipped(reason);
    }
    let scratch = Scratch::new(name.rsplit("::").next().unwrap_or(name));
    let begin = Instant::now();
    let (status, output) = run(name, identity, scratch.path());
    match status.map(|status| status.code()) {
        Some(Some(0)) => Verdict::Passed(begin.elapsed()),
        Some(Some(SKIPPED)) => {
            let reason = output.lines().find_map(|line| line.strip_prefix("skipped: ")).unwrap_or("no reason given");
            Verdict::Skipped(reason.to_owned())
        }
        Some(code) => Verdict::Failed { why: format!("status {code:?}"), output },
        None => Verdict::Failed { why: format!("no end after {LIMIT:?}"), output },
    }
}

/// Starts the scenario's process and waits for it. No status: it had to be killed.
fn run(name: &str, identity: Identity, scratch: &Path) -> (Option<ExitStatus>, String) {
    let log = scratch.join("log");
    let work = scratch.join("work");
    scratch::make(&work, 0o755);
    let output = File::create(&log).unwrap();
    let mut command = command(name, identity, scratch);
    command.env(IDENTITY, identity.word()).env(SCRATCH, &work).env("WOLFFIA_BIN", wolffia());
    command.env("WOLFFIA_TESTS_ORIGIN", own_directory().join("deps/test")).env("WOLFFIA_TESTS_CACHE", scratch::cache());
    command
        .env("RUST_BACKTRACE", "0")
        .env_remove("NOTIFY_SOCKET")
        .env_remove("LISTEN_FDS")
        .env_remove("LISTEN_PID")
        .env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let ended = processes::wait_until(LIMIT, || child.try_wait().unwrap().is_some());
    if !ended {
        processes::kill_descendants(child.id().cast_signed());
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    (ended.then_some(status), String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned())
}

fn command(name: &str, identity: Identity, scratch: &Path) -> Command {
    let test = publish(&std::env::current_exe().unwrap());
    let arguments = [name, "--exact", "--nocapture", "--include-ignored"];
    if !rustix::process::getuid().is_root() {
        let mut command = Command::new(test);
        command.args(arguments);
        return command;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--", "sh", "-c", PRIVATE_VIEW, "sh"]);
    for (file, line) in identity.accounts().into_iter().flatten() {
        let copy = scratch.join(file.replace('/', "-"));
        let mut text = std::fs::read_to_string(file).unwrap_or_default();
        text.write_str(&line).unwrap();
        std::fs::write(&copy, text).unwrap();
        command.arg(copy).arg(file);
    }
    command.arg("--");
    if !identity.is_root() {
        let id = identity.id();
        chown(scratch.join("work"), Some(id), Some(id)).unwrap();
        command.arg("setpriv").arg(format!("--reuid={id}")).arg(format!("--regid={id}"));
        command.args(["--clear-groups", "--inh-caps=-all", "--"]);
    }
    command.arg(test).args(arguments);
    command
}

/// Says how it went, and adds it to the file that counts.
fn report(name: &str, identity: Identity, verdict: Verdict) -> Result<(), String> {
    let identity = identity.word();
    let (line, outcome) = match verdict {
        Verdict::Passed(time) => (format!("passed {name} as {identity}: {:.1} s", time.as_secs_f64()), Ok(())),
        Verdict::Skipped(reason) => (format!("skipped {name} as {identity}: {reason}"), Ok(())),
        Verdict::Failed { why, output } => {
            (format!("failed {name} as {identity}: {why}"), Err(format!("{name} as {identity}: {why}\n{output}")))
        }
    };
    println!("{line}");
    if let Some(path) = std::env::var_os("WOLFFIA_TEST_REPORT") {
        let mut file = File::options().append(true).create(true).open(path).unwrap();
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
    outcome
}
