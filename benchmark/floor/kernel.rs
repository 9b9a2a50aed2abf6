//! The kernel as the floor program calls it: no C library, no heap, no panic. The only unsafe code of this package.
//!
//! Every call that fails ends the program with its name and errno. Descriptors are close-on-exec and otherwise left open: the
//! program lives for a millisecond, and what closes them costs what is measured.

#![allow(unsafe_code, reason = "system calls without a C library; the benchmark must not link what it measures")]

use core::arch::{asm, global_asm};
use core::ffi::CStr;

// The kernel starts a program with its arguments on the stack, and expects it to end by itself.
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {begin}", "ud2", begin = sym begin);

extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: `stack` is the stack pointer at the start of the program; there the kernel has put the number of arguments.
    let count = unsafe { stack.read() };
    let first = stack.wrapping_add(1).cast::<*const u8>();
    crate::main(Words { next: first, environment: first.wrapping_add(count + 1) })
}

/// The arguments not taken yet, and the environment: the two arrays that the kernel has put on the stack.
#[derive(Clone, Copy)]
pub struct Words {
    next: *const *const u8,
    environment: *const *const u8,
}

impl Words {
    /// Takes the next word; an empty one after the last.
    pub fn take(&mut self) -> &'static CStr {
        // SAFETY: `next` points into the array of arguments, whose end is a null pointer that is never passed.
        let word = unsafe { self.next.read() };
        if word.is_null() {
            return c"";
        }
        self.next = self.next.wrapping_add(1);
        // SAFETY: an argument is a string with a NUL at its end, and lives as long as the program.
        let length = unsafe { strlen(word) };
        // SAFETY: as above; the NUL is counted.
        let bytes = unsafe { core::slice::from_raw_parts(word, length + 1) };
        CStr::from_bytes_with_nul(bytes).unwrap_or(c"")
    }

    pub fn number(&mut self) -> usize {
        self.take()
            .to_bytes()
            .iter()
            .fold(0, |number: usize, digit| number.wrapping_mul(10).wrapping_add(usize::from(digit.wrapping_sub(b'0'))))
    }
}

/// An open descriptor.
#[derive(Clone, Copy)]
pub struct Fd(pub usize);

/// The current directory, where a directory is asked for.
pub const HERE: Fd = Fd(-100_isize as usize);

pub const CLOEXEC: usize = 0o2_000_000;
pub const DIRECTORY: usize = 0o200_000;
pub const PATH: usize = 0o10_000_000;
pub const READ_WRITE: usize = 2;
pub const WRITE: usize = 1;

type Arguments = [usize; 6];

/// # Safety
/// The arguments must be valid for the system call: pointers, where it takes them, to memory that it may read or write.
unsafe fn call(number: usize, [a, b, c, d, e, f]: Arguments) -> isize {
    let result;
    // SAFETY: the instruction changes rax, rcx and r11 and what the caller has vouched for.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// A call of numbers only.
fn plain(number: usize, arguments: Arguments) -> isize {
    // SAFETY: no system call that this file makes by `plain` takes an address; the kernel checks numbers itself.
    unsafe { call(number, arguments) }
}

/// A call whose addresses are strings.
fn with_text(number: usize, arguments: Arguments, _texts: &[&CStr]) -> isize {
    // SAFETY: the addresses among the arguments are those of `_texts`, which outlive the call and end with a NUL; a null pointer
    // means to these calls that there is none.
    unsafe { call(number, arguments) }
}

fn must(name: &'static str, result: isize) -> usize {
    if result < 0 {
        fail(name, result.unsigned_abs());
    }
    result.unsigned_abs()
}

pub fn fail(name: &'static str, errno: usize) -> ! {
    let standard_error = Fd(2);
    write_some(standard_error, b"wolffia-floor: ");
    write_some(standard_error, name.as_bytes());
    write_some(standard_error, b": errno ");
    write_some(standard_error, Number::new(errno).text().to_bytes());
    write_some(standard_error, b"\n");
    exit(125)
}

pub fn exit(code: usize) -> ! {
    loop {
        plain(231, [code, 0, 0, 0, 0, 0]);
    }
}

/// A number in decimal digits.
pub struct Number([u8; 21]);

impl Number {
    pub fn new(mut number: usize) -> Self {
        let mut digits = [0; 21];
        for place in digits.iter_mut().rev().skip(1) {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
        }
        Self(digits)
    }

    pub fn text(&self) -> &CStr {
        let zeros = self.0.iter().take(19).take_while(|digit| **digit == b'0').count();
        self.0.get(zeros..).and_then(|digits| CStr::from_bytes_with_nul(digits).ok()).unwrap_or(c"0")
    }
}

fn write_some(fd: Fd, bytes: &[u8]) -> isize {
    // SAFETY: the bytes are readable for the length that is given.
    unsafe { call(1, [fd.0, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]) }
}

pub fn write(fd: Fd, bytes: &[u8]) {
    must("write", write_some(fd, bytes));
}

/// Reads what is there, and waits while nothing is.
pub fn read(fd: Fd, bytes: &mut [u8]) -> usize {
    // SAFETY: the bytes are writable for the length that is given, and any byte is a valid one.
    must("read", unsafe { call(0, [fd.0, bytes.as_mut_ptr() as usize, bytes.len(), 0, 0, 0]) })
}

pub fn open(at: Fd, path: &CStr, flags: usize) -> Fd {
    Fd(must("openat", with_text(257, [at.0, path.as_ptr() as usize, flags | CLOEXEC, 0o600, 0, 0], &[path])))
}

pub fn make_directory(at: Fd, path: &CStr, mode: usize) {
    must("mkdirat", with_text(258, [at.0, path.as_ptr() as usize, mode, 0, 0, 0], &[path]));
}

pub fn make_node(at: Fd, path: &CStr, mode: usize, (major, minor): (usize, usize)) {
    must("mknodat", with_text(259, [at.0, path.as_ptr() as usize, mode, major << 8 | minor, 0, 0], &[path]));
}

pub fn make_link(target: &CStr, at: Fd, path: &CStr) {
    must("symlinkat", with_text(266, [target.as_ptr() as usize, at.0, path.as_ptr() as usize, 0, 0, 0], &[target, path]));
}

pub fn remove(at: Fd, path: &CStr, is_directory: bool) {
    let flags = if is_directory { 0x200 } else { 0 };
    must("unlinkat", with_text(263, [at.0, path.as_ptr() as usize, flags, 0, 0, 0], &[path]));
}

pub fn change_directory(to: Fd) {
    must("fchdir", plain(81, [to.0, 0, 0, 0, 0, 0]));
}

/// Gives every mount in sight a propagation, `MS_SLAVE` or `MS_PRIVATE`.
pub fn propagate(flags: usize) {
    const RECURSIVE: usize = 0x4000;
    must("mount", with_text(165, [0, c"/".as_ptr() as usize, 0, flags | RECURSIVE, 0, 0], &[c"/"]));
}

/// A mount in the making. Options are pairs; a flag has no value.
pub fn new_mount(kind: &CStr, options: &[(&CStr, Option<&CStr>)], attributes: usize) -> Fd {
    let context = must("fsopen", with_text(430, [kind.as_ptr() as usize, 1, 0, 0, 0, 0], &[kind]));
    for (key, value) in options {
        let (command, address) = value.map_or((0, 0), |value| (1, value.as_ptr() as usize));
        let texts = [*key, value.unwrap_or(c"")];
        must("fsconfig", with_text(431, [context, command, key.as_ptr() as usize, address, 0, 0], &texts));
    }
    must("fsconfig create", plain(431, [context, 6, 0, 0, 0, 0]));
    let mount = Fd(must("fsmount", plain(432, [context, 1, attributes, 0, 0, 0])));
    must("close", plain(3, [context, 0, 0, 0, 0, 0]));
    mount
}

/// A detached copy of the mounts at a path, with its attributes; none where nothing is there.
pub fn clone_tree(at: Fd, path: &CStr, attributes: usize) -> Option<Fd> {
    // OPEN_TREE_CLONE, AT_RECURSIVE, AT_EMPTY_PATH
    let result = with_text(428, [at.0, path.as_ptr() as usize, 1 | CLOEXEC | 0x8000 | 0x1000, 0, 0, 0], &[path]);
    if result == -2 {
        return None;
    }
    let tree = Fd(must("open_tree", result));
    if attributes != 0 {
        set_attributes(tree, attributes);
    }
    Some(tree)
}

/// Whether a path is a directory; none where nothing is there.
pub fn is_directory(at: Fd, path: &CStr) -> Option<bool> {
    match with_text(257, [at.0, path.as_ptr() as usize, PATH | DIRECTORY | CLOEXEC, 0, 0, 0], &[path]) {
        -2 => None,
        -20 => Some(false),
        result => Some(must("openat", result) > 0),
    }
}

pub fn set_attributes(tree: Fd, attributes: usize) {
    let values = [attributes as u64, 0, 0, 0];
    // SAFETY: the structure is readable and of the size that is given; the empty path ends with a NUL.
    must("mount_setattr", unsafe {
        call(442, [tree.0, c"".as_ptr() as usize, 0x1000 | 0x8000, values.as_ptr() as usize, 32, 0])
    });
}

pub fn move_mount(mount: Fd, at: Fd, path: &CStr) {
    // MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH
    let arguments = [mount.0, c"".as_ptr() as usize, at.0, path.as_ptr() as usize, 0x4 | 0x40, 0];
    must("move_mount", with_text(429, arguments, &[c"", path]));
}

/// The current directory becomes the root; the old one is let go.
pub fn pivot() {
    let here = c".".as_ptr() as usize;
    must("pivot_root", with_text(155, [here, here, 0, 0, 0, 0], &[c"."]));
    must("umount2", with_text(166, [here, 2, 0, 0, 0, 0], &[c"."]));
    must("chdir", with_text(80, [c"/".as_ptr() as usize, 0, 0, 0, 0, 0], &[c"/"]));
}

pub fn set_host_name(name: &CStr) {
    must("sethostname", with_text(170, [name.as_ptr() as usize, name.count_bytes(), 0, 0, 0, 0], &[name]));
}

pub fn raise_loopback() {
    let mut request = [0_u8; 40];
    for (place, byte) in request.iter_mut().zip(*b"lo") {
        *place = byte;
    }
    // IFF_UP, at the offset of `ifr_flags`
    if let Some(flags) = request.get_mut(16) {
        *flags = 1;
    }
    let socket = must("socket", plain(41, [2, 2 | CLOEXEC, 0, 0, 0, 0]));
    // SAFETY: SIOCSIFFLAGS reads a `struct ifreq`, which has 40 bytes.
    must("ioctl", unsafe { call(16, [socket, 0x8914, request.as_ptr() as usize, 0, 0, 0]) });
}

pub fn join_new_keyring() {
    must("keyctl", plain(250, [1, 0, 0, 0, 0, 0]));
}

pub fn clear_umask() {
    must("umask", plain(95, [0; 6]));
}

pub fn sleep(milliseconds: usize) {
    // poll, of nothing.
    plain(7, [0, 0, milliseconds, 0, 0, 0]);
}

/// Waits for any signal.
pub fn pause() {
    plain(34, [0; 6]);
}

/// Stops this process, for its parent to trace it.
pub fn stop_for_tracer() {
    must("ptrace", plain(101, [0; 6]));
    const SIGSTOP: usize = 19;
    let own = must("getpid", plain(39, [0; 6]));
    must("kill", plain(62, [own, SIGSTOP, 0, 0, 0, 0]));
}

pub fn new_session() {
    must("setsid", plain(112, [0; 6]));
}

pub fn process_control(option: usize, a: usize, b: usize) {
    must("prctl", plain(157, [option, a, b, 0, 0, 0]));
}

pub fn clear_groups() {
    must("setgroups", plain(116, [0; 6]));
}

pub fn become_user(user: usize, group: usize) {
    must("setresgid", plain(119, [group, group, group, 0, 0, 0]));
    must("setresuid", plain(117, [user, user, user, 0, 0, 0]));
}

pub fn limit_open_files(number: u64) {
    let limit = [number, number];
    // SAFETY: the new limit is readable; the old one is not asked for.
    must("prlimit64", unsafe { call(302, [0, 7, limit.as_ptr() as usize, 0, 0, 0]) });
}

/// Effective and permitted capabilities.
pub fn set_capabilities(mask: u32) {
    let header = [0x2008_0522_u32, 0];
    let sets = [mask, mask, 0, 0, 0, 0];
    // SAFETY: header and sets have the layout of version 3.
    must("capset", unsafe { call(126, [header.as_ptr() as usize, sets.as_ptr() as usize, 0, 0, 0, 0]) });
}

/// Loads a filter of classic BPF; its bytes are instructions of eight bytes.
pub fn load_filter(filter: &[u8]) {
    #[repr(C)]
    struct Program(u16, *const u8);
    let program = Program((filter.len() / 8) as u16, filter.as_ptr());
    // SAFETY: the program points to as many instructions as it says. SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW.
    must("seccomp", unsafe { call(317, [1, 4, &raw const program as usize, 0, 0, 0]) });
}

/// Loads an extended BPF program of the kind `BPF_PROG_TYPE_CGROUP_DEVICE` and attaches it to a cgroup.
pub fn attach_device_program(program: &[u64], cgroup: Fd) {
    let licence = c"Apache-2.0";
    let load = [15 | (program.len() as u64) << 32, program.as_ptr() as u64, licence.as_ptr() as u64, 0, 0, 0, 0, 0];
    // SAFETY: the attributes are readable and of the size given, and so are the program and the text that they point to.
    let loaded = must("bpf load", unsafe { call(321, [5, load.as_ptr() as usize, 48, 0, 0, 0]) });
    // The target and the program; BPF_CGROUP_DEVICE and BPF_F_ALLOW_MULTI.
    let attach = [cgroup.0 as u64 | (loaded as u64) << 32, 6 | 2 << 32];
    // SAFETY: as above.
    must("bpf attach", unsafe { call(321, [8, attach.as_ptr() as usize, 16, 0, 0, 0]) });
}

/// A child of this process.
#[derive(Clone, Copy)]
pub struct Child {
    pub pid: usize,
}

/// Copies this process into namespaces and a cgroup; `None` is the copy.
pub fn clone(flags: u64, cgroup: Option<Fd>) -> Option<Child> {
    const INTO_CGROUP: u64 = 0x2_0000_0000;
    const SIGCHLD: u64 = 17;
    let into = if cgroup.is_some() { INTO_CGROUP } else { 0 };
    let arguments = [flags | into, 0, 0, 0, SIGCHLD, 0, 0, 0, 0, 0, cgroup.map_or(0, |cgroup| cgroup.0 as u64)];
    // SAFETY: the copy has memory of its own, with this same stack, so both go on as if they were alone.
    let pid = must("clone3", unsafe { call(435, [arguments.as_ptr() as usize, 88, 0, 0, 0, 0]) });
    (pid != 0).then_some(Child { pid })
}

/// What a process has used, with the children that it has waited for.
pub struct Usage {
    pub user_us: usize,
    pub system_us: usize,
    pub peak_kib: usize,
    pub minor_faults: usize,
}

/// Waits for the end of a child; its exit status, 128 and the signal if there was one, and what it has used.
pub fn wait(child: Child) -> (usize, Usage) {
    let (mut status, mut usage) = (0_u32, [0_usize; 18]);
    let arguments = [child.pid, &raw mut status as usize, 0, &raw mut usage as usize, 0, 0];
    loop {
        // SAFETY: both are writable and as large as the kernel's `int` and `struct rusage`.
        let result = unsafe { call(61, arguments) };
        if result != -4 {
            must("wait4", result);
            break;
        }
    }
    let [user_s, user_us, system_s, system_us, peak_kib, _, _, _, minor_faults, ..] = usage;
    let code = if status & 0x7f == 0 { status >> 8 & 0xff } else { 128 + (status & 0x7f) };
    let usage =
        Usage { user_us: user_s * 1_000_000 + user_us, system_us: system_s * 1_000_000 + system_us, peak_kib, minor_faults };
    (code as usize, usage)
}

pub fn open_process(pid: usize) -> Fd {
    Fd(must("pidfd_open", plain(434, [pid, 0, 0, 0, 0, 0])))
}

pub fn join_namespaces(process: Fd, kinds: u64) {
    must("setns", plain(308, [process.0, kinds as usize, 0, 0, 0, 0]));
}

pub fn signal(process: Fd, number: usize) {
    must("pidfd_send_signal", plain(424, [process.0, number, 0, 0, 0, 0]));
}

/// The two ends of a pipe: to read, to write.
pub fn pipe() -> (Fd, Fd) {
    let mut ends = [0_i32; 2];
    // SAFETY: two descriptors fit.
    must("pipe2", unsafe { call(293, [&raw mut ends as usize, CLOEXEC, 0, 0, 0, 0]) });
    let [from, to] = ends.map(|end| Fd(end.unsigned_abs() as usize));
    (from, to)
}

/// Makes a descriptor known under another number, which stays open at exec.
pub fn duplicate(fd: Fd, number: usize) {
    must("dup3", plain(292, [fd.0, number, 0, 0, 0, 0]));
}

pub fn nanoseconds() -> u64 {
    let mut now = [0_u64; 2];
    // SAFETY: a `struct timespec` fits. CLOCK_MONOTONIC.
    must("clock_gettime", unsafe { call(228, [1, &raw mut now as usize, 0, 0, 0, 0]) });
    let [seconds, rest] = now;
    seconds * 1_000_000_000 + rest
}

/// Puts this process and its descendants before those of ordinary priority (SCHED_RR, 1); `false` where that is not allowed.
pub fn take_priority() -> bool {
    let priority = 1_u32;
    // SAFETY: the parameter is readable.
    unsafe { call(144, [0, 2, &raw const priority as usize, 0, 0, 0]) == 0 }
}

/// Executes a program with an array of arguments made of texts, without an environment.
pub fn execute(program: &CStr, arguments: &[Option<&CStr>; 12]) -> ! {
    let addresses = arguments.map(|word| word.map_or(core::ptr::null(), CStr::as_ptr));
    let nothing: [usize; 1] = [0];
    let call_with = [program.as_ptr() as usize, addresses.as_ptr() as usize, nothing.as_ptr() as usize, 0, 0, 0];
    // SAFETY: both arrays end with a null pointer: callers leave the last place empty.
    let result = unsafe { call(59, call_with) };
    fail("execve", result.unsigned_abs())
}

/// Executes the program that the words not taken name, with them and the environment of this program.
pub fn execute_words(words: Words) -> ! {
    let mut rest = words;
    let program = rest.take();
    let arguments = [program.as_ptr() as usize, words.next as usize, words.environment as usize, 0, 0, 0];
    // SAFETY: the arrays are the kernel's own and end with null pointers.
    let result = unsafe { call(59, arguments) };
    fail("execve", result.unsigned_abs())
}

/// What the compiler calls by name. The C library's own choose an implementation when it starts, which it never does here.
///
/// # Safety
/// As in C: both areas are valid for `length` bytes and do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: the caller vouches for the areas.
    unsafe { asm!("rep movsb", inout("rcx") length => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack)) };
    to
}

/// # Safety
/// As in C: the area is valid for `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
    // SAFETY: the caller vouches for the area.
    unsafe { asm!("rep stosb", inout("rcx") length => _, inout("rdi") to => _, in("al") byte as u8, options(nostack)) };
    to
}

/// # Safety
/// As in C: both areas are valid for `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    for at in 0..length {
        // SAFETY: `at` is less than `length`. Volatile, or the compiler would see a `memcmp` in this and call it.
        let byte = unsafe { one.wrapping_add(at).read_volatile() };
        // SAFETY: as above.
        let other = unsafe { other.wrapping_add(at).read_volatile() };
        if byte != other {
            return i32::from(byte) - i32::from(other);
        }
    }
    0
}

/// # Safety
/// As `memcmp`, which it is.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    // SAFETY: the caller vouches for the areas.
    unsafe { memcmp(one, other, length) }
}

/// # Safety
/// As in C: a NUL follows.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: the caller vouches for a NUL, which is not passed. Volatile, or the compiler would see a `strlen` in this.
    while unsafe { text.wrapping_add(length).read_volatile() } != 0 {
        length += 1;
    }
    length
}
