//! Prefixes that are routed to guests, through the address that was heard.

use std::net::Ipv6Addr;

use lone64::engine::facts::{Fact, IfIndex, KernelRoute, LinkLayer, LinkState, NextHop, RouteKind};
use lone64::engine::guests::{Claim, Missing, Object};
use lone64::engine::policy::{Downstream, GuestAddresses, GuestPolicy, Policy};
use lone64::engine::{Change, Claiming, Input, Output, RouteState};

use super::{has_route, identity, missing, on_two_links, place, policy};
use crate::host::{
    BRIDGE, Host, address, bridge, dad, guest, guest_mac, has, link, net, question_from, reply, route,
    seconds,
};

pub(super) const PREFIX: &str = "2001:db8:1:2:c::1000/116";

pub(super) fn with_prefix(number: u16, prefix: &str) -> GuestPolicy {
    GuestPolicy { delegate: vec![net(prefix)], ..identity(number) }
}

pub(super) fn via(prefix: &str, next_hop: &str) -> KernelRoute {
    let next_hop = NextHop::Via(address(next_hop));
    KernelRoute { next_hop, ..route(prefix, RouteKind::Unicast(BRIDGE)) }
}

/// The guest asks for its gateway from its link-local address.
pub(super) fn heard(host: &mut Host, from: &str, number: u16) {
    let asked = question_from(address(from), guest_mac(number), address("fe80::1"));
    host.input(Input::Solicitation(BRIDGE, asked));
}

fn host() -> Host {
    let mut host = Host::new(policy(vec![with_prefix(5, PREFIX)]));
    host.guests.insert(address("fe80::55"), guest_mac(5));
    host
}

#[test]
fn there_is_no_route_before_an_address_was_heard_from_the_guests_mac() {
    let mut host = host();
    assert!(!host.kernel.contains(&via(PREFIX, "fe80::55")));
    let name = "lxcbr0".parse().unwrap();
    assert_eq!(missing(&host, "web5"), Some(Missing::LinkLocal(guest_mac(5), name)));
    assert!(host.is_live(guest(5)), "its own address does not wait for that");
    heard(&mut host, "fe80::66", 6);
    assert!(!host.kernel.iter().any(|route| route.destination == net(PREFIX)), "another's MAC");
    heard(&mut host, "fe80::55", 5);
    assert!(host.kernel.contains(&via(PREFIX, "fe80::55")));
    assert_eq!(missing(&host, "web5"), None);
}

#[test]
fn every_address_of_it_is_answered_for() {
    let mut host = host();
    heard(&mut host, "fe80::55", 5);
    for number in [0x1000, 0x1001, 0x1fff] {
        assert!(host.answers_for(guest(number)), "{number:x}");
    }
    assert!(!host.answers_for(guest(0x2000)));
    let asked = crate::host::probes(&host.take());
    assert!(asked.iter().all(|probe| probe.target != guest(0x1001)), "nobody is asked for its addresses");
}

#[test]
fn it_is_learned_again_when_the_guest_has_another_address() {
    let mut host = host();
    heard(&mut host, "fe80::55", 5);
    host.answers_for(guest(0x1001));
    // It has another one besides, as guests have.
    host.guests.insert(address("fe80::56"), guest_mac(5));
    heard(&mut host, "fe80::56", 5);
    host.pass(seconds(2));
    assert!(host.kernel.contains(&via(PREFIX, "fe80::55")), "the one that leads there is still there");
    host.guests.remove(&address("fe80::55"));
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), address("fe80::56"))));
    host.pass(seconds(2));
    assert!(
        host.kernel.contains(&via(PREFIX, "fe80::56")) && !host.kernel.contains(&via(PREFIX, "fe80::55"))
    );
    assert!(host.answers_for(guest(0x1002)));
}

#[test]
fn it_goes_and_comes_with_the_guest() {
    let mut host = host();
    heard(&mut host, "fe80::55", 5);
    host.facts(vec![bridge(LinkState::Down)]);
    assert!(!host.kernel.iter().any(|route| route.destination == net(PREFIX)));
    assert!(!host.answers_for(guest(0x1001)));
    host.facts(vec![bridge(LinkState::Up), has(BRIDGE, "fe80::5054:ff:fe00:b0/64")]);
    assert!(host.kernel.contains(&via(PREFIX, "fe80::55")) && host.answers_for(guest(0x1001)));
    host.input(Input::Reload(Box::new(policy(vec![identity(5)]))));
    assert!(!host.kernel.iter().any(|route| route.destination == net(PREFIX)));
    assert!(!host.answers_for(guest(0x1001)));
}

#[test]
fn it_follows_another_protocol_number() {
    let mut host = host();
    heard(&mut host, "fe80::55", 5);
    let mut other = policy(vec![with_prefix(5, PREFIX)]);
    other.routes.protocol = 77;
    host.input(Input::Reload(Box::new(other)));
    assert!(host.kernel.contains(&KernelRoute { protocol: 77, ..via(PREFIX, "fe80::55") }));
    assert!(!host.kernel.contains(&via(PREFIX, "fe80::55")));
}

#[test]
fn what_covers_something_else_is_not_routed() {
    let mut host = on_two_links(vec![with_prefix(5, PREFIX), identity(6)]);
    host.guests.insert(address("fe80::55"), guest_mac(5));
    heard(&mut host, "fe80::55", 5);
    assert!(host.kernel.contains(&via(PREFIX, "fe80::55")));
    // The host itself gets an address there.
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1009/128")]);
    assert!(matches!(missing(&host, "web5"), Some(Missing::Covers(..))), "{:?}", missing(&host, "web5"));
    assert!(!host.kernel.contains(&via(PREFIX, "fe80::55")));
    host.facts(vec![Fact::AddressGone { link: BRIDGE, address: address("2001:db8:1:2:c::1009") }]);
    assert!(host.kernel.contains(&via(PREFIX, "fe80::55")));
    // And a network of its own.
    let connected = KernelRoute {
        protocol: 2,
        metric: 256,
        ..route("2001:db8:1:2:c::1800/117", RouteKind::Unicast(super::TAP))
    };
    host.facts(vec![Fact::Route(connected.clone())]);
    assert!(!host.kernel.contains(&via(PREFIX, "fe80::55")));
    host.facts(vec![Fact::RouteGone(connected)]);
    assert!(host.kernel.contains(&via(PREFIX, "fe80::55")));
}

fn claim(prefix: &str, via: &str) -> Claim {
    let via = Some(address(via));
    Claim { object: Object::Prefix(net(prefix)), interface: None, mac: None, via, until: None }
}

#[test]
fn a_prefix_is_claimed_through_an_address_and_released() {
    let mut host = Host::new(policy(Vec::new()));
    host.guests.insert(address("fe80::77"), guest_mac(7));
    let claimed = claim(PREFIX, "fe80::77");
    assert_eq!(host.engine.may_claim(&claimed), Ok(()));
    host.input(Input::Claiming(Claiming::Claim(claimed.clone())));
    assert!(host.kernel.contains(&via(PREFIX, "fe80::77")));
    assert!(host.answers_for(guest(0x1001)) && host.answers_for(guest(0x1ffe)));
    host.input(Input::Claiming(Claiming::Release(claimed.object)));
    assert!(!host.kernel.iter().any(|route| route.destination == net(PREFIX)));
    assert!(!host.answers_for(guest(0x1001)));
}

#[test]
fn prefixes_of_two_guests_do_not_overlap() {
    let mut host = host();
    heard(&mut host, "fe80::55", 5);
    for prefix in [PREFIX, "2001:db8:1:2:c::1800/117", "2001:db8:1:2:c::/114"] {
        let claimed = claim(prefix, "fe80::77");
        assert!(matches!(host.engine.may_claim(&claimed), Err(Missing::Covers(..))), "{prefix}");
    }
    assert_eq!(host.engine.may_claim(&claim("2001:db8:1:2:c::2000/116", "fe80::77")), Ok(()));
}

const MANY: u16 = 200;

#[test]
fn hundreds_have_a_prefix_each() {
    let guests = (0..MANY).map(|number| {
        let prefix = format!("2001:db8:1:2:c:0:{:x}:0/112", number + 1);
        GuestPolicy {
            addresses: lone64::engine::policy::GuestAddresses::Listed(Vec::new()),
            ..with_prefix(number + 1, &prefix)
        }
    });
    let mut wide = policy(guests.collect());
    wide.ranges[0].prefix = net("2001:db8:1:2:c::/80");
    let mut host = Host::new(wide);
    for number in 1..=MANY {
        let from = format!("fe80::1:{number:x}");
        host.guests.insert(address(&from), guest_mac(number));
        heard(&mut host, &from, number);
    }
    let inside = |number: u16| address(&format!("2001:db8:1:2:c:0:{number:x}:9"));
    for number in [1, MANY / 2, MANY] {
        assert!(host.answers_for(inside(number)), "{number}");
    }
    assert!(!host.answers_for(inside(MANY + 1)));
    assert_eq!(place(&host, inside(1)), None, "no guest on a link");
    assert!(!has_route(&host, inside(1), BRIDGE));
    host.input(Input::Advertisement(BRIDGE, reply(address("fe80::1:1"), guest_mac(1))));
}

/// A claim may name the station alone, where its link-local address was heard.
#[test]
fn a_prefix_that_is_claimed_for_a_mac_leads_through_what_was_heard_of_it_on_that_link() {
    let claim = |mac| Claim {
        object: Object::Prefix(net("2001:db8:1:2:c::2000/116")),
        interface: "lxcbr0".parse().ok(),
        mac: Some(mac),
        via: None,
        until: None,
    };
    let mut host = host();
    host.input(Input::Claiming(Claiming::Claim(claim(guest_mac(5)))));
    assert!(!host.kernel.contains(&via("2001:db8:1:2:c::2000/116", "fe80::55")), "nothing was heard");
    host.input(Input::Claiming(Claiming::Release(claim(guest_mac(5)).object)));
    heard(&mut host, "fe80::55", 5);
    host.input(Input::Claiming(Claiming::Claim(claim(guest_mac(5)))));
    assert!(host.kernel.contains(&via("2001:db8:1:2:c::2000/116", "fe80::55")));
    // What was heard on one link says nothing on another.
    let guest = GuestPolicy { interface: None, ..with_prefix(5, PREFIX) };
    let mut host = on_two_links(vec![guest]);
    heard(&mut host, "fe80::55", 5);
    let elsewhere = Claim { interface: "tap7".parse().ok(), ..claim(guest_mac(5)) };
    host.input(Input::Claiming(Claiming::Claim(elsewhere)));
    assert!(!host.kernel.iter().any(|route| route.destination == net("2001:db8:1:2:c::2000/116")));
}

/// Nobody is a next hop where there is no Neighbor Discovery.
#[test]
fn on_a_tunnel_a_claimed_prefix_needs_no_next_hop() {
    use lone64::engine::facts::{IfIndex, LinkLayer};
    let mut wanted = policy(Vec::new());
    wanted.ranges[0].downstream = lone64::engine::policy::Downstream::Named("wg0".parse().unwrap());
    let mut host = Host::new(wanted);
    host.facts(vec![Fact::Link(crate::host::link(IfIndex(8), "wg0", LinkLayer::None))]);
    let claim = Claim {
        object: Object::Prefix(net("2001:db8:1:2:c::2000/116")),
        interface: "wg0".parse().ok(),
        mac: None,
        via: None,
        until: None,
    };
    assert_eq!(host.engine.may_claim(&claim), Ok(()));
    host.input(Input::Claiming(Claiming::Claim(claim)));
    assert!(host.kernel.contains(&route("2001:db8:1:2:c::2000/116", RouteKind::Unicast(IfIndex(8)))));
}

#[test]
fn one_that_is_not_known_to_be_there_is_replaced_at_once_by_another_of_the_same_guest() {
    let mut host = Host::new(policy(vec![with_prefix(5, PREFIX)]));
    heard(&mut host, "fe80::55", 5);
    assert!(host.kernel.contains(&via(PREFIX, "fe80::55")));
    heard(&mut host, "fe80::56", 5);
    assert!(host.kernel.contains(&via(PREFIX, "fe80::56")), "of the other one nothing is known");
    // One that has replied is asked first.
    let mut host = self::host();
    heard(&mut host, "fe80::55", 5);
    host.answers_for(guest(0x1001));
    heard(&mut host, "fe80::56", 5);
    assert!(host.kernel.contains(&via(PREFIX, "fe80::55")));
}

#[test]
fn behind_a_tunnel_it_needs_no_next_hop() {
    let tunnel = IfIndex(9);
    let mut written = policy(vec![GuestPolicy {
        interface: "wg0".parse().ok(),
        addresses: GuestAddresses::Listed(Vec::new()),
        ..with_prefix(5, PREFIX)
    }]);
    written.ranges[0].downstream =
        Downstream::Matching(["lxcbr0", "wg0"].map(|n| n.parse().unwrap()).to_vec());
    let mut host = Host::new(written);
    host.facts(vec![Fact::Link(link(tunnel, "wg0", LinkLayer::None))]);
    assert_eq!(missing(&host, "web5"), None);
    assert!(
        host.kernel.contains(&route(PREFIX, RouteKind::Unicast(tunnel))) && host.answers_for(guest(0x1001))
    );
}

/// One address, in the kernel a route as a guest's own.
const ONE: &str = "2001:db8:1:2:c::5/128";
const TUNNEL: IfIndex = IfIndex(9);

/// A guest behind a tunnel, as it is at this moment.
fn behind_a_tunnel(addresses: Vec<Ipv6Addr>, delegate: &[&str]) -> Policy {
    let mut written = policy(vec![GuestPolicy {
        interface: "wg0".parse().ok(),
        mac: None,
        addresses: GuestAddresses::Listed(addresses),
        delegate: delegate.iter().map(|prefix| net(prefix)).collect(),
        ..identity(5)
    }]);
    written.ranges[0].downstream =
        Downstream::Matching(["lxcbr0", "wg0"].map(|n| n.parse().unwrap()).to_vec());
    written
}

/// What was done to routes to that address.
fn changes(host: &mut Host) -> Vec<Change> {
    let change = |output| match output {
        Output::ChangeRoute(change) => Some(change),
        _ => None,
    };
    let of = |change: &Change| match change {
        Change::Add(route) | Change::Remove(route) => route.destination,
    };
    host.take().into_iter().filter_map(change).filter(|change| of(change) == net(ONE)).collect()
}

#[track_caller]
fn is_kept_once(host: &Host, wanted: &KernelRoute) {
    let there: Vec<_> = host.kernel.iter().filter(|route| route.destination == net(ONE)).collect();
    assert_eq!(there, [wanted]);
    let known: Vec<_> = host.engine.routes().filter(|(route, _)| route.destination == net(ONE)).collect();
    assert_eq!(known, [(wanted.clone(), RouteState::Installed)]);
}

/// The address is the guest's own, or is routed to it: the same route, which another keeper has.
#[test]
fn a_prefix_of_one_address_takes_over_the_route_of_the_guest_and_gives_it_back() {
    let (own, routed) = (behind_a_tunnel(vec![guest(5)], &[]), behind_a_tunnel(Vec::new(), &[ONE]));
    let its_route = route(ONE, RouteKind::Unicast(TUNNEL));
    for first in [&own, &routed] {
        let mut host = Host::new(first.clone());
        host.facts(vec![Fact::Link(link(TUNNEL, "wg0", LinkLayer::None))]);
        assert_eq!(changes(&mut host), [Change::Add(its_route.clone())]);
        is_kept_once(&host, &its_route);
        for next in [&own, &routed, &own, &routed] {
            host.input(Input::Reload(Box::new(next.clone())));
            assert_eq!(changes(&mut host), [], "there is a way at every moment");
            is_kept_once(&host, &its_route);
            assert!(host.answers_for(guest(5)));
        }
        // The one that keeps the route puts it back, and takes it away at the end.
        for last in [&own, &routed] {
            host.input(Input::Reload(Box::new(last.clone())));
            host.kernel.remove(&its_route);
            host.facts(vec![Fact::RouteGone(its_route.clone())]);
            is_kept_once(&host, &its_route);
        }
        host.input(Input::Reload(Box::new(behind_a_tunnel(Vec::new(), &[]))));
        // Neither the word nor the prefix is left; what it was live by ends in its time.
        host.pass(seconds(700));
        assert!(!host.is_live(guest(5)) && !host.kernel.contains(&its_route));
        assert_eq!(host.engine.routes().filter(|(route, _)| route.destination == net(ONE)).count(), 0);
    }
}

/// A guest that was asked for goes on to be one after the prefix is gone.
#[test]
fn a_guest_that_was_live_before_its_address_was_routed_has_its_own_route_again() {
    let mut host = Host::new(policy(vec![identity(6)]));
    host.guests.insert(guest(5), guest_mac(5));
    host.guests.insert(address("fe80::55"), guest_mac(5));
    host.make_live(guest(5), guest_mac(5));
    let own = route(ONE, RouteKind::Unicast(BRIDGE));
    is_kept_once(&host, &own);
    let routed = GuestPolicy { addresses: GuestAddresses::Listed(Vec::new()), ..with_prefix(5, ONE) };
    heard(&mut host, "fe80::55", 5);
    host.input(Input::Reload(Box::new(policy(vec![routed, identity(6)]))));
    heard(&mut host, "fe80::55", 5);
    is_kept_once(&host, &via(ONE, "fe80::55"));
    host.input(Input::Reload(Box::new(policy(vec![identity(6)]))));
    assert!(!host.kernel.contains(&via(ONE, "fe80::55")));
    assert!(host.answers_for(guest(5)));
    is_kept_once(&host, &own);
}
