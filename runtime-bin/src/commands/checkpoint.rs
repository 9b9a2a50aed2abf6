//! `wolffia checkpoint`: save the processes of a container that runs.

use super::Subcommand;
use super::options::CriuArgs;
use crate::cli::Global;
use crate::report::ExitCode;
use anyhow::{Context, bail};
use clap::Args;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use wolffia::sys::fd;
use wolffia::{CheckpointOptions, PageServer};

#[derive(Debug, Args)]
pub struct Checkpoint {
    #[command(flatten)]
    criu: CriuArgs,
    /// Images of an earlier --pre-dump, relative to --image-path
    #[arg(long, value_name = "DIR")]
    parent_path: Option<PathBuf>,
    /// Let the container go on afterwards
    #[arg(long)]
    leave_running: bool,
    /// Leave TCP connections out that are not yet established
    #[arg(long)]
    tcp_skip_in_flight: bool,
    /// Give files that were unlinked a name again, where that is possible
    #[arg(long)]
    link_remap: bool,
    /// Descriptor that gets a zero byte when the pages can be fetched (--lazy-pages)
    #[arg(long, value_name = "FD")]
    status_fd: Option<i32>,
    /// Send memory to the page server there
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = page_server)]
    page_server: Option<PageServer>,
    /// Save memory only, and let the container go on
    #[arg(long)]
    pre_dump: bool,
    /// Id of the container
    #[arg(value_name = "ID")]
    id: String,
}

impl Subcommand for Checkpoint {
    const NAME: &'static str = "checkpoint";
    const ABOUT: &'static str = "Save a running container's processes with CRIU";

    fn act(self, global: &Global) -> anyhow::Result<ExitCode> {
        let options = CheckpointOptions {
            criu: self.criu.resolve()?,
            parent: self.parent_path,
            leave_running: self.leave_running,
            pre_dump: self.pre_dump,
            tcp_skip_in_flight: self.tcp_skip_in_flight,
            link_remap: self.link_remap,
            page_server: self.page_server,
            ready: self.status_fd.map(writable).transpose()?,
        };
        global.runtime()?.container(&self.id)?.checkpoint(options)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The caller waits for the byte, or for the end of the file.
fn writable(number: i32) -> anyhow::Result<OwnedFd> {
    let wrong = || format!("invalid --status-fd argument {number}");
    if number < 3 {
        bail!("{}: a standard stream", wrong());
    }
    let descriptor = fd::owned_from_inherited(number).with_context(|| format!("{}: it is not open", wrong()))?;
    match wolffia::sys::file::open_for(&descriptor).with_context(wrong)?.writing {
        true => Ok(descriptor),
        false => bail!("{}: not writable", wrong()),
    }
}

fn page_server(text: &str) -> Result<PageServer, String> {
    let wrong = || "Use --page-server ADDRESS:PORT to specify page server".to_owned();
    let (address, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let address = address.strip_prefix('[').and_then(|address| address.strip_suffix(']')).unwrap_or(address);
    if address.is_empty() {
        return Err(wrong());
    }
    let port = port.parse().ok().filter(|port| *port > 0).ok_or("Invalid port number")?;
    Ok(PageServer { address: address.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_server_has_an_address_and_a_port() {
        let server = |address: &str, port| Ok(PageServer { address: address.to_owned(), port });
        assert_eq!(page_server("127.0.0.1:27277"), server("127.0.0.1", 27277));
        assert_eq!(page_server("[::1]:1"), server("::1", 1));
        for wrong in ["", "127.0.0.1", ":1", "x:", "x:0", "x:65536", "x:a"] {
            assert!(page_server(wrong).is_err(), "{wrong}");
        }
    }
}
