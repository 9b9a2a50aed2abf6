//! One entry of `mounts`: made detached, finished, and only then attached, by descriptors all the way. So the container never sees
//! a mount without its flags, and a path that somebody swaps changes nothing (CVE-2021-30465).

use crate::cgroup_view;
use crate::copy_up;
use crate::failure::Cause;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use wolffia_plan::{FsOption, HostPath, Mount, MountAttributes, MountFallback, MountKind, Opener};
use wolffia_sys::fd::{FileKind, OFlags};
use wolffia_sys::mount::{
    self, FsContext, MOUNT_ATTR__ATIME, MOUNT_ATTR_IDMAP, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, OpenTree,
};
use wolffia_sys::procfs::ProcHandle;
use wolffia_sys::root::Root;
use wolffia_sys::{Errno, fd, file};

/// Longest value that fsconfig(2) takes, its NUL included.
const FSCONFIG_LIMIT: usize = 256;

/// Carries out one entry; returns the mount. `prepared` is the source as the runtime cloned it, where the plan says that it does.
pub fn apply(root: &Root, mount: &Mount, prepared: Option<OwnedFd>) -> Result<OwnedFd, Cause> {
    let mounted = match &mount.what {
        MountKind::Filesystem { fstype, source, options, fallback } => {
            // Looked at before the directory is made, because of one that is made for the mount no mode is inherited.
            let covers = mount.mode_from_destination && root.resolve(mount.destination.relative(), OFlags::DIRECTORY).is_ok();
            let target = directory(root, mount, fstype)?;
            match new_filesystem(mount, fstype, source, options, covers, target.as_fd()) {
                Err(cause) if cause.errno == Errno::EPERM.0 => instead(mount, fstype, fallback, cause, target.as_fd())?,
                other => other?,
            }
        }
        MountKind::Bind { source, recursive, source_nofollow, .. } => {
            let tree = match prepared {
                Some(tree) => tree,
                None => clone_source(source, *recursive, *source_nofollow)?,
            };
            bind(root, mount, tree)?
        }
        MountKind::Remount => {
            let target = root.resolve(mount.destination.relative(), OFlags::empty())?;
            set_attributes(target.as_fd(), &mount.attributes)?;
            target
        }
        MountKind::Propagation => root.resolve(mount.destination.relative(), OFlags::empty())?,
        MountKind::Cgroup(view) => cgroup_view::apply(root, mount, view)?,
    };
    for propagation in &mount.propagation {
        let recursive = propagation & libc::MS_REC != 0;
        mount::mount_setattr(mounted.as_fd(), recursive, 0, 0, propagation & !libc::MS_REC, None)?;
    }
    if let Some(label) = &mount.root_label {
        let directory = fd::openat(mounted.as_fd(), ".", OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        file::set_attribute(directory, "security.selinux", label)?;
    }
    Ok(mounted)
}

/// Makes a mount read-only in which devices and mount points had to be made first (`late_readonly`).
pub fn make_readonly(mounted: BorrowedFd<'_>) -> Result<(), Cause> {
    Ok(mount::mount_setattr(mounted, false, MOUNT_ATTR_RDONLY, 0, 0, None)?)
}

/// Clones a bind mount's source, without attaching it.
pub fn clone_source(source: &HostPath, recursive: bool, nofollow: bool) -> Result<OwnedFd, Cause> {
    let options = OpenTree { clone: true, recursive, nofollow, ..OpenTree::default() };
    Ok(mount::open_tree(file::CWD, source.as_path(), options)?)
}

/// Gives a detached tree an id map: the runtime's work, because it needs rights over the file system's own user namespace.
pub fn map_ids(tree: BorrowedFd<'_>, recursive: bool, user_namespace: BorrowedFd<'_>) -> Result<(), Cause> {
    Ok(mount::mount_setattr(tree, recursive, MOUNT_ATTR_IDMAP, 0, 0, Some(user_namespace))?)
}

pub(crate) fn set_attributes(mounted: BorrowedFd<'_>, attributes: &MountAttributes) -> Result<(), Cause> {
    let MountAttributes { recursive_set, recursive_clear, .. } = *attributes;
    set_on_top(mounted, attributes)?;
    // Last, because what a bind mount implies for its top alone (rw) must not undo what holds for the whole tree (rro).
    if recursive_set | recursive_clear != 0 {
        mount::mount_setattr(mounted, true, recursive_set, recursive_clear, 0, None)?;
    }
    Ok(())
}

/// A mount that the kernel copies into a user namespace keeps the flags that it has there (mount_namespaces(7)). A clone that the
/// runtime took on the host is not such a copy, and must not be the way to lose them.
fn respecting_locks(tree: BorrowedFd<'_>, attributes: &MountAttributes) -> Result<MountAttributes, Cause> {
    const ACCESS_TIME: u64 = MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME;
    const LOCKABLE: u64 = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    let has = mount::attributes(tree)?;
    let MountAttributes { set, clear, clear_unless_locked, .. } = *attributes;
    let changes_time = (set | clear) & ACCESS_TIME != 0 && set & ACCESS_TIME != has & ACCESS_TIME;
    if has & clear & LOCKABLE != 0 || changes_time {
        let text = "the host's mount has flags that a user namespace cannot take away: leave their opposites out of the options (operation not permitted)";
        return Err(Cause { text: text.to_owned(), errno: Errno::EPERM.0 });
    }
    Ok(MountAttributes { clear_unless_locked: clear_unless_locked & !(has & LOCKABLE), ..*attributes })
}

/// The attributes that are for the mount alone, not for those below it.
fn set_on_top(mounted: BorrowedFd<'_>, attributes: &MountAttributes) -> Result<(), Cause> {
    let MountAttributes { set, clear, clear_unless_locked, .. } = *attributes;
    if set | clear | clear_unless_locked == 0 {
        return Ok(());
    }
    // A new access time setting is taken only together with the whole mask to clear (mount_setattr(2)).
    let clear = if set & MOUNT_ATTR__ATIME == 0 { clear } else { clear | MOUNT_ATTR__ATIME };
    match mount::mount_setattr(mounted, false, set, clear | clear_unless_locked, 0, None) {
        Err(error) if error.is(Errno::EPERM) && clear_unless_locked != 0 => {
            Ok(mount::mount_setattr(mounted, false, set, clear, 0, None)?)
        }
        other => Ok(other?),
    }
}

fn new_filesystem(
    mount: &Mount,
    fstype: &str,
    source: &str,
    options: &[FsOption],
    takes_mode: bool,
    target: BorrowedFd<'_>,
) -> Result<OwnedFd, Cause> {
    if options.iter().any(|option| matches!(option, FsOption::Value { value, .. } if value.len() >= FSCONFIG_LIMIT)) {
        return by_the_old_call(mount, fstype, source, options, target);
    }
    let context = FsContext::open(fstype)?;
    if !source.is_empty() {
        context.string("source", source)?;
    }
    for option in options {
        match option {
            FsOption::Flag { key } => context.flag(key)?,
            FsOption::Value { key, value } => context.string(key, value)?,
        }
    }
    if takes_mode {
        context.string("mode", &format!("{:o}", fd::stat(target)?.mode & 0o7777))?;
    }
    context.create()?;
    let MountAttributes { set, clear, .. } = mount.attributes;
    let late = if mount.copy_up { set & MOUNT_ATTR_RDONLY } else { 0 };
    let tree = context.mount(set & !late)?;
    if mount.copy_up {
        copy_up::directory(target, tree.as_fd())?;
    }
    set_attributes(tree.as_fd(), &MountAttributes { set: late, clear, ..mount.attributes })?;
    mount::move_mount(tree.as_fd(), target)?;
    Ok(tree)
}

/// mount(2), for values that are too long for fsconfig(2): an overlay of many layers. It takes no detached mount, and does not say
/// what it has mounted. So it mounts into a tmpfs that nobody else can reach, and a copy of that goes where it belongs, by descriptor.
fn by_the_old_call(
    mount: &Mount,
    fstype: &str,
    source: &str,
    options: &[FsOption],
    target: BorrowedFd<'_>,
) -> Result<OwnedFd, Cause> {
    let words: Vec<String> = options
        .iter()
        .map(|option| match option {
            FsOption::Flag { key } => key.clone(),
            // A label may hold the comma that ends an option; the kernel takes the quotes away (selinux).
            FsOption::Value { key, value } if key == "context" => format!("{key}=\"{value}\""),
            FsOption::Value { key, value } => format!("{key}={value}"),
        })
        .collect();
    // mount(2) and umount2(2) name a descriptor by /proc.
    ProcHandle::open()?;
    let context = FsContext::open("tmpfs")?;
    context.create()?;
    let hidden = context.mount(0)?;
    mount::move_mount(hidden.as_fd(), target)?;
    let copy = mounted_in(hidden.as_fd(), fstype, source, &words.join(","));
    mount::unmount_fd(hidden.as_fd())?;
    let tree = copy?;
    set_attributes(tree.as_fd(), &mount.attributes)?;
    mount::move_mount(tree.as_fd(), target)?;
    Ok(tree)
}

fn mounted_in(directory: BorrowedFd<'_>, fstype: &str, source: &str, data: &str) -> Result<OwnedFd, Cause> {
    const NAME: &str = "mounted";
    let open = || fd::openat(directory, NAME, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW, 0);
    fd::mkdirat(directory, NAME, 0o700)?;
    mount::legacy_mount(source, open()?, fstype, 0, data)?;
    Ok(mount::open_tree(open()?, "", OpenTree { clone: true, ..OpenTree::of_descriptor() })?)
}

/// What crun does when the kernel refuses a new proc or sysfs: the host's, bound.
fn instead(
    mount: &Mount,
    fstype: &str,
    fallback: &MountFallback,
    refusal: Cause,
    target: BorrowedFd<'_>,
) -> Result<OwnedFd, Cause> {
    match fallback {
        MountFallback::Fail => Err(refusal.context(format!("the kernel refuses a new {fstype} here"))),
        MountFallback::BindFromHost { source, readonly } => {
            let tree = clone_source(source, true, false).map_err(|cause| cause.context(&refusal.text))?;
            if *readonly {
                mount::mount_setattr(tree.as_fd(), true, MOUNT_ATTR_RDONLY, 0, 0, None)?;
            }
            set_attributes(tree.as_fd(), &mount.attributes)?;
            mount::move_mount(tree.as_fd(), target)?;
            Ok(tree)
        }
    }
}

fn bind(root: &Root, mount: &Mount, tree: OwnedFd) -> Result<OwnedFd, Cause> {
    let attributes = match mount.what {
        MountKind::Bind { opened_by: Opener::Parent, .. } => respecting_locks(tree.as_fd(), &mount.attributes)?,
        _ => mount.attributes,
    };
    set_attributes(tree.as_fd(), &attributes)?;
    let path = mount.destination.relative();
    let is_directory = fd::stat(tree.as_fd())?.kind == FileKind::Directory;
    let target = match (is_directory, mount.destination_nofollow) {
        (true, false) => root.make_dirs(path, 0o755)?,
        (false, false) => root.make_file(path, 0o755)?,
        (_, true) => root.resolve(path, OFlags::NOFOLLOW)?,
    };
    mount::move_mount(tree.as_fd(), target.as_fd())?;
    Ok(tree)
}

/// The directory to mount on, made when it is missing. For proc and sysfs a symbolic link is refused: an image could otherwise
/// send /proc elsewhere and escape its masks (CVE-2019-19921, CVE-2023-27561).
fn directory(root: &Root, mount: &Mount, fstype: &str) -> Result<OwnedFd, Cause> {
    let path = mount.destination.relative();
    let strict = matches!(fstype, "proc" | "sysfs") || mount.destination_nofollow;
    if !strict {
        return Ok(root.make_dirs(path, 0o755)?);
    }
    let found = match root.resolve(path, OFlags::NOFOLLOW) {
        Err(error) if error.is(Errno::ENOENT) => {
            root.make_dirs(path, 0o755)?;
            root.resolve(path, OFlags::NOFOLLOW)?
        }
        other => other?,
    };
    // What was looked at is what is mounted on: a second look could follow a link that was put there meanwhile.
    match fd::stat(found.as_fd())?.kind {
        FileKind::Directory => Ok(found),
        kind => {
            Err(format!("filesystem {fstype:?} must be mounted on ordinary directory, {} is a {kind}", mount.destination).into())
        }
    }
}
