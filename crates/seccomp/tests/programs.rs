//! The shape of programs: limits, long jumps, and what `show` and `explain` print.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may panic

use serde_json::{Value, json};
use wolffia_seccomp::{
    Action, Arch, Call, CompileError, Disassembly, Filter, MAX_INSTRUCTIONS, Profile, SeccompData, Syscall, compile, explain, run,
};

fn profile(rules: Value) -> Profile {
    let archs = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
    Profile::from_value(&json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": archs, "syscalls": rules })).unwrap()
}

/// A rule of one condition for every value.
fn values(name: &str, values: impl Iterator<Item = u64>) -> Vec<Value> {
    let arg = |value: u64| json!({ "index": 0, "value": value, "op": "SCMP_CMP_EQ" });
    values.map(|value| json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": [arg(value)] })).collect()
}

fn answer(filter: &Filter, number: u32, argument: u64) -> Action {
    let call = SeccompData { arch: Arch::X86_64.audit(), number, arguments: [argument; 6], ..Default::default() };
    Action::from_code(run(&filter.program, &call, false).unwrap().0).unwrap()
}

#[test]
fn jumps_beyond_255_instructions() {
    let mut rules = Vec::new();
    for (at, name) in ["read", "write", "open", "close", "stat", "mmap", "ioctl", "clone"].into_iter().enumerate() {
        rules.extend(values(name, (0..200).map(|value| value * 3 + at as u64)));
    }
    let filter = compile(&profile(json!(rules)), Arch::X86_64).unwrap().filter;
    assert!(filter.program.len() > 3000, "{} instructions are no test", filter.program.len());
    for (number, at) in [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (9, 5), (16, 6), (56, 7)] {
        for value in 0..620 {
            let allowed = value >= at && (value - at) % 3 == 0 && value < 600 + at;
            let expected = if allowed { Action::Allow } else { Action::Errno(1) };
            assert_eq!(answer(&filter, number, value), expected, "{number} {value}");
        }
    }
    assert_eq!(answer(&filter, 7, 0), Action::Errno(1));
}

#[test]
fn more_than_the_kernel_takes_is_refused() {
    let names = ["read", "write", "open", "close", "stat", "mmap", "ioctl", "clone", "dup", "fcntl", "flock", "fsync"];
    let rules: Vec<Value> =
        names.iter().enumerate().flat_map(|(at, name)| values(name, (0..200).map(move |value| value * 20 + at as u64))).collect();
    assert_eq!(compile(&profile(json!(rules)), Arch::X86_64), Err(CompileError::TooLong));
    let most = values("ioctl", (0..256).map(|value| value << 32 | value));
    assert!(compile(&profile(json!(most)), Arch::X86_64).unwrap().filter.program.len() < MAX_INSTRUCTIONS);
    let more = compile(&profile(json!(values("ioctl", 0..257))), Arch::X86_64);
    assert_eq!(more, Err(CompileError::TooManyAlternatives { name: "ioctl", found: 257 }));
}

/// The deepest nesting that the limit leaves: every alternative tests all arguments, in both halves.
#[test]
fn the_deepest_list_compiles() {
    let args = |at: u64| -> Vec<Value> {
        (0..6).map(|index| json!({ "index": index, "value": (at << 33) + at * 7 + index, "op": "SCMP_CMP_GT" })).collect()
    };
    let rules: Vec<Value> =
        (0..256).map(|at| json!({ "names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": args(at) })).collect();
    assert_eq!(compile(&profile(json!(rules)), Arch::X86_64), Err(CompileError::TooLong));
}

#[test]
fn a_container_profile_is_small() {
    let text = std::fs::read(format!("{}/tests/profiles/containers.json", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let filter = compile(&Profile::from_slice(&text).unwrap(), Arch::X86_64).unwrap().filter;
    assert!(filter.program.len() <= 400, "{} instructions", filter.program.len());
    let longest = (0..600).map(|number| {
        let call = SeccompData { arch: Arch::X86_64.audit(), number, ..Default::default() };
        run(&filter.program, &call, false).unwrap().1
    });
    assert!(longest.max() <= Some(20));
    let json = serde_json::to_string(&filter).unwrap();
    assert_eq!(serde_json::from_str::<Filter>(&json).unwrap(), filter);
}

#[test]
fn a_program_is_shown_with_names() {
    let args = json!([{ "index": 0, "value": 0x7E02_0000, "op": "SCMP_CMP_MASKED_EQ" }]);
    let rules = json!([
        { "names": ["read", "write", "exit"], "action": "SCMP_ACT_ALLOW" },
        { "names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": args },
    ]);
    let profile = Profile::from_value(&json!({ "defaultAction": "SCMP_ACT_LOG", "syscalls": rules })).unwrap();
    let filter = compile(&profile, Arch::Aarch64).unwrap().filter;
    let expected = "   0  load arch
   1  if arch == aarch64 goto 3 else 2
   2  return KILL_THREAD
   3  load nr
   4  if nr >= 93 (exit) goto 7 else 5
   5  if nr >= 63 (read) goto 6 else 12
   6  if nr >= 65 (readv) goto 12 else 13
   7  if nr >= 220 (clone) goto 9 else 8
   8  if nr >= 94 (exit_group) goto 12 else 13
   9  if nr >= 221 (execve) goto 12 else 10
  10  load arg0.low
  11  if arg0.low has any of 0x7e020000 goto 12 else 13
  12  return LOG
  13  return ALLOW
";
    assert_eq!(Disassembly { program: &filter.program, big_endian: false }.to_string(), expected);
}

#[test]
fn decisions_are_explained() {
    let eq = |value: u64| json!([{ "index": 0, "value": value, "op": "SCMP_CMP_EQ" }]);
    let profile = profile(json!([
        { "names": ["read", "mseal"], "action": "SCMP_ACT_ALLOW" },
        { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": eq(2) },
        { "names": ["bind"], "action": "SCMP_ACT_ALLOW" },
    ]));
    let why = |arch: Arch, name: &str, argument: u64| {
        let number = Syscall::from_name(name).unwrap().number(arch).unwrap();
        explain(&profile, Arch::X86_64, Call { arch, number, arguments: [argument; 6] }).to_string()
    };
    assert_eq!(why(Arch::X86_64, "read", 0), "read (x86_64 0): ALLOW: rule syscalls/0");
    assert_eq!(why(Arch::X86_64, "socket", 2), "socket (x86_64 41): ALLOW: rule syscalls/1, because arg0 == 0x2");
    assert_eq!(
        why(Arch::X86_64, "socket", 0x1_0000_0002),
        "socket (x86_64 41): ERRNO(1): the profile's default: rule syscalls/1 asks for arg0 == 0x2"
    );
    assert_eq!(why(Arch::X86, "socket", 0x1_0000_0002), "socket (x86 359): ALLOW: rule syscalls/1, because arg0 == 0x2");
    assert_eq!(why(Arch::X86, "socketcall", 2), "socketcall (x86 102): ALLOW: rule syscalls/2 on bind, because arg0 == 0x2");
    assert_eq!(
        why(Arch::X86, "socketcall", 1),
        "socketcall (x86 102): ERRNO(1): the profile's default: rule syscalls/1 tests arguments of socket, which lie in memory here"
    );
    assert_eq!(why(Arch::X86_64, "mount", 0), "mount (x86_64 165): ERRNO(1): the profile's default");
    assert_eq!(
        why(Arch::X86_64, "listns", 0),
        "listns (x86_64 470): ERRNO(38): newer than mseal, the newest call that the profile knows, so it does not exist here"
    );
    assert_eq!(why(Arch::Aarch64, "read", 0), "read (aarch64 63): KILL_THREAD: the filter does not cover this architecture");
}
