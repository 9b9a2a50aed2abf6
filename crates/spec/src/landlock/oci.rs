//! `process.landlock` in the form of runtime-spec #1241, with what ABI 4 and later add.

use super::read::{At, Object, wrong};
use super::{ABI_NEWEST, Kind, Landlock, PathRule, PortRule};
use crate::{ConfigError, pointer};
use serde::Deserialize;
use serde_json::Value;

/// What is read of a `config.json`.
#[derive(Deserialize)]
struct Document {
    process: Option<Holder>,
    linux: Option<Holder>,
}

#[derive(Deserialize)]
struct Holder {
    landlock: Option<Value>,
}

pub(super) fn of_config(text: &[u8]) -> Result<Option<Landlock>, ConfigError> {
    let Document { process, linux } = parse(text)?;
    let (process, linux) = (process.and_then(|holder| holder.landlock), linux.and_then(|holder| holder.landlock));
    let (value, field) = match (&process, &linux) {
        (None, None) => return Ok(None),
        (Some(one), Some(other)) if one != other => {
            return Err(wrong(
                "/linux/landlock",
                "differs from process.landlock, for which it is another name",
                "keep one of them",
            ));
        }
        (Some(value), _) => (value, "/process/landlock"),
        (None, Some(value)) => (value, "/linux/landlock"),
    };
    landlock(value, field).map(Some)
}

pub(super) fn of_process(text: &[u8]) -> Result<Option<Landlock>, ConfigError> {
    let Holder { landlock: value } = parse(text)?;
    value.map(|value| landlock(&value, "/landlock")).transpose()
}

fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, ConfigError> {
    serde_json::from_slice(text)
        .map_err(|error| wrong(pointer::at(text, error.line(), error.column()), format!("no valid JSON: {error}"), ""))
}

fn landlock(value: &Value, field: &str) -> Result<Landlock, ConfigError> {
    let top = At { value, field: field.to_owned() }.object(&["abi", "ruleset", "rules", "disableBestEffort", "minimumABI"])?;
    let abi = top.abi("abi")?.or(Some(ABI_NEWEST));
    let ruleset = top.required("ruleset")?.object(&["handledAccessFS", "handledAccessNet", "scoped"])?;
    let mut landlock = Landlock {
        field: field.to_owned(),
        handled_fs: ruleset.rights("handledAccessFS", Kind::Fs, abi)?,
        handled_net: ruleset.rights("handledAccessNet", Kind::Net, abi)?,
        scoped: ruleset.rights("scoped", Kind::Scope, abi)?,
        paths: Vec::new(),
        ports: Vec::new(),
        streams: 0,
        required: top.flag("disableBestEffort")?,
        minimum_abi: top.abi("minimumABI")?.unwrap_or(0),
    };
    if landlock.handled_fs | landlock.handled_net | landlock.scoped == 0 {
        return Err(wrong(top.at("ruleset"), "restricts nothing", "name what it handles, or remove landlock"));
    }
    if let Some(rules) = top.get("rules") {
        let rules = rules.object(&["pathBeneath", "netPort", "netPorts", "standardStreams"])?;
        read_rules(&rules, abi, &mut landlock)?;
    }
    Ok(landlock)
}

fn read_rules(rules: &Object<'_>, abi: Option<u32>, landlock: &mut Landlock) -> Result<(), ConfigError> {
    for at in rules.elements("pathBeneath")? {
        let rule = at.object(&["allowedAccess", "paths", "optional"])?;
        let allowed = rule.some_rights("allowedAccess", Kind::Fs, abi)?;
        only_handled(&rule.at("allowedAccess"), Kind::Fs, allowed, landlock.handled_fs)?;
        let paths = rule.some_elements("paths")?;
        let paths = paths.iter().map(|path| path.text().map(str::to_owned)).collect::<Result<_, _>>()?;
        landlock.paths.push(PathRule { field: at.field, allowed, paths, optional: rule.flag("optional")? });
    }
    // The pull request has had both names.
    for at in rules.elements("netPort")?.into_iter().chain(rules.elements("netPorts")?) {
        let rule = at.object(&["allowedAccess", "port", "ports"])?;
        let allowed = rule.some_rights("allowedAccess", Kind::Net, abi)?;
        only_handled(&rule.at("allowedAccess"), Kind::Net, allowed, landlock.handled_net)?;
        let ports = match rule.get("port") {
            Some(port) if port.value.is_number() => vec![port],
            Some(_) => rule.some_elements("port")?,
            None => rule.some_elements("ports")?,
        };
        let ports = ports.iter().map(At::port).collect::<Result<_, _>>()?;
        landlock.ports.push(PortRule { field: at.field, allowed, ports });
    }
    landlock.streams = rules.rights("standardStreams", Kind::Fs, abi)?;
    only_handled(&rules.at("standardStreams"), Kind::Fs, landlock.streams, landlock.handled_fs)
}

/// The kernel refuses to allow what is not denied.
fn only_handled(field: &str, kind: Kind, allowed: u64, handled: u64) -> Result<(), ConfigError> {
    match kind.names(allowed & !handled) {
        beyond if beyond.is_empty() => Ok(()),
        beyond => {
            Err(wrong(field, format!("allows {}, which the ruleset does not handle", beyond.join(", ")), "add it to the ruleset"))
        }
    }
}
