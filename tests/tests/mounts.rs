//! Mounts, masks and read-only paths.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::os::unix::fs::symlink;
use std::path::Path;
use wolffia_tests::{ANYBODY, Bundle, Case, ROOT, ROOTLESS, Rootfs, USER, json, scenario};

/// A bind mount in the terms of a configuration.
fn bind(source: &Path, destination: &str, options: &[&str]) -> serde_json::Value {
    json!({ "destination": destination, "type": "none", "source": source, "options": options })
}

/// Mounts a tmpfs with a file in it, in this scenario's own mount namespace.
fn tmpfs_with_file(case: &Case, at: &Path) {
    case.program("mount").args(["-t", "tmpfs", "inner"]).arg(at).run().succeeds();
    std::fs::write(at.join("file"), "inner\n").unwrap();
}

fn umount(case: &Case, at: &Path) {
    case.program("umount").arg(at).run().succeeds();
}

#[test]
fn a_bind_mount_is_writable_or_readonly() {
    scenario(ANYBODY, |case| {
        let (rw, ro) = (case.directory("w"), case.directory("r"));
        std::fs::write(ro.join("file"), "text\n").unwrap();
        let bundle = case.shell("echo new > /w/file; cat /r/file; echo no > /r/file; touch /r/new; rm /r/file");
        bundle.mount(bind(&rw, "/w", &["bind"]));
        bundle.mount(bind(&ro, "/r", &["bind", "ro"]));
        let outcome = case.run(&bundle);
        assert_eq!(outcome.stdout, "text\n");
        assert_eq!(outcome.stderr.matches("Read-only file system").count(), 3, "{outcome}");
        assert_eq!(std::fs::read_to_string(rw.join("file")).unwrap(), "new\n");
    });
}

#[test]
fn options_of_a_bind_mount_take_effect() {
    scenario(ANYBODY, |case| {
        let source = case.directory("s");
        let bundle =
            case.shell("grep ' /m ' /proc/self/mountinfo | cut -d' ' -f6; cp /bin/busybox /m/busybox; /m/busybox true 2>/dev/null || echo denied");
        // The access time setting of the host's mount is locked in a user namespace.
        let time = if case.identity.is_root() { "noatime" } else { "relatime" };
        bundle.mount(bind(&source, "/m", &["bind", "nosuid", "nodev", "noexec", time]));
        assert_eq!(case.run(&bundle).succeeds(), format!("rw,nosuid,nodev,noexec,{time}\ndenied\n"));
    });
}

#[test]
fn a_readonly_tree_is_readonly_below_only_when_it_is_asked_for() {
    scenario(ROOT, |case| {
        let source = case.directory("s");
        let inner = case.directory("s/inner");
        tmpfs_with_file(case, &inner);
        for (options, below) in [(["rbind", "ro"], "written"), (["rbind", "rro"], "refused"), (["bind", "ro"], "refused")] {
            let bundle = case.shell(
                "(touch /m/new) 2>/dev/null && echo top; (touch /m/inner/new) 2>/dev/null && echo written || echo refused",
            );
            bundle.mount(bind(&source, "/m", &options));
            assert_eq!(case.run(&bundle).succeeds().trim(), below, "{options:?}");
        }
        umount(case, &inner);
    });
}

/// Who mounts in a user namespace cannot take the flags away that the host's mount has.
#[test]
fn flags_of_the_hosts_mount_stay() {
    scenario(ROOT, |case| {
        let source = case.directory("s");
        case.program("mount").args(["-t", "tmpfs", "-o", "ro,nosuid,nodev,noexec", "locked"]).arg(&source).run().succeeds();
        let bundle = case.shell("grep ' /m ' /proc/self/mountinfo | cut -d' ' -f6");
        bundle.mount(bind(&source, "/m", &["bind"]));
        bundle.edit(|config| {
            config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
            let map = json!([{ "containerID": 0, "hostID": 0, "size": 1000 }]);
            config["linux"]["uidMappings"] = map.clone();
            config["linux"]["gidMappings"] = map;
        });
        let options = case.run(&bundle).succeeds();
        assert!(
            ["ro", "nosuid", "nodev", "noexec"].iter().all(|flag| options.trim().split(',').any(|option| option == *flag)),
            "{options}"
        );
        umount(case, &source);
    });
}

#[test]
fn a_tmpfs_can_begin_with_what_was_below_it() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("cat /data/file; cat /data/sub/deep; readlink /data/link; stat -c %a /data/sub; echo changed > /data/file; grep -c ' /data .* tmpfs ' /proc/self/mountinfo");
        bundle.file("data/file", "text\n");
        bundle.file("data/sub/deep", "deep\n");
        symlink("/target", bundle.rootfs().join("data/link")).unwrap();
        std::fs::set_permissions(bundle.rootfs().join("data/sub"), std::os::unix::fs::PermissionsExt::from_mode(0o750)).unwrap();
        bundle.mount(json!({ "destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "size=1m"] }));
        assert_eq!(case.run(&bundle).succeeds(), "text\ndeep\n/target\n750\n1\n");
        assert_eq!(std::fs::read_to_string(bundle.rootfs().join("data/file")).unwrap(), "text\n");
    });
}

#[test]
fn a_tmpfs_has_its_size_and_mode() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("stat -c %a /data; df -k /data | tail -1 | awk '{ print $2 }'");
        bundle
            .mount(json!({ "destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["size=2048k", "mode=1770"] }));
        assert_eq!(case.run(&bundle).succeeds(), "1770\n2048\n");
    });
}

#[test]
fn an_id_mapped_mount_shows_other_owners() {
    scenario(ROOT, |case| {
        let source = case.directory("s");
        std::fs::write(source.join("file"), "").unwrap();
        let bundle = case.shell("stat -c %u:%g /m/file; touch /m/new");
        let mut mount = bind(&source, "/m", &["bind", "idmap"]);
        let map = json!([{ "containerID": 0, "hostID": 5000, "size": 1 }]);
        mount["uidMappings"] = map.clone();
        mount["gidMappings"] = map;
        bundle.mount(mount);
        let outcome = case.run(&bundle);
        if outcome.stderr.contains("mount_setattr") {
            case.skip("the file system of the scratch directory has no id-mapped mounts");
        }
        // Root of the container has no id on that file system.
        assert!(outcome.stdout == "5000:5000\n" && outcome.stderr.contains("Value too large"), "{outcome}");
    });
}

#[test]
fn an_overlay_is_mounted() {
    scenario(ROOT, |case| {
        let [lower, upper, work] = ["lower", "upper", "work"].map(|name| case.directory(name));
        std::fs::write(lower.join("file"), "below\n").unwrap();
        let bundle = case.shell("cat /m/file; echo above > /m/file");
        let options = [("lowerdir", &lower), ("upperdir", &upper), ("workdir", &work)]
            .map(|(key, path)| format!("{key}={}", path.display()));
        bundle.mount(json!({ "destination": "/m", "type": "overlay", "source": "overlay", "options": options }));
        assert_eq!(case.run(&bundle).succeeds(), "below\n");
        assert_eq!(std::fs::read_to_string(upper.join("file")).unwrap(), "above\n");
    });
}

/// fsconfig(2) takes no value of more than 255 bytes, so these are mounted by mount(2), which works by path.
#[test]
fn an_overlay_of_many_layers_is_mounted_where_it_belongs() {
    scenario(ROOT, |case| {
        let layers: Vec<_> = (0..20).map(|number| case.directory(&format!("layer{number}"))).collect();
        std::fs::write(layers[19].join("file"), "below\n").unwrap();
        // After the mount the destination's own path leads elsewhere: a second look would find another mount.
        std::os::unix::fs::symlink("/dev/shm", layers[3].join("way")).unwrap();
        let bundle = case.shell("cat /m/file; touch /m/new 2>/dev/null && echo LEAK; touch /dev/shm/new && echo honest; grep -c ' /m ' /proc/self/mountinfo");
        let way = bundle.rootfs().join("m");
        std::fs::create_dir(&way).unwrap();
        std::os::unix::fs::symlink(".", way.join("way")).unwrap();
        let lower = layers.iter().map(|layer| layer.display().to_string()).collect::<Vec<_>>().join(":");
        assert!(lower.len() > 300);
        let [upper, work] = ["upper", "work"].map(|name| case.directory(name).display().to_string());
        let options = [format!("lowerdir={lower}"), format!("upperdir={upper}"), format!("workdir={work}"), "ro".to_owned()];
        bundle.mount(json!({ "destination": "/m/way", "type": "overlay", "source": "overlay", "options": options }));
        assert_eq!(case.run(&bundle).succeeds(), "below\nhonest\n1\n");
    });
}

#[test]
fn propagation_is_what_the_options_say() {
    scenario(ROOT, |case| {
        for (option, arrives) in [("rslave", true), ("rprivate", false)] {
            let source = case.directory(&format!("s-{option}"));
            let inner = case.directory(&format!("s-{option}/inner"));
            let bundle = case.shell("exec sleep 300");
            bundle.mount(bind(&source, "/m", &["rbind", option]));
            let id = case.started(&bundle);
            tmpfs_with_file(case, &inner);
            let seen = case.wolffia().args(["exec", &id, "cat", "/m/inner/file"]).run();
            assert_eq!(seen.code() == 0, arrives, "{option}: {seen}");
            case.wolffia().args(["delete", "--force", &id]).run().succeeds();
            umount(case, &inner);
        }
    });
}

#[test]
fn the_root_mount_has_the_propagation_of_the_configuration() {
    scenario(ANYBODY, |case| {
        let root = |value: &str| {
            let edit = |config: &mut serde_json::Value| {
                config["linux"]["rootfsPropagation"] = json!(value);
                // A rootless template binds the host's /sys, which with this propagation would get the mounts below it too.
                config["mounts"]
                    .as_array_mut()
                    .unwrap()
                    .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/sys"));
            };
            case.run_shell("grep -E '^[0-9]+ [0-9]+ [0-9:]+ [^ ]+ / ' /proc/self/mountinfo", edit).succeeds()
        };
        assert!(root("rshared").contains(" shared:"));
        assert!(!root("rprivate").contains("shared:") && !root("rslave").contains("shared:"));
        assert!(root("runbindable").contains(" unbindable "));
    });
}

#[test]
fn a_destination_that_is_missing_is_made() {
    scenario(ANYBODY, |case| {
        let (directory, file) = (case.directory("d"), case.path("f"));
        std::fs::write(directory.join("x"), "in directory\n").unwrap();
        std::fs::write(&file, "file\n").unwrap();
        let bundle = case.shell("cat /new/deep/directory/x /new/deep/file");
        bundle.mount(bind(&directory, "/new/deep/directory", &["bind", "ro"]));
        bundle.mount(bind(&file, "/new/deep/file", &["bind", "ro"]));
        assert_eq!(case.run(&bundle).succeeds(), "in directory\nfile\n");
    });
}

/// CVE-2021-30465 and its kin: links in the root file system lead nowhere but into it.
#[test]
fn links_in_the_root_file_system_do_not_lead_out() {
    scenario(ANYBODY, |case| {
        let outside = case.directory("outside");
        let source = case.directory("s");
        std::fs::write(source.join("file"), "mounted\n").unwrap();
        for (name, target) in [
            ("absolute", outside.clone()),
            ("relative", Path::new("../../../../../../../..").join(outside.strip_prefix("/").unwrap())),
        ] {
            let bundle = case.shell(&format!("cat /{name}/new/file"));
            symlink(target, bundle.rootfs().join(name)).unwrap();
            bundle.mount(bind(&source, &format!("/{name}/new"), &["bind"]));
            let outcome = case.run(&bundle);
            // Followed inside the root, or refused because it dangles there: both are safe.
            assert!(outcome.stdout == "mounted\n" || outcome.code() == 1, "{outcome}");
            assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "{name}");
        }
    });
}

/// CVE-2019-19921, CVE-2023-27561.
#[test]
fn proc_and_sys_are_mounted_on_directories_only() {
    scenario(ANYBODY, |case| {
        for name in ["proc", "sys"] {
            let bundle = case.shell("true");
            std::fs::remove_dir(bundle.rootfs().join(name)).unwrap();
            symlink("/tmp", bundle.rootfs().join(name)).unwrap();
            let outcome = case.run(&bundle);
            // A rootless template binds /sys, which may follow a link inside the root.
            assert!(outcome.code() == 1 || (name == "sys" && !case.identity.is_root()), "{outcome}");
            if outcome.code() == 1 {
                assert!(outcome.stderr.contains("must be mounted on ordinary directory"), "{outcome}");
            }
        }
    });
}

#[test]
fn what_cannot_be_mounted_is_named() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("true");
        bundle.mount(bind(Path::new("/nosuchsource"), "/m", &["bind"]));
        case.run(&bundle).fails(1, "/nosuchsource");
        let bundle = case.shell("true");
        bundle.mount(json!({ "destination": "/m", "type": "nosuchfs", "source": "x" }));
        case.run(&bundle).fails(1, "nosuchfs");
        let bundle = case.shell("true");
        bundle.mount(json!({ "destination": "/m", "type": "tmpfs", "source": "x", "options": ["nosuchoption"] }));
        case.run(&bundle).fails(1, "nosuchoption");
    });
}

#[test]
fn masked_paths_look_empty() {
    scenario(ANYBODY, |case| {
        let script = "cat /secret/file; ls -A /hidden; (echo x > /hidden/new) 2>/dev/null || echo refused; umount /hidden 2>/dev/null || echo stays";
        let bundle = case.shell(script);
        bundle.file("secret/file", "secret\n");
        bundle.file("hidden/file", "secret\n");
        bundle.edit(|config| config["linux"]["maskedPaths"] = json!(["/secret/file", "/hidden", "/nosuchpath"]));
        assert_eq!(case.run(&bundle).succeeds(), "refused\nstays\n");
    });
}

/// CVE-2025-31133: a /dev/null of the image's own would show a file instead of nothing.
#[test]
fn a_mask_does_not_come_from_the_image() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("cat /secret/file");
        bundle.file("secret/file", "secret\n");
        bundle.file("bait", "bait\n");
        bundle.edit(|config| {
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
            config["linux"]["maskedPaths"] = json!(["/secret/file"]);
        });
        symlink("/bait", bundle.rootfs().join("dev/null")).unwrap();
        let outcome = case.run(&bundle);
        assert!(outcome.stdout.is_empty(), "{outcome}");
        assert_eq!(std::fs::read_to_string(bundle.rootfs().join("bait")).unwrap(), "bait\n");
    });
}

#[test]
fn readonly_paths_cannot_be_written() {
    scenario(ANYBODY, |case| {
        let bundle = case
            .shell("cat /data/fixed/file; (touch /data/fixed/new) 2>/dev/null || echo refused; touch /data/free && echo written");
        bundle.file("data/fixed/file", "text\n");
        bundle.edit(|config| {
            config["root"]["readonly"] = json!(false);
            config["linux"]["readonlyPaths"] = json!(["/data/fixed", "/nosuchpath"]);
        });
        assert_eq!(case.run(&bundle).succeeds(), "text\nrefused\nwritten\n");
    });
}

#[test]
fn the_root_is_readonly_when_it_is_asked_for() {
    scenario(ANYBODY, |case| {
        for (readonly, answer) in [(true, "refused"), (false, "written")] {
            let edit = |config: &mut serde_json::Value| config["root"]["readonly"] = json!(readonly);
            let script = "(touch /new) 2>/dev/null && echo written || echo refused; touch /dev/shm/x && echo tmpfs";
            assert_eq!(case.run_shell(script, edit).succeeds(), format!("{answer}\ntmpfs\n"));
        }
    });
}

#[test]
fn the_mounts_of_the_template_are_there() {
    scenario(ANYBODY, |case| {
        let script = "for d in /proc /dev /dev/pts /dev/shm /dev/mqueue /sys; do
            awk -v d=$d '$5 == d { for (i = 7; $i != \"-\"; i++); print d, $(i+1) }' /proc/self/mountinfo; done";
        let out = case.run_shell(script, |_| {}).succeeds();
        let expected = "/proc proc\n/dev tmpfs\n/dev/pts devpts\n/dev/shm tmpfs\n/dev/mqueue mqueue\n/sys sysfs\n";
        assert_eq!(out, expected);
    });
}

#[test]
fn default_devices_and_links() {
    scenario(ANYBODY, |case| {
        let script = "stat -c '%n %t:%T' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty;
            for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; echo x > /dev/null; head -c 3 /dev/zero | wc -c";
        let devices = "/dev/null 1:3\n/dev/zero 1:5\n/dev/full 1:7\n/dev/random 1:8\n/dev/urandom 1:9\n/dev/tty 5:0\n";
        let links = "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n";
        assert_eq!(case.run_shell(script, |_| {}).succeeds(), format!("{devices}{links}3\n"));
    });
}

#[test]
fn devices_of_the_configuration_are_made_as_root() {
    scenario(ROOT, |case| {
        let out = case.run_shell("stat -c '%t:%T %a %u:%g' /dev/sub/zero; head -c 2 /dev/sub/zero | wc -c", |config| {
            config["linux"]["devices"] =
                json!([{ "path": "/dev/sub/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 0, "gid": 7 }]);
        });
        assert_eq!(out.succeeds(), "1:5 640 0:7\n2\n");
    });
}

/// Who may make no node gets the host's by the same path, so it has to be one that the host has.
#[test]
fn devices_of_the_configuration_are_bound_for_a_user() {
    scenario(ROOTLESS, |case| {
        let device = |path: &str| {
            let device = json!([{ "path": path, "type": "c", "major": 1, "minor": 5 }]);
            case.run_shell("stat -c '%t:%T' /dev/zero; head -c 2 /dev/zero | wc -c", |config| config["linux"]["devices"] = device)
        };
        assert_eq!(device("/dev/zero").succeeds(), "1:5\n2\n");
        device("/dev/nosuchdevice").fails(1, "/dev/nosuchdevice");
    });
}

/// The kernel gives a new sysfs only to the owner of the network namespace.
#[test]
fn sysfs_without_a_network_namespace_is_the_hosts() {
    scenario(ROOTLESS, |case| {
        let bundle = case.shell("test -d /sys/kernel && (touch /sys/kernel/x) 2>/dev/null || echo readonly");
        bundle.edit(|config| {
            let mounts = config["mounts"].as_array_mut().unwrap();
            let sys = mounts.iter_mut().find(|mount| mount["destination"] == "/sys").unwrap();
            *sys = json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] });
        });
        assert_eq!(case.run(&bundle).succeeds(), "readonly\n");
    });
}

/// The sandbox's profile denies new namespaces; without it its Landlock rules deny to write id maps and to mount; without them a
/// second user namespace sees a /proc with masks over it, and the kernel refuses a new one there.
#[test]
fn a_sandbox_in_a_sandbox_works_or_says_why_not() {
    scenario(USER, |case| {
        let binary = case.binary();
        let directory = binary.parent().unwrap().to_str().unwrap();
        let inner = format!("{} --root /tmp/w sandbox -- echo inner", binary.display());
        let outer = ["--ro", directory, "--", "sh", "-c", &inner];
        let outcome = case.wolffia().arg("sandbox").args(outer).run();
        outcome.fails(125, "inside another container or sandbox its seccomp profile denies new namespaces");

        let bundle = Bundle::new(case.directory("outer"));
        let config = case.wolffia().args(["sandbox", "--print-config"]).args(outer).run().succeeds();
        std::fs::write(bundle.path().join("config.json"), config).unwrap();
        bundle.edit(|config| drop(config["linux"].as_object_mut().unwrap().remove("seccomp")));
        case.run(&bundle).fails(125, "start that one with --landlock off");
        bundle.edit(|config| drop(config["process"].as_object_mut().unwrap().remove("landlock")));
        let outcome = case.run(&bundle);
        let explained = outcome.code() == 125 && outcome.stderr.contains("start that one with an unmasked /proc");
        assert!(outcome.stdout == "inner\n" || explained, "{outcome}");
    });
}

#[test]
fn a_readonly_host_directory_without_mount_points_is_explained() {
    scenario(ROOT, |case| {
        let bundle = case.bundle(Rootfs::Single);
        bundle.args(&["/busybox", "true"]);
        let rootfs = bundle.rootfs();
        case.program("mount").args(["--bind", "-o", "ro"]).arg(&rootfs).arg(&rootfs).run().succeeds();
        let error = case.run(&bundle).fails(1, "Read-only file system");
        assert!(error.contains("make it beforehand"), "{error}");
        umount(case, &rootfs);
    });
}

#[test]
fn the_hosts_view_does_not_change() {
    scenario(ANYBODY, |case| {
        let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let scratch = case.path("");
        let ours = |text: &str| text.lines().filter(|line| line.contains(&*scratch.to_string_lossy())).count();
        let before = mounts();
        let id = case.started(&case.shell("exec sleep 300"));
        assert_eq!(ours(&mounts()), ours(&before));
        assert_eq!(case.state(&id)["status"], "running");
    });
}
