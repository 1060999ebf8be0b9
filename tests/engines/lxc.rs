//! LXC: containers on a bridge.

use std::net::Ipv6Addr;

use crate::PATIENCE;
use crate::guide::{Guide, nowhere};
use crate::machine::Machine;
use crate::namespace::eventually;
use crate::provider::Provider;
use crate::traffic::Traffic;

crate::cases![
    containers_on_a_bridge,
    a_container_is_reachable_at_the_first_packet_after_its_dad,
    a_container_that_reboots_is_reachable_again,
];

const WEB: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, 5);

fn containers_on_a_bridge() {
    let provider = Provider::new();
    let host = provider.host("host", 2);
    Guide::read("lxc-bridge").follow(&provider, &host, &nowhere);
    provider.pings(WEB);
}

fn a_container_is_reachable_at_the_first_packet_after_its_dad() {
    let (provider, host) = followed();
    host.type_in("lxc-stop web");
    host.type_in("lxc-start web");
    has_its_address(&host);
    provider.pings(WEB);
}

fn a_container_that_reboots_is_reachable_again() {
    let (provider, host) = followed();
    let pid = host.main_pid("lone64");
    let traffic = Traffic::start(&provider.router, WEB);
    host.type_in("lxc-stop --reboot web");
    has_its_address(&host);
    traffic.flows();
    println!("a reboot of the container interrupted it for {:?}", traffic.longest_gap());
    assert_eq!(host.main_pid("lone64"), pid);
}

fn followed() -> (Provider, Machine) {
    let provider = Provider::new();
    let host = provider.host("host", 2);
    Guide::read("lxc-bridge").follow(&provider, &host, &nowhere);
    (provider, host)
}

/// The container has checked its address.
fn has_its_address(host: &Machine) {
    eventually("the container's address is valid", PATIENCE, || {
        let shown = host.ask("lxc-attach web -- ip -6 address show dev eth0 scope global");
        (shown.contains(&format!("{WEB}/")) && !shown.contains("tentative")).then_some(())
    });
}
