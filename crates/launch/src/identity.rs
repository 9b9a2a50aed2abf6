//! Becoming the container's user, and giving privileges up.

use crate::failure::Cause;
use wolffia_plan::{Capabilities, Groups, Identity, SetupIds};
use wolffia_sys::{Errno, caps, ids, prctl, process};

/// Becomes the user that sets the container up. Its groups go too: they are the caller's.
pub fn become_setup_user(setup: SetupIds, groups: &Groups) -> Result<(), Cause> {
    // Group first, because with another user id the right to change it may be gone.
    ids::setresgid(setup.gid)?;
    match groups {
        Groups::Set(_) => set_groups(&[])?,
        Groups::Keep => {}
    }
    ids::setresuid(setup.uid)?;
    Ok(prctl::set_dumpable(false)?)
}

/// Takes capabilities out of the bounding set. Before the user changes, because that takes CAP_SETPCAP away.
pub fn bound(capabilities: &Capabilities) -> Result<(), Cause> {
    Ok(caps::drop_bounding(capabilities.bounding)?)
}

pub fn assume(identity: &Identity) -> Result<(), Cause> {
    // The permitted set survives the change of user; `set_capabilities` cuts it to what was asked for.
    prctl::set_keep_capabilities(true)?;
    if let Groups::Set(groups) = &identity.groups {
        set_groups(groups)?;
    }
    ids::setresgid(identity.gid)?;
    ids::setresuid(identity.uid)?;
    // A change of user sets this to fs.suid_dumpable, which is the machine's to choose.
    prctl::set_dumpable(false)?;
    prctl::set_keep_capabilities(false)?;
    process::umask(identity.umask);
    Ok(())
}

/// A joined user namespace may deny setgroups(2), which nobody knows beforehand. Then the caller's groups stay, unmapped, as in one
/// that was made with a single id (`Groups::Keep`); groups that were asked for are never left out.
fn set_groups(groups: &[u32]) -> Result<(), Cause> {
    match ids::setgroups(groups) {
        Err(error) if groups.is_empty() && error.is(Errno::EPERM) && caps::effective()? & caps::CAP_SETGID != 0 => Ok(()),
        other => Ok(other?),
    }
}

/// Sets effective, permitted, inheritable and ambient. The inheritable set is what was asked for and no more (CVE-2022-29162).
pub fn set_capabilities(capabilities: &Capabilities) -> Result<(), Cause> {
    caps::set(capabilities.effective, capabilities.permitted, capabilities.inheritable)?;
    Ok(caps::set_ambient(capabilities.ambient)?)
}
