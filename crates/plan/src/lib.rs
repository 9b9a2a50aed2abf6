//! The narrow waist of wolffia: configuration, request and host in, [`Plan`] or [`Refusal`] out.
//!
//! Pure: no file system, no environment, no clock, no processes (a lint and a test keep them out).

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod annotations;
mod capabilities;
mod cgroup;
mod cgroup_owner;
mod cgroup_view;
mod checkpoint;
mod devices;
mod environment;
mod hooks;
pub mod host;
mod id_mapped;
mod identity;
mod ids;
mod labels;
mod landlock;
mod mount_options;
mod mounts;
mod namespaces;
mod netdevices;
mod outline;
mod path;
mod paths;
mod payload;
mod plan;
mod planner;
mod process;
mod rdt;
mod refusal;
mod request;
pub mod resources;
mod restored;
mod rlimits;
mod root;
mod scheduling;
mod seccomp;
mod self_protection;
mod step;
mod sysctl;
mod systemd;
mod version;
mod words;

pub use annotations::keeps_groups;
pub use checkpoint::{External, ExternalSource, plan_externals};
pub use host::Host;
pub use ids::KnownIds;
pub use labels::Labels;
pub use landlock::{Landlock, LandlockLayer, LandlockMoment, LandlockPath, LandlockPort, plan_landlock};
pub use mount_options::mount_option_names;
pub use outline::Line;
pub use path::{ContainerPath, HostPath};
pub use payload::*;
pub use plan::*;
pub use planner::plan;
pub use process::{ProcessContext, Role, plan_process};
pub use rdt::{Rdt, RdtGroup, plan_rdt_lines, rdt_mismatch};
pub use refusal::Refusal;
pub use request::{BinaryOwner, CgroupManager, Request};
pub use restored::{OutsideNamespaces, RestoredTask, SeenMount, SeenPath, judge_filters, judge_mounts, judge_paths, judge_tasks};
pub use seccomp::{Seccomp, SeccompFilter, SeccompListener, SeccompMoment, SeccompProgram, plan_seccomp};
pub use step::{Actor, Step};
pub use systemd::{PropertyValue, SystemdManager, SystemdScope, UnitProperty, unit_properties};
pub use wolffia_seccomp::Instruction as SeccompInstruction;
