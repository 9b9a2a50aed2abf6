//! What repeats from run to run: system calls and exact peaks of memory, seen by following each command once.

use crate::bundle::Payload;
use crate::contestant::{Act, Contestant};
use crate::launcher::Launcher;
use crate::rounds::{Bundles, id, live, make_state, run};
use crate::stage::Caller;
use crate::trace::{Traced, Unit};
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
                    counts.extend(found.into_iter().map(|(act, traced)| Count { contestant: place, filter, act, traced }));
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
    let (first, second) = if filter { ("filter-run", "filter-life") } else { ("plain-run", "plain-life") };
    let (first, second) = (id(first), id(second));
    let case = bundles.case(caller, filter, Payload::True, &first);
    let life = bundles.case(caller, filter, Payload::Wait, &second);
    let traced = run(contestant, &case, || launcher.trace(Unit::SystemCalls, &contestant.command(Act::Run, &case), caller))?;
    let mut found = vec![(Act::Run, traced)];
    found.extend(live(contestant, &life, |act| launcher.trace(Unit::SystemCalls, &contestant.command(act, &life), caller))?);
    Ok(found)
}
