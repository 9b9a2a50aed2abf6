//! Follows a command and all its processes, to count what repeats exactly.
//!
//! The tracer is a process of its own: when it ends, what it still follows, like the process of a created container, goes on alone.
//! One that is stepped has to be let go before, or it would die of the step that nobody takes.

use clap::ValueEnum;
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::sys::personality::{self, Persona};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
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
    let mut command = Command::new(floor);
    command.arg("traced").args(rest).stdin(Stdio::null()).stdout(Stdio::null());
    if unit == Unit::Instructions {
        // The same addresses everywhere, and the same variants of the C library's functions on every processor.
        personality::set(Persona::ADDR_NO_RANDOMIZE)?;
        command.env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-ERMS,-FSRM");
        own_processor()?;
    }
    let child = command.spawn()?;
    let first = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    waitpid(first, Some(WaitPidFlag::__WALL))?;
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACEEXIT;
    ptrace::setoptions(first, options)?;
    let mut tracer = Tracer { unit, first, inside: HashMap::from([(first, false)]), found: Traced::default() };
    tracer.go_on(first, None)?;
    tracer.follow()?;
    if unit == Unit::Instructions {
        tracer.let_go()?;
    }
    Ok(tracer.found)
}

/// On one processor with what it steps: waking another one for every instruction takes several times as long.
fn own_processor() -> io::Result<()> {
    let mut processors = CpuSet::new();
    processors.set(sched_getcpu()?)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &processors)?)
}

struct Tracer {
    unit: Unit,
    first: Pid,
    /// The processes that are followed, and whether each is inside a system call.
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
    fn follow(&mut self) -> io::Result<()> {
        loop {
            match waitpid(None, Some(WaitPidFlag::__WALL)).map_err(not_waited)? {
                WaitStatus::Exited(pid, status) => {
                    if self.is_last(pid, status) {
                        return Ok(());
                    }
                }
                WaitStatus::Signaled(pid, signal, _) => {
                    if self.is_last(pid, 128 + signal as i32) {
                        return Ok(());
                    }
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
                WaitStatus::Stopped(pid, Signal::SIGSTOP) => {
                    self.inside.entry(pid).or_default();
                    self.go_on(pid, None)?;
                }
                WaitStatus::Stopped(pid, signal) => self.go_on(pid, Some(signal))?,
                WaitStatus::Continued(_) | WaitStatus::StillAlive => {}
            }
        }
    }

    /// A process has ended: whether it is the one that everything waits for.
    fn is_last(&mut self, pid: Pid, status: i32) -> bool {
        self.inside.remove(&pid);
        if pid == self.first {
            self.found.status = status;
        }
        pid == self.first
    }

    /// Stops each process that is left, which ends the system call that it waits in, and takes the stop back.
    fn let_go(&mut self) -> io::Result<()> {
        for pid in std::mem::take(&mut self.inside).into_keys() {
            kill(pid, Signal::SIGSTOP)?;
            loop {
                match waitpid(pid, Some(WaitPidFlag::__WALL))? {
                    WaitStatus::Stopped(_, Signal::SIGSTOP) => break,
                    WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Ok(()),
                    _ => self.go_on(pid, None)?,
                }
            }
            ptrace::detach(pid, None)?;
        }
        Ok(())
    }
}

/// Go's threads change their ids by a real-time signal to each (setxid of glibc).
fn not_waited(error: Errno) -> io::Error {
    match error {
        Errno::EINVAL => io::Error::other("it uses real-time signals, for which nix has no name: it cannot be followed"),
        other => other.into(),
    }
}

fn peak_kib(pid: Pid) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or_default()
}
