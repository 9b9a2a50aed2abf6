//! The start of the C library without its questions to the processor (docs/decisions/libc-start.md): it asks 68 times what the processor
//! is (CPUID), which leaves a virtual machine each time, to choose among variants of memcpy and to say how large its caches are.
//!
//! What stands here are the calls of glibc's own `__libc_start_main` for a static program (csu/libc-start.c), in its order; the decision
//! lists what is left out and why nothing here needs it. The functions are private to the library, so this is for the version alone that
//! it was compared with; the program's build script looks for it.

use core::arch::asm;
use core::ffi::{c_char, c_int, c_void};

pub type Strings = *const *const c_char;
/// An entry of `.preinit_array` and `.init_array`, which glibc gives the arguments of `main`.
pub type Initializer = extern "C" fn(c_int, Strings, Strings);
pub type Main = extern "C" fn(c_int, Strings, Strings) -> c_int;

/// Defines `__libc_start_main` and the variables that come with it, so that the linker does not take the library's.
#[macro_export]
macro_rules! libc_start {
    () => {
        mod libc_start {
            use ::core::ffi::{c_int, c_void};
            use $crate::libc_start::{CACHE, MANY, Main, SHARED_CACHE, Strings};

            // Where copying and clearing change their ways, in bytes; the library's functions only read them.
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
            static __x86_rep_movsb_threshold: i64 = MANY;
            #[unsafe(no_mangle)]
            static __x86_rep_movsb_stop_threshold: i64 = SHARED_CACHE / 4 * 3;
            #[unsafe(no_mangle)]
            static __x86_rep_stosb_threshold: i64 = MANY;
            #[unsafe(no_mangle)]
            static __x86_string_control: c_int = 0;

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
                // SAFETY: the caller's promise is the same.
                unsafe { $crate::libc_start::start(main, count, arguments, stack_end) }
            }
        }
    };
}

/// The sizes that the library begins with, in bytes: 32 KiB of a core's own cache, 1 MiB of one that cores share; above [`MANY`], and up to
/// three quarters of the latter (the library's rule where it asks), one instruction copies or clears all.
pub const CACHE: i64 = 32 << 10;
pub const SHARED_CACHE: i64 = 1 << 20;
pub const MANY: i64 = 2048;

unsafe extern "C" {
    static mut __environ: Strings;
    static mut __libc_stack_end: *const c_void;
    static mut _dl_random: *const [usize; 2];
    static __rela_iplt_start: [Relocation; 0];
    static __rela_iplt_end: [Relocation; 0];
    static __preinit_array_start: [Initializer; 0];
    static __preinit_array_end: [Initializer; 0];
    static __init_array_start: [Initializer; 0];
    static __init_array_end: [Initializer; 0];
    fn _dl_aux_init(auxiliary: *const c_void);
    fn _dl_relocate_static_pie();
    fn __libc_setup_tls();
    fn __libc_early_init(is_initial: bool);
    fn __libc_init_first(count: c_int, arguments: Strings, environment: Strings);
    fn _init();
    fn exit(status: c_int) -> !;
}

/// The order is the library's own: before the relocations nothing may call memcpy, and before the thread-local storage nothing may use
/// `errno`.
///
/// # Safety
/// As `__libc_start_main`: once, at the start of the program, with what the kernel has laid on the stack.
// Inline, so that a program that does not call it has no need of the library's private names.
#[inline]
pub unsafe fn start(main: Main, count: c_int, arguments: Strings, stack_end: *const c_void) -> ! {
    let environment = arguments.wrapping_add(count as usize + 1);
    // SAFETY: nobody else is there yet.
    unsafe { __environ = environment };
    // SAFETY: as above.
    unsafe { __libc_stack_end = stack_end };
    // SAFETY: the environment ends with a null pointer.
    let auxiliary = unsafe { behind(environment) };
    // SAFETY: the auxiliary vector lies there.
    unsafe { _dl_aux_init(auxiliary.cast()) };
    // SAFETY: called here by the library too.
    unsafe { _dl_relocate_static_pie() };
    let relocations = (&raw const __rela_iplt_start).cast()..(&raw const __rela_iplt_end).cast();
    // SAFETY: the linker has put the relocations between the two.
    unsafe { relocate(relocations.start, relocations.end) };
    // SAFETY: the auxiliary vector was read, and memcpy works.
    unsafe { __libc_setup_tls() };
    // SAFETY: `_dl_aux_init` has set it to the kernel's sixteen random bytes.
    let random = unsafe { _dl_random };
    // SAFETY: they lie anywhere.
    let random = unsafe { random.read_unaligned() };
    // SAFETY: the thread's control block was set up.
    unsafe { guard(random) };
    // SAFETY: true, because no other copy of the library is in the process.
    unsafe { __libc_early_init(true) };
    // SAFETY: as the kernel has laid them.
    unsafe { __libc_init_first(count, arguments, environment) };
    let first = (&raw const __preinit_array_start).cast()..(&raw const __preinit_array_end).cast();
    // SAFETY: the linker has put functions of this kind between the two.
    unsafe { call_each(first.start, first.end, count, arguments, environment) };
    // SAFETY: after them, and before the next.
    unsafe { _init() };
    let second = (&raw const __init_array_start).cast()..(&raw const __init_array_end).cast();
    // SAFETY: the linker has put functions of this kind between the two.
    unsafe { call_each(second.start, second.end, count, arguments, environment) };
    // SAFETY: the library is ready for whatever `main` has registered.
    unsafe { exit(main(count, arguments, environment)) }
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
