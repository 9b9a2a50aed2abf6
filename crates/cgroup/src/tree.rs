//! Walking a cgroup tree by directory descriptors.

use crate::CgroupError;
use crate::files::DIRECTORY;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use wolffia_sys as sys;

/// No container has this many cgroups; a tenant that made them must not keep the runtime busy for ever.
const MOST_CGROUPS: usize = 65_536;

/// The names in `path`, which must stay below the mount and must not be the mount itself.
pub(crate) fn names(path: &str) -> Result<Vec<&str>, CgroupError> {
    let refuse = |reason| CgroupError::Path { path: path.to_owned(), reason };
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Err(refuse("names the root of the hierarchy: name a cgroup below it"));
    }
    for name in &names {
        match *name {
            "." | ".." => return Err(refuse("has \".\" or \"..\" in it: name the cgroup from the mount on")),
            name if name.contains(['\0', '\n']) => return Err(refuse("has a NUL or a newline in it")),
            name if name.len() > 255 => return Err(refuse("has a name of more than 255 bytes in it")),
            _ => {}
        }
    }
    Ok(names)
}

/// The names in `path` below a container's own cgroup: none for that one itself. runc's words for a path that leads out of it.
pub(crate) fn names_below(path: &str) -> Result<Vec<&str>, CgroupError> {
    if path.split('/').all(str::is_empty) {
        return Ok(Vec::new());
    }
    names(path).map_err(|_| CgroupError::BadSub { path: path.to_owned() })
}

/// `names[..count]` as a path with a leading slash.
pub(crate) fn join(names: &[&str]) -> String {
    format!("/{}", names.join("/"))
}

/// Opens the directory of `names` below `from`, one name at a time, no symbolic link followed.
pub(crate) fn open(from: BorrowedFd<'_>, names: &[&str]) -> Result<OwnedFd, sys::Error> {
    let mut dir = sys::fd::openat(from, ".", DIRECTORY, 0)?;
    for name in names {
        dir = sys::fd::openat(dir.as_fd(), name, DIRECTORY, 0)?;
    }
    Ok(dir)
}

/// One directory on the way down, and those of its children that are still to be visited.
struct Level {
    name: String,
    pending: Vec<String>,
}

/// What [`walk`] does at each cgroup.
pub(crate) trait Visitor {
    /// `dir` is reached, before its children.
    fn enter(&mut self, dir: BorrowedFd<'_>) -> Result<(), CgroupError>;
    /// The cgroup `name` in `parent` and all below it were visited. Not called for the tree's top.
    fn leave(&mut self, parent: BorrowedFd<'_>, name: &str) -> Result<(), CgroupError>;
}

/// Visits `top` and every cgroup below it. A cgroup that vanishes meanwhile is passed over.
///
/// It holds one descriptor however deep the tree is (a tenant chooses the depth), and goes up by `..`, which is safe
/// because a cgroup of cgroup2 cannot be renamed or moved.
pub(crate) fn walk(top: BorrowedFd<'_>, path: &str, visitor: &mut dyn Visitor) -> Result<(), CgroupError> {
    let failed = |source| CgroupError::Failed { act: "list", path: path.to_owned(), source };
    visitor.enter(top)?;
    let mut here = sys::fd::openat(top, ".", DIRECTORY, 0).map_err(failed)?;
    let mut levels = vec![Level { name: String::new(), pending: children(here.as_fd()).map_err(failed)? }];
    let mut seen = 1;
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.pending.pop() else {
            let done = levels.pop();
            if let (Some(done), false) = (done, levels.is_empty()) {
                here = sys::fd::openat(here.as_fd(), "..", DIRECTORY, 0).map_err(failed)?;
                visitor.leave(here.as_fd(), &done.name)?;
            }
            continue;
        };
        seen += 1;
        if seen > MOST_CGROUPS {
            return Err(CgroupError::TooMany { path: path.to_owned(), limit: MOST_CGROUPS });
        }
        match sys::fd::openat(here.as_fd(), &name, DIRECTORY, 0) {
            Ok(child) => here = child,
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(failed(error)),
        }
        visitor.enter(here.as_fd())?;
        levels.push(Level { name, pending: children(here.as_fd()).map_err(failed)? });
    }
    Ok(())
}

/// Whether a cgroup or its file is no longer there: ENODEV comes from files of a removed cgroup that are still open.
pub(crate) fn is_gone(error: &sys::Error) -> bool {
    error.is(sys::Errno::ENOENT) || error.is(sys::Errno::ENODEV)
}

fn children(dir: BorrowedFd<'_>) -> Result<Vec<String>, sys::Error> {
    match sys::cgroupfs::children(dir) {
        Err(error) if is_gone(&error) => Ok(Vec::new()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_the_mount() {
        assert_eq!(names("/a//b/").unwrap(), ["a", "b"]);
        assert_eq!(names("a").unwrap(), ["a"]);
        for bad in ["", "/", "a/../b", "./a", "a\nb", "a\0", &"x".repeat(256)] {
            assert!(names(bad).is_err(), "{bad:?}");
        }
    }
}
