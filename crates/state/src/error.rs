//! What can go wrong with the state of a container.

use crate::ContainerId;
use std::path::PathBuf;
use std::time::Duration;
use wolffia_sys as sys;

/// Callers of runc match on the beginnings of the first three texts.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error(
        "invalid container ID format: {id:?} (an id has 1 to 1024 letters, digits and the characters _+-. and is not \".\" or \"..\")"
    )]
    InvalidId { id: String },

    #[error("container with given ID already exists: {id} (choose another id, or delete that container)")]
    AlreadyExists { id: ContainerId },

    #[error("container does not exist: {id}")]
    NotFound { id: ContainerId },

    #[error("container does not exist: there is no state directory {root:?} (was --root the same when it was created?)")]
    RootMissing { root: PathBuf },

    #[error("container {id} is in use: another command has held its lock for {waited:?} (try again when it has ended)")]
    Busy { id: ContainerId, waited: Duration },

    #[error("cannot read the record {file:?} of container {id} (remove the container with `delete --force {id}`)")]
    Corrupt { id: ContainerId, file: PathBuf, source: serde_json::Error },

    #[error("cannot write the record {file:?}")]
    Encode { file: PathBuf, source: serde_json::Error },

    #[error("cannot make the state directory {root:?} (choose another with --root)")]
    MakeRoot { root: PathBuf, source: std::io::Error },

    #[error("the state directory {root:?} {reason} (choose another with --root, or, if all in it is yours, chmod go-w it)")]
    UnsafeRoot { root: PathBuf, reason: &'static str },

    #[error("{path:?} is there and is no container's (choose another id, or another --root)")]
    NotAContainers { path: PathBuf },

    #[error("{file:?} is not as proc_pid_stat(5) describes it (is something mounted over /proc?)")]
    NoProcessStat { file: PathBuf },

    #[error("cannot {act} {object:?}")]
    Kernel {
        /// A verb, for example `open`.
        act: &'static str,
        object: PathBuf,
        source: sys::Error,
    },
}

/// Says what a failed system call was for.
pub(crate) trait Context<T> {
    fn context(self, act: &'static str, object: impl FnOnce() -> PathBuf) -> Result<T, StateError>;
}

impl<T> Context<T> for sys::Result<T> {
    fn context(self, act: &'static str, object: impl FnOnce() -> PathBuf) -> Result<T, StateError> {
        self.map_err(|source| StateError::Kernel { act, object: object(), source })
    }
}
