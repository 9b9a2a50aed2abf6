//! `wolffia features`: what this build can do.

use super::Subcommand;
use crate::cli::Global;
use crate::report::ExitCode;
use clap::Args;
use std::collections::BTreeMap;
use wolffia::spec::documents::{self, SECCOMP_FLAGS, Support};
use wolffia::sys::{landlock, seccomp};

#[derive(Debug, Args)]
pub struct Features {}

impl Subcommand for Features {
    const NAME: &'static str = "features";
    const ABOUT: &'static str = "Print what this runtime supports as JSON";

    fn act(self, _: &Global) -> anyhow::Result<ExitCode> {
        let support = Support {
            mount_options: wolffia::mount_option_names().into_iter().map(str::to_owned).collect(),
            capabilities: (0..64).filter_map(wolffia::sys::caps::name).collect(),
            seccomp_flags: seccomp_flags(),
            annotations: BTreeMap::from([
                ("io.wolffia.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
                // runc's name, by which callers know that `checkpoint` and `restore` are there.
                ("org.opencontainers.runc.checkpoint.enabled".to_owned(), "true".to_owned()),
                // The specification has no place for it yet; 0 for none.
                ("io.wolffia.landlock.abi".to_owned(), landlock::abi().to_string()),
            ]),
        };
        crate::report::print(&format!("{}\n", serde_json::to_string_pretty(&documents::Features::of(support))?));
        Ok(ExitCode::SUCCESS)
    }
}

fn seccomp_flags() -> Vec<String> {
    let is_supported = |name: &&str| match *name {
        "SECCOMP_FILTER_FLAG_TSYNC" => seccomp::is_flag_known(1),
        "SECCOMP_FILTER_FLAG_LOG" => seccomp::is_flag_known(1 << 1),
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => seccomp::is_flag_known(1 << 2),
        // The kernel takes it beside a listener only.
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => seccomp::is_flag_known(1 << 3 | 1 << 5),
        _ => false,
    };
    SECCOMP_FLAGS.iter().filter(|name| is_supported(name)).map(|name| (*name).to_owned()).collect()
}
