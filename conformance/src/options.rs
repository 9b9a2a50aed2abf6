//! The suite's own command line.

use clap::{Parser, ValueEnum};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

/// Judge an OCI runtime by its command line
#[derive(Debug, Parser)]
#[command(version)]
pub struct Options {
    /// The runtime to judge: a name to find in PATH, or a path
    #[arg(long, required_unless_present_any = ["list", "compare"])]
    pub runtime: Option<String>,
    /// A global argument for the runtime, before the subcommand (repeatable)
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub runtime_arg: Vec<String>,
    /// The payload to put into containers [default: wolffia-payload beside this program]
    #[arg(long, value_name = "FILE")]
    pub payload: Option<PathBuf>,
    /// Run the runtime as this unprivileged user, every container in a user namespace
    #[arg(long, value_name = "UID")]
    pub as_user: Option<u32>,
    /// What the runtime sees at /sys/fs/cgroup
    #[arg(long, value_enum, default_value_t = View::AsIs)]
    pub view: View,
    /// Judge only cases whose name contains this (repeatable)
    #[arg(long, value_name = "TEXT")]
    pub filter: Vec<String>,
    /// How many cases to judge at once
    #[arg(long, default_value_t = 2)]
    pub jobs: usize,
    /// List the cases with the sentences they judge, and stop
    #[arg(long)]
    pub list: bool,
    /// Write the results to this file as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Known failures that do not change the exit status, and what --compare says of them: lines of `case.name reason`
    #[arg(long, value_name = "FILE")]
    pub allow: Option<PathBuf>,
    /// Print the differences between result files as a Markdown table, and stop
    #[arg(long, value_name = "JSON", num_args = 1..)]
    pub compare: Vec<PathBuf>,
    /// Judge one case in this process and print its outcome: what the runner starts for every case
    #[arg(long, hide = true, value_name = "CASE")]
    pub worker: Option<String>,
}

/// A private look at the cgroup file systems: a mount namespace of this suite, so that nothing on the host changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum View {
    /// As the host mounts them
    AsIs,
    /// Only version 1: the unified hierarchy of a hybrid host shows no controllers
    V1,
    /// Only version 2, mounted over everything else
    V2,
}

impl View {
    /// The word that the option takes, for reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::AsIs => "as-is",
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

impl Options {
    /// Whether the filters let a case through; no filter lets all through.
    pub fn selects(&self, name: &str) -> bool {
        self.filter.is_empty() || self.filter.iter().any(|text| name.contains(text.as_str()))
    }

    /// The names in the allow file, each with the reason that must stand behind it.
    pub fn allowed(&self) -> io::Result<HashMap<String, String>> {
        let Some(path) = &self.allow else { return Ok(HashMap::new()) };
        let text = std::fs::read_to_string(path)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines
            .map(|line| match line.split_once(char::is_whitespace) {
                Some((name, reason)) => Ok((name.to_owned(), reason.trim().to_owned())),
                None => Err(io::Error::other(format!("{}: {line}: a reason must follow the name", path.display()))),
            })
            .collect()
    }
}
