//! `wolffia spec`: a configuration to begin with.

use super::Subcommand;
use crate::cli::Global;
use crate::report::ExitCode;
use anyhow::Context;
use clap::Args;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use wolffia::spec::template::{Owner, Template};
use wolffia::sys::{fd, ids};

#[derive(Debug, Args)]
pub struct Spec {
    /// Directory of the bundle
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// Name of the file, relative to the bundle
    #[arg(long, short, value_name = "FILE", default_value = "config.json")]
    file: PathBuf,
    /// For a user without privileges
    #[arg(long)]
    rootless: bool,
    /// With wolffia's own profile of system calls, the one of `sandbox`
    #[arg(long)]
    seccomp: bool,
}

impl Subcommand for Spec {
    const NAME: &'static str = "spec";
    const ABOUT: &'static str = "Write a configuration to begin with";

    fn act(self, _: &Global) -> anyhow::Result<ExitCode> {
        let rootless = self.rootless.then(|| Owner { euid: ids::geteuid(), egid: ids::getegid() });
        let cgroup2 = fd::path_fs_magic("/sys/fs/cgroup").is_ok_and(|magic| magic == fd::CGROUP2_SUPER_MAGIC);
        let profile = self.seccomp.then(wolffia::default_profile).transpose()?;
        let text = Template { cgroup2, rootless, seccomp: profile.as_ref() }.render()?;
        let path = self.bundle.join(&self.file);
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path).with_context(|| {
            format!("cannot make {} (File {} exists. Remove it first, if it does)", path.display(), self.file.display())
        })?;
        file.write_all(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}
