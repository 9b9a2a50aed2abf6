//! `wolffia create`: make a container that waits for start.

use super::Subcommand;
use super::options::MakeOptions;
use crate::cli::Global;
use crate::report::ExitCode;
use clap::Args;

#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    make: MakeOptions,
    /// Accepted for crun's callers; has no effect
    #[arg(long, hide = true)]
    no_subreaper: bool,
}

impl Subcommand for Create {
    const NAME: &'static str = "create";
    const ABOUT: &'static str = "Make a container; `start` lets its program run";

    fn act(self, global: &Global) -> anyhow::Result<ExitCode> {
        let options = self.make.resolve(None)?;
        global.runtime()?.create(&self.make.id, &self.make.load()?, &options)?;
        Ok(ExitCode::SUCCESS)
    }
}
