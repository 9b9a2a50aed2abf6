//! Which part of a profile decides a call, and why. It evaluates the profile itself, not the program: the two agreeing
//! is a property that the tests check.

use crate::arch::{Arch, X32_BIT};
use crate::compile::covered;
use crate::decision::{Alternative, BAD_ARCH, Decision, Decisions, Index, Remark};
use crate::model::{Action, Condition, Profile, Test};
use crate::syscalls::{Carrier, Syscall};

/// A call to ask about. An x32 number has its bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    pub arch: Arch,
    pub number: u32,
    pub arguments: [u64; 6],
}

/// What a call gets, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub call: Call,
    pub action: Action,
    pub reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The filter does not cover the architecture.
    Uncovered,
    /// A rule, by its index in `syscalls`, with the conditions that hold; `inside` is the call that it names when this
    /// one carries it.
    Rule { rule: usize, held: Vec<Condition>, inside: Option<Syscall> },
    /// No rule; the number is above the newest call that the profile knows.
    NewerThan(Syscall),
    /// s390x's call 0 is what calls with large numbers become when the kernel does not know them.
    LargeNumber,
    /// The rule for a call tests arguments that its carrier hides, so the call does not pass through the carrier.
    Hidden { rule: usize, inside: Syscall },
    /// No rule but the default; what kept each rule for the call from deciding.
    Default { failed: Vec<(usize, Condition)> },
}

/// Explains what a profile, compiled for a kernel of the architecture `native`, does to a call.
pub fn explain(profile: &Profile, native: Arch, call: Call) -> Explanation {
    let (action, reason) = decide(profile, native, &call);
    Explanation { call, action, reason }
}

fn decide(profile: &Profile, native: Arch, call: &Call) -> (Action, Reason) {
    let covered = covered(profile, native);
    let alone = !(covered.contains(&Arch::X86_64) && covered.contains(&Arch::X32));
    // The kernel reports x86_64 and x32 as one; the bit in the number tells them apart.
    let arch = match call.arch {
        Arch::X86_64 | Arch::X32 if call.number < X32_BIT => Arch::X86_64,
        Arch::X86_64 | Arch::X32 if covered.contains(&Arch::X32) => Arch::X32,
        Arch::X32 => Arch::X86_64,
        arch => arch,
    };
    if !covered.contains(&arch) {
        return (BAD_ARCH, Reason::Uncovered);
    }
    let mut remarks = Vec::new();
    let decisions = Decisions::new(profile, &Index::new(profile), arch, &mut remarks);
    let decision = decisions.named.binary_search_by_key(&call.number, |(number, _)| *number);
    let (action, reason) = match decision.ok().map(|at| &decisions.named[at].1) {
        Some(Decision::Always { action, rule: Some(rule) }) => {
            (*action, Reason::Rule { rule: *rule, held: Vec::new(), inside: None })
        }
        Some(Decision::Always { action, rule: None }) => (*action, Reason::LargeNumber),
        Some(Decision::First(alternatives)) => first(profile, arch, call, alternatives),
        None => unnamed(profile, &decisions, call.number, alone),
    };
    match hidden(arch, call, &remarks) {
        Some(hidden) if matches!(reason, Reason::Default { .. }) => (action, hidden),
        _ => (action, reason),
    }
}

/// The rule that would have let the call pass that this one carries.
fn hidden(arch: Arch, call: &Call, remarks: &[Remark]) -> Option<Reason> {
    let carried = Carrier::from_call(Syscall::from_number(arch, call.number)?, arch)?;
    remarks.iter().find_map(|remark| match remark {
        Remark::HiddenConditions { rule, syscall, carrier } if *carrier == carried => {
            let selector = call.arguments[0] & carrier.selector_mask();
            let asked = carrier.calls().any(|(inside, value)| inside == *syscall && value == selector);
            asked.then_some(Reason::Hidden { rule: *rule, inside: *syscall })
        }
        _ => None,
    })
}

fn first(profile: &Profile, arch: Arch, call: &Call, alternatives: &[Alternative]) -> (Action, Reason) {
    let mut failed = Vec::new();
    for alternative in alternatives {
        match alternative.conditions.iter().find(|condition| !holds(condition, arch, &call.arguments)) {
            Some(condition) => failed.push((alternative.rule, *condition)),
            None => {
                let held = alternative.conditions.clone();
                let reason = Reason::Rule { rule: alternative.rule, held, inside: alternative.carried };
                return (alternative.action, reason);
            }
        }
    }
    (profile.default, Reason::Default { failed })
}

fn unnamed(profile: &Profile, decisions: &Decisions, number: u32, alone: bool) -> (Action, Reason) {
    let ranges = decisions.unnamed(profile.default, alone);
    let action = ranges.iter().rfind(|(start, _)| *start <= number).map_or(BAD_ARCH, |(_, action)| *action);
    let newest = decisions.newest.and_then(|newest| Syscall::from_number(decisions.arch, newest));
    let reason = match newest {
        Some(newest) if Action::Errno(crate::model::ENOSYS) == action && Some(number) > newest.number(decisions.arch) => {
            Reason::NewerThan(newest)
        }
        _ if action == profile.default => Reason::Default { failed: Vec::new() },
        _ => Reason::Uncovered,
    };
    (action, reason)
}

/// Whether a condition holds for the arguments of a call.
fn holds(condition: &Condition, arch: Arch, arguments: &[u64; 6]) -> bool {
    let argument = arguments[usize::from(condition.argument)];
    let argument = if arch.is_64_bit() { argument } else { argument & u64::from(u32::MAX) };
    match condition.test {
        Test::Ne(value) => argument != value,
        Test::Lt(value) => argument < value,
        Test::Le(value) => argument <= value,
        Test::Eq(value) => argument == value,
        Test::Ge(value) => argument >= value,
        Test::Gt(value) => argument > value,
        Test::MaskedEq { mask, value } => argument & mask == value,
    }
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Call { arch, number, .. } = self.call;
        let name = Syscall::from_number(arch, number).map_or("a call without a name", Syscall::name);
        write!(f, "{name} ({arch} {number}): {}: ", self.action)?;
        match &self.reason {
            Reason::Uncovered => write!(f, "the filter does not cover this architecture"),
            Reason::Rule { rule, held, inside } => {
                write!(f, "rule syscalls/{rule}")?;
                if let Some(inside) = inside {
                    write!(f, " on {}", inside.name())?;
                }
                for (at, condition) in held.iter().enumerate() {
                    write!(f, "{} {condition}", if at == 0 { ", because" } else { " and" })?;
                }
                Ok(())
            }
            Reason::NewerThan(newest) => {
                write!(f, "newer than {}, the newest call that the profile knows, so it does not exist here", newest.name())
            }
            Reason::Hidden { rule, inside } => {
                write!(
                    f,
                    "the profile's default: rule syscalls/{rule} tests arguments of {}, which lie in memory here",
                    inside.name()
                )
            }
            Reason::LargeNumber => write!(f, "stands for calls that the kernel does not know"),
            Reason::Default { failed } => {
                write!(f, "the profile's default")?;
                for (at, (rule, condition)) in failed.iter().enumerate() {
                    let glue = if at == 0 { ":" } else { "," };
                    write!(f, "{glue} rule syscalls/{rule} asks for {condition}")?;
                }
                Ok(())
            }
        }
    }
}
