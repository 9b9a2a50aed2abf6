//! `wolffia features`: what this build can do.

use super::Subcommand;
use crate::cli::Global;
use clap::Args;
use std::collections::BTreeMap;
use std::process::ExitCode;
use wolffia::spec::documents::{self, Support};

#[derive(Debug, Args)]
pub struct Features {}

impl Subcommand for Features {
    const NAME: &'static str = "features";
    const ABOUT: &'static str = "Print what this runtime supports as JSON";

    fn act(self, _: &Global) -> anyhow::Result<ExitCode> {
        let support = Support {
            mount_options: wolffia::mount_option_names().into_iter().map(str::to_owned).collect(),
            capabilities: (0..64).filter_map(wolffia::sys::caps::name).collect(),
            annotations: BTreeMap::from([("io.wolffia.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]),
        };
        crate::report::print(&format!("{}\n", serde_json::to_string_pretty(&documents::Features::of(support))?));
        Ok(ExitCode::SUCCESS)
    }
}
