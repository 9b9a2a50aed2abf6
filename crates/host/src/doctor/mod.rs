//! What this host and this user can do, and how to mend what they cannot.
//!
//! Features are tried, not derived from version numbers: in a child process that has namespaces of its own, attaches
//! no mount and ends within a limit of time. Nothing of it lasts.

mod attempts;
mod cgroups;
mod identity;
mod kernel;
mod places;
mod render;
mod trial;
mod users;

pub use render::render;

use crate::{HostError, Needs, ids, probe, status};
use serde::Serialize;
use wolffia_sys::process::SingleThreaded;

/// What was found about one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, in a few words; the same in every report.
    pub topic: &'static str,
    pub status: Status,
    /// What the host answered.
    pub found: String,
    /// What follows for containers.
    pub meaning: String,
    /// Commands or lines, word for word, in their order. Empty when nothing needs mending or nothing can be done.
    pub mend: Vec<String>,
}

/// How much of a facility can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Good,
    /// Some containers will be refused, or go without something.
    Limited,
    Missing,
}

impl Finding {
    fn good(topic: &'static str, found: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self::new(topic, Status::Good, found, meaning)
    }

    fn limited(topic: &'static str, found: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self::new(topic, Status::Limited, found, meaning)
    }

    fn missing(topic: &'static str, found: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self::new(topic, Status::Missing, found, meaning)
    }

    fn new(topic: &'static str, status: Status, found: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self { topic, status, found: found.into(), meaning: meaning.into(), mend: Vec::new() }
    }

    fn mend(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.mend.extend(lines);
        self
    }
}

/// What every topic is judged by.
struct Facts {
    host: wolffia_plan::Host,
    status: status::Status,
    /// The user's names in /etc/passwd.
    names: Vec<String>,
}

impl Facts {
    fn gather() -> Result<Self, HostError> {
        let host = probe(Needs::ALL)?;
        let names = ids::user_names(host.euid)?;
        Ok(Self { status: status::Status::of_self()?, host, names })
    }

    /// Root of the initial user namespace: it needs no map, no helper and no delegation.
    fn is_host_root(&self) -> bool {
        self.host.privileged && !self.host.in_user_namespace
    }

    /// The user as messages and files name it.
    fn user(&self) -> String {
        self.names.first().cloned().unwrap_or_else(|| self.host.euid.to_string())
    }
}

/// Looks at everything, in well under a second. The process must have one thread, or the topics that need a trial are
/// left out and a finding says so.
pub fn examine() -> Vec<Finding> {
    let facts = match Facts::gather() {
        Ok(facts) => facts,
        Err(error) => return vec![unreadable(&error)],
    };
    let mut findings = vec![kernel::release()];
    match SingleThreaded::check() {
        Ok(alone) => findings.extend(trials(&alone, &facts)),
        Err(error) => findings.push(Finding::limited("trials", error.to_string(), "what needs a trial was left out")),
    }
    findings.extend([
        identity::subordinate_ids(&facts),
        cgroups::layout(&facts),
        cgroups::delegation(&facts),
        kernel::seccomp(&facts),
        kernel::landlock(),
        kernel::security_modules(&facts),
        places::runtime_directory(&facts),
        places::state_directory(&facts),
    ]);
    findings
}

fn trials(alone: &SingleThreaded, facts: &Facts) -> [Finding; 6] {
    let tried = attempts::run(alone, facts);
    [
        kernel::system_calls(&tried),
        users::user_namespaces(facts, &tried),
        users::proc_mount(&tried),
        kernel::time_namespaces(&tried),
        kernel::idmapped_mounts(facts, &tried),
        identity::helpers(alone, facts),
    ]
}

fn unreadable(error: &HostError) -> Finding {
    let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    Finding::missing("host", format!("{error}{cause}"), "no container can be planned without these facts")
}
