//! How the runtime's own binary stays out of the container's reach.

use crate::host::IdRange;
use crate::{BinaryOwner, Groups, Ids, Process, SelfProtection, Setgroups};

/// Group and other may write (inode(7)).
const GROUP_WRITE: u32 = 0o020;
const OTHER_WRITE: u32 = 0o002;

/// Runs from the file itself only where no id of the container could write it (CVE-2019-5736): not its owner, who could
/// change the mode, and nobody whom the mode lets write. Ids that are not known count as its owner's.
pub(crate) fn plan_self_protection(ids: &Ids, process: Option<&Process>, binary: &BinaryOwner) -> SelfProtection {
    let Ids::Mapped { uids, gids, setgroups, .. } = ids else {
        return SelfProtection::Sealed;
    };
    let has = |map: &[IdRange], id: u32| map.iter().any(|line| line.host <= id && id - line.host < line.size);
    // Where setgroups(2) is denied or left out the caller's own groups stay, and they are not in the map.
    let keeps = process.is_some_and(|process| process.identity.groups == Groups::Keep);
    let groups_stay = keeps || *setgroups == Setgroups::Deny;
    let by_group = binary.mode & GROUP_WRITE != 0 && (has(gids, binary.gid) || groups_stay);
    if has(uids, binary.uid) || by_group || binary.mode & OTHER_WRITE != 0 {
        SelfProtection::Sealed
    } else {
        SelfProtection::NotWritable
    }
}
