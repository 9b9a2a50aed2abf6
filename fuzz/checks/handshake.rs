//! Each side reads one message of somebody who may say anything.

use std::os::fd::AsFd;
use std::time::Duration;
use wolffia_launch::handshake::{InitSide, MESSAGE_LIMIT, RuntimeSide};
use wolffia_sys::socket;

pub fn check(data: &[u8]) {
    // An empty packet is an end of file.
    if data.is_empty() || data.len() > MESSAGE_LIMIT {
        return;
    }
    for descriptors in [false, true] {
        let (ours, theirs) = socket::seqpacket_pair().unwrap();
        let (watched, _other_end) = socket::seqpacket_pair().unwrap();
        let send = || match descriptors {
            false => socket::send(&ours, data, &[]).unwrap(),
            true => socket::send(&ours, data, &[watched.as_fd(), ours.as_fd()]).unwrap(),
        };
        send();
        // What it means does not matter here, only that it is read or refused.
        drop(InitSide::accepted(theirs.try_clone().unwrap()).receive());
        send();
        drop(RuntimeSide::connected(theirs).receive(watched.as_fd(), Some(Duration::ZERO)));
    }
}
