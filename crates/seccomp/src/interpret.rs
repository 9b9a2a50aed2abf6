//! Runs a filter over one call, as the kernel does: for tests, and to explain.

use crate::program::{ARCH, ARGUMENT, Instruction, NUMBER, code};

/// A call as a filter sees it: `struct seccomp_data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeccompData {
    /// `AUDIT_ARCH_*`
    pub arch: u32,
    pub number: u32,
    pub instruction_pointer: u64,
    pub arguments: [u64; 6],
}

/// Why a program is none that the kernel would have loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadProgram {
    #[error("instruction {at} has code {code:#x}, which seccomp filters do not use")]
    Code { at: usize, code: u16 },
    #[error("instruction {at} loads from {offset}, outside of seccomp_data")]
    Load { at: usize, offset: u32 },
    #[error("the program runs past its end, at {at}")]
    End { at: usize },
}

/// What the program returns, and how many instructions it took. It ends: every jump leads forward.
pub fn run(program: &[Instruction], call: &SeccompData, big_endian: bool) -> Result<(u32, usize), BadProgram> {
    let mut accumulator = 0;
    let mut at = 0;
    for steps in 1..=program.len() {
        let instruction = program.get(at).ok_or(BadProgram::End { at })?;
        let k = instruction.k;
        let jump = |holds: bool| usize::from(if holds { instruction.jt } else { instruction.jf });
        let skip = match instruction.code {
            code::LOAD => {
                accumulator = call.word(k, big_endian).ok_or(BadProgram::Load { at, offset: k })?;
                0
            }
            code::AND => {
                accumulator &= k;
                0
            }
            code::JUMP => k as usize,
            code::IF_EQUAL => jump(accumulator == k),
            code::IF_GREATER => jump(accumulator > k),
            code::IF_GREATER_OR_EQUAL => jump(accumulator >= k),
            code::IF_ANY_BIT => jump(accumulator & k != 0),
            code::RETURN => return Ok((k, steps)),
            code => return Err(BadProgram::Code { at, code }),
        };
        at += 1 + skip;
    }
    Err(BadProgram::End { at })
}

impl SeccompData {
    fn word(&self, offset: u32, big_endian: bool) -> Option<u32> {
        let half = |value: u64, second: bool| if second == big_endian { value as u32 } else { (value >> 32) as u32 };
        match offset {
            NUMBER => Some(self.number),
            ARCH => Some(self.arch),
            _ if !offset.is_multiple_of(4) => None,
            8 | 12 => Some(half(self.instruction_pointer, offset == 12)),
            _ => {
                let argument = self.arguments.get((offset.checked_sub(ARGUMENT)? / 8) as usize)?;
                Some(half(*argument, offset % 8 == 4))
            }
        }
    }
}
