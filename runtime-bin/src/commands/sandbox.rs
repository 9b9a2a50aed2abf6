//! `wolffia sandbox`: a command on the host's own root file system, read-only, with nothing to set up.

use super::Subcommand;
use crate::cli::Global;
use crate::foreground::{self, Foreground};
use crate::report::ExitCode;
use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use std::path::PathBuf;
use wolffia::sandbox::{Landlock, Network, Sandbox as Wanted, Seccomp};
use wolffia::{Bundle, CreateOptions, Terminal};

#[derive(Debug, Args)]
pub struct Sandbox {
    /// File or directory that the command may write
    #[arg(long, value_name = "PATH")]
    rw: Vec<PathBuf>,
    /// File or directory that it may read although it is hidden otherwise (below /tmp, /run …)
    #[arg(long, value_name = "PATH")]
    ro: Vec<PathBuf>,
    /// Empty writable directory, gone afterwards
    #[arg(long, value_name = "DIR")]
    tmpfs: Vec<PathBuf>,
    /// File or directory that looks empty
    #[arg(long, value_name = "PATH")]
    hide: Vec<PathBuf>,
    /// Network: none has a loopback interface only
    #[arg(long, value_enum, default_value = "none")]
    net: Net,
    /// NAME=value, or NAME for the caller's value
    #[arg(long, short, value_name = "ENTRY")]
    env: Vec<String>,
    /// Working directory; default: the present one where it can be seen
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// User id inside; outside it is the caller's
    #[arg(long)]
    uid: Option<u32>,
    /// Group id inside; outside it is the caller's
    #[arg(long)]
    gid: Option<u32>,
    /// For example nofile=256 or as=1073741824:unlimited
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    rlimit: Vec<String>,
    /// System calls: default (no namespaces, no kernel keys, no AF_ALG …), off, or a profile's file
    #[arg(long, value_name = "WHICH", default_value = "default")]
    seccomp: String,
    /// Second wall behind the read-only mounts: best-effort takes what the kernel has of it
    #[arg(long, value_enum, default_value = "best-effort")]
    landlock: Rules,
    /// Write the configuration instead of running it
    #[arg(long)]
    print_config: bool,
    /// The program and its arguments
    #[arg(value_name = "PROGRAM ARG…", trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    args: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Net {
    None,
    Host,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rules {
    Off,
    BestEffort,
    Required,
}

impl Subcommand for Sandbox {
    const NAME: &'static str = "sandbox";
    const ABOUT: &'static str = "Run a command on this host's files, read-only, in namespaces of its own";

    fn act(self, global: &Global) -> anyhow::Result<ExitCode> {
        let print = self.print_config;
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let wanted = self.wanted(terminal);
        if print {
            crate::report::print(&format!("{:#}\n", wanted.configuration()?));
            return Ok(ExitCode::SUCCESS);
        }
        let text = wanted.text()?;
        let kept = foreground::keep()?;
        let options = CreateOptions {
            terminal: if terminal { Terminal::Kept(kept.clone()) } else { Terminal::None },
            ..CreateOptions::default()
        };
        let bundle = Bundle::of_text("/".as_ref(), text.into_bytes())?;
        let foreground = Foreground::begin()?;
        let id = format!("sandbox-{}", std::process::id());
        let (container, running) = global.runtime()?.run(&id, &bundle, &options)?;
        let status = foreground.attend(&running, kept.take(), None, Some(&container.remains()))?;
        container.delete(true)?;
        Ok(foreground::exit_code(status))
    }
}

impl Sandbox {
    fn wanted(self, terminal: bool) -> Wanted {
        Wanted {
            args: self.args,
            rw: self.rw,
            ro: self.ro,
            tmpfs: self.tmpfs,
            hide: self.hide,
            network: match self.net {
                Net::None => Network::None,
                Net::Host => Network::Host,
            },
            env: self.env,
            cwd: self.cwd,
            hostname: self.hostname,
            uid: self.uid,
            gid: self.gid,
            rlimits: self.rlimit,
            seccomp: match self.seccomp.as_str() {
                "default" => Seccomp::Default,
                "off" => Seccomp::Off,
                file => Seccomp::File(file.into()),
            },
            landlock: match self.landlock {
                Rules::Off => Landlock::Off,
                Rules::BestEffort => Landlock::BestEffort,
                Rules::Required => Landlock::Required,
            },
            terminal,
        }
    }
}
