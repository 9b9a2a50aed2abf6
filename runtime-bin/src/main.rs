//! The `wolffia` command: reads the command line, calls the library, says what went wrong.

#![cfg_attr(not(test), no_main)]

mod cli;
mod commands;
mod confine;
mod foreground;
mod log;
mod report;

use report::ExitCode;

#[cfg(target_arch = "x86_64")]
wolffia::sys::entry!(commands::ENTERING, cli::VALUED);

#[cfg(plain_processor)]
wolffia::sys::libc_start!();

#[cfg(not(test))]
wolffia::sys::main!(command);

// The tests have a `main` of their own, and everything is reached from this one.
#[cfg(test)]
fn main() {
    std::process::exit(command().into());
}

fn command() -> ExitCode {
    // Its files, its environment and its descriptors would be a less privileged caller's (CVE-2026-41163).
    if wolffia::sys::process::is_elevated() {
        eprintln!(
            "wolffia: refusing to run with rights that its caller lacks (set-user-id or file capabilities): install it without"
        );
        return ExitCode::FAILURE;
    }
    match cli::read(std::env::args_os()) {
        Ok(call) => commands::run(call),
        Err(answer) => answer.give(),
    }
}
