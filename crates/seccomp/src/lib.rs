//! OCI seccomp profiles: read strictly, compiled to the BPF that `seccomp(2)` loads, shown and explained.
//!
//! Pure: a profile and an architecture in, a [`Filter`] out. Loading it is somebody else's business.

mod arch;
mod arguments;
mod compile;
mod decision;
mod disassemble;
mod explain;
mod interpret;
mod model;
mod oci;
mod program;
mod read;
mod syscalls;
mod warning;

pub use arch::{Arch, X32_BIT};
pub use compile::{CompileError, Compiled, Filter, compile};
pub use decision::BAD_ARCH;
pub use disassemble::Disassembly;
pub use explain::{Call, Explanation, Reason, explain};
pub use interpret::{BadProgram, SeccompData, run};
pub use model::{ARGUMENTS, Action, Condition, Flags, Listener, Profile, Rule, Test};
pub use program::{Instruction, MAX_INSTRUCTIONS, code};
pub use read::{Problem, ProfileError};
pub use syscalls::{Carrier, Syscall};
pub use warning::Warning;
