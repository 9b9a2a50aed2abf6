//! config-linux.md, network devices: moved from a network namespace of this case, so that the host's is untouched.

use crate::bench::Bench;
use crate::bundle::Bundle;
use crate::case::{Case, Clause, VALID_VALUES, Verdict, ensure, expect, fail, skip};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};
use std::process::Command;

const AVAILABLE: Clause = Clause::must(
    "config-linux.md, Network Devices",
    "netDevices - A set of network devices that MUST be made available in the container.",
);
const ADDRESSES: Clause = Clause::must(
    "config-linux.md, Network Devices",
    "The runtime MUST preserve existing network interface attributes, including all permanent IP addresses of any family with global scope.",
);
const UP: Clause = Clause::must(
    "config-linux.md, Network Devices",
    "The runtime MUST set the network device state to \"up\" after moving it to the network namespace.",
);
const TEMPLATE: Clause = Clause::must(
    "config-linux.md, Network Devices",
    "unless the user has provided a template by appending %d to the new name. In that case, the runtime MUST allow the move.",
);
const TAKEN: Clause = Clause::must(
    "config-linux.md, Network Devices",
    "If a network device with the specified name already exists in the container namespace, the runtime MUST generate an error.",
);

const AS_IF_NEVER: Clause = Clause::must(
    "runtime.md, Errors",
    "generating an error MUST leave the state of the environment as if the operation were never attempted.",
);

pub fn cases() -> Vec<Case> {
    vec![
        AVAILABLE.since(3, "linux.net-devices.moved", |bench| moved(bench, &json!({}), "wcf0")),
        AVAILABLE.since(3, "linux.net-devices.renamed", |bench| moved(bench, &json!({ "name": "inside0" }), "inside0")),
        TEMPLATE.since(3, "linux.net-devices.template", |bench| moved(bench, &json!({ "name": "tpl%d" }), "tpl0")),
        ADDRESSES.since(3, "linux.net-devices.addresses-kept", addresses),
        UP.since(3, "linux.net-devices.up", up),
        VALID_VALUES.since(3, "linux.net-devices.missing", missing),
        TAKEN.since(3, "linux.net-devices.name-taken", taken),
        AS_IF_NEVER.since(3, "linux.net-devices.name-taken.device-stays", taken_stays),
    ]
}

fn ip(arguments: &[&str]) -> Verdict<String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| skip(format!("ip(8) cannot be run: {error}")))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(fail(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))),
    }
}

/// A bundle that moves `wcf0`, one end of a pair in a network namespace of this case.
fn with_device(bench: &Bench, settings: &Value) -> Verdict<Bundle> {
    bench.needs_root("network devices of the runtime's namespace")?;
    unshare(CloneFlags::CLONE_NEWNET)?;
    ip(&["link", "add", "wcf0", "type", "veth", "peer", "name", "wcf1"])
        .map_err(|_| skip("this kernel makes no veth devices"))?;
    ip(&["address", "add", "192.0.2.7/24", "dev", "wcf0"])?;
    let mut bundle = bench.bundle()?;
    bundle.config["ociVersion"] = json!("1.3.0");
    bundle.config["linux"]["netDevices"] = json!({ "wcf0": settings });
    Ok(bundle)
}

fn moved(bench: &Bench, settings: &Value, name: &str) -> Verdict {
    let mut bundle = with_device(bench, settings)?;
    let report = bench.report(&mut bundle)?;
    let rows = report["interfaces"].as_array().cloned().unwrap_or_default();
    let seen: Vec<&str> = rows.iter().skip(2).filter_map(|row| row[0].as_str()).map(|word| word.trim_end_matches(':')).collect();
    ensure(seen.contains(&name), || format!("due is {name}, the container has {seen:?}"))?;
    expect("whether the device is still outside", &json!(ip(&["-o", "link"])?.contains("wcf0@")), &json!(false))
}

/// What ip(8) of the host says in the network namespace of a created container.
fn inside(bench: &Bench, bundle: &Bundle, arguments: &[&str]) -> Verdict<String> {
    let container = bench.create(bundle)?;
    let target = container.pid()?.as_raw_nonzero().to_string();
    let mut words = vec!["--target", &target, "--net", "ip"];
    words.extend(arguments);
    let output =
        Command::new("nsenter").args(&words).output().map_err(|error| skip(format!("nsenter cannot be run: {error}")))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn addresses(bench: &Bench) -> Verdict {
    let bundle = with_device(bench, &json!({}))?;
    let seen = inside(bench, &bundle, &["-o", "address", "show"])?;
    ensure(seen.contains("192.0.2.7/24"), || format!("the addresses inside are {seen:?}"))
}

fn up(bench: &Bench) -> Verdict {
    let bundle = with_device(bench, &json!({}))?;
    let seen = inside(bench, &bundle, &["-o", "link", "show"])?;
    let line = seen.lines().find(|line| line.contains("wcf0")).unwrap_or_default();
    let flags = line.split(['<', '>']).nth(1).unwrap_or_default();
    ensure(flags.split(',').any(|flag| flag == "UP"), || format!("the flags of the device are {flags:?}"))
}

fn missing(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["linux"]["netDevices"] = json!({ "nosuchdevice": {} });
    bench.refused(&bundle).map(drop)
}

fn taken(bench: &Bench) -> Verdict {
    let bundle = with_device(bench, &json!({ "name": "lo" }))?;
    bench.refused(&bundle).map(drop)
}

fn taken_stays(bench: &Bench) -> Verdict {
    let bundle = with_device(bench, &json!({ "name": "lo" }))?;
    bench.refused(&bundle)?;
    ensure(ip(&["-o", "link"])?.contains("wcf0@"), || "the refused create took the device".into())
}
