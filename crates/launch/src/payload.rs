//! The last steps of every container process: enter its directory, find its program, become it.

use crate::failure::Cause;
use crate::home;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use wolffia_plan::{ContainerPath, Descriptors, Process};
use wolffia_sys::fd::OFlags;
use wolffia_sys::process::Image;
use wolffia_sys::root::Root;
use wolffia_sys::{Errno, fd, file, process};

/// runc's words in front of every error about the program: callers show and match them.
const PREFIX: &str = "unable to start container process: error during container init: exec";

/// A program, found and ready to be executed.
#[derive(Debug)]
pub struct Program(Image);

/// Makes the working directory when it is missing, as runc does.
pub fn make_directory(root: &Root, cwd: &ContainerPath) -> Result<(), Cause> {
    match root.make_dirs(cwd.relative(), 0o755) {
        Ok(_) => Ok(()),
        // A directory that cannot be made may still be there for the container's user; entering it tells.
        Err(error) if error.is(Errno::EROFS) || error.is(Errno::EACCES) || error.is(Errno::EPERM) => Ok(()),
        Err(error) => Err(Cause::from(error).context("mkdir cwd")),
    }
}

/// Enters the working directory through the root's descriptor. Magic links are not followed: a path like /proc/self/fd/7 would
/// lead out by a descriptor (CVE-2024-21626).
pub fn enter_directory(root: &Root, cwd: &ContainerPath) -> Result<(), Cause> {
    let directory = root.resolve(cwd.relative(), OFlags::DIRECTORY).map_err(|error| not_entered(cwd, error))?;
    process::fchdir(directory.as_fd()).map_err(|error| not_entered(cwd, error))?;
    // The second wall: the kernel itself says whether the directory lies below the root.
    process::getcwd().map(drop).map_err(|error| not_entered(cwd, error))
}

fn not_entered(cwd: &ContainerPath, error: wolffia_sys::Error) -> Cause {
    Cause::from(error).context(format!("chdir to cwd ({cwd:?}) set in config.json failed", cwd = cwd.as_str()))
}

/// Finds the program as execvp(3) does, with the payload's own PATH, and as the payload's user.
pub fn find(root: &Root, payload: &Process) -> Result<Program, Cause> {
    let name = payload.args.first().map(String::as_str).unwrap_or_default();
    let path = if name.contains('/') {
        let found = executable(name);
        found.map_err(|errno| explained(name, errno, &format!("stat {name}: {}", go_words(errno))))?;
        name.to_owned()
    } else {
        search(name, &payload.env)?
    };
    let mut env = c_strings(&payload.env)?;
    if let Some(entry) = home::entry(root, payload) {
        env.push(c_string(&entry)?);
    }
    Ok(Program(Image::new(c_string(&path)?, c_strings(&payload.args)?, env)))
}

fn search(name: &str, env: &[String]) -> Result<String, Cause> {
    let path = env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or_default();
    let mut denied = None;
    for directory in path.split(':') {
        // An empty entry means the working directory, which Go's LookPath and a careful shell leave out.
        if directory.is_empty() || name.is_empty() {
            continue;
        }
        let candidate = format!("{directory}/{name}");
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            // Of a file that is there: a directory that may not be searched is passed over, as Go's LookPath does.
            Err(Errno::EACCES) if file::is_directory(&candidate).is_ok() => denied = Some(Errno::EACCES),
            Err(_) => {}
        }
    }
    let words = "executable file not found in $PATH";
    Err(match denied {
        Some(errno) => explained(name, errno, words),
        None => explained(name, Errno::ENOENT, words),
    })
}

/// Whether execve(2) would take the file, as far as mode bits tell.
fn executable(path: &str) -> Result<(), Errno> {
    if file::is_directory(path).map_err(|error| error.errno)? {
        return Err(Errno::EISDIR);
    }
    match file::may_execute(path) {
        // Asked for the real ids alone it knows of no capability; who has one may be allowed all the same.
        Err(error) if error.is(Errno::EACCES) => file::may_execute_now(path).map_err(|error| error.errno),
        other => other.map_err(|error| error.errno),
    }
}

fn explained(name: &str, errno: Errno, missing: &str) -> Cause {
    let why = match errno {
        Errno::ENOENT => missing.to_owned(),
        // execve(2) says EACCES, and Podman and Docker before 23 make 126 only of its words.
        Errno::EISDIR => format!("{}: {}", go_words(errno), go_words(Errno::EACCES)),
        other => go_words(other),
    };
    Cause { text: format!("{PREFIX}: {name:?}: {why}"), errno: errno.0 }
}

/// Go's words for an error number: in lower case, without the number. Docker and Podman match on them.
fn go_words(errno: Errno) -> String {
    errno.to_string().to_lowercase()
}

impl Program {
    /// The environment, complete.
    pub fn environment(&self) -> &[CString] {
        self.0.environment()
    }

    /// Executes it. Returns only when that failed.
    pub fn execute(&self) -> Cause {
        let error = self.0.execute();
        let path = self.0.path().to_string_lossy();
        // runc's words, which differ from those for a program that was not found.
        Cause { text: format!("exec {path}: {}", go_words(error.errno)), errno: error.errno.0 }
    }
}

/// Lets go of what the runtime had open, but for `keep` and for what is the payload's: a hook of the image, or a neighbour who may
/// trace us, shall find no directory of the host here.
pub fn close_others(payload: Option<&Process>, keep: &[BorrowedFd<'_>]) -> Result<(), Cause> {
    fd::close_range_cloexec(3)?;
    Ok(fd::close_all_but(first_of_ours(payload.map(|payload| payload.descriptors).unwrap_or_default()), keep)?)
}

fn first_of_ours(descriptors: Descriptors) -> u32 {
    3 + descriptors.listen + descriptors.preserve
}

/// Everything is closed by the payload's exec, but for what [`keep_own`] spares.
pub fn close_on_exec() -> Result<(), Cause> {
    Ok(fd::close_range_cloexec(3)?)
}

/// The payload's own descriptors stay open. Last, because hooks and helpers before it shall not have them.
pub fn keep_own(descriptors: Descriptors) -> Result<(), Cause> {
    for number in 3..first_of_ours(descriptors) {
        if !file::inherit(number)? {
            let index = number - 3;
            return Err(format!("preserved descriptor {number} (index {index}) is not open").into());
        }
    }
    Ok(())
}

fn c_string(text: &str) -> Result<CString, Cause> {
    CString::new(text).map_err(|_| Cause::from("an argument or environment entry holds a NUL byte"))
}

fn c_strings(texts: &[String]) -> Result<Vec<CString>, Cause> {
    texts.iter().map(|text| c_string(text)).collect()
}
