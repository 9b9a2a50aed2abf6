//! Asks systemd from a process of its own: the library for D-Bus starts threads, and a process with threads can make no container.

use super::bus::Bus;
use super::calls::{self, Call};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc;
use std::time::Duration;
use wolffia_sys as sys;
use wolffia_sys::process::{self, CloneRequest, Forked, SingleThreaded};

/// What a job may take: as long as runc waits.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer.
const ANSWER: usize = 16 << 10;
const SIGKILL: i32 = 9;

/// Why a call was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    Unreachable { reason: String },
    Refused { reason: String },
}

/// Carries `call` out, in at most half a minute.
pub(super) fn carry_out(bus: &Bus, call: Call) -> Result<(), Trouble> {
    match SingleThreaded::check() {
        Ok(alone) => in_a_process(&alone, bus, call).unwrap_or_else(|error| Err(refused(error))),
        // Threads do no harm where there are some.
        Err(_) => in_a_thread(bus.clone(), call),
    }
}

fn in_a_process(alone: &SingleThreaded, bus: &Bus, call: Call) -> sys::Result<Result<(), Trouble>> {
    let (ours, theirs) = sys::socket::seqpacket_pair()?;
    let Forked::Parent { pidfd, .. } = process::clone3(alone, &CloneRequest::default())? else {
        drop(ours);
        speak(bus, call, &theirs)
    };
    drop(theirs);
    let spoke = sys::poll::wait_readable(ours.as_fd(), Some(PATIENCE))?;
    let answer = if spoke { sys::socket::recv(ours.as_fd(), ANSWER) } else { Ok(None) };
    // It has said all that it knows; one that hangs never will.
    sys::pidfd::send_signal(pidfd.as_fd(), SIGKILL)?;
    sys::pidfd::wait(pidfd.as_fd())?;
    Ok(match answer? {
        Some((bytes, _)) => read(&bytes),
        None if spoke => Err(refused("the process that asks was killed")),
        None => Err(late()),
    })
}

/// The process that asks.
fn speak(bus: &Bus, call: Call, report: &OwnedFd) -> ! {
    let answer = sys::prctl::set_parent_death_signal(SIGKILL).map_err(refused).and_then(|()| calls::carry_out(bus, call));
    let sent = sys::socket::send(report.as_fd(), &write(&answer), &[]);
    process::exit(i32::from(sent.is_err()))
}

fn in_a_thread(bus: Bus, call: Call) -> Result<(), Trouble> {
    let (sender, receiver) = mpsc::channel();
    // It ends with its call; when that hangs, its answer is for nobody.
    let asking = std::thread::Builder::new().spawn(move || drop(sender.send(calls::carry_out(&bus, call))));
    asking.map_err(refused)?;
    receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(late()))
}

fn refused(reason: impl ToString) -> Trouble {
    Trouble::Refused { reason: reason.to_string() }
}

fn late() -> Trouble {
    refused(format!("it is not done after {} s", PATIENCE.as_secs()))
}

/// One letter for the kind of answer, and its words.
fn write(answer: &Result<(), Trouble>) -> Vec<u8> {
    let (kind, text) = match answer {
        Ok(()) => (b'd', ""),
        Err(Trouble::Unreachable { reason }) => (b'u', reason.as_str()),
        Err(Trouble::Refused { reason }) => (b'r', reason.as_str()),
    };
    [kind].into_iter().chain(text.bytes().take(ANSWER - 1)).collect()
}

fn read(bytes: &[u8]) -> Result<(), Trouble> {
    let reason = || String::from_utf8_lossy(bytes.get(1..).unwrap_or_default()).into_owned();
    match bytes.first() {
        Some(b'd') => Ok(()),
        Some(b'u') => Err(Trouble::Unreachable { reason: reason() }),
        _ => Err(Trouble::Refused { reason: reason() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_cross_as_they_are() {
        for answer in [Ok(()), Err(refused("no")), Err(Trouble::Unreachable { reason: "gone".into() })] {
            assert_eq!(read(&write(&answer)), answer);
        }
        assert!(read(&[]).is_err());
    }
}
