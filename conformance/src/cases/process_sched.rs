//! config.md and config-linux.md: scheduling, I/O priority, CPU affinity, memory policy, personality.

use crate::bench::Bench;
use crate::case::{Case, Clause, VALID_VALUES, Verdict, ensure, expect, skip};
use crate::container::{Container, parse_answers, value};
use serde_json::{Value, json};
use std::process::Command;

const SCHEDULER: Clause = Clause::must(
    "config.md, Linux Process",
    "scheduler is an object describing the scheduler properties for the process: policy, nice, priority, flags, runtime, deadline, period.",
);
const IO_PRIORITY: Clause = Clause::must(
    "config.md, Linux Process",
    "ioPriority configures the I/O priority settings for the container's processes within the process group.",
);
const EXEC_AFFINITY: Clause = Clause::must(
    "config.md, Linux Process",
    "final is a list of CPUs the process will be run on after the transition to container's cgroup.",
);
const PERSONALITY: Clause = Clause::must(
    "config-linux.md, Personality",
    "LINUX32 will set the uname system call to show a 32 bit CPU type, such as i686.",
);
const MEMORY_POLICY: Clause =
    Clause::must("config-linux.md, Memory policy", "memoryPolicy sets the NUMA memory policy for the container.");

pub fn cases() -> Vec<Case> {
    vec![
        SCHEDULER.since(1, "process.scheduler.batch", |bench| {
            scheduled(bench, &json!({ "policy": "SCHED_BATCH", "nice": 5 }), "batch", &json!([3, 5, 0]))
        }),
        SCHEDULER.since(1, "process.scheduler.idle", |bench| {
            scheduled(bench, &json!({ "policy": "SCHED_IDLE" }), "idle", &json!([5, 0, 0]))
        }),
        SCHEDULER.since(1, "process.scheduler.other", |bench| {
            scheduled(bench, &json!({ "policy": "SCHED_OTHER", "nice": 7 }), "other", &json!([0, 7, 0]))
        }),
        SCHEDULER.since(1, "process.scheduler.fifo", |bench| realtime(bench, "SCHED_FIFO", &json!([1, 0, 10]))),
        SCHEDULER.since(1, "process.scheduler.rr", |bench| realtime(bench, "SCHED_RR", &json!([2, 0, 10]))),
        SCHEDULER.since(1, "process.scheduler.flags.reset-on-fork", reset_on_fork),
        SCHEDULER.since(1, "process.scheduler.deadline", deadline),
        VALID_VALUES.since(1, "process.scheduler.unknown-policy", |bench| {
            refused(bench, "scheduler", &json!({ "policy": "SCHED_TEST" }))
        }),
        IO_PRIORITY
            .since(1, "process.io-priority.best-effort", |bench| io_priority(bench, "IOPRIO_CLASS_BE", 3, "best-effort: prio 3")),
        IO_PRIORITY.since(1, "process.io-priority.idle", |bench| io_priority(bench, "IOPRIO_CLASS_IDLE", 0, "idle")),
        VALID_VALUES.since(1, "process.io-priority.unknown-class", |bench| {
            refused(bench, "ioPriority", &json!({ "class": "IOPRIO_CLASS_TEST", "priority": 0 }))
        }),
        EXEC_AFFINITY.since(2, "process.exec-cpu-affinity.final", exec_affinity),
        PERSONALITY.case("linux.personality.linux32", personality),
        VALID_VALUES
            .case("linux.personality.unknown", |bench| linux_refused(bench, "personality", &json!({ "domain": "SOLARIS" }))),
        MEMORY_POLICY.since(3, "linux.memory-policy.bind", |bench| {
            memory_policy(bench, &json!({ "mode": "MPOL_BIND", "nodes": "0" }), "bind:0")
        }),
        MEMORY_POLICY.since(3, "linux.memory-policy.interleave-static", |bench| {
            let policy = json!({ "mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] });
            memory_policy(bench, &policy, "interleave=static:0")
        }),
        VALID_VALUES.since(3, "linux.memory-policy.unknown-mode", |bench| {
            linux_refused(bench, "memoryPolicy", &json!({ "mode": "MPOL_TEST", "nodes": "0" }))
        }),
    ]
}

/// Policy, nice value and real-time priority of a container with this scheduler.
fn seen(bench: &Bench, scheduler: &Value, verb: &str) -> Verdict<Value> {
    let mut bundle = bench.bundle()?;
    bundle.config["process"]["scheduler"] = scheduler.clone();
    let answers = bench.ask(&mut bundle, &[verb])?;
    let report = value(&answers[0])?;
    Ok(json!([report["policy"], report["nice"], report["rt_priority"]]))
}

fn scheduled(bench: &Bench, scheduler: &Value, what: &str, expected: &Value) -> Verdict {
    expect(&format!("policy, nice, priority ({what})"), &seen(bench, scheduler, "report")?, expected)
}

/// On a host with cgroup v1 and real-time group scheduling a new cgroup has no real-time share, so nothing can be seen there.
fn needs_realtime(bench: &Bench) -> Verdict {
    bench.needs_root("real-time policies")?;
    match std::fs::metadata("/sys/fs/cgroup/cpu/cpu.rt_runtime_us") {
        Ok(_) => Err(skip("cgroup v1 with real-time group scheduling gives new cgroups no share")),
        Err(_) => Ok(()),
    }
}

fn realtime(bench: &Bench, policy: &str, expected: &Value) -> Verdict {
    needs_realtime(bench)?;
    scheduled(bench, &json!({ "policy": policy, "priority": 10 }), policy, expected)
}

fn reset_on_fork(bench: &Bench) -> Verdict {
    needs_realtime(bench)?;
    let scheduler = json!({ "policy": "SCHED_FIFO", "priority": 10, "flags": ["SCHED_FLAG_RESET_ON_FORK"] });
    expect("policy, nice, priority of a child", &seen(bench, &scheduler, "fork-report")?, &json!([0, 0, 0]))
}

fn deadline(bench: &Bench) -> Verdict {
    needs_realtime(bench)?;
    let scheduler = json!({ "policy": "SCHED_DEADLINE", "runtime": 10_000_000, "deadline": 20_000_000, "period": 30_000_000 });
    let mut bundle = bench.bundle()?;
    bundle.config["process"]["scheduler"] = scheduler;
    let container = bench.running(&mut bundle)?;
    // /proc shows what is left of the runtime, not what was granted, so chrt(1) of the host asks the kernel.
    let seen = host_says("chrt", &["-p"], &container)?;
    ensure(seen.contains("10000000/20000000/30000000"), || format!("chrt says {seen:?}"))
}

fn refused(bench: &Bench, property: &str, setting: &Value) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["process"][property] = setting.clone();
    bench.process_refused(&bundle).map(drop)
}

fn linux_refused(bench: &Bench, property: &str, setting: &Value) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["linux"][property] = setting.clone();
    bench.process_refused(&bundle).map(drop)
}

/// The kernel shows no I/O priority in /proc, so ionice(1) of the host reads it.
fn io_priority(bench: &Bench, class: &str, priority: u32, shown: &str) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["process"]["ioPriority"] = json!({ "class": class, "priority": priority });
    let container = bench.running(&mut bundle)?;
    let seen = host_says("ionice", &["-p"], &container)?;
    ensure(seen == shown, || format!("ionice says {seen:?}, due is {shown:?}"))
}

/// What a tool of the host says about the first process of a container.
fn host_says(tool: &str, arguments: &[&str], container: &Container) -> Verdict<String> {
    let pid = container.pid()?.as_raw_nonzero().to_string();
    let output = Command::new(tool).args(arguments).arg(&pid).output();
    let output = output.map_err(|error| skip(format!("{tool} cannot be run: {error}")))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn exec_affinity(bench: &Bench) -> Verdict {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let own = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).map(str::trim).unwrap_or_default();
    if !own.contains([',', '-']) {
        return Err(skip("this process may use one CPU only"));
    }
    let mut bundle = bench.bundle()?;
    bundle.config["process"]["execCPUAffinity"] = json!({ "initial": "0", "final": "1" });
    let container = bench.running(&mut bundle)?;
    let answers = parse_answers(&container.exec(&[], &[crate::bundle::PAYLOAD, "report"])?.success("exec")?.stdout)?;
    let Some(answer) = answers.first() else { return Err(skip("exec did not report")) };
    expect("the CPUs of an exec", &value(answer)?["cpus"], &json!("1"))
}

fn personality(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["linux"]["personality"] = json!({ "domain": "LINUX32" });
    let report = bench.report(&mut bundle)?;
    let machine = report["machine"].as_str().unwrap_or_default();
    ensure(machine != std::env::consts::ARCH && !machine.is_empty(), || format!("uname says {machine:?}"))
}

fn memory_policy(bench: &Bench, policy: &Value, shown: &str) -> Verdict {
    if std::fs::metadata("/proc/self/numa_maps").is_err() {
        return Err(skip("this kernel has no NUMA"));
    }
    let mut bundle = bench.bundle()?;
    bundle.config["linux"]["memoryPolicy"] = policy.clone();
    expect("the memory policy", &bench.report(&mut bundle)?["memory_policy"], &json!(shown))
}
