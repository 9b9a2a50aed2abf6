//! rtnetlink(7): moving a network device into a container with the addresses that it has.

use crate::error::{Call, show_fd};
use crate::{Errno, Error, Result};
use nix::sys::socket::{self as nx, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sockopt};
use nix::sys::time::TimeVal;
use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// The kernel answers at once; a silence of this many seconds is a failure.
const PATIENCE_SECONDS: i64 = 5;
/// Datagrams of one answer, about as many thousand addresses or links.
const MOST_DATAGRAMS: usize = 1024;
/// No datagram of the kernel is larger (`NLMSG_GOODSIZE` limits it to 32 KiB).
const DATAGRAM: usize = 32 * 1024;

const HEADER: usize = 16;
/// An error number and the kernel's words about it, beside the request (netlink(7), `NLMSG_ERROR`).
const ACKNOWLEDGEMENT: usize = 1024;
const LINK_BODY: usize = 16;
const ADDRESS_BODY: usize = 8;
const ATTRIBUTE_HEADER: usize = 4;

/// An address of a network device.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Address {
    /// `AF_INET` (2) or `AF_INET6` (10).
    pub family: u8,
    /// Bits of the network part.
    pub prefix: u8,
    /// `IFA_F_*`.
    pub flags: u32,
    /// `RT_SCOPE_*`; 0 is global.
    pub scope: u8,
    /// The address, or the peer's on a point-to-point device: 4 or 16 bytes in network order.
    pub address: Vec<u8>,
    /// The own address on a point-to-point device; for IPv4 always there.
    pub local: Option<Vec<u8>>,
    /// The broadcast address.
    pub broadcast: Option<Vec<u8>>,
}

/// A conversation with the kernel about the network namespace that it was opened in.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl From<OwnedFd> for Socket {
    /// A conversation that another process opened, in its own network namespace.
    fn from(fd: OwnedFd) -> Self {
        Self { fd, sequence: 0 }
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.fd
    }
}

impl Socket {
    /// Opens one in the caller's network namespace.
    pub fn open() -> Result<Self> {
        let args = || "AF_NETLINK, SOCK_RAW, NETLINK_ROUTE".to_owned();
        let kind = SockType::Raw;
        let fd =
            nx::socket(AddressFamily::Netlink, kind, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute).call("socket", args)?;
        let patience = TimeVal::new(PATIENCE_SECONDS, 0);
        nx::setsockopt(&fd, sockopt::ReceiveTimeout, &patience).call("setsockopt", || "SO_RCVTIMEO".into())?;
        Ok(Self { fd, sequence: 0 })
    }

    /// The index of the device `name`. `ENODEV` if there is none.
    pub fn link_index(&mut self, name: &str) -> Result<u32> {
        let args = || format!("RTM_GETLINK, {name:?}");
        let mut request = Request::new(libc::RTM_GETLINK, 0, &link_body(0, false));
        request.name(name)?;
        let link = self.ask_one(request, libc::RTM_NEWLINK, LINK_BODY, args)?;
        link.number(HEADER + 4).ok_or_else(|| malformed(args()))
    }

    /// The name of the device `index`. `ENODEV` if there is none.
    pub fn link_name(&mut self, index: u32) -> Result<String> {
        let args = || format!("RTM_GETLINK, index {index}");
        let request = Request::new(libc::RTM_GETLINK, 0, &link_body(index, false));
        let link = self.ask_one(request, libc::RTM_NEWLINK, LINK_BODY, args)?;
        let name = link.attribute(LINK_BODY, libc::IFLA_IFNAME).ok_or_else(|| malformed(args()))?;
        Ok(String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name)).into_owned())
    }

    /// The permanent addresses of global scope of the device `index`: those that somebody configured, and that are lost
    /// when the device changes its namespace.
    pub fn global_addresses(&mut self, index: u32) -> Result<Vec<Address>> {
        let request = Request::new(libc::RTM_GETADDR, libc::NLM_F_DUMP as u16, &[0; ADDRESS_BODY]);
        let mut addresses = Vec::new();
        self.ask(
            request,
            || format!("RTM_GETADDR, index {index}"),
            |message| {
                if message.kind() == Some(libc::RTM_NEWADDR) && message.number(HEADER + 4) == Some(index) {
                    addresses.extend(message.address());
                }
            },
        )?;
        let wanted = |address: &Address| address.scope == libc::RT_SCOPE_UNIVERSE && address.flags & libc::IFA_F_PERMANENT != 0;
        addresses.retain(wanted);
        Ok(addresses)
    }

    /// Moves the device `index` into the network namespace behind `netns`, where it is called `new_name`; a `%d` in it
    /// is filled by the kernel. It arrives down and without addresses, and may have another index.
    pub fn move_to_namespace(&mut self, index: u32, new_name: &str, netns: BorrowedFd<'_>) -> Result<()> {
        let mut request = Request::new(libc::RTM_NEWLINK, libc::NLM_F_ACK as u16, &link_body(index, false));
        request.bytes(libc::IFLA_NET_NS_FD, &netns.as_raw_fd().to_ne_bytes())?;
        request.name(new_name)?;
        self.ask(request, || format!("RTM_NEWLINK, index {index}, {new_name:?}, {}", show_fd(netns)), drop)
    }

    /// Renames the device `index`; a `%d` in the name is filled by the kernel. `EEXIST` if the name is taken.
    pub fn rename(&mut self, index: u32, name: &str) -> Result<()> {
        let mut request = Request::new(libc::RTM_NEWLINK, libc::NLM_F_ACK as u16, &link_body(index, false));
        request.name(name)?;
        self.ask(request, || format!("RTM_NEWLINK, index {index}, {name:?}"), drop)
    }

    /// Sets the device `index` down.
    pub fn set_down(&mut self, index: u32) -> Result<()> {
        let mut body = link_body(index, true);
        // `ifi_flags` without IFF_UP; `ifi_change` still names it.
        body[8..12].fill(0);
        let request = Request::new(libc::RTM_NEWLINK, libc::NLM_F_ACK as u16, &body);
        self.ask(request, || format!("RTM_NEWLINK, index {index}, down"), drop)
    }

    /// Gives the device `index` an address. `EEXIST` if it has it.
    pub fn add_address(&mut self, index: u32, address: &Address) -> Result<()> {
        let mut body = [address.family, address.prefix, 0, address.scope, 0, 0, 0, 0];
        body[4..].copy_from_slice(&index.to_ne_bytes());
        let flags = (libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
        let mut request = Request::new(libc::RTM_NEWADDR, flags, &body);
        request.bytes(libc::IFA_ADDRESS, &address.address)?;
        if let Some(local) = &address.local {
            request.bytes(libc::IFA_LOCAL, local)?;
        }
        if let Some(broadcast) = &address.broadcast {
            request.bytes(libc::IFA_BROADCAST, broadcast)?;
        }
        request.bytes(libc::IFA_FLAGS, &address.flags.to_ne_bytes())?;
        self.ask(request, || format!("RTM_NEWADDR, index {index}, {address:?}"), drop)
    }

    /// Sets the device `index` up.
    pub fn set_up(&mut self, index: u32) -> Result<()> {
        let request = Request::new(libc::RTM_NEWLINK, libc::NLM_F_ACK as u16, &link_body(index, true));
        self.ask(request, || format!("RTM_NEWLINK, index {index}, IFF_UP"), drop)
    }

    fn ask_one(&mut self, request: Request, kind: u16, body: usize, args: impl Fn() -> String) -> Result<Message> {
        let mut found = None;
        self.ask(request, &args, |message| {
            if message.kind() == Some(kind) && message.0.len() >= HEADER + body {
                found = Some(message);
            }
        })?;
        found.ok_or_else(|| malformed(args()))
    }

    /// Sends `request` and hands every message of the answer to `take`, until the kernel says that it is complete.
    fn ask(&mut self, mut request: Request, args: impl Fn() -> String, mut take: impl FnMut(Message)) -> Result<()> {
        self.sequence += 1;
        let dump = request.is_dump();
        let acknowledged = request.wants_ack();
        let bytes = request.finish(self.sequence);
        let kernel = NetlinkAddr::new(0, 0);
        nx::sendto(self.fd.as_raw_fd(), bytes, &kernel, MsgFlags::empty()).call("sendto", &args)?;
        // An acknowledgement holds no more than the request again: room for the longest datagram would have to be cleared.
        let mut datagram = vec![0; if dump || !acknowledged { DATAGRAM } else { ACKNOWLEDGEMENT + bytes.len() }];
        for _ in 0..MOST_DATAGRAMS {
            let length = self.receive(&mut datagram, &args)?;
            for message in messages(&datagram[..length]) {
                let message = message.ok_or_else(|| malformed(args()))?;
                if message.number(8) != Some(self.sequence) {
                    continue;
                }
                match message.verdict() {
                    Verdict::Done => return Ok(()),
                    Verdict::Failed(errno) => return Err(Error::new("rtnetlink", args(), errno)),
                    Verdict::Data => take(message),
                }
                if !dump && !acknowledged {
                    return Ok(());
                }
            }
        }
        Err(Error::new("rtnetlink", format!("{}: no end of the answer", args()), Errno::EBADMSG))
    }

    fn receive(&self, datagram: &mut [u8], args: impl Fn() -> String) -> Result<usize> {
        loop {
            match nx::recvfrom::<NetlinkAddr>(self.fd.as_raw_fd(), datagram) {
                // Any process may send to a netlink socket; only the kernel has port 0.
                Ok((length, Some(sender))) if sender.pid() == 0 => return Ok(length),
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(Error::new("recvfrom", args(), errno)),
            }
        }
    }
}

enum Verdict {
    Data,
    Done,
    Failed(Errno),
}

/// One message of the kernel, header included.
struct Message(Vec<u8>);

impl Message {
    fn kind(&self) -> Option<u16> {
        half(&self.0, 4)
    }

    fn number(&self, offset: usize) -> Option<u32> {
        word(&self.0, offset)
    }

    fn verdict(&self) -> Verdict {
        let kind = self.kind().map(i32::from);
        if kind != Some(libc::NLMSG_ERROR) && kind != Some(libc::NLMSG_DONE) {
            return Verdict::Data;
        }
        // Both carry an error number first, negative, and 0 for success.
        match self.number(HEADER).map_or(0, |number| number.cast_signed()) {
            0 => Verdict::Done,
            negative => Verdict::Failed(Errno(negative.saturating_neg())),
        }
    }

    fn attribute(&self, body: usize, kind: u16) -> Option<&[u8]> {
        let mut rest = self.0.get(HEADER + body..)?;
        loop {
            let length = usize::from(half(rest, 0)?);
            let value = rest.get(ATTRIBUTE_HEADER..length)?;
            // The two highest bits are marks (NLA_F_NESTED, NLA_F_NET_BYTEORDER).
            if half(rest, 2)? & 0x3fff == kind {
                return Some(value);
            }
            rest = rest.get(aligned(length)..)?;
        }
    }

    fn address(&self) -> Option<Address> {
        let attribute = |kind| self.attribute(ADDRESS_BODY, kind).map(<[u8]>::to_vec);
        let short_flags = u32::from(*self.0.get(HEADER + 2)?);
        let local = attribute(libc::IFA_LOCAL);
        Some(Address {
            family: *self.0.get(HEADER)?,
            prefix: *self.0.get(HEADER + 1)?,
            flags: attribute(libc::IFA_FLAGS).and_then(|flags| word(&flags, 0)).unwrap_or(short_flags),
            scope: *self.0.get(HEADER + 3)?,
            address: attribute(libc::IFA_ADDRESS).or_else(|| local.clone())?,
            local,
            broadcast: attribute(libc::IFA_BROADCAST),
        })
    }
}

/// A message to the kernel in the making.
struct Request(Vec<u8>);

impl Request {
    fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        bytes.extend_from_slice(body);
        Self(bytes)
    }

    fn bytes(&mut self, kind: u16, value: &[u8]) -> Result<()> {
        let length = u16::try_from(ATTRIBUTE_HEADER + value.len())
            .map_err(|_| Error::new("rtnetlink", format!("an attribute of {} bytes", value.len()), Errno::EMSGSIZE))?;
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(aligned(self.0.len()), 0);
        Ok(())
    }

    /// The name of a device, which the kernel wants with its NUL.
    fn name(&mut self, name: &str) -> Result<()> {
        let name = CString::new(name).map_err(|_| Error::new("rtnetlink", format!("{name:?}"), Errno::EINVAL))?;
        self.bytes(libc::IFLA_IFNAME, name.as_bytes_with_nul())
    }

    fn flags(&self) -> i32 {
        half(&self.0, 6).map_or(0, i32::from)
    }

    fn is_dump(&self) -> bool {
        self.flags() & libc::NLM_F_DUMP == libc::NLM_F_DUMP
    }

    fn wants_ack(&self) -> bool {
        self.flags() & libc::NLM_F_ACK != 0
    }

    fn finish(&mut self, sequence: u32) -> &[u8] {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[8..12].copy_from_slice(&sequence.to_ne_bytes());
        &self.0
    }
}

/// `struct ifinfomsg` of a device; with `up` it asks to set `IFF_UP`.
fn link_body(index: u32, up: bool) -> [u8; LINK_BODY] {
    let mut body = [0; LINK_BODY];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    if up {
        let flag = libc::IFF_UP.to_ne_bytes();
        body[8..12].copy_from_slice(&flag);
        body[12..16].copy_from_slice(&flag);
    }
    body
}

/// The messages of a datagram; `None` in place of one whose length is wrong, and nothing after it.
fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Option<Message>> {
    std::iter::from_fn(move || {
        if datagram.is_empty() {
            return None;
        }
        let length = word(datagram, 0).map_or(0, |length| length as usize);
        match datagram.get(..length) {
            Some(message) if length >= HEADER => {
                datagram = datagram.get(aligned(length)..).unwrap_or(&[]);
                Some(Some(Message(message.to_vec())))
            }
            _ => {
                datagram = &[];
                Some(None)
            }
        }
    })
}

fn half(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(offset..offset + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn malformed(args: String) -> Error {
    Error::new("rtnetlink", format!("{args}: the answer makes no sense"), Errno::EBADMSG)
}
