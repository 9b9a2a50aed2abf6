//! Follows a command and all its processes, to count what repeats exactly.
//!
//! The tracer is a process of its own: when it ends, what it still follows, like the process of a created container, goes on alone.

use clap::ValueEnum;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::process::{Command, Stdio};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Unit {
    SystemCalls,
    /// In user mode
    Instructions,
}

impl Unit {
    pub fn word(self) -> &'static str {
        match self {
            Self::SystemCalls => "system-calls",
            Self::Instructions => "instructions",
        }
    }
}

/// What was seen of a command and of all processes that it made, until it ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traced {
    /// The exit status, or 128 and the signal.
    pub status: i32,
    pub count: u64,
    /// The largest of their peaks, VmHWM when they ended. Processes that stay are not among them.
    pub peak_kib: u64,
}

impl Traced {
    /// Prints it for [`Traced::read`] in another process.
    pub fn print(self) {
        println!("{} {} {}", self.status, self.count, self.peak_kib);
    }

    pub fn read(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        Some(Self {
            status: words.next()?.parse().ok()?,
            count: words.next()?.parse().ok()?,
            peak_kib: words.next()?.parse().ok()?,
        })
    }
}

/// Runs a command to its end. Its first word is the floor program, whose word `traced` lets itself be traced and becomes another.
pub fn trace(unit: Unit, words: &[OsString]) -> io::Result<Traced> {
    let (floor, rest) = words.split_first().ok_or_else(|| io::Error::other("nothing to trace"))?;
    let child = Command::new(floor).arg("traced").args(rest).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let first = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    waitpid(first, Some(WaitPidFlag::__WALL))?;
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACEEXIT;
    ptrace::setoptions(first, options)?;
    let tracer = Tracer { unit, first, inside: HashMap::new(), found: Traced::default() };
    tracer.go_on(first, None)?;
    tracer.follow()
}

struct Tracer {
    unit: Unit,
    first: Pid,
    /// Whether each process is inside a system call.
    inside: HashMap<Pid, bool>,
    found: Traced,
}

impl Tracer {
    fn go_on(&self, pid: Pid, signal: Option<Signal>) -> io::Result<()> {
        let done = match self.unit {
            Unit::SystemCalls => ptrace::syscall(pid, signal),
            Unit::Instructions => ptrace::step(pid, signal),
        };
        match done {
            // It was killed meanwhile; its end will be reported.
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Until the first process ends, whose life this loop waits for.
    fn follow(mut self) -> io::Result<Traced> {
        loop {
            match waitpid(None, Some(WaitPidFlag::__WALL))? {
                WaitStatus::Exited(pid, status) if pid == self.first => return Ok(Traced { status, ..self.found }),
                WaitStatus::Signaled(pid, signal, _) if pid == self.first => {
                    return Ok(Traced { status: 128 + signal as i32, ..self.found });
                }
                WaitStatus::PtraceSyscall(pid) => {
                    let inside = self.inside.entry(pid).or_default();
                    *inside = !*inside;
                    self.found.count += u64::from(*inside);
                    self.go_on(pid, None)?;
                }
                WaitStatus::PtraceEvent(pid, _, event) => {
                    if event == ptrace::Event::PTRACE_EVENT_EXIT as i32 {
                        self.found.peak_kib = self.found.peak_kib.max(peak_kib(pid));
                    }
                    self.go_on(pid, None)?;
                }
                // After a step.
                WaitStatus::Stopped(pid, Signal::SIGTRAP) => {
                    self.found.count += 1;
                    self.go_on(pid, None)?;
                }
                // How a new process begins.
                WaitStatus::Stopped(pid, Signal::SIGSTOP) => self.go_on(pid, None)?,
                WaitStatus::Stopped(pid, signal) => self.go_on(pid, Some(signal))?,
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) | WaitStatus::Continued(_) | WaitStatus::StillAlive => {}
            }
        }
    }
}

fn peak_kib(pid: Pid) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or_default()
}
