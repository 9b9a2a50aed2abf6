//! One command and all processes that it makes, an instruction at a time.

use crate::commands::Everyday;
use anyhow::{Context, Result, ensure};
use iced_x86::{Decoder, DecoderOptions, Instruction, InstructionInfoFactory, OpAccess, Register};
use nix::errno::Errno;
use nix::libc::user_regs_struct;
use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::{HashMap, HashSet};

/// Addresses that everyday commands touch. The program is not relocated, so they are the file's.
#[derive(Debug, Default)]
pub struct Touched {
    /// The command that is followed now: a bit.
    pub command: u64,
    /// Of instructions, in the order of their first execution, with the bits of the commands that executed them.
    pub executed: Vec<(u64, u64)>,
    /// Of data that was read or written.
    pub read: HashSet<u64>,
    /// With their places in `executed`.
    decoded: HashMap<u64, (usize, Instruction)>,
}

/// Longer than any instruction (Intel SDM 2.3.11), in words of ptrace.
const WORDS: u64 = 2;

/// Puts this process, and what it starts, on one processor: to wake another one for every instruction takes three times as long.
pub fn on_one_processor() -> Result<()> {
    let mut processors = CpuSet::new();
    processors.set(sched_getcpu()?)?;
    sched_setaffinity(Pid::from_raw(0), &processors).context("sched_setaffinity")
}

/// Follows a command to its end. Processes that stay behind it, as a container's does, are let go.
pub fn command(command: &Everyday, touched: &mut Touched) -> Result<()> {
    let first = command.stopped()?;
    let options =
        [Options::PTRACE_O_TRACECLONE, Options::PTRACE_O_TRACEFORK, Options::PTRACE_O_TRACEVFORK, Options::PTRACE_O_TRACEEXEC];
    ptrace::seize(first, options.into_iter().collect())?;
    kill(first, Signal::SIGCONT)?;
    let mut followed = HashMap::from([(first, false)]);
    let status = loop {
        let status = waitpid(None, Some(WaitPidFlag::__WALL)).context("waitpid")?;
        let Some(pid) = status.pid() else { continue };
        match status {
            WaitStatus::Exited(_, status) if pid == first => break status,
            WaitStatus::Signaled(_, signal, _) if pid == first => break 128 + signal as i32,
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => {
                followed.remove(&pid);
                continue;
            }
            WaitStatus::PtraceEvent(_, _, event) if event == Event::PTRACE_EVENT_EXEC as i32 => {
                followed.insert(pid, is_ours(pid));
            }
            _ => {}
        }
        // A copy of ours is ours until it executes something else; of the shell before and the payload after nothing is noted.
        let ours = *followed.entry(pid).or_insert_with(|| is_ours(pid));
        let signal = match status {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                if ours {
                    touched.at(pid);
                }
                None
            }
            WaitStatus::Stopped(_, signal) if !matches!(signal, Signal::SIGSTOP) => Some(signal),
            _ => None,
        };
        // One that was killed meanwhile says so at the next wait.
        match if ours { ptrace::step(pid, signal) } else { ptrace::cont(pid, signal) } {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error).context("ptrace"),
        }
    };
    followed.remove(&first);
    for pid in followed.into_keys() {
        let_go(pid)?;
    }
    ensure!(status == 0, "exit status {status}");
    Ok(())
}

/// Its protected copy has the same name (crates/wolffia/src/protection.rs).
fn is_ours(pid: Pid) -> bool {
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    program.file_name().is_some_and(|name| name.to_string_lossy().contains("wolffia"))
}

fn let_go(pid: Pid) -> Result<()> {
    match ptrace::interrupt(pid).and_then(|()| waitpid(pid, Some(WaitPidFlag::__WALL))).and_then(|_| ptrace::detach(pid, None)) {
        Ok(()) | Err(Errno::ESRCH | Errno::ECHILD) => Ok(()),
        Err(error) => Err(error).context("PTRACE_DETACH"),
    }
}

impl Touched {
    /// Notes the instruction that `pid` is about to execute.
    fn at(&mut self, pid: Pid) {
        let Ok(registers) = ptrace::getregs(pid) else { return };
        let instruction = match self.decoded.get(&registers.rip) {
            Some((place, known)) => {
                self.executed[*place].1 |= self.command;
                *known
            }
            None => {
                let mut bytes = Vec::new();
                for word in 0..WORDS {
                    let address = registers.rip + word * 8;
                    let Ok(part) = ptrace::read(pid, address as ptrace::AddressType) else { break };
                    bytes.extend(part.to_ne_bytes());
                }
                let decoded = Decoder::with_ip(64, &bytes, registers.rip, DecoderOptions::NONE).decode();
                self.decoded.insert(registers.rip, (self.executed.len(), decoded));
                self.executed.push((registers.rip, self.command));
                decoded
            }
        };
        // `lea` computes an address and reads nothing.
        for memory in InstructionInfoFactory::new()
            .info(&instruction)
            .used_memory()
            .iter()
            .filter(|memory| memory.access() != OpAccess::NoMemAccess)
        {
            let address = memory.virtual_address(0, |register, _, _| value(register, &registers));
            self.read.extend(address);
        }
    }
}

/// Vector indices are left out: nothing gathers constants.
fn value(register: Register, registers: &user_regs_struct) -> Option<u64> {
    Some(match register.full_register() {
        Register::RAX => registers.rax,
        Register::RBX => registers.rbx,
        Register::RCX => registers.rcx,
        Register::RDX => registers.rdx,
        Register::RSI => registers.rsi,
        Register::RDI => registers.rdi,
        Register::RBP => registers.rbp,
        Register::RSP => registers.rsp,
        Register::R8 => registers.r8,
        Register::R9 => registers.r9,
        Register::R10 => registers.r10,
        Register::R11 => registers.r11,
        Register::R12 => registers.r12,
        Register::R13 => registers.r13,
        Register::R14 => registers.r14,
        Register::R15 => registers.r15,
        Register::FS => registers.fs_base,
        Register::GS => registers.gs_base,
        Register::ES | Register::CS | Register::SS | Register::DS => 0,
        _ => return None,
    })
}
