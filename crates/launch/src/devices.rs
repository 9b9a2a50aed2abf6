//! Device nodes and the links in /dev, all through the root's descriptor (CVE-2026-41579: an image may bring `/dev` as a link).

use crate::failure::Cause;
use crate::host_dev::{Places, untouched};
use std::os::fd::{AsFd, OwnedFd};
use wolffia_plan::{Device, DeviceHow, DeviceKind, DeviceLink};
use wolffia_sys::Errno;
use wolffia_sys::fd::{self, FileKind, OFlags, Stat};
use wolffia_sys::file;
use wolffia_sys::mount::{self, OpenTree};
use wolffia_sys::root::Root;

/// Makes or binds one node.
pub fn create<'a>(places: &mut Places<'a>, device: &'a Device) -> Result<(), Cause> {
    let root = places.root;
    match device.how {
        DeviceHow::Make { kind, major, minor, mode, uid, gid } => {
            let Some((place, name)) = places.of(device.path.relative())? else {
                return must_match(root, device, kind, (major, minor)).map_err(|cause| match Errno(cause.errno) {
                    Errno::ENOENT => untouched(),
                    _ => cause,
                });
            };
            match place.mknod(name, file_kind(kind), (major, minor), mode, (uid, gid)) {
                Err(error) if error.is(Errno::EEXIST) => must_match(root, device, kind, (major, minor)),
                made => Ok(made?),
            }
        }
        DeviceHow::Bind { kind, major, minor } => bind(places, device, kind, (major, minor)),
    }
}

/// Makes one link in /dev. What an image brings stays, but for `ptmx`, which has to lead to the container's own devpts. The host's
/// does: a node there opens the devpts beside it.
pub fn link<'a>(places: &mut Places<'a>, link: &'a DeviceLink) -> Result<(), Cause> {
    let root = places.root;
    let Some((place, name)) = places.of(link.path.relative())? else {
        return match root.resolve(link.path.relative(), OFlags::NOFOLLOW) {
            Err(error) if error.is(Errno::ENOENT) => Err(untouched()),
            found => Ok(found.map(drop)?),
        };
    };
    match place.symlink(&link.target, name) {
        Err(error) if error.is(Errno::EEXIST) => {}
        other => return Ok(other?),
    }
    if link.path.as_str() != "/dev/ptmx" || place.read_link(name).is_ok_and(|target| target == link.target) {
        return Ok(());
    }
    place.unlink(name)?;
    Ok(place.symlink(&link.target, name)?)
}

/// A clone of the host's /dev/null, checked by number, taken while the host's /dev can be reached: masks are made of it.
pub fn host_null() -> Result<OwnedFd, Cause> {
    let tree = mount::open_tree(file::CWD, "/dev/null", OpenTree { clone: true, nofollow: true, ..OpenTree::default() })?;
    let stat = fd::stat(tree.as_fd())?;
    if !matches(&stat, DeviceKind::Char, (1, 3)) {
        return Err("the host's /dev/null is not the character device 1:3".into());
    }
    Ok(tree)
}

fn bind<'a>(places: &mut Places<'a>, device: &'a Device, kind: DeviceKind, number: (u32, u32)) -> Result<(), Cause> {
    let options = OpenTree { clone: true, ..OpenTree::default() };
    let tree = mount::open_tree(file::CWD, device.path.as_str(), options)?;
    if !matches(&fd::stat(tree.as_fd())?, kind, number) {
        return Err(format!("the host's {} is not the device {}:{}", device.path, number.0, number.1).into());
    }
    if must_match(places.root, device, kind, number).is_ok() {
        // The same device is there already: the host's /dev is the container's.
        return Ok(());
    }
    let target = places.target(device.path.relative(), 0o666)?;
    Ok(mount::move_mount(tree.as_fd(), target.as_fd())?)
}

/// config-linux.md, Devices: a file that exists and does not match is an error.
fn must_match(root: &Root, device: &Device, kind: DeviceKind, number: (u32, u32)) -> Result<(), Cause> {
    let found = root.resolve(device.path.relative(), OFlags::NOFOLLOW)?;
    if matches(&fd::stat(found.as_fd())?, kind, number) {
        return Ok(());
    }
    Err(Cause { text: "a file exists there that is not this device".to_owned(), errno: Errno::EEXIST.0 })
}

fn matches(stat: &Stat, kind: DeviceKind, number: (u32, u32)) -> bool {
    stat.kind == file_kind(kind) && (kind == DeviceKind::Fifo || stat.rdev == number)
}

fn file_kind(kind: DeviceKind) -> FileKind {
    match kind {
        DeviceKind::Char => FileKind::Char,
        DeviceKind::Block => FileKind::Block,
        DeviceKind::Fifo => FileKind::Fifo,
    }
}
