//! Filters of system calls (seccomp(2)).

use crate::error::check;
use crate::{Errno, Error, Result};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// One instruction of classic BPF, as the kernel reads it.
pub use libc::sock_filter as Instruction;

const SET_MODE_FILTER: libc::c_uint = 1;
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`
const NEW_LISTENER: u32 = 1 << 3;

/// A program and `SECCOMP_FILTER_FLAG_*`.
#[derive(Debug, Clone)]
pub struct Filter {
    program: Vec<Instruction>,
    flags: u32,
}

impl Filter {
    /// `E2BIG` if the program is longer than a length can say.
    pub fn new(program: Vec<Instruction>, flags: u32) -> Result<Self> {
        match u16::try_from(program.len()) {
            Ok(_) => Ok(Self { program, flags }),
            Err(_) => Err(Error::new("seccomp", format!("{} instructions", program.len()), Errno::E2BIG)),
        }
    }

    /// Puts this process, and all that it becomes and makes, under the filter for good. One system call and no memory.
    /// `EACCES` without no_new_privs and without CAP_SYS_ADMIN. The descriptor is the listener, where the flags ask for one.
    pub fn load(&self) -> Result<Option<OwnedFd>> {
        let program = libc::sock_fprog { len: self.program.len() as u16, filter: self.program.as_ptr().cast_mut() };
        // SAFETY: the kernel reads `len` instructions from `filter` and writes nothing; both outlive the call.
        let outcome = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, self.flags, &raw const program) };
        let args = || format!("SECCOMP_SET_MODE_FILTER, {:#x}, {} instructions", self.flags, self.program.len());
        let answer = check(outcome, "seccomp", args)?;
        if self.flags & NEW_LISTENER == 0 {
            return Ok(None);
        }
        // SAFETY: with this flag the answer is a new descriptor, which nothing else owns.
        Ok(Some(unsafe { OwnedFd::from_raw_fd(answer as RawFd) }))
    }

    /// Lets the program of `command` run under the filter. The flags must not ask for a listener: nobody would get it.
    pub fn put_over(&self, command: &mut Command) -> Result<()> {
        if self.flags & NEW_LISTENER != 0 {
            return Err(Error::new("seccomp", "a listener for a child", Errno::EINVAL));
        }
        let filter = self.clone();
        // SAFETY: between fork and exec only the one system call of `load` is made; memory is taken on its failure alone, and
        // by a process of one thread, whose allocator nobody holds.
        unsafe { command.pre_exec(move || filter.load().map(drop).map_err(std::io::Error::from)) };
        Ok(())
    }
}

/// Whether the kernel knows these `SECCOMP_FILTER_FLAG_*`.
pub fn is_flag_known(flags: u32) -> bool {
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: a null program is refused with EFAULT, after the flags were judged, and nothing is loaded.
    let outcome = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, nothing) };
    check(outcome, "seccomp", String::new).is_err_and(|error| error.is(Errno::EFAULT))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `return ALLOW`
    const ALLOW: Instruction = Instruction { code: 6, jt: 0, jf: 0, k: 0x7fff_0000 };

    #[test]
    fn flags_are_known_or_not() {
        assert!(is_flag_known(0) && is_flag_known(NEW_LISTENER));
        assert!(!is_flag_known(1 << 31));
    }

    #[test]
    fn a_program_runs_under_its_filter() {
        // Errno 61 for uname(2), whatever the architecture: it is the only call of `uname`'s that may fail.
        let number = libc::SYS_uname as u32;
        let program = vec![
            Instruction { code: 0x20, jt: 0, jf: 0, k: 0 },
            Instruction { code: 0x15, jt: 0, jf: 1, k: number },
            Instruction { code: 6, jt: 0, jf: 0, k: 0x0005_0000 | 61 },
            ALLOW,
        ];
        let filter = Filter::new(program, 0).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--no-new-privs", "uname"]);
        filter.put_over(&mut command).unwrap();
        let output = command.output();
        match output {
            // Without CAP_SYS_ADMIN the kernel wants no_new_privs first.
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EACCES), "{error}"),
            Ok(output) => assert!(String::from_utf8_lossy(&output.stderr).contains("No data available"), "{output:?}"),
        }
    }

    #[test]
    fn what_cannot_be_loaded_is_an_error() {
        assert!(Filter::new(vec![ALLOW; 70_000], 0).unwrap_err().is(Errno::E2BIG));
        assert!(Filter::new(Vec::new(), 0).unwrap().load().is_err());
        let listening = Filter::new(vec![ALLOW], NEW_LISTENER).unwrap();
        assert!(listening.put_over(&mut Command::new("true")).unwrap_err().is(Errno::EINVAL));
    }
}
