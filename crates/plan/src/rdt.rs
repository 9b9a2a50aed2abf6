//! Intel RDT: which class of service (a directory of resctrl) the container's processes are in, and what that one may use.

use crate::host::Host;
use crate::{HostPath, Refusal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use wolffia_spec::oci;

/// The container's place in the resctrl file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rdt {
    pub mount: HostPath,
    pub group: RdtGroup,
    /// Name of a monitoring group of its own below `group`.
    pub monitoring: Option<String>,
}

/// A class of service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RdtGroup {
    /// Made for the container, with these lines, and removed with it.
    Own { name: String, schemata: Vec<String> },
    /// Somebody's that is there, and has these lines already.
    Existing { name: String, schemata: Vec<String> },
    /// Made with these lines where it is missing, else as `Existing`. It outlives the container (config-linux.md).
    Shared { name: String, schemata: Vec<String> },
}

impl RdtGroup {
    /// Its directory below the mount: empty for the default group, which is the mount itself.
    pub fn name(&self) -> &str {
        match self {
            Self::Own { name, .. } | Self::Existing { name, .. } | Self::Shared { name, .. } => name,
        }
    }

    pub fn schemata(&self) -> &[String] {
        match self {
            Self::Own { schemata, .. } | Self::Existing { schemata, .. } | Self::Shared { schemata, .. } => schemata,
        }
    }
}

const FIELD: &str = "/linux/intelRdt";
/// What the kernel has in every group (Documentation/filesystems/resctrl.rst).
const TAKEN: [&str; 3] = ["info", "mon_groups", "mon_data"];

/// Reads `linux.intelRdt` for the container `id`.
///
/// # Errors
/// A host without resctrl; names and lines that the kernel or the specification does not take.
pub(crate) fn plan_rdt(linux: &oci::Linux, id: &str, host: &Host) -> Result<Option<Rdt>, Refusal> {
    let Some(asked) = linux.intel_rdt() else { return Ok(None) };
    let mount = host.resctrl.clone().ok_or_else(|| {
        Refusal::new(
            FIELD,
            "intelRdt is specified in config, but the host has no resctrl file system mounted",
            "mount it (mount -t resctrl resctrl /sys/fs/resctrl), on a processor and a kernel that have it; or remove linux.intelRdt",
        )
    })?;
    let schemata = plan_rdt_lines(asked)?;
    let group = match asked.clos_id().as_deref().filter(|name| !name.is_empty()) {
        None => RdtGroup::Own { name: group_name(id, FIELD)?, schemata },
        // The default group is everybody's, and there from the start: nothing is written to it.
        Some("/") => RdtGroup::Existing { name: String::new(), schemata },
        Some(name) => {
            let name = group_name(name, "/linux/intelRdt/closID")?;
            if schemata.is_empty() { RdtGroup::Existing { name, schemata } } else { RdtGroup::Shared { name, schemata } }
        }
    };
    let monitoring = asked.enable_monitoring().unwrap_or(false).then(|| group_name(id, FIELD)).transpose()?;
    Ok(Some(Rdt { mount, group, monitoring }))
}

/// The first of `wanted` that a group whose `schemata` file holds `has` does not have. The kernel writes every domain, and numbers with
/// leading zeros; the specification asks for a comparison (config-linux.md, closID).
pub fn rdt_mismatch<'a>(wanted: &'a [String], has: &str) -> Option<&'a str> {
    let has: Vec<Schema<'_>> = has.lines().filter_map(Schema::parse).collect();
    let fits = |line: &str| {
        let Some(wanted) = Schema::parse(line) else { return false };
        let same = has.iter().find(|schema| schema.resource == wanted.resource);
        same.is_some_and(|same| wanted.domains.iter().all(|(domain, value)| same.domains.get(domain) == Some(value)))
    };
    wanted.iter().map(String::as_str).find(|line| !fits(line))
}

/// `RESOURCE:domain=value;domain=value…`
#[derive(Debug)]
struct Schema<'a> {
    resource: &'a str,
    domains: BTreeMap<String, String>,
}

impl<'a> Schema<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (resource, rest) = line.split_once(':')?;
        let plain = |number: &str| {
            let bare = number.trim().trim_start_matches('0').to_ascii_lowercase();
            if bare.is_empty() { "0".to_owned() } else { bare }
        };
        let domain = |pair: &str| pair.split_once('=').map(|(domain, value)| (plain(domain), plain(value)));
        let domains = rest.split(';').filter(|pair| !pair.trim().is_empty()).map(domain).collect::<Option<_>>()?;
        Some(Self { resource: resource.trim(), domains })
    }
}

/// The lines of `asked`, in the order in which config-linux.md wants them written.
///
/// # Errors
/// One that the specification or the kernel does not take.
pub fn plan_rdt_lines(asked: &oci::LinuxIntelRdt) -> Result<Vec<String>, Refusal> {
    let mut lines = Vec::new();
    let named = [("l3CacheSchema", asked.l3_cache_schema(), "L3"), ("memBwSchema", asked.mem_bw_schema(), "MB:")];
    for (property, line, prefix) in named {
        let Some(line) = line.as_deref().filter(|line| !line.is_empty()) else { continue };
        let field = format!("{FIELD}/{property}");
        if !line.starts_with(prefix) {
            let reason = format!("{line:?} does not begin with {prefix}");
            return Err(Refusal::new(field, reason, "for example L3:0=7f0;1=1f and MB:0=20;1=70"));
        }
        lines.push(checked(line, &field)?);
    }
    for (index, line) in asked.schemata().iter().flatten().enumerate() {
        lines.push(checked(line, &format!("{FIELD}/schemata/{index}"))?);
    }
    Ok(lines)
}

/// A line that breaks would be two, of which one was not looked at.
fn checked(line: &str, field: &str) -> Result<String, Refusal> {
    if line.contains(|c: char| c.is_control()) || Schema::parse(line).is_none_or(|schema| schema.domains.is_empty()) {
        let reason = format!("{line:?} is not one line of a resctrl schemata file");
        return Err(Refusal::new(field, reason, "write RESOURCE:domain=value;domain=value"));
    }
    Ok(line.to_owned())
}

fn group_name(name: &str, field: &str) -> Result<String, Refusal> {
    let strange = |c: char| c == '/' || c.is_control();
    if name.contains(strange) || matches!(name, "." | "..") || TAKEN.contains(&name) {
        let reason = format!("{name:?} cannot be the name of a resctrl group");
        return Err(Refusal::new(
            field,
            reason,
            "name one directory, or / for the default group; info, mon_groups and mon_data are the kernel's",
        ));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_compared_as_the_kernel_writes_it() {
        let has = "    L3:0=007f0;1=0001f\n    MB:0= 20;1= 70\n";
        let mismatch = |lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            rdt_mismatch(&lines, has).map(str::to_owned)
        };
        assert_eq!(mismatch(&["L3:0=7F0;1=1f", "MB:1=70;0=20"]), None);
        assert_eq!(mismatch(&["L3:01=1f"]), None, "a domain that is not named may have anything");
        assert_eq!(mismatch(&["L3:0=7f0", "MB:0=30"]).as_deref(), Some("MB:0=30"));
        assert_eq!(mismatch(&["L2:0=f"]).as_deref(), Some("L2:0=f"));
        assert_eq!(mismatch(&["L3:2=0"]).as_deref(), Some("L3:2=0"));
    }
}
