//! Hostile content of images.

use crate::canary::Canary;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use wolffia_tests::{ANYBODY, Case, ROOT, json, scenario};

/// A numeric name of the image's /etc/passwd is not an id (CVE-2026-46680 and moby/sys/user had it again).
#[test]
fn cve_2016_3697_numbers_are_never_names() {
    scenario(ANYBODY, |case| {
        let many = case.mappings().is_some() || case.identity.is_root();
        let uid = if many { 1000 } else { 0 };
        let bundle = case.shell("id -u; id -g; exec sleep 300");
        bundle.file("etc/passwd", "1000:x:0:0:root:/:/bin/sh\n0:x:7:7::/:/bin/sh\n");
        bundle.file("etc/group", "1000:x:0:\n0:x:7:\n");
        bundle.edit(|config| {
            config["process"]["user"] = json!({ "uid": uid, "gid": uid });
            config["process"]["args"] = json!(["sleep", "300"]);
        });
        let id = case.started(&bundle);
        let user = format!("{uid}:{uid}");
        let inside =
            case.wolffia().args(["exec", "--user", &user, &id, "sh", "-c", "grep -E '^(Uid|Gid)' /proc/self/status"]).run();
        assert_eq!(inside.succeeds(), format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{uid}\t{uid}\t{uid}\t{uid}\n"));
    });
}

/// Helpers of the runtime are the host's, never what the image calls so.
#[test]
fn cve_2026_84042_no_program_of_the_image_helps_the_runtime() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        let bundle = case.shell("echo honest");
        for name in ["newuidmap", "newgidmap", "passt", "pasta", "slirp4netns", "systemctl", "mount", "ldconfig"] {
            std::fs::remove_file(bundle.rootfs().join("bin").join(name)).ok();
            bundle.script(&format!("bin/{name}"), &format!("#!/bin/sh\necho LEAK > {}/{name}; echo LEAK\n", canary.text()));
        }
        assert_eq!(canary.survives(case, &bundle).succeeds(), "honest\n");
    });
}

/// `docker cp` loaded the image's nsswitch (CVE-2019-14271); crun and runc read its passwd as the runtime. Pipes and sockets where
/// files are expected must not stop us.
#[test]
fn cve_2019_14271_names_are_not_resolved_inside() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("echo honest; echo $HOME");
        for name in ["etc/passwd", "etc/group", "etc/nsswitch.conf", "etc/subuid", "etc/localtime"] {
            let path = bundle.rootfs().join(name);
            std::fs::remove_file(&path).ok();
            let fifo = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, rustix::fs::Mode::from_raw_mode(0o666), 0).unwrap();
        }
        assert_eq!(case.run(&bundle).succeeds(), "honest\n/root\n");
    });
}

/// A file system of the image must not be made writable, or anything else, by what lies over its places (CVE-2026-115521 remounted
/// by /proc/self/fd of the container).
#[test]
fn cve_2026_115521_a_readonly_root_is_readonly() {
    scenario(ANYBODY, |case| {
        let script =
            "for d in / /etc /bin /made /dev; do touch $d/x 2>/dev/null && echo LEAK $d; done; touch /tmp/x && echo honest";
        let bundle = case.shell(script);
        bundle.edit(|config| {
            config["root"]["readonly"] = json!(true);
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.push(json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs" }));
            for mount in mounts.iter_mut().filter(|mount| mount["destination"] == "/dev") {
                mount["options"] = json!(["nosuid", "mode=755", "ro"]);
            }
            mounts.push(json!({ "destination": "/made/there", "type": "tmpfs", "source": "tmpfs", "options": ["ro"] }));
        });
        assert_eq!(case.run(&bundle).succeeds(), "honest\n");
    });
}

/// Executables that lead back to the runtime, here by a script's first line and by the dynamic loader's place.
#[test]
fn cve_2019_5736_the_entrypoint_is_the_runtime() {
    scenario(ANYBODY, |case| {
        let binary = own_copy(case);
        let before = std::fs::read(&binary).unwrap();
        let overwrite = "for i in $(seq 200); do for p in /proc/[0-9]*; do (echo overwritten > $p/exe) 2>/dev/null; done; done";
        for entry in ["script", "link", "loader", "direct"] {
            let bundle = case.shell(overwrite);
            bundle.edit(|config| config["root"]["readonly"] = json!(false));
            let path = bundle.rootfs().join("entry");
            match entry {
                "script" => std::fs::write(&path, "#!/proc/self/exe\n").unwrap(),
                "link" => std::os::unix::fs::symlink("/proc/self/exe", &path).unwrap(),
                "loader" => std::fs::write(&path, with_loader("/proc/self/exe")).unwrap(),
                _ => {}
            }
            if entry != "direct" && entry != "link" {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
            bundle.args(&[if entry == "direct" { "/proc/self/exe" } else { "/entry" }, "--version"]);
            let call = case.program(&binary).arg("--root").arg(case.root()).args(["run", "--bundle"]);
            call.arg(bundle.path()).arg(case.id()).run();
            assert!(std::fs::read(&binary).unwrap() == before, "{entry}: the runtime's program was overwritten");
        }
        let honest = case.program(&binary).arg("--root").arg(case.root()).args(["run", "--bundle"]);
        assert_eq!(honest.arg(case.shell("echo honest").path()).arg(case.id()).run().succeeds(), "honest\n");
    });
}

/// The runtime's program where the container's user may write it: a test that it is not reached, not that it is root's.
pub fn own_copy(case: &Case) -> std::path::PathBuf {
    let copy = case.path("the-runtime");
    std::fs::copy(case.binary(), &copy).unwrap();
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o777)).unwrap();
    copy
}

/// The smallest dynamic program: an ELF header, PT_INTERP and PT_LOAD.
fn with_loader(loader: &str) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    let (header, program) = (64_u64, 56_u64);
    let place = header + 2 * program;
    let size = place + loader.len() as u64 + 1;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend([2_u16, 62].iter().flat_map(|half| half.to_le_bytes()));
    file.extend(1_u32.to_le_bytes());
    file.extend([BASE + place, header, 0].iter().flat_map(|word| word.to_le_bytes()));
    file.extend(0_u32.to_le_bytes());
    file.extend([64_u16, 56, 2, 64, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    for (kind, offset, length) in [(3_u32, place, loader.len() as u64 + 1), (1, 0, size)] {
        file.extend(kind.to_le_bytes());
        file.extend(5_u32.to_le_bytes());
        file.extend([offset, BASE + offset, BASE + offset, length, length, 0x1000].iter().flat_map(|word| word.to_le_bytes()));
    }
    file.extend(loader.as_bytes());
    file.push(0);
    file
}

/// Nodes that the image brings, or that a process makes, open no device of the host's: the device program decides, whatever the
/// configuration says of devices.
#[test]
fn device_nodes_of_the_image_open_nothing() {
    const DISK: (u32, u32) = (7, 0);
    scenario(ROOT, |case| {
        if !Path::new("/sys/dev/block/7:0").exists() {
            case.skip("this kernel has no loop device to try");
        }
        for rules in [json!(null), json!([]), json!([{ "allow": false, "access": "rwm" }])] {
            let make = "mknod /made b 7 0 && mknod /dev/made b 7 0";
            let bundle = case.shell(&format!(
                "{make}; for n in /disk /made /dev/made; do (: < $n) && echo LEAK $n; done; head -c 1 /zero | wc -c"
            ));
            bundle.edit(|config| {
                config["root"]["readonly"] = json!(false);
                config["linux"]["resources"] = json!({ "devices": rules });
                for set in ["bounding", "effective", "permitted"] {
                    config["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_MKNOD"));
                }
            });
            for (name, kind, (major, minor)) in
                [("disk", rustix::fs::FileType::BlockDevice, DISK), ("zero", rustix::fs::FileType::CharacterDevice, (1, 5))]
            {
                let (path, mode) = (bundle.rootfs().join(name), rustix::fs::Mode::from_raw_mode(0o666));
                rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, rustix::fs::makedev(major, minor)).unwrap();
            }
            let seen = case.run(&bundle);
            assert_eq!(seen.stdout, "1\n", "{rules}: {seen}");
            assert_eq!(seen.stderr.matches("Operation not permitted").count(), 3, "{seen}");
        }
    });
}
