//! The cgroup file systems as the runtime shall see them, and a delegated cgroup for an unprivileged user.

use crate::identity::Identity;
use crate::options::View;
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const CGROUPS: &str = "/sys/fs/cgroup";

/// Enters a private mount namespace and changes what is seen there; must come before any thread is started.
pub fn enter(view: View) -> io::Result<()> {
    if view == View::AsIs {
        return Ok(());
    }
    private_mounts()?;
    match view {
        View::AsIs => {}
        // A hybrid host's unified hierarchy then offers nothing, and a runtime takes the host for one of version 1.
        View::V1 => mount_bind("/dev/null", format!("{CGROUPS}/unified/cgroup.controllers"))?,
        View::V2 => mount("none", CGROUPS, "cgroup2", MountFlags::empty(), None)?,
    }
    Ok(())
}

/// A mount namespace of our own, from which nothing travels back.
pub fn private_mounts() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    Ok(())
}

/// A cgroup that belongs to the unprivileged user, with this process in a leaf of it; gone when dropped.
#[derive(Debug)]
pub struct Delegated {
    top: PathBuf,
    home: PathBuf,
}

impl Delegated {
    /// Whether it is made: on a pure v2 view; elsewhere a user can have none without the help of the host.
    pub fn fits(view: View, who: &Identity) -> bool {
        view == View::V2 && who.switch
    }

    /// Makes it where it fits.
    pub fn make(view: View, who: &Identity) -> io::Result<Option<Self>> {
        if !Self::fits(view, who) {
            return Ok(None);
        }
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let path = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        let top = Path::new(CGROUPS).join(format!("wolffia-conformance-{}", std::process::id()));
        let leaf = top.join("leaf");
        fs::create_dir(&top)?;
        fs::create_dir(&leaf)?;
        for cgroup in [&top, &leaf] {
            for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
                std::os::unix::fs::chown(cgroup.join(file), Some(who.uid), Some(who.gid))?;
            }
        }
        fs::write(leaf.join("cgroup.procs"), std::process::id().to_string())?;
        Ok(Some(Self { top, home: Path::new(CGROUPS).join(path) }))
    }

    /// Goes back to where this process came from and removes the delegated cgroup with all that cases left in it.
    pub fn leave(self) -> io::Result<()> {
        fs::write(self.home.join("cgroup.procs"), std::process::id().to_string())?;
        remove_tree(&self.top)
    }
}

/// The cgroups whose name contains a text, in every hierarchy that is mounted in sight.
pub fn cgroups_named(text: &str) -> Vec<PathBuf> {
    // The hierarchies of version 1 lie one folder deeper than that of version 2, delegated trees one more.
    const DEPTH: u32 = 3;
    named(Path::new(CGROUPS), text, DEPTH)
}

/// Removes what a runtime has left in the cgroups under the names of one case.
pub fn remove_cgroups_named(text: &str) -> io::Result<()> {
    cgroups_named(text).iter().try_for_each(|cgroup| remove_tree(cgroup))
}

fn named(folder: &Path, text: &str, depth: u32) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        if entry.file_name().to_string_lossy().contains(text) {
            found.push(entry.path());
        } else if depth > 0 {
            found.extend(named(&entry.path(), text, depth - 1));
        }
    }
    found
}

/// cgroup directories cannot be removed by `remove_dir_all`: their files cannot be unlinked.
fn remove_tree(cgroup: &Path) -> io::Result<()> {
    for entry in fs::read_dir(cgroup)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(cgroup)
}
