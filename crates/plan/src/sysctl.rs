//! Kernel parameters: only those that a namespace of the container keeps from the host.

use crate::{NamespaceKind, Namespaces, Refusal, Sysctl};
use wolffia_spec::oci;

/// Parameters of an IPC namespace below /proc/sys/kernel (ipc_namespaces(7)).
const OF_IPC: &[&str] = &["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];

/// Reads `linux.sysctl`, in the order of their paths: the configuration's object has none.
///
/// # Errors
/// A parameter that is not the container's own, or a name or value that could reach another file than it says.
pub(crate) fn plan_sysctl(linux: &oci::Linux, namespaces: &Namespaces) -> Result<Vec<Sysctl>, Refusal> {
    let mut planned: Vec<Sysctl> = Vec::new();
    for (key, value) in linux.sysctl().iter().flatten() {
        let field = format!("/linux/sysctl/{}", key.replace('~', "~0").replace('/', "~1"));
        let refuse = |(reason, cure): (String, &str)| Refusal::new(field.clone(), reason, cure);
        let path = path_of(key).map_err(refuse)?;
        check_value(key, value).map_err(refuse)?;
        let namespace = owner(&dotted(&path), namespaces).map_err(refuse)?;
        planned.push(Sysctl { path: path.join("/"), value: value.clone(), namespace });
    }
    planned.sort_by(|a, b| a.path.cmp(&b.path));
    match planned.windows(2).find(|pair| pair[0].path == pair[1].path) {
        None => Ok(planned),
        Some(pair) => Err(Refusal::new(
            "/linux/sysctl",
            format!("sysctl {:?} is set twice", pair[0].path),
            "write it once, with dots or with slashes",
        )),
    }
}

/// The components below /proc/sys. As in sysctl(8), the first separator decides which of `.` and `/` separates; the
/// other one belongs to a name, for example of the device `eno2.100`.
fn path_of(key: &str) -> Result<Vec<String>, (String, &'static str)> {
    let separator = key.chars().find(|c| matches!(c, '.' | '/')).unwrap_or('.');
    let parts: Vec<String> =
        key.split(separator).map(|part| if separator == '.' { part.replace('/', ".") } else { part.to_owned() }).collect();
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '=' | '+');
    if parts.iter().any(|part| part.is_empty() || part == "." || part == ".." || !part.chars().all(plain)) {
        return Err((format!("sysctl {key:?} is not a parameter's name"), "for example net.ipv4.ip_forward"));
    }
    Ok(parts)
}

/// A value is one line. Programs that take several parameters separate them with `+` (CVE-2022-0811): nothing that a
/// kernel parameter takes looks like that.
fn check_value(key: &str, value: &str) -> Result<(), (String, &'static str)> {
    let smuggles = value.split('+').skip(1).any(|rest| rest.contains('='));
    if smuggles || value.contains(|c: char| c.is_control() && c != '\t') {
        return Err((format!("the value {value:?} of sysctl {key:?} holds more than a value"), "write one line with one value"));
    }
    Ok(())
}

/// The name with dots, as runc's messages have it.
fn dotted(path: &[String]) -> Vec<String> {
    path.iter().map(|part| part.replace('.', "/")).collect()
}

fn owner(parts: &[String], namespaces: &Namespaces) -> Result<NamespaceKind, (String, &'static str)> {
    let name = parts.join(".");
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (kind, reason) = match parts.as_slice() {
        ["kernel", parameter] if OF_IPC.contains(parameter) => {
            (NamespaceKind::Ipc, format!("sysctl {name:?} is not allowed in the hosts ipc namespace"))
        }
        ["fs", "mqueue", _, ..] => (NamespaceKind::Ipc, format!("sysctl {name:?} is not allowed in the hosts ipc namespace")),
        ["net", _, ..] => (NamespaceKind::Network, format!("sysctl {name:?} not allowed in host network namespace")),
        ["user", _] => (NamespaceKind::User, format!("setting ucounts without a user namespace not allowed: {name}")),
        ["kernel", "domainname"] => (NamespaceKind::Uts, format!("sysctl {name:?} is not in a separate kernel namespace")),
        ["kernel", "hostname"] if namespaces.is_private(NamespaceKind::Uts) => {
            return Err((
                format!("sysctl {name:?} is not allowed as it conflicts with the OCI \"hostname\" field"),
                "set `hostname`",
            ));
        }
        _ => {
            return Err((
                format!("sysctl {name:?} is not in a separate kernel namespace"),
                "set it on the host: no namespace keeps it apart",
            ));
        }
    };
    if namespaces.is_private(kind) {
        return Ok(kind);
    }
    Err((reason, "give the container a namespace of its own for it in linux.namespaces"))
}
