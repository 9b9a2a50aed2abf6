//! Profiles made by chance, with few names and few numbers, so that rules meet.

#![allow(dead_code)] // each test takes its part

use proptest::prelude::*;
use serde_json::{Value, json};
use wolffia_seccomp::{Arch, Profile};

pub const NAMES: [&str; 14] = [
    "read",
    "write",
    "socket",
    "socketcall",
    "bind",
    "ipc",
    "shmat",
    "semop",
    "clone",
    "ioctl",
    "personality",
    "mseal",
    "execve",
    "no_such_call",
];

const ACTIONS: [&str; 8] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
];

const OPERATORS: [&str; 7] =
    ["SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"];

/// Numbers that meet each other often, in both halves.
pub fn number() -> impl Strategy<Value = u64> {
    let half = prop::sample::select(vec![0u64, 1, 2, 3, 5, 21, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF]);
    prop_oneof![4 => (half.clone(), half).prop_map(|(high, low)| high << 32 | low), 1 => any::<u64>()]
}

pub fn rule(actions: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let condition = (0..6u8, number(), number(), prop::sample::select(&OPERATORS))
        .prop_map(|(index, value, value_two, op)| json!({ "index": index, "value": value, "valueTwo": value_two, "op": op }));
    let names = prop::collection::vec(prop::sample::select(&NAMES), 1..4);
    let conditions = prop_oneof![1 => Just(Vec::new()), 3 => prop::collection::vec(condition, 1..4)];
    (names, prop::sample::select(actions), conditions, 0..3u16).prop_map(|(names, action, conditions, errno)| {
        let names: Vec<&str> = names.into_iter().filter(|name| action != "SCMP_ACT_NOTIFY" || *name != "write").collect();
        let names = if names.is_empty() { vec!["read"] } else { names };
        let mut rule = json!({ "names": names, "action": action, "args": conditions });
        if matches!(action, "SCMP_ACT_ERRNO" | "SCMP_ACT_TRACE") {
            rule["errnoRet"] = json!(errno);
        }
        rule
    })
}

pub fn profile() -> impl Strategy<Value = Profile> {
    let archs = prop::sample::subsequence(Arch::ALL.to_vec(), 0..8);
    let rules = prop::collection::vec(rule(&ACTIONS), 0..12);
    (archs, rules, prop::sample::select(&ACTIONS[..7])).prop_map(|(archs, rules, default)| {
        let archs: Vec<&str> = archs.into_iter().map(Arch::oci_name).collect();
        Profile::from_value(&json!({ "defaultAction": default, "architectures": archs, "syscalls": rules })).unwrap()
    })
}
