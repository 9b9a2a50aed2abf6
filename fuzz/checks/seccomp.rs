//! A profile is refused or compiled; and the program answers as the profile, read by hand, does.

use wolffia_seccomp::{Action, Arch, Call, Profile, SeccompData, compile, explain, run};

/// Numbers of calls that profiles speak of, of x32, and of nothing.
const NUMBERS: [u32; 8] = [0, 16, 41, 56, 435, 0x4000_0029, 100_000, u32::MAX];
const ARGUMENTS: [u64; 4] = [0, 2, 0x1_0000_0002, u64::MAX];

pub fn check(data: &[u8]) {
    let Ok(profile) = Profile::from_slice(data) else { return };
    for native in [Arch::X86_64, Arch::S390x] {
        let Ok(compiled) = compile(&profile, native) else { continue };
        let filter = compiled.filter;
        for arch in native.runs().iter().copied() {
            for number in NUMBERS {
                for argument in ARGUMENTS {
                    let call = Call { arch, number, arguments: [argument; 6] };
                    let asked = SeccompData { arch: arch.audit(), number, instruction_pointer: 0, arguments: call.arguments };
                    let (code, _) = run(&filter.program, &asked, native.is_big_endian()).unwrap();
                    assert_eq!(Action::from_code(code).unwrap(), explain(&profile, native, call).action, "{call:?}");
                }
            }
        }
    }
}
