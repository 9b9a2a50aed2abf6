//! What becomes of a hook whose runner is killed: it runs in the group of a second process, which ends the group then.
//!
//! A death signal (PR_SET_PDEATHSIG) would reach only the hook itself, not what it started.

use crate::failure::Cause;
use std::os::fd::{AsFd, OwnedFd};
use wolffia_sys::process::{self, CloneRequest, Forked, SingleThreaded};
use wolffia_sys::{Pid, pidfd, socket};

/// The word that the hook has ended.
const DONE: &[u8] = b"d";

/// Whoever runs a hook has this. When it goes away without a word, its owner was killed.
#[derive(Debug)]
pub struct Leash {
    words: OwnedFd,
    keeper: Pid,
    pidfd: OwnedFd,
}

impl Leash {
    pub fn new() -> Result<Self, Cause> {
        let token = SingleThreaded::check()?;
        let (ours, theirs) = socket::seqpacket_pair()?;
        match process::clone3(&token, &CloneRequest::default())? {
            Forked::Child => {
                drop(ours);
                keep(&theirs)
            }
            Forked::Parent { pid, pidfd } => {
                // Not in the caller's group any more either: a terminal's interrupt that ends the caller does not reach it.
                process::lead_group(pid)?;
                Ok(Self { words: ours, keeper: pid, pidfd })
            }
        }
    }

    /// The group of processes to start the hook in.
    pub fn group(&self) -> Pid {
        self.keeper
    }

    /// The hook has ended; what it left running on purpose may go on.
    pub fn let_go(self) -> Result<(), Cause> {
        socket::send(self.words.as_fd(), DONE, &[])?;
        Ok(pidfd::wait(self.pidfd.as_fd()).map(drop)?)
    }

    /// Ends the hook and everything that it started.
    pub fn end(self) -> Result<(), Cause> {
        process::kill_group(self.keeper, libc::SIGKILL)?;
        Ok(pidfd::wait(self.pidfd.as_fd()).map(drop)?)
    }
}

/// The second process. It kills itself with the group.
fn keep(words: &OwnedFd) -> ! {
    let done = matches!(socket::recv(words.as_fd(), DONE.len()), Ok(Some(_)));
    let ended = done || process::kill_group(process::getpid(), libc::SIGKILL).is_ok();
    process::exit(i32::from(!ended))
}
