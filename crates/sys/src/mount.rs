//! Mounts by descriptor: a mount is made detached, dressed, and moved into place, so that no path can be swapped meanwhile.

use crate::error::{Call, check, show_fd};
use crate::{Errno, Error, Result};
use linux_raw_sys::general as raw;
use rustix::mount::{
    self as rx, FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

macro_rules! reexport {
    ($($name:ident)+) => { $( #[doc = concat!("`", stringify!($name), "` of the kernel's headers.")] pub const $name: u64 = raw::$name as u64; )+ };
}

reexport! {
    MOUNT_ATTR_RDONLY MOUNT_ATTR_NOSUID MOUNT_ATTR_NODEV MOUNT_ATTR_NOEXEC MOUNT_ATTR__ATIME MOUNT_ATTR_RELATIME
    MOUNT_ATTR_NOATIME MOUNT_ATTR_STRICTATIME MOUNT_ATTR_NODIRATIME MOUNT_ATTR_IDMAP MOUNT_ATTR_NOSYMFOLLOW
    MS_RDONLY MS_NOSUID MS_NODEV MS_NOEXEC MS_SYNCHRONOUS MS_REMOUNT MS_MANDLOCK MS_DIRSYNC MS_NOSYMFOLLOW MS_NOATIME
    MS_NODIRATIME MS_BIND MS_MOVE MS_REC MS_SILENT MS_UNBINDABLE MS_PRIVATE MS_SLAVE MS_SHARED MS_RELATIME
    MS_STRICTATIME MS_LAZYTIME
}

/// The longest value that fsconfig takes, in bytes; a longer one needs [`legacy_mount`].
pub const FSCONFIG_VALUE_MAX: usize = 255;

/// What [`open_tree`] shall open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenTree {
    /// A detached copy of the mount, as a bind mount makes; else only a handle on the place.
    pub clone: bool,
    /// With all mounts below it; only with `clone`.
    pub recursive: bool,
    /// Do not follow a symbolic link at the path's end.
    pub nofollow: bool,
    /// The path may be empty: then it is `dir` itself.
    pub empty_path: bool,
}

impl OpenTree {
    /// What the descriptor itself refers to: with it, the path is "".
    pub fn of_descriptor() -> Self {
        Self { empty_path: true, ..Self::default() }
    }
}

/// Opens, and perhaps copies, the mount at `path`, relative to `dir`.
pub fn open_tree(dir: impl AsFd, path: impl AsRef<Path>, how: OpenTree) -> Result<OwnedFd> {
    let (dir, path) = (dir.as_fd(), path.as_ref());
    let mut flags = OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::OPEN_TREE_CLONE, how.clone);
    flags.set(OpenTreeFlags::AT_RECURSIVE, how.recursive);
    flags.set(OpenTreeFlags::AT_SYMLINK_NOFOLLOW, how.nofollow);
    flags.set(OpenTreeFlags::AT_EMPTY_PATH, how.empty_path);
    rx::open_tree(dir, path, flags).call("open_tree", || format!("{}, {path:?}, {how:?}", show_fd(dir)))
}

/// Moves the mount behind `from` onto the file or directory behind `to`.
pub fn move_mount(from: impl AsFd, to: impl AsFd) -> Result<()> {
    let (from, to) = (from.as_fd(), to.as_fd());
    let by_descriptor = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rx::move_mount(from, "", to, "", by_descriptor).call("move_mount", || format!("{}, {}", show_fd(from), show_fd(to)))
}

/// A file system in the making, or one that is reconfigured. An error carries the kernel's own explanation.
#[derive(Debug)]
pub struct FsContext(OwnedFd);

impl FsContext {
    /// Starts a file system of this type. `ENODEV` if the kernel does not know it.
    pub fn open(fstype: &str) -> Result<Self> {
        rx::fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC).map(Self).call("fsopen", || format!("{fstype:?}"))
    }

    /// Picks the mounted file system behind `mount`, to [`reconfigure`](Self::reconfigure) it.
    pub fn pick(mount: impl AsFd) -> Result<Self> {
        let mount = mount.as_fd();
        let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
        rx::fspick(mount, "", flags).map(Self).call("fspick", || show_fd(mount))
    }

    /// Sets an option without a value.
    pub fn flag(&self, key: &str) -> Result<()> {
        self.explained(rx::fsconfig_set_flag(&self.0, key), "fsconfig", || format!("{key:?}"))
    }

    /// Sets an option. `EINVAL` if `value` is longer than [`FSCONFIG_VALUE_MAX`].
    pub fn string(&self, key: &str, value: &str) -> Result<()> {
        self.explained(rx::fsconfig_set_string(&self.0, key, value), "fsconfig", || format!("{key:?}, {value:?}"))
    }

    /// Sets an option that is a descriptor.
    pub fn fd(&self, key: &str, fd: impl AsFd) -> Result<()> {
        let fd = fd.as_fd();
        self.explained(rx::fsconfig_set_fd(&self.0, key, fd), "fsconfig", || format!("{key:?}, {}", show_fd(fd)))
    }

    /// Makes the file system.
    pub fn create(&self) -> Result<()> {
        self.explained(rx::fsconfig_create(&self.0), "fsconfig", || "FSCONFIG_CMD_CREATE".into())
    }

    /// Applies the options to the mounted file system.
    pub fn reconfigure(&self) -> Result<()> {
        self.explained(rx::fsconfig_reconfigure(&self.0), "fsconfig", || "FSCONFIG_CMD_RECONFIGURE".into())
    }

    /// Makes a detached mount of the created file system, with these `MOUNT_ATTR_*` bits.
    pub fn mount(&self, attributes: u64) -> Result<OwnedFd> {
        let args = || format!("attributes {attributes:#x}");
        let flags = u32::try_from(attributes).map_err(|_| Error::new("fsmount", args(), Errno::EINVAL))?;
        let outcome = rx::fsmount(&self.0, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::from_bits_retain(flags));
        self.explained(outcome, "fsmount", args)
    }

    fn explained<T>(&self, outcome: rustix::io::Result<T>, call: &'static str, args: impl FnOnce() -> String) -> Result<T> {
        outcome.call(call, || {
            let mut text = args();
            for line in self.kernel_log() {
                text.push_str("; kernel: ");
                text.push_str(&line);
            }
            text
        })
    }

    /// What the kernel wrote about this context, one message a read.
    fn kernel_log(&self) -> Vec<String> {
        // The kernel keeps the last eight messages (struct fc_log).
        const KEPT: usize = 8;
        let mut lines = Vec::new();
        let mut line = [0; 1024];
        while lines.len() < KEPT {
            let Ok(length) = rustix::io::read(&self.0, &mut line) else { break };
            let text = String::from_utf8_lossy(&line[..length]);
            // "e " is an error, "w " a warning, "i " an information.
            let text = text.split_once(' ').map_or(text.as_ref(), |(_level, rest)| rest);
            lines.push(text.trim_end().to_owned());
        }
        lines
    }
}

/// Changes attributes (`MOUNT_ATTR_*`) and propagation (`MS_SHARED`, …, or 0) of the mount behind `fd`, and with
/// `recursive` of all below it. `userns` makes it an id-mapped mount; the mount must still be detached then.
pub fn mount_setattr(
    fd: impl AsFd,
    recursive: bool,
    set: u64,
    clear: u64,
    propagation: u64,
    userns: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let fd = fd.as_fd();
    let idmap = if userns.is_some() { MOUNT_ATTR_IDMAP } else { 0 };
    let attr = raw::mount_attr {
        attr_set: set | idmap,
        attr_clr: clear,
        propagation,
        userns_fd: userns.map_or(0, |userns| userns.as_raw_fd() as u64),
    };
    let recurse = if recursive { libc::AT_RECURSIVE } else { 0 };
    let flags = libc::AT_EMPTY_PATH | recurse;
    // SAFETY: the kernel reads the NUL-terminated empty path and the given number of bytes of `attr`.
    let outcome = unsafe {
        libc::syscall(libc::SYS_mount_setattr, fd.as_raw_fd(), c"".as_ptr(), flags, &raw const attr, size_of_val(&attr))
    };
    check(outcome, "mount_setattr", || {
        format!(
            "{}, recursive {recursive}, set {:#x}, clear {clear:#x}, propagation {propagation:#x}",
            show_fd(fd),
            attr.attr_set
        )
    })
    .map(drop)
}

/// The attributes (`MOUNT_ATTR_*`) of the mount behind `fd`.
pub fn attributes(fd: impl AsFd) -> Result<u64> {
    use rustix::fs::StatVfsMountFlags as Flag;
    let fd = fd.as_fd();
    let flags = rustix::fs::fstatvfs(fd).call("fstatvfs", || show_fd(fd))?.f_flag;
    let known = [
        (Flag::RDONLY, MOUNT_ATTR_RDONLY),
        (Flag::NOSUID, MOUNT_ATTR_NOSUID),
        (Flag::NODEV, MOUNT_ATTR_NODEV),
        (Flag::NOEXEC, MOUNT_ATTR_NOEXEC),
        (Flag::NOATIME, MOUNT_ATTR_NOATIME),
        (Flag::NODIRATIME, MOUNT_ATTR_NODIRATIME),
        (Flag::from_bits_retain(libc::ST_RELATIME), MOUNT_ATTR_RELATIME),
        (Flag::from_bits_retain(ST_NOSYMFOLLOW), MOUNT_ATTR_NOSYMFOLLOW),
    ];
    Ok(known.iter().filter(|(flag, _)| flags.contains(*flag)).fold(0, |all, (_, attribute)| all | attribute))
}

/// statfs(2); libc lacks it.
const ST_NOSYMFOLLOW: u64 = 0x2000;

/// Makes the working directory the root mount and stacks the old root on top of it: `pivot_root(".", ".")` needs no
/// directory for the old root (pivot_root(2)). [`unmount_detached`] of "." then lets go of it.
pub fn pivot_root_here() -> Result<()> {
    rustix::process::pivot_root(".", ".").call("pivot_root", || r#"".", ".""#.into())
}

/// Takes the mount at `path`, and all below it, out of the tree at once; it is freed when nobody uses it any more.
pub fn unmount_detached(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    rx::unmount(path, UnmountFlags::DETACH).call("umount2", || format!("{path:?}, MNT_DETACH"))
}

/// [`unmount_detached`] for the mount behind `fd`. Needs the host's /proc.
pub fn unmount_fd(fd: impl AsFd) -> Result<()> {
    unmount_detached(proc_path(fd.as_fd()))
}

/// Moves the mount at the working directory over "/" (`MS_MOVE`): for a root that cannot be pivoted.
pub fn move_to_root() -> Result<()> {
    rx::mount_move(".", "/").call("mount", || r#"".", "/", MS_MOVE"#.into())
}

/// mount(2) onto `target`, for options longer than fsconfig takes. Needs the host's /proc: it is the only way to name a
/// descriptor to mount(2).
pub fn legacy_mount(source: &str, target: impl AsFd, fstype: &str, flags: u64, data: &str) -> Result<()> {
    let target = target.as_fd();
    let args = || format!("{source:?}, {}, {fstype:?}, {flags:#x}, {data:?}", show_fd(target));
    let invalid = || Error::new("mount", args(), Errno::EINVAL);
    let bits = MountFlags::from_bits_retain(u32::try_from(flags).map_err(|_| invalid())?);
    let data = CString::new(data).map_err(|_| invalid())?;
    rx::mount(source, proc_path(target), fstype, bits, Some(data.as_c_str())).call("mount", args)
}

/// Sets the propagation (`MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE` or `MS_UNBINDABLE`, perhaps with `MS_REC`) of the mount at "/".
pub fn set_root_propagation(flags: u64) -> Result<()> {
    let args = || format!("\"/\", {flags:#x}");
    let bits = u32::try_from(flags).map_err(|_| Error::new("mount", args(), Errno::EINVAL))?;
    rx::mount_change("/", MountPropagationFlags::from_bits_retain(bits)).call("mount", args)
}

fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}
