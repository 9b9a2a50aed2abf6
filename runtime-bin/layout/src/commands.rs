//! The commands whose pages count: what engines and people call all day.

use anyhow::{Context, Result, ensure};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Longer than a runtime that is stepped takes until it waits for the payload, beside which it shuts itself in then.
const LINGER: [&str; 3] = ["/busybox", "sleep", "3"];

/// One of them.
#[derive(Debug)]
pub struct Everyday(Vec<OsString>);

impl Everyday {
    /// A shell that waits to be continued, and then becomes the command.
    pub fn stopped(&self) -> Result<Pid> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "kill -STOP $$; exec \"$0\" \"$@\""]).args(&self.0).stdin(Stdio::null()).stdout(Stdio::null());
        let pid = Pid::from_raw(i32::try_from(shell.spawn()?.id())?);
        let status = waitpid(pid, Some(WaitPidFlag::WUNTRACED))?;
        ensure!(matches!(status, WaitStatus::Stopped(..)), "the shell did not stop: {status:?}");
        Ok(pid)
    }

    /// For people.
    pub fn name(&self) -> String {
        self.0.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}

/// Makes the bundles below a directory for temporary files, and lists the commands in an order that works.
pub fn everyday(program: &Path, payload: &Path) -> Result<Vec<Everyday>> {
    let directory = std::env::temp_dir().join(format!("wolffia-layout-{}", std::process::id()));
    let plain = bundle(program, payload, &directory.join("plain"), &LINGER, &[])?;
    let waits = bundle(program, payload, &directory.join("waits"), &["/busybox", "sleep", "1000"], &[])?;
    let filter = bundle(program, payload, &directory.join("filter"), &["/busybox", "true"], &["--seccomp"])?;
    let (root, pid_file) = (directory.join("state"), directory.join("pid"));
    let call = |words: &[&OsStr]| {
        let start = [program.as_os_str(), OsStr::new("--root"), root.as_os_str()];
        Everyday(start.iter().chain(words).map(|word| (*word).to_owned()).collect())
    };
    let words = |line: &str| call(&line.split(' ').map(OsStr::new).collect::<Vec<_>>());
    let made = |act: &str, bundle: &Path, id: &str| call(&[act, "--bundle", &bundle.to_string_lossy(), id].map(OsStr::new));
    Ok(vec![
        made("run", &plain, "layout-plain"),
        // As engines do it.
        call(&[
            OsStr::new("create"),
            "--bundle".as_ref(),
            waits.as_ref(),
            "--pid-file".as_ref(),
            pid_file.as_ref(),
            "layout-waits".as_ref(),
        ]),
        words("state layout-waits"),
        words("start layout-waits"),
        words("exec layout-waits /busybox sleep 3"),
        words("kill layout-waits KILL"),
        words("delete --force layout-waits"),
        made("run", &filter, "layout-filter"),
        words("list --quiet"),
        words("--version"),
        words("features"),
        words("sandbox -- /bin/sleep 3"),
    ])
}

fn bundle(program: &Path, payload: &Path, directory: &Path, args: &[&str], spec: &[&str]) -> Result<PathBuf> {
    let rootfs = directory.join("rootfs");
    std::fs::create_dir_all(&rootfs)?;
    std::fs::copy(payload, rootfs.join("busybox")).with_context(|| payload.display().to_string())?;
    let made = Command::new(program).arg("spec").args(spec).arg("--bundle").arg(directory).status()?;
    ensure!(made.success(), "wolffia spec: {made}");
    let file = directory.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = args.into();
    if spec.is_empty() {
        // Some engines write spaces, and some know no cgroup namespace.
        config["linux"]["namespaces"].as_array_mut().context("no namespaces")?.retain(|namespace| namespace["type"] != "cgroup");
        std::fs::write(&file, serde_json::to_vec_pretty(&config)?)?;
    } else {
        std::fs::write(&file, serde_json::to_vec(&config)?)?;
    }
    Ok(directory.to_owned())
}
