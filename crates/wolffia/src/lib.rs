//! wolffia, a rootless OCI runtime, as a library.
//!
//! ```no_run
//! use wolffia::{Bundle, CreateOptions, Runtime};
//!
//! fn main() -> wolffia::Result<()> {
//!     wolffia::protect_self()?; // first: see its documentation
//!     let runtime = Runtime::new(Runtime::default_root());
//!     let bundle = Bundle::load("/path/to/bundle".as_ref())?;
//!     let container = runtime.create("web", &bundle, &CreateOptions::default())?;
//!     container.start()?;
//!     container.wait()?;
//!     container.delete(false)
//! }
//! ```
//!
//! The kernel makes a container only from a process with a single thread. A program that has more uses [`Helper`].

mod accounting;
mod checkpoint;
mod container;
mod create;
mod error;
mod events;
mod exec;
mod exec_cgroup;
mod gc;
mod helper;
mod hints;
mod inspect;
mod landlock_file;
mod notify;
mod pid_file;
mod processes;
mod profile;
mod protection;
mod record;
mod remains;
mod restore;
mod runtime;
pub mod sandbox;
mod terminal;
mod update;

pub use checkpoint::{CheckpointOptions, CriuOptions};
pub use container::Container;
pub use create::{Bundle, CreateOptions, read_document};
pub use error::{Error, Result};
pub use events::Event;
pub use exec::{ExecOptions, ExecProcess, Overrides};
pub use gc::{Death, Leftover};
pub use helper::Helper;
pub use notify::Readiness;
pub use profile::default_profile;
pub use protection::{protect_self, protect_self_from_everybody};
pub use remains::{CgroupRemains, Remains};
pub use restore::RestoreOptions;
pub use runtime::Runtime;
pub use terminal::{Kept, Terminal};
pub use wolffia_cgroup::{Stats, stats};
pub use wolffia_criu::{CgroupMode, PageServer};
pub use wolffia_host::doctor;
pub use wolffia_launch::{Failure, Running, TraceLine};
pub use wolffia_plan::{CgroupManager, Host, Plan, Recorded, Refusal, Step, mount_option_names};
/// Profiles of system calls: reading, compiling, explaining.
pub use wolffia_seccomp as seccomp;
pub use wolffia_spec as spec;
pub use wolffia_spec::oci;
pub use wolffia_state::{ContainerId, Status};
/// The kernel's facilities that a program around a container needs: terminals, signals, descriptors.
pub use wolffia_sys as sys;

use std::sync::OnceLock;
use std::time::SystemTime;

static WARN: OnceLock<fn(&str)> = OnceLock::new();

/// Sends warnings to `sink`: what went wrong while cleaning up, and hooks that failed without consequence. Without it they go to
/// the standard error. Only the first call counts; false if this was not the first.
pub fn set_warning_sink(sink: fn(&str)) -> bool {
    WARN.set(sink).is_ok()
}

pub(crate) fn warn(message: &str) {
    match WARN.get() {
        Some(sink) => sink(message),
        None => eprintln!("wolffia: warning: {message}"),
    }
}

pub(crate) fn warn_on_error(result: Result<()>) {
    if let Err(error) = result {
        warn(&error.to_string());
    }
}

/// A moment as RFC 3339 has it, in UTC, with nanoseconds: the form of every time that wolffia writes.
pub fn timestamp(moment: SystemTime) -> String {
    wolffia_state::Timestamp::from(moment).to_string()
}
