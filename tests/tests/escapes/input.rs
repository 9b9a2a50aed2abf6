//! Hostile values in configurations.

use crate::canary::Canary;
use std::time::Duration;
use wolffia_tests::{ANYBODY, json, scenario};

/// "cr8escape": CRI-O handed a value with `+` to a program that took it for two; and CVE-2022-0532, the host's own parameters.
#[test]
fn cve_2022_0811_a_sysctl_is_one_value_of_the_container() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        for (key, value) in [
            ("kernel.shm_rmid_forced", "1+fs.aio-max-nr=65536"),
            ("kernel.shm_rmid_forced", "1\nfs.aio-max-nr=65536"),
            ("fs.aio-max-nr", "65536"),
            ("fs/aio-max-nr", "65536"),
            ("net.ipv4.ip_forward/../../../fs/aio-max-nr", "65536"),
            ("net/../fs/aio-max-nr", "65536"),
            ("net.../fs.aio-max-nr", "65536"),
            ("../sys/fs/aio-max-nr", "65536"),
            ("kernel.shm_rmid_forced\0", "1"),
            ("", "1"),
        ] {
            let outcome = case.run_shell("echo started", |config| config["linux"]["sysctl"] = json!({ key: value }));
            canary.survived(&outcome);
            assert!(!outcome.status.success() && outcome.stdout.is_empty(), "{key:?}: {outcome}");
        }
        let without = |kind: &str, key: &str| {
            let outcome = case.run_shell("echo started", |config| {
                config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != kind);
                config["mounts"]
                    .as_array_mut()
                    .unwrap()
                    .retain(|mount| !matches!(mount["type"].as_str(), Some("sysfs" | "mqueue")));
                config["linux"]["sysctl"] = json!({ key: "1" });
            });
            canary.survived(&outcome);
            assert!(!outcome.status.success() && outcome.stdout.is_empty(), "{key}: {outcome}");
        };
        without("ipc", "kernel.shm_rmid_forced");
        without("network", "net.ipv4.ip_forward");
        let honest = case.run_shell("cat /proc/sys/kernel/shm_rmid_forced", |config| {
            config["linux"]["sysctl"] = json!({ "kernel.shm_rmid_forced": "1" });
        });
        assert_eq!(honest.succeeds(), "1\n");
        canary.is_unharmed();
    });
}

/// Also GO's "potentially unsafe" annotations and Podman's CVE-2026-94603: what a bundle brings as annotations weakens nothing.
#[test]
fn cve_2024_3154_annotations_weaken_nothing() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        let script = "cut -d' ' -f5,6 /proc/self/mountinfo | sort; grep -E '^(Cap|NoNew|Seccomp|Uid)' /proc/self/status; readlink /proc/self/ns/* |
            grep -v -F -f /none; ls /proc/self/fd";
        let script = script.replace("readlink /proc/self/ns/* |\n            grep -v -F -f /none; ", "");
        let plain = case.run_shell(&script, |_| {}).succeeds();
        let annotated = case.run_shell(&script, |config| {
            let touch = format!("['touch', '{}/new']", canary.text());
            config["annotations"] = json!({
                "org.systemd.property.ExecStartPre": touch,
                "org.systemd.property.DeviceAllow": "[('/dev/mem', 'rwm')]",
                "run.oci.hooks.stdout": canary.path().join("new"),
                "run.oci.delegate-cgroup": "../..",
                "run.oci.mount_context_type": "rootcontext",
                "run.oci.pidfd_receiver": canary.path().join("socket"),
                "run.oci.systemd.force_cgroup_v1": "/sys/fs/cgroup",
                "io.podman.annotations.checkpoint.runtime.name": "crun",
                "io.podman.annotations.privileged": "TRUE",
                "io.podman.annotations.seccomp": "unconfined",
                "io.wolffia.landlock.required": "false",
                "io.wolffia.privileged": "true",
            });
        });
        assert_eq!(annotated.succeeds(), plain);
        canary.is_unharmed();
        // Not carried out, it would leave the container with less than was asked for.
        case.run_shell("echo started", |config| config["annotations"] = json!({ "run.oci.handler": "krun" }))
            .fails(1, "/annotations/run.oci.handler");
        let outcome =
            case.run_shell("echo started", |config| config["annotations"] = json!({ "io.wolffia.root.readonly": "off" }));
        assert!(!outcome.status.success() || outcome.stdout == "started\n", "{outcome}");
    });
}

/// And every other place where a line break would begin a line of the writer's (CVE-2026-15809 was HOME in /etc/passwd).
#[test]
fn cve_2026_15809_control_characters_are_refused_or_mean_nothing() {
    scenario(ANYBODY, |case| {
        let canary = Canary::new(case);
        for name in ["host\nname", "host\u{1b}]0;x\u{7}", &"x".repeat(65)] {
            let outcome = case.run_shell("echo started", |config| config["hostname"] = json!(name));
            assert!(!outcome.status.success() && outcome.stdout.is_empty(), "{outcome}");
            assert!(!outcome.stderr.contains('\u{1b}'), "a terminal would obey: {outcome}");
        }
        let outcome = case.run_shell("true", |config| config["process"]["args"] = json!(["/no\u{1b}[2Jsuch\nprogram"]));
        assert!(!outcome.status.success() && !outcome.stderr.contains('\u{1b}'), "{outcome}");
        let bundle = case.shell("echo started");
        let id = case.id();
        let log = case.path("log");
        bundle.edit(|config| config["process"]["args"] = json!(["/no\"such\nlevel=error msg=forged"]));
        for format in ["text", "json"] {
            std::fs::remove_file(&log).ok();
            let call = case.wolffia().arg("--log").arg(&log).args(["--log-format", format, "run", "--bundle"]);
            call.arg(bundle.path()).arg(&id).run();
            let written = std::fs::read_to_string(&log).unwrap();
            assert!(written.lines().all(|line| !line.starts_with("level=error")), "{written}");
        }
        canary.is_unharmed();
        assert_eq!(case.run_shell("hostname", |config| config["hostname"] = json!("honest")).succeeds(), "honest\n");
    });
}

/// Flatpak: a program's name became an option of the sandbox.
#[test]
fn cve_2024_32462_a_program_is_never_an_option() {
    scenario(ANYBODY, |case| {
        let outcome = case.run_shell("", |config| config["process"]["args"] = json!(["--version"]));
        assert!(!outcome.status.success() && !outcome.stdout.contains("spec:"), "{outcome}");
        let outcome = case.run_shell("", |config| config["process"]["args"] = json!(["echo", "--root=/", "--bundle"]));
        assert_eq!(outcome.succeeds(), "--root=/ --bundle\n");
        for id in ["../x", "a/b", "", ".", "..", "a\nb", "a b", &"x".repeat(1025)] {
            let bundle = case.shell("echo started");
            let outcome = case.call_on("run", &bundle, id).run();
            assert!(!outcome.status.success() && outcome.stdout.is_empty(), "{id:?}: {outcome}");
        }
    });
}

/// containerd's CVE-2026-47262 and CVE-2022-1708: what is read has an end.
#[test]
fn cve_2026_47262_input_without_end_fills_no_memory() {
    scenario(ANYBODY, |case| {
        let bundle = case.shell("echo started");
        std::fs::remove_file(bundle.path().join("config.json")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", bundle.path().join("config.json")).unwrap();
        let call = case.call_on("run", &bundle, &case.id()).by_shell("ulimit -v 1000000; exec \"$@\"");
        let outcome = call.within(Duration::from_secs(30)).run();
        assert!(!outcome.status.success() && outcome.stdout.is_empty(), "{outcome}");
        assert!(!outcome.stderr.contains("memory allocation"), "{outcome}");
        let deep = case.shell("echo started");
        std::fs::write(deep.path().join("config.json"), "[".repeat(1_000_000)).unwrap();
        assert_eq!(case.run(&deep).code(), 1);
        let long = case.run_shell("echo ${#LONG}", |config| {
            config["process"]["env"].as_array_mut().unwrap().push(json!(format!("LONG={}", "x".repeat(100_000))));
        });
        assert_eq!(long.succeeds(), "100000\n");
    });
}
