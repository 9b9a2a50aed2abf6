//! `wolffia run`: create and start, and wait unless detached.

use super::Subcommand;
use super::options::MakeOptions;
use crate::cli::Global;
use crate::foreground::{self, Foreground};
use crate::report::ExitCode;
use clap::Args;
use std::os::fd::AsFd;

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    make: MakeOptions,
    /// Return when the program has started
    #[arg(long, short)]
    detach: bool,
    /// Leave the container's state when it has ended
    #[arg(long)]
    keep: bool,
    /// Accepted for runc's callers; wolffia adopts no orphans
    #[arg(long, hide = true)]
    no_subreaper: bool,
}

impl Subcommand for Run {
    const NAME: &'static str = "run";
    const ABOUT: &'static str = "Make a container and run its program";

    fn act(self, global: &Global) -> anyhow::Result<ExitCode> {
        let kept = foreground::keep()?;
        let bundle = self.make.load()?;
        let has_terminal = bundle.config.spec.process().as_ref().is_some_and(|process| process.terminal().unwrap_or(false));
        let keep = has_terminal && !self.detach && self.make.console_socket.is_none();
        let options = self.make.resolve(keep.then_some(&kept))?;
        let runtime = global.runtime()?;
        if self.detach {
            let (mut container, running) = runtime.run(&self.make.id, &bundle, &options)?;
            if let Some(readiness) = container.take_readiness() {
                foreground::told(readiness.forward(running.pidfd.as_fd(), running.pid).map(|()| true));
            }
            return Ok(ExitCode::SUCCESS);
        }
        let foreground = Foreground::begin()?;
        let (mut container, running) = runtime.run(&self.make.id, &bundle, &options)?;
        let readiness = container.take_readiness();
        let status = foreground.attend(&running, kept.take(), readiness, (!self.keep).then(|| container.remains()).as_ref())?;
        if !self.keep {
            container.delete(true)?;
        }
        Ok(foreground::exit_code(status))
    }
}
