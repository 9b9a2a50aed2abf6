//! Where the processor's time of `run` goes, call by call: perf(1) looks many thousand times a second at what both processors do while a
//! contestant runs containers, and every look counts for the system call that it falls into. Following the calls one by one would
//! make each so slow that the quick ones look like the slow ones.

use crate::bundle::Payload;
use crate::contestant::{Act, Contestant};
use crate::launcher::Launcher;
use crate::options::Calls;
use crate::rounds::{Bundles, id, make_state, progress, run};
use crate::stage::{Caller, Stage};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Looks in a second, on each processor.
const FREQUENCY: u32 = 20_000;
/// Microseconds below which a call has no row of its own.
const LEAST: f64 = 20.0;

const USER: &str = "in user mode";
const FAULT: &str = "page faults";
const INTERRUPT: &str = "interrupts, scheduling, first return of a clone";

/// Microseconds of one `run`, by what they were spent in.
type Spent = BTreeMap<String, f64>;

/// Looks at every contestant in turn, and prints the table.
pub fn show(options: &Calls) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(io::Error::other("what the kernel does is shown to root only: start this as root"));
    }
    let floor = Contestant::floor()?;
    let mut contestants = vec![floor.clone()];
    for runtime in &options.runtimes {
        contestants.push(Contestant::runtime(runtime)?);
    }
    let stage = Stage::set(options.view, &[crate::options::Who::Root])?;
    let launcher = Launcher::new(floor.clone(), false);
    let caller = &stage.callers[0];
    let bundles = Bundles::make(&stage, caller, &floor.program)?;
    stage.enter(caller)?;
    let mut all = Vec::new();
    for contestant in &contestants {
        all.push(look(options.rounds, contestant, caller, &bundles, &launcher)?);
    }
    print!("{}", render(options.rounds, &contestants, &all));
    Ok(())
}

fn look(rounds: usize, contestant: &Contestant, caller: &Caller, bundles: &Bundles, launcher: &Launcher) -> io::Result<Spent> {
    let data = caller.folder.join("perf.data");
    let mut perf = begin(&data)?;
    let done = runs(rounds, contestant, caller, bundles, launcher);
    // At the end of its input `cat` ends, and with it perf.
    drop(perf.stdin.take());
    let status = perf.wait()?;
    done?;
    if !status.success() {
        return Err(io::Error::other(format!("perf record ended with {status}")));
    }
    let comm = contestant.program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    read(&data, &comm, 1e6 / f64::from(FREQUENCY) / rounds as f64)
}

/// Looks at everything while `cat` runs, which perf starts when it is ready: its answer says that the looking has begun.
fn begin(data: &Path) -> io::Result<Child> {
    let mut perf = Command::new("perf");
    perf.args(["record", "--quiet", "--all-cpus", "--event", "cpu-clock", "--freq", &FREQUENCY.to_string(), "-g", "--output"]);
    perf.arg(data).args(["--", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut perf = perf.spawn().map_err(|error| io::Error::other(format!("perf (Debian: linux-perf): {error}")))?;
    let (Some(to), Some(from)) = (perf.stdin.as_mut(), perf.stdout.as_mut()) else {
        return Err(io::Error::other("perf record has no pipes"));
    };
    match to.write_all(b".").and_then(|()| from.read_exact(&mut [0])) {
        Ok(()) => Ok(perf),
        Err(error) => {
            let status = perf.wait()?;
            Err(io::Error::other(format!("perf record has not begun, and ended with {status}: {error}")))
        }
    }
}

fn runs(rounds: usize, contestant: &Contestant, caller: &Caller, bundles: &Bundles, launcher: &Launcher) -> io::Result<()> {
    let begin = Instant::now();
    make_state(contestant, caller)?;
    for round in 0..rounds {
        let id = id(&format!("calls-{round}"));
        let case = bundles.case(caller, false, Payload::True, &id);
        run(contestant, &case, || launcher.measure(contestant, Act::Run, &case))?;
        progress(&contestant.name, round + 1, rounds, begin);
    }
    Ok(())
}

/// `perf script` writes a line with the name of the process for each look, and below it where it was, innermost first.
fn read(data: &Path, comm: &str, microseconds: f64) -> io::Result<Spent> {
    let mut script = Command::new("perf")
        .args(["script", "--fields", "comm,ip,sym", "--input"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut spent = Spent::new();
    let (mut ours, mut frames) = (false, Vec::<String>::new());
    for line in BufReader::new(script.stdout.take().ok_or_else(|| io::Error::other("perf script has no output"))?).lines() {
        let line = line?;
        if line.is_empty() {
            if ours {
                *spent.entry(place(&frames)).or_default() += microseconds;
            }
            frames.clear();
            ours = false;
        } else if line.starts_with([' ', '\t']) && (ours || !frames.is_empty()) {
            frames.extend(line.split_whitespace().nth(1).map(str::to_owned));
        } else {
            // The kernel keeps fifteen letters of a name.
            ours = line.trim() == comm.get(..15).unwrap_or(comm);
        }
    }
    let status = script.wait()?;
    if spent.is_empty() || !status.success() {
        return Err(io::Error::other(format!("perf has seen nothing of {comm} ({status})")));
    }
    Ok(spent)
}

/// What the innermost frames belong to.
fn place(frames: &[String]) -> String {
    let called = frames.iter().position(|frame| frame == "do_syscall_64" || frame == "invoke_syscall");
    if let Some(called) = called {
        let inner = frames[..called].iter().rev().find(|frame| *frame != "x64_sys_call");
        return inner.map_or(INTERRUPT.to_owned(), |function| call(function));
    }
    let is_in = |text: &str| frames.iter().any(|frame| frame.contains(text));
    match () {
        () if is_in("exc_page_fault") => FAULT,
        () if is_in("ret_from_fork") || is_in("sysvec") || is_in("schedule") => INTERRUPT,
        () => USER,
    }
    .to_owned()
}

/// `__x64_sys_openat`, `__do_sys_clone3`, `ksys_read`: the call's own name is what is left.
fn call(function: &str) -> String {
    let name = ["__x64_sys_", "__arm64_sys_", "__do_sys_", "__se_sys_", "ksys_", "__sys_", "do_sys_"]
        .iter()
        .find_map(|prefix| function.strip_prefix(prefix));
    name.map_or(INTERRUPT.to_owned(), |name| format!("`{name}`"))
}

fn render(rounds: usize, contestants: &[Contestant], all: &[Spent]) -> String {
    let of = |spent: &Spent, name: &str| spent.get(name).copied().unwrap_or_default();
    let names: BTreeSet<&String> = all.iter().flat_map(Spent::keys).collect();
    let mut rows: Vec<(&String, Vec<f64>)> =
        names.into_iter().map(|name| (name, all.iter().map(|spent| of(spent, name)).collect())).collect();
    rows.sort_by(|(_, one), (_, other)| other.iter().sum::<f64>().total_cmp(&one.iter().sum()));
    let (shown, rest): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, times)| times.iter().any(|time| *time >= LEAST));
    let mut text = format!("Microseconds of the processors in one `run` of root's, {rounds} runs.\n\n| in |");
    contestants.iter().for_each(|contestant| text += &format!(" {} |", contestant.name));
    text += &format!("\n|---|{}\n", "---|".repeat(contestants.len()));
    let mut row = |name: &str, times: &[f64]| {
        text += &format!("| {name} |{}\n", times.iter().map(|time| format!(" {time:.0} |")).collect::<String>());
    };
    let sum = |rows: &[(&String, Vec<f64>)]| -> Vec<f64> {
        (0..contestants.len()).map(|place| rows.iter().map(|(_, times)| times[place]).sum()).collect()
    };
    shown.iter().for_each(|(name, times)| row(name, times));
    row(&format!("other calls, less than {LEAST} µs each"), &sum(&rest));
    row("all", &all.iter().map(|spent| spent.values().sum()).collect::<Vec<f64>>());
    text
}

#[cfg(test)]
mod tests {
    use super::{FAULT, INTERRUPT, USER, place};

    fn at(frames: &[&str]) -> String {
        place(&frames.iter().map(|frame| (*frame).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_look_counts_for_the_call_that_it_falls_into() {
        assert_eq!(at(&["strlen", "copy_net_ns", "kernel_clone", "__do_sys_clone3", "do_syscall_64", "entry"]), "`clone3`");
        assert_eq!(at(&["path_openat", "__x64_sys_openat", "x64_sys_call", "do_syscall_64", "entry"]), "`openat`");
        assert_eq!(at(&["clear_page", "asm_exc_page_fault", "[unknown]"]), FAULT);
        assert_eq!(at(&["finish_task_switch", "ret_from_fork_asm"]), INTERRUPT);
        assert_eq!(at(&["[unknown]"]), USER);
        assert_eq!(at(&["syscall_exit_to_user_mode", "do_syscall_64"]), INTERRUPT);
    }
}
