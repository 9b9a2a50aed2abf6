//! What is read, what is refused, and where the refusal points.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may panic

use serde_json::{Value, json};
use wolffia_seccomp::{Action, Arch, Filter, Problem, Profile, Warning, compile};

fn refused(document: Value) -> (String, Problem) {
    let error = Profile::from_value(&document).expect_err("should be refused");
    (error.pointer, error.problem)
}

fn rule(rule: Value) -> Value {
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_KILL" }, rule] })
}

#[test]
fn refusals_point_at_the_culprit() {
    use Problem::*;
    let with = |key: &str, value: Value| {
        let mut document = json!({ "defaultAction": "SCMP_ACT_ERRNO" });
        document[key] = value;
        document
    };
    let arg = |arg: Value| rule(json!({ "names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [arg] }));
    let cases = [
        (json!({}), "/defaultAction", Missing),
        (json!([]), "", Expected("an object")),
        (with("defaultAction", json!("SCMP_ACT_MAYBE")), "/defaultAction", UnknownAction("SCMP_ACT_MAYBE".into())),
        (with("defaultAction", json!("SCMP_ACT_NOTIFY")), "/defaultAction", NotifyByDefault),
        (with("defaultErrnoRet", json!(4096)), "/defaultErrnoRet", ErrnoTooLarge(4096)),
        (with("defaultErrnoRet", json!(-1)), "/defaultErrnoRet", Expected("an unsigned 64-bit number")),
        (with("architectures", json!(["SCMP_ARCH_X86", "X86"])), "/architectures/1", UnknownArch("X86".into())),
        (with("flags", json!(["SECCOMP_FILTER_FLAG_NO"])), "/flags/0", UnknownFlag("SECCOMP_FILTER_FLAG_NO".into())),
        (with("flags", json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"])), "/flags", KillableWithoutNotify),
        (with("listenerMetadata", json!("x")), "/listenerMetadata", MetadataWithoutListener),
        (with("archMap", json!([])), "", Template),
        (rule(json!({ "names": [], "action": "SCMP_ACT_LOG" })), "/syscalls/1/names", NoNames),
        (rule(json!({ "names": ["read", ""], "action": "SCMP_ACT_LOG" })), "/syscalls/1/names/1", EmptyName),
        (rule(json!({ "action": "SCMP_ACT_LOG" })), "/syscalls/1/names", Missing),
        (rule(json!({ "names": ["read", 7], "action": "SCMP_ACT_LOG" })), "/syscalls/1/names/1", Expected("a string")),
        (
            rule(json!({ "names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 1 })),
            "/syscalls/1/errnoRet",
            ErrnoWithoutUse("SCMP_ACT_KILL".into()),
        ),
        (rule(json!({ "names": ["a", "write"], "action": "SCMP_ACT_NOTIFY" })), "/syscalls/1/names/1", NotifyOnWrite),
        (
            rule(json!({ "names": ["read"], "action": "SCMP_ACT_LOG", "includes": { "caps": ["CAP_BPF"] } })),
            "/syscalls/1/includes",
            Template,
        ),
        (arg(json!({ "index": 6, "value": 0, "op": "SCMP_CMP_EQ" })), "/syscalls/1/args/0/index", ArgumentIndex(6)),
        (arg(json!({ "index": 0, "value": 0, "op": "EQ" })), "/syscalls/1/args/0/op", UnknownOperator("EQ".into())),
        (arg(json!({ "index": 0, "op": "SCMP_CMP_EQ" })), "/syscalls/1/args/0/value", Missing),
    ];
    for (document, pointer, problem) in cases {
        let whole = json!({ "ociVersion": "1.2.0", "linux": { "seccomp": document.clone() } });
        assert_eq!(refused(document.clone()), (pointer.to_string(), problem.clone()), "{document}");
        assert_eq!(refused(whole), (format!("/linux/seccomp{pointer}"), problem));
    }
}

#[test]
fn callers_match_this_text() {
    let error = Profile::from_value(&rule(json!({ "names": ["write"], "action": "SCMP_ACT_NOTIFY" }))).unwrap_err();
    assert!(error.to_string().contains("SCMP_ACT_NOTIFY cannot be used for the write syscall"), "{error}");
}

#[test]
fn a_configuration_without_a_profile_and_text_that_is_none() {
    assert_eq!(refused(json!({ "ociVersion": "1.2.0" })), ("/linux/seccomp".to_string(), Problem::NoSeccomp));
    assert_eq!(refused(json!({ "linux": { "seccomp": null } })), ("/linux/seccomp".to_string(), Problem::NoSeccomp));
    assert!(matches!(Profile::from_slice(b"{").unwrap_err().problem, Problem::NotJson(_)));
}

#[test]
fn unknown_properties_and_nulls_are_ignored() {
    let document = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "comment": "x", "flags": null, "architectures": null, "syscalls": null,
        "defaultErrnoRet": null, "listenerPath": "",
    });
    let profile = Profile::from_value(&document).unwrap();
    assert_eq!(profile.default_action(), Action::Errno(1));
    assert_eq!(profile.listener(), None);
}

#[test]
fn oci_spec_reads_the_same_profiles() {
    for name in ["containers", "denylist", "operators"] {
        let text = std::fs::read(format!("{}/tests/profiles/{name}.json", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let oci: oci_spec::runtime::LinuxSeccomp = serde_json::from_slice(&text).unwrap();
        assert_eq!(Profile::from_oci(&oci).unwrap(), Profile::from_slice(&text).unwrap());
    }
    let oci: oci_spec::runtime::LinuxSeccomp =
        serde_json::from_value(rule(json!({ "names": ["write"], "action": "SCMP_ACT_NOTIFY" }))).unwrap();
    let error = Profile::from_oci(&oci).unwrap_err();
    assert_eq!((error.pointer.as_str(), error.problem), ("/linux/seccomp/syscalls/1/names/0", Problem::NotifyOnWrite));
}

#[test]
fn flags_of_the_filter() {
    let flags = |document: Value| compile(&Profile::from_value(&document).unwrap(), Arch::X86_64).unwrap().filter.flags;
    let with = |flags: Value| json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": flags });
    assert_eq!(flags(with(json!(null))), Filter::SPEC_ALLOW);
    assert_eq!(flags(with(json!([]))), 0);
    assert_eq!(flags(with(json!(["SECCOMP_FILTER_FLAG_TSYNC"]))), 0);
    assert_eq!(flags(with(json!(["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]))), 6);
    let mut notify = rule(json!({ "names": ["chmod"], "action": "SCMP_ACT_NOTIFY" }));
    notify["flags"] = json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]);
    notify["listenerPath"] = json!("/run/agent.sock");
    notify["listenerMetadata"] = json!("container 1");
    let profile = Profile::from_value(&notify).unwrap();
    assert_eq!(profile.listener().and_then(|listener| listener.metadata.as_deref()), Some("container 1"));
    assert_eq!(flags(notify), Filter::NEW_LISTENER | Filter::WAIT_KILLABLE_RECV);
}

#[test]
fn what_has_no_effect_is_said() {
    let profile = Profile::from_value(&json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS"],
        "syscalls": [
            { "names": ["read", "teleport"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["read"], "action": "SCMP_ACT_KILL" },
            { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }] },
            { "names": ["write"], "action": "SCMP_ACT_ERRNO" },
        ],
    }))
    .unwrap();
    let warnings = compile(&profile, Arch::X86_64).unwrap().warnings;
    assert_eq!(
        warnings,
        [
            Warning::UnknownSyscall { rule: 0, name: "teleport".into() },
            Warning::ForeignArch { name: "SCMP_ARCH_AARCH64" },
            Warning::ForeignArch { name: "SCMP_ARCH_MIPS" },
            Warning::NeverDecides { rule: 1, name: "read" },
            Warning::HiddenConditions { rule: 2, name: "socket", carrier: "socketcall" },
        ]
    );
}
