//! For generated profiles: the program, run by the interpreter, answers every call as the profile, read by hand, does.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may panic

use proptest::prelude::*;
use serde_json::json;
use wolffia_seccomp::{Action, Arch, Call, Filter, Profile, SeccompData, Syscall, compile, explain, run};

mod generated;

use generated::{NAMES, number, profile};

fn filter(profile: &Profile, native: Arch) -> Filter {
    compile(profile, native).unwrap().filter
}

fn by_program(filter: &Filter, native: Arch, call: &Call) -> Action {
    let data = SeccompData { arch: call.arch.audit(), number: call.number, instruction_pointer: 0, arguments: call.arguments };
    Action::from_code(run(&filter.program, &data, native.is_big_endian()).unwrap().0).unwrap()
}

fn check(filter: &Filter, profile: &Profile, native: Arch, call: Call) -> Result<(), TestCaseError> {
    let explained = explain(profile, native, call);
    prop_assert_eq!(by_program(filter, native, &call), explained.action, "{:?}", explained);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn named_calls(
        profile in profile(), native in prop::sample::select(&Arch::ALL), arch in prop::sample::select(&Arch::ALL),
        sets in prop::collection::vec(prop::array::uniform6(number()), 4),
    ) {
        let filter = filter(&profile, native);
        for name in NAMES {
            let number = Syscall::from_name(name).and_then(|call| call.number(arch)).unwrap_or(0);
            for arguments in &sets {
                check(&filter, &profile, native, Call { arch, number, arguments: *arguments })?;
            }
        }
    }

    #[test]
    fn any_number(
        profile in profile(), native in prop::sample::select(&Arch::ALL), arch in prop::sample::select(&Arch::ALL),
        number in prop_oneof![0..600u32, 0x4000_0000..0x4000_0300u32, 0x000E_FFF0..0x000F_0010u32, any::<u32>(), Just(u32::MAX)],
        arguments in prop::array::uniform6(number()),
    ) {
        check(&filter(&profile, native), &profile, native, Call { arch, number, arguments })?;
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
                let action = by_program(&filter(&of(operator, value, 7), Arch::X86_64), Arch::X86_64, &call);
                assert_eq!(action == Action::Allow, holds, "{argument:#x} {operator} {value:#x}");
            }
        }
    }
}
