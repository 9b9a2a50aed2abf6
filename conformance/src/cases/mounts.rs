//! config.md, mounts: order, destinations, sources, file system data, id-mapped mounts.

use crate::bench::{Bench, has, mount_at};
use crate::bundle::Bundle;
use crate::case::{Case, Clause, VALID_VALUES, Verdict, ensure, expect};
use crate::container::value;
use serde_json::{Value, json};

const ORDER: Clause = Clause::must("config.md, Mounts", "The runtime MUST mount entries in the listed order.");
const RELATIVE: Clause =
    Clause::must("config.md, Mounts", "it MAY be a relative path, in which case it MUST be interpreted as relative to \"/\".");
const SOURCE: Clause = Clause::must(
    "config.md, Mounts",
    "source (string, OPTIONAL) […] Path values for bind mounts are either absolute or relative to the bundle.",
);
const BIND: Clause = Clause::must("config.md, Mounts", "A mount is a bind mount if it has either bind or rbind in the options.");
const DATA: Clause = Clause::should(
    "config.md, Linux mount options",
    "Runtimes SHOULD treat unknown options as filesystem-specific ones and pass those as a comma-separated string to the fifth argument of mount(2).",
);
const COPY_UP: Clause = Clause::contract("Podman, Kubernetes", "tmpcopyup: copy up the contents to a tmpfs.");
const DESTINATION: Clause = Clause::contract("every engine", "A missing mount point is made: a folder, or a file for a file.");
const IDMAP: Clause = Clause::should(
    "config.md, Linux mount options",
    "idmap: Indicates that the mount MUST have an idmapping applied. If uidMappings or gidMappings are specified for the mount, the runtime MUST use those values.",
);
const RIDMAP: Clause = Clause::should(
    "config.md, Linux mount options",
    "ridmap: Indicates that the mount MUST have an idmapping applied, and the mapping is applied recursively.",
);
const IDMAP_NEITHER: Clause = Clause::must(
    "config.md, Linux mount options",
    "If there are no uidMappings and gidMappings specified and the container isn't using user namespaces, an error MUST be returned.",
);
const IDMAP_PAIR: Clause =
    Clause::must("config.md, POSIX-platform Mounts", "If specified, it MUST be specified along with gidMappings.");

pub fn cases() -> Vec<Case> {
    vec![
        ORDER.case("mounts.order.inner-after-outer", order_inner),
        ORDER.case("mounts.order.later-hides-earlier", order_hides),
        RELATIVE.since(2, "mounts.destination.relative", |bench| tmpfs_at(bench, "data")),
        DESTINATION.case("mounts.destination.made.folder", |bench| tmpfs_at(bench, "/not/there/yet")),
        DESTINATION.case("mounts.destination.made.file", destination_file),
        SOURCE.case("mounts.source.omitted", source_omitted),
        SOURCE.case("mounts.source.relative-to-bundle", |bench| bound_file(bench, false)),
        BIND.case("mounts.bind.without-type", |bench| bound_file(bench, true)),
        VALID_VALUES.case("mounts.bind.missing-source", bind_missing_source),
        VALID_VALUES.case("mounts.type.unknown", type_unknown),
        DATA.case("mounts.data.passed", data_passed),
        VALID_VALUES.case("mounts.data.bogus", data_bogus),
        COPY_UP.case("mounts.options.tmpcopyup", copy_up),
        IDMAP.since(2, "mounts.idmap.own-mappings", |bench| own_mappings(bench, &["bind", "idmap"])),
        IDMAP.since(1, "mounts.idmap.mappings-without-option", |bench| own_mappings(bench, &["bind"])),
        RIDMAP.since(2, "mounts.ridmap.own-mappings", |bench| own_mappings(bench, &["rbind", "ridmap"])),
        IDMAP_NEITHER.since(2, "mounts.idmap.no-mappings-no-userns", idmap_neither),
        IDMAP_PAIR.since(1, "mounts.idmap.only-uid-mappings", idmap_half),
        IDMAP.since(2, "mounts.idmap.mapping-of-container", idmap_container),
    ]
}

/// A bundle with a host folder `source` that holds the file `inside`.
fn with_source(bench: &Bench) -> Verdict<(Bundle, String)> {
    let bundle = bench.bundle()?;
    let source = bundle.source("source")?;
    bundle.file_on_host(&source.join("inside"), "text")?;
    Ok((bundle, source.to_string_lossy().into_owned()))
}

fn order_inner(bench: &Bench) -> Verdict {
    let (mut bundle, source) = with_source(bench)?;
    bundle.mount("/data", "tmpfs", "tmpfs", &[]);
    bundle.mount("/data/inner", "none", &source, &["bind"]);
    expect("the bind mount on the tmpfs", &bench.ask(&mut bundle, &["cat /data/inner/inside"])?[0], &json!({ "ok": "text" }))
}

fn order_hides(bench: &Bench) -> Verdict {
    let (mut bundle, source) = with_source(bench)?;
    bundle.mount("/data/inner", "none", &source, &["bind"]);
    bundle.mount("/data", "tmpfs", "tmpfs", &[]);
    expect("what the later tmpfs shows", &bench.ask(&mut bundle, &["ls /data"])?[0], &json!({ "ok": [] }))
}

fn tmpfs_at(bench: &Bench, destination: &str) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.mount(destination, "tmpfs", "tmpfs", &[]);
    let report = bench.report(&mut bundle)?;
    let point = format!("/{}", destination.trim_start_matches('/'));
    expect("the type of the mount", &mount_at(&report, &point)?["type"], &json!("tmpfs"))
}

fn destination_file(bench: &Bench) -> Verdict {
    let (mut bundle, source) = with_source(bench)?;
    bundle.mount("/not/there/file", "none", &format!("{source}/inside"), &["bind"]);
    expect("the bound file", &bench.ask(&mut bundle, &["cat /not/there/file"])?[0], &json!({ "ok": "text" }))
}

fn source_omitted(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.push("/mounts", json!({ "destination": "/data", "type": "tmpfs" }));
    expect("the type of the mount", &mount_at(&bench.report(&mut bundle)?, "/data")?["type"], &json!("tmpfs"))
}

fn bound_file(bench: &Bench, absolute: bool) -> Verdict {
    let (mut bundle, source) = with_source(bench)?;
    let source = if absolute { source } else { "source".to_owned() };
    bundle.push("/mounts", json!({ "destination": "/data", "source": source, "options": ["bind"] }));
    expect("the bound file", &bench.ask(&mut bundle, &["cat /data/inside"])?[0], &json!({ "ok": "text" }))
}

fn bind_missing_source(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.mount("/data", "none", "/nowhere/at/all", &["bind"]);
    bench.refused(&bundle).map(drop)
}

fn type_unknown(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.mount("/data", "nosuchfs", "none", &[]);
    bench.refused(&bundle).map(drop)
}

fn data_passed(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.mount("/data", "tmpfs", "tmpfs", &["size=64k", "mode=711"]);
    let report = bench.report(&mut bundle)?;
    let mount = mount_at(&report, "/data")?;
    ensure(has(&mount["super"], "size=64k") && has(&mount["super"], "mode=711"), || format!("the mount is {mount}"))
}

fn data_bogus(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.mount("/data", "tmpfs", "tmpfs", &["nosuchoption=1"]);
    bench.refused(&bundle).map(drop)
}

fn copy_up(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.file("data/file", "from the image")?;
    bundle.mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"]);
    let answers = bench.ask(&mut bundle, &["cat /data/file", "write /data/file changed"])?;
    expect("the copied file", &answers[0], &json!({ "ok": "from the image" }))?;
    value(&answers[1])?;
    ensure(std::fs::read_to_string(bundle.inside("data/file"))? == "from the image", || "the write reached the image".into())
}

fn mapping(first: u32) -> Value {
    json!([{ "containerID": 0, "hostID": first, "size": 1000 }])
}

fn own_mappings(bench: &Bench, options: &[&str]) -> Verdict {
    bench.needs_root("id-mapped mounts of a host file system")?;
    let (mut bundle, source) = with_source(bench)?;
    bundle.push(
        "/mounts",
        json!({ "destination": "/data", "source": source, "options": options, "uidMappings": mapping(5000), "gidMappings": mapping(6000) }),
    );
    let answers = bench.ask(&mut bundle, &["stat /data/inside"])?;
    let seen = value(&answers[0])?;
    expect("the owner of root's file", &json!([seen["uid"], seen["gid"]]), &json!([5000, 6000]))
}

fn idmap_neither(bench: &Bench) -> Verdict {
    bench.needs_root("a container without a user namespace")?;
    let (mut bundle, source) = with_source(bench)?;
    bundle.mount("/data", "none", &source, &["bind", "idmap"]);
    bench.refused(&bundle).map(drop)
}

fn idmap_half(bench: &Bench) -> Verdict {
    let (mut bundle, source) = with_source(bench)?;
    let entry = json!({ "destination": "/data", "source": source, "options": ["bind", "idmap"], "uidMappings": mapping(5000) });
    bundle.push("/mounts", entry);
    bench.refused(&bundle).map(drop)
}

fn idmap_container(bench: &Bench) -> Verdict {
    bench.needs_root("id-mapped mounts of a host file system")?;
    let (mut bundle, source) = with_source(bench)?;
    bundle.push("/linux/namespaces", json!({ "type": "user" }));
    for kind in ["uidMappings", "gidMappings"] {
        bundle.config["linux"][kind] = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    }
    bundle.mount("/data", "none", &source, &["bind", "idmap"]);
    bundle.verbs(&["stat /data/inside"]);
    // The runtime MAY use the container's mapping, otherwise an error is due: both are right, ignoring the option is not.
    let output = bench.run(&bundle)?;
    let answers = crate::container::parse_answers(&output.stdout)?;
    let Some(answer) = answers.first() else { return output.failure("run").map(drop) };
    expect("the owner of root's file", &value(answer)?["uid"], &json!(0))
}
