//! `main` without most of what std does before it: it reads /proc/self/maps for a guard page, and makes a stack and two handlers to say
//! that the stack has overflowed. A start is a tenth shorter without; an overflow still ends in the kernel's own guard gap, by SIGSEGV.

/// Makes the C library's `main` of a function without arguments that returns the exit status. The program is `#![no_main]`.
#[macro_export]
macro_rules! main {
    ($main:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn main(_: ::core::ffi::c_int, _: *const *const ::core::ffi::c_char) -> ::core::ffi::c_int {
            $crate::start::prepare();
            // By std, which first writes out what it holds for the standard output.
            ::std::process::exit($main().into())
        }
    };
}

/// What of std's start is needed: a reader that goes away is an error of write(2) and not the end, and the first three descriptors are
/// open, so that no file of ours is taken for the standard output (CVE-2002-0572 is a program without that).
pub fn prepare() {
    // SAFETY: no handler, only "ignore". It fails for numbers that are no signals.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    for stream in 0..3 {
        if crate::fd::is_open(stream) {
            continue;
        }
        // SAFETY: a constant string. The lowest number that is free is the one that was found closed.
        if unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) } != stream {
            std::process::abort();
        }
    }
}
