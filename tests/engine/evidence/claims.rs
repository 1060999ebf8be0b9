//! A station behind another downstream says that it has the address of a guest.

use lone64::engine::facts::LinkState;

use super::*;

fn other(state: LinkState) -> Vec<Fact> {
    let layer = LinkLayer::Ethernet(Mac([0x52, 0x54, 0, 0, 0, 0xee]));
    let other = lone64::engine::facts::Link { state, ..link(OTHER, "other0", layer) };
    vec![Fact::Link(other), has(OTHER, "fe80::ee/64")]
}

/// Guest 5 is live on the bridge, and may as well be behind another.
fn on_two_bridges() -> Host {
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].downstream =
            Downstream::Matching(["lxcbr0", "other0"].map(|name| name.parse().unwrap()).to_vec());
        policy.ranges[0].routes = lone64::engine::policy::RangeRoutes::Guests;
    }));
    host.facts(other(LinkState::Up));
    host.make_live(guest(5), guest_mac(5));
    host
}

/// Another says that it has the address, and is the only one there.
fn claimed() -> Host {
    let mut host = on_two_bridges();
    host.input(Input::Advertisement(OTHER, reply(guest(5), guest_mac(6))));
    host.take();
    host
}

fn place(host: &Host) -> Option<IfIndex> {
    match host.engine.target(guest(5)) {
        Some(State::Live(live)) => Some(live.link),
        _ => None,
    }
}

/// One that is silent anyway is asked twice as well, first the station and then all, before another has its place.
#[test]
fn a_claim_does_not_count_the_questions_that_came_before_it() {
    let mut host = on_two_bridges();
    // Two questions are unanswered, and a third is to come.
    host.input(Input::Facts(vec![neighbor(NeighborState::Failed, None)]));
    let mut asked = 0;
    while asked < 2 {
        host.pass(millis(100));
        asked += host.probes().len();
    }
    host.input(Input::Advertisement(OTHER, reply(guest(5), guest_mac(6))));
    let first: Vec<_> = host.probes().iter().map(|probe| probe.destination_mac).collect();
    assert_eq!(first, [guest_mac(5)], "its station");
    host.pass(millis(100));
    let probes = host.probes();
    assert!(matches!(probes[..], [probe] if !probe.destination_mac.is_station()), "{probes:?}");
    host.advertise(guest(5), guest_mac(5));
    host.pass(seconds(2));
    assert!(matches!(host.engine.target(guest(5)), Some(State::Live(live)) if live.link == BRIDGE));
}

#[test]
fn what_a_guest_says_unasked_refutes_no_claim() {
    let mut host = claimed();
    host.input(Input::Solicitation(
        BRIDGE,
        question_from(guest(5), guest_mac(5), address("fe80::5054:ff:fe00:b0")),
    ));
    host.pass(seconds(2));
    assert_eq!(place(&host), Some(OTHER), "anybody can say so, and it has not replied");
    let mut host = claimed();
    host.advertise(guest(5), guest_mac(5));
    host.pass(seconds(2));
    assert_eq!(place(&host), Some(BRIDGE), "a reply does");
}

#[test]
fn a_claim_ends_with_its_link_also_if_another_has_its_number() {
    let mut host = claimed();
    host.facts(vec![Fact::LinkGone(OTHER)]);
    host.facts(other(LinkState::Up));
    host.pass(seconds(3));
    assert_ne!(place(&host), Some(OTHER));
}

#[test]
fn a_guest_is_nowhere_when_both_links_have_gone() {
    use lone64::engine::facts::LinkState::NoCarrier;
    for is_first in [true, false] {
        let mut host = claimed();
        let mut both = [vec![crate::host::bridge(NoCarrier)], other(NoCarrier)];
        if !is_first {
            both.reverse();
        }
        host.facts(both.concat());
        assert_eq!(place(&host), None);
    }
}

#[test]
fn it_moves_at_once_where_its_own_link_goes() {
    let mut host = on_two_bridges();
    let since = |host: &Host| match host.engine.target(guest(5)) {
        Some(State::Live(live)) => Some(live.since),
        _ => None,
    };
    let before = since(&host);
    host.pass(seconds(10));
    host.input(Input::Advertisement(OTHER, reply(guest(5), guest_mac(6))));
    host.facts(vec![crate::host::bridge(LinkState::NoCarrier)]);
    assert_eq!(place(&host), Some(OTHER));
    assert_eq!(since(&host), before, "it has lived all the time");
}
