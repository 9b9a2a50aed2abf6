//! What the kernel takes: each command of a runtime as a bare row of system calls. Nothing is read, decided, checked or protected.
//!
//! `wolffia-floor run …` and its sisters are what the benchmark compares runtimes with; `wolffia-floor measure` starts and
//! measures any command, because a program this small adds nothing to what it measures: a peak of memory is inherited over exec.

#![no_main]
// A build that unwinds, of tests and lints, cannot do without std.
#![cfg_attr(panic = "abort", no_std)]

mod confine;
mod container;
mod kernel;
mod measure;
mod mounts;

use kernel::{Words, execute_words, exit, fail};

fn main(mut words: Words) -> ! {
    words.take();
    match words.take().to_bytes() {
        b"run" => container::run(words),
        b"create" => container::create(words),
        b"start" => container::start(words),
        b"state" => container::state(),
        b"exec" => container::exec(words),
        b"kill" => container::kill(words),
        b"delete" => container::delete(words),
        b"measure" => measure::measure(words),
        b"traced" => execute_traced(words),
        b"true" => exit(0),
        b"linger" => linger(),
        b"wait" => wait_for_ever(),
        _ => fail("unknown word", 22),
    }
}

#[cfg(panic = "abort")]
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    fail("panic", 0)
}

/// For who counts system calls or instructions: the parent finds the program before its first one.
fn execute_traced(words: Words) -> ! {
    kernel::stop_for_tracer();
    execute_words(words)
}

/// The payload of a container whose runtime has to wait for it.
fn linger() -> ! {
    // Longer than a runtime that is stepped takes until it waits for the payload.
    const MILLISECONDS: usize = 3000;
    kernel::sleep(MILLISECONDS);
    exit(0)
}

/// The payload of a container that stays.
fn wait_for_ever() -> ! {
    loop {
        kernel::pause();
    }
}
