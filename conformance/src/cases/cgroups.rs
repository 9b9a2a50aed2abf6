//! config-linux.md, cgroupsPath: where the container's cgroup is.

use crate::bench::Bench;
use crate::case::{Case, Clause, Verdict, ensure, expect, skip};
use crate::container::Container;
use serde_json::json;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

const ABSOLUTE: Clause = Clause::must(
    "config-linux.md, Cgroups Path",
    "In the case of an absolute path, the runtime MUST take the path to be relative to the cgroups mount point.",
);
const CONSISTENT: Clause = Clause::must(
    "config-linux.md, Cgroups Path",
    "the runtime MUST consistently attach to the same place in the cgroups hierarchy given the same value of cgroupsPath.",
);
const REMOVED: Clause = Clause::must(
    "runtime.md, Delete",
    "Deleting a container MUST delete the resources that were created during the create step.",
);
const NAMESPACED: Clause =
    Clause::must("config-linux.md, Namespaces", "cgroup the container will have an isolated view of the cgroup hierarchy.");

const OWNED: Clause = Clause::should(
    "config-linux.md, Cgroup ownership",
    "Runtimes SHOULD change the cgroup ownership if and only if the cgroup filesystem is to be mounted read/write",
);
const NOT_THE_REST: Clause =
    Clause::should("config-linux.md, Cgroup ownership", "The runtime SHOULD NOT change the ownership of any other files.");
const NAMESPACE_FIRST: Clause = Clause::should(
    "config-linux.md, Cgroup ownership",
    "A runtime SHOULD NOT change the ownership of a container cgroup unless it will also create a new cgroup namespace for the container.",
);

pub fn cases() -> Vec<Case> {
    vec![
        ABSOLUTE.case("linux.cgroups-path.absolute", absolute),
        CONSISTENT.case("linux.cgroups-path.relative.consistent", |bench| consistent(bench, false)),
        CONSISTENT.case("linux.cgroups-path.absolute.consistent", |bench| consistent(bench, true)),
        REMOVED.case("linux.cgroups-path.removed", removed),
        NAMESPACED.case("linux.cgroups-path.cgroup-namespace-hides", hidden),
        OWNED.case("linux.cgroup-ownership.writable", |bench| owned_by(bench, &["nosuid"], true, CONTAINERS)),
        OWNED.case("linux.cgroup-ownership.readonly", |bench| owned_by(bench, &["nosuid", "ro"], true, 0)),
        NAMESPACE_FIRST.case("linux.cgroup-ownership.no-namespace", |bench| owned_by(bench, &["nosuid"], false, 0)),
        NOT_THE_REST.case("linux.cgroup-ownership.not-the-limits", limits_are_not_given),
    ]
}

/// Only root may choose any place; a user's place depends on what was delegated.
fn needs_cgroups(bench: &Bench) -> Verdict {
    bench.needs_root("a place of choice in the cgroups")?;
    if Path::new("/sys/fs/cgroup").exists() { Ok(()) } else { Err(skip("no cgroup file system is mounted")) }
}

/// A name that only this case uses.
fn name(bench: &Bench) -> String {
    format!("wolffia-conformance-{}", bench.id())
}

fn created<'bench>(bench: &'bench Bench, path: &str) -> Verdict<(Container<'bench>, String)> {
    let mut bundle = bench.bundle()?;
    bundle.config["linux"]["cgroupsPath"] = json!(path);
    let container = bench.create(&bundle)?;
    let seen = std::fs::read_to_string(format!("/proc/{}/cgroup", container.pid()?.as_raw_nonzero()))?;
    Ok((container, seen))
}

fn absolute(bench: &Bench) -> Verdict {
    needs_cgroups(bench)?;
    let path = format!("/{}", name(bench));
    let (_container, seen) = created(bench, &path)?;
    let places: Vec<&str> = seen.lines().filter_map(|line| line.splitn(3, ':').nth(2)).collect();
    ensure(places.contains(&path.as_str()), || format!("due is {path}, the process is in {places:?}"))?;
    ensure(places.iter().all(|place| *place == path || !place.contains("wolffia-conformance-conformance")), || {
        format!("{places:?}")
    })
}

fn consistent(bench: &Bench, absolute: bool) -> Verdict {
    needs_cgroups(bench)?;
    let path = format!("{}{}", if absolute { "/" } else { "" }, name(bench));
    let (first, one) = created(bench, &path)?;
    first.stop()?;
    first.delete()?.success("delete")?;
    let (_second, other) = created(bench, &path)?;
    expect("the place of the second container", &json!(other), &json!(one))
}

fn removed(bench: &Bench) -> Verdict {
    needs_cgroups(bench)?;
    let name = name(bench);
    let (container, _) = created(bench, &format!("/{name}"))?;
    container.stop()?;
    container.delete()?.success("delete")?;
    let mut hierarchies = vec![Path::new("/sys/fs/cgroup").to_owned()];
    hierarchies.extend(std::fs::read_dir("/sys/fs/cgroup")?.flatten().map(|entry| entry.path()));
    let left: Vec<_> = hierarchies.iter().map(|place| place.join(&name)).filter(|path| path.exists()).collect();
    ensure(left.is_empty(), || format!("delete left {left:?}"))
}

fn hidden(bench: &Bench) -> Verdict {
    needs_cgroups(bench)?;
    let mut bundle = bench.bundle()?;
    let name = name(bench);
    bundle.config["linux"]["cgroupsPath"] = json!(format!("/{name}"));
    bundle.push("/linux/namespaces", json!({ "type": "cgroup" }));
    let seen = bench.report(&mut bundle)?["cgroup"].clone();
    let text = seen.as_str().unwrap_or_default();
    ensure(!text.contains(&name) && text.contains(":/"), || format!("/proc/self/cgroup shows the place on the host: {text:?}"))
}

/// Whose the program is in the cases about ownership.
const CONTAINERS: u32 = 2345;

/// A container of that user's, and its cgroup on the host.
fn shown<'bench>(bench: &'bench Bench, options: &[&str], namespaced: bool) -> Verdict<(Container<'bench>, PathBuf)> {
    needs_cgroups(bench)?;
    let top = Path::new("/sys/fs/cgroup");
    if !top.join("cgroup.procs").exists() {
        return Err(skip("cgroup v1 is in use: judge with --view v2"));
    }
    let mut bundle = bench.bundle()?;
    let name = name(bench);
    bundle.config["linux"]["cgroupsPath"] = json!(format!("/{name}"));
    bundle.config["process"]["user"] = json!({ "uid": CONTAINERS, "gid": 0 });
    if namespaced {
        bundle.push("/linux/namespaces", json!({ "type": "cgroup" }));
    }
    bundle.mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]);
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", options);
    Ok((bench.create(&bundle)?, top.join(name)))
}

fn owned_by(bench: &Bench, options: &[&str], namespaced: bool, due: u32) -> Verdict {
    let (_container, cgroup) = shown(bench, options, namespaced)?;
    for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
        let owner = std::fs::metadata(cgroup.join(file))?.uid();
        ensure(owner == due, || format!("{:?} belongs to user {owner}; due is {due}", cgroup.join(file)))?;
    }
    Ok(())
}

fn limits_are_not_given(bench: &Bench) -> Verdict {
    let (_container, cgroup) = shown(bench, &["nosuid"], true)?;
    let given = std::fs::read_to_string("/sys/kernel/cgroup/delegate")?;
    for entry in std::fs::read_dir(&cgroup)? {
        let entry = entry?;
        let name = entry.file_name();
        let may = given.lines().any(|line| name == line) || entry.file_type()?.is_dir();
        ensure(may || entry.metadata()?.uid() == 0, || format!("{name:?} belongs to the container's user"))?;
    }
    Ok(())
}
