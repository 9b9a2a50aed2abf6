//! config.md, process: what it is, who it is, what it may and how it sees itself.

use crate::bench::Bench;
use crate::bundle::PAYLOAD;
use crate::case::{Case, Clause, VALID_VALUES, Verdict, ensure, expect, skip};
use crate::container::{parse_answers, value};
use serde_json::{Value, json};

const CWD: Clause = Clause::must(
    "config.md, Process",
    "cwd is the working directory that will be set for the executable. This value MUST be an absolute path.",
);
const ENV: Clause = Clause::must("config.md, Process", "env with the same semantics as IEEE Std 1003.1-2008's environ.");
const ARGS: Clause = Clause::must(
    "config.md, Process",
    "at least one entry is REQUIRED (non-Windows), and that entry is used with the same semantics as execvp's file.",
);
const START_UNSET: Clause = Clause::must("runtime.md, Start", "This operation MUST generate an error if process was not set.");
const RLIMITS: Clause = Clause::must(
    "config.md, POSIX process",
    "rlim.rlim_cur MUST match the configured value. […] rlim.rlim_max MUST match the configured value.",
);
const RLIMIT_UNKNOWN: Clause = Clause::must(
    "config.md, POSIX process",
    "The runtime MUST generate an error for any values which cannot be mapped to a relevant kernel interface.",
);
const RLIMIT_TWICE: Clause = Clause::must(
    "config.md, POSIX process",
    "If rlimits contains duplicated entries with same type, the runtime MUST generate an error.",
);
const NO_NEW_PRIVILEGES: Clause = Clause::must(
    "config.md, Linux Process",
    "setting noNewPrivileges to true prevents the process from gaining additional privileges.",
);
const OOM_SET: Clause =
    Clause::must("config.md, Linux Process", "If oomScoreAdj is set, the runtime MUST set oom_score_adj to the given value.");
const OOM_UNSET: Clause = Clause::must(
    "config.md, Linux Process",
    "If oomScoreAdj is not set, the runtime MUST NOT change the value of oom_score_adj.",
);
const USER: Clause = Clause::must(
    "config.md, POSIX-platform User",
    "uid specifies the user ID in the container namespace. gid specifies the group ID.",
);
const GROUPS: Clause = Clause::must(
    "config.md, POSIX-platform User",
    "additionalGids specifies additional group IDs in the container namespace to be added to the process.",
);
const UMASK: Clause = Clause::must("config.md, POSIX-platform User", "umask specifies the umask of the user.");
const UMASK_UNSET: Clause = Clause::should(
    "config.md, POSIX-platform User",
    "If unspecified, the umask should not be changed from the calling process' umask.",
);
const DESCRIPTORS: Clause = Clause::must(
    "runtime-linux.md, File descriptors",
    "By default, only the stdin, stdout and stderr file descriptors are kept open for the application by the runtime.",
);

/// Soft and hard values that an unprivileged caller may set too: all are below what a host allows.
const LIMITS: [(&str, u64, u64); 16] = [
    ("RLIMIT_AS", 4 << 30, 8 << 30),
    ("RLIMIT_CORE", 0, 4096),
    ("RLIMIT_CPU", 100, 200),
    ("RLIMIT_DATA", 1 << 30, 2 << 30),
    ("RLIMIT_FSIZE", 1 << 30, 2 << 30),
    ("RLIMIT_LOCKS", 10, 20),
    ("RLIMIT_MEMLOCK", 32768, 65536),
    ("RLIMIT_MSGQUEUE", 4096, 8192),
    ("RLIMIT_NICE", 0, 0),
    ("RLIMIT_NOFILE", 512, 1024),
    ("RLIMIT_NPROC", 1000, 2000),
    ("RLIMIT_RSS", 1 << 30, 2 << 30),
    ("RLIMIT_RTPRIO", 0, 0),
    ("RLIMIT_RTTIME", 100_000, 200_000),
    ("RLIMIT_SIGPENDING", 100, 200),
    ("RLIMIT_STACK", 1 << 20, 2 << 20),
];

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        CWD.case("process.cwd", cwd),
        CWD.case("process.cwd.relative", cwd_relative),
        ENV.case("process.env", env),
        ARGS.case("process.args", args),
        ARGS.case("process.args.empty", args_empty),
        ARGS.case("process.args.found-in-path", args_in_path),
        START_UNSET.case("process.unset", unset),
        RLIMIT_UNKNOWN.case("process.rlimits.unknown-type", |bench| rlimits_refused(bench, &["RLIMIT_TEST"])),
        RLIMIT_TWICE.case("process.rlimits.duplicate-type", |bench| rlimits_refused(bench, &["RLIMIT_NOFILE", "RLIMIT_NOFILE"])),
        NO_NEW_PRIVILEGES.case("process.no-new-privileges.true", |bench| no_new_privileges(bench, true)),
        NO_NEW_PRIVILEGES.case("process.no-new-privileges.false", |bench| no_new_privileges(bench, false)),
        OOM_SET.case("process.oom-score-adj.set", oom_set),
        OOM_UNSET.case("process.oom-score-adj.unset", oom_unset),
        VALID_VALUES.case("process.oom-score-adj.too-large", oom_too_large),
        USER.case("process.user", user),
        GROUPS.case("process.user.additional-gids", groups),
        UMASK.case("process.user.umask", umask),
        UMASK_UNSET.case("process.user.umask.unset", umask_unset),
        DESCRIPTORS.case("process.descriptors", descriptors),
    ];
    cases.extend(LIMITS.iter().map(|(kind, soft, hard)| {
        let name = format!("process.rlimits.{}", kind.trim_start_matches("RLIMIT_").to_lowercase());
        RLIMITS.case(name, |bench| rlimit(bench, kind, *soft, *hard))
    }));
    cases
}

fn cwd(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.folder("data/deep")?;
    bundle.config["process"]["cwd"] = json!("/data/deep");
    expect("the working directory", &bench.report(&mut bundle)?["cwd"], &json!("/data/deep"))
}

fn cwd_relative(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["process"]["cwd"] = json!("data");
    bench.process_refused(&bundle).map(drop)
}

fn env(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["process"]["env"] = json!(["PATH=/bin", "NAME=a value = with signs", "EMPTY="]);
    let report = bench.report(&mut bundle)?;
    let seen: Vec<&str> = report["environment"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for wanted in ["PATH=/bin", "NAME=a value = with signs", "EMPTY="] {
        ensure(seen.contains(&wanted), || format!("{wanted:?} is not in the environment {seen:?}"))?;
    }
    // HOME is what execvp's callers expect and runc adds; anything else came from the runtime.
    let foreign: Vec<_> =
        seen.iter().filter(|entry| !["PATH=", "NAME=", "EMPTY=", "HOME="].iter().any(|name| entry.starts_with(name))).collect();
    ensure(foreign.is_empty(), || format!("variables that config.json does not name: {foreign:?}"))
}

fn args(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let words = json!([PAYLOAD, "report", "--", "say", "two words", "--", "say", ""]);
    bundle.config["process"]["args"] = words.clone();
    let answers = parse_answers(&bench.run(&bundle)?.success("run")?.stdout)?;
    ensure(!answers.is_empty(), || "the process answered nothing".into())?;
    expect("argv", &value(&answers[0])?["argv"], &words)
}

fn args_empty(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["process"]["args"] = json!([]);
    bench.process_refused(&bundle).map(drop)
}

fn args_in_path(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    std::fs::hard_link(bundle.inside(PAYLOAD), bundle.inside("data/tool"))?;
    bundle.config["process"]["env"] = json!(["PATH=/bin:/data"]);
    bundle.config["process"]["args"] = json!(["tool", "say", "found"]);
    let answers = parse_answers(&bench.run(&bundle)?.success("run")?.stdout)?;
    expect("the answer", &json!(answers), &json!([{ "ok": "found" }]))
}

fn unset(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    if let Some(config) = bundle.config.as_object_mut() {
        config.remove("process");
    }
    let container = bench.create(&bundle)?;
    container.try_start()?.failure("start without a process").map(drop)
}

fn rlimit(bench: &Bench, kind: &str, soft: u64, hard: u64) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["process"]["rlimits"] = json!([{ "type": kind, "soft": soft, "hard": hard }]);
    expect(kind, &bench.report(&mut bundle)?["limits"][kind], &json!([soft, hard]))
}

fn rlimits_refused(bench: &Bench, kinds: &[&str]) -> Verdict {
    let mut bundle = bench.bundle()?;
    let entry = |kind: &&str| json!({ "type": kind, "soft": 512, "hard": 1024 });
    bundle.config["process"]["rlimits"] = kinds.iter().map(entry).collect();
    bench.process_refused(&bundle).map(drop)
}

fn no_new_privileges(bench: &Bench, wanted: bool) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["process"]["noNewPrivileges"] = json!(wanted);
    expect("NoNewPrivs", &bench.report(&mut bundle)?["no_new_privs"], &json!(i32::from(wanted)))
}

fn oom_set(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["process"]["oomScoreAdj"] = json!(500);
    expect("oom_score_adj", &bench.report(&mut bundle)?["oom_score_adj"], &json!(500))
}

fn oom_unset(bench: &Bench) -> Verdict {
    std::fs::write("/proc/self/oom_score_adj", "123")?;
    let mut bundle = bench.bundle()?;
    expect("oom_score_adj", &bench.report(&mut bundle)?["oom_score_adj"], &json!(123))
}

fn oom_too_large(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["process"]["oomScoreAdj"] = json!(100_000);
    bench.process_refused(&bundle).map(drop)
}

fn user(bench: &Bench) -> Verdict {
    bench.needs_many_ids()?;
    let mut bundle = bench.bundle()?;
    bundle.config["process"]["user"] = json!({ "uid": 1234, "gid": 4321 });
    let report = bench.report(&mut bundle)?;
    expect("real, effective, saved and file system uid", &report["uids"], &json!([1234, 1234, 1234, 1234]))?;
    expect("real, effective, saved and file system gid", &report["gids"], &json!([4321, 4321, 4321, 4321]))
}

fn groups(bench: &Bench) -> Verdict {
    bench.needs_many_ids()?;
    let mut bundle = bench.bundle()?;
    bundle.config["process"]["user"]["additionalGids"] = json!([7, 65]);
    bench.refusable(&bundle)?;
    let report = bench.report(&mut bundle)?;
    let seen = report["groups"].as_array().cloned().unwrap_or_default();
    // The primary group may stand among them; any other group would be the caller's.
    let foreign = seen.iter().any(|group| ![json!(0), json!(7), json!(65)].contains(group));
    ensure(seen.contains(&json!(7)) && seen.contains(&json!(65)) && !foreign, || format!("the groups are {seen:?}"))
}

fn umask(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["process"]["user"]["umask"] = json!(0o137);
    expect("the umask", &bench.report(&mut bundle)?["umask"], &json!("0137"))
}

fn umask_unset(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o005));
    expect("the umask", &bench.report(&mut bundle)?["umask"], &json!("0005"))
}

fn descriptors(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let extra = bundle.path.join("extra");
    bundle.file_on_host(&extra, "a file of the caller")?;
    bundle.verbs(&["report"]);
    bundle.write()?;
    let path = bundle.path.to_string_lossy().into_owned();
    let call =
        bench.runtime.call(&["run", "--bundle", &path, &bench.id()]).through_shell("exec \"$@\" 5<\"$0\" 9<\"$0\"", &extra);
    let answers = parse_answers(&call.run()?.success("run")?.stdout)?;
    let Some(report) = answers.first() else { return Err(skip("the payload did not report")) };
    let open: Vec<&String> = value(report)?["descriptors"].as_object().into_iter().flat_map(|open| open.keys()).collect();
    ensure(open.iter().all(|number| ["0", "1", "2"].contains(&number.as_str())), || {
        format!("open descriptors are {}", report["ok"]["descriptors"])
    })
}
