//! The filter of system calls: when it is loaded, and what is recorded of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod common;

use common::{plan, request, root_host};
use serde_json::{Value, json};
use wolffia_plan::{SeccompMoment, SeccompProgram};

fn with_seccomp(process: Value, seccomp: Value) -> Value {
    let mut config = json!({
        "ociVersion": "1.3.0",
        "root": { "path": "rootfs" },
        "process": { "user": { "uid": 0, "gid": 0 }, "args": ["sh"], "cwd": "/" },
        "linux": { "namespaces": [{ "type": "mount" }], "seccomp": seccomp }
    });
    config["process"].as_object_mut().unwrap().extend(process.as_object().unwrap().clone());
    config
}

/// seccomp(2): no_new_privs, or CAP_SYS_ADMIN when it is loaded.
#[test]
fn a_filter_is_loaded_as_late_as_the_kernel_allows() {
    let simple = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_ALLOW" }] });
    let asking = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": "/run/agent.sock",
        "listenerMetadata": "which",
        "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }]
    });
    let sets = |names: &[&str]| json!({ "bounding": names, "permitted": names, "effective": names });
    let cases = [
        (json!({}), &simple, SeccompMoment::BeforeIdentity),
        (json!({}), &asking, SeccompMoment::BeforeIdentity),
        (json!({ "capabilities": sets(&["CAP_SYS_ADMIN"]) }), &simple, SeccompMoment::BeforeExec),
        (json!({ "capabilities": sets(&["CAP_KILL"]) }), &simple, SeccompMoment::BeforeIdentity),
        (json!({ "noNewPrivileges": true }), &simple, SeccompMoment::BeforeExec),
        (json!({ "noNewPrivileges": true }), &asking, SeccompMoment::BeforeStart),
    ];
    for (process, profile, moment) in cases {
        let plan = plan(&with_seccomp(process.clone(), profile.clone()), &request(), &root_host()).unwrap();
        let seccomp = plan.process.as_ref().unwrap().seccomp.clone().unwrap();
        assert_eq!(seccomp.moment, moment, "{process}");
        assert_eq!(seccomp.filter.listener.is_some(), profile == &asking, "{process}");
        let step = moment.step();
        assert!(plan.outline().iter().any(|line| line.step == step), "{step}");
    }
}

#[test]
fn a_listener_without_a_question_is_ignored_and_a_name_without_a_call_recorded() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": "/run/agent.sock",
        "listenerMetadata": "which",
        "syscalls": [{ "names": ["no_such_call", "mkdir"], "action": "SCMP_ACT_ERRNO" }]
    });
    let plan = plan(&with_seccomp(json!({}), profile), &request(), &root_host()).unwrap();
    assert_eq!(plan.process.unwrap().seccomp.unwrap().filter.listener, None);
    let reasons: Vec<&str> = plan.recorded.iter().map(|recorded| recorded.reason.as_str()).collect();
    assert!(reasons.iter().any(|reason| reason.contains("unknown seccomp syscall \"no_such_call\" ignored")), "{reasons:?}");
}

#[test]
fn a_program_in_a_plan_is_hexadecimal_text() {
    let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW" });
    let plan = plan(&with_seccomp(json!({}), profile), &request(), &root_host()).unwrap();
    let program = plan.process.unwrap().seccomp.unwrap().filter.program;
    let text = serde_json::to_value(&program).unwrap();
    // `return ALLOW`
    assert!(text.as_str().unwrap().contains("000600007fff0000"), "{text}");
    assert_eq!(serde_json::from_value::<SeccompProgram>(text).unwrap(), program);
    for wrong in ["0", "zz0600007fff0000", "00060000 fff00000", "+0060000", "é00600007fff000"] {
        assert!(serde_json::from_value::<SeccompProgram>(json!(wrong)).is_err(), "{wrong}");
    }
}
