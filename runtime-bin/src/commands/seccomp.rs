//! `wolffia seccomp`: what a profile does, and why.

use super::Subcommand;
use crate::cli::Global;
use crate::report::ExitCode;
use anyhow::{Context, bail};
use clap::{Args, Subcommand as Subcommands};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use wolffia::seccomp::{ARGUMENTS, Arch, Call, Compiled, Disassembly, Filter, Profile, Syscall, compile, explain};

#[derive(Debug, Args)]
pub struct Seccomp {
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommands)]
enum Question {
    /// Print the filter that a profile becomes, instruction by instruction
    Show {
        /// A profile in the form of linux.seccomp, or a config.json
        profile: PathBuf,
    },
    /// Say what a system call gets, by which rule, and why
    Explain {
        /// A profile in the form of linux.seccomp, or a config.json
        profile: PathBuf,
        /// Name, or number on this architecture
        syscall: String,
        /// Up to six, decimal or 0x…; those that are left out are 0
        #[arg(value_name = "ARG", value_parser = number)]
        arguments: Vec<u64>,
    },
}

impl Subcommand for Seccomp {
    const NAME: &'static str = "seccomp";
    const ABOUT: &'static str = "Show what a seccomp profile does, and explain why";

    fn act(self, _: &Global) -> anyhow::Result<ExitCode> {
        let native = Arch::native().context("seccomp profiles are not known for this architecture")?;
        let text = match self.question {
            Question::Show { profile } => show(&read(&profile)?, native)?,
            Question::Explain { profile, syscall, arguments } => explained(&read(&profile)?, native, &syscall, &arguments)?,
        };
        crate::report::print(&text);
        Ok(ExitCode::SUCCESS)
    }
}

fn read(path: &Path) -> anyhow::Result<Profile> {
    let what = || path.display().to_string();
    let text = wolffia::read_document(path).with_context(what)?;
    Profile::from_slice(&text).with_context(what)
}

fn show(profile: &Profile, native: Arch) -> anyhow::Result<String> {
    let Compiled { filter, warnings } = compile(profile, native)?;
    let archs: Vec<String> = covered(profile, native).iter().map(Arch::to_string).collect();
    let length = filter.program.len();
    let mut text = format!("# {length} instructions for {}; default {}", archs.join(", "), profile.default_action());
    for (flag, name) in [
        (Filter::LOG, "LOG"),
        (Filter::SPEC_ALLOW, "SPEC_ALLOW"),
        (Filter::NEW_LISTENER, "NEW_LISTENER"),
        (Filter::WAIT_KILLABLE_RECV, "WAIT_KILLABLE_RECV"),
    ] {
        if filter.flags & flag != 0 {
            write!(text, "; {name}")?;
        }
    }
    text.push('\n');
    for warning in warnings {
        writeln!(text, "# {warning}")?;
    }
    write!(text, "{}", Disassembly { program: &filter.program, big_endian: native.is_big_endian() })?;
    Ok(text)
}

/// One line for each architecture of the filter that has the call.
fn explained(profile: &Profile, native: Arch, name: &str, given: &[u64]) -> anyhow::Result<String> {
    if given.len() > usize::from(ARGUMENTS) {
        bail!("a system call has at most {ARGUMENTS} arguments");
    }
    let mut arguments = [0; ARGUMENTS as usize];
    arguments[..given.len()].copy_from_slice(given);
    let calls: Vec<(Arch, u32)> = match (name.parse(), Syscall::from_name(name)) {
        (Ok(number), _) => vec![(native, number)],
        (_, Some(call)) => covered(profile, native).into_iter().filter_map(|arch| Some((arch, call.number(arch)?))).collect(),
        (_, None) => bail!("no architecture has a system call {name:?}"),
    };
    if calls.is_empty() {
        bail!("no architecture of this filter has the system call {name:?}");
    }
    let line = |(arch, number)| format!("{}\n", explain(profile, native, Call { arch, number, arguments }));
    Ok(calls.into_iter().map(line).collect())
}

fn covered(profile: &Profile, native: Arch) -> Vec<Arch> {
    let listed = |arch: &Arch| *arch == native || profile.architectures().contains(arch);
    native.runs().iter().copied().filter(listed).collect()
}

fn number(text: &str) -> Result<u64, std::num::ParseIntError> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    }
}
