//! The OCI runtime specification as wolffia reads and writes it: `config.json`, `process.json`, the state
//! and features documents, and the table that gives every field its verdict.

mod config;
pub mod coverage;
pub mod documents;
pub mod landlock;
mod mend;
mod pointer;
pub mod template;

pub use config::{Config, ConfigError, Extra, ProcessConfig, UnknownCapability};
/// The specification's types: those of the `oci-spec` crate, which embedders already use.
pub use oci_spec::runtime as oci;

/// The newest version of the specification that wolffia follows.
pub const OCI_VERSION: &str = "1.3.0";
/// The oldest version that it accepts.
pub const OCI_VERSION_MIN: &str = "1.0.0";
