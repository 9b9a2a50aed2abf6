//! Readiness messages (sd_notify(3)) from inside a container to the caller's NOTIFY_SOCKET.
//!
//! The container sees a socket of ours. `start` and `run` forward its `READY=1`, say which process it is about (`MAINPID=`), and wait
//! until the receiver has read both (`BARRIER=1`), because the receiver looks the sender up while that still lives.

use crate::error::{Error, Result};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;
use wolffia_state::Dir;
use wolffia_sys::socket::{self, Kind};
use wolffia_sys::{Errno, Pid, fd, poll};

/// The directory in the container's state directory that is bound to /run/notify.
pub const DIRECTORY: &str = "notify";
const SOCKET: &str = "notify.sock";
/// systemd's own limit for a barrier is as long.
const BARRIER_LIMIT: Duration = Duration::from_secs(30);

/// The bound socket of a container whose readiness somebody waits for.
#[derive(Debug)]
pub struct Readiness {
    target: OsString,
    socket: UnixDatagram,
}

/// Makes the directory. World-readable, because the container's user has to reach the socket.
pub fn make_directory(dir: &Dir) -> Result<()> {
    fd::mkdirat(dir, DIRECTORY, 0o755).map_err(|source| Error::System { act: "make the notify directory", source })
}

impl Readiness {
    /// Binds the socket that the container sends to: before its program starts, so that no message is lost. `None` if it was made
    /// without one, or nobody waits any more.
    pub(crate) fn bind(dir: &Dir) -> Result<Option<Self>> {
        let Some(target) = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else { return Ok(None) };
        let flags = fd::OFlags::PATH | fd::OFlags::DIRECTORY | fd::OFlags::NOFOLLOW;
        let directory = match fd::openat(dir, DIRECTORY, flags, 0) {
            Ok(directory) => directory,
            Err(error) if error.is(Errno::ENOENT) => return Ok(None),
            Err(source) => return Err(Error::System { act: "open the notify directory", source }),
        };
        match fd::unlinkat(&directory, SOCKET, false) {
            // A `start` that was killed has left its own.
            Err(error) if !error.is(Errno::ENOENT) => {
                return Err(Error::System { act: "remove the notify socket", source: error });
            }
            _ => {}
        }
        let socket = socket::bind_in(&directory, SOCKET, Kind::Datagram)
            .map_err(|source| Error::System { act: "bind the notify socket", source })?;
        let node = fd::openat(&directory, SOCKET, fd::OFlags::PATH | fd::OFlags::NOFOLLOW, 0)
            .map_err(|source| Error::System { act: "open the notify socket", source })?;
        fd::fchmod(&node, 0o777)
            .map_err(|source| Error::System { act: "open the notify socket to the container's user", source })?;
        Ok(Some(Self { target, socket: UnixDatagram::from(socket) }))
    }

    /// Waits for `READY=` and forwards it; returns without it when the container ends first.
    pub fn forward(&self, init: BorrowedFd<'_>, pid: Pid) -> Result<()> {
        loop {
            let ready = poll::poll_readable(&[self.socket.as_fd(), init], None)
                .map_err(|source| Error::System { act: "wait for readiness", source })?;
            if ready.first() != Some(&true) || self.forward_one(pid)? {
                return Ok(());
            }
        }
    }

    /// Takes one message, when there is one; true if it was `READY=`, which is forwarded: nothing more is waited for. `pid`: the
    /// service's main process from now on.
    pub fn forward_one(&self, pid: Pid) -> Result<bool> {
        let mut buffer = [0; 4096];
        let count = self.socket.recv(&mut buffer).map_err(|source| self.failed("receive from", source))?;
        let text = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default());
        match text.lines().find(|line| line.starts_with("READY=")) {
            None => Ok(false),
            Some(line) => self.announce(line, pid).map(|()| true),
        }
    }

    fn announce(&self, line: &str, pid: Pid) -> Result<()> {
        let target = self.connect()?;
        let send = |bytes: &[u8], fds: &[BorrowedFd<'_>]| {
            socket::send(&target, bytes, fds).map_err(|source| Error::System { act: "send the readiness message", source })
        };
        send(format!("MAINPID={pid}\n{line}\n").as_bytes(), &[])?;
        // The receiver closes the pipe's end when it has read everything before it.
        let (barrier, theirs) = std::io::pipe().map_err(|source| self.failed("make a pipe for", source))?;
        send(b"BARRIER=1", &[theirs.as_fd()])?;
        drop(theirs);
        poll::wait_readable(&barrier, Some(BARRIER_LIMIT))
            .map_err(|source| Error::System { act: "wait for the barrier", source })?;
        Ok(())
    }

    fn connect(&self) -> Result<OwnedFd> {
        let name = self.target.as_encoded_bytes();
        let connected = match name.strip_prefix(b"@") {
            Some(name) => socket::connect_abstract(name, Kind::Datagram),
            None => socket::connect_path(&self.target, Kind::Datagram),
        };
        connected.map_err(|source| Error::System { act: "connect to NOTIFY_SOCKET", source })
    }

    fn failed(&self, act: &'static str, source: std::io::Error) -> Error {
        debug_assert!(source.kind() != ErrorKind::Interrupted);
        Error::File { act, path: PathBuf::from(&self.target), source }
    }
}

impl AsFd for Readiness {
    /// Readable when there is a message.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
