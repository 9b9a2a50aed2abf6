//! Architectures: their OCI names, what the kernel calls them, and which of them one kernel can run.

/// The bit that marks a number of the x32 table (`asm/unistd.h`, `__X32_SYSCALL_BIT`).
pub const X32_BIT: u32 = 0x4000_0000;

/// An architecture whose syscalls this crate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arch {
    X86_64,
    X86,
    X32,
    Aarch64,
    Arm,
    Riscv64,
    S390x,
    Ppc64le,
}

/// What the specification lists and this crate has no table for: the kernels that wolffia runs on never report these.
const UNTABLED: [&str; 15] = [
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
];

/// An entry of `architectures`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListedArch {
    /// `SCMP_ARCH_NATIVE`, which every filter covers anyway.
    Native,
    Known(Arch),
    /// A name of the specification without a table here.
    Untabled(&'static str),
}

impl ListedArch {
    /// Reads a `SCMP_ARCH_*` name; `None` for one that the specification does not have.
    pub fn from_oci(name: &str) -> Option<Self> {
        if name == "SCMP_ARCH_NATIVE" {
            return Some(ListedArch::Native);
        }
        Arch::from_oci(name)
            .map(ListedArch::Known)
            .or_else(|| UNTABLED.iter().find(|known| **known == name).map(|known| ListedArch::Untabled(known)))
    }
}

impl Arch {
    pub const ALL: [Arch; 8] =
        [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm, Arch::Riscv64, Arch::S390x, Arch::Ppc64le];

    /// The architecture this code was built for; `None` where the crate has no table for it.
    pub const fn native() -> Option<Arch> {
        if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
            Some(Arch::X86_64)
        } else if cfg!(target_arch = "x86") {
            Some(Arch::X86)
        } else if cfg!(target_arch = "aarch64") {
            Some(Arch::Aarch64)
        } else if cfg!(target_arch = "arm") {
            Some(Arch::Arm)
        } else if cfg!(target_arch = "riscv64") {
            Some(Arch::Riscv64)
        } else if cfg!(target_arch = "s390x") {
            Some(Arch::S390x)
        } else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
            Some(Arch::Ppc64le)
        } else {
            None
        }
    }

    /// Reads a `SCMP_ARCH_*` name.
    pub fn from_oci(name: &str) -> Option<Arch> {
        Arch::ALL.into_iter().find(|arch| arch.oci_name() == name)
    }

    /// The name that `architectures` uses.
    pub const fn oci_name(self) -> &'static str {
        match self {
            Arch::X86_64 => "SCMP_ARCH_X86_64",
            Arch::X86 => "SCMP_ARCH_X86",
            Arch::X32 => "SCMP_ARCH_X32",
            Arch::Aarch64 => "SCMP_ARCH_AARCH64",
            Arch::Arm => "SCMP_ARCH_ARM",
            Arch::Riscv64 => "SCMP_ARCH_RISCV64",
            Arch::S390x => "SCMP_ARCH_S390X",
            Arch::Ppc64le => "SCMP_ARCH_PPC64LE",
        }
    }

    /// `seccomp_data.arch` of its calls, an `AUDIT_ARCH_*` of `linux/audit.h`. x32 shares x86_64's.
    pub const fn audit(self) -> u32 {
        match self {
            Arch::X86_64 | Arch::X32 => 0xC000_003E,
            Arch::X86 => 0x4000_0003,
            Arch::Aarch64 => 0xC000_00B7,
            Arch::Arm => 0x4000_0028,
            Arch::Riscv64 => 0xC000_00F3,
            Arch::S390x => 0x8000_0016,
            Arch::Ppc64le => 0xC000_0015,
        }
    }

    /// Whether arguments are compared in all 64 bits. libseccomp compares only the low half on the others, and so must
    /// we: the kernel ignores the high half there, so comparing it would let `socket(0x28_0000_0028)` past a ban on 40.
    pub const fn is_64_bit(self) -> bool {
        !matches!(self, Arch::X86 | Arch::X32 | Arch::Arm)
    }

    /// Whether the high half of a 64-bit argument comes first in `seccomp_data`.
    pub const fn is_big_endian(self) -> bool {
        matches!(self, Arch::S390x)
    }

    /// What a kernel of this architecture can be asked to run; its `seccomp_data.arch` never says anything else.
    pub const fn runs(self) -> &'static [Arch] {
        match self {
            Arch::X86_64 | Arch::X32 => &[Arch::X86_64, Arch::X86, Arch::X32],
            Arch::X86 => &[Arch::X86],
            Arch::Aarch64 => &[Arch::Aarch64, Arch::Arm],
            Arch::Arm => &[Arch::Arm],
            Arch::Riscv64 => &[Arch::Riscv64],
            Arch::S390x => &[Arch::S390x],
            Arch::Ppc64le => &[Arch::Ppc64le],
        }
    }
}

impl std::fmt::Display for Arch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Arch::X86_64 => "x86_64",
            Arch::X86 => "x86",
            Arch::X32 => "x32",
            Arch::Aarch64 => "aarch64",
            Arch::Arm => "arm",
            Arch::Riscv64 => "riscv64",
            Arch::S390x => "s390x",
            Arch::Ppc64le => "ppc64le",
        })
    }
}
