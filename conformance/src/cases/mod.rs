//! The cases, one file for each subject.

mod config;
mod process;

use crate::case::Case;

/// Every case of the suite, in the order in which they run.
pub fn all() -> Vec<Case> {
    [config::cases(), process::cases()].into_iter().flatten().collect()
}
