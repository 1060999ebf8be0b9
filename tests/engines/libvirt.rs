//! libvirt: virtual machines on a routed network with two prefixes.
//!
//! A network namespace of the host stands in for the machine, and a veth pair for its tap: nothing that
//! is tried here can tell them apart.

use std::net::Ipv6Addr;

use crate::PATIENCE;
use crate::guide::Guide;
use crate::machine::Machine;
use crate::namespace::eventually;
use crate::provider::Provider;
use crate::traffic::Traffic;

crate::cases![
    machines_on_a_network_with_two_prefixes,
    a_machine_is_reachable_at_the_first_packet_after_its_dad,
];

const FIRST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xd, 0, 0, 5);
const SECOND: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xd, 1, 0, 5);

fn machines_on_a_network_with_two_prefixes() {
    let (provider, host) = followed();
    provider.pings(FIRST);
    provider.pings(SECOND);
    let pid = host.main_pid("lone64");

    let traffic = Traffic::start(&provider.router, SECOND);
    host.type_in("systemctl restart libvirtd\nvirsh net-list --name | grep routed");
    traffic.flows();
    println!("a restart of libvirtd interrupted it for {:?}", traffic.longest_gap());
    assert_eq!(host.main_pid("lone64"), pid);

    host.type_in("virsh net-destroy routed");
    serves(&host, false);
    assert!(!host.type_in("ip -6 route").contains("2001:db8:1:2:d:"));
    assert_eq!(host.main_pid("lone64"), pid);
    assert_eq!(host.warnings(), "");
}

fn a_machine_is_reachable_at_the_first_packet_after_its_dad() {
    let (provider, host) = followed();
    unplug(&host);
    plug_in(&host);
    type_in_guest(&host, ADDRESSES);
    has_its_addresses(&host);
    provider.pings(FIRST);
    provider.pings(SECOND);

    // A network that was stopped comes back with machines that are started again.
    host.type_in("virsh net-destroy routed");
    unplug(&host);
    serves(&host, false);
    host.type_in("virsh net-start routed");
    serves(&host, true);
    plug_in(&host);
    type_in_guest(&host, ADDRESSES);
    has_its_addresses(&host);
    provider.pings(SECOND);
    provider.pings(FIRST);
}

fn followed() -> (Provider, Machine) {
    let provider = Provider::new();
    let host = provider.host("host", 2);
    Guide::read("libvirt").follow(&provider, &host, &|place, lines| {
        assert_eq!(place, "guest");
        // It is started before anything is typed in it.
        if lines.contains("addr add") {
            plug_in(&host);
        }
        type_in_guest(&host, lines);
    });
    (provider, host)
}

/// The machine starts: libvirt gives it a tap on the network's bridge.
fn plug_in(host: &Machine) {
    host.type_in(
        "ip netns add machine
        ip link add vnet0 type veth peer name enp1s0 netns machine
        ip -n machine link set lo up
        ip -n machine link set enp1s0 address 52:54:00:00:00:05 up
        ip link set vnet0 master virbr1 up",
    );
}

/// The machine is off.
fn unplug(host: &Machine) {
    host.type_in("ip link del vnet0\nip netns del machine");
}

fn type_in_guest(host: &Machine, lines: &str) {
    assert!(!lines.contains('\''), "{lines}");
    host.type_in(&format!("ip netns exec machine bash -exc '{lines}'"));
}

/// What the guide has typed in the machine.
const ADDRESSES: &str = "ip addr add 2001:db8:1:2:d::5/112 dev enp1s0
ip addr add 2001:db8:1:2:d:1::5/112 dev enp1s0
ip route add default via 2001:db8:1:2:d::1";

/// The machine has checked its addresses.
fn has_its_addresses(host: &Machine) {
    eventually("the machine's addresses are valid", PATIENCE, || {
        let shown = host.ask("ip -n machine -6 address show dev enp1s0");
        (shown.contains(&format!("{SECOND}/")) && !shown.contains("tentative")).then_some(())
    });
}

/// lone64 answers, or does not, for both prefixes.
fn serves(host: &Machine, wanted: bool) {
    eventually("lone64 has followed the network", PATIENCE, || {
        let shown = host.ask("lone64 status");
        let is_served = |range: &str| shown.contains(&format!("range {range} on eth0: serving"));
        let both = [is_served("2001:db8:1:2:d::/112"), is_served("2001:db8:1:2:d:1::/112")];
        (both == [wanted; 2]).then_some(())
    });
}
