//! Programs at places that every user can reach: a work tree below a private home directory is not one.

use crate::scratch;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The binary under test: `WOLFFIA_BIN`, or the newest one that was built beside this test.
pub fn wolffia() -> PathBuf {
    if let Some(path) = std::env::var_os("WOLFFIA_BIN") {
        return publish(&std::fs::canonicalize(&path).unwrap_or_else(|error| panic!("WOLFFIA_BIN={}: {error}", path.display())));
    }
    let profile = own_directory();
    let target = profile.parent().expect("a directory of profiles");
    let built = ["release", "debug"].map(|profile| target.join(profile).join("wolffia"));
    let newest = built.iter().filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path))).max();
    let (_, path) = newest
        .unwrap_or_else(|| panic!("no wolffia in {}: run `cargo build` first, or name it in WOLFFIA_BIN", target.display()));
    publish(path)
}

/// Has cargo bring an example program up to date and makes it reachable. Call it before `scenario`; `None` inside of one.
pub fn build_example(package: &str, name: &str) -> Option<PathBuf> {
    build(package, "--example", name, &Path::new("examples").join(name))
}

/// The same for a program of a package.
pub fn build_program(package: &str, name: &str) -> Option<PathBuf> {
    build(package, "--bin", name, Path::new(name))
}

fn build(package: &str, kind: &str, name: &str, result: &Path) -> Option<PathBuf> {
    if std::env::var_os("WOLFFIA_TESTS_SCRATCH").is_some() {
        return None;
    }
    let profile = own_directory();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--package", package, kind, name]);
    command.args(profile.ends_with("release").then_some("--release"));
    let status = command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
    let public = publish(&profile.join(result));
    let draft = scratch::cache().join(format!("bin/.{name}-{}", std::process::id()));
    scratch::make(&scratch::cache().join("bin"), 0o755);
    std::os::unix::fs::symlink(&public, &draft).unwrap();
    std::fs::rename(draft, example(name)).unwrap();
    Some(public)
}

/// Where a scenario finds what was built.
pub fn example(name: &str) -> PathBuf {
    scratch::cache().join("bin").join(name)
}

/// The directory of this test's profile: target/TRIPLE/PROFILE.
pub fn own_directory() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let test = std::env::var_os("WOLFFIA_TESTS_ORIGIN").map_or(test, PathBuf::from);
    test.ancestors().nth(2).expect("a test lies in target/PROFILE/deps").to_owned()
}

/// `path`, or a copy of it that is open to everybody.
pub fn publish(path: &Path) -> PathBuf {
    let open = |path: &Path, bits: u32| path.metadata().is_ok_and(|meta| meta.permissions().mode() & bits == bits);
    if !rustix::process::getuid().is_root() || (open(path, 0o005) && path.ancestors().skip(1).all(|above| open(above, 0o001))) {
        return path.to_owned();
    }
    let stat = path.metadata().unwrap();
    let name = format!("{}-{}-{}", path.file_name().unwrap().to_string_lossy(), stat.ino(), stat.mtime_nsec());
    let directory = scratch::cache().join("bin");
    scratch::make(&directory, 0o755);
    let public = directory.join(name);
    if !public.exists() {
        let draft = directory.join(format!(".draft-{}-{:?}", std::process::id(), std::thread::current().id()));
        std::fs::copy(path, &draft).unwrap();
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(&draft, &public).unwrap();
    }
    public
}
