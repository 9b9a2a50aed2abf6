//! libseccomp as a judge: the same profile through Debian's library (libseccomp-dev).

#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsRawFd;

use wolffia_seccomp::{Arch, Condition, Instruction, Profile, Test};

/// `struct scmp_arg_cmp` of `seccomp.h`.
#[repr(C)]
struct ArgCmp {
    arg: c_uint,
    op: c_int,
    datum_a: u64,
    datum_b: u64,
}

#[link(name = "seccomp")]
unsafe extern "C" {
    fn seccomp_init(def_action: u32) -> *mut c_void;
    fn seccomp_release(ctx: *mut c_void);
    fn seccomp_arch_add(ctx: *mut c_void, token: u32) -> c_int;
    fn seccomp_arch_remove(ctx: *mut c_void, token: u32) -> c_int;
    fn seccomp_rule_add_array(ctx: *mut c_void, action: u32, syscall: c_int, count: c_uint, args: *const ArgCmp) -> c_int;
    fn seccomp_attr_set(ctx: *mut c_void, attr: c_int, value: u32) -> c_int;
    fn seccomp_export_bpf(ctx: *mut c_void, fd: c_int) -> c_int;
    fn seccomp_syscall_resolve_name(name: *const c_char) -> c_int;
    fn seccomp_syscall_resolve_name_arch(token: u32, name: *const c_char) -> c_int;
}

/// `SCMP_FLTATR_CTL_OPTIMIZE` of `seccomp.h`.
const OPTIMIZE: c_int = 8;

/// `SCMP_ARCH_*`: `AUDIT_ARCH_*`, but x32 has one of its own.
fn token(arch: Arch) -> u32 {
    if arch == Arch::X32 { 0x4000_003E } else { arch.audit() }
}

struct Context(*mut c_void);

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context came from seccomp_init and is released once.
        unsafe { seccomp_release(self.0) }
    }
}

/// What libseccomp has for a name: nothing, a number, or (below -1) that an architecture reaches it another way or not.
pub fn number(arch: Arch, name: &str) -> Option<i32> {
    let name = CString::new(name).unwrap();
    // SAFETY: the name is a C string for the time of the call.
    let number = unsafe { seccomp_syscall_resolve_name_arch(token(arch), name.as_ptr()) };
    (number != -1).then_some(number)
}

/// libseccomp's filter for a profile, added rule by rule as runc does. `tree` asks for its binary tree.
/// An error is the negative errno of the rule that it refused.
pub fn compile(profile: &Profile, archs: &[Arch], tree: bool) -> Result<Vec<Instruction>, i32> {
    // SAFETY: takes a number, returns a context or null.
    let context = Context(unsafe { seccomp_init(profile.default_action().code()) });
    assert!(!context.0.is_null());
    // The library begins with the native architecture; taking it out last keeps the byte order open for the others.
    // SAFETY: the context is valid.
    check(unsafe { seccomp_arch_remove(context.0, token(Arch::X86_64)) })?;
    for arch in archs {
        // SAFETY: the context is valid.
        check(unsafe { seccomp_arch_add(context.0, token(*arch)) })?;
    }
    if tree {
        // SAFETY: the context is valid.
        check(unsafe { seccomp_attr_set(context.0, OPTIMIZE, 2) })?;
    }
    for rule in profile.rules() {
        if rule.action() == profile.default_action() {
            continue;
        }
        for name in rule.names() {
            let name = CString::new(name.as_str()).unwrap();
            // SAFETY: the name is a C string for the time of the call.
            let syscall = unsafe { seccomp_syscall_resolve_name(name.as_ptr()) };
            if syscall == -1 {
                continue;
            }
            for conditions in rule.alternatives() {
                let args: Vec<ArgCmp> = conditions.iter().map(compare).collect();
                let (action, count) = (rule.action().code(), args.len() as c_uint);
                // SAFETY: the context is valid, and `args` holds `count` elements.
                check(unsafe { seccomp_rule_add_array(context.0, action, syscall, count, args.as_ptr()) })?;
            }
        }
    }
    export(&context)
}

fn check(result: c_int) -> Result<(), i32> {
    if result < 0 { Err(result) } else { Ok(()) }
}

fn compare(condition: &Condition) -> ArgCmp {
    let (op, datum_a, datum_b) = match condition.test {
        Test::Ne(value) => (1, value, 0),
        Test::Lt(value) => (2, value, 0),
        Test::Le(value) => (3, value, 0),
        Test::Eq(value) => (4, value, 0),
        Test::Ge(value) => (5, value, 0),
        Test::Gt(value) => (6, value, 0),
        Test::MaskedEq { mask, value } => (7, mask, value),
    };
    ArgCmp { arg: condition.argument.into(), op, datum_a, datum_b }
}

fn export(context: &Context) -> Result<Vec<Instruction>, i32> {
    let path = std::env::temp_dir().join(format!("wolffia-seccomp-{}-{:?}", std::process::id(), std::thread::current().id()));
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    // SAFETY: the context is valid, and the file is open for the time of the call.
    check(unsafe { seccomp_export_bpf(context.0, file.as_raw_fd()) })?;
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    let instruction = |b: &[u8]| Instruction {
        code: u16::from_le_bytes([b[0], b[1]]),
        jt: b[2],
        jf: b[3],
        k: u32::from_le_bytes([b[4], b[5], b[6], b[7]]),
    };
    Ok(bytes.chunks_exact(8).map(instruction).collect())
}
