//! `--pid-file`: read by callers with atoi, sometimes without trimming, as soon as the command has ended.

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use wolffia_launch::Cause;
use wolffia_sys::Pid;
use wolffia_sys::socket::{self, Kind};

/// Writes the number and no newline, to a file beside it that then takes its name: a reader never sees half of it.
pub fn write(path: &Path, pid: Pid) -> Result<(), Cause> {
    let draft = draft_of(path).ok_or("the pid file has no name")?;
    // What a killed call left, or what somebody put there: a link would have us write where it leads.
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o666).open(&draft)?;
    file.write_all(pid.to_string().as_bytes())?;
    Ok(std::fs::rename(draft, path)?)
}

fn draft_of(path: &Path) -> Option<PathBuf> {
    let mut name = OsString::from(".");
    name.push(path.file_name()?);
    Some(path.with_file_name(name))
}

/// After a failure. The file may never have been written.
pub fn remove(path: &Path) {
    remove_file(path);
    remove_draft(path);
}

/// After a creator that was killed. The file itself, if it came so far, stays, as it does after `delete`: by now it may be about
/// another container.
pub fn remove_draft(path: &Path) {
    if let Some(draft) = draft_of(path) {
        remove_file(&draft);
    }
}

fn remove_file(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            crate::warn(&format!("cannot remove {}: {error}", path.display()))
        }
        _ => {}
    }
}

/// `--pidfd-socket`: one message with the descriptor, to whoever listens there.
pub fn send_pidfd(path: &Path, pidfd: BorrowedFd<'_>) -> Result<(), Cause> {
    let socket = socket::connect_path(path, Kind::Stream)?;
    Ok(socket::send(socket.as_fd(), b"pidfd", &[pidfd])?)
}
