//! Root file systems.

use crate::case::Case;
use crate::scratch;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a container's root directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rootfs {
    /// Debian's static busybox, a link for each of its programs, and the usual empty directories.
    Busybox,
    /// A small Debian: /bin is a link, there are users and a package manager.
    Debian,
    /// One static program, /busybox, and nothing else.
    Single,
    /// Nothing at all.
    Empty,
}

const DIRECTORIES: [&str; 9] = ["bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "var/tmp"];

impl Rootfs {
    pub(crate) fn make(self, case: &Case, directory: &Path) {
        scratch::make(directory, 0o755);
        match self {
            Rootfs::Busybox => busybox(case, directory),
            Rootfs::Debian => debian(case, directory),
            Rootfs::Single => {
                std::fs::copy(static_busybox(), directory.join("busybox")).unwrap();
            }
            Rootfs::Empty => {}
        }
    }
}

fn busybox(case: &Case, directory: &Path) {
    for name in DIRECTORIES {
        scratch::make(&directory.join(name), 0o755);
    }
    let program = static_busybox();
    std::fs::copy(&program, directory.join("bin/busybox")).unwrap();
    for name in case.program(program).arg("--list").run().succeeds().lines().filter(|name| *name != "busybox") {
        symlink("busybox", directory.join("bin").join(name)).unwrap();
    }
    std::fs::write(directory.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    std::fs::write(directory.join("etc/group"), "root:x:0:\n").unwrap();
}

fn static_busybox() -> PathBuf {
    let found = ["/bin/busybox", "/usr/bin/busybox"].into_iter().map(PathBuf::from).find(|path| path.exists());
    found.expect("no busybox: install the package busybox-static")
}

/// Unpacked from an archive that is made once: it takes half a minute, and a mirror of Debian's.
fn debian(case: &Case, directory: &Path) {
    let archive = scratch::cache().join("debian.tar");
    if !archive.exists() {
        case.skip("there is no Debian to unpack: tests/run makes it with mmdebstrap");
    }
    let call = case.program("tar").arg("--extract").arg("--file").arg(archive).arg("--directory").arg(directory);
    // Device nodes are for root to make; the runtime mounts its own /dev.
    let call = call.args(["--exclude=./dev/*", if case.identity.is_root() { "--same-owner" } else { "--no-same-owner" }]);
    call.within(Duration::from_secs(120)).run().succeeds();
}
