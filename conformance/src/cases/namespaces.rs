//! config-linux.md, namespaces: new ones, joined ones, inherited ones, and the mappings of a user namespace.

use crate::bench::Bench;
use crate::case::{Case, Clause, VALID_VALUES, Verdict, ensure, expect};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

const NEW: Clause = Clause::must(
    "config-linux.md, Namespaces",
    "If path is not specified, the runtime MUST create a new container namespace of type type.",
);
const JOIN: Clause = Clause::must(
    "config-linux.md, Namespaces",
    "The runtime MUST place the container process in the namespace associated with that path.",
);
const WRONG_TYPE: Clause = Clause::must(
    "config-linux.md, Namespaces",
    "The runtime MUST generate an error if path is not associated with a namespace of type type.",
);
const ABSOLUTE: Clause =
    Clause::must("config-linux.md, Namespaces", "This value MUST be an absolute path in the runtime mount namespace.");
const DUPLICATE: Clause = Clause::must(
    "config-linux.md, Namespaces",
    "If a namespaces field contains duplicated namespaces with same type, the runtime MUST generate an error.",
);
const INHERIT: Clause = Clause::must(
    "config-linux.md, Namespaces",
    "If a namespace type is not specified in the namespaces array, the container MUST inherit the runtime namespace of that type.",
);
const MAPPINGS: Clause = Clause::must(
    "config-linux.md, User namespace mappings",
    "uidMappings / gidMappings describes the user namespace uid / gid mappings from the host to the container.",
);
const OWNERSHIP: Clause = Clause::should(
    "config-linux.md, User namespace mappings",
    "The runtime SHOULD NOT modify the ownership of referenced filesystems to realize the mapping.",
);

/// The names of config.json and of /proc/PID/ns, and the release that brought the type.
const KINDS: [(&str, &str, u32); 7] = [
    ("pid", "pid", 0),
    ("network", "net", 0),
    ("mount", "mnt", 0),
    ("ipc", "ipc", 0),
    ("uts", "uts", 0),
    ("cgroup", "cgroup", 0),
    ("time", "time", 1),
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, file, minor) in KINDS {
        cases.push(NEW.since(minor, format!("namespaces.new.{kind}"), move |bench| new(bench, kind, file)));
        cases.push(JOIN.since(minor, format!("namespaces.join.{kind}"), move |bench| match kind {
            "mount" => join_mount(bench),
            _ => join(bench, kind, file),
        }));
    }
    cases.extend(
        [("network", "net"), ("ipc", "ipc"), ("uts", "uts")]
            .map(|(kind, file)| INHERIT.case(format!("namespaces.inherit.{kind}"), move |bench| inherit(bench, kind, file))),
    );
    cases.extend([
        NEW.case("namespaces.new.user", |bench| user_namespace(bench).map(drop)),
        MAPPINGS.case("namespaces.user.mappings", mappings),
        MAPPINGS.case("namespaces.user.own-mapping", own_mapping),
        OWNERSHIP.case("namespaces.user.ownership-untouched", ownership),
        INHERIT.case("namespaces.inherit.pid", inherit_pid),
        JOIN.case("namespaces.join.user-and-network", join_user),
        WRONG_TYPE.case("namespaces.path.of-wrong-type", |bench| path_refused(bench, "ipc", "/proc/self/ns/uts")),
        WRONG_TYPE.case("namespaces.path.of-plain-file", |bench| path_refused(bench, "ipc", "/etc/passwd")),
        WRONG_TYPE.case("namespaces.path.missing", |bench| path_refused(bench, "network", "/no/such/namespace")),
        ABSOLUTE.case("namespaces.path.relative", |bench| path_refused(bench, "ipc", "ns/ipc")),
        DUPLICATE.case("namespaces.duplicate", duplicate),
        VALID_VALUES.case("namespaces.unknown-type", |bench| {
            let mut bundle = bench.bundle()?;
            bundle.push("/linux/namespaces", json!({ "type": "test" }));
            bench.refused(&bundle).map(drop)
        }),
    ]);
    cases
}

fn own(file: &str) -> Verdict<Value> {
    Ok(json!(std::fs::read_link(format!("/proc/self/ns/{file}"))?))
}

fn new(bench: &Bench, kind: &str, file: &str) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.namespace(kind, None);
    bundle.push("/linux/namespaces", json!({ "type": kind }));
    let seen = bench.report(&mut bundle)?["namespaces"][file].clone();
    ensure(seen.is_string() && seen != own(file)?, || format!("the {kind} namespace is {seen}, the runtime's own"))
}

/// A first container makes the namespace that the second joins: nearly every type can be had that way.
fn join(bench: &Bench, kind: &str, file: &str) -> Verdict {
    bench.needs_root("namespaces of another user namespace")?;
    let mut first = bench.bundle()?;
    first.namespace(kind, None);
    first.push("/linux/namespaces", json!({ "type": kind }));
    let holder = bench.running(&mut first)?;
    joins(bench, kind, &format!("/proc/{}/ns/{file}", holder.pid()?.as_raw_nonzero()), file)
}

/// A mount namespace with the host's files: in one of a container neither the bundle nor a fitting /proc can be found.
fn join_mount(bench: &Bench) -> Verdict {
    bench.needs_root("a mount namespace of the host")?;
    let mut holder = Command::new(bench.payload()).args(["own-mounts", "--", "sleep", "30"]).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    if let Some(stdout) = holder.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    let verdict = joins(bench, "mount", &format!("/proc/{}/ns/mnt", holder.id()), "mnt");
    holder.kill()?;
    holder.wait()?;
    verdict
}

fn joins(bench: &Bench, kind: &str, path: &str, file: &str) -> Verdict {
    let link = json!(std::fs::read_link(path)?);
    let mut bundle = bench.bundle()?;
    bundle.namespace(kind, Some(path));
    expect(&format!("the joined {kind} namespace"), &bench.report(&mut bundle)?["namespaces"][file], &link)
}

/// What rootless engines do for pods: the user namespace and one of its network namespaces.
fn join_user(bench: &Bench) -> Verdict {
    let mut first = bench.bundle()?;
    if bench.who.is_root() {
        add_user_namespace(&mut first.config);
    }
    let holder = bench.running(&mut first)?;
    let pid = holder.pid()?.as_raw_nonzero();
    let mut second = bench.bundle()?;
    let mut due = Vec::new();
    for (kind, file) in [("user", "user"), ("network", "net")] {
        let path = format!("/proc/{pid}/ns/{file}");
        due.push(json!(std::fs::read_link(&path)?));
        second.namespace(kind, Some(&path));
    }
    for name in ["uidMappings", "gidMappings"] {
        if let Some(linux) = second.config["linux"].as_object_mut() {
            linux.remove(name);
        }
    }
    let seen = bench.report(&mut second)?["namespaces"].clone();
    expect("the user and the network namespace", &json!([seen["user"], seen["net"]]), &json!(due))
}

fn inherit(bench: &Bench, kind: &str, file: &str) -> Verdict {
    if bench.who.mappings.is_some() && kind == "network" {
        bench.needs_root("a sysfs or procfs for a network namespace that is not its own")?;
    }
    let mut bundle = bench.bundle()?;
    bundle.namespace(kind, None);
    if kind == "ipc" {
        // mqueue and shm of a foreign ipc namespace are not ours to mount.
        if let Some(mounts) = bundle.config["mounts"].as_array_mut() {
            mounts.retain(|mount| mount["destination"] != "/dev/shm");
        }
    }
    expect(&format!("the {kind} namespace"), &bench.report(&mut bundle)?["namespaces"][file], &own(file)?)
}

fn inherit_pid(bench: &Bench) -> Verdict {
    bench.needs_root("a procfs of a pid namespace that is not its own")?;
    inherit(bench, "pid", "pid")
}

fn add_user_namespace(config: &mut Value) {
    if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        namespaces.push(json!({ "type": "user" }));
    }
    config["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
    config["linux"]["gidMappings"] = json!([{ "containerID": 0, "hostID": 200_000, "size": 1000 }]);
}

fn user_namespace(bench: &Bench) -> Verdict<Value> {
    let mut bundle = bench.bundle()?;
    if bench.who.is_root() {
        add_user_namespace(&mut bundle.config);
    }
    let report = bench.report(&mut bundle)?;
    let seen = &report["namespaces"]["user"];
    ensure(seen.is_string() && *seen != own("user")?, || format!("the user namespace is {seen}, the runtime's own"))?;
    Ok(report)
}

fn mappings(bench: &Bench) -> Verdict {
    bench.needs_root("mappings of any range")?;
    let report = user_namespace(bench)?;
    expect("uid_map", &report["uid_map"], &json!([[0, 100_000, 1000]]))?;
    expect("gid_map", &report["gid_map"], &json!([[0, 200_000, 1000]]))
}

fn own_mapping(bench: &Bench) -> Verdict {
    let report = user_namespace(bench)?;
    expect("the user inside", &report["uids"][0], &json!(0))?;
    expect("the first id that is mapped", &report["uid_map"][0][0], &json!(0))
}

fn ownership(bench: &Bench) -> Verdict {
    use std::os::unix::fs::MetadataExt as _;
    let mut bundle = bench.bundle()?;
    if bench.who.is_root() {
        add_user_namespace(&mut bundle.config);
    }
    bundle.file("data/file", "text")?;
    let before = std::fs::metadata(bundle.inside("data/file"))?.uid();
    bench.report(&mut bundle)?;
    let after = std::fs::metadata(bundle.inside("data/file"))?.uid();
    expect("the owner of a file of the root file system", &json!(after), &json!(before))
}

fn path_refused(bench: &Bench, kind: &str, path: &str) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.namespace(kind, Some(path));
    bench.refused(&bundle).map(drop)
}

fn duplicate(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.push("/linux/namespaces", json!({ "type": "uts" }));
    bench.refused(&bundle).map(drop)
}
