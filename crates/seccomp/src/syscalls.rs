//! Syscall names and numbers by architecture, and the two calls that carry others inside them.

mod table;

use crate::arch::{Arch, X32_BIT};
use table::{BY_NUMBER, NONE, TABLE};

/// A syscall name that at least one architecture has: a row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Syscall(u16);

/// How many [`Syscall`]s there are; [`Syscall::index`] is below it.
pub const COUNT: usize = TABLE.len();

/// ARM's own calls (`__ARM_NR_BASE`) start here, far above the ordinary table.
pub const ARM_PRIVATE: u32 = 0x000F_0000;

impl Syscall {
    pub fn from_name(name: &str) -> Option<Syscall> {
        let mut slot = hash(name.as_bytes()) % SLOTS;
        loop {
            let row = HASHED[slot];
            if row == EMPTY {
                return None;
            }
            if TABLE[row as usize].0 == name {
                return Some(Syscall(row));
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// The first name, by the alphabet, that this architecture has for a number.
    pub fn from_number(arch: Arch, number: u32) -> Option<Syscall> {
        let rows = BY_NUMBER[arch as usize];
        let at = rows.partition_point(|&row| Syscall(row).number(arch) < Some(number));
        rows.get(at).map(|&row| Syscall(row)).filter(|syscall| syscall.number(arch) == Some(number))
    }

    pub fn name(self) -> &'static str {
        TABLE[self.index()].0
    }

    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// `seccomp_data.nr` of the call (x32's with its bit), where the architecture has it.
    pub fn number(self, arch: Arch) -> Option<u32> {
        let number = TABLE[self.index()].1[arch as usize];
        (number != NONE).then_some(if matches!(arch, Arch::X32) { number | X32_BIT } else { number })
    }

    /// The calls of an architecture in ascending order of their numbers; two names may share one.
    pub fn all(arch: Arch) -> impl Iterator<Item = Syscall> {
        BY_NUMBER[arch as usize].iter().map(|&row| Syscall(row))
    }
}

/// One call that carries others: its first argument chooses, the rest lies behind a pointer that no filter can follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    Socketcall,
    Ipc,
}

impl Carrier {
    /// The carrier that a call is, on the architectures that have it.
    pub fn from_call(call: Syscall, arch: Arch) -> Option<Carrier> {
        let carrier = match call.name() {
            "socketcall" => Carrier::Socketcall,
            "ipc" => Carrier::Ipc,
            _ => return None,
        };
        call.number(arch).map(|_| carrier)
    }

    /// The calls inside, with the value of the first argument that chooses each (`linux/net.h`, `linux/ipc.h`).
    pub fn calls(self) -> impl Iterator<Item = (Syscall, u64)> {
        let calls = match self {
            Carrier::Socketcall => SOCKETCALL.as_slice(),
            Carrier::Ipc => IPC.as_slice(),
        };
        calls.iter().filter_map(|(name, selector)| Some((Syscall::from_name(name)?, *selector)))
    }

    pub fn name(self) -> &'static str {
        match self {
            Carrier::Socketcall => "socketcall",
            Carrier::Ipc => "ipc",
        }
    }

    /// The bits of the first argument that the kernel looks at: an `int`, and below a version in `ipc`'s high half.
    pub fn selector_mask(self) -> u64 {
        match self {
            Carrier::Socketcall => 0xFFFF_FFFF,
            Carrier::Ipc => 0xFFFF,
        }
    }
}

const SOCKETCALL: [(&str, u64); 20] = [
    ("socket", 1),
    ("bind", 2),
    ("connect", 3),
    ("listen", 4),
    ("accept", 5),
    ("getsockname", 6),
    ("getpeername", 7),
    ("socketpair", 8),
    ("send", 9),
    ("recv", 10),
    ("sendto", 11),
    ("recvfrom", 12),
    ("shutdown", 13),
    ("setsockopt", 14),
    ("getsockopt", 15),
    ("sendmsg", 16),
    ("recvmsg", 17),
    ("accept4", 18),
    ("recvmmsg", 19),
    ("sendmmsg", 20),
];

const IPC: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// Whether a number is one of an architecture's private calls, which say nothing about the age of a profile.
pub fn is_private(arch: Arch, number: u32) -> bool {
    arch == Arch::Arm && number >= ARM_PRIVATE
}

const SLOTS: usize = 2048;
const EMPTY: u16 = u16::MAX;

/// Rows by the hash of their name, linear probing: a profile has hundreds of names and is compiled at every start.
static HASHED: [u16; SLOTS] = hashed();

const fn hashed() -> [u16; SLOTS] {
    let mut slots = [EMPTY; SLOTS];
    let mut row = 0;
    while row < TABLE.len() {
        let mut slot = hash(TABLE[row].0.as_bytes()) % SLOTS;
        while slots[slot] != EMPTY {
            slot = (slot + 1) % SLOTS;
        }
        slots[slot] = row as u16;
        row += 1;
    }
    slots
}

/// FNV-1a.
const fn hash(bytes: &[u8]) -> usize {
    let mut hash: u32 = 0x811C_9DC5;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    hash as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_name_and_every_number_by_its_arch() {
        for arch in Arch::ALL {
            let mut last = None;
            for syscall in Syscall::all(arch) {
                assert_eq!(Syscall::from_name(syscall.name()), Some(syscall));
                let number = syscall.number(arch).unwrap();
                let found = Syscall::from_number(arch, number).unwrap();
                assert_eq!(found.number(arch), Some(number));
                assert!(last <= Some(number), "{arch} is out of order at {}", syscall.name());
                last = Some(number);
            }
        }
        assert_eq!(Syscall::from_name("no_such_call"), None);
        assert_eq!(Syscall::from_number(Arch::X86_64, 0x3FFF_FFFF), None);
    }

    #[test]
    fn well_known_numbers() {
        let number = |name, arch| Syscall::from_name(name).unwrap().number(arch);
        assert_eq!(number("execve", Arch::X86_64), Some(59));
        assert_eq!(number("execve", Arch::X32), Some(0x4000_0000 + 520));
        assert_eq!(number("open", Arch::Aarch64), None);
        assert_eq!(number("set_tls", Arch::Arm), Some(0x000F_0005));
        assert_eq!(number("clone3", Arch::S390x), Some(435));
    }
}
