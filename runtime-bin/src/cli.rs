//! From the command line to a call: the global flags, then the one subcommand that is wanted. Only that one's parser is built,
//! because the whole tree costs more than `state` does.

use crate::commands::Known;
use crate::report::ExitCode;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Command, FromArgMatches, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use wolffia::{CgroupManager, Runtime};

/// The flags before the subcommand, runc's and crun's.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Directory of the containers' state
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Write errors and traces to this file too
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Form of the log: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: String,
    /// What is logged: error, warning, info or debug; default: warning, and error with --log-format json
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Log every step that is carried out, with its time
    #[arg(long)]
    pub debug: bool,
    /// Same as --cgroup-manager systemd
    #[arg(long)]
    pub systemd_cgroup: bool,
    /// Who makes cgroups
    #[arg(long, value_enum, default_value = "cgroupfs", value_name = "MANAGER")]
    pub cgroup_manager: Manager,
    /// Go on without a cgroup that nobody asked for: true, false or auto (for everybody but root)
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    pub rootless: Rootless,
}

/// Those of them that take a value as a word of its own, for who cannot ask clap yet.
pub const VALUED: &[&[u8]] = &[b"root", b"log", b"log-format", b"log-level", b"cgroup-manager", b"rootless"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Manager {
    Cgroupfs,
    Systemd,
    Disabled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rootless {
    True,
    False,
    Auto,
}

impl Global {
    /// Reads the words before the subcommand.
    pub fn parse(words: Vec<OsString>) -> Result<Self, clap::Error> {
        let words = std::iter::once(OsString::from("wolffia")).chain(words);
        let matches = Self::augment_args(Command::new("wolffia").disable_help_flag(true)).try_get_matches_from(words)?;
        Self::from_arg_matches(&matches)
    }

    /// The library's settings.
    pub fn runtime(&self) -> anyhow::Result<Runtime> {
        let root = match &self.root {
            None => Runtime::default_root(),
            Some(root) => std::path::absolute(root)?,
        };
        if root == std::path::Path::new("/") {
            anyhow::bail!("Option --root argument should not be set to /");
        }
        let manager = match self.cgroup_manager {
            Manager::Systemd => CgroupManager::Systemd,
            _ if self.systemd_cgroup => CgroupManager::Systemd,
            Manager::Cgroupfs => CgroupManager::Cgroupfs,
            Manager::Disabled => CgroupManager::Disabled,
        };
        let rootless = match self.rootless {
            Rootless::True => Some(true),
            Rootless::False => Some(false),
            Rootless::Auto => None,
        };
        let runtime = Runtime::new(root).with_cgroups(manager).with_rootless(rootless);
        Ok(if crate::log::is_tracing() { runtime.with_trace(crate::log::trace) } else { runtime })
    }
}

/// What the command line asks for. Its words are read later, because a command may have to start again first.
#[derive(Debug)]
pub struct Call {
    pub known: &'static Known,
    /// The words before the subcommand.
    pub globals: Vec<OsString>,
    /// The subcommand's own words, its name first.
    pub words: Vec<OsString>,
}

/// An answer that needs no call: help, the version, or what is wrong with the command line.
#[derive(Debug)]
pub struct Answer {
    text: String,
    code: u8,
}

impl Answer {
    pub fn give(self) -> ExitCode {
        if self.code == 0 {
            crate::report::print(&self.text);
        } else {
            eprint!("{}", self.text);
        }
        ExitCode::from(self.code)
    }
}

/// A mistake on the command line ends with 1, as runc's and crun's do.
impl From<clap::Error> for Answer {
    fn from(error: clap::Error) -> Self {
        let mut text = error.render().to_string();
        // Podman asks for a flag without its value, and looks for these words of Go's.
        if let (ErrorKind::InvalidValue, Some(ContextValue::String(value)), Some(flag)) =
            (error.kind(), error.get(ContextKind::InvalidValue), error.get(ContextKind::InvalidArg))
            && value.is_empty()
        {
            text = format!("flag needs an argument: {flag}\n{text}");
        }
        Self { text, code: u8::from(error.use_stderr()) }
    }
}

const GLOBAL_WITH_VALUE: [&str; 6] = ["--root", "--log", "--log-format", "--log-level", "--cgroup-manager", "--rootless"];
const GLOBAL: [&str; 8] = ["root", "log", "log-format", "log-level", "cgroup-manager", "rootless", "debug", "systemd-cgroup"];

/// Reads the command line.
pub fn read(words: impl Iterator<Item = OsString>) -> Result<Call, Answer> {
    let words: Vec<OsString> = words.skip(1).collect();
    let (globals, rest) = split(words);
    let asks = |names: &[&str]| globals.iter().any(|word| names.iter().any(|name| word == name));
    if asks(&["--version", "-v", "-V"]) {
        return Err(Answer { text: version(), code: 0 });
    }
    let Some(name) = rest.first().and_then(|word| word.to_str()).filter(|_| !asks(&["--help", "-h"])) else {
        return Err(Answer { text: whole_tree().render_help().to_string(), code: u8::from(!asks(&["--help", "-h"])) });
    };
    if name == "help" {
        let Some(topic) = rest.get(1).and_then(|word| word.to_str()) else {
            return Err(Answer { text: whole_tree().render_help().to_string(), code: 0 });
        };
        let known = crate::commands::ALL.iter().find(|command| command.name == topic);
        let Some(known) = known else { return Err(unknown(topic)) };
        return Err(Answer { text: (known.build)().render_long_help().to_string(), code: 0 });
    }
    let Some(known) = crate::commands::ALL.iter().find(|command| command.name == name) else { return Err(unknown(name)) };
    Ok(Call { known, globals, words: rest })
}

/// runc's words and status.
fn unknown(name: &str) -> Answer {
    Answer { text: format!("No help topic for '{name}'\n"), code: 3 }
}

/// The form that containerd, Docker, Podman, CRI-O and nerdctl read.
pub fn version() -> String {
    format!(
        "wolffia version {}\ncommit: {}\nspec: {}\n",
        env!("CARGO_PKG_VERSION"),
        option_env!("WOLFFIA_COMMIT").unwrap_or("unknown"),
        wolffia::spec::OCI_VERSION
    )
}

/// The whole command, for help.
pub fn whole_tree() -> Command {
    // After the flags, because their own doc comment would take its place.
    let tree = Global::augment_args(Command::new("wolffia").subcommand_required(true));
    let tree = tree.about("A rootless, sandboxed OCI container runtime").long_about(None);
    crate::commands::ALL.iter().fold(tree, |tree, command| tree.subcommand((command.build)()))
}

/// The words before the subcommand, and it with the rest. Go's programs take one dash for two; so do we before the subcommand.
fn split(words: Vec<OsString>) -> (Vec<OsString>, Vec<OsString>) {
    let mut globals = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if !word.as_encoded_bytes().starts_with(b"-") {
            let mut rest = vec![word];
            rest.extend(words);
            return (globals, rest);
        }
        let word = two_dashes(word, &GLOBAL);
        let takes_value = GLOBAL_WITH_VALUE.iter().any(|flag| word == *flag);
        globals.push(word);
        if takes_value {
            globals.extend(words.next());
        }
    }
    (globals, Vec::new())
}

/// `-name` and `-name=value` as `--name`, for names that are known.
pub fn two_dashes(word: OsString, known: &[&str]) -> OsString {
    let name = word.to_str().and_then(|text| text.strip_prefix('-')).filter(|name| name.len() > 1 && !name.starts_with('-'));
    match name {
        Some(name) if known.contains(&name.split('=').next().unwrap_or(name)) => OsString::from(format!("--{name}")),
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn globals_end_at_the_subcommand() {
        let (globals, rest) = split(words("--root /r -log=/l --debug exec --root x"));
        assert_eq!((globals, rest), (words("--root /r --log=/l --debug"), words("exec --root x")));
    }

    #[test]
    fn the_version_has_the_form_that_callers_parse() {
        let text = version();
        let mut lines = text.lines();
        assert_eq!(lines.next().unwrap().split(' ').take(2).collect::<Vec<_>>(), ["wolffia", "version"]);
        assert!(lines.next().unwrap().starts_with("commit: "));
        assert_eq!(lines.next().unwrap(), "spec: 1.3.0");
    }

    #[test]
    fn what_is_known_before_the_c_library_is_what_the_parsers_know() {
        let entering = crate::commands::ALL.iter().filter(|known| known.enters).map(|known| known.name.as_bytes());
        let told: std::collections::BTreeSet<&[u8]> = crate::commands::ENTERING.iter().copied().collect();
        assert_eq!(entering.collect::<std::collections::BTreeSet<_>>(), told);
        let flags = Global::augment_args(Command::new("wolffia"));
        let valued = flags.get_arguments().filter(|flag| flag.get_action().takes_values()).filter_map(|flag| flag.get_long());
        let valued: std::collections::BTreeSet<&[u8]> = valued.map(str::as_bytes).collect();
        assert_eq!(valued, VALUED.iter().copied().collect());
    }

    #[test]
    fn the_whole_tree_is_sound() {
        whole_tree().debug_assert();
    }
}
