//! The runtime's own binary cannot be written from inside a container (CVE-2019-5736).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wolffia_tests::{ANYBODY, Bundle, Call, Case, ROOT, json, scenario};

/// A copy that belongs to the scenario's user: the worst case, because the container's root may write it.
fn own_binary(case: &Case) -> PathBuf {
    let path = case.directory("bin").join("wolffia");
    std::fs::copy(case.binary(), &path).unwrap();
    path
}

fn wolffia(case: &Case, binary: &Path) -> Call {
    case.program(binary).arg("--root").arg(case.root())
}

fn sum(case: &Case, file: &Path) -> String {
    case.program("sha256sum").arg(file).run().succeeds().split(' ').next().unwrap().to_owned()
}

/// Root on the inside, with capabilities: what CVE-2019-5736 assumes.
fn powerful(case: &Case, script: &str) -> Bundle {
    let bundle = case.shell(script);
    bundle.edit(|config| {
        let all = json!(["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]);
        config["process"]["capabilities"] = json!({ "bounding": all, "effective": all, "permitted": all });
        config["process"]["noNewPrivileges"] = json!(false);
        config["root"]["readonly"] = json!(false);
    });
    bundle
}

#[test]
fn executing_the_runtimes_own_image_reaches_no_binary() {
    scenario(ANYBODY, |case| {
        let binary = own_binary(case);
        let before = sum(case, &binary);
        let bundle = powerful(case, "");
        bundle.script("script", "#!/proc/self/exe\n");
        for program in ["/proc/self/exe", "/script"] {
            bundle.args(&[program, "features"]);
            let call = wolffia(case, &binary).args(["run", "--bundle"]).arg(bundle.path()).arg(case.id());
            // Names that other runtimes trust to say that this is done already.
            let outcome = call.env("_LIBCONTAINER_CLONED_BINARY", "1").run();
            // Whether it is refused or runs: from a copy, it can do no harm.
            assert_eq!(sum(case, &binary), before, "{program}: {outcome}");
        }
        let id = case.id();
        bundle.args(&["sleep", "300"]);
        wolffia(case, &binary).args(["run", "--detach", "--bundle"]).arg(bundle.path()).arg(&id).run().succeeds();
        for program in ["/proc/self/exe", "/script"] {
            let outcome = wolffia(case, &binary).args(["exec", &id, program, "--version"]).run();
            assert_eq!(sum(case, &binary), before, "{program}: {outcome}");
        }
    });
}

/// A process inside keeps opening the executables of all processes that it sees, holds what it gets, and writes it as soon as
/// nobody executes it any more.
#[test]
fn a_process_inside_cannot_write_what_enters() {
    scenario(ANYBODY, |case| {
        let binary = own_binary(case);
        let before = sum(case, &binary);
        let attack = r#"
            own=$(stat -L -c %d:%i /proc/self/exe)
            echo up > /shared/up
            while :; do
                for pid in /proc/[0-9]*; do (
                    [ "$(stat -L -c %d:%i $pid/exe)" = "$own" ] && exit
                    exec 3< $pid/exe
                    echo seen >> /shared/seen
                    for try in 1 2 3 4 5; do
                        (echo overwritten > /proc/self/fd/3) && echo written >> /shared/written
                        mount -o remount,rw,bind /proc/self/fd/3 && echo remounted >> /shared/written
                    done
                ) done
            done 2>/dev/null"#;
        let shared = case.directory("shared");
        let bundle = powerful(case, attack);
        bundle.mount(json!({ "destination": "/shared", "source": shared, "options": ["bind"] }));
        let id = case.id();
        wolffia(case, &binary).args(["run", "--detach", "--bundle"]).arg(bundle.path()).arg(&id).run().succeeds();
        case.wait_for_file(&shared.join("up"));
        for _ in 0..30 {
            let outcome = wolffia(case, &binary).args(["exec", &id, "true"]).within(Duration::from_secs(20)).run();
            assert_eq!(outcome.code(), 0, "{outcome}");
        }
        assert_eq!(sum(case, &binary), before);
        assert_eq!(std::fs::read_to_string(shared.join("written")).unwrap_or_default(), "");
    });
}

/// Where nothing can be written there is nothing to protect: who makes the container is the installed binary itself.
#[test]
fn a_binary_on_a_file_system_without_writing_needs_no_copy() {
    scenario(ROOT, |case| {
        let image = case.directory("image");
        let (file, mounted) = (case.directory("file").join("image.erofs"), case.directory("mounted"));
        std::fs::copy(case.binary(), image.join("wolffia")).unwrap();
        case.program("mkfs.erofs").arg("--quiet").arg(&file).arg(&image).run().succeeds();
        let made = case.program("mount").args(["-t", "erofs"]).arg(&file).arg(&mounted).run();
        if !made.status.success() {
            case.skip(&format!("no EROFS can be mounted here: {made}"));
        }
        let seen = case.directory("seen").join("exe");
        let bundle = case.shell("true");
        bundle.edit(|config| {
            let script = format!("readlink /proc/$PPID/exe > {}", seen.display());
            config["hooks"] = json!({ "createRuntime": [{ "path": "/bin/sh", "args": ["sh", "-c", script] }] });
        });
        for (binary, itself) in [(mounted.join("wolffia"), true), (own_binary(case), false)] {
            wolffia(case, &binary).args(["run", "--bundle"]).arg(bundle.path()).arg(case.id()).run().succeeds();
            let maker = std::fs::read_to_string(&seen).unwrap();
            assert_eq!(Path::new(maker.trim()) == binary, itself, "{maker}");
        }
        case.program("umount").arg(&mounted).run().succeeds();
    });
}

#[test]
fn the_state_is_private() {
    scenario(ANYBODY, |case| {
        let id = case.started(&case.shell("exec sleep 300"));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&case.root()) & 0o022, 0);
        let directory = case.root().join(&id);
        assert_eq!(mode(&directory) & 0o066, 0);
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            assert!(!path.is_file() || mode(&path) & 0o077 == 0, "{}: {:o}", path.display(), mode(&path));
        }
    });
}
