//! The rounds: everybody does everything once in each, in an order that turns.

use crate::bundle::{self, Payload};
use crate::contestant::{Act, Case, Contestant};
use crate::launcher::{Launcher, Sample, await_end, await_payload, clean_up};
use crate::options::Who;
use crate::stage::{Caller, Stage};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Rounds that nobody counts: caches fill, processors wake up.
const WARM_UP: usize = 2;

/// What a series of samples is of; `contestant` is a place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub who: Who,
    pub filter: bool,
    pub act: Act,
    pub contestant: usize,
}

pub type Samples = BTreeMap<Key, Vec<Sample>>;

/// The bundles of one caller.
#[derive(Debug)]
pub struct Bundles {
    pub rootfs: PathBuf,
    made: Vec<((bool, &'static str), PathBuf)>,
}

impl Bundles {
    pub fn make(stage: &Stage, caller: &Caller, payload: &Path) -> io::Result<Self> {
        let rootfs = bundle::make_rootfs(stage, caller, payload)?;
        let mut made = Vec::new();
        for filter in [false, true] {
            for payload in [Payload::True, Payload::Linger, Payload::Wait] {
                made.push(((filter, payload.word()), bundle::make(caller, &rootfs, filter, payload)?));
            }
        }
        Ok(Self { rootfs, made })
    }

    pub fn case<'stage>(&'stage self, caller: &'stage Caller, filter: bool, payload: Payload, id: &'stage str) -> Case<'stage> {
        let found = self.made.iter().find(|(key, _)| *key == (filter, payload.word()));
        let bundle = found.map_or(self.rootfs.as_path(), |(_, path)| path.as_path());
        Case { caller, rootfs: &self.rootfs, bundle, filter, payload, id }
    }
}

/// Measures everybody. A contestant that fails at something is left out of that scenario, and it is said why.
pub fn measure(
    stage: &Stage,
    bundles: &[Bundles],
    contestants: &[Contestant],
    launcher: &Launcher,
    rounds: usize,
    failures: &mut Vec<String>,
) -> io::Result<Samples> {
    let mut samples = Samples::new();
    let begin = Instant::now();
    let mut out: Vec<(Who, bool, usize)> = Vec::new();
    for round in 0..WARM_UP + rounds {
        for (caller, bundles) in stage.callers.iter().zip(bundles) {
            stage.enter(caller)?;
            for filter in [false, true] {
                for turn in 0..contestants.len() {
                    let contestant = (turn + round) % contestants.len();
                    let scenario = (caller.who, filter, contestant);
                    if out.contains(&scenario) {
                        continue;
                    }
                    match lifecycle(launcher, &contestants[contestant], bundles, caller, filter, round) {
                        Ok(taken) if round >= WARM_UP => {
                            for (act, sample) in taken {
                                let key = Key { who: caller.who, filter, act, contestant };
                                samples.entry(key).or_default().push(sample);
                            }
                        }
                        Ok(_) => {}
                        Err(error) => {
                            let with = if filter { " with seccomp" } else { "" };
                            failures.push(format!("{}{with}: {error}", caller.who.title()));
                            eprintln!("\nleft out: {}", failures.last().map_or("", String::as_str));
                            out.push(scenario);
                        }
                    }
                }
            }
        }
        progress("rounds", round + 1, WARM_UP + rounds, begin);
    }
    Ok(samples)
}

/// One container run, and one made, used and taken away.
fn lifecycle(
    launcher: &Launcher,
    contestant: &Contestant,
    bundles: &Bundles,
    caller: &Caller,
    filter: bool,
    round: usize,
) -> io::Result<Vec<(Act, Sample)>> {
    make_state(contestant, caller)?;
    let with = if filter { "filter" } else { "plain" };
    let (first, second) = (id(&format!("run-{with}-{round}")), id(&format!("life-{with}-{round}")));
    let case = bundles.case(caller, filter, Payload::True, &first);
    let mut taken = vec![(Act::Run, run(contestant, &case, || launcher.measure(contestant, Act::Run, &case))?)];
    let life = bundles.case(caller, filter, Payload::Wait, &second);
    taken.extend(live(contestant, &life, |act| launcher.measure(contestant, act, &life))?);
    Ok(taken)
}

/// The life of one container, from `create` to `delete`; whatever fails, nothing of it stays.
pub fn live<Found>(
    contestant: &Contestant,
    life: &Case,
    mut call: impl FnMut(Act) -> io::Result<Found>,
) -> io::Result<Vec<(Act, Found)>> {
    forget_pid(life)?;
    let mut whole = || {
        let mut found = vec![(Act::Create, call(Act::Create)?)];
        let pid = contestant.pid(life)?;
        found.push((Act::State, call(Act::State)?));
        found.push((Act::Start, call(Act::Start)?));
        await_payload(pid)?;
        found.push((Act::Exec, call(Act::Exec)?));
        found.push((Act::Kill, call(Act::Kill)?));
        await_end(pid)?;
        found.push((Act::Delete, call(Act::Delete)?));
        Ok(found)
    };
    whole().inspect_err(|_| clean_up(contestant, life))
}

/// The id of a container. No other run has the same: a cgroup of that name may be left of one that was killed, and the kernel kills
/// what is cloned into a cgroup that `cgroup.kill` was written to (`cgroup_post_fork` compares its count of kills with the parent's).
pub fn id(name: &str) -> String {
    format!("benchmark-{:07}-{name}", std::process::id())
}

/// The file is the caller's, and what stands in it from the container before may be another process by now.
fn forget_pid(case: &Case) -> io::Result<()> {
    match std::fs::remove_file(Contestant::pid_file(case)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A container that runs to its end; whatever fails, nothing of it stays.
pub fn run<Found>(contestant: &Contestant, case: &Case, call: impl FnOnce() -> io::Result<Found>) -> io::Result<Found> {
    forget_pid(case)?;
    call().inspect_err(|_| clean_up(contestant, case))
}

/// The floor program makes no state directory, and some runtimes none with missing parents.
pub fn make_state(contestant: &Contestant, caller: &Caller) -> io::Result<()> {
    let state = contestant.state(caller);
    match std::fs::create_dir(&state) {
        Ok(()) => std::os::unix::fs::chown(&state, Some(caller.uid), Some(caller.gid)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// A line that is written over and over on a terminal, and once elsewhere.
pub fn progress(what: &str, done: usize, of: usize, begin: Instant) {
    let (start, end) = match (io::stderr().is_terminal(), done == of) {
        (true, true) => ("\r", "\n"),
        (true, false) => ("\r", ""),
        (false, true) => ("", "\n"),
        (false, false) => return,
    };
    eprint!("{start}{what}: {done} of {of}, {} s{end}", begin.elapsed().as_secs());
}
