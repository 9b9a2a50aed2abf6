//! The name of a container, which is also the name of its directory.

use crate::StateError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longer ids are refused by every runtime; the file system usually stops at 255 (NAME_MAX).
const MAX_BYTES: usize = 1024;

/// A container's id: letters, digits and `_+-.`, so that it names a directory and nothing outside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

impl ContainerId {
    /// # Errors
    /// Empty, longer than 1024 bytes, `.`, `..`, or with a character that is not allowed.
    pub fn parse(id: &str) -> Result<Self, StateError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
        let valid = !id.is_empty() && id.len() <= MAX_BYTES && id != "." && id != ".." && id.bytes().all(allowed);
        if valid { Ok(Self(id.to_owned())) } else { Err(StateError::InvalidId { id: id.to_owned() }) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ContainerId {
    type Err = StateError;

    fn from_str(id: &str) -> Result<Self, StateError> {
        Self::parse(id)
    }
}

impl TryFrom<String> for ContainerId {
    type Error = StateError;

    fn try_from(id: String) -> Result<Self, StateError> {
        Self::parse(&id)
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> String {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_what_runc_takes() {
        for good in ["a", "A9_+-.", ".hidden", "...", "-", "x..y", &"x".repeat(1024)] {
            assert_eq!(ContainerId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "/", "a b", "ä", "a\0", "a\n", "a:b", "a@b", &"x".repeat(1025)] {
            let error = ContainerId::parse(bad).unwrap_err().to_string();
            assert!(error.starts_with("invalid container ID format"), "{error}");
        }
    }

    #[test]
    fn a_stored_id_is_checked_again() {
        assert_eq!(serde_json::from_str::<ContainerId>("\"c1\"").unwrap().as_str(), "c1");
        assert!(serde_json::from_str::<ContainerId>("\"../c1\"").is_err());
        assert_eq!(serde_json::to_string(&ContainerId::parse("c1").unwrap()).unwrap(), "\"c1\"");
    }
}
