//! `probe` and `doctor` on the real machine, as root, as another user, and in private views of it. They run in the
//! example program `look`, because the trials of `doctor` want a process with one thread and a test has several.

// clippy.toml allows these in test functions only, and the functions that they share are tests too.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::Value;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A user that no host has.
const NOBODY: u32 = 48_211;

/// A copy of `look` where every user can run it.
struct Look(PathBuf);

impl Look {
    fn new() -> Self {
        static COPIES: AtomicU32 = AtomicU32::new(0);
        let number = COPIES.fetch_add(1, Ordering::Relaxed);
        let built = std::env::current_exe().unwrap().parent().unwrap().join("../examples/look");
        let directory = std::env::temp_dir().join(format!("wolffia-host-{}-{number}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::copy(built, directory.join("look")).unwrap();
        Self(directory)
    }

    fn path(&self) -> PathBuf {
        self.0.join("look")
    }

    fn command(&self) -> Command {
        Command::new(self.path())
    }

    fn probe_as(&self, uid: u32, gid: u32) -> Value {
        json(self.command().arg("probe").uid(uid).gid(gid))
    }

    /// Runs `script` with `$LOOK` in a private mount namespace: what it mounts is gone with it.
    fn in_private_view(&self, script: &str) -> Value {
        let mut command = Command::new("unshare");
        json(command.args(["--mount", "--propagation", "private", "sh", "-euc", script]).env("LOOK", self.path()))
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            println!("left behind {:?}: {error}", self.0);
        }
    }
}

/// Root can take other identities and make private mount namespaces; for others a test prints why it did nothing.
fn is_root() -> bool {
    let root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if !root {
        println!("skipped: needs root");
    }
    root
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(command: &mut Command) -> Value {
    serde_json::from_str(&output(command)).unwrap()
}

fn finding<'a>(findings: &'a Value, topic: &str) -> &'a Value {
    let found = findings.as_array().unwrap().iter().find(|finding| finding["topic"] == topic);
    found.unwrap_or_else(|| panic!("no finding {topic:?} in {findings:#}"))
}

fn status<'a>(findings: &'a Value, topic: &str) -> &'a str {
    finding(findings, topic)["status"].as_str().unwrap()
}

#[test]
fn root_and_a_user_are_told_apart() {
    if !is_root() {
        return;
    }
    let look = Look::new();
    let (root, user) = (look.probe_as(0, 0), look.probe_as(NOBODY, NOBODY + 1));
    assert_eq!((&root["euid"], &root["privileged"], &root["in_user_namespace"]), (&0.into(), &true.into(), &false.into()));
    assert_eq!((&user["euid"], &user["egid"]), (&NOBODY.into(), &(NOBODY + 1).into()));
    assert_eq!((&user["privileged"], &user["in_user_namespace"]), (&false.into(), &false.into()));
    assert_eq!(user["subordinate_uids"], Value::Array(vec![]));
    assert_eq!(root["bounding_capabilities"], user["bounding_capabilities"]);
}

#[test]
fn the_umask_is_the_callers_and_stays() {
    let script = "umask 027; \"$0\" probe; umask >&2";
    let look = Look::new();
    let output = Command::new("sh").args(["-c", script]).arg(look.path()).output().unwrap();
    let host: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(host["umask"], 0o027);
    assert_eq!(String::from_utf8_lossy(&output.stderr).trim(), "0027");
}

#[test]
fn a_user_namespace_shows_in_the_maps() {
    if !is_root() {
        return;
    }
    let (look, command) = (Look::new(), &mut Command::new("unshare"));
    let host: Value = json(command.arg("-r").arg(look.path()).arg("probe").uid(NOBODY).gid(NOBODY));
    assert_eq!((&host["euid"], &host["privileged"], &host["in_user_namespace"]), (&0.into(), &true.into(), &true.into()));
    assert_eq!(host["own_uid_map"], serde_json::json!([{ "container": 0, "host": NOBODY, "size": 1 }]));
}

#[test]
fn cgroup2_alone_and_no_cgroups_are_recognized() {
    if !is_root() {
        return;
    }
    let unified = Look::new().in_private_view("mount -t cgroup2 none /sys/fs/cgroup; exec \"$LOOK\" probe");
    assert_eq!((&unified["cgroups"]["layout"], &unified["cgroups"]["mount"]), (&"unified".into(), &"/sys/fs/cgroup".into()));
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    assert_eq!(unified["cgroups"]["own"].as_str(), own.lines().find_map(|line| line.strip_prefix("0::")));
    let absent = Look::new().in_private_view("mount -t tmpfs none /sys/fs/cgroup; exec \"$LOOK\" probe");
    assert_eq!(absent["cgroups"]["layout"], "absent");
}

#[test]
fn version_1_hierarchies_are_those_that_are_mounted() {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounted = mounts.lines().filter(|line| line.contains(" /sys/fs/cgroup/") && line.contains(" - cgroup ")).count();
    if mounted == 0 {
        println!("skipped: no cgroup v1 here");
        return;
    }
    let host = json(Look::new().command().arg("probe"));
    assert_eq!(host["cgroups"]["layout"], "legacy");
    assert_eq!(host["cgroups"]["hierarchies"].as_array().unwrap().len(), mounted);
}

/// A user with an entry in /etc/passwd and ranges by name and by number, all in a private view.
const WITH_RANGES: &str = "
    files=$(mktemp -d); chmod 755 $files
    { cat /etc/passwd; echo 'wolffia-tester:x:48211:48211::/:/bin/sh'; } > $files/passwd
    printf '%s\\n' 'root:1:1' 'wolffia-tester:700000000:65536' 'bad line' > $files/subuid
    printf '%s\\n' '48211:700000000:65536' > $files/subgid
    for name in passwd subuid subgid; do mount --bind $files/$name /etc/$name; done
    rm -r $files
    exec setpriv --reuid 48211 --regid 48211 --clear-groups \"$LOOK\" ";

#[test]
fn subordinate_ranges_are_found_by_name_and_by_number() {
    if !is_root() {
        return;
    }
    let host = Look::new().in_private_view(&format!("{WITH_RANGES} probe"));
    let range = serde_json::json!([{ "first": 700_000_000, "count": 65536 }]);
    assert_eq!((&host["subordinate_uids"], &host["subordinate_gids"]), (&range, &range));
}

#[test]
fn doctor_runs_the_helpers_for_a_user_with_ranges() {
    if !is_root() || Look::new().probe_as(0, 0)["newuidmap"].is_null() {
        println!("skipped: needs newuidmap");
        return;
    }
    let findings = Look::new().in_private_view(&format!("{WITH_RANGES} findings"));
    assert_eq!(status(&findings, "newuidmap, newgidmap"), "good", "{findings:#}");
    let ranges = finding(&findings, "subordinate ids");
    assert_eq!(ranges["status"], "good");
    assert!(ranges["found"].as_str().unwrap().contains("line 3 of /etc/subuid is malformed"), "{ranges}");
    let bound = Look::new()
        .in_private_view(&WITH_RANGES.replace("setpriv", "setpriv --no-new-privs").replace("\"$LOOK\" ", "\"$LOOK\" findings"));
    let helpers = finding(&bound, "newuidmap, newgidmap");
    assert!(helpers["meaning"].as_str().unwrap().contains("no_new_privs"), "{helpers}");
}

#[test]
fn doctor_gives_a_user_without_ranges_the_line_to_add() {
    if !is_root() {
        return;
    }
    let script = format!(
        "for name in subuid subgid; do mount --bind /dev/null /etc/$name; done
         exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups \"$LOOK\" findings"
    );
    let findings = Look::new().in_private_view(&script);
    let ids = finding(&findings, "subordinate ids");
    assert_eq!(ids["status"], "limited");
    assert_eq!(ids["mend"], serde_json::json!([format!("echo '{NOBODY}:100000:65536' | sudo tee -a /etc/subuid /etc/subgid")]));
}

#[test]
fn doctor_sees_a_covered_proc() {
    if !is_root() {
        return;
    }
    let script = format!(
        "mount --bind /dev/null /proc/version; exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups \"$LOOK\" findings"
    );
    let findings = Look::new().in_private_view(&script);
    let proc = finding(&findings, "/proc in containers");
    assert_eq!(proc["status"], "missing");
    assert!(proc["found"].as_str().unwrap().contains("/proc/version"), "{proc}");
    assert_eq!(status(&findings, "user namespaces"), "good");
}

#[test]
fn doctor_names_the_limit_of_user_namespaces() {
    if !is_root() {
        return;
    }
    // The limit of the outer user namespace alone is lowered, and it ends with this command.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$0\" findings";
    let (look, command) = (Look::new(), &mut Command::new("unshare"));
    let findings = json(command.args(["-r", "sh", "-c", script]).arg(look.path()).uid(NOBODY).gid(NOBODY));
    let namespaces = finding(&findings, "user namespaces");
    assert_eq!(namespaces["status"], "missing", "{namespaces}");
    assert!(namespaces["mend"][0].as_str().unwrap().contains("user.max_user_namespaces"), "{namespaces}");
}

#[test]
fn doctor_is_quick_and_leaves_nothing() {
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
    let users: &[u32] = if is_root() { &[0, NOBODY] } else { &[] };
    for uid in users {
        let before = mounts();
        let (look, began) = (Look::new(), Instant::now());
        let table = output(look.command().arg("doctor").uid(*uid).gid(*uid));
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        assert_eq!(mounts(), before);
        assert!(table.contains("✓ kernel") && table.contains(" good, "), "{table}");
        assert!(!table.contains("the trial ended before it"), "{table}");
    }
}

#[test]
fn a_threaded_program_is_told_that_nothing_was_tried() {
    let findings = wolffia_host::doctor::examine();
    let trials = findings.iter().find(|finding| finding.topic == "trials").expect("a test has several threads");
    assert!(trials.found.contains("more than one thread"), "{trials:?}");
}

#[test]
fn doctor_knows_a_delegated_cgroup_from_another_users() {
    if !is_root() {
        return;
    }
    // The user is moved into a cgroup of a private mount, whose parent is once the user's and once root's.
    let script = |owner: u32| {
        format!(
            "mount -t cgroup2 none /sys/fs/cgroup; cd /sys/fs/cgroup; name=wolffia-host-$$-{owner}; mkdir -p $name/own
             trap 'echo 0 > cgroup.procs; rmdir $name/own $name' EXIT
             chown {owner} $name $name/cgroup.procs; echo 0 > $name/own/cgroup.procs
             setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups \"$LOOK\" findings"
        )
    };
    let delegated = Look::new().in_private_view(&script(NOBODY));
    assert!(!finding(&delegated, "cgroup delegation")["found"].as_str().unwrap().contains("another user's"), "{delegated:#}");
    let foreign = Look::new().in_private_view(&script(0));
    assert_eq!(status(&foreign, "cgroup delegation"), "missing");
}
