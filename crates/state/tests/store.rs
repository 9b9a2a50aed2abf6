//! The store on a real file system, with real processes, locks and sockets.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};
use wolffia_state::{
    ContainerId, NamespaceRecord, Operation, Phase, Record, Reservation, StateError, Status, Store, Timestamp, Version1, allowed,
    process_stat, status,
};
use wolffia_sys::Pid;

type Launch = Vec<String>;
const PATIENCE: Duration = Duration::from_secs(10);
const NOT_FROZEN: fn() -> Result<bool, StateError> = || Ok(false);

/// A directory of its own for each test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("wolffia-state-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn store(&self) -> Store {
        Store::open(&self.0.join("run/root"), true).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A process that lives until it is dropped.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        Self(Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A process that is a copy of its parent and has executed nothing, as the first process of a container that waits for `start`.
struct Waiter {
    shell: Child,
    pid: i32,
}

impl Waiter {
    fn new() -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec 3<&0; (read line <&3) & echo $!; wait"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { shell, pid: line.trim().parse().unwrap() }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        self.shell.wait().unwrap();
    }
}

fn id(text: &str) -> ContainerId {
    ContainerId::parse(text).unwrap()
}

fn record(name: &str, pid: i32, phase: Phase) -> Record<Launch> {
    let stat = Pid::from_raw(pid).and_then(|pid| process_stat(pid).unwrap());
    Record {
        version: Version1,
        id: id(name),
        oci_version: "1.3.0".into(),
        bundle: "/bundle".into(),
        rootfs: "/bundle/rootfs".into(),
        pid,
        start_time: stat.map_or(0, |stat| stat.start_time),
        created: Timestamp::from(SystemTime::now()),
        annotations: BTreeMap::from([("org.example.key".into(), "value".into())]),
        owner: 0,
        phase,
        cgroup: Some("/sys/fs/cgroup/c1".into()),
        namespaces: vec![NamespaceRecord { kind: "network".into(), path: Some("/run/netns/a".into()) }],
        launch: vec!["poststop".into()],
    }
}

fn reserve(store: &Store, name: &str) -> Result<Reservation<Launch>, StateError> {
    store.reserve(&id(name))
}

/// Takes over what a creator left. A child that another test is just starting has every descriptor of ours open until its
/// exec, so a lock may be held for a moment longer than its owner lives.
fn inherit(store: &Store, name: &str) -> Reservation<Launch> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match reserve(store, name) {
            Err(StateError::AlreadyExists { .. }) if Instant::now() < deadline => std::thread::yield_now(),
            outcome => return outcome.unwrap(),
        }
    }
}

/// Creates a container whose first process is `pid`.
fn create(store: &Store, name: &str, pid: i32) {
    reserve(store, name).unwrap().commit(&record(name, pid, Phase::Created)).unwrap();
}

fn status_of(store: &Store, name: &str) -> Status {
    let (dir, record) = store.load::<Launch>(&id(name)).unwrap();
    status(&record, &dir, NOT_FROZEN).unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_container_is_created_found_listed_and_removed() {
    let scratch = Scratch::new();
    let store = scratch.store();
    assert_eq!(store.list().unwrap(), []);

    let reservation = reserve(&store, "c1").unwrap();
    assert!(reservation.stale().is_none());
    reservation.dir().save_config(b"{}").unwrap();
    let made = record("c1", 0, Phase::Created);
    let dir = reservation.commit(&made).unwrap();
    assert_eq!(dir.path(), store.path().join("c1"));
    create(&store, "b2", 0);

    assert_eq!(store.list().unwrap(), [id("b2"), id("c1")]);
    let (dir, found) = store.load::<Launch>(&id("c1")).unwrap();
    assert_eq!(found, made);
    assert_eq!(dir.config().unwrap().unwrap(), b"{}");
    assert_eq!(status_of(&store, "c1"), Status::Stopped);

    let lock = dir.lock(PATIENCE).unwrap();
    store.remove(dir, lock).unwrap();
    assert!(matches!(store.load::<Launch>(&id("c1")), Err(StateError::NotFound { .. })));
    assert_eq!(store.list().unwrap(), [id("b2")]);
    assert!(!store.path().join("c1").exists());
}

#[test]
fn an_id_is_given_once_and_again_after_removal() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let first = reserve(&store, "c1").unwrap();
    let text = reserve(&store, "c1").unwrap_err().to_string();
    assert!(text.starts_with("container with given ID already exists: c1"), "{text}");
    assert!(store.load::<Launch>(&id("c1")).unwrap_err().to_string().starts_with("container does not exist"));

    first.commit(&record("c1", 0, Phase::Created)).unwrap();
    assert!(matches!(reserve(&store, "c1"), Err(StateError::AlreadyExists { .. })));
    assert_eq!(store.load::<Launch>(&id("c1")).unwrap().1.phase, Phase::Created, "the attempt had no effect");

    let dir = store.open_dir(&id("c1")).unwrap();
    let lock = dir.lock(PATIENCE).unwrap();
    store.remove(dir, lock).unwrap();
    reserve(&store, "c1").unwrap().abandon(&store).unwrap();
    assert_eq!(store.list().unwrap(), []);
}

#[test]
fn a_root_that_is_not_there_is_made_only_on_demand() {
    let scratch = Scratch::new();
    let root = scratch.0.join("a/b");
    let missing = Store::open(&root, false).unwrap_err();
    assert!(matches!(missing, StateError::RootMissing { .. }));
    assert!(missing.to_string().contains("does not exist"));
    assert!(!root.exists());
    Store::open(&root, true).unwrap();
    assert_eq!(mode(&root), 0o700);
    std::fs::set_permissions(&root, PermissionsExt::from_mode(0o755)).unwrap();
    Store::open(&root, true).unwrap();
    assert_eq!(mode(&root), 0o755, "a directory that was there is left alone");
}

#[test]
fn a_root_that_others_could_change_is_refused() {
    let scratch = Scratch::new();
    let root = scratch.0.join("run/root");
    drop(scratch.store());
    let refusal = |path: &Path| Store::open(path, true).unwrap_err().to_string();

    std::fs::set_permissions(&root, Permissions::from_mode(0o1777)).unwrap();
    assert!(refusal(&root).contains("can be written by others"), "{}", refusal(&root));
    std::fs::set_permissions(&root, Permissions::from_mode(0o755)).unwrap();
    Store::open(&root, false).unwrap();

    let link = scratch.0.join("link");
    std::os::unix::fs::symlink(&root, &link).unwrap();
    assert!(refusal(&link).contains("is a symbolic link"), "{}", refusal(&link));
    let file = scratch.0.join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(Store::open(&file, false), Err(StateError::UnsafeRoot { .. })));
    if wolffia_sys::ids::geteuid() == 0 {
        std::os::unix::fs::chown(&root, Some(65_534), None).unwrap();
        assert!(refusal(&root).contains("belongs to another user"), "{}", refusal(&root));
    }
}

#[test]
fn a_directory_of_something_else_is_not_taken_over() {
    let scratch = Scratch::new();
    let store = scratch.store();
    std::fs::create_dir(store.path().join("c1")).unwrap();
    std::fs::write(store.path().join("c1/precious"), "").unwrap();
    assert!(matches!(reserve(&store, "c1"), Err(StateError::NotAContainers { .. })));
    assert!(store.path().join("c1/precious").exists());

    std::fs::create_dir(store.path().join("c2")).unwrap();
    reserve(&store, "c2").unwrap().abandon(&store).unwrap();
    assert!(!store.path().join("c2").exists());
}

#[test]
fn the_status_follows_process_and_socket() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let process = Sleeper::new();
    create(&store, "c1", process.pid());
    assert_eq!(status_of(&store, "c1"), Status::Running);

    let socket = store.path().join("c1/start.sock");
    std::fs::write(&socket, "").unwrap();
    assert_eq!(status_of(&store, "c1"), Status::Running, "a plain file is no socket");
    std::fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    assert_eq!(
        status_of(&store, "c1"),
        Status::Running,
        "the program is executed: `start` was killed before it removed the socket"
    );
    let waiter = Waiter::new();
    create(&store, "c2", waiter.pid);
    let waiting = store.path().join("c2/start.sock");
    assert_eq!(status_of(&store, "c2"), Status::Running, "`run` waits for nobody");
    let waits = UnixListener::bind(&waiting).unwrap();
    assert_eq!(status_of(&store, "c2"), Status::Created);
    drop(waiter);
    assert_eq!(status_of(&store, "c2"), Status::Stopped);
    drop(waits);

    let (dir, found) = store.load::<Launch>(&id("c1")).unwrap();
    assert_eq!(status(&found, &dir, || Ok::<_, StateError>(true)).unwrap(), Status::Paused);
    let creating = Record { phase: Phase::Creating, ..found.clone() };
    assert_eq!(status(&creating, &dir, NOT_FROZEN).unwrap(), Status::Creating);
    let reused_pid = Record { start_time: found.start_time + 1, ..found.clone() };
    assert_eq!(status(&reused_pid, &dir, NOT_FROZEN).unwrap(), Status::Stopped);
    let failing = status(&found, &dir, || Err(StateError::NotFound { id: id("cgroup") }));
    assert!(matches!(failing, Err(StateError::NotFound { .. })));

    drop(process);
    let frozen_is_not_asked = || -> Result<bool, StateError> { panic!("asked for the cgroup of a container that has ended") };
    assert_eq!(status(&found, &dir, frozen_is_not_asked).unwrap(), Status::Stopped);
    drop(listener);
    assert!(allowed(Operation::Delete, &found.id, status_of(&store, "c1")).is_ok());
}

#[test]
fn a_zombie_has_stopped() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let mut process = Sleeper::new();
    create(&store, "c1", process.pid());
    process.0.kill().unwrap();
    let pidfd = wolffia_sys::pidfd::open(Pid::from_raw(process.pid()).unwrap()).unwrap();
    assert!(wolffia_sys::pidfd::wait_exit(&pidfd, Some(PATIENCE)).unwrap());
    assert_eq!(status_of(&store, "c1"), Status::Stopped);
}

#[test]
fn a_record_that_cannot_be_read_names_file_and_cure() {
    let scratch = Scratch::new();
    let store = scratch.store();
    create(&store, "c1", 0);
    let file = store.path().join("c1/state.json");
    let good = std::fs::read_to_string(&file).unwrap();
    assert!(good.starts_with(r#"{"version":1,"id":"c1","ociVersion":"1.3.0","#), "{good}");
    for bad in ["", "{", "[]", &good.replace("\"version\":1", "\"version\":2"), &good.replace("\"c1\"", "\"../c1\"")] {
        std::fs::write(&file, bad).unwrap();
        for error in [store.load::<Launch>(&id("c1")).unwrap_err(), reserve(&store, "c1").unwrap_err()] {
            let text = error.to_string();
            assert!(text.contains("c1/state.json") && text.contains("delete --force c1"), "{text}");
        }
    }
    let dir = store.open_dir(&id("c1")).unwrap();
    let lock = dir.lock(PATIENCE).unwrap();
    store.remove(dir, lock).unwrap();
    assert_eq!(store.list().unwrap(), []);
}

#[test]
fn the_lock_is_waited_for_but_not_for_ever() {
    let scratch = Scratch::new();
    let store = scratch.store();
    create(&store, "c1", 0);
    let (dir, same) = (store.open_dir(&id("c1")).unwrap(), store.open_dir(&id("c1")).unwrap());
    let held = dir.lock(PATIENCE).unwrap();
    let busy = same.lock(Duration::from_millis(20)).unwrap_err();
    assert!(matches!(busy, StateError::Busy { .. }), "{busy}");

    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| same.lock(PATIENCE));
        std::thread::sleep(Duration::from_millis(20));
        drop(held);
        assert!(waiter.join().unwrap().is_ok());
    });
}

/// Each wait would last to its end if a single release went unnoticed.
#[test]
fn no_release_of_the_lock_is_missed() {
    const ROUNDS: u32 = 400;
    let scratch = Scratch::new();
    let store = scratch.store();
    create(&store, "c1", 0);
    let (inside, count) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let dir = store.open_dir(&id("c1")).unwrap();
                for _ in 0..ROUNDS {
                    let lock = dir.lock(PATIENCE).unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two have the lock");
                    count.fetch_add(1, Ordering::SeqCst);
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(lock);
                }
            });
        }
    });
    assert_eq!(count.load(Ordering::SeqCst), 6 * ROUNDS);
}

#[test]
fn who_waited_for_a_deleted_container_is_told_so() {
    let scratch = Scratch::new();
    let store = scratch.store();
    create(&store, "c1", 0);
    let (dir, same) = (store.open_dir(&id("c1")).unwrap(), store.open_dir(&id("c1")).unwrap());
    let held = dir.lock(PATIENCE).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| same.lock(PATIENCE));
        std::thread::sleep(Duration::from_millis(20));
        store.remove(dir, held).unwrap();
        assert!(matches!(waiter.join().unwrap(), Err(StateError::NotFound { .. })));
    });
    assert!(!store.path().join("c1").exists());
}

#[test]
fn removing_takes_directories_and_spares_what_links_point_to() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let outside = scratch.0.join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "").unwrap();
    create(&store, "c1", 0);
    let path = store.path().join("c1");
    std::fs::create_dir(path.join("notify")).unwrap();
    std::fs::write(path.join("notify/notify.sock"), "").unwrap();
    std::os::unix::fs::symlink(&outside, path.join("link")).unwrap();
    let dir = store.open_dir(&id("c1")).unwrap();
    let lock = dir.lock(PATIENCE).unwrap();
    store.remove(dir, lock).unwrap();
    assert!(!path.exists());
    assert!(outside.join("file").exists());
}

#[test]
fn a_link_in_the_place_of_a_container_is_not_followed() {
    let scratch = Scratch::new();
    let store = scratch.store();
    create(&store, "c1", 0);
    std::os::unix::fs::symlink("c1", store.path().join("c2")).unwrap();
    assert!(matches!(store.load::<Launch>(&id("c2")), Err(StateError::Kernel { .. })));
    assert!(matches!(reserve(&store, "c2"), Err(StateError::Kernel { .. })));
}

/// Eight threads make and delete the same container; the id must never have two owners.
#[test]
fn reserving_and_removing_at_once_never_gives_an_id_twice() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let (owners, made) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let life = || {
        for _ in 0..200 {
            match reserve(&store, "c1") {
                Ok(reservation) => {
                    assert_eq!(owners.fetch_add(1, Ordering::SeqCst), 0, "two owners at once");
                    assert!(reservation.stale().is_none());
                    let dir = reservation.commit(&record("c1", 0, Phase::Created)).unwrap();
                    let lock = dir.lock(PATIENCE).unwrap();
                    made.fetch_add(1, Ordering::SeqCst);
                    owners.fetch_sub(1, Ordering::SeqCst);
                    store.remove(dir, lock).unwrap();
                }
                Err(StateError::AlreadyExists { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    std::thread::scope(|scope| (0..8).map(|_| scope.spawn(life)).collect::<Vec<_>>().into_iter().for_each(|t| t.join().unwrap()));
    assert!(made.into_inner() > 0);
    assert_eq!(store.list().unwrap(), []);
}

const CREATOR_ROOT: &str = "WOLFFIA_TEST_CREATOR_ROOT";

/// Not a test of its own: [`a_killed_creator_leaves_its_id_to_the_next`] runs it in a process that it can kill.
#[test]
fn creator() {
    let Some(root) = std::env::var_os(CREATOR_ROOT) else {
        eprintln!("skipped: it is the other process of another test");
        return;
    };
    wolffia_sys::process::umask(0o077);
    let store = Store::open(Path::new(&root), true).unwrap();
    let reservation = reserve(&store, "c1").unwrap();
    reservation.dir().save_config(b"{}").unwrap();
    reservation.dir().save(&record("c1", 4711, Phase::Creating)).unwrap();
    println!("\nready");
    std::thread::sleep(Duration::from_secs(600));
}

/// A process that holds the lock of `c1`, which it makes.
fn start_creator(store: &Store) -> Child {
    let mut creator = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "creator", "--nocapture"])
        .env(CREATOR_ROOT, store.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(creator.stdout.take().unwrap());
    assert!(output.lines().any(|line| line.unwrap() == "ready"));
    creator
}

#[test]
fn who_waits_for_a_killed_holder_is_woken() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let mut creator = start_creator(&store);
    let dir = store.open_dir(&id("c1")).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| dir.lock(PATIENCE).map(|_| Instant::now()));
        std::thread::sleep(Duration::from_millis(50));
        let killed = Instant::now();
        creator.kill().unwrap();
        let woken = waiter.join().unwrap().unwrap();
        assert!(woken.duration_since(killed) < PATIENCE / 2);
    });
    creator.wait().unwrap();
}

#[test]
fn a_killed_creator_leaves_its_id_to_the_next() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let mut creator = start_creator(&store);
    assert!(matches!(reserve(&store, "c1"), Err(StateError::AlreadyExists { .. })), "its creator lives");
    assert_eq!(mode(&store.path().join("c1")), 0o711, "whatever the umask");
    for file in ["lock", "state.json", "config.json"] {
        assert_eq!(mode(&store.path().join("c1").join(file)), 0o600);
    }

    creator.kill().unwrap();
    creator.wait().unwrap();
    for _ in 0..2 {
        // Dropped at once, as by a second creator that is killed before it has cleaned up: the record must survive that.
        let heir = inherit(&store, "c1");
        assert_eq!(heir.stale().unwrap().pid, 4711);
        assert_eq!(heir.dir().config().unwrap(), None, "the rest of the leavings is gone");
    }
    let heir = inherit(&store, "c1");
    heir.commit(&record("c1", 0, Phase::Created)).unwrap();
    assert!(matches!(reserve(&store, "c1"), Err(StateError::AlreadyExists { .. })));
}

/// Debian gives every user a group of their own and the umask 002, but others may have joined it since.
#[test]
fn a_root_that_the_group_can_write_is_made_private_while_it_is_empty() {
    let scratch = Scratch::new();
    let root = scratch.0.join("mine");
    let make = |bits: u32| {
        std::fs::create_dir(&root).unwrap();
        std::fs::set_permissions(&root, Permissions::from_mode(bits)).unwrap();
    };
    make(0o775);
    assert!(matches!(Store::open(&root, false), Err(StateError::UnsafeRoot { .. })), "who only looks changes nothing");
    drop(Store::open(&root, true).unwrap());
    assert_eq!(mode(&root), 0o700);
    std::fs::set_permissions(&root, Permissions::from_mode(0o775)).unwrap();
    std::fs::create_dir(root.join("c1")).unwrap();
    assert!(Store::open(&root, true).unwrap_err().to_string().contains("chmod go-w"), "who made what is in it?");
    assert_eq!(mode(&root), 0o775);
    std::fs::remove_dir(root.join("c1")).unwrap();
    for shared in [0o2775, 0o777, 0o1777] {
        std::fs::remove_dir(&root).unwrap();
        make(shared);
        assert!(matches!(Store::open(&root, true), Err(StateError::UnsafeRoot { .. })), "{shared:o}");
        assert_eq!(mode(&root), shared);
    }
}
