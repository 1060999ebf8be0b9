//! `proxy-downstream`: what is learned of the upstream's neighbors, and how much of it.

use std::net::Ipv6Addr;

use lone64::engine::facts::{
    AddressState, Fact, KernelRoute, Link, LinkLayer, LinkState, Neighbor, NeighborState, RouteKind,
};
use lone64::engine::policy::{Downstream, RangeRoutes};
use lone64::engine::{Event, Input, Output, Watch};
use lone64::wire::{DropReason, Mac, Solicitation, solicited_node};

use crate::host::{
    BRIDGE, Host, UP, UP_MAC, address, events, guest, guest_mac, has, host_address, link, millis, probes,
    question_from, range, reply, route, seconds,
};
use crate::proxy_downstream::{
    GATEWAY, advertised, answers_to, asked_by_guest, is_answered, other, proxying, two_downstreams,
};

pub const MAC: Mac = Mac([2, 0, 0, 0, 0, 0x77]);

/// Somebody on the upstream's link.
pub fn neighbor() -> Ipv6Addr {
    address("2001:db8:1:2::77")
}

/// It advertises itself on the upstream.
pub fn advertises(host: &mut Host, mac: Mac) {
    host.input(Input::Advertisement(UP, reply(neighbor(), mac)));
}

/// What was asked for on the upstream.
pub fn asked_upstream(outputs: &[Output]) -> Vec<Solicitation> {
    let on_upstream = outputs.iter().filter(|output| matches!(output, Output::Solicit(UP, _)));
    probes(&on_upstream.cloned().collect::<Vec<_>>())
}

/// The guest asks, and this is what is asked on the upstream at once.
pub fn questions_for(host: &mut Host, target: Ipv6Addr) -> Vec<Solicitation> {
    host.take();
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(target)));
    let outputs = host.take();
    assert!(!outputs.iter().any(|output| matches!(output, Output::Advertise(..))), "{outputs:?}");
    asked_upstream(&outputs)
}

#[test]
fn one_that_is_not_known_is_asked_for_on_the_upstream_and_answered_for_when_it_replies() {
    let mut host = Host::new(proxying());
    let group = solicited_node(neighbor());
    let expected = Solicitation {
        source_mac: UP_MAC,
        destination_mac: Mac::multicast(group),
        source: address("2001:db8:1:2::2"),
        destination: group,
        target: neighbor(),
        source_link_layer: Some(UP_MAC),
    };
    assert_eq!(questions_for(&mut host, neighbor()), [expected]);
    // Others ask meanwhile, and the first asks again.
    let second = question_from(guest(6), guest_mac(6), neighbor());
    host.input(Input::Solicitation(BRIDGE, second));
    assert_eq!(questions_for(&mut host, neighbor()), []);
    advertises(&mut host, MAC);
    let answered: Vec<_> = advertised(&mut host).iter().map(|answer| answer.destination).collect();
    assert_eq!(answered, [guest(5), guest(6)]);
    advertises(&mut host, MAC);
    assert_eq!(advertised(&mut host), [], "each has one answer");
    assert!(is_answered(&mut host, neighbor()), "and from now on it is known");
}

#[test]
fn one_that_is_not_there_is_asked_for_three_times_and_then_once_for_each_question() {
    let mut host = Host::new(proxying());
    assert_eq!(questions_for(&mut host, neighbor()).len(), 1);
    host.pass(seconds(4));
    assert_eq!(asked_upstream(&host.take()).len(), 2);
    assert_eq!(questions_for(&mut host, neighbor()).len(), 1);
    host.pass(seconds(2));
    assert_eq!(asked_upstream(&host.take()), []);
    // It comes up, and says so.
    advertises(&mut host, MAC);
    assert!(is_answered(&mut host, neighbor()));
    assert!(!host.is_live(neighbor()));
}

#[test]
fn nothing_is_kept_of_one_that_nobody_asks_for() {
    let mut host = Host::new(proxying());
    advertises(&mut host, MAC);
    assert_eq!(host.engine.known_neighbors(), 0);
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(neighbor())));
    advertises(&mut host, MAC);
    host.take();
    host.pass(seconds(59));
    assert_eq!(host.engine.known_neighbors(), 1);
    host.pass(seconds(2));
    assert_eq!(host.engine.known_neighbors(), 0);
    assert_eq!(asked_upstream(&host.take()), [], "no questions of our own accord");
}

#[test]
fn one_that_the_kernel_has_found_is_known() {
    for (state, is_known) in [
        (NeighborState::Reachable, true),
        (NeighborState::Permanent, true),
        (NeighborState::Stale, false),
        (NeighborState::Failed, false),
    ] {
        let mut host = Host::new(proxying());
        let entry = Neighbor { link: UP, address: neighbor(), mac: Some(MAC), state };
        host.facts(vec![Fact::Neighbor(entry)]);
        assert_eq!(is_answered(&mut host, neighbor()), is_known, "{state:?}");
        assert!(!host.is_live(neighbor()));
    }
}

#[test]
fn old_knowledge_is_confirmed_behind_the_answer_and_ends_when_it_is_not() {
    let mut host = Host::new(proxying());
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(neighbor())));
    advertises(&mut host, MAC);
    host.pass(seconds(31));
    host.take();
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(neighbor())));
    let outputs = host.take();
    assert!(outputs.iter().any(|output| matches!(output, Output::Advertise(BRIDGE, _))));
    let asked = asked_upstream(&outputs);
    assert_eq!((asked.len(), asked[0].destination_mac, asked[0].destination), (1, MAC, neighbor()));
    host.pass(seconds(4));
    let asked = asked_upstream(&host.take());
    assert!(asked.len() == 2 && asked[1].destination_mac.is_group(), "{asked:?}");
    assert!(!is_answered(&mut host, neighbor()));
}

#[test]
fn only_what_is_on_the_upstreams_link_is_asked_for_there() {
    let mut host = Host::new(proxying());
    for elsewhere in ["2001:db8:1:3::77", "2001:db8:99::1", "fe80::77", "2001:db8:1:2:c::77"] {
        assert_eq!(questions_for(&mut host, address(elsewhere)), [], "{elsewhere}");
    }
    host.facts(vec![Fact::Link(Link {
        state: LinkState::Down,
        ..link(UP, "up0", LinkLayer::Ethernet(UP_MAC))
    })]);
    assert_eq!(questions_for(&mut host, neighbor()), [], "nor while it is down");
}

#[test]
fn an_address_that_the_host_takes_is_nobody_elses() {
    let mut host = Host::new(proxying());
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(neighbor())));
    advertises(&mut host, MAC);
    host.facts(vec![has(BRIDGE, "2001:db8:1:2::77/64")]);
    assert_eq!(host.engine.known_neighbors(), 0);
    assert!(!is_answered(&mut host, neighbor()), "the kernel answers on that link");
}

#[test]
fn neighbors_are_forgotten_with_their_link() {
    let mut host = Host::new(proxying());
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(neighbor())));
    advertises(&mut host, MAC);
    host.facts(vec![Fact::LinkGone(UP)]);
    assert_eq!(host.engine.known_neighbors(), 0);
}

#[test]
fn where_all_of_the_link_answers_the_longest_known_make_room() {
    let mut policy = proxying();
    policy.limits.pending = 8;
    let mut host = Host::new(policy);
    let address = |number: u16| Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0x99, number);
    for number in 0..40 {
        host.input(Input::Solicitation(BRIDGE, asked_by_guest(address(number))));
        host.input(Input::Advertisement(UP, reply(address(number), MAC)));
        assert_eq!(advertised(&mut host).len(), 1, "{number}");
        assert!(host.engine.known_neighbors() <= 8);
        host.pass(millis(100));
    }
    assert!(is_answered(&mut host, address(39)) && !is_answered(&mut host, address(0)));
}

#[test]
fn as_many_wait_for_one_as_for_a_target() {
    let mut host = Host::new(proxying());
    host.input(Input::Watch(Watch::Questions));
    for number in 0..20 {
        let asker = question_from(guest(number), guest_mac(number), neighbor());
        host.input(Input::Solicitation(BRIDGE, asker));
    }
    let outputs = host.take();
    let full = |event: &Event| matches!(event, Event::Dropped(_, BRIDGE, DropReason::AskersFull));
    assert_eq!(events(&outputs).iter().filter(|event| full(event)).count(), 12);
    advertises(&mut host, MAC);
    assert_eq!(advertised(&mut host).len(), 8);
}

#[test]
fn those_who_watch_see_the_questions_of_guests_and_what_became_of_them() {
    let mut host = Host::new(proxying());
    host.input(Input::Watch(Watch::Questions));
    answers_to(&mut host, asked_by_guest(GATEWAY));
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(GATEWAY)));
    let told = host.events();
    assert!(
        told.iter().any(|event| matches!(event, Event::Solicited(GATEWAY, asker) if asker.link == BRIDGE))
    );
    assert!(told.iter().any(|event| matches!(event, Event::Answered(GATEWAY, _))));
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(neighbor())));
    host.pass(seconds(4));
    let dropped = Event::Dropped(Some(neighbor()), BRIDGE, DropReason::Absent);
    assert!(host.events().contains(&dropped));
}

/// As among guests: the neighbor is asked once, and its silence counts, however often the guest says it.
#[test]
fn an_address_that_a_guest_claims_again_and_again_is_its_own_when_the_neighbor_is_silent() {
    let mut host = Host::new(proxying());
    let entry = Neighbor { link: UP, address: guest(9), mac: Some(MAC), state: NeighborState::Reachable };
    host.facts(vec![Fact::Neighbor(entry)]);
    host.take();
    host.input(Input::Advertisement(BRIDGE, reply(guest(9), guest_mac(9))));
    assert!(!host.is_live(guest(9)), "the neighbor is asked first");
    for _ in 0..50 {
        host.input(Input::Advertisement(BRIDGE, reply(guest(9), guest_mac(9))));
        host.pass(millis(100));
    }
    assert!(host.is_live(guest(9)));
}

#[test]
fn a_neighbor_that_is_known_is_not_looked_for_among_guests() {
    let mut host = two_downstreams();
    let mut policy = host.engine.written().clone();
    // Of its /112 no route says that it is not on the upstream's link.
    policy.ranges[1].downstream = Downstream::Matching(vec!["*r0".parse().unwrap()]);
    policy.ranges[1].routes = RangeRoutes::Guests;
    policy.ranges[1].backstop = false;
    host.input(Input::Reload(Box::new(policy)));
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(other(6))));
    host.input(Input::Advertisement(UP, reply(other(6), MAC)));
    host.pass(seconds(10));
    assert!(is_answered(&mut host, other(6)));
    host.take();
    host.input(Input::Solicitation(BRIDGE, asked_by_guest(other(6))));
    host.pass(seconds(3));
    assert!(!probes(&host.take()).iter().any(|probe| probe.target == other(6)));
}

/// A question that nobody could send does not put off the next one.
#[test]
fn where_the_upstream_cannot_ask_yet_the_first_question_after_that_is_asked_at_once() {
    let tentative = ["fe80::5054:ff:fe00:1/64", "2001:db8:1:2::2/64"]
        .map(|text| Fact::Address(host_address(UP, text, AddressState::Tentative)));
    let to_link = route("2001:db8:1:2::/64", RouteKind::Unicast(UP));
    let connected = Fact::Route(KernelRoute { protocol: 2, metric: 256, ..to_link });
    let off = |state| Fact::Link(Link { state, ..link(UP, "up0", LinkLayer::Ethernet(UP_MAC)) });
    let addresses = ["fe80::5054:ff:fe00:1/64", "2001:db8:1:2::2/64"].map(|text| has(UP, text));
    for (before, after) in [
        ([&tentative[..], &[connected]].concat(), addresses.to_vec()),
        (vec![off(LinkState::NoCarrier)], vec![off(LinkState::Up)]),
    ] {
        let mut host = Host::new(proxying());
        host.facts(before);
        assert_eq!(questions_for(&mut host, neighbor()), []);
        host.facts(after);
        assert_eq!(questions_for(&mut host, neighbor()).len(), 1);
    }
}

/// What was on its way when the link went down is heard after that.
#[test]
fn one_that_a_guest_claimed_is_no_guest_where_the_guests_link_is_down() {
    for is_down_before in [true, false] {
        let mut host = Host::new(proxying());
        let entry = Neighbor { link: UP, address: guest(9), mac: Some(MAC), state: NeighborState::Reachable };
        host.facts(vec![Fact::Neighbor(entry)]);
        if is_down_before {
            host.facts(vec![crate::host::bridge(LinkState::Down)]);
        }
        host.input(Input::Advertisement(BRIDGE, reply(guest(9), guest_mac(9))));
        if !is_down_before {
            host.facts(vec![crate::host::bridge(LinkState::Down)]);
        }
        host.pass(seconds(5));
        assert!(!host.events().iter().any(|event| matches!(event, Event::Live(..))), "{is_down_before}");
    }
}

#[test]
fn a_station_that_has_an_address_of_the_host_is_no_neighbor() {
    let mut host = Host::new(proxying());
    let entry = |address| {
        let (mac, state) = (Some(MAC), NeighborState::Reachable);
        Fact::Neighbor(Neighbor { link: UP, address, mac, state })
    };
    host.facts(vec![entry(address("2001:db8:1:2::2"))]);
    assert_eq!(host.engine.known_neighbors(), 0);
    host.facts(vec![entry(neighbor())]);
    assert_eq!(host.engine.known_neighbors(), 1);
}

#[test]
fn a_network_that_was_known_before_a_reload_is_asked_no_more_once_its_route_is_gone() {
    let mut both = proxying();
    both.ranges.push(range("2001:db8:7::/112", "lxcbr0"));
    let mut host = Host::new(both);
    let on_link = KernelRoute { protocol: 2, ..route("2001:db8:7::/48", RouteKind::Unicast(UP)) };
    host.facts(vec![Fact::Route(on_link.clone())]);
    host.input(Input::Reload(Box::new(proxying())));
    assert_eq!(questions_for(&mut host, address("2001:db8:7::9:1")).len(), 1);
    host.facts(vec![Fact::RouteGone(on_link)]);
    assert_eq!(questions_for(&mut host, address("2001:db8:7::9:2")), []);
}
