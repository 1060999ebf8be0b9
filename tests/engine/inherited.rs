//! Routes that a predecessor left: its guests are answered for at once, where they still can be guests.

use lone64::engine::facts::{Fact, IfIndex, LinkLayer, LinkState, RouteKind};
use lone64::engine::policy::{Policy, RangeRoutes};
use lone64::engine::{Input, State};

use crate::host::{
    BRIDGE, BRIDGE_MAC, Host, bridge, guest, has, link, live, range, route, usual_facts, with,
};

const OTHER: IfIndex = IfIndex(9);

fn by_guest() -> Policy {
    with(|policy| policy.ranges[0].routes = RangeRoutes::Guests)
}

/// A start on a host where the predecessor's route to guest 5 leads to this link.
fn started(policy: Policy, to: IfIndex, further: Vec<Fact>) -> Host {
    let mut host = Host::bare(policy);
    let left = route("2001:db8:1:2:c::5/128", RouteKind::Unicast(to));
    host.kernel.insert(left.clone());
    host.facts(usual_facts());
    let other = link(OTHER, "br1", LinkLayer::Ethernet(BRIDGE_MAC));
    host.facts(vec![Fact::Link(other), has(OTHER, "fe80::b1/64"), Fact::Route(left)]);
    host.facts(further);
    host.input(Input::Synced);
    host
}

fn is_live(host: &Host) -> bool {
    matches!(host.engine.target(guest(5)), Some(State::Live(_)))
}

#[test]
fn make_a_guest_live_where_the_range_has_it_there_and_nowhere_else() {
    assert!(is_live(&started(by_guest(), BRIDGE, Vec::new())));
    assert!(!is_live(&started(live(), BRIDGE, Vec::new())), "guests have no routes of their own any more");
    assert!(!is_live(&started(by_guest(), OTHER, Vec::new())), "the range is not behind that interface");
    let down = vec![bridge(LinkState::NoCarrier)];
    assert!(!is_live(&started(by_guest(), BRIDGE, down)), "nobody is there");
    let mut elsewhere = by_guest();
    elsewhere.ranges[0] = range("2001:db8:1:2:d::/112", "lxcbr0");
    assert!(!is_live(&started(elsewhere, BRIDGE, Vec::new())), "it is in no range");
}

#[test]
fn are_taken_away_where_nobody_is_to_have_one() {
    let host = started(live(), BRIDGE, Vec::new());
    assert!(host.kernel.iter().all(|route| route.destination.prefix_len() != 128), "{:?}", host.kernel);
    let host = started(by_guest(), OTHER, Vec::new());
    assert!(host.kernel.iter().all(|route| route.link() != Some(OTHER)), "{:?}", host.kernel);
}
