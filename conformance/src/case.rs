//! What a case is: a name, the sentence that it judges, and the judgement.

use crate::bench::Bench;
use serde_json::Value;
use std::fmt;

/// How much a failure weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The specification says MUST, or says plainly what a property does.
    Must,
    /// The specification says SHOULD: reported, never a reason to fail.
    Should,
    /// Callers of runc rely on it, whatever the specification says.
    Contract,
}

impl fmt::Display for Level {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Must => "must",
            Self::Should => "should",
            Self::Contract => "contract",
        })
    }
}

/// A minor release of the 1.x specification, as `1.2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(pub u32);

impl Release {
    /// The release in a version text such as `1.0.2-dev`; nothing for another major version.
    pub fn of(version: &str) -> Option<Self> {
        let mut numbers = version.split('.');
        let (major, minor) = (numbers.next()?, numbers.next()?);
        if major == "1" { minor.parse().ok().map(Self) } else { None }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "1.{}", self.0)
    }
}

/// Why a case did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The runtime did otherwise; the text says what was seen.
    Fail(String),
    /// It cannot be judged here; the text says why.
    Skip(String),
}

/// Passed, or why not.
pub type Verdict<T = ()> = Result<T, Stop>;

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Fail(format!("the suite itself: {error}"))
    }
}

impl From<rustix::io::Errno> for Stop {
    fn from(error: rustix::io::Errno) -> Self {
        std::io::Error::from(error).into()
    }
}

impl From<nix::errno::Errno> for Stop {
    fn from(error: nix::errno::Errno) -> Self {
        std::io::Error::from(error).into()
    }
}

type Judge = Box<dyn Fn(&Bench) -> Verdict + Send + Sync>;

/// One promise, and how it is judged.
pub struct Case {
    /// Stable and unique: results are compared by it.
    pub name: String,
    pub level: Level,
    /// The first release that holds the sentence.
    pub since: Release,
    /// Document and section, or who relies on it.
    pub clause: &'static str,
    /// The sentence itself.
    pub sentence: &'static str,
    pub judge: Judge,
}

impl fmt::Debug for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Case({})", self.name)
    }
}

/// Where a sentence stands: several cases often judge one.
#[derive(Debug, Clone, Copy)]
pub struct Clause {
    pub level: Level,
    pub section: &'static str,
    pub sentence: &'static str,
}

impl Clause {
    pub const fn must(section: &'static str, sentence: &'static str) -> Self {
        Self { level: Level::Must, section, sentence }
    }

    pub const fn should(section: &'static str, sentence: &'static str) -> Self {
        Self { level: Level::Should, section, sentence }
    }

    /// `who` relies on `what`.
    pub const fn contract(who: &'static str, what: &'static str) -> Self {
        Self { level: Level::Contract, section: who, sentence: what }
    }

    /// A case of this sentence that has stood since 1.0.
    pub fn case(self, name: impl Into<String>, judge: impl Fn(&Bench) -> Verdict + Send + Sync + 'static) -> Case {
        self.since(0, name, judge)
    }

    /// A case of this sentence that came with release `1.minor`.
    pub fn since(self, minor: u32, name: impl Into<String>, judge: impl Fn(&Bench) -> Verdict + Send + Sync + 'static) -> Case {
        Case {
            name: name.into(),
            level: self.level,
            since: Release(minor),
            clause: self.section,
            sentence: self.sentence,
            judge: Box::new(judge),
        }
    }
}

/// The last sentence of config.md, which gives every wrong value its verdict.
pub const VALID_VALUES: Clause = Clause::must(
    "config.md, Valid values",
    "Runtimes MUST generate an error when invalid or unsupported values are encountered.",
);

/// Fails with a text unless a condition holds.
pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Stop::Fail(otherwise())) }
}

/// Fails unless what was seen is what was expected.
pub fn expect(what: &str, seen: &Value, expected: &Value) -> Verdict {
    ensure(seen == expected, || format!("{what} is {seen}, expected {expected}"))
}

/// A skip with its reason, for `return Err(skip(…))`.
pub fn skip(why: impl Into<String>) -> Stop {
    Stop::Skip(why.into())
}

/// A failure with its reason, for `return Err(fail(…))`.
pub fn fail(why: impl Into<String>) -> Stop {
    Stop::Fail(why.into())
}
