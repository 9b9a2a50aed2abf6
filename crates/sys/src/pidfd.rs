//! Processes by descriptor: a pidfd names one process for good, a number may be reused.

use crate::error::{Call, check, show_fd};
use crate::{Errno, Error, Pid, Result, poll};
use rustix::process::{PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus, WaitOptions};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// By itself, with this code (0 to 255).
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

impl ExitStatus {
    /// The code that shells and container engines report: 128 + N for signal N.
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128 + signal,
        }
    }
}

/// A handle on the running or unreaped process `pid`. `ESRCH` if there is none.
pub fn open(pid: Pid) -> Result<OwnedFd> {
    let args = || pid.to_string();
    let number = pid.to_rustix().ok_or_else(|| Error::new("pidfd_open", args(), Errno::EINVAL))?;
    rustix::process::pidfd_open(number, PidfdFlags::empty()).call("pidfd_open", args)
}

/// Sends `signal` (1 to 64, or 0 to ask only). `ESRCH` if the process is gone.
pub fn send_signal(pidfd: impl AsFd, signal: i32) -> Result<()> {
    let pidfd = pidfd.as_fd();
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed and means "as kill(2)"; nothing else is read from memory.
    let outcome = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, no_info, 0) };
    check(outcome, "pidfd_send_signal", || format!("{}, {signal}", show_fd(pidfd))).map(drop)
}

/// Waits until the child ends, and reaps it. `ECHILD` if it is not a child or is reaped already.
pub fn wait(pidfd: impl AsFd) -> Result<ExitStatus> {
    loop {
        if let Some(status) = wait_with(&pidfd, WaitIdOptions::EXITED)? {
            return Ok(status);
        }
    }
}

/// Reaps the child if it has ended; `None` while it runs.
pub fn try_wait(pidfd: impl AsFd) -> Result<Option<ExitStatus>> {
    wait_with(&pidfd, WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
}

/// Waits until the process, anyone's child, has ended. `false` if `timeout` passes first; `None` waits for ever.
pub fn wait_exit(pidfd: impl AsFd, timeout: Option<Duration>) -> Result<bool> {
    poll::wait_readable(pidfd.as_fd(), timeout)
}

/// Reaps every child that has ended, and says which. For a subreaper, whose orphans would stay zombies.
pub fn reap_any_children() -> Result<Vec<(Pid, ExitStatus)>> {
    let mut reaped = Vec::new();
    loop {
        match rustix::process::waitpid(None, WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                let signaled = status.terminating_signal().map(ExitStatus::Signaled);
                let exited = status.exit_status().map(ExitStatus::Exited);
                reaped.extend(exited.or(signaled).map(|status| (pid.into(), status)));
            }
            Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(reaped),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Error::new("waitpid", "-1, WNOHANG", errno)),
        }
    }
}

fn wait_with(pidfd: &impl AsFd, options: WaitIdOptions) -> Result<Option<ExitStatus>> {
    let pidfd = pidfd.as_fd();
    let status = rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::PidFd(pidfd), options))
        .call("waitid", || format!("P_PIDFD, {}", show_fd(pidfd)))?;
    Ok(status.as_ref().and_then(ended))
}

fn ended(status: &WaitIdStatus) -> Option<ExitStatus> {
    let exited = status.exit_status().map(ExitStatus::Exited);
    exited.or_else(|| status.terminating_signal().map(ExitStatus::Signaled))
}
