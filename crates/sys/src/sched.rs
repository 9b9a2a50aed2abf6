//! CPU, I/O and memory scheduling, limits and the execution domain.

use crate::error::{Call, check};
use crate::{Errno, Error, Pid, Result};
use nix::sys::personality::Persona;
use std::mem::MaybeUninit;

/// `struct sched_attr` (sched_setattr(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SchedAttr {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// -20 to 19, for the time-sharing policies.
    pub nice: i32,
    /// 1 to 99, for the real-time policies.
    pub priority: u32,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub runtime: u64,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub deadline: u64,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub period: u64,
}

/// The highest CPU or node number that is taken, against masks as large as a configuration likes.
const MOST: usize = 8192;
const WORD: usize = usize::BITS as usize;

/// Sets the CPU scheduler's attributes of a process; `None` is the caller.
pub fn sched_setattr(pid: impl Into<Option<Pid>>, attr: &SchedAttr) -> Result<()> {
    let pid = number(pid);
    let raw = libc::sched_attr {
        // The first version of the structure: everything but the utilisation clamps (5.3).
        size: 48,
        sched_policy: attr.policy,
        sched_flags: attr.flags,
        sched_nice: attr.nice,
        sched_priority: attr.priority,
        sched_runtime: attr.runtime,
        sched_deadline: attr.deadline,
        sched_period: attr.period,
    };
    // SAFETY: the kernel reads `size` bytes of `raw`.
    let outcome = unsafe { libc::syscall(libc::SYS_sched_setattr, pid, &raw const raw, 0) };
    check(outcome, "sched_setattr", || format!("{pid}, {attr:?}")).map(drop)
}

/// Sets the I/O priority of a process (class and level, ioprio_set(2)); `None` is the caller.
pub fn ioprio_set(pid: impl Into<Option<Pid>>, value: u32) -> Result<()> {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    let pid = number(pid);
    // SAFETY: ioprio_set reads no memory.
    let outcome = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, value) };
    check(outcome, "ioprio_set", || format!("IOPRIO_WHO_PROCESS, {pid}, {value:#x}")).map(drop)
}

/// Pins a process to these CPUs; `None` is the caller. The kernel leaves out the ones that do not exist.
pub fn set_affinity(pid: impl Into<Option<Pid>>, cpus: &[usize]) -> Result<()> {
    let pid = number(pid);
    let args = || format!("{pid}, {cpus:?}");
    let mask = mask(cpus.iter().copied()).ok_or_else(|| Error::new("sched_setaffinity", args(), Errno::EINVAL))?;
    // SAFETY: the kernel reads the given number of bytes of `mask`.
    let outcome = unsafe { libc::syscall(libc::SYS_sched_setaffinity, pid, size_of_val(mask.as_slice()), mask.as_ptr()) };
    check(outcome, "sched_setaffinity", args).map(drop)
}

/// Lets a process run on every CPU that its cgroup allows; `None` is the caller.
pub fn reset_affinity(pid: impl Into<Option<Pid>>) -> Result<()> {
    let pid = number(pid);
    let every = [usize::MAX; MOST / WORD];
    // SAFETY: the kernel reads the given number of bytes of `every`, and takes away what does not exist.
    let outcome = unsafe { libc::syscall(libc::SYS_sched_setaffinity, pid, size_of_val(&every), every.as_ptr()) };
    check(outcome, "sched_setaffinity", || format!("{pid}, every CPU")).map(drop)
}

/// The caller's CPUs.
pub fn affinity() -> Result<Vec<usize>> {
    let mut mask = [0_usize; MOST / WORD];
    // SAFETY: the kernel writes at most the given number of bytes of `mask`.
    let outcome = unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&mask), mask.as_mut_ptr()) };
    check(outcome, "sched_getaffinity", || "0".into())?;
    Ok((0..MOST).filter(|cpu| mask[cpu / WORD] & (1 << (cpu % WORD)) != 0).collect())
}

/// Sets the NUMA memory policy (mode with mode flags, set_mempolicy(2)) of the calling thread.
pub fn set_mempolicy(mode: u32, nodes: &[u32]) -> Result<()> {
    let args = || format!("{mode:#x}, {nodes:?}");
    let wanted = nodes.iter().map(|node| *node as usize);
    let mask = mask(wanted).ok_or_else(|| Error::new("set_mempolicy", args(), Errno::EINVAL))?;
    // MPOL_DEFAULT and MPOL_LOCAL insist on no mask; the kernel takes one bit less than it is told.
    let bits = if nodes.is_empty() { 0 } else { mask.len() * WORD + 1 };
    let pointer = if nodes.is_empty() { std::ptr::null() } else { mask.as_ptr() };
    // SAFETY: the kernel reads the given number of bits of `mask`, or nothing from a null pointer.
    let outcome = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, pointer, bits) };
    check(outcome, "set_mempolicy", args).map(drop)
}

/// Sets the execution domain (personality(2)).
pub fn personality(value: u32) -> Result<()> {
    let persona = Persona::from_bits_retain(value.cast_signed());
    nix::sys::personality::set(persona).map(drop).call("personality", || format!("{value:#x}"))
}

/// Sets a limit (`RLIMIT_*` number) of a process; `None` is the caller. `u64::MAX` is no limit.
pub fn prlimit(pid: impl Into<Option<Pid>>, resource: u32, soft: u64, hard: u64) -> Result<()> {
    let pid = number(pid);
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    let old = std::ptr::null_mut::<libc::rlimit64>();
    // SAFETY: the kernel reads `limit` and writes nothing to a null pointer.
    let outcome = unsafe { libc::prlimit64(pid, resource, &raw const limit, old) };
    check(outcome.into(), "prlimit64", || format!("{pid}, resource {resource}, soft {soft}, hard {hard}")).map(drop)
}

/// Soft and hard limit of the caller (`RLIMIT_*` number). `u64::MAX` is no limit.
pub fn getrlimit(resource: u32) -> Result<(u64, u64)> {
    let mut limit = MaybeUninit::<libc::rlimit64>::uninit();
    // SAFETY: a null new limit changes nothing; the kernel writes a whole `rlimit64` on success.
    let outcome = unsafe { libc::prlimit64(0, resource, std::ptr::null(), limit.as_mut_ptr()) };
    check(outcome.into(), "prlimit64", || format!("0, resource {resource}"))?;
    // SAFETY: the call succeeded, so the kernel filled it.
    let limit = unsafe { limit.assume_init() };
    Ok((limit.rlim_cur, limit.rlim_max))
}

fn number(pid: impl Into<Option<Pid>>) -> i32 {
    pid.into().map_or(0, Pid::get)
}

/// A bit mask of kernel words; `None` if a number is beyond [`MOST`].
fn mask(numbers: impl Iterator<Item = usize> + Clone) -> Option<Vec<usize>> {
    let highest = numbers.clone().max().unwrap_or(0);
    if highest >= MOST {
        return None;
    }
    let mut mask = vec![0; highest / WORD + 1];
    for number in numbers {
        mask[number / WORD] |= 1 << (number % WORD);
    }
    Some(mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn masks_are_words_of_bits() {
        assert_eq!(mask([0, 3, 64].into_iter()), Some(vec![0b1001, 1]));
        assert_eq!(mask([MOST - 1].into_iter()).map(|mask| mask.len()), Some(MOST / WORD));
        assert_eq!(mask([MOST].into_iter()), None);
    }
}
