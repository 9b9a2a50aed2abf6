//! What broke other runtimes, tried on this one: each test is named by its CVE, sets the trap, and asserts that nothing of the host
//! is reached and that an honest container of the same shape still runs.
//!
//! The traps know nothing of wolffia: `WOLFFIA_BIN=/usr/sbin/runc cargo test -p wolffia-tests --test escapes` shows which of them
//! still catch another runtime (docs/security.md has the table).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod canary;
mod exec;
mod identity;
mod image;
mod input;
mod inside;
mod keys;
mod link;
mod own_files;
mod process;
mod race;
mod view;
