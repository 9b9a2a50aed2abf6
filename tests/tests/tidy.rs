//! Rules of the house that a machine can look at.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::path::{Path, PathBuf};

/// What each package may depend on among ours: the arrows of docs/architecture.md.
const ARROWS: &[(&str, &[&str])] = &[
    ("runtime-bin", &["wolffia"]),
    (
        "crates/wolffia",
        &[
            "wolffia-launch",
            "wolffia-cgroup",
            "wolffia-criu",
            "wolffia-state",
            "wolffia-host",
            "wolffia-plan",
            "wolffia-spec",
            "wolffia-seccomp",
            "wolffia-sys",
        ],
    ),
    ("crates/launch", &["wolffia-plan", "wolffia-sys"]),
    ("crates/cgroup", &["wolffia-plan", "wolffia-sys"]),
    ("crates/criu", &["wolffia-sys"]),
    ("crates/host", &["wolffia-plan", "wolffia-sys"]),
    ("crates/state", &["wolffia-sys"]),
    ("crates/plan", &["wolffia-spec", "wolffia-policy", "wolffia-seccomp"]),
    ("crates/spec", &[]),
    ("crates/policy", &[]),
    ("crates/seccomp", &[]),
    ("crates/sys", &[]),
    ("conformance", &[]),
    ("runtime-bin/layout", &[]),
    ("benchmark", &[]),
    ("fuzz", &["wolffia-launch", "wolffia-plan", "wolffia-seccomp", "wolffia-spec", "wolffia-sys"]),
    ("tests", &[]),
];
/// The benchmark's floor program calls the kernel itself: it may link neither a C library nor what is measured, so not `sys` either.
const FLOOR: &str = "benchmark/floor/kernel.rs";
/// Longest file, its tests and what a program wrote not counted.
const LINES: usize = 500;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files below `directory` whose names end so; the build's own directory is not looked into.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && name != "target" && name != ".git" {
            found.extend(files(&path, ending));
        } else if name.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(top()).unwrap().display().to_string()
}

/// Names of the packages of ours below `[dependencies]`; what only tests use is free.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line.trim();
        } else if section == "[dependencies]" || section == "[build-dependencies]" {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            found.extend(name.starts_with("wolffia").then(|| name.to_owned()));
        }
    }
    found
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let manifests: Vec<PathBuf> =
        files(&top(), "Cargo.toml").into_iter().filter(|path| *path != top().join("Cargo.toml")).collect();
    assert!(manifests.len() > 8, "{manifests:?}");
    for manifest in manifests {
        let folder = relative(manifest.parent().unwrap());
        let allowed = ARROWS.iter().find(|(name, _)| *name == folder).unwrap_or_else(|| panic!("{folder} is not on the map"));
        for name in dependencies(&read(&manifest)) {
            assert!(allowed.1.contains(&name.as_str()), "{folder} depends on {name}, which architecture.md does not have");
        }
    }
}

/// The part of a file before its own tests.
fn code(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap()
}

fn mentions(line: &str, word: &str) -> bool {
    let boundary = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word)
        .any(|(at, _)| boundary(line[..at].chars().next_back()) && boundary(line[at + word.len()..].chars().next()))
}

#[test]
fn only_sys_is_unsafe() {
    for path in files(&top(), ".rs") {
        let name = relative(&path);
        // Tests of the seccomp compiler ask a C library for its opinion.
        if name.starts_with("crates/sys/") || name.starts_with("crates/seccomp/tests/") || name == FLOOR {
            continue;
        }
        for (number, line) in read(&path).lines().enumerate() {
            let code = line.split("//").next().unwrap();
            let said = code.matches('"').count() > 1 || code.trim_start().starts_with('"');
            assert!(said || !mentions(code, "unsafe"), "{name}:{}: unsafe outside crates/sys", number + 1);
        }
    }
}

#[test]
fn every_unsafe_block_says_why_it_is_safe() {
    for path in files(&top().join("crates/sys/src"), ".rs").into_iter().chain([top().join(FLOOR)]) {
        let text = read(&path);
        let lines: Vec<&str> = text.lines().collect();
        let blocks = lines.iter().enumerate().filter(|(_, line)| line.split("//").next().unwrap().contains("unsafe {"));
        for (number, _) in blocks {
            let above = &lines[number.saturating_sub(6)..=number];
            assert!(above.iter().any(|line| line.contains("SAFETY:")), "{}:{}", relative(&path), number + 1);
        }
    }
}

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for path in files(&top(), ".rs") {
        let (name, text) = (relative(&path), read(&path));
        let generated = text.lines().take(3).any(|line| line.to_lowercase().contains("generated"));
        let lines = code(&text).lines().count();
        if !generated && !name.contains("/tests/") && lines >= LINES {
            long.push(format!("{name} has {lines} lines"));
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

/// `plan` is a function of its arguments. Its own tests look closer; this one holds even if they are taken away.
#[test]
fn the_planner_touches_nothing() {
    let sources = files(&top().join("crates/plan/src"), ".rs");
    assert!(sources.len() > 20);
    for path in sources {
        for (number, line) in code(&read(&path)).lines().enumerate() {
            let code = line.split("//").next().unwrap();
            for word in
                ["std::fs", "std::env", "std::time", "std::process", "std::net", "std::thread", "wolffia_sys", "rustix", "nix"]
            {
                assert!(!mentions(code, word), "{}:{}: {word}", relative(&path), number + 1);
            }
        }
    }
}

/// A wait has something that ends it; who only looks again and again is late, or busy.
#[test]
fn nothing_sleeps() {
    for path in files(&top().join("crates"), ".rs").into_iter().chain(files(&top().join("runtime-bin"), ".rs")) {
        if relative(&path).contains("/tests/") {
            continue;
        }
        for (number, line) in code(&read(&path)).lines().enumerate() {
            assert!(!mentions(line, "thread::sleep"), "{}:{}: {line}", relative(&path), number + 1);
        }
    }
}

/// A path of the machine that built this would work nowhere else.
#[test]
fn files_name_no_machine() {
    let home = std::env::var("HOME").unwrap_or_default();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let top = top();
    let (top_text, host) = (top.to_str().unwrap(), host.trim());
    let endings = [".rs", ".md", ".toml", ".txt", ".json", ".plan", ".sh", "run", ".yml"];
    for path in endings.iter().flat_map(|ending| files(&top, ending)) {
        let (name, Ok(text)) = (relative(&path), std::fs::read_to_string(&path)) else { continue };
        for (number, line) in text.lines().enumerate() {
            let place = format!("{name}:{}", number + 1);
            assert!(!line.contains(top_text), "{place}: {top_text}");
            // Too short or too common a name would be found in words.
            assert!(home.len() < 7 || !line.contains(&home), "{place}: {home}");
            assert!(host.len() < 6 || host == "localhost" || !mentions(line, host), "{place}: {host}");
            let unfinished = ["TODO", "FIXME", "XXX"].iter().find(|word| mentions(line, word));
            assert!(unfinished.is_none() || name.ends_with("tests/tests/tidy.rs"), "{place}: {line}");
        }
    }
}

/// Words of a line between backquotes.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// A promise whose test was renamed or taken away is one that nobody keeps.
#[test]
fn every_promise_names_tests_that_exist() {
    let page = read(&top().join("docs/security.md"));
    let tests: String = files(&top().join("tests/tests"), ".rs").iter().map(|path| read(path)).collect();
    let (_, promises) = page.split_once("\n## Promises\n").unwrap();
    let (promises, other) = promises.split_once("\n## What is not a boundary\n").unwrap();
    let rows: Vec<&str> = promises.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 10, "{rows:?}");
    for row in &rows {
        let (promise, proof) = row.trim_matches(['|', ' ']).rsplit_once('|').unwrap();
        assert!(proof.contains(".rs)"), "no test: {promise}");
    }
    let proofs = rows.iter().map(|row| row.trim_matches(['|', ' ']).rsplit_once('|').unwrap().1);
    // Elsewhere on the page a test is named with its module, or after the file that it is in.
    let mentioned = other.lines().filter(|line| line.contains(".rs)") || line.starts_with("| `"));
    let mentioned = mentioned.map(|line| line.split(" | ").next().unwrap());
    for text in proofs.chain(mentioned) {
        for name in quoted(text).map(|name| name.rsplit("::").next().unwrap()) {
            let is_name =
                !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_*".contains(c));
            // A name may be a beginning: of all tests of a CVE.
            let found = tests.contains(&format!("\nfn {}", name.trim_end_matches('*')));
            assert!(found || !is_name || !name.contains('_'), "docs/security.md names {name}, which is no test");
        }
        let links = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        for link in links {
            assert!(top().join("docs").join(link).exists(), "docs/security.md links to {link}");
        }
    }
}

#[test]
fn the_lock_file_is_committed_and_the_toolchain_is_pinned() {
    assert!(top().join("Cargo.lock").exists());
    assert!(!read(&top().join(".gitignore")).contains("Cargo.lock"));
    assert!(read(&top().join("rust-toolchain.toml")).contains("channel = \"1."));
    let runs = read(&top().join(".ci/run"));
    assert!(runs.contains("tests/run"));
}
