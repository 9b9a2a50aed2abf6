#![no_main]

#[path = "../../crates/plan/tests/common/mod.rs"]
mod common;
#[path = "../checks/mount_options.rs"]
mod mount_options;

libfuzzer_sys::fuzz_target!(|data: &[u8]| mount_options::check(data));
