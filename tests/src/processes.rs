//! Processes of a scenario. The scenario's process adopts orphans (a subreaper) and takes their ends at once: a first process of
//! the machine that reaps seldom would leave zombies, and a pid namespace lives as long as a zombie of it.

use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, waitpid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(3);

/// Children that somebody waits for.
static OWN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Lets orphans become this process's children, and takes their ends.
pub fn adopt_orphans() {
    set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    std::thread::spawn(|| {
        loop {
            reap();
            std::thread::sleep(PAUSE);
        }
    });
}

/// Makes a child whose end its maker takes.
pub fn spawn_own(command: &mut std::process::Command) -> std::io::Result<std::process::Child> {
    let mut own = OWN.lock().unwrap();
    let child = command.spawn()?;
    own.insert(child.id().cast_signed());
    Ok(child)
}

/// Takes the ends of adopted processes.
pub fn reap() {
    let own = OWN.lock().unwrap();
    for pid in children().into_iter().filter(|pid| !own.contains(pid)) {
        // Another thread may have been quicker, which is no error.
        Pid::from_raw(pid).map(|pid| waitpid(Some(pid), WaitOptions::NOHANG).ok());
    }
}

/// This process's children. The kernel keeps a list for each thread.
fn children() -> Vec<i32> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let lists = threads.map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>()).collect()
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
