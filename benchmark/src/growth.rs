//! How creating becomes slower and memory grows with the containers that are there already.

use crate::bundle::Payload;
use crate::contestant::{Act, Contestant};
use crate::launcher::{Launcher, await_end};
use crate::rounds::{Bundles, id, make_state, progress};
use crate::stage::Caller;
use rustix::process::{Pid, Signal, kill_process};
use std::io;
use std::time::Instant;

/// How often creating is measured at each level.
const SAMPLES: usize = 7;

/// One level of one contestant.
#[derive(Debug, Clone)]
pub struct Level {
    pub contestant: usize,
    pub alive: usize,
    /// The median of creating one more, and its peak memory (ru_maxrss).
    pub create_ns: u64,
    pub peak_kib: u64,
    /// What one container holds while it waits for `start`: the mean Pss of the containers' processes.
    pub held_kib: u64,
}

pub fn measure(
    caller: &Caller,
    bundles: &Bundles,
    contestants: &[Contestant],
    launcher: &Launcher,
    levels: &[usize],
    failures: &mut Vec<String>,
) -> Vec<Level> {
    let mut found = Vec::new();
    for (place, contestant) in contestants.iter().enumerate() {
        let mut alive = Vec::new();
        let grown = grow(caller, bundles, contestant, launcher, levels, &mut alive, |level| {
            found.push(Level { contestant: place, ..level });
        });
        let ended = end(caller, bundles, contestant, launcher, &alive);
        if let Err(error) = grown.and(ended) {
            failures.push(format!("many containers: {error}"));
            eprintln!("\nleft out: {}", failures.last().map_or("", String::as_str));
        }
    }
    found
}

fn grow(
    caller: &Caller,
    bundles: &Bundles,
    contestant: &Contestant,
    launcher: &Launcher,
    levels: &[usize],
    alive: &mut Vec<(String, i32)>,
    mut found: impl FnMut(Level),
) -> io::Result<()> {
    let (begin, most) = (Instant::now(), levels.iter().max().copied().unwrap_or_default());
    make_state(contestant, caller)?;
    let create = |id: &str| {
        let case = bundles.case(caller, false, Payload::Wait, id);
        let sample = launcher.measure(contestant, Act::Create, &case)?;
        Ok::<_, io::Error>((sample, contestant.pid(&case)?))
    };
    for level in levels {
        while alive.len() < *level {
            let name = id(&format!("alive-{}", alive.len()));
            let (_, pid) = create(&name)?;
            alive.push((name, pid));
            if alive.len().is_multiple_of(20) || alive.len() == most {
                progress(&format!("{}: containers", contestant.name), alive.len(), most, begin);
            }
        }
        let mut samples = Vec::new();
        for number in 0..SAMPLES {
            let name = id(&format!("more-{number}"));
            let (sample, pid) = create(&name)?;
            samples.push(sample);
            end(caller, bundles, contestant, launcher, &[(name, pid)])?;
        }
        samples.sort_by_key(|sample| sample.nanoseconds);
        let middle = samples[SAMPLES / 2];
        found(Level {
            contestant: 0,
            alive: *level,
            create_ns: middle.nanoseconds,
            peak_kib: samples.iter().map(|sample| sample.peak_kib).max().unwrap_or_default(),
            held_kib: alive.iter().map(|(_, pid)| proportional_kib(*pid)).sum::<u64>() / alive.len().max(1) as u64,
        });
    }
    Ok(())
}

fn end(
    caller: &Caller,
    bundles: &Bundles,
    contestant: &Contestant,
    launcher: &Launcher,
    containers: &[(String, i32)],
) -> io::Result<()> {
    // All at once, because the end of a network namespace is waited for in the background.
    for pid in containers.iter().filter_map(|(_, pid)| Pid::from_raw(*pid)) {
        match kill_process(pid, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    for (id, pid) in containers {
        await_end(*pid)?;
        launcher.measure(contestant, Act::Delete, &bundles.case(caller, false, Payload::Wait, id))?;
    }
    Ok(())
}

/// The memory of a process, its share of pages that others have too.
fn proportional_kib(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or_default()
}
