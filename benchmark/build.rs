//! The floor program begins at its own `_start`: the C library's start-up would be a part of what it measures.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bin=wolffia-floor=-nostartfiles");
}
