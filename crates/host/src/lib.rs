//! Facts about this kernel and this user, read and never changed: [`probe`] fills [`wolffia_plan::Host`] on the way of
//! every `create`, [`doctor`] tries at leisure what the host can do and says how to mend what it cannot.

mod cgroups;
pub mod doctor;
mod error;
mod ids;
mod modules;
mod read;
mod resctrl;
mod status;

pub use error::HostError;

use wolffia_plan::Host;
use wolffia_plan::host::Lsm;
use wolffia_sys::caps::{self, CAP_SYS_ADMIN};

/// What a configuration can ask of the host beyond the facts that every container needs. What is not needed is not
/// read: its fields of [`Host`] stay empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// A new user namespace whose maps are absent or are ranges: read /etc/subuid, /etc/subgid and look for
    /// newuidmap and newgidmap.
    pub subordinate_ids: bool,
    /// An AppArmor profile or an SELinux label is named.
    pub security_modules: bool,
    /// `linux.intelRdt` is there.
    pub resctrl: bool,
}

impl Needs {
    /// Everything that [`probe`] can find out.
    pub const ALL: Needs = Needs { subordinate_ids: true, security_modules: true, resctrl: true };
}

/// Reads the facts that `plan` decides by, in some twenty-five system calls, ten more on a host with cgroup v1.
/// Nothing is created, mounted or changed.
///
/// # Errors
/// [`HostError`] when a file of /proc that every Linux has is missing or is not as proc(5) describes it, or when
/// a file of /etc exists and cannot be read.
pub fn probe(needs: Needs) -> Result<Host, HostError> {
    let status = status::Status::of_self()?;
    let own_uid_map = ids::own_map("/proc/self/uid_map")?;
    let own_gid_map = ids::own_map("/proc/self/gid_map")?;
    let subordinate = if needs.subordinate_ids { ids::subordinate(status.euid)? } else { ids::Subordinate::default() };
    let helper = |name| if needs.subordinate_ids { ids::helper(name) } else { None };
    Ok(Host {
        euid: status.euid,
        egid: status.egid,
        privileged: status.effective & CAP_SYS_ADMIN != 0,
        in_user_namespace: !ids::is_initial_map(&own_uid_map),
        own_uid_map,
        own_gid_map,
        subordinate_uids: subordinate.uids,
        subordinate_gids: subordinate.gids,
        newuidmap: helper("newuidmap"),
        newgidmap: helper("newgidmap"),
        known_capabilities: caps::known().map_err(HostError::Capabilities)?,
        bounding_capabilities: status.bounding,
        cgroups: cgroups::layout()?,
        lsm: if needs.security_modules { modules::enabled()? } else { Lsm::default() },
        landlock_abi: wolffia_sys::landlock::abi(),
        resctrl: if needs.resctrl { resctrl::mount()? } else { None },
        umask: status.umask,
    })
}
