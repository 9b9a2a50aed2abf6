//! What a scenario left behind: it must be nothing.

use crate::processes;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the kernel may take to finish with killed processes and their namespaces.
const PATIENCE: Duration = Duration::from_secs(5);
/// How deep cgroups of containers lie below the hierarchy's root.
const CGROUP_DEPTH: u32 = 6;

/// The machine as it was before a scenario.
#[derive(Debug)]
pub struct Leftovers {
    mounts: BTreeSet<String>,
    cgroups: BTreeSet<PathBuf>,
    sockets: BTreeSet<String>,
}

impl Leftovers {
    pub fn before() -> Self {
        Self { mounts: mounts(), cgroups: cgroups(), sockets: sockets() }
    }

    /// What there is now that was not there before, and is this scenario's: its name contains one of `marks`, or it is below
    /// `scratch` or in the state directory `root`.
    pub fn since(&self, scratch: &Path, root: &Path, marks: &[String]) -> Vec<String> {
        let own = std::process::id().cast_signed();
        let mut found = Vec::new();
        let all_ended = processes::wait_until(PATIENCE, || {
            processes::reap();
            processes::descendants(own).is_empty()
        });
        if !all_ended {
            found.extend(
                processes::descendants(own)
                    .iter()
                    .map(|entry| format!("process {} {} {}", entry.pid, entry.state, entry.command)),
            );
        }
        let scratch = scratch.to_str().expect("a path in UTF-8");
        let is_ours = |text: &str| text.contains(scratch) || marks.iter().any(|mark| text.contains(mark.as_str()));
        // Only root has a mount namespace of its own here; in the machine's, others mount too.
        let alone = rustix::process::getuid().is_root();
        found.extend(mounts().difference(&self.mounts).filter(|line| alone || is_ours(line)).map(|line| format!("mount {line}")));
        found.extend(self.mounts.difference(&mounts()).filter(|_| alone).map(|line| format!("lost mount {line}")));
        let new_cgroups = cgroups().into_iter().filter(|path| !self.cgroups.contains(path));
        found
            .extend(new_cgroups.filter(|path| is_ours(&path.to_string_lossy())).map(|path| format!("cgroup {}", path.display())));
        found.extend(sockets().difference(&self.sockets).filter(|name| is_ours(name)).map(|name| format!("socket {name}")));
        found.extend(entries(root).into_iter().map(|path| format!("state {}", path.display())));
        found
    }
}

fn mounts() -> BTreeSet<String> {
    std::fs::read_to_string("/proc/self/mountinfo").unwrap().lines().map(str::to_owned).collect()
}

/// Names of unix sockets, abstract ones with a leading `@`.
fn sockets() -> BTreeSet<String> {
    let text = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    text.lines().filter_map(|line| line.split_whitespace().nth(7)).map(str::to_owned).collect()
}

fn cgroups() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for line in mounts() {
        let fields: Vec<&str> = line.split(' ').collect();
        let kind = fields.iter().position(|field| *field == "-").and_then(|dash| fields.get(dash + 1));
        if let (Some(point), Some(&("cgroup" | "cgroup2"))) = (fields.get(4), kind) {
            below(Path::new(point), CGROUP_DEPTH, &mut found);
        }
    }
    found
}

fn below(directory: &Path, depth: u32, found: &mut BTreeSet<PathBuf>) {
    if depth == 0 {
        return;
    }
    for path in entries(directory).into_iter().filter(|path| path.is_dir()) {
        below(&path, depth - 1, found);
        found.insert(path);
    }
}

/// A directory that is not there, or that is taken away at this moment, is empty.
fn entries(directory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
