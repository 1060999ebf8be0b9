//! Guests that are network namespaces, plugged into a bridge of a host, as a virtual machine's tap is.

use std::cell::RefCell;
use std::net::Ipv6Addr;
use std::process::Command;

use crate::guide::Guide;
use crate::machine::Machine;
use crate::namespace::{Namespace, eventually};
use crate::provider::Provider;
use crate::{PATIENCE, typed};

/// One starts behind the port `name`, with `number` as the end of its MAC, and has no address yet.
pub(crate) fn start(host: &Machine, name: &str, number: u8, bridge: &str) -> Namespace {
    let guest = plug(host, name, number, bridge);
    guest.ip("link set eth0 up");
    guest
}

/// The same, before it starts.
pub(crate) fn plug(host: &Machine, name: &str, number: u8, bridge: &str) -> Namespace {
    let guest = Namespace::untouched();
    // MACs like Proxmox's and libvirt's: those of the ports are high, for a bridge takes the lowest.
    host.namespace.ip(&format!(
        "link add {name} address fe:24:11:00:00:{number:02x} type veth \
         peer name eth0 address bc:24:11:00:00:{number:02x} netns {}
         link set {name} master {bridge}
         link set {name} up",
        guest.path()
    ));
    guest.ip("link set lo up");
    guest
}

/// Follows a guide; its guest starts where it is first mentioned.
pub(crate) fn follow(
    guide: &Guide,
    provider: &Provider,
    host: &Machine,
    start: &dyn Fn() -> Namespace,
) -> Namespace {
    let guest = RefCell::new(None);
    guide.follow(provider, host, &|place, lines| {
        assert_eq!(place, "guest");
        let mut guest = guest.borrow_mut();
        let guest: &Namespace = guest.get_or_insert_with(start);
        guest.run(|| typed(place, lines, Command::new("bash").args(["-exc", lines])));
    });
    guest.into_inner().expect("the guide mentions a guest")
}

/// Waits until the guest may use its address.
pub(crate) fn has_checked(guest: &Namespace, address: Ipv6Addr) {
    eventually("the guest has checked its address", PATIENCE, || {
        let shown = guest.show("address show dev eth0 scope global");
        (shown.contains(&format!("{address}/")) && !shown.contains("tentative")).then_some(())
    });
}
