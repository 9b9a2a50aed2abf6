//! Device rules as a program of the cgroup (bpf(2), `BPF_PROG_TYPE_CGROUP_DEVICE`): cgroup v2 has no file for them.

use crate::CgroupError;
use crate::files::Dir;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use wolffia_plan::resources::{DeviceAccess, DeviceRule, DeviceType};
use wolffia_sys as sys;
use wolffia_sys::bpf::Instruction;

const CURE: &str = "it takes CAP_BPF or CAP_SYS_ADMIN on the host and a kernel with CONFIG_CGROUP_BPF; \
                    run without cgroups (--cgroup-manager disabled) where that cannot be had";

/// Denies the processes of `dir`, and of all cgroups below it, every device that `rules` do not allow. It takes the
/// place of a program that an earlier call left there; those of others (systemd's) stay and must allow as well.
pub(crate) fn attach(dir: Dir<'_>, rules: &[DeviceRule]) -> Result<(), CgroupError> {
    let path = || dir.path.to_owned();
    let program = compile(rules).ok_or_else(|| CgroupError::TooManyRules { path: path(), count: rules.len() })?;
    let program = sys::bpf::load_device_program(&program).map_err(failed(dir, "load"))?;
    let earlier = sys::bpf::device_programs(dir.fd).map_err(failed(dir, "look for"))?;
    sys::bpf::attach_device_program(dir.fd, program.as_fd()).map_err(failed(dir, "attach"))?;
    detach_all(dir, &earlier)
}

/// Takes our program away from a cgroup that outlives the container.
pub(crate) fn detach(dir: Dir<'_>) -> Result<(), CgroupError> {
    match sys::bpf::device_programs(dir.fd) {
        // Who may not ask, or asks a kernel that has no such programs, has attached none.
        Err(error) if [sys::Errno::EPERM, sys::Errno::EINVAL, sys::Errno::ENOSYS].contains(&error.errno) => Ok(()),
        programs => detach_all(dir, &programs.map_err(failed(dir, "look for"))?),
    }
}

fn detach_all(dir: Dir<'_>, programs: &[OwnedFd]) -> Result<(), CgroupError> {
    programs.iter().try_for_each(|one| sys::bpf::detach_device_program(dir.fd, one.as_fd()).map_err(failed(dir, "detach")))
}

fn failed(dir: Dir<'_>, act: &'static str) -> impl FnOnce(sys::Error) -> CgroupError {
    let path = dir.path.to_owned();
    move |source| CgroupError::Devices { act, path, cure: CURE, source }
}

/// The registers of the program. The kernel passes its context in 1 and takes the verdict from 0.
const VERDICT: u8 = 0;
const CONTEXT: u8 = 1;
const TYPE: u8 = 2;
/// The access asked for.
const ASKED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// `BPF_DEVCG_DEV_*`, `BPF_DEVCG_ACC_*` (linux/bpf.h).
const BLOCK: i32 = 1;
const CHAR: i32 = 2;
const MAKE: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;
const ALL: i32 = MAKE | READ | WRITE;

/// A later rule overrules an earlier one, for each of the three kinds of access by itself; what no rule allows is denied.
///
/// The rules are decided here, for each type, major and minor that any of them names and for all others, so that the
/// program only looks the device up: it has no state that the kernel's verifier would have to follow. A program that
/// went through the rules took it 3 s for 1,000 of them. `None`: too long for the jumps of a program.
pub(crate) fn compile(rules: &[DeviceRule]) -> Option<Vec<Instruction>> {
    // struct bpf_cgroup_dev_ctx: access_type (access << 16 | type), major, minor.
    let mut program = vec![
        load(TYPE, 0),
        move_register(ASKED, TYPE),
        and(TYPE, 0xffff),
        shift_right(ASKED, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
        answer(false),
    ];
    for (number, kind) in [(CHAR, DeviceType::Char), (BLOCK, DeviceType::Block)] {
        let rules: Vec<&DeviceRule> = rules.iter().filter(|rule| rule.kind.is_none_or(|one| one == kind)).collect();
        let devices = by_number(
            MAJOR,
            &rules,
            |rule| rule.major,
            |rules| by_number(MINOR, rules, |rule| rule.minor, |rules| Some(leaf(rules))),
        )?;
        program.extend(unless_equal(TYPE, number, devices)?);
    }
    program.push(EXIT);
    Some(program)
}

/// The block of each number that a rule names, and then the block for all other numbers.
fn by_number(
    register: u8,
    rules: &[&DeviceRule],
    number: impl Fn(&DeviceRule) -> Option<u32>,
    block: impl Fn(&[&DeviceRule]) -> Option<Vec<Instruction>>,
) -> Option<Vec<Instruction>> {
    let matching = |wanted: Option<u32>| -> Vec<&DeviceRule> {
        rules.iter().copied().filter(|rule| number(rule).is_none_or(|one| Some(one) == wanted)).collect()
    };
    let others = block(&matching(None))?;
    let mut program = Vec::new();
    for named in rules.iter().filter_map(|rule| number(rule)).collect::<BTreeSet<u32>>() {
        let own = block(&matching(Some(named)))?;
        if own != others {
            program.extend(unless_equal(register, named.cast_signed(), own)?);
        }
    }
    program.extend(others);
    Some(program)
}

/// A block that is jumped over unless the register has that value.
fn unless_equal(register: u8, value: i32, block: Vec<Instruction>) -> Option<Vec<Instruction>> {
    let past = i16::try_from(block.len()).ok()?;
    Some([vec![jump_not_equal(register, value, past)], block].concat())
}

/// The end of the look-up: the rules that match, in their order.
fn leaf(rules: &[&DeviceRule]) -> Vec<Instruction> {
    let allowed = rules.iter().fold(0, |allowed, rule| match rule.allow {
        true => allowed | bits(rule.access),
        false => allowed & !bits(rule.access),
    });
    match allowed {
        0 => vec![EXIT],
        ALL => vec![answer(true), EXIT],
        some => vec![and(ASKED, !some), jump_not_equal(ASKED, 0, 1), answer(true), EXIT],
    }
}

fn bits(access: DeviceAccess) -> i32 {
    [(access.make, MAKE), (access.read, READ), (access.write, WRITE)]
        .into_iter()
        .filter_map(|(set, bit)| set.then_some(bit))
        .fold(0, std::ops::BitOr::bitor)
}

/// Instruction classes and operations (linux/bpf_common.h, linux/bpf.h).
mod code {
    pub const LOAD_WORD: u8 = 0x61;
    pub const MOVE_REGISTER: u8 = 0xbc;
    pub const MOVE: u8 = 0xb4;
    pub const AND: u8 = 0x54;
    pub const SHIFT_RIGHT: u8 = 0x74;
    pub const EXIT: u8 = 0x95;
    /// Of the 32-bit kind (Linux 5.1): device numbers have 32 bits, and a 64-bit comparison would extend the sign.
    pub const JUMP_NOT_EQUAL: u8 = 0x56;
}

const EXIT: Instruction = instruction(code::EXIT, 0, 0, 0);

const fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers, offset, immediate }
}

const fn load(to: u8, offset: i16) -> Instruction {
    instruction(code::LOAD_WORD, to | CONTEXT << 4, offset, 0)
}

const fn move_register(to: u8, from: u8) -> Instruction {
    instruction(code::MOVE_REGISTER, to | from << 4, 0, 0)
}

const fn and(register: u8, mask: i32) -> Instruction {
    instruction(code::AND, register, 0, mask)
}

const fn shift_right(register: u8, bits: i32) -> Instruction {
    instruction(code::SHIFT_RIGHT, register, 0, bits)
}

const fn jump_not_equal(register: u8, value: i32, past: i16) -> Instruction {
    instruction(code::JUMP_NOT_EQUAL, register, past, value)
}

const fn answer(allow: bool) -> Instruction {
    instruction(code::MOVE, VERDICT, 0, allow as i32)
}

#[cfg(test)]
mod tests;
