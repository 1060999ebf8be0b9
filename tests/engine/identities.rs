//! Guests with an identity: the administrator says that they are there. What is claimed is in `claimed`, what is routed
//! to them in `delegated`.

mod claimed;
mod covered;
mod delegated;
mod pinned;
mod rewritten;

use std::net::Ipv6Addr;
use std::sync::Arc;

use lone64::engine::facts::{AddressState, Fact, IfIndex, LinkLayer, LinkState, RouteKind};
use lone64::engine::guests::Missing;
use lone64::engine::policy::{
    Announce, Downstream, GuestAddresses, GuestPolicy, Origin, Policy, RangePolicy, RangeRoutes,
};
use lone64::engine::{Event, Evidence, Input, Loss, State};
use lone64::wire::Mac;

use crate::host::{
    BRIDGE, Host, UP, address, bridge, dad, events, guest, guest_mac, has, link, millis, net, question,
    range, route, seconds, usual_facts, with,
};

const TAP: IfIndex = IfIndex(7);

/// A guest of this number, on the usual downstream.
fn identity(number: u16) -> GuestPolicy {
    GuestPolicy {
        name: format!("web{number}"),
        mac: Some(guest_mac(number)),
        interface: "lxcbr0".parse().ok(),
        addresses: GuestAddresses::Listed(vec![guest(number)]),
        delegate: Vec::new(),
        pin: false,
        guard: None,
    }
}

/// The usual range, with a route for each guest, and these guests.
fn policy(guests: Vec<GuestPolicy>) -> Policy {
    with(|policy| {
        policy.ranges[0].routes = RangeRoutes::Guests;
        policy.guests = guests.into_iter().map(Arc::new).collect();
    })
}

/// The same on a pattern of interfaces, with another interface that it means.
fn on_two_links(guests: Vec<GuestPolicy>) -> Host {
    let mut policy = policy(guests);
    let patterns = ["lxcbr0", "tap*"].map(|name| name.parse().unwrap());
    policy.ranges[0].downstream = Downstream::Matching(patterns.to_vec());
    let mut host = Host::new(policy);
    host.facts(vec![tap(LinkState::Up), has(TAP, "fe80::7/64")]);
    host.take();
    host
}

fn tap(state: LinkState) -> Fact {
    let tap = link(TAP, "tap7", LinkLayer::Ethernet(Mac([0x52, 0x54, 0, 0, 0, 7])));
    Fact::Link(lone64::engine::facts::Link { state, ..tap })
}

fn has_route(host: &Host, target: Ipv6Addr, link: IfIndex) -> bool {
    host.kernel.contains(&route(&format!("{target}/128"), RouteKind::Unicast(link)))
}

fn place(host: &Host, target: Ipv6Addr) -> Option<IfIndex> {
    match host.engine.target(target) {
        Some(State::Live(live)) => Some(live.link),
        _ => None,
    }
}

fn missing(host: &Host, name: &str) -> Option<Missing> {
    host.engine.identified().iter().find(|seen| seen.policy.name == name)?.missing.cloned()
}

#[test]
fn one_is_answered_for_and_routed_although_it_has_never_said_anything() {
    let mut host = Host::new(policy(vec![identity(5)]));
    assert!(has_route(&host, guest(5), BRIDGE));
    assert!(host.answers_for(guest(5)));
    assert!(!host.answers_for(guest(6)));
}

#[test]
fn one_is_told_as_live_by_the_configuration() {
    let mut host = Host::bare(policy(vec![identity(5)]));
    host.facts(usual_facts());
    host.input(Input::Synced);
    let live = Event::Live(guest(5), BRIDGE, Some(guest_mac(5)), Evidence::Guest);
    assert!(host.events().contains(&live));
    assert_eq!(host.engine.identified().count(), (1, 1, 0));
}

#[test]
fn silence_ends_none_and_others_end_by_it() {
    let mut host = Host::new(policy(vec![identity(5)]));
    host.make_live(guest(6), guest_mac(6));
    host.pass(seconds(600));
    assert!(host.is_live(guest(5)) && !host.is_live(guest(6)));
    assert!(has_route(&host, guest(5), BRIDGE) && host.answers_for(guest(5)));
}

#[test]
fn one_is_there_while_its_interface_is_up() {
    let mut host = Host::new(policy(vec![identity(5)]));
    host.facts(vec![bridge(LinkState::NoCarrier)]);
    let gone = Event::Gone(guest(5), BRIDGE, Loss::Downstream);
    assert!(host.events().contains(&gone));
    assert!(!host.answers_for(guest(5)) && !has_route(&host, guest(5), BRIDGE));
    assert_eq!(missing(&host, "web5"), Some(Missing::Up("lxcbr0".parse().unwrap())));
    host.facts(vec![bridge(LinkState::Up)]);
    assert!(has_route(&host, guest(5), BRIDGE) && host.answers_for(guest(5)));
    // Also where both come in one burst.
    host.facts(vec![bridge(LinkState::Down), bridge(LinkState::Up)]);
    assert!(has_route(&host, guest(5), BRIDGE) && host.answers_for(guest(5)));
}

#[test]
fn the_link_is_asked_before_one_is_announced_and_an_owner_there_wins() {
    let announcing = |policy: &mut Policy| policy.upstreams[0].announce = Announce::Yes;
    let mut both = policy(vec![identity(5)]);
    announcing(&mut both);
    let mut host = Host::new(both.clone());
    let announced = |host: &mut Host| {
        host.answers().into_iter().filter(|said| said.target == guest(5) && said.flags.override_entry).count()
    };
    host.pass(millis(900));
    assert_eq!(announced(&mut host), 0);
    host.pass(seconds(2));
    assert!(announced(&mut host) > 0);
    let mut host = Host::new(both);
    host.pass(millis(500));
    let owner = lone64::wire::Advertisement {
        source_mac: Mac([2, 9, 9, 9, 9, 9]),
        ..crate::host::reply(guest(5), Mac([2, 9, 9, 9, 9, 9]))
    };
    host.input(Input::Advertisement(UP, owner));
    host.take();
    host.pass(seconds(3));
    assert_eq!(announced(&mut host), 0);
    assert!(!host.answers_for(guest(5)), "a station of the upstream has it");
}

#[test]
fn a_strangers_check_of_its_address_is_refused_without_asking_it() {
    let mut host = Host::new(policy(vec![identity(5)]));
    host.answers_for(guest(5));
    host.pass(seconds(30));
    let refused = host.answer_to(dad(Mac([2, 9, 9, 9, 9, 9]), guest(5)));
    assert!(refused.is_some_and(|answer| !answer.flags.solicited));
}

#[test]
fn what_is_heard_of_it_elsewhere_does_not_move_one_whose_interface_is_written() {
    let mut host = on_two_links(vec![identity(5)]);
    host.input(Input::Advertisement(TAP, crate::host::reply(guest(5), guest_mac(0x99))));
    host.pass(seconds(5));
    assert_eq!(place(&host, guest(5)), Some(BRIDGE));
    assert!(has_route(&host, guest(5), BRIDGE));
}

#[test]
fn one_without_an_interface_is_where_its_mac_is_heard_and_moves_with_it() {
    let unplaced = GuestPolicy { interface: None, ..identity(5) };
    let mut host = on_two_links(vec![unplaced]);
    assert_eq!(missing(&host, "web5"), Some(Missing::Station(guest_mac(5))));
    // Whatever it says: here it asks for its gateway from its link-local address.
    host.input(Input::Solicitation(
        TAP,
        crate::host::question_from(address("fe80::55"), guest_mac(5), address("fe80::1")),
    ));
    assert_eq!((place(&host, guest(5)), missing(&host, "web5")), (Some(TAP), None));
    assert!(host.answers_for(guest(5)));
    // The one that is there is asked, and is silent.
    host.input(Input::Advertisement(BRIDGE, crate::host::reply(guest(5), guest_mac(5))));
    host.pass(seconds(2));
    assert_eq!(place(&host, guest(5)), Some(BRIDGE));
    host.pass(seconds(300));
    assert_eq!(place(&host, guest(5)), Some(BRIDGE), "it is the administrator's word there, too");
    // Its old place is gone.
    host.facts(vec![bridge(LinkState::Down)]);
    assert_eq!(place(&host, guest(5)), None);
    host.input(Input::Solicitation(
        TAP,
        crate::host::question_from(address("fe80::55"), guest_mac(5), address("fe80::1")),
    ));
    assert_eq!(place(&host, guest(5)), Some(TAP));
}

fn by_mac(number: u16) -> GuestPolicy {
    GuestPolicy { addresses: GuestAddresses::Eui64, ..identity(number) }
}

fn computed(prefix: &str, number: u16) -> Ipv6Addr {
    lone64::engine::policy::eui64(net(prefix), guest_mac(number)).unwrap()
}

#[test]
fn an_address_by_mac_follows_a_prefix_that_changes() {
    let mut written = policy(vec![by_mac(5)]);
    written.ranges.clear();
    written.suffixes =
        vec![RangePolicy { origin: Origin::Suffix, routes: RangeRoutes::Guests, ..range("::/64", "lxcbr0") }];
    let mut host = Host::new(written);
    let (old, new) = (computed("2001:db8:1:2::/64", 5), computed("2001:db8:9:9::/64", 5));
    assert!(has_route(&host, old, BRIDGE) && host.answers_for(old));
    host.facts(vec![has(UP, "2001:db8:9:9::2/64")]);
    assert!(has_route(&host, new, BRIDGE) && host.answers_for(new), "at once");
    assert!(host.answers_for(old), "and the old one until its prefix is gone");
    let old_one = crate::host::host_address(UP, "2001:db8:1:2::2/64", AddressState::Deprecated);
    host.facts(vec![Fact::Address(old_one)]);
    host.facts(vec![Fact::AddressGone { link: UP, address: address("2001:db8:1:2::2") }]);
    assert!(!host.answers_for(old) && !has_route(&host, old, BRIDGE));
    assert!(host.answers_for(new));
}

#[test]
fn an_address_by_mac_is_in_a_64_only() {
    let host = Host::new(policy(vec![by_mac(5)]));
    assert_eq!(missing(&host, "web5"), Some(Missing::Slash64("lxcbr0".parse().unwrap())));
}

#[test]
fn a_reload_changes_one_guest_and_leaves_the_others() {
    let mut host = Host::new(policy(vec![identity(5), identity(6)]));
    host.take();
    let other = GuestPolicy { addresses: GuestAddresses::Listed(vec![guest(7)]), ..identity(6) };
    host.input(Input::Reload(Box::new(policy(vec![identity(5), other]))));
    let told = events(&host.take());
    assert!(!told.iter().any(|event| matches!(event, Event::Gone(target, ..) if *target == guest(5))));
    assert!(has_route(&host, guest(5), BRIDGE) && has_route(&host, guest(7), BRIDGE));
    // As any other, it is asked whether it is there, and is not.
    host.pass(seconds(2));
    assert!(!host.is_live(guest(6)) && !has_route(&host, guest(6), BRIDGE));
    host.input(Input::Reload(Box::new(policy(Vec::new()))));
    host.pass(seconds(2));
    assert_eq!((host.engine.census().live, host.engine.identified().count()), (0, (0, 0, 0)));
}

#[test]
fn one_whose_address_the_host_has_is_none_until_the_host_has_it_no_more() {
    let mut host = Host::new(policy(vec![identity(5)]));
    host.facts(vec![has(BRIDGE, &format!("{}/128", guest(5)))]);
    assert!(!host.is_live(guest(5)));
    assert!(matches!(missing(&host, "web5"), Some(Missing::Covers(..))));
    host.facts(vec![Fact::AddressGone { link: BRIDGE, address: guest(5) }]);
    assert!(host.is_live(guest(5)) && has_route(&host, guest(5), BRIDGE));
}

#[test]
fn five_thousand_are_there_at_the_start_and_one_reload_changes_one() {
    let all = |last: u16| -> Vec<GuestPolicy> {
        let guest = |number: u16| GuestPolicy {
            addresses: GuestAddresses::Listed(vec![guest(if number == 1 { last } else { number })]),
            ..identity(number)
        };
        (1..=5_000).map(guest).collect()
    };
    let mut host = Host::new(policy(all(1)));
    assert_eq!((host.engine.census().live, host.engine.identified().count()), (5_000, (5_000, 5_000, 0)));
    assert_eq!(host.kernel.iter().filter(|route| route.destination.prefix_len() == 128).count(), 5_000);
    host.take();
    host.input(Input::Reload(Box::new(policy(all(6_000)))));
    let told = events(&host.take());
    let others = told.iter().filter(|event| matches!(event, Event::Gone(..))).count();
    assert_eq!(others, 0, "{told:?}");
    assert!(has_route(&host, guest(6_000), BRIDGE) && host.answers_for(guest(4_999)));
    assert!(host.answer_to(question(guest(6_000))).is_some());
}

/// The address that a MAC computes to is in the ranges of its own link.
#[test]
fn one_has_no_address_in_a_range_of_another_link_or_length() {
    let own = GuestPolicy { addresses: GuestAddresses::Eui64, ..identity(5) };
    let mut policy = policy(vec![own]);
    policy.ranges = vec![
        range("2001:db8:1:3::/64", "lxcbr0"),
        range("2001:db8:1:4::/64", "tap7"),
        range("2001:db8:1:5::/63", "lxcbr0"),
    ];
    let mut host = Host::new(policy);
    host.facts(vec![tap(LinkState::Up), has(TAP, "fe80::7/64")]);
    let known = host.engine.identified().iter().next().expect("one is known");
    assert_eq!((known.addresses.len(), known.missing), (1, None));
    assert!(net("2001:db8:1:3::/64").contains(&known.addresses[0]));
}

/// Nothing ends it, so each that wants its address is told after it was asked.
#[test]
fn one_that_is_silent_is_asked_each_time_that_somebody_checks_its_address() {
    let mut host = Host::new(policy(vec![identity(5)]));
    host.pass(seconds(60));
    for _ in 0..3 {
        host.take();
        host.input(Input::Solicitation(UP, dad(Mac([2, 9, 9, 9, 9, 9]), guest(5))));
        host.pass(seconds(10));
        let asked = crate::host::probes(&host.take()).into_iter().filter(|probe| probe.target == guest(5));
        assert!(asked.count() > 0);
        assert!(host.is_live(guest(5)));
    }
}
