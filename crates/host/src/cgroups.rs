//! How the cgroup file systems lie under /sys/fs/cgroup, and where the runtime is in them.

use crate::{HostError, read};
use wolffia_plan::HostPath;
use wolffia_plan::host::{CgroupHierarchy, CgroupLayout, CgroupMount};
use wolffia_sys::fd::CGROUP2_SUPER_MAGIC;

/// Where systemd and every engine mount cgroup file systems (cgroups(7)).
pub(crate) const MOUNT: &str = "/sys/fs/cgroup";
const MEMBERSHIP: &str = "/proc/self/cgroup";
/// statfs(2), `CGROUP_SUPER_MAGIC`.
const CGROUP_MAGIC: u64 = 0x0027_e0eb;

/// Finds the layout. With cgroup2 alone that takes one statfs(2) and one small file; a host with v1 hierarchies costs
/// one statfs(2) more for each. /proc/self/mountinfo, long on a busy host, is never read.
pub(crate) fn layout() -> Result<CgroupLayout, HostError> {
    let text = read::proc(MEMBERSHIP)?;
    let memberships = parse(&text)?;
    arrange(&memberships, read::file_system)
}

/// A line of /proc/self/cgroup: `id:controllers:path`.
#[derive(Debug, PartialEq, Eq)]
struct Membership<'a> {
    /// Empty for cgroup2.
    controllers: &'a str,
    path: &'a str,
}

fn parse(text: &str) -> Result<Vec<Membership<'_>>, HostError> {
    let membership = |line| {
        let mut fields = str::splitn(line, 3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        path.starts_with('/').then_some(Membership { controllers, path })
    };
    text.lines()
        .map(|line| membership(line).ok_or_else(|| HostError::malformed(MEMBERSHIP, line, "id:controllers:/path")))
        .collect()
}

/// `file_system` gives the magic number of what is mounted at a path, `None` if the path does not exist.
fn arrange<F>(memberships: &[Membership<'_>], file_system: F) -> Result<CgroupLayout, HostError>
where
    F: Fn(&str) -> Result<Option<u64>, HostError>,
{
    if file_system(MOUNT)? == Some(CGROUP2_SUPER_MAGIC) {
        let CgroupMount { mount, own } = unified(memberships, MOUNT)?;
        return Ok(CgroupLayout::Unified { mount, own });
    }
    let mut hierarchies = Vec::new();
    for membership in memberships.iter().filter(|membership| !membership.controllers.is_empty()) {
        for directory in directories(membership.controllers) {
            let mount = format!("{MOUNT}/{directory}");
            if file_system(&mount)? != Some(CGROUP_MAGIC) {
                continue;
            }
            hierarchies.push(CgroupHierarchy {
                directory: directory.to_owned(),
                controllers: membership.controllers.split(',').map(str::to_owned).collect(),
                mount: host_path(mount)?,
                own: membership.path.to_owned(),
            });
            break;
        }
    }
    let beside = format!("{MOUNT}/unified");
    let unified = match file_system(&beside)? {
        Some(CGROUP2_SUPER_MAGIC) => Some(unified(memberships, &beside)?),
        _ => None,
    };
    if hierarchies.is_empty() && unified.is_none() {
        return Ok(CgroupLayout::Absent);
    }
    Ok(CgroupLayout::Legacy { hierarchies, unified })
}

fn unified(memberships: &[Membership<'_>], mount: &str) -> Result<CgroupMount, HostError> {
    let own = memberships.iter().find(|membership| membership.controllers.is_empty());
    let own = own.ok_or_else(|| HostError::malformed(MEMBERSHIP, "no line 0::", "a line 0::/path, as cgroup2 is mounted"))?;
    Ok(CgroupMount { mount: host_path(mount.to_owned())?, own: own.path.to_owned() })
}

/// Names that a hierarchy's directory can have: all controllers (`cpu,cpuacct`), or one of them alone where the
/// joined name is missing, as cgroupfs-mount and some distributions have it; `name=systemd` is mounted as `systemd`.
fn directories(controllers: &str) -> impl Iterator<Item = &str> {
    let joined = controllers.strip_prefix("name=").unwrap_or(controllers);
    let single = controllers.split(',').filter(move |name| *name != controllers);
    std::iter::once(joined).chain(single)
}

fn host_path(path: String) -> Result<HostPath, HostError> {
    HostPath::new(path.as_str()).ok_or_else(|| HostError::malformed(MEMBERSHIP, path, "names without NUL bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    use wolffia_sys::fd::TMPFS_MAGIC as TMPFS;

    const HYBRID: &str = "4:name=systemd:/s\n3:cpuset:/\n2:cpu,cpuacct:/a:b\n1:net_cls,net_prio:/n\n0::/u\n";

    fn check(text: &str, mounted: &[(&str, u64)]) -> CgroupLayout {
        arrange(&parse(text).unwrap(), |path| Ok(mounted.iter().find(|(name, _)| *name == path).map(|(_, magic)| *magic)))
            .unwrap()
    }

    #[test]
    fn cgroup2_alone() {
        let layout = check("0::/user.slice/x:y\n", &[(MOUNT, CGROUP2_SUPER_MAGIC)]);
        assert_eq!(layout, CgroupLayout::Unified { mount: HostPath::new(MOUNT).unwrap(), own: "/user.slice/x:y".into() });
    }

    #[test]
    fn hierarchies_are_found_by_their_joined_name_or_a_single_one() {
        let mounted = [
            (MOUNT, TMPFS),
            ("/sys/fs/cgroup/systemd", CGROUP_MAGIC),
            ("/sys/fs/cgroup/cpu,cpuacct", CGROUP_MAGIC),
            ("/sys/fs/cgroup/net_prio", CGROUP_MAGIC),
            ("/sys/fs/cgroup/cpuset", TMPFS),
            ("/sys/fs/cgroup/unified", CGROUP2_SUPER_MAGIC),
        ];
        let CgroupLayout::Legacy { hierarchies, unified } = check(HYBRID, &mounted) else { panic!("legacy") };
        let found: Vec<_> = hierarchies.iter().map(|h| (h.directory.as_str(), h.controllers.join("+"), h.own.as_str())).collect();
        assert_eq!(
            found,
            [
                ("systemd", "name=systemd".to_owned(), "/s"),
                ("cpu,cpuacct", "cpu+cpuacct".to_owned(), "/a:b"),
                ("net_prio", "net_cls+net_prio".to_owned(), "/n")
            ]
        );
        assert_eq!(unified, Some(CgroupMount { mount: HostPath::new("/sys/fs/cgroup/unified").unwrap(), own: "/u".into() }));
    }

    #[test]
    fn nothing_mounted_is_absent() {
        for mounted in [&[][..], &[(MOUNT, TMPFS)]] {
            assert_eq!(check(HYBRID, mounted), CgroupLayout::Absent);
        }
        assert_eq!(check("", &[]), CgroupLayout::Absent);
    }

    #[test]
    fn a_line_that_is_not_a_membership_is_an_error() {
        for bad in ["0:/\n", "0::relative\n", "\n", "0\n"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        let error = arrange(&[], |_| Ok(Some(CGROUP2_SUPER_MAGIC))).unwrap_err();
        assert!(error.to_string().contains("0::"), "{error}");
    }
}
