//! Signals: masks, the signal descriptor, dispositions and names.

use crate::error::{Call, check, show_fd};
use crate::{Errno, Error, Pid, Result};
use linux_raw_sys::general::kernel_sigaction;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, OwnedFd};

/// Bytes of the kernel's own signal set: 64 signals.
const KERNEL_SIGSET: usize = 8;

/// The signals that were blocked before.
#[derive(Debug, Clone, Copy)]
pub struct OldMask(SigSet);

/// A signal that was read from the signal descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalInfo {
    /// Its number.
    pub signo: i32,
    /// Who sent it; `None` for the kernel or a process outside this pid namespace.
    pub pid: Option<Pid>,
}

/// Blocks every signal that can be blocked, in this thread.
pub fn block_all() -> Result<OldMask> {
    SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).map(OldMask).call("pthread_sigmask", || "SIG_SETMASK, all".into())
}

/// Blocks what was blocked before [`block_all`], and nothing else.
pub fn restore(old: &OldMask) -> Result<()> {
    old.0.thread_set_mask().call("pthread_sigmask", || "SIG_SETMASK, old".into())
}

/// Blocks no signal: the mask survives exec, so the payload must not inherit ours.
pub fn unblock_all() -> Result<()> {
    SigSet::empty().thread_set_mask().call("pthread_sigmask", || "SIG_SETMASK, none".into())
}

/// A descriptor on which every blocked signal can be read. It does not block.
pub fn signalfd_all() -> Result<OwnedFd> {
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    SignalFd::with_flags(&SigSet::all(), flags).map(OwnedFd::from).call("signalfd4", || format!("all, {flags:?}"))
}

/// The next signal of [`signalfd_all`]; `None` if there is none now.
pub fn read_signal(fd: impl AsFd) -> Result<Option<SignalInfo>> {
    let fd = fd.as_fd();
    let mut bytes = [0; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut bytes)) {
        Ok(length) if length == bytes.len() => {}
        Ok(_) => return Err(Error::new("read", format!("{}: half a signal", show_fd(fd)), Errno::EIO)),
        Err(rustix::io::Errno::AGAIN) => return Ok(None),
        Err(errno) => return Err(Error::new("read", show_fd(fd), errno)),
    }
    let field = |offset: usize| i32::from_ne_bytes([bytes[offset], bytes[offset + 1], bytes[offset + 2], bytes[offset + 3]]);
    let signo = field(std::mem::offset_of!(libc::signalfd_siginfo, ssi_signo));
    let sender = field(std::mem::offset_of!(libc::signalfd_siginfo, ssi_pid));
    Ok(Some(SignalInfo { signo, pid: Pid::from_raw(sender) }))
}

/// Whether a signal ends a process that has no handler for it (signal(7)).
pub fn ends_by_default(signal: i32) -> bool {
    let harmless =
        [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH, libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
    !harmless.contains(&signal)
}

/// What exec hands on and the payload must not get from us: ignored signals and a blocking mask.
pub fn reset_for_exec() -> Result<()> {
    reset_all_to_default()?;
    unblock_all()
}

/// Gives every signal its default effect: an ignored one stays ignored through exec (Rust programs ignore SIGPIPE).
pub fn reset_all_to_default() -> Result<()> {
    // All zero: SIG_DFL, no flags, no mask. glibc's sigaction(3) would leave out the two numbers that it keeps for itself,
    // which a caller may well have ignored.
    let default = [0_u64; size_of::<kernel_sigaction>() / size_of::<u64>()];
    let no_old = std::ptr::null_mut::<kernel_sigaction>();
    for signal in (1..=libc::SIGRTMAX()).filter(|signal| !matches!(*signal, libc::SIGKILL | libc::SIGSTOP)) {
        // SAFETY: the kernel reads a whole `kernel_sigaction` from `default`, and SIG_DFL installs no handler.
        let outcome = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), no_old, KERNEL_SIGSET) };
        check(outcome, "rt_sigaction", || format!("{signal}, SIG_DFL"))?;
    }
    Ok(())
}

/// The number of a signal: `KILL`, `SIGKILL`, `sigkill`, `9`, `RTMIN+3`, `RTMAX-1`. `None` if there is no such signal.
pub fn number(name: &str) -> Option<i32> {
    if let Ok(number) = name.parse::<i32>() {
        let plain = name.bytes().all(|byte| byte.is_ascii_digit());
        return (plain && (0..=libc::SIGRTMAX()).contains(&number)).then_some(number);
    }
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = bare.strip_prefix("RTMIN") {
        return real_time(libc::SIGRTMIN(), offset, '+');
    }
    if let Some(offset) = bare.strip_prefix("RTMAX") {
        return real_time(libc::SIGRTMAX(), offset, '-');
    }
    let also = match bare {
        "IOT" => "ABRT",
        "CLD" => "CHLD",
        "POLL" => "IO",
        name => name,
    };
    Signal::iterator().find(|signal| signal.as_str().strip_prefix("SIG") == Some(also)).map(|signal| signal as i32)
}

/// The name of signal `number`: `SIGKILL`, `SIGRTMIN+3`. `None` if there is no such signal.
pub fn name(number: i32) -> Option<String> {
    if let Ok(signal) = Signal::try_from(number) {
        return Some(signal.as_str().to_owned());
    }
    let first = libc::SIGRTMIN();
    match number {
        number if number == first => Some("SIGRTMIN".to_owned()),
        number if (first..=libc::SIGRTMAX()).contains(&number) => Some(format!("SIGRTMIN+{}", number - first)),
        _ => None,
    }
}

fn real_time(base: i32, offset: &str, sign: char) -> Option<i32> {
    if offset.is_empty() {
        return Some(base);
    }
    let digits = offset.strip_prefix(sign)?;
    let distance: i32 = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    let number = if sign == '+' { base.checked_add(distance)? } else { base.checked_sub(distance)? };
    (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn names_and_numbers_agree() {
        for (name, number) in [("KILL", 9), ("SIGKILL", 9), ("sigterm", 15), ("Hup", 1), ("9", 9), ("0", 0), ("64", 64)] {
            assert_eq!(super::number(name), Some(number), "{name}");
        }
        for (name, number) in
            [("RTMIN", 34), ("SIGRTMIN+3", 37), ("rtmax-1", 63), ("RTMAX", 64), ("IOT", 6), ("CLD", 17), ("POLL", 29)]
        {
            assert_eq!(super::number(name), Some(number), "{name}");
        }
        for name in [
            "",
            "SIG",
            "SIGSIGKILL",
            "-9",
            "+9",
            "65",
            " 9",
            "9 ",
            "0x9",
            "RTMIN-1",
            "RTMIN+31",
            "RTMIN+",
            "RTMIN++1",
            "RTMAX+1",
            "KILLED",
        ] {
            assert_eq!(super::number(name), None, "{name:?}");
        }
        for number in (1..=64).filter(|number| !matches!(number, 32 | 33)) {
            assert_eq!(super::number(&name(number).unwrap()), Some(number));
        }
        assert_eq!((name(9).as_deref(), name(37).as_deref()), (Some("SIGKILL"), Some("SIGRTMIN+3")));
        assert_eq!((name(0), name(32), name(65), name(-1)), (None, None, None, None));
    }
}
