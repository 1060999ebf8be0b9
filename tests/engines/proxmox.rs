//! A host in Proxmox's manner: its network card is a port of a bridge, and guests are on another.
//!
//! Guests are network namespaces, behind interfaces with the names and MACs that Proxmox gives to those
//! of virtual machines.

use std::net::Ipv6Addr;

use crate::PATIENCE;
use crate::guide::Guide;
use crate::machine::Machine;
use crate::namespace::{Namespace, eventually};
use crate::plugged::{self, has_checked};
use crate::provider::Provider;
use crate::traffic::Traffic;

crate::cases![
    guests_on_the_providers_link_are_left_alone,
    a_machine_that_reboots_is_reachable_at_the_first_packet_after_its_dad,
    a_guest_whose_firewall_is_switched_on_moves_to_another_port_of_the_bridge,
    bridges_that_are_made_anew_are_served_again,
];

const GUEST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, 0x64);
const NEIGHBOR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 0x66);

fn guests_on_the_providers_link_are_left_alone() {
    let (provider, host, guest) = followed();
    let neighbor = start(&host, 102, "vmbr0");
    neighbor.ip(&format!("addr add {NEIGHBOR}/64 dev eth0\nroute add default via fe80::1 dev eth0"));
    has_checked(&neighbor, NEIGHBOR);
    provider.pings(NEIGHBOR);
    let entry = provider.router.show(&format!("neigh show {NEIGHBOR}"));
    assert!(entry.contains("bc:24:11:00:00:66"), "the router has it from itself: {entry}");
    // It takes the whole /64 for its link, so it asks for the other guest there, as the router does.
    neighbor.ping(&GUEST.to_string());
    guest.ping(&NEIGHBOR.to_string());
    let shown = host.type_in("lone64 status --json");
    assert!(shown.contains(&GUEST.to_string()), "{shown}");
    assert!(!shown.contains(&NEIGHBOR.to_string()), "{shown}");
    let why = host.ask(&format!("lone64 explain {NEIGHBOR}"));
    assert!(why.contains("nothing, if it is itself on the link of vmbr0"), "{why}");
    has_no_complaint(&host);
}

fn a_machine_that_reboots_is_reachable_at_the_first_packet_after_its_dad() {
    let (provider, host, guest) = followed();
    let pid = host.main_pid("lone64");
    let traffic = Traffic::start(&provider.router, GUEST);
    // Proxmox takes the interface away with the machine, and makes it anew.
    host.type_in("ip link delete tap100i0");
    drop(guest);
    let guest = start(&host, 100, "vmbr1");
    configure(&guest);
    provider.pings(GUEST);
    traffic.flows();
    println!("a reboot of the guest interrupted it for {:?}", traffic.longest_gap());
    assert_eq!(host.main_pid("lone64"), pid);
    has_no_complaint(&host);
}

fn a_guest_whose_firewall_is_switched_on_moves_to_another_port_of_the_bridge() {
    let (provider, host, _guest) = followed();
    let traffic = Traffic::start(&provider.router, GUEST);
    host.type_in(
        "ip link add fwbr100i0 type bridge
         ip link add fwpr100p0 type veth peer name fwln100i0
         ip link set fwbr100i0 up
         ip link set fwln100i0 master fwbr100i0 up
         ip link set fwpr100p0 master vmbr1 up
         ip link set tap100i0 master fwbr100i0",
    );
    traffic.flows();
    println!("a move to another port interrupted it for {:?}", traffic.longest_gap());
    provider.pings(GUEST);
    let shown = host.type_in("lone64 status");
    assert!(shown.contains("vmbr1: 1 guest"), "{shown}");
    has_no_complaint(&host);
}

fn bridges_that_are_made_anew_are_served_again() {
    let (provider, host, guest) = followed();
    let pid = host.main_pid("lone64");
    let traffic = Traffic::start(&provider.router, GUEST);
    host.type_in("systemctl restart networking");
    host.type_in("ip link delete tap100i0");
    drop(guest);
    let guest = start(&host, 100, "vmbr1");
    configure(&guest);
    traffic.flows();
    println!("a restart of networking, and of the guest, interrupted it for {:?}", traffic.longest_gap());
    assert_eq!(host.main_pid("lone64"), pid);
    // The guests' bridge goes, and they with it.
    host.type_in("ifdown vmbr1");
    eventually("nothing of the guest is left", PATIENCE, || {
        // Its status is 1, because the range has lost its interface.
        let shown = host.ask("lone64 status --json");
        (shown.contains("there is no interface vmbr1") && !shown.contains(&format!("\"{GUEST}\"")))
            .then_some(())
    });
}

/// The guide, with the guest `tap100i0` where it is first mentioned.
fn followed() -> (Provider, Machine, Namespace) {
    let provider = Provider::new();
    let host = Machine::boot("host", provider.plug(2));
    let start = || start(&host, 100, "vmbr1");
    let guest = plugged::follow(&Guide::read("proxmox"), &provider, &host, &start);
    (provider, host, guest)
}

/// A machine of this number starts on a bridge, and has no address yet.
fn start(host: &Machine, number: u8, bridge: &str) -> Namespace {
    plugged::start(host, &format!("tap{number}i0"), number, bridge)
}

/// What the guide types in the guest, and what a machine does by itself when it boots.
fn configure(guest: &Namespace) {
    guest.ip(&format!("addr add {GUEST}/112 dev eth0\nroute add default via 2001:db8:1:2:c::1"));
    has_checked(guest, GUEST);
}

/// Nothing that happened was worth a warning.
fn has_no_complaint(host: &Machine) {
    assert_eq!(host.warnings(), "", "lone64 complained");
}
