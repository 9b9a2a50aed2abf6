//! A program as text: what each instruction looks at, with the names of architectures and calls.

use std::fmt::{Display, Formatter, Result};

use crate::arch::{Arch, X32_BIT};
use crate::model::Action;
use crate::program::{ARCH, ARGUMENT, Instruction, NUMBER, Word, code};
use crate::syscalls::Syscall;

/// Prints a program, one instruction a line. Any program can be printed, also one of other make.
#[derive(Debug, Clone, Copy)]
pub struct Disassembly<'a> {
    pub program: &'a [Instruction],
    /// Whether the machine that the program is for puts the high half of an argument first.
    pub big_endian: bool,
}

/// What is known when an instruction is reached: both may differ between the ways there, and are then unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State {
    holds: Option<Word>,
    audit: Option<u32>,
}

impl Display for Disassembly<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut states: Vec<Option<State>> = vec![None; self.program.len()];
        if let Some(first) = states.first_mut() {
            *first = Some(State::default());
        }
        for (at, instruction) in self.program.iter().enumerate() {
            let state = states[at].unwrap_or_default();
            write!(f, "{at:4}  ")?;
            self.line(f, at, instruction, state)?;
            writeln!(f)?;
            for (target, next) in successors(at, instruction, state) {
                if let Some(known) = states.get_mut(target) {
                    *known = Some(known.map_or(next, |known| known.merge(next)));
                }
            }
        }
        Ok(())
    }
}

impl State {
    fn merge(self, other: State) -> State {
        State { holds: self.holds.filter(|_| self.holds == other.holds), audit: self.audit.filter(|_| self.audit == other.audit) }
    }
}

/// Where an instruction can lead, and what is known there.
fn successors(at: usize, instruction: &Instruction, state: State) -> Vec<(usize, State)> {
    let k = instruction.k;
    match instruction.code {
        code::RETURN => Vec::new(),
        code::JUMP => vec![(at + 1 + k as usize, state)],
        code::LOAD => vec![(at + 1, State { holds: Some(Word::at(k)), ..state })],
        code::AND => {
            let holds = state.holds.map(|word| Word { mask: word.mask & k, ..word });
            vec![(at + 1, State { holds, ..state })]
        }
        _ => {
            let holds = (instruction.code == code::IF_EQUAL && state.holds == Some(Word::at(ARCH))).then_some(k);
            let (jt, jf) = (usize::from(instruction.jt), usize::from(instruction.jf));
            vec![(at + 1 + jt, State { audit: holds.or(state.audit), ..state }), (at + 1 + jf, state)]
        }
    }
}

impl Disassembly<'_> {
    fn line(&self, f: &mut Formatter<'_>, at: usize, instruction: &Instruction, state: State) -> Result {
        let Instruction { code, jt, jf, k } = *instruction;
        let operator = match code {
            code::LOAD => return write!(f, "load {}", self.word(Word::at(k))),
            code::AND => return write!(f, "and {k:#x}"),
            code::JUMP => return write!(f, "goto {}", at + 1 + k as usize),
            code::RETURN => {
                return match Action::from_code(k) {
                    Some(action) => write!(f, "return {action}"),
                    None => write!(f, "return {k:#x}"),
                };
            }
            code::IF_EQUAL => "==",
            code::IF_GREATER => ">",
            code::IF_GREATER_OR_EQUAL => ">=",
            code::IF_ANY_BIT => "has any of",
            _ => return write!(f, "unknown {code:#x} {jt} {jf} {k:#x}"),
        };
        let subject = state.holds.map_or("A".to_string(), |word| self.word(word));
        let value = match state.holds {
            Some(word) if word == Word::at(ARCH) => arch_value(k),
            Some(word) if word == Word::at(NUMBER) => number_value(k, state.audit),
            _ => format!("{k:#x}"),
        };
        let (holds, fails) = (at + 1 + usize::from(jt), at + 1 + usize::from(jf));
        write!(f, "if {subject} {operator} {value} goto {holds} else {fails}")
    }

    fn word(&self, word: Word) -> String {
        let name = match word.offset {
            NUMBER => "nr".to_string(),
            ARCH => "arch".to_string(),
            offset if offset >= ARGUMENT && offset % 4 == 0 => {
                let high = (offset % 8 == 4) != self.big_endian;
                format!("arg{}.{}", (offset - ARGUMENT) / 8, if high { "high" } else { "low" })
            }
            offset => format!("[{offset}]"),
        };
        if word.mask == u32::MAX { name } else { format!("({name} & {:#x})", word.mask) }
    }
}

fn arch_value(audit: u32) -> String {
    let arch = Arch::ALL.into_iter().find(|arch| arch.audit() == audit);
    arch.map_or_else(|| format!("{audit:#x}"), |arch| arch.to_string())
}

fn number_value(number: u32, audit: Option<u32>) -> String {
    let arch = Arch::ALL.into_iter().find(|arch| Some(arch.audit()) == audit);
    let arch = arch.map(|arch| if arch == Arch::X86_64 && number >= X32_BIT { Arch::X32 } else { arch });
    let call = arch.and_then(|arch| Syscall::from_number(arch, number));
    let shown = if number < X32_BIT { number.to_string() } else { format!("{number:#x}") };
    call.map_or_else(|| shown.clone(), |call| format!("{shown} ({})", call.name()))
}
