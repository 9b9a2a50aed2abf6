//! Follows a command and all its processes, to count what repeats exactly.

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::io;
use std::process::Command;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    SystemCalls,
    /// Instructions in user mode.
    Instructions,
}

/// What was seen of a command and of all processes that it made, until it ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traced {
    pub status: i32,
    pub count: u64,
    /// The largest of their peaks, VmHWM when they ended. Processes that stay are not among them.
    pub peak_kib: u64,
}

/// Runs a command to its end: one of the floor program's `traced`, which lets itself be traced and becomes another program.
/// Processes that are still there then, like that of a created container, are let go.
pub fn trace(mut command: Command, unit: Unit) -> io::Result<Traced> {
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
    tracer.let_go()?;
    Ok(tracer.found)
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
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Until the first process ends, whose life this loop waits for.
    fn follow(&mut self) -> io::Result<()> {
        loop {
            match waitpid(None, Some(WaitPidFlag::__WALL))? {
                WaitStatus::Exited(pid, code) => {
                    self.inside.remove(&pid);
                    if pid == self.first {
                        self.found.status = code;
                        return Ok(());
                    }
                }
                WaitStatus::Signaled(pid, signal, _) => {
                    self.inside.remove(&pid);
                    if pid == self.first {
                        self.found.status = 128 + signal as i32;
                        return Ok(());
                    }
                }
                WaitStatus::PtraceSyscall(pid) => {
                    let inside = self.inside.entry(pid).or_default();
                    *inside = !*inside;
                    if *inside && self.unit == Unit::SystemCalls {
                        self.found.count += 1;
                    }
                    self.go_on(pid, None)?;
                }
                WaitStatus::PtraceEvent(pid, _, event) => {
                    if event == ptrace::Event::PTRACE_EVENT_EXIT as i32 {
                        self.found.peak_kib = self.found.peak_kib.max(peak_kib(pid));
                    }
                    self.go_on(pid, None)?;
                }
                WaitStatus::Stopped(pid, signal) => self.stopped(pid, signal)?,
                WaitStatus::Continued(_) | WaitStatus::StillAlive => {}
            }
        }
    }

    fn stopped(&mut self, pid: Pid, signal: Signal) -> io::Result<()> {
        match signal {
            // After a step; a program of ours has no other use for it.
            Signal::SIGTRAP => {
                self.found.count += u64::from(self.unit == Unit::Instructions);
                self.go_on(pid, None)
            }
            // How a new process begins.
            Signal::SIGSTOP => {
                self.inside.entry(pid).or_default();
                self.go_on(pid, None)
            }
            other => self.go_on(pid, Some(other)),
        }
    }

    fn let_go(&mut self) -> io::Result<()> {
        for pid in std::mem::take(&mut self.inside).into_keys().filter(|pid| *pid != self.first) {
            match nix::sys::signal::kill(pid, Signal::SIGSTOP) {
                Ok(()) => {}
                Err(nix::errno::Errno::ESRCH) => continue,
                Err(error) => return Err(error.into()),
            }
            if !self.stopped_at_last(pid)? {
                continue;
            }
            match ptrace::detach(pid, None) {
                Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits until a process stops for the signal it was sent; `false` when it has ended instead.
    fn stopped_at_last(&self, pid: Pid) -> io::Result<bool> {
        loop {
            match waitpid(pid, Some(WaitPidFlag::__WALL))? {
                WaitStatus::Stopped(_, Signal::SIGSTOP) => return Ok(true),
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Ok(false),
                // The system call that it waited in ends first.
                _ => self.go_on(pid, None)?,
            }
        }
    }
}

fn peak_kib(pid: Pid) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or_default()
}
