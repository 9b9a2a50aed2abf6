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
    // SAFETY: no handler, only "ignore".
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let mut streams = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    // SAFETY: the array is as long as is said, and poll(2) writes its `revents` only. It does not wait.
    unsafe { libc::poll(streams.as_mut_ptr(), streams.len() as libc::nfds_t, 0) };
    for _ in streams.iter().filter(|stream| stream.revents & libc::POLLNVAL != 0) {
        // The lowest number that is free is one that was closed.
        // SAFETY: a constant string.
        if unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) } < 0 {
            std::process::abort();
        }
    }
}
