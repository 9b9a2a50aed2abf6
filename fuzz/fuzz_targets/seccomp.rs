#![no_main]

#[path = "../checks/seccomp.rs"]
mod seccomp;

libfuzzer_sys::fuzz_target!(|data: &[u8]| seccomp::check(data));
