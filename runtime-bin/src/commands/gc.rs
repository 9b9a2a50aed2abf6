//! `wolffia gc`: what dead containers have left.

use super::Subcommand;
use crate::cli::Global;
use crate::report::ExitCode;
use clap::Args;
use wolffia::Death;

#[derive(Debug, Args)]
pub struct Gc {
    /// Only show them
    #[arg(long)]
    dry_run: bool,
}

impl Subcommand for Gc {
    const NAME: &'static str = "gc";
    const ABOUT: &'static str = "Remove what dead containers have left: state and cgroups";

    fn act(self, global: &Global) -> anyhow::Result<ExitCode> {
        let runtime = global.runtime()?;
        let mut left = 0;
        for dead in runtime.leftovers()? {
            let removed = match dead.why {
                _ if self.dry_run => "would be removed".to_owned(),
                Death::Unreadable => {
                    left += 1;
                    format!("kept: look at {}, then delete --force", runtime.root().join(dead.id.as_str()).display())
                }
                Death::Stopped | Death::HalfMade => match runtime.force_delete(dead.id.as_str()) {
                    Ok(_) => "removed".to_owned(),
                    Err(error) => {
                        left += 1;
                        format!("kept: {error}")
                    }
                },
            };
            crate::report::print(&format!("{}: {}, {removed}\n", dead.id, words(dead.why)));
        }
        Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn words(why: Death) -> &'static str {
    match why {
        Death::Stopped => "stopped",
        Death::HalfMade => "its creator was killed",
        Death::Unreadable => "its record cannot be read",
    }
}
