//! Why a configuration is not carried out. A refusal is found before anything was done.

use std::fmt;

/// A configuration that is not carried out: which field, what is wrong with it, and the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// JSON pointer into `config.json`, for example `/mounts/3/options/1`.
    pub field: String,
    /// What is wrong. Callers of runc match on some of these texts (see `docs/decisions/`).
    pub reason: String,
    /// What to write instead, or what the host must offer.
    pub cure: String,
}

impl Refusal {
    pub fn new(field: impl Into<String>, reason: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into(), cure: cure.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)?;
        if self.cure.is_empty() { Ok(()) } else { write!(f, " ({})", self.cure) }
    }
}
