//! The filter of a sandbox: ours, the caller's, or none.

use crate::error::{Error, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use wolffia_seccomp::Profile;

/// Which system calls the command may make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Seccomp {
    #[default]
    Default,
    /// All.
    Off,
    /// Those of a profile in the form of `linux.seccomp`, or of the one in a `config.json`.
    File(PathBuf),
}

impl Seccomp {
    /// `linux.seccomp`; null where there is none.
    pub(super) fn profile(&self) -> Result<Value> {
        match self {
            Seccomp::Default => crate::default_profile(),
            Seccomp::Off => Ok(Value::Null),
            Seccomp::File(path) => read(path),
        }
    }

    /// The same as text.
    pub(super) fn text(&self) -> Result<String> {
        match self {
            Seccomp::Default => crate::profile::default_profile_text(),
            Seccomp::Off | Seccomp::File(_) => self.profile().map(|profile| profile.to_string()),
        }
    }
}

fn read(path: &Path) -> Result<Value> {
    let file = |source| Error::File { act: "read", path: path.to_owned(), source };
    let text = crate::read_document(path).map_err(file)?;
    let wrong = |error: &dyn std::fmt::Display| Error::Usage {
        reason: format!("{}: {error}", path.display()),
        cure: "`wolffia seccomp show FILE` shows what a profile does",
    };
    Profile::from_slice(&text).map_err(|error| wrong(&error))?;
    let mut document: Value = serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
    match document.pointer_mut("/linux/seccomp") {
        Some(profile) => Ok(profile.take()),
        None => Ok(document),
    }
}
