//! Terminals.

use crate::error::{Call, show_fd};
use crate::fd::{self, DEVPTS_SUPER_MAGIC, FileKind, OFlags};
use crate::{Errno, Error, Result};
use nix::sys::termios::{OutputFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Major and minor number of /dev/ptmx, and of every ptmx in a devpts.
const PTMX: (u32, u32) = (5, 2);
/// Major numbers of the terminals in a devpts (`UNIX98_PTY_SLAVE_MAJOR` and the seven that follow).
const PTS_MAJORS: std::ops::RangeInclusive<u32> = 136..=143;

/// What a terminal was set to before [`make_raw`].
#[derive(Debug, Clone)]
pub struct SavedTermios(Termios);

/// A new terminal, (master, slave), of the devpts whose root directory is `devpts`. Neither is looked up by a path that
/// the container could have swapped, and both are verified to be what they should (CVE-2025-52565).
pub fn open_pty_in(devpts: impl AsFd) -> Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let master = fd::openat(devpts, "ptmx", flags, 0)?;
    if fd::fs_magic(&master)? != DEVPTS_SUPER_MAGIC {
        return Err(Error::new("openat", "\"ptmx\": not on a devpts", Errno::ENODEV));
    }
    with_slave(master)
}

/// A new terminal of the host, (master, slave).
pub fn open_host_pty() -> Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    with_slave(fd::open("/dev/ptmx", flags, 0)?)
}

/// Whether `directory` lies on a devpts.
pub fn is_devpts(directory: impl AsFd) -> Result<bool> {
    Ok(fd::fs_magic(directory)? == DEVPTS_SUPER_MAGIC)
}

/// Rows and columns.
pub fn window_size(terminal: impl AsFd) -> Result<(u16, u16)> {
    let terminal = terminal.as_fd();
    let size = rustix::termios::tcgetwinsize(terminal).call("ioctl", || format!("{}, TIOCGWINSZ", show_fd(terminal)))?;
    Ok((size.ws_row, size.ws_col))
}

/// Sets rows and columns; the foreground processes are told by SIGWINCH.
pub fn set_window_size(terminal: impl AsFd, rows: u16, columns: u16) -> Result<()> {
    let terminal = terminal.as_fd();
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size)
        .call("ioctl", || format!("{}, TIOCSWINSZ, {rows} rows, {columns} columns", show_fd(terminal)))
}

/// Turns off echo, line editing and signals of the terminal; [`restore`] brings them back.
pub fn make_raw(terminal: impl AsFd) -> Result<SavedTermios> {
    let terminal = terminal.as_fd();
    let saved = get(terminal)?;
    let mut raw = saved.clone();
    cfmakeraw(&mut raw);
    set(terminal, &raw)?;
    Ok(SavedTermios(saved))
}

/// Sets the terminal to what it was.
pub fn restore(terminal: impl AsFd, saved: &SavedTermios) -> Result<()> {
    set(terminal.as_fd(), &saved.0)
}

/// Leaves a newline of the payload a newline (`ONLCR` off): whoever reads the master adds what its terminal needs.
pub fn clear_onlcr(terminal: impl AsFd) -> Result<()> {
    let terminal = terminal.as_fd();
    let mut termios = get(terminal)?;
    termios.output_flags.remove(OutputFlags::ONLCR);
    set(terminal, &termios)
}

/// Makes the terminal the controlling one of the caller's session, whose leader the caller must be.
pub fn make_controlling(terminal: impl AsFd) -> Result<()> {
    let terminal = terminal.as_fd();
    rustix::process::ioctl_tiocsctty(terminal).call("ioctl", || format!("{}, TIOCSCTTY", show_fd(terminal)))
}

/// Whether `fd` is a terminal.
pub fn is_tty(fd: impl AsFd) -> bool {
    rustix::termios::isatty(fd)
}

/// The path of the slave that belongs to `master`, for example `/dev/pts/3`, as the master's devpts numbers it.
pub fn pty_name(master: impl AsFd) -> Result<String> {
    let master = master.as_fd();
    let name = rustix::pty::ptsname(master, Vec::new()).call("ioctl", || format!("{}, TIOCGPTN", show_fd(master)))?;
    Ok(name.to_string_lossy().into_owned())
}

fn with_slave(master: OwnedFd) -> Result<(OwnedFd, OwnedFd)> {
    let stat = fd::stat(&master)?;
    if stat.kind != FileKind::Char || stat.rdev != PTMX {
        return Err(Error::new(
            "open",
            format!("ptmx: {:?} {:?}, not a terminal multiplexer", stat.kind, stat.rdev),
            Errno::ENODEV,
        ));
    }
    rustix::pty::unlockpt(&master).call("ioctl", || "ptmx, TIOCSPTLCK, 0".into())?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).call("ioctl", || "ptmx, TIOCGPTPEER".into())?;
    let stat = fd::stat(&slave)?;
    let genuine = stat.kind == FileKind::Char && PTS_MAJORS.contains(&stat.rdev.0) && fd::fs_magic(&slave)? == DEVPTS_SUPER_MAGIC;
    if !genuine {
        return Err(Error::new(
            "ioctl",
            format!("TIOCGPTPEER: {:?} {:?}, not a terminal of a devpts", stat.kind, stat.rdev),
            Errno::ENODEV,
        ));
    }
    Ok((master, slave))
}

fn get(terminal: BorrowedFd<'_>) -> Result<Termios> {
    tcgetattr(terminal).call("ioctl", || format!("{}, TCGETS", show_fd(terminal)))
}

fn set(terminal: BorrowedFd<'_>, termios: &Termios) -> Result<()> {
    tcsetattr(terminal, SetArg::TCSANOW, termios).call("ioctl", || format!("{}, TCSETS", show_fd(terminal)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_terminal_has_size_name_and_modes() {
        let (master, slave) = open_host_pty().unwrap();
        assert!(is_tty(&slave));
        set_window_size(&slave, 33, 99).unwrap();
        assert_eq!(window_size(&master).unwrap(), (33, 99));
        let name = pty_name(&master).unwrap();
        let path = fd::path_stat(&name).unwrap();
        assert_eq!((path.ino, path.rdev), {
            let stat = fd::stat(&slave).unwrap();
            (stat.ino, stat.rdev)
        });

        let before = get(slave.as_fd()).unwrap();
        let saved = make_raw(&slave).unwrap();
        assert_ne!(get(slave.as_fd()).unwrap(), before);
        restore(&slave, &saved).unwrap();
        assert_eq!(get(slave.as_fd()).unwrap(), before);

        let error = window_size(fd::open("/dev/null", OFlags::RDONLY, 0).unwrap()).unwrap_err();
        assert!(error.is(Errno::ENOTTY) && error.to_string().contains("TIOCGWINSZ"), "{error}");
    }

    #[test]
    fn a_newline_stays_a_newline() {
        let (master, slave) = open_host_pty().unwrap();
        let (mut master, mut slave) = (std::fs::File::from(master), std::fs::File::from(slave));
        let mut through = |slave: &mut std::fs::File| {
            slave.write_all(b"a\n").unwrap();
            let mut bytes = [0; 8];
            let length = master.read(&mut bytes).unwrap();
            bytes[..length].to_vec()
        };
        assert_eq!(through(&mut slave), b"a\r\n");
        clear_onlcr(&slave).unwrap();
        assert_eq!(through(&mut slave), b"a\n");
    }

    #[test]
    fn a_terminal_comes_from_the_devpts_that_was_asked() {
        let devpts = fd::open("/dev/pts", OFlags::PATH | OFlags::DIRECTORY, 0).unwrap();
        match open_pty_in(&devpts) {
            Ok((master, slave)) => assert!(is_tty(&master) && is_tty(&slave)),
            Err(error) if error.is(Errno::EACCES) => println!("skipped: /dev/pts/ptmx is for root here"),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_false_multiplexer_is_refused() {
        let scratch = crate::scratch::Scratch::new();
        let dir = || fd::open(scratch.path(), OFlags::PATH | OFlags::DIRECTORY, 0).unwrap();
        std::fs::write(scratch.path().join("ptmx"), "").unwrap();
        let error = open_pty_in(dir()).unwrap_err();
        assert!(error.is(Errno::ENODEV) && error.to_string().contains("not on a devpts"), "{error}");
        std::fs::remove_file(scratch.path().join("ptmx")).unwrap();
        std::os::unix::fs::symlink("/dev/pts/ptmx", scratch.path().join("ptmx")).unwrap();
        assert!(open_pty_in(dir()).unwrap_err().is(Errno::ELOOP));
        let null = fd::open("/dev/null", OFlags::RDWR, 0).unwrap();
        let error = with_slave(null).unwrap_err();
        assert!(error.is(Errno::ENODEV) && error.to_string().contains("not a terminal multiplexer"), "{error}");
    }
}
