//! The kernel, as safe typed functions: one file per facility, and the only `unsafe` of the project.
//!
//! A function does one thing and says on failure which call it made, with which arguments, and what the kernel
//! answered. rustix is used where it has the wrapper, then nix, then a raw system call.
//! `docs/kernel-features.md` lists what is asked of the kernel and since when it can.

// The raw system calls that no crate wraps are made here, so that nothing outside this crate needs to be unsafe.
#![allow(unsafe_code)]

pub mod bpf;
pub mod caps;
pub mod cgroupfs;
#[cfg(target_arch = "x86_64")]
pub mod entry;
pub mod error;
pub mod eventfd;
pub mod fd;
pub mod features;
pub mod file;
pub mod hostname;
pub mod ids;
pub mod keyring;
pub mod landlock;
#[cfg(target_arch = "x86_64")]
pub mod libc_start;
pub mod memfd;
pub mod mount;
pub mod namespaces;
pub mod netlink;
pub mod pidfd;
pub mod poll;
pub mod prctl;
pub mod process;
pub mod procfs;
pub mod root;
pub mod sched;
pub mod seccomp;
pub mod signals;
pub mod socket;
pub mod start;
pub mod tty;

pub use error::{Errno, Error, Result};
pub use process::Pid;

#[cfg(test)]
#[path = "../tests/common/scratch.rs"]
mod scratch;
