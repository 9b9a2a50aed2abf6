//! The runtime's own identity, from one read of /proc/self/status.
//!
//! That file also names the umask without changing it. The other way, umask(2) twice, would leave a moment in
//! which the embedding program's files are made with another mode, and costs as much.

use crate::HostError;
use crate::read;

const STATUS: &str = "/proc/self/status";

/// The lines of /proc/self/status that decisions stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) euid: u32,
    pub(crate) egid: u32,
    pub(crate) effective: u64,
    pub(crate) bounding: u64,
    pub(crate) umask: u32,
    /// Set-user-id programs, newuidmap among them, gain nothing under it (prctl(2), PR_SET_NO_NEW_PRIVS).
    pub(crate) no_new_privileges: bool,
    /// A seccomp filter is already over the runtime: an outer container's.
    pub(crate) filtered: bool,
}

impl Status {
    pub(crate) fn of_self() -> Result<Self, HostError> {
        Self::parse(&read::proc(STATUS)?)
    }

    fn parse(text: &str) -> Result<Self, HostError> {
        // Cut once, because this is read at every start.
        let lines: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(':')).collect();
        let line = |key: &'static str| {
            let value = lines.iter().find(|(name, _)| *name == key).map(|(_, value)| value.trim());
            value.ok_or_else(|| HostError::malformed(STATUS, "no such line", key))
        };
        let number = |key: &'static str, word: &str, radix: u32, expected: &'static str| {
            u64::from_str_radix(word, radix).map_err(|_| HostError::malformed(STATUS, format!("{key}: {word}"), expected))
        };
        // "Uid: real effective saved filesystem"
        let effective_id = |key: &'static str| {
            let value = line(key)?;
            let word = value.split_ascii_whitespace().nth(1).unwrap_or("");
            word.parse::<u32>().map_err(|_| HostError::malformed(STATUS, format!("{key}: {value}"), "four ids"))
        };
        let umask = number("Umask", line("Umask")?, 8, "an octal mask")?;
        Ok(Self {
            euid: effective_id("Uid")?,
            egid: effective_id("Gid")?,
            effective: number("CapEff", line("CapEff")?, 16, "a capability set")?,
            bounding: number("CapBnd", line("CapBnd")?, 16, "a capability set")?,
            umask: u32::try_from(umask & 0o777).unwrap_or(0o077),
            no_new_privileges: line("NoNewPrivs").is_ok_and(|value| value == "1"),
            filtered: line("Seccomp").is_ok_and(|value| value == "2"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Name:\tUid:\t7\t7\t7\nUmask:\t0027\nState:\tR (running)\nUid:\t1000\t1001\t1002\t1003\n\
        Gid:\t2000\t2001\t2002\t2003\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000200000\n\
        CapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";

    #[test]
    fn reads_the_effective_ids_and_not_a_line_that_a_name_forges() {
        let status = Status::parse(TEXT).unwrap();
        assert_eq!((status.euid, status.egid, status.umask), (1001, 2001, 0o027));
        assert_eq!((status.effective, status.bounding), (1 << 21, 0x1ff_ffff_ffff));
        assert!(status.no_new_privileges && status.filtered);
    }

    #[test]
    fn a_missing_or_strange_line_is_an_error_that_names_it() {
        for (from, to, names) in [
            ("Umask:\t0027\n", "", "Umask"),
            ("0027", "0089", "Umask: 0089"),
            ("\t1001\t", "\t-1\t", "Uid: 1000"),
            ("CapEff:\t0000000000200000", "CapEff:\tall", "CapEff: all"),
        ] {
            let error = Status::parse(&TEXT.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(names), "{error}");
        }
    }
}
