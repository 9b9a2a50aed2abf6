//! What the fuzz targets check, over their seeds and what they once found.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;
#[path = "../../../fuzz/checks/configuration.rs"]
mod configuration;
#[path = "../../../fuzz/checks/mount_options.rs"]
mod mount_options;
#[path = "../../../fuzz/checks/seeds.rs"]
mod seeds;

#[test]
fn configuration_of_the_seeds() {
    seeds::each("configuration", configuration::check);
}

#[test]
fn mount_options_of_the_seeds() {
    seeds::each("mount_options", mount_options::check);
}
