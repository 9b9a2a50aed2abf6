//! The profile of system calls that `sandbox` applies and `spec --seccomp` writes.

use crate::error::{Error, Result};
use serde_json::{Value, json};
use wolffia_seccomp::Arch;

/// A list of what is allowed. It starts from what Docker allows a container without capabilities, and leaves out what no command
/// needs that is not trusted: its comments say what.
const DEFAULT: &str = include_str!("profile.json");

/// `linux.seccomp` for this machine's architectures, for a container whose capabilities allow nothing beyond its own processes.
///
/// # Errors
/// There are no tables for this architecture.
pub fn default_profile() -> Result<Value> {
    let wrong = |reason: String| Error::Usage { reason, cure: "bring a profile of your own" };
    let native = Arch::native().ok_or_else(|| wrong("there is no seccomp profile for this architecture".to_owned()))?;
    let mut profile: Value = serde_json::from_str(DEFAULT).map_err(|error| wrong(error.to_string()))?;
    profile["architectures"] = native.runs().iter().map(|arch| json!(arch.oci_name())).collect();
    for rule in profile["syscalls"].as_array_mut().into_iter().flatten() {
        if native == Arch::S390x && rule["names"] == json!(["clone"]) {
            rule["args"][0]["index"] = json!(1);
        }
    }
    Ok(profile)
}

/// The same as text, without being read and written first: the profile is most of what a sandbox says.
pub(crate) fn default_profile_text() -> Result<String> {
    match Arch::native() {
        None | Some(Arch::S390x) => default_profile().map(|profile| profile.to_string()),
        Some(native) => {
            let architectures = Value::from_iter(native.runs().iter().map(|arch| arch.oci_name()));
            let mut text = DEFAULT.trim_end().to_owned();
            crate::sandbox::insert(&mut text, "architectures", &architectures.to_string());
            Ok(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_says_the_same() {
        let text: Value = serde_json::from_str(&default_profile_text().unwrap()).unwrap();
        assert_eq!(text, default_profile().unwrap());
    }
    use wolffia_seccomp::{Action, Call, Profile, Syscall, compile, explain};

    fn answer(arch: Arch, name: &str, arguments: &[u64]) -> Action {
        let profile = Profile::from_value(&default_profile().unwrap()).unwrap();
        let number = Syscall::from_name(name).unwrap().number(arch).unwrap();
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        explain(&profile, Arch::native().unwrap(), Call { arch, number, arguments: all }).action
    }

    const HIGH: u64 = 1 << 32;

    #[test]
    fn nothing_in_it_is_unknown_or_without_effect() {
        let profile = Profile::from_value(&default_profile().unwrap()).unwrap();
        let compiled = compile(&profile, Arch::native().unwrap()).unwrap();
        // i386 reaches `socket` through socketcall too, which hides the family: refused there, and said.
        let others: Vec<String> =
            compiled.warnings.iter().map(ToString::to_string).filter(|text| !text.contains("socketcall")).collect();
        assert_eq!(others, Vec::<String>::new());
    }

    #[test]
    fn families_requests_and_flags_are_judged_by_the_half_that_the_kernel_reads() {
        for arch in Arch::native().unwrap().runs().iter().copied() {
            for (family, action) in [(1, Action::Allow), (2, Action::Allow), (38, Action::Errno(97)), (40, Action::Errno(97))] {
                assert_eq!(answer(arch, "socket", &[family]), action, "{arch} {family}");
                assert_eq!(answer(arch, "socket", &[family | HIGH]), action, "{arch} {family} with a high bit");
            }
            for (request, action) in [(0x5401, Action::Allow), (0x5412, Action::Errno(5)), (0x541c, Action::Errno(5))] {
                assert_eq!(answer(arch, "ioctl", &[0, request]), action, "{arch} {request:#x}");
                assert_eq!(answer(arch, "ioctl", &[0, request | HIGH]), action, "{arch} {request:#x} with a high bit");
            }
            for flag in [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
                assert_eq!(answer(arch, "clone", &[flag | 17]), Action::Errno(1), "{arch} {flag:#x}");
            }
            assert_eq!(answer(arch, "clone", &[17]), Action::Allow, "{arch}");
        }
    }

    #[test]
    fn what_a_sandbox_is_to_be_kept_from() {
        for arch in Arch::native().unwrap().runs().iter().copied() {
            for name in ["clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd"] {
                assert_eq!(answer(arch, name, &[]), Action::Errno(38), "{arch} {name}");
            }
            for name in [
                "add_key",
                "bpf",
                "chroot",
                "delete_module",
                "finit_module",
                "fsconfig",
                "fsmount",
                "fsopen",
                "fspick",
                "init_module",
                "kexec_load",
                "keyctl",
                "mount",
                "mount_setattr",
                "move_mount",
                "open_by_handle_at",
                "open_tree",
                "perf_event_open",
                "pivot_root",
                "quotactl",
                "reboot",
                "request_key",
                "setns",
                "swapon",
                "syslog",
                "umount2",
                "unshare",
            ] {
                assert_eq!(answer(arch, name, &[]), Action::Errno(1), "{arch} {name}");
            }
        }
    }
}
