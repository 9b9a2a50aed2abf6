//! Ids, groups and capabilities.

use std::time::Duration;
use wolffia_tests::{ANYBODY, Identity, ROOT, Value, json, scenario, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);
const MANY_IDS: &[Identity] = &[Identity::Root, Identity::User { subordinate: true }];

fn give_capability(config: &mut Value, name: &str) {
    for set in ["bounding", "effective", "permitted"] {
        config["process"]["capabilities"][set].as_array_mut().unwrap().push(json!(name));
    }
}

/// And Podman, Buildah and containerd's CVE-2022-2990, -2995, -36109 and CVE-2023-25173: groups of whoever calls are not the
/// container's, and a file that shuts a group out shuts it out.
#[test]
fn cve_2022_2989_groups_are_the_containers_own() {
    scenario(ANYBODY, |case| {
        let script = "cat /shared/shut 2>/dev/null && echo LEAK; id -G";
        let bundle = case.shell(script);
        if !case.identity.is_root() && case.mappings().is_none() {
            // With a single id setgroups(2) is denied, and the caller has no groups to lose.
            assert_eq!(case.run(&bundle).succeeds(), "0\n");
            return;
        }
        bundle.file("shared/shut", "LEAK\n");
        if case.identity.is_root() {
            std::os::unix::fs::chown(bundle.rootfs().join("shared/shut"), Some(0), Some(1001)).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o604);
            std::fs::set_permissions(bundle.rootfs().join("shared/shut"), mode).unwrap();
        } else {
            std::fs::remove_file(bundle.rootfs().join("shared/shut")).unwrap();
        }
        bundle.edit(|config| config["process"]["user"] = json!({ "uid": 1000, "gid": 1001, "additionalGids": [1002] }));
        let call = case.call_on("run", &bundle, &case.id());
        let outcome = match case.identity.is_root() {
            true => call.by_shell("exec setpriv --groups 4242,4243 -- \"$@\"").run(),
            false => call.run(),
        };
        assert_eq!(outcome.succeeds(), "1001 1002\n");
    });
}

/// A file may be open to everybody but a group. Who is in the group stays in it: where setgroups(2) is denied nobody can leave one,
/// and where it is allowed the process is in the groups that were asked for.
#[test]
fn negative_group_permissions_hold() {
    scenario(MANY_IDS, |case| {
        let script = "cd /dev/shm; echo secret > file; chgrp 1001 file; chmod 604 file; echo ready; exec sleep 300";
        let bundle = case.shell(script);
        bundle.edit(|config| give_capability(config, "CAP_CHOWN"));
        let (id, container) = case.running(&bundle);
        assert!(wait_until(PATIENCE, || container.stdout().contains("ready")), "{}", container.stdout());
        let read = |flags: &[&str]| case.wolffia().arg("exec").args(flags).args([&id, "cat", "/dev/shm/file"]).run();
        assert_eq!(read(&["--user", "1000:1002"]).succeeds(), "secret\n");
        for shut_out in [&["--user", "1000:1001"][..], &["--user", "1000:1002", "-g", "1001"]] {
            assert_eq!(read(shut_out).stdout, "", "{shut_out:?}");
        }
        case.wolffia().args(["kill", &id, "KILL"]).run().succeeds();
        container.wait(PATIENCE);
    });
}

/// The same on the host's files, for a user whose group was given to him to shut him out.
#[test]
fn a_sandbox_is_no_way_out_of_a_group() {
    scenario(ROOT, |case| {
        let (user, group) = (64_210, 4242);
        let (home, shown) = (case.directory("home"), case.directory("shown"));
        std::os::unix::fs::chown(&home, Some(user), Some(user)).unwrap();
        let file = shown.join("file");
        std::fs::write(&file, "secret\n").unwrap();
        std::os::unix::fs::chown(&file, None, Some(group)).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o604)).unwrap();
        let read = |groups: &str| {
            let call = case.program(case.binary()).args(["sandbox", "--ro"]).arg(&shown).args(["--", "cat"]).arg(&file);
            let become_user = format!("exec setpriv --reuid {user} --regid {user} --inh-caps=-all {groups} -- \"$@\"");
            call.env("XDG_RUNTIME_DIR", &home).by_shell(&become_user).run()
        };
        assert_eq!(read("--clear-groups").succeeds(), "secret\n");
        let shut_out = read(&format!("--groups {group}"));
        assert!(shut_out.stdout.is_empty() && shut_out.stderr.contains("Permission denied"), "{shut_out}");
    });
}

/// Above 2^31 containerd's arithmetic came out at root.
#[test]
fn cve_2024_40635_ids_are_in_range() {
    scenario(ANYBODY, |case| {
        for id in
            [json!(4_294_967_295_u32), json!(4_294_967_296_u64), json!(-1), json!("0"), json!(1.5), json!(2_147_483_648_u64)]
        {
            for user in [
                json!({ "uid": id, "gid": 0 }),
                json!({ "uid": 0, "gid": id }),
                json!({ "uid": 0, "gid": 0, "additionalGids": [id] }),
            ] {
                let outcome = case.run_shell("id -u; id -G", |config| config["process"]["user"] = user.clone());
                // 2^31 is a user like others, for who has it.
                let fits = case.identity.is_root() && id == json!(2_147_483_648_u64);
                let honest = outcome.stdout.contains("2147483648");
                assert!(if fits { honest } else { !outcome.status.success() && outcome.stdout.is_empty() }, "{user}: {outcome}");
            }
        }
        assert_eq!(case.run_shell("id -u", |_| {}).succeeds(), "0\n");
    });
}

/// youki #3554: a configuration without capabilities asks for none.
#[test]
fn youki_3554_no_capabilities_means_none() {
    scenario(ANYBODY, |case| {
        let status = case.run_shell("grep ^Cap /proc/self/status", |config| {
            config["process"].as_object_mut().unwrap().remove("capabilities");
        });
        let status = status.succeeds();
        assert!(status.lines().count() == 5 && status.lines().all(|line| line.ends_with("\t0000000000000000")), "{status}");
        let honest = case.run_shell("grep ^CapEff /proc/self/status", |_| {}).succeeds();
        assert!(!honest.contains("\t0000000000000000"), "{honest}");
    });
}

/// More lines than the kernel takes once overflowed a length that runc sent to its own first stage.
#[test]
fn cve_2021_43784_long_maps_are_not_cut() {
    scenario(ROOT, |case| {
        for count in [341_u32, 5_000] {
            let lines: Vec<_> = (0..count).map(|n| json!({ "containerID": n, "hostID": 100_000 + 2 * n, "size": 1 })).collect();
            let outcome = case.run_shell("cat /proc/self/uid_map", |config| {
                config["linux"]["uidMappings"] = json!(lines);
                config["linux"]["gidMappings"] = json!(lines);
                config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
            });
            assert!(!outcome.status.success() && outcome.stdout.is_empty(), "{outcome}");
        }
        let lines: Vec<_> = (0..300_u32).map(|n| json!({ "containerID": n, "hostID": 100_000 + 2 * n, "size": 1 })).collect();
        let bundle = case.shell("wc -l < /proc/self/uid_map");
        bundle.edit(|config| {
            config["linux"]["uidMappings"] = json!(lines);
            config["linux"]["gidMappings"] = json!(lines);
            config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
            config["process"]["user"] = json!({ "uid": 0, "gid": 0 });
        });
        assert_eq!(case.run(&bundle).succeeds(), "300\n");
    });
}
