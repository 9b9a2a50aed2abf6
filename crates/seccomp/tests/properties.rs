//! For generated profiles: the program, run by the interpreter, answers every call as the profile, read by hand, does.

use proptest::prelude::*;
use serde_json::{Value, json};
use wolffia_seccomp::{Action, Arch, Call, Explanation, Profile, SeccompData, Syscall, compile, explain, run};

const NAMES: [&str; 14] = [
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
fn number() -> impl Strategy<Value = u64> {
    let half = prop::sample::select(vec![0u64, 1, 2, 3, 5, 21, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF]);
    prop_oneof![4 => (half.clone(), half).prop_map(|(high, low)| high << 32 | low), 1 => any::<u64>()]
}

fn rule() -> impl Strategy<Value = Value> {
    let condition = (0..6u8, number(), number(), prop::sample::select(&OPERATORS))
        .prop_map(|(index, value, value_two, op)| json!({ "index": index, "value": value, "valueTwo": value_two, "op": op }));
    let names = prop::collection::vec(prop::sample::select(&NAMES), 1..4);
    let conditions = prop_oneof![1 => Just(Vec::new()), 3 => prop::collection::vec(condition, 1..4)];
    (names, prop::sample::select(&ACTIONS), conditions, 0..3u16).prop_map(|(names, action, conditions, errno)| {
        let names: Vec<&str> = names.into_iter().filter(|name| action != "SCMP_ACT_NOTIFY" || *name != "write").collect();
        let names = if names.is_empty() { vec!["read"] } else { names };
        let mut rule = json!({ "names": names, "action": action, "args": conditions });
        if matches!(action, "SCMP_ACT_ERRNO" | "SCMP_ACT_TRACE") {
            rule["errnoRet"] = json!(errno);
        }
        rule
    })
}

fn profile() -> impl Strategy<Value = Profile> {
    let archs = prop::sample::subsequence(Arch::ALL.to_vec(), 0..8);
    let rules = prop::collection::vec(rule(), 0..12);
    (archs, rules, prop::sample::select(&ACTIONS[..7])).prop_map(|(archs, rules, default)| {
        let archs: Vec<&str> = archs.into_iter().map(Arch::oci_name).collect();
        Profile::from_value(&json!({ "defaultAction": default, "architectures": archs, "syscalls": rules })).unwrap()
    })
}

fn by_program(profile: &Profile, native: Arch, call: &Call) -> Action {
    let compiled = compile(profile, native).unwrap();
    let data = SeccompData { arch: call.arch.audit(), number: call.number, instruction_pointer: 0, arguments: call.arguments };
    Action::from_code(run(&compiled.filter.program, &data, native.is_big_endian()).unwrap().0).unwrap()
}

fn check(profile: &Profile, native: Arch, arch: Arch, number: u32, arguments: [u64; 6]) -> Result<(), TestCaseError> {
    let call = Call { arch, number, arguments };
    let Explanation { action, .. } = explain(profile, native, call);
    prop_assert_eq!(by_program(profile, native, &call), action, "{:?}", explain(profile, native, call));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn named_calls(
        profile in profile(), native in prop::sample::select(&Arch::ALL), arch in prop::sample::select(&Arch::ALL),
        sets in prop::collection::vec(prop::array::uniform6(number()), 4),
    ) {
        for name in NAMES {
            let number = Syscall::from_name(name).and_then(|call| call.number(arch));
            for arguments in &sets {
                check(&profile, native, arch, number.unwrap_or(0), *arguments)?;
            }
        }
    }

    #[test]
    fn any_number(
        profile in profile(), native in prop::sample::select(&Arch::ALL), arch in prop::sample::select(&Arch::ALL),
        number in prop_oneof![0..600u32, 0x4000_0000..0x4000_0300u32, 0x000E_FFF0..0x000F_0010u32, any::<u32>(), Just(u32::MAX)],
        arguments in prop::array::uniform6(number()),
    ) {
        check(&profile, native, arch, number, arguments)?;
    }
}

/// Reading by hand must not lean on the tables' ranges either: for conditions of one rule there is a plainer reading.
#[test]
fn one_rule_is_read_as_it_is_written() {
    let of = |op: &str, value: u64, two: u64| {
        let args = json!([{ "index": 1, "op": op, "value": value, "valueTwo": two }]);
        Profile::from_value(&json!({ "defaultAction": "SCMP_ACT_KILL", "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_ALLOW", "args": args }] })).unwrap()
    };
    let numbers = [0, 1, 7, 0xFFFF_FFFF, 0x1_0000_0000, 0x7_0000_0007, u64::MAX - 1, u64::MAX];
    for value in numbers {
        for argument in numbers {
            let cases = [
                ("SCMP_CMP_NE", argument != value),
                ("SCMP_CMP_LT", argument < value),
                ("SCMP_CMP_LE", argument <= value),
                ("SCMP_CMP_EQ", argument == value),
                ("SCMP_CMP_GE", argument >= value),
                ("SCMP_CMP_GT", argument > value),
                ("SCMP_CMP_MASKED_EQ", argument & value == 7 & value),
            ];
            for (operator, holds) in cases {
                let call = Call { arch: Arch::X86_64, number: 0, arguments: [9, argument, 9, 9, 9, 9] };
                let action = by_program(&of(operator, value, 7), Arch::X86_64, &call);
                assert_eq!(action == Action::Allow, holds, "{argument:#x} {operator} {value:#x}");
            }
        }
    }
}
