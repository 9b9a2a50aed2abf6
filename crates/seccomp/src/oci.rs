//! oci-spec's types → [`Profile`], with the same checks as JSON gets.

use oci_spec::runtime::LinuxSeccomp;

use crate::arch::ListedArch;
use crate::model::{Action, Condition, Flags, Listener, Profile, Rule};
use crate::read::{Problem, ProfileError};

/// Where a configuration has its profile.
const BASE: &str = "/linux/seccomp";

impl Profile {
    /// The profile of a configuration that oci-spec has parsed; pointers in errors start at the configuration's root.
    pub fn from_oci(seccomp: &LinuxSeccomp) -> Result<Profile, ProfileError> {
        let default = Action::from_oci(&seccomp.default_action().to_string(), seccomp.default_errno_ret().map(u64::from))
            .map_err(|problem| problem.at(format!("{BASE}/defaultAction")))?;
        let mut architectures = Vec::new();
        let mut untabled = Vec::new();
        for (at, arch) in seccomp.architectures().iter().flatten().enumerate() {
            let name = arch.to_string();
            match ListedArch::from_oci(&name) {
                Some(ListedArch::Known(arch)) => architectures.push(arch),
                Some(ListedArch::Untabled(name)) => untabled.push(name),
                Some(ListedArch::Native) => {}
                None => return Err(Problem::UnknownArch(name).at(format!("{BASE}/architectures/{at}"))),
            }
        }
        let flags = match seccomp.flags() {
            None => Flags::DEFAULT,
            Some(list) => list.iter().enumerate().try_fold(Flags::default(), |mut flags, (at, flag)| {
                flags.set(&flag.to_string()).map_err(|problem| problem.at(format!("{BASE}/flags/{at}")))?;
                Ok(flags)
            })?,
        };
        let path = seccomp.listener_path().as_ref().map(|path| {
            let path = path.to_str().ok_or(Problem::Expected("a path in UTF-8"));
            path.map(str::to_string).map_err(|problem| problem.at(format!("{BASE}/listenerPath")))
        });
        let listener = Listener::checked(path.transpose()?, seccomp.listener_metadata().clone(), BASE)?;
        let mut rules = Vec::new();
        for (at, syscall) in seccomp.syscalls().iter().flatten().enumerate() {
            let action = Action::from_oci(&syscall.action().to_string(), syscall.errno_ret().map(u64::from))
                .map_err(|problem| problem.at(format!("{BASE}/syscalls/{at}/action")))?;
            let conditions = syscall.args().iter().flatten().enumerate().map(|(arg, test)| {
                Condition::from_oci(test.index() as u64, &test.op().to_string(), test.value(), test.value_two().unwrap_or(0))
                    .map_err(|problem| problem.at(format!("{BASE}/syscalls/{at}/args/{arg}")))
            });
            rules.push(Rule { names: syscall.names().clone(), action, conditions: conditions.collect::<Result<_, _>>()? });
        }
        Profile { default, architectures, untabled, flags, listener, rules }.checked(BASE)
    }
}
