//! Landlock rules as a configuration asks for them: `process.landlock`, or a file in the form of landlockconfig.
//!
//! The specification has no Landlock yet. `oci` reads the form of the pull request that would bring it (runtime-spec #1241), `file`
//! that of the kernel's maintainers.

mod file;
mod oci;
mod read;
mod rights;

pub use rights::{ABI_NEWEST, Kind, linux_of};

use crate::ConfigError;

/// Annotation that names a file of landlockconfig's JSON or TOML, absolute or relative to the bundle.
pub const ANNOTATION_FILE: &str = "io.wolffia.landlock";
/// Annotation that makes every rule set of the container required: `true`. It never makes one less so.
pub const ANNOTATION_REQUIRED: &str = "io.wolffia.landlock.required";

/// A set of rules. All bits are the kernel's (linux/landlock.h), those that this program has no name for too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landlock {
    /// Where it stands: `/process/landlock`, or the file's name.
    pub field: String,
    /// What is denied unless a rule allows it (`LANDLOCK_ACCESS_FS_*`, `LANDLOCK_ACCESS_NET_*`).
    pub handled_fs: u64,
    pub handled_net: u64,
    /// What is denied beyond the domain, without exception (`LANDLOCK_SCOPE_*`).
    pub scoped: u64,
    pub paths: Vec<PathRule>,
    pub ports: Vec<PortRule>,
    /// Rights on the files that standard input, output and error are open on, as far as they are open for it.
    pub streams: u64,
    /// A kernel that lacks any of it is refused. Otherwise what it lacks is left out and recorded.
    pub required: bool,
    /// A kernel with an older ABI is refused; 0 for none.
    pub minimum_abi: u32,
}

/// Rights on what lies below some paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRule {
    pub field: String,
    pub allowed: u64,
    /// Inside the container.
    pub paths: Vec<String>,
    /// A path that does not exist is passed over.
    pub optional: bool,
}

/// Rights on ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRule {
    pub field: String,
    pub allowed: u64,
    pub ports: Vec<u16>,
}

/// What a file of rules is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Toml,
}

impl Landlock {
    /// Reads a file of landlockconfig's; `name` stands for it in errors, which say nothing else of what it holds.
    ///
    /// # Errors
    /// Unknown properties or names, values out of range, rules that the kernel would refuse.
    pub fn from_file(text: &[u8], format: Format, name: &str) -> Result<Self, ConfigError> {
        file::read(text, format, name)
    }
}

/// `process.landlock` and `linux.landlock` of a `config.json`.
pub(crate) fn of_config(text: &[u8]) -> Result<Option<Landlock>, ConfigError> {
    if may_hold(text) { oci::of_config(text) } else { Ok(None) }
}

/// `landlock` of a `process.json`.
pub(crate) fn of_process(text: &[u8]) -> Result<Option<Landlock>, ConfigError> {
    if may_hold(text) { oci::of_process(text) } else { Ok(None) }
}

/// Whether it is worth reading the document once more: with its quotes, because a profile of system calls names `landlock_add_rule`. An
/// escape could spell the name too.
fn may_hold(text: &[u8]) -> bool {
    std::str::from_utf8(text).map_or(true, |text| text.contains("\"landlock\"") || text.contains("\\u"))
}
