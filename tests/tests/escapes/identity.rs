//! Ids, groups and capabilities.

use wolffia_tests::{ANYBODY, ROOT, json, scenario};

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
