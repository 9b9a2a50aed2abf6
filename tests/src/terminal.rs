//! Terminals: one that the runtime is started on, and the socket that receives a container's.

use crate::call::{Call, Process};
use crate::processes::wait_until;
use rustix::fs::OFlags;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcgetwinsize, tcsetwinsize};
use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// No answer takes this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// The master of a terminal.
#[derive(Debug)]
pub struct Pty {
    master: File,
    seen: String,
}

impl Pty {
    pub fn open() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        Self::of_master(master)
    }

    pub fn of_master(master: OwnedFd) -> Self {
        rustix::fs::fcntl_setfl(&master, OFlags::NONBLOCK).unwrap();
        Self { master: File::from(master), seen: String::new() }
    }

    /// Starts the call on this terminal, in a session of its own that it controls.
    pub fn spawn(&self, call: Call) -> Process {
        let slave = ioctl_tiocgptpeer(&self.master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        let stream = || slave.try_clone().unwrap().into();
        call.by_shell("exec setsid --ctty --wait \"$@\"").spawn_on(stream(), stream(), stream())
    }

    /// Types.
    pub fn send(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until `text` was seen; what was seen since the last time, `text` included.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        let found = wait_until(PATIENCE, || {
            self.read();
            self.seen.contains(text)
        });
        assert!(found, "{text:?} does not appear on the terminal, but {:?}", self.seen);
        let end = self.seen.find(text).unwrap() + text.len();
        let rest = self.seen.split_off(end);
        std::mem::replace(&mut self.seen, rest)
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.master, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    }

    /// Rows and columns.
    pub fn size(&self) -> (u16, u16) {
        let size = tcgetwinsize(&self.master).unwrap();
        (size.ws_row, size.ws_col)
    }

    pub fn settings(&self) -> Termios {
        tcgetattr(&self.master).unwrap()
    }

    /// An end of file or an error of a terminal whose last user has gone is no news.
    fn read(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = self.master.read(&mut buffer) {
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }
}

/// `--console-socket`: what engines listen on.
#[derive(Debug)]
pub struct ConsoleSocket {
    path: PathBuf,
    listener: UnixListener,
}

impl ConsoleSocket {
    pub fn listen(path: PathBuf) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { path, listener }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The terminal that the runtime sent, and the message with it.
    #[track_caller]
    pub fn receive(&self) -> (Pty, String) {
        let mut accepted = None;
        wait_until(PATIENCE, || {
            accepted = self.listener.accept().ok();
            accepted.is_some()
        });
        let (stream, _) = accepted.expect("nobody connects to the console socket");
        stream.set_nonblocking(false).unwrap();
        let mut text = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(stream.as_fd(), &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
        let descriptors: Vec<OwnedFd> = control
            .drain()
            .filter_map(|message| if let RecvAncillaryMessage::ScmRights(all) = message { Some(all) } else { None })
            .flatten()
            .collect();
        let [master] = <[OwnedFd; 1]>::try_from(descriptors).expect("one descriptor");
        (Pty::of_master(master), String::from_utf8_lossy(&text[..received.bytes]).into_owned())
    }
}
