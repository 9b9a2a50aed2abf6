//! What wolffia remembers of its containers: ids, a record per container, locks, and which command is allowed when.
//!
//! `ROOT/ID/` holds `lock`, `state.json` (the record), `config.json` (as it was at `create`) and, until `start`,
//! the socket `start.sock`. A container is *creating* as long as its creator holds the lock.

mod directory;
mod error;
mod id;
mod operations;
mod process;
mod record;
mod status;
mod store;
mod timestamp;

pub use directory::{Dir, Lock};
pub use error::StateError;
pub use id::ContainerId;
pub use operations::{Forbidden, Operation, allowed};
pub use process::{ProcessStat, process_stat};
pub use record::{NamespaceRecord, Phase, Record, Version1};
pub use status::{Status, status};
pub use store::{Reservation, Store};
pub use timestamp::Timestamp;
