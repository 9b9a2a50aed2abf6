//! What repeats from run to run: system calls and exact peaks of memory, seen by following each command once.

use crate::bundle::Payload;
use crate::contestant::{Act, Contestant};
use crate::launcher::{Launcher, await_end};
use crate::rounds::{Bundles, make_state};
use crate::stage::Caller;
use crate::trace::{Traced, Unit, trace};
use std::io;

/// Of one act of one contestant.
#[derive(Debug, Clone, Copy)]
pub struct Count {
    pub contestant: usize,
    pub filter: bool,
    pub act: Act,
    pub traced: Traced,
}

/// Follows every act of everybody once, with and without seccomp. The caller must be this program's own user: a setuid helper that
/// is traced by another has no rights.
pub fn measure(
    caller: &Caller,
    bundles: &Bundles,
    contestants: &[Contestant],
    launcher: &Launcher,
    failures: &mut Vec<String>,
) -> Vec<Count> {
    let mut counts = Vec::new();
    for filter in [false, true] {
        for (place, contestant) in contestants.iter().enumerate() {
            match follow(caller, bundles, contestant, launcher, filter) {
                Ok(found) => {
                    counts.extend(found.into_iter().map(|(act, traced)| Count { contestant: place, filter, act, traced }))
                }
                Err(error) => failures.push(format!("counting system calls: {error}")),
            }
        }
    }
    counts
}

fn follow(
    caller: &Caller,
    bundles: &Bundles,
    contestant: &Contestant,
    launcher: &Launcher,
    filter: bool,
) -> io::Result<Vec<(Act, Traced)>> {
    make_state(contestant, caller)?;
    let run = bundles.case(caller, filter, Payload::True, "count-run");
    let life = bundles.case(caller, filter, Payload::Wait, "count-life");
    let call = |act, case| {
        let traced = trace(launcher.traced(contestant, act, case), Unit::SystemCalls)?;
        if traced.status == 0 { Ok((act, traced)) } else { Err(failed(contestant, act, traced.status)) }
    };
    let mut found = vec![call(Act::Run, &run)?, call(Act::Create, &life)?];
    let pid = contestant.pid(&life)?;
    for act in [Act::State, Act::Start, Act::Exec, Act::Kill] {
        found.push(call(act, &life)?);
    }
    await_end(pid)?;
    found.push(call(Act::Delete, &life)?);
    Ok(found)
}

fn failed(contestant: &Contestant, act: Act, status: i32) -> io::Error {
    io::Error::other(format!("{} {} ended with {status} while it was followed", contestant.name, act.word()))
}
