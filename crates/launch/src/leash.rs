//! What becomes of a hook whose runner is killed: a second process holds it on a leash, and ends it then.
//!
//! A death signal (PR_SET_PDEATHSIG) would reach only the hook itself, not what it started.

use crate::failure::Cause;
use std::os::fd::{AsFd, OwnedFd};
use wolffia_sys::process::{self, CloneRequest, Forked, SingleThreaded};
use wolffia_sys::{Pid, pidfd, socket};

/// Longest message: a number.
const LIMIT: usize = 16;
/// Instead of a pid: the hook has ended.
const NOBODY: &str = "0";

/// Whoever runs a hook has this. When it goes away without a word, its owner was killed.
#[derive(Debug)]
pub struct Leash {
    words: OwnedFd,
    keeper: OwnedFd,
}

impl Leash {
    pub fn new() -> Result<Self, Cause> {
        let token = SingleThreaded::check()?;
        let (ours, theirs) = socket::seqpacket_pair()?;
        match process::clone3(&token, &CloneRequest::default())? {
            Forked::Child => {
                drop(ours);
                // Out of reach of a terminal's interrupt that kills its owner.
                process::exit(i32::from(process::setsid().is_err() || !keep(&theirs)))
            }
            Forked::Parent { pidfd, .. } => Ok(Self { words: ours, keeper: pidfd }),
        }
    }

    /// From now on the group of processes that `leader` leads ends with this process.
    pub fn hold(&self, leader: Pid) -> Result<(), Cause> {
        Ok(socket::send(self.words.as_fd(), leader.to_string().as_bytes(), &[])?)
    }

    /// The hook has ended; what it left running on purpose may go on.
    pub fn let_go(self) -> Result<(), Cause> {
        let Self { words, keeper } = self;
        socket::send(words.as_fd(), NOBODY.as_bytes(), &[])?;
        drop(words);
        Ok(pidfd::wait(keeper.as_fd()).map(drop)?)
    }
}

/// The second process: remembers the last word until the end of file. True if there was nothing to end, or it is ended.
fn keep(words: &OwnedFd) -> bool {
    let mut held = None;
    while let Ok(Some((word, _))) = socket::recv(words.as_fd(), LIMIT) {
        held = String::from_utf8_lossy(&word).parse().ok().and_then(Pid::from_raw);
    }
    held.is_none_or(|leader| process::kill_group(leader, libc::SIGKILL).is_ok())
}
