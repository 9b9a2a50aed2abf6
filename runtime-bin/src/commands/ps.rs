//! `wolffia ps`: the processes of a container.

use super::Subcommand;
use crate::cli::Global;
use crate::report::ExitCode;
use anyhow::{Context, bail};
use clap::Args;
use std::process::Command;

#[derive(Debug, Args)]
pub struct Ps {
    /// table or json
    #[arg(long, short, default_value = "table", value_name = "FORMAT")]
    format: String,
    /// Id of the container, then options of the host's ps (default: -ef)
    #[arg(value_name = "ID [OPTION]", trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    words: Vec<String>,
}

impl Subcommand for Ps {
    const NAME: &'static str = "ps";
    const ABOUT: &'static str = "Show the processes of a container";

    fn act(self, global: &Global) -> anyhow::Result<ExitCode> {
        let Some((id, options)) = self.words.split_first() else { bail!("\"ps\" requires the id of a container") };
        let processes: Vec<i32> = global.runtime()?.container(id)?.processes()?.iter().map(|pid| pid.get()).collect();
        match self.format.as_str() {
            "json" => crate::report::print(&serde_json::to_string(&processes)?),
            "table" => crate::report::print(&table(&processes, options)?),
            other => bail!("invalid format option {other:?}: table or json"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The lines of the host's ps that speak of the container's processes.
fn table(processes: &[i32], options: &[String]) -> anyhow::Result<String> {
    let default = ["-ef".to_owned()];
    let options = if options.is_empty() { &default } else { options };
    let output = Command::new("ps").args(options).output().context("cannot run ps of the host: install procps")?;
    if !output.status.success() {
        bail!("ps: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let column = head.split_whitespace().position(|name| name == "PID");
    let Some(column) = column else { bail!("couldn't find PID field in ps output") };
    let is_ours = |line: &&str| {
        line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok()).is_some_and(|pid| processes.contains(&pid))
    };
    Ok(std::iter::once(head).chain(lines.filter(is_ours)).map(|line| format!("{line}\n")).collect())
}
