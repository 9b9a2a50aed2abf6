//! `linux.resources`, enforced: on hosts with cgroup v2, and on those whose controllers are bound to v1 hierarchies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wolffia_tests::{Bundle, Case, ROOT, Value, json, scenario, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

const MEMORY: u64 = 64 << 20;

/// The file of a limit, by its name in either version.
struct File {
    v1: (&'static str, &'static str),
    v2: &'static str,
}

const MEMORY_MAX: File = File { v1: ("memory", "memory.limit_in_bytes"), v2: "memory.max" };
const PIDS_MAX: File = File { v1: ("pids", "pids.max"), v2: "pids.max" };
const CPUS: File = File { v1: ("cpuset", "cpuset.cpus"), v2: "cpuset.cpus" };

fn legacy(controller: &str) -> Option<PathBuf> {
    Some(Path::new("/sys/fs/cgroup").join(controller)).filter(|path| path.join("cgroup.procs").exists())
}

fn unified() -> Option<PathBuf> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.join("cgroup.controllers").exists())
}

impl File {
    /// In the container's cgroup.
    fn path(&self, cgroup: &str) -> Option<PathBuf> {
        let below = |mount: PathBuf, file: &str| mount.join(cgroup.trim_start_matches('/')).join(file);
        match legacy(self.v1.0) {
            Some(mount) => Some(below(mount, self.v1.1)),
            None => {
                let controller = self.v2.split('.').next().unwrap();
                let mount = unified()?;
                let offered = std::fs::read_to_string(mount.join("cgroup.controllers")).unwrap();
                offered.split_whitespace().any(|one| one == controller).then(|| below(mount, self.v2))
            }
        }
    }

    fn read(&self, cgroup: &str) -> String {
        std::fs::read_to_string(self.path(cgroup).unwrap()).unwrap().trim().to_owned()
    }
}

/// A bundle with `resources` in a cgroup of its own; skips the scenario where `file` cannot be had.
fn limited(case: &Case, file: &File, script: &str, resources: Value) -> (Bundle, String) {
    let cgroup = format!("/wolffia-tests-{}/limits", std::process::id());
    if file.path(&cgroup).is_none() {
        case.skip(&format!("no {} controller on this host", file.v1.0));
    }
    let bundle = case.shell(script);
    bundle.edit(|config| {
        config["linux"]["resources"] = resources;
        config["linux"]["cgroupsPath"] = json!(cgroup);
    });
    (bundle, cgroup)
}

fn left(cgroup: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/sys/fs/cgroup").unwrap().map(|entry| entry.unwrap().path());
    let all = entries.chain(unified()).map(|mount| mount.join(cgroup.trim_start_matches('/')));
    all.filter(|path| path.exists()).collect()
}

#[test]
fn limits_hold_the_values_that_were_asked_for() {
    scenario(ROOT, |case| {
        let resources = json!({
            "memory": { "limit": MEMORY },
            "pids": { "limit": 17 },
            "cpu": { "shares": 512, "quota": 20000, "period": 100_000, "cpus": "0" },
        });
        let (bundle, cgroup) = limited(case, &MEMORY_MAX, "exec sleep 300", resources);
        bundle.args(&["sleep", "300"]);
        let id = case.started(&bundle);
        assert_eq!(
            (MEMORY_MAX.read(&cgroup), PIDS_MAX.read(&cgroup), CPUS.read(&cgroup)),
            (MEMORY.to_string(), "17".to_owned(), "0".to_owned())
        );
        let init = case.wolffia().args(["exec", &id, "cat", "/proc/1/cgroup"]).run();
        let other = case.wolffia().args(["exec", &id, "cat", "/proc/self/cgroup"]).run();
        assert_eq!(init.succeeds(), other.succeeds(), "exec enters every cgroup that init is in");
        case.wolffia().args(["delete", "--force", &id]).run().succeeds();
        assert_eq!(left(&cgroup), Vec::<PathBuf>::new());
    });
}

#[test]
fn a_process_that_takes_more_memory_is_killed() {
    scenario(ROOT, |case| {
        let script = "x=$(head -c 300000000 /dev/zero | tr '\\000' x); echo survived";
        let resources = json!({ "memory": { "limit": MEMORY, "swap": MEMORY } });
        let (bundle, _) = limited(case, &MEMORY_MAX, script, resources);
        let outcome = case.run(&bundle);
        assert!(!outcome.status.success() && !outcome.stdout.contains("survived"), "{outcome}");
    });
}

#[test]
fn no_more_processes_than_were_granted() {
    scenario(ROOT, |case| {
        let script = "i=0; while [ $i -lt 50 ]; do sleep 9 & i=$((i + 1)); done; echo survived";
        let (bundle, _) = limited(case, &PIDS_MAX, script, json!({ "pids": { "limit": 12 } }));
        let outcome = case.run(&bundle);
        assert!(outcome.stderr.contains("fork") && !outcome.stdout.contains("survived"), "{outcome}");
    });
}

/// A cgroup namespace shows the container's own cgroups as roots, in every hierarchy.
#[test]
fn the_cgroup_namespace_begins_at_the_containers_cgroups() {
    scenario(ROOT, |case| {
        let script = "grep -v ':/$' /proc/self/cgroup; echo all";
        let (bundle, _) = limited(case, &PIDS_MAX, script, json!({ "pids": { "limit": 12 } }));
        bundle.edit(|config| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
            namespaces.retain(|namespace| namespace["type"] != "cgroup");
            namespaces.push(json!({ "type": "cgroup" }));
        });
        assert_eq!(case.run(&bundle).succeeds(), "all\n");
    });
}

/// What cannot be limited is refused, with the field and the reason; nothing is left of the attempt.
#[test]
fn a_limit_that_the_kernel_refuses_is_named() {
    scenario(ROOT, |case| {
        let (bundle, cgroup) = limited(case, &CPUS, "echo ran", json!({ "cpu": { "cpus": "4000" } }));
        let outcome = case.run(&bundle);
        assert!(outcome.code() != 0 && outcome.stdout.is_empty(), "{outcome}");
        assert!(outcome.stderr.contains("cpuset.cpus") && outcome.stderr.contains("/linux/resources/cpu/cpus"), "{outcome}");
        assert_eq!(left(&cgroup), Vec::<PathBuf>::new());
    });
}

#[test]
fn limits_change_while_the_container_runs() {
    scenario(ROOT, |case| {
        let resources = json!({ "memory": { "limit": MEMORY }, "pids": { "limit": 17 } });
        let (bundle, cgroup) = limited(case, &MEMORY_MAX, "", resources);
        bundle.args(&["sleep", "300"]);
        let id = case.started(&bundle);
        case.wolffia().args(["update", "--memory", "96M", "--memory-swap=-1", "--pids-limit=-1", &id]).run().succeeds();
        assert_eq!((MEMORY_MAX.read(&cgroup), PIDS_MAX.read(&cgroup)), ((96 << 20).to_string(), "max".to_owned()));
        let document = json!({ "pids": { "limit": 21 }, "cpu": { "cpus": "0" } }).to_string();
        case.wolffia().args(["update", "--resources=-", &id]).stdin(&document).run().succeeds();
        let now = (MEMORY_MAX.read(&cgroup), PIDS_MAX.read(&cgroup), CPUS.read(&cgroup));
        assert_eq!(now, ((96 << 20).to_string(), "21".to_owned(), "0".to_owned()), "what is not named stays");
        let refused = case.wolffia().args(["update", "--cpuset-cpus=4000", &id]).run();
        assert!(refused.code() == 1 && refused.stderr.contains("/linux/resources/cpu/cpus"), "{refused}");
        let refused = case.wolffia().args(["update", "--memory=much", &id]).run();
        assert!(!refused.status.success() && refused.stderr.contains("is not a size"), "{refused}");
        case.wolffia().args(["delete", "--force", &id]).run().succeeds();
        let gone = case.wolffia().args(["update", "--pids-limit=1", &id]).run();
        assert!(gone.code() == 1 && gone.stderr.contains("container does not exist"), "{gone}");
    });
}

/// The limits before the one that fails are what they were, and so is what the next update starts from.
#[test]
fn an_update_that_fails_changes_nothing() {
    scenario(ROOT, |case| {
        let resources = json!({ "memory": { "limit": MEMORY }, "pids": { "limit": 17 }, "cpu": { "cpus": "0" } });
        let (bundle, cgroup) = limited(case, &MEMORY_MAX, "", resources);
        bundle.args(&["sleep", "300"]);
        let id = case.started(&bundle);
        let kept = || std::fs::read_to_string(case.root().join(&id).join("config.json")).unwrap();
        let before = kept();
        let change = ["--memory=96M", "--pids-limit=5", "--blkio-weight=500", "--cpuset-cpus=4000"];
        case.wolffia().arg("update").args(change).arg(&id).run().fails(1, "cpuset.cpus");
        let now = (MEMORY_MAX.read(&cgroup), PIDS_MAX.read(&cgroup), CPUS.read(&cgroup));
        assert_eq!(now, (MEMORY.to_string(), "17".to_owned(), "0".to_owned()));
        assert_eq!(kept(), before);
        case.wolffia().args(["update", "--memory=96M", &id]).run().succeeds();
        assert_eq!(MEMORY_MAX.read(&cgroup), (96 << 20).to_string());
    });
}

#[test]
fn updates_take_turns() {
    scenario(ROOT, |case| {
        let (bundle, cgroup) = limited(case, &PIDS_MAX, "", json!({ "pids": { "limit": 17 } }));
        bundle.args(&["sleep", "300"]);
        let id = case.started(&bundle);
        let lock = std::fs::File::options().read(true).write(true).open(case.root().join(&id).join("lock")).unwrap();
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let mut update = case.wolffia().args(["update", "--pids-limit=21", &id]).spawn();
        assert!(!wait_until(Duration::from_millis(500), || update.has_ended()), "another command is at work");
        assert_eq!(PIDS_MAX.read(&cgroup), "17");
        drop(lock);
        update.wait(PATIENCE).succeeds();
        assert_eq!(PIDS_MAX.read(&cgroup), "21");
        // Each says something else, and what each says is kept.
        let changes = ["--pids-limit=31", "--memory=96M", "--cpu-period=50000", "--cpu-share=77", "--cpuset-cpus=0"];
        let updates = changes.map(|change| case.wolffia().args(["update", change, &id]).spawn());
        updates.into_iter().for_each(|update| drop(update.wait(PATIENCE).succeeds()));
        let kept = std::fs::read(case.root().join(&id).join("config.json")).unwrap();
        let kept: Value = serde_json::from_slice(&kept).unwrap();
        let kept = &kept["linux"]["resources"];
        let what = (&kept["pids"]["limit"], &kept["memory"]["limit"], &kept["cpu"]);
        let cpu = json!({ "period": 50000, "shares": 77, "cpus": "0" });
        assert_eq!(what, (&json!(31), &json!(96 << 20), &cpu));
    });
}

#[test]
fn what_a_container_uses_is_told() {
    scenario(ROOT, |case| {
        let (bundle, _) = limited(case, &PIDS_MAX, "", json!({ "pids": { "limit": 17 } }));
        bundle.args(&["sleep", "300"]);
        let id = case.started(&bundle);
        let once: Value = serde_json::from_str(&case.wolffia().args(["events", "--stats", &id]).run().succeeds()).unwrap();
        assert_eq!((&once["type"], &once["id"]), (&json!("stats"), &json!(id)));
        assert_eq!(once["data"]["pids"], json!({ "current": 1, "limit": 17 }));
        assert!(once["data"]["cpu"]["usage"]["total"].as_u64().is_some_and(|nanoseconds| nanoseconds > 0), "{once}");
        assert!(once["data"]["memory"]["usage"]["usage"].as_u64().is_some_and(|bytes| bytes > 0), "{once}");
        let events = case.wolffia().args(["events", "--interval=50ms", &id]).spawn();
        assert!(wait_until(PATIENCE, || events.stdout().lines().count() >= 2), "statistics again and again");
        case.wolffia().args(["kill", &id, "KILL"]).run().succeeds();
        assert!(!events.wait(PATIENCE).succeeds().contains("oom"), "its end is none");
        let stopped = case.wolffia().args(["events", "--stats", &id]).run();
        assert!(stopped.code() == 1 && stopped.stderr.contains(&format!("container with id {id} is not running")), "{stopped}");
    });
}

/// A process that takes too much is told of while others go on: with version 1 too, and where there is nothing else.
#[test]
fn memory_that_runs_out_is_told() {
    scenario(ROOT, |case| {
        let tell = |view: &str| {
            let (bundle, _) = limited(case, &MEMORY_MAX, "", json!({ "memory": { "limit": MEMORY, "swap": MEMORY } }));
            bundle.args(&["sleep", "300"]);
            let id = case.started(&bundle);
            let events = case.wolffia().args(["events", "--interval=50ms", &id]).spawn();
            assert!(wait_until(PATIENCE, || events.stdout().contains("stats")), "{view}: it is watched");
            let hog = "x=$(head -c 300000000 /dev/zero | tr '\\000' x); echo survived";
            let outcome = case.wolffia().args(["exec", &id, "sh", "-c", hog]).run();
            assert!(!outcome.stdout.contains("survived"), "{view}: {outcome}");
            let told = || events.stdout().contains(&format!("{{\"type\":\"oom\",\"id\":\"{id}\"}}"));
            assert!(wait_until(PATIENCE, told), "{view}: {}", events.stdout());
            case.wolffia().args(["kill", &id, "KILL"]).run().succeeds();
            events.wait(PATIENCE).succeeds();
            case.wolffia().args(["delete", &id]).run().succeeds();
        };
        tell("as it is");
        let unified = Path::new("/sys/fs/cgroup/unified");
        if unified.join("cgroup.procs").exists() {
            case.program("mount").args(["-t", "tmpfs", "none"]).arg(unified).run().succeeds();
            tell("without version 2");
            case.program("umount").arg(unified).run().succeeds();
        }
    });
}

/// As with version 2: the limits would be the other's, and would stay with him.
#[test]
fn a_cgroup_of_version_1_that_somebody_is_in_is_not_the_containers() {
    scenario(ROOT, |case| {
        let Some(mount) = legacy("pids") else { case.skip("the pids controller is not bound to version 1") };
        let (bundle, cgroup) = limited(case, &PIDS_MAX, "echo ran", json!({ "pids": { "limit": 12 } }));
        let taken = mount.join(cgroup.trim_start_matches('/'));
        std::fs::create_dir_all(&taken).unwrap();
        let inside = case.program("sleep").arg("300").spawn();
        std::fs::write(taken.join("cgroup.procs"), inside.pid().to_string()).unwrap();
        let outcome = case.run(&bundle);
        let limit = std::fs::read_to_string(taken.join("pids.max")).unwrap();
        inside.signal(Signal::KILL);
        inside.wait(PATIENCE);
        for directory in [taken.as_path(), taken.parent().unwrap()] {
            std::fs::remove_dir(directory).unwrap();
        }
        assert!(outcome.code() != 0 && outcome.stderr.contains("container's cgroup is not empty: 1 process(es)"), "{outcome}");
        assert_eq!((limit.trim(), left(&cgroup)), ("max", Vec::new()));
    });
}

/// A cgroup that somebody has made for the container stays when it goes.
#[test]
fn a_cgroup_that_was_there_before_stays() {
    scenario(ROOT, |case| {
        let Some(mount) = unified() else { case.skip("no cgroup2 on this host") };
        let name = format!("wolffia-tests-{}-before", std::process::id());
        let before = mount.join(&name);
        std::fs::create_dir(&before).unwrap();
        let bundle = case.shell("echo ran");
        bundle.edit(|config| config["linux"]["cgroupsPath"] = json!(format!("/{name}")));
        // Killed once, and running to its end twice: the kernel kills at birth who is cloned into a cgroup that `cgroup.kill` was
        // ever written to.
        bundle.args(&["sleep", "300"]);
        let id = case.started(&bundle);
        let deleted = case.wolffia().args(["delete", "--force", &id]).run();
        bundle.args(&["sh", "-c", "echo ran"]);
        let (first, second) = (case.run(&bundle), case.run(&bundle));
        let stayed = before.exists();
        std::fs::remove_dir(&before).unwrap();
        deleted.succeeds();
        assert_eq!((first.succeeds(), second.succeeds()), ("ran\n".to_owned(), "ran\n".to_owned()));
        assert!(stayed, "{} is gone", before.display());
    });
}
