//! The process that the suite puts into a container: it does what its verbs say and prints one JSON line for each.
//!
//! `wolffia-payload VERB [ARG…] [-- VERB [ARG…]]…` prints `{"ok": …}` or `{"err": "EROFS"}` for every verb, in order.
//! It resolves no names, loads no libraries and needs no file of the host; `/proc` is where most of what it reports is read.

mod files;
mod hook;
mod proc_text;
mod process;
mod report;

use serde_json::{Value, json};
use std::io::Write as _;

/// What a verb came to: a value, or the errno that stopped it.
pub type Answer = std::io::Result<Value>;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for verb in arguments.split(|word| word == "--").filter(|verb| !verb.is_empty()) {
        say(&answer(verb));
    }
}

/// Prints one answer as a line of its own, at once: the next verb may end the process.
fn say(answer: &Answer) {
    let line = match answer {
        Ok(value) => json!({ "ok": value }),
        Err(error) => json!({ "err": errno_name(error) }),
    };
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(120);
    }
}

fn errno_name(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => format!("{:?}", nix::errno::Errno::from_raw(number)),
        None => error.to_string(),
    }
}

fn answer(verb: &[String]) -> Answer {
    let words: Vec<&str> = verb.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["report"] => report::whole(),
        ["cat", path] => files::cat(path),
        ["write", path, text] => files::write(path, text),
        ["append", path, text] => files::append(path, text),
        ["mkdir", path] => files::mkdir(path),
        ["stat", path] => files::stat(path),
        ["stat-named", variable] => files::stat_named(variable),
        ["lstat", path] => files::lstat(path),
        ["ls", path] => files::ls(path),
        ["open", path] => files::open(path),
        ["writable", path] => files::writable(path),
        ["say", text] => Ok(json!(text)),
        ["sleep", seconds] => process::sleep(seconds),
        ["exit", code] => process::exit(code),
        ["signal-self", number] => process::signal_self(number),
        ["wait-signal"] => process::wait_signal(),
        ["wait-file", path] => process::wait_file(path),
        ["spawn", program, arguments @ ..] => process::spawn(program, arguments),
        ["background", seconds] => process::background(seconds),
        ["own-mounts"] => process::own_mounts(),
        ["fork-report"] => process::fork_report(),
        ["read-fd", number] => process::read_fd(number),
        ["terminal"] => process::terminal(),
        ["clocks"] => process::clocks(),
        ["hook", log, arguments @ ..] => hook::record(log, arguments),
        _ => Err(std::io::Error::other(format!("no such verb: {words:?}"))),
    }
}
