//! Starts one command through the floor program, which measures it.

use crate::contestant::{Act, Case, Contestant};
use crate::stage::Caller;
use crate::trace::{Traced, Unit};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, waitpid};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What one call of a command took.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// From its exec to its end.
    pub nanoseconds: u64,
    /// ru_maxrss as wait4 gives it: the largest peak of one process among the command and those descendants that it waited for.
    pub peak_kib: u64,
    /// ru_minflt, of all of them together.
    pub minor_faults: u64,
    /// Of all of them together.
    pub processor_us: u64,
}

#[derive(Debug)]
pub struct Launcher {
    floor: Contestant,
    pub priority: bool,
}

impl Launcher {
    pub fn new(floor: Contestant, priority: bool) -> Self {
        Self { floor, priority }
    }

    /// Whether this user may take the priority that keeps others' work out of the measurement.
    pub fn priority_is_allowed(&self, folder: &Path) -> bool {
        let mut command = Command::new(&self.floor.program);
        command.args(["measure", "1", "0", "0"]).arg(&self.floor.program).arg("true").current_dir(folder).stderr(Stdio::null());
        command.output().is_ok_and(|output| output.status.success())
    }

    /// Follows a command to its end; `words` are its program and arguments.
    pub fn trace(&self, unit: Unit, words: &[OsString], caller: &Caller) -> io::Result<Traced> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["trace", unit.word(), "--"]).arg(&self.floor.program).args(words);
        // Not a pipe, which a container that stays would keep open.
        let said = caller.folder.join(format!("said-{unit:?}-{:?}", std::thread::current().id()));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&said)?);
        let output = environment(&mut command, caller).output()?;
        match Traced::read(&String::from_utf8_lossy(&output.stdout)) {
            Some(traced) if traced.status == 0 => Ok(traced),
            found => {
                let said = std::fs::read_to_string(said)?;
                Err(io::Error::other(format!("{words:?} was followed to its end, {found:?}: {}", said.trim())))
            }
        }
    }

    /// Calls a command to its end. A failure is an error with what the command said.
    pub fn measure(&self, contestant: &Contestant, act: Act, case: &Case) -> io::Result<Sample> {
        let mut said = File::options().read(true).append(true).create(true).open(case.caller.folder.join("said"))?;
        let before = said.seek(io::SeekFrom::End(0))?;
        let (uid, gid) = if case.caller.switch { (case.caller.uid, case.caller.gid) } else { (0, 0) };
        let mut command = Command::new(&self.floor.program);
        command.args(["measure", if self.priority { "1" } else { "0" }, &uid.to_string(), &gid.to_string()]);
        command.args(contestant.command(act, case));
        environment(&mut command, case.caller).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(said.try_clone()?);
        let output = command.output()?;
        let report = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<u64> = report.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [status, nanoseconds, peak_kib, minor_faults, user_us, system_us] = numbers[..] else {
            return Err(io::Error::other(format!("the measuring process ended with {} and said {report:?}", output.status)));
        };
        if status != 0 {
            let mut text = String::new();
            said.seek(io::SeekFrom::Start(before))?;
            said.read_to_string(&mut text)?;
            let why = format!("{} {} ended with {status}: {}", contestant.name, act.word(), text.trim());
            return Err(io::Error::other(why));
        }
        Ok(Sample { nanoseconds, peak_kib, minor_faults, processor_us: user_us + system_us })
    }
}

/// Engines pass little more.
pub fn environment<'command>(command: &'command mut Command, caller: &Caller) -> &'command mut Command {
    let folder = &caller.folder;
    command.env_clear().env("PATH", SEARCH_PATH).env("XDG_RUNTIME_DIR", folder).current_dir(folder)
}

/// Waits until a container that was started runs its payload: some runtimes return from `start` before, and cannot `exec` yet.
pub fn await_payload(pid: i32) -> io::Result<()> {
    const LIMIT: Duration = Duration::from_secs(5);
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        if std::fs::read_to_string(format!("/proc/{pid}/comm"))?.trim() == "true" {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(io::Error::other(format!("a container's payload does not run {LIMIT:?} after start")))
}

/// Takes away what a failure has left of a container.
pub fn clean_up(contestant: &Contestant, case: &Case) {
    // No process id: it was not created, or it ran in the foreground, where its runtime ends it.
    let ended = contestant.pid(case).map_or(Ok(()), |pid| {
        if let Some(process) = Pid::from_raw(pid) {
            kill_process(process, Signal::KILL)?;
        }
        await_end(pid)
    });
    let mut words = contestant.command(Act::Delete, case);
    if !contestant.is_floor {
        words.push("--force".into());
    }
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    let deleted = environment(&mut command, case.caller).stdin(Stdio::null()).stdout(Stdio::null()).output();
    if let (Err(error), _) | (_, Err(error)) = (ended, deleted) {
        eprintln!("\n{}: {} may be left: {error}", contestant.name, case.id);
    }
}

/// Waits for the end of a container's process, which came to us when its runtime ended.
pub fn await_end(pid: i32) -> io::Result<()> {
    const LIMIT: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::other("a process id of 0"))?;
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&LIMIT))? == 0 {
        return Err(io::Error::other("a container did not end within 10 s after SIGKILL"));
    }
    match waitpid(Some(pid), WaitOptions::NOHANG) {
        Ok(_) | Err(rustix::io::Errno::CHILD) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
