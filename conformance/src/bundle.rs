//! A fresh bundle: a root file system that holds the payload, and a configuration to change.

use crate::identity::Identity;
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

/// Where the payload lies in every container.
pub const PAYLOAD: &str = "/payload";

/// The capabilities of an ordinary container; none of them lets a case break out of what it judges.
const CAPABILITIES: [&str; 8] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_NET_BIND_SERVICE",
    "CAP_AUDIT_WRITE",
];

/// A bundle on disk. Changes to `config` are written when a container is made of it.
#[derive(Debug)]
pub struct Bundle {
    pub path: PathBuf,
    pub config: Value,
    owner: Identity,
}

impl Bundle {
    /// Makes the folder, the root file system with `payload` in it, and a configuration that runs `report`.
    pub fn make(path: PathBuf, payload: &Path, owner: &Identity) -> io::Result<Self> {
        let bundle = Self { path, config: ordinary(owner), owner: owner.clone() };
        bundle.folder_on_host(&bundle.path)?;
        bundle.folder_on_host(&bundle.rootfs())?;
        for folder in ["proc", "sys", "dev", "tmp", "etc", "data", "bin"] {
            bundle.folder(folder)?;
        }
        fs::hard_link(payload, bundle.inside("payload"))?;
        Ok(bundle)
    }

    pub fn rootfs(&self) -> PathBuf {
        self.path.join("rootfs")
    }

    /// A path of the container, on the host.
    pub fn inside(&self, path: &str) -> PathBuf {
        self.rootfs().join(path.trim_start_matches('/'))
    }

    /// Makes a folder in the root file system.
    pub fn folder(&self, path: &str) -> io::Result<()> {
        self.folder_on_host(&self.inside(path))
    }

    /// Makes a file in the root file system.
    pub fn file(&self, path: &str, text: &str) -> io::Result<()> {
        self.file_on_host(&self.inside(path), text)
    }

    /// Makes a symbolic link in the root file system.
    pub fn link(&self, path: &str, target: &str) -> io::Result<()> {
        symlink(target, self.inside(path))
    }

    /// A folder of this bundle for the host's side of a bind mount, owned by the user who runs the runtime.
    pub fn source(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        self.folder_on_host(&path)?;
        Ok(path)
    }

    pub fn file_on_host(&self, path: &Path, text: &str) -> io::Result<()> {
        fs::write(path, text)?;
        self.own(path)
    }

    /// Sets what the container runs: verbs of the payload.
    pub fn verbs(&mut self, verbs: &[&str]) {
        let line = verbs.join(" -- ");
        let words: Vec<&str> = std::iter::once(PAYLOAD).chain(line.split(' ')).collect();
        self.config["process"]["args"] = json!(words);
    }

    /// Adds an entry to an array of the configuration, made when missing: `push("/linux/devices", …)`.
    pub fn push(&mut self, pointer: &str, entry: Value) {
        let mut place = &mut self.config;
        for name in pointer.split('/').skip(1) {
            place = &mut place[name];
        }
        match place {
            Value::Array(entries) => entries.push(entry),
            other => *other = json!([entry]),
        }
    }

    pub fn mount(&mut self, destination: &str, kind: &str, source: &str, options: &[&str]) {
        self.push("/mounts", json!({ "destination": destination, "type": kind, "source": source, "options": options }));
    }

    /// Removes a namespace of the ordinary configuration, or gives it a path.
    pub fn namespace(&mut self, kind: &str, path: Option<&str>) {
        if let Some(namespaces) = self.config["linux"]["namespaces"].as_array_mut() {
            namespaces.retain(|namespace| namespace["type"] != kind);
            if let Some(path) = path {
                namespaces.push(json!({ "type": kind, "path": path }));
            }
        }
    }

    pub fn write(&self) -> io::Result<()> {
        self.file_on_host(&self.path.join("config.json"), &self.config.to_string())
    }

    fn folder_on_host(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o755))?;
        self.own(path)
    }

    fn own(&self, path: &Path) -> io::Result<()> {
        if self.owner.switch { chown(path, Some(self.owner.uid), Some(self.owner.gid)) } else { Ok(()) }
    }
}

fn ordinary(owner: &Identity) -> Value {
    let mut config = json!({
        "ociVersion": "1.0.2",
        "root": { "path": "rootfs" },
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "cwd": "/",
            "env": ["PATH=/bin:/usr/bin"],
            "args": [PAYLOAD, "report"],
            "capabilities": { "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES },
        },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
            { "destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
        ],
        "linux": {
            "namespaces": [{ "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }],
        },
    });
    if let Some(mappings) = &owner.mappings {
        config["linux"]["uidMappings"] = mappings.uids.clone();
        config["linux"]["gidMappings"] = mappings.gids.clone();
        if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
            namespaces.push(json!({ "type": "user" }));
        }
    }
    config
}
