//! The second wall of a sandbox, behind its read-only mounts: what is not to be written cannot be written, whatever is mounted how.

use serde_json::{Value, json};

/// The ABI whose rights are used: the first that keeps signals and abstract sockets inside.
const ABI: u32 = 6;

/// Whether the command submits to Landlock rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Landlock {
    Off,
    /// As far as the kernel has it.
    #[default]
    BestEffort,
    /// A kernel that lacks any of it is refused.
    Required,
}

impl Landlock {
    /// `process.landlock` that allows reading and executing everywhere, and writing below these paths; null without rules.
    pub(super) fn rules(self, writable: &[String]) -> Value {
        let required = match self {
            Landlock::Off => return Value::Null,
            Landlock::BestEffort => false,
            Landlock::Required => true,
        };
        // Device nodes are made nowhere.
        let write = [
            "write_file",
            "truncate",
            "remove_dir",
            "remove_file",
            "make_dir",
            "make_reg",
            "make_sock",
            "make_fifo",
            "make_sym",
            "refer",
            "ioctl_dev",
        ];
        json!({
            "abi": ABI,
            "disableBestEffort": required,
            // No rights on ports: without a network there is only the sandbox's own, and with the host's it is as open as that.
            "ruleset": { "handledAccessFS": ["abi.all"], "scoped": ["abi.all"] },
            "rules": {
                "pathBeneath": [
                    { "allowedAccess": ["execute", "read_file", "read_dir"], "paths": ["/"] },
                    { "allowedAccess": write, "paths": writable },
                ],
                // Programs write to /dev/stdout, also where that is a file of the caller's.
                "standardStreams": ["read_file", "write_file", "truncate", "ioctl_dev"],
            },
        })
    }
}
