//! Starting a container that was created: a connection to the socket on which its init waits.

use crate::create::{died, next_word};
use crate::failure::{Cause, Failure};
use crate::handshake::{FromInit, RuntimeSide, ToInit};
use crate::stage::{Stage, Trace, TraceLine};
use std::os::fd::{BorrowedFd, OwnedFd};
use wolffia_plan::Step;
use wolffia_sys::procfs::ProcHandle;
use wolffia_sys::socket::{self, Kind};
use wolffia_sys::{Pid, pidfd};

/// The socket's name in the container's state directory.
pub const SOCKET: &str = "start.sock";

/// Binds the socket on which init will wait.
pub fn listen(directory: BorrowedFd<'_>) -> Result<OwnedFd, Cause> {
    Ok(socket::listen_in(directory, SOCKET, Kind::SeqPacket)?)
}

/// Starts the container whose init is `pid`, and `init` its pidfd. Returns when its payload is executed.
pub fn start(
    directory: BorrowedFd<'_>,
    pid: Pid,
    init: BorrowedFd<'_>,
    trace: Option<&dyn Fn(TraceLine)>,
) -> Result<(), Failure> {
    let stage = Stage { trace: trace.map_or(Trace::Off, Trace::Log) };
    let channel = stage.act(Step::StartWait, || SOCKET.into(), || socket::connect_in(directory, SOCKET, Kind::SeqPacket))?;
    let channel = RuntimeSide::connected(channel);
    stage.act(Step::StartWait, || "start".into(), || channel.send(&ToInit::Start))?;
    until_executed(&stage, &channel, pid, init)
}

/// Waits until init says that it executes the payload, and for the end of file that says that it did. Without a limit: a
/// startContainer hook may have none.
pub(crate) fn until_executed(stage: &Stage<'_>, channel: &RuntimeSide, pid: Pid, init: BorrowedFd<'_>) -> Result<(), Failure> {
    let mut executing = false;
    loop {
        match next_word(stage, channel, init, Step::Exec, None)? {
            Ok(FromInit::Executing) => executing = true,
            Ok(other) => return Err(Failure::new(Step::Exec, "init", format!("unexpected {other:?}"))),
            // The payload may have ended already: that is its own affair.
            Err(_) if executing && !ended_before_exec(pid, init) => return Ok(()),
            Err(silence) if executing => {
                let why = died(&silence, init);
                return Err(Failure::new(Step::Exec, "init", format!("{why} before it executed the program")));
            }
            Err(silence) => return Err(Failure::new(Step::Exec, "init", died(&silence, init))),
        }
    }
}

/// The flag of a process that has executed nothing since it was forked (`PF_FORKNOEXEC`, linux/sched.h).
const EXECUTED_NOTHING: u64 = 0x40;

/// Whether init is gone without having executed anything: killed, or forbidden by its filter to execute and to say so. False
/// where that cannot be told any more, because somebody has reaped it.
fn ended_before_exec(pid: Pid, init: BorrowedFd<'_>) -> bool {
    let flags = ProcHandle::open().and_then(|proc| proc.read(&format!("{pid}/stat"), 4096)).ok().and_then(|line| flags(&line));
    let nothing = flags.is_some_and(|flags| flags & EXECUTED_NOTHING != 0);
    // Asked afterwards: then the pid was still init's when its flags were read.
    nothing && pidfd::send_signal(init, 0).is_ok()
}

/// The seventh field after the name, which may hold anything (proc_pid_stat(5)).
fn flags(line: &[u8]) -> Option<u64> {
    let (_, fields) = std::str::from_utf8(line).ok()?.rsplit_once(") ")?;
    fields.split(' ').nth(6)?.parse().ok()
}
