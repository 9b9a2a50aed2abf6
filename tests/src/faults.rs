//! Breaking the runtime at its steps, and looking at what it leaves. Needs a binary with the feature `faults`.

use crate::bundle::Bundle;
use crate::call::{Call, Outcome};
use crate::case::Case;
use crate::processes::{self, descendants, wait_until};
use crate::published::{own_directory, publish};
use crate::rootfs::Rootfs;
use crate::scratch;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

/// How long init may live on after the runtime was killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// A step with more acts than this (one mount, one device each) is not broken at every one of them.
const MOST_ACTS: u32 = 2;

static BUILT: Once = Once::new();

/// How a step is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The step fails after it was carried out.
    Error,
    /// The process that carried it out is killed.
    Kill,
    /// The runtime is killed, whoever carried it out.
    KillRuntime,
}

pub const KINDS: [Kind; 3] = [Kind::Error, Kind::Kill, Kind::KillRuntime];

/// One fault.
#[derive(Debug, Clone)]
pub struct Fault {
    pub step: String,
    pub kind: Kind,
    act: u32,
}

impl Fault {
    fn word(&self) -> String {
        let kind = match self.kind {
            Kind::Error => "error",
            Kind::Kill => "kill",
            Kind::KillRuntime => "kill-runtime",
        };
        format!("{}#{}:{kind}", self.step, self.act)
    }
}

/// What the container of a test is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Everything that the identity may ask for.
    Rich,
    /// The same as root with a user namespace.
    Mapped,
    /// In a network namespace that exists already.
    Joined,
    /// The same without a terminal: for containers that go on.
    Lasting,
}

/// Builds the binary, unless `WOLFFIA_FAULTS_BIN` names one, and puts it where scenarios find it. Call it before `scenario`.
pub fn prepare() {
    if std::env::var_os("WOLFFIA_TESTS_SCRATCH").is_some() {
        return;
    }
    BUILT.call_once(|| {
        let built = std::env::var_os("WOLFFIA_FAULTS_BIN").map_or_else(build, PathBuf::from);
        let public = publish(&std::fs::canonicalize(&built).unwrap_or_else(|error| panic!("{}: {error}", built.display())));
        scratch::make(&scratch::cache().join("bin"), 0o755);
        let draft = scratch::cache().join(format!("bin/.faults-{}", std::process::id()));
        symlink(public, &draft).unwrap();
        std::fs::rename(draft, binary()).unwrap();
    });
}

fn binary() -> PathBuf {
    scratch::cache().join("bin/wolffia-faults")
}

/// In a target directory of its own, because with the feature everything else would be built again.
fn build() -> PathBuf {
    let profile = own_directory();
    let target = profile.ancestors().nth(2).expect("target/TRIPLE/PROFILE").join("faults");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "wolffia-runtime", "--features", "faults", "--target-dir"]).arg(&target);
    let status = command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
    let triple = profile.parent().and_then(Path::file_name).expect("target/TRIPLE/PROFILE");
    target.join(triple).join("debug/wolffia")
}

/// A bundle to break on, and what is around it.
#[derive(Debug)]
pub struct Lab<'a> {
    case: &'a Case,
    pub bundle: Bundle,
    variant: Variant,
    console: UnixListener,
    /// Where the last call's terminals are waiting to be received: a container whose terminal nobody has is hung up.
    terminals: RefCell<Vec<UnixStream>>,
    mounts: String,
    id: String,
    calls: Cell<u32>,
}

impl<'a> Lab<'a> {
    pub fn new(case: &'a Case, variant: Variant) -> Self {
        let bundle = case.bundle(Rootfs::Busybox);
        let mounts = mounts();
        let console = UnixListener::bind(case.path("console.sock")).unwrap();
        console.set_nonblocking(true).unwrap();
        let lab =
            Self { case, bundle, variant, console, terminals: RefCell::default(), mounts, id: case.id(), calls: Cell::new(0) };
        case.directory("hooks");
        std::fs::create_dir_all(case.path("shared")).unwrap();
        lab.bundle.edit(|config| lab.enrich(config));
        if variant != Variant::Lasting {
            lab.bundle.edit(|config| {
                config["process"]["terminal"] = json!(true);
                config["process"]["consoleSize"] = json!({ "height": 24, "width": 80 });
            });
        }
        lab
    }

    /// One more in the same case, after the first was left.
    pub fn again(case: &'a Case, variant: Variant) -> Self {
        std::fs::remove_file(case.path("console.sock")).ok();
        Self::new(case, variant)
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn console_socket(&self) -> PathBuf {
        self.case.path("console.sock")
    }

    pub fn pid_file(&self) -> PathBuf {
        self.case.path("pid")
    }

    /// A mark that a hook leaves.
    pub fn hook_mark(&self, kind: &str) -> PathBuf {
        self.case.path("hooks").join(kind)
    }

    fn enrich(&self, config: &mut Value) {
        config["ociVersion"] = json!("1.3.0");
        config["process"]["args"] = json!(["sleep", "1000"]);
        config["process"]["cwd"] = json!("/made/for/it");
        config["process"]["oomScoreAdj"] = json!(100);
        config["process"]["scheduler"] = json!({ "policy": "SCHED_OTHER", "nice": 3 });
        config["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 });
        config["process"]["execCPUAffinity"] = json!({ "initial": "0", "final": "0" });
        config["process"]["rlimits"] = json!([{ "type": "RLIMIT_CORE", "hard": 0, "soft": 0 }]);
        config["process"]["landlock"] = json!({ "ruleset": { "handledAccessFS": ["make_block"] } });
        config["domainname"] = json!("faults");
        config["linux"]["personality"] = json!({ "domain": "LINUX" });
        config["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_DEFAULT", "nodes": "" });
        config["linux"]["sysctl"] = json!({ "net.ipv4.ip_unprivileged_port_start": "0" });
        config["linux"]["rootfsPropagation"] = json!("slave");
        config["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 1000, "nanosecs": 0 } });
        config["linux"]["resources"] = Value::Null;
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        for kind in ["network", "cgroup", "time"] {
            if !namespaces.iter().any(|namespace| namespace["type"] == kind) {
                namespaces.push(json!({ "type": kind }));
            }
        }
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.push(
            json!({ "destination": "/shared", "type": "bind", "source": self.case.path("shared"), "options": ["rbind", "rro"] }),
        );
        mounts.push(json!({ "destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"] }));
        let hook = |kind: &str| json!([{ "path": "/bin/sh", "args": ["sh", "-c", format!("cat > {}", self.hook_mark(kind).display())] }]);
        for kind in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
            config["hooks"][kind] = hook(kind);
        }
        config["hooks"]["startContainer"] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", "cat > /dev/null"] }]);
        if self.case.identity.is_root() {
            self.enrich_for_root(config);
        }
    }

    fn enrich_for_root(&self, config: &mut Value) {
        config["linux"]["cgroupsPath"] = json!(format!("/{}-above/{}", self.id, self.id));
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        match self.variant {
            Variant::Mapped => {
                namespaces.push(json!({ "type": "user" }));
                for map in ["uidMappings", "gidMappings"] {
                    config["linux"][map] = json!([{ "containerID": 0, "hostID": 0, "size": 65_536 }]);
                }
            }
            Variant::Joined => {
                namespaces.retain(|namespace| namespace["type"] != "network");
                namespaces.push(json!({ "type": "network", "path": format!("/proc/{}/ns/net", std::process::id()) }));
                config["linux"]["sysctl"] = Value::Null;
            }
            Variant::Rich | Variant::Lasting => {
                let device = json!({ "path": "/dev/own", "type": "c", "major": 1, "minor": 5, "fileMode": 0o600 });
                config["linux"]["devices"] = json!([device]);
                config["linux"]["netDevices"] = json!({ "wtf0": { "name": "inside0" } });
            }
        }
    }

    /// A call of the runtime that breaks at `fault`.
    fn call(&self, fault: Option<&Fault>) -> Call {
        self.calls.set(self.calls.get() + 1);
        let call = self.case.program(binary()).arg("--root").arg(self.case.root());
        // Both forms of an error: the words on the standard error, and the record in the log.
        let call = call.arg("--log").arg(self.log()).args(["--log-format", "json"]);
        match fault {
            Some(fault) => call.env("WOLFFIA_FAULT", fault.word()),
            None => call,
        }
    }

    fn log(&self) -> PathBuf {
        self.case.path(&format!("log{}", self.calls.get()))
    }

    /// The call of `create` or `run`.
    pub fn make(&self, subcommand: &str, fault: Option<&Fault>) -> Call {
        self.make_with(self.call(fault), subcommand)
    }

    fn make_with(&self, call: Call, subcommand: &str) -> Call {
        let mut call = call.arg(subcommand).arg("--bundle").arg(self.bundle.path()).arg("--pid-file").arg(self.pid_file());
        if self.variant != Variant::Lasting {
            call = call.arg("--console-socket").arg(self.console_socket());
        }
        if subcommand == "create" {
            call = call.env("NOTIFY_SOCKET", self.case.path("notify.sock"));
        } else {
            call = call.arg("--detach");
        }
        self.with_devices(call.arg(&self.id))
    }

    /// In a network namespace of its own with the device that the container takes.
    fn with_devices(&self, call: Call) -> Call {
        match self.bundle.config()["linux"]["netDevices"].is_object() {
            true => call.by_shell(
                "exec unshare --net sh -c 'ip link add wtf0 type veth peer name wtf1 && ip address add 192.0.2.7/24 dev wtf0 && exec \"$@\"' sh \"$@\"",
            ),
            false => call,
        }
    }

    /// `run` in the foreground.
    pub fn foreground(&self) -> Call {
        let call = self.call(None).arg("run").arg("--bundle").arg(self.bundle.path()).arg("--pid-file").arg(self.pid_file());
        self.with_devices(call.arg(&self.id))
    }

    /// The names of the steps that `plan` shows for `create` and `start`.
    pub fn planned(&self) -> BTreeSet<String> {
        let call = self.call(None).arg("plan").arg("--bundle").arg(self.bundle.path()).arg(&self.id);
        let outline = self.with_devices(call).run().succeeds();
        outline
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .filter(|word| word.contains('.'))
            .map(str::to_owned)
            .collect()
    }

    /// Some other subcommand on the container.
    pub fn on(&self, words: &[&str], fault: Option<&Fault>) -> Call {
        let (first, rest) = words.split_first().unwrap();
        self.call(fault).arg(first).args(rest)
    }

    /// A call of the runtime that is not broken, and gives its trace.
    pub fn traced(&self) -> Call {
        self.call(None).arg("--debug")
    }

    /// Every fault that a call can meet: the acts that it traces when nothing is broken.
    pub fn faults(&self, call: impl FnOnce(Call) -> Call) -> Vec<Fault> {
        let outcome = call(self.traced()).run();
        self.take_terminals();
        assert!(outcome.status.success(), "{outcome}");
        let mut acts: BTreeMap<String, u32> = BTreeMap::new();
        for record in records(&self.log()).iter().filter(|record| record["level"] == "debug") {
            let step = record["msg"].as_str().unwrap().split([':', ' ']).next().unwrap();
            *acts.entry(step.to_owned()).or_default() += 1;
        }
        let each = acts.into_iter().flat_map(|(step, count)| (1..=count.min(MOST_ACTS)).map(move |act| (step.clone(), act)));
        each.flat_map(|(step, act)| KINDS.map(|kind| Fault { step: step.clone(), kind, act })).collect()
    }

    /// The same for `create` and `run`.
    pub fn faults_of_making(&self, subcommand: &str) -> Vec<Fault> {
        self.faults(|call| self.make_with(call, subcommand))
    }

    /// Runs what is broken at `fault`, takes terminals that were sent, and asserts that an error is reported as it should be.
    pub fn run(&self, call: Call, fault: &Fault) -> Broken {
        let outcome = call.run();
        self.take_terminals();
        let broken = Broken {
            killed: outcome.status.signal() == Some(9),
            reached: !outcome.status.success(),
            what: format!("{}: {outcome}", fault.word()),
        };
        if fault.kind == Kind::Error && broken.reached {
            self.assert_report(fault, &outcome);
        }
        broken
    }

    /// Step, object and cause, for people and for machines.
    fn assert_report(&self, fault: &Fault, outcome: &Outcome) {
        let injected = format!("fault injected after {}", fault.step);
        assert!(outcome.status.code().is_some_and(|code| code != 0), "{}: {outcome}", fault.word());
        assert!(outcome.stderr.contains(&format!("{}: ", fault.step)), "{} is not named: {outcome}", fault.step);
        assert!(outcome.stderr.contains(&injected), "{}: {outcome}", fault.word());
        let records = records(&self.log());
        let error = records.iter().rfind(|record| record["level"] == "error");
        let error = error.unwrap_or_else(|| panic!("{}: no record of an error: {records:?}", fault.word()));
        assert_eq!(error["step"], fault.step.as_str(), "{error}");
        assert!(error["object"].is_string() && error["cause"].as_str().unwrap().contains(&injected), "{error}");
    }

    fn take_terminals(&self) {
        self.terminals.replace(std::iter::from_fn(|| self.console.accept().ok()).map(|(stream, _)| stream).collect());
    }

    /// Asserts that nothing of the container is left: now, or when the kernel has finished with what was killed.
    #[track_caller]
    pub fn assert_nothing_left(&self, broken: &Broken) {
        let own = std::process::id().cast_signed();
        let patience = if broken.killed { PATIENCE } else { Duration::ZERO };
        wait_until(patience, || {
            processes::reap();
            descendants(own).is_empty()
        });
        let mut left: Vec<String> =
            descendants(own).iter().map(|entry| format!("process {} {}", entry.pid, entry.command)).collect();
        left.extend(self.files_left());
        assert!(left.is_empty(), "{}\nleft behind: {left:#?}", broken.what);
    }

    /// Mounts, cgroups, state and pid files.
    fn files_left(&self) -> Vec<String> {
        let mut left = Vec::new();
        let mounts = mounts();
        if self.case.identity.is_root() && mounts != self.mounts {
            left.push(format!("mounts: {mounts}"));
        }
        let directory = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        left.extend(directory(&self.case.root()).map(|path| format!("state {}", path.display())));
        left.extend(
            cgroup_mounts()
                .iter()
                .map(|mount| mount.join(format!("{}-above", self.id)))
                .filter(|path| path.exists())
                .map(|path| format!("cgroup {}", path.display())),
        );
        let drafts =
            directory(&self.case.path("")).filter(|path| path.file_name().is_some_and(|name| name == "pid" || name == ".pid"));
        left.extend(drafts.map(|path| format!("pid file {}", path.display())));
        left
    }

    /// After the runtime was killed: everything that runs ends by itself, and the rest goes with `delete --force`, or with the next
    /// `create` of the same id.
    #[track_caller]
    pub fn assert_cleanable(&self, broken: &Broken, by_creating_again: bool) {
        let own = std::process::id().cast_signed();
        let ended = wait_until(PATIENCE, || {
            processes::reap();
            descendants(own).is_empty()
        });
        assert!(ended, "{}\nstill runs: {:#?}", broken.what, descendants(own));
        self.assert_deletable(broken, by_creating_again);
    }

    /// The same, where the container may run on.
    #[track_caller]
    pub fn assert_deletable(&self, broken: &Broken, by_creating_again: bool) {
        if by_creating_again && !self.is_created() {
            let again = self.make("create", None).run();
            self.take_terminals();
            assert!(again.status.success(), "{}\nthe next create: {again}", broken.what);
        }
        self.delete_by_force(broken);
        // The caller named it, and a caller that goes on reads it: it is no different after an ordinary delete.
        std::fs::remove_file(self.pid_file()).ok();
        self.assert_nothing_left(&Broken { killed: true, ..broken.clone() });
    }

    /// Pids of everything that runs.
    pub fn running(&self) -> Vec<i32> {
        processes::reap();
        let mut pids: Vec<i32> = descendants(std::process::id().cast_signed()).iter().map(|entry| entry.pid).collect();
        pids.sort_unstable();
        pids
    }

    pub fn running_commands(&self) -> Vec<String> {
        descendants(std::process::id().cast_signed()).into_iter().map(|entry| entry.command).collect()
    }

    /// Ends all but `these`.
    #[track_caller]
    pub fn end_others(&self, these: &[i32]) {
        let ended = wait_until(PATIENCE, || {
            let others: Vec<i32> = self.running().into_iter().filter(|pid| !these.contains(pid)).collect();
            for pid in &others {
                // It may have ended meanwhile.
                kill_process(Pid::from_raw(*pid).unwrap(), Signal::KILL).ok();
            }
            others.is_empty()
        });
        assert!(ended, "{:?}", self.running_commands());
        std::fs::remove_file(self.pid_file()).ok();
    }

    /// After a call that was not broken.
    #[track_caller]
    pub fn remove_everything(&self) {
        self.delete_by_force(&Broken::at("nothing was broken"));
        std::fs::remove_file(self.pid_file()).ok();
        self.end_others(&[]);
    }

    /// The error in the log of the last call.
    pub fn logged_error(&self) -> Value {
        records(&self.log()).into_iter().rfind(|record| record["level"] == "error").unwrap_or_default()
    }

    /// Whether `create` came to its end.
    pub fn is_created(&self) -> bool {
        records(&self.case.root().join(&self.id).join("state.json")).iter().any(|record| record["phase"] == "created")
    }

    #[track_caller]
    pub fn delete_by_force(&self, broken: &Broken) {
        let deleted = self.call(None).args(["delete", "--force", &self.id]).run();
        assert!(deleted.status.success() && deleted.stderr.is_empty(), "{}\ndelete --force: {deleted}", broken.what);
    }
}

/// How a broken call went.
#[derive(Debug, Clone)]
pub struct Broken {
    /// The runtime was killed.
    pub killed: bool,
    /// False if the call did not come to the fault: a step's acts are numbered in each process, the trace counts both.
    pub reached: bool,
    pub what: String,
}

impl Broken {
    /// The runtime was killed, in these circumstances.
    pub fn at(what: &str) -> Self {
        Self { killed: true, reached: true, what: what.to_owned() }
    }
}

/// The lines of a file of JSON documents. One that is not there has none.
fn records(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn mounts() -> String {
    std::fs::read_to_string("/proc/self/mountinfo").unwrap()
}

fn cgroup_mounts() -> Vec<PathBuf> {
    let mounts = mounts();
    let cgroups = mounts.lines().filter(|line| line.contains(" - cgroup2 "));
    cgroups.filter_map(|line| Some(PathBuf::from(line.split(' ').nth(4)?))).collect()
}
