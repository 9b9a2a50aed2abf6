//! A bundle on the disk.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A directory with a configuration and, usually, a root file system.
#[derive(Debug)]
pub struct Bundle {
    directory: PathBuf,
}

impl Bundle {
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub fn path(&self) -> &Path {
        &self.directory
    }

    pub fn rootfs(&self) -> PathBuf {
        self.directory.join("rootfs")
    }

    pub fn config(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.directory.join("config.json")).unwrap()).unwrap()
    }

    /// Changes the configuration.
    pub fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut config = self.config();
        change(&mut config);
        std::fs::write(self.directory.join("config.json"), serde_json::to_vec_pretty(&config).unwrap()).unwrap();
    }

    /// Changes the program that is run.
    pub fn args(&self, args: &[&str]) {
        self.edit(|config| config["process"]["args"] = json!(args));
    }

    /// Adds a mount.
    pub fn mount(&self, mount: Value) {
        self.edit(|config| config["mounts"].as_array_mut().unwrap().push(mount));
    }

    /// Puts a file into the root file system.
    pub fn file(&self, path: &str, text: &str) {
        let path = self.rootfs().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The same as a script that can be executed.
    pub fn script(&self, path: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        self.file(path, text);
        std::fs::set_permissions(self.rootfs().join(path), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}
