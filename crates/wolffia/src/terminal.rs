//! Where the master of a container's terminal goes.

use crate::error::{Error, Result};
use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use wolffia_launch::Cause;
use wolffia_plan::Process;
use wolffia_sys::socket::{self, Kind};
use wolffia_sys::tty;

/// What the caller does with the terminal that `process.terminal` asks for.
#[derive(Debug, Clone, Default)]
pub enum Terminal {
    /// There is none: the process has the caller's standard streams.
    #[default]
    None,
    /// Send the master to this unix socket (`--console-socket`), with the terminal's name as message.
    Socket(PathBuf),
    /// Keep it here for the caller, who copies between it and a terminal of its own.
    Kept(Kept),
}

/// A place for a terminal's master.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    master: Rc<RefCell<Option<OwnedFd>>>,
    size: Option<(u16, u16)>,
}

impl Kept {
    /// The terminal has this size, in rows and columns, when its program starts.
    pub fn of_size(size: Option<(u16, u16)>) -> Self {
        Self { size, ..Self::default() }
    }

    pub fn take(&self) -> Option<OwnedFd> {
        self.master.borrow_mut().take()
    }

    fn put(&self, master: OwnedFd) -> std::result::Result<(), Cause> {
        if let Some((rows, columns)) = self.size {
            tty::set_window_size(&master, rows, columns)?;
        }
        *self.master.borrow_mut() = Some(master);
        Ok(())
    }
}

impl Terminal {
    /// Refuses a combination that would lose the terminal; runc's texts.
    pub(crate) fn fits(&self, process: Option<&Process>) -> Result<()> {
        let wanted = process.is_some_and(|process| process.terminal.is_some());
        match self {
            Terminal::None if wanted => Err(Error::Usage {
                reason: "cannot allocate tty if runc will detach without setting console socket".to_owned(),
                cure: "give --console-socket, or set process.terminal to false",
            }),
            Terminal::Socket(_) if !wanted => Err(Error::Usage {
                reason: "cannot use console socket if runc will not detach or allocate tty".to_owned(),
                cure: "leave --console-socket out, or set process.terminal to true",
            }),
            _ => Ok(()),
        }
    }

    pub(crate) fn receive(&self, name: &str, master: OwnedFd) -> std::result::Result<(), Cause> {
        match self {
            Terminal::None => Err("nobody takes the terminal".into()),
            Terminal::Kept(kept) => kept.put(master),
            Terminal::Socket(path) => {
                let socket = socket::connect_path(path, Kind::Stream)?;
                Ok(socket::send(socket.as_fd(), name.as_bytes(), &[master.as_fd()])?)
            }
        }
    }
}
