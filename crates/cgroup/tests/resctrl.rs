//! What is done to a resctrl file system, seen in a directory of the test's: no machine of the project has the hardware. What the
//! kernel makes in a new group (`tasks`, `schemata`), and what it says to a wrong line, is not to be seen here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use wolffia_cgroup::{MonitoredGroup, RdtPlace};
use wolffia_plan::{HostPath, Rdt, RdtGroup};
use wolffia_sys::Pid;
use wolffia_sys::fd::{self, OFlags};

struct Tree(PathBuf);

impl Tree {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wolffia-resctrl-{}-{name}", std::process::id()));
        fs::create_dir_all(path.join("info")).unwrap();
        fs::create_dir(path.join("mon_groups")).unwrap();
        fs::write(path.join("info/last_cmd_status"), "ok\n").unwrap();
        Self(path)
    }

    fn group(&self, group: RdtGroup, monitoring: Option<&str>) -> (MonitoredGroup, RdtGroup) {
        let rdt = Rdt { mount: HostPath::new(&self.0).unwrap(), group, monitoring: monitoring.map(str::to_owned) };
        let root = fd::open(&self.0, OFlags::RDONLY | OFlags::DIRECTORY, 0).unwrap();
        (MonitoredGroup::at(root, RdtPlace::of(&rdt)), rdt.group)
    }

    fn has(&self, path: &str) -> bool {
        self.0.join(path).exists()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap()
    }

    fn made_by_somebody(&self, name: &str, schemata: &str) {
        fs::create_dir_all(self.0.join(name).join("mon_groups")).unwrap();
        fs::write(self.0.join(name).join("schemata"), schemata).unwrap();
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// What rmdir(2) does on the real one, whose files are not in the way.
fn empty(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::remove_file(path).unwrap();
        }
    }
}

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

fn pid() -> Pid {
    Pid::from_raw(4711).unwrap()
}

#[test]
fn a_group_of_its_own_is_made_entered_and_removed() {
    let tree = Tree::new("own");
    let (group, wanted) = tree.group(RdtGroup::Own { name: "c1".to_owned(), schemata: lines(&["L3:0=f", "MB:0=20"]) }, None);
    group.must_be_free().unwrap();
    group.make(&wanted).unwrap();
    group.add(pid()).unwrap();
    assert_eq!((tree.read("c1/schemata"), tree.read("c1/tasks")), ("L3:0=f\nMB:0=20\n".to_owned(), "4711".to_owned()));
    let error = tree.group(wanted, None).0.must_be_free().unwrap_err().to_string();
    assert!(error.contains("resctrl group c1 is there already") && error.contains("closID"), "{error}");
    empty(&tree.0.join("c1"));
    group.remove().unwrap();
    assert!(!tree.has("c1"));
    group.remove().unwrap();
}

#[test]
fn a_group_that_is_there_is_compared_and_stays() {
    let tree = Tree::new("named");
    tree.made_by_somebody("gold", "    L3:0=0f;1=ff\n");
    let shared = |line: &str| RdtGroup::Shared { name: "gold".to_owned(), schemata: lines(&[line]) };
    let (group, wanted) = tree.group(shared("L3:0=f"), Some("c1"));
    group.must_be_free().unwrap();
    fs::create_dir_all(tree.0.join("gold/mon_groups")).unwrap();
    group.make(&wanted).unwrap();
    group.add(pid()).unwrap();
    assert_eq!((tree.read("gold/tasks"), tree.read("gold/mon_groups/c1/tasks")), ("4711".to_owned(), "4711".to_owned()));
    assert_eq!(tree.read("gold/schemata"), "    L3:0=0f;1=ff\n", "it is somebody's, and is not written");
    empty(&tree.0.join("gold/mon_groups/c1"));
    group.remove().unwrap();
    assert!(tree.has("gold") && !tree.has("gold/mon_groups/c1"));
    let (group, wanted) = tree.group(shared("L3:0=3"), None);
    let error = group.make(&wanted).unwrap_err().to_string();
    assert!(error.contains("/gold") && error.contains("L3:0=3") && error.contains("L3:0=0f"), "{error}");
}

#[test]
fn a_named_group_is_made_only_with_lines() {
    let tree = Tree::new("missing");
    let (group, wanted) = tree.group(RdtGroup::Existing { name: "gold".to_owned(), schemata: Vec::new() }, None);
    let error = group.make(&wanted).unwrap_err().to_string();
    assert!(error.contains("cannot open resctrl group /gold"), "{error}");
    let (group, wanted) = tree.group(RdtGroup::Shared { name: "gold".to_owned(), schemata: lines(&["L3:0=f"]) }, None);
    group.make(&wanted).unwrap();
    group.remove().unwrap();
    assert!(tree.has("gold"), "config-linux.md: a group that closID names outlives the container");
}

#[test]
fn the_default_group_is_not_written() {
    let tree = Tree::new("default");
    fs::write(tree.0.join("schemata"), "L3:0=ff\n").unwrap();
    let (group, wanted) = tree.group(RdtGroup::Existing { name: String::new(), schemata: lines(&["L3:0=ff"]) }, Some("c1"));
    group.must_be_free().unwrap();
    group.make(&wanted).unwrap();
    group.add(pid()).unwrap();
    assert_eq!((tree.read("tasks"), tree.read("mon_groups/c1/tasks")), ("4711".to_owned(), "4711".to_owned()));
    fs::write(tree.0.join("info/last_cmd_status"), "no free closids\n").unwrap();
    let error = group.make(&wanted).unwrap_err().to_string();
    assert!(error.contains("cannot make resctrl group /mon_groups/c1 (no free closids)"), "{error}");
}

#[test]
fn another_file_system_is_refused() {
    let tree = Tree::new("other");
    let rdt = Rdt {
        mount: HostPath::new(&tree.0).unwrap(),
        group: RdtGroup::Own { name: "c1".to_owned(), schemata: Vec::new() },
        monitoring: None,
    };
    let error = RdtPlace::of(&rdt).open().unwrap_err().to_string();
    assert!(error.ends_with("is not a resctrl file system: mount it there"), "{error}");
}
