//! Where the processors' time of a command goes, call by call: perf(1) looks many thousand times a second at what both processors do while
//! a contestant runs containers, and every look counts for the system call that it falls into. Following the calls one by one would
//! make each so slow that the quick ones look like the slow ones.

use crate::bundle::Payload;
use crate::contestant::{Act, Contestant};
use crate::launcher::Launcher;
use crate::options::{Calls, Looked};
use crate::rounds::{Bundles, id, live, make_state, progress, run};
use crate::stage::{Caller, Stage};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Looks in a second, on each processor.
const FREQUENCY: u32 = 20_000;

const USER: &str = "in user mode";
const HELPERS: &str = "newuidmap and newgidmap";
const FAULT: &str = "page faults";
const INTERRUPT: &str = "interrupts, scheduling, first return of a clone";

/// Microseconds of one command, by what they were spent in.
type Spent = BTreeMap<String, f64>;

/// Looks at every contestant in turn, and prints the tables.
pub fn show(options: &Calls) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(io::Error::other("what the kernel does is shown to root only: start this as root"));
    }
    let floor = Contestant::floor()?;
    let mut contestants = vec![floor.clone()];
    for runtime in &options.runtimes {
        contestants.push(Contestant::runtime(runtime)?);
    }
    let stage = Stage::set(options.view, &options.who)?;
    let launcher = Launcher::new(floor.clone(), false);
    for caller in &stage.callers {
        let bundles = Bundles::make(&stage, caller, &floor.program)?;
        stage.enter(caller)?;
        let mut columns = Vec::new();
        for looked in &options.of {
            for contestant in &contestants {
                let scene =
                    Scene { looked: *looked, rounds: options.rounds, contestant, caller, bundles: &bundles, launcher: &launcher };
                columns.push((format!("{} {}", scene.title(), contestant.name), scene.look()?));
            }
        }
        println!("Microseconds of the processors in one command, {}, mean of {}.\n", caller.who.title(), options.rounds);
        println!("{}", render(&columns, options.least));
    }
    Ok(())
}

/// One column: who is looked at, doing what.
struct Scene<'stage> {
    looked: Looked,
    rounds: usize,
    contestant: &'stage Contestant,
    caller: &'stage Caller,
    bundles: &'stage Bundles,
    launcher: &'stage Launcher,
}

impl Scene<'_> {
    fn title(&self) -> &'static str {
        match self.looked {
            Looked::Run => "`run`",
            Looked::RunSeccomp => "`run` with a profile",
            Looked::Exec => "`exec`",
        }
    }

    fn look(&self) -> io::Result<Spent> {
        make_state(self.contestant, self.caller)?;
        match self.looked {
            Looked::Run => self.look_at(|scene, round| scene.run(false, round)),
            Looked::RunSeccomp => self.look_at(|scene, round| scene.run(true, round)),
            Looked::Exec => self.look_at_exec(),
        }
    }

    fn run(&self, filter: bool, round: usize) -> io::Result<()> {
        let id = id(&format!("calls-{filter}-{round}"));
        let case = self.bundles.case(self.caller, filter, Payload::True, &id);
        run(self.contestant, &case, || self.launcher.measure(self.contestant, Act::Run, &case)).map(drop)
    }

    /// The life of one container, of which only `exec` is looked at.
    fn look_at_exec(&self) -> io::Result<Spent> {
        let id = id("calls-exec");
        let life = self.bundles.case(self.caller, false, Payload::Wait, &id);
        let mut spent = Spent::new();
        live(self.contestant, &life, |act| {
            let call = || self.launcher.measure(self.contestant, act, &life).map(drop);
            if act == Act::Exec {
                spent = self.look_at(|_, _| call())?;
                return Ok(());
            }
            call()
        })?;
        Ok(spent)
    }

    fn look_at(&self, call: impl Fn(&Self, usize) -> io::Result<()>) -> io::Result<Spent> {
        let data = self.caller.folder.join("perf.data");
        let mut perf = begin(&data)?;
        let done = self.calls(call);
        // At the end of its input `cat` ends, and with it perf.
        drop(perf.stdin.take());
        let status = perf.wait()?;
        done?;
        if !status.success() {
            return Err(io::Error::other(format!("perf record ended with {status}")));
        }
        let comm = self.contestant.program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        read(&data, &comm, 1e6 / f64::from(FREQUENCY) / self.rounds as f64)
    }

    fn calls(&self, call: impl Fn(&Self, usize) -> io::Result<()>) -> io::Result<()> {
        let begin = Instant::now();
        for round in 0..self.rounds {
            call(self, round)?;
            progress(&format!("{} {}", self.title(), self.contestant.name), round + 1, self.rounds, begin);
        }
        Ok(())
    }
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
    let (mut whose, mut frames) = (None, Vec::<String>::new());
    for line in BufReader::new(script.stdout.take().ok_or_else(|| io::Error::other("perf script has no output"))?).lines() {
        let line = line?;
        if line.is_empty() {
            match whose.take() {
                Some(Whose::Its) => *spent.entry(place(&frames)).or_default() += microseconds,
                Some(Whose::Helpers) => *spent.entry(HELPERS.to_owned()).or_default() += microseconds,
                Some(Whose::Others) | None => {}
            }
            frames.clear();
        } else if line.starts_with([' ', '\t']) && whose.is_some() {
            frames.extend(line.split_whitespace().nth(1).map(str::to_owned));
        } else {
            whose = Some(whose_name(line.trim(), comm));
        }
    }
    let status = script.wait()?;
    if spent.is_empty() || !status.success() {
        return Err(io::Error::other(format!("perf has seen nothing of {comm} ({status})")));
    }
    Ok(spent)
}

/// Whose time a look is.
#[derive(Debug, PartialEq, Eq)]
enum Whose {
    Its,
    Helpers,
    Others,
}

fn whose_name(name: &str, comm: &str) -> Whose {
    // The kernel keeps fifteen letters of a name.
    if name == comm.get(..15).unwrap_or(comm) {
        return Whose::Its;
    }
    // What a program is called that was executed by descriptor (up to Linux 6.13, the descriptor's number), from /proc/self/exe or from a
    // copy in memory; and runc's names for its own processes. Nothing else is started meanwhile.
    let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    match name {
        _ if is_number || name == "exe" || name.starts_with("memfd:") || name.starts_with("runc:[") => Whose::Its,
        "newuidmap" | "newgidmap" => Whose::Helpers,
        _ => Whose::Others,
    }
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

fn render(columns: &[(String, Spent)], least: u32) -> String {
    let names: BTreeSet<&String> = columns.iter().flat_map(|(_, spent)| spent.keys()).collect();
    let times = |name: &String| columns.iter().map(|(_, spent)| spent.get(name).copied().unwrap_or_default()).collect();
    let mut rows: Vec<(&String, Vec<f64>)> = names.into_iter().map(|name| (name, times(name))).collect();
    rows.sort_by(|(_, one), (_, other)| other.iter().sum::<f64>().total_cmp(&one.iter().sum()));
    let (shown, rest): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|(_, times)| times.iter().any(|time| *time >= f64::from(least)));
    let mut text = format!("| in |{}\n", columns.iter().map(|(title, _)| format!(" {title} |")).collect::<String>());
    text += &format!("|---|{}\n", "---|".repeat(columns.len()));
    let mut row = |name: &str, times: &[f64]| {
        text += &format!("| {name} |{}\n", times.iter().map(|time| format!(" {time:.0} |")).collect::<String>());
    };
    shown.iter().for_each(|(name, times)| row(name, times));
    let sum = |place: usize| rest.iter().map(|(_, times)| times[place]).sum();
    row(&format!("other calls, less than {least} µs each"), &(0..columns.len()).map(sum).collect::<Vec<f64>>());
    row("all", &columns.iter().map(|(_, spent)| spent.values().sum()).collect::<Vec<f64>>());
    text
}

#[cfg(test)]
mod tests {
    use super::{FAULT, INTERRUPT, Spent, USER, Whose, place, render, whose_name};

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

    #[test]
    fn a_look_is_told_by_the_name_that_the_kernel_keeps() {
        assert_eq!(whose_name("crun-static-wit", "crun-static-with-long-name"), Whose::Its);
        for name in ["6", "exe", "memfd:crun_clon", "runc:[2:INIT]"] {
            assert_eq!(whose_name(name, "wolffia"), Whose::Its, "{name}");
        }
        assert_eq!(whose_name("newgidmap", "wolffia"), Whose::Helpers);
        assert_eq!(whose_name("true", "wolffia"), Whose::Others);
    }

    #[test]
    fn what_is_small_for_everybody_is_summed_up() {
        let spent = |pairs: &[(&str, f64)]| pairs.iter().map(|(name, time)| ((*name).to_owned(), *time)).collect::<Spent>();
        let one = spent(&[("`mount`", 30.0), ("`read`", 3.0), ("`write`", 4.0)]);
        let other = spent(&[("`mount`", 1.0), ("`read`", 5.0)]);
        let text = render(&[("a".to_owned(), one), ("b".to_owned(), other)], 20);
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows[0], "| in | a | b |");
        assert_eq!(rows[2..], ["| `mount` | 30 | 1 |", "| other calls, less than 20 µs each | 7 | 5 |", "| all | 37 | 6 |"]);
    }
}
