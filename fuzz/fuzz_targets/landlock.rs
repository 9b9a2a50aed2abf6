#![no_main]

#[path = "../checks/landlock.rs"]
mod landlock;

libfuzzer_sys::fuzz_target!(|data: &[u8]| landlock::check(data));
