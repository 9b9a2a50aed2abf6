//! `wolffia kill`: send a signal to a container.

use super::{Subcommand, selection};
use crate::cli::Global;
use crate::report::ExitCode;
use anyhow::anyhow;
use clap::Args;

#[derive(Debug, Args)]
pub struct Kill {
    /// Send it to every process of the container
    #[arg(long, short)]
    all: bool,
    /// ID is a regular expression: every container whose id it finds a part of
    #[arg(long, short)]
    regex: bool,
    /// Id of the container
    #[arg(value_name = "ID")]
    id: String,
    /// Number or name: 9, KILL or SIGKILL
    #[arg(value_name = "SIGNAL", default_value = "SIGTERM", allow_hyphen_values = true)]
    signal: String,
}

impl Subcommand for Kill {
    const NAME: &'static str = "kill";
    const ABOUT: &'static str = "Send a signal to a container";

    fn act(self, global: &Global) -> anyhow::Result<ExitCode> {
        let signal = wolffia::sys::signals::number(&self.signal).ok_or_else(|| anyhow!("unknown signal {:?}", self.signal))?;
        let runtime = global.runtime()?;
        let send = |id: &str| {
            let container = runtime.container(id)?;
            if self.all { container.kill_all(signal) } else { container.kill(signal) }
        };
        if self.regex {
            selection::each(&runtime, &self.id, send)?;
        } else {
            send(&self.id)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
