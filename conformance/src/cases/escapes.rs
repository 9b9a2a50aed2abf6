//! What images and configurations have done to runtimes: nothing of the host may be reached or changed.

use crate::bench::Bench;
use crate::bundle::Bundle;
use crate::case::{Case, Clause, Verdict, ensure};
use crate::container::parse_answers;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

const CWD: Clause =
    Clause::contract("runc CVE-2024-21626", "A working directory cannot lead back to the host through an inherited descriptor.");
const PROC_LINK: Clause =
    Clause::contract("runc CVE-2019-19921, CVE-2023-27561", "A /proc of the image that is a symbolic link is not mounted upon.");
const LINKED: Clause = Clause::contract(
    "runc CVE-2021-30465, CVE-2024-45310",
    "A mount point behind a symbolic link of the image stays inside the root file system.",
);
const DEV_LINK: Clause = Clause::contract(
    "runc CVE-2026-41579, crun CVE-2026-47766",
    "Devices and links of /dev are not made through a symbolic link to the host.",
);
const CONSOLE_LINK: Clause =
    Clause::contract("runc CVE-2025-52565, crun CVE-2026-88264", "A link in the image's /dev makes no file on the host.");
const MASK_LINK: Clause =
    Clause::contract("runc CVE-2025-31133", "A masked path is masked though the image brings a /dev/null of its own.");
const CWD_MADE: Clause = Clause::contract("runc CVE-2024-45310", "A working directory is not made outside the root file system.");

pub fn cases() -> Vec<Case> {
    vec![
        CWD.case("escapes.cwd-through-descriptor", cwd_descriptor),
        PROC_LINK.case("escapes.proc-is-a-link", proc_link),
        LINKED.case("escapes.mount-behind-absolute-link", |bench| mount_behind_link(bench, false)),
        LINKED.case("escapes.mount-behind-relative-link", |bench| mount_behind_link(bench, true)),
        DEV_LINK.case("escapes.dev-is-a-link", dev_link),
        CONSOLE_LINK.case("escapes.links-in-dev", links_in_dev),
        MASK_LINK.case("escapes.mask-with-own-null", own_null),
        CWD_MADE.case("escapes.cwd-behind-link", cwd_link),
    ]
}

/// A folder of the host that a container must not touch, with a file that it must not see.
fn outside(bundle: &Bundle) -> Verdict<PathBuf> {
    let path = bundle.source("outside")?;
    bundle.file_on_host(&path.join("of-the-host"), "untouched")?;
    Ok(path)
}

fn untouched(outside: &PathBuf) -> Verdict {
    let names: Vec<String> =
        fs::read_dir(outside)?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    ensure(names == ["of-the-host"], || format!("the folder on the host now holds {names:?}"))
}

fn cwd_descriptor(bench: &Bench) -> Verdict {
    for number in [3, 5, 7, 8, 9, 10] {
        let mut bundle = bench.bundle()?;
        let outside = outside(&bundle)?;
        bundle.config["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
        bundle.verbs(&["ls .", "cat of-the-host"]);
        bundle.write()?;
        let path = bundle.path.to_string_lossy().into_owned();
        let script = "exec \"$@\" 3<\"$0\" 5<\"$0\" 7<\"$0\" 8<\"$0\" 9<\"$0\"";
        let output = bench.runtime.call(&["run", "--bundle", &path, &bench.id()]).through_shell(script, &outside).run()?;
        ensure(!output.stdout.contains("of-the-host") && !output.stdout.contains("untouched"), || {
            format!("with /proc/self/fd/{number} the container sees the host's folder")
        })?;
    }
    Ok(())
}

fn proc_link(bench: &Bench) -> Verdict {
    let bundle = bench.bundle()?;
    fs::remove_dir(bundle.inside("proc"))?;
    bundle.link("proc", "/data")?;
    bench.refused(&bundle).map(drop)
}

fn mount_behind_link(bench: &Bench, relative: bool) -> Verdict {
    let mut bundle = bench.bundle()?;
    let outside = outside(&bundle)?;
    let target = if relative { "../../outside".to_owned() } else { outside.to_string_lossy().into_owned() };
    bundle.link("data/link", &target)?;
    bundle.mount("/data/link/new", "tmpfs", "tmpfs", &[]);
    // Refusing is as good as resolving inside the root.
    bench.run(&bundle)?;
    untouched(&outside)
}

/// Without mounts over /dev, so that the runtime works in what the image brings.
fn bare_dev(bundle: &mut Bundle) {
    if let Some(mounts) = bundle.config["mounts"].as_array_mut() {
        mounts.retain(|mount| mount["destination"].as_str().is_some_and(|path| !path.starts_with("/dev")));
    }
}

fn dev_link(bench: &Bench) -> Verdict {
    for target in ["../outside", "../../../../../../../../../../../../tmp", "absolute"] {
        let mut bundle = bench.bundle()?;
        let outside = outside(&bundle)?;
        let target = match target {
            "absolute" => outside.to_string_lossy().into_owned(),
            relative => relative.replace("/tmp", &outside.to_string_lossy()),
        };
        fs::remove_dir(bundle.inside("dev"))?;
        bundle.link("dev", &target)?;
        bare_dev(&mut bundle);
        bench.run(&bundle)?;
        untouched(&outside)?;
    }
    Ok(())
}

fn links_in_dev(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let outside = outside(&bundle)?;
    for name in ["null", "zero", "console", "ptmx", "fd", "stdin", "tty", "pts"] {
        bundle.link(&format!("dev/{name}"), &outside.join(name).to_string_lossy())?;
    }
    bare_dev(&mut bundle);
    bench.run(&bundle)?;
    untouched(&outside)
}

fn own_null(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.file("data/secret", "the secret")?;
    bundle.file("data/instead", "of the image")?;
    bundle.link("dev/null", "/data/instead")?;
    bare_dev(&mut bundle);
    bundle.config["linux"]["maskedPaths"] = json!(["/data/secret"]);
    bundle.verbs(&["cat /data/secret", "write /data/secret changed", "stat /data/secret"]);
    let output = bench.run(&bundle)?;
    let instead = fs::read_to_string(bundle.inside("data/instead"))?;
    ensure(instead == "of the image", || format!("the image's own /dev/null was written to: {instead:?}"))?;
    let answers = parse_answers(&output.stdout)?;
    let Some(first) = answers.first() else { return output.failure("run").map(drop) };
    let bad = [json!("the secret"), json!("of the image")];
    ensure(!bad.contains(&first["ok"]), || format!("the masked file reads {first}"))
}

fn cwd_link(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let outside = outside(&bundle)?;
    bundle.link("data/link", &outside.to_string_lossy())?;
    bundle.config["process"]["cwd"] = json!("/data/link/new");
    bundle.verbs(&["report"]);
    let output = bench.run(&bundle)?;
    untouched(&outside)?;
    let answers = parse_answers(&output.stdout)?;
    let seen = answers.first().map_or(&Value::Null, |answer| &answer["ok"]["cwd"]);
    ensure(seen.is_null() || !seen.as_str().unwrap_or_default().contains("unreachable"), || {
        format!("the working directory is {seen}")
    })
}
