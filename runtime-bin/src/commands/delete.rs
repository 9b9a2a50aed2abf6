//! `wolffia delete`: remove a container.

use super::Subcommand;
use crate::cli::Global;
use clap::Args;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Delete {
    /// Kill it first; one that does not exist is no error
    #[arg(long, short)]
    force: bool,
    /// Id of the container
    #[arg(value_name = "ID")]
    id: String,
}

impl Subcommand for Delete {
    const NAME: &'static str = "delete";
    const ABOUT: &'static str = "Remove a container that has stopped";

    fn act(self, global: &Global) -> anyhow::Result<ExitCode> {
        let runtime = global.runtime()?;
        if self.force {
            runtime.force_delete(&self.id)?;
        } else {
            runtime.container(&self.id)?.delete(false)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
