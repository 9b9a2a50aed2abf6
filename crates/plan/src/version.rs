//! The version of the specification that a configuration follows.

use crate::Refusal;
use wolffia_spec::OCI_VERSION;

/// Accepts every version 1 (config.md: SemVer, so that a later 1.x adds only what may be ignored).
///
/// # Errors
/// No version, one that is not SemVer, and every other major version.
pub(crate) fn check_version(version: &str) -> Result<(), Refusal> {
    let refuse = |reason: String| {
        Err(Refusal::new("/ociVersion", reason, format!("wolffia follows version {OCI_VERSION} and accepts every 1.x.y")))
    };
    match major(version) {
        Some(1) => Ok(()),
        Some(_) => refuse(format!("version {version} of the specification is not supported")),
        None => refuse(format!("{version:?} is not a SemVer version")),
    }
}

/// The major version of `MAJOR.MINOR.PATCH[-PRERELEASE][+BUILD]` (semver.org, 2.0.0).
fn major(version: &str) -> Option<u64> {
    let (version, build) = split(version, '+');
    let (core, prerelease) = split(version, '-');
    let identifiers = |text: &str| {
        text.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
    };
    if !build.is_none_or(identifiers) || !prerelease.is_none_or(identifiers) {
        return None;
    }
    let number = |text: &str| match text.starts_with('0') && text.len() > 1 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => None,
        false => text.parse().ok(),
    };
    let numbers: Vec<u64> = core.split('.').map(number).collect::<Option<_>>()?;
    (numbers.len() == 3).then_some(numbers[0])
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(head, tail)| (head, Some(tail)))
}
