//! Tells the linker what belongs together (docs/decisions/layout.md), and has it say what it put where.

use std::env::var;
use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=layout/functions.txt");
    println!("cargo:rerun-if-changed=layout/constants.ld");
    // The files are of the optimized program; and lld, whose words these are, is the linker of Rust on this target alone.
    let measured = var("PROFILE").as_deref() == Ok("release") && var("TARGET").as_deref() == Ok("x86_64-unknown-linux-gnu");
    let (Ok(directory), Ok(output), true) = (var("CARGO_MANIFEST_DIR"), var("OUT_DIR"), measured) else { return };
    let layout = Path::new(&directory).join("layout");
    let argument = |text: String| println!("cargo:rustc-link-arg-bin=wolffia=-Wl,{text}");
    // Before the C library's start (crates/sys/src/entry.rs). Not where nothing is optimized: there the compiler puts calls of memcpy.
    argument("--entry=wolffia_entry".to_owned());
    argument(format!("--symbol-ordering-file={}", layout.join("functions.txt").display()));
    // A function that is gone is no reason to warn.
    argument("--no-warn-symbol-ordering".to_owned());
    argument(format!("-T,{}", layout.join("constants.ld").display()));
    argument(format!("-Map={}", Path::new(&output).join("wolffia.map").display()));
}
