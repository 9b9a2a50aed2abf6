//! Landlock: what a configuration or a sandbox asks for is denied to init and to `exec`, and nothing else is.
//!
//! Where busybox has no command for an act, perl does it, which every Debian has: on the host's own files, as `sandbox` shows them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use wolffia_tests::{ANYBODY, Bundle, Case, Outcome, ROOT, Value, json, scenario};

/// The first kernel that has everything that is tested here (Linux 6.12).
const ABI: u32 = 6;

/// Every right of that ABI on files.
const RIGHTS: [&str; 16] = [
    "execute",
    "write_file",
    "read_file",
    "read_dir",
    "remove_dir",
    "remove_file",
    "make_char",
    "make_dir",
    "make_reg",
    "make_sock",
    "make_fifo",
    "make_block",
    "make_sym",
    "refer",
    "truncate",
    "ioctl_dev",
];

/// What a program on the host's files reads and executes.
fn system() -> Value {
    let paths = ["/bin", "/usr", "/lib", "/lib64", "/etc", "/proc"];
    json!({ "allowedAccess": ["execute", "read_file", "read_dir"], "paths": paths, "optional": true })
}

fn skip_without_landlock(case: &Case) {
    let doctor = case.wolffia().args(["doctor", "--json"]).run().stdout;
    let abi = doctor.split("ABI ").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok());
    if abi.is_none_or(|abi| abi < ABI) {
        case.skip(&format!("the kernel has no Landlock of ABI {ABI}"));
    }
}

/// A bundle of the host's files, with `directory` writable, under these rules and no others.
fn on_the_host(case: &Case, directory: &Path, args: &[&str], landlock: Value) -> Bundle {
    let flags = ["sandbox", "--print-config", "--landlock", "off", "--seccomp", "off", "--rw", directory.to_str().unwrap(), "--"];
    let config = case.wolffia().args(flags).args(args).run().succeeds();
    let bundle = Bundle::new(case.directory("bundle"));
    std::fs::write(bundle.path().join("config.json"), config).unwrap();
    bundle.edit(|config| config["process"]["landlock"] = landlock);
    bundle
}

/// Runs perl on the host's files.
fn perl(case: &Case, directory: &Path, script: &str, landlock: Value) -> Outcome {
    case.run(&on_the_host(case, directory, &["perl", "-we", script], landlock))
}

/// A directory with something for every act.
fn playground(case: &Case) -> std::path::PathBuf {
    let directory = case.path("playground");
    if directory.exists() {
        std::fs::remove_dir_all(&directory).unwrap();
    }
    for name in ["playground", "playground/empty", "playground/a", "playground/b"] {
        case.directory(name);
    }
    for name in ["file", "gone", "long", "a/moved"] {
        std::fs::write(directory.join(name), "text\n").unwrap();
    }
    std::fs::write(directory.join("script"), "#!/bin/sh\nexit 0\n").unwrap();
    std::fs::set_permissions(directory.join("script"), std::fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// Prints each act that is denied.
const ACTS: &str = r#"
    use strict; use Socket; use POSIX (); use Fcntl;
    my $d = "DIRECTORY";
    sub act { my ($name, $done) = @_; print "$name\n" unless $done }
    sub ran { my $said = `@_ 2>&1`; defined($said) && $said !~ /Permission denied/ }
    act("execute", ran("$d/script"));
    act("write_file", sysopen(my $w, "$d/file", O_WRONLY));
    act("read_file", sysopen(my $r, "$d/file", O_RDONLY));
    act("read_dir", opendir(my $o, "$d/a"));
    act("remove_dir", rmdir("$d/empty"));
    act("remove_file", unlink("$d/gone"));
    act("make_char", ran("mknod $d/char c 0 0"));
    act("make_dir", mkdir("$d/new"));
    act("make_reg", sysopen(my $n, "$d/reg", O_WRONLY | O_CREAT));
    socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die;
    act("make_sock", bind($s, pack_sockaddr_un("$d/sock")));
    act("make_fifo", POSIX::mkfifo("$d/fifo", 0600));
    act("make_block", ran("mknod $d/block b 7 99"));
    act("make_sym", symlink("to", "$d/link"));
    act("refer", rename("$d/a/moved", "$d/b/moved"));
    act("truncate", truncate("$d/long", 0));
    open(my $p, "+<", "/dev/ptmx") or die;
    my $number = pack("i", 0);
    act("ioctl_dev", ioctl($p, 0x80045430, $number));
"#;

/// Each right by itself is missing: what needs it is denied, and all the rest is done.
#[test]
fn every_right_is_denied_and_allowed_by_itself() {
    scenario(ANYBODY, |case| {
        skip_without_landlock(case);
        for missing in RIGHTS.into_iter().map(Some).chain([None]) {
            let directory = playground(case);
            let allowed: Vec<&str> = RIGHTS.into_iter().filter(|right| Some(*right) != missing).collect();
            let mut device = vec!["read_file", "write_file"];
            device.extend((missing != Some("ioctl_dev")).then_some("ioctl_dev"));
            let rules = json!({
                "ruleset": { "handledAccessFS": RIGHTS },
                "rules": { "pathBeneath": [
                    system(),
                    { "allowedAccess": device, "paths": ["/dev"] },
                    { "allowedAccess": allowed, "paths": [directory] },
                ] },
            });
            let script = ACTS.replace("DIRECTORY", directory.to_str().unwrap());
            let denied = perl(case, &directory, &script, rules).succeeds();
            let expected: Vec<&str> = match missing {
                None => Vec::new(),
                // The interpreter reads a script after it may execute it; a file is made to be written; moving is removing and making.
                Some("read_file") => vec!["execute", "read_file"],
                Some("write_file") => vec!["write_file", "make_reg"],
                Some("remove_file") => vec!["remove_file", "refer"],
                Some("make_reg") => vec!["make_reg", "refer"],
                Some(right) => vec![right],
            };
            assert_eq!(denied.lines().collect::<Vec<_>>(), expected, "without {missing:?}");
        }
    });
}

/// The rules hang on the directory itself, not on its name.
#[test]
fn no_detour_leads_around_a_rule() {
    scenario(ANYBODY, |case| {
        skip_without_landlock(case);
        let script =
            "for f in /secret/file /proc/self/root/secret/file /proc/1/root/secret/file /proc/self/cwd/secret/file /open/link; do
            cat $f 2>/dev/null && echo reached $f; done; cat /open/file";
        let bundle = case.shell(script);
        bundle.file("secret/file", "secret\n");
        bundle.file("open/file", "open\n");
        std::os::unix::fs::symlink("/secret/file", bundle.rootfs().join("open/link")).unwrap();
        bundle.edit(|config| {
            config["process"]["landlock"] = json!({
                "ruleset": { "handledAccessFS": ["read_file"] },
                "rules": { "pathBeneath": [{ "allowedAccess": ["read_file"], "paths": ["/bin", "/open", "/proc", "/dev"] }] },
            });
        });
        assert_eq!(case.run(&bundle).succeeds(), "open\n");
        bundle.edit(|config| config["process"]["landlock"] = Value::Null);
        assert_eq!(case.run(&bundle).succeeds().matches("reached").count(), 5);
    });
}

/// The kernel checks what is executed, not what is mapped: a program that may be read runs by its loader. Who wants it not to run
/// has to deny reading.
#[test]
fn a_program_that_may_be_read_runs_by_its_loader() {
    scenario(ANYBODY, |case| {
        skip_without_landlock(case);
        let directory = case.directory("programs");
        std::fs::copy("/bin/echo", directory.join("echo")).unwrap();
        let loader =
            ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"].into_iter().find(|path| Path::new(path).exists());
        let Some(loader) = loader else { case.skip("no known dynamic loader") };
        let program = directory.join("echo");
        let script = format!("{0} directly 2>/dev/null; {loader} {0} by its loader 2>/dev/null; echo end", program.display());
        let seen = |allowed: &[&str]| {
            let rules = json!({
                "ruleset": { "handledAccessFS": ["execute", "read_file", "read_dir"] },
                "rules": { "pathBeneath": [system(), { "allowedAccess": allowed, "paths": [directory] }] },
            });
            case.run(&on_the_host(case, &directory, &["sh", "-c", &script], rules)).succeeds()
        };
        assert_eq!(seen(&["execute", "read_file"]), "directly\nby its loader\nend\n");
        assert_eq!(seen(&["read_file"]), "by its loader\nend\n");
        assert_eq!(seen(&["execute"]), "end\n");
    });
}

#[test]
fn ports() {
    scenario(ANYBODY, |case| {
        skip_without_landlock(case);
        let directory = case.directory("net");
        let script = r#"
            use strict; use Socket;
            sub fresh { socket(my $s, AF_INET, SOCK_STREAM, 0) or die; $s }
            sub at { pack_sockaddr_in($_[0], INADDR_LOOPBACK) }
            my $server = fresh();
            print "bind 7001: ", bind($server, at(7001)) ? "ok" : $!, "\n";
            listen($server, 1) or die;
            for my $port (7002, 7001) { print "connect $port: ", connect(fresh(), at($port)) ? "ok" : $!, "\n" }
            for my $port (7002, 0) { print "bind $port: ", bind(fresh(), at($port)) ? "ok" : $!, "\n" }
        "#;
        let rules = json!({
            "ruleset": { "handledAccessNet": ["bind_tcp", "connect_tcp"] },
            "rules": { "netPort": [
                { "allowedAccess": ["bind_tcp", "connect_tcp"], "port": 7001 },
                { "allowedAccess": ["connect_tcp"], "port": [443] },
            ] },
        });
        let denied = "Permission denied";
        let expected =
            format!("bind 7001: ok\nconnect 7002: {denied}\nconnect 7001: ok\nbind 7002: {denied}\nbind 0: {denied}\n");
        assert_eq!(perl(case, &directory, script, rules).succeeds(), expected);
        let free = perl(case, &directory, script, Value::Null).succeeds();
        assert_eq!(free, "bind 7001: ok\nconnect 7002: Connection refused\nconnect 7001: ok\nbind 7002: ok\nbind 0: ok\n");
    });
}

/// A name that no file has, of a program outside: with the host's network it would be a door.
#[test]
fn abstract_sockets_of_the_host_are_out_of_reach() {
    scenario(ANYBODY, |case| {
        skip_without_landlock(case);
        let name = format!("wolffia-landlock-{}", std::process::id());
        let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let script = format!(
            r#"use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die;
            print connect($s, pack("Sa*", AF_UNIX, "\0{name}")) ? "reached" : "$!""#
        );
        let run = |landlock: &str| {
            let call = case.wolffia().args(["sandbox", "--net", "host", "--landlock", landlock, "--", "perl", "-we", &script]);
            call.run().succeeds()
        };
        assert_eq!(run("off"), "reached");
        assert_eq!(run("best-effort"), "Operation not permitted");
        assert_eq!(run("required"), "Operation not permitted");
    });
}

/// A process of `exec` has the same rules as init, in a domain of its own: signals do not leave it.
#[test]
fn exec_submits_to_the_same_rules() {
    scenario(ANYBODY, |case| {
        skip_without_landlock(case);
        let bundle = case.shell("sleep 1000");
        bundle.file("secret/file", "secret\n");
        bundle.edit(|config| {
            config["process"]["landlock"] = json!({
                "ruleset": { "handledAccessFS": ["read_file"], "scoped": ["signal"] },
                // /dev, because a shell opens /dev/null for what it starts in the background.
                "rules": { "pathBeneath": [{ "allowedAccess": ["read_file"], "paths": ["/bin", "/dev", "/proc"] }] },
            });
        });
        let id = case.started(&bundle);
        let exec = |args: &[&str]| case.wolffia().args(["exec", &id]).args(args).run();
        exec(&["cat", "/secret/file"]).fails(1, "Permission denied");
        exec(&["sh", "-c", "kill -0 1"]).fails(1, "Operation not permitted");
        assert_eq!(exec(&["sh", "-c", "sleep 100 & kill $!; echo inside"]).succeeds(), "inside\n");
        // A process of its own file, which knows nothing of the container's rules, and one that brings more of them.
        let mut process = json!({ "user": { "uid": 0, "gid": 0 }, "cwd": "/", "env": ["PATH=/bin"], "args": ["cat", "/secret/file"],
            "noNewPrivileges": true });
        let file = case.path("process.json");
        let given = |process: &Value| {
            std::fs::write(&file, process.to_string()).unwrap();
            case.wolffia().args(["exec", "--process"]).arg(&file).arg(&id).run()
        };
        given(&process).fails(1, "Permission denied");
        process["args"] = json!(["sh", "-c", "cat /proc/version >/dev/null && echo x > /dev/shm/x"]);
        given(&process).succeeds();
        process["landlock"] = json!({
            "ruleset": { "handledAccessFS": ["write_file", "make_reg"] },
            "rules": { "pathBeneath": [{ "allowedAccess": ["write_file"], "paths": ["/dev"] }] },
        });
        process["args"] = json!(["sh", "-c", "cat /proc/version >/dev/null && echo x > /dev/shm/y"]);
        given(&process).fails(1, "Permission denied");
        process["landlock"]["minimumABI"] = json!(1000);
        given(&process).fails(255, "ABI 1000");
        let state = case.state(&id);
        assert_eq!(
            state["landlock"],
            json!([{ "handledAccessFS": ["read_file"], "handledAccessNet": [], "scoped": ["signal"] }])
        );
        assert!(!state["recorded"].to_string().contains("landlock"), "nothing is missing: {state}");
    });
}

#[test]
fn a_path_that_is_missing_is_an_error_unless_it_is_optional() {
    scenario(ANYBODY, |case| {
        skip_without_landlock(case);
        let run = |optional: bool, path: &str| {
            case.run_shell("echo started", |config| {
                config["process"]["landlock"] = json!({
                    "ruleset": { "handledAccessFS": ["read_dir"] },
                    "rules": { "pathBeneath": [{ "allowedAccess": ["read_dir"], "paths": [path], "optional": optional }] },
                });
            })
        };
        let told = run(false, "/no/such").fails(1, "/process/landlock/rules/pathBeneath/0: /no/such");
        assert!(told.contains("landlock.rules") && told.contains("No such file"), "{told}");
        assert_eq!(run(true, "/no/such").succeeds(), "started\n");
        assert_eq!(run(true, "/bin/sh/below/a/file").succeeds(), "started\n");
        // Rights of directories mean nothing for a file, and are no reason to fail.
        assert_eq!(run(false, "/bin/busybox").succeeds(), "started\n");
        // Only inside: the host's own directory is not looked at.
        run(false, env!("CARGO_MANIFEST_DIR")).fails(1, "No such file");
    });
}

#[test]
fn what_the_kernel_lacks_is_recorded_or_refused() {
    scenario(ANYBODY, |case| {
        skip_without_landlock(case);
        let bundle = case.shell("cat /etc/passwd");
        // No kernel has the last right.
        let rules = json!({ "ruleset": { "handledAccessFS": ["read_file", 1_u64 << 62], "scoped": ["signal"] },
            "rules": { "pathBeneath": [{ "allowedAccess": ["read_file"], "paths": ["/bin"] }] } });
        bundle.edit(|config| config["process"]["landlock"] = rules);
        assert!(case.run(&bundle).stderr.contains("Permission denied"), "what the kernel has is enforced");
        let plan = case.call_on("plan", &bundle, "x").run().succeeds();
        for line in
            ["landlock.rules           deny read_file; beyond it signal", "landlock.rules           allow /bin: read_file"]
        {
            assert!(plan.contains(line), "{line} in {plan}");
        }
        assert!(plan.contains("landlock.restrict        1 layer\n"), "{plan}");
        assert!(plan.contains("not enforced: /process/landlock: the kernel gave Landlock ABI"), "{plan}");
        let id = case.id();
        case.call_on("create", &bundle, &id).run().succeeds();
        let state = case.state(&id);
        assert_eq!(state["landlock"][0]["handledAccessFS"], json!(["read_file"]));
        assert!(state["recorded"][0]["reason"].as_str().unwrap().contains("lacks 0x4000000000000000"), "{state}");
        bundle.edit(|config| config["process"]["landlock"]["disableBestEffort"] = json!(true));
        case.run(&bundle).fails(1, "the rules are required");
        bundle.edit(|config| {
            config["process"]["landlock"]["disableBestEffort"] = json!(false);
            config["annotations"]["io.wolffia.landlock.required"] = json!("true");
        });
        case.run(&bundle).fails(1, "the rules are required");
        bundle.edit(|config| {
            config["annotations"]["io.wolffia.landlock.required"] = json!("false");
            config["process"]["landlock"]["minimumABI"] = json!(10_000);
        });
        case.run(&bundle).fails(1, "ABI 10000 is the least that is asked for");
    });
}

/// The annotation's file, in both languages, is a layer of its own: what either denies is denied; and `exec` has it too, when the
/// file is gone.
#[test]
fn a_file_of_rules() {
    scenario(ANYBODY, |case| {
        skip_without_landlock(case);
        let toml = "abi = 3\n[[variable]]\nname = \"seen\"\nliteral = [\"/bin\", \"/proc\"]\n[[ruleset]]\nhandledAccessFs = [\"read_file\"]\n
            [[pathBeneath]]\nallowedAccess = [\"read_file\"]\nparent = [\"${seen}\"]\n";
        let json_text = r#"{ "ruleset": [{ "handledAccessFs": ["read_file"] }],
            "pathBeneath": [{ "allowedAccess": ["read_file"], "parent": ["/bin", "/proc"] }] }"#;
        let script = "sleep 1000";
        for (name, text) in [("rules.toml", toml), ("rules.json", json_text)] {
            let bundle = case.shell(script);
            let file = bundle.path().join(name);
            std::fs::write(&file, text).unwrap();
            let named = if name.ends_with("toml") { json!(name) } else { json!(file) };
            bundle.edit(|config| {
                config["root"]["readonly"] = json!(false);
                config["annotations"]["io.wolffia.landlock"] = named;
                config["process"]["landlock"] = json!({ "ruleset": { "handledAccessFS": ["make_reg"] } });
            });
            let id = case.started(&bundle);
            std::fs::remove_file(&file).unwrap();
            let exec = |script: &str| case.wolffia().args(["exec", &id, "sh", "-c", script]).run();
            exec("cat /etc/group").fails(1, "Permission denied");
            exec("echo x > /tmp/y").fails(1, "Permission denied");
            assert_eq!(exec("cat /proc/1/comm").succeeds(), "sleep\n");
            assert_eq!(case.state(&id)["landlock"].as_array().unwrap().len(), 2);
            case.call_on("run", &bundle, &case.id()).run().fails(1, name);
        }
        let bundle = case.shell("echo started");
        let fifo = bundle.path().join("fifo");
        case.program("mkfifo").arg(&fifo).run().succeeds();
        std::fs::write(bundle.path().join("secret"), "root:x:0:0").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", bundle.path().join("link")).unwrap();
        for (file, words) in [
            ("fifo", "it is a"),
            ("secret", "no valid JSON at line 1"),
            (".", "it is a"),
            ("link", "No such file"),
            ("../../../../../../etc/passwd", "No such file"),
            ("/etc/passwd", "/etc/passwd, which is not in the bundle"),
            ("/dev/zero", "put the file into the bundle"),
        ] {
            bundle.edit(|config| config["annotations"]["io.wolffia.landlock"] = json!(file));
            let told = case.run(&bundle).fails(1, words);
            assert!(!told.contains("root:x"), "{told}");
        }
    });
}

/// An engine's caller has no bundle to put files into.
#[test]
fn rules_that_the_administrator_keeps() {
    scenario(ROOT, |case| {
        skip_without_landlock(case);
        let bundle = case.shell("cat /etc/group");
        let rules = r#"{ "ruleset": [{ "handledAccessFs": ["read_file"] }],
            "pathBeneath": [{ "allowedAccess": ["read_file"], "parent": ["/bin", "/proc"] }] }"#;
        std::fs::write(bundle.path().join("rules"), rules).unwrap();
        bundle.edit(|config| config["annotations"]["io.wolffia.landlock"] = json!("/etc/wolffia/landlock/web.json"));
        let script = format!(
            "mount -t tmpfs none /etc; mkdir -p /etc/wolffia/landlock; cp {}/rules /etc/wolffia/landlock/web.json; exec \"$@\"",
            bundle.path().display()
        );
        let call = case.program("unshare").args(["--mount", "--propagation=private", "sh", "-c", &script, "sh"]);
        let call = call.arg(case.binary()).arg("--root").arg(case.root()).arg("run").arg("--bundle").arg(bundle.path());
        call.arg(case.id()).run().fails(1, "can't open '/etc/group': Permission denied");
    });
}

/// Without no_new_privs the kernel wants CAP_SYS_ADMIN, which the payload has not got: so it is done before.
#[test]
fn rules_hold_without_no_new_privileges_too() {
    scenario(ANYBODY, |case| {
        skip_without_landlock(case);
        for (user, no_new_privileges) in [(0, false), (0, true)] {
            let script = "grep -E '^(NoNewPrivs|CapEff)' /proc/self/status; cat /etc/group";
            let outcome = case.run_shell(script, |config| {
                config["process"]["user"] = json!({ "uid": user, "gid": user });
                config["process"]["noNewPrivileges"] = json!(no_new_privileges);
                config["process"]["capabilities"] = json!({});
                config["process"]["landlock"] = json!({
                    "ruleset": { "handledAccessFS": ["read_file"] },
                    "rules": { "pathBeneath": [{ "allowedAccess": ["read_file"], "paths": ["/bin", "/proc", "/dev"] }] },
                });
            });
            let bit = i32::from(no_new_privileges);
            assert_eq!(outcome.stdout, format!("CapEff:\t0000000000000000\nNoNewPrivs:\t{bit}\n"), "{outcome}");
            assert!(outcome.stderr.contains("Permission denied"), "{outcome}");
        }
    });
}

/// A profile that allows nothing that Landlock takes is loaded after it.
#[test]
fn rules_are_in_force_before_any_filter() {
    scenario(ANYBODY, |case| {
        skip_without_landlock(case);
        for no_new_privileges in [true, false] {
            let outcome = case.run_shell("cat /etc/group", |config| {
                config["process"]["noNewPrivileges"] = json!(no_new_privileges);
                let names = ["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"];
                config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW",
                    "syscalls": [{ "names": names, "action": "SCMP_ACT_KILL_PROCESS" }] });
                config["process"]["landlock"] = json!({
                    "ruleset": { "handledAccessFS": ["read_file"] },
                    "rules": { "pathBeneath": [{ "allowedAccess": ["read_file"], "paths": ["/bin"] }] },
                });
            });
            assert!(outcome.code() == 1 && outcome.stderr.contains("Permission denied"), "{outcome}");
        }
    });
}

#[test]
fn a_sandbox_has_a_second_wall() {
    scenario(ANYBODY, |case| {
        skip_without_landlock(case);
        let rw = case.directory("rw");
        let run = |landlock: &str, script: &str| {
            let flags =
                ["sandbox", "--landlock", landlock, "--rw", rw.to_str().unwrap(), "--tmpfs", "/opt", "--", "/bin/sh", "-c"];
            case.wolffia().args(flags).arg(script).run()
        };
        // What no mount keeps from writing, and no rule allows.
        assert_eq!(run("off", "echo x > /proc/self/comm && echo written").succeeds(), "written\n");
        run("best-effort", "echo x > /proc/self/comm").fails(2, "Permission denied");
        let script = format!(
            "set -e; for d in /tmp /var/tmp /dev/shm /opt {0}; do
                mkdir $d/a $d/b; echo x > $d/a/f; mv $d/a/f $d/b/f; mkfifo $d/p; ln -s b $d/l; : > $d/b/f
                cp /bin/true $d/t; [ $d = /dev/shm ] || $d/t; rm -r $d/a $d/b $d/p $d/l $d/t
             done
             echo x > /dev/null; test -c /dev/tty; echo to stdout > /dev/stdout; cat /etc/hostname > /dev/fd/1; kill -0 $$",
            rw.display()
        );
        let hostname = std::fs::read_to_string("/etc/hostname").unwrap();
        for landlock in ["off", "best-effort", "required"] {
            assert_eq!(run(landlock, &script).succeeds(), hostname, "{landlock}: what is opened anew begins anew");
        }
        assert_eq!(case.wolffia().args(["sandbox", "--landlock", "perhaps", "true"]).run().code(), 1);
    });
}
