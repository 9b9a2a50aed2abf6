//! Which namespaces the container has of its own.

use crate::host::Host;
use crate::{HostPath, JoinNamespace, NamespaceKind, Namespaces, Refusal, TimeOffset};
use wolffia_spec::oci;

/// Reads `linux.namespaces`.
///
/// # Errors
/// A kind that is listed twice, a path that is not absolute, and sets of namespaces that cannot contain anything.
pub(crate) fn plan_namespaces(linux: &oci::Linux, host: &Host) -> Result<Namespaces, Refusal> {
    let mut namespaces = Namespaces::default();
    for (index, entry) in linux.namespaces().iter().flatten().enumerate() {
        let kind = kind_of(entry.typ());
        if namespaces.is_private(kind) {
            return Err(Refusal::new(
                format!("/linux/namespaces/{index}/type"),
                format!("malformed spec file: duplicated ns {:?}", kind.spec_name()),
                "name every type of namespace once",
            ));
        }
        match entry.path() {
            Some(path) if !path.as_os_str().is_empty() => {
                let path = HostPath::new(path).ok_or_else(|| {
                    Refusal::new(
                        format!("/linux/namespaces/{index}/path"),
                        format!("the path {path:?} of the {} namespace is not absolute", kind.spec_name()),
                        "write the whole path, for example /proc/1234/ns/net, or leave it out for a new namespace",
                    )
                })?;
                namespaces.join.push(JoinNamespace { kind, path });
            }
            _ => namespaces.new.push(kind),
        }
    }
    check_isolation(&namespaces, host)?;
    // The order of the configuration means nothing to the kernel; a fixed one keeps plans comparable.
    namespaces.new.sort();
    namespaces.join.sort_by_key(|join| join.kind);
    Ok(namespaces)
}

/// Reads `linux.timeOffsets`.
///
/// # Errors
/// Offsets without a new time namespace, unknown clocks, and nanoseconds of a second or more.
pub(crate) fn plan_time_offsets(linux: &oci::Linux, namespaces: &Namespaces) -> Result<Vec<TimeOffset>, Refusal> {
    let mut offsets = Vec::new();
    for (clock, offset) in linux.time_offsets().iter().flatten() {
        let field = format!("/linux/timeOffsets/{clock}");
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(Refusal::new(
                field,
                format!("the time namespace has no clock {clock:?}"),
                "use `monotonic` or `boottime` (time_namespaces(7))",
            ));
        }
        let nanoseconds = offset.nanosecs().unwrap_or(0);
        if nanoseconds >= 1_000_000_000 {
            return Err(Refusal::new(
                format!("{field}/nanosecs"),
                format!("{nanoseconds} nanoseconds are more than a second"),
                "write whole seconds into `secs`",
            ));
        }
        offsets.push(TimeOffset { clock: clock.clone(), seconds: offset.secs().unwrap_or(0), nanoseconds });
    }
    offsets.sort_by(|a, b| a.clock.cmp(&b.clock));
    if offsets.is_empty() || namespaces.is_new(NamespaceKind::Time) {
        return Ok(offsets);
    }
    let reason = if namespaces.joined(NamespaceKind::Time).is_some() {
        "time namespace enabled, but both namespace path and time offsets specified -- you may only provide one"
    } else {
        "time namespace offsets specified, but time namespace isn't enabled in the config"
    };
    Err(Refusal::new("/linux/timeOffsets", reason, r#"add {"type":"time"} to linux.namespaces, without a path"#))
}

fn check_isolation(namespaces: &Namespaces, host: &Host) -> Result<(), Refusal> {
    if !namespaces.is_private(NamespaceKind::Mount) {
        return Err(Refusal::new(
            "/linux/namespaces",
            "there is no mount namespace: the container's mounts would reach the host",
            r#"add {"type":"mount"}"#,
        ));
    }
    if !host.privileged && !namespaces.is_private(NamespaceKind::User) {
        return Err(Refusal::new(
            "/linux/namespaces",
            "rootless container requires user namespaces",
            r#"add {"type":"user"} or run as root; `wolffia spec --rootless` writes such a configuration"#,
        ));
    }
    Ok(())
}

fn kind_of(kind: oci::LinuxNamespaceType) -> NamespaceKind {
    match kind {
        oci::LinuxNamespaceType::User => NamespaceKind::User,
        oci::LinuxNamespaceType::Mount => NamespaceKind::Mount,
        oci::LinuxNamespaceType::Pid => NamespaceKind::Pid,
        oci::LinuxNamespaceType::Network => NamespaceKind::Network,
        oci::LinuxNamespaceType::Ipc => NamespaceKind::Ipc,
        oci::LinuxNamespaceType::Uts => NamespaceKind::Uts,
        oci::LinuxNamespaceType::Cgroup => NamespaceKind::Cgroup,
        oci::LinuxNamespaceType::Time => NamespaceKind::Time,
    }
}
