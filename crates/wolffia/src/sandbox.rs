//! `wolffia sandbox`: a command on the host's own root file system, read-only, with no image and no set-up.
//!
//! It only writes an OCI configuration; from there on it is a container like any other.

mod landlock;
mod seccomp;

pub use landlock::Landlock;
pub use seccomp::Seccomp;

use crate::error::{Error, Result};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Directories that are empty and private unless the caller shows a part of them: what other programs leave in them is theirs,
/// and the sockets in /run would be doors.
const PRIVATE: [&str; 3] = ["/tmp", "/var/tmp", "/run"];

/// Variables that a command gets from the caller's environment; any other only when it is named, because secrets live there.
const PASSED_ON: [&str; 10] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "COLORTERM", "LANG", "LANGUAGE", "TZ"];

/// The same masks and read-only paths as runc's default.
const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
];
const READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What the command may see and do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Files and directories that it may write.
    pub rw: Vec<PathBuf>,
    /// Files and directories that it may read although they lie in a place that is hidden.
    pub ro: Vec<PathBuf>,
    /// Empty, writable directories that are gone afterwards.
    pub tmpfs: Vec<PathBuf>,
    /// Files and directories that look empty.
    pub hide: Vec<PathBuf>,
    pub network: Network,
    /// `NAME=value`, or `NAME` for the caller's value.
    pub env: Vec<String>,
    /// Default: the caller's, where it can be seen inside, else `/`.
    pub cwd: Option<PathBuf>,
    /// Default: `sandbox`.
    pub hostname: Option<String>,
    /// Ids inside; on the host the command always has the caller's.
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// `NAME=SOFT[:HARD]`, for example `nofile=256`.
    pub rlimits: Vec<String>,
    pub seccomp: Seccomp,
    pub landlock: Landlock,
    /// A terminal of its own.
    pub terminal: bool,
}

/// The command's network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    /// A loopback interface and nothing else.
    #[default]
    None,
    /// The host's.
    Host,
}

impl Sandbox {
    /// The configuration's JSON, which says more than the specification's types hold.
    ///
    /// # Errors
    /// Paths and files that cannot be found or read, values that are none.
    pub fn configuration(&self) -> Result<Value> {
        let mut configuration = self.without_profile()?;
        configuration["linux"]["seccomp"] = self.seccomp.profile()?;
        Ok(configuration)
    }

    /// The same as text, for [`Bundle::of_text`](crate::Bundle::of_text). The profile, most of it, is not read and written again for it.
    ///
    /// # Errors
    /// As of [`Sandbox::configuration`].
    pub fn text(&self) -> Result<String> {
        let mut configuration = self.without_profile()?;
        let mut linux = configuration["linux"].take().to_string();
        insert(&mut linux, "seccomp", &self.seccomp.text()?);
        if let Some(members) = configuration.as_object_mut() {
            members.remove("linux");
        }
        let mut text = configuration.to_string();
        insert(&mut text, "linux", &linux);
        Ok(text)
    }

    fn without_profile(&self) -> Result<Value> {
        let (euid, egid) = (wolffia_sys::ids::geteuid(), wolffia_sys::ids::getegid());
        let (uid, gid) = (self.uid.unwrap_or(euid), self.gid.unwrap_or(egid));
        let mut namespaces = vec!["user", "mount", "pid", "ipc", "uts", "cgroup"];
        if self.network == Network::None {
            namespaces.push("network");
        }
        let masked: Vec<Value> = MASKED.iter().map(|path| json!(path)).chain(self.hide.iter().map(|path| json!(path))).collect();
        Ok(json!({
            "ociVersion": "1.3.0",
            "root": { "path": "/", "readonly": true },
            "annotations": { "io.wolffia.root.readonly": "recursive" },
            "hostname": self.hostname.as_deref().unwrap_or("sandbox"),
            "process": {
                "terminal": self.terminal,
                "user": { "uid": uid, "gid": gid },
                "args": self.args,
                "env": self.environment(),
                "cwd": self.directory()?,
                "capabilities": {},
                "rlimits": self.rlimits.iter().map(|text| rlimit(text)).collect::<Result<Vec<_>>>()?,
                "noNewPrivileges": true,
                "landlock": self.landlock.rules(&self.writable()?),
            },
            "mounts": self.mounts()?,
            "linux": {
                "namespaces": namespaces.iter().map(|kind| json!({ "type": kind })).collect::<Vec<_>>(),
                "uidMappings": [{ "containerID": uid, "hostID": euid, "size": 1 }],
                "gidMappings": [{ "containerID": gid, "hostID": egid, "size": 1 }],
                "maskedPaths": masked,
                "readonlyPaths": READONLY,
            },
        }))
    }

    fn mounts(&self) -> Result<Vec<Value>> {
        let mut mounts = vec![
            mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "noexec", "mode=755", "size=64k"]),
            mount("/dev/pts", "devpts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
            mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=64m"]),
            mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        ];
        for directory in private() {
            let mode = if directory == Path::new("/run") { "mode=755" } else { "mode=1777" };
            mounts.push(mount(&text(directory)?, "tmpfs", "tmpfs", &["nosuid", "nodev", mode]));
        }
        if self.network == Network::Host {
            mounts.extend(resolver()?);
        }
        for directory in &self.tmpfs {
            mounts.push(mount(&text(&absolute(directory)?)?, "tmpfs", "tmpfs", &["nosuid", "nodev", "mode=755"]));
        }
        // Writable ones last, so that a writable directory inside a read-only one stays writable.
        for (paths, access) in [(&self.ro, "rro"), (&self.rw, "rw")] {
            for path in paths {
                let path = text(&existing(path)?)?;
                mounts.push(mount(&path, "bind", &path, &["rbind", "nosuid", "nodev", access]));
            }
        }
        Ok(mounts)
    }

    /// Where the mounts allow writing.
    fn writable(&self) -> Result<Vec<String>> {
        let mut paths = vec!["/dev".to_owned()];
        let tmpfs = self.tmpfs.iter().map(|path| absolute(path));
        let shown = self.rw.iter().map(|path| existing(path));
        for path in private().map(|path| Ok(path.to_owned())).chain(tmpfs).chain(shown) {
            paths.push(text(&path?)?);
        }
        Ok(paths)
    }

    fn environment(&self) -> Vec<String> {
        let passed = |name: &&str| std::env::var(name).ok().map(|value| format!("{name}={value}"));
        let mut env: Vec<String> = PASSED_ON.iter().filter_map(passed).collect();
        env.extend(self.env.iter().filter_map(|entry| match entry.contains('=') {
            true => Some(entry.clone()),
            false => passed(&entry.as_str()),
        }));
        env
    }

    /// A directory that would be empty inside is no place to be in.
    fn directory(&self) -> Result<String> {
        if let Some(cwd) = &self.cwd {
            return text(&absolute(cwd)?);
        }
        let Ok(cwd) = std::env::current_dir() else { return Ok("/".to_owned()) };
        let hidden = PRIVATE.iter().map(PathBuf::from).chain(self.tmpfs.clone()).chain(self.hide.clone());
        let shown = self.rw.iter().chain(&self.ro).filter_map(|path| existing(path).ok());
        let is_hidden =
            hidden.into_iter().any(|path| cwd.starts_with(path)) && !shown.into_iter().any(|path| cwd.starts_with(path));
        if is_hidden { Ok("/".to_owned()) } else { text(&cwd) }
    }
}

/// Adds a member to the text of an object that has some.
pub(crate) fn insert(object: &mut String, name: &str, value: &str) {
    let end = object.pop();
    debug_assert_eq!(end, Some('}'), "{object}");
    object.extend([",\"", name, "\":", value, "}"]);
}

/// Those of [`PRIVATE`] that this host has.
fn private() -> impl Iterator<Item = &'static Path> {
    PRIVATE.iter().map(Path::new).filter(|path| path.is_dir() && !path.is_symlink())
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": kind, "source": source, "options": options })
}

/// Where /etc/resolv.conf is a link into /run, the file that it names has to be shown there.
fn resolver() -> Result<Option<Value>> {
    match std::fs::canonicalize("/etc/resolv.conf") {
        Ok(path) if path.starts_with("/run") => {
            let path = text(&path)?;
            Ok(Some(mount(&path, "bind", &path, &["bind", "ro", "nosuid", "nodev", "noexec"])))
        }
        _ => Ok(None),
    }
}

fn rlimit(entry: &str) -> Result<Value> {
    let wrong = || Error::Usage {
        reason: format!("--rlimit {entry:?} is not NAME=SOFT[:HARD]"),
        cure: "for example nofile=256, or as=1073741824:unlimited",
    };
    let (name, values) = entry.split_once('=').ok_or_else(wrong)?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |text: &str| match text {
        "unlimited" => Ok(u64::MAX),
        text => text.parse::<u64>().map_err(|_| wrong()),
    };
    Ok(json!({ "type": format!("RLIMIT_{}", name.to_uppercase()), "soft": number(soft)?, "hard": number(hard)? }))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|source| Error::File { act: "find", path: path.to_owned(), source })
}

/// With its symbolic links resolved: the mount goes to where the file is.
fn existing(path: &Path) -> Result<PathBuf> {
    std::fs::canonicalize(path).map_err(|source| Error::File { act: "find", path: path.to_owned(), source })
}

fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| Error::Usage {
        reason: format!("{} is not UTF-8, which a configuration must be", path.display()),
        cure: "rename it",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_configurations() {
        for seccomp in [Seccomp::Default, Seccomp::Off] {
            let sandbox = Sandbox { args: vec!["a\"}".to_owned()], seccomp, ..Sandbox::default() };
            let text: Value = serde_json::from_str(&sandbox.text().unwrap()).unwrap();
            assert_eq!(text, sandbox.configuration().unwrap());
        }
    }
}
