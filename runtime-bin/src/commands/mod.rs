//! One file per subcommand. Each says what it takes, and does it.

mod checkpoint;
mod create;
mod delete;
mod doctor;
mod events;
mod exec;
mod features;
mod gc;
mod kill;
mod list;
mod options;
mod pause;
mod plan;
mod ps;
mod restore;
mod run;
mod sandbox;
mod seccomp;
mod selection;
mod spec;
mod start;
mod state;
mod update;

use crate::cli::{Call, Global};
use crate::report::ExitCode;
use clap::{Args, Command, FromArgMatches};
use std::ffi::OsString;

/// A subcommand: its name, its parser, and what it does.
#[derive(Debug)]
pub struct Known {
    pub name: &'static str,
    pub build: fn() -> Command,
    act: fn(&Global, Vec<OsString>) -> Result<ExitCode, Failed>,
    /// It enters a container or makes one: then it must not run from a binary that the container could write.
    pub enters: bool,
    /// The status when it fails.
    code: u8,
}

/// Every subcommand, in the order of the help.
pub const ALL: &[Known] = &[
    known::<sandbox::Sandbox>(true, 125),
    known::<run::Run>(true, 1),
    known::<create::Create>(true, 1),
    known::<start::Start>(false, 1),
    known::<state::State>(false, 1),
    known::<exec::Exec>(true, 255),
    known::<kill::Kill>(false, 1),
    known::<delete::Delete>(false, 1),
    known::<list::List>(false, 1),
    known::<ps::Ps>(false, 1),
    known::<pause::Pause>(false, 1),
    known::<pause::Resume>(false, 1),
    known::<update::Update>(false, 1),
    known::<events::Events>(false, 1),
    known::<checkpoint::Checkpoint>(false, 1),
    known::<restore::Restore>(true, 1),
    known::<gc::Gc>(false, 1),
    known::<spec::Spec>(false, 1),
    known::<plan::Plan>(false, 1),
    known::<seccomp::Seccomp>(false, 1),
    known::<features::Features>(false, 1),
    known::<doctor::Doctor>(false, 1),
];

/// The names of those that enter a container, for who cannot read [`ALL`] yet.
pub const ENTERING: &[&[u8]] = &[b"sandbox", b"run", b"create", b"exec", b"restore"];

/// What each subcommand's file provides.
pub trait Subcommand: Args + FromArgMatches {
    const NAME: &'static str;
    const ABOUT: &'static str;

    fn act(self, global: &Global) -> anyhow::Result<ExitCode>;
}

/// Why a subcommand did not succeed.
#[derive(Debug)]
enum Failed {
    /// The command line; or help, which clap reports the same way.
    Words(clap::Error),
    Act(anyhow::Error),
}

const fn known<T: Subcommand>(enters: bool, code: u8) -> Known {
    Known { name: T::NAME, build: build::<T>, act: act::<T>, enters, code }
}

fn build<T: Subcommand>() -> Command {
    T::augment_args(Command::new(T::NAME).about(T::ABOUT).bin_name(format!("wolffia {}", T::NAME)))
}

fn act<T: Subcommand>(global: &Global, words: Vec<OsString>) -> Result<ExitCode, Failed> {
    let command = build::<T>();
    let words = with_two_dashes(&command, words);
    let matches = command.try_get_matches_from(words).map_err(Failed::Words)?;
    let parsed = T::from_arg_matches(&matches).map_err(Failed::Words)?;
    parsed.act(global).map_err(Failed::Act)
}

/// Go's programs take one dash for two. What belongs to the container's program is left alone.
fn with_two_dashes(command: &Command, words: Vec<OsString>) -> Vec<OsString> {
    if command.get_positionals().any(|positional| positional.is_trailing_var_arg_set()) {
        return words;
    }
    let known: Vec<&str> = command.get_arguments().filter_map(|argument| argument.get_long()).collect();
    words.into_iter().map(|word| crate::cli::two_dashes(word, &known)).collect()
}

/// Carries out a call.
pub fn run(Call { known, globals, words }: Call) -> ExitCode {
    // First of all, because everything before it is done twice.
    if known.enters
        && let Err(error) = wolffia::protect_self()
    {
        return crate::report::failure(&error.into(), known.code);
    }
    // What the caller left open reaches the container by its number (--preserve-fds) or not at all, and hooks and helpers never.
    if let Err(error) = wolffia::sys::fd::close_range_cloexec(3) {
        return crate::report::failure(&error.into(), known.code);
    }
    let global = match Global::parse(globals) {
        Ok(global) => global,
        Err(error) => return crate::cli::Answer::from(error).give(),
    };
    if let Err(error) = crate::log::set_up(&global) {
        return crate::report::failure(&error, known.code);
    }
    match (known.act)(&global, words) {
        Ok(code) => code,
        // A joined user namespace may map anybody: only now that is known, and nothing was done yet.
        Err(Failed::Act(error)) if matches!(error.downcast_ref(), Some(wolffia::Error::Unprotected)) => {
            crate::report::failure(&wolffia::protect_self_from_everybody().into(), known.code)
        }
        Err(Failed::Act(error)) => crate::report::failure(&error, known.code),
        Err(Failed::Words(error)) => crate::cli::Answer::from(error).give(),
    }
}
