//! The root file system, and what keeps its mounts from the host.

use crate::host::Host;
use crate::{HostPath, NamespaceKind, Namespaces, Opener, Refusal, Request, Root, RootSwitch};
use libc::{MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, MS_UNBINDABLE};
use wolffia_spec::oci;

/// The annotation that makes everything below the root read-only.
const READONLY_ANNOTATION: &str = "io.wolffia.root.readonly";

/// Reads `root` and `linux.rootfsPropagation`.
///
/// # Errors
/// No root, an unknown propagation, or one that is not safe without pivot_root.
pub(crate) fn plan_root(
    spec: &oci::Spec,
    linux: &oci::Linux,
    namespaces: &Namespaces,
    request: &Request,
    host: &Host,
) -> Result<Root, Refusal> {
    let Some(root) = spec.root() else {
        return Err(Refusal::new("/root", "root must be specified", r#"for example {"path":"rootfs"}"#));
    };
    let path = match root.path().as_os_str().is_empty() {
        true => None,
        false => HostPath::new(request.bundle.as_path().join(root.path())),
    };
    let path = path.ok_or_else(|| {
        Refusal::new("/root/path", format!("{:?} is not a path", root.path()), "name the root file system's directory")
    })?;
    let readonly_recursive = readonly_recursive(spec)?;
    let propagation = Propagation::parse(linux.rootfs_propagation().as_deref().unwrap_or_default())?;
    if request.no_pivot && propagation == Propagation::Private {
        return Err(Refusal::new(
            "/linux/rootfsPropagation",
            "rootfsPropagation of [r]private is not safe without pivot_root",
            "run without --no-pivot, or leave rootfsPropagation out",
        ));
    }
    Ok(Root {
        path,
        opened_by: opener(namespaces, host),
        readonly: root.readonly().unwrap_or(false) || readonly_recursive,
        readonly_recursive,
        host_propagation: propagation.of_host(),
        parent_propagation: propagation.of_parent(),
        propagation: propagation.in_the_end(),
        switch: if request.no_pivot { RootSwitch::Move } else { RootSwitch::Pivot },
    })
}

/// Whose rights open paths of the host: a user namespace takes the runtime's rights over them from init.
pub(crate) fn opener(namespaces: &Namespaces, host: &Host) -> Opener {
    if host.privileged && namespaces.is_private(NamespaceKind::User) { Opener::Parent } else { Opener::Init }
}

/// The values of `linux.rootfsPropagation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Propagation {
    Unset,
    Private,
    Slave,
    Shared { recursive: bool },
    Unbindable { recursive: bool },
}

impl Propagation {
    fn parse(name: &str) -> Result<Self, Refusal> {
        match name {
            "" => Ok(Self::Unset),
            "private" | "rprivate" => Ok(Self::Private),
            "slave" | "rslave" => Ok(Self::Slave),
            "shared" => Ok(Self::Shared { recursive: false }),
            "rshared" => Ok(Self::Shared { recursive: true }),
            "unbindable" => Ok(Self::Unbindable { recursive: false }),
            "runbindable" => Ok(Self::Unbindable { recursive: true }),
            other => Err(Refusal::new(
                "/linux/rootfsPropagation",
                format!("rootfsPropagation={other} is not supported"),
                "use shared, slave, private or unbindable, or one of them with an r before it",
            )),
        }
    }

    /// As the whole tree: a bind mount's source may lie in this mount, and what `rslave` promises needs a mount that still receives.
    /// Only a shared one has to change, for pivot_root(2).
    fn of_parent(self) -> u64 {
        if self.of_host() & MS_SLAVE != 0 { MS_SLAVE } else { MS_PRIVATE }
    }

    /// What the new mount namespace's tree gets first. Only `shared` leaves a way back to the host, because that is what
    /// it asks for; an unbindable tree could not be bound any more, so it gets that in the end.
    fn of_host(self) -> u64 {
        match self {
            Self::Unset | Self::Slave | Self::Unbindable { .. } => MS_REC | MS_SLAVE,
            Self::Private => MS_REC | MS_PRIVATE,
            Self::Shared { recursive } => MS_SHARED | recursion(recursive),
        }
    }

    /// What the container's root gets in the end. A private or slave root has it from its parent by then, and
    /// to set it once more would undo what single mounts asked for.
    fn in_the_end(self) -> Option<u64> {
        match self {
            Self::Unset | Self::Private | Self::Slave => None,
            Self::Shared { recursive } => Some(MS_SHARED | recursion(recursive)),
            Self::Unbindable { recursive } => Some(MS_UNBINDABLE | recursion(recursive)),
        }
    }
}

fn recursion(recursive: bool) -> u64 {
    if recursive { MS_REC } else { 0 }
}

fn readonly_recursive(spec: &oci::Spec) -> Result<bool, Refusal> {
    match spec.annotations().as_ref().and_then(|all| all.get(READONLY_ANNOTATION)).map(String::as_str) {
        None => Ok(false),
        Some("recursive") => Ok(true),
        Some(other) => Err(Refusal::new(
            format!("/annotations/{READONLY_ANNOTATION}"),
            format!("{other:?} is not a value of this annotation"),
            "its only value is `recursive`",
        )),
    }
}
