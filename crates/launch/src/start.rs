//! Starting a container that was created: a connection to the socket on which its init waits.

use crate::create::{died, next_word};
use crate::failure::{Cause, Failure};
use crate::handshake::{FromInit, RuntimeSide, ToInit};
use crate::stage::{Stage, Trace, TraceLine};
use std::os::fd::{BorrowedFd, OwnedFd};
use wolffia_plan::Step;
use wolffia_sys::socket::{self, Kind};

/// The socket's name in the container's state directory.
pub const SOCKET: &str = "start.sock";

/// Binds the socket on which init will wait.
pub fn listen(directory: BorrowedFd<'_>) -> Result<OwnedFd, Cause> {
    Ok(socket::listen_in(directory, SOCKET, Kind::SeqPacket)?)
}

/// Starts the container whose init is `init`. Returns when its payload is executed.
pub fn start(directory: BorrowedFd<'_>, init: BorrowedFd<'_>, trace: Option<&dyn Fn(TraceLine)>) -> Result<(), Failure> {
    let stage = Stage { trace: trace.map_or(Trace::Off, Trace::Log) };
    let channel = stage.act(Step::StartWait, || SOCKET.into(), || socket::connect_in(directory, SOCKET, Kind::SeqPacket))?;
    let channel = RuntimeSide::connected(channel);
    stage.act(Step::StartWait, || "start".into(), || channel.send(&ToInit::Start))?;
    until_executed(&stage, &channel, init)
}

/// Waits until init says that it executes the payload, and for the end of file that says that it did. Without a limit: a
/// startContainer hook may have none.
pub(crate) fn until_executed(stage: &Stage<'_>, channel: &RuntimeSide, init: BorrowedFd<'_>) -> Result<(), Failure> {
    let mut executing = false;
    loop {
        match next_word(stage, channel, init, Step::Exec, None)? {
            Ok(FromInit::Executing) => executing = true,
            Ok(other) => return Err(Failure::new(Step::Exec, "init", format!("unexpected {other:?}"))),
            // The payload may have ended already: that is its own affair.
            Err(_) if executing => return Ok(()),
            Err(silence) => return Err(Failure::new(Step::Exec, "init", died(&silence, init))),
        }
    }
}
