//! What of a profile has no effect in its filter. Each of these leaves the filter as strict or stricter.

use crate::arch::Arch;
use crate::compile::covered;
use crate::decision::{Index, Remark};
use crate::model::Profile;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// No architecture has such a call; it is skipped, as runc skips it.
    UnknownSyscall { rule: usize, name: String },
    /// The kernel cannot run the architecture, so its calls never come; if they did, they would be killed.
    ForeignArch { name: &'static str },
    /// An earlier rule without conditions, or with the same, decides the call already.
    NeverDecides { rule: usize, name: &'static str },
    /// A carrier of other calls is not let pass, because it hides the arguments that a rule wants to see.
    HiddenConditions { rule: usize, name: &'static str, carrier: &'static str },
}

impl Warning {
    pub(crate) fn of_names(profile: &Profile, index: &Index, native: Arch) -> Vec<Warning> {
        let unknown = index.unknown.iter().map(|(rule, name)| {
            let name = profile.rules[*rule].names[*name].clone();
            Warning::UnknownSyscall { rule: *rule, name }
        });
        let covered = covered(profile, native);
        let uncovered = profile.architectures.iter().filter(|arch| !covered.contains(arch)).map(|arch| arch.oci_name());
        let foreign = uncovered.chain(profile.untabled.iter().copied());
        unknown.chain(foreign.map(|name| Warning::ForeignArch { name })).collect()
    }

    /// The same rule earns the same remark on every architecture; one is enough.
    pub(crate) fn of_remarks(remarks: Vec<Remark>) -> Vec<Warning> {
        let mut warnings: Vec<Warning> = Vec::new();
        for remark in remarks {
            let warning = match remark {
                Remark::NeverDecides { rule, syscall } => Warning::NeverDecides { rule, name: syscall.name() },
                Remark::HiddenConditions { rule, syscall, carrier } => {
                    Warning::HiddenConditions { rule, name: syscall.name(), carrier: carrier.name() }
                }
            };
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        warnings
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Warning::UnknownSyscall { rule, name } => write!(f, "syscalls/{rule}: unknown seccomp syscall {name:?} ignored"),
            Warning::ForeignArch { name } => write!(f, "architectures: this kernel never runs {name}; ignored"),
            Warning::NeverDecides { rule, name } => {
                write!(f, "syscalls/{rule}: never decides {name}: an earlier rule without arguments, or with the same, does")
            }
            Warning::HiddenConditions { rule, name, carrier } => write!(
                f,
                "syscalls/{rule}: tests arguments of {name}, which {carrier} hides in memory: {name} through {carrier} is not let pass"
            ),
        }
    }
}
