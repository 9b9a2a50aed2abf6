//! Carrying a [`wolffia_plan::Plan`] out: the runtime's side and init's, each one straight function of named steps.

mod cgroup_view;
mod confine;
mod console;
mod copy_up;
mod create;
mod devices;
mod exec;
mod failure;
#[cfg(feature = "faults")]
mod fault;
pub mod handshake;
mod home;
mod hooks;
mod host_dev;
mod identity;
mod idmaps;
mod init;
mod initramfs;
mod labels;
mod landlock;
mod leash;
mod mounts;
mod netdevices;
mod paths;
mod patience;
mod payload;
pub mod restage;
mod rootfs;
mod settings;
mod sources;
mod spawn;
mod stage;
mod start;
mod tune;

pub use create::{Launch, Launched, Running, launch};
pub use exec::{Exec, exec};
pub use failure::{Cause, Failure};
pub use hooks::{HookState, run as run_hooks, run_all as run_all_hooks};
pub use stage::{Stage, Trace, TraceLine};
pub use start::{SOCKET, listen, start};
