//! The profile: `linux.seccomp` of the runtime specification, checked once and never again.

use crate::arch::Arch;

/// What a filter answers, with the number that some answers carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    KillProcess,
    KillThread,
    Trap,
    /// The call is not made and returns this errno, 0 to 4095; 0 is a false success.
    Errno(u16),
    Notify,
    /// The tracer is asked and reads this number; without a tracer the call returns `ENOSYS`.
    Trace(u16),
    Log,
    Allow,
}

/// `errno` when a profile names an action that takes one and gives none (config-linux.md, `errnoRet`).
pub(crate) const EPERM: u16 = 1;

/// `errno` of a call that the kernel does not have.
pub(crate) const ENOSYS: u16 = 38;

/// The kernel caps what `SECCOMP_RET_ERRNO` returns here (`MAX_ERRNO`, `linux/err.h`).
pub(crate) const MAX_ERRNO: u32 = 4095;

const RET_ERRNO: u32 = 0x0005_0000;
const RET_TRACE: u32 = 0x7FF0_0000;

impl Action {
    /// The value that a filter returns for it (`SECCOMP_RET_*`, `linux/seccomp.h`).
    pub const fn code(self) -> u32 {
        match self {
            Action::KillProcess => 0x8000_0000,
            Action::KillThread => 0,
            Action::Trap => 0x0003_0000,
            Action::Errno(errno) => RET_ERRNO | errno as u32,
            Action::Notify => 0x7FC0_0000,
            Action::Trace(message) => RET_TRACE | message as u32,
            Action::Log => 0x7FFC_0000,
            Action::Allow => 0x7FFF_0000,
        }
    }

    /// The action that a filter's return value asks for; `None` for one that the kernel would take for a kill.
    pub const fn from_code(code: u32) -> Option<Action> {
        let data = (code & 0xFFFF) as u16;
        Some(match code & 0xFFFF_0000 {
            0x8000_0000 => Action::KillProcess,
            0 => Action::KillThread,
            0x0003_0000 => Action::Trap,
            RET_ERRNO => Action::Errno(data),
            0x7FC0_0000 => Action::Notify,
            RET_TRACE => Action::Trace(data),
            0x7FFC_0000 => Action::Log,
            0x7FFF_0000 => Action::Allow,
            _ => return None,
        })
    }

    /// Whether the kernel makes the call without asking anybody.
    pub const fn lets_pass(self) -> bool {
        matches!(self, Action::Allow | Action::Log)
    }

    /// Whether calls newer than the profile keep this default: a tracer, like a permissive default, is meant to see
    /// them, every other default answers them `ENOSYS` so that libraries fall back to the older call.
    pub(crate) const fn keeps_unknown_calls(self) -> bool {
        matches!(self, Action::Allow | Action::Log | Action::Trace(_))
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Action::KillProcess => f.write_str("KILL_PROCESS"),
            Action::KillThread => f.write_str("KILL_THREAD"),
            Action::Trap => f.write_str("TRAP"),
            Action::Errno(errno) => write!(f, "ERRNO({errno})"),
            Action::Notify => f.write_str("NOTIFY"),
            Action::Trace(message) => write!(f, "TRACE({message})"),
            Action::Log => f.write_str("LOG"),
            Action::Allow => f.write_str("ALLOW"),
        }
    }
}

/// How an argument is compared; unsigned, on the low 32 bits of both sides where the architecture has 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Test {
    Ne(u64),
    Lt(u64),
    Le(u64),
    Eq(u64),
    Ge(u64),
    Gt(u64),
    /// The argument under the mask equals the value under the mask.
    MaskedEq {
        mask: u64,
        value: u64,
    },
}

/// A test of one argument, 0 to 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    pub argument: u8,
    pub test: Test,
}

/// `seccomp_data.args` has six.
pub const ARGUMENTS: u8 = 6;

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let argument = self.argument;
        match self.test {
            Test::Ne(value) => write!(f, "arg{argument} != {value:#x}"),
            Test::Lt(value) => write!(f, "arg{argument} < {value:#x}"),
            Test::Le(value) => write!(f, "arg{argument} <= {value:#x}"),
            Test::Eq(value) => write!(f, "arg{argument} == {value:#x}"),
            Test::Ge(value) => write!(f, "arg{argument} >= {value:#x}"),
            Test::Gt(value) => write!(f, "arg{argument} > {value:#x}"),
            Test::MaskedEq { mask, value } => write!(f, "arg{argument} & {mask:#x} == {value:#x}"),
        }
    }
}

/// An entry of `syscalls`: what its names get when its conditions hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub(crate) names: Vec<String>,
    pub(crate) action: Action,
    pub(crate) conditions: Vec<Condition>,
}

impl Rule {
    /// At least one, none empty; a name may be one that no architecture has.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub fn action(&self) -> Action {
        self.action
    }

    /// All have to hold, but see [`Rule::alternatives`].
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// The sets of conditions of which one has to hold. It is one set with every condition, except where two conditions
    /// test the same argument: libseccomp refuses that in one rule, and every runtime then makes each condition a rule of
    /// its own.
    pub fn alternatives(&self) -> impl Iterator<Item = &[Condition]> {
        let mut seen = [false; ARGUMENTS as usize];
        let twice = self.conditions.iter().any(|c| std::mem::replace(&mut seen[c.argument as usize], true));
        let size = if twice { 1 } else { self.conditions.len().max(1) };
        let unconditional = self.conditions.is_empty().then_some(self.conditions.as_slice());
        self.conditions.chunks(size).chain(unconditional)
    }
}

/// The flags of `seccomp(2)` that a profile can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// Known and without effect: the filter is loaded by a process of one thread.
    pub tsync: bool,
    pub log: bool,
    pub spec_allow: bool,
    pub wait_killable_recv: bool,
}

impl Flags {
    /// What a profile without `flags` gets, as in runc and crun: no speculative-store mitigation on its account.
    pub const DEFAULT: Flags = Flags { tsync: false, log: false, spec_allow: true, wait_killable_recv: false };
}

/// Where the agent that answers `SCMP_ACT_NOTIFY` listens, and what it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub path: String,
    pub metadata: Option<String>,
}

/// A profile that has been checked; it is made by [`Profile::from_slice`], [`Profile::from_value`] and
/// [`Profile::from_oci`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub(crate) default: Action,
    pub(crate) architectures: Vec<Arch>,
    pub(crate) untabled: Vec<&'static str>,
    pub(crate) flags: Flags,
    pub(crate) listener: Option<Listener>,
    pub(crate) rules: Vec<Rule>,
}

impl Profile {
    pub fn default_action(&self) -> Action {
        self.default
    }

    /// The listed architectures that this crate has a table for; the native one counts even when it is not listed.
    pub fn architectures(&self) -> &[Arch] {
        &self.architectures
    }

    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// Only of use to a profile that [`Profile::notifies`].
    pub fn listener(&self) -> Option<&Listener> {
        self.listener.as_ref()
    }

    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether a rule asks an agent, so that loading the filter yields a listener fd.
    pub fn notifies(&self) -> bool {
        self.rules.iter().any(|rule| rule.action == Action::Notify)
    }
}
