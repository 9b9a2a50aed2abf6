//! How long a process of ours is waited for that says nothing.

use crate::failure::Cause;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;
use wolffia_sys::poll;

/// How often the limit begins anew for a process that gets no processor.
const MOST_ROUNDS: u32 = 9;

/// Which of `fds` can be read; none of them when `limit` has passed (`None`: never). A container that has used up its quota leaves the
/// process in its cgroup, `pidfd`, without a processor for minutes: that is no reason to give up, and counts up to ten limits.
pub(crate) fn poll_readable(fds: &[BorrowedFd<'_>], pidfd: BorrowedFd<'_>, limit: Option<Duration>) -> Result<Vec<bool>, Cause> {
    let mut ready = poll::poll_readable(fds, limit)?;
    let mut rounds = 0;
    while !ready.contains(&true) && limit.is_some_and(|limit| !limit.is_zero()) && rounds < MOST_ROUNDS && is_starved(pidfd) {
        ready = poll::poll_readable(fds, limit)?;
        rounds += 1;
    }
    Ok(ready)
}

/// How long nothing came, for a message, and why if that is known.
pub(crate) fn silence(pidfd: BorrowedFd<'_>, limit: Duration) -> String {
    let seconds = limit.as_secs();
    if is_starved(pidfd) {
        let all = seconds * u64::from(MOST_ROUNDS + 1);
        return format!("for {all} s, because it gets no processor: raise the container's quota (`update --cpu-quota`)");
    }
    // It may have been without one before.
    format!("for {seconds} s or more")
}

/// Whether the process would go on if it had a processor (proc_pid_stat(5)). Who cannot be looked at is not.
fn is_starved(pidfd: BorrowedFd<'_>) -> bool {
    let read = |path: String| std::fs::read_to_string(path).ok();
    let pid = || {
        read(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?
            .lines()
            .find_map(|line| line.strip_prefix("Pid:\t").map(str::to_owned))
    };
    let state = || read(format!("/proc/{}/stat", pid()?))?.rsplit_once(')')?.1.trim_start().chars().next();
    state() == Some('R')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::process::Command;
    use std::time::Instant;
    use wolffia_sys::{Pid, pidfd, socket};

    /// How long nothing is waited for, in hundredths of a second, and what is said of it.
    fn waited(program: &[&str]) -> (u128, String) {
        let mut child = Command::new(program[0]).args(&program[1..]).spawn().unwrap();
        let pidfd = pidfd::open(Pid::from_child(&child)).unwrap();
        let (ours, _theirs) = socket::seqpacket_pair().unwrap();
        let begin = Instant::now();
        let ready = poll_readable(&[ours.as_fd()], pidfd.as_fd(), Some(Duration::from_millis(200))).unwrap();
        let (elapsed, said) = (begin.elapsed().as_millis() / 10, silence(pidfd.as_fd(), Duration::from_secs(7)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(ready, [false]);
        (elapsed, said)
    }

    #[test]
    fn who_wants_a_processor_is_waited_for_longer_and_not_for_ever() {
        let (busy, idle) = (waited(&["sh", "-c", "while :; do :; done"]), waited(&["sleep", "60"]));
        assert!((200..1000).contains(&busy.0) && busy.1.starts_with("for 70 s, because it gets no processor"), "{busy:?}");
        assert!((20..190).contains(&idle.0) && idle.1 == "for 7 s or more", "{idle:?}");
    }
}
