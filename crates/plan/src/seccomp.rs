//! The filter of system calls: `linux.seccomp` compiled, and the moment at which a process loads it.

use crate::{Capabilities, HostPath, Recorded, Refusal, Step};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt::Write;
use wolffia_seccomp::{Action, Arch, Instruction, Profile, ProfileError, Warning, compile};
use wolffia_spec::oci;

/// A filter, and when a process loads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seccomp {
    pub moment: SeccompMoment,
    pub filter: SeccompFilter,
}

/// When the filter is loaded: as late as the kernel allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeccompMoment {
    /// While the process still has CAP_SYS_ADMIN: without no_new_privs the kernel asks for it (seccomp(2)). What the runtime
    /// does afterwards has to be allowed by the profile.
    BeforeIdentity,
    /// When all is ready and only `start` is missing: what comes after can still tell of it, and hand a listener on.
    BeforeStart,
    /// As the last act of all: whatever the profile forbids, only execve is under it.
    BeforeExec,
}

/// A container's filter, the same for each of its processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeccompFilter {
    /// `SECCOMP_FILTER_FLAG_*` (linux/seccomp.h).
    pub flags: u32,
    pub program: SeccompProgram,
    /// Who answers the calls that the program leaves to somebody else.
    pub listener: Option<SeccompListener>,
}

/// The socket of an agent that answers system calls (config-linux.md, `listenerPath`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeccompListener {
    pub path: HostPath,
    pub metadata: Option<String>,
}

/// Classic BPF. In a printed plan it is text, sixteen hexadecimal digits an instruction: code, jt, jf, k.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeccompProgram(pub Vec<Instruction>);

impl Serialize for SeccompProgram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(self.0.len() * 16);
        for Instruction { code, jt, jf, k } in &self.0 {
            // Writing to a string cannot fail.
            write!(text, "{code:04x}{jt:02x}{jf:02x}{k:08x}").map_err(serde::ser::Error::custom)?;
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for SeccompProgram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || de::Error::custom("a program is sixteen hexadecimal digits for each instruction");
        let read = |digits: &[u8]| {
            let whole = digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit);
            let word = u64::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| whole)?, 16).ok()?;
            Some(Instruction { code: (word >> 48) as u16, jt: (word >> 40) as u8, jf: (word >> 32) as u8, k: word as u32 })
        };
        text.as_bytes().chunks(16).map(|digits| read(digits).ok_or_else(wrong)).collect::<Result<_, _>>().map(Self)
    }
}

impl SeccompMoment {
    /// What loading is called at this moment.
    pub fn step(self) -> Step {
        match self {
            SeccompMoment::BeforeIdentity => Step::SeccompEarly,
            SeccompMoment::BeforeStart => Step::SeccompNotify,
            SeccompMoment::BeforeExec => Step::Seccomp,
        }
    }
}

impl Seccomp {
    /// Decides when a process with these rights loads `filter`.
    pub(crate) fn of(filter: SeccompFilter, no_new_privileges: bool, capabilities: &Capabilities) -> Self {
        let may_be_late = no_new_privileges || capabilities.effective & crate::capabilities::SYS_ADMIN != 0;
        let moment = match (may_be_late, &filter.listener) {
            (false, _) => SeccompMoment::BeforeIdentity,
            (true, Some(_)) => SeccompMoment::BeforeStart,
            (true, None) => SeccompMoment::BeforeExec,
        };
        Self { moment, filter }
    }
}

/// Compiles `linux.seccomp`. Beside it comes what of the profile has no effect on this kernel, which leaves it as strict or
/// stricter.
///
/// # Errors
/// A profile that the kernel would refuse or that does not mean what it says.
pub fn plan_seccomp(linux: &oci::Linux) -> Result<(Option<SeccompFilter>, Vec<Recorded>), Refusal> {
    let Some(given) = linux.seccomp() else {
        return Ok((None, Vec::new()));
    };
    let profile = Profile::from_oci(given).map_err(refusal)?;
    let native = Arch::native()
        .ok_or_else(|| Refusal::new(FIELD, "seccomp profiles are not known for this architecture", "remove linux.seccomp"))?;
    let listener = plan_listener(&profile)?;
    let compiled = compile(&profile, native)
        .map_err(|error| Refusal::new(format!("{FIELD}/syscalls"), error.to_string(), "shorten the profile"))?;
    let filter = SeccompFilter { flags: compiled.filter.flags, program: SeccompProgram(compiled.filter.program), listener };
    Ok((Some(filter), compiled.warnings.iter().map(recorded).collect()))
}

const FIELD: &str = "/linux/seccomp";

fn plan_listener(profile: &Profile) -> Result<Option<SeccompListener>, Refusal> {
    // config-linux.md: without SCMP_ACT_NOTIFY the path has no meaning.
    if !profile.notifies() {
        return Ok(None);
    }
    let field = format!("{FIELD}/listenerPath");
    let Some(listener) = profile.listener() else {
        return Err(Refusal::new(
            field,
            "seccomp listenerPath is not set",
            "name the socket on which the agent waits that answers SCMP_ACT_NOTIFY",
        ));
    };
    // The listener reaches the runtime by a message of the process that has just loaded the filter.
    let sends = |name: &String| name == "sendmsg";
    let notified = profile.rules().iter().enumerate().filter(|(_, rule)| rule.action() == Action::Notify);
    let refused = notified.filter_map(|(at, rule)| Some((at, rule.names().iter().position(sends)?))).next();
    if let Some((rule, name)) = refused {
        return Err(Refusal::new(
            format!("{FIELD}/syscalls/{rule}/names/{name}"),
            "SCMP_ACT_NOTIFY cannot be used for the sendmsg syscall",
            "leave it out: the agent gets its descriptor by that call",
        ));
    }
    let path = HostPath::new(&listener.path)
        .ok_or_else(|| Refusal::new(field, "listenerPath is not an absolute path", "write it from / on"))?;
    Ok(Some(SeccompListener { path, metadata: listener.metadata.clone() }))
}

fn refusal(error: ProfileError) -> Refusal {
    Refusal::new(error.pointer, error.problem.to_string(), "see config-linux.md, \"Seccomp\", for what can stand there")
}

fn recorded(warning: &Warning) -> Recorded {
    Recorded { field: FIELD.to_owned(), reason: warning.to_string() }
}
