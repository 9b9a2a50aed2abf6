//! Limits, written to the kernel and read back: with hugetlb, which a hybrid host has on cgroup2 too.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{Area, Running};
use std::fs;
use wolffia_cgroup::{Cgroup, CgroupError};
use wolffia_plan::resources::{CgroupWrite, IfAbsent, Resources, UsageCheck};

const MAX: &str = "hugetlb.2MB.max";

/// An area on a host whose cgroup2 has hugetlb, with pages of 2 MB.
fn area(test: &str) -> Option<Area> {
    let area = Area::new(test)?;
    if area.mount.join("cgroup.subtree_control").exists() && !area.host(MAX).exists() {
        println!("skipped: no hugetlb controller in {}", area.mount.display());
        return None;
    }
    Some(area)
}

fn write(file: &str, value: &str) -> CgroupWrite {
    let (controller, _) = file.split_once('.').unwrap();
    CgroupWrite {
        field: format!("/linux/resources/unified/{file}"),
        controller: controller.to_owned(),
        file: file.to_owned(),
        value: value.to_owned(),
        if_absent: IfAbsent::Fail,
    }
}

fn limit(cgroup: &Cgroup, writes: Vec<CgroupWrite>) -> Result<(), CgroupError> {
    cgroup.limit(&Resources { writes, ..Resources::default() })
}

#[test]
fn values_read_back_are_the_values_asked_for() {
    let Some(area) = area("values") else { return };
    let cgroup = Cgroup::create(&area.mount, &area.path("a/b/c")).unwrap();
    let read = |file: &str| fs::read_to_string(area.host("a/b/c").join(file)).unwrap().trim_end().to_owned();
    limit(&cgroup, vec![write(MAX, "4194304"), write("hugetlb.2MB.rsvd.max", "2097152"), write("cgroup.max.depth", "3")])
        .unwrap();
    assert_eq!(
        (read(MAX), read("hugetlb.2MB.rsvd.max"), read("cgroup.max.depth")),
        ("4194304".into(), "2097152".into(), "3".into())
    );
    limit(&cgroup, vec![write(MAX, "max")]).unwrap();
    assert_eq!(read(MAX), "max");
}

#[test]
fn a_controller_is_handed_down_when_a_limit_needs_it() {
    let Some(area) = area("down") else { return };
    let cgroup = Cgroup::create(&area.mount, &area.path("a/b")).unwrap();
    fs::write(area.host("a/cgroup.subtree_control"), "-hugetlb").unwrap();
    assert!(!area.host("a/b").join(MAX).exists());
    limit(&cgroup, vec![write(MAX, "0")]).unwrap();
    assert_eq!(fs::read_to_string(area.host("a/b").join(MAX)).unwrap(), "0\n");
}

#[test]
fn a_cgroup_with_processes_hands_nothing_down_and_the_error_says_so() {
    let Some(area) = area("busy") else { return };
    let cgroup = Cgroup::create(&area.mount, &area.path("a/b")).unwrap();
    let enabled = fs::read_to_string(area.host("a/cgroup.subtree_control")).unwrap();
    for controller in enabled.split_whitespace() {
        fs::write(area.host("a/cgroup.subtree_control"), format!("-{controller}")).unwrap();
    }
    let _sleeper = Running::sleep().in_cgroup(&area.host("a"));
    let error = limit(&cgroup, vec![write(MAX, "0")]).unwrap_err().to_string();
    let start = format!(
        "cannot set {MAX} of cgroup {0}/b (/linux/resources/unified/{MAX}): the hugetlb controller ends at cgroup {0}: ",
        format_args!("/{}", area.path("a"))
    );
    assert!(error.starts_with(&start), "{error}");
    assert!(error.contains("systemd-run --user --scope -p Delegate=yes"), "{error}");
}

#[test]
fn a_controller_that_the_kernel_keeps_elsewhere_is_named() {
    let Some(area) = Area::new("elsewhere") else { return };
    if fs::read_to_string(area.mount.join("cgroup.controllers")).unwrap().contains("memory") {
        println!("skipped: memory is on cgroup2 here");
        return;
    }
    let cgroup = Cgroup::create(&area.mount, &area.path("c")).unwrap();
    let error = limit(&cgroup, vec![write("memory.max", "1000000")]).unwrap_err();
    assert!(matches!(&error, CgroupError::NoController { at, .. } if at == "/"));
    let root_of_all = !area.mount.join("cgroup.events").exists();
    let cure = if root_of_all { "cgroup_no_v1=all" } else { "the host gives this container no memory controller" };
    assert!(error.to_string().contains(cure), "{error}");
}

#[test]
fn an_absent_file_means_what_the_plan_says() {
    let Some(area) = area("absent") else { return };
    let cgroup = Cgroup::create(&area.mount, &area.path("c")).unwrap();
    let none = || write("hugetlb.3MB.max", "1");
    let error = limit(&cgroup, vec![none()]).unwrap_err();
    assert!(error.to_string().contains("hugetlb.3MB.max of cgroup") && error.to_string().contains("no such file"), "{error}");
    limit(&cgroup, vec![CgroupWrite { if_absent: IfAbsent::Skip, ..none() }]).unwrap();
    let other = IfAbsent::Instead { file: MAX.to_owned(), value: "2097152".to_owned() };
    limit(&cgroup, vec![CgroupWrite { if_absent: other, ..none() }]).unwrap();
    assert_eq!(fs::read_to_string(area.host("c").join(MAX)).unwrap(), "2097152\n");
}

#[test]
fn a_value_that_the_kernel_refuses_is_shown_with_its_field() {
    let Some(area) = area("refused") else { return };
    let cgroup = Cgroup::create(&area.mount, &area.path("c")).unwrap();
    let error = limit(&cgroup, vec![write(MAX, "many")]).unwrap_err();
    let start = format!(
        "cannot write \"many\" to {MAX} of cgroup /{} (/linux/resources/unified/{MAX}, hugetlb controller): ",
        area.path("c")
    );
    assert!(error.to_string().starts_with(&start), "{error}");
    assert_eq!(error.errno(), Some(wolffia_sys::Errno::EINVAL));
}

#[test]
fn a_limit_below_the_usage_is_rejected_before_anything_is_written() {
    let Some(area) = area("usage") else { return };
    let cgroup = Cgroup::create(&area.mount, &area.path("c")).unwrap();
    let check = |limit, usage_file: &str| Resources {
        checks: vec![UsageCheck { field: "f".into(), limit_name: "memory".into(), limit, usage_file: usage_file.into() }],
        writes: vec![write(MAX, "0")],
        ..Resources::default()
    };
    let error = cgroup.limit(&check(0, "hugetlb.2MB.current")).unwrap_err();
    assert_eq!(error.to_string(), "rejecting memory limit 0 <= usage 0");
    assert_ne!(fs::read_to_string(area.host("c").join(MAX)).unwrap(), "0\n");
    cgroup.limit(&check(1, "hugetlb.2MB.current")).unwrap();
    cgroup.limit(&check(0, "memory.none")).unwrap();
}

/// Also what comes after the limit that fails, and what was not there to be read, which is named.
#[test]
fn an_update_that_fails_is_undone() {
    let Some(area) = area("undone") else { return };
    let cgroup = Cgroup::create(&area.mount, &area.path("c")).unwrap();
    let read = |file: &str| fs::read_to_string(area.host("c").join(file)).unwrap().trim_end().to_owned();
    limit(&cgroup, vec![write(MAX, "4194304")]).unwrap();
    let writes = vec![write(MAX, "0"), write("hugetlb.2MB.rsvd.max", "2097152"), write("cgroup.max.depth", "deep")];
    let earlier = cgroup.earlier(&writes);
    limit(&cgroup, writes).unwrap_err();
    assert_eq!((read(MAX), read("hugetlb.2MB.rsvd.max")), ("0".into(), "2097152".into()));
    assert_eq!(cgroup.put_back(&earlier), Vec::<String>::new());
    assert_eq!(
        (read(MAX), read("hugetlb.2MB.rsvd.max"), read("cgroup.max.depth")),
        ("4194304".into(), "max".into(), "max".into())
    );

    fs::write(area.host("cgroup.subtree_control"), "-hugetlb").unwrap();
    let writes = vec![write(MAX, "0")];
    let earlier = cgroup.earlier(&writes);
    limit(&cgroup, writes).unwrap();
    assert_eq!(cgroup.put_back(&earlier), [MAX]);
}
