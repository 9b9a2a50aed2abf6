#![no_main]

#[path = "../../crates/plan/tests/common/mod.rs"]
mod common;
#[path = "../checks/configuration.rs"]
mod configuration;

libfuzzer_sys::fuzz_target!(|data: &[u8]| configuration::check(data));
