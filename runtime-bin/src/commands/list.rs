//! `wolffia list`: all containers.

use super::Subcommand;
use crate::cli::Global;
use crate::report::ExitCode;
use anyhow::bail;
use clap::Args;
use wolffia::spec::documents::StateReport;

#[derive(Debug, Args)]
pub struct List {
    /// table or json
    #[arg(long, short, default_value = "table", value_name = "FORMAT")]
    format: String,
    /// Ids only
    #[arg(long, short)]
    quiet: bool,
}

impl Subcommand for List {
    const NAME: &'static str = "list";
    const ABOUT: &'static str = "List containers";

    fn act(self, global: &Global) -> anyhow::Result<ExitCode> {
        let runtime = global.runtime()?;
        if global.root.is_some() && !runtime.root().is_dir() {
            bail!("{}: no such directory of containers", runtime.root().display());
        }
        let ids = runtime.list()?;
        if self.quiet {
            let lines: String = ids.iter().map(|id| format!("{id}\n")).collect();
            crate::report::print(&lines);
            return Ok(ExitCode::SUCCESS);
        }
        let mut reports = Vec::new();
        for id in &ids {
            match runtime.container(id.as_str()).and_then(|container| container.state()) {
                Ok(report) => reports.push(report),
                // Deleted since the directory was read, or still being made.
                Err(error) if error.is_not_found() => {}
                Err(error) => crate::log::warning(&format!("{id}: {error}")),
            }
        }
        match self.format.as_str() {
            "table" => crate::report::print(&table(&reports)),
            // runc prints null for none, and its callers read that.
            "json" if reports.is_empty() => crate::report::print("null"),
            "json" => crate::report::print(&serde_json::to_string(&reports)?),
            other => bail!("invalid format option {other:?}: table or json"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(reports: &[StateReport]) -> String {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows = reports.iter().map(|report| {
        let status = serde_json::to_value(report.status).ok().and_then(|status| status.as_str().map(str::to_owned));
        [
            report.id.clone(),
            report.pid.to_string(),
            status.unwrap_or_default(),
            report.bundle.display().to_string(),
            report.created.clone(),
            report.owner.clone(),
        ]
    });
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0).max(9) + 3;
    let widths: Vec<usize> = (0..6).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.trim_end())
    };
    rows.iter().map(line).collect()
}
