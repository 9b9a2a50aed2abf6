//! Names and bits of every right (linux/landlock.h), and the ABI that brought it.

/// The newest ABI that this program knows.
pub const ABI_NEWEST: u32 = 10;

/// What a right is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Fs,
    Net,
    Scope,
}

/// Name, bit, ABI.
type Right = (&'static str, u64, u32);

const FS: [Right; 17] = [
    ("execute", 1, 1),
    ("write_file", 1 << 1, 1),
    ("read_file", 1 << 2, 1),
    ("read_dir", 1 << 3, 1),
    ("remove_dir", 1 << 4, 1),
    ("remove_file", 1 << 5, 1),
    ("make_char", 1 << 6, 1),
    ("make_dir", 1 << 7, 1),
    ("make_reg", 1 << 8, 1),
    ("make_sock", 1 << 9, 1),
    ("make_fifo", 1 << 10, 1),
    ("make_block", 1 << 11, 1),
    ("make_sym", 1 << 12, 1),
    ("refer", 1 << 13, 2),
    ("truncate", 1 << 14, 3),
    ("ioctl_dev", 1 << 15, 5),
    ("resolve_unix", 1 << 16, 9),
];

const NET: [Right; 4] =
    [("bind_tcp", 1, 4), ("connect_tcp", 1 << 1, 4), ("bind_udp", 1 << 2, 10), ("connect_send_udp", 1 << 3, 10)];

const SCOPE: [Right; 2] = [("abstract_unix_socket", 1, 6), ("signal", 1 << 1, 6)];

/// The release of Linux that brought each ABI, from ABI 1.
const LINUX: [&str; ABI_NEWEST as usize] = ["5.13", "5.19", "6.2", "6.7", "6.10", "6.12", "6.15", "7.0", "7.1", "7.2"];

/// The release of Linux that brought this ABI; `None` for one that this program does not know.
pub fn linux_of(abi: u32) -> Option<&'static str> {
    LINUX.get(usize::try_from(abi).ok()?.checked_sub(1)?).copied()
}

impl Kind {
    fn rights(self) -> &'static [Right] {
        match self {
            Kind::Fs => &FS,
            Kind::Net => &NET,
            Kind::Scope => &SCOPE,
        }
    }

    /// Every right of this ABI and those before it.
    pub fn of_abi(self, abi: u32) -> u64 {
        self.rights().iter().filter(|(.., since)| *since <= abi).fold(0, |bits, (_, bit, _)| bits | bit)
    }

    /// The ABI that has all of `bits`; `None` if one of them is newer than this program.
    pub fn abi_of(self, bits: u64) -> Option<u32> {
        let known = self.of_abi(ABI_NEWEST);
        (bits & !known == 0).then(|| {
            self.rights().iter().filter(|(_, bit, _)| bits & bit != 0).map(|(.., since)| *since).max().unwrap_or_default()
        })
    }

    /// The rights by name; what has none by its number.
    pub fn names(self, bits: u64) -> Vec<String> {
        let named = self.rights().iter().filter(|(_, bit, _)| bits & bit != 0).map(|(name, ..)| (*name).to_owned());
        let rest = bits & !self.of_abi(ABI_NEWEST);
        named.chain((rest != 0).then(|| format!("{rest:#x}"))).collect()
    }

    /// The bits of a name; of a group (`abi.all`, for example) as this ABI has them, without which a group means nothing.
    pub(super) fn named(self, name: &str, abi: Option<u32>) -> Option<u64> {
        const EXECUTE: u64 = 1;
        // What reading and executing take, and moving a file along with its rights.
        const READ_EXECUTE: u64 = EXECUTE | 1 << 2 | 1 << 3 | 1 << 13;
        match (self, name) {
            (_, "abi.all") => Some(self.of_abi(abi?)),
            (Kind::Fs, "abi.read_execute") => Some(self.of_abi(abi?) & READ_EXECUTE),
            (Kind::Fs, "abi.read_write") => Some(self.of_abi(abi?) & !EXECUTE),
            _ => self.rights().iter().find(|(known, ..)| *known == name).map(|(_, bit, _)| *bit),
        }
    }

    /// Every name, between commas.
    pub(super) fn all_names(self) -> String {
        let groups: &[&str] = if self == Kind::Fs { &["abi.all", "abi.read_execute", "abi.read_write"] } else { &["abi.all"] };
        let names: Vec<&str> = groups.iter().copied().chain(self.rights().iter().map(|(name, ..)| *name)).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use landlock::{ABI, Access, AccessFs, AccessNet, Scope};

    /// The kernel maintainers' own crate is the judge, as far as it goes.
    #[test]
    fn bits_and_abis_are_those_of_the_kernels_maintainers() {
        let abis = [ABI::V1, ABI::V2, ABI::V3, ABI::V4, ABI::V5, ABI::V6, ABI::V7, ABI::V8, ABI::V9];
        for (number, abi) in (1..).zip(abis) {
            assert_eq!(Kind::Fs.of_abi(number), AccessFs::from_all(abi).bits(), "{abi:?}");
            assert_eq!(Kind::Net.of_abi(number), AccessNet::from_all(abi).bits(), "{abi:?}");
            assert_eq!(Kind::Scope.of_abi(number), Scope::from_all(abi).bits(), "{abi:?}");
            let read_execute = AccessFs::from_read(abi) | AccessFs::from_all(abi) & AccessFs::Refer;
            assert_eq!(Kind::Fs.named("abi.read_execute", Some(number)), Some(read_execute.bits()), "{abi:?}");
            let read_write = AccessFs::from_all(abi) & !AccessFs::Execute;
            assert_eq!(Kind::Fs.named("abi.read_write", Some(number)), Some(read_write.bits()), "{abi:?}");
        }
        for (name, bit, _) in FS {
            let camel: String = name.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
            let theirs = AccessFs::from_all(ABI::V9).iter().find(|right| format!("{right:?}") == camel);
            assert_eq!(theirs.map(|right| right as u64), Some(bit), "{name}");
        }
    }

    #[test]
    fn rights_have_names_and_the_newest_says_which_kernel() {
        assert_eq!(Kind::Fs.names(1 | 1 << 15 | 1 << 40), ["execute", "ioctl_dev", "0x10000000000"]);
        assert_eq!(Kind::Fs.abi_of(1 | 1 << 15), Some(5));
        assert_eq!(Kind::Fs.abi_of(1 << 40), None);
        assert_eq!((linux_of(0), linux_of(1), linux_of(10), linux_of(11)), (None, Some("5.13"), Some("7.2"), None));
    }
}
