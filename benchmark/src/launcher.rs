//! Starts one command through the floor program, which measures it.

use crate::contestant::{Act, Case, Contestant};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;
use std::process::{Command, Stdio};

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

    /// Calls a command to its end. A failure is an error with what the command said.
    pub fn measure(&self, contestant: &Contestant, act: Act, case: &Case) -> io::Result<Sample> {
        let mut said = File::options().read(true).append(true).create(true).open(case.caller.folder.join("said"))?;
        let before = said.seek(io::SeekFrom::End(0))?;
        let (uid, gid) = if case.caller.switch { (case.caller.uid, case.caller.gid) } else { (0, 0) };
        let mut command = Command::new(&self.floor.program);
        command.args(["measure", if self.priority { "1" } else { "0" }, &uid.to_string(), &gid.to_string()]);
        command.args(contestant.command(act, case));
        environment(&mut command, case).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(said.try_clone()?);
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

impl Launcher {
    /// The same call, for a tracer.
    pub fn traced(&self, contestant: &Contestant, act: Act, case: &Case) -> Command {
        let mut command = Command::new(&self.floor.program);
        command.arg("traced").args(contestant.command(act, case));
        environment(&mut command, case).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// Engines pass little more.
pub fn environment<'command>(command: &'command mut Command, case: &Case) -> &'command mut Command {
    let folder = &case.caller.folder;
    command.env_clear().env("PATH", SEARCH_PATH).env("XDG_RUNTIME_DIR", folder).current_dir(folder)
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
