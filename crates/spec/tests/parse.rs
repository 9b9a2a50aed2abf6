//! What `Config::parse` accepts beyond `oci-spec`, and how it refuses.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use wolffia_spec::oci::{LinuxSchedulerFlag, Spec};
use wolffia_spec::{Config, ConfigError, ProcessConfig, UnknownCapability};

fn minimal() -> Value {
    json!({
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs"},
        "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["true"]},
        "linux": {"namespaces": [{"type": "mount"}]},
    })
}

/// The minimal configuration with `value` at `pointer`, whose parent must exist.
fn with(pointer: &str, value: Value) -> Value {
    let mut document = minimal();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(key.to_owned(), value);
    document
}

fn parse(document: &Value) -> Config {
    Config::parse(document.to_string().as_bytes()).unwrap()
}

fn refusal(document: &Value) -> ConfigError {
    Config::parse(document.to_string().as_bytes()).unwrap_err()
}

#[test]
fn the_plain_case_is_what_oci_spec_reads() {
    let document = minimal();
    let config = parse(&document);
    assert_eq!(config, Config::from(Box::new(serde_json::from_value::<Spec>(document).unwrap())));
    assert!(config.extra.unknown_capabilities.is_empty());
}

#[test]
fn unknown_capabilities_are_set_aside_and_the_others_kept() {
    let config =
        parse(&with("/process/capabilities", json!({"bounding": ["CAP_KILL", "CAP_MOON", "CAP_CHOWN"], "ambient": ["CAP_SUN"]})));
    let sets = config.spec.process().as_ref().unwrap().capabilities().as_ref().unwrap();
    assert_eq!(sets.bounding().as_ref().unwrap().len(), 2);
    assert_eq!(sets.ambient().as_ref().unwrap().len(), 0);
    let unknown = |field: &str, name: &str| UnknownCapability { field: field.into(), name: name.into() };
    let mut found = config.extra.unknown_capabilities;
    found.sort_by(|a, b| a.field.cmp(&b.field));
    assert_eq!(
        found,
        [unknown("/process/capabilities/ambient/0", "CAP_SUN"), unknown("/process/capabilities/bounding/1", "CAP_MOON")]
    );
}

#[test]
fn scheduler_flags_are_read_as_the_specification_spells_them() {
    let names = [
        "SCHED_FLAG_RESET_ON_FORK",
        "SCHED_FLAG_RECLAIM",
        "SCHED_FLAG_DL_OVERRUN",
        "SCHED_FLAG_KEEP_POLICY",
        "SCHED_FLAG_KEEP_PARAMS",
        "SCHED_FLAG_UTIL_CLAMP_MIN",
        "SCHED_FLAG_UTIL_CLAMP_MAX",
    ];
    let config = parse(&with("/process/scheduler", json!({"policy": "SCHED_DEADLINE", "flags": names})));
    use LinuxSchedulerFlag::*;
    let expected = [
        SchedResetOnFork,
        SchedFlagReclaim,
        SchedFlagDLOverrun,
        SchedFlagKeepPolicy,
        SchedFlagKeepParams,
        SchedFlagUtilClampMin,
        SchedFlagUtilClampMax,
    ];
    assert_eq!(config.spec.process().as_ref().unwrap().scheduler().as_ref().unwrap().flags().as_deref().unwrap(), expected);
}

#[test]
fn a_pids_limit_of_zero_is_a_limit_and_an_absent_one_is_none() {
    let limit = |pids: Value| {
        let config = parse(&with("/linux/resources", json!({"pids": pids})));
        config.spec.linux().as_ref().unwrap().resources().as_ref().unwrap().pids().map(|pids| pids.limit())
    };
    assert_eq!(limit(json!({"limit": 0})), Some(0));
    assert_eq!(limit(json!({"limit": 7})), Some(7));
    assert_eq!(limit(json!({})), None);
    assert_eq!(limit(json!({"limit": null})), None);
}

#[test]
fn hugepage_limits_above_i64_are_the_kernels_maximum() {
    let config = parse(&with("/linux/resources", json!({"hugepageLimits": [{"pageSize": "2MB", "limit": u64::MAX}]})));
    let resources = config.spec.linux().as_ref().unwrap().resources().clone().unwrap();
    assert_eq!(resources.hugepage_limits().as_ref().unwrap()[0].limit(), i64::MAX);
}

#[test]
fn empty_texts_are_absent() {
    let config = parse(&with("/linux/namespaces", json!([{"type": "mount", "path": ""}])));
    assert_eq!(config.spec.linux().as_ref().unwrap().namespaces().as_ref().unwrap()[0].path(), &None);
    let config = parse(&with("/process/execCPUAffinity", json!({"initial": "", "final": "0-1"})));
    let affinity = config.spec.process().as_ref().unwrap().exec_cpu_affinity().clone().unwrap();
    assert_eq!((affinity.initial().as_deref(), affinity.cpu_affinity_final().as_deref()), (None, Some("0-1")));
    assert_eq!(parse(&with("/hostname", json!(""))).spec.hostname(), &None);
    let config = parse(&with("/process/apparmorProfile", json!("")));
    assert_eq!(config.spec.process().as_ref().unwrap().apparmor_profile(), &None);
}

#[test]
fn a_null_is_an_absent_property() {
    let config = parse(&with("/root/path", Value::Null));
    assert_eq!(config.spec.root().as_ref().unwrap().path().as_os_str(), "");
    assert_eq!(parse(&with("/process/user", Value::Null)).spec.process().as_ref().unwrap().user().uid(), 0);
}

#[test]
fn unknown_properties_and_other_platforms_are_ignored() {
    assert_eq!(parse(&with("/org.example.moon", json!({"phase": 1}))), parse(&minimal()));
    assert_eq!(parse(&with("/linux/moon", json!([1]))), parse(&minimal()));
    assert_eq!(parse(&with("/windows", json!({"layerFolders": 7}))), parse(&minimal()));
    assert_eq!(parse(&with("/freebsd", json!({"jail": 7}))), parse(&minimal()));
}

#[test]
fn a_refusal_names_the_property() {
    for (pointer, value, field) in [
        ("/linux/namespaces", json!([{"type": "mount"}, {"type": "moon"}]), "/linux/namespaces/1/type"),
        ("/process/rlimits", json!([{"type": "RLIMIT_MOON", "soft": 1, "hard": 1}]), "/process/rlimits/0/type"),
        ("/process/user/uid", json!(-1), "/process/user/uid"),
        ("/process/user/uid", json!(4_294_967_296_u64), "/process/user/uid"),
        ("/process/args", json!("true"), "/process/args"),
        ("/process/scheduler", json!({"policy": "SCHED_OTHER", "flags": ["MOON"]}), "/process/scheduler/flags/0"),
        ("/process/capabilities", json!({"bounding": [7]}), "/process/capabilities/bounding/0"),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_MOON"}), "/linux/memoryPolicy/mode"),
        ("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_MOON"}), "/linux/seccomp/defaultAction"),
        ("/mounts", json!([{"type": "tmpfs"}]), "/mounts/0"),
        ("/annotations", json!({"a/b": 1}), "/annotations/a~1b"),
        ("/process", json!({"args": ["true"]}), "/process"),
    ] {
        let refusal = refusal(&with(pointer, value.clone()));
        assert_eq!(refusal.field, field, "{value}: {refusal}");
        assert!(!refusal.to_string().contains(" at line "), "{refusal}");
    }
    let text = refusal(&with("/process/user/uid", json!("root"))).to_string();
    assert_eq!(text, "/process/user/uid: invalid type: string \"root\" (expected u32)");
}

#[test]
fn no_json_is_refused_with_its_place() {
    let refusal = Config::parse(b"{\n\t\"root\": {\"path\": rootfs}\n}").unwrap_err();
    assert_eq!(refusal.field, "/root/path");
    assert_eq!(refusal.reason, "no valid JSON: expected value at line 2 column 19");
    assert!(Config::parse(b"").is_err());
    assert!(Config::parse(&[b'['; 100_000]).is_err());
    assert!(Config::parse(b"\"\xff\"").is_err());
}

/// Whatever is broken where: a refusal, never a panic, and never the text of another place.
#[test]
fn every_broken_document_is_refused_in_its_own_words() {
    let document = with("/process/scheduler", json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_DL_OVERRUN"]})).to_string();
    for end in 0..document.len() {
        let refusal = Config::parse(&document.as_bytes()[..end]).unwrap_err();
        assert!(refusal.reason.starts_with("no valid JSON: "), "{end}: {refusal}");
    }
    for place in 0..document.len() {
        for byte in [b'"', b'\\', b'{', b']', b',', b'7', 0, 0xff] {
            let mut broken = document.clone().into_bytes();
            broken[place] = byte;
            if let Err(refusal) = Config::parse(&broken) {
                assert!(refusal.field.is_empty() || refusal.field.starts_with('/'), "{refusal}");
                assert!(!refusal.reason.is_empty());
            }
        }
    }
}

#[test]
fn a_process_is_mended_as_a_configuration_is() {
    let document = json!({"cwd": "/", "args": ["true"], "capabilities": {"effective": ["CAP_MOON"]}, "selinuxLabel": ""});
    let config = ProcessConfig::parse(document.to_string().as_bytes()).unwrap();
    assert_eq!(config.extra.unknown_capabilities[0].field, "/capabilities/effective/0");
    assert_eq!(config.process.user().uid(), 0);
    assert_eq!(config.process.selinux_label(), &None);
    let refusal = ProcessConfig::parse(br#"{"user": {}, "cwd": 1}"#).unwrap_err();
    assert_eq!(refusal.field, "/cwd");
}
