//! A child process in which something is tried: bounded in time, and nothing of it stays.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;
use wolffia_sys::process::{CloneRequest, Forked, SingleThreaded, clone3, exit};
use wolffia_sys::{Errno, Pid, pidfd, prctl};

/// The longest that one child may take. The usual one ends within a few milliseconds.
pub(super) const LIMIT: Duration = Duration::from_millis(700);
/// Longer than all that one child reports.
const REPORT_LIMIT: u64 = 16 << 10;
const SIGKILL: i32 = 9;

/// How one attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// `None` if no system call failed: the attempt was not reached.
    pub(super) errno: Option<Errno>,
    pub(super) text: String,
}

/// How one attempt ended.
pub(super) type Tried = Result<(), Failure>;

impl Failure {
    pub(super) fn unreached(why: impl Into<String>) -> Self {
        Self { errno: None, text: why.into() }
    }

    pub(super) fn is(&self, errno: Errno) -> bool {
        self.errno == Some(errno)
    }

    /// Whether somebody forbids it, and not the kernel that lacks it.
    pub(super) fn is_denied(&self) -> bool {
        self.is(Errno::EPERM) || self.is(Errno::EACCES)
    }
}

impl From<wolffia_sys::Error> for Failure {
    fn from(error: wolffia_sys::Error) -> Self {
        Self { errno: Some(error.errno), text: error.to_string() }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { errno: error.raw_os_error().map(Errno), text: error.to_string() }
    }
}

/// The child's end of the report.
#[derive(Debug)]
pub(super) struct Reporter(PipeWriter);

impl Reporter {
    /// Tells the parent how the attempt `name` ended.
    pub(super) fn tell(&mut self, name: &str, outcome: Tried) {
        let (errno, text) = match &outcome {
            Ok(()) => (0, ""),
            Err(failure) => (failure.errno.map_or(-1, |errno| errno.0), failure.text.as_str()),
        };
        let record = format!("{name}\t{errno}\t{}\n", text.replace('\n', "; "));
        // A record that cannot be written is an attempt that the parent sees as not reached: it needs no other answer.
        if self.0.write_all(record.as_bytes()).is_err() {
            exit(1);
        }
    }
}

/// What a child told, by the attempts' names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report(Vec<(String, Tried)>);

impl Report {
    pub(super) fn of(&self, name: &str) -> Tried {
        let told = self.0.iter().find(|(told, _)| told == name).map(|(_, outcome)| outcome.clone());
        told.unwrap_or_else(|| Err(Failure::unreached("the trial ended before it")))
    }

    /// Adds what the parent itself saw.
    pub(super) fn with(mut self, name: &str, outcome: Tried) -> Self {
        self.0.push((name.to_owned(), outcome));
        self
    }

    fn parse(text: &str) -> Self {
        let record = |line: &str| {
            let mut fields = line.splitn(3, '\t');
            let (name, errno, text) = (fields.next()?, fields.next()?.parse::<i32>().ok()?, fields.next()?);
            let outcome = match errno {
                0 => Ok(()),
                errno => Err(Failure { errno: (errno > 0).then_some(Errno(errno)), text: text.to_owned() }),
            };
            Some((name.to_owned(), outcome))
        };
        Self(text.lines().filter_map(record).collect())
    }
}

/// A running trial. Dropping it kills and reaps the child.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) pid: Pid,
    pidfd: OwnedFd,
    /// Its end is the child's sign to go on.
    gate: Option<PipeWriter>,
    results: PipeReader,
}

/// Starts `body` in a child with new namespaces (`CLONE_NEW*`). `body` may wait for the end of file of the gate that it is given.
pub(super) fn start(
    alone: &SingleThreaded,
    namespaces: u64,
    body: impl FnOnce(&mut Reporter, PipeReader),
) -> Result<Trial, Failure> {
    let (results, report) = std::io::pipe()?;
    let (gate, opener) = std::io::pipe()?;
    match clone3(alone, &CloneRequest { flags: namespaces, ..CloneRequest::default() })? {
        Forked::Child => {
            // A panic must not unwind into the parent's code, of which this process is a copy.
            let _leave = Leave;
            drop((results, opener));
            if prctl::set_parent_death_signal(SIGKILL).is_ok() {
                body(&mut Reporter(report), gate);
            }
            exit(0)
        }
        Forked::Parent { pid, pidfd } => Ok(Trial { pid, pidfd, gate: Some(opener), results }),
    }
}

struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        exit(1)
    }
}

impl Trial {
    /// Opens the gate, waits for the child's end and reads what it told.
    pub(super) fn finish(mut self) -> Result<Report, Failure> {
        self.gate = None;
        if !pidfd::wait_exit(&self.pidfd, Some(LIMIT))? {
            return Err(Failure::unreached(format!("the trial did not end within {LIMIT:?}")));
        }
        let mut text = String::new();
        // The child's copy of the pipe's end died with it, so this comes to an end of file.
        self.results.by_ref().take(REPORT_LIMIT).read_to_string(&mut text)?;
        Ok(Report::parse(&text))
    }

    fn end(&self) -> wolffia_sys::Result<()> {
        pidfd::send_signal(&self.pidfd, SIGKILL)?;
        if pidfd::wait_exit(&self.pidfd, Some(LIMIT))? {
            pidfd::try_wait(&self.pidfd)?;
        }
        Ok(())
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // A child that cannot even be killed (stuck in the kernel) is left to whoever reaps after this process.
        self.end().unwrap_or(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_the_pipe_format() {
        let report = Report::parse("a\t0\t\nb\t1\tmount(x): Operation not permitted\nc\t-1\tlost\ngarbage\n");
        assert_eq!(report.of("a"), Ok(()));
        assert_eq!(report.of("b"), Err(Failure { errno: Some(Errno::EPERM), text: "mount(x): Operation not permitted".into() }));
        assert!(report.of("b").unwrap_err().is_denied());
        assert_eq!(report.of("c").unwrap_err().errno, None);
        assert_eq!(report.of("d").unwrap_err().text, "the trial ended before it");
    }
}
