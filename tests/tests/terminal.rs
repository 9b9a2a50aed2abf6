//! Terminals: the caller's own, and one that is sent through a socket. As with runc, a line ends with a newline alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use rustix::termios::LocalModes;
use std::time::Duration;
use wolffia_tests::{ANYBODY, Bundle, Case, ConsoleSocket, Pty, json, scenario, wait_until};

const PATIENCE: Duration = Duration::from_secs(10);

fn on_terminal(case: &Case, script: &str) -> Bundle {
    let bundle = case.shell(script);
    bundle.edit(|config| config["process"]["terminal"] = json!(true));
    bundle
}

#[test]
fn the_program_has_a_terminal_of_its_own_with_the_callers_size() {
    scenario(ANYBODY, |case| {
        let mut pty = Pty::open();
        pty.resize(33, 101);
        let bundle = on_terminal(case, "tty; stty size; test -t 0 -a -t 1 -a -t 2 && echo all three; exit 5");
        let process = pty.spawn(case.call_on("run", &bundle, &case.id()));
        pty.expect("/dev/pts/0\n33 101\nall three\n");
        assert_eq!(process.wait(PATIENCE).code(), 5);
    });
}

#[test]
fn the_callers_terminal_is_raw_meanwhile_and_restored_afterwards() {
    scenario(ANYBODY, |case| {
        let mut pty = Pty::open();
        let before = pty.settings().local_modes;
        assert!(before.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG));
        let process = pty.spawn(case.call_on("run", &on_terminal(case, "echo ready; read line; echo got:$line"), &case.id()));
        pty.expect("ready");
        assert!(!pty.settings().local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG));
        pty.send("typed\n");
        pty.expect("got:typed");
        assert_eq!(process.wait(PATIENCE).code(), 0);
        assert_eq!(pty.settings().local_modes, before);
    });
}

#[test]
fn ctrl_c_reaches_the_program_and_not_the_runtime() {
    scenario(ANYBODY, |case| {
        let mut pty = Pty::open();
        let script = "trap 'echo interrupted; exit 4' INT; echo ready; while :; do sleep 0.05; done";
        let process = pty.spawn(case.call_on("run", &on_terminal(case, script), &case.id()));
        pty.expect("ready");
        pty.send("\x03");
        pty.expect("interrupted");
        assert_eq!(process.wait(PATIENCE).code(), 4);
    });
}

#[test]
fn a_new_size_reaches_the_program() {
    scenario(ANYBODY, |case| {
        let mut pty = Pty::open();
        pty.resize(24, 80);
        let script = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done";
        let process = pty.spawn(case.call_on("run", &on_terminal(case, script), &case.id()));
        pty.expect("ready");
        pty.resize(50, 132);
        pty.expect("50 132");
        assert_eq!(process.wait(PATIENCE).code(), 0);
    });
}

#[test]
fn much_output_arrives_complete() {
    scenario(ANYBODY, |case| {
        let mut pty = Pty::open();
        let process = pty.spawn(case.call_on("run", &on_terminal(case, "seq 1 20000; echo the end"), &case.id()));
        let seen = pty.expect("the end\n");
        assert_eq!(process.wait(PATIENCE).code(), 0);
        let numbers: Vec<&str> = seen.lines().collect();
        assert_eq!((numbers.len(), numbers[19_999]), (20_001, "20000"));
    });
}

#[test]
fn a_console_socket_receives_the_master() {
    scenario(ANYBODY, |case| {
        let socket = ConsoleSocket::listen(case.path("console.sock"));
        let id = case.id();
        let create = case.call_on("create", &on_terminal(case, "tty; read line; echo got:$line"), &id);
        create.arg("--console-socket").arg(socket.path()).run().succeeds();
        let (mut pty, name) = socket.receive();
        assert_eq!(name, "/dev/pts/0");
        case.wolffia().args(["start", &id]).run().succeeds();
        pty.expect("/dev/pts/0");
        pty.send("typed\n");
        pty.expect("got:typed");
        assert!(wait_until(PATIENCE, || case.state(&id)["status"] == "stopped"));
    });
}

#[test]
fn exec_with_a_terminal() {
    scenario(ANYBODY, |case| {
        let id = case.started(&case.shell("exec sleep 300"));
        let mut pty = Pty::open();
        pty.resize(20, 60);
        let process = pty.spawn(case.wolffia().args(["exec", "-t", &id, "sh", "-c", "tty; stty size; read x; exit $x"]));
        pty.expect("/dev/pts/0\n20 60\n");
        pty.send("8\n");
        assert_eq!(process.wait(PATIENCE).code(), 8);

        let socket = ConsoleSocket::listen(case.path("console.sock"));
        let exec = case.wolffia().args(["exec", "--tty", "--detach", "--console-socket"]).arg(socket.path());
        exec.args([&id, "sh", "-c", "tty; sleep 300"]).run().succeeds();
        let (mut pty, _) = socket.receive();
        pty.expect("/dev/pts/0");
    });
}

#[test]
fn sandbox_on_a_terminal() {
    scenario(ANYBODY, |case| {
        let mut pty = Pty::open();
        pty.resize(31, 77);
        let process = pty.spawn(case.wolffia().args(["sandbox", "--", "sh", "-c", "tty; stty size; exit 3"]));
        pty.expect("/dev/pts/0\n31 77\n");
        assert_eq!(process.wait(PATIENCE).code(), 3);
    });
}

#[test]
fn a_terminal_that_nobody_would_receive_is_refused() {
    scenario(ANYBODY, |case| {
        let bundle = on_terminal(case, "true");
        let detached = case.call_on("run", &bundle, &case.id()).arg("--detach").run();
        detached.fails(1, "cannot allocate tty if runc will detach without setting console socket");
        case.call_on("create", &bundle, &case.id())
            .run()
            .fails(1, "cannot allocate tty if runc will detach without setting console socket");
        let socket = ConsoleSocket::listen(case.path("console.sock"));
        let call = case.call_on("create", &case.shell("true"), &case.id()).arg("--console-socket").arg(socket.path());
        call.run().fails(1, "cannot use console socket if runc will not detach or allocate tty");
        let gone = case.call_on("create", &bundle, &case.id()).arg("--console-socket").arg(case.path("nobody.sock"));
        assert_eq!(gone.run().code(), 1);
    });
}

#[test]
fn without_a_terminal_the_streams_are_the_callers() {
    scenario(ANYBODY, |case| {
        assert_eq!(case.run_shell("test -t 0 || echo none; tty", |_| {}).stdout, "none\nnot a tty\n");
    });
}
