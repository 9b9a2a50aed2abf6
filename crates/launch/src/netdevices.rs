//! The container's network, as far as a runtime goes: the loopback interface, and devices of the host that become the container's
//! (config-linux.md, netDevices). The runtime does it through a socket that init opened inside, while init mounts.

use crate::failure::Cause;
use std::os::fd::{AsFd, OwnedFd};
use wolffia_plan::{NamespaceKind, NetDevice};
use wolffia_sys::namespaces;
use wolffia_sys::netlink::{Address, Socket};

/// Init's part: a netlink socket of its network namespace.
pub fn open_socket() -> Result<OwnedFd, Cause> {
    Ok(Socket::open()?.into())
}

/// The runtime's part: the container's network, and what has to go back if the container is never made.
#[derive(Debug)]
pub struct Network {
    inside: Socket,
    moved: Vec<Moved>,
}

#[derive(Debug)]
struct Moved {
    host_name: String,
    name_inside: String,
    addresses: Vec<Address>,
}

impl Network {
    pub fn of(socket: OwnedFd) -> Self {
        Self { inside: Socket::from(socket), moved: Vec::new() }
    }

    /// The loopback interface is always the first of a new namespace.
    pub fn set_loopback_up(&mut self) -> Result<(), Cause> {
        Ok(self.inside.set_up(1)?)
    }

    /// Moves a device in. It arrives down and without addresses.
    pub fn move_in(&mut self, device: &NetDevice, namespace: &OwnedFd) -> Result<(), Cause> {
        // Asked before, because the kernel moves first and renames then: a name that is taken would cost the device.
        let is_template = device.container_name.contains("%d");
        if !is_template && self.inside.link_index(&device.container_name).is_ok() {
            return Err(format!("the container has a device {} already", device.container_name).into());
        }
        let collides = self.inside.link_index(&device.host_name).is_ok();
        if collides && is_template {
            return Err(
                format!("the container has a device {} already, under which this one would arrive", device.host_name).into()
            );
        }
        let mut host = Socket::open()?;
        let index = host.link_index(&device.host_name)?;
        let addresses = host.global_addresses(index)?;
        host.move_to_namespace(index, if collides { &device.container_name } else { &device.host_name }, namespace.as_fd())?;
        let arrived = if collides { &device.container_name } else { &device.host_name };
        self.moved.push(Moved { host_name: device.host_name.clone(), name_inside: arrived.clone(), addresses });
        Ok(())
    }

    /// Gives the device that was moved last its name and its addresses, and sets it up.
    pub fn configure(&mut self, device: &NetDevice) -> Result<(), Cause> {
        let Some(moved) = self.moved.last_mut() else { return Ok(()) };
        let index = self.inside.link_index(&moved.name_inside)?;
        if moved.name_inside != device.container_name {
            self.inside.rename(index, &device.container_name)?;
        }
        // The kernel has filled a template.
        moved.name_inside = self.inside.link_name(index)?;
        for address in &moved.addresses {
            self.inside.add_address(index, address)?;
        }
        Ok(self.inside.set_up(index)?)
    }

    /// The container was not made: its devices go home, or they would be destroyed with its namespace.
    pub fn give_back(mut self) -> Result<(), Cause> {
        if self.moved.is_empty() {
            return Ok(());
        }
        let home = namespaces::open_own(NamespaceKind::Network.file_name())?;
        let mut host = Socket::open()?;
        for moved in self.moved.iter().rev() {
            let index = self.inside.link_index(&moved.name_inside)?;
            if moved.name_inside != moved.host_name {
                // A device that is up keeps its name (before Linux 6.2).
                self.inside.set_down(index)?;
                self.inside.rename(index, &moved.host_name)?;
            }
            self.inside.move_to_namespace(index, &moved.host_name, home.as_fd())?;
            let index = host.link_index(&moved.host_name)?;
            for address in &moved.addresses {
                host.add_address(index, address)?;
            }
            if !moved.addresses.is_empty() {
                host.set_up(index)?;
            }
        }
        Ok(())
    }
}
