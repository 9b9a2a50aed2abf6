//! Who takes part: the floor program and runtimes, and how each is called.

use crate::bundle::Payload;
use crate::stage::Caller;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is measured of everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Act {
    Run,
    Create,
    State,
    Start,
    Exec,
    Kill,
    Delete,
}

pub const ACTS: [Act; 7] = [Act::Run, Act::Create, Act::Start, Act::State, Act::Exec, Act::Kill, Act::Delete];

impl Act {
    pub fn word(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Create => "create",
            Self::State => "state",
            Self::Start => "start",
            Self::Exec => "exec",
            Self::Kill => "kill",
            Self::Delete => "delete",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Contestant {
    pub name: String,
    pub program: PathBuf,
    pub version: String,
    pub is_floor: bool,
}

/// One container in the making: what a call of any act needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Case<'stage> {
    pub caller: &'stage Caller,
    pub rootfs: &'stage Path,
    pub bundle: &'stage Path,
    pub filter: bool,
    pub payload: Payload,
    pub id: &'stage str,
}

impl Contestant {
    pub fn floor() -> io::Result<Self> {
        let program = std::env::current_exe()?.with_file_name("wolffia-floor");
        if !program.is_file() {
            return Err(io::Error::other(format!("{} is missing: build the whole package", program.display())));
        }
        Ok(Self { name: "floor".to_owned(), program, version: String::new(), is_floor: true })
    }

    /// From `[NAME=]PROGRAM`.
    pub fn runtime(text: &str) -> io::Result<Self> {
        let (name, program) = match text.split_once('=') {
            Some((name, program)) => (Some(name.to_owned()), program),
            None => (None, text),
        };
        let program = find(program)?;
        let output = Command::new(&program).arg("--version").output()?;
        let version = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().trim().to_owned();
        let name = name.unwrap_or_else(|| version.replace(" version", ""));
        Ok(Self { name, program, version, is_floor: false })
    }

    /// The state directory of this contestant and caller.
    pub fn state(&self, caller: &Caller) -> PathBuf {
        caller.folder.join(format!("state-{}", self.name.replace([' ', '/'], "-")))
    }

    pub fn pid_file(case: &Case) -> PathBuf {
        case.caller.folder.join("pid")
    }

    /// The command line of an act, the program first.
    pub fn command(&self, act: Act, case: &Case) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![self.program.clone().into()];
        if self.is_floor {
            words.push(act.word().into());
            words.extend(self.floor_words(case));
            return words;
        }
        words.extend(["--root".into(), self.state(case.caller).into(), act.word().into()]);
        match act {
            Act::Run => words.extend(["--bundle".into(), case.bundle.into()]),
            Act::Create => {
                words.extend(["--bundle".into(), case.bundle.into(), "--pid-file".into(), Self::pid_file(case).into()])
            }
            Act::State | Act::Start | Act::Exec | Act::Kill | Act::Delete => {}
        }
        words.push(case.id.into());
        match act {
            Act::Exec => words.extend(["/true".into(), Payload::True.word().into()]),
            Act::Kill => words.push("KILL".into()),
            _ => {}
        }
        words
    }

    fn floor_words(&self, case: &Case) -> Vec<OsString> {
        let caller = case.caller;
        vec![
            caller.who.word().into(),
            if case.filter { "filter" } else { "plain" }.into(),
            case.rootfs.into(),
            self.state(caller).into(),
            caller.cgroups.clone().unwrap_or_default().into(),
            case.id.into(),
            caller.uid.to_string().into(),
            caller.first.to_string().into(),
            caller.count.to_string().into(),
            case.payload.word().into(),
        ]
    }

    /// The process id of a created container's first process.
    pub fn pid(&self, case: &Case) -> io::Result<i32> {
        let file = if self.is_floor { self.state(case.caller).join(case.id).join("pid") } else { Self::pid_file(case) };
        let text = std::fs::read_to_string(&file)?;
        text.trim().parse().map_err(|_| io::Error::other(format!("{}: {text:?} is no process id", file.display())))
    }
}

fn find(name: &str) -> io::Result<PathBuf> {
    if name.contains('/') {
        return std::fs::canonicalize(name).map_err(|error| io::Error::other(format!("{name}: {error}")));
    }
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin"])
        .map(|folder| Path::new(folder).join(name))
        .find(|program| program.is_file())
        .ok_or_else(|| io::Error::other(format!("{name}: not found in PATH")))
}
