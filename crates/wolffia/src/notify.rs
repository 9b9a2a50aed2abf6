//! Readiness messages (sd_notify(3)) from inside a container to the caller's NOTIFY_SOCKET.
//!
//! The container sees a socket of ours. `start` forwards its `READY=1`, says which process it is about (`MAINPID=`), and waits until
//! the receiver has read both (`BARRIER=1`), because the receiver looks the sender up while that still lives.

use crate::error::{Error, Result};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
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

/// A container whose readiness somebody waits for.
#[derive(Debug)]
pub struct Relay {
    directory: OwnedFd,
    target: OsString,
}

/// Makes the directory. World-readable, because the container's user has to reach the socket.
pub fn make_directory(dir: &Dir) -> Result<()> {
    fd::mkdirat(dir, DIRECTORY, 0o755).map_err(|source| Error::System { act: "make the notify directory", source })
}

impl Relay {
    /// `None` if the container was made without one, or nobody waits any more.
    pub fn for_container(dir: &Dir) -> Result<Option<Self>> {
        let Some(target) = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else { return Ok(None) };
        let flags = fd::OFlags::PATH | fd::OFlags::DIRECTORY | fd::OFlags::NOFOLLOW;
        match fd::openat(dir, DIRECTORY, flags, 0) {
            Ok(directory) => Ok(Some(Self { directory, target })),
            Err(error) if error.is(Errno::ENOENT) => Ok(None),
            Err(source) => Err(Error::System { act: "open the notify directory", source }),
        }
    }

    /// Binds the socket that the container sends to. Before the container starts, so that no message is lost.
    pub fn bind(&self) -> Result<Bound<'_>> {
        match fd::unlinkat(&self.directory, SOCKET, false) {
            // A `start` that was killed has left its own.
            Err(error) if !error.is(Errno::ENOENT) => {
                return Err(Error::System { act: "remove the notify socket", source: error });
            }
            _ => {}
        }
        let socket = socket::bind_in(&self.directory, SOCKET, Kind::Datagram)
            .map_err(|source| Error::System { act: "bind the notify socket", source })?;
        let node = fd::openat(&self.directory, SOCKET, fd::OFlags::PATH | fd::OFlags::NOFOLLOW, 0)
            .map_err(|source| Error::System { act: "open the notify socket", source })?;
        fd::fchmod(&node, 0o777)
            .map_err(|source| Error::System { act: "open the notify socket to the container's user", source })?;
        Ok(Bound { relay: self, socket: UnixDatagram::from(socket) })
    }
}

/// The bound socket.
#[derive(Debug)]
pub struct Bound<'a> {
    relay: &'a Relay,
    socket: UnixDatagram,
}

impl Bound<'_> {
    /// Waits for `READY=` and forwards it; returns without it when the container ends first.
    pub fn forward(&self, init: &OwnedFd, pid: Pid) -> Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let ready = poll::poll_readable(&[self.socket.as_fd(), init.as_fd()], None)
                .map_err(|source| Error::System { act: "wait for readiness", source })?;
            if ready.first() != Some(&true) {
                return Ok(());
            }
            let count = self.socket.recv(&mut buffer).map_err(|source| self.failed("receive from", source))?;
            let text = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default());
            if let Some(line) = text.lines().find(|line| line.starts_with("READY=")) {
                return self.announce(line, pid);
            }
        }
    }

    fn announce(&self, line: &str, pid: Pid) -> Result<()> {
        let target = self.connect()?;
        let send = |bytes: &[u8], fds: &[std::os::fd::BorrowedFd<'_>]| {
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
        let name = self.relay.target.as_encoded_bytes();
        let connected = match name.strip_prefix(b"@") {
            Some(name) => socket::connect_abstract(name, Kind::Datagram),
            None => socket::connect_path(&self.relay.target, Kind::Datagram),
        };
        connected.map_err(|source| Error::System { act: "connect to NOTIFY_SOCKET", source })
    }

    fn failed(&self, act: &'static str, source: std::io::Error) -> Error {
        debug_assert!(source.kind() != ErrorKind::Interrupted);
        Error::File { act, path: PathBuf::from(&self.relay.target), source }
    }
}
