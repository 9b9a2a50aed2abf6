//! config-linux.md, cgroupsPath: where the container's cgroup is.

use crate::bench::Bench;
use crate::case::{Case, Clause, Verdict, ensure, expect, skip};
use crate::container::Container;
use serde_json::json;
use std::path::Path;

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

pub fn cases() -> Vec<Case> {
    vec![
        ABSOLUTE.case("linux.cgroups-path.absolute", absolute),
        CONSISTENT.case("linux.cgroups-path.relative.consistent", |bench| consistent(bench, false)),
        CONSISTENT.case("linux.cgroups-path.absolute.consistent", |bench| consistent(bench, true)),
        REMOVED.case("linux.cgroups-path.removed", removed),
        NAMESPACED.case("linux.cgroups-path.cgroup-namespace-hides", hidden),
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
