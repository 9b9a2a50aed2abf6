//! `wolffia pause` and `wolffia resume`.

use super::Subcommand;
use crate::cli::Global;
use crate::report::ExitCode;
use clap::Args;

#[derive(Debug, Args)]
pub struct Pause {
    /// Id of the container
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Debug, Args)]
pub struct Resume {
    /// Id of the container
    #[arg(value_name = "ID")]
    id: String,
}

impl Subcommand for Pause {
    const NAME: &'static str = "pause";
    const ABOUT: &'static str = "Freeze every process of a container";

    fn act(self, global: &Global) -> anyhow::Result<ExitCode> {
        global.runtime()?.container(&self.id)?.pause()?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Subcommand for Resume {
    const NAME: &'static str = "resume";
    const ABOUT: &'static str = "Let a paused container go on";

    fn act(self, global: &Global) -> anyhow::Result<ExitCode> {
        global.runtime()?.container(&self.id)?.resume()?;
        Ok(ExitCode::SUCCESS)
    }
}
