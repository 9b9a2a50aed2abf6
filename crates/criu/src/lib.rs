//! Driving CRIU (criu.org): its messages (rpc.proto), the process that answers them, its log, and what its images hold.
//!
//! Nothing here knows of containers; nothing here runs but for `checkpoint` and `restore`.

mod error;
mod images;
mod log;
mod messages;
mod wire;
mod worker;

pub use error::CriuError;
pub use images::Images;
pub use messages::{Act, CgroupMode, Notice, Options, PageServer};
pub use worker::{Attendant, Preparation, Worker, find};
