//! Making a process, becoming another program, and what a process is made of.

use crate::error::{Call, check};
use crate::{Errno, Error, Result};
use linux_raw_sys::general::clone_args;
use rustix::fs::{AtFlags, StatxFlags};
use rustix::process as rx;
use std::convert::Infallible;
use std::ffi::{CStr, CString, OsString};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A process id: always positive, so that it can never mean a group or "everyone" (kill(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid(i32);

impl Pid {
    /// `None` unless `raw` is positive.
    pub fn from_raw(raw: i32) -> Option<Self> {
        (raw > 0).then_some(Self(raw))
    }

    /// The number.
    /// The number of a process that the standard library started.
    pub fn from_child(child: &std::process::Child) -> Self {
        Self(child.id().cast_signed())
    }

    pub fn get(self) -> i32 {
        self.0
    }

    pub(crate) fn to_rustix(self) -> Option<rx::Pid> {
        rx::Pid::from_raw(self.0)
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<rx::Pid> for Pid {
    fn from(pid: rx::Pid) -> Self {
        Self(pid.as_raw_nonzero().get())
    }
}

/// Proof that the process had one thread when this was made: a copy of a threaded process may hold locks of
/// threads that are not in the copy, so [`clone3`] asks for it.
#[derive(Debug)]
pub struct SingleThreaded(());

impl SingleThreaded {
    /// Fails with `EBUSY` if the process has other threads, or if neither the kernel nor /proc says.
    pub fn check() -> Result<Self> {
        // SAFETY: unsharing CLONE_THREAD changes nothing; the kernel only checks that the thread group is alone (unshare(2)).
        let outcome = unsafe { libc::unshare(libc::CLONE_THREAD) };
        if outcome == 0 {
            return Ok(Self(()));
        }
        let errno = Errno::last();
        // A seccomp filter (a container's own) may refuse unshare(2) altogether: then the number of task directories tells.
        let refused = matches!(errno, Errno::EPERM | Errno::ENOSYS);
        if refused && has_one_task().unwrap_or(false) {
            return Ok(Self(()));
        }
        Err(Error::new("unshare", "CLONE_THREAD: the process has more than one thread", Errno::EBUSY))
    }
}

/// A directory has two links and one more for each directory in it.
fn has_one_task() -> Result<bool> {
    let task = "/proc/self/task";
    let stat = rustix::fs::statx(rustix::fs::CWD, task, AtFlags::empty(), StatxFlags::NLINK).call("statx", || task.into())?;
    Ok(stat.stx_nlink == 3)
}

/// What the new process shall have of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct CloneRequest<'a> {
    /// `CLONE_NEW*` bits of the namespaces to make (namespaces(7)); nothing else.
    pub flags: u64,
    /// The cgroup2 directory that the process starts in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Be the caller's sibling, not its child: whoever waits for the caller waits for it too (`CLONE_PARENT`).
    pub sibling: bool,
}

/// Which of the two processes this is.
#[derive(Debug)]
pub enum Forked {
    /// The new one.
    Child,
    /// The one that called, with a handle on the new one.
    Parent {
        /// The new process, as this pid namespace numbers it.
        pid: Pid,
        /// Refers to the new process for good, even after it is reaped.
        pidfd: OwnedFd,
    },
}

const CLONE_NEW_ANY: u64 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u64
    | CLONE_NEWTIME;

/// `CLONE_NEWTIME` lies in the byte that clone(2) uses for the exit signal; only clone3 and unshare take it.
pub const CLONE_NEWTIME: u64 = 0x80;

/// Copies the process. Both return; memory is copied, every descriptor is shared.
///
/// The one token proves that no other thread could have held a lock, so both may go on to allocate.
pub fn clone3(_alone: &SingleThreaded, request: &CloneRequest<'_>) -> Result<Forked> {
    let args = || format!("flags {:#x}, cgroup {:?}, sibling {}", request.flags, request.cgroup, request.sibling);
    if request.flags & !CLONE_NEW_ANY != 0 {
        return Err(Error::new("clone3", args(), Errno::EINVAL));
    }
    let mut pidfd: i32 = -1;
    let mut flags = request.flags | libc::CLONE_PIDFD as u64;
    if request.sibling {
        flags |= libc::CLONE_PARENT as u64;
    }
    if request.cgroup.is_some() {
        flags |= linux_raw_sys::general::CLONE_INTO_CGROUP;
    }
    let clone = clone_args {
        flags,
        pidfd: (&raw mut pidfd).addr() as u64,
        child_tid: 0,
        parent_tid: 0,
        // clone3 demands 0 with CLONE_PARENT; the signal is then the one that the caller itself was made with.
        exit_signal: if request.sibling { 0 } else { libc::SIGCHLD as u64 },
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: request.cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    // SAFETY: without CLONE_VM the child runs on its own copy of this stack; the kernel writes `pidfd`, which outlives the
    // call; the caller proved that no other thread exists.
    let mut outcome = unsafe { libc::syscall(libc::SYS_clone3, &raw const clone, size_of::<clone_args>()) };
    // The filters of Docker and Podman hide clone3, whose flags they cannot see; clone(2) does where it knows the flags.
    if outcome == -1 && Errno::last() == Errno::ENOSYS && is_plain(request) {
        outcome = clone2(&mut pidfd);
    }
    match check(outcome, "clone3", args)? {
        0 => Ok(Forked::Child),
        pid => {
            // SAFETY: the kernel succeeded and stored a new descriptor there, which nothing else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Forked::Parent { pid: Pid(pid as i32), pidfd })
        }
    }
}

/// Whether nothing is asked for but a copy of the process.
fn is_plain(request: &CloneRequest<'_>) -> bool {
    request.flags == 0 && request.cgroup.is_none() && !request.sibling
}

/// clone(2), which stores the pidfd where others want the parent's copy of the pid.
fn clone2(pidfd: &mut i32) -> libc::c_long {
    let flags = libc::CLONE_PIDFD | libc::SIGCHLD;
    let (none, pidfd) = (0_usize, std::ptr::from_mut(pidfd));
    // SAFETY: as for clone3 above; s390x takes the first two arguments the other way round, and one of them is zero there
    // as here.
    #[cfg(not(target_arch = "s390x"))]
    let outcome = unsafe { libc::syscall(libc::SYS_clone, flags as usize, none, pidfd, none, none) };
    // SAFETY: as above.
    #[cfg(target_arch = "s390x")]
    let outcome = unsafe { libc::syscall(libc::SYS_clone, none, flags as usize, pidfd, none, none) };
    outcome
}

/// Whether the kernel gave this program rights that its caller lacks: set-user-id, set-group-id or file capabilities
/// (`AT_SECURE`, getauxval(3)).
pub fn is_elevated() -> bool {
    // SAFETY: getauxval reads what the kernel laid on this process's stack, and no memory of ours.
    let secure = unsafe { libc::getauxval(libc::AT_SECURE) };
    secure != 0
}

/// This process, in its own pid namespace.
pub fn getpid() -> Pid {
    rx::getpid().into()
}

/// The parent; `None` if it lives outside this pid namespace.
pub fn getppid() -> Option<Pid> {
    rx::getppid().map(Pid::from)
}

/// Ends the process at once: no destructors, no exit handlers of a copied library.
pub fn exit(code: i32) -> ! {
    // SAFETY: _exit touches no memory of ours and does not return.
    unsafe { libc::_exit(code) }
}

/// Becomes the program at `path`. Returns only on failure.
pub fn execve(path: &CStr, argv: &[CString], envp: &[CString]) -> Error {
    match nix::unistd::execve(path, argv, envp) {
        Ok(never) => unreachable(never),
        Err(errno) => Error::new("execve", format!("{path:?}"), errno),
    }
}

/// A program with its arguments and environment, laid out as execve(2) reads them: becoming it takes no memory, and so no
/// system call but the one.
pub struct Image {
    path: CString,
    argv: Vec<CString>,
    envp: Vec<CString>,
    /// Into the strings above, each list with a null pointer at its end.
    argv_pointers: Vec<*const libc::c_char>,
    envp_pointers: Vec<*const libc::c_char>,
}

impl Image {
    pub fn new(path: CString, argv: Vec<CString>, envp: Vec<CString>) -> Self {
        // A string's bytes stay where they are when the string itself is moved.
        let pointers = |list: &[CString]| list.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>();
        let (argv_pointers, envp_pointers) = (pointers(&argv), pointers(&envp));
        Self { path, argv, envp, argv_pointers, envp_pointers }
    }

    /// The environment that the program will have.
    pub fn environment(&self) -> &[CString] {
        &self.envp
    }

    pub fn path(&self) -> &CStr {
        &self.path
    }

    /// Becomes the program. Returns only on failure.
    pub fn execute(&self) -> Error {
        let (argv, envp) = (self.argv_pointers.as_ptr(), self.envp_pointers.as_ptr());
        // SAFETY: both lists end with a null pointer and point to NUL-terminated strings that `self` owns and never changes.
        unsafe { libc::execve(self.path.as_ptr(), argv, envp) };
        let errno = Errno::last();
        Error::new("execve", format!("{:?}", self.path), errno)
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image").field("path", &self.path).field("argv", &self.argv).field("envp", &self.envp).finish()
    }
}

/// Becomes the program behind `fd`, whatever path it had. Returns only on failure.
/// A script fails with `ENOENT` if `fd` is close-on-exec, because its interpreter would open it by path.
pub fn execve_fd(fd: BorrowedFd<'_>, argv: &[CString], envp: &[CString]) -> Error {
    match nix::unistd::execveat(fd, c"", argv, envp, nix::fcntl::AtFlags::AT_EMPTY_PATH) {
        Ok(never) => unreachable(never),
        Err(errno) => Error::new("execveat", crate::error::show_fd(fd), errno),
    }
}

fn unreachable(never: Infallible) -> Error {
    match never {}
}

/// Starts a session with this process as its leader and no controlling terminal.
pub fn setsid() -> Result<()> {
    rx::setsid().map(drop).call("setsid", String::new)
}

/// Sends `signal` (1 to 64, or 0 to ask only) to one process. Prefer [`crate::pidfd::send_signal`]: a pid may be reused.
pub fn kill(pid: Pid, signal: i32) -> Result<()> {
    // SAFETY: kill reads no memory; `pid` is positive, so it names one process.
    let outcome = unsafe { libc::kill(pid.0, signal) };
    check(outcome.into(), "kill", || format!("{pid}, {signal}")).map(drop)
}

/// Makes the child `leader` the leader of a process group of its own. `EACCES` once it has executed a program.
pub fn lead_group(leader: Pid) -> Result<()> {
    rx::setpgid(leader.to_rustix(), leader.to_rustix()).call("setpgid", || format!("{leader}, {leader}"))
}

/// Sends `signal` to every process of the group that `leader` leads.
pub fn kill_group(leader: Pid, signal: i32) -> Result<()> {
    // SAFETY: kill touches no memory.
    let outcome = unsafe { libc::kill(-leader.get(), signal) };
    crate::error::check(outcome.into(), "kill", || format!("-{leader}, {signal}")).map(drop)
}

/// Sets the file mode creation mask (permission bits) and returns the old one. It cannot fail.
pub fn umask(mask: u32) -> u32 {
    rx::umask(rustix::fs::Mode::from_bits_truncate(mask)).bits()
}

/// Enters the directory `path`.
pub fn chdir(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    rx::chdir(path).call("chdir", || format!("{path:?}"))
}

/// Enters the directory behind `dir`.
pub fn fchdir(dir: impl AsFd) -> Result<()> {
    rx::fchdir(dir.as_fd()).call("fchdir", || crate::error::show_fd(dir.as_fd()))
}

/// Makes `path` the root directory. No barrier by itself for a process with CAP_SYS_CHROOT.
pub fn chroot(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    rx::chroot(path).call("chroot", || format!("{path:?}"))
}

/// The working directory. `ENOENT` if it lies outside the root directory: the kernel then reports a path that
/// starts with "(unreachable)", which is how a leaked host directory shows itself (CVE-2024-21626).
pub fn getcwd() -> Result<PathBuf> {
    let path = rx::getcwd(Vec::new()).call("getcwd", String::new)?.into_bytes();
    if path.first() != Some(&b'/') {
        return Err(Error::new("getcwd", "the working directory lies outside the root directory", Errno::ENOENT));
    }
    Ok(OsString::from_vec(path).into())
}
