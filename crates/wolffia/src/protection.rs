//! The runtime's own binary, out of the container's reach (CVE-2019-5736).
//!
//! A process of the container can open /proc/PID/exe of ours while we are in its namespaces, or make us execute
//! `/proc/self/exe`, and then write the file behind it. So where some id of the container may write the binary, we run from a copy
//! that nobody can write: seen through a read-only overlay, or in a sealed memfd. A binary on a file system that knows no writing is
//! such a copy already.

use crate::error::{Error, Result};
use crate::record::Launched;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use wolffia_plan::{Plan, SelfProtection};
use wolffia_sys::fd::{self, OFlags};
use wolffia_sys::mount::{FsContext, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use wolffia_sys::{Errno, file, memfd, process};

/// `f_type` of overlayfs.
const OVERLAY_MAGIC: u64 = 0x794c_7630;
/// `f_type` of file systems that have no way to write, whatever the flags of a mount: squashfs and EROFS. Many hosts that are made
/// to run containers have their programs on one.
const WITHOUT_WRITING: [u64; 2] = [0x7371_7368, 0xe0f5_e1e2];

/// Set once this program was seen to run from such a copy, which stays so.
static PROTECTED: OnceLock<()> = OnceLock::new();

/// Executes this program again from a protected copy, unless it runs from one, or nobody who could be in a container may write it.
/// Call it first in `main`, before anything is opened. Returns if there is nothing to do.
pub fn protect_self() -> Result<()> {
    let own = open_own()?;
    let stat = fd::stat(&own).map_err(failed("look at the own binary"))?;
    let euid = wolffia_sys::ids::geteuid();
    // An unprivileged user can map only its own id and its subordinate ones: never the root who installed the binary.
    let foreign = euid != 0 && stat.uid == 0 && stat.mode & 0o022 == 0 && !crate::runtime::in_user_namespace();
    if foreign || is_protected(&own)? {
        return Ok(());
    }
    execute_copy(&own)
}

/// The same without looking who could be in the container: after [`Error::Unprotected`], which says that nobody knows. What the
/// caller left open stays open. Returns only the reason why it failed.
pub fn protect_self_from_everybody() -> Error {
    match keep_descriptors().and_then(|()| execute_copy(&open_own()?)) {
        Err(error) => error,
        Ok(()) => Error::Unprotected,
    }
}

/// Takes back that they are closed at exec: the copy starts as this program did.
fn keep_descriptors() -> Result<()> {
    let table = fd::open("/proc/self/fd", OFlags::RDONLY | OFlags::DIRECTORY, 0).map_err(failed("list the descriptors"))?;
    for name in fd::read_dir_names(&table).map_err(failed("list the descriptors"))? {
        if let Some(number) = name.to_str().and_then(|name| name.parse().ok()).filter(|number| *number > 2) {
            file::inherit(number).map_err(failed("keep a descriptor"))?;
        }
    }
    Ok(())
}

fn execute_copy(own: &OwnedFd) -> Result<()> {
    let euid = wolffia_sys::ids::geteuid();
    let copy = if euid == 0 { overlay(own).or_else(|_| sealed(own)) } else { sealed(own) }?;
    let args = std::env::args_os().map(|arg| CString::new(arg.as_bytes())).collect::<std::result::Result<Vec<_>, _>>();
    let env = std::env::vars_os()
        .map(|(key, value)| CString::new([key.as_bytes(), b"=", value.as_bytes()].concat()))
        .collect::<std::result::Result<Vec<_>, _>>();
    match (args, env) {
        (Ok(args), Ok(env)) => {
            Err(Error::System { act: "execute the protected copy", source: process::execve_fd(copy.as_fd(), &args, &env) })
        }
        _ => Err(Error::Usage { reason: "an argument holds a NUL byte".to_owned(), cure: "" }),
    }
}

/// The plan's demand, checked where it matters: nothing is launched from a binary that the container could write.
pub(crate) fn require(plan: &Plan) -> Result<()> {
    match plan.self_protection {
        SelfProtection::NotWritable => Ok(()),
        SelfProtection::Sealed if PROTECTED.get().is_some() || is_protected(&open_own()?)? => Ok(()),
        SelfProtection::Sealed => Err(Error::Unprotected),
    }
}

/// The same for `exec`, whose plan is only of a process: whoever may have made the container could write the binary.
pub(crate) fn require_sealed_for(launched: &Launched) -> Result<()> {
    if PROTECTED.get().is_some() {
        return Ok(());
    }
    let own = open_own()?;
    let stat = fd::stat(&own).map_err(failed("look at the own binary"))?;
    let mapped = launched
        .ids
        .uids
        .as_ref()
        .is_none_or(|map| map.iter().any(|line| line.host <= stat.uid && stat.uid - line.host < line.size));
    if (mapped || stat.mode & 0o022 != 0) && !is_protected(&own)? {
        return Err(Error::Unprotected);
    }
    Ok(())
}

fn open_own() -> Result<OwnedFd> {
    fd::open("/proc/self/exe", OFlags::RDONLY, 0).map_err(failed("open the own binary"))
}

fn is_protected(own: &OwnedFd) -> Result<bool> {
    let magic = || fd::fs_magic(own).map_err(failed("look at the own binary"));
    let protected = memfd::is_sealed(own).unwrap_or(false)
        || match magic()? {
            OVERLAY_MAGIC => !is_reachable(own)?,
            magic => WITHOUT_WRITING.contains(&magic),
        };
    if protected {
        PROTECTED.get_or_init(|| ());
    }
    Ok(protected)
}

/// Whether the binary's path leads to it. Ours lies in an overlay that is mounted nowhere; an overlay with a mount point is
/// somebody's root file system, and writable.
fn is_reachable(own: &OwnedFd) -> Result<bool> {
    let stat = fd::stat(own).map_err(failed("look at the own binary"))?;
    match fd::path_stat(own_path()?) {
        Ok(found) => Ok((found.dev, found.ino) == (stat.dev, stat.ino)),
        Err(error) if error.is(Errno::ENOENT) || error.is(Errno::ENOTDIR) => Ok(false),
        Err(error) => Err(failed("look at the own binary")(error)),
    }
}

fn own_path() -> Result<PathBuf> {
    std::fs::read_link("/proc/self/exe").map_err(|source| Error::File { act: "find", path: "/proc/self/exe".into(), source })
}

/// A second layer, because overlayfs wants two where none can be written; nothing of it is used.
const SECOND_LAYER: &str = "/dev";

/// The binary's directory as the lower layer of an overlay: without an upper layer it can never become writable, whatever flags a
/// container changes. It costs no copy, however large the binary is.
fn overlay(own: &OwnedFd) -> Result<OwnedFd> {
    let path = own_path()?;
    let (Some(directory), Some(name)) = (path.parent().and_then(Path::to_str), path.file_name()) else {
        return Err(Error::Usage { reason: "the own binary has no path".to_owned(), cure: "" });
    };
    let layer = directory.replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,");
    let made = || -> wolffia_sys::Result<OwnedFd> {
        let context = FsContext::open("overlay")?;
        context.string("lowerdir", &format!("{layer}:{SECOND_LAYER}"))?;
        context.create()?;
        let mount = context.mount(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)?;
        fd::openat(&mount, name, OFlags::PATH | OFlags::NOFOLLOW, 0)
    };
    let found = made().map_err(failed("overlay the own binary"))?;
    let look = |file: &OwnedFd| fd::stat(file).map_err(failed("look at the own binary"));
    let (ours, theirs) = (look(own)?, look(&found)?);
    // A layer does not show what is mounted on it: of a binary that is bind-mounted by itself, the file below.
    if (ours.ino, ours.size) != (theirs.ino, theirs.size) {
        return Err(Error::Usage { reason: "the own binary is a mount of its own".to_owned(), cure: "" });
    }
    Ok(found)
}

fn sealed(own: &OwnedFd) -> Result<OwnedFd> {
    memfd::sealed_copy(own, "wolffia").map_err(failed("copy the own binary"))
}

fn failed(act: &'static str) -> impl Fn(wolffia_sys::Error) -> Error {
    move |source| Error::System { act, source }
}
