//! wolffia's own cgroup v2 driver: make a container's cgroup, limit it, freeze it, kill what is in it, remove it.
//!
//! It works from directory descriptors only: a path is walked once, one name at a time, without following symbolic
//! links, and everything after that goes through the descriptor of the container's own directory.

mod cgroup;
mod controllers;
mod devices;
mod error;
mod events;
mod files;
mod legacy;
mod legacy_stats;
mod limits;
mod processes;
mod resctrl;
pub mod stats;
mod systemd;
mod tree;
mod undo;
mod watch;

pub use cgroup::Cgroup;
pub use error::CgroupError;
pub use legacy::LegacyPlace;
pub use resctrl::{MonitoredGroup, RdtPlace};
pub use stats::Stats;
pub use systemd::Scope;
pub use undo::Earlier;
pub use watch::{Happening, Watch};
