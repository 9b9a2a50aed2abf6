//! `wolffia start`: let the program of a created container run.

use super::Subcommand;
use crate::cli::Global;
use crate::report::ExitCode;
use clap::Args;

#[derive(Debug, Args)]
pub struct Start {
    /// Id of the container
    #[arg(value_name = "ID")]
    id: String,
}

impl Subcommand for Start {
    const NAME: &'static str = "start";
    const ABOUT: &'static str = "Let the program of a created container run";

    fn act(self, global: &Global) -> anyhow::Result<ExitCode> {
        global.runtime()?.container(&self.id)?.start()?;
        Ok(ExitCode::SUCCESS)
    }
}
