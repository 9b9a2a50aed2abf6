//! What a failed step says, the same in the runtime and in init, and on the wire between them.

use serde::{Deserialize, Serialize};
use std::fmt;
use wolffia_plan::Step;

/// A step that failed: which, on what, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct Failure {
    pub step: Step,
    /// What the step worked on, for example `/mounts/3: proc on /proc`. May be empty.
    pub object: String,
    /// What went wrong, in the kernel's words where it was the kernel.
    pub cause: String,
    /// The system call's error number, when a system call failed; 0 otherwise.
    pub errno: i32,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.step)?;
        if !self.object.is_empty() {
            write!(f, "{}: ", self.object)?;
        }
        f.write_str(&self.cause)
    }
}

impl Failure {
    pub fn new(step: Step, object: impl Into<String>, cause: impl Into<Cause>) -> Self {
        let cause = cause.into();
        Self { step, object: object.into(), cause: cause.text, errno: cause.errno }
    }
}

/// Why a step failed, before it is known which step it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub text: String,
    pub errno: i32,
}

impl From<wolffia_sys::Error> for Cause {
    fn from(error: wolffia_sys::Error) -> Self {
        Self { errno: error.errno.0, text: error.to_string() }
    }
}

impl From<std::io::Error> for Cause {
    fn from(error: std::io::Error) -> Self {
        Self { errno: error.raw_os_error().unwrap_or(0), text: error.to_string() }
    }
}

impl From<String> for Cause {
    fn from(text: String) -> Self {
        Self { text, errno: 0 }
    }
}

impl From<&str> for Cause {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Cause {
    /// Puts what was attempted in front of the cause.
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.text = format!("{what}: {}", self.text);
        self
    }
}
