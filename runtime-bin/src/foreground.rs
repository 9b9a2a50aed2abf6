//! The process that stays beside a container in the foreground: hands signals on, copies between the terminals, waits.

use crate::confine::{self, Duties};
use crate::report::ExitCode;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use wolffia::sys::pidfd::{self, ExitStatus};
use wolffia::sys::tty::{self, SavedTermios};
use wolffia::sys::{file, poll, process, signals};
use wolffia::{Kept, Readiness, Remains, Running};

/// A process that ends within this time is not worth being confined beside, which takes a quarter of a millisecond: where there is no
/// terminal, nothing of the container's is read.
const SHORT: Duration = Duration::from_millis(10);

/// Signals, taken over before the container is made: one that arrives in between is not lost.
#[derive(Debug)]
pub struct Foreground {
    signals: OwnedFd,
}

/// Whether nothing is to be told any more. A receiver that cannot be told is no reason to leave the container to itself, as with runc.
pub fn told(outcome: wolffia::Result<bool>) -> bool {
    outcome.unwrap_or_else(|error| {
        crate::log::warning(&format!("{:#}", anyhow::Error::from(error)));
        true
    })
}

impl Foreground {
    pub fn begin() -> anyhow::Result<Self> {
        signals::block_all()?;
        Ok(Self { signals: signals::signalfd_all()? })
    }

    /// Attends to the process until it ends, and does nothing else any more: `remains` is what is to be deleted afterwards.
    pub fn attend(
        &self,
        running: &Running,
        master: Option<OwnedFd>,
        readiness: Option<Readiness>,
        remains: Option<&Remains>,
    ) -> anyhow::Result<ExitStatus> {
        let duties = Duties { terminal: master.is_some(), remains, log: crate::log::file() };
        let mut copier = master.map(Copier::begin).transpose()?;
        let outcome = self.attend_in_turn(running, copier.as_mut(), readiness, duties);
        if let Some(mut copier) = copier {
            copier.finish()?;
        }
        outcome
    }

    /// First the readiness, which takes rights that are given up after it.
    fn attend_in_turn(
        &self,
        running: &Running,
        mut copier: Option<&mut Copier>,
        readiness: Option<Readiness>,
        duties: Duties<'_>,
    ) -> anyhow::Result<ExitStatus> {
        if let Some(readiness) = readiness
            && let Some(status) = self.forward_signals(running, copier.as_deref_mut(), Some(&readiness))?
        {
            return Ok(status);
        }
        // With a terminal before a byte of the container's is read.
        let ended = copier.is_none() && {
            let ready = poll::poll_readable(&[running.pidfd.as_fd(), self.signals.as_fd()], Some(SHORT))?;
            ready.first() == Some(&true)
        };
        if !ended {
            confine::myself(duties);
        }
        let status = self.forward_signals(running, copier, None)?;
        status.ok_or_else(|| anyhow::anyhow!("the process ended without a status"))
    }

    /// Until the process ends; `None` if it has said before that it is ready.
    fn forward_signals(
        &self,
        running: &Running,
        mut copier: Option<&mut Copier>,
        readiness: Option<&Readiness>,
    ) -> anyhow::Result<Option<ExitStatus>> {
        loop {
            let mut watched = vec![running.pidfd.as_fd(), self.signals.as_fd()];
            watched.extend(readiness.map(AsFd::as_fd));
            let fixed = watched.len();
            if let Some(copier) = &copier {
                watched.extend(copier.sources());
            }
            let ready = poll::poll_readable(&watched, None)?;
            drop(watched);
            if let Some(copier) = copier.as_mut() {
                copier.copy(ready.get(fixed..).unwrap_or_default())?;
            }
            // This process is the service, as with runc: it ends with the container's status, hands on what it is sent, and deletes.
            if let Some(readiness) = readiness.filter(|_| ready.get(2) == Some(&true))
                && told(readiness.forward_one(process::getpid()))
            {
                return Ok(None);
            }
            if ready.get(1) == Some(&true) {
                self.forward(running, copier.as_deref())?;
            }
            if ready.first() == Some(&true) {
                return running.wait().map(Some).map_err(|cause| anyhow::anyhow!(cause.text));
            }
        }
    }

    fn forward(&self, running: &Running, copier: Option<&Copier>) -> anyhow::Result<()> {
        let Some(signal) = signals::read_signal(&self.signals)? else { return Ok(()) };
        match (signal.signo, copier) {
            (libc::SIGCHLD, _) => Ok(()),
            (libc::SIGWINCH, Some(copier)) => copier.resize(),
            (number, _) => match pidfd::send_signal(&running.pidfd, number) {
                // It has just ended; the next round sees that.
                Err(error) if error.is(wolffia::sys::Errno::ESRCH) => Ok(()),
                other => Ok(other?),
            },
        }
    }
}

/// A place for the master of a terminal that has the size of the caller's from the start.
pub fn keep() -> anyhow::Result<Kept> {
    Ok(Kept::of_size(own_size()?))
}

/// Rows and columns of the caller's terminal; a serial line does not know its size.
fn own_size() -> anyhow::Result<Option<(u16, u16)>> {
    let Some(terminal) = file::standard(0).filter(|input| tty::is_tty(input)) else { return Ok(None) };
    Ok(Some(tty::window_size(terminal)?).filter(|(rows, columns)| *rows > 0 && *columns > 0))
}

/// 128 and the signal's number for a process that was killed, as a shell has it.
pub fn exit_code(status: ExitStatus) -> ExitCode {
    ExitCode::from(u8::try_from(status.code()).unwrap_or(u8::MAX))
}

/// Between the caller's terminal and the container's.
#[derive(Debug)]
struct Copier {
    master: Option<File>,
    /// The caller's input, until it ends.
    input: Option<BorrowedFd<'static>>,
    saved: Option<SavedTermios>,
}

impl Copier {
    fn begin(master: OwnedFd) -> anyhow::Result<Self> {
        let input = file::standard(0);
        let terminal = input.filter(|input| tty::is_tty(input));
        let copier = Self { master: Some(master.into()), input, saved: terminal.map(tty::make_raw).transpose()? };
        // Again, because a change since the terminal was made went unnoticed.
        copier.resize()?;
        Ok(copier)
    }

    fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.master.as_ref().map(AsFd::as_fd).into_iter().chain(self.input)
    }

    /// `ready` in the order of `sources`.
    fn copy(&mut self, ready: &[bool]) -> anyhow::Result<()> {
        let mut ready = ready.iter().copied();
        let output = self.master.is_some() && ready.next() == Some(true);
        let input = self.input.is_some() && ready.next() == Some(true);
        if output && !self.copy_output()? {
            self.master = None;
        }
        if input && !self.copy_input()? {
            self.input = None;
        }
        Ok(())
    }

    /// False at the end: a master whose last slave was closed says EIO.
    fn copy_output(&mut self) -> anyhow::Result<bool> {
        let Some(master) = &mut self.master else { return Ok(false) };
        let mut buffer = [0; 16 * 1024];
        let count = match master.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::EIO) => 0,
            Err(error) => return Err(error.into()),
        };
        let mut out = std::io::stdout().lock();
        out.write_all(buffer.get(..count).unwrap_or_default())?;
        out.flush()?;
        Ok(count > 0)
    }

    fn copy_input(&mut self) -> anyhow::Result<bool> {
        let mut buffer = [0; 4096];
        // Unbuffered: what is left in a buffer of ours would be lost to whoever reads the terminal next.
        let Some(input) = self.input else { return Ok(false) };
        let count = File::from(input.try_clone_to_owned()?).read(&mut buffer)?;
        if let Some(master) = &mut self.master {
            master.write_all(buffer.get(..count).unwrap_or_default())?;
        }
        Ok(count > 0)
    }

    fn resize(&self) -> anyhow::Result<()> {
        if let (Some(master), Some((rows, columns))) = (&self.master, own_size()?) {
            tty::set_window_size(master, rows, columns)?;
        }
        Ok(())
    }

    /// Shows what the process wrote before it ended, and gives the terminal back as it was.
    fn finish(&mut self) -> anyhow::Result<()> {
        while let Some(master) = &self.master {
            if !poll::wait_readable(master, Some(Duration::ZERO))? || !self.copy_output()? {
                break;
            }
        }
        if let (Some(saved), Some(input)) = (self.saved.take(), file::standard(0)) {
            tty::restore(input, &saved)?;
        }
        Ok(())
    }
}
