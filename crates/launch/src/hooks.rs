//! Running hooks: the state on standard input, a bounded time, a clear report; and none outlives the process that waits for it.

use crate::failure::Cause;
use crate::leash::Leash;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use wolffia_plan::{Hook, HookEnvironment};
use wolffia_sys::seccomp::Filter;
use wolffia_sys::{Pid, memfd, pidfd, poll};

/// How much of a hook's output is kept for the error message.
const OUTPUT_LIMIT: usize = 16 * 1024;

/// The state document that hooks read (runtime.md, "State").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookState {
    #[serde(rename = "ociVersion")]
    pub oci_version: String,
    pub id: String,
    pub status: String,
    /// Left out when there is no process any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    pub bundle: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl HookState {
    pub fn with(&self, status: &str, pid: Option<i32>) -> Self {
        Self { status: status.to_owned(), pid, ..self.clone() }
    }
}

/// Runs `hooks` in their order until one fails. `kind` is the name in the configuration.
pub fn run(kind: &str, hooks: &[Hook], state: &HookState, directory: &Path) -> Result<(), Cause> {
    run_by_init(&ByInit::default(), kind, hooks, state, directory)
}

/// What hooks need that init runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByInit<'a> {
    /// Whoever holds the other end and is silent meanwhile is waited for: when that goes away, the hook is ended.
    pub caller: Option<BorrowedFd<'a>>,
    /// The hooks themselves are put under it.
    pub filter: Option<&'a Filter>,
    /// The payload's environment, for hooks that have none of their own.
    pub environment: &'a [CString],
}

/// The same, run by init.
pub fn run_by_init(init: &ByInit<'_>, kind: &str, hooks: &[Hook], state: &HookState, directory: &Path) -> Result<(), Cause> {
    for (number, hook) in hooks.iter().enumerate() {
        one(hook, state, directory, init).map_err(|cause| cause.context(format!("error running {kind} hook #{number}")))?;
    }
    Ok(())
}

/// Runs every hook; a failure does not keep the others from running (runtime.md, lifecycle step 13). Returns what failed.
pub fn run_all(kind: &str, hooks: &[Hook], state: &HookState, directory: &Path) -> Vec<Cause> {
    let failed = |(number, hook): (usize, &Hook)| {
        one(hook, state, directory, &ByInit::default())
            .err()
            .map(|cause| cause.context(format!("error running {kind} hook #{number}")))
    };
    hooks.iter().enumerate().filter_map(failed).collect()
}

fn one(hook: &Hook, state: &HookState, directory: &Path, init: &ByInit<'_>) -> Result<(), Cause> {
    let mut command = Command::new(&hook.path);
    if let Some((name, rest)) = hook.args.split_first() {
        command.arg0(name).args(rest);
    }
    command.env_clear();
    match &hook.env {
        HookEnvironment::Given(env) => command.envs(env.iter().filter_map(|entry| entry.split_once('='))),
        HookEnvironment::Payload => {
            command.envs(init.environment.iter().filter_map(|entry| entry.to_str().ok()?.split_once('=')))
        }
    };
    let input = serde_json::to_vec(state).map_err(|error| Cause::from(error.to_string()))?;
    // Not a pipe, in which a state with long annotations would wait for a hook that does not read, beyond its timeout.
    let input = memfd::sealed_text(&input, "state.json")?;
    command.current_dir(directory).stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(filter) = init.filter {
        filter.put_over(&mut command)?;
    }
    let leash = Leash::new()?;
    // So that a hook that hangs is ended with everything it started.
    command.process_group(leash.group().get());
    let mut child = command.spawn().map_err(|error| Cause::from(error).context(&hook.path))?;
    let deadline = hook.timeout_seconds.map(|seconds| (Instant::now() + Duration::from_secs(seconds.into()), seconds));
    let ended = attend(&mut child, deadline, init.caller);
    if ended.is_ok() {
        leash.let_go()?;
    } else {
        leash.end()?;
        child.wait()?;
    }
    let (status, output) = ended?;
    if status.success() {
        return Ok(());
    }
    let status = match status.signal() {
        // Go's words, which callers of runc match.
        Some(libc::SIGSYS) => "signal: bad system call".to_owned(),
        _ => status.to_string(),
    };
    Err(format!("{status}, output: {}", String::from_utf8_lossy(&output).trim()).into())
}

/// Reads the output until the hook ends; what its children hold open is not waited for.
fn attend(
    child: &mut Child,
    deadline: Option<(Instant, u32)>,
    caller: Option<BorrowedFd<'_>>,
) -> Result<(ExitStatus, Vec<u8>), Cause> {
    let watch = pidfd::open(Pid::from_child(child))?;
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let mut output = Vec::new();
    loop {
        let mut watched = vec![watch.as_fd()];
        watched.extend(caller);
        watched.extend(out.as_ref().map(AsFd::as_fd));
        watched.extend(err.as_ref().map(AsFd::as_fd));
        let limit = deadline.map(|(end, _)| end.saturating_duration_since(Instant::now()));
        let mut ready = poll::poll_readable(&watched, limit)?.into_iter();
        let mut is_ready = |watched: bool| watched && ready.next() == Some(true);
        let (ended, abandoned) = (is_ready(true), is_ready(caller.is_some()));
        let (out_ready, err_ready) = (is_ready(out.is_some()), is_ready(err.is_some()));
        if out_ready && !drain(&mut out, &mut output)? {
            out = None;
        }
        if err_ready && !drain(&mut err, &mut output)? {
            err = None;
        }
        if ended {
            return Ok((child.wait()?, output));
        }
        if abandoned {
            return Err("the runtime went away, killed".into());
        }
        if let Some((end, seconds)) = deadline
            && Instant::now() >= end
        {
            return Err(format!("did not end within its timeout of {seconds} s, killed").into());
        }
    }
}

/// Reads once; false at the end of the stream.
fn drain(stream: &mut Option<impl Read>, output: &mut Vec<u8>) -> Result<bool, Cause> {
    let Some(stream) = stream else { return Ok(false) };
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer)?;
    let room = OUTPUT_LIMIT.saturating_sub(output.len());
    output.extend(buffer.iter().take(count.min(room)));
    Ok(count > 0)
}
