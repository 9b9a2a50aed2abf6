//! The kernel's numbers in words, for [`crate::outline`].

use crate::host::IdRange;
use crate::{
    CgroupView, DeviceHow, DeviceKind, FsOption, Groups, IdMapSource, LandlockLayer, Mount, MountAttributes, MountFallback,
    MountKind,
};
use libc::{
    MOUNT_ATTR__ATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY, MOUNT_ATTR_STRICTATIME, MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, MS_UNBINDABLE,
};
use wolffia_seccomp::Filter;
use wolffia_spec::landlock::Kind;

/// One entry of `mounts` in a sentence.
pub(crate) fn mount(mount: &Mount) -> String {
    let mut text = format!("{} ← {}", mount.destination, source(&mount.what));
    let mut details = attributes(&mount.attributes);
    if mount.late_readonly {
        details.push("ro in the end".to_owned());
    }
    if mount.copy_up {
        details.push("filled with what it covers".to_owned());
    }
    if mount.mode_from_destination {
        details.push("mode of what it covers".to_owned());
    }
    if let Some(map) = &mount.id_map {
        let from = match &map.map {
            IdMapSource::Container => "as in the container".to_owned(),
            IdMapSource::Own { uids, gids } => format!("uids {}, gids {}", ranges(uids), ranges(gids)),
        };
        details.push(format!("ids mapped{}: {from}", if map.recursive { " recursively" } else { "" }));
    }
    details.extend(mount.propagation.iter().map(|flags| propagation(*flags)));
    if mount.destination_nofollow {
        details.push("no symbolic link as destination".to_owned());
    }
    if !details.is_empty() {
        text = format!("{text}; {}", details.join(", "));
    }
    text
}

/// Propagation as `rootfsPropagation` and mount options spell it.
pub(crate) fn propagation(flags: u64) -> String {
    let names = [(MS_SHARED, "shared"), (MS_SLAVE, "slave"), (MS_PRIVATE, "private"), (MS_UNBINDABLE, "unbindable")];
    let name = names.iter().find(|(flag, _)| flags & flag != 0).map_or("unchanged", |(_, name)| name);
    format!("{}{name}", if flags & MS_REC != 0 { "r" } else { "" })
}

/// The lines of an id map.
pub(crate) fn ranges(map: &[IdRange]) -> String {
    map.iter().map(IdRange::to_string).collect::<Vec<_>>().join(", ")
}

/// `SECCOMP_FILTER_FLAG_*` by name, without the prefix.
pub(crate) fn seccomp_flags(flags: u32) -> String {
    let names = [
        (Filter::LOG, "LOG"),
        (Filter::SPEC_ALLOW, "SPEC_ALLOW"),
        (Filter::NEW_LISTENER, "NEW_LISTENER"),
        (Filter::WAIT_KILLABLE_RECV, "WAIT_KILLABLE_RECV"),
    ];
    let set: Vec<&str> = names.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| *name).collect();
    if set.is_empty() { "no flags".to_owned() } else { set.join(", ") }
}

/// What a layer of Landlock denies unless it allows it.
pub(crate) fn landlock(layer: &LandlockLayer) -> String {
    let kinds = [("", Kind::Fs, layer.handled_fs), ("", Kind::Net, layer.handled_net), ("beyond it ", Kind::Scope, layer.scoped)];
    let lists = kinds.iter().filter(|(.., bits)| *bits != 0);
    lists.map(|(prefix, kind, bits)| format!("{prefix}{}", kind.names(*bits).join(" "))).collect::<Vec<_>>().join("; ")
}

/// How a device comes into being.
pub(crate) fn device(how: &DeviceHow) -> String {
    match how {
        DeviceHow::Make { kind: DeviceKind::Fifo, mode, uid, gid, .. } => {
            format!("make a fifo, mode {mode:04o}, owner {uid}:{gid}")
        }
        DeviceHow::Make { kind, major, minor, mode, uid, gid } => {
            format!("make {} {major}:{minor}, mode {mode:04o}, owner {uid}:{gid}", device_kind(*kind))
        }
        DeviceHow::Bind { kind, major, minor } => format!("bind the host's, if it is {} {major}:{minor}", device_kind(*kind)),
    }
}

/// Supplementary groups.
pub(crate) fn groups(groups: &Groups) -> String {
    match groups {
        Groups::Set(ids) if ids.is_empty() => "no other groups".to_owned(),
        Groups::Set(ids) => format!("groups {}", list(ids)),
        Groups::Keep => "the caller's groups".to_owned(),
    }
}

/// Numbers between commas.
pub(crate) fn list<T: ToString>(numbers: &[T]) -> String {
    numbers.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

fn source(what: &MountKind) -> String {
    match what {
        MountKind::Filesystem { fstype, options, fallback, .. } => {
            let options: Vec<String> = options.iter().map(option).collect();
            let options = if options.is_empty() { String::new() } else { format!(" ({})", options.join(", ")) };
            let fallback = match fallback {
                MountFallback::Fail => String::new(),
                MountFallback::BindFromHost { source, readonly } => {
                    format!(", or when it is refused {source} of the host{}", if *readonly { ", read-only" } else { "" })
                }
            };
            format!("a new {fstype}{options}{fallback}")
        }
        MountKind::Bind { source, recursive, source_nofollow, .. } => {
            let below = if *recursive { " with what is mounted below" } else { "" };
            let follow = if *source_nofollow { ", no symbolic link" } else { "" };
            format!("{source} of the host{below}{follow}")
        }
        MountKind::Remount => "what is there, changed".to_owned(),
        MountKind::Propagation => "what is there".to_owned(),
        MountKind::Cgroup(CgroupView::Unified { fallback }) => {
            format!("cgroup2 of its cgroup namespace, or when it is refused {fallback}")
        }
        MountKind::Cgroup(CgroupView::UnifiedBind { source }) => format!("the host's cgroups, {source}"),
        MountKind::Cgroup(CgroupView::Legacy { hierarchies }) => {
            let names: Vec<&str> = hierarchies.iter().map(|hierarchy| hierarchy.directory.as_str()).collect();
            format!("cgroup v1: {}", names.join(" "))
        }
    }
}

fn option(option: &FsOption) -> String {
    match option {
        FsOption::Value { key, value } => format!("{key}={value}"),
        FsOption::Flag { key } => key.clone(),
    }
}

/// Each attribute, its word when it is set, and its word when it is cleared.
const ATTRIBUTES: &[(u64, &str, &str)] = &[
    (MOUNT_ATTR_RDONLY, "ro", "rw"),
    (MOUNT_ATTR_NOSUID, "nosuid", "suid"),
    (MOUNT_ATTR_NODEV, "nodev", "dev"),
    (MOUNT_ATTR_NOEXEC, "noexec", "exec"),
    (MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow", "symfollow"),
    (MOUNT_ATTR_NODIRATIME, "nodiratime", "diratime"),
];

fn attributes(attributes: &MountAttributes) -> Vec<String> {
    let MountAttributes { set, clear, clear_unless_locked, recursive_set, recursive_clear } = *attributes;
    let mut words = changes("", set, clear);
    let implied: Vec<String> = changes("", 0, clear_unless_locked);
    if !implied.is_empty() {
        words.push(format!("and {} where the kernel lets it", implied.join("/")));
    }
    words.extend(changes("r", recursive_set, recursive_clear));
    words
}

fn changes(prefix: &str, set: u64, clear: u64) -> Vec<String> {
    let set_words = ATTRIBUTES.iter().filter(|(flag, ..)| set & flag != 0).map(|(_, word, _)| *word);
    let clear_words = ATTRIBUTES.iter().filter(|(flag, ..)| clear & !set & flag != 0).map(|(.., word)| *word);
    let atime = match set & MOUNT_ATTR__ATIME {
        MOUNT_ATTR_NOATIME => Some("noatime"),
        MOUNT_ATTR_STRICTATIME => Some("strictatime"),
        _ if clear & MOUNT_ATTR__ATIME != 0 => Some("relatime"),
        _ => None,
    };
    set_words.chain(clear_words).chain(atime).map(|word| format!("{prefix}{word}")).collect()
}

fn device_kind(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Char => "character device",
        DeviceKind::Block => "block device",
        DeviceKind::Fifo => "fifo",
    }
}
