//! Running a program: with bounded time, and with its output in files, because a container that goes on would hold a pipe open.

use crate::processes;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// No call of the runtime takes this long.
const LIMIT: Duration = Duration::from_secs(60);

/// A program with its arguments, to be run.
#[derive(Debug)]
pub struct Call {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    directory: Option<PathBuf>,
    stdin: Option<PathBuf>,
    /// Without its extension: the output goes to PATH.out and PATH.err.
    output: PathBuf,
    limit: Duration,
}

impl Call {
    pub fn new(program: impl AsRef<OsStr>, output: PathBuf) -> Self {
        let program = program.as_ref().to_owned();
        Self { program, args: Vec::new(), env: Vec::new(), directory: None, stdin: None, output, limit: LIMIT }
    }

    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    #[must_use]
    pub fn args<T: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), Some(value.as_ref().to_owned())));
        self
    }

    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.env.push((name.into(), None));
        self
    }

    #[must_use]
    pub fn in_directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// What the program reads from its standard input; without it there is nothing to read.
    #[must_use]
    pub fn stdin(mut self, text: &str) -> Self {
        let path = self.output.with_extension("in");
        std::fs::write(&path, text).unwrap();
        self.stdin = Some(path);
        self
    }

    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it by a script of the shell, which says `exec "$@"`: for descriptors, limits and masks that it inherits.
    #[must_use]
    pub fn by_shell(mut self, script: &str) -> Self {
        let program = std::mem::replace(&mut self.program, "sh".into());
        let args = std::mem::take(&mut self.args);
        self.args = ["-c", script, "sh"].map(OsString::from).into_iter().chain([program]).chain(args).collect();
        self
    }

    /// Starts it and waits for its end.
    pub fn run(self) -> Outcome {
        let limit = self.limit;
        self.spawn().wait(limit)
    }

    pub fn spawn(self) -> Process {
        let file = |extension: &str| File::create(self.output.with_extension(extension)).unwrap();
        let (out, err) = (file("out"), file("err"));
        self.spawn_with(out.into(), err.into())
    }

    /// With other streams than files; `Outcome` then has no output.
    pub fn spawn_with(self, out: Stdio, err: Stdio) -> Process {
        let stdin = self.stdin.as_ref().map_or_else(Stdio::null, |path| File::open(path).unwrap().into());
        self.spawn_on(stdin, out, err)
    }

    /// With all three streams given.
    pub fn spawn_on(self, stdin: Stdio, out: Stdio, err: Stdio) -> Process {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(stdin).stdout(out).stderr(err);
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let line = format!("{command:?}");
        let child = processes::spawn_own(&mut command).unwrap_or_else(|error| panic!("{line}: {error}"));
        Process { child, line, output: self.output }
    }
}

/// A program that runs.
#[derive(Debug)]
pub struct Process {
    child: Child,
    line: String,
    output: PathBuf,
}

impl Process {
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid()).unwrap(), signal).unwrap();
    }

    /// What it has written to its standard output so far.
    pub fn stdout(&self) -> String {
        read(&self.output.with_extension("out"))
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end. Fails if it does not come in time.
    pub fn wait(mut self, limit: Duration) -> Outcome {
        let ended = processes::wait_until(limit, || self.has_ended());
        let stdout = self.stdout();
        let stderr = read(&self.output.with_extension("err"));
        if !ended {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
            panic!("no end after {limit:?}: {}\nstdout: {stdout}\nstderr: {stderr}", self.line);
        }
        let status = self.child.wait().unwrap();
        Outcome { line: self.line, status, stdout, stderr }
    }
}

/// How a program ended.
#[derive(Debug)]
pub struct Outcome {
    line: String,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// The exit status, or 128 and the signal's number.
    pub fn code(&self) -> i32 {
        self.status.code().or_else(|| self.status.signal().map(|signal| 128 + signal)).unwrap()
    }

    /// Asserts success and that nothing was complained about; returns the standard output.
    #[track_caller]
    pub fn succeeds(self) -> String {
        assert!(self.status.success() && self.stderr.is_empty(), "{self}");
        self.stdout
    }

    /// Asserts a status that is the program's own, not the runtime's.
    #[track_caller]
    pub fn ends_with(self, code: i32) -> String {
        assert!(self.code() == code && self.stderr.is_empty(), "expected status {code}: {self}");
        self.stdout
    }

    /// Asserts that the runtime refused, in these words; returns them.
    #[track_caller]
    pub fn fails(self, code: i32, words: &str) -> String {
        assert!(self.code() == code && self.stderr.contains(words), "expected status {code} and {words:?}: {self}");
        self.stderr
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\nended with {}\nstdout: {}\nstderr: {}", self.line, self.status, self.stdout, self.stderr)
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}
