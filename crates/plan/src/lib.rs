//! The narrow waist of wolffia: configuration, request and host in, [`Plan`] or [`Refusal`] out.
//!
//! Pure: no file system, no environment, no clock, no processes (a lint and a test keep them out).

pub mod host;
mod path;
mod plan;
mod refusal;
mod request;
pub mod resources;
mod step;

pub use host::Host;
pub use path::{ContainerPath, HostPath};
pub use plan::*;
pub use refusal::Refusal;
pub use request::{BinaryOwner, CgroupManager, Request};
pub use step::{Actor, Step};
