//! A container's scope, when systemd makes its cgroup: names, place, and limits as properties of the unit.
//!
//! Every limit is written to the cgroup's file as well, which is exact; systemd is told so that it writes the same when it
//! reloads, and so that `systemctl show` tells the truth.

use crate::cgroup::unified;
use crate::host::{CgroupLayout, IdRange};
use crate::resources::{CgroupWrite, IfAbsent};
use crate::{Host, HostPath, Refusal, Request};
use serde::{Deserialize, Serialize};

mod annotations;

const FIELD: &str = "/linux/cgroupsPath";
/// Longest name of a unit (systemd.unit(5)).
const LONGEST_UNIT: usize = 255;
/// More processors than any kernel can have.
const MOST_PROCESSORS: usize = 8192;

/// A transient scope that systemd makes for the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemdScope {
    pub mount: HostPath,
    pub manager: SystemdManager,
    pub slice: String,
    pub unit: String,
    /// Where systemd puts such a unit, below `mount`.
    pub path: String,
    pub properties: Vec<UnitProperty>,
}

/// Which of the host's systemd processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SystemdManager {
    System,
    /// That of the user `uid`, as the parent of the runtime's user namespace numbers it: who asks is known by that number.
    User {
        uid: u32,
    },
}

/// A property of a unit, as D-Bus takes it (org.freedesktop.systemd1(5)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitProperty {
    pub name: String,
    pub value: PropertyValue,
}

/// The types of the properties that are used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PropertyValue {
    /// `b`
    Flag(bool),
    /// `t`
    Number(u64),
    /// `i`
    Integer(i32),
    /// `s`
    Text(String),
    /// `as`
    List(Vec<String>),
    /// `ay`, a set of bits: the first byte holds 0 to 7.
    Bits(Vec<u8>),
    /// `a(st)`, by device.
    Rates(Vec<(String, u64)>),
}

impl UnitProperty {
    fn new(name: &str, value: PropertyValue) -> Self {
        Self { name: name.to_owned(), value }
    }
}

/// Decides the scope by `slice:prefix:name`.
///
/// # Errors
/// Another form of `linux.cgroupsPath`, names that systemd does not take, a host without the unified hierarchy, and
/// annotations that set what a bundle may not set.
pub(crate) fn plan_scope(
    asked: Option<&str>,
    annotations: &[(&str, &str)],
    writes: &[CgroupWrite],
    request: &Request,
    host: &Host,
) -> Result<SystemdScope, Refusal> {
    let (CgroupLayout::Unified { .. }, Some((mount, _))) = (&host.cgroups, unified(&host.cgroups)) else {
        return Err(Refusal::new(
            FIELD,
            "systemd makes cgroups for containers only where cgroup v2 is the host's only hierarchy",
            "boot with systemd.unified_cgroup_hierarchy=1, or use --cgroup-manager cgroupfs",
        ));
    };
    let manager = match host.euid == 0 && !host.in_user_namespace {
        true => SystemdManager::System,
        false => SystemdManager::User { uid: outer(host.euid, &host.own_uid_map) },
    };
    let default_slice = if manager == SystemdManager::System { "system.slice" } else { "user.slice" };
    let (slice, prefix, name) = match asked {
        None => ("", "wolffia", request.id.as_str()),
        Some(path) => split(path)?,
    };
    let slice = if slice.is_empty() { default_slice } else { slice };
    let unit = unit_name(prefix, name)?;
    let path = format!("{}{}/{unit}", root_of(manager), slice_path(slice)?);
    let mut properties = vec![UnitProperty::new("Description", PropertyValue::Text(format!("container {}", request.id)))];
    // Statistics want every controller, whether it limits or not.
    let accounts = ["CPUAccounting", "MemoryAccounting", "IOAccounting", "TasksAccounting"];
    properties.extend(accounts.map(|name| UnitProperty::new(name, PropertyValue::Flag(true))));
    // One whose process was killed for want of memory counts as failed, and would stay.
    properties.push(UnitProperty::new("CollectMode", PropertyValue::Text("inactive-or-failed".to_owned())));
    // It is not stopped before the engine that manages it.
    properties.push(UnitProperty::new("DefaultDependencies", PropertyValue::Flag(false)));
    properties.extend(unit_properties(writes));
    for property in annotations::plan_annotations(annotations)? {
        properties.retain(|one| one.name != property.name);
        properties.push(property);
    }
    Ok(SystemdScope { mount: mount.clone(), manager, slice: slice.to_owned(), unit, path, properties })
}

/// The properties that say the same as `writes`, as far as there are any. A later write overrules an earlier one.
pub fn unit_properties(writes: &[CgroupWrite]) -> Vec<UnitProperty> {
    let mut properties: Vec<UnitProperty> = Vec::new();
    for property in writes.iter().flat_map(of_write) {
        match properties.iter_mut().find(|one| one.name == property.name) {
            Some(UnitProperty { value: PropertyValue::Rates(rates), .. }) => {
                if let PropertyValue::Rates(more) = property.value {
                    rates.extend(more);
                }
            }
            Some(earlier) => earlier.value = property.value,
            None => properties.push(property),
        }
    }
    properties
}

fn of_write(write: &CgroupWrite) -> Vec<UnitProperty> {
    let value = write.value.trim();
    let number = |name: &str| amount(value).map(|number| UnitProperty::new(name, PropertyValue::Number(number)));
    let bits = |name: &str| bits(value).map(|bits| UnitProperty::new(name, PropertyValue::Bits(bits)));
    let one = match write.file.as_str() {
        "cpu.weight" => number("CPUWeight"),
        // systemd's word for cpu.idle, since version 252.
        "cpu.idle" => (value == "1").then(|| UnitProperty::new("CPUWeight", PropertyValue::Number(0))),
        "cpu.max" => return quota(value),
        "cpuset.cpus" => bits("AllowedCPUs"),
        "cpuset.mems" => bits("AllowedMemoryNodes"),
        "memory.min" => number("MemoryMin"),
        "memory.low" => number("MemoryLow"),
        "memory.high" => number("MemoryHigh"),
        "memory.max" => number("MemoryMax"),
        "memory.swap.max" => number("MemorySwapMax"),
        "memory.zswap.max" => number("MemoryZSwapMax"),
        "pids.max" => number("TasksMax"),
        "io.weight" => weight(value),
        // systemd's own scale is that of io.weight.
        "io.bfq.weight" => match &write.if_absent {
            IfAbsent::Instead { value, .. } => weight(value),
            _ => None,
        },
        "io.max" => return rates(value),
        _ => None,
    };
    one.into_iter().collect()
}

/// A number, or the largest for `max`: systemd's infinity.
fn amount(value: &str) -> Option<u64> {
    if value == "max" { Some(u64::MAX) } else { value.parse().ok() }
}

/// systemd keeps a quota as time for each second, in whole hundredths of a processor: rounded up, so that what systemd writes on
/// a reload never starves the container.
fn quota(value: &str) -> Vec<UnitProperty> {
    const SECOND: u64 = 1_000_000;
    const HUNDREDTH: u64 = 10_000;
    let mut fields = value.split_ascii_whitespace();
    let (quota, period) = (fields.next().and_then(amount), fields.next().map_or(Some(100_000), |period| period.parse().ok()));
    let (Some(quota), Some(period @ 1..)) = (quota, period) else { return Vec::new() };
    let per_second = match quota {
        u64::MAX => u64::MAX,
        quota => quota.saturating_mul(SECOND).div_ceil(period).div_ceil(HUNDREDTH).saturating_mul(HUNDREDTH),
    };
    vec![
        UnitProperty::new("CPUQuotaPerSecUSec", PropertyValue::Number(per_second)),
        UnitProperty::new("CPUQuotaPeriodUSec", PropertyValue::Number(period)),
    ]
}

/// `WEIGHT`, `default WEIGHT` or `MAJOR:MINOR WEIGHT`.
fn weight(value: &str) -> Option<UnitProperty> {
    let (device, weight) = value.rsplit_once(' ').unwrap_or(("default", value));
    let weight = weight.parse().ok()?;
    Some(match device {
        "default" => UnitProperty::new("IOWeight", PropertyValue::Number(weight)),
        device => UnitProperty::new("IODeviceWeight", PropertyValue::Rates(vec![(device_path(device), weight)])),
    })
}

/// `MAJOR:MINOR KEY=RATE…`
fn rates(value: &str) -> Vec<UnitProperty> {
    let Some((device, limits)) = value.split_once(' ') else { return Vec::new() };
    let property = |limit: &str| {
        let (key, rate) = limit.split_once('=')?;
        let name = match key {
            "rbps" => "IOReadBandwidthMax",
            "wbps" => "IOWriteBandwidthMax",
            "riops" => "IOReadIOPSMax",
            "wiops" => "IOWriteIOPSMax",
            _ => return None,
        };
        Some(UnitProperty::new(name, PropertyValue::Rates(vec![(device_path(device), amount(rate)?)])))
    };
    limits.split_ascii_whitespace().filter_map(property).collect()
}

fn device_path(number: &str) -> String {
    format!("/dev/block/{number}")
}

/// `0-3,7` as bits.
fn bits(list: &str) -> Option<Vec<u8>> {
    let mut bits = Vec::new();
    for range in list.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if last >= MOST_PROCESSORS {
            return None;
        }
        for bit in first..=last {
            if bits.len() <= bit / 8 {
                bits.resize(bit / 8 + 1, 0_u8);
            }
            bits[bit / 8] |= 1 << (bit % 8);
        }
    }
    Some(bits)
}

fn split(path: &str) -> Result<(&str, &str, &str), Refusal> {
    let mut parts = path.split(':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(slice), Some(prefix), Some(name), None) if !name.is_empty() => Ok((slice, prefix, name)),
        _ => Err(Refusal::new(
            FIELD,
            // runc's text.
            format!("expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {path:?} instead"),
            "for example system.slice:wolffia:web, or leave it out",
        )),
    }
}

fn unit_name(prefix: &str, name: &str) -> Result<String, Refusal> {
    if name.ends_with(".slice") {
        return Err(Refusal::new(
            FIELD,
            format!("{name:?} is a slice, in which no process can be"),
            "name a scope: slice:prefix:name",
        ));
    }
    let unit = match prefix {
        "" => format!("{}.scope", escape(name)),
        prefix => format!("{}-{}.scope", escape(prefix), escape(name)),
    };
    match unit.len() {
        ..=LONGEST_UNIT => Ok(unit),
        length => Err(Refusal::new(
            FIELD,
            format!("the unit's name has {length} characters"),
            "at most 255, so shorten the container's id",
        )),
    }
}

/// As systemd-escape(1): a container's id may hold `+`, which a unit's name may not.
fn escape(name: &str) -> String {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":_.-".contains(&byte);
    name.bytes().map(|byte| if allowed(byte) { char::from(byte).to_string() } else { format!("\\x{byte:02x}") }).collect()
}

/// `a-b.slice` lies in `a.slice` (systemd.slice(5)); `-.slice` is the root.
fn slice_path(slice: &str) -> Result<String, Refusal> {
    let refuse =
        || Refusal::new(FIELD, format!("{slice:?} is not the name of a slice"), "for example system.slice or machine-web.slice");
    let stem = slice.strip_suffix(".slice").ok_or_else(refuse)?;
    if stem == "-" {
        return Ok(String::new());
    }
    if escape(stem) != stem || stem.split('-').any(str::is_empty) {
        return Err(refuse());
    }
    let ends = stem.match_indices('-').map(|(at, _)| at).chain([stem.len()]);
    Ok(ends.map(|end| format!("/{}.slice", &stem[..end])).collect())
}

/// The cgroup of the manager itself.
fn root_of(manager: SystemdManager) -> String {
    match manager {
        SystemdManager::System => String::new(),
        SystemdManager::User { uid } => format!("/user.slice/user-{uid}.slice/user@{uid}.service"),
    }
}

fn outer(id: u32, map: &[IdRange]) -> u32 {
    map.iter().find_map(|range| range.outside(id)).unwrap_or(id)
}

#[cfg(test)]
mod tests;
