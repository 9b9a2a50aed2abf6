//! What runs inside the containers where a shell is too slow: this same test binary, which is static.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use wolffia_tests::{Bundle, json};

use crate::canary::LEAK;

const ROLE: &str = "WOLFFIA_ESCAPES_ROLE";

/// Has the bundle's container play the role, until it is killed.
pub fn play(bundle: &Bundle, role: &str) {
    std::fs::copy(std::env::current_exe().unwrap(), bundle.rootfs().join("attack")).unwrap();
    bundle.args(&["/attack", "inside::role", "--exact", "--nocapture", "--include-ignored"]);
    bundle.edit(|config| config["process"]["env"].as_array_mut().unwrap().push(json!(format!("{ROLE}={role}"))));
}

#[test]
#[ignore = "runs inside the containers of the other tests"]
fn role() {
    match std::env::var(ROLE).as_deref() {
        Ok("look-at-others") => look_at_others(),
        Ok("write-their-program") => write_their_program(),
        other => println!("skipped: no role is called {other:?}"),
    }
}

/// Processes beside this one.
fn others() -> impl Iterator<Item = PathBuf> {
    let own = std::process::id().to_string();
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let numbered =
        all.filter(move |entry| entry.file_name().to_str().is_some_and(|name| name != own && name.parse::<u32>().is_ok()));
    numbered.map(|entry| entry.path())
}

/// Who comes in by `exec` must be closed to us until it is the container's own program (CVE-2016-9962).
fn look_at_others() {
    say("ready");
    loop {
        for process in others() {
            // The runtime's program in a process whose links can be read.
            let Ok(program) = std::fs::read_link(process.join("exe")) else { continue };
            if program.starts_with("/bin") || program.starts_with("/attack") {
                continue;
            }
            let descriptors: Vec<_> = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten().collect();
            let links: Vec<_> = descriptors.iter().map(|entry| std::fs::read_link(entry.path())).collect();
            say(&format!("{LEAK}: {} runs {}, {links:?}", process.display(), program.display()));
        }
    }
}

/// The file behind /proc/PID/exe is opened while it runs, and written when it does no more (CVE-2019-5736).
fn write_their_program() {
    say("ready");
    let mut held: Vec<File> = Vec::new();
    loop {
        for process in others() {
            let program = process.join("exe");
            if std::fs::read_link(&program).is_ok_and(|path| path.starts_with("/bin") || path.starts_with("/attack")) {
                continue;
            }
            if let Ok(file) = File::open(&program) {
                held.push(file);
            }
        }
        held.retain(|file| {
            let again = format!("/proc/self/fd/{}", file.as_raw_fd());
            match OpenOptions::new().write(true).open(again) {
                // A sealed file opens, and takes nothing.
                Ok(mut file) => {
                    if file.write_all(b"#!/bin/sh\necho overwritten\n").is_ok() {
                        say(&format!("{LEAK}: written"));
                    }
                    false
                }
                Err(_) => true,
            }
        });
        let newest = held.len().saturating_sub(32);
        held.drain(..newest);
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()).unwrap();
}
