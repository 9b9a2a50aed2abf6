//! Id-mapped mounts: files whose owners look different through one mount.

use crate::ids::{check_map, ranges};
use crate::mount_options::MountOptions;
use crate::mounts::Surroundings;
use crate::{IdMapSource, IdMappedMount, NamespaceKind, Refusal};
use wolffia_spec::oci;

/// Reads `uidMappings`, `gidMappings`, `idmap` and `ridmap` of one mount (config.md, "Mounts").
///
/// # Errors
/// Half a mapping, none and no user namespace to take it from, and mounts that the kernel cannot map.
pub(crate) fn plan_id_map(
    field: &str,
    mount: &oci::Mount,
    options: &MountOptions,
    around: &Surroundings,
) -> Result<Option<IdMappedMount>, Refusal> {
    let uids = ranges(mount.uid_mappings().as_deref().unwrap_or_default());
    let gids = ranges(mount.gid_mappings().as_deref().unwrap_or_default());
    if options.id_map.is_none() && uids.is_empty() && gids.is_empty() {
        return Ok(None);
    }
    // Mappings without the word are a plain `idmap`, as config.md has it since 1.2.
    let recursive = options.id_map.unwrap_or(false);
    let is_bind = options.bind.is_some() || mount.typ().as_deref() == Some("bind");
    if !is_bind || options.remount {
        return Err(Refusal::new(field, "id-mapped mounts are only supported for bind-mounts", "add the option `bind`"));
    }
    let map = match (uids.is_empty(), gids.is_empty()) {
        (true, true) if around.namespaces.is_private(NamespaceKind::User) => IdMapSource::Container,
        (false, false) => {
            check_map(&format!("{field}/uidMappings"), &uids)?;
            check_map(&format!("{field}/gidMappings"), &gids)?;
            IdMapSource::Own { uids, gids }
        }
        _ => {
            return Err(Refusal::new(
                field,
                "id-mapped mounts must have both uid and gid mappings specified",
                "give uidMappings and gidMappings, or neither and a user namespace whose maps count",
            ));
        }
    };
    if !around.host.privileged {
        return Err(Refusal::new(
            field,
            "id-mapped mounts are not supported for rootless containers: the kernel wants CAP_SYS_ADMIN over the file system",
            "run as root, or give the files to ids that the container has (podman unshare chown)",
        ));
    }
    Ok(Some(IdMappedMount { recursive, map }))
}
