//! Who the container's ids are on the host: the maps of its user namespace, and who may write them.

use crate::host::{Host, IdRange, SubordinateRange};
use crate::{Ids, MapWriter, NamespaceKind, Namespaces, Refusal, Setgroups, SetupIds};
use wolffia_spec::oci;

/// Lines that the kernel takes in one map (`UID_GID_MAP_MAX_EXTENTS`, user_namespaces(7)).
const MOST_LINES: usize = 340;

/// The ids that exist in the container's user namespace. `None`: nobody knows them before it is joined.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KnownIds {
    pub uids: Option<Vec<IdRange>>,
    pub gids: Option<Vec<IdRange>>,
}

impl KnownIds {
    /// The ids of a container that stays in the runtime's own user namespace.
    pub fn of_host(host: &Host) -> Self {
        let known = |map: &Vec<IdRange>| (!map.is_empty()).then(|| map.clone());
        Self { uids: known(&host.own_uid_map), gids: known(&host.own_gid_map) }
    }

    /// Whether the user id is known to be absent.
    pub fn lacks_uid(&self, uid: u32) -> bool {
        self.uids.as_ref().is_some_and(|map| !maps(map, uid))
    }

    /// Whether the group id is known to be absent.
    pub fn lacks_gid(&self, gid: u32) -> bool {
        self.gids.as_ref().is_some_and(|map| !maps(map, gid))
    }
}

impl Ids {
    /// Whether the user namespace lets its processes drop groups; one that is joined tells at execution.
    pub fn setgroups(&self) -> Setgroups {
        match self {
            Ids::Mapped { setgroups, .. } => *setgroups,
            Ids::Inherited | Ids::Joined { .. } => Setgroups::Allow,
        }
    }
}

/// Which of the two maps a refusal speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Uid,
    Gid,
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Which::Uid => "uid",
            Which::Gid => "gid",
        }
    }

    fn field(self) -> &'static str {
        match self {
            Which::Uid => "/linux/uidMappings",
            Which::Gid => "/linux/gidMappings",
        }
    }
}

/// Decides the maps of the user namespace and the ids that init sets the container up with.
///
/// # Errors
/// Maps without a namespace, a namespace without maps, maps that the kernel or the helpers would not write.
pub(crate) fn plan_ids(
    spec: &oci::Spec,
    linux: &oci::Linux,
    namespaces: &Namespaces,
    host: &Host,
) -> Result<(Ids, KnownIds), Refusal> {
    let uids = given(Which::Uid, linux.uid_mappings())?;
    let gids = given(Which::Gid, linux.gid_mappings())?;
    if !namespaces.is_private(NamespaceKind::User) {
        if !uids.is_empty() || !gids.is_empty() {
            return Err(Refusal::new(
                if uids.is_empty() { Which::Gid.field() } else { Which::Uid.field() },
                "user namespace mappings specified, but user namespace isn't enabled in the config",
                r#"add {"type":"user"} to linux.namespaces, or remove the mappings"#,
            ));
        }
        return Ok((Ids::Inherited, KnownIds::of_host(host)));
    }
    if namespaces.joined(NamespaceKind::User).is_some() {
        // containerd and CRI-O name the maps of the namespace that they have made beside its path.
        let known = KnownIds { uids: (!uids.is_empty()).then_some(uids), gids: (!gids.is_empty()).then_some(gids) };
        let setup = setup_ids(spec, known.uids.as_deref(), known.gids.as_deref());
        return Ok((Ids::Joined { setup }, known));
    }
    let (uids, gids) = match (uids.is_empty(), gids.is_empty()) {
        (true, true) if !host.privileged => derive(host),
        (true, _) => return Err(no_mappings(Which::Uid)),
        (_, true) => return Err(no_mappings(Which::Gid)),
        _ => (uids, gids),
    };
    let (writer, setgroups) = decide_writer(&uids, &gids, host)?;
    let setup = setup_ids(spec, Some(&uids), Some(&gids));
    let known = KnownIds { uids: Some(uids.clone()), gids: Some(gids.clone()) };
    Ok((Ids::Mapped { uids, gids, writer, setgroups, setup }, known))
}

/// Checks a map as the kernel does when it is written, so that the mistake is named before anything is made.
///
/// # Errors
/// Empty lines, ids beyond the last one, lines that overlap, more lines than the kernel takes.
pub(crate) fn check_map(field: &str, map: &[IdRange]) -> Result<(), Refusal> {
    if map.len() > MOST_LINES {
        return Err(Refusal::new(
            field,
            format!("{} mappings are more than the kernel's {MOST_LINES}", map.len()),
            "join ranges that touch",
        ));
    }
    for (index, line) in map.iter().enumerate() {
        let refuse = |reason: String| {
            Err(Refusal::new(format!("{field}/{index}"), reason, "give every id once, in ranges that end below 4294967295"))
        };
        if line.size == 0 {
            return refuse("the mapping is empty: its size is 0".to_owned());
        }
        if line.container.checked_add(line.size).is_none() || line.host.checked_add(line.size).is_none() {
            return refuse(format!("the mapping {line} goes beyond the last id"));
        }
        if let Some(other) = map[..index].iter().find(|other| overlap(other.container, other.size, line.container, line.size)) {
            return refuse(format!("the mappings {other} and {line} give a container id twice"));
        }
        if let Some(other) = map[..index].iter().find(|other| overlap(other.host, other.size, line.host, line.size)) {
            return refuse(format!("the mappings {other} and {line} give a host id twice"));
        }
    }
    Ok(())
}

/// The ranges of an OCI map.
pub(crate) fn ranges(map: &[oci::LinuxIdMapping]) -> Vec<IdRange> {
    map.iter().map(|line| IdRange { container: line.container_id(), host: line.host_id(), size: line.size() }).collect()
}

impl IdRange {
    /// Who `id` of the container is outside, if it is in this range.
    pub(crate) fn outside(self, id: u32) -> Option<u32> {
        let offset = id.checked_sub(self.container).filter(|offset| *offset < self.size)?;
        self.host.checked_add(offset)
    }
}

impl std::fmt::Display for IdRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.size == 1 {
            write!(f, "{} → {}", self.container, self.host)
        } else {
            write!(f, "{}+{} → {}", self.container, self.size, self.host)
        }
    }
}

fn given(which: Which, map: &Option<Vec<oci::LinuxIdMapping>>) -> Result<Vec<IdRange>, Refusal> {
    let map = ranges(map.as_deref().unwrap_or_default());
    check_map(which.field(), &map)?;
    Ok(map)
}

/// The maps of a rootless container that names none: the caller is its root, and the caller's subordinate ids follow.
/// Without a pair of ranges there is one id, because newuidmap and newgidmap would refuse half of them.
fn derive(host: &Host) -> (Vec<IdRange>, Vec<IdRange>) {
    let map = |own: u32, subordinate: Option<&SubordinateRange>| {
        let mut map = vec![IdRange { container: 0, host: own, size: 1 }];
        // The end is cut off where the container's ids end: container id 1 + count must stay below the last id.
        map.extend(subordinate.map(|range| IdRange { container: 1, host: range.first, size: range.count.min(u32::MAX - 1) }));
        map
    };
    let usable = |ranges: &[SubordinateRange], own: u32| {
        ranges
            .iter()
            .find(|range| {
                range.count > 0 && range.first.checked_add(range.count).is_some() && !overlap(range.first, range.count, own, 1)
            })
            .copied()
    };
    let helpers = host.newuidmap.is_some() && host.newgidmap.is_some();
    match (usable(&host.subordinate_uids, host.euid), usable(&host.subordinate_gids, host.egid)) {
        (Some(uids), Some(gids)) if helpers => (map(host.euid, Some(&uids)), map(host.egid, Some(&gids))),
        _ => (map(host.euid, None), map(host.egid, None)),
    }
}

fn decide_writer(uids: &[IdRange], gids: &[IdRange], host: &Host) -> Result<(MapWriter, Setgroups), Refusal> {
    if host.privileged {
        check_own(Which::Uid, uids, &host.own_uid_map)?;
        check_own(Which::Gid, gids, &host.own_gid_map)?;
        return Ok((MapWriter::Runtime, Setgroups::Allow));
    }
    if is_single(uids, host.euid) && is_single(gids, host.egid) {
        // The kernel lets a user map a group only after the right to drop groups is gone (user_namespaces(7), CVE-2014-8989).
        return Ok((MapWriter::Runtime, Setgroups::Deny));
    }
    let (Some(newuidmap), Some(newgidmap)) = (host.newuidmap.clone(), host.newgidmap.clone()) else {
        let which = if is_single(uids, host.euid) { Which::Gid } else { Which::Uid };
        return Err(Refusal::new(
            which.field(),
            format!(
                "only newuidmap and newgidmap may map other ids than {}:{}, and they are not both installed",
                host.euid, host.egid
            ),
            "apt install uidmap, or map one id: the caller's own",
        ));
    };
    check_subordinate(Which::Uid, uids, host.euid, host.euid, &host.subordinate_uids)?;
    check_subordinate(Which::Gid, gids, host.egid, host.euid, &host.subordinate_gids)?;
    // newgidmap leaves setgroups(2) allowed only if a range comes from /etc/subgid.
    let setgroups = if is_single(gids, host.egid) { Setgroups::Deny } else { Setgroups::Allow };
    Ok((MapWriter::Helpers { newuidmap, newgidmap }, setgroups))
}

/// A map hands on only what the runtime's own user namespace has.
fn check_own(which: Which, map: &[IdRange], own: &[IdRange]) -> Result<(), Refusal> {
    let has: Vec<SubordinateRange> =
        own.iter().map(|line| SubordinateRange { first: line.container, count: line.size }).collect();
    match map.iter().position(|line| !has.is_empty() && !covered(line.host, line.size, &has)) {
        None => Ok(()),
        Some(index) => Err(Refusal::new(
            format!("{}/{index}", which.field()),
            format!(
                "the runtime's own user namespace lacks some of the host {}s {}..{}",
                which.name(),
                map[index].host,
                end(&map[index])
            ),
            format!("map {}s that /proc/self/{}_map lists", which.name(), which.name()),
        )),
    }
}

fn check_subordinate(which: Which, map: &[IdRange], own: u32, user: u32, ranges: &[SubordinateRange]) -> Result<(), Refusal> {
    for (index, line) in map.iter().enumerate() {
        let is_own = line.size == 1 && line.host == own;
        if !is_own && !covered(line.host, line.size, ranges) {
            let name = which.name();
            return Err(Refusal::new(
                format!("{}/{index}", which.field()),
                format!("/etc/sub{name} does not give the host {name}s {}..{} to user {user}", line.host, end(line)),
                format!("add the line `{user}:{}:{}` to /etc/sub{name}", line.host, line.size),
            ));
        }
    }
    Ok(())
}

/// The last id outside that a line gives away.
fn end(line: &IdRange) -> u32 {
    line.host + (line.size - 1)
}

fn is_single(map: &[IdRange], own: u32) -> bool {
    matches!(map, [line] if line.size == 1 && line.host == own)
}

/// Whether the ranges together hold every id from `first` on.
fn covered(first: u32, count: u32, ranges: &[SubordinateRange]) -> bool {
    let (mut next, end) = (u64::from(first), u64::from(first) + u64::from(count));
    // Each pass ends past one more range, so there are no more passes than ranges.
    for _ in 0..=ranges.len() {
        if next >= end {
            return true;
        }
        let holder =
            ranges.iter().find(|range| u64::from(range.first) <= next && next < u64::from(range.first) + u64::from(range.count));
        match holder {
            Some(range) => next = u64::from(range.first) + u64::from(range.count),
            None => return false,
        }
    }
    next >= end
}

fn overlap(a: u32, a_size: u32, b: u32, b_size: u32) -> bool {
    u64::from(a) < u64::from(b) + u64::from(b_size) && u64::from(b) < u64::from(a) + u64::from(a_size)
}

/// Whether the container has this id.
fn maps(map: &[IdRange], id: u32) -> bool {
    map.iter().any(|line| overlap(line.container, line.size, id, 1))
}

fn setup_ids(spec: &oci::Spec, uids: Option<&[IdRange]>, gids: Option<&[IdRange]>) -> SetupIds {
    let user = spec.process().as_ref().map(oci::Process::user);
    let choose = |map: Option<&[IdRange]>, payload: Option<u32>| match map {
        Some(map) if !maps(map, 0) => payload.or_else(|| map.first().map(|line| line.container)).unwrap_or(0),
        _ => 0,
    };
    SetupIds { uid: choose(uids, user.map(oci::User::uid)), gid: choose(gids, user.map(oci::User::gid)) }
}

fn no_mappings(which: Which) -> Refusal {
    Refusal::new(
        which.field(),
        format!("user namespaces enabled, but no {} mappings found", which.name()),
        format!(r#"for example {{"containerID":0,"hostID":100000,"size":65536}} in {}"#, which.field()),
    )
}
