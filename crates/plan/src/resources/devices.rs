//! Which devices the container may use: the configuration's rules, and those that every container has.

use super::{Resources, refuse};
use crate::{Host, Refusal};
use serde::{Deserialize, Serialize};
use wolffia_spec::oci;

/// What a process may do with the device nodes that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceRule {
    pub allow: bool,
    /// `None`: both types.
    pub kind: Option<DeviceType>,
    /// `None`: all.
    pub major: Option<u32>,
    /// `None`: all.
    pub minor: Option<u32>,
    pub access: DeviceAccess,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceType {
    Block,
    Char,
}

/// `r`, `w`, `m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceAccess {
    pub read: bool,
    pub write: bool,
    /// mknod(2)
    pub make: bool,
}

const ALL: DeviceAccess = DeviceAccess { read: true, write: true, make: true };
const MAKE: DeviceAccess = DeviceAccess { read: false, write: false, make: true };

/// Allowed to every container, whatever the configuration says, as runc does: engines count on it. Nodes may be made
/// freely, because making one gives no access to the device behind it.
const DEFAULTS: [DeviceRule; 11] = [
    allow(DeviceType::Char, None, None, MAKE),
    allow(DeviceType::Block, None, None, MAKE),
    allow(DeviceType::Char, Some(1), Some(3), ALL),    // null
    allow(DeviceType::Char, Some(1), Some(8), ALL),    // random
    allow(DeviceType::Char, Some(1), Some(7), ALL),    // full
    allow(DeviceType::Char, Some(5), Some(0), ALL),    // tty
    allow(DeviceType::Char, Some(1), Some(5), ALL),    // zero
    allow(DeviceType::Char, Some(1), Some(9), ALL),    // urandom
    allow(DeviceType::Char, Some(136), None, ALL),     // pts/*
    allow(DeviceType::Char, Some(5), Some(2), ALL),    // ptmx
    allow(DeviceType::Char, Some(10), Some(200), ALL), // net/tun: its removal broke engines that cannot add rules
];

const fn allow(kind: DeviceType, major: Option<u32>, minor: Option<u32>, access: DeviceAccess) -> DeviceRule {
    DeviceRule { allow: true, kind: Some(kind), major, minor, access }
}

impl Resources {
    pub(super) fn devices(&mut self, config: &oci::LinuxResources, host: &Host) -> Result<(), Refusal> {
        let listed: Vec<DeviceRule> =
            config.devices().iter().flatten().enumerate().map(|(index, rule)| convert(index, rule)).collect::<Result<_, _>>()?;
        // bpf(2) wants capabilities in the initial user namespace.
        if host.privileged && !host.in_user_namespace {
            self.devices = Some(listed.into_iter().chain(DEFAULTS).collect());
        } else if !listed.is_empty() {
            let reason = "a device program needs privileges on the host; the container has only the device nodes that are \
                          bound into it, and can make none";
            self.record("devices", reason);
        }
        Ok(())
    }
}

fn convert(index: usize, rule: &oci::LinuxDeviceCgroup) -> Result<DeviceRule, Refusal> {
    let field = format!("devices/{index}");
    let kind = match rule.typ() {
        None | Some(oci::LinuxDeviceType::A) => None,
        Some(oci::LinuxDeviceType::B) => Some(DeviceType::Block),
        Some(oci::LinuxDeviceType::C) => Some(DeviceType::Char),
        Some(other @ (oci::LinuxDeviceType::U | oci::LinuxDeviceType::P)) => {
            let reason = format!("invalid cgroup device type {:?}", other.as_str());
            return Err(refuse(&format!("{field}/type"), reason, "a, b or c"));
        }
    };
    Ok(DeviceRule {
        allow: rule.allow(),
        kind,
        major: number(&format!("{field}/major"), rule.major())?,
        minor: number(&format!("{field}/minor"), rule.minor())?,
        access: access(index, &field, rule.access().as_deref().unwrap_or_default())?,
    })
}

/// −1 is how Go callers write "all".
fn number(field: &str, number: Option<i64>) -> Result<Option<u32>, Refusal> {
    match number {
        None | Some(-1) => Ok(None),
        Some(number) => u32::try_from(number)
            .map(Some)
            .map_err(|_| refuse(field, format!("{number} is not a device number"), "0 or more, or none for all")),
    }
}

fn access(index: usize, field: &str, letters: &str) -> Result<DeviceAccess, Refusal> {
    let field = format!("{field}/access");
    if letters.is_empty() {
        return Err(refuse(&field, format!("device access at {index} field cannot be empty"), "some of r, w and m"));
    }
    let mut access = DeviceAccess { read: false, write: false, make: false };
    for letter in letters.chars() {
        match letter {
            'r' => access.read = true,
            'w' => access.write = true,
            'm' => access.make = true,
            other => return Err(refuse(&field, format!("unknown device access {other:?}"), "some of r, w and m")),
        }
    }
    Ok(access)
}
