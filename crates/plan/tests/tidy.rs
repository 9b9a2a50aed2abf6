//! The planner's sources stay pure: the lint of clippy.toml sees calls, this sees every mention.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may read files and fail loudly"
)]

use std::path::{Path, PathBuf};

/// What no source of the planner may name.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::time",
    "std::thread",
    "std::net",
    "std::io",
    "std::os",
    "use std::{",
    "libc::syscall",
    "unsafe",
    "println!",
    "static mut",
    ".exists()",
    ".is_dir()",
    ".is_file()",
    ".canonicalize()",
    ".metadata()",
    ".read_link()",
];

fn sources(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, into),
            false => into.push(path),
        }
    }
}

#[test]
fn the_planner_is_pure() {
    let mut files = Vec::new();
    sources(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 20, "the sources were not found: {files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for word in IMPURE {
                assert!(!line.contains(word), "{}:{}: the planner may not use {word}", file.display(), number + 1);
            }
        }
    }
}

/// libc is here for its numbers; a call would be unsafe, and a function of it must not even be imported.
#[test]
fn libc_gives_numbers_only() {
    let mut files = Vec::new();
    sources(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for used in text.split("libc::").skip(1) {
            let list = used.strip_prefix('{').and_then(|list| list.split_once('}')).map_or("", |(list, _)| list);
            let name: String = match list {
                "" => used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect(),
                list => list.chars().filter(|c| !c.is_whitespace() && *c != ',').collect(),
            };
            let is_number = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
            assert!(is_number, "{}: libc::{name} is no constant", file.display());
        }
    }
}
