//! Nothing in a container's file tree leads a lookup or a creation out of it, not even while it changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it goes wrong")]

#[path = "common/scratch.rs"]
mod scratch;

use scratch::Scratch;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wolffia_sys::fd::{self, FileKind, OFlags};
use wolffia_sys::root::Root;
use wolffia_sys::{Errno, Error};

/// Who this test is.
fn own() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// A root directory and, beside it, a directory that nothing may reach.
struct Jail {
    scratch: Scratch,
    root: Root,
}

impl Jail {
    fn new() -> Self {
        let scratch = Scratch::new();
        fs::create_dir(scratch.path().join("root")).unwrap();
        fs::create_dir(scratch.path().join("outside")).unwrap();
        let root = fd::open(scratch.path().join("root"), OFlags::PATH | OFlags::DIRECTORY, 0).unwrap();
        Self { scratch, root: Root::from(root) }
    }

    fn inside(&self, path: &str) -> PathBuf {
        self.scratch.path().join("root").join(path)
    }

    fn outside(&self) -> PathBuf {
        self.scratch.path().join("outside")
    }

    fn assert_nothing_outside(&self) {
        let entries: Vec<_> = fs::read_dir(self.outside()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(entries.is_empty(), "made outside: {entries:?}");
        let beside = fs::read_dir(self.scratch.path()).unwrap().count();
        assert_eq!(beside, 2, "something was made beside the root");
    }
}

fn same(fd: impl AsFd, path: &Path) -> bool {
    let (one, other) = (fd::stat(fd).unwrap(), fd::path_stat(path).unwrap());
    (one.dev, one.ino) == (other.dev, other.ino)
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>, errnos: &[Errno]) {
    let error = outcome.expect_err("must be refused");
    assert!(errnos.iter().any(|errno| error.is(*errno)), "{error}");
}

#[test]
fn the_empty_path_is_the_root() {
    let jail = Jail::new();
    for path in ["", ".", "/", "..", "../..", "/../outside/.."] {
        let found = jail.root.resolve(path, OFlags::DIRECTORY);
        match path {
            "/../outside/.." => refused(found, &[Errno::ENOENT]),
            _ => assert!(same(found.unwrap(), &jail.inside("")), "{path:?}"),
        }
    }
    assert!(same(jail.root.make_dirs("", 0o755).unwrap(), &jail.inside("")));
}

#[test]
fn links_stay_inside() {
    let jail = Jail::new();
    fs::create_dir_all(jail.inside("etc")).unwrap();
    fs::write(jail.inside("etc/passwd"), "inside").unwrap();
    symlink("/etc/passwd", jail.inside("absolute")).unwrap();
    symlink("../../../../../../etc/passwd", jail.inside("dots")).unwrap();
    symlink("/", jail.inside("slash")).unwrap();
    for path in ["absolute", "dots", "slash/etc/passwd", "slash/slash/../etc/passwd", "etc/../absolute"] {
        let found = jail.root.resolve(path, OFlags::empty()).unwrap();
        assert!(same(found, &jail.inside("etc/passwd")), "{path}");
        let file = jail.root.open_file(path, OFlags::RDONLY).unwrap();
        assert_eq!(fd::read_all(&file, 100).unwrap(), b"inside");
    }
    let link = jail.root.resolve("absolute", OFlags::NOFOLLOW).unwrap();
    assert_eq!(fd::stat(&link).unwrap().kind, FileKind::Symlink);
    assert_eq!(jail.root.read_link("absolute").unwrap(), Path::new("/etc/passwd"));
    refused(jail.root.read_link("etc/passwd"), &[Errno::EINVAL]);
}

#[test]
fn a_loop_of_links_ends() {
    let jail = Jail::new();
    symlink("b", jail.inside("a")).unwrap();
    symlink("a", jail.inside("b")).unwrap();
    refused(jail.root.resolve("a", OFlags::empty()), &[Errno::ELOOP]);
    refused(jail.root.make_dirs("a/x", 0o755), &[Errno::ELOOP]);
    refused(jail.root.make_file("a", 0o644), &[Errno::ELOOP]);
}

/// /proc/self/root of a mounted procfs leads to the host's root, /proc/self/cwd and fd/N anywhere.
#[test]
fn magic_links_are_refused() {
    let host = Root::from(fd::open("/", OFlags::PATH | OFlags::DIRECTORY, 0).unwrap());
    let own = std::process::id();
    let scratch = Scratch::new();
    let outside = fd::open(scratch.path(), OFlags::PATH | OFlags::DIRECTORY, 0).unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&outside);
    for path in ["root", "cwd", "exe", "ns/mnt", &format!("fd/{number}"), "root/etc/passwd", &format!("fd/{number}/x/y")] {
        let path = format!("proc/{own}/{path}");
        refused(host.resolve(&path, OFlags::empty()), &[Errno::ELOOP]);
        refused(host.open_file(&path, OFlags::RDONLY), &[Errno::ELOOP]);
        refused(host.make_dirs(&path, 0o755), &[Errno::ELOOP]);
        refused(host.make_file(&path, 0o644), &[Errno::ELOOP]);
    }
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    assert!(host.resolve("proc/self/status", OFlags::empty()).is_ok(), "ordinary links of /proc are followed");
}

#[test]
fn missing_directories_are_made() {
    let jail = Jail::new();
    let made = jail.root.make_dirs("a/b//./c/", 0o750).unwrap();
    assert!(same(&made, &jail.inside("a/b/c")));
    assert_eq!(fd::stat(&made).unwrap().mode, 0o750);
    assert!(same(jail.root.make_dirs("a/b/c", 0o700).unwrap(), &jail.inside("a/b/c")), "what exists is taken as it is");
    symlink("/a/b", jail.inside("link")).unwrap();
    jail.root.make_dirs("link/d/e", 0o755).unwrap();
    assert!(jail.inside("a/b/d/e").is_dir());
    fs::write(jail.inside("file"), "").unwrap();
    refused(jail.root.make_dirs("file", 0o755), &[Errno::ENOTDIR]);
    refused(jail.root.make_dirs("file/x", 0o755), &[Errno::ENOTDIR]);
    assert!(same(jail.root.make_dirs("missing/../x", 0o755).unwrap(), &jail.inside("x")));
    jail.assert_nothing_outside();
}

#[test]
fn what_a_dangling_link_names_is_made_inside() {
    let jail = Jail::new();
    let outside = jail.outside().join("new");
    let targets = [
        (outside.display().to_string(), outside.strip_prefix("/").unwrap().to_owned()),
        ("../outside/new".into(), "outside/new".into()),
        ("/new".into(), "new".into()),
        ("new/../other".into(), "other".into()),
    ];
    for (target, lands) in targets {
        symlink(&target, jail.inside("link")).unwrap();
        let made = jail.root.make_dirs("link/x", 0o755).unwrap();
        assert!(same(&made, &jail.inside(lands.join("x").to_str().unwrap())), "{target}");
        refused(jail.root.symlink("x", "link"), &[Errno::EEXIST]);
        refused(jail.root.mknod("link", FileKind::Fifo, (0, 0), 0o600, own()), &[Errno::EEXIST]);
        jail.assert_nothing_outside();
        jail.root.unlink("link").unwrap();
        symlink(format!("{target}-file"), jail.inside("link")).unwrap();
        let made = jail.root.make_file("link", 0o644).unwrap();
        assert!(same(&made, &jail.inside(&format!("{}-file", lands.display()))), "{target}");
        jail.assert_nothing_outside();
        jail.root.unlink("link").unwrap();
    }
    refused(jail.root.unlink("link"), &[Errno::ENOENT]);
    symlink("b", jail.inside("a")).unwrap();
    symlink("a/c", jail.inside("b")).unwrap();
    refused(jail.root.make_dirs("a/x", 0o755), &[Errno::ELOOP]);
}

#[test]
fn files_are_made_or_found() {
    let jail = Jail::new();
    let made = jail.root.make_file("etc/deep/resolv.conf", 0o640).unwrap();
    assert_eq!(fd::stat(&made).unwrap().mode, 0o640);
    fs::write(jail.inside("etc/deep/resolv.conf"), "kept").unwrap();
    let found = jail.root.make_file("etc/deep/resolv.conf", 0o600).unwrap();
    assert!(same(&found, &jail.inside("etc/deep/resolv.conf")));
    assert_eq!(fs::read(jail.inside("etc/deep/resolv.conf")).unwrap(), b"kept");
    symlink("/etc/deep", jail.inside("link")).unwrap();
    jail.root.make_file("link/hosts", 0o644).unwrap();
    assert!(jail.inside("etc/deep/hosts").is_file());
    for path in ["", "/", ".", "..", "etc/..", "etc/."] {
        refused(jail.root.make_file(path, 0o644), &[Errno::EINVAL]);
        refused(jail.root.unlink(path), &[Errno::EINVAL]);
    }
    jail.root.unlink("etc/deep/hosts").unwrap();
    refused(jail.root.unlink("etc/deep"), &[Errno::EISDIR, Errno::EPERM]);
}

#[test]
fn opening_never_makes_and_never_blocks() {
    let jail = Jail::new();
    refused(jail.root.open_file("x", OFlags::WRONLY | OFlags::CREATE), &[Errno::EINVAL]);
    refused(jail.root.open_file("", OFlags::WRONLY | OFlags::TMPFILE), &[Errno::EINVAL]);
    jail.root.mknod("pipe", FileKind::Fifo, (0, 0), 0o622, own()).unwrap();
    assert_eq!(fs::metadata(jail.inside("pipe")).unwrap().permissions().mode() & 0o777, 0o622, "the umask does not apply");
    let before = Instant::now();
    let pipe = jail.root.open_file("pipe", OFlags::RDONLY).unwrap();
    assert!(before.elapsed() < Duration::from_secs(5));
    assert!(!rustix::fs::fcntl_getfl(&pipe).unwrap().contains(OFlags::NONBLOCK), "blocking again");
    drop(pipe);
    refused(jail.root.open_file("pipe", OFlags::WRONLY), &[Errno::ENXIO]);
}

#[test]
fn device_nodes_are_what_they_should_be() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: making device nodes needs root");
        return;
    }
    let jail = Jail::new();
    jail.root.mknod("dev/null", FileKind::Char, (1, 3), 0o666, (1000, 1001)).unwrap();
    let stat = fd::path_stat(jail.inside("dev/null")).unwrap();
    assert_eq!((stat.kind, stat.rdev, stat.mode), (FileKind::Char, (1, 3), 0o666));
    assert_eq!((stat.uid, stat.gid), (1000, 1001));
    refused(jail.root.mknod("dev/null", FileKind::Char, (1, 3), 0o666, own()), &[Errno::EEXIST]);
    refused(jail.root.mknod("dev/dir", FileKind::Directory, (0, 0), 0o666, own()), &[Errno::EINVAL]);
    jail.root.mknod("dev/loop", FileKind::Block, (7, 0), 0o600, own()).unwrap();
    assert!(fs::metadata(jail.inside("dev/loop")).unwrap().file_type().is_block_device());
    jail.root.symlink("/proc/self/fd", "dev/fd").unwrap();
    assert_eq!(fs::read_link(jail.inside("dev/fd")).unwrap(), Path::new("/proc/self/fd"));
}

/// Swaps `a` and `b` without a pause, as a hostile container that shares the directory can.
fn while_swapping<T>(a: &Path, b: &Path, act: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, a, rustix::fs::CWD, b, exchange).unwrap();
            }
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        stop.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

const ROUNDS: usize = 1500;
const PATIENCE: Duration = Duration::from_secs(30);

/// Repeats `act` under the swap until it was done often enough; how often it succeeded and failed. That the swap bites is shown by
/// `a_race_against_paths_escapes`: here it may well succeed each time, inside.
fn race(jail: &Jail, mut act: impl FnMut(usize) -> Result<(), Error>) -> (usize, usize) {
    let (mut good, mut bad) = (0, 0);
    let deadline = Instant::now() + PATIENCE;
    while_swapping(&jail.inside("victim"), &jail.inside("trap"), || {
        while good + bad < ROUNDS || good == 0 {
            match act(good + bad) {
                Ok(()) => good += 1,
                Err(_) => bad += 1,
            }
            assert!(Instant::now() < deadline, "{good} good, {bad} bad: the race was not hit");
        }
    });
    (good, bad)
}

fn trapped(target: impl AsRef<Path>) -> Jail {
    let jail = Jail::new();
    fs::create_dir(jail.inside("victim")).unwrap();
    symlink(target, jail.inside("trap")).unwrap();
    jail
}

/// The same race against path-based creation escapes: the tests below could fail.
#[test]
fn a_race_against_paths_escapes() {
    let jail = trapped("../outside");
    let deadline = Instant::now() + PATIENCE;
    while_swapping(&jail.inside("victim"), &jail.inside("trap"), || {
        let mut round = 0;
        while fs::read_dir(jail.outside()).unwrap().count() == 0 {
            fs::create_dir_all(jail.inside(&format!("victim/{round}"))).ok();
            round += 1;
            assert!(Instant::now() < deadline, "the race was not hit");
        }
    });
}

#[test]
fn a_race_for_directories_stays_inside() {
    let jail = trapped("../outside");
    println!("relative: {:?}", race(&jail, |round| jail.root.make_dirs(&format!("victim/{round}/x"), 0o755).map(drop)));
    jail.assert_nothing_outside();
    let jail = Jail::new();
    fs::create_dir(jail.inside("victim")).unwrap();
    symlink(jail.outside(), jail.inside("trap")).unwrap();
    println!("absolute: {:?}", race(&jail, |round| jail.root.make_dirs(&format!("victim/{round}/x"), 0o755).map(drop)));
    jail.assert_nothing_outside();
}

#[test]
fn a_race_for_files_stays_inside() {
    let jail = trapped("../outside");
    println!("{:?}", race(&jail, |round| jail.root.make_file(&format!("victim/{round}"), 0o644).map(drop)));
    jail.assert_nothing_outside();
}

#[test]
fn a_race_for_links_and_pipes_stays_inside() {
    let jail = trapped("../outside");
    let outcome = race(&jail, |round| {
        jail.root.symlink("x", &format!("victim/l{round}"))?;
        jail.root.mknod(&format!("victim/p{round}"), FileKind::Fifo, (0, 0), 0o600, own())
    });
    println!("{outcome:?}");
    jail.assert_nothing_outside();
}

/// A file outside must be neither read nor removed.
#[test]
fn a_race_for_lookups_stays_inside() {
    let jail = trapped("../outside");
    let secret = jail.scratch.path().join("outside/file");
    fs::write(&secret, "secret").unwrap();
    let outcome = race(&jail, |round| {
        // Every other time the file is there to be found.
        if round % 2 == 0 {
            jail.root.make_file("victim/file", 0o644)?;
        }
        let file = jail.root.open_file("victim/file", OFlags::RDONLY)?;
        assert_eq!(fd::read_all(&file, 10)?, b"");
        jail.root.unlink("victim/file")
    });
    println!("{outcome:?}");
    assert_eq!(fs::read(&secret).unwrap(), b"secret");
}
