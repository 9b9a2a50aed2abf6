//! `wolffia plan`: what would be done, step by step, without doing it.

use super::Subcommand;
use super::options::MakeOptions;
use crate::cli::Global;
use crate::report::ExitCode;
use clap::Args;

#[derive(Debug, Args)]
pub struct Plan {
    #[command(flatten)]
    make: MakeOptions,
    /// The whole plan as JSON
    #[arg(long)]
    json: bool,
}

impl Subcommand for Plan {
    const NAME: &'static str = "plan";
    const ABOUT: &'static str = "Print what create and start would do, step by step, without doing it";

    fn act(self, global: &Global) -> anyhow::Result<ExitCode> {
        let bundle = self.make.load()?;
        let (plan, _) = global.runtime()?.plan(&self.make.id, &bundle, &self.make.resolve(None)?)?;
        crate::report::print(&if self.json { format!("{}\n", serde_json::to_string_pretty(&plan)?) } else { text(&plan) });
        Ok(ExitCode::SUCCESS)
    }
}

fn text(plan: &wolffia::Plan) -> String {
    let steps = plan.outline().into_iter().map(|line| format!("{:<24} {}\n", line.step, line.text));
    let missing = plan.recorded.iter().map(|missing| format!("not enforced: {}: {}\n", missing.field, missing.reason));
    steps.chain(missing).collect()
}
