//! What is a guarded guest's own: what it claims, and a link-local address that is nobody else's.

use super::*;
use crate::host::has;

/// The addresses that no guest can have by being heard first, where that was said.
fn reserved(outputs: &[Output]) -> Option<Vec<Ipv6Addr>> {
    let said =
        transactions(outputs).into_iter().flatten().filter_map(|(key, guarding)| match (key, guarding) {
            (GuardKey::Reserved, Some(Guarding::Reserved(addresses))) => Some(addresses),
            _ => None,
        });
    said.last()
}

#[test]
fn the_hosts_the_routers_and_the_gateways_link_local_addresses_are_no_guests() {
    let mut wanted = policy(vec![identity(5)]);
    wanted.ranges[0].gateway = Some(address("fe80::77"));
    let mut host = Host::bare(wanted);
    host.facts(usual_facts());
    host.input(Input::Synced);
    let others = ["fe80::1", "fe80::77", "fe80::5054:ff:fe00:1", "fe80::5054:ff:fe00:b0"].map(address);
    let told = reserved(&host.take()).unwrap();
    assert!(others.iter().all(|other| told.contains(other)), "{told:?}");
    for other in others {
        host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), other)));
        assert_eq!(transactions(&host.take()), [] as [Vec<_>; 0], "{other}");
    }
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), address("fe80::1234"))));
    assert!(only(&host.take()).unwrap().addresses.contains(&address("fe80::1234")));
}

/// The bit that tells local from universal link-layer addresses is the other way round in an address (RFC 4291 §2.5.1).
#[test]
fn the_address_made_of_anothers_universal_mac_is_that_ones() {
    let universal = Mac([0, 0x16, 0x3e, 1, 2, 3]);
    let other = GuestPolicy { mac: Some(universal), guard: Some(false), ..identity(6) };
    let (mut host, _) = host(vec![identity(5), other]);
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), link_local(universal))));
    assert_eq!(transactions(&host.take()), [] as [Vec<_>; 0]);
    assert_eq!(link_local(universal), address("fe80::216:3eff:fe01:203"));
}

#[test]
fn what_is_heard_elsewhere_than_where_the_guest_is_is_not_its_own() {
    let (mut host, _) = host(vec![identity(5)]);
    let elsewhere = IfIndex(30);
    let layer = LinkLayer::Ethernet(guest_mac(0x70));
    host.facts(vec![Fact::Link(link(elsewhere, "br1", layer)), has(elsewhere, "fe80::70/64")]);
    host.take();
    host.input(Input::Solicitation(elsewhere, dad(guest_mac(5), address("fe80::1234"))));
    assert_eq!(transactions(&host.take()), [] as [Vec<_>; 0]);
}

#[test]
fn what_it_claims_is_not_dropped_where_it_is_heard_before_the_guard() {
    let tap = Fact::Link(Link {
        leads_to_one: true,
        ..link(IfIndex(25), "tap5", LinkLayer::Ethernet(guest_mac(0x75)))
    });
    let mut written = policy(vec![GuestPolicy { interface: "tap5".parse().ok(), ..identity(5) }]);
    written.ranges[0].downstream =
        lone64::engine::policy::Downstream::Matching(vec!["tap*".parse().unwrap()]);
    let mut host = Host::bare(written);
    host.facts(usual_facts());
    host.facts(vec![tap, has(IfIndex(25), "fe80::75/64")]);
    host.input(Input::Synced);
    claim(&mut host, guest(0x77), 5, "tap5");
    host.take();
    let mut is_heard = |target: Ipv6Addr| {
        host.input(Input::Advertisement(IfIndex(25), crate::host::reply(target, guest_mac(5))));
        host.input(Input::Solicitation(IfIndex(25), dad(guest_mac(5), target)));
        host.is_live(target)
    };
    assert!(is_heard(guest(0x77)) && is_heard(guest(5)));
    assert!(!is_heard(guest(9)));
}

#[test]
fn one_that_is_found_by_its_mac_is_found_by_what_it_claims() {
    let (mut host, _) = host(vec![GuestPolicy { interface: None, ..identity(5) }]);
    claim(&mut host, guest(0x77), 5, None);
    host.advertise(guest(9), guest_mac(5));
    assert!(!host.is_live(guest(5)), "that is not its own");
    host.advertise(guest(0x77), guest_mac(5));
    assert!(host.is_live(guest(5)));
}

/// Such an entry came through the guard, or another program wrote it.
#[test]
fn what_the_kernel_has_found_is_dropped_by_no_guard() {
    let (mut host, _) = host(vec![identity(5)]);
    host.advertise(guest(9), guest_mac(5));
    assert!(!host.is_live(guest(9)));
    let (mac, state) = (Some(guest_mac(5)), lone64::engine::facts::NeighborState::Reachable);
    let entry = lone64::engine::facts::Neighbor { link: BRIDGE, address: guest(9), mac, state };
    host.facts(vec![Fact::Neighbor(entry)]);
    assert!(host.is_live(guest(9)));
}

#[test]
fn on_an_interface_without_ethernet_there_is_no_guard_and_that_is_said() {
    let wireguard = IfIndex(31);
    let mut wanted = policy(vec![GuestPolicy { interface: "wg0".parse().ok(), ..identity(5) }]);
    wanted.ranges[0].downstream = lone64::engine::policy::Downstream::Matching(vec!["wg*".parse().unwrap()]);
    let mut host = Host::bare(wanted);
    host.facts(usual_facts());
    host.facts(vec![Fact::Link(link(wireguard, "wg0", LinkLayer::None))]);
    host.input(Input::Synced);
    assert!(transactions(&host.take()).concat().iter().all(|(key, _)| *key == GuardKey::Reserved));
    let said: Vec<_> = host.engine.problems().iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|problem| problem.contains("guest web5 is not guarded")), "{said:?}");
}

#[test]
fn the_last_guard_takes_along_what_was_kept_from_all_guests() {
    let (mut host, outputs) = host(vec![identity(5)]);
    assert!(reserved(&outputs).is_some());
    let unguarded = GuestPolicy { guard: Some(false), ..identity(5) };
    host.input(Input::Reload(Box::new(policy(vec![unguarded]))));
    let told = transactions(&host.take()).concat();
    assert!(told.contains(&(GuardKey::Reserved, None)), "{told:?}");
}
