//! Annotations of crun's that ask something of the runtime (crun(1)). Whoever writes annotations may not be who calls the runtime, so
//! that none opens a file or a socket of the host. One that asks for protection and is not carried out is refused, any other recorded.

use crate::{Recorded, Refusal};
use wolffia_spec::oci;

/// What all of crun's begin with.
const PREFIX: &str = "run.oci.";

/// "1": the payload keeps the supplementary groups of the runtime's caller (`podman run --group-add keep-groups`).
const KEEP_GROUPS: &str = "run.oci.keep_original_groups";

/// What would be missing without it, and what helps.
const PROTECTING: [(&str, &str, &str); 4] = [
    (
        "run.oci.handler",
        "wolffia has no handlers: the program would run on the host's own kernel, not in a virtual machine or an interpreter",
        "use a runtime that has the handler, or remove the annotation",
    ),
    ("run.oci.seccomp_bpf_data", "the filter would be missing", "write the profile as linux.seccomp"),
    ("run.oci.seccomp.plugins", "nobody would answer the system calls", "let an agent listen at linux.seccomp.listenerPath"),
    ("run.oci.seccomp.receiver", "nobody would answer the system calls", "write the socket as linux.seccomp.listenerPath"),
];

/// Whether setgroups(2) is left out, so that the caller's supplementary groups stay.
///
/// # Errors
/// A value that is neither "1" nor "0".
pub fn keeps_groups(spec: &oci::Spec) -> Result<bool, Refusal> {
    match spec.annotations().as_ref().and_then(|all| all.get(KEEP_GROUPS)).map(String::as_str) {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(_) => Err(Refusal::new(field(KEEP_GROUPS), r#"neither "1" nor "0""#, "write one of them")),
    }
}

/// What is not carried out.
///
/// # Errors
/// The first that asks for protection.
pub(crate) fn plan_annotations(spec: &oci::Spec) -> Result<Vec<Recorded>, Refusal> {
    let Some(all) = spec.annotations() else { return Ok(Vec::new()) };
    if let Some((name, reason, cure)) = PROTECTING.iter().find(|(name, ..)| all.contains_key(*name)) {
        return Err(Refusal::new(field(name), *reason, *cure));
    }
    // Without a value it asks for what is so anyway: no cgroup below the scope.
    let asks = |name: &str, value: &str| name.starts_with(PREFIX) && name != KEEP_GROUPS && !value.is_empty();
    let mut names: Vec<&String> = all.iter().filter(|(name, value)| asks(name, value)).map(|(name, _)| name).collect();
    names.sort_unstable();
    let recorded = |name: &String| Recorded { field: field(name), reason: "an annotation of crun's, not carried out".to_owned() };
    Ok(names.into_iter().map(recorded).collect())
}

fn field(name: &str) -> String {
    format!("/annotations/{name}")
}
