//! Made, joined, frozen, killed, removed: on the kernel's own cgroup2.

mod common;

use common::{Area, Running};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::{Duration, Instant};
use wolffia_cgroup::{Cgroup, CgroupError};

#[test]
fn what_a_killed_creator_made_is_known_and_removed() {
    let Some(area) = Area::new("killed") else { return };
    let path = area.path("a/b/c");
    let missing = Cgroup::missing(&area.mount, &path).unwrap();
    assert_eq!(missing, ["a", "a/b", "a/b/c"].map(|below| format!("/{}", area.path(below))));
    // Killed after the second, and before it could mark it as its own.
    fs::create_dir_all(area.host("a/b")).unwrap();
    Cgroup::remove_way(&area.mount, &path, &missing).unwrap();
    assert!(!area.host("a").exists());
    assert_eq!(Cgroup::missing(&area.mount, &area.name).unwrap(), [""; 0]);
}

#[test]
fn removal_takes_away_what_create_made() {
    let Some(area) = Area::new("made") else { return };
    let cgroup = Cgroup::create(&area.mount, &area.path("a/b/c")).unwrap();
    assert_eq!(cgroup.path(), format!("/{}/a/b/c", area.name));
    assert_eq!(cgroup.made(), [area.path("a"), area.path("a/b"), area.path("a/b/c")].map(|path| format!("/{path}")));
    assert!(area.host("a/b/c").is_dir());
    cgroup.remove().unwrap();
    assert!(!area.host("a").exists());
    cgroup.remove().unwrap();
}

#[test]
fn removal_leaves_what_was_there_and_what_others_use() {
    let Some(area) = Area::new("kept") else { return };
    fs::create_dir(area.host("old")).unwrap();
    let inside = Cgroup::create(&area.mount, &area.path("old")).unwrap();
    assert!(inside.made().is_empty());
    fs::create_dir(area.host("old/child")).unwrap();
    let sleeper = Running::sleep().in_cgroup(&area.host("old/child"));
    inside.remove().unwrap();
    assert!(area.host("old").is_dir() && !area.host("old/child").exists());
    assert_eq!(sleeper.signal(), Some(9));

    fs::create_dir(area.host("shared-before")).unwrap();
    Cgroup::create(&area.mount, &area.path("shared-before/c")).unwrap().remove().unwrap();
    assert!(area.host("shared-before").is_dir());
}

#[test]
fn the_last_container_takes_a_shared_parent_away() {
    let Some(area) = Area::new("shared") else { return };
    let first = Cgroup::create(&area.mount, &area.path("a/b/first")).unwrap();
    let second = Cgroup::create(&area.mount, &area.path("a/b/second")).unwrap();
    first.remove().unwrap();
    assert!(area.host("a/b/second").is_dir());
    second.remove().unwrap();
    assert!(!area.host("a").exists() && area.host("").is_dir());
}

#[test]
fn a_later_process_removes_the_same() {
    let Some(area) = Area::new("later") else { return };
    let made = Cgroup::create(&area.mount, &area.path("p/q")).unwrap().made().to_vec();
    Cgroup::open(&area.mount, &area.path("p/q")).unwrap().with_made(made).remove().unwrap();
    assert!(!area.host("p").exists());
}

#[test]
fn one_that_somebody_else_has_removed_is_removed() {
    let Some(area) = Area::new("gone") else { return };
    fs::create_dir(area.host("scope")).unwrap();
    let scope = Cgroup::open(&area.mount, &area.path("scope")).unwrap().with_made(Vec::new());
    fs::remove_dir(area.host("scope")).unwrap();
    scope.remove().unwrap();
}

#[test]
fn an_unfit_cgroup_is_refused_with_the_texts_of_runc() {
    let Some(area) = Area::new("unfit") else { return };
    fs::create_dir_all(area.host("full/below")).unwrap();
    let _sleeper = Running::sleep().in_cgroup(&area.host("full/below"));
    let error = Cgroup::create(&area.mount, &area.path("full")).unwrap_err();
    assert_eq!(error.to_string(), "container's cgroup is not empty: 1 process(es) found");
    let error = Cgroup::check_place(&area.mount, &area.path("full")).unwrap_err();
    assert!(matches!(error, CgroupError::NotEmpty { count: 1, .. }));
    Cgroup::check_place(&area.mount, &area.path("none/at/all")).unwrap();

    fs::create_dir(area.host("cold")).unwrap();
    fs::write(area.host("cold/cgroup.freeze"), "1").unwrap();
    let error = Cgroup::create(&area.mount, &area.path("cold")).unwrap_err();
    assert_eq!(error.to_string(), "container's cgroup unexpectedly frozen");
    assert!(matches!(Cgroup::check_place(&area.mount, &area.path("cold")), Err(CgroupError::Frozen { .. })));
    let error = Cgroup::create(&area.mount, &area.path("cold/new/leaf")).unwrap_err();
    assert!(matches!(error, CgroupError::Frozen { .. }));
    assert!(!area.host("cold/new").exists(), "what was made on the way is taken away again");
}

#[test]
fn a_place_that_is_none_is_refused() {
    let Some(area) = Area::new("place") else { return };
    for path in ["/", "", "../x", "a/../../b"] {
        assert!(matches!(Cgroup::create(&area.mount, path), Err(CgroupError::Path { .. })), "{path:?}");
    }
    let error = Cgroup::create("/tmp".as_ref(), "x").unwrap_err();
    assert!(error.to_string().starts_with("/tmp is not a cgroup2 file system"), "{error}");
    let error = Cgroup::create(&area.mount, &area.path("cgroup.procs/x")).unwrap_err();
    assert_eq!(error.errno(), Some(wolffia_sys::Errno::ENOTDIR));
    assert_eq!(Cgroup::open(&area.mount, &area.path("none")).unwrap_err().errno(), Some(wolffia_sys::Errno::ENOENT));
}

#[test]
fn processes_of_the_whole_tree_are_found_and_signalled() {
    let Some(area) = Area::new("tree") else { return };
    let cgroup = Cgroup::create(&area.mount, &area.path("top")).unwrap();
    let (own, deep) = (Running::sleep(), Running::sleep());
    cgroup.add(own.pid()).unwrap();
    fs::create_dir_all(area.host("top/x/y")).unwrap();
    fs::create_dir_all(area.host("top/z")).unwrap();
    let deep = deep.in_cgroup(&area.host("top/x/y"));
    let mut expected = [own.pid(), deep.pid()];
    expected.sort();
    assert_eq!(cgroup.processes().unwrap(), expected);
    cgroup.kill_all(15).unwrap();
    assert_eq!((own.signal(), deep.signal()), (Some(15), Some(15)));
    assert_eq!(cgroup.processes().unwrap(), []);
    cgroup.kill_all(15).unwrap();
    cgroup.remove().unwrap();
}

#[test]
fn a_frozen_counter_stands_still_and_goes_on() {
    let Some(area) = Area::new("freeze") else { return };
    let cgroup = Cgroup::create(&area.mount, &area.path("c")).unwrap();
    let file = std::env::temp_dir().join(format!("{}-count", area.name));
    let counter = Running::command(Command::new("sh").arg("-c").arg(format!("while :; do echo >> {}; done", file.display())));
    cgroup.add(counter.pid()).unwrap();
    let size = || fs::metadata(&file).map_or(0, |found| found.len());
    let grows = |from: u64| {
        let end = Instant::now() + Duration::from_secs(5);
        while size() <= from && Instant::now() < end {
            std::thread::yield_now();
        }
        size() > from
    };
    assert!(grows(0));
    cgroup.freeze().unwrap();
    assert!(cgroup.is_frozen().unwrap());
    let stopped = size();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(size(), stopped);
    cgroup.thaw().unwrap();
    assert!(!cgroup.is_frozen().unwrap());
    assert!(grows(stopped));

    cgroup.freeze().unwrap();
    cgroup.kill_all(9).unwrap();
    assert_eq!(counter.signal(), Some(9), "SIGKILL reaches a frozen process");
    assert!(!cgroup.is_frozen().unwrap(), "and leaves the cgroup thawed");
    cgroup.remove().unwrap();
    fs::remove_file(file).unwrap();
}

#[test]
fn a_cgroup_that_somebody_removed_is_empty() {
    let Some(area) = Area::new("removed") else { return };
    let cgroup = Cgroup::create(&area.mount, &area.path("c")).unwrap();
    fs::remove_dir(area.host("c")).unwrap();
    assert_eq!(cgroup.processes().unwrap(), []);
    cgroup.kill_all(15).unwrap();
    cgroup.kill_all(9).unwrap();
    cgroup.remove().unwrap();
}

#[test]
fn a_delegated_cgroup_belongs_to_the_container_but_its_limits_do_not() {
    let Some(area) = Area::new("delegate") else { return };
    if fs::metadata("/proc/self").unwrap().uid() != 0 || fs::read_to_string("/proc/self/uid_map").unwrap().trim().ends_with(" 1")
    {
        println!("skipped: only root with more than one id can give a file away");
        return;
    }
    let cgroup = Cgroup::create(&area.mount, &area.path("c")).unwrap();
    cgroup.delegate(2000).unwrap();
    let owner = |file: &str| fs::metadata(area.host("c").join(file)).map(|found| (found.uid(), found.gid())).unwrap();
    for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads", "memory.reclaim"] {
        if file == "memory.reclaim" && !area.host("c").join(file).exists() {
            continue;
        }
        assert_eq!(owner(file), (2000, 0), "{file}");
    }
    for file in ["cgroup.freeze", "cgroup.kill", "cgroup.max.depth"] {
        assert_eq!(owner(file), (0, 0), "{file}");
    }
}

#[test]
fn a_thaw_below_a_frozen_cgroup_says_so() {
    let Some(area) = Area::new("above") else { return };
    let below = Cgroup::create(&area.mount, &area.path("outer/inner")).unwrap();
    let outer = Cgroup::open(&area.mount, &area.path("outer")).unwrap();
    outer.freeze().unwrap();
    assert!(below.is_frozen().unwrap());
    outer.thaw().unwrap();
    assert!(!below.is_frozen().unwrap());
}

#[test]
fn a_tree_full_of_processes_is_removed_at_once() {
    let Some(area) = Area::new("full") else { return };
    let cgroup = Cgroup::create(&area.mount, &area.path("c")).unwrap();
    let mut running = Vec::new();
    for name in ["c/a", "c/a/1", "c/a/2", "c/b"] {
        fs::create_dir(area.host(name)).unwrap();
        running.push(Running::sleep().in_cgroup(&area.host(name)));
    }
    let begin = Instant::now();
    cgroup.remove().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert!(!area.host("c").exists());
    for process in running {
        assert_eq!(process.signal(), Some(9));
    }
}
