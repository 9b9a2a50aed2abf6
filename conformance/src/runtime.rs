//! The runtime under judgement: its command line, called with an end to every call.

use crate::case::{Release, Stop, Verdict, fail};
use crate::identity::Identity;
use crate::processes::{ended_collecting_orphans, kill};
use rustix::process::Pid;
use serde_json::Value;
use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The longest that one call may take; a case has ten seconds in all.
const CALL_LIMIT: Duration = Duration::from_secs(6);

/// What every call has for its environment besides what a case adds: engines pass little more.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A runtime, who calls it, and where it keeps its state.
#[derive(Debug)]
pub struct Runtime {
    program: PathBuf,
    arguments: Vec<String>,
    who: Identity,
    /// A folder of the case: state and output live in it.
    folder: PathBuf,
    calls: Cell<u32>,
}

/// What a call came to.
#[derive(Debug)]
pub struct Output {
    /// The exit status, or 128 and the signal.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    /// The files behind the two texts: a container created by the call goes on writing there.
    pub stdout_file: PathBuf,
}

/// One call in the making.
#[derive(Debug)]
pub struct Call<'runtime> {
    runtime: &'runtime Runtime,
    global: Vec<String>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    shell: Option<(String, PathBuf)>,
    bare: bool,
}

impl Runtime {
    pub fn new(name: &str, arguments: &[String], who: Identity, folder: &Path) -> io::Result<Self> {
        let program = find(name)?;
        Ok(Self { program, arguments: arguments.to_vec(), who, folder: folder.to_owned(), calls: Cell::new(0) })
    }

    /// Where the runtime keeps its state: the `--root` of every call.
    pub fn root(&self) -> PathBuf {
        self.folder.join("state")
    }

    pub fn call<S: AsRef<str>>(&self, arguments: &[S]) -> Call<'_> {
        let arguments = arguments.iter().map(|word| word.as_ref().to_owned()).collect();
        Call { runtime: self, global: Vec::new(), arguments, environment: Vec::new(), shell: None, bare: false }
    }

    /// The newest release of the specification that the runtime says it knows: by its features document, or by the
    /// `spec:` line of its version text.
    pub fn declares(&self) -> Verdict<Option<String>> {
        let features = self.call(&["features"]).bare().run()?;
        let document: Value = serde_json::from_str(&features.stdout).unwrap_or(Value::Null);
        if let Some(newest) = document["ociVersionMax"].as_str().filter(|text| Release::of(text).is_some()) {
            return Ok(Some(newest.to_owned()));
        }
        let version = self.version()?;
        Ok(version.lines().find_map(|line| line.strip_prefix("spec:")).map(|text| text.trim().to_owned()))
    }

    /// The text of `--version`.
    pub fn version(&self) -> Verdict<String> {
        Ok(self.call(&["--version"]).bare().run()?.stdout)
    }

    /// Deletes every container that the state folder still names.
    pub fn delete_all(&self) -> Verdict {
        let Ok(entries) = fs::read_dir(self.root()) else { return Ok(()) };
        for entry in entries.flatten() {
            if entry.path().is_dir() {
                let id = entry.file_name().to_string_lossy().into_owned();
                self.call(&["delete", "--force", &id]).run()?;
            }
        }
        Ok(())
    }
}

impl Call<'_> {
    /// An argument before the subcommand.
    pub fn global(mut self, argument: impl Into<String>) -> Self {
        self.global.push(argument.into());
        self
    }

    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Calls through `sh -c SCRIPT FILE runtime…`, to hand over descriptors, or the shell's own process id.
    pub fn through_shell(mut self, script: &str, file: &Path) -> Self {
        self.shell = Some((script.to_owned(), file.to_owned()));
        self
    }

    /// Without `--root` and without the operator's own arguments: for calls such as `--version`.
    pub fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    /// Calls, and fails when the runtime does not return in time.
    pub fn run(self) -> Verdict<Output> {
        let runtime = self.runtime;
        let number = runtime.calls.replace(runtime.calls.get() + 1);
        let (out, err) = (runtime.folder.join(format!("{number}.out")), runtime.folder.join(format!("{number}.err")));
        let mut command = self.command();
        command.stdout(append(&out, &runtime.who)?).stderr(append(&err, &runtime.who)?);
        let mut child = command.spawn()?;
        let pid = Pid::from_child(&child);
        if !ended_collecting_orphans(pid, CALL_LIMIT)? {
            kill(pid)?;
            child.wait()?;
            return Err(fail(format!("`{}` did not return within {CALL_LIMIT:?}", self.arguments.join(" "))));
        }
        let status = child.wait()?;
        let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1);
        Ok(Output { code, stdout: read(&out)?, stderr: read(&err)?, stdout_file: out })
    }

    fn command(&self) -> Command {
        let runtime = self.runtime;
        let mut words: Vec<String> = vec![runtime.program.to_string_lossy().into_owned()];
        if !self.bare {
            words.extend(runtime.arguments.iter().cloned());
            words.extend(["--root".to_owned(), runtime.root().to_string_lossy().into_owned()]);
        }
        words.extend(self.global.iter().chain(&self.arguments).cloned());
        let mut command = match &self.shell {
            None => Command::new(&words[0]),
            Some((script, file)) => {
                let mut shell = Command::new("/bin/sh");
                shell.arg("-c").arg(script).arg(file).arg(&words[0]);
                shell
            }
        };
        command.args(&words[1..]).current_dir(&runtime.folder).stdin(Stdio::null()).env_clear().env("PATH", SEARCH_PATH);
        if runtime.who.switch {
            command.uid(runtime.who.uid).gid(runtime.who.gid);
        }
        if !runtime.who.is_root() {
            command.env("XDG_RUNTIME_DIR", &runtime.folder);
        }
        command.envs(self.environment.iter().cloned());
        command
    }
}

impl Output {
    /// The call succeeded, or its failure with what the runtime said.
    pub fn success(self, what: &str) -> Verdict<Self> {
        if self.code == 0 { Ok(self) } else { Err(fail(format!("{what}: exit status {}: {}", self.code, self.said()))) }
    }

    /// The call failed, as it should.
    pub fn failure(self, what: &str) -> Verdict<Self> {
        if self.code != 0 { Ok(self) } else { Err(fail(format!("{what}: succeeded, an error is due"))) }
    }

    /// The end of what the runtime said, on one line.
    pub fn said(&self) -> String {
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let line = text.trim().replace('\n', " | ");
        let from = line.ceil_char_boundary(line.len().saturating_sub(300));
        line[from..].to_owned()
    }

    /// Standard output as one JSON document.
    pub fn json(&self) -> Verdict<Value> {
        serde_json::from_str(&self.stdout)
            .map_err(|error| fail(format!("standard output is not JSON ({error}): {:?}", self.stdout)))
    }

    /// Says one of these texts, whatever its case, on either stream.
    pub fn says(&self, texts: &[&str]) -> Verdict {
        let all = format!("{}\n{}", self.stderr, self.stdout).to_lowercase();
        match texts.iter().any(|text| all.contains(&text.to_lowercase())) {
            true => Ok(()),
            false => Err(fail(format!("says {:?}, without any of {texts:?}", self.said()))),
        }
    }
}

fn find(name: &str) -> io::Result<PathBuf> {
    if name.contains('/') {
        return fs::canonicalize(name).map_err(|error| io::Error::other(format!("--runtime {name}: {error}")));
    }
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(SEARCH_PATH.split(':'))
        .map(|folder| Path::new(folder).join(name))
        .find(|program| program.is_file())
        .ok_or_else(|| io::Error::other(format!("--runtime {name}: not found in PATH")))
}

/// Appending, because a container and the calls that follow may write to one file.
fn append(path: &Path, who: &Identity) -> io::Result<File> {
    let file = File::options().append(true).create(true).open(path)?;
    if who.switch {
        std::os::unix::fs::fchown(&file, Some(who.uid), Some(who.gid))?;
    }
    Ok(file)
}

fn read(path: &Path) -> Result<String, Stop> {
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}
