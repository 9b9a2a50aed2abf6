//! The first instructions of a command, before the C library's and std's: root's calls that enter a container are executed again from a
//! read-only overlay at once (docs/decisions/self-protection.md). Otherwise all that these two do at their start would be done twice.
//!
//! Only the plain case is done here. Whatever else comes up, this returns, and `main` looks again and says what is wrong.
//!
//! The C library does not work yet, not even its memcpy, which is chosen at its start by the processor. So nothing is copied or compared
//! here but by volatile access, for which the compiler puts no call.

use core::arch::asm;
use core::convert::Infallible;
use core::mem::MaybeUninit;

/// Makes `wolffia_entry`, which a program's linker is told to begin at (`--entry`): it does what this file is for, and goes on at the C
/// library's `_start`. `ENTERING` are the subcommands that enter a container, `VALUED` the flags before them that take a value, without
/// dashes.
#[macro_export]
macro_rules! entry {
    ($entering:expr, $valued:expr) => {
        extern "C" fn before_libc(stack: *const usize) {
            // SAFETY: `wolffia_entry` gives the stack pointer of the program's start, and nothing is on the stack but the kernel's.
            unsafe { $crate::entry::begin(stack, $entering, $valued) }
        }

        // The registers are handed on as the kernel gave them: rdx is for `_start` (System V ABI, "Process Initialization").
        #[cfg(target_arch = "x86_64")]
        ::core::arch::global_asm!(
            // A section of its own, which the linker can put where it is wanted.
            ".pushsection .text.wolffia_entry,\"ax\",@progbits",
            ".globl wolffia_entry",
            "wolffia_entry:",
            "mov rbx, rsp",
            "mov r12, rdx",
            "mov rdi, rsp",
            "and rsp, -16",
            "call {before}",
            "mov rsp, rbx",
            "mov rdx, r12",
            "jmp _start",
            ".popsection",
            before = sym before_libc
        );
    };
}

/// Room for the path of the binary, and for what is put behind its directory.
const ROOM: usize = 1024;
/// A second layer, because overlayfs wants two where none can be written; nothing of it is used.
const SECOND_LAYER: &[u8] = b":/dev\0";

/// # Safety
/// `stack` is the stack pointer at the start of the program, and the arguments and the environment are still there.
pub unsafe fn begin(stack: *const usize, entering: &[&[u8]], valued: &[&[u8]]) {
    // SAFETY: the caller's promise.
    let start = unsafe { Start::at(stack) };
    // With rights that its caller lacks, `main` refuses to run at all.
    if start.auxiliary(libc::AT_EUID) == Some(0)
        && start.auxiliary(libc::AT_SECURE) == Some(0)
        && start.names_one_of(entering, valued)
    {
        match execute_copy(&start) {
            // There is nothing to execute, or it could not be done.
            None => {}
            Some(never) => match never {},
        }
    }
}

/// What the kernel has laid on the stack (elf(5), getauxval(3)).
struct Start {
    arguments: *const *const u8,
    environment: *const *const u8,
    auxiliary: *const [usize; 2],
}

impl Start {
    /// # Safety
    /// As [`begin`].
    unsafe fn at(stack: *const usize) -> Self {
        // SAFETY: the number of arguments is there.
        let count = unsafe { stack.read_volatile() };
        let arguments = stack.wrapping_add(1).cast::<*const u8>();
        let environment = arguments.wrapping_add(count + 1);
        let mut end = environment;
        // SAFETY: the environment ends with a null pointer, which is not passed.
        while !unsafe { end.read_volatile() }.is_null() {
            end = end.wrapping_add(1);
        }
        Self { arguments, environment, auxiliary: end.wrapping_add(1).cast() }
    }

    fn auxiliary(&self, wanted: libc::c_ulong) -> Option<usize> {
        let mut entry = self.auxiliary;
        loop {
            // SAFETY: the vector ends with an entry of type AT_NULL, which is not passed.
            let [kind, value] = unsafe { entry.read_volatile() };
            match kind as libc::c_ulong {
                libc::AT_NULL => return None,
                kind if kind == wanted => return Some(value),
                _ => entry = entry.wrapping_add(1),
            }
        }
    }

    /// Whether the first word that is neither a flag nor a flag's value is one of these.
    fn names_one_of(&self, entering: &[&[u8]], valued: &[&[u8]]) -> bool {
        let mut next = self.arguments.wrapping_add(1);
        // SAFETY: the arguments end with a null pointer, which is not passed; without any the environment's end is there.
        while let word = unsafe { next.read_volatile() }
            && !word.is_null()
        {
            let flag = word.wrapping_add(if byte(word, 0) == b'-' { 1 + usize::from(byte(word, 1) == b'-') } else { 0 });
            if flag == word {
                return is_any(word, entering);
            }
            // Not passed either: a value that is missing.
            let steps = 1 + usize::from(is_any(flag, valued));
            for _ in 0..steps {
                // SAFETY: as above.
                if !unsafe { next.read_volatile() }.is_null() {
                    next = next.wrapping_add(1);
                }
            }
        }
        false
    }
}

/// A byte of a string that is known to reach so far.
fn byte(word: *const u8, index: usize) -> u8 {
    // SAFETY: the callers go forward from the beginning and stop at the NUL.
    unsafe { word.wrapping_add(index).read_volatile() }
}

fn is_any(word: *const u8, names: &[&[u8]]) -> bool {
    names.iter().any(|name| {
        let mut index = 0;
        while index < name.len() && byte(word, index) == byte(name.as_ptr(), index) {
            index += 1;
        }
        index == name.len() && byte(word, index) == 0
    })
}

/// As `wolffia::protect_self` does it, which has the reasons.
fn execute_copy(start: &Start) -> Option<Infallible> {
    // SAFETY: a constant string.
    let own = unsafe { Fd::open(libc::AT_FDCWD as usize, c"/proc/self/exe".as_ptr(), 0) }?;
    if !is_ordinary(&own)? {
        return None;
    }
    let mut layers = MaybeUninit::<[u8; ROOM]>::uninit();
    let layers = layers.as_mut_ptr().cast::<u8>();
    let link = c"/proc/self/exe".as_ptr() as usize;
    // SAFETY: the kernel writes as many bytes as it is told at most, and `layers` has them.
    let length = unsafe {
        call(libc::SYS_readlinkat, [libc::AT_FDCWD as usize, link, layers as usize, ROOM - SECOND_LAYER.len() - 1, 0])
    }?;
    let mut name = MaybeUninit::<[u8; ROOM]>::uninit();
    let name = name.as_mut_ptr().cast::<u8>();
    split(layers, name, length)?;
    // SAFETY: a constant string.
    let context = Fd(unsafe { call(libc::SYS_fsopen, [c"overlay".as_ptr() as usize, 1, 0, 0, 0]) }?);
    let set = |command: usize, key: usize, value: usize| {
        // SAFETY: key and value are null pointers or strings that outlive the call.
        unsafe { call(libc::SYS_fsconfig, [context.0, command, key, value, 0]) }
    };
    // FSCONFIG_SET_STRING and FSCONFIG_CMD_CREATE of linux/mount.h.
    set(1, c"lowerdir".as_ptr() as usize, layers as usize)?;
    set(6, 0, 0)?;
    let attributes = crate::mount::MOUNT_ATTR_RDONLY | crate::mount::MOUNT_ATTR_NOSUID | crate::mount::MOUNT_ATTR_NODEV;
    // SAFETY: numbers.
    let mount = Fd(unsafe { call(libc::SYS_fsmount, [context.0, 1, attributes as usize, 0, 0]) }?);
    // SAFETY: `split` has put a NUL at its end.
    let copy = unsafe { Fd::open(mount.0, name.cast(), (libc::O_PATH | libc::O_NOFOLLOW) as usize) }?;
    // A layer does not show what is mounted on it: of a binary that is bind-mounted by itself, the file below.
    if copy.number_and_size()? != own.number_and_size()? {
        return None;
    }
    let (path, argv, envp) = (c"".as_ptr() as usize, start.arguments as usize, start.environment as usize);
    // SAFETY: the arrays and strings are those of this program's start.
    unsafe { call(libc::SYS_execveat, [copy.0, path, argv, envp, libc::AT_EMPTY_PATH as usize]) }?;
    None
}

/// Whether the file lies on an ordinary file system. On an overlay this may be the copy already, on tmpfs a sealed one, and what knows no
/// writing needs none: there `main` decides.
fn is_ordinary(own: &Fd) -> Option<bool> {
    const SPECIAL: [u32; 4] = [0x794c_7630, 0x0102_1994, 0x7371_7368, 0xe0f5_e1e2];
    let mut status = MaybeUninit::<[u64; 15]>::uninit();
    // SAFETY: `struct statfs` has 120 bytes on this architecture, and is written whole.
    unsafe { call(libc::SYS_fstatfs, [own.0, status.as_mut_ptr() as usize, 0, 0, 0]) }?;
    // SAFETY: the call has written it; `f_type` is the first member.
    let magic = unsafe { status.as_ptr().cast::<u64>().read_volatile() };
    Some(SPECIAL.iter().all(|special| u64::from(*special) != magic))
}

/// From the path of `length` bytes the name of the file to `name`; the rest becomes the list of layers. `None` for a path with letters that
/// mean something in that list.
fn split(path: *mut u8, name: *mut u8, length: usize) -> Option<()> {
    let mut cut = 0;
    for index in 0..length {
        match byte(path, index) {
            b'/' => cut = index,
            b':' | b',' | b'\\' => return None,
            _ => {}
        }
    }
    if cut == 0 {
        return None;
    }
    let put = |to: *mut u8, index: usize, value: u8| {
        // SAFETY: `path` and `name` have room for ROOM bytes, and `length` leaves as many as the second layer has.
        unsafe { to.wrapping_add(index).write_volatile(value) }
    };
    for index in cut + 1..length {
        put(name, index - cut - 1, byte(path, index));
    }
    put(name, length - cut - 1, 0);
    for index in 0..SECOND_LAYER.len() {
        put(path, cut + index, byte(SECOND_LAYER.as_ptr(), index));
    }
    Some(())
}

/// A descriptor, closed at its end.
struct Fd(usize);

impl Fd {
    /// # Safety
    /// `path` is a string with a NUL at its end.
    unsafe fn open(directory: usize, path: *const libc::c_char, flags: usize) -> Option<Self> {
        let flags = flags | libc::O_CLOEXEC as usize;
        // SAFETY: the caller's promise.
        unsafe { call(libc::SYS_openat, [directory, path as usize, flags, 0, 0]) }.map(Self)
    }

    fn number_and_size(&self) -> Option<(u64, u64)> {
        /// `struct statx` has 256 bytes; `stx_ino` is at 32, `stx_size` at 40 (linux/stat.h).
        type Status = [u64; 32];
        let mut status = MaybeUninit::<Status>::uninit();
        let (empty, into) = (c"".as_ptr() as usize, status.as_mut_ptr());
        let wanted = (libc::STATX_INO | libc::STATX_SIZE) as usize;
        // SAFETY: the kernel writes one `struct statx`, for which there is room.
        unsafe { call(libc::SYS_statx, [self.0, empty, libc::AT_EMPTY_PATH as usize, wanted, into as usize]) }?;
        // SAFETY: it has written the whole struct.
        let member = |index: usize| unsafe { into.cast::<u64>().wrapping_add(index).read_volatile() };
        Some((member(4), member(5)))
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: a number. What close(2) says is of no use to anybody: nothing was written.
        unsafe { call(libc::SYS_close, [self.0, 0, 0, 0, 0]) };
    }
}

/// A system call without the C library. `None` if it failed.
///
/// # Safety
/// The arguments must be valid for the call: addresses, where it takes them, of memory that it may read or write.
unsafe fn call(number: libc::c_long, [a, b, c, d, e]: [usize; 5]) -> Option<usize> {
    let result: isize;
    // SAFETY: the instruction changes rax, rcx and r11 (syscall(2)) and what the caller has vouched for.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    usize::try_from(result).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use std::ffi::{CStr, CString};

    fn enters(line: &str) -> bool {
        let words: Vec<CString> = line.split(' ').map(|word| CString::new(word).unwrap()).collect();
        let mut stack = vec![words.len()];
        stack.extend(words.iter().map(|word| word.as_ptr() as usize));
        // No environment; then the auxiliary vector.
        stack.extend([0, 0, libc::AT_EUID as usize, 0, libc::AT_SECURE as usize, 1, libc::AT_NULL as usize, 0]);
        // SAFETY: a stack as the kernel makes it.
        let start = unsafe { Start::at(stack.as_ptr()) };
        assert_eq!((start.auxiliary(libc::AT_EUID), start.auxiliary(libc::AT_SECURE)), (Some(0), Some(1)));
        assert_eq!(start.auxiliary(libc::AT_HWCAP), None);
        start.names_one_of(&[b"run", b"exec"], &[b"root", b"log"])
    }

    #[test]
    fn the_subcommand_is_found_behind_flags() {
        for line in ["w run", "w exec a b", "w --root /x run", "w -root /x --debug -log y exec c", "w --root=run run"] {
            assert!(enters(line), "{line}");
        }
        for line in
            ["w", "w state run", "w --root run", "w --root run state", "w runs", "w ru", "w --root", "w -", "w --", "w --run"]
        {
            assert!(!enters(line), "{line}");
        }
    }

    fn layers_and_name(path: &str) -> Option<(String, String)> {
        let (mut layers, mut name) = ([0_u8; ROOM], [0_u8; ROOM]);
        layers[..path.len()].copy_from_slice(path.as_bytes());
        split(layers.as_mut_ptr(), name.as_mut_ptr(), path.len())?;
        let text = |bytes: &[u8]| CStr::from_bytes_until_nul(bytes).unwrap().to_str().unwrap().to_owned();
        Some((text(&layers), text(&name)))
    }

    #[test]
    fn a_path_becomes_layers_and_a_name() {
        let made = |layers: &str, name: &str| Some((layers.to_owned(), name.to_owned()));
        assert_eq!(layers_and_name("/usr/bin/wolffia"), made("/usr/bin:/dev", "wolffia"));
        assert_eq!(layers_and_name("/a/b"), made("/a:/dev", "b"));
        let longest = format!("/{}/w", "d".repeat(ROOM - SECOND_LAYER.len() - 4));
        assert_eq!(layers_and_name(&longest), made(&format!("{}:/dev", &longest[..longest.len() - 2]), "w"));
        for path in ["/wolffia", "/a:b/wolffia", "/a,b/wolffia", "/a/b\\c", "memfd", ""] {
            assert_eq!(layers_and_name(path), None, "{path}");
        }
    }
}
