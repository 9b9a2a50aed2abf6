//! `wolffia restore`: a container of what `checkpoint` has saved.

use super::Subcommand;
use super::options::CriuArgs;
use crate::cli::Global;
use crate::foreground::{self, Foreground};
use crate::report::ExitCode;
use clap::Args;
use std::path::PathBuf;
use wolffia::{Bundle, CreateOptions, RestoreOptions, Terminal};

#[derive(Debug, Args)]
pub struct Restore {
    #[command(flatten)]
    criu: CriuArgs,
    /// Directory of the bundle
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// Unix socket that receives the terminal's master
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// File that the process id is written to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Return when the container goes on
    #[arg(long, short)]
    detach: bool,
    /// Accepted for runc's callers; wolffia adopts no orphans
    #[arg(long, hide = true)]
    no_subreaper: bool,
    /// Accepted for runc's callers; CRIU switches the root
    #[arg(long, hide = true)]
    no_pivot: bool,
    /// AppArmor profile or SELinux label instead of the saved one: apparmor:NAME or selinux:LABEL
    #[arg(long, value_name = "TYPE:NAME")]
    lsm_profile: Option<String>,
    /// SELinux context of mounts instead of the saved one
    #[arg(long, value_name = "CONTEXT")]
    lsm_mount_context: Option<String>,
    /// Id of the container
    #[arg(value_name = "ID")]
    id: String,
}

impl Subcommand for Restore {
    const NAME: &'static str = "restore";
    const ABOUT: &'static str = "Make a container of what checkpoint has saved";

    fn act(self, global: &Global) -> anyhow::Result<ExitCode> {
        let criu = self.criu.resolve()?;
        let kept = foreground::keep()?;
        let bundle = Bundle::load(&self.bundle)?;
        let has_terminal = bundle.config.spec.process().as_ref().is_some_and(|process| process.terminal().unwrap_or(false));
        let terminal = match self.console_socket {
            Some(socket) => Terminal::Socket(socket),
            None if has_terminal && !self.detach => Terminal::Kept(kept.clone()),
            None => Terminal::None,
        };
        let options = CreateOptions { terminal, pid_file: self.pid_file, ..CreateOptions::default() };
        let how = RestoreOptions { criu, lsm_profile: self.lsm_profile, lsm_mount_context: self.lsm_mount_context };
        let runtime = global.runtime()?;
        if self.detach {
            runtime.restore(&self.id, &bundle, &options, &how)?;
            return Ok(ExitCode::SUCCESS);
        }
        let foreground = Foreground::begin()?;
        let (container, running) = runtime.restore(&self.id, &bundle, &options, &how)?;
        let status = foreground.attend(&running, kept.take(), None, Some(&container.remains()))?;
        container.delete(true)?;
        Ok(foreground::exit_code(status))
    }
}
