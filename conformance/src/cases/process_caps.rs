//! config.md, process.capabilities: five sets, exactly.

use crate::bench::Bench;
use crate::case::{Case, Clause, Verdict, ensure, expect, skip};
use serde_json::{Value, json};

const SETS: Clause = Clause::must(
    "config.md, Linux Process",
    "capabilities is an object containing arrays that specifies the sets of capabilities for the process.",
);
const UNMAPPABLE: Clause = Clause::must(
    "config.md, Linux Process",
    "Any value which cannot be mapped to a relevant kernel interface […] MUST be logged as a warning by the runtime. (runtime.md, Warnings: it MUST continue as if the warning had not been logged.)",
);
const NOT_GRANTED: Clause = Clause::should(
    "config.md, Linux Process",
    "Runtimes SHOULD NOT fail if the container configuration requests capabilities that cannot be granted.",
);
const OMITTED: Clause = Clause::should("youki #3434", "A configuration without capabilities grants none, in any set.");

pub fn cases() -> Vec<Case> {
    vec![
        SETS.case("process.capabilities.five-sets", five_sets),
        SETS.case("process.capabilities.empty", empty),
        SETS.case("process.capabilities.ambient-for-user", ambient),
        OMITTED.case("process.capabilities.omitted", omitted),
        UNMAPPABLE.since(1, "process.capabilities.unknown-name", unknown),
        NOT_GRANTED.since(1, "process.capabilities.not-grantable", not_grantable),
    ]
}

/// Every capability without its `CAP_`, in the order of the kernel's numbers (capability.h).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

fn bits(names: &[&str]) -> u64 {
    let number = |name: &&str| NAMES.iter().position(|known| name.strip_prefix("CAP_") == Some(*known));
    names.iter().filter_map(number).map(|number| 1_u64 << number).sum()
}

/// Whether this process could grant a capability to a container without a user namespace.
pub fn is_grantable(name: &str) -> std::io::Result<bool> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let own = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).map(str::trim).unwrap_or_default();
    Ok(u64::from_str_radix(own, 16).unwrap_or(u64::MAX) & bits(&[name]) != 0)
}

fn five_sets(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let bounding = ["CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW"];
    let permitted = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let few = ["CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let one = ["CAP_NET_BIND_SERVICE"];
    bundle.config["process"]["capabilities"] =
        json!({ "bounding": bounding, "permitted": permitted, "effective": permitted, "inheritable": few, "ambient": one });
    let seen = &bench.report(&mut bundle)?["capabilities"];
    expect("the bounding set", &seen["bounding"], &json!(bits(&bounding)))?;
    expect("the inheritable set", &seen["inheritable"], &json!(bits(&few)))?;
    expect("the ambient set", &seen["ambient"], &json!(bits(&one)))?;
    // With an ambient set execve(2) gives root no more than the ambient capabilities and those of the file.
    let permitted_seen = seen["permitted"].as_u64().unwrap_or_default();
    ensure(permitted_seen & !bits(&bounding) == 0 && permitted_seen & bits(&one) != 0, || {
        format!("the permitted set is {permitted_seen:#x}")
    })
}

fn sets(bench: &Bench, capabilities: Option<Value>) -> Verdict<Value> {
    let mut bundle = bench.bundle()?;
    match (capabilities, bundle.config["process"].as_object_mut()) {
        (Some(capabilities), Some(process)) => drop(process.insert("capabilities".into(), capabilities)),
        (None, Some(process)) => drop(process.remove("capabilities")),
        (_, None) => {}
    }
    Ok(bench.report(&mut bundle)?["capabilities"].clone())
}

const NOTHING: [&str; 5] = ["ambient", "bounding", "effective", "inheritable", "permitted"];

fn empty(bench: &Bench) -> Verdict {
    let none: Value = NOTHING.iter().map(|name| ((*name).to_owned(), json!([]))).collect::<serde_json::Map<_, _>>().into();
    let seen = sets(bench, Some(none))?;
    NOTHING.iter().try_for_each(|name| expect(name, &seen[name], &json!(0)))
}

fn omitted(bench: &Bench) -> Verdict {
    let seen = sets(bench, None)?;
    NOTHING.iter().try_for_each(|name| expect(name, &seen[name], &json!(0)))
}

fn ambient(bench: &Bench) -> Verdict {
    bench.needs_many_ids()?;
    let mut bundle = bench.bundle()?;
    let one = ["CAP_NET_BIND_SERVICE"];
    bundle.config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    bundle.config["process"]["capabilities"] =
        json!({ "bounding": one, "permitted": one, "effective": one, "inheritable": one, "ambient": one });
    let seen = &bench.report(&mut bundle)?["capabilities"];
    NOTHING.iter().try_for_each(|name| expect(name, &seen[name], &json!(bits(&one))))
}

fn unknown(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    for set in ["bounding", "effective", "permitted"] {
        bundle.config["process"]["capabilities"][set] = json!(["CAP_KILL", "CAP_WOLFFIA_TEST"]);
    }
    // Where a warning goes is left to the runtime, so that all goes on as without it is what can be judged.
    let seen = bench.report(&mut bundle)?;
    expect("the effective set", &seen["capabilities"]["effective"], &json!(bits(&["CAP_KILL"])))
}

fn not_grantable(bench: &Bench) -> Verdict {
    bench.needs_root("a new user namespace grants every capability")?;
    // The one that virtual machines and outer containers are most often without.
    if is_grantable("CAP_SYS_RESOURCE")? {
        return Err(skip("this process can grant CAP_SYS_RESOURCE"));
    }
    let mut bundle = bench.bundle()?;
    for set in ["bounding", "effective", "permitted"] {
        bundle.config["process"]["capabilities"][set] = json!(["CAP_KILL", "CAP_SYS_RESOURCE"]);
    }
    let seen = bench.report(&mut bundle)?;
    expect("the effective set", &seen["capabilities"]["effective"], &json!(bits(&["CAP_KILL"])))
}
