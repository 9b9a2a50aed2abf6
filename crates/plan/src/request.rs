//! What the caller asks beside the configuration: the command line's part of the decisions.

use crate::HostPath;
use serde::{Deserialize, Serialize};

/// The command line's part of `create` and `run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    pub id: String,
    pub bundle: HostPath,
    /// `--no-pivot`
    pub no_pivot: bool,
    /// `--no-new-keyring`
    pub no_new_keyring: bool,
    /// `--preserve-fds N`
    pub preserve_fds: u32,
    /// `LISTEN_FDS` of the caller's environment, when meant for this process.
    pub listen_fds: u32,
    /// Directory on the host whose `notify.sock` is bound into the container, when the caller has `NOTIFY_SOCKET`.
    pub notify_directory: Option<HostPath>,
    pub cgroups: CgroupManager,
    /// `--rootless true`: go on when cgroups cannot be written. `auto` is resolved by the caller.
    pub rootless: bool,
    /// Whether some id of the container could write the runtime's binary if it reached it; the caller looked at owner and mode.
    pub binary: BinaryOwner,
}

/// `--cgroup-manager`, `--systemd-cgroup`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupManager {
    #[default]
    Cgroupfs,
    Systemd,
    Disabled,
}

/// Owner and mode of the runtime's own binary, as fstat(2) gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinaryOwner {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
}
