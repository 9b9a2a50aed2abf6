//! Which bus to ask, and as whom.

use std::path::{Path, PathBuf};
use wolffia_plan::SystemdManager;

/// A bus and how to get in.
#[derive(Debug, Clone)]
pub(super) struct Bus {
    /// As D-Bus writes addresses.
    pub address: String,
    /// The number by which the bus knows the caller. In a user namespace it is not the caller's own, and the bus believes only the
    /// number that the kernel shows it.
    pub uid: Option<u32>,
}

/// The system's bus, or the user's: by its variable, in the runtime directory, or where logind puts that.
pub(super) fn find(manager: SystemdManager) -> Bus {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match manager {
        SystemdManager::System => {
            let address = variable("DBUS_SYSTEM_BUS_ADDRESS");
            Bus { address: address.unwrap_or_else(|| "unix:path=/run/dbus/system_bus_socket".to_owned()), uid: None }
        }
        SystemdManager::User { uid } => {
            let own = PathBuf::from(format!("/run/user/{uid}"));
            let directory = variable("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|directory| directory.join("bus").exists());
            let address = variable("DBUS_SESSION_BUS_ADDRESS").unwrap_or_else(|| socket(&directory.unwrap_or(own).join("bus")));
            Bus { address, uid: Some(uid) }
        }
    }
}

impl Bus {
    pub fn cure(&self) -> String {
        match self.uid {
            None => "start dbus and systemd, or use --cgroup-manager cgroupfs".to_owned(),
            Some(uid) => format!(
                "it takes the package dbus-user-session and a login session, or, as root, `loginctl enable-linger {uid}`; \
                 or use --cgroup-manager cgroupfs"
            ),
        }
    }
}

/// The address of a socket: all but these bytes are escaped (D-Bus specification, "Server Addresses").
fn socket(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/.\\*".contains(&byte);
    let path = path.as_os_str().as_encoded_bytes().iter();
    let escaped: String =
        path.map(|byte| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02x}") }).collect();
    format!("unix:path={escaped}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_with_odd_bytes_in_its_path_is_still_one_address() {
        assert_eq!(socket(Path::new("/run/user/1000/bus")), "unix:path=/run/user/1000/bus");
        assert_eq!(socket(Path::new("/a b,c;d/bus")), "unix:path=/a%20b%2cc%3bd/bus");
    }
}
