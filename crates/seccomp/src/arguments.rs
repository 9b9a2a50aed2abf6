//! The part of a program that decides one call by its arguments.

use std::collections::BTreeMap;

use crate::arch::Arch;
use crate::decision::Alternative;
use crate::model::{Action, Condition, Test};
use crate::program::{ARGUMENT, Assembler, Place, Word, code};

/// What is known of the high half of an argument when a place is reached: rules of one call mostly test one argument
/// against small numbers, and one look at its high half serves them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum High {
    Is(u32),
    IsNot(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Fact {
    argument: u8,
    high: High,
}

/// Writes the code for one list of alternatives. A place of the list is an alternative, one of its conditions, and what
/// is known there; each is written once.
pub(crate) struct ArgumentTests<'a> {
    assembler: &'a mut Assembler,
    arch: Arch,
    alternatives: &'a [Alternative],
    otherwise: Action,
    written: BTreeMap<(usize, usize, Option<Fact>), Place>,
}

impl<'a> ArgumentTests<'a> {
    pub fn write(assembler: &'a mut Assembler, arch: Arch, alternatives: &'a [Alternative], otherwise: Action) -> Place {
        Self { assembler, arch, alternatives, otherwise, written: BTreeMap::new() }.place(0, 0, None)
    }

    fn place(&mut self, alternative: usize, condition: usize, fact: Option<Fact>) -> Place {
        let Some(tested) = self.alternatives.get(alternative) else { return self.assembler.ret(self.otherwise.code()) };
        let Some(test) = tested.conditions.get(condition) else { return self.assembler.ret(tested.action.code()) };
        let fact = fact.filter(|fact| fact.argument == test.argument);
        let key = (alternative, condition, fact);
        if let Some(place) = self.written.get(&key) {
            return *place;
        }
        let here = Here { alternative, condition, test: *test };
        let place = if self.arch.is_64_bit() { self.high(here, fact) } else { self.low(here, fact) };
        self.written.insert(key, place);
        place
    }

    fn pass(&mut self, here: Here, fact: Option<Fact>) -> Place {
        self.place(here.alternative, here.condition + 1, fact)
    }

    fn fail(&mut self, here: Here, fact: Option<Fact>) -> Place {
        self.place(here.alternative + 1, 0, fact)
    }

    fn settled(&mut self, here: Here, holds: bool, fact: Option<Fact>) -> Place {
        if holds { self.pass(here, fact) } else { self.fail(here, fact) }
    }

    fn high(&mut self, here: Here, fact: Option<Fact>) -> Place {
        let (value, mask) = here.high();
        let word = self.word(here.test.argument, true);
        match fact.map(|fact| fact.high) {
            _ if mask == 0 => self.low(here, fact),
            Some(High::Is(high)) if high & mask == value => self.low(here, fact),
            Some(High::Is(high)) => self.settled(here, here.holds_where(high > value), fact),
            Some(High::IsNot(high)) if high == value && mask == u32::MAX => match here.test.test {
                Test::Eq(_) | Test::MaskedEq { .. } => self.fail(here, fact),
                Test::Ne(_) => self.pass(here, fact),
                _ if value == 0 => self.settled(here, here.holds_where(true), fact),
                _ if value == u32::MAX => self.settled(here, here.holds_where(false), fact),
                _ => self.branch(
                    (word, code::IF_GREATER, value),
                    |tests| tests.settled(here, here.holds_where(true), fact),
                    |tests| tests.settled(here, here.holds_where(false), fact),
                ),
            },
            _ if mask != u32::MAX => {
                self.masked((word, mask, value), |tests| tests.low(here, fact), |tests| tests.fail(here, fact))
            }
            _ => {
                let fact = |high| Some(Fact { argument: here.test.argument, high });
                self.branch(
                    (word, code::IF_EQUAL, value),
                    |tests| tests.low(here, fact(High::Is(value))),
                    |tests| tests.high(here, fact(High::IsNot(value))),
                )
            }
        }
    }

    /// Tests the low half, where the high half leaves the answer to it.
    fn low(&mut self, here: Here, fact: Option<Fact>) -> Place {
        let word = self.word(here.test.argument, false);
        let (test, value, swapped) = match here.test.test {
            Test::Eq(value) => (code::IF_EQUAL, value, false),
            Test::Ne(value) => (code::IF_EQUAL, value, true),
            Test::Gt(value) => (code::IF_GREATER, value, false),
            Test::Le(value) => (code::IF_GREATER, value, true),
            Test::Ge(value) => (code::IF_GREATER_OR_EQUAL, value, false),
            Test::Lt(value) => (code::IF_GREATER_OR_EQUAL, value, true),
            Test::MaskedEq { mask, value } => {
                return self.masked(
                    (word, mask as u32, value as u32),
                    |tests| tests.pass(here, fact),
                    |tests| tests.fail(here, fact),
                );
            }
        };
        let test = (word, test, value as u32);
        self.branch(test, |tests| tests.settled(here, !swapped, fact), |tests| tests.settled(here, swapped, fact))
    }

    /// A branch on `word & mask == value`, which one instruction can often tell without changing A.
    fn masked(
        &mut self,
        (word, mask, value): (Word, u32, u32),
        holds: impl FnOnce(&mut Self) -> Place,
        fails: impl FnOnce(&mut Self) -> Place,
    ) -> Place {
        match (mask, value) {
            (0, _) => holds(self),
            (u32::MAX, _) => self.branch((word, code::IF_EQUAL, value), holds, fails),
            (_, 0) => self.branch((word, code::IF_ANY_BIT, mask), fails, holds),
            _ => self.branch((Word { mask, ..word }, code::IF_EQUAL, value), holds, fails),
        }
    }

    /// Writes both ways out of a test and then the test, loading what they need where they need it.
    fn branch(
        &mut self,
        (word, test, value): (Word, u16, u32),
        holds: impl FnOnce(&mut Self) -> Place,
        fails: impl FnOnce(&mut Self) -> Place,
    ) -> Place {
        let fails = fails(self);
        let fails = self.assembler.enter(fails, Some(word));
        let holds = holds(self);
        let holds = self.assembler.enter(holds, Some(word));
        self.assembler.branch(word, test, value, holds, fails)
    }

    fn word(&self, argument: u8, high: bool) -> Word {
        let second = high != self.arch.is_big_endian();
        Word::at(ARGUMENT + 8 * u32::from(argument) + if second { 4 } else { 0 })
    }
}

/// A condition and where it stands.
#[derive(Debug, Clone, Copy)]
struct Here {
    alternative: usize,
    condition: usize,
    test: Condition,
}

impl Here {
    /// The high half of the value and of the bits that are compared.
    fn high(self) -> (u32, u32) {
        let (value, mask) = match self.test.test {
            Test::Ne(v) | Test::Lt(v) | Test::Le(v) | Test::Eq(v) | Test::Ge(v) | Test::Gt(v) => (v, u64::MAX),
            Test::MaskedEq { mask, value } => (value, mask),
        };
        ((value >> 32) as u32, (mask >> 32) as u32)
    }

    /// Whether the condition holds for an argument whose high half differs: is greater, or less.
    fn holds_where(self, greater: bool) -> bool {
        match self.test.test {
            Test::Gt(_) | Test::Ge(_) => greater,
            Test::Lt(_) | Test::Le(_) => !greater,
            Test::Ne(_) => true,
            Test::Eq(_) | Test::MaskedEq { .. } => false,
        }
    }
}
