//! config-linux.md, offsets of a time namespace.

use crate::bench::Bench;
use crate::case::{Case, Clause, VALID_VALUES, Verdict, ensure, expect};
use crate::container::value;
use serde_json::json;

const OFFSETS: Clause =
    Clause::must("config-linux.md, Offset for Time Namespace", "timeOffsets sets the offset for Time Namespace: secs, nanosecs.");

pub fn cases() -> Vec<Case> {
    vec![
        OFFSETS.since(1, "linux.time-offsets.both-clocks", both_clocks),
        OFFSETS.since(1, "linux.time-offsets.negative", negative),
        VALID_VALUES.since(1, "linux.time-offsets.without-namespace", without_namespace),
        VALID_VALUES.since(1, "linux.time-offsets.unknown-clock", unknown_clock),
    ]
}

fn both_clocks(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.push("/linux/namespaces", json!({ "type": "time" }));
    bundle.config["linux"]["timeOffsets"] =
        json!({ "monotonic": { "secs": 7000, "nanosecs": 5 }, "boottime": { "secs": 90_000 } });
    let host = rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec;
    let answers = bench.ask(&mut bundle, &["report", "clocks"])?;
    expect("timens_offsets", &value(&answers[0])?["time_offsets"], &json!([["monotonic", 7000, 5], ["boottime", 90_000, 0]]))?;
    let inside = value(&answers[1])?["boottime"].as_i64().unwrap_or_default();
    ensure((90_000..90_010).contains(&(inside - host)), || format!("the boot time inside is {inside} s, outside {host} s"))
}

fn negative(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.push("/linux/namespaces", json!({ "type": "time" }));
    bundle.config["linux"]["timeOffsets"] = json!({ "boottime": { "secs": -3 } });
    let report = bench.report(&mut bundle)?;
    expect("timens_offsets", &report["time_offsets"][1], &json!(["boottime", -3, 0]))
}

fn without_namespace(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 10 } });
    bench.refused(&bundle).map(drop)
}

fn unknown_clock(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.push("/linux/namespaces", json!({ "type": "time" }));
    bundle.config["linux"]["timeOffsets"] = json!({ "realtime": { "secs": 10 } });
    bench.refused(&bundle).map(drop)
}
