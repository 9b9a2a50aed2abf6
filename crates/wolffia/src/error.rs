//! Everything that can go wrong, typed; and what to do about it.

use crate::hints;
use std::path::PathBuf;
use wolffia_cgroup::CgroupError;
use wolffia_host::HostError;
use wolffia_launch::{Cause, Failure};
use wolffia_plan::{Refusal, Step};
use wolffia_spec::ConfigError;
use wolffia_state::{Forbidden, StateError};

pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation on a container failed. [`Error::cure`] says how to mend it, [`Error::step`] where it happened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bundle has no configuration; runc's text.
    #[error("JSON specification file {} not found", path.display())]
    NoConfig { path: PathBuf, source: std::io::Error },
    /// A file that the caller named cannot be read or written.
    #[error("cannot {act} {}", path.display())]
    File { act: &'static str, path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Found before anything was done.
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    State(#[from] StateError),
    /// The container's status does not allow it.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// An update failed on its way, and these could not be set back to what they were.
    #[error("{left} could not be set back after the update had failed")]
    HalfUpdated { left: String, source: Box<Error> },
    /// A step failed while the plan was carried out; what had been made is gone again.
    #[error(transparent)]
    Step(#[from] Failure),
    /// The caller's way of asking is wrong; runc's texts.
    #[error("{reason}")]
    Usage { reason: String, cure: &'static str },
    /// The operation needs the helper process, see [`crate::Helper`].
    #[error(
        "this process has several threads: a container can be made only by one that has a single thread, because a copy of the others would be missing in it"
    )]
    Threaded,
    /// Nobody knows that the container cannot write this process's program; see [`crate::protect_self_from_everybody`].
    #[error("the container could overwrite the program that enters it (CVE-2019-5736)")]
    Unprotected,
    /// A system call outside any step.
    #[error("cannot {act}")]
    System { act: &'static str, source: wolffia_sys::Error },
    /// The helper program ended with an error; its own words.
    #[error("{message}")]
    Helper { message: String, status: Option<i32> },
}

/// An error of a step's work, with its sources in one line; no `Display` repeats its source.
pub(crate) fn cause(error: impl std::error::Error + 'static) -> Cause {
    let chain: Vec<&(dyn std::error::Error + 'static)> =
        std::iter::successors(Some(&error as &(dyn std::error::Error + 'static)), |error| error.source()).collect();
    let text = chain.iter().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    let errno = chain.iter().find_map(|error| error.downcast_ref::<wolffia_sys::Error>()).map_or(0, |error| error.errno.0);
    Cause { text, errno }
}

impl Error {
    /// The step that failed, when it was one.
    pub fn step(&self) -> Option<Step> {
        match self {
            Error::Step(failure) => Some(failure.step),
            Error::HalfUpdated { source, .. } => source.step(),
            _ => None,
        }
    }

    /// What the caller can do about it; empty when there is nothing to add.
    pub fn cure(&self) -> String {
        match self {
            Error::Step(failure) => hints::cure(failure).to_owned(),
            Error::Refused(refusal) => refusal.cure.clone(),
            Error::Config(error) => error.cure.clone(),
            Error::Usage { cure, .. } => (*cure).to_owned(),
            Error::NoConfig { .. } => "name the bundle with --bundle, or make a configuration with `wolffia spec`".to_owned(),
            Error::HalfUpdated { source, .. } => source.cure(),
            Error::Threaded => {
                "make the container before you start threads, or use wolffia::Helper, which runs the work in a process of its own"
                    .to_owned()
            }
            Error::Unprotected => "call wolffia::protect_self() first in main, or use wolffia::Helper".to_owned(),
            _ => String::new(),
        }
    }

    /// The field of the configuration that is at fault, as a JSON pointer.
    pub fn field(&self) -> Option<&str> {
        match self {
            Error::Refused(refusal) => Some(&refusal.field),
            Error::Config(error) => Some(&error.field),
            _ => None,
        }
    }

    /// Whether the container does not exist: what `delete --force` forgives.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::State(StateError::NotFound { .. } | StateError::RootMissing { .. }))
    }
}
