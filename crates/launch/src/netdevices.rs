//! Network devices of the host that become the container's (config-linux.md, netDevices): moved by the runtime, given their
//! addresses back and set up by init, inside.

use crate::failure::Cause;
use std::os::fd::{AsFd, OwnedFd};
use wolffia_plan::NetDevice;
use wolffia_sys::netlink::{Address, Socket};

/// Moves one device. Returns its addresses, which a move to another namespace takes from it.
pub fn move_in(device: &NetDevice, namespace: &OwnedFd) -> Result<Vec<Address>, Cause> {
    let mut socket = Socket::open()?;
    let index = socket.link_index(&device.host_name)?;
    let addresses = socket.global_addresses(index)?;
    socket.move_to_namespace(index, &device.container_name, namespace.as_fd())?;
    Ok(addresses)
}

/// Gives a device that was moved its addresses back and sets it up.
pub fn configure(name: &str, addresses: &[Address]) -> Result<(), Cause> {
    let mut socket = Socket::open()?;
    let index = socket.link_index(name)?;
    for address in addresses {
        socket.add_address(index, address)?;
    }
    Ok(socket.set_up(index)?)
}

/// A netlink socket of init's network namespace, for the runtime.
pub fn open_socket() -> Result<OwnedFd, Cause> {
    Ok(Socket::open()?.into())
}

/// Sets the loopback interface of a new network namespace up, where it is always the first. The runtime does it while init mounts,
/// because it takes the kernel as long as all mounts together.
pub fn set_loopback_up(socket: OwnedFd) -> Result<(), Cause> {
    Ok(Socket::from(socket).set_up(1)?)
}
