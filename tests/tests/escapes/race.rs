//! The race harness: a neighbour that swaps what the runtime looks at, with renameat2(RENAME_EXCHANGE), while containers are made.
//!
//! Whether a container starts under this fire does not matter; that nothing of the host is reached, and that one starts when it
//! stops, does. `WOLFFIA_RACES` is the number of creations, divided among the traps: 500 unless it is set.

use crate::canary::{Canary, KERNEL_FILE};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use wolffia_tests::{ANYBODY, Bundle, Case, ConsoleSocket, Value, json, scenario};

/// Traps that share the creations.
const TRAPS: usize = 7;
/// Below the harness's own limit for one scenario.
const PATIENCE: Duration = Duration::from_secs(150);

fn creations() -> usize {
    let all = std::env::var("WOLFFIA_RACES").ok().and_then(|text| text.parse().ok()).unwrap_or(500);
    usize::max(all / TRAPS / ANYBODY.len(), 1)
}

/// Swaps pairs of names until it is dropped.
struct Swapper {
    stop: Arc<AtomicBool>,
    swaps: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Swapper {
    fn start(pairs: Vec<(PathBuf, PathBuf)>) -> Self {
        let (stop, swaps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (stop.clone(), swaps.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for (one, other) in &pairs {
                    // One of them may not be there at this moment.
                    if renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok() {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        Self { stop, swaps, thread: Some(thread) }
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn writable(config: &mut Value) {
    config["root"]["readonly"] = json!(false);
}

fn without_mounts_below(config: &mut Value, path: &str) {
    config["mounts"].as_array_mut().unwrap().retain(|mount| !mount["destination"].as_str().unwrap().starts_with(path));
    writable(config);
}

fn mounts() -> String {
    std::fs::read_to_string("/proc/self/mountinfo").unwrap()
}

/// Makes containers of `bundle` while `pairs` are swapped, and one more afterwards, which must say "honest".
fn race(case: &Case, canary: &Canary, bundle: &Bundle, pairs: &[(PathBuf, PathBuf)], terminal: bool) {
    // Of a user's mount namespace others are the machine's too.
    let compare = case.identity.is_root();
    let before = mounts();
    let first: Vec<u64> = pairs.iter().map(|(place, _)| inode(place)).collect();
    let end = Instant::now() + PATIENCE;
    let swapper = Swapper::start(pairs.to_vec());
    let (mut made, mut started) = (0, 0);
    while made < creations() && Instant::now() < end {
        let outcome = if terminal { with_terminal(case, bundle) } else { case.run(bundle) };
        canary.survived(&outcome);
        assert!(!compare || mounts() == before, "a mount of the container's is the host's: {outcome}");
        made += 1;
        started += usize::from(outcome.status.success());
    }
    let swaps = swapper.swaps.load(Ordering::Relaxed);
    drop(swapper);
    put_back(pairs, &first);
    let honest = if terminal { with_terminal(case, bundle) } else { case.run(bundle) };
    assert!(honest.status.success() && (terminal || honest.stdout.contains("honest")), "{honest}");
    canary.survived(&honest);
    println!("{made} creations, {started} of them started, {swaps} swaps");
    assert!(swaps > 0, "nothing was swapped");
}

fn inode(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).map_or(0, |stat| stat.ino())
}

/// Gives every place back what it held at first.
fn put_back(pairs: &[(PathBuf, PathBuf)], first: &[u64]) {
    for ((place, _), first) in pairs.iter().zip(first) {
        if *first == 0 {
            // It was not there, and is again made by who needs it.
            std::fs::remove_file(place).ok();
        }
        if let Some((_, other)) = pairs.iter().find(|(same, other)| same == place && inode(other) == *first) {
            renameat_with(CWD, place, CWD, other, RenameFlags::EXCHANGE).unwrap();
        }
    }
}

/// Run in a terminal, whose master is thrown away.
fn with_terminal(case: &Case, bundle: &Bundle) -> wolffia_tests::Outcome {
    let path = case.path("t");
    std::fs::remove_file(&path).ok();
    let socket = ConsoleSocket::listen(path);
    case.call_on("run", bundle, &case.id()).arg("--console-socket").arg(socket.path()).run()
}

fn pair(folder: &Path, one: &str, other: &str) -> (PathBuf, PathBuf) {
    (folder.join(one), folder.join(other))
}

/// A volume that the neighbour shares, with a directory and links out of it.
fn volume(case: &Case, canary: &Canary) -> PathBuf {
    let volume = case.directory("volume");
    for folder in ["target", "target/deep", "target/empty"] {
        std::fs::create_dir(volume.join(folder)).unwrap();
    }
    std::fs::write(volume.join("target/file"), "").unwrap();
    symlink(canary.path(), volume.join("absolute")).unwrap();
    symlink(format!("{}{}", "../".repeat(40), canary.text().trim_start_matches('/')), volume.join("relative")).unwrap();
    symlink("/", volume.join("root")).unwrap();
    volume
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": kind, "source": source, "options": options })
}

/// And CVE-2024-45310: directories and files on the way are made too.
#[test]
fn cve_2021_30465_mount_targets() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        let volume = volume(case, &canary);
        let file = case.path("file");
        std::fs::write(&file, "").unwrap();
        let bundle = case.shell("cat /volume/target/of-the-host /volume/*/of-the-host 2>/dev/null; echo honest");
        bundle.edit(|config| {
            writable(config);
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.push(mount("/volume", "bind", volume.to_str().unwrap(), &["rbind"]));
            mounts.push(mount("/volume/target/deep", "tmpfs", "tmpfs", &["nosuid"]));
            mounts.push(mount("/volume/target/new/deeper", "tmpfs", "tmpfs", &["nosuid"]));
            mounts.push(mount("/volume/target/empty", "bind", volume.to_str().unwrap(), &["bind"]));
            mounts.push(mount("/volume/target/new-file", "bind", file.to_str().unwrap(), &["bind"]));
        });
        let names = ["absolute", "relative", "root"];
        race(case, &canary, &bundle, &names.map(|name| pair(&volume, "target", name)), false);
    });
}

/// And CVE-2024-21626's shape: the directory to start in.
#[test]
fn cve_2024_45310_working_directory() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        let volume = volume(case, &canary);
        let bundle = case.shell("cat of-the-host ../of-the-host 2>/dev/null; touch x 2>/dev/null; pwd | grep -F unreachable && echo LEAK; echo honest");
        bundle.edit(|config| {
            writable(config);
            config["process"]["cwd"] = json!("/volume/target/new/deeper");
            config["mounts"].as_array_mut().unwrap().push(mount("/volume", "bind", volume.to_str().unwrap(), &["rbind"]));
        });
        let names = ["absolute", "relative", "root"];
        race(case, &canary, &bundle, &names.map(|name| pair(&volume, "target", name)), false);
    });
}

/// Opens for writing, and writes nothing. Whatever has a number in it is the kernel's, by the same descriptor: names go on being
/// swapped.
fn reach_for_the_kernel() -> String {
    format!(
        "for d in /proc /sys /other /dev /null /secret; do
            for f in $d $d/{KERNEL_FILE}; do
                [ -f $f ] && (case $(head -c 1 <&3) in [1-9]) echo LEAK $f;; esac) 3<>$f
            done 2>&-
            for f in $d/kcore $d/keys; do [ -n \"$(head -c 1 $f 2>&-)\" ] && echo LEAK $f; done
        done
        echo honest"
    )
}

/// And CVE-2023-27561, CVE-2025-52881: the neighbour shares the whole root file system.
#[test]
fn cve_2019_19921_proc() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        let bundle = case.shell(&reach_for_the_kernel());
        bundle.edit(writable);
        let rootfs = bundle.rootfs();
        std::fs::create_dir(rootfs.join("other")).unwrap();
        symlink("other", rootfs.join("link")).unwrap();
        symlink(canary.path(), rootfs.join("out")).unwrap();
        let pairs = [pair(&rootfs, "proc", "other"), pair(&rootfs, "proc", "link"), pair(&rootfs, "sys", "out")];
        race(case, &canary, &bundle, &pairs, false);
    });
}

/// What masks are made of.
#[test]
fn cve_2025_31133_null() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        let bundle = case.shell(&reach_for_the_kernel());
        bundle.edit(|config| {
            without_mounts_below(config, "/dev");
            config["linux"]["maskedPaths"].as_array_mut().unwrap().push(json!("/secret"));
        });
        bundle.file("secret", "a secret\n");
        let rootfs = bundle.rootfs();
        symlink(format!("/proc/{KERNEL_FILE}"), rootfs.join("to-kernel")).unwrap();
        symlink(canary.path().join("of-the-host"), rootfs.join("to-host")).unwrap();
        let pairs =
            [pair(&rootfs, "dev/null", "to-kernel"), pair(&rootfs, "dev/null", "to-host"), pair(&rootfs, "secret", "to-kernel")];
        race(case, &canary, &bundle, &pairs, false);
    });
}

/// And crun's CVE-2026-47766: nodes and links are made in a /dev that is swapped.
#[test]
fn cve_2026_41579_dev() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        let bundle = case.shell("ls /dev 2>&- | grep of-the-host; echo honest");
        bundle.edit(|config| without_mounts_below(config, "/dev"));
        let rootfs = bundle.rootfs();
        symlink(canary.path(), rootfs.join("out")).unwrap();
        symlink("../../canary", rootfs.join("up")).unwrap();
        std::fs::create_dir(rootfs.join("dev2")).unwrap();
        let pairs = ["out", "up", "dev2"].map(|name| pair(&rootfs, "dev", name));
        race(case, &canary, &bundle, &pairs, false);
    });
}

/// The terminal's node and where it is shown.
#[test]
fn cve_2025_52565_console() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        let bundle = case.shell("true");
        bundle.edit(|config| {
            config["process"]["terminal"] = json!(true);
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| mount["destination"] != "/dev");
            writable(config);
        });
        let rootfs = bundle.rootfs();
        for folder in ["dev/pts", "pts2"] {
            std::fs::create_dir(rootfs.join(folder)).unwrap();
        }
        std::fs::write(rootfs.join("dev/console"), "").unwrap();
        symlink(canary.path(), rootfs.join("out")).unwrap();
        symlink(format!("/proc/{KERNEL_FILE}"), rootfs.join("to-kernel")).unwrap();
        symlink(canary.path().join("new"), rootfs.join("to-host")).unwrap();
        let pairs = [
            pair(&rootfs, "dev/pts", "pts2"),
            pair(&rootfs, "dev/pts", "out"),
            pair(&rootfs, "dev/console", "to-kernel"),
            pair(&rootfs, "dev/console", "to-host"),
        ];
        race(case, &canary, &bundle, &pairs, true);
    });
}

/// Parameters of the kernel are written while the way to them is swapped.
#[test]
fn cve_2025_52881_sysctl() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        // Inside a directory its name does not matter, which goes on being swapped.
        let bundle = case.shell(
            "for d in /proc /other; do
                cd $d && [ -f version ] && [ \"$(cat sys/kernel/shm_rmid_forced)\" != 1 ] && echo LEAK not set
            done
            echo honest",
        );
        bundle.edit(|config| {
            writable(config);
            config["linux"]["sysctl"] = json!({ "kernel.shm_rmid_forced": "1" });
        });
        let rootfs = bundle.rootfs();
        for folder in ["other/sys/kernel", "other/self/attr"] {
            std::fs::create_dir_all(rootfs.join(folder)).unwrap();
        }
        std::fs::write(rootfs.join("other/sys/kernel/shm_rmid_forced"), "").unwrap();
        let pairs = [pair(&rootfs, "proc", "other")];
        race(case, &canary, &bundle, &pairs, false);
    });
}
