//! Counters that the kernel adds to, as descriptors that can be polled (eventfd(2)).

use crate::Result;
use crate::error::{Call, show_fd};
use rustix::event::EventfdFlags;
use std::os::fd::{AsFd, OwnedFd};

/// One that starts at zero.
pub fn new() -> Result<OwnedFd> {
    rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).call("eventfd2", || "0".to_owned())
}

/// What was added since it was taken last, or since it was made.
pub fn take(eventfd: impl AsFd) -> Result<u64> {
    let (eventfd, mut count) = (eventfd.as_fd(), [0; 8]);
    match rustix::io::read(eventfd, &mut count) {
        Err(rustix::io::Errno::AGAIN) => Ok(0),
        outcome => outcome.call("read", || show_fd(eventfd)).map(|_| u64::from_ne_bytes(count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_taken_once() {
        let counter = new().unwrap();
        assert_eq!(take(&counter).unwrap(), 0);
        for _ in 0..2 {
            rustix::io::write(&counter, &3_u64.to_ne_bytes()).unwrap();
        }
        assert_eq!((take(&counter).unwrap(), take(&counter).unwrap()), (6, 0));
    }
}
