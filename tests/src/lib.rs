//! End-to-end tests of the `wolffia` command: it is run, and what it did is looked at from outside and from inside.
//!
//! A test calls [`scenario`], which runs its body once for each [`Identity`], in a process and (as root) a mount namespace of its
//! own. Afterwards nothing of the scenario's may be left: no process, mount, cgroup, socket or state.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails loudly, and so does what it is made of")]

mod bundle;
mod call;
mod case;
pub mod faults;
mod identity;
mod leftovers;
mod processes;
mod published;
mod rootfs;
mod scenario;
mod scratch;
mod terminal;

pub use bundle::Bundle;
pub use call::{Call, Outcome, Process};
pub use case::Case;
pub use identity::{ANYBODY, Identity, ROOT, ROOTLESS, SUBIDS, USER};
pub use processes::{descendants, wait_until};
pub use published::{build_example, build_program, example};
pub use rootfs::Rootfs;
pub use scenario::{scenario, scenario_fails};
pub use serde_json::{Value, json};
pub use terminal::{ConsoleSocket, Pty};
