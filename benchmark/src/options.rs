//! The benchmark's own command line.

use crate::trace::Unit;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Measure OCI runtimes by their command lines, beside what the kernel takes
#[derive(Debug, Parser)]
#[command(version)]
pub struct Options {
    #[command(subcommand)]
    pub act: Act,
}

#[derive(Debug, Subcommand)]
pub enum Act {
    /// Measure runtimes, taking turns
    Compare(Compare),
    /// Show where the processors' time of `run` and `exec` goes, call by call; as root, with perf
    Calls(Calls),
    /// Count the instructions of every command of wolffia, and hold them against a file
    Instructions(Instructions),
    /// Follow one command of the floor program: what this program starts for each of them
    #[command(hide = true)]
    Trace {
        #[arg(value_enum)]
        unit: Unit,
        #[arg(last = true)]
        words: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
pub struct Compare {
    /// The runtimes: [NAME=]PROGRAM, a path or a name to find in PATH. The others are compared with the first
    #[arg(required = true, value_name = "RUNTIME")]
    pub runtimes: Vec<String>,
    /// What the runtimes see at /sys/fs/cgroup
    #[arg(long, value_enum, default_value_t = View::AsIs)]
    pub view: View,
    /// Who calls the runtimes [default: everybody whom this user can be]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub who: Vec<Who>,
    /// How often everything is measured
    #[arg(long, default_value_t = 30)]
    pub rounds: usize,
    /// How many containers are alive when the growth is looked at; 0 leaves that out
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1000])]
    pub alive: Vec<usize>,
    /// Half a minute instead of minutes: few rounds, few containers
    #[arg(long)]
    pub quick: bool,
    /// Ordinary priority, also where a higher one (SCHED_RR) is allowed
    #[arg(long)]
    pub no_priority: bool,
    /// Write all figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a chart of the medians to this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Calls {
    /// The runtimes: [NAME=]PROGRAM, a path or a name to find in PATH
    #[arg(required = true, value_name = "RUNTIME")]
    pub runtimes: Vec<String>,
    /// What the runtimes see at /sys/fs/cgroup
    #[arg(long, value_enum, default_value_t = View::AsIs)]
    pub view: View,
    /// Who calls them: a table for each
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Who::Root])]
    pub who: Vec<Who>,
    /// What is called: a column for each, beside the others
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Looked::Run])]
    pub of: Vec<Looked>,
    /// How often each is called
    #[arg(long, default_value_t = 300)]
    pub rounds: usize,
    /// Microseconds below which a system call has no row of its own
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 20)]
    pub least: u32,
}

/// A command that is looked at call by call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Looked {
    Run,
    /// `run` of a container with a seccomp profile
    RunSeccomp,
    /// `exec`, again and again in one container
    Exec,
}

#[derive(Debug, Args)]
pub struct Instructions {
    /// The binary of wolffia, of a release build
    #[arg(value_name = "PROGRAM")]
    pub program: String,
    /// What was counted before; written anew when WOLFFIA_BLESS is 1
    #[arg(long, value_name = "FILE")]
    pub baseline: PathBuf,
}

/// A private look at the cgroup file systems: a mount namespace of this program, so that nothing on the host changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum View {
    /// As the host mounts them
    AsIs,
    /// Only version 1: the unified hierarchy of a hybrid host shows no controllers
    V1,
    /// Only version 2, mounted over everything else
    V2,
}

/// Who calls a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum Who {
    Root,
    /// A user with subordinate ids, by newuidmap and newgidmap
    Many,
    /// A user with a single id
    Single,
}

impl Who {
    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Many => "rootless, newuidmap",
            Self::Single => "rootless, one id",
        }
    }

    /// For machines, and for the floor program.
    pub fn word(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Many => "many",
            Self::Single => "single",
        }
    }
}

impl View {
    pub fn word(self) -> &'static str {
        match self {
            Self::AsIs => "as-is",
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}
