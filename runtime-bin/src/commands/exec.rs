//! `wolffia exec`: a further process in a container.

use super::Subcommand;
use super::options::{check_descriptors, listen_fds};
use crate::cli::Global;
use crate::foreground::{self, Foreground};
use crate::report::ExitCode;
use anyhow::{Context, anyhow, bail};
use clap::Args;
use std::path::PathBuf;
use wolffia::{ExecOptions, ExecProcess, Kept, Overrides, Terminal};

#[derive(Debug, Args)]
pub struct Exec {
    /// Unix socket that receives the terminal's master
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// Working directory in the container
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,
    /// Add NAME=value to the environment
    #[arg(long, short, value_name = "ENTRY")]
    env: Vec<String>,
    /// Give the process a terminal
    #[arg(long, short, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    tty: bool,
    /// Numeric user, and group
    #[arg(long, short, value_name = "UID[:GID]")]
    user: Option<String>,
    /// Add a group
    #[arg(long, short = 'g', value_name = "GID")]
    additional_gids: Vec<u32>,
    /// Read the process from this file
    #[arg(long, short, value_name = "FILE")]
    process: Option<PathBuf>,
    /// Return when the process has started
    #[arg(long, short)]
    detach: bool,
    /// File that the process id is written to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Unix socket that receives a pidfd of the process
    #[arg(long, value_name = "SOCKET")]
    pidfd_socket: Option<PathBuf>,
    /// SELinux label of the process
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,
    /// AppArmor profile of the process
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,
    /// Gain no privileges by exec
    #[arg(long)]
    no_new_privs: bool,
    /// Add a capability to the bounding, effective and permitted sets
    #[arg(long, short, value_name = "CAP")]
    cap: Vec<String>,
    /// Hand this many descriptors, from 3 on, to the process
    #[arg(long, value_name = "N", default_value_t = 0)]
    preserve_fds: u32,
    /// Enter this cgroup below the container's own; [CONTROLLER[,CONTROLLER]:]PATH on hosts with cgroup 1
    #[arg(long, value_name = "PATH")]
    cgroup: Vec<String>,
    /// Run in a paused container too
    #[arg(long)]
    ignore_paused: bool,
    /// Id of the container, then the program and its arguments
    #[arg(value_name = "ID [PROGRAM ARG…]", trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    words: Vec<String>,
}

impl Subcommand for Exec {
    const NAME: &'static str = "exec";
    const ABOUT: &'static str = "Run a process in a container that runs";

    fn act(self, global: &Global) -> anyhow::Result<ExitCode> {
        let kept = foreground::keep()?;
        let Some(id) = self.words.first().cloned() else { bail!("\"exec\" requires a minimum of 1 argument") };
        let (detach, options) = (self.detach, self.resolve(&kept)?);
        let container = global.runtime()?.container(&id)?;
        let foreground = if detach { None } else { Some(Foreground::begin()?) };
        let running = container.exec(&options).context("exec failed")?;
        match foreground {
            None => Ok(ExitCode::SUCCESS),
            Some(foreground) => Ok(foreground::exit_code(foreground.attend(&running, kept.take(), None, None)?)),
        }
    }
}

impl Exec {
    fn resolve(self, kept: &Kept) -> anyhow::Result<ExecOptions> {
        let listen_fds = listen_fds();
        check_descriptors(listen_fds, self.preserve_fds)?;
        let process = self.read_process()?;
        let wants_terminal = match &process {
            ExecProcess::Given(given) => given.process.terminal().unwrap_or(false),
            ExecProcess::Derived(overrides) => overrides.terminal,
        };
        let terminal = match self.console_socket {
            Some(socket) => Terminal::Socket(socket),
            None if wants_terminal && !self.detach => Terminal::Kept(kept.clone()),
            None => Terminal::None,
        };
        Ok(ExecOptions {
            process,
            terminal,
            pid_file: self.pid_file,
            pidfd_socket: self.pidfd_socket,
            preserve_fds: self.preserve_fds,
            listen_fds,
            ignore_paused: self.ignore_paused,
            cgroups: self.cgroup,
        })
    }

    fn read_process(&self) -> anyhow::Result<ExecProcess> {
        if let Some(path) = &self.process {
            let text = wolffia::read_document(path).with_context(|| format!("cannot read {}", path.display()))?;
            let process = wolffia::spec::ProcessConfig::parse(&text).with_context(|| format!("{}", path.display()))?;
            return Ok(ExecProcess::Given(Box::new(process)));
        }
        let args = self.words.get(1..).unwrap_or_default().to_vec();
        if args.is_empty() {
            bail!("process args cannot be empty");
        }
        Ok(ExecProcess::Derived(Overrides {
            args,
            cwd: self.cwd.clone(),
            env: self.env.clone(),
            user: self.user.as_deref().map(user).transpose()?,
            additional_gids: self.additional_gids.clone(),
            terminal: self.tty,
            capabilities: self.cap.clone(),
            no_new_privileges: self.no_new_privs.then_some(true),
            apparmor: self.apparmor.clone(),
            process_label: self.process_label.clone(),
        }))
    }
}

/// Numbers only, all of them, and in range: a half-read number once meant root (CVE-2026-30892).
fn user(text: &str) -> anyhow::Result<(u32, Option<u32>)> {
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        // The last number means "no change" to the kernel.
        let value = if digits { part.parse::<u32>().ok().filter(|value| *value != u32::MAX) } else { None };
        value.ok_or_else(|| anyhow!("--user {text:?} is not UID or UID:GID, in decimal numbers below 4294967295"))
    };
    match text.split_once(':') {
        None => Ok((number(text)?, None)),
        Some((uid, gid)) => Ok((number(uid)?, Some(number(gid)?))),
    }
}

#[cfg(test)]
mod tests {
    use super::user;

    #[test]
    fn only_whole_numbers_are_users() {
        assert_eq!(user("1").unwrap(), (1, None));
        assert_eq!(user("1000:0").unwrap(), (1000, Some(0)));
        for wrong in ["", ":", "1:", ":2", "0x1", "+1", "-1", "1a", " 1", "4294967295", "4294967296", "root", "1:2:3"] {
            assert!(user(wrong).is_err(), "{wrong:?}");
        }
    }
}
