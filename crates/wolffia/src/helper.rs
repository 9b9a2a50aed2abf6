//! The helper-process way: for programs with threads, which the kernel lets make no container.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Runs the `wolffia` program for operations that have to fork. Everything else works in the calling process.
#[derive(Debug, Clone)]
pub struct Helper {
    program: PathBuf,
    root: PathBuf,
}

impl Helper {
    /// `program` is the `wolffia` binary, `root` the directory of containers, as for [`crate::Runtime`].
    pub fn new(program: impl Into<PathBuf>, root: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), root: root.into() }
    }

    /// Makes a container from the bundle; it waits for [`crate::Container::start`].
    pub fn create(&self, id: &str, bundle: &Path) -> Result<()> {
        self.call(|command| command.arg("create").arg("--bundle").arg(bundle).arg(id)).map(drop)
    }

    /// Makes a container from the bundle and starts it.
    pub fn run_detached(&self, id: &str, bundle: &Path) -> Result<()> {
        self.call(|command| command.args(["run", "--detach", "--bundle"]).arg(bundle).arg(id)).map(drop)
    }

    /// Runs a command in the container and waits for it.
    pub fn exec(&self, id: &str, args: &[&str]) -> Result<Output> {
        let mut command = self.command();
        command.arg("exec").arg(id).args(args);
        command.output().map_err(|source| self.failed(source))
    }

    fn call(&self, with: impl FnOnce(&mut Command) -> &mut Command) -> Result<Output> {
        let mut command = self.command();
        // The container inherits the standard output; only the helper's own words are read here, from its log.
        with(&mut command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| self.failed(source))?;
        let status = child.wait().map_err(|source| self.failed(source))?;
        let mut message = Vec::new();
        if !status.success() {
            let mut stderr = child.stderr.take();
            if let Some(stream) = stderr.as_mut() {
                std::io::Read::read_to_end(stream, &mut message).map_err(|source| self.failed(source))?;
            }
            let message = String::from_utf8_lossy(&message).trim().to_owned();
            return Err(Error::Helper { message, status: status.code() });
        }
        Ok(Output { status, stdout: Vec::new(), stderr: message })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.root);
        command
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::File { act: "run", path: self.program.clone(), source }
    }
}
