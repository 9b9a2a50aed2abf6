//! The bundles: what `runc spec` writes, without a terminal, and for users without what only root can do.

use crate::options::Who;
use crate::stage::{Caller, Stage};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

/// Our own profile of the size of Docker's; a copy, so that the benchmark measures the same next year.
const PROFILE: &str = include_str!("../profile.json");
const CAPABILITIES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/// What a bundle's container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// Ends at once.
    True,
    /// Ends after a while.
    Linger,
    /// Stays until it is killed.
    Wait,
}

impl Payload {
    pub fn word(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::Linger => "linger",
            Self::Wait => "wait",
        }
    }
}

/// The root file system that all share: mount points and one small static program.
pub fn make_rootfs(stage: &Stage, caller: &Caller, program: &Path) -> io::Result<PathBuf> {
    let rootfs = stage.folder.join(format!("rootfs-{}", caller.who.word()));
    for folder in ["", "proc", "sys", "dev"] {
        fs::create_dir(rootfs.join(folder))?;
        chown(rootfs.join(folder), Some(caller.uid), Some(caller.gid))?;
    }
    fs::copy(program, rootfs.join("true"))?;
    fs::set_permissions(rootfs.join("true"), Permissions::from_mode(0o755))?;
    Ok(rootfs)
}

/// Makes a bundle and gives its folder.
pub fn make(caller: &Caller, rootfs: &Path, filter: bool, payload: Payload) -> io::Result<PathBuf> {
    let name = format!("bundle-{}-{}", if filter { "filter" } else { "plain" }, payload.word());
    let folder = caller.folder.join(name);
    fs::create_dir(&folder)?;
    let file = folder.join("config.json");
    let text = serde_json::to_string_pretty(&configuration(caller, rootfs, filter, payload)?).map_err(io::Error::other)?;
    fs::write(&file, text)?;
    for path in [&folder, &file] {
        chown(path, Some(caller.uid), Some(caller.gid))?;
    }
    Ok(folder)
}

fn configuration(caller: &Caller, rootfs: &Path, filter: bool, payload: Payload) -> io::Result<Value> {
    let mut config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": ["/true", payload.word()],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": { "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true
        },
        "root": { "path": rootfs, "readonly": true },
        "hostname": "floor",
        "mounts": mounts(caller),
        "linux": {
            "namespaces": [{ "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }],
            "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    });
    let linux = &mut config["linux"];
    if caller.who == Who::Root {
        linux["resources"] = json!({ "devices": [{ "allow": false, "access": "rwm" }] });
    } else {
        if let Some(namespaces) = linux["namespaces"].as_array_mut() {
            namespaces.push(json!({ "type": "user" }));
        }
        linux["uidMappings"] = mapping(caller.uid, caller);
        linux["gidMappings"] = mapping(caller.gid, caller);
    }
    if filter {
        linux["seccomp"] = serde_json::from_str(PROFILE).map_err(io::Error::other)?;
    }
    Ok(config)
}

fn mounts(caller: &Caller) -> Value {
    let mut terminals = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    if caller.who != Who::Single {
        terminals.push("gid=5");
    }
    let secure = ["nosuid", "noexec", "nodev"];
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": kind, "options": options });
    json!([
        mount("/proc", "proc", &[]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", &terminals),
        mount("/dev/shm", "tmpfs", &[&secure[..], &["mode=1777", "size=65536k"]].concat()),
        mount("/dev/mqueue", "mqueue", &secure),
        mount("/sys", "sysfs", &[&secure[..], &["ro"]].concat()),
        mount("/sys/fs/cgroup", "cgroup", &[&secure[..], &["relatime", "ro"]].concat()),
    ])
}

fn mapping(id: u32, caller: &Caller) -> Value {
    let own = json!({ "containerID": 0, "hostID": id, "size": 1 });
    match caller.who {
        Who::Many => json!([own, { "containerID": 1, "hostID": caller.first, "size": caller.count }]),
        _ => json!([own]),
    }
}
