//! Files by descriptor.

use crate::error::{Call, check, show_fd};
use crate::{Errno, Error, Result};
use rustix::fs::{self as rx, AtFlags, CWD, FileType, FlockOperation, Mode, RawDir, Statx, StatxAttributes, StatxFlags};
use rustix::io::{Errno as RxErrno, retry_on_intr};
use std::ffi::{CStr, OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Flags of open(2). Every function of this crate adds `CLOEXEC`.
pub use rustix::fs::OFlags;

/// `f_type` of procfs.
pub const PROC_SUPER_MAGIC: u64 = libc::PROC_SUPER_MAGIC as u64;
/// `f_type` of devpts.
pub const DEVPTS_SUPER_MAGIC: u64 = libc::DEVPTS_SUPER_MAGIC as u64;
/// `f_type` of cgroup2.
pub const CGROUP2_SUPER_MAGIC: u64 = libc::CGROUP2_SUPER_MAGIC as u64;
/// `f_type` of tmpfs.
pub const TMPFS_MAGIC: u64 = libc::TMPFS_MAGIC as u64;
/// `f_type` of sysfs.
pub const SYSFS_MAGIC: u64 = libc::SYSFS_MAGIC as u64;
/// `f_type` of the files that stand for namespaces.
pub const NSFS_MAGIC: u64 = libc::NSFS_MAGIC as u64;

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A named or anonymous pipe.
    Fifo,
    /// A socket.
    Socket,
    /// None of them, for example an epoll descriptor.
    Other,
}

impl FileKind {
    fn from_mode(mode: u16) -> Self {
        match u32::from(mode) & libc::S_IFMT {
            libc::S_IFDIR => Self::Directory,
            libc::S_IFREG => Self::File,
            libc::S_IFLNK => Self::Symlink,
            libc::S_IFCHR => Self::Char,
            libc::S_IFBLK => Self::Block,
            libc::S_IFIFO => Self::Fifo,
            libc::S_IFSOCK => Self::Socket,
            _ => Self::Other,
        }
    }
}

impl std::fmt::Display for FileKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Directory => "directory",
            Self::File => "regular file",
            Self::Symlink => "symbolic link",
            Self::Char => "character device",
            Self::Block => "block device",
            Self::Fifo => "pipe",
            Self::Socket => "socket",
            Self::Other => "file of another kind",
        })
    }
}

/// What statx(2) says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What kind of file it is.
    pub kind: FileKind,
    /// Major and minor number of the file system's device.
    pub dev: (u32, u32),
    /// Inode number.
    pub ino: u64,
    /// Major and minor number that a device node stands for.
    pub rdev: (u32, u32),
    /// Permission bits, set-id and sticky bits included.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Number of hard links.
    pub links: u32,
    /// The mount it was reached through, as /proc/self/mountinfo numbers it (5.8).
    pub mnt_id: u64,
    /// Whether it is the root of that mount (5.8).
    pub is_mount_root: bool,
}

impl From<Statx> for Stat {
    fn from(stat: Statx) -> Self {
        Self {
            kind: FileKind::from_mode(stat.stx_mode),
            dev: (stat.stx_dev_major, stat.stx_dev_minor),
            ino: stat.stx_ino,
            rdev: (stat.stx_rdev_major, stat.stx_rdev_minor),
            mode: u32::from(stat.stx_mode) & 0o7777,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            size: stat.stx_size,
            links: stat.stx_nlink,
            mnt_id: stat.stx_mnt_id,
            is_mount_root: stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
        }
    }
}

/// What `fd` (an `O_PATH` one too) refers to.
pub fn stat(fd: impl AsFd) -> Result<Stat> {
    let fd = fd.as_fd();
    statx(fd, Path::new(""), AtFlags::EMPTY_PATH).call("statx", || show_fd(fd))
}

/// What `path` refers to; symbolic links are followed.
pub fn path_stat(path: impl AsRef<Path>) -> Result<Stat> {
    let path = path.as_ref();
    statx(CWD, path, AtFlags::empty()).call("statx", || format!("{path:?}"))
}

/// What the entry `name` of `dir` is; a symbolic link is not followed.
pub fn stat_at(dir: impl AsFd, name: impl AsRef<Path>) -> Result<Stat> {
    let (dir, name) = (dir.as_fd(), name.as_ref());
    statx(dir, name, AtFlags::SYMLINK_NOFOLLOW).call("statx", || format!("{}, {name:?}, AT_SYMLINK_NOFOLLOW", show_fd(dir)))
}

fn statx(dir: BorrowedFd<'_>, path: &Path, flags: AtFlags) -> std::result::Result<Stat, RxErrno> {
    rx::statx(dir, path, flags, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID).map(Stat::from)
}

/// The type of the file system that `fd` lies on: one of the `*_MAGIC` numbers.
pub fn fs_magic(fd: impl AsFd) -> Result<u64> {
    let fd = fd.as_fd();
    rx::fstatfs(fd).map(|statfs| statfs.f_type as u64).call("fstatfs", || show_fd(fd))
}

/// [`fs_magic`] of a path of the host, in one call: the host's cgroup mounts are looked at on the way of every create.
pub fn path_fs_magic(path: impl AsRef<Path>) -> Result<u64> {
    let path = path.as_ref();
    rx::statfs(path).map(|statfs| statfs.f_type as u64).call("statfs", || format!("{path:?}"))
}

/// Opens a path of the host. `mode` matters only with `OFlags::CREATE`.
pub fn open(path: impl AsRef<Path>, flags: OFlags, mode: u32) -> Result<OwnedFd> {
    let path = path.as_ref();
    retry_on_intr(|| rx::openat(CWD, path, flags | OFlags::CLOEXEC, Mode::from_bits_truncate(mode)))
        .call("open", || format!("{path:?}, {flags:?}"))
}

/// Opens `path` relative to `dir`. Symbolic links are followed, out of `dir` too: in a container use [`crate::root::Root`].
pub fn openat(dir: impl AsFd, path: impl AsRef<Path>, flags: OFlags, mode: u32) -> Result<OwnedFd> {
    let (dir, path) = (dir.as_fd(), path.as_ref());
    retry_on_intr(|| rx::openat(dir, path, flags | OFlags::CLOEXEC, Mode::from_bits_truncate(mode)))
        .call("openat", || format!("{}, {path:?}, {flags:?}", show_fd(dir)))
}

/// Reads to the end. `EFBIG` if there are more than `limit` bytes: nothing that we read may fill our memory.
pub fn read_all(fd: impl AsFd, limit: usize) -> Result<Vec<u8>> {
    let fd = fd.as_fd();
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match retry_on_intr(|| rustix::io::read(fd, &mut chunk)).call("read", || show_fd(fd))? {
            0 => return Ok(bytes),
            count if bytes.len() + count > limit => {
                return Err(Error::new("read", format!("{}: more than {limit} bytes", show_fd(fd)), Errno::EFBIG));
            }
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

/// Writes all of `bytes`. Files of /proc and of cgroups take one write, and get one if `bytes` is less than a page.
pub fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> Result<()> {
    let fd = fd.as_fd();
    while !bytes.is_empty() {
        let args = || format!("{}, {:?}", show_fd(fd), String::from_utf8_lossy(&bytes[..bytes.len().min(64)]));
        let count = retry_on_intr(|| rustix::io::write(fd, bytes)).call("write", args)?;
        if count == 0 {
            return Err(Error::new("write", args(), Errno::EIO));
        }
        bytes = &bytes[count..];
    }
    Ok(())
}

/// Makes the directory `name` in `dir`; the umask applies.
pub fn mkdirat(dir: impl AsFd, name: impl AsRef<Path>, mode: u32) -> Result<()> {
    let (dir, name) = (dir.as_fd(), name.as_ref());
    rx::mkdirat(dir, name, Mode::from_bits_truncate(mode)).call("mkdirat", || format!("{}, {name:?}, {mode:#o}", show_fd(dir)))
}

/// Removes the entry `name` of `dir`: an empty directory if `directory` says so, else anything but a directory.
pub fn unlinkat(dir: impl AsFd, name: impl AsRef<Path>, directory: bool) -> Result<()> {
    let (dir, name) = (dir.as_fd(), name.as_ref());
    let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    rx::unlinkat(dir, name, flags).call("unlinkat", || format!("{}, {name:?}, {flags:?}", show_fd(dir)))
}

/// Renames; what is at the new place is replaced in one step.
pub fn renameat(from: impl AsFd, old: impl AsRef<Path>, to: impl AsFd, new: impl AsRef<Path>) -> Result<()> {
    let (from, old, to, new) = (from.as_fd(), old.as_ref(), to.as_fd(), new.as_ref());
    rx::renameat(from, old, to, new).call("renameat", || format!("{}, {old:?}, {}, {new:?}", show_fd(from), show_fd(to)))
}

/// Sets the permission bits of what `fd` (an `O_PATH` one too) refers to. The umask does not apply.
pub fn fchmod(fd: impl AsFd, mode: u32) -> Result<()> {
    let fd = fd.as_fd();
    let args = || format!("{}, {mode:#o}", show_fd(fd));
    match rx::fchmod(fd, Mode::from_bits_truncate(mode)) {
        // fchmod(2) refuses O_PATH descriptors; fchmodat2 takes them since 6.6, and before it the link in /proc did.
        Err(RxErrno::BADF) => match fchmodat2_empty_path(fd, mode) {
            Err(errno) if errno == Errno::ENOSYS => {
                let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
                rx::chmodat(CWD, path, Mode::from_bits_truncate(mode), AtFlags::empty()).call("chmod", args)
            }
            outcome => outcome.call("fchmodat2", args),
        },
        outcome => outcome.call("fchmod", args),
    }
}

fn fchmodat2_empty_path(fd: BorrowedFd<'_>, mode: u32) -> std::result::Result<(), Errno> {
    // SAFETY: the kernel reads the NUL-terminated empty path.
    let outcome = unsafe { libc::syscall(libc::SYS_fchmodat2, fd.as_raw_fd(), c"".as_ptr(), mode, libc::AT_EMPTY_PATH) };
    if outcome == -1 { Err(Errno::last()) } else { Ok(()) }
}

/// Gives what `fd` (an `O_PATH` one too) refers to to `uid` and `gid`.
pub fn fchown(fd: impl AsFd, uid: u32, gid: u32) -> Result<()> {
    let fd = fd.as_fd();
    // SAFETY: the kernel reads the NUL-terminated empty path.
    let outcome = unsafe { libc::fchownat(fd.as_raw_fd(), c"".as_ptr(), uid, gid, libc::AT_EMPTY_PATH) };
    check(outcome.into(), "fchownat", || format!("{}, {uid}, {gid}", show_fd(fd))).map(drop)
}

/// Makes a named pipe (fifo(7)). `mode` goes through the umask.
pub fn mkfifoat(dir: impl AsFd, name: impl AsRef<Path>, mode: u32) -> Result<()> {
    let (dir, name) = (dir.as_fd(), name.as_ref());
    let args = || format!("{}, {name:?}, S_IFIFO|{mode:#o}", show_fd(dir));
    rx::mknodat(dir, name, FileType::Fifo, Mode::from_bits_truncate(mode), 0).call("mknodat", args)
}

/// Locks the open file, shared or `exclusive`. Without `wait`, `EAGAIN` says that somebody else holds it.
pub fn flock(fd: impl AsFd, exclusive: bool, wait: bool) -> Result<()> {
    let fd = fd.as_fd();
    let operation = match (exclusive, wait) {
        (true, true) => FlockOperation::LockExclusive,
        (true, false) => FlockOperation::NonBlockingLockExclusive,
        (false, true) => FlockOperation::LockShared,
        (false, false) => FlockOperation::NonBlockingLockShared,
    };
    retry_on_intr(|| rx::flock(fd, operation)).call("flock", || format!("{}, {operation:?}", show_fd(fd)))
}

/// Gives up a lock of [`flock`], also on behalf of the children that inherited the open file and still have it open.
pub fn unlock(fd: impl AsFd) -> Result<()> {
    let fd = fd.as_fd();
    rx::flock(fd, FlockOperation::Unlock).call("flock", || format!("{}, Unlock", show_fd(fd)))
}

/// The names in the directory `dir` (an `O_PATH` one too), without `.` and `..`, in the file system's order.
pub fn read_dir_names(dir: impl AsFd) -> Result<Vec<OsString>> {
    let args = || show_fd(dir.as_fd());
    let listing = openat(&dir, ".", OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(listing, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry.call("getdents64", args)?;
        let name: &CStr = entry.file_name();
        if name != c"." && name != c".." {
            names.push(OsStr::from_bytes(name.to_bytes()).to_owned());
        }
    }
    Ok(names)
}

/// Marks every descriptor from `first` on to be closed by exec (5.11).
pub fn close_range_cloexec(first: u32) -> Result<()> {
    // SAFETY: with CLOSE_RANGE_CLOEXEC nothing is closed now, so no owner of a descriptor is cheated.
    let outcome = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    check(outcome, "close_range", || format!("{first}, MAX, CLOSE_RANGE_CLOEXEC")).map(drop)
}

/// Closes every descriptor from `first` on but `keep`, whoever owned it: for a process that was forked for a task of its own and never
/// returns to the owners. Close-on-exec is too late where others may get to look into the process before its exec.
pub fn close_all_but(first: u32, keep: &[BorrowedFd<'_>]) -> Result<()> {
    let mut kept: Vec<u32> = keep.iter().map(|fd| fd.as_raw_fd().cast_unsigned()).filter(|number| *number >= first).collect();
    kept.sort_unstable();
    let mut from = first;
    for number in kept {
        if from < number {
            close_range(from, number - 1)?;
        }
        from = number + 1;
    }
    close_range(from, u32::MAX)
}

fn close_range(first: u32, last: u32) -> Result<()> {
    // SAFETY: close_range touches no memory; the caller of `close_all_but` says that the owners never use these again.
    let outcome = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    check(outcome, "close_range", || format!("{first}, {last}")).map(drop)
}

/// Whether exec closes `fd`.
pub fn set_cloexec(fd: impl AsFd, cloexec: bool) -> Result<()> {
    let fd = fd.as_fd();
    let flags = if cloexec { rustix::io::FdFlags::CLOEXEC } else { rustix::io::FdFlags::empty() };
    rustix::io::fcntl_setfd(fd, flags).call("fcntl", || format!("{}, F_SETFD, {flags:?}", show_fd(fd)))
}

/// Makes `number` refer to what `fd` does, and survive exec: for the descriptors that the payload is given.
/// What `number` was is closed, so this belongs right before exec, when nothing of ours lives below it.
pub fn dup_to(fd: impl AsFd, number: i32) -> Result<()> {
    let fd = fd.as_fd();
    let args = || format!("{}, {number}", show_fd(fd));
    if fd.as_raw_fd() == number {
        return set_cloexec(fd, false);
    }
    // SAFETY: dup2 touches no memory, and by this function's contract nothing of ours lives at `number`.
    let outcome = unsafe { libc::dup2(fd.as_raw_fd(), number) };
    check(outcome.into(), "dup2", args).map(drop)
}

/// Another descriptor of the same open file, close-on-exec and numbered `least` or higher.
pub fn dup_above(fd: impl AsFd, least: i32) -> Result<OwnedFd> {
    let fd = fd.as_fd();
    rustix::io::fcntl_dupfd_cloexec(fd, least).call("fcntl", || format!("{}, F_DUPFD_CLOEXEC, {least}", show_fd(fd)))
}

/// Whether the descriptor `number` is open.
pub fn is_open(number: i32) -> bool {
    // SAFETY: F_GETFD touches no memory and reports a closed number as EBADF.
    let outcome = unsafe { libc::fcntl(number, libc::F_GETFD) };
    outcome != -1
}

/// Takes over descriptor `number`, which the process was started with, and marks it close-on-exec. `None` if it is not open.
/// Call it once per number, before anything of this process could have got that number.
pub fn owned_from_inherited(number: i32) -> Option<OwnedFd> {
    if !is_open(number) {
        return None;
    }
    // SAFETY: it is open, and by this function's contract nothing else in the process owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    set_cloexec(&fd, true).ok()?;
    Some(fd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::fs;

    fn directory(scratch: &Scratch) -> OwnedFd {
        open(scratch.path(), OFlags::PATH | OFlags::DIRECTORY, 0).unwrap()
    }

    #[test]
    fn a_file_is_described() {
        let null = open("/dev/null", OFlags::RDWR, 0).unwrap();
        let seen = stat(&null).unwrap();
        assert_eq!((seen.kind, seen.rdev, seen.mode & 0o666), (FileKind::Char, (1, 3), 0o666));
        assert_eq!(path_stat("/dev/null").unwrap(), seen);
        let root = path_stat("/").unwrap();
        assert_eq!((root.kind, root.is_mount_root), (FileKind::Directory, true));
        assert_eq!(fs_magic(open("/proc", OFlags::PATH, 0).unwrap()).unwrap(), PROC_SUPER_MAGIC);
        let error = path_stat("/nowhere").unwrap_err();
        assert_eq!(error.to_string(), "statx(\"/nowhere\"): No such file or directory (os error 2)");
        assert_eq!(stat_at(&null, "x").unwrap_err().errno, Errno::ENOTDIR);
    }

    #[test]
    fn entries_come_and_go() {
        let scratch = Scratch::new();
        let dir = directory(&scratch);
        mkdirat(&dir, "sub", 0o700).unwrap();
        let file = openat(&dir, "file", OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, 0o600).unwrap();
        write_all(&file, b"text").unwrap();
        renameat(&dir, "file", &dir, "sub/moved").unwrap();
        std::os::unix::fs::symlink("sub", scratch.path().join("link")).unwrap();
        assert_eq!(stat_at(&dir, "link").unwrap().kind, FileKind::Symlink);
        let mut names = read_dir_names(&dir).unwrap();
        names.sort();
        assert_eq!(names, ["link", "sub"]);
        assert!(unlinkat(&dir, "sub", false).unwrap_err().is(Errno::EISDIR));
        assert!(unlinkat(&dir, "sub", true).unwrap_err().is(Errno::ENOTEMPTY));
        unlinkat(&dir, "sub/moved", false).unwrap();
        unlinkat(&dir, "sub", true).unwrap();
        unlinkat(&dir, "link", false).unwrap();
        assert!(read_dir_names(&dir).unwrap().is_empty());
        assert!(openat(&dir, "file", OFlags::RDONLY, 0).unwrap_err().is(Errno::ENOENT));
    }

    #[test]
    fn many_names_are_all_listed() {
        let scratch = Scratch::new();
        let dir = directory(&scratch);
        for number in 0..500 {
            openat(&dir, format!("a-rather-long-name-{number}"), OFlags::WRONLY | OFlags::CREATE, 0o600).unwrap();
        }
        assert_eq!(read_dir_names(&dir).unwrap().len(), 500);
        assert_eq!(read_dir_names(&dir).unwrap().len(), 500, "again, from the start");
    }

    #[test]
    fn reading_has_a_limit() {
        let scratch = Scratch::new();
        let path = scratch.path().join("file");
        fs::write(&path, vec![7; 10_000]).unwrap();
        let read = |limit| read_all(open(&path, OFlags::RDONLY, 0).unwrap(), limit);
        assert_eq!(read(10_000).unwrap(), vec![7; 10_000]);
        assert!(read(9_999).unwrap_err().is(Errno::EFBIG));
        let endless = open("/dev/zero", OFlags::RDONLY, 0).unwrap();
        assert!(read_all(&endless, 1 << 16).unwrap_err().is(Errno::EFBIG));
    }

    #[test]
    fn writing_names_what_was_written() {
        let full = open("/dev/full", OFlags::WRONLY, 0).unwrap();
        let error = write_all(&full, b"100000").unwrap_err();
        assert!(error.is(Errno::ENOSPC) && error.to_string().contains("\"100000\""), "{error}");
    }

    #[test]
    fn modes_are_set_through_path_handles() {
        let scratch = Scratch::new();
        let path = scratch.path().join("file");
        fs::write(&path, "").unwrap();
        for flags in [OFlags::RDONLY, OFlags::PATH] {
            for mode in [0o4711, 0o666] {
                fchmod(open(&path, flags, 0).unwrap(), mode).unwrap();
                assert_eq!(path_stat(&path).unwrap().mode, mode);
            }
        }
        let own = path_stat(&path).unwrap();
        fchown(open(&path, OFlags::PATH, 0).unwrap(), own.uid, own.gid).unwrap();
    }

    #[test]
    fn a_lock_excludes_others() {
        let scratch = Scratch::new();
        let path = scratch.path().join("lock");
        fs::write(&path, "").unwrap();
        let (one, other) = (open(&path, OFlags::RDONLY, 0).unwrap(), open(&path, OFlags::RDONLY, 0).unwrap());
        flock(&one, false, true).unwrap();
        flock(&other, false, false).unwrap();
        assert!(flock(&one, true, false).unwrap_err().is(Errno::EAGAIN));
        drop(other);
        flock(&one, true, false).unwrap();
    }

    #[test]
    fn descriptors_are_close_on_exec() {
        let flags = |fd: &OwnedFd| rustix::io::fcntl_getfd(fd).unwrap();
        let one = open("/dev/null", OFlags::RDONLY, 0).unwrap();
        assert!(flags(&one).contains(rustix::io::FdFlags::CLOEXEC));
        set_cloexec(&one, false).unwrap();
        assert!(flags(&one).is_empty());
        let copy = dup_above(&one, 500).unwrap();
        assert!(copy.as_raw_fd() >= 500 && flags(&copy).contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn what_is_not_open_is_not_taken() {
        assert!(!is_open(-1) && !is_open(i32::MAX));
        assert!(owned_from_inherited(i32::MAX).is_none());
    }
}
