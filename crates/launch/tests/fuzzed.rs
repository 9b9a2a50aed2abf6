//! What the fuzz targets check, over their seeds and what they once found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

#[path = "../../../fuzz/checks/handshake.rs"]
mod handshake;
#[path = "../../../fuzz/checks/seeds.rs"]
mod seeds;

#[test]
fn handshake_of_the_seeds() {
    seeds::each("handshake", handshake::check);
}
