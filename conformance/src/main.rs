//! Judges any OCI runtime by its command line.
//!
//! Every case quotes the sentence that it judges, makes a fresh bundle, runs in a process of its own and cleans up after
//! itself. Nothing here links to a runtime: what can be seen from outside, and what a static payload reports from inside,
//! is all there is.

mod bench;
mod bundle;
mod case;
mod cases;
mod compare;
mod container;
mod identity;
mod options;
mod processes;
mod report;
mod runner;
mod runtime;
mod view;
mod worker;

use clap::Parser as _;
use options::Options;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match &options.worker {
        Some(name) => worker::judge(&options, name).map(|()| true),
        None if options.list => {
            list(&options);
            Ok(true)
        }
        None if !options.compare.is_empty() => {
            options.allowed().and_then(|reasons| compare::print(&options.compare, &reasons)).map(|()| true)
        }
        None => runner::run_all(&options),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("wolffia-conformance: {why}");
            ExitCode::from(2)
        }
    }
}

fn list(options: &Options) {
    for case in cases::all().iter().filter(|case| options.selects(&case.name)) {
        println!("{} [{}, since {}] {}: {}", case.name, case.level, case.since, case.clause, case.sentence);
    }
}
