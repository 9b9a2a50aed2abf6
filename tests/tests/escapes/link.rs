//! Links in the image where the runtime mounts, makes and looks.

use crate::canary::{Canary, KERNEL_FILE};
use std::os::unix::fs::symlink;
use wolffia_tests::{ANYBODY, Bundle, Case, Value, json, scenario};

/// Puts a trap into a bundle.
type Trap<'a> = &'a dyn Fn(&Case, &Bundle);

fn tmpfs(destination: &str) -> Value {
    json!({ "destination": destination, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"] })
}

fn bind(source: &str, destination: &str) -> Value {
    json!({ "destination": destination, "source": source, "options": ["bind"] })
}

/// Takes away what is mounted at or below `path`, so that the runtime works in what the image brings.
fn bare(bundle: &Bundle, path: &str) {
    bundle.edit(|config| {
        config["mounts"].as_array_mut().unwrap().retain(|mount| !mount["destination"].as_str().unwrap().starts_with(path));
        config["root"]["readonly"] = json!(false);
    });
}

fn writable(bundle: &Bundle) {
    bundle.edit(|config| config["root"]["readonly"] = json!(false));
}

fn replace_by_link(bundle: &Bundle, name: &str, target: &str) {
    let path = bundle.rootfs().join(name);
    std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path)).ok();
    symlink(target, path).unwrap();
}

/// The way from `rootfs/dev/NAME` instead of `rootfs/NAME`.
fn one_deeper(way: &str) -> String {
    if way.starts_with('/') { way.to_owned() } else { format!("../{way}") }
}

/// CVE-2014-9357, CVE-2015-3627, CVE-2015-3629 and their siblings of that time.
#[test]
fn cve_2015_3629_a_mount_target_that_is_a_link_stays_inside() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        let (folder, file) = (case.directory("source"), case.path("source/file"));
        std::fs::write(&file, "mounted\n").unwrap();
        for way in canary.ways() {
            for mount in [
                tmpfs("/link"),
                tmpfs("/link/empty"),
                tmpfs("/link/new/deep"),
                bind(folder.to_str().unwrap(), "/link"),
                bind(file.to_str().unwrap(), "/link/of-the-host"),
                bind(file.to_str().unwrap(), "/link/new-file"),
            ] {
                let bundle = case.shell("cat /link/of-the-host; ls /link /link/empty; touch /link/x /link/empty/x; true");
                writable(&bundle);
                replace_by_link(&bundle, "link", &way);
                bundle.mount(mount);
                canary.survives(case, &bundle);
            }
        }
        let honest = case.shell("cat /link/file; cat /real/file");
        writable(&honest);
        replace_by_link(&honest, "link", "real");
        std::fs::create_dir(honest.rootfs().join("real")).unwrap();
        honest.mount(bind(folder.to_str().unwrap(), "/link"));
        assert_eq!(case.run(&honest).succeeds(), "mounted\nmounted\n");
    });
}

/// crun, GHSA-992m-xc3g-r7rj, and the buffers of a fixed size in crun 1.28.
#[test]
fn cve_2019_18837_long_chains_of_links_stay_inside() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        for (length, name) in [(30, "a"), (45, "b"), (30, &"n".repeat(250))] {
            let bundle = case.shell("cat /link/of-the-host; true");
            writable(&bundle);
            let step = |number: usize| format!("{name}{number}");
            for number in 0..length {
                symlink(step(number + 1), bundle.rootfs().join(step(number))).unwrap();
            }
            symlink(
                format!("{}{}", "../".repeat(1300), canary.text().trim_start_matches('/')),
                bundle.rootfs().join(step(length)),
            )
            .unwrap();
            replace_by_link(&bundle, "link", &step(0));
            bundle.mount(tmpfs("/link/new"));
            canary.survives(case, &bundle);
        }
    });
}

/// And CVE-2023-27561, CVE-2023-28642 (runc), CVE-2025-54867 (youki): masks and labels are written below /proc by name.
#[test]
fn cve_2019_19921_proc_or_sys_that_is_a_link_is_refused() {
    scenario(ANYBODY, |case| {
        // A user's /sys is bound from the host, and a bind mount may lead through a link of the image.
        let places: &[&str] = if case.identity.is_root() { &["proc", "sys"] } else { &["proc"] };
        for place in places {
            for target in ["elsewhere", "/elsewhere", "../../../elsewhere", "nowhere", "/proc/self/root"] {
                let bundle = case.shell("echo started");
                replace_by_link(&bundle, place, target);
                std::fs::create_dir(bundle.rootfs().join("elsewhere")).unwrap();
                let outcome = case.run(&bundle);
                assert!(!outcome.status.success() && outcome.stdout.is_empty(), "/{place} -> {target}: {outcome}");
            }
        }
        let honest = case.shell("head -n 1 /proc/self/status; ls -d /sys/kernel");
        assert_eq!(case.run(&honest).succeeds(), "Name:\thead\n/sys/kernel\n");
    });
}

/// And crun's CVE-2026-47766 and CVE-2026-88264.
#[test]
fn cve_2026_41579_dev_that_is_a_link_makes_nothing_on_the_host() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        for way in canary.ways() {
            let bundle = case.shell("cat /dev/of-the-host; true");
            bare(&bundle, "/dev");
            replace_by_link(&bundle, "dev", &way);
            canary.survives(case, &bundle);

            for name in ["null", "zero", "tty", "console", "ptmx", "fd", "stdin", "core", "pts", "shm", "mqueue"] {
                let bundle = case.shell("cat /dev/pts/of-the-host /dev/shm/of-the-host; true");
                bare(&bundle, if name == "pts" || name == "shm" || name == "mqueue" { "/nothing" } else { "/dev" });
                // Where /dev is a tmpfs the image's is covered; then only a bare one is a trap.
                if !matches!(name, "pts" | "shm" | "mqueue") {
                    replace_by_link(&bundle, &format!("dev/{name}"), &one_deeper(&format!("{way}/{name}")));
                } else {
                    bundle.edit(|config| config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev"));
                    replace_by_link(&bundle, &format!("dev/{name}"), &one_deeper(&way));
                }
                canary.survives(case, &bundle);
            }
        }
        let honest = case.shell("ls -l /dev/ptmx | grep -o 'pts/ptmx'; echo x > /dev/null; head -c 3 /dev/zero | wc -c");
        bare(&honest, "/dev");
        assert_eq!(case.run(&honest).succeeds(), "pts/ptmx\n3\n");
    });
}

#[test]
fn cve_2026_88264_a_linked_console_makes_no_file() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        let with_terminal = |bundle: &Bundle| {
            bundle.edit(|config| config["process"]["terminal"] = json!(true));
            let socket = wolffia_tests::ConsoleSocket::listen(case.path(&case.id()));
            let call = case.call_on("run", bundle, &case.id()).arg("--detach").arg("--console-socket").arg(socket.path());
            (call.run(), socket)
        };
        for way in canary.ways() {
            for name in ["new", "of-the-host"] {
                let bundle = case.shell("true");
                bare(&bundle, "/dev");
                replace_by_link(&bundle, "dev/console", &one_deeper(&format!("{way}/{name}")));
                canary.survived(&with_terminal(&bundle).0);
            }
        }
        let honest = case.shell("test -c /dev/console && tty && echo honest");
        bare(&honest, "/dev");
        let (outcome, socket) = with_terminal(&honest);
        outcome.succeeds();
        socket.receive().0.expect("honest");
    });
}

/// Whatever the runtime itself writes into the image: krun's configuration was one, directories and mount points are ours.
#[test]
fn cve_2025_24965_what_the_runtime_makes_is_made_inside() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        for way in canary.ways() {
            for cwd in ["/link", "/link/new", "/link/empty/new", "/link/new/../../../new"] {
                let bundle = case.shell("cat of-the-host; touch x; true");
                writable(&bundle);
                replace_by_link(&bundle, "link", &way);
                bundle.edit(|config| config["process"]["cwd"] = json!(cwd));
                canary.survives(case, &bundle);
            }
        }
        let honest = case.shell("pwd");
        writable(&honest);
        honest.edit(|config| config["process"]["cwd"] = json!("/made/for/this"));
        assert_eq!(case.run(&honest).succeeds(), "/made/for/this\n");
    });
}

/// The device that masks files must be the host's own null, not what the image calls so (runc, youki's CVE-2025-62161).
#[test]
fn cve_2025_31133_masks_do_not_depend_on_the_images_null() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        let secret = "cat /secret /secrets/one; echo overwritten > /secret; cat /instead";
        let traps: [Trap<'_>; 4] = [
            &|_, bundle| replace_by_link(bundle, "dev/null", "/instead"),
            &|_, bundle| replace_by_link(bundle, "dev/null", &format!("/proc/{KERNEL_FILE}")),
            &|_, bundle| std::fs::write(bundle.rootfs().join("dev/null"), "a file").unwrap(),
            &|case, bundle| {
                if case.identity.is_root() {
                    let zero = rustix::fs::makedev(1, 5);
                    let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::from_raw_mode(0o666));
                    rustix::fs::mknodat(rustix::fs::CWD, bundle.rootfs().join("dev/null"), kind, mode, zero).unwrap();
                }
            },
        ];
        let bundle = |case: &Case| {
            let bundle = case.shell(secret);
            bare(&bundle, "/dev");
            for (path, text) in [("secret", "LEAK\n"), ("secrets/one", "LEAK\n"), ("instead", "mine\n")] {
                bundle.file(path, text);
            }
            bundle.edit(|config| {
                let masked = config["linux"]["maskedPaths"].as_array_mut().unwrap();
                masked.extend([json!("/secret"), json!("/secrets")]);
            });
            bundle
        };
        for trap in traps {
            let trapped = bundle(case);
            trap(case, &trapped);
            let outcome = canary.survives(case, &trapped);
            assert!(!outcome.stdout.contains("overwritten"), "{outcome}");
        }
        let honest = case.run(&bundle(case));
        assert_eq!(honest.stdout, "mine\n", "{honest}");
    });
}

/// And 2025-52881: what is written below /proc must reach the kernel, so nothing may stand there in its place.
#[test]
fn cve_2019_16884_a_false_proc_is_refused() {
    scenario(ANYBODY, |case| {
        let folder = case.directory("false-proc");
        for place in ["/proc", "/proc/self", "/proc/self/attr", "/proc/sys", "/proc/sys/kernel", "/proc/../proc/sys"] {
            for mount in [bind(folder.to_str().unwrap(), place), tmpfs(place)] {
                let bundle = case.shell("echo started");
                bundle.mount(mount);
                let outcome = case.run(&bundle);
                assert!(!outcome.status.success() && outcome.stdout.is_empty(), "{place}: {outcome}");
            }
        }
        let honest = case.shell("cat /proc/uptime");
        let file = case.path("uptime");
        std::fs::write(&file, "1.00 2.00\n").unwrap();
        honest.mount(bind(file.to_str().unwrap(), "/proc/uptime"));
        assert_eq!(case.run(&honest).succeeds(), "1.00 2.00\n");
    });
}
