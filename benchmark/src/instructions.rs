//! The instructions and the memory that each command of wolffia takes, held against what they were: time is noise, these repeat.
//!
//! What is counted: every instruction in user mode of every process of the command, single-stepped, from the first one of the
//! command to its end; of a created container's process, up to where it waits. The kernel's own work is not in it. Memory is the peak
//! of the largest process.

use crate::bundle::Payload;
use crate::contestant::{Act, Contestant};
use crate::launcher::Launcher;
use crate::options::{Instructions, View, Who};
use crate::rounds::{Bundles, id, live};
use crate::stage::{Caller, Stage};
use crate::trace::{Traced, Unit};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// Percent by which a command may rise, and may fall before it has to be written down. Between machines the counts were seen to differ by
/// half a percent.
const TOLERANCE: u64 = 5;
/// Percent by which a peak of memory may rise. How much of a file the kernel maps around a fault depends on how it came into the page
/// cache: the same program, as install(1) leaves it, was seen to differ by 5, and by 57 after it was read from end to end.
const MEMORY_TOLERANCE: u64 = 25;
const MEMORY: &str = "-peak-kib";

type Counts = BTreeMap<String, u64>;

/// Counts, compares, and says so; `false` if a count has left its place.
pub fn gate(options: &Instructions) -> io::Result<bool> {
    if !rustix::process::geteuid().is_root() {
        println!("not counted: containers of root are what is counted (start this as root)\n0 passed, 0 failed, 1 skipped");
        return Ok(true);
    }
    let counts = count(&options.program)?;
    if std::env::var_os("WOLFFIA_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&options.baseline, render(&counts))?;
        println!("{} is written", options.baseline.display());
        return Ok(true);
    }
    let before = read(&options.baseline)?;
    let names: std::collections::BTreeSet<&String> = counts.keys().chain(before.keys()).collect();
    let mut failed = 0;
    for name in &names {
        let (line, is_well) = compare(name, before.get(*name).copied(), counts.get(*name).copied());
        println!("{line}");
        failed += u64::from(!is_well);
    }
    if failed > 0 {
        println!("if it is meant: WOLFFIA_BLESS=1 and the same command write {}", options.baseline.display());
    }
    println!("{} passed, {failed} failed, 0 skipped", names.len() as u64 - failed);
    Ok(failed == 0)
}

fn compare(name: &str, before: Option<u64>, now: Option<u64>) -> (String, bool) {
    let (Some(before), Some(now)) = (before, now) else {
        let what = if now.is_some() { "is not in the file" } else { "is in the file, and was not counted" };
        return (format!("{name}: {what}"), false);
    };
    let is_memory = name.ends_with(MEMORY);
    let tolerance = if is_memory { MEMORY_TOLERANCE } else { TOLERANCE };
    let percent = (now as f64 / before.max(1) as f64 - 1.0) * 100.0;
    let verdict = match now {
        _ if now * 100 > before * (100 + tolerance) => "  MORE than before",
        _ if !is_memory && now * 100 < before * (100 - tolerance) => "  less than before: write it down",
        _ => "",
    };
    (format!("{name:<18} {now:>9} {percent:>+6.1} %{verdict}"), verdict.is_empty())
}

fn render(counts: &Counts) -> String {
    let mut text =
        "# Instructions in user mode of each command, and KiB at its peak: `tests/run` counts them again, and docs/testing.md tells how.\n".to_owned();
    for (name, count) in counts {
        let done = writeln!(text, "{name} {count}");
        debug_assert!(done.is_ok());
    }
    text
}

fn read(file: &Path) -> io::Result<Counts> {
    let text = std::fs::read_to_string(file)?;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let parsed = line.split_once(' ').and_then(|(name, count)| Some((name.to_owned(), count.trim().parse().ok()?)));
            parsed.ok_or_else(|| io::Error::other(format!("{}: {line:?} is no name and number", file.display())))
        })
        .collect()
}

fn count(program: &str) -> io::Result<Counts> {
    let floor = Contestant::floor()?;
    let runtime = Contestant::runtime(&format!("wolffia={program}"))?;
    let stage = Stage::set(View::V2, &[Who::Root])?;
    let launcher = Launcher::new(floor.clone(), false);
    let caller = &stage.callers[0];
    let bundles = Bundles::make(&stage, caller, &floor.program)?;
    stage.enter(caller)?;
    // Stepping takes its time, and a processor for itself.
    let (found, others) = std::thread::scope(|scope| {
        let others = scope.spawn(|| others(&launcher, &runtime, caller, &floor));
        (containers(&launcher, &runtime, caller, &bundles), others.join())
    });
    let others = others.map_err(|_| io::Error::other("a thread of this program has panicked"))??;
    Ok(found?.into_iter().chain(others).collect())
}

fn containers(launcher: &Launcher, runtime: &Contestant, caller: &Caller, bundles: &Bundles) -> io::Result<Vec<(String, u64)>> {
    // A runtime that waits longer may do more than one that need not; stepped, it would be the one or the other by chance.
    let (first, second) = (id("run"), id("life"));
    let run = bundles.case(caller, false, Payload::Linger, &first);
    let life = bundles.case(caller, false, Payload::Wait, &second);
    let count = |act: Act, case| {
        let mut words = runtime.command(act, case);
        if act == Act::Exec {
            words.pop();
            words.push(Payload::Linger.word().into());
        }
        launcher.trace(Unit::Instructions, &words, caller)
    };
    let mut counts = vec![(Act::Run, count(Act::Run, &run)?)];
    counts.extend(live(runtime, &life, |act| count(act, &life))?);
    Ok(counts.into_iter().flat_map(|(act, traced)| rows(act.word(), traced)).collect())
}

/// What is kept of a command.
fn rows(name: &str, traced: Traced) -> [(String, u64); 2] {
    [(name.to_owned(), traced.count), (format!("{name}{MEMORY}"), traced.peak_kib)]
}

/// What needs no bundle.
fn others(launcher: &Launcher, runtime: &Contestant, caller: &Caller, floor: &Contestant) -> io::Result<Vec<(String, u64)>> {
    let program: OsString = runtime.program.clone().into();
    let payload: OsString = floor.program.clone().into();
    let beside = floor.program.parent().unwrap_or(Path::new("/")).into();
    let empty = caller.folder.join("empty");
    std::fs::create_dir(&empty)?;
    let state: OsString = empty.into();
    let commands: [(&str, Vec<OsString>); 4] = [
        ("features", vec!["features".into()]),
        ("list", vec!["--root".into(), state, "list".into()]),
        // Its directory may lie in /tmp, where a sandbox has nothing of the host's.
        ("sandbox", vec!["sandbox".into(), "--ro".into(), beside, "--".into(), payload, Payload::Linger.word().into()]),
        ("spec", vec!["spec".into()]),
    ];
    let count = |(name, words): (&str, Vec<OsString>)| -> io::Result<_> {
        let command: Vec<OsString> = std::iter::once(program.clone()).chain(words).collect();
        Ok(rows(name, launcher.trace(Unit::Instructions, &command, caller)?))
    };
    let counted: io::Result<Vec<_>> = commands.into_iter().map(count).collect();
    Ok(counted?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::compare;

    #[test]
    fn a_rise_and_a_fall_of_more_than_the_tolerance_are_told() {
        assert!(compare("run", Some(1000), Some(1050)).1);
        assert!(!compare("run", Some(1000), Some(1051)).1);
        assert!(compare("run", Some(1000), Some(950)).1);
        assert!(!compare("run", Some(1000), Some(949)).1);
        assert!(compare("run-peak-kib", Some(1000), Some(1250)).1 && compare("run-peak-kib", Some(1000), Some(1)).1);
        assert!(!compare("run-peak-kib", Some(1000), Some(1251)).1);
        assert!(!compare("run", None, Some(1)).1);
        assert!(!compare("run", Some(1), None).1);
    }
}
