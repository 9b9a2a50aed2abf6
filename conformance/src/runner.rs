//! Runs the cases, each in a worker of its own, and tells what became of them.

use crate::case::{Case, Level, Stop};
use crate::cases;
use crate::identity::Identity;
use crate::options::Options;
use crate::processes::{become_subreaper, end_descendants, ended_within, kill};
use crate::report::{Outcome, result_json};
use crate::runtime::Runtime;
use crate::view::{self, Delegated};
use crate::worker::{clean_up_after, payload_of};
use rustix::process::Pid;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{self, Read as _};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The longest that a case may take.
const CASE_LIMIT: Duration = Duration::from_secs(10);

/// What is known of the runtime before the first case.
struct Subject {
    version: String,
    declares: Option<String>,
    user: &'static str,
}

/// Judges all selected cases; true when no `must` or `contract` failed that is not allowed to.
pub fn run_all(options: &Options) -> io::Result<bool> {
    payload_of(options)?;
    become_subreaper()?;
    view::enter(options.view)?;
    let who = Identity::resolve(options.as_user)?;
    let allowed = options.allowed()?;
    let delegated = Delegated::make(options.view, &who)?;
    let subject = meet(options, who)?;
    let selected: Vec<Case> = cases::all().into_iter().filter(|case| options.selects(&case.name)).collect();
    println!("{} as {}, cgroups {}: {} cases", subject.version, subject.user, options.view.word(), selected.len());

    let outcomes = judge_all(options, &selected, subject.declares.as_deref(), &allowed)?;
    if let Some(delegated) = delegated {
        delegated.leave()?;
    }
    let results: Vec<Value> = selected.iter().zip(&outcomes).map(|(case, outcome)| result_json(case, outcome)).collect();
    if let Some(path) = &options.json {
        let document = json!({
            "runtime": subject.version, "declares": subject.declares, "user": subject.user,
            "view": options.view.word(), "results": results,
        });
        std::fs::write(path, format!("{document:#}\n"))?;
    }
    let count = |word| outcomes.iter().filter(|outcome| outcome.word() == word).count();
    println!("{} passed, {} failed, {} skipped", count("pass"), count("fail"), count("skip"));
    let grave = |(case, outcome): (&Case, &Outcome)| {
        case.level != Level::Should && matches!(outcome, Outcome::Fail(_)) && !allowed.contains_key(&case.name)
    };
    Ok(!selected.iter().zip(&outcomes).any(grave))
}

fn meet(options: &Options, who: Identity) -> io::Result<Subject> {
    let user = who.word();
    let folder = std::env::temp_dir().join(format!("wolffia-conformance.{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    if who.switch {
        std::os::unix::fs::chown(&folder, Some(who.uid), Some(who.gid))?;
    }
    let runtime = Runtime::new(options.runtime.as_deref().unwrap_or_default(), &[], who, &folder);
    let known = runtime.and_then(|runtime| {
        let version = runtime.version().map_err(spoken)?;
        Ok(Subject {
            version: version.lines().next().unwrap_or("?").to_owned(),
            declares: runtime.declares().map_err(spoken)?,
            user,
        })
    });
    std::fs::remove_dir_all(&folder)?;
    known
}

fn spoken(stop: Stop) -> io::Error {
    match stop {
        Stop::Fail(why) | Stop::Skip(why) => io::Error::other(why),
    }
}

/// Several threads take case after case; the outcomes are in the order of the cases.
fn judge_all(
    options: &Options,
    selected: &[Case],
    declared: Option<&str>,
    allowed: &HashMap<String, String>,
) -> io::Result<Vec<Outcome>> {
    let next = AtomicUsize::new(0);
    let alive: Mutex<Vec<Pid>> = Mutex::new(Vec::new());
    let outcomes: Vec<Mutex<Outcome>> = selected.iter().map(|_| Mutex::new(Outcome::Skip("not reached".into()))).collect();
    let take = || -> io::Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = selected.get(index) else { return Ok(()) };
            let outcome = in_worker(options, case, &alive)?.weighed(case, declared);
            say(case, &outcome, allowed);
            *outcomes[index].lock().unwrap_or_else(PoisonError::into_inner) = outcome;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.jobs.max(1)).map(|_| scope.spawn(take)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("a runner thread died"))))
    })?;
    Ok(outcomes.into_iter().map(|outcome| outcome.into_inner().unwrap_or_else(PoisonError::into_inner)).collect())
}

fn say(case: &Case, outcome: &Outcome, allowed: &HashMap<String, String>) {
    match (outcome, allowed.get(&case.name)) {
        (Outcome::Pass, None) => println!("pass  {}", case.name),
        (Outcome::Pass, Some(_)) => println!("pass  {}: allowed to fail, but it does not", case.name),
        (Outcome::Fail(why), Some(reason)) => println!("known {}: {why} ({reason})", case.name),
        (Outcome::Fail(why), None) => println!("FAIL  {} [{}]: {why}", case.name, case.level),
        (Outcome::Skip(why), _) => println!("skip  {}: {why}", case.name),
    }
}

/// Starts a worker for a case, waits for its line, and leaves nothing of it behind.
fn in_worker(options: &Options, case: &Case, alive: &Mutex<Vec<Pid>>) -> io::Result<Outcome> {
    let mut child = {
        // Under the lock: nobody may take a worker that is not yet listed for an orphan.
        let mut alive = alive.lock().unwrap_or_else(PoisonError::into_inner);
        let child = worker_command(options, case)?.spawn()?;
        alive.push(Pid::from_child(&child));
        child
    };
    let pid = Pid::from_child(&child);
    let ended = ended_within(pid, CASE_LIMIT)?;
    if !ended {
        kill(pid)?;
    }
    child.wait()?;
    let mut line = String::new();
    if let Some(mut stdout) = child.stdout.take().filter(|_| ended) {
        stdout.read_to_string(&mut line)?;
    }
    {
        let mut alive = alive.lock().unwrap_or_else(PoisonError::into_inner);
        alive.retain(|other| *other != pid);
        end_descendants(&alive)?;
    }
    let told = serde_json::from_str(&line).ok().as_ref().and_then(Outcome::from_json);
    if told.is_none() {
        clean_up_after(options, pid)?;
    }
    let silent = if ended { "the judging process died".to_owned() } else { format!("no verdict within {CASE_LIMIT:?}") };
    Ok(told.unwrap_or(Outcome::Fail(silent)))
}

fn worker_command(options: &Options, case: &Case) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--worker", &case.name, "--runtime", options.runtime.as_deref().unwrap_or_default()]);
    for argument in &options.runtime_arg {
        command.args(["--runtime-arg", argument]);
    }
    if let Some(payload) = &options.payload {
        command.arg("--payload").arg(payload);
    }
    if let Some(uid) = options.as_user {
        command.args(["--as-user", &uid.to_string()]);
    }
    // The worker inherits the view; the option only tells it which one that is.
    command.args(["--view", options.view.word()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(command)
}
