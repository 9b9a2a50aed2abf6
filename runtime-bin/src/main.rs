//! The `wolffia` command: reads the command line, calls the library, says what went wrong.

mod cli;
mod commands;
mod foreground;
mod log;
mod report;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::read(std::env::args_os()) {
        Ok(call) => commands::run(call),
        Err(answer) => answer.give(),
    }
}
