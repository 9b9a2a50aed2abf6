//! config-linux.md, devices; runtime-linux.md, symbolic links in /dev.

use crate::bench::Bench;
use crate::case::{Case, Clause, Verdict, ensure, expect};
use crate::container::value;
use serde_json::{Value, json};

const DEFAULTS: Clause = Clause::must(
    "config-linux.md, Default Devices",
    "the runtime MUST also supply: /dev/null, /dev/zero, /dev/full, /dev/random, /dev/urandom, /dev/tty",
);
const PTMX: Clause = Clause::must(
    "config-linux.md, Default Devices",
    "the runtime MUST also supply: […] /dev/ptmx. A bind-mount or symlink of the container's /dev/pts/ptmx.",
);
const LINKS: Clause = Clause::must(
    "runtime-linux.md, Dev symbolic links",
    "runtimes MUST create the following symlinks if the source file exists after processing mounts",
);
const LISTED: Clause = Clause::must("config-linux.md, Devices", "devices lists devices that MUST be available in the container.");
const ANYWHERE: Clause =
    Clause::must("config-linux.md, Devices", "The path MAY be anywhere in the container filesystem, notably outside of /dev.");
const MISMATCH: Clause = Clause::must(
    "config-linux.md, Devices",
    "If a file already exists at path that does not match the requested device, the runtime MUST generate an error.",
);

pub fn cases() -> Vec<Case> {
    vec![
        DEFAULTS.case("linux.devices.defaults", defaults),
        DEFAULTS.case("linux.devices.null-works", null_works),
        PTMX.case("linux.devices.ptmx", ptmx),
        LINKS.case("linux.devices.links", links),
        LISTED.case("linux.devices.character", |bench| listed(bench, "/dev/test", "c", "character")),
        LISTED.case("linux.devices.unbuffered", |bench| listed(bench, "/dev/test", "u", "character")),
        LISTED.case("linux.devices.block", |bench| listed(bench, "/dev/test", "b", "block")),
        LISTED.case("linux.devices.fifo", |bench| listed(bench, "/dev/test", "p", "fifo")),
        ANYWHERE.case("linux.devices.outside-dev", |bench| listed(bench, "/data/deep/test", "c", "character")),
        MISMATCH.case("linux.devices.existing-file", existing_file),
        MISMATCH.case("linux.devices.existing-other-device", existing_device),
    ]
}

fn defaults(bench: &Bench) -> Verdict {
    let due = [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
    let verbs: Vec<String> = due.iter().map(|(name, _, _)| format!("stat /dev/{name}")).collect();
    let answers = bench.ask(&mut bench.bundle()?, &verbs.iter().map(String::as_str).collect::<Vec<_>>())?;
    for ((name, major, minor), answer) in due.iter().zip(&answers) {
        let seen = value(answer)?;
        expect(name, &json!([seen["type"], seen["major"], seen["minor"]]), &json!(["character", major, minor]))?;
    }
    Ok(())
}

fn null_works(bench: &Bench) -> Verdict {
    let answers = bench.ask(&mut bench.bundle()?, &["write /dev/null text", "cat /dev/null"])?;
    value(&answers[0])?;
    expect("what /dev/null reads", &answers[1], &json!({ "ok": "" }))
}

fn ptmx(bench: &Bench) -> Verdict {
    let answers = bench.ask(&mut bench.bundle()?, &["stat /dev/ptmx", "stat /dev/pts/ptmx"])?;
    let (seen, due) = (value(&answers[0])?, value(&answers[1])?);
    expect("device and inode of /dev/ptmx", &json!([seen["dev"], seen["ino"]]), &json!([due["dev"], due["ino"]]))
}

fn links(bench: &Bench) -> Verdict {
    let due = [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ];
    let verbs: Vec<String> = due.iter().map(|(path, _)| format!("lstat {path}")).collect();
    let answers = bench.ask(&mut bench.bundle()?, &verbs.iter().map(String::as_str).collect::<Vec<_>>())?;
    due.iter().zip(&answers).try_for_each(|((path, target), answer)| expect(path, &value(answer)?["target"], &json!(target)))
}

fn entry(path: &str, kind: &str) -> Value {
    // Numbers of memory devices and of the first loop device: nothing is opened, so nothing needs to be behind them.
    let (major, minor) = if kind == "b" { (7, 0) } else { (1, 7) };
    match kind {
        "p" => json!({ "path": path, "type": kind, "fileMode": 0o624, "uid": 5, "gid": 6 }),
        _ => json!({ "path": path, "type": kind, "major": major, "minor": minor, "fileMode": 0o624, "uid": 5, "gid": 6 }),
    }
}

fn listed(bench: &Bench, path: &str, kind: &str, shown: &str) -> Verdict {
    bench.needs_root("device nodes")?;
    let mut bundle = bench.bundle()?;
    bundle.push("/linux/devices", entry(path, kind));
    let answers = bench.ask(&mut bundle, &[&format!("stat {path}")])?;
    let seen = value(&answers[0])?;
    expect("type, mode, uid, gid", &json!([seen["type"], seen["mode"], seen["uid"], seen["gid"]]), &json!([shown, 0o624, 5, 6]))?;
    let numbers = json!([seen["major"], seen["minor"]]);
    ensure(kind == "p" || numbers == json!([entry(path, kind)["major"], entry(path, kind)["minor"]]), || {
        format!("the device numbers are {numbers}")
    })
}

fn existing_file(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.file("data/test", "a plain file")?;
    bundle.push("/linux/devices", entry("/data/test", "c"));
    bench.refused(&bundle).map(drop)
}

fn existing_device(bench: &Bench) -> Verdict {
    bench.needs_root("device nodes")?;
    let mut bundle = bench.bundle()?;
    let kind = rustix::fs::FileType::CharacterDevice;
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, bundle.inside("data/test"), kind, mode, rustix::fs::makedev(1, 5))?;
    bundle.push("/linux/devices", entry("/data/test", "c"));
    bench.refused(&bundle).map(drop)
}
