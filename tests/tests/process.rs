//! What a configuration says about the process, and kernel parameters.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::os::unix::fs::MetadataExt;
use wolffia_tests::{ANYBODY, Call, Case, Identity, Outcome, ROOT, ROOTLESS, USER, Value, json, scenario};

const MANY_IDS: &[Identity] = &[Identity::Root, Identity::User { subordinate: true }];

fn process(case: &Case, script: &str, key: &str, value: Value) -> Outcome {
    case.run_shell(script, |config| config["process"][key] = value)
}

#[test]
fn environment_and_directory() {
    scenario(ANYBODY, |case| {
        let out = case.run_shell("pwd; env | sort", |config| {
            config["process"]["cwd"] = json!("/var/tmp");
            config["process"]["env"] = json!(["PATH=/bin", "A=b=c", "EMPTY="]);
        });
        let out = out.succeeds();
        assert!(out.starts_with("/var/tmp\n") && out.contains("A=b=c\n") && out.contains("EMPTY=\n"), "{out}");
        assert!(!out.contains("XDG_RUNTIME_DIR") && !out.contains("WOLFFIA") && !out.contains("CARGO"), "{out}");
    });
}

#[test]
fn a_working_directory_that_is_missing_is_made() {
    scenario(ANYBODY, |case| {
        let edit = |config: &mut Value| config["process"]["cwd"] = json!("/not/there/yet");
        assert_eq!(case.run_shell("pwd", edit).succeeds(), "/not/there/yet\n");
    });
}

#[test]
fn user_groups_and_umask() {
    scenario(MANY_IDS, |case| {
        let user = json!({ "uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 0o027 });
        let out = process(case, "id -u; id -g; id -G; umask; touch /dev/shm/x; stat -c '%a %u:%g' /dev/shm/x", "user", user);
        assert_eq!(out.succeeds(), "1000\n1001\n1001 5 6\n0027\n640 1000:1001\n");
    });
}

/// crun's annotation, which `podman run --group-add keep-groups` gives.
#[test]
fn the_callers_groups_may_be_kept() {
    scenario(ROOT, |case| {
        let bundle = case.shell("id -G");
        bundle.edit(|config| config["annotations"] = json!({ "run.oci.keep_original_groups": "1" }));
        let with_groups = |call: Call| call.by_shell("exec setpriv --groups 7,8 \"$@\"").run().succeeds();
        let id = case.id();
        assert_eq!(with_groups(case.call_on("run", &bundle, &id)), "0 7 8\n");
        bundle.args(&["sleep", "300"]);
        let id = case.started(&bundle);
        assert_eq!(with_groups(case.wolffia().args(["exec", &id, "id", "-G"])), "0 7 8\n");
        bundle.edit(|config| config["annotations"] = json!({}));
        bundle.args(&["id", "-G"]);
        assert_eq!(with_groups(case.call_on("run", &bundle, &case.id())), "0\n");
    });
}

#[test]
fn who_keeps_the_callers_groups_gets_no_others() {
    scenario(&[Identity::User { subordinate: true }], |case| {
        let bundle = case.shell("id -G");
        bundle.edit(|config| config["process"]["user"]["additionalGids"] = json!([5]));
        assert_eq!(case.run(&bundle).succeeds(), "0 5\n");
        bundle.edit(|config| config["annotations"] = json!({ "run.oci.keep_original_groups": "1" }));
        assert_eq!(case.run(&bundle).succeeds(), "0\n", "who runs the test has no other groups");
    });
}

#[test]
fn further_groups_take_more_than_one_id() {
    scenario(USER, |case| {
        let user = json!({ "uid": 0, "gid": 0, "additionalGids": [5] });
        process(case, "id", "user", user).fails(1, "cannot set any additional groups in a rootless container");
        process(case, "id", "user", json!({ "uid": 5, "gid": 0 })).fails(1, "5");
    });
}

#[test]
fn limits() {
    scenario(ANYBODY, |case| {
        let limits =
            json!([{ "type": "RLIMIT_NOFILE", "soft": 70, "hard": 90 }, { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 }]);
        assert_eq!(process(case, "ulimit -Sn; ulimit -Hn; ulimit -Hc", "rlimits", limits).succeeds(), "70\n90\n0\n");
        let twice =
            json!([{ "type": "RLIMIT_NOFILE", "soft": 70, "hard": 90 }, { "type": "RLIMIT_NOFILE", "soft": 1, "hard": 1 }]);
        process(case, "true", "rlimits", twice).fails(1, "RLIMIT_NOFILE");
        process(case, "true", "rlimits", json!([{ "type": "RLIMIT_NOFILE", "soft": 9, "hard": 8 }])).fails(1, "limit");
    });
}

#[test]
fn five_sets_of_capabilities() {
    scenario(ANYBODY, |case| {
        let sets = json!({
            "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"], "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
            "effective": ["CAP_CHOWN"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"],
        });
        let out = process(case, "grep Cap /proc/self/status | cut -f2", "capabilities", sets).succeeds();
        let bits: Vec<u64> = out.lines().map(|line| u64::from_str_radix(line, 16).unwrap()).collect();
        let (chown, kill, raw) = (1 << 0, 1 << 5, 1 << 13);
        // Inheritable, permitted, effective, bounding, ambient. At exec root gets what inheritable and bounding hold together.
        assert_eq!((bits[0], bits[1], bits[3]), (kill, chown | kill | raw, chown | kill | raw), "{out}");
        assert!(bits[4] & !kill == 0, "{out}");
    });
}

#[test]
fn capabilities_of_a_user_that_is_not_root() {
    scenario(MANY_IDS, |case| {
        let out = case.run_shell("grep Cap /proc/self/status | cut -f2", |config| {
            config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
            let kill = json!(["CAP_KILL"]);
            config["process"]["capabilities"] =
                json!({ "bounding": ["CAP_KILL", "CAP_CHOWN"], "permitted": kill, "effective": kill, "inheritable": kill, "ambient": kill });
        });
        let kill = "0000000000000020\n";
        assert_eq!(out.succeeds(), format!("{kill}{kill}{kill}0000000000000021\n{kill}"));
    });
}

/// The bounding set of the caller is not what a configuration without capabilities means.
#[test]
fn without_capabilities_there_are_none() {
    scenario(ANYBODY, |case| {
        let remove = |config: &mut Value| drop(config["process"].as_object_mut().unwrap().remove("capabilities"));
        let out = case.run_shell("grep Cap /proc/self/status | cut -f2 | sort -u", remove);
        assert_eq!(out.succeeds(), "0000000000000000\n");
    });
}

#[test]
fn no_new_privileges() {
    scenario(ANYBODY, |case| {
        for (value, text) in [(true, "1\n"), (false, "0\n")] {
            assert_eq!(
                process(case, "grep NoNewPrivs /proc/self/status | cut -f2", "noNewPrivileges", json!(value)).succeeds(),
                text
            );
        }
    });
}

#[test]
fn badness_and_priorities() {
    scenario(ANYBODY, |case| {
        assert_eq!(process(case, "cat /proc/self/oom_score_adj", "oomScoreAdj", json!(700)).succeeds(), "700\n");
        // Fields 19 (nice) and 41 (policy) of proc_pid_stat(5).
        let scheduler = json!({ "policy": "SCHED_BATCH", "nice": 7 });
        assert_eq!(process(case, "cut -d' ' -f19,41 /proc/self/stat", "scheduler", scheduler).succeeds(), "7 3\n");
        let io = json!({ "class": "IOPRIO_CLASS_BE", "priority": 5 });
        assert_eq!(process(case, "ionice -p $$", "ioPriority", io).succeeds(), "best-effort: prio 5\n");
    });
}

#[test]
fn the_execution_domain() {
    scenario(ANYBODY, |case| {
        let edit = |config: &mut Value| config["linux"]["personality"] = json!({ "domain": "LINUX32" });
        assert_eq!(case.run_shell("uname -m", edit).succeeds(), "i686\n");
    });
}

#[test]
fn names_of_the_host() {
    scenario(ANYBODY, |case| {
        let out = case.run_shell("hostname; cat /proc/sys/kernel/domainname", |config| {
            config["hostname"] = json!("pond");
            config["domainname"] = json!("example.org");
        });
        assert_eq!(out.succeeds(), "pond\nexample.org\n");
    });
}

#[test]
fn namespaced_kernel_parameters_are_set() {
    scenario(ANYBODY, |case| {
        let before = std::fs::read_to_string("/proc/sys/kernel/shm_rmid_forced").unwrap();
        let out = case.run_shell("cat /proc/sys/kernel/shm_rmid_forced /proc/sys/fs/mqueue/msg_max", |config| {
            config["linux"]["sysctl"] = json!({ "kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "11" });
        });
        assert_eq!(out.succeeds(), "1\n11\n");
        assert_eq!(std::fs::read_to_string("/proc/sys/kernel/shm_rmid_forced").unwrap(), before);
    });
}

#[test]
fn network_parameters_need_a_network_namespace() {
    scenario(ANYBODY, |case| {
        let run = |script: &str, own: bool| {
            case.run_shell(script, |config| {
                config["linux"]["sysctl"] = json!({ "net.ipv4.ip_default_ttl": "77" });
                let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
                namespaces.retain(|one| one["type"] != "network");
                if own {
                    namespaces.push(json!({ "type": "network" }));
                }
                // A new sysfs belongs to the owner of the network namespace.
                config["mounts"]
                    .as_array_mut()
                    .unwrap()
                    .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/sys"));
            })
        };
        run("true", false).fails(1, "net.ipv4.ip_default_ttl");
        assert_eq!(run("cat /proc/sys/net/ipv4/ip_default_ttl", true).succeeds(), "77\n");
    });
}

/// CVE-2022-0811: a value that carried a second parameter set the host's core_pattern.
#[test]
fn parameters_of_the_host_and_smuggled_ones_are_refused() {
    scenario(ANYBODY, |case| {
        let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
        for (key, value) in [
            ("kernel.shm_rmid_forced", "1+kernel.core_pattern=|/x"),
            ("kernel.shm_rmid_forced", "1\nkernel.core_pattern=|/x"),
            ("kernel.shm_rmid_forced", "1\0"),
            ("kernel.core_pattern", "|/x"),
            ("kernel/core_pattern", "|/x"),
            ("kernel.shm_rmid_forced/../core_pattern", "|/x"),
            ("net/../kernel/core_pattern", "|/x"),
            ("net.ipv4...core_pattern", "|/x"),
            ("vm.overcommit_memory", "1"),
            ("kernel.domainname", "x\ny"),
            ("", "1"),
        ] {
            let outcome = case.run_shell("true", |config| config["linux"]["sysctl"] = json!({ key: value }));
            assert!(outcome.code() == 1 && outcome.stderr.contains("sysctl"), "{key:?}={value:?}: {outcome}");
        }
        assert_eq!(std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), pattern);
    });
}

#[test]
fn fields_that_are_not_supported_or_wrong_are_refused_by_name() {
    scenario(ANYBODY, |case| {
        let refused = |words: &str, edit: &dyn Fn(&mut Value)| {
            let outcome = case.run_shell("true", |config| edit(config));
            assert!(outcome.code() == 1 && outcome.stderr.contains(words), "{words}: {outcome}");
        };
        refused("apparmor", &|config| config["process"]["apparmorProfile"] = json!("profile"));
        refused("selinux", &|config| config["process"]["selinuxLabel"] = json!("a:b:c"));
        refused("intelRdt", &|config| config["linux"]["intelRdt"] = json!({ "l3CacheSchema": "L3:0=f" }));
        refused("args", &|config| config["process"]["args"] = json!([]));
        refused("Cwd must be an absolute path", &|config| config["process"]["cwd"] = json!("relative"));
        refused("/nosuchroot", &|config| config["root"]["path"] = json!("/nosuchroot"));
        refused("ociVersion", &|config| config["ociVersion"] = json!("2.0.0"));
    });
}

#[test]
fn root_in_a_user_namespace_is_the_user_on_the_host() {
    scenario(ROOTLESS, |case| {
        let shared = case.directory("shared");
        let bundle = case.shell("id -u; touch /shared/file");
        bundle.mount(json!({ "destination": "/shared", "source": shared, "options": ["bind"] }));
        assert_eq!(case.run(&bundle).succeeds(), "0\n");
        assert_eq!(shared.join("file").metadata().unwrap().uid(), case.own_id());
    });
}
