//! The process `criu swrk`: started with one end of a socket, asked once, and gone.

use crate::messages::{Act, Answer, Notice, Options, go_on};
use crate::{CriuError, log};
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use wolffia_sys::pidfd::{self, ExitStatus};
use wolffia_sys::process::{self, CloneRequest, Forked, SingleThreaded};
use wolffia_sys::{Pid, fd, file, prctl, signals, socket};

/// More than the longest answer.
const ANSWER: usize = 64 << 10;
/// Its socket's number; what it inherits follows.
const SOCKET: i32 = 3;
/// Above all that it inherits.
const ASIDE: i32 = 64;
/// The word to prepare and to become CRIU.
const PROCEED: &[u8] = b"proceed";
/// Begins what the process says that could not become CRIU. No message of CRIU's begins so: there is no field 0.
const FAILED: u8 = 0;

/// How the process comes to be.
pub struct Preparation<'a> {
    pub program: &'a Path,
    /// `CLONE_NEW*` of namespaces that it has of its own.
    pub namespaces: u64,
    /// To be born in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Whether it keeps this process's standard streams.
    pub streams: bool,
    /// What it does when it has been told to proceed.
    pub work: &'a dyn Fn() -> Result<(), String>,
    /// These are its descriptors 4, 5, and so on.
    pub inherits: &'a [BorrowedFd<'a>],
}

impl std::fmt::Debug for Preparation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Preparation").field("program", &self.program).finish_non_exhaustive()
    }
}

/// Takes what CRIU tells of, with its descriptors. An error is the reason for it to give up.
pub type Attendant<'a> = dyn FnMut(&Notice, Vec<OwnedFd>) -> Result<(), String> + 'a;

/// A CRIU that waits for its request. Dropped, it is killed.
#[derive(Debug)]
pub struct Worker {
    pid: Pid,
    pidfd: OwnedFd,
    socket: Option<OwnedFd>,
}

/// The program in the caller's PATH.
pub fn find() -> Result<PathBuf, CriuError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join("criu"))
        .find(|program| file::may_execute_now(program).is_ok())
        .ok_or(CriuError::Missing)
}

impl Worker {
    pub fn start(alone: &SingleThreaded, preparation: &Preparation<'_>) -> Result<Self, CriuError> {
        let failed = |source| CriuError::System { act: "start criu", source };
        let (ours, theirs) = socket::seqpacket_pair().map_err(failed)?;
        let request = CloneRequest { flags: preparation.namespaces, cgroup: preparation.cgroup, sibling: false };
        match process::clone3(alone, &request).map_err(failed)? {
            Forked::Parent { pid, pidfd } => Ok(Self { pid, pidfd, socket: Some(ours) }),
            Forked::Child => {
                drop(ours);
                let reason = become_criu(&theirs, preparation);
                let told = socket::send(&theirs, &[&[FAILED], reason.as_bytes()].concat(), &[]);
                process::exit(if told.is_ok() { 1 } else { 2 })
            }
        }
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Lets it prepare itself, asks, and answers its notices until it is done. `log` is where its log is. It is gone afterwards.
    pub fn ask(mut self, act: Act, options: &Options, log: BorrowedFd<'_>, notice: &mut Attendant<'_>) -> Result<(), CriuError> {
        let talked = self.talk(act, options, log, notice);
        // It sees the end of the connection.
        self.socket = None;
        let status = pidfd::wait(&self.pidfd).map_err(|source| CriuError::System { act: "wait for criu", source })?;
        match (talked?, status) {
            ((), ExitStatus::Exited(0)) => Ok(()),
            // The protocol of single pre-dumps ends so: runc meets the same.
            ((), _) if act == Act::PreDump => Ok(()),
            ((), status) => Err(CriuError::Ended { status: format!("{status:?}") }),
        }
    }

    fn talk(&self, act: Act, options: &Options, log: BorrowedFd<'_>, notice: &mut Attendant<'_>) -> Result<(), CriuError> {
        let Some(socket) = &self.socket else { return Err(CriuError::Ended { status: "before".to_owned() }) };
        let failed = |source| CriuError::System { act: "talk with criu", source };
        socket::send(socket, PROCEED, &[]).map_err(failed)?;
        socket::send(socket, &options.request(act), &[]).map_err(failed)?;
        let mut stopped = None;
        // For as long as CRIU lives, whose death is the end of the connection: how long a dump takes, the memory says.
        while let Some((bytes, fds)) = socket::recv(socket, ANSWER).map_err(failed)? {
            if let Some((&FAILED, words)) = bytes.split_first() {
                return Err(CriuError::Start { reason: String::from_utf8_lossy(words).into_owned() });
            }
            let answer = Answer::parse(&bytes).ok_or_else(|| CriuError::Answer { what: format!("{bytes:?}") })?;
            match (answer, stopped.take()) {
                (Answer::Notice(_), Some(reason)) => {
                    socket::send(socket, &go_on(false), &[]).map_err(failed)?;
                    stopped = Some(reason);
                }
                (Answer::Notice(told), None) => {
                    stopped = notice(&told, fds).err();
                    socket::send(socket, &go_on(stopped.is_none()), &[]).map_err(failed)?;
                }
                (Answer::Done { .. }, Some(reason)) => return Err(CriuError::Stopped { reason }),
                (Answer::Done { success: true }, None) => return Ok(()),
                // The log, because the words that an answer may have are those of the first error, which is often of no consequence.
                (Answer::Done { success: false }, None) => {
                    return Err(CriuError::Failed { act: act.verb(), words: log::errors(log, options.log_file) });
                }
            }
        }
        match stopped {
            Some(reason) => Err(CriuError::Stopped { reason }),
            None => Err(CriuError::Failed { act: act.verb(), words: log::errors(log, options.log_file) }),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.socket.is_some() && pidfd::send_signal(&self.pidfd, libc::SIGKILL).is_ok() {
            // A killed process ends; there is nothing to be done if it cannot be waited for.
            drop(pidfd::wait(&self.pidfd));
        }
    }
}

/// Returns only the reason why it could not.
fn become_criu(socket: &OwnedFd, preparation: &Preparation<'_>) -> String {
    match prepare(socket, preparation) {
        Err(reason) => reason,
        Ok((program, argv, envp)) => process::execve(&program, &argv, &envp).to_string(),
    }
}

type Image = (CString, Vec<CString>, Vec<CString>);

fn prepare(socket: &OwnedFd, preparation: &Preparation<'_>) -> Result<Image, String> {
    let words = |error: wolffia_sys::Error| error.to_string();
    if socket::recv(socket, ANSWER).map_err(words)?.is_none() {
        return Err("the runtime is gone".to_owned());
    }
    prctl::set_name(c"criu").map_err(words)?;
    (preparation.work)()?;
    let aside = |fd: BorrowedFd<'_>| fd::dup_above(fd, ASIDE).map_err(words);
    let kept =
        std::iter::once(socket.as_fd()).chain(preparation.inherits.iter().copied()).map(aside).collect::<Result<Vec<_>, _>>()?;
    if !preparation.streams {
        let null = fd::open("/dev/null", fd::OFlags::RDWR, 0).map_err(words)?;
        let null = aside(null.as_fd())?;
        for number in 0..=2 {
            fd::dup_to(&null, number).map_err(words)?;
        }
    }
    signals::reset_for_exec().map_err(words)?;
    signals::unblock_all().map_err(words)?;
    for (number, fd) in (SOCKET..).zip(&kept) {
        fd::dup_to(fd, number).map_err(words)?;
    }
    let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(|_| "a NUL byte in PATH".to_owned());
    let path = [b"PATH=", std::env::var_os("PATH").unwrap_or_default().as_bytes()].concat();
    let argv = ["criu".to_owned(), "swrk".to_owned(), SOCKET.to_string()];
    let argv = argv.iter().map(|word| text(OsStr::new(word))).collect::<Result<Vec<_>, _>>()?;
    // Nothing else of the caller's: CRIU takes options from its environment and from a file in HOME.
    Ok((text(preparation.program.as_os_str())?, argv, vec![text(OsStr::from_bytes(&path))?]))
}
