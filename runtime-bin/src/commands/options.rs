//! Flags that several commands share: `create`, `run` and `plan`; `checkpoint` and `restore`.

use anyhow::bail;
use clap::Args;
use std::path::PathBuf;
use wolffia::{Bundle, CgroupMode, CreateOptions, CriuOptions, Kept, Terminal};

#[derive(Debug, Clone, Args)]
pub struct MakeOptions {
    /// Directory of the bundle
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// Configuration, relative to the bundle
    #[arg(long, short = 'f', value_name = "FILE", default_value = "config.json")]
    pub config: PathBuf,
    /// Unix socket that receives the terminal's master
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// File that the process id is written to
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Unix socket that receives a pidfd of the process
    #[arg(long, value_name = "SOCKET")]
    pub pidfd_socket: Option<PathBuf>,
    /// Move the root instead of pivoting: for an initramfs
    #[arg(long)]
    pub no_pivot: bool,
    /// Stay in the caller's session keyring
    #[arg(long)]
    pub no_new_keyring: bool,
    /// Hand this many descriptors, from 3 on, to the container
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,
    /// Id of the container
    #[arg(value_name = "ID")]
    pub id: String,
}

impl MakeOptions {
    pub fn load(&self) -> anyhow::Result<Bundle> {
        Ok(Bundle::load_file(&self.bundle, &self.config)?)
    }

    /// `keep` is where a terminal goes that no socket receives.
    pub fn resolve(&self, keep: Option<&Kept>) -> anyhow::Result<CreateOptions> {
        let listen_fds = listen_fds();
        check_descriptors(listen_fds, self.preserve_fds)?;
        let terminal = match (&self.console_socket, keep) {
            (Some(socket), _) => Terminal::Socket(socket.clone()),
            (None, Some(kept)) => Terminal::Kept(kept.clone()),
            (None, None) => Terminal::None,
        };
        Ok(CreateOptions {
            terminal,
            pid_file: self.pid_file.clone(),
            pidfd_socket: self.pidfd_socket.clone(),
            no_pivot: self.no_pivot,
            no_new_keyring: self.no_new_keyring,
            preserve_fds: self.preserve_fds,
            listen_fds,
            notify: std::env::var_os("NOTIFY_SOCKET").is_some_and(|path| !path.is_empty()),
        })
    }
}

/// `LISTEN_FDS`, if it is meant for this process (sd_listen_fds(3)).
pub fn listen_fds() -> u32 {
    let own = std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    if !own {
        return 0;
    }
    std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// A number that is not open now would be one of ours later, and leak into the container (CVE-2024-21626). runc's text.
pub fn check_descriptors(listen: u32, preserve: u32) -> anyhow::Result<()> {
    for index in 0..preserve {
        let number = 3 + listen + index;
        if !i32::try_from(number).is_ok_and(wolffia::sys::fd::is_open) {
            bail!("unable to stat preserved-fd {} (of {preserve})", index + 1);
        }
    }
    match (0..listen).map(|index| 3 + index).find(|number| !i32::try_from(*number).is_ok_and(wolffia::sys::fd::is_open)) {
        Some(number) => bail!("LISTEN_FDS is {listen}, but descriptor {number} is not open"),
        None => Ok(()),
    }
}

// Flags that `checkpoint` and `restore` share. Not documentation, which clap would print as what the commands do.
#[derive(Debug, Clone, Args)]
pub struct CriuArgs {
    /// Directory of the images
    #[arg(long, value_name = "DIR", default_value = "checkpoint")]
    image_path: PathBuf,
    /// Directory of CRIU's log and other files of its work; without it, --image-path
    #[arg(long, value_name = "DIR")]
    work_path: Option<PathBuf>,
    /// Allow established TCP connections
    #[arg(long)]
    tcp_established: bool,
    /// Allow unix sockets with a peer outside of the container
    #[arg(long)]
    ext_unix_sk: bool,
    /// Allow processes that belong to a terminal from outside of the container
    #[arg(long)]
    shell_job: bool,
    /// Allow file locks
    #[arg(long)]
    file_locks: bool,
    /// What CRIU does about cgroups: ignore (what wolffia does is enough), soft, full or strict
    #[arg(long, value_name = "MODE", default_value = "ignore", value_parser = cgroup_mode)]
    manage_cgroups_mode: CgroupMode,
    /// Namespaces whose content is not saved: network, which never is
    #[arg(long, value_name = "NAMESPACE")]
    empty_ns: Vec<String>,
    /// Take pages out of earlier images that later ones have too
    #[arg(long)]
    auto_dedup: bool,
    /// Fetch memory when it is needed (userfaultfd)
    #[arg(long)]
    lazy_pages: bool,
}

impl CriuArgs {
    pub fn resolve(self) -> anyhow::Result<CriuOptions> {
        if let Some(other) = self.empty_ns.iter().find(|namespace| *namespace != "network") {
            bail!("namespace {other:?} is not supported");
        }
        Ok(CriuOptions {
            images: std::path::absolute(self.image_path)?,
            work: self.work_path.map(std::path::absolute).transpose()?,
            tcp_established: self.tcp_established,
            external_unix_sockets: self.ext_unix_sk,
            shell_job: self.shell_job,
            file_locks: self.file_locks,
            auto_dedup: self.auto_dedup,
            lazy_pages: self.lazy_pages,
            cgroups: self.manage_cgroups_mode,
        })
    }
}

fn cgroup_mode(text: &str) -> Result<CgroupMode, String> {
    match text {
        "ignore" | "" => Ok(CgroupMode::Ignore),
        "soft" => Ok(CgroupMode::Soft),
        "full" => Ok(CgroupMode::Full),
        "strict" => Ok(CgroupMode::Strict),
        _ => Err("invalid manage-cgroups-mode value".to_owned()),
    }
}
