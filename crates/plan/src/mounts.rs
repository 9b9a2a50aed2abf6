//! The entries of `mounts`, in their order.

use crate::host::Host;
use crate::ids::KnownIds;
use crate::mount_options::MountOptions;
use crate::{
    CgroupPlan, CgroupView, ContainerPath, FsOption, HostPath, LegacyCgroups, Mount, MountAttributes, MountFallback, MountKind,
    NamespaceKind, Namespaces, Refusal, Request, cgroup_view, id_mapped, root,
};
use libc::MOUNT_ATTR_RDONLY;
use wolffia_spec::oci;

/// Where the container finds the socket for its readiness, as with runc.
pub(crate) const NOTIFY_DIRECTORY: &str = "/run/notify";

/// What the decisions about one mount depend on.
pub(crate) struct Surroundings<'a> {
    pub request: &'a Request,
    pub host: &'a Host,
    pub namespaces: &'a Namespaces,
    pub ids: &'a KnownIds,
    pub cgroup: &'a CgroupPlan,
    pub legacy: Option<&'a LegacyCgroups>,
}

impl Surroundings<'_> {
    /// Whether root of the container is not root of the machine.
    pub(crate) fn in_user_namespace(&self) -> bool {
        self.namespaces.is_private(NamespaceKind::User) || self.host.in_user_namespace
    }
}

/// Reads `mounts`; the directory of the readiness socket comes last.
///
/// # Errors
/// The first entry that cannot be mounted as it stands.
pub(crate) fn plan_mounts(spec: &oci::Spec, around: &Surroundings) -> Result<Vec<Mount>, Refusal> {
    let entries = spec.mounts().iter().flatten().enumerate();
    let mut mounts =
        entries.map(|(index, mount)| plan_mount(&format!("/mounts/{index}"), mount, around)).collect::<Result<Vec<_>, _>>()?;
    if let Some(directory) = &around.request.notify_directory {
        mounts.push(notify_mount(directory, around)?);
    }
    Ok(mounts)
}

fn plan_mount(field: &str, mount: &oci::Mount, around: &Surroundings) -> Result<Mount, Refusal> {
    let options = MountOptions::parse(mount.options().as_deref().unwrap_or_default())
        .map_err(|(index, reason, cure)| Refusal::new(format!("{field}/options/{index}"), reason, cure))?;
    let destination = destination(field, mount)?;
    let id_map = id_mapped::plan_id_map(field, mount, &options, around)?;
    let what = kind(field, mount, &options, &destination, around)?;
    check_place(field, &destination, &what)?;
    let fstype = match &what {
        MountKind::Filesystem { fstype, .. } => Some(fstype.as_str()),
        _ => None,
    };
    if options.copy_up && fstype != Some("tmpfs") {
        return Err(Refusal::new(
            option_field(field, mount, "tmpcopyup"),
            "tmpcopyup is for a new tmpfs",
            "remove it, or mount a tmpfs",
        ));
    }
    let has_mode = options.data.iter().any(|option| option.starts_with("mode="));
    let late_readonly = is_late_readonly(&options, &what, &destination);
    let mut attributes = attributes(&options, &what, around);
    if late_readonly {
        attributes.set &= !MOUNT_ATTR_RDONLY;
    }
    Ok(Mount {
        field: field.to_owned(),
        attributes,
        propagation: options.propagation.clone(),
        id_map,
        copy_up: options.copy_up,
        mode_from_destination: fstype == Some("tmpfs") && !has_mode,
        late_readonly,
        destination_nofollow: options.destination_nofollow,
        root_label: None,
        destination,
        what,
    })
}

/// A relative destination starts from the container's root (config.md, since 1.2); runc warns of it, we need not.
fn destination(field: &str, mount: &oci::Mount) -> Result<ContainerPath, Refusal> {
    mount.destination().to_str().and_then(ContainerPath::new).ok_or_else(|| {
        Refusal::new(
            format!("{field}/destination"),
            format!("{:?} is not a path", mount.destination()),
            "name a path inside the container",
        )
    })
}

fn kind(
    field: &str,
    mount: &oci::Mount,
    options: &MountOptions,
    destination: &ContainerPath,
    around: &Surroundings,
) -> Result<MountKind, Refusal> {
    let fstype = mount.typ().as_deref().unwrap_or_default();
    if options.remount {
        return no_data(field, mount, options, "a remount changes the mount, not its file system's parameters")
            .map(|()| MountKind::Remount);
    }
    if options.bind.is_some() || fstype == "bind" {
        return bind(field, mount, options, around);
    }
    match fstype {
        "" | "none" if options.is_only_propagation() => Ok(MountKind::Propagation),
        "" | "none" => Err(Refusal::new(
            format!("{field}/type"),
            "the mount has neither a type nor the option `bind`",
            "name the file system's type",
        )),
        "cgroup" => {
            no_data(field, mount, options, "a mount of type cgroup takes no parameters")?;
            cgroup_view::plan_view(field, around).map(MountKind::Cgroup)
        }
        _ => filesystem(field, fstype, mount, options, destination, around),
    }
}

fn bind(field: &str, mount: &oci::Mount, options: &MountOptions, around: &Surroundings) -> Result<MountKind, Refusal> {
    no_data(field, mount, options, "bind mounts cannot have any filesystem-specific options applied")?;
    let source = mount.source().as_ref().filter(|source| !source.as_os_str().is_empty());
    let source = source.and_then(|source| HostPath::new(around.request.bundle.as_path().join(source)));
    let source = source
        .ok_or_else(|| Refusal::new(format!("{field}/source"), "a bind mount needs a source", "name a path on the host"))?;
    Ok(MountKind::Bind {
        source,
        recursive: options.bind == Some(true),
        opened_by: root::opener(around.namespaces, around.host),
        source_nofollow: options.source_nofollow,
    })
}

fn filesystem(
    field: &str,
    fstype: &str,
    mount: &oci::Mount,
    options: &MountOptions,
    destination: &ContainerPath,
    around: &Surroundings,
) -> Result<MountKind, Refusal> {
    check_owner_options(field, mount, options, around)?;
    let source = mount.source().as_ref().map(|source| source.to_string_lossy().into_owned()).unwrap_or_default();
    if fstype.contains('\0') || source.contains('\0') {
        return Err(Refusal::new(field, "mount field contains null byte", "remove it"));
    }
    let late = options.is_readonly() && (fstype == "tmpfs" || destination.as_str() == "/dev");
    Ok(MountKind::Filesystem {
        fstype: fstype.to_owned(),
        source,
        options: merge_repeated(options.for_superblock(late)),
        fallback: fallback(fstype, around),
    })
}

/// mount(2) let the last of equal parameters win, and some file systems refuse to be told twice through fsconfig(2).
fn merge_repeated(options: Vec<FsOption>) -> Vec<FsOption> {
    fn key(option: &FsOption) -> &str {
        match option {
            FsOption::Value { key, .. } | FsOption::Flag { key } => key,
        }
    }
    // overlay's `lowerdir+` and `datadir+` add a layer with every mention.
    let repeated = |index: usize, option: &FsOption| {
        !key(option).ends_with('+') && options[index + 1..].iter().any(|later| key(later) == key(option))
    };
    options.iter().enumerate().filter(|(index, option)| !repeated(*index, option)).map(|(_, option)| option.clone()).collect()
}

/// A user namespace may be refused its own sysfs or proc by mounts that hide parts of the host's (`mount_too_revealing`).
/// The host's sysfs can stand in, read-only; the host's proc only where its processes are the container's.
fn fallback(fstype: &str, around: &Surroundings) -> MountFallback {
    let (path, readonly) = match fstype {
        "sysfs" if around.in_user_namespace() => ("/sys", true),
        "proc" if around.in_user_namespace() && !around.namespaces.is_private(NamespaceKind::Pid) => ("/proc", false),
        _ => return MountFallback::Fail,
    };
    HostPath::new(path).map_or(MountFallback::Fail, |source| MountFallback::BindFromHost { source, readonly })
}

fn attributes(options: &MountOptions, what: &MountKind, around: &Surroundings) -> MountAttributes {
    match what {
        MountKind::Bind { .. } => options.for_bind(),
        MountKind::Remount | MountKind::Propagation => options.for_remount(),
        MountKind::Filesystem { .. } => options.for_new_mount(),
        MountKind::Cgroup(view) => {
            let mut attributes = options.for_new_mount();
            // What is not the container's, and not root's, is writable only for the asking (CVE-2023-25809).
            if !cgroup_view::is_writable_unasked(around) && !options.is_writable() {
                attributes.set |= MOUNT_ATTR_RDONLY;
            }
            // A hierarchy of version 1 may be mounted in the host's (`systemd`, net_cls).
            if matches!(view, CgroupView::UnifiedBind { .. }) {
                attributes.recursive_set |= attributes.set & MOUNT_ATTR_RDONLY;
            }
            attributes
        }
    }
}

fn is_late_readonly(options: &MountOptions, what: &MountKind, destination: &ContainerPath) -> bool {
    match what {
        MountKind::Filesystem { fstype, .. } => options.is_readonly() && (fstype == "tmpfs" || destination.as_str() == "/dev"),
        _ => false,
    }
}

fn no_data(field: &str, mount: &oci::Mount, options: &MountOptions, reason: &str) -> Result<(), Refusal> {
    match options.data.first() {
        None => Ok(()),
        Some(option) => {
            Err(Refusal::new(option_field(field, mount, option), format!("{reason}: {option:?}"), format!("remove {option:?}")))
        }
    }
}

/// The kernel refuses an owner that the user namespace lacks with EINVAL alone; `gid=5` of /dev/pts is the common case.
fn check_owner_options(field: &str, mount: &oci::Mount, options: &MountOptions, around: &Surroundings) -> Result<(), Refusal> {
    for option in &options.data {
        let (name, lacking) = match option.split_once('=') {
            Some(("uid", id)) => ("uid", id.parse().is_ok_and(|id| around.ids.lacks_uid(id))),
            Some(("gid", id)) => ("gid", id.parse().is_ok_and(|id| around.ids.lacks_gid(id))),
            _ => continue,
        };
        if lacking {
            let id = option.split_once('=').map_or("", |(_, id)| id);
            return Err(Refusal::new(
                option_field(field, mount, option),
                format!(
                    "cannot specify {option} mount option for rootless container: user namespaces enabled, but no mapping found for {name} {id}"
                ),
                format!("remove {option:?}, or map {name} {id} in linux.{name}Mappings"),
            ));
        }
    }
    Ok(())
}

/// Where an option stands in the configuration.
fn option_field(field: &str, mount: &oci::Mount, option: &str) -> String {
    let place = mount.options().iter().flatten().position(|other| other == option);
    place.map_or_else(|| format!("{field}/options"), |index| format!("{field}/options/{index}"))
}

/// Files below /proc that lxcfs replaces; everything else there belongs to the kernel.
const REPLACEABLE_IN_PROC: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
];

/// Keeps /proc what it says it is: security labels and kernel parameters are written through it (CVE-2019-16884).
fn check_place(field: &str, destination: &ContainerPath, what: &MountKind) -> Result<(), Refusal> {
    let refuse = |reason: String, cure: &str| Err(Refusal::new(format!("{field}/destination"), reason, cure));
    match (destination.as_str(), what) {
        (_, MountKind::Remount | MountKind::Propagation) => Ok(()),
        ("/", _) => refuse("mountpoint \"/\" is on the top of rootfs".to_owned(), "name the root file system in root.path"),
        ("/proc", MountKind::Filesystem { fstype, .. }) if fstype == "proc" => Ok(()),
        ("/proc", MountKind::Bind { source, .. }) if source.as_path() == std::path::Path::new("/proc") => Ok(()),
        ("/proc", _) => {
            refuse("\"/proc\" cannot be mounted because it is not of type proc".to_owned(), "mount the type proc there")
        }
        (path, _) if path.starts_with("/proc/") && !REPLACEABLE_IN_PROC.contains(&path) => {
            refuse(format!("{path:?} cannot be mounted because it is inside /proc"), "hide the path with linux.maskedPaths")
        }
        _ => Ok(()),
    }
}

fn notify_mount(directory: &HostPath, around: &Surroundings) -> Result<Mount, Refusal> {
    let words = ["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned).to_vec();
    let mut mount = oci::Mount::default();
    mount.set_destination(NOTIFY_DIRECTORY.into()).set_source(Some(directory.as_path().to_owned())).set_options(Some(words));
    plan_mount("NOTIFY_SOCKET", &mount, around)
}
