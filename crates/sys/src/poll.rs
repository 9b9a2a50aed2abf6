//! Waiting for descriptors, for a bounded time.

use crate::Result;
use crate::error::{Call, show_fd};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Which of `fds` have something to read or are closed or broken: reading will not block.
/// All `false` if `timeout` passes first; `None` waits for ever.
pub fn poll_readable(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> Result<Vec<bool>> {
    let mut polled: Vec<_> = fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    poll(&mut polled, timeout)?;
    Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect())
}

/// Whether `fd` has something to read, or is closed or broken, before `timeout` passes.
pub fn wait_readable(fd: impl AsFd, timeout: Option<Duration>) -> Result<bool> {
    let mut polled = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)];
    Ok(poll(&mut polled, timeout)? > 0)
}

/// Whether everybody who could write into the pipe that `fd` reads has closed it before `timeout` passes. One that was opened while
/// nobody could write waits for the first to come and the last to go (poll(2), fifo(7)).
pub fn wait_hangup(fd: impl AsFd, timeout: Option<Duration>) -> Result<bool> {
    let mut polled = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::empty())];
    Ok(poll(&mut polled, timeout)? > 0)
}

fn poll(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> Result<usize> {
    // A deadline too far to be represented is no deadline.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(fds, left.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            outcome => {
                return outcome.call("ppoll", || fds.iter().map(|fd| show_fd(fd.as_fd())).collect::<Vec<_>>().join(", "));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket;

    #[test]
    fn what_can_be_read_is_told() {
        let (a, b) = socket::seqpacket_pair().unwrap();
        let (c, d) = socket::seqpacket_pair().unwrap();
        let fds = [a.as_fd(), c.as_fd()];
        let before = Instant::now();
        assert_eq!(poll_readable(&fds, Some(Duration::from_millis(30))).unwrap(), [false, false]);
        assert!(before.elapsed() >= Duration::from_millis(30));
        socket::send(&d, b"x", &[]).unwrap();
        assert_eq!(poll_readable(&fds, None).unwrap(), [false, true]);
        drop(b);
        assert_eq!(poll_readable(&fds, Some(Duration::MAX)).unwrap(), [true, true], "closed: reading will not block");
        assert!(wait_readable(&a, Some(Duration::ZERO)).unwrap());
    }
}
