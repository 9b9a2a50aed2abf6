//! Classic BPF: one instruction, and an assembler that writes a program from its end to its beginning.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// An instruction with the layout of the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "(u16, u8, u8, u32)", into = "(u16, u8, u8, u32)")]
pub struct Instruction {
    pub code: u16,
    /// Instructions to skip when a jump's test holds.
    pub jt: u8,
    /// Instructions to skip when it does not.
    pub jf: u8,
    pub k: u32,
}

impl From<(u16, u8, u8, u32)> for Instruction {
    fn from((code, jt, jf, k): (u16, u8, u8, u32)) -> Self {
        Instruction { code, jt, jf, k }
    }
}

impl From<Instruction> for (u16, u8, u8, u32) {
    fn from(Instruction { code, jt, jf, k }: Instruction) -> Self {
        (code, jt, jf, k)
    }
}

/// The instructions that seccomp filters of this crate consist of (`linux/bpf_common.h`).
pub mod code {
    /// `A = seccomp_data[k..k + 4]`
    pub const LOAD: u16 = 0x20;
    /// `A &= k`
    pub const AND: u16 = 0x54;
    /// Skip `k` instructions.
    pub const JUMP: u16 = 0x05;
    pub const IF_EQUAL: u16 = 0x15;
    pub const IF_GREATER: u16 = 0x25;
    pub const IF_GREATER_OR_EQUAL: u16 = 0x35;
    /// `A & k != 0`
    pub const IF_ANY_BIT: u16 = 0x45;
    /// End with `k` as the answer.
    pub const RETURN: u16 = 0x06;
}

/// The kernel takes no longer program (`BPF_MAXINSNS`, `linux/bpf_common.h`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// Byte offsets in `struct seccomp_data`.
pub(crate) const NUMBER: u32 = 0;
pub(crate) const ARCH: u32 = 4;
pub(crate) const ARGUMENT: u32 = 16;

/// What the accumulator holds: four bytes of `seccomp_data`, under a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Word {
    pub offset: u32,
    pub mask: u32,
}

impl Word {
    pub const fn at(offset: u32) -> Word {
        Word { offset, mask: u32::MAX }
    }
}

/// A place in the program, counted from its end, where A has to hold a word already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    at: usize,
    pub needs: Option<Word>,
}

/// Writes instructions from the last to the first: every jump of BPF leads forward, so its target is known when it is
/// written, and nothing has to be patched.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    reversed: Vec<Instruction>,
    /// Places that load the word which another needs.
    loads: HashMap<Place, Place>,
    /// The latest copy of each return.
    returns: Vec<(u32, Place)>,
}

/// The longest conditional jump.
const REACH: usize = u8::MAX as usize;

impl Assembler {
    pub fn len(&self) -> usize {
        self.reversed.len()
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Place {
        self.reversed.push(Instruction { code, jt, jf, k });
        Place { at: self.reversed.len(), needs: None }
    }

    /// Instructions between one that is written `later` instructions from now and `place`.
    fn distance(&self, place: Place, later: usize) -> usize {
        self.reversed.len() + later - place.at
    }

    /// A return of `value` within reach of what is written next; an existing one when it can be.
    pub fn ret(&mut self, value: u32) -> Place {
        let known = self.returns.iter().position(|(known, _)| *known == value);
        if let Some(at) = known
            && self.distance(self.returns[at].1, 0) < REACH / 2
        {
            return self.returns[at].1;
        }
        let place = self.push(code::RETURN, 0, 0, value);
        match known {
            Some(at) => self.returns[at].1 = place,
            None => self.returns.push((value, place)),
        }
        place
    }

    /// `place`, or one that loads the word which `place` needs and A does not hold: `held` is what A holds on the way.
    pub fn enter(&mut self, place: Place, held: Option<Word>) -> Place {
        let Some(word) = place.needs.filter(|word| held != Some(*word)) else { return place };
        if let Some(loading) = self.loads.get(&place) {
            return *loading;
        }
        if self.distance(place, 0) > 0 {
            self.jump(place);
        }
        if word.mask != u32::MAX {
            self.push(code::AND, 0, 0, word.mask);
        }
        let loading = self.push(code::LOAD, 0, 0, word.offset);
        self.loads.insert(place, loading);
        loading
    }

    fn jump(&mut self, target: Place) -> Place {
        let skip = self.distance(target, 0);
        self.push(code::JUMP, 0, 0, skip as u32)
    }

    /// `place`, or a stand-in for it that a conditional jump can reach after `later` more instructions.
    fn near(&mut self, place: Place, later: usize) -> Place {
        if self.distance(place, later) <= REACH {
            return place;
        }
        let there = self.reversed[place.at - 1];
        if there.code == code::RETURN { self.ret(there.k) } else { self.jump(place) }
    }

    /// A test of the word that A holds. Both targets must need nothing or that word.
    pub fn branch(&mut self, word: Word, test: u16, k: u32, holds: Place, fails: Place) -> Place {
        if holds == fails {
            return holds;
        }
        let holds = self.near(holds, 1);
        let fails = self.near(fails, 0);
        let (jt, jf) = (self.distance(holds, 0), self.distance(fails, 0));
        Place { needs: Some(word), ..self.push(test, jt as u8, jf as u8, k) }
    }

    /// The program, beginning with what was written last.
    pub fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }
}
