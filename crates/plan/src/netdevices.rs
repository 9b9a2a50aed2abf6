//! Network devices that move into the container.

use crate::host::Host;
use crate::{NamespaceKind, Namespaces, NetDevice, Refusal};
use wolffia_spec::oci;

/// Longest name of a device: `IFNAMSIZ` counts the NUL byte.
const LONGEST_NAME: usize = 15;

/// Reads `linux.netDevices`, in the order of their names: the configuration's object has none.
///
/// # Errors
/// No network namespace to move into, no right to move, and names that no device can have.
pub(crate) fn plan_net_devices(linux: &oci::Linux, namespaces: &Namespaces, host: &Host) -> Result<Vec<NetDevice>, Refusal> {
    let mut devices: Vec<NetDevice> = Vec::new();
    for (name, device) in linux.net_devices().iter().flatten() {
        let field = format!("/linux/netDevices/{name}");
        let inside = device.name().as_ref().filter(|inside| !inside.is_empty()).unwrap_or(name);
        for (field, name, template) in [(field.clone(), name, false), (format!("{field}/name"), inside, true)] {
            check_name(name, template).map_err(|reason| {
                Refusal::new(field, format!("invalid network device name {name:?}: {reason}"), "for example eth0")
            })?;
        }
        devices.push(NetDevice { host_name: name.clone(), container_name: inside.clone() });
    }
    devices.sort_by(|a, b| a.host_name.cmp(&b.host_name));
    if devices.is_empty() {
        return Ok(devices);
    }
    if !namespaces.is_private(NamespaceKind::Network) {
        return Err(Refusal::new(
            "/linux/netDevices",
            "unable to move network devices without a NET namespace",
            r#"add {"type":"network"} to linux.namespaces"#,
        ));
    }
    if !host.privileged {
        return Err(Refusal::new(
            "/linux/netDevices",
            "network devices are not supported for rootless containers",
            "run as root",
        ));
    }
    let twice = |device: &NetDevice| {
        !device.container_name.contains('%')
            && devices.iter().filter(|other| other.container_name == device.container_name).count() > 1
    };
    match devices.iter().find(|device| twice(device)) {
        None => Ok(devices),
        Some(device) => Err(Refusal::new(
            format!("/linux/netDevices/{}/name", device.host_name),
            format!("two devices are named {:?} in the container", device.container_name),
            "give each a name of its own, or a template such as eth%d",
        )),
    }
}

/// What the kernel accepts (`dev_valid_name`, `dev_alloc_name`).
fn check_name(name: &str, template: bool) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err("a name has 1 to 15 bytes");
    }
    if matches!(name, "." | "..") || name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control()) {
        return Err("it holds a character that the kernel does not take");
    }
    if template && name.contains('%') && (name.matches('%').count() > 1 || !name.contains("%d")) {
        return Err("a template has one %d and no other %");
    }
    Ok(())
}
