//! `config.json` and `process.json`, from bytes to types.

use crate::oci;
use std::fmt;

/// A container's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub spec: oci::Spec,
    /// What the configuration says beyond the types of `oci-spec`.
    pub extra: Extra,
}

/// The process of `exec --process FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessConfig {
    pub process: oci::Process,
    /// What the file says beyond the types of `oci-spec`.
    pub extra: Extra,
}

/// What a configuration says and the types of `oci-spec` cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extra {
    /// Capability names that are not granted, because nobody knows them: config.md asks for a warning.
    pub unknown_capabilities: Vec<UnknownCapability>,
}

/// A capability that the specification's types do not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCapability {
    /// JSON pointer, for example `/process/capabilities/bounding/3`.
    pub field: String,
    /// The name as written.
    pub name: String,
}

/// A configuration that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// JSON pointer to the property, for example `/linux/namespaces/2/type`; empty for the whole document.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
    /// What to write instead; may be empty.
    pub cure: String,
}

impl Config {
    /// Reads `config.json`. Unknown properties are ignored (config.md, "Extensibility").
    ///
    /// # Errors
    /// No JSON, a property of the wrong type or with a value that the specification does not define.
    pub fn parse(bytes: &[u8]) -> Result<Config, ConfigError> {
        serde_json::from_slice(bytes).map(|spec: oci::Spec| spec.into()).map_err(|error| ConfigError {
            field: String::new(),
            reason: error.to_string(),
            cure: String::new(),
        })
    }
}

impl ProcessConfig {
    /// Reads the `process` object that `exec --process` names.
    ///
    /// # Errors
    /// As [`Config::parse`].
    pub fn parse(bytes: &[u8]) -> Result<ProcessConfig, ConfigError> {
        serde_json::from_slice(bytes).map(|process: oci::Process| process.into()).map_err(|error| ConfigError {
            field: String::new(),
            reason: error.to_string(),
            cure: String::new(),
        })
    }
}

impl From<oci::Spec> for Config {
    fn from(spec: oci::Spec) -> Self {
        Self { spec, extra: Extra::default() }
    }
}

impl From<oci::Process> for ProcessConfig {
    fn from(process: oci::Process) -> Self {
        Self { process, extra: Extra::default() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.reason)?;
        if self.cure.is_empty() { Ok(()) } else { write!(f, " ({})", self.cure) }
    }
}
