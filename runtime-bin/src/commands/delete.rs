//! `wolffia delete`: remove a container.

use super::{Subcommand, selection};
use crate::cli::Global;
use crate::report::ExitCode;
use clap::Args;

#[derive(Debug, Args)]
pub struct Delete {
    /// Kill it first; one that does not exist is no error
    #[arg(long, short)]
    force: bool,
    /// ID is a regular expression: every container whose id it finds a part of
    #[arg(long, short)]
    regex: bool,
    /// Id of the container
    #[arg(value_name = "ID")]
    id: String,
}

impl Subcommand for Delete {
    const NAME: &'static str = "delete";
    const ABOUT: &'static str = "Remove a container that has stopped";

    fn act(self, global: &Global) -> anyhow::Result<ExitCode> {
        let runtime = global.runtime()?;
        let delete = |id: &str| match self.force {
            true => runtime.force_delete(id).map(drop),
            false => runtime.container(id)?.delete(false),
        };
        if self.regex {
            selection::each(&runtime, &self.id, delete)?;
        } else {
            delete(&self.id)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
