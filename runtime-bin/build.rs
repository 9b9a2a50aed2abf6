//! Tells the linker what belongs together (docs/decisions/layout.md), and has it say what it put where; and whether the C library is one
//! whose start can be ours (docs/decisions/libc-start.md).

use std::env::var;
use std::path::Path;
use std::process::Command;

/// The C library that `wolffia::sys::libc_start!` was compared with, as it says itself.
const KNOWN_LIBRARY: &[u8] = b"GNU C Library (Debian GLIBC 2.36-";

fn main() {
    println!("cargo:rustc-check-cfg=cfg(plain_processor)");
    println!("cargo:rerun-if-changed=layout/functions.txt");
    println!("cargo:rerun-if-changed=layout/constants.ld");
    // The files are of the optimized program; and lld, whose words these are, is the linker of Rust on this target alone.
    let measured = var("PROFILE").as_deref() == Ok("release") && var("TARGET").as_deref() == Ok("x86_64-unknown-linux-gnu");
    let (Ok(directory), Ok(output), true) = (var("CARGO_MANIFEST_DIR"), var("OUT_DIR"), measured) else { return };
    // Of flags in the environment, which replace those of .cargo/config.toml, the program may be a dynamic one.
    let is_static =
        var("CARGO_CFG_TARGET_FEATURE").is_ok_and(|features| features.split(',').any(|feature| feature == "crt-static"));
    match is_static && is_known_library() {
        true => println!("cargo:rustc-cfg=plain_processor"),
        false => println!("cargo:warning=slower starts in virtual machines: no static glibc 2.36 (docs/decisions/libc-start.md)"),
    }
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

/// Looks at the library that the linker takes: where that cannot be seen, it is another.
fn is_known_library() -> bool {
    let linker = var("RUSTC_LINKER").unwrap_or_else(|_| "cc".to_owned());
    let Ok(answer) = Command::new(linker).arg("-print-file-name=libc.a").output() else { return false };
    let Ok(library) = std::fs::read(String::from_utf8_lossy(&answer.stdout).trim()) else { return false };
    println!("cargo:rerun-if-changed={}", String::from_utf8_lossy(&answer.stdout).trim());
    library.windows(KNOWN_LIBRARY.len()).any(|bytes| bytes == KNOWN_LIBRARY)
}
