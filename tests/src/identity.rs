//! Who runs the scenarios.

use std::path::Path;

/// A kind of user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    Root,
    /// Nobody in particular. `subordinate`: with ranges in /etc/subuid and /etc/subgid, and newuidmap to use them.
    User {
        subordinate: bool,
    },
}

pub const ROOT: &[Identity] = &[Identity::Root];
pub const USER: &[Identity] = &[Identity::User { subordinate: false }];
pub const SUBIDS: &[Identity] = &[Identity::User { subordinate: true }];
pub const ROOTLESS: &[Identity] = &[Identity::User { subordinate: false }, Identity::User { subordinate: true }];
pub const ANYBODY: &[Identity] = &[Identity::Root, Identity::User { subordinate: false }, Identity::User { subordinate: true }];

/// Users of the scenarios that root starts. They have no account on the machine; the one with ranges gets it, and them, in a
/// private view of /etc.
const UID_ALONE: u32 = 64_210;
const UID_SUBORDINATE: u32 = 64_211;
/// First id and count of the ranges in the private view.
const RANGE: (u32, u32) = (7_000_000, 65_536);

impl Identity {
    pub fn word(self) -> &'static str {
        match self {
            Identity::Root => "root",
            Identity::User { subordinate: false } => "user",
            Identity::User { subordinate: true } => "user-with-subids",
        }
    }

    pub fn from_word(word: &str) -> Self {
        *ANYBODY.iter().find(|identity| identity.word() == word).unwrap_or_else(|| panic!("no identity is called {word:?}"))
    }

    pub fn is_root(self) -> bool {
        self == Identity::Root
    }

    /// Why this process cannot run scenarios as this identity.
    pub fn obstacle(self) -> Option<String> {
        let subordinate = self == Identity::User { subordinate: true };
        let missing = ["newuidmap", "newgidmap"].into_iter().find(|name| !is_installed(name));
        match (is_root(), self) {
            (_, _) if subordinate && missing.is_some() => {
                Some("newuidmap and newgidmap are missing: install the package uidmap".to_owned())
            }
            (true, _) => None,
            (false, Identity::Root) => Some("these tests were not started by root".to_owned()),
            (false, _) if subordinate && own_ranges().is_none() => {
                Some("the user who started these tests has no ranges in /etc/subuid and /etc/subgid".to_owned())
            }
            (false, _) => None,
        }
    }

    /// Uid and gid of the scenario's process.
    pub fn id(self) -> u32 {
        match self {
            _ if !is_root() => rustix::process::getuid().as_raw(),
            Identity::Root => 0,
            Identity::User { subordinate: false } => UID_ALONE,
            Identity::User { subordinate: true } => UID_SUBORDINATE,
        }
    }

    /// Lines for /etc/passwd, /etc/group, /etc/subuid and /etc/subgid that the identity needs in its private view.
    pub fn accounts(self) -> Option<[(&'static str, String); 4]> {
        let (first, count) = RANGE;
        let uid = UID_SUBORDINATE;
        (is_root() && self == Identity::User { subordinate: true }).then(|| {
            [
                ("/etc/passwd", format!("wolffia-test:x:{uid}:{uid}::/:/bin/sh\n")),
                ("/etc/group", format!("wolffia-test:x:{uid}:\n")),
                ("/etc/subuid", format!("wolffia-test:{first}:{count}\n")),
                ("/etc/subgid", format!("wolffia-test:{first}:{count}\n")),
            ]
        })
    }
}

/// First subordinate uid and gid of this process's user.
pub fn own_ranges() -> Option<(u32, u32)> {
    let uid = rustix::process::getuid().as_raw().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let name = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid))?.split(':').next()?;
    let first = |file: &str| {
        let text = std::fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.split(':').next().is_some_and(|owner| owner == name || owner == uid))?;
        line.split(':').nth(1)?.parse::<u32>().ok()
    };
    Some((first("/etc/subuid")?, first("/etc/subgid")?))
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

fn is_installed(name: &str) -> bool {
    ["/usr/bin", "/bin", "/usr/local/bin"].iter().any(|directory| Path::new(directory).join(name).exists())
}
