//! CRIU's own words: the lines of its log that say what went wrong.

use std::os::fd::AsFd;
use wolffia_sys::fd::{self, OFlags};

/// More than any log at this level; a longer one is not worth the memory.
const LONGEST: usize = 16 << 20;
/// The last ones: the first error is near the cause, and what follows it is about its consequences.
const MOST: usize = 6;

/// The error lines of the log `name` in `directory`, or where to look.
pub(crate) fn errors(directory: impl AsFd, name: &str) -> String {
    let text = fd::openat(directory, name, OFlags::RDONLY | OFlags::NOFOLLOW, 0).and_then(|file| fd::read_all(file, LONGEST));
    let text = text.map_or_else(
        |error| format!("Error (its log cannot be read: {error})"),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    );
    let lines: Vec<&str> = text.lines().filter_map(words).collect();
    match lines.as_slice() {
        [] => "it does not say why".to_owned(),
        lines => lines.iter().take(MOST).copied().collect::<Vec<_>>().join("; "),
    }
}

/// `(00.123456) Error (criu/file.c:12): words` without the time.
fn words(line: &str) -> Option<&str> {
    let at = line.find("Error (")?;
    let words = &line[at..];
    // Said at the start of every dump by who may not raise its limit of open files, and of no consequence.
    (!words.contains("Can't setup RLIMIT_NOFILE for self")).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_are_quoted() {
        assert_eq!(words("(00.1) Error (criu/mount.c:753): mnt: no"), Some("Error (criu/mount.c:753): mnt: no"));
        assert_eq!(words("(00.1) Warn  (criu/x.c:1): no"), None);
        assert_eq!(words("(00.1) Error (criu/util.c:1533): rlimit: Can't setup RLIMIT_NOFILE for self: no"), None);
    }
}
