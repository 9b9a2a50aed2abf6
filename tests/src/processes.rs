//! Processes of a scenario. The scenario's process adopts orphans (a subreaper), because a first process of the machine that
//! reaps seldom would leave zombies behind.

use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, wait};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(3);

/// Lets orphans become this process's children.
pub fn adopt_orphans() {
    set_child_subreaper(Some(rustix::process::getpid())).unwrap();
}

/// Calls `done` until it says true. False after `limit`.
pub fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

/// A line of /proc.
#[derive(Debug, Clone)]
pub struct Entry {
    pub pid: i32,
    pub parent: i32,
    pub state: char,
    pub command: String,
}

/// All processes below `pid`.
pub fn descendants(pid: i32) -> Vec<Entry> {
    let all = table();
    let mut found = Vec::new();
    let mut from = vec![pid];
    while let Some(parent) = from.pop() {
        let children = all.values().filter(|entry| entry.parent == parent);
        for child in children {
            from.push(child.pid);
            found.push(child.clone());
        }
    }
    found
}

/// Takes the ends of adopted processes. Call it only when no child is left whose end somebody waits for.
pub fn reap() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}

/// Ends everything below this process.
pub fn kill_descendants(of: i32) {
    for entry in descendants(of) {
        if let Some(pid) = Pid::from_raw(entry.pid) {
            // It may have ended meanwhile.
            kill_process(pid, Signal::KILL).ok();
        }
    }
}

fn table() -> BTreeMap<i32, Entry> {
    let names = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    names.filter_map(|pid| Some((pid, entry(pid)?))).collect()
}

fn entry(pid: i32) -> Option<Entry> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let (state, parent) = (fields.next()?.chars().next()?, fields.next()?.parse().ok()?);
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    Some(Entry { pid, parent, state, command: format!("({name}) {}", line.trim_end()) })
}
