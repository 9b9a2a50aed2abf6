//! A network device moves from one network namespace to another, with its addresses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it goes wrong")]

mod common;

use common::{Step, run, skip, within};
use std::os::fd::AsFd;
use std::process::{Command, ExitCode};
use wolffia_sys::netlink::{Address, Socket};
use wolffia_sys::{Errno, namespaces};

const STEPS: &[Step] = &[
    ("a_device_is_found_by_name_and_index", a_device_is_found_by_name_and_index),
    ("an_address_is_added_once", an_address_is_added_once),
    ("a_device_moves_with_its_addresses", a_device_moves_with_its_addresses),
    ("many_addresses_are_all_listed", many_addresses_are_all_listed),
];

const NEWNET: u64 = libc::CLONE_NEWNET as u64;

fn main() -> ExitCode {
    run(STEPS)
}

fn ip(arguments: &str) {
    match Command::new("ip").args(arguments.split_whitespace()).status() {
        Ok(status) => assert!(status.success(), "ip {arguments}"),
        Err(_) => skip("needs ip(8)"),
    }
}

fn inet(bytes: [u8; 4], prefix: u8) -> Address {
    Address { family: libc::AF_INET as u8, prefix, address: bytes.to_vec(), local: Some(bytes.to_vec()), ..Address::default() }
}

/// Runs `step` in a new network namespace; a skip there is a skip of the whole step.
fn in_new_network(step: impl FnOnce()) {
    if Command::new("ip").arg("-V").output().is_err() {
        skip("needs ip(8)");
    }
    within(NEWNET, step);
}

fn a_device_is_found_by_name_and_index() {
    in_new_network(|| {
        let mut socket = Socket::open().unwrap();
        let index = socket.link_index("lo").unwrap();
        assert_eq!(socket.link_name(index).unwrap(), "lo");
        let error = socket.link_index("nosuch0").unwrap_err();
        assert_eq!(error.to_string(), "rtnetlink(RTM_GETLINK, \"nosuch0\"): No such device (os error 19)");
        assert!(socket.link_name(4711).unwrap_err().is(Errno::ENODEV));
        assert!(socket.link_index("a\0b").unwrap_err().is(Errno::EINVAL));
        assert!(socket.link_index(&"x".repeat(70_000)).unwrap_err().is(Errno::EMSGSIZE));
        assert!(socket.link_index(&"x".repeat(200)).is_err());
        // The conversation goes on after errors.
        assert_eq!(socket.link_index("lo").unwrap(), index);
    });
}

fn an_address_is_added_once() {
    in_new_network(|| {
        let mut socket = Socket::open().unwrap();
        let lo = socket.link_index("lo").unwrap();
        assert_eq!(socket.global_addresses(lo).unwrap(), []);
        socket.set_up(lo).unwrap();
        assert_eq!(socket.global_addresses(lo).unwrap(), [], "127.0.0.1 and ::1 are of host scope");
        let address = inet([10, 9, 8, 7], 24);
        socket.add_address(lo, &address).unwrap();
        let listed = socket.global_addresses(lo).unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].prefix, &listed[0].local), (24, &address.local));
        assert!(socket.add_address(lo, &address).unwrap_err().is(Errno::EEXIST));
        assert!(socket.add_address(4711, &address).unwrap_err().is(Errno::ENODEV));
    });
}

fn a_device_moves_with_its_addresses() {
    in_new_network(|| {
        ip("link add veth0 type veth peer name veth1");
        ip("address add 192.0.2.1/24 broadcast 192.0.2.255 dev veth0");
        ip("address add 2001:db8::1/64 dev veth0 nodad");
        ip("address add 198.51.100.1/32 peer 198.51.100.2 dev veth0");
        ip("address add 203.0.113.1/24 valid_lft 100 preferred_lft 100 dev veth0");
        ip("link set veth0 up");
        let here = namespaces::open_own("net").unwrap();
        let mut socket = Socket::open().unwrap();
        let index = socket.link_index("veth0").unwrap();
        let addresses = socket.global_addresses(index).unwrap();
        assert_eq!(addresses.len(), 3, "the one that expires is not permanent: {addresses:?}");

        namespaces::unshare(NEWNET).unwrap();
        let there = namespaces::open_own("net").unwrap();
        let mut inside = Socket::open().unwrap();
        assert!(inside.link_index("veth0").unwrap_err().is(Errno::ENODEV));
        socket.move_to_namespace(index, "eth%d", there.as_fd()).unwrap();
        assert!(socket.link_name(index).unwrap_err().is(Errno::ENODEV));
        let index = inside.link_index("eth0").unwrap();
        assert_eq!(inside.global_addresses(index).unwrap(), []);
        for address in &addresses {
            inside.add_address(index, address).unwrap();
        }
        inside.set_up(index).unwrap();
        assert_eq!(inside.global_addresses(index).unwrap(), addresses);

        inside.move_to_namespace(index, "back0", here.as_fd()).unwrap();
        socket.link_index("back0").unwrap();
    });
}

/// More than one datagram of the kernel holds.
fn many_addresses_are_all_listed() {
    in_new_network(|| {
        let mut socket = Socket::open().unwrap();
        let lo = socket.link_index("lo").unwrap();
        for number in 0..600_u16 {
            let [high, low] = number.to_be_bytes();
            socket.add_address(lo, &inet([10, 1, high, low], 32)).unwrap();
        }
        assert_eq!(socket.global_addresses(lo).unwrap().len(), 600);
    });
}
