//! Verbs about files: what is there, and what may be done with it.

use crate::Answer;
use serde_json::json;
use std::fs::{self, Metadata, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The text of a file, at most 64 KiB of it.
pub fn cat(path: &str) -> Answer {
    let mut text = String::from_utf8_lossy(&fs::read(path)?).into_owned();
    text.truncate(text.floor_char_boundary(64 * 1024));
    Ok(json!(text))
}

/// Creates or truncates a file and writes `text` to it.
pub fn write(path: &str, text: &str) -> Answer {
    fs::write(path, text)?;
    Ok(json!(text.len()))
}

/// Adds a line to a file that is created when missing.
pub fn append(path: &str, text: &str) -> Answer {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    writeln!(file, "{text}")?;
    Ok(json!(text.len()))
}

pub fn mkdir(path: &str) -> Answer {
    fs::create_dir(path)?;
    Ok(json!(path))
}

/// Opens for reading, which a device node permits only when it is no plain file and not denied.
pub fn open(path: &str) -> Answer {
    fs::File::open(path)?;
    Ok(json!(path))
}

/// Files below a directory of the kernel's that open for writing, this process's own and other processes' left out. Nothing is
/// written. A directory that cannot be read has none. Files without a write bit are not counted: CAP_DAC_OVERRIDE opens them, and the
/// kernel has nothing behind them that would take a write.
pub fn writable(top: &str) -> Answer {
    let mut found = Vec::new();
    let mut directories = vec![PathBuf::from(top)];
    while let Some(directory) = directories.pop() {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_err())) {
            // Of what is there now: a mask that is a device takes everything and changes nothing.
            let (path, wait_for_nobody) = (entry.path(), rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            let takes_writes = metadata.is_file() && metadata.mode() & 0o222 != 0;
            if metadata.is_dir() {
                directories.push(path);
            } else if takes_writes && OpenOptions::new().write(true).custom_flags(wait_for_nobody).open(&path).is_ok() {
                found.push(path.display().to_string());
            }
        }
    }
    found.sort();
    Ok(json!(found))
}

pub fn stat(path: &str) -> Answer {
    Ok(describe(&fs::metadata(path)?))
}

/// As `stat`, of the path that an environment variable holds.
pub fn stat_named(variable: &str) -> Answer {
    stat(&std::env::var(variable).map_err(std::io::Error::other)?)
}

/// As `stat`, without following; a link also tells its target.
pub fn lstat(path: &str) -> Answer {
    let metadata = fs::symlink_metadata(path)?;
    let mut seen = describe(&metadata);
    if metadata.file_type().is_symlink() {
        seen["target"] = json!(fs::read_link(path)?.to_string_lossy());
    }
    Ok(seen)
}

/// The sorted names in a directory.
pub fn ls(path: &str) -> Answer {
    let mut names = Vec::new();
    for entry in fs::read_dir(Path::new(path))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(json!(names))
}

fn describe(metadata: &Metadata) -> serde_json::Value {
    let kind = metadata.file_type();
    let name = match () {
        () if kind.is_dir() => "directory",
        () if kind.is_symlink() => "link",
        () if kind.is_char_device() => "character",
        () if kind.is_block_device() => "block",
        () if kind.is_fifo() => "fifo",
        () if kind.is_socket() => "socket",
        () => "file",
    };
    json!({
        "type": name,
        "mode": metadata.mode() & 0o7777,
        "uid": metadata.uid(),
        "gid": metadata.gid(),
        "size": metadata.len(),
        "dev": metadata.dev(),
        "ino": metadata.ino(),
        "major": rustix::fs::major(metadata.rdev()),
        "minor": rustix::fs::minor(metadata.rdev()),
    })
}
