//! The start of the C library without its questions to the processor (docs/decisions/libc-start.md): it asks 68 times what the processor
//! is (CPUID), which leaves a virtual machine each time, to choose among variants of memcpy and to say how large its caches are.
//!
//! What stands here are the calls of glibc's own `__libc_start_main` for a static program (csu/libc-start.c), in its order, without that
//! one: the processor is then taken for the plainest of its kind. And without the one that looks for GLIBC_TUNABLES in the environment,
//! which takes a tenth of the instructions of `state` and had CVE-2023-4911. The functions that are called are private to the library, so
//! this is for the version alone that it was compared with; the program's build script looks for it.

use core::arch::asm;
use core::ffi::{c_char, c_int};

pub type Strings = *const *const c_char;
/// An entry of `.preinit_array` and `.init_array`, which glibc gives the arguments of `main`.
pub type Initializer = extern "C" fn(c_int, Strings, Strings);
pub type Main = extern "C" fn(c_int, Strings, Strings) -> c_int;

/// Defines `__libc_start_main`, so that the linker does not take the library's.
#[macro_export]
macro_rules! libc_start {
    () => {
        mod libc_start {
            use ::core::ffi::{c_char, c_int, c_void};
            use $crate::libc_start::{Initializer, Main, Relocation, Strings};

            // What the processor would have been asked for: where copying and clearing change their ways, in bytes. The numbers are those
            // that the library begins with, and for the last its rule: three quarters of a cache that cores share.
            const CACHE: i64 = 32 << 10;
            const SHARED_CACHE: i64 = 1 << 20;
            #[unsafe(no_mangle)]
            static __x86_data_cache_size: i64 = CACHE;
            #[unsafe(no_mangle)]
            static __x86_data_cache_size_half: i64 = CACHE / 2;
            #[unsafe(no_mangle)]
            static __x86_shared_cache_size: i64 = SHARED_CACHE;
            #[unsafe(no_mangle)]
            static __x86_shared_cache_size_half: i64 = SHARED_CACHE / 2;
            #[unsafe(no_mangle)]
            static __x86_shared_non_temporal_threshold: i64 = SHARED_CACHE / 4 * 3;
            #[unsafe(no_mangle)]
            static __x86_rep_movsb_threshold: i64 = 2048;
            #[unsafe(no_mangle)]
            static __x86_rep_movsb_stop_threshold: i64 = SHARED_CACHE / 4 * 3;
            #[unsafe(no_mangle)]
            static __x86_rep_stosb_threshold: i64 = 2048;
            #[unsafe(no_mangle)]
            static __x86_string_control: c_int = 0;

            unsafe extern "C" {
                static mut __environ: Strings;
                static mut __libc_stack_end: *const c_void;
                static _dl_random: *const [usize; 2];
                static __rela_iplt_start: Relocation;
                static __rela_iplt_end: Relocation;
                static __preinit_array_start: Initializer;
                static __preinit_array_end: Initializer;
                static __init_array_start: Initializer;
                static __init_array_end: Initializer;
                fn _dl_aux_init(auxiliary: *const c_void);
                fn _dl_relocate_static_pie();
                fn __libc_setup_tls();
                fn __libc_early_init(is_initial: bool);
                fn __libc_init_first(count: c_int, arguments: Strings, environment: Strings);
                fn _init();
                fn exit(status: c_int) -> !;
            }

            /// # Safety
            /// It is called by `_start`, once, with what the kernel has laid on the stack.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn __libc_start_main(
                main: Main,
                count: c_int,
                arguments: Strings,
                _: *const c_void,
                _: *const c_void,
                _: *const c_void,
                stack_end: *const c_void,
            ) -> ! {
                // SAFETY: the order is the library's own, whose reasons are in its source. Before the relocations nothing may call memcpy,
                // and before the thread-local storage nothing may use `errno`.
                unsafe {
                    let environment = arguments.wrapping_add(count as usize + 1);
                    __environ = environment;
                    __libc_stack_end = stack_end;
                    _dl_aux_init($crate::libc_start::behind(environment).cast());
                    _dl_relocate_static_pie();
                    $crate::libc_start::relocate(&raw const __rela_iplt_start, &raw const __rela_iplt_end);
                    __libc_setup_tls();
                    $crate::libc_start::guard(_dl_random.read());
                    __libc_early_init(true);
                    __libc_init_first(count, arguments, environment);
                    let call = |from, to| $crate::libc_start::call_each(from, to, count, arguments, environment);
                    call(&raw const __preinit_array_start, &raw const __preinit_array_end);
                    _init();
                    call(&raw const __init_array_start, &raw const __init_array_end);
                    exit(main(count, arguments, environment))
                }
            }
        }
    };
}

/// `Elf64_Rela` of type R_X86_64_IRELATIVE: the place takes the address that the function returns.
#[derive(Debug)]
#[repr(C)]
pub struct Relocation {
    place: *mut usize,
    kind: usize,
    function: extern "C" fn() -> usize,
}

/// What lies behind the null pointer at the end of a list.
///
/// # Safety
/// The list has that end.
pub unsafe fn behind(list: Strings) -> *const *const c_char {
    let mut end = list;
    // SAFETY: the end is not passed.
    while !unsafe { end.read_volatile() }.is_null() {
        end = end.wrapping_add(1);
    }
    end.wrapping_add(1)
}

/// Chooses the variants of memcpy and its like: of a processor that nothing is known of, the plainest.
///
/// # Safety
/// Between the two lie relocations that the linker has made, and nobody has used what they are for.
pub unsafe fn relocate(from: *const Relocation, to: *const Relocation) {
    let mut next = from;
    while next < to {
        // SAFETY: `next` lies between the two.
        let relocation = unsafe { &*next };
        // SAFETY: the place is a word of the table of addresses, which is writable still.
        unsafe { relocation.place.write_volatile((relocation.function)()) };
        next = next.wrapping_add(1);
    }
}

/// The values that a smashed stack and a smashed `jmp_buf` are found by, at their places in the thread's control block (`tcbhead_t`). The
/// first begins with a NUL, which no string can write.
///
/// # Safety
/// The thread's control block is there.
pub unsafe fn guard([stack, pointer]: [usize; 2]) {
    // SAFETY: the caller's promise.
    unsafe { asm!("mov fs:[0x28], {}", in(reg) stack & !0xff, options(nostack, preserves_flags)) };
    // SAFETY: as above.
    unsafe { asm!("mov fs:[0x30], {}", in(reg) pointer, options(nostack, preserves_flags)) };
}

/// # Safety
/// Between the first two lie functions that want these arguments.
pub unsafe fn call_each(
    from: *const Initializer,
    to: *const Initializer,
    count: c_int,
    arguments: Strings,
    environment: Strings,
) {
    let mut next = from;
    while next < to {
        // SAFETY: `next` lies between the two.
        let initializer = unsafe { next.read() };
        initializer(count, arguments, environment);
        next = next.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use core::ptr::null;
    use std::sync::atomic::{AtomicI32, Ordering};

    #[test]
    fn a_list_ends_with_a_null_pointer() {
        let list = [c"A=1".as_ptr(), c"B=2".as_ptr(), null(), c"behind".as_ptr()];
        // SAFETY: the list has its end.
        let found = unsafe { behind(list.as_ptr()) };
        assert_eq!(found, &raw const list[3]);
        // SAFETY: so has an empty one.
        assert_eq!(unsafe { behind(&raw const list[2]) }, &raw const list[3]);
    }

    #[test]
    fn every_place_takes_what_its_function_returns() {
        extern "C" fn seven() -> usize {
            7
        }
        extern "C" fn eight() -> usize {
            8
        }
        let mut table = [0_usize; 3];
        let place = |index: usize| table.as_ptr().wrapping_add(index).cast_mut();
        let all = [
            Relocation { place: place(0), kind: 37, function: seven },
            Relocation { place: place(2), kind: 37, function: eight },
        ];
        let ends = all.as_ptr_range();
        // SAFETY: two relocations, for words of a table that nobody reads meanwhile.
        unsafe { relocate(ends.start, ends.end) };
        assert_eq!(core::hint::black_box(&mut table), &[7, 0, 8]);
    }

    #[test]
    fn initializers_are_called_in_turn_with_the_arguments() {
        static CALLED: AtomicI32 = AtomicI32::new(0);
        extern "C" fn first(count: c_int, arguments: Strings, environment: Strings) {
            assert!(arguments.is_null() && !environment.is_null());
            CALLED.store(count, Ordering::SeqCst);
        }
        extern "C" fn second(_: c_int, _: Strings, _: Strings) {
            CALLED.store(CALLED.load(Ordering::SeqCst) * 10 + 1, Ordering::SeqCst);
        }
        let all: [Initializer; 2] = [first, second];
        let (ends, environment) = (all.as_ptr_range(), [null()]);
        // SAFETY: two functions of that kind.
        unsafe { call_each(ends.start, ends.end, 3, null(), environment.as_ptr()) };
        assert_eq!(CALLED.load(Ordering::SeqCst), 31);
    }
}
