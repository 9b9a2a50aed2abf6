//! Programs of the caller that run along the container's life.

use crate::{Hook, HookEnvironment, Hooks, Refusal};
use wolffia_spec::oci;

/// Reads `hooks`. A startContainer hook without `env` gets the payload's, as with runc, crun and youki; any other an empty one.
///
/// # Errors
/// A path that is not absolute, and a timeout that is not above zero (config.md: MUST).
pub(crate) fn plan_hooks(given: Option<&oci::Hooks>) -> Result<Hooks, Refusal> {
    let Some(given) = given else {
        return Ok(Hooks::default());
    };
    let empty = HookEnvironment::Given(Vec::new());
    #[allow(deprecated, reason = "deprecated by the specification, and callers still use it")]
    let prestart = given.prestart();
    Ok(Hooks {
        prestart: plan_list("/hooks/prestart", prestart, &empty)?,
        create_runtime: plan_list("/hooks/createRuntime", given.create_runtime(), &empty)?,
        create_container: plan_list("/hooks/createContainer", given.create_container(), &empty)?,
        start_container: plan_list("/hooks/startContainer", given.start_container(), &HookEnvironment::Payload)?,
        poststart: plan_list("/hooks/poststart", given.poststart(), &empty)?,
        poststop: plan_list("/hooks/poststop", given.poststop(), &empty)?,
    })
}

fn plan_list(field: &str, given: &Option<Vec<oci::Hook>>, default: &HookEnvironment) -> Result<Vec<Hook>, Refusal> {
    given.iter().flatten().enumerate().map(|(index, hook)| plan_hook(&format!("{field}/{index}"), hook, default)).collect()
}

fn plan_hook(field: &str, hook: &oci::Hook, default: &HookEnvironment) -> Result<Hook, Refusal> {
    let path = hook.path().to_str().filter(|path| path.starts_with('/')).ok_or_else(|| {
        Refusal::new(
            format!("{field}/path"),
            format!("the hook's path {:?} is not absolute", hook.path()),
            "name the program from the root, for example /usr/bin/true",
        )
    })?;
    let args = hook.args().clone().filter(|args| !args.is_empty()).unwrap_or_else(|| vec![path.to_owned()]);
    let given = hook.env().as_deref();
    let env = given.map_or_else(|| default.clone(), |env| HookEnvironment::Given(env.to_vec()));
    let texts =
        [path].into_iter().chain(args.iter().map(String::as_str)).chain(given.unwrap_or_default().iter().map(String::as_str));
    if texts.into_iter().any(|text| text.contains('\0')) {
        return Err(Refusal::new(field, "the hook contains a nul byte", "remove it"));
    }
    if let Some(index) = given.unwrap_or_default().iter().position(|entry| !entry.contains('=')) {
        return Err(Refusal::new(
            format!("{field}/env/{index}"),
            "invalid environment variable: missing '='",
            "write NAME=value",
        ));
    }
    let timeout_seconds = match hook.timeout() {
        None => None,
        Some(seconds) => Some(u32::try_from(seconds).ok().filter(|seconds| *seconds > 0).ok_or_else(|| {
            Refusal::new(
                format!("{field}/timeout"),
                format!("the hook's timeout of {seconds} seconds is not above zero and below 2^32"),
                "leave it out to wait as long as it takes",
            )
        })?),
    };
    Ok(Hook { path: path.to_owned(), args, env, timeout_seconds })
}
