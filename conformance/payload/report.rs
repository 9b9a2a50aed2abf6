//! The verb `report`: everything that this process can see of what the runtime made for it.

use crate::Answer;
use crate::proc_text::{field, mounts, stat_fields, table, text};
use nix::sys::resource::{Resource, getrlimit};
use serde_json::{Map, Value, json};

const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

const LIMITS: [(&str, Resource); 16] = [
    ("RLIMIT_AS", Resource::RLIMIT_AS),
    ("RLIMIT_CORE", Resource::RLIMIT_CORE),
    ("RLIMIT_CPU", Resource::RLIMIT_CPU),
    ("RLIMIT_DATA", Resource::RLIMIT_DATA),
    ("RLIMIT_FSIZE", Resource::RLIMIT_FSIZE),
    ("RLIMIT_LOCKS", Resource::RLIMIT_LOCKS),
    ("RLIMIT_MEMLOCK", Resource::RLIMIT_MEMLOCK),
    ("RLIMIT_MSGQUEUE", Resource::RLIMIT_MSGQUEUE),
    ("RLIMIT_NICE", Resource::RLIMIT_NICE),
    ("RLIMIT_NOFILE", Resource::RLIMIT_NOFILE),
    ("RLIMIT_NPROC", Resource::RLIMIT_NPROC),
    ("RLIMIT_RSS", Resource::RLIMIT_RSS),
    ("RLIMIT_RTPRIO", Resource::RLIMIT_RTPRIO),
    ("RLIMIT_RTTIME", Resource::RLIMIT_RTTIME),
    ("RLIMIT_SIGPENDING", Resource::RLIMIT_SIGPENDING),
    ("RLIMIT_STACK", Resource::RLIMIT_STACK),
];

/// The whole report, as one object.
pub fn whole() -> Answer {
    let status = text("/proc/self/status").unwrap_or_default();
    let mut report = identity(&status);
    report.append(&mut confinement(&status));
    report.append(&mut scheduling(&status));
    report.append(&mut surroundings());
    Ok(Value::Object(report))
}

/// The inode link of one of this process's namespaces, such as `net:[4026531840]`.
pub fn namespace(name: &str) -> Value {
    std::fs::read_link(format!("/proc/self/ns/{name}")).map_or(Value::Null, |link| json!(link.to_string_lossy()))
}

fn identity(status: &str) -> Map<String, Value> {
    let numbers = |name| -> Vec<u32> {
        field(status, name).unwrap_or_default().split_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    let stat = stat_fields(&text("/proc/self/stat").unwrap_or_default());
    let environment: Vec<String> =
        std::env::vars_os().map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy())).collect();
    object(json!({
        "argv": std::env::args().collect::<Vec<_>>(),
        "environment": environment,
        "cwd": std::env::current_dir().map_or(Value::Null, |path| json!(path.to_string_lossy())),
        "uids": numbers("Uid"),
        "gids": numbers("Gid"),
        "groups": numbers("Groups"),
        "umask": field(status, "Umask"),
        "pid": std::process::id(),
        "session": stat.get(2),
        "tty": stat.get(3),
    }))
}

fn confinement(status: &str) -> Map<String, Value> {
    let set = |name| field(status, name).and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let number = |name| field(status, name).and_then(|word| word.parse::<i64>().ok());
    let limits: Map<String, Value> = LIMITS
        .iter()
        .filter_map(|(name, resource)| getrlimit(*resource).ok().map(|(soft, hard)| ((*name).to_owned(), json!([soft, hard]))))
        .collect();
    object(json!({
        "capabilities": {
            "inheritable": set("CapInh"), "permitted": set("CapPrm"), "effective": set("CapEff"),
            "bounding": set("CapBnd"), "ambient": set("CapAmb"),
        },
        "no_new_privs": number("NoNewPrivs"),
        "seccomp": number("Seccomp"),
        "filters": number("Seccomp_filters"),
        "limits": limits,
        "oom_score_adj": text("/proc/self/oom_score_adj").and_then(|score| score.trim().parse::<i64>().ok()),
        "keys": text("/proc/keys"),
    }))
}

fn scheduling(status: &str) -> Map<String, Value> {
    let stat = stat_fields(&text("/proc/self/stat").unwrap_or_default());
    let numa = text("/proc/self/numa_maps").unwrap_or_default();
    object(json!({
        "nice": stat.get(15),
        "rt_priority": stat.get(36),
        "policy": stat.get(37),
        "cpus": field(status, "Cpus_allowed_list"),
        "memory_policy": numa.lines().next().and_then(|line| line.split(' ').nth(1)),
        "personality": text("/proc/self/personality").map(|word| word.trim().to_owned()),
    }))
}

fn surroundings() -> Map<String, Value> {
    let namespaces: Map<String, Value> = NAMESPACES.iter().map(|name| ((*name).to_owned(), namespace(name))).collect();
    let uname = rustix::system::uname();
    object(json!({
        "namespaces": namespaces,
        "mounts": mounts(),
        "descriptors": descriptors(),
        "hostname": uname.nodename().to_string_lossy(),
        "domainname": uname.domainname().to_string_lossy(),
        "machine": uname.machine().to_string_lossy(),
        "uid_map": table("/proc/self/uid_map"),
        "gid_map": table("/proc/self/gid_map"),
        "time_offsets": table("/proc/self/timens_offsets"),
        "cgroup": text("/proc/self/cgroup"),
        "interfaces": table("/proc/self/net/dev"),
    }))
}

/// Number and target of every open descriptor, without the one that reads the list.
fn descriptors() -> Value {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return Value::Null };
    let mut open = Map::new();
    for entry in entries.flatten() {
        let target =
            std::fs::read_link(entry.path()).map_or_else(|error| error.to_string(), |path| path.to_string_lossy().into_owned());
        if !target.starts_with("/proc/") || !target.ends_with("/fd") {
            open.insert(entry.file_name().to_string_lossy().into_owned(), json!(target));
        }
    }
    Value::Object(open)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => Map::from_iter([("unexpected".to_owned(), other)]),
    }
}
