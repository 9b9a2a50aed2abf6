//! Why CRIU did not do what it was asked for.

use std::path::PathBuf;
use wolffia_sys as sys;

#[derive(Debug, thiserror::Error)]
pub enum CriuError {
    #[error("criu is not installed: there is no such program in PATH")]
    Missing,
    /// A system call around it failed.
    #[error("cannot {act}")]
    System { act: &'static str, source: sys::Error },
    /// It could not be started, in words of the process that would have become it.
    #[error("cannot start criu: {reason}")]
    Start { reason: String },
    /// Not what rpc.proto says.
    #[error("criu answered {what}")]
    Answer { what: String },
    /// It ended without an answer.
    #[error("criu ended ({status}) without an answer")]
    Ended { status: String },
    /// It refused; its own words, as far as its log has any.
    #[error("criu failed to {act}: {words}")]
    Failed { act: &'static str, words: String },
    /// What it told of was not wanted by us: the reason for it to give up.
    #[error("{reason}")]
    Stopped { reason: String },
    /// An image that this program cannot read as what CRIU writes.
    #[error("{} is not an image of criu's: {reason}", path.display())]
    Image { path: PathBuf, reason: &'static str },
    /// An image or a directory that somebody else can write.
    #[error("{} is not safe to use: {reason}", path.display())]
    Foreign { path: PathBuf, reason: &'static str },
}
