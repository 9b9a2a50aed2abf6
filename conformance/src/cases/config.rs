//! config.md: version, root, mounts as such, names, annotations, extensibility.

use crate::bench::{Bench, has, mount_at};
use crate::case::{Case, Clause, VALID_VALUES, Verdict, ensure, expect};
use crate::container::value;
use serde_json::json;
use std::fs;

const VERSION: Clause = Clause::must(
    "config.md, Specification version",
    "if a configuration is compliant with version 1.1 of this specification, it is compatible with all runtimes that support any 1.1 or later release",
);
const SEMVER: Clause = Clause::must(
    "config.md, Specification version",
    "ociVersion MUST be in SemVer v2.0.0 format and specifies the version of the specification with which the bundle complies.",
);
const ROOT: Clause = Clause::must("config.md, Root", "A directory MUST exist at the path declared by the field.");
const ROOT_PATH: Clause =
    Clause::must("config.md, Root", "On POSIX platforms, path is either an absolute path or a relative path to the bundle.");
const READONLY: Clause = Clause::must(
    "config.md, Root",
    "If true then the root filesystem MUST be read-only inside the container, defaults to false.",
);
const HOSTNAME: Clause = Clause::must(
    "config.md, Hostname",
    "hostname specifies the container's hostname as seen by processes running inside the container.",
);
const DOMAINNAME: Clause = Clause::must(
    "config.md, Domainname",
    "domainname specifies the container's domainname as seen by processes running inside the container.",
);
const EXTENSIBILITY: Clause = Clause::must(
    "config.md, Extensibility",
    "Runtimes MAY log unknown properties but MUST otherwise ignore them. That includes not generating errors if they encounter an unknown property.",
);
const ANNOTATIONS: Clause =
    Clause::must("config.md, Annotations", "Runtimes MUST handle unknown annotation keys like any other unknown property.");

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> =
        [(0, "1.0.0"), (0, "1.0.2"), (1, "1.1.0"), (2, "1.2.1"), (3, "1.3.0")].map(|(minor, text)| accepted(minor, text)).into();
    cases.extend([
        SEMVER.case("config.version.not-semver", |bench| refused_version(bench, "one")),
        VALID_VALUES.case("config.version.another-major", |bench| refused_version(bench, "2.0.0")),
        SEMVER.case("config.version.missing", version_missing),
        VALID_VALUES.case("config.not-json", not_json),
        VALID_VALUES.case("config.missing", config_missing),
        ROOT_PATH.case("config.root.path.relative", root_relative),
        ROOT_PATH.case("config.root.path.absolute", root_absolute),
        ROOT.case("config.root.path.missing-directory", root_missing),
        READONLY.case("config.root.readonly.true", |bench| root_readonly(bench, true)),
        READONLY.case("config.root.readonly.default", |bench| root_readonly(bench, false)),
        HOSTNAME.case("config.hostname", hostname),
        DOMAINNAME.since(1, "config.domainname", domainname),
        EXTENSIBILITY.case("config.extensibility.unknown-properties", unknown_properties),
        ANNOTATIONS.case("config.annotations.unknown-key", unknown_annotation),
    ]);
    cases
}

fn accepted(minor: u32, text: &'static str) -> Case {
    VERSION.since(minor, format!("config.version.accepted.{text}"), move |bench| {
        let mut bundle = bench.bundle()?;
        bundle.config["ociVersion"] = json!(text);
        bench.report(&mut bundle).map(drop)
    })
}

fn refused_version(bench: &Bench, text: &str) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["ociVersion"] = json!(text);
    bench.refused(&bundle).map(drop)
}

fn version_missing(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    if let Some(config) = bundle.config.as_object_mut() {
        config.remove("ociVersion");
    }
    bench.refused(&bundle).map(drop)
}

fn not_json(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    bundle.write()?;
    fs::write(bundle.path.join("config.json"), "{ \"ociVersion\": \"1.0.2\", ")?;
    bench.runtime.call(&["create", "--bundle", &bundle.path.to_string_lossy(), &bench.id()]).run()?.failure("create").map(drop)
}

fn config_missing(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    bench.runtime.call(&["create", "--bundle", &bundle.path.to_string_lossy(), &bench.id()]).run()?.failure("create").map(drop)
}

fn root_relative(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    fs::rename(bundle.rootfs(), bundle.path.join("elsewhere"))?;
    bundle.config["root"]["path"] = json!("elsewhere");
    bench.report(&mut bundle).map(drop)
}

fn root_absolute(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["root"]["path"] = json!(bundle.rootfs());
    bench.report(&mut bundle).map(drop)
}

fn root_missing(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["root"]["path"] = json!("nowhere");
    bench.refused(&bundle)?;
    ensure(!bundle.path.join("nowhere").exists(), || "the refused create made the missing directory".into())
}

fn root_readonly(bench: &Bench, readonly: bool) -> Verdict {
    let mut bundle = bench.bundle()?;
    if readonly {
        bundle.config["root"]["readonly"] = json!(true);
    }
    let answers = bench.ask(&mut bundle, &["write /new text", "report"])?;
    let root = mount_at(value(&answers[1])?, "/")?;
    match readonly {
        true => {
            expect("writing to the root file system", &answers[0]["err"], &json!("EROFS"))?;
            ensure(has(&root["options"], "ro"), || format!("the root mount is {root}"))
        }
        false => value(&answers[0]).map(drop),
    }
}

fn hostname(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["hostname"] = json!("mrsdalloway");
    expect("the hostname", &bench.report(&mut bundle)?["hostname"], &json!("mrsdalloway"))
}

fn domainname(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["domainname"] = json!("foobarbaz.test");
    expect("the domainname", &bench.report(&mut bundle)?["domainname"], &json!("foobarbaz.test"))
}

fn unknown_properties(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    for pointer in ["", "root", "process", "linux"] {
        let place = if pointer.is_empty() { &mut bundle.config } else { &mut bundle.config[pointer] };
        place["comExampleUnknown"] = json!({ "anything": [1, "two"] });
    }
    bundle.config["mounts"][0]["comExampleUnknown"] = json!(true);
    bench.report(&mut bundle).map(drop)
}

fn unknown_annotation(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["annotations"] = json!({ "org.example.unknown": "", "com.example.key": "value" });
    bench.report(&mut bundle).map(drop)
}
