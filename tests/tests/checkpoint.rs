//! Checkpoint and restore, with the machine's CRIU. Where it does not work, `criu check` says why, and the tests are skipped with that.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use wolffia_tests::{ANYBODY, Bundle, Call, Case, ConsoleSocket, ROOT, ROOTLESS, Value, json, scenario, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);
/// Says once that it begins, and then how far it is.
const COUNT: &str = "echo begun >> /starts; i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.05; done";

/// Skips the scenario where CRIU cannot work, in its own words.
fn needs_criu(case: &Case) {
    let check = case.program("sh").args(["-c", "criu check"]).run();
    if !check.status.success() {
        let words = check.stderr.lines().filter(|line| line.starts_with("Error") || line.contains("not found"));
        case.skip(&format!("criu check: {}", words.collect::<Vec<_>>().join("; ")));
    }
}

/// A container that can be saved, and where to.
struct Saved<'a> {
    case: &'a Case,
    bundle: Bundle,
    id: String,
    images: PathBuf,
}

impl<'a> Saved<'a> {
    fn counting(case: &'a Case, edit: impl FnOnce(&mut Value)) -> Self {
        needs_criu(case);
        let bundle = case.shell(COUNT);
        bundle.edit(|config| config["root"]["readonly"] = json!(false));
        bundle.edit(edit);
        let id = case.started(&bundle);
        let saved = Self { case, bundle, id, images: case.path("images") };
        saved.wait_beyond(0);
        saved
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.bundle.rootfs().join(name)).unwrap_or_default()
    }

    fn count(&self) -> u64 {
        self.file("count").trim().parse().unwrap_or(0)
    }

    #[track_caller]
    fn wait_beyond(&self, count: u64) {
        assert!(wait_until(PATIENCE, || self.count() > count), "it does not count beyond {count}");
        assert_eq!(self.file("starts"), "begun\n", "it began anew");
    }

    fn checkpoint(&self) -> Call {
        self.case.wolffia().arg("checkpoint").arg("--image-path").arg(&self.images)
    }

    fn restore(&self) -> Call {
        let call = self.case.wolffia().arg("restore").arg("--detach").arg("--image-path").arg(&self.images);
        call.arg("--bundle").arg(self.bundle.path())
    }

    #[track_caller]
    fn is_gone(&self) {
        self.case.wolffia().args(["state", &self.id]).run().fails(1, "container does not exist");
    }
}

#[test]
fn a_container_goes_on_where_it_was() {
    scenario(ROOT, |case| {
        let saved = Saved::counting(case, |_| {});
        for _ in 0..2 {
            saved.checkpoint().arg(&saved.id).run().succeeds();
            saved.is_gone();
            let count = saved.count();
            let pid_file = case.path("pid");
            saved.restore().arg("--pid-file").arg(&pid_file).arg(&saved.id).run().succeeds();
            let state = case.state(&saved.id);
            assert_eq!(state["status"], "running");
            assert_eq!(fs::read_to_string(pid_file).unwrap(), state["pid"].to_string());
            saved.wait_beyond(count);
            let inside =
                case.wolffia().args(["exec", &saved.id, "sh", "-c", "cat /proc/1/comm; ip link show lo"]).run().succeeds();
            assert!(inside.starts_with("sh\n") && inside.contains("LOOPBACK,UP"), "{inside}");
        }
        // Clocks of the container's own (time_namespaces(7)) are those of a further process too.
        let time = case
            .wolffia()
            .args(["exec", &saved.id, "sh", "-c", "readlink /proc/1/ns/time; readlink /proc/self/ns/time"])
            .run()
            .succeeds();
        let (init, further) = time.trim().split_once('\n').unwrap();
        assert_eq!(init, further);
        case.wolffia().args(["pause", &saved.id]).run().succeeds();
        case.wolffia().args(["resume", &saved.id]).run().succeeds();
        case.wolffia().args(["kill", &saved.id, "9"]).run().succeeds();
        case.wait_for_status(&saved.id, "stopped");
        case.wolffia().args(["delete", &saved.id]).run().succeeds();
    });
}

#[test]
fn a_container_may_run_on() {
    scenario(ROOT, |case| {
        let saved = Saved::counting(case, |_| {});
        saved.checkpoint().arg("--leave-running").arg(&saved.id).run().succeeds();
        assert_eq!(case.state(&saved.id)["status"], "running");
        saved.wait_beyond(saved.count());
        saved.restore().arg(&saved.id).run().fails(1, "container with given ID already exists");
        saved.wait_beyond(saved.count());
    });
}

/// Everything that Docker gives a container, and what the kernel says of it afterwards.
#[test]
fn the_confinement_is_what_it_was() {
    scenario(ROOT, |case| {
        let shared = case.directory("shared");
        fs::write(shared.join("file"), "text").unwrap();
        let saved = Saved::counting(case, |config| {
            let bind = |to: &str, mode: &str| json!({ "destination": to, "type": "bind", "source": shared, "options": ["bind", mode, "nosuid", "nodev"] });
            config["mounts"].as_array_mut().unwrap().extend([bind("/ro", "ro"), bind("/rw", "rw")]);
            config["linux"]["seccomp"] =
                json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["mount"], "action": "SCMP_ACT_ERRNO" }] });
            config["linux"]["maskedPaths"].as_array_mut().unwrap().push(json!("/ro/file"));
            config["process"]["noNewPrivileges"] = json!(true);
            config["process"]["capabilities"] = json!({ "bounding": ["CAP_CHOWN", "CAP_DAC_OVERRIDE"], "permitted": ["CAP_DAC_OVERRIDE"], "effective": ["CAP_DAC_OVERRIDE"] });
            config["linux"]["resources"]["pids"] = json!({ "limit": 20 });
            // A file that every cgroup has, whatever its controllers.
            config["linux"]["resources"]["unified"] = json!({ "cgroup.max.depth": "7" });
        });
        let look = || {
            let script = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/1/status; cat /ro/file; echo x 2>&1 > /ro/y; cut -d' ' -f4-6 /proc/1/mountinfo | sort; ls /proc/1/ns";
            case.wolffia().args(["exec", &saved.id, "sh", "-c", script]).run().succeeds()
        };
        let cgroups = || {
            let text = fs::read_to_string(format!("/proc/{}/cgroup", case.state(&saved.id)["pid"])).unwrap();
            text.lines().map(|line| line.rsplit(':').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let depth = || {
            let text = fs::read_to_string(format!("/proc/{}/cgroup", case.state(&saved.id)["pid"])).unwrap();
            let path = text.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
            let file = |mount: &str| fs::read_to_string(Path::new(mount).join(path).join("cgroup.max.depth")).ok();
            file("/sys/fs/cgroup").or_else(|| file("/sys/fs/cgroup/unified")).unwrap()
        };
        let (before, cgroups_before) = (look(), cgroups());
        assert_eq!(depth(), "7\n");
        assert!(before.contains("Seccomp:\t2") && before.contains("NoNewPrivs:\t1") && before.contains("Read-only"), "{before}");
        saved.checkpoint().arg(&saved.id).run().succeeds();
        let count = saved.count();
        saved.restore().arg(&saved.id).run().succeeds();
        saved.wait_beyond(count);
        assert_eq!((look(), cgroups()), (before, cgroups_before));
        assert_eq!(depth(), "7\n", "a limit is gone");
    });
}

#[test]
fn a_terminal_is_sent_anew() {
    scenario(ROOT, |case| {
        needs_criu(case);
        let bundle = case.shell("while read line; do echo got:$line; done");
        bundle.edit(|config| config["process"]["terminal"] = json!(true));
        let (socket, id) = (ConsoleSocket::listen(case.path("console")), case.id());
        case.call_on("run", &bundle, &id).arg("--detach").arg("--console-socket").arg(socket.path()).run().succeeds();
        let (mut terminal, _) = socket.receive();
        terminal.send("one\n");
        terminal.expect("got:one");
        let images = case.path("images");
        case.wolffia().arg("checkpoint").arg("--image-path").arg(&images).arg(&id).run().succeeds();
        let restore = || case.call_on("restore", &bundle, &id).arg("--detach").arg("--image-path").arg(&images);
        restore().run().fails(1, "cannot allocate tty if runc will detach without setting console socket");
        restore().arg("--console-socket").arg(socket.path()).run().succeeds();
        let (mut terminal, _) = socket.receive();
        terminal.send("two\n");
        terminal.expect("got:two");
    });
}

#[test]
fn pipes_of_the_caller_take_the_place_of_the_old_ones() {
    scenario(ROOT, |case| {
        needs_criu(case);
        let bundle = case.shell("while read line; do echo got:$line; done");
        let (id, images) = (case.id(), case.path("images"));
        let piped = |call: Call| {
            let (input, ours) = std::io::pipe().unwrap();
            let (theirs, output) = std::io::pipe().unwrap();
            let process = call.spawn_on(input.into(), output.into(), Stdio::null());
            (process, ours, std::io::BufReader::new(theirs))
        };
        let talk = |ours: &mut dyn std::io::Write, theirs: &mut dyn std::io::BufRead, word: &str| {
            writeln!(ours, "{word}").unwrap();
            let mut line = String::new();
            theirs.read_line(&mut line).unwrap();
            assert_eq!(line, format!("got:{word}\n"));
        };
        let (process, mut ours, mut theirs) = piped(case.call_on("run", &bundle, &id).arg("--detach"));
        process.wait(PATIENCE).succeeds();
        talk(&mut ours, &mut theirs, "one");
        case.wolffia().arg("checkpoint").arg("--image-path").arg(&images).arg(&id).run().succeeds();
        // In the foreground, until its input ends.
        let (process, mut ours, mut theirs) = piped(case.call_on("restore", &bundle, &id).arg("--image-path").arg(&images));
        talk(&mut ours, &mut theirs, "two");
        drop(ours);
        process.wait(PATIENCE).succeeds();
        case.wolffia().args(["state", &id]).run().fails(1, "container does not exist");
    });
}

/// Whoever changes the configuration after the checkpoint gets no container that has more than it says.
#[test]
fn a_checkpoint_of_another_configuration_is_refused_and_leaves_nothing() {
    scenario(ROOT, |case| {
        let shared = case.directory("shared");
        let saved = Saved::counting(case, |config| {
            let bind = json!({ "destination": "/shared", "type": "bind", "source": shared, "options": ["bind", "rw"] });
            config["mounts"].as_array_mut().unwrap().push(bind);
            config["process"]["noNewPrivileges"] = json!(false);
        });
        saved.checkpoint().arg(&saved.id).run().succeeds();
        let whole = saved.bundle.config();
        let (count, last) = (saved.count(), whole["mounts"].as_array().unwrap().len() - 1);
        let none = json!([]);
        let cases: [(&str, Value, &str); 7] = [
            ("/process/noNewPrivileges", json!(true), "/process/noNewPrivileges: the checkpoint is not of this configuration"),
            (
                "/process/capabilities",
                json!({ "bounding": none, "permitted": none, "effective": none }),
                "has capabilities that it gives to none",
            ),
            (
                "/linux/seccomp",
                json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["mount"], "action": "SCMP_ACT_ERRNO" }] }),
                "the images hold another filter",
            ),
            ("/linux/maskedPaths", json!(["/proc/version"]), "/proc/version is not masked"),
            ("/linux/readonlyPaths", json!(["/etc"]), "/etc is writable"),
            (&format!("/mounts/{last}/options"), json!(["bind", "ro"]), "is writable that the configuration makes read-only"),
            (
                "/linux/namespaces",
                json!([{ "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" }]),
                "is in another network namespace",
            ),
        ];
        for (pointer, value, words) in cases {
            let mut changed = whole.clone();
            match changed.pointer_mut(pointer) {
                Some(place) => *place = value,
                None => changed["linux"]["seccomp"] = value,
            }
            saved.bundle.edit(|config| *config = changed);
            saved.restore().arg(&saved.id).run().fails(1, words);
            saved.is_gone();
            assert_eq!(saved.count(), count, "{pointer}: it ran for a moment");
        }
        saved.bundle.edit(|config| *config = whole);
        saved.restore().arg(&saved.id).run().succeeds();
        saved.wait_beyond(count);
    });
}

#[test]
fn images_that_others_could_write_are_refused() {
    scenario(ROOT, |case| {
        let saved = Saved::counting(case, |_| {});
        let inside = saved.bundle.rootfs().join("images");
        let checkpoint = case.wolffia().arg("checkpoint").arg("--image-path").arg(inside).arg(&saved.id).run();
        checkpoint.fails(1, "it is in the container's root file system");
        let work = case.directory("work");
        std::os::unix::fs::symlink(case.path("victim"), work.join("dump.log")).unwrap();
        saved
            .checkpoint()
            .arg("--work-path")
            .arg(&work)
            .arg(&saved.id)
            .run()
            .fails(1, "dump.log is not safe to use: it is not a regular file");
        assert!(!case.path("victim").exists());
        saved.checkpoint().arg(&saved.id).run().succeeds();
        let mode = |path: PathBuf, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(fs::metadata(&saved.images).unwrap().permissions().mode() & 0o777, 0o700);
        for name in ["", "pages-1.img"] {
            let path = saved.images.join(name);
            mode(path.clone(), 0o777);
            saved.restore().arg(&saved.id).run().fails(1, "is not safe to use: others may write it");
            mode(path, 0o700);
        }
        std::os::unix::fs::symlink("/dev/null", saved.images.join("core-9.img")).unwrap();
        saved.restore().arg(&saved.id).run().fails(1, "neither a file nor a directory");
        fs::remove_file(saved.images.join("core-9.img")).unwrap();
        // Of sockets, only the one of `criu lazy-pages`, and that only where nobody else can answer on it.
        for (name, reason) in [("lazy-pages.socket", "others may write it"), ("other.socket", "neither a file nor a directory")] {
            let path = saved.images.join(name);
            let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
            mode(path.clone(), 0o777);
            saved.restore().arg(&saved.id).run().fails(1, &format!("{name} is not safe to use: {reason}"));
            drop(listener);
            fs::remove_file(path).unwrap();
        }
        fs::remove_file(saved.images.join("core-1.img")).unwrap();
        let error = saved.restore().arg(&saved.id).run().fails(1, "criu failed to restore the container: Error (criu/");
        assert!(error.contains("log file: ") && error.contains("restore.log"), "{error}");
        saved.is_gone();
        fs::remove_file(saved.images.join("descriptors.json")).unwrap();
        saved.restore().arg(&saved.id).run().fails(1, "descriptors.json");
        saved.is_gone();
    });
}

#[test]
fn a_checkpoint_that_fails_leaves_the_container_as_it_was() {
    scenario(ROOT, |case| {
        needs_criu(case);
        // A connection that is established, of which both ends are inside.
        let bundle = case.shell(&format!("sleep 300 | nc -l -p 9 & sleep 0.5; sleep 300 | nc 127.0.0.1 9 & {COUNT}"));
        bundle.edit(|config| config["root"]["readonly"] = json!(false));
        let id = case.started(&bundle);
        let saved = Saved { case, bundle, id, images: case.path("images") };
        saved.wait_beyond(10);
        let error = saved.checkpoint().arg(&saved.id).run().fails(1, "criu failed to dump the container: Error (criu/");
        assert!(error.contains("--tcp-established") && error.contains("dump.log"), "{error}");
        assert_eq!(case.state(&saved.id)["status"], "running");
        saved.wait_beyond(saved.count());
        saved.checkpoint().env("PATH", "/nowhere").arg(&saved.id).run().fails(1, "criu is not installed");
        saved.wait_beyond(saved.count());
        case.wolffia()
            .args(["exec", &saved.id, "sh", "-c", "kill $(pidof nc); while pidof nc; do sleep 0.05; done"])
            .run()
            .succeeds();
        saved.checkpoint().arg(&saved.id).run().succeeds();
        let count = saved.count();
        saved.restore().arg(&saved.id).run().succeeds();
        saved.wait_beyond(count);
    });
}

/// An image of the container's that leads out of its root (CVE-2026-119101) gets nothing of the host's.
#[test]
fn links_in_the_root_lead_nowhere_else() {
    scenario(ROOT, |case| {
        let (shared, secret) = (case.directory("shared"), case.directory("secret"));
        fs::write(secret.join("key"), "secret").unwrap();
        let saved = Saved::counting(case, |config| {
            let bind = json!({ "destination": "/data/in", "type": "bind", "source": shared, "options": ["bind", "ro"] });
            config["mounts"].as_array_mut().unwrap().push(bind);
        });
        saved.checkpoint().arg(&saved.id).run().succeeds();
        let count = saved.count();
        let (data, away) = (saved.bundle.rootfs().join("data"), saved.bundle.rootfs().join("away"));
        fs::rename(&data, &away).unwrap();
        std::os::unix::fs::symlink(&secret, &data).unwrap();
        let outcome = saved.restore().arg(&saved.id).run();
        assert!(!secret.join("in").exists(), "something was made on the host: {outcome}");
        if outcome.code() == 0 {
            let found = case.wolffia().args(["exec", &saved.id, "sh", "-c", "cat /data/key /data/in/key; true"]).run();
            assert!(!found.stdout.contains("secret"), "{found}");
            case.wolffia().args(["delete", "--force", &saved.id]).run().succeeds();
        }
        fs::remove_file(&data).unwrap();
        fs::rename(&away, &data).unwrap();
        saved.restore().arg(&saved.id).run().succeeds();
        saved.wait_beyond(count);
    });
}

/// Mount points that only the runtime has made are made again.
#[test]
fn mounts_in_mounts_and_behind_links_come_back() {
    scenario(ROOT, |case| {
        let (outer, inner) = (case.directory("outer"), case.directory("inner"));
        fs::write(inner.join("file"), "inner").unwrap();
        needs_criu(case);
        let bundle = case.shell(COUNT);
        std::os::unix::fs::symlink("/real", bundle.rootfs().join("link")).unwrap();
        bundle.edit(|config| {
            config["root"]["readonly"] = json!(false);
            let bind = |source: &PathBuf, to: &str| json!({ "destination": to, "type": "bind", "source": source, "options": ["rbind", "rw"] });
            let all = [bind(&outer, "/test"), bind(&inner, "/test/for/nested"), bind(&inner, "/link/more")];
            config["mounts"].as_array_mut().unwrap().extend(all);
        });
        let saved = Saved { case, id: case.started(&bundle), bundle, images: case.path("images") };
        saved.wait_beyond(0);
        saved.checkpoint().arg(&saved.id).run().succeeds();
        let count = saved.count();
        fs::remove_dir_all(outer.join("for")).unwrap();
        saved.restore().arg(&saved.id).run().succeeds();
        saved.wait_beyond(count);
        let script = "cat /test/for/nested/file /real/more/file";
        assert_eq!(case.wolffia().args(["exec", &saved.id, "sh", "-c", script]).run().succeeds(), "innerinner");
    });
}

#[test]
fn what_cannot_be_saved_whole_is_refused_by_name() {
    scenario(ROOT, |case| {
        needs_criu(case);
        let refused = |words: &str, edit: &dyn Fn(&mut Value)| {
            let bundle = case.shell("exec sleep 300");
            bundle.edit(edit);
            let id = case.started(&bundle);
            let checkpoint = case.wolffia().arg("checkpoint").arg("--image-path").arg(case.path("images")).arg(&id).run();
            checkpoint.fails(1, words);
            assert_eq!(case.state(&id)["status"], "running");
            case.wolffia().args(["delete", "--force", &id]).run().succeeds();
        };
        refused("containers with a user namespace", &|config| {
            config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
            let map = json!([{ "containerID": 0, "hostID": 0, "size": 1000 }]);
            (config["linux"]["uidMappings"], config["linux"]["gidMappings"]) = (map.clone(), map);
        });
        refused("/process/landlock", &|config| {
            config["process"]["landlock"] = json!({ "ruleset": { "handledAccessNet": ["bind_tcp"] } });
        });
        let bundle = case.shell("true");
        let id = case.id();
        case.call_on("create", &bundle, &id).run().succeeds();
        case.wolffia().args(["checkpoint", &id]).run().fails(1, "Container cannot be checkpointed in created state");
    });
}

/// CRIU makes no network namespace that was joined by path: the container is in the same one again.
#[test]
fn a_network_that_was_joined_is_joined_again() {
    scenario(ROOT, |case| {
        needs_criu(case);
        let keeper = case.started(&case.shell("exec sleep 300"));
        let network = format!("/proc/{}/ns/net", case.state(&keeper)["pid"]);
        let saved = Saved::counting(case, |config| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
            let own = namespaces.iter_mut().find(|namespace| namespace["type"] == "network").unwrap();
            own["path"] = json!(network);
        });
        saved.checkpoint().arg(&saved.id).run().succeeds();
        let count = saved.count();
        saved.restore().arg(&saved.id).run().succeeds();
        saved.wait_beyond(count);
        let is_in = fs::read_link(format!("/proc/{}/ns/net", case.state(&saved.id)["pid"])).unwrap();
        assert_eq!(is_in, fs::read_link(network).unwrap());
    });
}

#[test]
fn memory_can_be_saved_beforehand() {
    scenario(ROOT, |case| {
        needs_criu(case);
        let check = case.program("criu").args(["check", "--feature", "mem_dirty_track"]).run();
        if !check.status.success() {
            case.skip("criu check: the kernel does not track changed memory (CONFIG_MEM_SOFT_DIRTY)");
        }
        let saved = Saved::counting(case, |_| {});
        let before = case.path("before");
        case.wolffia().args(["checkpoint", "--pre-dump", "--image-path"]).arg(&before).arg(&saved.id).run().succeeds();
        assert_eq!(case.state(&saved.id)["status"], "running");
        saved.checkpoint().args(["--parent-path", "/before"]).arg(&saved.id).run().fails(1, "--parent-path must be relative");
        saved.checkpoint().args(["--parent-path", "../before"]).arg(&saved.id).run().succeeds();
        assert!(saved.images.join("parent").exists());
        let count = saved.count();
        saved.restore().arg(&saved.id).run().succeeds();
        saved.wait_beyond(count);
    });
}

#[test]
fn users_are_told_that_it_takes_root() {
    scenario(ROOTLESS, |case| {
        let id = case.started(&case.shell("exec sleep 300"));
        case.wolffia().args(["checkpoint", &id]).run().fails(1, "checkpoint takes root");
        assert_eq!(case.state(&id)["status"], "running");
        case.call_on("restore", &case.shell("true"), &case.id()).run().fails(1, "restore takes root");
    });
}

/// Podman asks so whether a runtime can do it.
#[test]
fn callers_find_out_that_it_can_be_done() {
    scenario(ANYBODY, |case| {
        let help = case.wolffia().args(["checkpoint", "--help"]).run().succeeds();
        for flag in
            ["--image-path", "--work-path", "--parent-path", "--leave-running", "--tcp-established", "--status-fd", "--pre-dump"]
        {
            assert!(help.contains(flag), "{flag}: {help}");
        }
        case.wolffia().args(["restore", "--lsm-mount-context"]).run().fails(1, "flag needs an argument");
        case.wolffia()
            .args(["checkpoint", "--manage-cgroups-mode", "odd", "x"])
            .run()
            .fails(1, "invalid manage-cgroups-mode value");
        case.wolffia().args(["checkpoint", "--page-server", "odd", "x"]).run().fails(1, "Use --page-server ADDRESS:PORT");
        case.wolffia().args(["restore", "--empty-ns", "uts", "x"]).run().fails(1, "is not supported");
    });
}
