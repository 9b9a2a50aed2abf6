//! What the fuzz targets check, over their seeds and what they once found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

#[path = "../../../fuzz/checks/landlock.rs"]
mod landlock;
#[path = "../../../fuzz/checks/seeds.rs"]
mod seeds;

#[test]
fn landlock_of_the_seeds() {
    seeds::each("landlock", landlock::check);
}
