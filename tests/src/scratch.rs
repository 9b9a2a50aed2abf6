//! Directories of the tests, outside the work tree.

use crate::processes;
use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A directory that is removed with its owner, whatever users its files belong to.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Others may pass, so that a user's scenario reaches it.
    pub fn new(name: &str) -> Self {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("wolffia-test-{}-{count}-{name}", std::process::id()));
        make(&path, 0o755);
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::fs::remove_dir_all(&self.0).is_ok() {
            return;
        }
        // Files of subordinate ids belong to nobody but the root of a user namespace that has these ids.
        let mut remove = Command::new("unshare");
        remove.args(["--map-root-user", "--map-auto", "--", "rm", "-rf"]).arg(&self.0);
        let removed = processes::spawn_own(&mut remove).and_then(|mut child| child.wait());
        if !removed.is_ok_and(|status| status.success()) {
            eprintln!("{} could not be removed", self.0.display());
        }
    }
}

/// Makes a directory with exactly this mode.
pub fn make(path: &Path, mode: u32) {
    DirBuilder::new().recursive(true).mode(mode).create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// What is made once and kept: `WOLFFIA_TESTS_CACHE`, or a directory of the user's in /var/tmp.
pub fn cache() -> PathBuf {
    let uid = rustix::process::getuid().as_raw();
    let path = match std::env::var_os("WOLFFIA_TESTS_CACHE") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(format!("/var/tmp/wolffia-tests-{uid}")),
    };
    if !path.is_dir() {
        make(&path, 0o755);
    }
    let owner = std::fs::symlink_metadata(&path).unwrap();
    assert!(
        owner.is_dir() && (owner.uid() == uid || owner.uid() == 0),
        "{} belongs to somebody else: name another directory in WOLFFIA_TESTS_CACHE",
        path.display()
    );
    path
}
