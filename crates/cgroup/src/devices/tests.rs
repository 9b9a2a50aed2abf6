use super::*;

const NULL: (i32, u32, u32) = (CHAR, 1, 3);
const DISK: (i32, u32, u32) = (BLOCK, 8, 0);

/// Runs the program as the kernel's interpreter does, for the instructions that it is made of.
fn run(program: &[Instruction], device: (i32, u32, u32), access: i32) -> bool {
    let context = [(access << 16 | device.0).cast_unsigned(), device.1, device.2];
    let mut registers = [0_u32; 11];
    let mut next = 0_usize;
    for _ in 0..=program.len() {
        let Instruction { code, registers: named, offset, immediate } = program[next];
        let (to, from) = (usize::from(named & 15), usize::from(named >> 4));
        let value = immediate.cast_unsigned();
        next += 1;
        let jumps = match code {
            code::LOAD_WORD => {
                assert_eq!(from, usize::from(CONTEXT));
                registers[to] = context[usize::try_from(offset).unwrap() / 4];
                false
            }
            code::MOVE_REGISTER => {
                registers[to] = registers[from];
                false
            }
            code::MOVE => {
                registers[to] = value;
                false
            }
            code::AND => {
                registers[to] &= value;
                false
            }
            code::SHIFT_RIGHT => {
                registers[to] >>= value;
                false
            }
            code::EXIT => return registers[0] == 1,
            code::JUMP_NOT_EQUAL => registers[to] != value,
            other => panic!("instruction {other:#x}"),
        };
        if jumps {
            next += usize::try_from(offset).unwrap();
        }
    }
    panic!("it does not end");
}

/// The rules' meaning, said in another way.
fn expected(rules: &[DeviceRule], device: (i32, u32, u32), access: i32) -> bool {
    let matching: Vec<_> = rules
        .iter()
        .filter(|rule| {
            rule.kind.is_none_or(|kind| device.0 == if kind == DeviceType::Char { CHAR } else { BLOCK })
                && rule.major.is_none_or(|major| major == device.1)
                && rule.minor.is_none_or(|minor| minor == device.2)
        })
        .collect();
    [MAKE, READ, WRITE]
        .iter()
        .filter(|bit| access & **bit != 0)
        .all(|bit| matching.iter().rev().find(|rule| bits(rule.access) & bit != 0).is_some_and(|rule| rule.allow))
}

fn rule(text: &str) -> DeviceRule {
    let mut words = text.split([' ', ':']);
    let mut word = || words.next().unwrap();
    let allow = word() == "allow";
    let kind = match word() {
        "a" => None,
        "b" => Some(DeviceType::Block),
        _ => Some(DeviceType::Char),
    };
    let mut number = || word().parse().ok();
    let (major, minor) = (number(), number());
    let letters = words.next().unwrap();
    let access = DeviceAccess { read: letters.contains('r'), write: letters.contains('w'), make: letters.contains('m') };
    DeviceRule { allow, kind, major, minor, access }
}

fn rules(lines: &[&str]) -> Vec<DeviceRule> {
    lines.iter().map(|line| rule(line)).collect()
}

#[test]
fn nothing_is_allowed_without_a_rule() {
    let program = compile(&[]).unwrap();
    assert!(!run(&program, NULL, READ));
    assert!(!run(&program, DISK, MAKE));
}

#[test]
fn a_later_rule_overrules_an_earlier_one_in_its_own_accesses() {
    let program = compile(&rules(&["allow c 1:3 rwm", "deny a *:* w", "allow b 8:* r"])).unwrap();
    assert!(run(&program, NULL, READ));
    assert!(run(&program, NULL, READ | MAKE));
    assert!(!run(&program, NULL, READ | WRITE));
    assert!(run(&program, DISK, READ));
    assert!(!run(&program, DISK, READ | WRITE));
    assert!(!run(&program, (CHAR, 8, 0), READ));
}

#[test]
fn two_rules_together_allow_what_neither_allows_alone() {
    let program = compile(&rules(&["allow c 1:3 r", "allow c 1:3 w"])).unwrap();
    assert!(run(&program, NULL, READ | WRITE));
    assert!(!run(&program, NULL, READ | WRITE | MAKE));
}

#[test]
fn numbers_with_the_highest_bit_are_compared_as_they_are() {
    let program = compile(&rules(&["allow c 4294967295:2147483648 rwm"])).unwrap();
    assert!(run(&program, (CHAR, u32::MAX, 1 << 31), READ));
    assert!(!run(&program, (CHAR, u32::MAX, 0), READ));
}

#[test]
fn the_program_means_what_the_rules_say() {
    let accesses = ["r", "w", "m", "rw", "rm", "wm", "rwm"];
    let mut state = 1_u64;
    // A linear congruential generator: the same lists at every run.
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..2000 {
        let list: Vec<DeviceRule> = (0..random(6))
            .map(|_| {
                let act = ["allow", "deny"][random(2)];
                let kind = ["a", "b", "c"][random(3)];
                let (major, minor) = (["*", "1", "8"][random(3)], ["*", "0", "3"][random(3)]);
                rule(&format!("{act} {kind} {major}:{minor} {}", accesses[random(7)]))
            })
            .collect();
        let program = compile(&list).unwrap();
        for device in [NULL, DISK, (CHAR, 8, 0), (BLOCK, 1, 3), (CHAR, 9, 9)] {
            for access in 1..=ALL {
                assert_eq!(run(&program, device, access), expected(&list, device, access), "{list:?} {device:?} {access}");
            }
        }
    }
}

#[test]
fn rules_that_change_nothing_cost_nothing() {
    let short = compile(&rules(&["allow c 1:* rwm"])).unwrap();
    assert_eq!(compile(&rules(&["deny a *:* rwm", "allow c 1:3 r", "allow c 1:* rwm"])).unwrap(), short);
}

#[test]
fn a_program_too_long_for_its_jumps_is_not_made() {
    let many: Vec<_> = (0..7_000).map(|minor| rule(&format!("allow c 1:{minor} r"))).collect();
    assert_eq!(compile(&many), None);
}
