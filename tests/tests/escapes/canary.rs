//! A part of the host that no container may touch, and the machine's settings that an escape would go for.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use wolffia_tests::{Bundle, Case, Outcome};

/// What the payload prints when it has got hold of something that is not its own.
pub const LEAK: &str = "LEAK";

/// A file of the canary's that no trap makes inside the container, where one that leads there and back may: who lists it is out.
const MARK: &str = "mark-of-the-host";

/// A setting of the machine's, below /proc, that traps lead to: a number, so that whatever else is written there by an escape is
/// refused by the kernel. An escape is to be seen, not suffered: with core_pattern here, runc 1.1.5 really changed the machine's.
pub const KERNEL_FILE: &str = "sys/fs/aio-max-nr";

/// Settings of the kernel that a container with its own namespaces must not change.
const SETTINGS: [&str; 9] = [
    "fs/aio-max-nr",
    "kernel/core_pattern",
    "kernel/modprobe",
    "kernel/hostname",
    "kernel/domainname",
    "kernel/sysrq",
    "kernel/shm_rmid_forced",
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
];

/// A directory of the host with files in it, and the settings, as they were.
#[derive(Debug)]
pub struct Canary {
    directory: PathBuf,
    before: BTreeMap<String, String>,
}

impl Canary {
    pub fn new(case: &Case) -> Self {
        let directory = case.directory("canary");
        std::fs::create_dir(directory.join("empty")).unwrap();
        std::fs::write(directory.join("ptmx"), "untouched\n").unwrap();
        std::fs::write(directory.join("of-the-host"), "untouched\n").unwrap();
        std::fs::write(directory.join(MARK), "untouched\n").unwrap();
        let before = look(&directory);
        Self { directory, before }
    }

    pub fn path(&self) -> &Path {
        &self.directory
    }

    pub fn text(&self) -> &str {
        self.directory.to_str().unwrap()
    }

    /// Ways of a link in the top directory of a bundle's root file system to the canary. The bundle lies beside it.
    pub fn ways(&self) -> Vec<String> {
        let deep = format!("{}{}", "../".repeat(40), self.text().trim_start_matches('/'));
        vec![self.text().to_owned(), "../../canary".to_owned(), deep, format!("/proc/self/root{}", self.text())]
    }

    /// Asserts that nothing of it was touched.
    #[track_caller]
    pub fn is_unharmed(&self) {
        assert_eq!(self.before, look(&self.directory), "the host was changed");
    }

    /// Runs a trap: that it is refused is as good as that it is harmless.
    #[track_caller]
    pub fn survives(&self, case: &Case, bundle: &Bundle) -> Outcome {
        let outcome = case.run(bundle);
        self.survived(&outcome);
        outcome
    }

    #[track_caller]
    pub fn survived(&self, outcome: &Outcome) {
        assert!(!outcome.stdout.contains(LEAK) && !outcome.stdout.contains(MARK), "{outcome}");
        self.is_unharmed();
    }
}

fn look(directory: &Path) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    describe(directory, &mut seen);
    for setting in SETTINGS {
        let path = Path::new("/proc/sys").join(setting);
        seen.insert(setting.to_owned(), std::fs::read_to_string(path).unwrap_or_else(|error| error.to_string()));
    }
    seen
}

fn describe(path: &Path, seen: &mut BTreeMap<String, String>) {
    let stat = std::fs::symlink_metadata(path).unwrap();
    let mut line = format!("mode {:o}, owner {}:{}", stat.mode(), stat.uid(), stat.gid());
    if stat.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            describe(&entry.unwrap().path(), seen);
        }
    } else {
        line.push_str(&format!(", {:?}", std::fs::read_to_string(path)));
    }
    seen.insert(path.display().to_string(), line);
}
