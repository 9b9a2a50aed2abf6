//! Verbs about this process: waiting, ending, its children, its terminal and its clocks.

use crate::Answer;
use nix::sys::signal::{SigSet, Signal};
use serde_json::{Value, json};
use std::io::{Error, Read as _};
use std::process::Command;
use std::time::{Duration, Instant};

/// The longest that any verb waits, so that a forgotten container ends by itself.
const LONGEST: Duration = Duration::from_secs(60);

pub fn sleep(seconds: &str) -> Answer {
    let wanted = Duration::from_secs_f64(seconds.parse().map_err(Error::other)?);
    std::thread::sleep(wanted.min(LONGEST));
    Ok(json!(seconds))
}

pub fn exit(code: &str) -> Answer {
    std::process::exit(code.parse().map_err(Error::other)?)
}

/// Sends a signal to this process; the answer is seen only when the signal did not end it.
pub fn signal_self(number: &str) -> Answer {
    let signal = Signal::try_from(number.parse::<i32>().map_err(Error::other)?)?;
    nix::sys::signal::kill(nix::unistd::Pid::this(), signal)?;
    Ok(json!(number))
}

/// Blocks every signal, says so, and tells the number of the first that arrives.
pub fn wait_signal() -> Answer {
    let set = SigSet::all();
    set.thread_block()?;
    // The caller sends its signal only when it has read this line: before it the signal would be lost or deadly.
    crate::say(&Ok(json!("waiting")));
    Ok(json!(set.wait()? as i32))
}

/// Waits until a path exists, for a caller that must act while the container runs.
pub fn wait_file(path: &str) -> Answer {
    let end = Instant::now() + LONGEST;
    while Instant::now() < end {
        if std::fs::symlink_metadata(path).is_ok() {
            return Ok(json!(path));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(Error::from_raw_os_error(nix::errno::Errno::ETIMEDOUT as i32))
}

/// Runs a program to its end, its output among ours, and tells its exit status.
pub fn spawn(program: &str, arguments: &[&str]) -> Answer {
    Ok(json!(Command::new(program).args(arguments).status()?.code()))
}

/// Leaves a process behind that sleeps, and tells its process id.
pub fn background(seconds: &str) -> Answer {
    let null = std::process::Stdio::null;
    let child = Command::new("/proc/self/exe").args(["sleep", seconds]).stdin(null()).stdout(null()).stderr(null()).spawn()?;
    Ok(json!(child.id()))
}

/// Moves to a mount namespace of its own, for another container to join.
pub fn own_mounts() -> Answer {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
    Ok(json!(null))
}

/// What a forked child sees of its scheduling: policy and nice value may be reset there.
pub fn fork_report() -> Answer {
    let output = Command::new("/proc/self/exe").arg("report").output()?;
    let line: Value = serde_json::from_slice(&output.stdout).map_err(Error::other)?;
    Ok(line["ok"].clone())
}

/// The text that an inherited descriptor has to give.
pub fn read_fd(number: &str) -> Answer {
    let mut text = String::new();
    std::fs::File::open(format!("/proc/self/fd/{number}"))?.take(4096).read_to_string(&mut text)?;
    Ok(json!(text))
}

/// What standard input is, when it is a terminal, and whether a controlling terminal can be opened.
pub fn terminal() -> Answer {
    let stdin = std::io::stdin();
    let size = rustix::termios::tcgetwinsize(&stdin).ok();
    Ok(json!({
        "isatty": rustix::termios::isatty(&stdin),
        "name": std::fs::read_link("/proc/self/fd/0")?.to_string_lossy(),
        "rows": size.map(|size| size.ws_row),
        "columns": size.map(|size| size.ws_col),
        "controlling": std::fs::File::open("/dev/tty").is_ok(),
    }))
}

/// The clocks that a time namespace moves, in seconds.
pub fn clocks() -> Answer {
    let monotonic = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let boottime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Ok(json!({ "monotonic": monotonic.tv_sec, "boottime": boottime.tv_sec }))
}
