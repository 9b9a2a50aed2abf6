//! `HOME` of a payload whose configuration does not give it: engines leave it to the runtime.

use std::os::fd::AsFd;
use wolffia_plan::{Home, Process};
use wolffia_sys::fd::{self, FileKind, OFlags};
use wolffia_sys::root::Root;

/// More of /etc/passwd is not looked at.
const PASSWD_LIMIT: usize = 1 << 20;

/// The environment entry to add.
pub fn entry(root: &Root, payload: &Process) -> Option<String> {
    match &payload.home {
        Home::Given => None,
        Home::Looked { fallback } => {
            let home = looked_up(root, payload.identity.uid);
            Some(format!("HOME={}", home.as_deref().unwrap_or(fallback)))
        }
    }
}

/// A container without the file, or with one that makes no sense, has the default: this is a convenience, not a decision.
fn looked_up(root: &Root, uid: u32) -> Option<String> {
    let file = root.open_file("etc/passwd", OFlags::RDONLY).ok()?;
    if fd::stat(file.as_fd()).ok()?.kind != FileKind::File {
        return None;
    }
    // A longer file is an error of the read, and then has no say.
    let text = fd::read_all(&file, PASSWD_LIMIT).ok()?;
    directory_of(&String::from_utf8_lossy(&text), uid)
}

/// passwd(5): name:password:uid:gid:comment:directory:shell. The number has to be written as one, because "0x0" or "+0" are names
/// that somebody made up.
fn directory_of(text: &str, uid: u32) -> Option<String> {
    let number = uid.to_string();
    let line = text.lines().map(|line| line.split(':')).find(|fields| fields.clone().nth(2) == Some(number.as_str()));
    let directory = line?.nth(5)?;
    let clean = directory.starts_with('/') && !directory.contains(|c: char| c.is_control());
    clean.then(|| directory.to_owned())
}

#[cfg(test)]
mod tests {
    use super::directory_of;

    #[test]
    fn only_a_clean_directory_of_the_same_number_counts() {
        let text = "root:x:0:0:root:/root:/bin/sh\n1000:x:0:0::/evil:\nnode:x:1000:1000::/home/node:/bin/sh\nbad:x:7:7::rel:\nctl:x:8:8::/a\u{1}b:\n";
        assert_eq!(directory_of(text, 0).as_deref(), Some("/root"));
        assert_eq!(directory_of(text, 1000).as_deref(), Some("/home/node"));
        for uid in [7, 8, 9] {
            assert_eq!(directory_of(text, uid), None, "{uid}");
        }
    }
}
