//! Who the payload is.

use crate::host::Host;
use crate::process::ProcessContext;
use crate::{Groups, Identity, Recorded, Refusal, Setgroups};
use wolffia_spec::oci;

/// Reads `process.user`. Ids are numbers; no name is looked up anywhere.
///
/// # Errors
/// Ids that the user namespace lacks, groups where the kernel denies setgroups(2), a umask with more than permission bits.
pub(crate) fn plan_identity(field: &str, user: &oci::User, context: &ProcessContext, host: &Host) -> Result<Identity, Refusal> {
    let (uid, gid) = (user.uid(), user.gid());
    if context.ids.lacks_uid(uid) {
        return Err(unmapped(
            format!("{field}/user/uid"),
            format!("cannot setuid to unmapped uid {uid} in user namespace"),
            "uid",
            uid,
        ));
    }
    if context.ids.lacks_gid(gid) {
        return Err(unmapped(
            format!("{field}/user/gid"),
            format!("cannot setgid to unmapped gid {gid} in user namespace"),
            "gid",
            gid,
        ));
    }
    let umask = user.umask().unwrap_or(host.umask);
    if umask > 0o777 {
        return Err(Refusal::new(
            format!("{field}/user/umask"),
            format!("the umask {umask:#o} has more than permission bits"),
            "use 0 to 511 (0o777)",
        ));
    }
    Ok(Identity { uid, gid, groups: groups(field, user, context)?, umask })
}

/// Who keeps the caller's groups gets no others: setgroups(2) sets them all.
pub(crate) fn groups_left_out(field: &str, user: &oci::User, context: &ProcessContext) -> Option<Recorded> {
    let asked = user.additional_gids().as_deref().unwrap_or_default().iter().any(|gid| *gid != user.gid());
    let reason = "left out, because the caller's groups are kept".to_owned();
    (context.keeps_groups && asked).then(|| Recorded { field: format!("{field}/user/additionalGids"), reason })
}

fn groups(field: &str, user: &oci::User, context: &ProcessContext) -> Result<Groups, Refusal> {
    let additional = user.additional_gids().as_deref().unwrap_or_default();
    if context.keeps_groups {
        return Ok(Groups::Keep);
    }
    if context.setgroups == Setgroups::Deny {
        // Callers list the primary group among the others (CVE-2022-2989); it is held without setgroups(2).
        return match additional.iter().position(|gid| *gid != user.gid()) {
            None => Ok(Groups::Keep),
            Some(index) => Err(Refusal::new(
                format!("{field}/user/additionalGids/{index}"),
                "cannot set any additional groups in a rootless container",
                "map a range of group ids from /etc/subgid, or remove additionalGids",
            )),
        };
    }
    match additional.iter().enumerate().find(|(_, gid)| context.ids.lacks_gid(**gid)) {
        None => Ok(Groups::Set(additional.to_vec())),
        Some((index, gid)) => Err(unmapped(
            format!("{field}/user/additionalGids/{index}"),
            format!("cannot set unmapped group {gid} in user namespace"),
            "gid",
            *gid,
        )),
    }
}

fn unmapped(field: String, reason: String, which: &str, id: u32) -> Refusal {
    Refusal::new(field, reason, format!("map container {which} {id} in linux.{which}Mappings, or use an id that is mapped"))
}
