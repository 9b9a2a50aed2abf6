//! What a case works with: the runtime, fresh bundles, and the payload's answers.

use crate::bundle::Bundle;
use crate::case::{Verdict, ensure, fail, skip};
use crate::container::{Container, parse_answers, value};
use crate::identity::Identity;
use crate::runtime::{Output, Runtime};
use serde_json::Value;
use std::cell::Cell;
use std::path::PathBuf;

/// The workbench of one case; its folder is the case's own.
#[derive(Debug)]
pub struct Bench {
    pub runtime: Runtime,
    pub who: Identity,
    pub folder: PathBuf,
    /// Whether the runtime can make a cgroup for a container.
    pub has_cgroup: bool,
    payload: PathBuf,
    made: Cell<u32>,
}

impl Bench {
    pub fn new(runtime: Runtime, who: Identity, has_cgroup: bool, folder: PathBuf, payload: PathBuf) -> Self {
        Self { runtime, who, folder, has_cgroup, payload, made: Cell::new(0) }
    }

    /// A new bundle with the ordinary configuration.
    pub fn bundle(&self) -> Verdict<Bundle> {
        Ok(Bundle::make(self.folder.join(format!("bundle{}", self.next())), &self.payload, &self.who)?)
    }

    /// An id that no other container on this host has.
    pub fn id(&self) -> String {
        format!("{}{}", ids_of(std::process::id()), self.next())
    }

    /// The payload on the host, for hooks.
    pub fn payload(&self) -> &str {
        self.payload.to_str().unwrap_or_default()
    }

    fn next(&self) -> u32 {
        self.made.replace(self.made.get() + 1)
    }

    /// Runs a bundle in the foreground to its end.
    pub fn run(&self, bundle: &Bundle) -> Verdict<Output> {
        bundle.write()?;
        self.runtime.call(&["run", "--bundle", &bundle.path.to_string_lossy(), &self.id()]).run()
    }

    /// Runs verbs of the payload in a container and gives their answers.
    pub fn ask(&self, bundle: &mut Bundle, verbs: &[&str]) -> Verdict<Vec<Value>> {
        bundle.verbs(verbs);
        let output = self.run(bundle)?;
        let answers = parse_answers(&output.stdout)?;
        ensure(answers.len() >= verbs.len(), || format!("run: exit status {}: {}", output.code, output.said()))?;
        Ok(answers)
    }

    /// What the payload reports of a container made of this bundle.
    pub fn report(&self, bundle: &mut Bundle) -> Verdict<Value> {
        let answers = self.ask(bundle, &["report"])?;
        Ok(value(&answers[0])?.clone())
    }

    /// The call of `create`, whatever it comes to.
    pub fn try_create(&self, bundle: &Bundle, id: &str) -> Verdict<Output> {
        bundle.write()?;
        self.runtime.call(&["create", "--bundle", &bundle.path.to_string_lossy(), id]).run()
    }

    pub fn create(&self, bundle: &Bundle) -> Verdict<Container<'_>> {
        let id = self.id();
        let output = self.try_create(bundle, &id)?;
        let container = Container::made(self, id, &output);
        output.success("create")?;
        Ok(container)
    }

    /// A running container that waits to be asked, for cases about `exec`, `kill` and the like.
    pub fn running(&self, bundle: &mut Bundle) -> Verdict<Container<'_>> {
        bundle.verbs(&["say up", "sleep 30"]);
        let container = self.create(bundle)?;
        container.start()?;
        container.wait_answers(1)?;
        Ok(container)
    }

    /// The configuration is refused by `create`, and no container is left of the attempt.
    pub fn refused(&self, bundle: &Bundle) -> Verdict<Output> {
        let id = self.id();
        let output = self.try_create(bundle, &id)?;
        let container = Container::made(self, id, &output);
        let output = output.failure("create")?;
        let state = self.runtime.call(&["state", &container.id]).run()?;
        ensure(state.code != 0, || "state knows the container whose create was refused".into())?;
        Ok(output)
    }

    /// As `refused`, for a process property, which the runtime may also apply, and so refuse, at `start`.
    pub fn process_refused(&self, bundle: &Bundle) -> Verdict<Output> {
        let id = self.id();
        let output = self.try_create(bundle, &id)?;
        let container = Container::made(self, id, &output);
        if output.code != 0 {
            return Ok(output);
        }
        container.try_start()?.failure("create and start")
    }

    pub fn needs_root(&self, why: &str) -> Verdict {
        if self.who.is_root() { Ok(()) } else { Err(skip(format!("an unprivileged user cannot: {why}"))) }
    }

    /// The suite itself must be root to prepare something on its side.
    pub fn needs_root_suite(&self, why: &str) -> Verdict {
        if rustix::process::getuid().is_root() { Ok(()) } else { Err(skip(format!("the suite must be root: {why}"))) }
    }

    /// For what a runtime may decline to do for an unprivileged user: an error is as good as the deed.
    pub fn refusable(&self, bundle: &Bundle) -> Verdict {
        let id = self.id();
        let output = self.try_create(bundle, &id)?;
        let container = Container::made(self, id, &output);
        drop(container);
        if output.code != 0 && !self.who.is_root() {
            return Err(skip(format!("refused to an unprivileged user: {}", output.said())));
        }
        Ok(())
    }

    pub fn needs_cgroup(&self) -> Verdict {
        if self.has_cgroup { Ok(()) } else { Err(skip("no cgroup was delegated to this user: judge with --view v2")) }
    }

    pub fn needs_many_ids(&self) -> Verdict {
        if self.who.many_ids { Ok(()) } else { Err(skip("this user can map a single id only")) }
    }
}

/// What all ids begin with that the cases of one worker give: a name to clean up by.
pub fn ids_of(worker: u32) -> String {
    format!("conformance-{worker}-")
}

/// The mount that is visible at a path in a payload's report.
pub fn mount_at<'report>(report: &'report Value, point: &str) -> Verdict<&'report Value> {
    let mounts = report["mounts"].as_array().ok_or_else(|| fail("the report has no mounts"))?;
    mounts.iter().rev().find(|mount| mount["point"] == point).ok_or_else(|| fail(format!("nothing is mounted at {point}")))
}

/// Whether a list of a mount (`options`, `super`, `propagation`) holds a word.
pub fn has(list: &Value, word: &str) -> bool {
    list.as_array().is_some_and(|words| words.iter().any(|candidate| candidate == word))
}
