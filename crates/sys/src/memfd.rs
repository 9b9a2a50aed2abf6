//! Copies in memory that nobody can change: how the runtime's binary stays out of the container's reach (CVE-2019-5736).

use crate::error::{Call, show_fd};
use crate::{Errno, Error, Result};
use rustix::fs::{self as rx, MemfdFlags, SealFlags, SeekFrom};
use rustix::io::{Errno as RxErrno, retry_on_intr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Nothing may be written, made shorter or longer, and these rules may not be lifted.
const SEALS: SealFlags = SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// An executable copy of the file `source`, sealed. Its offset is not touched. `name` is for /proc only.
pub fn sealed_copy(source: impl AsFd, name: &str) -> Result<OwnedFd> {
    let source = source.as_fd();
    let (copy, exec) = create(name, MemfdFlags::EXEC)?;
    copy_from_start(source, copy.as_fd())?;
    let seals = if exec { SEALS | SealFlags::EXEC } else { SEALS };
    rx::fcntl_add_seals(&copy, seals).call("fcntl", || format!("memfd {name:?}, F_ADD_SEALS, {seals:?}"))?;
    Ok(copy)
}

/// `bytes` as a file that cannot change, read from its start. Unlike a pipe it takes them all, whether somebody reads or not.
pub fn sealed_text(bytes: &[u8], name: &str) -> Result<OwnedFd> {
    let (memfd, _) = create(name, MemfdFlags::NOEXEC_SEAL)?;
    crate::fd::write_all(&memfd, bytes)?;
    rx::seek(&memfd, SeekFrom::Start(0)).call("lseek", || format!("memfd {name:?}, 0"))?;
    rx::fcntl_add_seals(&memfd, SEALS).call("fcntl", || format!("memfd {name:?}, F_ADD_SEALS, {SEALS:?}"))?;
    Ok(memfd)
}

/// Whether `fd` is a memfd with the seals of [`sealed_copy`].
pub fn is_sealed(fd: impl AsFd) -> Result<bool> {
    let fd = fd.as_fd();
    match rx::fcntl_get_seals(fd) {
        Ok(seals) => Ok(seals.contains(SEALS)),
        // Only files in memory have seals at all.
        Err(RxErrno::INVAL) => Ok(false),
        Err(errno) => Err(Error::new("fcntl", format!("{}, F_GET_SEALS", show_fd(fd)), errno)),
    }
}

/// A memfd, and whether the kernel knows that it shall be executable, or not (6.3).
fn create(name: &str, executable: MemfdFlags) -> Result<(OwnedFd, bool)> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match rx::memfd_create(name, flags | executable) {
        Ok(memfd) => Ok((memfd, true)),
        Err(RxErrno::INVAL) => {
            let memfd = rx::memfd_create(name, flags).call("memfd_create", || format!("{name:?}, {flags:?}"))?;
            Ok((memfd, false))
        }
        Err(errno) => Err(Error::new("memfd_create", format!("{name:?}, {flags:?}, {executable:?}"), errno)),
    }
}

fn copy_from_start(source: BorrowedFd<'_>, copy: BorrowedFd<'_>) -> Result<()> {
    // The most that one sendfile(2) moves.
    const CHUNK: usize = 0x7fff_f000;
    let size = crate::fd::stat(source)?.size;
    let mut offset = 0;
    while offset < size {
        match retry_on_intr(|| rx::sendfile(copy, source, Some(&mut offset), CHUNK)) {
            // The file got shorter meanwhile.
            Ok(0) => return Err(Error::new("sendfile", format!("{}, offset {offset} of {size}", show_fd(source)), Errno::EIO)),
            Ok(_) => {}
            Err(errno) => return Err(Error::new("sendfile", format!("{}, offset {offset} of {size}", show_fd(source)), errno)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fd::{OFlags, open, read_all, write_all};
    use crate::scratch::Scratch;

    #[test]
    fn a_sealed_copy_cannot_change() {
        let scratch = Scratch::new();
        let path = scratch.path().join("file");
        let content: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let file = open(&path, OFlags::RDONLY, 0).unwrap();
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(100)).unwrap();
        let copy = sealed_copy(&file, "copy").unwrap();
        assert_eq!(rustix::fs::tell(&file).unwrap(), 100, "the source's offset stays");
        assert!(is_sealed(&copy).unwrap());
        assert!(write_all(&copy, b"x").unwrap_err().is(Errno::EPERM));
        for length in [0, 1 << 20] {
            assert_eq!(rustix::fs::ftruncate(&copy, length), Err(RxErrno::PERM));
        }
        assert_eq!(rx::fcntl_add_seals(&copy, SealFlags::FUTURE_WRITE), Err(RxErrno::PERM));
        rustix::fs::seek(&copy, rustix::fs::SeekFrom::Start(0)).unwrap();
        assert!(read_all(&copy, 1 << 20).unwrap() == content);
    }

    #[test]
    fn a_sealed_text_is_read_from_its_start() {
        let text = vec![b'x'; 300_000];
        let file = sealed_text(&text, "text").unwrap();
        assert!(is_sealed(&file).unwrap());
        assert!(read_all(&file, 1 << 20).unwrap() == text);
    }

    #[test]
    fn what_can_change_is_not_sealed() {
        let (memfd, _) = create("open", MemfdFlags::EXEC).unwrap();
        assert!(!is_sealed(&memfd).unwrap());
        rx::fcntl_add_seals(&memfd, SealFlags::WRITE).unwrap();
        assert!(!is_sealed(&memfd).unwrap(), "it could still get shorter");
        assert!(!is_sealed(open("/proc/self/exe", OFlags::RDONLY, 0).unwrap()).unwrap());
    }
}
