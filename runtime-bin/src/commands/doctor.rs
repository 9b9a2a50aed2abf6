//! `wolffia doctor`: what this host and user can do, and how to mend what they cannot.

use super::Subcommand;
use crate::cli::Global;
use crate::report::ExitCode;
use clap::Args;
use wolffia::doctor;

#[derive(Debug, Args)]
pub struct Doctor {
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Subcommand for Doctor {
    const NAME: &'static str = "doctor";
    const ABOUT: &'static str = "Tell what this host and user can do, and how to mend what they cannot";

    fn act(self, _: &Global) -> anyhow::Result<ExitCode> {
        let findings = doctor::examine();
        let text = if self.json { format!("{}\n", serde_json::to_string_pretty(&findings)?) } else { doctor::render(&findings) };
        crate::report::print(&text);
        Ok(ExitCode::SUCCESS)
    }
}
