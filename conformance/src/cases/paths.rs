//! config-linux.md: masked paths, read-only paths, propagation of the root.

use crate::bench::{Bench, mount_at};
use crate::bundle::Bundle;
use crate::case::{Case, Clause, Verdict, ensure, expect};
use crate::container::value;
use crate::view::private_mounts;
use rustix::mount::{MountPropagationFlags, mount_change};
use serde_json::{Value, json};

const MASKED: Clause = Clause::must(
    "config-linux.md, Masked Paths",
    "maskedPaths will mask over the provided paths inside the container so that they cannot be read.",
);
const MASKED_ABSOLUTE: Clause =
    Clause::must("config-linux.md, Masked Paths", "The values MUST be absolute paths in the container namespace.");
const READONLY: Clause = Clause::must(
    "config-linux.md, Readonly Paths",
    "readonlyPaths will set the provided paths as readonly inside the container.",
);
const READONLY_ABSOLUTE: Clause =
    Clause::must("config-linux.md, Readonly Paths", "The values MUST be absolute paths in the container namespace.");
const PROPAGATION: Clause = Clause::must(
    "config-linux.md, Rootfs Mount Propagation",
    "rootfsPropagation sets the rootfs's mount propagation. Its value is either shared, slave, private or unbindable.",
);

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        MASKED.case("linux.masked-paths.file", masked_file),
        MASKED.case("linux.masked-paths.folder", masked_folder),
        MASKED.case("linux.masked-paths.missing", |bench| missing(bench, "maskedPaths")),
        MASKED_ABSOLUTE.case("linux.masked-paths.relative", |bench| relative(bench, "maskedPaths")),
        READONLY.case("linux.readonly-paths.file", |bench| readonly(bench, "/data/secret", "write /data/secret text")),
        READONLY.case("linux.readonly-paths.folder", |bench| readonly(bench, "/data", "write /data/new text")),
        READONLY.case("linux.readonly-paths.proc-sys", |bench| {
            readonly(bench, "/proc/sys", "write /proc/sys/kernel/domainname text")
        }),
        READONLY.case("linux.readonly-paths.missing", |bench| missing(bench, "readonlyPaths")),
        READONLY_ABSOLUTE.case("linux.readonly-paths.relative", |bench| relative(bench, "readonlyPaths")),
    ];
    cases.extend([("private", ""), ("shared", "shared:"), ("slave", "master:"), ("unbindable", "unbindable")].map(
        |(value, shown)| {
            PROPAGATION.case(format!("linux.rootfs-propagation.{value}"), move |bench| propagation(bench, value, shown))
        },
    ));
    cases
}

fn with_secret(bench: &Bench) -> Verdict<Bundle> {
    let bundle = bench.bundle()?;
    bundle.file("data/secret", "the secret")?;
    Ok(bundle)
}

fn masked_file(bench: &Bench) -> Verdict {
    let mut bundle = with_secret(bench)?;
    bundle.config["linux"]["maskedPaths"] = json!(["/data/secret"]);
    let answer = bench.ask(&mut bundle, &["cat /data/secret"])?.remove(0);
    ensure(answer["ok"] != "the secret", || "the masked file can be read".into())
}

fn masked_folder(bench: &Bench) -> Verdict {
    let mut bundle = with_secret(bench)?;
    bundle.config["linux"]["maskedPaths"] = json!(["/data"]);
    let answers = bench.ask(&mut bundle, &["cat /data/secret", "ls /data", "write /data/new text"])?;
    ensure(answers[0]["err"].is_string(), || "a file below the masked folder can be read".into())?;
    ensure(answers[1]["ok"] == json!([]) || answers[1]["err"].is_string(), || format!("the masked folder shows {}", answers[1]))?;
    ensure(!bundle.inside("data/new").exists(), || "what is written to the masked folder reaches the image".into())
}

fn missing(bench: &Bench, property: &str) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["linux"][property] = json!(["/no/such/path", "/proc/no-such-file"]);
    bench.report(&mut bundle).map(drop)
}

fn relative(bench: &Bench, property: &str) -> Verdict {
    let mut bundle = with_secret(bench)?;
    bundle.config["linux"][property] = json!(["data/secret"]);
    bench.refused(&bundle).map(drop)
}

fn readonly(bench: &Bench, path: &str, verb: &str) -> Verdict {
    let mut bundle = with_secret(bench)?;
    bundle.config["linux"]["readonlyPaths"] = json!([path]);
    let answers = bench.ask(&mut bundle, &[verb, "write /tmp/elsewhere text"])?;
    expect("writing to the read-only path", &answers[0]["err"], &json!("EROFS"))?;
    value(&answers[1]).map(drop)
}

/// For a slave everything is shared in a mount namespace of this case: without a master there is no slave.
fn propagation(bench: &Bench, wanted: &str, shown: &str) -> Verdict {
    if wanted == "slave" {
        bench.needs_root_suite("the host's side must be shared")?;
        private_mounts()?;
        mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC)?;
    }
    let mut bundle = bench.bundle()?;
    bundle.config["linux"]["rootfsPropagation"] = json!(wanted);
    let report = bench.report(&mut bundle)?;
    let fields = &mount_at(&report, "/")?["propagation"];
    let seen: Vec<&str> = fields.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let right = if shown.is_empty() { seen.is_empty() } else { seen.iter().any(|field| field.starts_with(shown)) };
    ensure(right, || format!("the propagation of the root is {seen:?}, due is {shown:?}"))
}
