//! Programs that decide which devices the processes of a cgroup may use (bpf(2), `BPF_PROG_TYPE_CGROUP_DEVICE`).

use crate::error::{check, show_fd};
use crate::{Errno, Error, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// One instruction, as the kernel reads it (`struct bpf_insn`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Class, operation and source (`BPF_JMP32 | BPF_JNE | BPF_K`).
    pub code: u8,
    /// Destination register in the low four bits, source register in the high four.
    pub registers: u8,
    /// Distance of a jump, from the following instruction; offset of a load.
    pub offset: i16,
    pub immediate: i32,
}

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const PROG_QUERY: libc::c_int = 16;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
/// Programs of this cgroup, of those above and of others here (systemd's) must all allow.
const F_ALLOW_MULTI: u32 = 2;
/// The verifier gives EAGAIN when a signal interrupts it (bpf(2)).
const LOAD_ATTEMPTS: usize = 30;
const LOG_SIZE: usize = 64 * 1024;
/// The name that our programs carry, for `bpftool` and to know them again: at most 15 letters.
const NAME: [u8; 16] = *b"wolffia_devices\0";
/// `BPF_CGROUP_MAX_PROGS`: how many programs the kernel attaches to a cgroup.
const MOST_PROGRAMS: usize = 64;

/// Longer than any `union bpf_attr` so far: kernels 6.17 to 7.1 write results at the place that the newest union gives
/// them, whatever size the caller names (fixed by 21c4b99b27f3).
#[repr(C, align(8))]
struct Attr([u32; 64]);

impl Attr {
    /// `words` at the beginning, then zeros.
    fn new(words: &[u32]) -> Self {
        let mut attr = [0; 64];
        for (to, from) in attr.iter_mut().zip(words) {
            *to = *from;
        }
        Self(attr)
    }
}

/// Loads a device program. On a refusal of the verifier, the error holds what it said.
pub fn load_device_program(instructions: &[Instruction]) -> Result<OwnedFd> {
    match load(instructions, &mut []) {
        // Asked for only now: writing the log makes a load several times slower.
        Err(error) if error.is(Errno::EINVAL) || error.is(Errno::EACCES) => {
            let mut log = vec![0; LOG_SIZE];
            load(instructions, &mut log).map_err(|error| {
                let said = log.split(|byte| *byte == 0).next().unwrap_or_default();
                Error { args: format!("{}: {}", error.args, String::from_utf8_lossy(said).trim_end()), ..error }
            })
        }
        other => other,
    }
}

/// Attaches a device program to the cgroup whose directory `cgroup` is, beside those that are there.
pub fn attach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    // target_fd, attach_bpf_fd, attach_type, attach_flags
    let words = [number(cgroup), number(program), CGROUP_DEVICE, F_ALLOW_MULTI];
    bpf(PROG_ATTACH, &mut Attr::new(&words), words.len(), || {
        format!("BPF_PROG_ATTACH, cgroup {}, program {}, BPF_CGROUP_DEVICE", show_fd(cgroup), show_fd(program))
    })
    .map(drop)
}

/// The device programs attached to this very cgroup that [`load_device_program`] loaded.
pub fn device_programs(cgroup: BorrowedFd<'_>) -> Result<Vec<OwnedFd>> {
    let mut ids = [0_u32; MOST_PROGRAMS];
    let (low, high) = address(ids.as_mut_ptr().cast_const().cast());
    // target_fd, attach_type, query_flags, attach_flags, prog_ids, prog_cnt
    let mut attr = Attr::new(&[number(cgroup), CGROUP_DEVICE, 0, 0, low, high, MOST_PROGRAMS as u32]);
    bpf(PROG_QUERY, &mut attr, 7, || format!("BPF_PROG_QUERY, cgroup {}, BPF_CGROUP_DEVICE", show_fd(cgroup)))?;
    let [_, _, _, _, _, _, count, ..] = attr.0;
    let mut programs = Vec::new();
    for id in ids.iter().take(count as usize) {
        let args = || format!("BPF_PROG_GET_FD_BY_ID, {id}");
        match bpf(PROG_GET_FD_BY_ID, &mut Attr::new(&[*id]), 3, args).and_then(|fd| own(fd, args)) {
            // Detached and gone since the query.
            Err(error) if error.is(Errno::ENOENT) => {}
            program => {
                let program = program?;
                if name(program.as_fd())? == NAME {
                    programs.push(program);
                }
            }
        }
    }
    Ok(programs)
}

/// Detaches one of the programs of this cgroup.
pub fn detach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    // target_fd, attach_bpf_fd, attach_type
    let words = [number(cgroup), number(program), CGROUP_DEVICE];
    bpf(PROG_DETACH, &mut Attr::new(&words), words.len(), || {
        format!("BPF_PROG_DETACH, cgroup {}, program {}, BPF_CGROUP_DEVICE", show_fd(cgroup), show_fd(program))
    })
    .map(drop)
}

fn name(program: BorrowedFd<'_>) -> Result<[u8; 16]> {
    /// Where `struct bpf_prog_info` has the name.
    const AT: usize = 64;
    // Longer than asked for: see `Attr`.
    let mut info = [0_u8; 512];
    let (low, high) = address(info.as_mut_ptr().cast_const());
    let length = AT + NAME.len();
    // bpf_fd, info_len, info
    let words = [number(program), length as u32, low, high];
    bpf(OBJ_GET_INFO_BY_FD, &mut Attr::new(&words), words.len(), || format!("BPF_OBJ_GET_INFO_BY_FD, {}", show_fd(program)))?;
    let mut name = NAME;
    name.copy_from_slice(&info[AT..length]);
    Ok(name)
}

fn load(instructions: &[Instruction], log: &mut [u8]) -> Result<OwnedFd> {
    let license = c"Apache-2.0";
    let (code_low, code_high) = address(instructions.as_ptr().cast());
    let (license_low, license_high) = address(license.as_ptr().cast());
    let (log_low, log_high) = if log.is_empty() { (0, 0) } else { address(log.as_mut_ptr().cast_const().cast()) };
    let count = u32::try_from(instructions.len()).unwrap_or(u32::MAX);
    let log_size = u32::try_from(log.len()).unwrap_or(0);
    let [name_1, name_2, name_3, name_4] = words_of(NAME);
    let words = [
        PROG_TYPE_CGROUP_DEVICE,
        count,
        code_low,
        code_high,
        license_low,
        license_high,
        u32::from(log_size > 0),
        log_size,
        log_low,
        log_high,
        // kern_version, prog_flags, prog_name
        0,
        0,
        name_1,
        name_2,
        name_3,
        name_4,
    ];
    let args = || format!("BPF_PROG_LOAD, BPF_PROG_TYPE_CGROUP_DEVICE, {count} instructions");
    let mut attempt = 0;
    let fd = loop {
        attempt += 1;
        match bpf(PROG_LOAD, &mut Attr::new(&words), words.len(), args) {
            Err(error) if error.is(Errno::EAGAIN) && attempt < LOAD_ATTEMPTS => {}
            other => break other?,
        }
    };
    own(fd, args)
}

fn own(fd: libc::c_long, args: impl FnOnce() -> String) -> Result<OwnedFd> {
    let fd = RawFd::try_from(fd).map_err(|_| Error::new("bpf", args(), Errno::EBADF))?;
    // SAFETY: the kernel has just made this descriptor (close-on-exec, as all of bpf(2)) and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bpf(command: libc::c_int, attr: &mut Attr, words: usize, args: impl FnOnce() -> String) -> Result<libc::c_long> {
    let pointer = std::ptr::from_mut(attr);
    let size = words * size_of::<u32>();
    // SAFETY: `attr` is longer than any union that the kernel may read or write, and what the addresses in it name is
    // borrowed by the caller for the length of the call.
    let outcome = unsafe { libc::syscall(libc::SYS_bpf, command, pointer, size) };
    check(outcome, "bpf", args)
}

/// A pointer as the two words of an `__aligned_u64`.
fn address(pointer: *const u8) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = (pointer.expose_provenance() as u64).to_ne_bytes();
    (u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]))
}

fn words_of([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]: [u8; 16]) -> [u32; 4] {
    [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]].map(u32::from_ne_bytes)
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}
