//! A container of a case: created, observed, and gone when dropped.

use crate::bench::Bench;
use crate::case::{Stop, Verdict, fail};
use crate::processes::{ended_within, reap};
use crate::runtime::Output;
use rustix::process::Pid;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The longest that a case waits for a container to do its part.
const PATIENCE: Duration = Duration::from_secs(4);

/// A created container. Its output goes to a file, so that nobody waits for the end of a pipe.
#[derive(Debug)]
pub struct Container<'bench> {
    pub bench: &'bench Bench,
    pub id: String,
    stdout: PathBuf,
}

impl<'bench> Container<'bench> {
    /// Takes over a container that a call of `create` or `run --detach` has made.
    pub fn made(bench: &'bench Bench, id: String, output: &Output) -> Self {
        Self { bench, id, stdout: output.stdout_file.clone() }
    }

    /// The document that `state` prints.
    pub fn state(&self) -> Verdict<Value> {
        self.bench.runtime.call(&["state", &self.id]).run()?.success("state")?.json()
    }

    pub fn status(&self) -> Verdict<String> {
        let state = self.state()?;
        state["status"].as_str().map(str::to_owned).ok_or_else(|| fail(format!("state has no status: {state}")))
    }

    /// The process id of the container's first process, as the host sees it.
    pub fn pid(&self) -> Verdict<Pid> {
        let state = self.state()?;
        let number = state["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        number.and_then(Pid::from_raw).ok_or_else(|| fail(format!("state has no pid: {state}")))
    }

    pub fn try_start(&self) -> Verdict<Output> {
        self.bench.runtime.call(&["start", &self.id]).run()
    }

    pub fn start(&self) -> Verdict {
        self.try_start()?.success("start").map(drop)
    }

    pub fn kill(&self, signal: &str) -> Verdict<Output> {
        self.bench.runtime.call(&["kill", &self.id, signal]).run()
    }

    pub fn delete(&self) -> Verdict<Output> {
        self.bench.runtime.call(&["delete", &self.id]).run()
    }

    /// Runs a call of `exec`: flags, then what to run.
    pub fn exec(&self, flags: &[&str], command: &[&str]) -> Verdict<Output> {
        let mut words = vec!["exec"];
        words.extend(flags);
        words.push(&self.id);
        words.extend(command);
        self.bench.runtime.call(&words).run()
    }

    /// Waits for the first process to end, and collects it as its subreaper.
    pub fn wait_ended(&self, pid: Pid) -> Verdict {
        if !ended_within(pid, PATIENCE)? {
            return Err(fail(format!("the container's process still runs after {PATIENCE:?}")));
        }
        Ok(reap(pid)?)
    }

    /// Starts, and waits for the end.
    pub fn run_to_end(&self) -> Verdict {
        let pid = self.pid()?;
        self.start()?;
        self.wait_ended(pid)
    }

    /// Kills what runs, waits for its end.
    pub fn stop(&self) -> Verdict {
        let pid = self.pid()?;
        self.kill("KILL")?.success("kill KILL")?;
        self.wait_ended(pid)
    }

    /// What the payload has answered so far.
    pub fn answers(&self) -> Verdict<Vec<Value>> {
        parse_answers(&fs::read_to_string(&self.stdout)?)
    }

    /// Waits until the payload has given this many answers.
    pub fn wait_answers(&self, count: usize) -> Verdict<Vec<Value>> {
        let end = Instant::now() + PATIENCE;
        loop {
            let answers = self.answers()?;
            if answers.len() >= count {
                return Ok(answers);
            }
            if Instant::now() > end {
                return Err(fail(format!("the container answered {answers:?}, {count} answers are due")));
            }
            std::thread::sleep(Duration::from_millis(4));
        }
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // A failing delete is judged by cases of its own; the worker ends what is left by its process id.
        if let Err(stop) = self.bench.runtime.call(&["delete", "--force", &self.id]).run() {
            eprintln!("delete --force {}: {stop:?}", self.id);
        }
    }
}

/// The payload's lines in an output that may hold other text as well.
pub fn parse_answers(text: &str) -> Result<Vec<Value>, Stop> {
    let payload = |line: &&str| line.starts_with("{\"ok\":") || line.starts_with("{\"err\":");
    let whole = text.lines().map(str::trim_end).filter(payload);
    whole.map(|line| serde_json::from_str(line).map_err(|error| fail(format!("a torn answer ({error}): {line}")))).collect()
}

/// The value of an answer that must be one.
pub fn value(answer: &Value) -> Verdict<&Value> {
    answer.get("ok").ok_or_else(|| fail(format!("the payload met {answer}")))
}
