//! Profile → program: the architecture, then a binary search over ranges of syscall numbers, then arguments where a rule
//! has them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::arch::Arch;
use crate::arguments::ArgumentTests;
use crate::decision::{BAD_ARCH, Decision, Decisions, Index};
use crate::model::{Action, Condition, Profile};
use crate::program::{ARCH, Assembler, Instruction, MAX_INSTRUCTIONS, NUMBER, Place, Word, code};
use crate::syscalls::Syscall;
use crate::warning::Warning;

/// More alternatives than this for one call are refused: the code for them is written recursively.
const MAX_ALTERNATIVES: usize = 256;

/// A program and how to load it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// 1 to 4096 instructions, as `seccomp(2)` takes them.
    pub program: Vec<Instruction>,
    /// `SECCOMP_FILTER_FLAG_*` (`linux/seccomp.h`).
    pub flags: u32,
}

impl Filter {
    /// `SECCOMP_FILTER_FLAG_LOG`
    pub const LOG: u32 = 1 << 1;
    /// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`
    pub const SPEC_ALLOW: u32 = 1 << 2;
    /// `SECCOMP_FILTER_FLAG_NEW_LISTENER`
    pub const NEW_LISTENER: u32 = 1 << 3;
    /// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`
    pub const WAIT_KILLABLE_RECV: u32 = 1 << 5;

    /// Whether loading it returns the fd on which an agent answers `SCMP_ACT_NOTIFY`.
    pub fn has_listener(&self) -> bool {
        self.flags & Self::NEW_LISTENER != 0
    }
}

/// A filter, and what of its profile has no effect in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    pub filter: Filter,
    pub warnings: Vec<Warning>,
}

/// Why a profile has no filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    #[error(
        "the seccomp profile needs more than the {MAX_INSTRUCTIONS} instructions that the kernel takes; give it fewer rules with arguments"
    )]
    TooLong,
    #[error("{found} rules with arguments for the syscall {name}, but at most {MAX_ALTERNATIVES} can be checked")]
    TooManyAlternatives { name: &'static str, found: usize },
}

/// Compiles a profile for a kernel of the architecture `native`.
pub fn compile(profile: &Profile, native: Arch) -> Result<Compiled, CompileError> {
    let index = Index::new(profile);
    let mut warnings = Warning::of_names(profile, &index, native);
    let mut remarks = Vec::new();
    let mut compiler = Compiler { profile, assembler: Assembler::default(), lists: BTreeMap::new() };
    let mut sections: Vec<(u32, Place)> = Vec::new();
    // What is written last comes first: the native architecture.
    for group in groups(profile, native).into_iter().rev() {
        let decisions: Vec<Decisions> = group.iter().map(|arch| Decisions::new(profile, &index, *arch, &mut remarks)).collect();
        let segments = compiler.segments(&decisions)?;
        let tree = compiler.tree(&segments);
        sections.push((group[0].audit(), compiler.assembler.enter(tree, None)));
    }
    let program = compiler.finish(&sections);
    warnings.extend(Warning::of_remarks(remarks));
    if program.len() > MAX_INSTRUCTIONS {
        return Err(CompileError::TooLong);
    }
    Ok(Compiled { filter: Filter { program, flags: flags(profile) }, warnings })
}

/// The architectures of the filter, those with one `AUDIT_ARCH_*` together.
fn groups(profile: &Profile, native: Arch) -> Vec<Vec<Arch>> {
    let mut groups: Vec<Vec<Arch>> = Vec::new();
    for arch in covered(profile, native) {
        match groups.iter_mut().find(|group| group[0].audit() == arch.audit()) {
            Some(group) => group.push(arch),
            None => groups.push(vec![arch]),
        }
    }
    groups
}

/// What a filter for `native` covers of a profile: the native architecture, listed or not (as libseccomp has it), and
/// the listed ones that its kernel can run.
pub(crate) fn covered(profile: &Profile, native: Arch) -> Vec<Arch> {
    native.runs().iter().copied().filter(|arch| *arch == native || profile.architectures.contains(arch)).collect()
}

/// The kernel's flags. TSYNC stays out, as in runc: the process that loads the filter has one thread, and the kernel
/// refuses it beside a listener.
fn flags(profile: &Profile) -> u32 {
    let set = |flag, on| if on { flag } else { 0 };
    set(Filter::LOG, profile.flags.log)
        | set(Filter::SPEC_ALLOW, profile.flags.spec_allow)
        | set(Filter::NEW_LISTENER, profile.notifies())
        | set(Filter::WAIT_KILLABLE_RECV, profile.flags.wait_killable_recv)
}

/// What the numbers from `start` up to the next segment get.
#[derive(Debug, Clone, Copy)]
struct Segment {
    start: u32,
    leaf: Leaf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaf {
    Answer(Action),
    Arguments(Place),
}

/// The part of alternatives that is code: equal ones share it, across calls and architectures of one width.
type ListKey = (bool, Vec<(Vec<Condition>, Action)>);

struct Compiler<'a> {
    profile: &'a Profile,
    assembler: Assembler,
    lists: BTreeMap<ListKey, Place>,
}

impl Compiler<'_> {
    /// Every number there is, in ranges, for one `AUDIT_ARCH_*`: x86_64 and x32 share theirs.
    fn segments(&mut self, group: &[Decisions]) -> Result<Vec<Segment>, CompileError> {
        let mut segments: Vec<Segment> = Vec::with_capacity(512);
        let mut put = |start: u32, leaf: Leaf| {
            if segments.last().is_none_or(|last| last.leaf != leaf) {
                segments.push(Segment { start, leaf });
            }
        };
        for decisions in group {
            let unnamed = decisions.unnamed(self.profile.default, group.len() == 1);
            let mut named = decisions.named.iter().peekable();
            for (at, (start, action)) in unnamed.iter().enumerate() {
                let end = unnamed.get(at + 1).map_or(u32::MAX, |(next, _)| next - 1);
                let mut next = *start;
                while let Some((number, decision)) = named.next_if(|(number, _)| *number <= end) {
                    if *number > next {
                        put(next, Leaf::Answer(*action));
                    }
                    put(*number, self.leaf(decisions.arch, *number, decision)?);
                    next = *number + 1;
                }
                if next <= end {
                    put(next, Leaf::Answer(*action));
                }
            }
        }
        Ok(segments)
    }

    fn leaf(&mut self, arch: Arch, number: u32, decision: &Decision) -> Result<Leaf, CompileError> {
        let alternatives = match decision {
            Decision::Always { action, .. } => return Ok(Leaf::Answer(*action)),
            Decision::First(alternatives) => alternatives,
        };
        if alternatives.len() > MAX_ALTERNATIVES {
            let name = Syscall::from_number(arch, number).map_or("?", Syscall::name);
            return Err(CompileError::TooManyAlternatives { name, found: alternatives.len() });
        }
        let list = alternatives.iter().map(|alternative| (alternative.conditions.clone(), alternative.action));
        let key = (arch.is_64_bit(), list.collect());
        if let Some(place) = self.lists.get(&key) {
            return Ok(Leaf::Arguments(*place));
        }
        let place = ArgumentTests::write(&mut self.assembler, arch, alternatives, self.profile.default);
        if self.assembler.len() > MAX_INSTRUCTIONS {
            return Err(CompileError::TooLong);
        }
        self.lists.insert(key, place);
        Ok(Leaf::Arguments(place))
    }

    /// A search among segments, for A that holds the number.
    fn tree(&mut self, segments: &[Segment]) -> Place {
        let number = Word::at(NUMBER);
        match segments {
            [] => self.assembler.ret(BAD_ARCH.code()),
            [Segment { leaf: Leaf::Answer(action), .. }] => self.assembler.ret(action.code()),
            [Segment { leaf: Leaf::Arguments(place), .. }] => self.assembler.enter(*place, Some(number)),
            [around, hole, after] if around.leaf == after.leaf && after.start - hole.start == 1 => {
                let (around, at) = (self.tree(&segments[..1]), hole.start);
                let hole = self.tree(&segments[1..2]);
                self.assembler.branch(number, code::IF_EQUAL, at, hole, around)
            }
            _ => {
                let (lower, upper) = segments.split_at(segments.len() / 2);
                let holds = self.tree(upper);
                let fails = self.tree(lower);
                self.assembler.branch(number, code::IF_GREATER_OR_EQUAL, upper[0].start, holds, fails)
            }
        }
    }

    /// The choice among architectures, in front of their sections, which were written last to first.
    fn finish(mut self, sections: &[(u32, Place)]) -> Vec<Instruction> {
        let arch = Word::at(ARCH);
        let mut others = self.assembler.ret(BAD_ARCH.code());
        for (audit, section) in sections {
            others = self.assembler.branch(arch, code::IF_EQUAL, *audit, *section, others);
        }
        self.assembler.enter(others, None);
        self.assembler.finish()
    }
}
