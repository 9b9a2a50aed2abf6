//! `wolffia state`: the state document of a container.

use super::Subcommand;
use crate::cli::Global;
use crate::report::ExitCode;
use clap::Args;

#[derive(Debug, Args)]
pub struct State {
    /// Id of the container
    #[arg(value_name = "ID")]
    id: String,
}

impl Subcommand for State {
    const NAME: &'static str = "state";
    const ABOUT: &'static str = "Print the state of a container as JSON";

    fn act(self, global: &Global) -> anyhow::Result<ExitCode> {
        let report = global.runtime()?.container(&self.id)?.state()?;
        crate::report::print(&serde_json::to_string_pretty(&report)?);
        Ok(ExitCode::SUCCESS)
    }
}
