//! Which ids the runtime may hand on: its own maps, the subordinate ranges of this user, and the helpers that write them.

use crate::{HostError, read};
use std::os::unix::fs::MetadataExt;
use wolffia_plan::HostPath;
use wolffia_plan::host::{IdRange, SubordinateRange};

pub(crate) const SUBUID: &str = "/etc/subuid";
pub(crate) const SUBGID: &str = "/etc/subgid";
const PASSWD: &str = "/etc/passwd";

/// Where distributions install set-user-id programs. Not `PATH`: an engine may call with an empty one, and the map's
/// writer must not be whatever a caller's environment names.
pub(crate) const HELPER_DIRECTORIES: [&str; 5] =
    ["/usr/bin", "/usr/local/bin", "/bin", "/run/wrappers/bin", "/run/privileged/bin"];

/// The map of the initial user namespace (user_namespaces(7)). A nested one with this very map exists only where
/// root made it so, and behaves the same.
pub(crate) fn is_initial_map(map: &[IdRange]) -> bool {
    map == [IdRange { container: 0, host: 0, size: u32::MAX }]
}

/// Reads `/proc/self/uid_map` or `/proc/self/gid_map`. Empty before a map is written.
pub(crate) fn own_map(path: &str) -> Result<Vec<IdRange>, HostError> {
    parse_map(path, &read::proc(path)?)
}

fn parse_map(path: &str, text: &str) -> Result<Vec<IdRange>, HostError> {
    let range = |line: &str| {
        let mut words = line.split_ascii_whitespace().map(number);
        let range = IdRange { container: words.next()??, host: words.next()??, size: words.next()?? };
        words.next().is_none().then_some(range)
    };
    text.lines().map(|line| range(line).ok_or_else(|| HostError::malformed(path, line, "three numbers"))).collect()
}

/// What /etc/subuid and /etc/subgid give a user, in the order of the files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Subordinate {
    pub(crate) uids: Vec<SubordinateRange>,
    pub(crate) gids: Vec<SubordinateRange>,
}

/// Reads the ranges of the user `uid`. Both files name users, in subgid(5) too.
///
/// The files' owners are mostly names, so the names of `uid` are looked up: in the host's own /etc/passwd, for this
/// one comparison, and by our own parser, as a static glibc has no NSS. No id is ever made from a name.
pub(crate) fn subordinate(uid: u32) -> Result<Subordinate, HostError> {
    let (uids, gids) = (read::optional(SUBUID)?.unwrap_or_default(), read::optional(SUBGID)?.unwrap_or_default());
    if uids.is_empty() && gids.is_empty() {
        return Ok(Subordinate::default());
    }
    let names = user_names(uid)?;
    let of_user = |text: &str| {
        let own = |line: SubordinateLine| line.is_of(uid, &names).then_some(line.range);
        text.lines().filter_map(SubordinateLine::parse).filter_map(own).collect()
    };
    Ok(Subordinate { uids: of_user(&uids), gids: of_user(&gids) })
}

/// The names that the host's /etc/passwd has for `uid`; several entries may share it. Empty for a user who lives elsewhere (LDAP).
pub(crate) fn user_names(uid: u32) -> Result<Vec<String>, HostError> {
    let text = read::optional(PASSWD)?.unwrap_or_default();
    Ok(text.lines().filter_map(|line| passwd_name(line, uid)).map(str::to_owned).collect())
}

/// The name in a line of passwd(5), when the line is well formed and its user id is `uid`.
fn passwd_name(line: &str, uid: u32) -> Option<&str> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, id, _, _, _, _] = fields[..] else { return None };
    // A leading + or - includes or excludes entries of NIS; it names nobody.
    (number(id)? == uid && !name.is_empty() && !name.starts_with(['+', '-'])).then_some(name)
}

/// One line of /etc/subuid or /etc/subgid.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SubordinateLine<'a> {
    owner: &'a str,
    pub(crate) range: SubordinateRange,
}

impl<'a> SubordinateLine<'a> {
    /// `owner:first:count`, decimal, and every id of the range a valid one. `None` for anything else: newuidmap grants
    /// nothing for such a line, and one bad line must not take the ranges of all the other users away.
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [owner, first, count] = fields[..] else { return None };
        let range = SubordinateRange { first: number(first)?, count: number(count)? };
        // 4294967295 is (uid_t)-1, "no id" (chown(2), setresuid(2)).
        let valid = range.count > 0 && range.first.checked_add(range.count).is_some();
        (valid && !owner.is_empty()).then_some(Self { owner, range })
    }

    fn is_of(&self, uid: u32, names: &[String]) -> bool {
        number(self.owner) == Some(uid) || names.iter().any(|name| name == self.owner)
    }
}

/// Finds newuidmap or newgidmap. Whether it has the rights to do its work shows when it is run.
pub(crate) fn helper(name: &str) -> Option<HostPath> {
    let path = HELPER_DIRECTORIES
        .iter()
        .map(|directory| format!("{directory}/{name}"))
        .find(|path| std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0))?;
    HostPath::new(path)
}

/// A decimal number in u32 range: digits only, where `u32::from_str` would take a sign.
fn number(word: &str) -> Option<u32> {
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_three_numbers_a_line() {
        let map = |text| parse_map("m", text).ok();
        assert_eq!(map("         0          0 4294967295\n").as_deref().map(is_initial_map), Some(true));
        assert_eq!(map(""), Some(vec![]));
        let two = map("0 1000 1\n1 100000 65536\n").unwrap();
        assert_eq!(two[1], IdRange { container: 1, host: 100_000, size: 65536 });
        assert!(!is_initial_map(&two));
        for bad in ["0 0\n", "0 0 1 2\n", "0 0 -1\n", "0 0 +1\n", "0 0 4294967296\n", "\n", "a b c\n"] {
            assert_eq!(map(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn subordinate_lines_are_strict() {
        let range = |line| SubordinateLine::parse(line).map(|line| (line.range.first, line.range.count));
        for (line, expected) in [
            ("alice:100000:65536", Some((100_000, 65536))),
            ("1000:100000:1", Some((100_000, 1))),
            ("alice:4294967294:1", Some((u32::MAX - 1, 1))),
            ("alice:4294967295:1", None),
            ("alice:4294967290:6", None),
            ("alice:100000:0", None),
            ("alice:100000", None),
            ("alice:100000:65536:", None),
            ("alice: 100000:65536", None),
            ("alice:100000:65536 ", None),
            ("alice:+100000:65536", None),
            ("alice:0x10:65536", None),
            ("alice::65536", None),
            (":100000:65536", None),
            ("# alice:1:1 ", None),
            ("", None),
        ] {
            assert_eq!(range(line), expected, "{line:?}");
        }
    }

    #[test]
    fn an_owner_is_a_name_of_the_user_or_the_number() {
        let names = ["alice".to_owned(), "alias".to_owned()];
        for (owner, expected) in
            [("alice", true), ("alias", true), ("1000", true), ("01000", true), ("alic", false), ("1001", false)]
        {
            let line = format!("{owner}:100000:65536");
            assert_eq!(SubordinateLine::parse(&line).unwrap().is_of(1000, &names), expected, "{owner}");
        }
    }

    #[test]
    fn passwd_lines_name_the_uid_and_never_the_gid() {
        for (line, expected) in [
            ("alice:x:1000:100:Alice,,,:/home/alice:/bin/sh", Some("alice")),
            ("bob:x:1001:1000::/home/bob:/bin/sh", None),
            ("+alice:x:1000:100:::", None),
            (":x:1000:100:::", None),
            ("alice:x:1000:100::/home/alice", None),
            ("alice:x:+1000:100:::", None),
            ("alice:x:1000 :100:::", None),
        ] {
            assert_eq!(passwd_name(line, 1000), expected, "{line:?}");
        }
    }

    #[test]
    fn root_has_its_name_on_every_host() {
        assert!(user_names(0).unwrap().contains(&"root".to_owned()));
        assert!(user_names(3_999_999_999).unwrap().is_empty());
    }
}
