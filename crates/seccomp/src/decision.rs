//! What a profile says about each call of one architecture, before any of it is code: the compiler turns these decisions
//! into a program, `explain` walks them by hand.

use crate::arch::{Arch, X32_BIT};
use crate::model::{Action, Condition, ENOSYS, Profile, Test};
use crate::syscalls::{self, Carrier, Syscall};

/// One way for a call to get an action: all conditions hold. They are sorted by argument and cut to the architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alternative {
    pub conditions: Vec<Condition>,
    pub action: Action,
    /// Index of the rule in the profile.
    pub rule: usize,
    /// The call that the rule names, when it reaches its carrier through it.
    pub carried: Option<Syscall>,
}

/// What calls get of an architecture that the filter does not cover, as libseccomp has it.
pub const BAD_ARCH: Action = Action::KillThread;

/// What a call gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Of every call with this number: by a rule, or by nothing but the default.
    Always { action: Action, rule: Option<usize> },
    /// Of the first alternative that holds, or else of the default.
    First(Vec<Alternative>),
}

/// The decisions of one architecture.
#[derive(Debug)]
pub(crate) struct Decisions {
    pub arch: Arch,
    /// The calls that rules decide, by number, ascending.
    pub named: Vec<(u32, Decision)>,
    /// The largest number that the profile names, when calls above it are newer than the profile and get `ENOSYS`.
    pub newest: Option<u32>,
}

/// A rule that had to be read with care; becomes a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remark {
    /// An earlier rule without conditions decides the call already.
    NeverDecides { rule: usize, syscall: Syscall },
    /// The rule lets a call pass under conditions that its carrier hides, so the carrier is not let pass.
    HiddenConditions { rule: usize, syscall: Syscall, carrier: Carrier },
}

/// For every syscall name: the rules that name it, ascending. Rules that answer as the default does are left out, as
/// runc leaves them out, but count for what the profile knows.
pub(crate) struct Index {
    /// By name, then by rule.
    named: Vec<(Syscall, u32)>,
    /// Where the rules of each name begin in `named`; one more than there are names.
    begins: Vec<u32>,
    known: Vec<bool>,
    /// Rule and position of each name that no architecture has.
    pub unknown: Vec<(usize, usize)>,
}

impl Index {
    pub fn new(profile: &Profile) -> Index {
        let mut index = Index {
            named: Vec::with_capacity(512),
            begins: vec![0; syscalls::COUNT + 1],
            known: vec![false; syscalls::COUNT],
            unknown: Vec::new(),
        };
        for (rule, entry) in profile.rules.iter().enumerate() {
            for (at, name) in entry.names.iter().enumerate() {
                match Syscall::from_name(name) {
                    Some(syscall) => {
                        index.known[syscall.index()] = true;
                        if entry.action != profile.default {
                            index.named.push((syscall, rule as u32));
                        }
                    }
                    None => index.unknown.push((rule, at)),
                }
            }
        }
        index.named.sort_unstable();
        index.named.dedup();
        for (syscall, _) in &index.named {
            index.begins[syscall.index() + 1] += 1;
        }
        for name in 0..syscalls::COUNT {
            index.begins[name + 1] += index.begins[name];
        }
        index
    }

    fn rules(&self, syscall: Syscall) -> impl Iterator<Item = usize> {
        self.named(syscall).iter().map(|(_, rule)| *rule as usize)
    }

    fn named(&self, syscall: Syscall) -> &[(Syscall, u32)] {
        let place = syscall.index();
        &self.named[self.begins[place] as usize..self.begins[place + 1] as usize]
    }
}

impl Decisions {
    pub fn new(profile: &Profile, index: &Index, arch: Arch, remarks: &mut Vec<Remark>) -> Decisions {
        let mut named: Vec<(u32, Decision)> = Vec::with_capacity(512);
        let mut newest = None;
        let mut calls = Syscall::all(arch).peekable();
        while let Some(syscall) = calls.next() {
            let Some(number) = syscall.number(arch) else { continue };
            let alias = calls.next_if(|next| next.number(arch) == Some(number));
            let names = [Some(syscall), alias];
            if names.iter().flatten().any(|name| index.known[name.index()]) && !syscalls::is_private(arch, number) {
                newest = Some(number);
            }
            if let Some(decision) = decide(profile, index, arch, names, remarks) {
                named.push((number, decision));
            }
        }
        let newest = newest.filter(|_| !profile.default.keeps_unknown_calls());
        if newest.is_some() && arch == Arch::S390x {
            // s390's call 0 stands for every number above 255 (`svc 0`), and stays 0 when the kernel does not know it.
            let decision = Decision::Always { action: Action::Errno(ENOSYS), rule: None };
            named.retain(|(number, _)| *number != 0);
            named.insert(0, (0, decision));
        }
        Decisions { arch, named, newest }
    }

    /// What numbers get that no rule names: each entry from its number up to the next. `alone` is whether no other
    /// architecture shares this one's `AUDIT_ARCH_*` in the filter.
    pub fn unnamed(&self, default: Action, alone: bool) -> Vec<(u32, Action)> {
        let beyond = if self.newest.is_some() { Action::Errno(ENOSYS) } else { default };
        let mut ranges = vec![(if self.arch == Arch::X32 { X32_BIT } else { 0 }, default)];
        ranges.extend(self.newest.map(|newest| (newest + 1, beyond)));
        match self.arch {
            Arch::Arm => ranges.push((syscalls::ARM_PRIVATE, default)),
            // A tracer that skips a call leaves -1 in its place (seccomp(2)); everything else up there is x32's.
            Arch::X86_64 if alone => ranges.extend([(X32_BIT, BAD_ARCH), (u32::MAX, beyond)]),
            Arch::X32 if alone => ranges.insert(0, (0, BAD_ARCH)),
            _ => {}
        }
        ranges
    }
}

/// What one number gets from the rules of its names; `None` when no rule has an effect.
fn decide(
    profile: &Profile,
    index: &Index,
    arch: Arch,
    names: [Option<Syscall>; 2],
    remarks: &mut Vec<Remark>,
) -> Option<Decision> {
    let [Some(syscall), _] = names else { return None };
    let carrier = Carrier::from_call(syscall, arch);
    // Nearly every call has one rule without conditions, and there are a thousand calls.
    if let ([(_, rule)], [_, None], None) = (index.named(syscall), names, carrier) {
        let (rule, entry) = (*rule as usize, &profile.rules[*rule as usize]);
        if entry.conditions.is_empty() {
            return Some(Decision::Always { action: entry.action, rule: Some(rule) });
        }
    }
    let mut alternatives: Vec<Alternative> = Vec::new();
    for rule in names.into_iter().flatten().flat_map(|name| index.rules(name)) {
        let entry = &profile.rules[rule];
        alternatives.extend(entry.alternatives().map(|conditions| Alternative {
            conditions: cut(conditions, arch),
            action: entry.action,
            rule,
            carried: None,
        }));
    }
    let mut hidden = Vec::new();
    for (carrier, (inner, selector)) in carrier.into_iter().flat_map(|carrier| carrier.calls().map(move |call| (carrier, call))) {
        match through_carrier(profile, index, arch, carrier, (inner, selector)) {
            Some(Ok(alternative)) => alternatives.push(alternative),
            Some(Err(remark)) => hidden.push(remark),
            None => {}
        }
    }
    // libseccomp: a rule without conditions replaces every other of its call, and the first of them stays.
    if let Some(always) = alternatives.iter().find(|alternative| alternative.conditions.is_empty()) {
        let (action, rule) = (always.action, always.rule);
        let shadowed = alternatives.iter().filter(|other| other.carried.is_none() && other.action != action);
        remarks.extend(shadowed.map(|other| Remark::NeverDecides { rule: other.rule, syscall }));
        return Some(Decision::Always { action, rule: Some(rule) });
    }
    remarks.extend(hidden);
    if alternatives.is_empty() {
        return None;
    }
    alternatives.sort_by(|a, b| precedence(a).cmp(precedence(b)));
    alternatives.dedup_by(|later, first| {
        let same = later.conditions == first.conditions;
        if same && later.action != first.action {
            remarks.push(Remark::NeverDecides { rule: later.rule, syscall });
        }
        same
    });
    Some(Decision::First(alternatives))
}

/// The rules for a call, as they apply to it inside its carrier. The other arguments lie in memory there: a rule with
/// conditions that lets the call pass lets nothing pass here, one that denies denies whatever the arguments are.
/// (libseccomp drops the conditions in both cases, and so opens what such a rule meant to narrow.)
fn through_carrier(
    profile: &Profile,
    index: &Index,
    arch: Arch,
    carrier: Carrier,
    (syscall, selector): (Syscall, u64),
) -> Option<Result<Alternative, Remark>> {
    let always = |rule: &usize| profile.rules[*rule].alternatives().any(|conditions| cut(conditions, arch).is_empty());
    let passes = |rule: &usize| profile.rules[*rule].action.lets_pass();
    let first = index.rules(syscall).find(always).or_else(|| index.rules(syscall).find(|rule| !passes(rule)));
    let Some(rule) = first else {
        return index.rules(syscall).next().map(|rule| Err(Remark::HiddenConditions { rule, syscall, carrier }));
    };
    let test = if passes(&rule) { Test::Eq(selector) } else { Test::MaskedEq { mask: carrier.selector_mask(), value: selector } };
    let conditions = cut(&[Condition { argument: 0, test }], arch);
    Some(Ok(Alternative { conditions, action: profile.rules[rule].action, rule, carried: Some(syscall) }))
}

/// Conditions as the architecture can hold them: sorted by argument, values and masks of its width, without those that
/// always hold.
fn cut(conditions: &[Condition], arch: Arch) -> Vec<Condition> {
    let width = if arch.is_64_bit() { u64::MAX } else { u64::from(u32::MAX) };
    let mut cut: Vec<Condition> =
        conditions.iter().map(|c| Condition { argument: c.argument, test: narrow(c.test, width) }).collect();
    cut.retain(|condition| !matches!(condition.test, Test::MaskedEq { mask: 0, .. }));
    cut.sort_by_key(|condition| condition.argument);
    cut
}

fn narrow(test: Test, width: u64) -> Test {
    match test {
        Test::Ne(value) => Test::Ne(value & width),
        Test::Lt(value) => Test::Lt(value & width),
        Test::Le(value) => Test::Le(value & width),
        Test::Eq(value) => Test::Eq(value & width),
        Test::Ge(value) => Test::Ge(value & width),
        Test::Gt(value) => Test::Gt(value & width),
        Test::MaskedEq { mask, value } if mask & width == width => Test::Eq(value & width),
        Test::MaskedEq { mask, value } => Test::MaskedEq { mask: mask & width, value: value & mask & width },
    }
}

/// Sort key that puts alternatives in the order in which libseccomp's tree tries them: per argument, from the last,
/// equalities before upper bounds before lower bounds, narrow bounds before wide ones. It matters only where rules of
/// different actions overlap; a longer list of conditions then goes first.
fn precedence(alternative: &Alternative) -> impl Iterator<Item = (std::cmp::Reverse<u8>, u8, u64)> + '_ {
    let ends = std::iter::once((std::cmp::Reverse(0), u8::MAX, 0));
    alternative
        .conditions
        .iter()
        .map(|condition| {
            let (class, order) = match condition.test {
                Test::Eq(value) | Test::Ne(value) | Test::MaskedEq { value, .. } => (0, !value),
                Test::Lt(value) | Test::Le(value) => (1, value),
                Test::Ge(value) | Test::Gt(value) => (2, !value),
            };
            (std::cmp::Reverse(condition.argument), class, order)
        })
        .chain(ends)
}
