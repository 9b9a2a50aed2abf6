//! Whole plans, as people read them: `tests/golden/*.json` are configurations, `*.plan` what wolffia makes of them.
//!
//! `WOLFFIA_BLESS=1 cargo test -p wolffia-plan --test golden` writes the expected files anew.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may read files and fail loudly"
)]

mod common;

use std::fmt::Write;
use std::path::PathBuf;
use wolffia_plan::{Host, Plan, Request};

fn check(name: &str, request: &Request, host: &Host) {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let config = std::fs::read_to_string(directory.join(format!("{name}.json"))).unwrap();
    let plan = common::plan(&config.parse().unwrap(), request, host).unwrap();
    let actual = render(&plan);
    let file = directory.join(format!("{name}.plan"));
    if std::env::var_os("WOLFFIA_BLESS").is_some() {
        std::fs::write(&file, &actual).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(actual, expected, "the plan of {name} has changed: look at it, then bless it");
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan, "a stored plan must read back as it was");
}

fn render(plan: &Plan) -> String {
    let mut text = String::new();
    for line in plan.outline() {
        writeln!(text, "{line}").unwrap();
    }
    for recorded in &plan.recorded {
        writeln!(text, "! {}: {}", recorded.field, recorded.reason).unwrap();
    }
    text
}

#[test]
fn runc_default_as_root() {
    check("runc-root", &common::request(), &common::root_host());
}

#[test]
fn runc_default_rootless() {
    check("runc-rootless", &common::rootless_request(), &common::user_host());
}

#[test]
fn docker() {
    check("docker", &common::request(), &common::root_host());
}

#[test]
fn podman_rootless() {
    check("podman-rootless", &Request { preserve_fds: 2, ..common::rootless_request() }, &common::user_host());
}

#[test]
fn kubernetes() {
    check("kubernetes", &common::request(), &common::root_host());
}

#[test]
fn everything_on_a_hybrid_host() {
    let request = Request { listen_fds: 1, notify_directory: Some(common::path("/run/wolffia/box/notify")), ..common::request() };
    check("everything", &request, &common::hybrid_host());
}
