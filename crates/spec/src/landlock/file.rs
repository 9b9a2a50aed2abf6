//! A file of landlockconfig's, the format of the kernel's maintainers (github.com/landlock-lsm/landlockconfig), in JSON or TOML.
//!
//! Beyond its schema: rights may be numbers, as its README announces.

use super::read::{At, Object, wrong};
use super::{Format, Kind, Landlock, PathRule, PortRule};
use crate::ConfigError;
use serde_json::Value;
use std::collections::BTreeMap;

/// Most paths that the variables of one text may stand for together: they multiply.
const MOST_PATHS: usize = 10_000;

pub(super) fn read(text: &[u8], format: Format, name: &str) -> Result<Landlock, ConfigError> {
    let value = parse(text, format).map_err(|reason| wrong(name, reason, "see docs/decisions/landlock-formats.md"))?;
    let top = At { value: &value, field: name.to_owned() }.object(&["abi", "variable", "ruleset", "pathBeneath", "netPort"])?;
    let abi = top.abi("abi")?;
    let variables = variables(&top)?;
    let mut landlock = Landlock {
        field: name.to_owned(),
        handled_fs: 0,
        handled_net: 0,
        scoped: 0,
        paths: Vec::new(),
        ports: Vec::new(),
        streams: 0,
        required: false,
        minimum_abi: 0,
    };
    for at in top.elements("ruleset")? {
        let ruleset = at.object(&["handledAccessFs", "handledAccessNet", "scoped"])?;
        landlock.handled_fs |= ruleset.rights("handledAccessFs", Kind::Fs, abi)?;
        landlock.handled_net |= ruleset.rights("handledAccessNet", Kind::Net, abi)?;
        landlock.scoped |= ruleset.rights("scoped", Kind::Scope, abi)?;
    }
    for at in top.elements("pathBeneath")? {
        let rule = at.object(&["allowedAccess", "parent"])?;
        let allowed = rule.some_rights("allowedAccess", Kind::Fs, abi)?;
        let mut paths = Vec::new();
        for parent in rule.some_elements("parent")? {
            paths.append(&mut expand(&parent, &variables)?);
        }
        // What is used is handled: so the format has it, to be short.
        landlock.handled_fs |= allowed;
        landlock.paths.push(PathRule { field: at.field, allowed, paths, optional: false });
    }
    for at in top.elements("netPort")? {
        let rule = at.object(&["allowedAccess", "port"])?;
        let allowed = rule.some_rights("allowedAccess", Kind::Net, abi)?;
        let ports = rule.some_elements("port")?.iter().map(At::port).collect::<Result<_, _>>()?;
        landlock.handled_net |= allowed;
        landlock.ports.push(PortRule { field: at.field, allowed, ports });
    }
    match landlock.handled_fs | landlock.handled_net | landlock.scoped {
        0 => Err(wrong(name, "restricts nothing", "add a ruleset")),
        _ => Ok(landlock),
    }
}

/// The reason of a failure holds nothing of the file but a position: whoever names it may have no right to read it.
fn parse(text: &[u8], format: Format) -> Result<Value, String> {
    match format {
        Format::Json => serde_json::from_slice(text)
            .map_err(|error| format!("no valid JSON at line {}, column {}", error.line(), error.column())),
        Format::Toml => {
            let text = std::str::from_utf8(text).map_err(|error| format!("no UTF-8 from byte {}", error.valid_up_to()))?;
            toml::from_str(text).map_err(|error| format!("no valid TOML at byte {}", error.span().map_or(0, |span| span.start)))
        }
    }
}

fn variables<'a>(top: &Object<'a>) -> Result<BTreeMap<&'a str, Vec<&'a str>>, ConfigError> {
    let mut variables: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for at in top.elements("variable")? {
        let variable = at.object(&["name", "literal"])?;
        let name = variable.required("name")?;
        let literals = variable.elements("literal")?;
        let mut literals = literals.iter().map(At::text).collect::<Result<Vec<_>, _>>()?;
        variables.entry(name.text()?).or_default().append(&mut literals);
    }
    Ok(variables)
}

/// Every text that `${NAME}` in this one stands for; `$$` is a dollar.
fn expand(at: &At<'_>, variables: &BTreeMap<&str, Vec<&str>>) -> Result<Vec<String>, ConfigError> {
    let mut texts = vec![String::new()];
    let mut rest = at.text()?;
    while let Some((before, after)) = rest.split_once('$') {
        texts.iter_mut().for_each(|text| text.push_str(before));
        if let Some((name, after)) = after.strip_prefix('{').and_then(|after| after.split_once('}')) {
            let unknown =
                || wrong(&at.field, format!("there is no variable {name:?}"), "add it to `variable`, with its literals");
            let literals = variables.get(name).filter(|literals| !literals.is_empty()).ok_or_else(unknown)?;
            if texts.len().saturating_mul(literals.len()) > MOST_PATHS {
                return Err(wrong(&at.field, format!("stands for more than {MOST_PATHS} paths"), "name a directory above them"));
            }
            texts = texts.iter().flat_map(|text| literals.iter().map(move |literal| format!("{text}{literal}"))).collect();
            rest = after;
        } else if after.starts_with('{') {
            return Err(wrong(&at.field, "a variable's name has no end", "write ${NAME}, or $$ for a dollar"));
        } else {
            texts.iter_mut().for_each(|text| text.push('$'));
            rest = after.strip_prefix('$').unwrap_or(after);
        }
    }
    texts.iter_mut().for_each(|text| text.push_str(rest));
    Ok(texts)
}
