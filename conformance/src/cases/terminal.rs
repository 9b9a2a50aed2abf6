//! Terminals: config.md's terminal and consoleSize, and how engines get the other end.

use crate::bench::Bench;
use crate::bundle::{Bundle, PAYLOAD};
use crate::case::{Case, Clause, Verdict, ensure, expect, fail};
use crate::container::{Container, parse_answers, value};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use std::io::{IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

const TERMINAL: Clause = Clause::must(
    "config.md, Process",
    "terminal specifies whether a terminal is attached to the process. […] a pseudoterminal pair is allocated for the process and the pty is duplicated on the process's standard streams.",
);
const CONSOLE: Clause = Clause::must(
    "config-linux.md, Default Devices",
    "/dev/console is set up if terminal is enabled in the config by bind mounting the pseudoterminal pty to /dev/console.",
);
const SIZE: Clause = Clause::must("config.md, Process", "consoleSize specifies the console size in characters of the terminal.");
const SIZE_IGNORED: Clause =
    Clause::must("config.md, Process", "Runtimes MUST ignore consoleSize if terminal is false or unset.");
const SOCKET: Clause = Clause::contract(
    "containerd, conmon",
    "The runtime connects to the console socket and sends exactly one descriptor, the pty master, with SCM_RIGHTS.",
);
const NO_SOCKET: Clause = Clause::contract(
    "runc; conmon and containerd rely on the error",
    "create with a terminal and without a console socket is refused.",
);
const NO_TERMINAL: Clause = Clause::contract(
    "bubblewrap CVE-2017-5226, Docker",
    "Without terminal the process has no controlling terminal and a session of its own.",
);

pub fn cases() -> Vec<Case> {
    vec![
        TERMINAL.case("process.terminal", terminal),
        CONSOLE.case("process.terminal.dev-console", dev_console),
        SIZE.case("process.console-size", console_size),
        SIZE_IGNORED.case("process.console-size.without-terminal", size_ignored),
        NO_TERMINAL.case("process.terminal.none", no_terminal),
        SOCKET.case("cli.create.console-socket", console_socket),
        SOCKET.case("cli.exec.console-socket", exec_terminal),
        NO_SOCKET.case("cli.create.console-socket.missing", socket_missing),
    ]
}

/// The receiving end of a console socket.
struct Console {
    listener: UnixListener,
    path: PathBuf,
}

impl Console {
    fn listen(bench: &Bench) -> Verdict<Self> {
        let path = bench.folder.join("console.sock");
        let listener = UnixListener::bind(&path)?;
        if bench.who.switch {
            std::os::unix::fs::chown(&path, Some(bench.who.uid), Some(bench.who.gid))?;
        }
        Ok(Self { listener, path })
    }

    fn argument(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// The descriptors of the first message, and its text.
    fn receive(&self) -> Verdict<(Vec<OwnedFd>, String)> {
        let patience = Timespec { tv_sec: 4, tv_nsec: 0 };
        if poll(&mut [PollFd::new(&self.listener, PollFlags::IN)], Some(&patience))? == 0 {
            return Err(fail("nobody connected to the console socket"));
        }
        let (stream, _) = self.listener.accept()?;
        if poll(&mut [PollFd::new(&stream, PollFlags::IN)], Some(&patience))? == 0 {
            return Err(fail("nothing was sent to the console socket"));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut text = [0; 4096];
        let got = recvmsg(&stream, &mut [IoSliceMut::new(&mut text)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(sent) = message {
                descriptors.extend(sent);
            }
        }
        Ok((descriptors, String::from_utf8_lossy(&text[..got.bytes]).into_owned()))
    }

    fn master(&self) -> Verdict<OwnedFd> {
        self.receive()?.0.pop().ok_or_else(|| fail("no descriptor came with the message"))
    }
}

/// All that is written to the terminal until nobody holds its other end.
fn read_all(master: OwnedFd) -> Verdict<Vec<Value>> {
    let mut text = Vec::new();
    let mut file = std::fs::File::from(master);
    // A terminal whose last user is gone answers EIO, which is its end of file.
    match file.read_to_end(&mut text) {
        Ok(_) => {}
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EIO as i32) => {}
        Err(error) => return Err(error.into()),
    }
    parse_answers(&String::from_utf8_lossy(&text))
}

fn with_terminal(bench: &Bench) -> Verdict<Bundle> {
    let mut bundle = bench.bundle()?;
    bundle.config["process"]["terminal"] = json!(true);
    Ok(bundle)
}

fn create<'bench>(bench: &'bench Bench, bundle: &Bundle, console: &Console) -> Verdict<Container<'bench>> {
    bundle.write()?;
    let id = bench.id();
    let path = bundle.path.to_string_lossy().into_owned();
    let output = bench.runtime.call(&["create", "--bundle", &path, "--console-socket", &console.argument(), &id]).run()?;
    let container = Container::made(bench, id, &output);
    output.success("create")?;
    Ok(container)
}

/// The answers that verbs give on the terminal of a container.
fn on_terminal(bench: &Bench, mut bundle: Bundle, verbs: &[&str]) -> Verdict<Vec<Value>> {
    bundle.verbs(verbs);
    let console = Console::listen(bench)?;
    let container = create(bench, &bundle, &console)?;
    let master = console.master()?;
    container.start()?;
    let answers = read_all(master)?;
    ensure(answers.len() >= verbs.len(), || format!("the terminal shows {answers:?}"))?;
    Ok(answers)
}

fn terminal(bench: &Bench) -> Verdict {
    let answers = on_terminal(bench, with_terminal(bench)?, &["terminal", "report"])?;
    let (seen, report) = (value(&answers[0])?, value(&answers[1])?);
    expect("whether standard input is a terminal", &seen["isatty"], &json!(true))?;
    expect("whether there is a controlling terminal", &seen["controlling"], &json!(true))?;
    let streams = &report["descriptors"];
    ensure(streams["0"] == streams["1"] && streams["1"] == streams["2"], || format!("the streams are {streams}"))
}

fn dev_console(bench: &Bench) -> Verdict {
    let answers = on_terminal(bench, with_terminal(bench)?, &["stat /dev/console", "stat /proc/self/fd/0"])?;
    let (console, stdin) = (value(&answers[0])?, value(&answers[1])?);
    let numbers = |seen: &Value| json!([seen["type"], seen["major"], seen["minor"]]);
    expect("type and numbers of /dev/console", &numbers(console), &numbers(stdin))
}

fn console_size(bench: &Bench) -> Verdict {
    let mut bundle = with_terminal(bench)?;
    bundle.config["process"]["consoleSize"] = json!({ "height": 33, "width": 99 });
    let answers = on_terminal(bench, bundle, &["terminal"])?;
    let seen = value(&answers[0])?;
    expect("rows and columns", &json!([seen["rows"], seen["columns"]]), &json!([33, 99]))
}

fn size_ignored(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.config["process"]["consoleSize"] = json!({ "height": 33, "width": 99 });
    bench.report(&mut bundle).map(drop)
}

fn no_terminal(bench: &Bench) -> Verdict {
    let answers = bench.ask(&mut bench.bundle()?, &["terminal", "report"])?;
    expect("whether there is a controlling terminal", &value(&answers[0])?["controlling"], &json!(false))?;
    let report = value(&answers[1])?;
    expect("the session of the process", &report["session"], &report["pid"])
}

fn console_socket(bench: &Bench) -> Verdict {
    let mut bundle = with_terminal(bench)?;
    bundle.verbs(&["say up"]);
    let console = Console::listen(bench)?;
    let _container = create(bench, &bundle, &console)?;
    let (descriptors, _) = console.receive()?;
    expect("the number of descriptors", &json!(descriptors.len()), &json!(1))?;
    ensure(rustix::termios::isatty(&descriptors[0]), || "the descriptor is no terminal".into())
}

fn exec_terminal(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let container = bench.running(&mut bundle)?;
    let console = Console::listen(bench)?;
    let socket = console.argument();
    container.exec(&["--tty", "--detach", "--console-socket", &socket], &[PAYLOAD, "terminal"])?.success("exec")?;
    let answers = read_all(console.master()?)?;
    let Some(answer) = answers.first() else { return Err(fail("the terminal shows nothing")) };
    expect("whether standard input is a terminal", &value(answer)?["isatty"], &json!(true))
}

fn socket_missing(bench: &Bench) -> Verdict {
    let bundle = with_terminal(bench)?;
    bench.refused(&bundle).map(drop)
}
