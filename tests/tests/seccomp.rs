//! Filters of system calls: what a profile says is what happens, to init and to `exec`, and nothing that the runtime itself needs
//! has to be in it.
//!
//! The payloads are machine code: a libc would make calls of its own.

#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use wolffia_tests::{ANYBODY, Bundle, Case, ROOT, Rootfs, Value, json, scenario};

const GETPPID: u64 = 110;
const ENOSYS: i32 = 38;
/// 128 and SIGSYS.
const BAD_CALL: i32 = 159;

/// A program that makes one system call and ends with its errno, 0 if it succeeded.
fn program(number: u64, arguments: &[u64]) -> Vec<u8> {
    let mut code = vec![0x48, 0xb8];
    code.extend(number.to_le_bytes());
    // mov rdi, rsi, rdx, r10, r8, r9
    let registers: [[u8; 2]; 6] = [[0x48, 0xbf], [0x48, 0xbe], [0x48, 0xba], [0x49, 0xba], [0x49, 0xb8], [0x49, 0xb9]];
    for (at, register) in registers.into_iter().enumerate() {
        code.extend(register);
        code.extend(arguments.get(at).unwrap_or(&0).to_le_bytes());
    }
    code.extend([0x0f, 0x05]);
    ending_with_errno(code)
}

/// The same as a 32-bit program would do it, by interrupt 0x80.
fn program_of_i386(number: u32, first: u32, second: u32) -> Vec<u8> {
    let mut code = Vec::new();
    // mov eax, ebx, ecx
    for (register, value) in [(0xb8, number), (0xbb, first), (0xb9, second)] {
        code.push(register);
        code.extend(value.to_le_bytes());
    }
    // int 0x80; cdqe
    code.extend([0xcd, 0x80, 0x48, 0x98]);
    ending_with_errno(code)
}

/// `exit_group(-rax)` if that is an errno, else `exit_group(0)`; in an ELF file.
fn ending_with_errno(mut code: Vec<u8>) -> Vec<u8> {
    // mov rdi, rax; neg edi; cmp rax, -4095; jae over; xor edi, edi; over: mov eax, 231; syscall
    code.extend([0x48, 0x89, 0xc7, 0xf7, 0xdf, 0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff, 0x73, 0x02, 0x31, 0xff]);
    code.extend([0xb8, 231, 0, 0, 0, 0x0f, 0x05]);
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let size = HEADERS + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |file: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|value| file.extend(value.to_le_bytes()));
    let word = |file: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|value| file.extend(value.to_le_bytes()));
    let long = |file: &mut Vec<u8>, values: &[u64]| values.iter().for_each(|value| file.extend(value.to_le_bytes()));
    // An executable for x86_64 that starts behind its headers; one program header.
    half(&mut file, &[2, 62]);
    word(&mut file, &[1]);
    long(&mut file, &[BASE + HEADERS, 64, 0]);
    word(&mut file, &[0]);
    half(&mut file, &[64, 56, 1, 0, 0, 0]);
    // All of it is loaded, to be read and executed.
    word(&mut file, &[1, 5]);
    long(&mut file, &[0, BASE, BASE, size, size, 0x1000]);
    file.extend(code);
    file
}

fn install(directory: &Path, name: &str, program: &[u8]) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, program).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A bundle with nothing but this program, under this profile.
fn alone(case: &Case, program: &[u8], profile: Value) -> Bundle {
    let bundle = case.bundle(Rootfs::Empty);
    install(&bundle.rootfs(), "program", program);
    bundle.args(&["/program"]);
    bundle.edit(|config| config["linux"]["seccomp"] = profile);
    bundle
}

/// What the call ends with under the profile.
fn outcome(case: &Case, program: &[u8], profile: Value, no_new_privileges: bool) -> i32 {
    let bundle = alone(case, program, profile);
    bundle.edit(|config| config["process"]["noNewPrivileges"] = json!(no_new_privileges));
    let outcome = case.run(&bundle);
    assert!(outcome.stderr.is_empty(), "{outcome}");
    outcome.code()
}

/// Everything but what `rules` say.
fn allowing(rules: Value) -> Value {
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules })
}

/// Nothing but what a program needs to begin and to end.
fn denying(action: &str) -> Value {
    json!({ "defaultAction": action, "syscalls": [{ "names": ["execve", "exit_group"], "action": "SCMP_ACT_ALLOW" }] })
}

#[test]
fn every_action_does_what_it_says() {
    scenario(ANYBODY, |case| {
        let cases = [
            ("SCMP_ACT_ALLOW", None, 0),
            ("SCMP_ACT_LOG", None, 0),
            ("SCMP_ACT_ERRNO", None, 1),
            ("SCMP_ACT_ERRNO", Some(100), 100),
            // Without a tracer.
            ("SCMP_ACT_TRACE", Some(7), ENOSYS),
            ("SCMP_ACT_TRAP", None, BAD_CALL),
            ("SCMP_ACT_KILL", None, BAD_CALL),
            ("SCMP_ACT_KILL_THREAD", None, BAD_CALL),
            ("SCMP_ACT_KILL_PROCESS", None, BAD_CALL),
        ];
        for (action, errno, expected) in cases {
            for no_new_privileges in [true, false] {
                let mut rule = json!({ "names": ["getppid"], "action": action });
                if let Some(errno) = errno {
                    rule["errnoRet"] = json!(errno);
                }
                let found = outcome(case, &program(GETPPID, &[]), allowing(json!([rule])), no_new_privileges);
                assert_eq!(found, expected, "{action}, no new privileges: {no_new_privileges}");
            }
        }
        let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 42, "syscalls": denying("")["syscalls"] });
        assert_eq!(outcome(case, &program(GETPPID, &[]), profile, true), 42);
    });
}

#[test]
fn arguments_are_compared_in_64_bits_and_unsigned() {
    scenario(ROOT, |case| {
        let high = 1 << 32;
        let cases = [
            ("EQ", 5, None, 5, true),
            ("EQ", 5, None, 5 | high, false),
            ("NE", 5, None, 6, true),
            ("NE", 5, None, 5, false),
            ("LT", 5, None, 4, true),
            ("LT", 5, None, u64::MAX, false),
            ("LE", 5, None, 5, true),
            ("GE", high, None, 5, false),
            ("GT", 5, None, high, true),
            ("MASKED_EQ", 0xffff_ffff, Some(5), 5 | high, true),
            ("MASKED_EQ", 6, Some(2), 3, true),
            ("MASKED_EQ", 6, Some(2), 4, false),
        ];
        for (operator, value, second, given, hit) in cases {
            for index in [0, 5] {
                let test = json!({ "index": index, "op": format!("SCMP_CMP_{operator}"), "value": value, "valueTwo": second });
                let profile =
                    allowing(json!([{ "names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99, "args": [test] }]));
                let mut arguments = [0; 6];
                arguments[index] = given;
                let found = outcome(case, &program(GETPPID, &arguments), profile, true);
                assert_eq!(found == 99, hit, "argument {index}: {given:#x} {operator} {value:#x} {second:?} gave {found}");
            }
        }
    });
}

/// The first call that the filter sees is execve: any other would end the program.
#[test]
fn a_profile_that_denies_everything_the_runtime_needs_still_starts() {
    scenario(ANYBODY, |case| {
        for action in ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_ERRNO", "SCMP_ACT_TRAP"] {
            let bundle = alone(case, &program(GETPPID, &[]), denying(action));
            let expected = if action == "SCMP_ACT_ERRNO" { 1 } else { BAD_CALL };
            assert_eq!(case.run(&bundle).ends_with(expected), "", "{action}");
            // exit_group(0), and nothing else.
            install(&bundle.rootfs(), "program", &program(231, &[]));
            case.run(&bundle).succeeds();
            // What is traced is said before.
            case.wolffia()
                .arg("--debug")
                .args(["run", "--bundle", bundle.path().to_str().unwrap(), &case.id()])
                .run()
                .fails(0, "seccomp.load");
            let id = case.id();
            case.call_on("create", &bundle, &id).run().succeeds();
            case.wolffia().args(["start", &id]).run().succeeds();
            case.wait_for_status(&id, "stopped");
        }
    });
}

#[test]
fn capabilities_that_allow_it_make_a_filter_late_too() {
    scenario(ROOT, |case| {
        let bundle = alone(case, &program(231, &[]), denying("SCMP_ACT_KILL_PROCESS"));
        bundle.edit(|config| {
            let set = json!(["CAP_SYS_ADMIN"]);
            config["process"]["noNewPrivileges"] = json!(false);
            config["process"]["capabilities"] = json!({ "bounding": set, "permitted": set, "effective": set });
        });
        case.run(&bundle).succeeds();
    });
}

/// The filter forbids execve, and to say that it did.
#[test]
fn a_program_that_its_filter_keeps_from_starting_is_an_error_of_start() {
    scenario(ANYBODY, |case| {
        for action in ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"] {
            let bundle = alone(case, &program(231, &[]), json!({ "defaultAction": action }));
            case.run(&bundle).fails(1, "before it executed the program");
            let id = case.id();
            case.call_on("create", &bundle, &id).run().succeeds();
            // It is gone without a word. Here it is reaped by whoever adopted it, perhaps before `start` could look at it.
            let started = case.wolffia().args(["start", &id]).run();
            assert!(started.status.success() || started.stderr.contains("before it executed the program"), "{started}");
            case.wait_for_status(&id, "stopped");
        }
        // Where it may speak, it says why.
        let profile = allowing(json!([{ "names": ["execve"], "action": "SCMP_ACT_ERRNO" }]));
        case.run(&alone(case, &program(231, &[]), profile)).fails(1, "operation not permitted");
    });
}

#[test]
fn exec_is_under_the_filter_of_create() {
    scenario(ANYBODY, |case| {
        for no_new_privileges in [true, false] {
            let bundle = case.shell("exec sleep 300");
            bundle.edit(|config| {
                config["process"]["noNewPrivileges"] = json!(no_new_privileges);
                config["linux"]["seccomp"] =
                    allowing(json!([{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 100 }]));
            });
            let id = case.started(&bundle);
            // What becomes of the bundle afterwards is nothing to the container.
            bundle.edit(|config| config["linux"]["seccomp"] = Value::Null);
            let exec = |script: &str| case.wolffia().args(["exec", &id, "sh", "-c", script]).run();
            exec("mkdir /tmp/new").fails(1, "Network is down");
            assert_eq!(exec("grep ^Seccomp /proc/self/status").succeeds(), "Seccomp:\t2\nSeccomp_filters:\t1\n");
            let process = json!({ "user": { "uid": 0, "gid": 0 }, "cwd": "/", "args": ["/bin/mkdir", "/tmp/new"] });
            let file = case.path("process.json");
            std::fs::write(&file, process.to_string()).unwrap();
            case.wolffia().args(["exec", "--process", file.to_str().unwrap(), &id]).run().fails(1, "Network is down");
        }
    });
}

#[test]
fn exec_under_a_filter_that_denies_everything() {
    scenario(ANYBODY, |case| {
        let profile = json!({ "defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [
            { "names": ["execve", "exit_group", "pause"], "action": "SCMP_ACT_ALLOW" }
        ] });
        // pause()
        let bundle = alone(case, &program(34, &[]), profile);
        install(&bundle.rootfs(), "leave", &program(231, &[]));
        install(&bundle.rootfs(), "ask", &program(GETPPID, &[]));
        let id = case.started(&bundle);
        case.wolffia().args(["exec", &id, "/leave"]).run().succeeds();
        case.wolffia().args(["exec", &id, "/ask"]).run().ends_with(BAD_CALL);
        assert_eq!(case.state(&id)["status"], "running");
    });
}

#[test]
fn hooks_in_the_container_are_under_its_filter() {
    scenario(ANYBODY, |case| {
        let hook = |args: Value| json!({ "startContainer": [{ "path": "/bin/busybox", "args": args }] });
        for no_new_privileges in [true, false] {
            let bundle = case.shell("exit 0");
            bundle.edit(|config| {
                config["process"]["noNewPrivileges"] = json!(no_new_privileges);
                config["hooks"] = hook(json!(["mkdir", "/dev/shm/new"]));
                config["linux"]["seccomp"] = allowing(json!([{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL" }]));
            });
            let told = case.run(&bundle).fails(1, "error running startContainer hook");
            assert!(told.contains("bad system call"), "{told}");
            // Docker's profile hides clone3.
            bundle.edit(|config| {
                config["hooks"] = hook(json!(["true"]));
                config["linux"]["seccomp"] =
                    allowing(json!([{ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS }]));
            });
            case.run(&bundle).succeeds();
        }
    });
}

#[test]
fn flags_are_the_kernels() {
    scenario(ANYBODY, |case| {
        for flags in [json!([]), json!(["LOG"]), json!(["SPEC_ALLOW"]), json!(["TSYNC"]), json!(["LOG", "SPEC_ALLOW", "TSYNC"])] {
            let names: Vec<String> =
                flags.as_array().unwrap().iter().map(|name| format!("SECCOMP_FILTER_FLAG_{}", name.as_str().unwrap())).collect();
            let mut profile = allowing(json!([{ "names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 9 }]));
            profile["flags"] = json!(names);
            assert_eq!(outcome(case, &program(GETPPID, &[]), profile, true), 9, "{flags}");
        }
        let mut unknown = allowing(json!([]));
        unknown["flags"] = json!(["SECCOMP_FILTER_FLAG_MOON"]);
        case.run(&alone(case, &program(GETPPID, &[]), unknown)).fails(1, "SECCOMP_FILTER_FLAG_MOON");
        let known = case.wolffia().arg("features").run().succeeds();
        let known: Value = serde_json::from_str(&known).unwrap();
        assert_eq!(known["linux"]["seccomp"]["enabled"], true);
        assert_eq!(known["linux"]["seccomp"]["knownFlags"].as_array().unwrap().len(), 4);
    });
}

/// Waits for one connection; gives what is told there, and the listener.
fn agent(path: &Path) -> JoinHandle<(Value, Vec<OwnedFd>)> {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let (connection, _) = listener.accept().unwrap();
        let mut bytes = vec![0; 64 * 1024];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message = recvmsg(&connection, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
        let descriptors = control
            .drain()
            .flat_map(|part| match part {
                RecvAncillaryMessage::ScmRights(rights) => rights.collect::<Vec<_>>(),
                _ => Vec::new(),
            })
            .collect();
        // One message, and the end of the stream.
        let told = serde_json::from_slice(&bytes[..message.bytes]).unwrap();
        assert_eq!(std::io::Read::read(&mut &connection, &mut bytes).unwrap(), 0);
        (told, descriptors)
    })
}

fn asking(socket: &Path) -> Value {
    let mut profile = allowing(json!([{ "names": ["getppid"], "action": "SCMP_ACT_NOTIFY" }]));
    profile["listenerPath"] = json!(socket);
    profile["listenerMetadata"] = json!("which one");
    profile
}

#[test]
fn an_agent_gets_the_listener_and_the_state() {
    scenario(ANYBODY, |case| {
        for (number, no_new_privileges) in [(0, true), (1, false)] {
            let socket = case.path(&format!("agent{number}"));
            let listening = agent(&socket);
            let bundle = alone(case, &program(GETPPID, &[]), asking(&socket));
            bundle.edit(|config| {
                config["process"]["noNewPrivileges"] = json!(no_new_privileges);
                config["annotations"] = json!({ "key": "value" });
                if no_new_privileges {
                    config["linux"]["seccomp"]["flags"] = json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]);
                }
            });
            let id = case.id();
            case.call_on("create", &bundle, &id).run().succeeds();
            let (told, listener) = listening.join().unwrap();
            let pid = case.state(&id)["pid"].clone();
            assert_eq!((&told["pid"], &told["state"]["pid"]), (&pid, &pid), "{told}");
            assert_eq!((&told["fds"], &told["metadata"]), (&json!(["seccompFd"]), &json!("which one")));
            assert_eq!(told["state"]["status"], "creating");
            assert_eq!((&told["state"]["id"], &told["state"]["annotations"]["key"]), (&json!(id), &json!("value")));
            assert_eq!(told["state"]["bundle"], json!(bundle.path()));
            assert_eq!(told["ociVersion"], bundle.config()["ociVersion"]);
            assert_eq!(listener.len(), 1);
            // An agent that is gone answers ENOSYS (seccomp_unotify(2)); that the program meets it is seen by `run` below.
            drop(listener);
            case.wolffia().args(["start", &id]).run().succeeds();
            case.wait_for_status(&id, "stopped");
        }
    });
}

#[test]
fn without_its_agent_a_container_is_not_made() {
    scenario(ANYBODY, |case| {
        let bundle = alone(case, &program(GETPPID, &[]), asking(&case.path("nobody")));
        case.run(&bundle).fails(1, "failed to connect with seccomp agent");
        bundle.edit(|config| config["linux"]["seccomp"]["listenerMetadata"] = Value::Null);
        bundle.edit(|config| config["linux"]["seccomp"]["listenerPath"] = Value::Null);
        case.run(&bundle).fails(1, "listenerPath is not set");
        // Nobody is asked, so nobody has to be there.
        let mut profile = asking(&case.path("nobody"));
        profile["syscalls"][0]["action"] = json!("SCMP_ACT_LOG");
        assert_eq!(outcome(case, &program(GETPPID, &[]), profile, true), 0);
    });
}

/// Answers with ENOMEDIUM what it is asked, twice.
const ANSWERING: &str = r"
import array, fcntl, os, socket, struct, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
print('listening', flush=True)
for _ in range(2):
    connection, _ = server.accept()
    _, ancillary, _, _ = connection.recvmsg(65536, 64)
    listener = array.array('i', ancillary[0][2])[0]
    asked = bytearray(80)
    fcntl.ioctl(listener, 0xc0502100, asked)
    fcntl.ioctl(listener, 0xc0182101, struct.pack('QqiI', struct.unpack_from('Q', asked)[0], 0, -123, 0))
";

#[test]
fn an_agent_answers_for_init_and_for_exec() {
    scenario(ANYBODY, |case| {
        if !Path::new("/usr/bin/python3").exists() {
            case.skip("the agent that answers is written in Python, which is not installed");
        }
        let socket = case.path("agent");
        let answering = case.program("/usr/bin/python3").args(["-c", ANSWERING]).arg(&socket).spawn();
        assert!(wolffia_tests::wait_until(std::time::Duration::from_secs(10), || answering.stdout() == "listening\n"));
        // Anything but a call that is asked about keeps the container alive meanwhile: pause().
        let bundle = alone(case, &program(34, &[]), asking(&socket));
        install(&bundle.rootfs(), "ask", &program(GETPPID, &[]));
        bundle.args(&["/ask"]);
        case.run(&bundle).ends_with(123);
        // Each process has a filter and a listener of its own, and init's is never asked.
        let quiet = case.path("quiet");
        let listening = agent(&quiet);
        bundle.args(&["/program"]);
        bundle.edit(|config| config["linux"]["seccomp"]["listenerPath"] = json!(quiet));
        let id = case.started(&bundle);
        let (_, _first) = listening.join().unwrap();
        std::fs::remove_file(&quiet).unwrap();
        std::os::unix::fs::symlink(&socket, &quiet).unwrap();
        case.wolffia().args(["exec", &id, "/ask"]).run().ends_with(123);
        answering.wait(std::time::Duration::from_secs(10)).ends_with(0);
    });
}

#[test]
fn a_profile_is_shown_and_explained() {
    scenario(ROOT, |case| {
        let rule = json!({
            "names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 97,
            "args": [{ "index": 0, "op": "SCMP_CMP_EQ", "value": 38 }]
        });
        let profile = allowing(json!([rule, { "names": ["no_such_call"], "action": "SCMP_ACT_KILL" }]));
        let file = case.path("profile.json");
        std::fs::write(&file, profile.to_string()).unwrap();
        let seccomp = |words: &[&str]| {
            let (question, rest) = words.split_first().unwrap();
            case.wolffia().args(["seccomp", question]).arg(&file).args(rest).run()
        };
        let shown = seccomp(&["show"]).succeeds();
        assert!(shown.starts_with("# ") && shown.contains("# syscalls/1: unknown seccomp syscall"), "{shown}");
        assert!(shown.contains("(socket)") && shown.contains("return ERRNO(97)"), "{shown}");
        let explained = seccomp(&["explain", "socket", "0x26"]).succeeds();
        assert_eq!(explained, "socket (x86_64 41): ERRNO(97): rule syscalls/0, because arg0 == 0x26\n");
        let explained = seccomp(&["explain", "41", "2"]).succeeds();
        assert_eq!(explained, "socket (x86_64 41): ALLOW: the profile's default: rule syscalls/0 asks for arg0 == 0x26\n");
        seccomp(&["explain", "no_such_call"]).fails(1, "no architecture has a system call");
        seccomp(&["explain", "socket", "1", "2", "3", "4", "5", "6", "7"]).fails(1, "at most 6 arguments");
        seccomp(&["explain", "socket", "x"]).fails(1, "invalid digit");
        // A whole configuration will do, and the program is what `plan` holds.
        std::fs::write(&file, json!({ "ociVersion": "1.3.0", "linux": { "seccomp": profile } }).to_string()).unwrap();
        assert_eq!(seccomp(&["show"]).succeeds(), shown);
        std::fs::write(&file, r#"{"defaultAction":"SCMP_ACT_MOON"}"#).unwrap();
        seccomp(&["show"]).fails(1, "SCMP_ACT_MOON");
        let bundle = alone(case, &program(GETPPID, &[]), profile);
        let plan = case.call_on("plan", &bundle, "any").run().succeeds();
        assert!(plan.contains("seccomp.load ") && plan.contains("unknown seccomp syscall"), "{plan}");
    });
}

const HIGH: u64 = 1 << 32;
const TIOCSTI: u64 = 0x5412;

/// What wolffia's own profile answers: the errno, 0 for none. Without a filter the kernel says something else to most of them.
const OURS: [(&str, u64, &[u64], i32); 24] = [
    ("socket(AF_ALG)", 41, &[38, 5, 0], 97),
    ("socket(AF_ALG) with a high bit", 41, &[38 | HIGH, 5, 0], 97),
    ("socket(AF_VSOCK)", 41, &[40, 1, 0], 97),
    ("socket(AF_UNIX)", 41, &[1, 1, 0], 0),
    ("ioctl(TIOCSTI)", 16, &[0, TIOCSTI, 0], 5),
    ("ioctl(TIOCSTI) with a high bit", 16, &[0, TIOCSTI | HIGH, 0], 5),
    ("ioctl(TIOCLINUX)", 16, &[0, 0x541c, 0], 5),
    ("ioctl(TCGETS) of no descriptor", 16, &[99, 0x5401, 0], 9),
    ("keyctl", 250, &[0, 0, 0], 1),
    ("add_key", 248, &[0, 0, 0], 1),
    ("request_key", 249, &[0, 0, 0], 1),
    ("clone3", 435, &[0, 0], ENOSYS),
    ("clone(CLONE_NEWUSER)", 56, &[0x1000_0011], 1),
    ("unshare(CLONE_NEWUSER)", 272, &[0x1000_0000], 1),
    ("mount", 165, &[0, 0, 0, 0, 0], 1),
    ("fsopen", 430, &[0, 0], 1),
    ("open_tree", 428, &[0, 0, 0], 1),
    ("mount_setattr", 442, &[0, 0, 0, 0, 0], 1),
    ("bpf", 321, &[0, 0, 0], 1),
    ("perf_event_open", 298, &[0, 0, 0], 1),
    ("userfaultfd", 323, &[0], ENOSYS),
    ("io_uring_setup", 425, &[1, 0], ENOSYS),
    ("getppid", GETPPID, &[], 0),
    ("a call that nobody knows", 1000, &[], ENOSYS),
];

#[test]
fn the_profile_that_spec_writes_holds() {
    scenario(ANYBODY, |case| {
        let directory = case.directory("spec");
        case.wolffia().args(["spec", "--seccomp", "--bundle"]).arg(&directory).run().succeeds();
        let profile = Bundle::new(directory).config()["linux"]["seccomp"].clone();
        assert_eq!(profile["architectures"], json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]));
        for (what, number, arguments, expected) in OURS {
            assert_eq!(outcome(case, &program(number, arguments), profile.clone(), true), expected, "{what}");
        }
        // The calls of x32 and of i386 are judged by the same rules.
        let x32 = outcome(case, &program(0x4000_0000 + 41, &[38 | HIGH, 5, 0]), profile.clone(), true);
        let i386 = outcome(case, &program_of_i386(359, 38, 5), profile.clone(), true);
        // 139 is 128 and SIGSEGV: this kernel runs no 32-bit programs.
        assert!(x32 == 97 && (i386 == 97 || i386 == 139), "{x32} {i386}");
        let honest = case.run_shell("echo $(ls / | wc -l) names", |config| config["linux"]["seccomp"] = profile);
        assert!(honest.succeeds().ends_with(" names\n"));
    });
}

#[test]
fn spec_writes_no_profile_unasked() {
    scenario(ANYBODY, |case| {
        let config = case.bundle(Rootfs::Empty).config();
        assert_eq!(config["linux"].get("seccomp"), None, "{config}");
    });
}

#[test]
fn a_sandbox_has_a_filter() {
    scenario(ANYBODY, |case| {
        let directory = case.directory("programs");
        let sandboxed = |flags: &[&str], program: &[u8]| {
            let path = install(&directory, "program", program);
            let call = case.wolffia().arg("sandbox").args(flags).arg("--ro").arg(&directory).arg("--").arg(&path).run();
            assert!(call.stderr.is_empty(), "{call}");
            call.code()
        };
        for (what, number, arguments, expected) in OURS {
            assert_eq!(sandboxed(&[], &program(number, arguments)), expected, "{what}");
        }
        // socketcall(SYS_SOCKET) hides the family in memory, and socket(AF_ALG) is 359 there.
        for (what, found, expected) in [
            ("socketcall", sandboxed(&[], &program_of_i386(102, 1, 0)), 97),
            ("socket(AF_ALG) of i386", sandboxed(&[], &program_of_i386(359, 38, 5)), 97),
        ] {
            // 128 and SIGSEGV: this kernel runs no 32-bit programs.
            assert!(found == expected || found == 139, "{what}: {found}");
        }
        // The kernel itself says EFAULT.
        assert_eq!(sandboxed(&["--seccomp", "off"], &program(435, &[0, 0])), 22, "clone3 without a filter");
        let file = case.path("own.json");
        std::fs::write(
            &file,
            allowing(json!([{ "names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77 }])).to_string(),
        )
        .unwrap();
        assert_eq!(sandboxed(&["--seccomp", file.to_str().unwrap()], &program(GETPPID, &[])), 77);
        let missing = case.wolffia().args(["sandbox", "--seccomp", "/no/such/profile", "--", "true"]).run();
        missing.fails(125, "/no/such/profile");
    });
}
