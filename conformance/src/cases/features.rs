//! features.md: the document must say what the runtime then does.

use crate::bench::Bench;
use crate::case::{Case, Clause, Release, Verdict, ensure, expect, fail, skip};
use serde_json::{Value, json};

const JSON: Clause = Clause::contract(
    "CRI-O (both streams together), Docker, containerd",
    "features prints one JSON document on standard output and nothing on standard error.",
);
const RECOGNISED: Clause = Clause::must(
    "features.md, Specification version",
    "ociVersionMin / ociVersionMax: The runtime MUST accept this value as the ociVersion property of config.json.",
);
const NOT_LESS: Clause = Clause::must(
    "features.md, Specification version",
    "The value [of ociVersionMax] MUST NOT be less than the value of the ociVersionMin property.",
);
const UNDEFINED: Clause = Clause::must(
    "features.md, Specification version",
    "The Features structure MUST NOT contain properties that are not defined in this version of the Open Container Initiative Runtime Specification.",
);
const HOOKS: Clause = Clause::must(
    "features.md, Hooks",
    "The runtime MUST support the elements in this array as the hooks property of config.json.",
);
const OPTIONS: Clause = Clause::must(
    "features.md, Mount Options",
    "The runtime MUST recognize the elements in this array as the options of mounts objects in config.json.",
);
const NAMESPACES: Clause = Clause::must(
    "features-linux.md, Namespaces",
    "The runtime MUST recognize the elements in this array as the type of linux.namespaces objects in config.json.",
);
const CAPABILITIES: Clause = Clause::must(
    "features-linux.md, Capabilities",
    "The runtime MUST recognize the elements in this array in the process.capabilities object of config.json.",
);

const TOP: [&str; 7] =
    ["ociVersionMin", "ociVersionMax", "hooks", "mountOptions", "linux", "annotations", "potentiallyUnsafeConfigAnnotations"];
const LINUX: [&str; 10] = [
    "namespaces",
    "capabilities",
    "cgroup",
    "seccomp",
    "apparmor",
    "selinux",
    "memoryPolicy",
    "intelRdt",
    "mountExtensions",
    "netDevices",
];

pub fn cases() -> Vec<Case> {
    vec![
        JSON.since(1, "features.json-alone", json_alone),
        RECOGNISED.since(1, "features.versions.accepted", versions_accepted),
        NOT_LESS.since(1, "features.versions.ordered", versions_ordered),
        UNDEFINED.since(1, "features.nothing-undefined", nothing_undefined),
        HOOKS.since(1, "features.hooks", hooks),
        OPTIONS.since(1, "features.mount-options", mount_options),
        NAMESPACES.since(1, "features.namespaces", namespaces),
        CAPABILITIES.since(1, "features.capabilities", capabilities),
    ]
}

fn document(bench: &Bench) -> Verdict<Value> {
    bench.runtime.call(&["features"]).run()?.success("features")?.json()
}

fn names(value: &Value) -> Verdict<Vec<&str>> {
    let list = value.as_array().ok_or_else(|| skip("the document does not say"))?;
    Ok(list.iter().filter_map(Value::as_str).collect())
}

fn json_alone(bench: &Bench) -> Verdict {
    let output = bench.runtime.call(&["features"]).run()?.success("features")?;
    output.json()?;
    ensure(output.stderr.is_empty(), || format!("standard error has {:?}", output.stderr))
}

fn versions(bench: &Bench) -> Verdict<[String; 2]> {
    let document = document(bench)?;
    let text = |name: &str| document[name].as_str().map(str::to_owned).ok_or_else(|| fail(format!("no {name}")));
    Ok([text("ociVersionMin")?, text("ociVersionMax")?])
}

fn versions_accepted(bench: &Bench) -> Verdict {
    for version in versions(bench)? {
        let mut bundle = bench.bundle()?;
        bundle.config["ociVersion"] = json!(version);
        bench.report(&mut bundle)?;
    }
    Ok(())
}

fn versions_ordered(bench: &Bench) -> Verdict {
    let [least, most] = versions(bench)?;
    ensure(Release::of(&least) <= Release::of(&most), || format!("{least} to {most}"))
}

fn nothing_undefined(bench: &Bench) -> Verdict {
    let document = document(bench)?;
    let beyond = |value: &Value, known: &[&str]| -> Vec<String> {
        value.as_object().into_iter().flat_map(|map| map.keys()).filter(|name| !known.contains(&name.as_str())).cloned().collect()
    };
    expect("undefined properties", &json!([beyond(&document, &TOP), beyond(&document["linux"], &LINUX)]), &json!([[], []]))
}

fn hooks(bench: &Bench) -> Verdict {
    let document = document(bench)?;
    let known = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    let strange: Vec<&str> = names(&document["hooks"])?.into_iter().filter(|name| !known.contains(name)).collect();
    ensure(strange.is_empty(), || format!("hooks that the specification does not know: {strange:?}"))
}

/// Every option on its own: one that is not recognised would go to tmpfs as data, which refuses it.
fn mount_options(bench: &Bench) -> Verdict {
    bench.needs_root("flags that the kernel locks for users")?;
    let document = document(bench)?;
    let mut unknown = Vec::new();
    for option in names(&document["mountOptions"])? {
        // These need something else besides: a mount to change, mappings, or a file system that has the option.
        if ["remount", "idmap", "ridmap", "acl", "noacl", "mand", "nomand"].contains(&option) {
            continue;
        }
        let mut bundle = bench.bundle()?;
        if option.contains("bind") && !option.ends_with("unbindable") {
            let source = bundle.source("source")?;
            bundle.mount("/data", "none", &source.to_string_lossy(), &[option]);
        } else {
            bundle.mount("/data", "tmpfs", "tmpfs", &[option]);
        }
        bundle.verbs(&["say up"]);
        let output = bench.run(&bundle)?;
        // An option that reaches mount_setattr(2) was recognised, whatever the kernel then says to it.
        if output.code != 0 && !output.stderr.contains("mount_setattr") {
            unknown.push(option.to_owned());
        }
    }
    ensure(unknown.is_empty(), || format!("listed and refused: {unknown:?}"))
}

fn namespaces(bench: &Bench) -> Verdict {
    let document = document(bench)?;
    for kind in names(&document["linux"]["namespaces"])? {
        if kind == "user" && bench.who.is_root() {
            continue;
        }
        let mut bundle = bench.bundle()?;
        bundle.namespace(kind, None);
        bundle.push("/linux/namespaces", json!({ "type": kind }));
        bench.report(&mut bundle)?;
    }
    Ok(())
}

fn capabilities(bench: &Bench) -> Verdict {
    let document = document(bench)?;
    let list = names(&document["linux"]["capabilities"])?;
    ensure(list.contains(&"CAP_CHOWN"), || format!("the list is {list:?}"))?;
    let mut bundle = bench.bundle()?;
    // What is not recognised is warned of by name; so is what this host cannot grant, which says nothing here.
    let mut grantable = Vec::new();
    for name in &list {
        if !bench.who.is_root() || super::process_caps::is_grantable(name)? {
            grantable.push(*name);
        }
    }
    bundle.config["process"]["capabilities"] = json!({ "inheritable": [], "bounding": grantable });
    bundle.verbs(&["say up"]);
    let output = bench.run(&bundle)?.success("run")?;
    let strange: Vec<&&str> = list.iter().filter(|name| output.stderr.contains(**name)).collect();
    ensure(strange.is_empty(), || format!("listed and warned of: {strange:?}"))
}
