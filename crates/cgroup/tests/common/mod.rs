//! A real cgroup2 mount to test on, and cgroups that are gone when the test is.

#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "helpers of tests; not every test uses all")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use wolffia_cgroup::Cgroup;
use wolffia_sys::Pid;

/// Where cgroup2 is mounted and this process may make cgroups; `None`, with the reason printed, where there is none.
pub fn mount() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).filter(|fields| fields[2] == "cgroup2");
    let mut reason = "no cgroup2 is mounted".to_owned();
    for mount in mounts.map(|fields| PathBuf::from(fields[1])) {
        let probe = mount.join(format!("wolffia-test-{}-{:?}", std::process::id(), std::thread::current().id()));
        match std::fs::create_dir(&probe).and_then(|()| std::fs::remove_dir(&probe)) {
            Ok(()) => return Some(mount),
            Err(error) => reason = format!("no cgroup can be made in {}: {error}", mount.display()),
        }
    }
    println!("skipped: {reason}");
    None
}

/// A directory of the test's own, taken away whole in the end.
pub struct Area {
    pub mount: PathBuf,
    pub name: String,
}

impl Area {
    pub fn new(test: &str) -> Option<Self> {
        let name = format!("wolffia-test-{}-{test}", std::process::id());
        let mount = mount()?;
        std::fs::create_dir(mount.join(&name)).unwrap();
        Some(Self { mount, name })
    }

    pub fn path(&self, below: &str) -> String {
        format!("{}/{below}", self.name)
    }

    pub fn host(&self, below: &str) -> PathBuf {
        self.mount.join(&self.name).join(below)
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        Cgroup::open(&self.mount, &self.name).unwrap().remove().unwrap();
        assert!(!self.mount.join(&self.name).exists(), "the test's cgroup is left");
    }
}

/// A process that is killed and reaped with the value.
pub struct Running(pub Child);

impl Running {
    pub fn sleep() -> Self {
        Self::command(Command::new("sleep").arg("1000"))
    }

    pub fn command(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().try_into().unwrap()).unwrap()
    }

    pub fn in_cgroup(self, directory: &Path) -> Self {
        std::fs::write(directory.join("cgroup.procs"), self.0.id().to_string()).unwrap();
        self
    }

    /// Whether it ends well.
    pub fn success(mut self) -> bool {
        self.0.wait().unwrap().success()
    }

    /// The signal that ended it.
    pub fn signal(mut self) -> Option<i32> {
        std::os::unix::process::ExitStatusExt::signal(&self.0.wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.try_wait().unwrap().is_none() {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }
}
