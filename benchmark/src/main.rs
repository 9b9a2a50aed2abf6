//! Measures any OCI runtimes by their command lines, beside a program that makes the same system calls and nothing else.
//!
//! Nothing here links to a runtime. What is measured, and how, is told in docs/performance.md.

mod bundle;
mod calls;
mod chart;
mod contestant;
mod counts;
mod growth;
mod instructions;
mod launcher;
mod options;
mod results;
mod rounds;
mod stage;
mod table;
mod trace;

use clap::Parser as _;
use contestant::Contestant;
use launcher::Launcher;
use options::{Act, Compare, Options};
use results::{Machine, Results};
use rounds::Bundles;
use stage::Stage;
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match Options::parse().act {
        Act::Compare(options) => compare(&options).map(|()| true),
        Act::Calls(options) => calls::show(&options).map(|()| true),
        Act::Instructions(options) => instructions::gate(&options),
        Act::Trace { unit, words } => trace::trace(unit, &words).map(trace::Traced::print).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("wolffia-benchmark: {why}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Compare) -> io::Result<()> {
    const QUICK: (usize, [usize; 2]) = (5, [1, 10]);
    let (rounds, levels) = if options.quick { (QUICK.0, QUICK.1.to_vec()) } else { (options.rounds, options.alive.clone()) };
    let levels: Vec<usize> = levels.into_iter().filter(|level| *level > 0).collect();
    let floor = Contestant::floor()?;
    let mut contestants = vec![floor.clone()];
    for runtime in &options.runtimes {
        contestants.push(Contestant::runtime(runtime)?);
    }
    let stage = Stage::set(options.view, &options.who)?;
    let mut launcher = Launcher::new(floor.clone(), false);
    launcher.priority = !options.no_priority && options.view == options::View::V2 && launcher.priority_is_allowed(&stage.folder);
    let mut bundles = Vec::new();
    for caller in &stage.callers {
        bundles.push(Bundles::make(&stage, caller, &floor.program)?);
    }
    let mut failures = Vec::new();
    let samples = rounds::measure(&stage, &bundles, &contestants, &launcher, rounds, &mut failures)?;
    let (first, own) = (&stage.callers[0], &bundles[0]);
    stage.enter(first)?;
    let counts = match first.switch {
        false => counts::measure(first, own, &contestants, &launcher, &mut failures),
        true => Vec::new(),
    };
    let levels = growth::measure(first, own, &contestants, &launcher, &levels, &mut failures);
    let machine = Machine {
        date: date()?,
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        processors: std::thread::available_parallelism()?.get(),
        view: options.view.word(),
        priority: launcher.priority,
        rounds,
    };
    let results = Results { machine, contestants, samples, counts, levels, failures };
    if let Some(file) = &options.json {
        std::fs::write(file, format!("{:#}\n", results.json()))?;
    }
    if let Some(file) = &options.svg {
        std::fs::write(file, chart::render(&results))?;
    }
    print!("{}", table::render(&results));
    Ok(())
}

fn date() -> io::Result<String> {
    let output = std::process::Command::new("date").arg("--iso-8601").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
