//! What a process has in the end, as it sees it itself: with the configuration that `spec` writes, with that of `sandbox`, and with one
//! as Docker writes it (made from its public description: the defaults of `docker run`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::path::PathBuf;
use wolffia_tests::{ANYBODY, Bundle, Pty, ROOT, Rootfs, SUBIDS, Value, build_program, example, json, scenario};

const DOCKER: &str = include_str!("docker.json");
/// What the payload is asked for: all about itself, and what it could write below /proc.
const QUESTIONS: [&str; 4] = ["report", "--", "writable", "/proc"];
/// Mode 0666 in the kernel since 5.2: writing registers a trigger for the writer alone.
const ANYBODYS: [&str; 3] = ["/proc/pressure/cpu", "/proc/pressure/io", "/proc/pressure/memory"];

/// CAP_AUDIT_WRITE, CAP_KILL, CAP_NET_BIND_SERVICE.
const OF_SPEC: u64 = 1 << 29 | 1 << 5 | 1 << 10;
/// capabilities(7), by their numbers: the fourteen of Docker.
const OF_DOCKER: u64 =
    1 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 13 | 1 << 18 | 1 << 27 | 1 << 29 | 1 << 31;

fn build_payload() {
    build_program("wolffia-conformance", "wolffia-payload");
}

/// The payload, in a directory of its own.
fn install(directory: &std::path::Path) -> PathBuf {
    let path = directory.join("payload");
    std::fs::copy(example("wolffia-payload"), &path).unwrap();
    path
}

/// Filters that hold for this test already: in a container it has some.
fn outer_filters() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:")).map_or(0, |count| count.trim().parse().unwrap())
}

/// What the process says of itself.
struct Seen {
    report: Value,
    writable: Vec<String>,
}

impl Seen {
    fn of(text: &str) -> Self {
        let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["ok"].clone());
        let (report, writable) = (lines.next().unwrap(), lines.next().unwrap());
        Self { report, writable: serde_json::from_value(writable).unwrap() }
    }

    /// The same five sets: none inheritable or ambient.
    #[track_caller]
    fn has_capabilities(&self, set: u64) {
        let expected = json!({ "inheritable": 0, "ambient": 0, "permitted": set, "effective": set, "bounding": set });
        assert_eq!(self.report["capabilities"], expected);
    }

    #[track_caller]
    fn has(&self, fields: &[(&str, Value)]) {
        for (name, expected) in fields {
            assert_eq!(&self.report[name], expected, "{name}");
        }
    }

    /// The three streams, and the pid namespace's first process leads its own session.
    #[track_caller]
    fn has_only_its_own(&self) {
        let open: Vec<&String> = self.report["descriptors"].as_object().unwrap().keys().collect();
        assert_eq!(open, ["0", "1", "2"]);
        self.has(&[("pid", json!(1)), ("session", json!(1)), ("keys", json!("")), ("umask", json!("0022"))]);
        for kind in ["cgroup", "ipc", "mnt", "pid", "uts"] {
            let host = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
            let shared = self.report["namespaces"][kind] == host.to_str().unwrap();
            // On a host with hierarchies of cgroup 1 `spec` writes no cgroup namespace, as runc does not.
            assert!(!shared || kind == "cgroup", "the host's {kind} namespace");
        }
    }

    /// Its environment, in any order.
    #[track_caller]
    fn has_environment(&self, expected: &[&str]) {
        let mut environment: Vec<&str> =
            self.report["environment"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        environment.sort_unstable();
        assert_eq!(environment, expected);
    }

    /// The mount that is seen at a place has this type and at least these flags; where they do not say ro it is writable.
    #[track_caller]
    fn has_mounts(&self, expected: &[(&str, &str, &[&str])]) {
        let mounts = self.report["mounts"].as_array().unwrap();
        for (point, kind, flags) in expected {
            let mount = mounts.iter().rfind(|mount| mount["point"] == *point).unwrap_or_else(|| panic!("nothing on {point}"));
            let options: Vec<&str> = mount["options"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            assert!(kind.is_empty() || mount["type"] == *kind, "{mount}");
            assert!(flags.iter().all(|flag| options.contains(flag)), "{point}: {options:?}, not {flags:?}");
            assert_eq!(options.contains(&"ro"), flags.contains(&"ro"), "{point}: {options:?}");
        }
    }

    /// Nothing below /proc can be written that is not every process's.
    #[track_caller]
    fn writes_nothing_of_the_kernels(&self) {
        let more: Vec<_> = self.writable.iter().filter(|path| !ANYBODYS.contains(&path.as_str())).collect();
        assert!(more.is_empty(), "{more:?}");
    }
}

const CLOSED: [&str; 3] = ["nosuid", "nodev", "noexec"];
const CLOSED_READONLY: [&str; 4] = ["ro", "nosuid", "nodev", "noexec"];

/// Mounts that all three have, and what is read-only in /proc.
const USUAL: [(&str, &str, &[&str]); 9] = [
    ("/dev", "tmpfs", &["nosuid"]),
    ("/dev/pts", "devpts", &["nosuid", "noexec"]),
    ("/dev/shm", "tmpfs", &CLOSED),
    ("/dev/mqueue", "mqueue", &CLOSED),
    ("/sys", "sysfs", &CLOSED_READONLY),
    ("/proc/bus", "proc", &["ro"]),
    ("/proc/fs", "proc", &["ro"]),
    ("/proc/irq", "proc", &["ro"]),
    ("/proc/sys", "proc", &["ro"]),
];

#[test]
fn of_the_configuration_that_spec_writes() {
    build_payload();
    scenario(ANYBODY, |case| {
        let bundle = case.bundle(Rootfs::Empty);
        install(&bundle.rootfs());
        bundle.args(&[&["/payload"], &QUESTIONS[..]].concat());
        let seen = Seen::of(&case.run(&bundle).succeeds());
        seen.has_capabilities(OF_SPEC);
        seen.has(&[("no_new_privs", json!(1)), ("filters", json!(outer_filters()))]);
        seen.has(&[("uids", json!([0, 0, 0, 0])), ("gids", json!([0, 0, 0, 0])), ("groups", json!([])), ("tty", json!(0))]);
        seen.has(&[("cwd", json!("/")), ("hostname", json!("wolffia"))]);
        assert_eq!(seen.report["limits"]["RLIMIT_NOFILE"], json!([1024, 1024]));
        seen.has_only_its_own();
        seen.has_environment(&["HOME=/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"]);
        seen.has_mounts(&USUAL);
        seen.has_mounts(&[("/", "", &["ro"]), ("/proc", "proc", &[]), ("/sys/fs/cgroup", "", &CLOSED_READONLY)]);
        for mount in seen.report["mounts"].as_array().unwrap() {
            let point = mount["point"].as_str().unwrap();
            assert!(point == "/" || ["/proc", "/dev", "/sys"].iter().any(|top| point.starts_with(top)), "{mount}");
        }
        seen.writes_nothing_of_the_kernels();
    });
}

#[test]
fn of_a_sandbox() {
    build_payload();
    scenario(ANYBODY, |case| {
        let payload = install(&case.directory("program"));
        let call = case.wolffia().args(["sandbox", "--ro"]).arg(&payload).arg("--").arg(&payload).args(QUESTIONS);
        let environment = ["LANG", "LANGUAGE", "SHELL", "USER", "LOGNAME", "COLORTERM", "TZ", "TERM"];
        let call = environment.iter().fold(call, |call, name| call.without_env(name));
        let seen = Seen::of(&call.env("HOME", "/nowhere").env("PATH", "/bin").env("SECRET", "x").run().succeeds());
        seen.has_capabilities(0);
        seen.has(&[
            ("no_new_privs", json!(1)),
            ("seccomp", json!(2)),
            ("filters", json!(outer_filters() + 1)),
            ("tty", json!(0)),
        ]);
        let own = json!(case.own_id());
        seen.has(&[("uids", json!([own, own, own, own])), ("gids", json!([own, own, own, own])), ("hostname", json!("sandbox"))]);
        seen.has_only_its_own();
        seen.has_environment(&["HOME=/nowhere", "PATH=/bin"]);
        seen.has_mounts(&USUAL);
        seen.has_mounts(&[
            ("/", "", &["ro"]),
            ("/proc", "proc", &CLOSED),
            ("/dev", "tmpfs", &["nosuid", "noexec"]),
            ("/tmp", "tmpfs", &["nosuid", "nodev"]),
            ("/run", "tmpfs", &["nosuid", "nodev"]),
        ]);
        let host = std::fs::read_link("/proc/self/ns/user").unwrap();
        assert_ne!(seen.report["namespaces"]["user"], host.to_str().unwrap());
        assert_eq!(seen.writable, Vec::<String>::new());
    });
}

#[test]
fn of_a_configuration_like_dockers() {
    build_payload();
    scenario(&[ROOT, SUBIDS].concat(), |case| {
        let written = Bundle::new(case.directory("spec"));
        case.wolffia().args(["spec", "--seccomp", "--bundle"]).arg(written.path()).run().succeeds();
        let bundle = case.bundle(Rootfs::Empty);
        install(&bundle.rootfs());
        let mut docker: Value = serde_json::from_str(DOCKER).unwrap();
        docker["linux"]["seccomp"] = written.config()["linux"]["seccomp"].clone();
        if let Some((uids, gids)) = case.mappings() {
            docker["linux"]["uidMappings"] = uids;
            docker["linux"]["gidMappings"] = gids;
            docker["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
            docker["linux"]["resources"] = Value::Null;
        }
        bundle.edit(|config| *config = docker);
        bundle.args(&[&["/payload"], &QUESTIONS[..]].concat());
        let seen = Seen::of(&case.run(&bundle).succeeds());
        seen.has_capabilities(OF_DOCKER);
        seen.has(&[
            ("no_new_privs", json!(0)),
            ("seccomp", json!(2)),
            ("filters", json!(outer_filters() + 1)),
            ("tty", json!(0)),
        ]);
        seen.has(&[("uids", json!([0, 0, 0, 0])), ("groups", json!([0, 10])), ("hostname", json!("0123456789ab"))]);
        seen.has_only_its_own();
        seen.has_environment(&[
            "HOME=/root",
            "HOSTNAME=0123456789ab",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ]);
        seen.has_mounts(&USUAL);
        seen.has_mounts(&[("/", "", &[]), ("/proc", "proc", &CLOSED), ("/sys/fs/cgroup", "", &CLOSED_READONLY)]);
        seen.writes_nothing_of_the_kernels();
    });
}

/// A session with a controlling terminal of the container's own.
#[test]
fn of_a_terminal() {
    build_payload();
    scenario(ANYBODY, |case| {
        let bundle = case.bundle(Rootfs::Empty);
        install(&bundle.rootfs());
        bundle.args(&["/payload", "terminal", "--", "report", "--", "say", "end"]);
        bundle.edit(|config| config["process"]["terminal"] = json!(true));
        let mut pty = Pty::open();
        pty.resize(33, 101);
        let process = pty.spawn(case.call_on("run", &bundle, &case.id()));
        let text = pty.expect("{\"ok\":\"end\"}");
        assert_eq!(process.wait(std::time::Duration::from_secs(20)).code(), 0);
        let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["ok"].clone()).collect();
        let expected = json!({ "isatty": true, "name": "/dev/pts/0", "rows": 33, "columns": 101, "controlling": true });
        assert_eq!(answers[0], expected);
        assert!(answers[1]["tty"].as_i64().unwrap() != 0 && answers[1]["session"] == 1, "{}", answers[1]);
    });
}
