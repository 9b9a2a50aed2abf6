//! The whole conversation between the runtime and init: every message, its wire form, both sides.
//!
//! ```text
//!   runtime                                   init
//!     │  clone3 ───────────────────────────────▶ │
//!     │  (writes id maps, clones sources)
//!     │ ── Sources × n, with descriptors ──────▶ │  only when the plan has sources that the runtime clones
//!     │ ── Proceed ────────────────────────────▶ │  mounts, devices …
//!     │ ◀──────────── Network, with a descriptor │  only with a network namespace of its own; init does not wait
//!     │ ◀──────────── Console, with a descriptor │  only with a terminal
//!     │ ◀─────────────────────────── HooksWanted │  only with hooks before the pivot
//!     │ ── HooksDone ──────────────────────────▶ │  pivot, masks …
//!     │ ◀──────────────────────────── TuneWanted │  only when the runtime has to set the limits
//!     │ ── Tuned ──────────────────────────────▶ │  identity, capabilities …
//!     │ ◀──── SeccompListener, with a descriptor │  only with a filter that asks an agent
//!     │ ── ListenerTaken ──────────────────────▶ │  the agent has it
//!     │ ◀─────────────────────────────── Created │
//!     │ ── Start (run) or Stay (create) ───────▶ │  after Stay, init accepts a connection of `start`,
//!     │                                          │  which then stands in the runtime's place
//!     │ ◀───────────────────────────── Executing │
//!     │ ◀──────────────────────────────────  EOF │  the socket closes on exec: it worked
//! ```
//!
//! Trace and Failed may come from init at any time; after Failed it exits. `SOCK_SEQPACKET`: a message is a packet. End of file
//! from the runtime's side makes init exit, so that a runtime that was killed leaves no process.

use crate::failure::{Cause, Failure};
use crate::patience;
use crate::stage::TraceLine;
use serde::{Serialize, de::DeserializeOwned};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use wolffia_sys::pidfd::{self, ExitStatus};
use wolffia_sys::{Errno, socket};

/// Longest message. A failure's text is cut to fit.
pub const MESSAGE_LIMIT: usize = 64 * 1024;
/// Descriptors in one `Sources` message (the kernel takes 253, SCM_MAX_FD).
pub const SOURCES_AT_ONCE: usize = 64;

#[derive(Debug)]
pub enum FromInit {
    Trace(TraceLine),
    /// A netlink socket of init's network namespace, which the runtime sets up meanwhile.
    Network(OwnedFd),
    Console {
        name: String,
        master: OwnedFd,
    },
    HooksWanted,
    TuneWanted,
    /// On which an agent answers the calls that the filter leaves to it.
    SeccompListener(OwnedFd),
    Created,
    Executing,
    Failed(Failure),
    /// Test builds only: the runtime kills itself, as if somebody had.
    #[cfg(feature = "faults")]
    KillRuntime,
}

#[derive(Debug)]
pub enum ToInit {
    /// Detached mounts, in the order of the plan.
    Sources(Vec<OwnedFd>),
    Proceed,
    HooksDone,
    Tuned,
    ListenerTaken,
    Start,
    Stay,
}

/// Init's end.
#[derive(Debug)]
pub struct InitSide(OwnedFd);

/// The runtime's end. It watches init's pidfd too, so that a killed init is seen at once.
#[derive(Debug)]
pub struct RuntimeSide(OwnedFd);

/// Both ends of a new conversation.
pub fn pair() -> Result<(RuntimeSide, InitSide), Cause> {
    let (ours, theirs) = socket::seqpacket_pair()?;
    Ok((RuntimeSide(ours), InitSide(theirs)))
}

impl InitSide {
    /// The connection of `start`, which goes on with the conversation.
    pub fn accepted(socket: OwnedFd) -> Self {
        Self(socket)
    }

    pub fn send(&self, message: &FromInit) -> Result<(), Cause> {
        let (bytes, descriptor) = message.encode()?;
        match descriptor {
            Some(fd) => socket::send(self.0.as_fd(), &bytes, &[fd])?,
            None => socket::send(self.0.as_fd(), &bytes, &[])?,
        }
        Ok(())
    }

    /// The next message. End of file means that the runtime is gone: an error, so that init ends.
    pub fn receive(&self) -> Result<ToInit, Cause> {
        match socket::recv(self.0.as_fd(), MESSAGE_LIMIT)? {
            Some((bytes, descriptors)) => ToInit::decode(&bytes, descriptors),
            None => Err("the runtime went away".into()),
        }
    }

    /// To watch while nothing is awaited: it becomes readable when the runtime goes away.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Waits for exactly `wanted`.
    pub fn expect(&self, wanted: &str) -> Result<ToInit, Cause> {
        let message = self.receive()?;
        if message.name() == wanted { Ok(message) } else { Err(format!("expected {wanted}, got {}", message.name()).into()) }
    }
}

/// Why the runtime hears nothing more.
#[derive(Debug)]
pub enum Silence {
    /// Init closed its end: it executed the payload, or it is gone.
    EndOfFile,
    /// Init ended.
    Exited(ExitStatus),
}

impl RuntimeSide {
    /// The connection of `start` to a container that was created earlier.
    pub fn connected(socket: OwnedFd) -> Self {
        Self(socket)
    }

    pub fn send(&self, message: &ToInit) -> Result<(), Cause> {
        let bytes = message.encode()?;
        let descriptors: Vec<BorrowedFd<'_>> = match message {
            ToInit::Sources(sources) => sources.iter().map(OwnedFd::as_fd).collect(),
            _ => Vec::new(),
        };
        Ok(socket::send(self.0.as_fd(), &bytes, &descriptors)?)
    }

    /// The next message, or why there is none. `limit` bounds the wait; `None` only where a hook without a timeout may be running.
    pub fn receive(&self, init: BorrowedFd<'_>, limit: Option<Duration>) -> Result<Result<FromInit, Silence>, Cause> {
        let ready = patience::poll_readable(&[self.0.as_fd(), init], init, limit)?;
        if ready.first() == Some(&true) {
            return match socket::recv(self.0.as_fd(), MESSAGE_LIMIT) {
                Ok(Some((bytes, descriptors))) => FromInit::decode(&bytes, descriptors).map(Ok),
                Ok(None) => Ok(Err(Silence::EndOfFile)),
                // An end of file too: a word of ours was not read.
                Err(error) if error.is(Errno::ECONNRESET) => Ok(Err(Silence::EndOfFile)),
                Err(error) => Err(error.into()),
            };
        }
        if ready.get(1) == Some(&true) {
            return Ok(Err(Silence::Exited(pidfd::wait(init)?)));
        }
        Err(format!("no word from init {}", patience::silence(init, limit.unwrap_or_default())).into())
    }
}

impl FromInit {
    fn encode(&self) -> Result<(Vec<u8>, Option<BorrowedFd<'_>>), Cause> {
        Ok(match self {
            FromInit::Trace(line) => (tagged(b't', line)?, None),
            FromInit::Network(socket) => (vec![b'l'], Some(socket.as_fd())),
            FromInit::Console { name, master } => (tagged(b'c', name)?, Some(master.as_fd())),
            FromInit::HooksWanted => (vec![b'h'], None),
            FromInit::TuneWanted => (vec![b'u'], None),
            FromInit::SeccompListener(listener) => (vec![b's'], Some(listener.as_fd())),
            FromInit::Created => (vec![b'r'], None),
            FromInit::Executing => (vec![b'x'], None),
            FromInit::Failed(failure) => (tagged(b'f', &shortened(failure))?, None),
            #[cfg(feature = "faults")]
            FromInit::KillRuntime => (vec![b'k'], None),
        })
    }

    fn decode(bytes: &[u8], descriptors: Vec<OwnedFd>) -> Result<Self, Cause> {
        let (tag, body) = bytes.split_first().ok_or("empty message from init")?;
        let mut descriptors = descriptors.into_iter();
        Ok(match tag {
            b't' => FromInit::Trace(parsed(body)?),
            b'c' => FromInit::Console {
                name: parsed(body)?,
                master: descriptors.next().ok_or("a console message without a descriptor")?,
            },
            b'l' => FromInit::Network(descriptors.next().ok_or("a network message without a descriptor")?),
            b'h' => FromInit::HooksWanted,
            b'u' => FromInit::TuneWanted,
            b's' => FromInit::SeccompListener(descriptors.next().ok_or("a listener message without a descriptor")?),
            b'r' => FromInit::Created,
            b'x' => FromInit::Executing,
            b'f' => FromInit::Failed(parsed(body)?),
            #[cfg(feature = "faults")]
            b'k' => FromInit::KillRuntime,
            other => return Err(format!("unknown message {other:#x} from init").into()),
        })
    }
}

impl ToInit {
    fn name(&self) -> &'static str {
        match self {
            ToInit::Sources(_) => "Sources",
            ToInit::Proceed => "Proceed",
            ToInit::HooksDone => "HooksDone",
            ToInit::Tuned => "Tuned",
            ToInit::ListenerTaken => "ListenerTaken",
            ToInit::Start => "Start",
            ToInit::Stay => "Stay",
        }
    }

    fn encode(&self) -> Result<Vec<u8>, Cause> {
        Ok(match self {
            ToInit::Sources(_) => vec![b'S'],
            ToInit::Proceed => vec![b'P'],
            ToInit::HooksDone => vec![b'H'],
            ToInit::Tuned => vec![b'U'],
            ToInit::ListenerTaken => vec![b'L'],
            ToInit::Start => vec![b'G'],
            ToInit::Stay => vec![b'W'],
        })
    }

    fn decode(bytes: &[u8], descriptors: Vec<OwnedFd>) -> Result<Self, Cause> {
        let (tag, _) = bytes.split_first().ok_or("empty message from the runtime")?;
        Ok(match tag {
            b'S' => ToInit::Sources(descriptors),
            b'P' => ToInit::Proceed,
            b'H' => ToInit::HooksDone,
            b'U' => ToInit::Tuned,
            b'L' => ToInit::ListenerTaken,
            b'G' => ToInit::Start,
            b'W' => ToInit::Stay,
            other => return Err(format!("unknown message {other:#x} from the runtime").into()),
        })
    }
}

fn tagged(tag: u8, body: &impl Serialize) -> Result<Vec<u8>, Cause> {
    let mut bytes = vec![tag];
    serde_json::to_writer(&mut bytes, body).map_err(|error| Cause::from(error.to_string()))?;
    Ok(bytes)
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Cause> {
    serde_json::from_slice(body).map_err(|error| Cause::from(format!("unreadable message: {error}")))
}

/// JSON may grow a character sixfold, hence the eighth.
fn shortened(failure: &Failure) -> Failure {
    let cut = |text: &str| text.chars().take(MESSAGE_LIMIT / 32).collect();
    Failure { object: cut(&failure.object), cause: cut(&failure.cause), ..failure.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wolffia_plan::Step;

    #[test]
    fn a_failure_survives_the_wire() {
        let failure = Failure { step: Step::Mount, object: "\u{1}".repeat(90_000), cause: "no".into(), errno: 22 };
        let (bytes, _) = FromInit::Failed(failure).encode().map(|(b, f)| (b, f.is_some())).unwrap();
        assert!(bytes.len() <= MESSAGE_LIMIT, "{}", bytes.len());
        match FromInit::decode(&bytes, Vec::new()).unwrap() {
            FromInit::Failed(got) => assert_eq!((got.step, got.cause.as_str(), got.errno), (Step::Mount, "no", 22)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn garbage_is_an_error() {
        for bytes in [&b""[..], b"?", b"f{", b"c\"x\""] {
            assert!(FromInit::decode(bytes, Vec::new()).is_err(), "{bytes:?}");
        }
    }
}
