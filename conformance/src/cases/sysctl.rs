//! config-linux.md, sysctl: what belongs to the container's namespaces, and nothing else.

use crate::bench::Bench;
use crate::case::{Case, Clause, VALID_VALUES, Verdict, expect};
use crate::container::value;
use serde_json::json;

const SYSCTL: Clause =
    Clause::must("config-linux.md, Sysctl", "sysctl allows kernel parameters to be modified at runtime for the container.");
const NOT_NAMESPACED: Clause =
    Clause::contract("every engine; CVE-2022-0532", "A parameter of the host is refused, not set for the host.");

pub fn cases() -> Vec<Case> {
    vec![
        SYSCTL.case("linux.sysctl.network", |bench| set(bench, "net.core.somaxconn", "/proc/sys/net/core/somaxconn", "257")),
        SYSCTL.case("linux.sysctl.ipc", |bench| set(bench, "kernel.shmmax", "/proc/sys/kernel/shmmax", "1234567")),
        SYSCTL.case("linux.sysctl.slashes", |bench| set(bench, "net/core/somaxconn", "/proc/sys/net/core/somaxconn", "258")),
        NOT_NAMESPACED
            .case("linux.sysctl.not-namespaced", |bench| refused(bench, "vm.swappiness", "/proc/sys/vm/swappiness", None)),
        NOT_NAMESPACED.case("linux.sysctl.network-of-host", |bench| {
            refused(bench, "net.core.somaxconn", "/proc/sys/net/core/somaxconn", Some("network"))
        }),
        NOT_NAMESPACED
            .case("linux.sysctl.ipc-of-host", |bench| refused(bench, "kernel.shmmax", "/proc/sys/kernel/shmmax", Some("ipc"))),
        VALID_VALUES.case("linux.sysctl.unknown", unknown),
    ]
}

fn set(bench: &Bench, name: &str, file: &str, text: &str) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["linux"]["sysctl"] = json!({ name: text });
    let answers = bench.ask(&mut bundle, &[&format!("cat {file}")])?;
    expect(file, &json!(value(&answers[0])?.as_str().unwrap_or_default().trim()), &json!(text))
}

/// Asks for the value that the host has anyway, so that a runtime that accepts it changes nothing.
fn refused(bench: &Bench, name: &str, file: &str, inherited: Option<&str>) -> Verdict {
    let mut bundle = bench.bundle()?;
    if let Some(kind) = inherited {
        bundle.namespace(kind, None);
    }
    bundle.config["linux"]["sysctl"] = json!({ name: std::fs::read_to_string(file)?.trim() });
    bench.refused(&bundle).map(drop)
}

fn unknown(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["linux"]["sysctl"] = json!({ "net.no.such.parameter": "1" });
    bench.refused(&bundle).map(drop)
}
