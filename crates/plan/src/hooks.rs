//! Programs of the caller that run along the container's life.

use crate::{Hook, Hooks, Refusal};
use wolffia_spec::oci;

/// Reads `hooks`. `payload` is the environment of the process that starts: a startContainer hook without `env` gets it, as with
/// runc, crun and youki, because it runs in the container; every other hook without `env` gets an empty one.
///
/// # Errors
/// A path that is not absolute, and a timeout that is not above zero (config.md: MUST).
pub(crate) fn plan_hooks(given: Option<&oci::Hooks>, payload: &[String]) -> Result<Hooks, Refusal> {
    let Some(given) = given else {
        return Ok(Hooks::default());
    };
    #[allow(deprecated, reason = "deprecated by the specification, and callers still use it")]
    let prestart = given.prestart();
    Ok(Hooks {
        prestart: plan_list("/hooks/prestart", prestart, &[])?,
        create_runtime: plan_list("/hooks/createRuntime", given.create_runtime(), &[])?,
        create_container: plan_list("/hooks/createContainer", given.create_container(), &[])?,
        start_container: plan_list("/hooks/startContainer", given.start_container(), payload)?,
        poststart: plan_list("/hooks/poststart", given.poststart(), &[])?,
        poststop: plan_list("/hooks/poststop", given.poststop(), &[])?,
    })
}

fn plan_list(field: &str, given: &Option<Vec<oci::Hook>>, default_env: &[String]) -> Result<Vec<Hook>, Refusal> {
    given.iter().flatten().enumerate().map(|(index, hook)| plan_hook(&format!("{field}/{index}"), hook, default_env)).collect()
}

fn plan_hook(field: &str, hook: &oci::Hook, default_env: &[String]) -> Result<Hook, Refusal> {
    let path = hook.path().to_str().filter(|path| path.starts_with('/')).ok_or_else(|| {
        Refusal::new(
            format!("{field}/path"),
            format!("the hook's path {:?} is not absolute", hook.path()),
            "name the program from the root, for example /usr/bin/true",
        )
    })?;
    let args = hook.args().clone().filter(|args| !args.is_empty()).unwrap_or_else(|| vec![path.to_owned()]);
    let env = hook.env().clone().unwrap_or_else(|| default_env.to_vec());
    if [path]
        .into_iter()
        .chain(args.iter().map(String::as_str))
        .chain(env.iter().map(String::as_str))
        .any(|text| text.contains('\0'))
    {
        return Err(Refusal::new(field, "the hook contains a nul byte", "remove it"));
    }
    if let Some(index) = env.iter().position(|entry| !entry.contains('=')) {
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
