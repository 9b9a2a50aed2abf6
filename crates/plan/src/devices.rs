//! Device nodes, and the links beside them in /dev.

use crate::host::Host;
use crate::ids::KnownIds;
use crate::{
    ContainerPath, Device, DeviceHow, DeviceKind, DeviceLink, Mount, MountKind, NamespaceKind, Namespaces, Recorded, Refusal,
    Root,
};
use wolffia_spec::oci;

/// Devices that every container has (config-linux.md, "Default Devices"): name below /dev and minor number, major number.
/// /dev/console comes with a terminal, /dev/ptmx is a link.
const DEFAULTS: &[(&str, u32, u32)] =
    &[("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Links that every container has (runtime-linux.md, "Dev symbolic links"; the last two as runc has them).
const LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// Largest numbers that the kernel keeps of a device (`MINORBITS` 20, `MAJOR` 12 bits).
const LARGEST_MAJOR: i64 = 0xfff;
const LARGEST_MINOR: i64 = 0xf_ffff;

const DEV_OF_THE_ROOT: &str = "the root is the host's, and nothing is mounted on /dev";

/// The planned nodes and links.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct DevicePlan {
    pub devices: Vec<Device>,
    pub links: Vec<DeviceLink>,
    pub recorded: Vec<Recorded>,
}

/// Reads `linux.devices` and adds the defaults. A /dev that is the host's stays as the host has it.
///
/// # Errors
/// Types, numbers and paths that are none.
pub(crate) fn plan_devices(
    linux: &oci::Linux,
    root: &Root,
    mounts: &[Mount],
    namespaces: &Namespaces,
    ids: &KnownIds,
    host: &Host,
) -> Result<DevicePlan, Refusal> {
    let hosts = why_hosts(root, mounts);
    let by_bind = namespaces.is_private(NamespaceKind::User) || host.in_user_namespace;
    let mut plan = DevicePlan::default();
    if hosts == Some(DEV_OF_THE_ROOT) {
        let reason = format!("{DEV_OF_THE_ROOT}: it stays as it is, without default devices and links");
        plan.recorded.push(Recorded { field: "/root/path".to_owned(), reason });
    }
    let mut given = Vec::new();
    for (index, device) in linux.devices().iter().flatten().enumerate() {
        let field = format!("/linux/devices/{index}");
        let planned = plan_device(&field, device, by_bind, ids)?;
        if planned.path.as_str() == "/dev/ptmx" {
            continue;
        }
        if let Some(why) = hosts
            && planned.path.as_str().starts_with("/dev/")
        {
            plan.recorded.push(Recorded { field, reason: format!("{why}: its nodes are used as they are") });
            continue;
        }
        if matches!(planned.how, DeviceHow::Bind { .. })
            && (device.file_mode().is_some() || device.uid().is_some() || device.gid().is_some())
        {
            let reason =
                "a user namespace cannot make device nodes: the host's is bound, with the mode and owner that it has".to_owned();
            plan.recorded.push(Recorded { field, reason });
        }
        given.push(planned);
    }
    if hosts.is_none() {
        let replaced = |device: &Device| given.iter().any(|other: &Device| other.path == device.path);
        plan.devices = defaults(by_bind).filter(|device| !replaced(device)).collect();
        plan.links = links().collect();
    }
    plan.devices.append(&mut given);
    Ok(plan)
}

/// Why the container's /dev is the host's own, if it is: what would be made there would be made for the machine. What cannot be
/// told from the configuration alone, init finds by looking.
fn why_hosts(root: &Root, mounts: &[Mount]) -> Option<&'static str> {
    let on_dev = mounts.iter().rev().filter(|mount| mount.destination.as_str() == "/dev");
    let what = on_dev.map(|mount| &mount.what).find(|what| !matches!(what, MountKind::Remount | MountKind::Propagation));
    match what {
        Some(MountKind::Bind { .. }) => Some("/dev is bound from the host"),
        // The kernel has one for the whole machine, however often it is mounted.
        Some(MountKind::Filesystem { fstype, .. }) if fstype == "devtmpfs" => Some("/dev is the host's devtmpfs"),
        Some(_) => None,
        None if root.path.is_root() => Some(DEV_OF_THE_ROOT),
        None => None,
    }
}

fn defaults(by_bind: bool) -> impl Iterator<Item = Device> {
    DEFAULTS.iter().filter_map(move |(name, major, minor)| {
        let (kind, major, minor) = (DeviceKind::Char, *major, *minor);
        let how = match by_bind {
            true => DeviceHow::Bind { kind, major, minor },
            false => DeviceHow::Make { kind, major, minor, mode: 0o666, uid: 0, gid: 0 },
        };
        ContainerPath::new(&format!("/dev/{name}")).map(|path| Device { field: "default device".to_owned(), path, how })
    })
}

fn links() -> impl Iterator<Item = DeviceLink> {
    LINKS
        .iter()
        .filter_map(|(path, target)| ContainerPath::new(path).map(|path| DeviceLink { path, target: (*target).to_owned() }))
}

fn plan_device(field: &str, device: &oci::LinuxDevice, by_bind: bool, ids: &KnownIds) -> Result<Device, Refusal> {
    let refuse = |part: &str, reason: String, cure: &str| Err(Refusal::new(format!("{field}/{part}"), reason, cure));
    let kind = match device.typ() {
        oci::LinuxDeviceType::C | oci::LinuxDeviceType::U => DeviceKind::Char,
        oci::LinuxDeviceType::B => DeviceKind::Block,
        oci::LinuxDeviceType::P => DeviceKind::Fifo,
        oci::LinuxDeviceType::A => return refuse("type", "invalid device type \"a\"".to_owned(), "use c, b, u or p"),
    };
    let path = device
        .path()
        .to_str()
        .filter(|path| path.starts_with('/'))
        .and_then(ContainerPath::new)
        .filter(|path| path.as_str() != "/");
    let Some(path) = path else {
        return refuse("path", format!("{:?} is not the full path of a device", device.path()), "for example /dev/fuse");
    };
    let (major, minor) = match kind {
        DeviceKind::Fifo => (0, 0),
        DeviceKind::Char | DeviceKind::Block => {
            (number(field, "major", device.major(), LARGEST_MAJOR)?, number(field, "minor", device.minor(), LARGEST_MINOR)?)
        }
    };
    if by_bind && kind != DeviceKind::Fifo {
        return Ok(Device { field: field.to_owned(), path, how: DeviceHow::Bind { kind, major, minor } });
    }
    let (uid, gid) = (device.uid().unwrap_or(0), device.gid().unwrap_or(0));
    if ids.lacks_uid(uid) {
        return refuse("uid", format!("no mapping found for uid {uid}"), "give the device to an id that the container has");
    }
    if ids.lacks_gid(gid) {
        return refuse("gid", format!("no mapping found for gid {gid}"), "give the device to an id that the container has");
    }
    // Callers write the file type into fileMode too, as stat(2) gives it; only the permission bits count (config-linux.md, 1.3).
    let mode = device.file_mode().unwrap_or(0o666) & 0o7777;
    Ok(Device { field: field.to_owned(), path, how: DeviceHow::Make { kind, major, minor, mode, uid, gid } })
}

fn number(field: &str, part: &str, number: i64, largest: i64) -> Result<u32, Refusal> {
    u32::try_from(number).ok().filter(|_| number <= largest).ok_or_else(|| {
        Refusal::new(
            format!("{field}/{part}"),
            format!("{number} is not a device's {part} number"),
            format!("use 0 to {largest}"),
        )
    })
}
