//! Guests on the upstream's own bridge: answered for towards the router's port alone, and never against a guest.

mod sides;

use std::net::Ipv6Addr;
use std::time::Duration;

use lone64::engine::facts::{
    Fact, IfIndex, KernelRoute, Link, LinkLayer, LinkState, Neighbor, NeighborState, NextHop, RouteKind,
};
use lone64::engine::policy::{Announce, Answer, Policy, RangePolicy, RangeRoutes, UpstreamInterface};
use lone64::engine::{Event, Expected, Input, Output, Problem};
use lone64::wire::{Advertisement, DropReason, Mac, Solicitation};

use crate::host::{
    Host, ROUTER_MAC, UP, UP_MAC, address, advertisements, dad, default_route, guest, guest_mac, has, link,
    live, net, probes, question, question_from, range, reply, route, upstream,
};

const ETH: IfIndex = IfIndex(20);
const TAP: IfIndex = IfIndex(21);
const OTHER_TAP: IfIndex = IfIndex(22);
const STRANGER: Mac = Mac([2, 0, 0, 0, 0x5e, 1]);
const ROUTER: &str = "fe80::1";

fn policy(answer: Answer) -> Policy {
    let range = RangePolicy { answer, ..range("2001:db8:1:2:c::/112", "up0") };
    Policy { ranges: vec![range], ..live() }
}

fn is(bridge: bool) -> Link {
    Link { is_bridge: bridge, ..link(UP, "up0", LinkLayer::Ethernet(UP_MAC)) }
}

fn port(index: IfIndex, name: &str) -> Fact {
    let mac = LinkLayer::Ethernet(Mac([2, 0, 0, 0, 0x70, index.0 as u8]));
    Fact::Link(Link { master: Some(UP), ..link(index, name, mac) })
}

/// It is on its own again.
fn port_gone(index: IfIndex) -> Fact {
    let mac = LinkLayer::Ethernet(Mac([2, 0, 0, 0, 0x70, index.0 as u8]));
    Fact::Link(link(index, "eth0", mac))
}

fn facts() -> Vec<Fact> {
    let to_router = KernelRoute { next_hop: NextHop::Via(address(ROUTER)), ..default_route(UP) };
    let connected = route("2001:db8:1:2::/64", RouteKind::Unicast(UP));
    vec![
        Fact::Link(is(true)),
        port(ETH, "eth0"),
        port(TAP, "tap1"),
        port(OTHER_TAP, "tap2"),
        has(UP, "fe80::5054:ff:fe00:1/64"),
        has(UP, "2001:db8:1:2::2/64"),
        Fact::Route(KernelRoute { protocol: 2, metric: 256, ..connected }),
        Fact::Route(to_router),
    ]
}

fn station(mac: Mac, port: IfIndex) -> Fact {
    Fact::Station { bridge: UP, mac, port }
}

fn router_known() -> Fact {
    let state = NeighborState::Reachable;
    Fact::Neighbor(Neighbor { link: UP, address: address(ROUTER), mac: Some(ROUTER_MAC), state })
}

/// A host whose bridge knows all of its stations.
fn host(policy: Policy) -> Host {
    let mut host = Host::bare(policy);
    host.facts(facts());
    host.input(Input::Synced);
    assert!(host.take().contains(&Output::Resync), "the stations are to be told");
    host.facts(vec![
        station(ROUTER_MAC, ETH),
        station(STRANGER, ETH),
        station(guest_mac(5), TAP),
        station(guest_mac(6), OTHER_TAP),
        router_known(),
    ]);
    host.take();
    host
}

fn says(host: &mut Host, target: Ipv6Addr, mac: Mac) {
    host.input(Input::Advertisement(UP, Advertisement { destination_mac: UP_MAC, ..reply(target, mac) }));
}

/// The router asks, the probe finds this station, and these are the answers.
fn asked_and_found(host: &mut Host, target: Ipv6Addr, mac: Mac) -> Vec<Advertisement> {
    let probe = probes(&host.ask(target));
    assert_eq!(probe.len(), 1, "{probe:?}");
    assert!(!probe[0].is_dad(), "a guest that is checking its address would give it up");
    says(host, target, mac);
    host.answers()
}

#[test]
fn the_router_gets_the_hosts_mac_for_a_guest_on_its_own_bridge() {
    let mut host = host(policy(Answer::Live));
    assert_eq!(host.engine.problems(), []);
    let answers = asked_and_found(&mut host, guest(5), guest_mac(5));
    assert_eq!(answers.len(), 1);
    let Advertisement { target_link_layer, source_mac, destination_mac, flags, .. } = answers[0];
    assert_eq!((target_link_layer, source_mac), (Some(UP_MAC), UP_MAC));
    assert_eq!((destination_mac, flags.override_entry), (ROUTER_MAC, false));
    assert!(host.answers_for(guest(5)), "and at once, now that it is known");
}

#[test]
fn a_bond_or_anything_else_that_is_no_bridge_is_refused_as_ever() {
    let mut host = Host::bare(policy(Answer::Live));
    let mut facts = facts();
    facts[0] = Fact::Link(is(false));
    host.facts(facts);
    assert_eq!(host.events(), [], "nothing is told before everything is known");
    host.input(Input::Synced);
    let refused = Problem::DownstreamIsUpstream(net("2001:db8:1:2:c::/112"), "up0".parse().unwrap());
    assert!(refused.to_string().contains("not a bridge"));
    assert_eq!(host.engine.problems(), std::slice::from_ref(&refused));
    host.facts(vec![Fact::Link(is(true))]);
    assert_eq!(host.engine.problems(), [], "it may become one");
    assert!(host.events().contains(&Event::Solved(refused)));
}

#[test]
fn a_guests_question_and_its_check_get_no_answer_and_are_signs_of_life() {
    let mut host = host(policy(Answer::Live));
    assert_eq!(asked_and_found(&mut host, guest(5), guest_mac(5)).len(), 1);
    host.solicit(question_from(guest(6), guest_mac(6), guest(5)));
    host.solicit(dad(guest_mac(6), guest(5)));
    host.solicit(dad(guest_mac(6), guest(7)));
    host.pass(Duration::from_secs(2));
    assert_eq!(host.answers(), [], "guests answer each other");
    assert_eq!(host.dropped(DropReason::NotUpstream), 3);
    assert!(host.answers_for(guest(6)), "it has asked");
    assert!(host.answers_for(guest(7)), "it has checked");
}

#[test]
fn nothing_that_is_sent_for_a_guest_looks_like_a_claim_to_the_guest() {
    let mut policy = policy(Answer::Live);
    policy.upstreams[0].announce = Announce::Dad;
    let mut host = host(policy);
    host.solicit(dad(guest_mac(5), guest(5)));
    asked_and_found(&mut host, guest(6), guest_mac(6));
    host.take();
    says(&mut host, guest(5), guest_mac(5));
    host.solicit(question(guest(5)));
    host.pass(Duration::from_secs(5));
    let sent = host.take();
    assert!(advertisements(&sent).iter().all(|sent| sent.destination_mac == ROUTER_MAC), "{sent:?}");
    let asked = probes(&sent);
    assert!(!asked.is_empty() && !asked.iter().any(Solicitation::is_dad), "{asked:?}");
    assert!(asked.iter().all(|asked| asked.source != guest(5)), "{asked:?}");
}

#[test]
fn a_station_behind_the_uplink_that_has_the_address_keeps_it() {
    let mut host = host(policy(Answer::Live));
    assert_eq!(asked_and_found(&mut host, guest(9), STRANGER), [], "it is no guest");
    host.pass(Duration::from_secs(4));
    assert!(!host.is_live(guest(9)));
    // A guest has the same.
    asked_and_found(&mut host, guest(5), guest_mac(5));
    says(&mut host, guest(5), STRANGER);
    assert!(!host.answers_for(guest(5)));
    assert_eq!(host.dropped(DropReason::Conflict), 1);
}

#[test]
fn a_strangers_check_for_a_guests_address_is_refused_behind_the_uplink_alone() {
    let mut host = host(policy(Answer::Live));
    asked_and_found(&mut host, guest(5), guest_mac(5));
    host.take();
    host.solicit(dad(STRANGER, guest(5)));
    host.pass(Duration::from_millis(600));
    says(&mut host, guest(5), guest_mac(5));
    let answers = host.answers();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!((answers[0].destination, answers[0].destination_mac), (address("ff02::1"), STRANGER));
}

#[test]
fn always_asks_the_link_first_and_leaves_strangers_their_addresses() {
    let mut host = host(policy(Answer::Always));
    let asked = probes(&host.ask(guest(5)));
    assert_eq!(asked.len(), 1);
    assert!(!asked[0].is_dad());
    host.pass(Duration::from_millis(600));
    assert_eq!(host.answers().len(), 1, "nobody behind the uplink has it");
    assert!(host.answers_for(guest(5)));
    host.ask(guest(9));
    says(&mut host, guest(9), STRANGER);
    host.pass(Duration::from_millis(600));
    assert_eq!(host.answers(), []);
    host.solicit(question_from(guest(6), guest_mac(6), guest(5)));
    assert_eq!(host.answers(), [], "a guest asks");
}

#[test]
fn always_serves_all_of_the_link_but_for_who_stands_behind_the_uplink() {
    let mut policy = policy(Answer::Always);
    policy.ranges[0].prefix = net("2001:db8:1:2::/64");
    let mut host = host(policy);
    host.ask(guest(5));
    host.pass(Duration::from_millis(600));
    assert_eq!(host.answers().len(), 1);
    let state = NeighborState::Reachable;
    let stranger = address("2001:db8:1:2::77");
    host.facts(vec![Fact::Neighbor(Neighbor { link: UP, address: stranger, mac: Some(STRANGER), state })]);
    assert!(!host.answers_for(stranger), "the kernel knows it");
}

#[test]
fn the_router_is_asked_where_it_is_while_that_is_not_known() {
    let mut host = Host::bare(policy(Answer::Live));
    host.facts(facts());
    assert_eq!(host.probes(), [], "the kernel has not told everything yet");
    host.input(Input::Synced);
    let asked = host.probes();
    assert_eq!(asked.iter().map(|asked| asked.target).collect::<Vec<_>>(), [address(ROUTER)]);
    host.facts(vec![station(ROUTER_MAC, ETH), station(guest_mac(5), TAP)]);
    assert_eq!(probes(&host.ask(guest(5))), [], "it is not known from which side that comes");
    let router = Advertisement { source: address(ROUTER), ..reply(address(ROUTER), ROUTER_MAC) };
    host.input(Input::Advertisement(UP, router));
    assert_eq!(asked_and_found(&mut host, guest(5), guest_mac(5)).len(), 1);
}

#[test]
fn a_station_of_which_no_port_is_known_gets_no_answer_and_is_no_guest() {
    let mut host = host(policy(Answer::Live));
    asked_and_found(&mut host, guest(5), guest_mac(5));
    host.facts(vec![Fact::StationGone { bridge: UP, mac: ROUTER_MAC }]);
    assert!(!host.answers_for(guest(5)));
    host.facts(vec![station(ROUTER_MAC, ETH)]);
    assert!(host.answers_for(guest(5)), "the bridge has learnt it again");
    says(&mut host, guest(8), Mac([2, 0, 0, 0, 9, 9]));
    assert!(!host.is_live(guest(8)));
}

#[test]
fn there_is_no_route_no_backstop_and_no_gateway_but_a_route_for_each_guest_if_it_is_wanted() {
    let mut wanted = policy(Answer::Live);
    wanted.ranges[0].gateway = Some(address(ROUTER));
    let plain = host(wanted.clone());
    assert!(plain.kernel.is_empty(), "{:?}", plain.kernel);
    assert!(plain.engine.wanted_gateways().is_empty());
    wanted.ranges[0].routes = RangeRoutes::Guests;
    let mut guests = host(wanted);
    asked_and_found(&mut guests, guest(5), guest_mac(5));
    let routes: Vec<_> = guests.kernel.iter().map(|route| (route.destination, route.kind)).collect();
    assert_eq!(routes, [(guest(5).into(), RouteKind::Unicast(UP))]);
}

#[test]
fn an_upstream_that_is_named_is_served_like_that_of_the_default_route() {
    let mut policy = policy(Answer::Live);
    policy.upstreams = vec![upstream(UpstreamInterface::Named("up0".parse().unwrap()))];
    let mut host = host(policy);
    assert_eq!(asked_and_found(&mut host, guest(5), guest_mac(5)).len(), 1);
}

#[test]
fn it_is_told_that_nobody_is_answered_while_it_is_not_known_where_the_router_is() {
    let mut host = Host::bare(policy(Answer::Live));
    host.facts(facts());
    // It takes its time until everything is told.
    host.pass(Duration::from_secs(4));
    host.input(Input::Synced);
    host.pass(Duration::from_millis(2_900));
    assert_eq!((host.events(), host.engine.problems()), (vec![], &[][..]), "the kernel is telling it");
    host.pass(Duration::from_secs(1));
    let lost = Problem::UplinkUnknown("up0".parse().unwrap());
    assert_eq!(host.events(), [Event::Problem(lost.clone())]);
    assert_eq!(host.engine.problems(), std::slice::from_ref(&lost));
    let explained = host.engine.explain(guest(5), host.now);
    assert_eq!(explained.outcome, Expected::Dropped(DropReason::NotUpstream));
    let last = explained.steps.last().unwrap();
    assert!(last.value.contains("not known behind which port of up0") && last.remedy.is_some(), "{last:?}");
    host.facts(vec![station(ROUTER_MAC, ETH), router_known()]);
    assert_eq!((host.events(), host.engine.problems()), (vec![Event::Solved(lost.clone())], &[][..]));
    // One that is down has nobody to answer, and says so itself.
    host.facts(vec![port_gone(ETH)]);
    host.facts(vec![Fact::Link(Link { state: LinkState::Down, ..is(true) })]);
    host.pass(Duration::from_secs(10));
    assert!(!host.events().contains(&Event::Problem(lost)));
}

#[test]
fn what_a_dump_does_not_tell_of_stations_is_forgotten_and_their_guests_are_asked() {
    let mut host = host(policy(Answer::Live));
    asked_and_found(&mut host, guest(5), guest_mac(5));
    let told = |stations: Vec<Fact>| Input::Snapshot([facts(), stations, vec![router_known()]].concat());
    host.input(told(vec![]));
    host.take();
    assert!(host.answers_for(guest(5)), "such a dump was not asked for stations");
    host.input(told(vec![station(ROUTER_MAC, ETH), station(guest_mac(6), OTHER_TAP)]));
    let asked: Vec<_> = host.probes().iter().map(|probe| probe.target).collect();
    assert_eq!(asked, [guest(5)], "it may have gone");
    // Another station is behind the port that the bridge has forgotten.
    host.solicit(question_from(address("fe80::77"), STRANGER, guest(6)));
    assert_eq!((host.answers(), host.dropped(DropReason::NotUpstream)), (vec![], 1));
    assert!(probes(&host.ask(guest(6))).len() == 1, "the router is where it was");
}

#[test]
fn an_explanation_says_behind_which_ports_router_and_guest_are() {
    let mut host = host(policy(Answer::Live));
    asked_and_found(&mut host, guest(5), guest_mac(5));
    let explained = host.engine.explain(guest(5), host.now);
    assert_eq!(explained.outcome, Expected::Answered);
    let values: Vec<_> = explained.steps.iter().map(|step| step.value.as_str()).collect();
    assert!(values.iter().any(|value| value.starts_with("the router is behind eth0 of up0")), "{values:?}");
    assert!(values.contains(&"up0, behind its port tap1"), "{values:?}");
}
