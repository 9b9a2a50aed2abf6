//! Unix sockets that carry messages and descriptors.

use crate::error::{Call, show_fd};
use crate::fd::{self, OFlags};
use crate::{Errno, Error, Pid, Result};
use nix::sys::socket as nx;
use nix::sys::socket::{AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sockopt};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

/// The most descriptors that the kernel takes in one message (`SCM_MAX_FD`).
pub const MAX_FDS: usize = 253;

/// What kind of Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A stream of bytes.
    Stream,
    /// A connection that keeps messages apart.
    SeqPacket,
    /// Single messages without a connection.
    Datagram,
}

impl Kind {
    fn to_nix(self) -> SockType {
        match self {
            Self::Stream => SockType::Stream,
            Self::SeqPacket => SockType::SeqPacket,
            Self::Datagram => SockType::Datagram,
        }
    }
}

/// Who is at the other end, as it was when the connection was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCredentials {
    /// `None` if it lives outside this pid namespace.
    pub pid: Option<Pid>,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
}

/// Two connected sockets that keep messages apart.
pub fn seqpacket_pair() -> Result<(OwnedFd, OwnedFd)> {
    nx::socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .call("socketpair", || "AF_UNIX, SOCK_SEQPACKET".into())
}

/// Sends one message, with descriptors. It must hold a byte at least: an empty packet cannot be told from the end.
/// `EPIPE` if nobody can receive it any more; no signal is raised.
pub fn send(fd: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
    let fd = fd.as_fd();
    let args = || format!("{}, {} bytes, {} descriptors", show_fd(fd), bytes.len(), fds.len());
    if bytes.is_empty() || fds.len() > MAX_FDS {
        return Err(Error::new("sendmsg", args(), Errno::EINVAL));
    }
    let mut numbers: [RawFd; MAX_FDS] = [-1; MAX_FDS];
    for (number, fd) in numbers.iter_mut().zip(fds) {
        *number = fd.as_raw_fd();
    }
    let rights = [ControlMessage::ScmRights(&numbers[..fds.len()])];
    let control = if fds.is_empty() { &rights[..0] } else { &rights[..] };
    let mut left = bytes;
    let mut control = control;
    // A stream may take less than all; the descriptors go with the first byte.
    while !left.is_empty() {
        match nx::sendmsg::<()>(fd.as_raw_fd(), &[IoSlice::new(left)], control, MsgFlags::MSG_NOSIGNAL, None) {
            Err(nix::errno::Errno::EINTR) => {}
            outcome => {
                left = &left[outcome.call("sendmsg", args)?.min(left.len())..];
                control = &[];
            }
        }
    }
    Ok(())
}

/// How much is taken from a stream at once, in bytes.
const STREAM_PART: usize = 4096;

/// Receives one message of at most `limit` bytes, with its descriptors (close-on-exec). `None` if the other side is closed.
/// `EMSGSIZE` if the message or its descriptors did not fit: what did arrive is closed and dropped.
pub fn recv(fd: impl AsFd, limit: usize) -> Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let fd = fd.as_fd();
    // Asked first, because clearing room for the longest message costs more than the call. A stream does not say.
    let length = rustix::io::retry_on_intr(|| rustix::net::recv(fd, &mut [0_u8; 0][..], RecvFlags::PEEK | RecvFlags::TRUNC))
        .call("recv", || show_fd(fd))?
        .1;
    let mut bytes = vec![0; if length == 0 { STREAM_PART } else { length }.min(limit)];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    // rustix and not nix receives: it owns the descriptors that come with a truncated message, where nix would leak them.
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(fd, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)
    })
    .call("recvmsg", || show_fd(fd))?;
    let mut fds = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            fds.extend(rights);
        }
    }
    if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(Error::new("recvmsg", format!("{}: truncated ({:?})", show_fd(fd), message.flags), Errno::EMSGSIZE));
    }
    if message.bytes == 0 {
        return Ok(None);
    }
    bytes.truncate(message.bytes);
    Ok(Some((bytes, fds)))
}

/// Listens at `name` in the directory `dir`; it must not exist. The umask applies. Needs the host's /proc.
pub fn listen_in(dir: impl AsFd, name: &str, kind: Kind) -> Result<OwnedFd> {
    let socket = bind_in(&dir, name, kind)?;
    nx::listen(&socket, Backlog::MAXCONN).call("listen", || format!("{name:?}"))?;
    Ok(socket)
}

/// A socket that is bound to `name` in the directory `dir`: a datagram socket receives there. Needs the host's /proc.
pub fn bind_in(dir: impl AsFd, name: &str, kind: Kind) -> Result<OwnedFd> {
    let dir = dir.as_fd();
    let args = || format!("{}, {name:?}", show_fd(dir));
    let address = address_in(dir, name).call("bind", args)?;
    let socket = socket(kind)?;
    nx::bind(socket.as_raw_fd(), &address).call("bind", args)?;
    Ok(socket)
}

/// Connects to the socket `name` in the directory `dir`. Needs the host's /proc.
pub fn connect_in(dir: impl AsFd, name: &str, kind: Kind) -> Result<OwnedFd> {
    let dir = dir.as_fd();
    let args = || format!("{}, {name:?}", show_fd(dir));
    let address = address_in(dir, name).call("connect", args)?;
    connect(kind, &address, args)
}

/// Connects to the socket at `path`, which may be longer than the 107 bytes that an address holds.
pub fn connect_path(path: impl AsRef<Path>, kind: Kind) -> Result<OwnedFd> {
    let path = path.as_ref();
    let args = || format!("{path:?}");
    match (UnixAddr::new(path), path.parent(), path.file_name().and_then(|name| name.to_str())) {
        (Ok(address), _, _) => connect(kind, &address, args),
        (Err(nix::errno::Errno::ENAMETOOLONG), Some(parent), Some(name)) => {
            connect_in(fd::open(parent, OFlags::PATH | OFlags::DIRECTORY, 0)?, name, kind)
        }
        (Err(errno), _, _) => Err(Error::new("connect", args(), errno)),
    }
}

/// Connects to the abstract socket `name` (without the leading NUL; unix(7)).
pub fn connect_abstract(name: &[u8], kind: Kind) -> Result<OwnedFd> {
    let args = || format!("@{:?}", String::from_utf8_lossy(name));
    let address = UnixAddr::new_abstract(name).call("connect", args)?;
    connect(kind, &address, args)
}

/// Takes the next connection.
pub fn accept(listener: impl AsFd) -> Result<OwnedFd> {
    let listener = listener.as_fd();
    rustix::io::retry_on_intr(|| rustix::net::accept_with(listener, rustix::net::SocketFlags::CLOEXEC))
        .call("accept4", || show_fd(listener))
}

/// Who connected, or who listened.
pub fn peer_credentials(fd: impl AsFd) -> Result<PeerCredentials> {
    let fd = fd.as_fd();
    let peer = nx::getsockopt(&fd, sockopt::PeerCredentials).call("getsockopt", || format!("{}, SO_PEERCRED", show_fd(fd)))?;
    Ok(PeerCredentials { pid: Pid::from_raw(peer.pid()), uid: peer.uid(), gid: peer.gid() })
}

fn socket(kind: Kind) -> Result<OwnedFd> {
    nx::socket(AddressFamily::Unix, kind.to_nix(), SockFlag::SOCK_CLOEXEC, None).call("socket", || format!("AF_UNIX, {kind:?}"))
}

fn connect(kind: Kind, address: &UnixAddr, args: impl FnOnce() -> String) -> Result<OwnedFd> {
    let socket = socket(kind)?;
    nx::connect(socket.as_raw_fd(), address).call("connect", args)?;
    Ok(socket)
}

/// The kernel has no bindat(2): the link in /proc leads to the very directory, whatever its path is by now.
fn address_in(dir: BorrowedFd<'_>, name: &str) -> nix::Result<UnixAddr> {
    if name.contains('/') {
        return Err(nix::errno::Errno::EINVAL);
    }
    UnixAddr::new(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::wait_readable;
    use crate::scratch::Scratch;
    use std::time::Duration;

    fn directory(path: &Path) -> OwnedFd {
        fd::open(path, OFlags::PATH | OFlags::DIRECTORY, 0).unwrap()
    }

    #[test]
    fn descriptors_travel_close_on_exec() {
        let (one, other) = seqpacket_pair().unwrap();
        let null = fd::open("/dev/null", OFlags::RDONLY, 0).unwrap();
        send(&one, b"two", &[null.as_fd(), one.as_fd()]).unwrap();
        send(&one, b"none", &[]).unwrap();
        let (bytes, fds) = recv(&other, 16).unwrap().unwrap();
        assert_eq!((bytes.as_slice(), fds.len()), (b"two".as_slice(), 2));
        assert_eq!(fd::stat(&fds[0]).unwrap().rdev, (1, 3));
        for fd in &fds {
            assert!(rustix::io::fcntl_getfd(fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        }
        assert_eq!(recv(&other, 16).unwrap().unwrap().0, b"none");
        drop((one, fds));
        assert!(recv(&other, 16).unwrap().is_none());
        assert!(send(&other, b"x", &[]).unwrap_err().is(Errno::EPIPE));
    }

    #[test]
    fn as_many_descriptors_as_the_kernel_takes() {
        let (one, other) = seqpacket_pair().unwrap();
        let null = fd::open("/dev/null", OFlags::RDONLY, 0).unwrap();
        send(&one, b"x", &[null.as_fd(); MAX_FDS]).unwrap();
        assert_eq!(recv(&other, 1).unwrap().unwrap().1.len(), MAX_FDS);
        assert!(send(&one, b"x", &[null.as_fd(); MAX_FDS + 1]).unwrap_err().is(Errno::EINVAL));
        assert!(send(&one, b"", &[]).unwrap_err().is(Errno::EINVAL), "an empty packet looks like the end");
    }

    #[test]
    fn a_message_that_does_not_fit_is_an_error_and_leaks_nothing() {
        let (one, other) = seqpacket_pair().unwrap();
        let (end, watched) = seqpacket_pair().unwrap();
        send(&one, b"too long", &[end.as_fd()]).unwrap();
        drop(end);
        assert!(!wait_readable(&watched, Some(Duration::ZERO)).unwrap(), "the message holds the other end open");
        let error = recv(&other, 3).unwrap_err();
        assert!(error.is(Errno::EMSGSIZE), "{error}");
        assert!(recv(&watched, 1).unwrap().is_none(), "the descriptor of the refused message is closed");
    }

    #[test]
    fn a_stream_takes_more_than_its_buffer() {
        let scratch = Scratch::new();
        let listener = listen_in(directory(scratch.path()), "socket", Kind::Stream).unwrap();
        let client = connect_path(scratch.path().join("socket"), Kind::Stream).unwrap();
        let server = accept(&listener).unwrap();
        let sent = vec![5; 3_000_000];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                send(&client, &sent, &[listener.as_fd()]).unwrap();
                rustix::net::shutdown(&client, rustix::net::Shutdown::Write).unwrap();
            });
            let (mut received, mut fds) = (Vec::new(), 0);
            while let Some((bytes, more)) = recv(&server, 1 << 16).unwrap() {
                received.extend(bytes);
                fds += more.len();
            }
            assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
            assert_eq!(fds, 1, "the descriptors go once");
        });
    }

    #[test]
    fn the_peer_is_known() {
        let scratch = Scratch::new();
        let dir = directory(scratch.path());
        let listener = listen_in(&dir, "socket", Kind::SeqPacket).unwrap();
        let client = connect_in(&dir, "socket", Kind::SeqPacket).unwrap();
        let server = accept(&listener).unwrap();
        let own = PeerCredentials {
            pid: Some(crate::process::getpid()),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        };
        assert_eq!(peer_credentials(&server).unwrap(), own);
        assert_eq!(peer_credentials(&client).unwrap(), own);
        assert!(listen_in(&dir, "socket", Kind::Stream).unwrap_err().is(Errno::EADDRINUSE));
        assert!(connect_in(&dir, "socket", Kind::Stream).unwrap_err().errno.0 == libc::EPROTOTYPE);
        assert!(connect_in(&dir, "../socket", Kind::Stream).unwrap_err().is(Errno::EINVAL));
        assert!(connect_path("/nowhere/socket", Kind::Stream).unwrap_err().is(Errno::ENOENT));
    }

    #[test]
    fn a_path_may_be_longer_than_an_address() {
        let scratch = Scratch::new();
        let deep = scratch.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let receiver = bind_in(directory(&deep), "notify", Kind::Datagram).unwrap();
        send(connect_path(deep.join("notify"), Kind::Datagram).unwrap(), b"READY=1", &[]).unwrap();
        assert_eq!(recv(&receiver, 100).unwrap().unwrap().0, b"READY=1");
    }

    #[test]
    fn an_abstract_name_is_reached() {
        let name = format!("wolffia-sys-{}", std::process::id());
        let address = UnixAddr::new_abstract(name.as_bytes()).unwrap();
        let receiver = socket(Kind::Datagram).unwrap();
        nx::bind(receiver.as_raw_fd(), &address).unwrap();
        send(connect_abstract(name.as_bytes(), Kind::Datagram).unwrap(), b"x", &[]).unwrap();
        assert_eq!(recv(&receiver, 100).unwrap().unwrap().0, b"x");
        let error = connect_abstract(b"wolffia-nobody", Kind::Stream).unwrap_err();
        assert!(error.is(Errno::ECONNREFUSED) && error.to_string().contains("wolffia-nobody"), "{error}");
    }
}
