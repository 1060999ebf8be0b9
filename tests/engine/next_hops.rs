//! Targets behind a router of guests' own: they are on no link of this host, and are there while their next hop is.

mod led;
mod said;

use std::net::Ipv6Addr;

use lone64::engine::facts::{Fact, IfIndex, KernelRoute, LinkLayer, LinkState, NextHop, RouteKind};
use lone64::engine::policy::{Answer, Automatic, Downstream, Policy, RangeRoutes};
use lone64::engine::{Event, Expected, Holds, Input, Output, State, Subject};
use lone64::wire::{DropReason, Mac};

use crate::host::{
    BRIDGE, Host, UP, address, advertisements, bridge, dad, guest, guest_mac, link, live, millis, net,
    probes, question, range, reply, route, seconds, with,
};

const OTHER: IfIndex = IfIndex(7);
const TUNNEL: IfIndex = IfIndex(8);

/// What is behind the routers: a part of the range of the usual host.
fn behind(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xd, 0, 0, number)
}

fn via(prefix: &str, router: &str, link: IfIndex) -> KernelRoute {
    let next_hop = NextHop::Via(address(router));
    KernelRoute { next_hop, protocol: 3, ..route(prefix, RouteKind::Unicast(link)) }
}

const PREFIX: &str = "2001:db8:1:2:d::/80";

fn to(router: &str) -> KernelRoute {
    via(PREFIX, router, BRIDGE)
}

fn automatic() -> Policy {
    let mut policy = Policy { ranges: Vec::new(), ..live() };
    policy.upstreams[0].automatic = Some(Automatic::default());
    policy
}

fn written() -> Policy {
    with(|policy| policy.ranges[0] = range("2001:db8:1:2:c::/79", "lxcbr0"))
}

/// Both ways to have the range.
fn policies() -> [Policy; 2] {
    [automatic(), written()]
}

fn host(policy: Policy, routes: &[KernelRoute]) -> Host {
    let mut host = Host::new(policy);
    host.facts(vec![
        Fact::Link(link(OTHER, "br1", LinkLayer::Ethernet(guest_mac(0xb1)))),
        crate::host::has(OTHER, "fe80::b1/64"),
        Fact::Link(link(TUNNEL, "wg0", LinkLayer::None)),
    ]);
    host.facts(routes.iter().cloned().map(Fact::Route).collect());
    host.take();
    host
}

/// The routers' stations, by their last number.
fn with_router(mut host: Host, router: &str, number: u16) -> Host {
    host.guests.insert(address(router), guest_mac(number));
    host
}

fn asked(outputs: &[Output]) -> Vec<Ipv6Addr> {
    probes(outputs).iter().map(|probe| probe.target).collect()
}

#[test]
fn the_first_question_waits_until_the_next_hop_has_replied() {
    for policy in policies() {
        for router in ["fe80::5", "2001:db8:1:2:c::9"] {
            let mut host = host(policy.clone(), &[to(router), connected()]);
            let outputs = host.ask(behind(7));
            assert_eq!(asked(&outputs), [address(router)], "and never the target");
            assert_eq!(advertisements(&outputs), []);
            host.advertise(address(router), guest_mac(5));
            let answers = host.answers();
            assert_eq!(
                answers.iter().map(|answer| answer.target).collect::<Vec<_>>(),
                [behind(7)],
                "{router}"
            );
            // What is known holds for all that is behind it.
            assert!(host.answers_for(behind(8)) && host.answers_for(behind(7)));
            assert!(!host.is_live(behind(7)), "it is no guest on a link of this host");
        }
    }
}

fn connected() -> KernelRoute {
    KernelRoute { protocol: 2, metric: 256, ..route("2001:db8:1:2:c::/112", RouteKind::Unicast(BRIDGE)) }
}

#[test]
fn behind_a_silent_next_hop_nobody_is_answered_for() {
    for policy in policies() {
        let mut host = host(policy, &[to("fe80::5")]);
        host.ask(behind(7));
        host.pass(seconds(4));
        assert_eq!((host.answers(), host.dropped(DropReason::Absent)), (vec![], 1));
        // One look for each question, as for a guest that was silent a moment ago.
        let outputs = host.ask(behind(7));
        assert_eq!((asked(&outputs).len(), advertisements(&outputs)), (1, vec![]));
    }
}

#[test]
fn one_that_goes_takes_what_is_behind_it_along_and_brings_it_back() {
    for policy in policies() {
        let mut host = with_router(host(policy, &[to("fe80::5")]), "fe80::5", 5);
        assert!(host.answers_for(behind(7)), "it replies at once");
        host.pass(seconds(300));
        assert!(host.answers_for(behind(7)), "it is asked in the background");
        host.guests.clear();
        host.pass(seconds(70));
        assert!(host.events().contains(&Event::HopGone(address("fe80::5"), BRIDGE)));
        assert!(!host.answers_for(behind(7)));
        let mut host = with_router(host, "fe80::5", 6);
        host.pass(seconds(10));
        assert!(host.answers_for(behind(7)));
        assert!(host.events().is_empty(), "and it has been told before: {:?}", host.engine.counters().probes);
    }
}

#[test]
fn one_that_is_asked_behind_an_answer_and_is_silent_ends_within_seconds() {
    let mut host = with_router(host(automatic(), &[to("fe80::5")]), "fe80::5", 5);
    assert!(host.answers_for(behind(7)));
    host.pass(seconds(31));
    host.guests.clear();
    assert!(host.answers_for(behind(7)), "no answer waits for it");
    host.pass(seconds(4));
    assert!(!host.answers_for(behind(7)));
}

#[test]
fn the_kernels_word_and_its_own_make_it_live_before_anybody_asks() {
    let mut host = host(automatic(), &[to("fe80::5")]);
    host.input(Input::Solicitation(
        BRIDGE,
        crate::host::question_from(address("fe80::5"), guest_mac(5), guest(9)),
    ));
    assert!(host.answers_for(behind(7)));
    assert!(!host.is_live(address("fe80::5")), "a link-local address is no target");
    // Heard behind another interface it is another one.
    let mut host = self::host(automatic(), &[to("fe80::5")]);
    host.input(Input::Advertisement(OTHER, reply(address("fe80::5"), guest_mac(5))));
    assert!(!host.answers_for(behind(7)));
}

#[test]
fn the_same_address_on_two_links_is_two_next_hops() {
    let other = via("2001:db8:1:2:e::/80", "fe80::5", OTHER);
    let mut host = host(automatic(), &[to("fe80::5"), other]);
    host.ask(behind(7));
    host.ask(address("2001:db8:1:2:e::7"));
    host.input(Input::Advertisement(OTHER, reply(address("fe80::5"), guest_mac(5))));
    let targets: Vec<_> = host.answers().iter().map(|answer| answer.target).collect();
    assert_eq!(targets, [address("2001:db8:1:2:e::7")]);
    assert!(!host.answers_for(behind(8)));
}

#[test]
fn a_second_next_hop_that_is_off_is_not_answered_for() {
    for policy in policies() {
        let deeper = via("2001:db8:1:2:d:1::/96", "fe80::6", BRIDGE);
        let mut host = with_router(host(policy, &[to("fe80::5"), deeper]), "fe80::5", 5);
        assert!(host.answers_for(behind(7)));
        assert!(!host.answers_for(address("2001:db8:1:2:d:1::7")));
        host.pass(seconds(4));
        assert!(!host.answers_for(address("2001:db8:1:2:d:1::7")));
        assert!(host.answers_for(behind(7)));
    }
}

#[test]
fn behind_several_it_is_there_while_any_of_them_is() {
    for policy in policies() {
        let mut host = with_router(host(policy, &[to("fe80::5"), to("fe80::6")]), "fe80::6", 6);
        let outputs = host.ask(behind(7));
        assert_eq!(asked(&outputs), [address("fe80::5"), address("fe80::6")]);
        assert_eq!(advertisements(&outputs).len(), 1, "one question, one answer");
        host.pass(seconds(10));
        assert!(host.answers_for(behind(7)));
        host.guests.clear();
        host.pass(seconds(70));
        host.ask(behind(7));
        host.pass(seconds(4));
        assert!(!host.answers_for(behind(8)));
        host.pass(seconds(2));
        let mut host = with_router(host, "fe80::5", 5);
        assert!(host.answers_for(behind(7)));
    }
}

#[test]
fn several_next_hops_may_be_on_several_links() {
    let mut host = host(automatic(), &[to("fe80::5"), via(PREFIX, "fe80::6", OTHER)]);
    host.ask(behind(7));
    host.input(Input::Advertisement(OTHER, reply(address("fe80::6"), guest_mac(6))));
    assert_eq!(host.answers().len(), 1);
}

#[test]
fn a_route_that_leads_to_another_next_hop_is_followed_by_those_who_wait() {
    for policy in policies() {
        let mut host = with_router(host(policy, &[to("fe80::5")]), "fe80::6", 6);
        host.ask(behind(7));
        host.facts(vec![Fact::RouteReplaced(to("fe80::6"))]);
        assert_eq!(host.answers().len(), 1);
        host.facts(vec![Fact::RouteReplaced(to("fe80::5"))]);
        assert!(!host.answers_for(behind(7)));
    }
}

#[test]
fn without_its_route_a_target_is_nobodys_or_a_guest_of_the_link() {
    for policy in policies() {
        let mut host = with_router(host(policy.clone(), &[to("fe80::5")]), "fe80::5", 5);
        assert!(host.answers_for(behind(7)));
        host.facts(vec![Fact::RouteGone(to("fe80::5"))]);
        host.guests.clear();
        let outputs = host.ask(behind(7));
        assert_eq!(advertisements(&outputs), []);
        let is_written = policy == written();
        assert_eq!(asked(&outputs), if is_written { vec![behind(7)] } else { vec![] });
    }
}

#[test]
fn a_guest_that_a_router_comes_before_ends_as_a_guest() {
    let mut host = with_router(host(written(), &[]), "fe80::5", 5);
    host.make_live(behind(7), guest_mac(7));
    host.facts(vec![Fact::Route(to("fe80::5"))]);
    assert!(!host.is_live(behind(7)));
    assert!(host.answers_for(behind(7)), "the next hop is live");
    host.guests.clear();
    host.pass(seconds(70));
    assert!(!host.answers_for(behind(7)));
    // One that is being asked for at that moment has a router before it now.
    let mut host = with_router(self::host(written(), &[]), "fe80::5", 5);
    host.ask(behind(7));
    host.facts(vec![Fact::Route(to("fe80::5"))]);
    assert_eq!(host.answers().len(), 1);
}

#[test]
fn a_next_hop_that_is_a_guest_is_as_live_as_that_guest() {
    let mut host = host(written(), &[via(PREFIX, "2001:db8:1:2:c::9", BRIDGE)]);
    host.make_live(guest(9), guest_mac(9));
    let outputs = host.ask(behind(7));
    assert_eq!((asked(&outputs), advertisements(&outputs).len()), (vec![], 1));
    // It is asked by one machine only.
    host.guests.insert(guest(9), guest_mac(9));
    host.take();
    host.pass(seconds(61));
    assert_eq!(host.probes().len(), 1);
    host.guests.clear();
    host.pass(seconds(70));
    assert!(!host.is_live(guest(9)) && !host.answers_for(behind(7)));
}

#[test]
fn no_route_of_ours_leads_past_the_router() {
    let mut policy = written();
    policy.ranges[0].routes = RangeRoutes::Guests;
    let mut host = with_router(host(policy, &[to("fe80::5")]), "fe80::5", 5);
    assert!(host.answers_for(behind(7)));
    // A router may speak for what is behind it.
    host.advertise(behind(7), guest_mac(5));
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), behind(7))));
    host.pass(seconds(10));
    assert!(!host.is_live(behind(7)));
    let is_single = |route: &&KernelRoute| route.destination == net("2001:db8:1:2:d::7/128");
    assert_eq!(host.kernel.iter().find(is_single), None);
}

#[test]
fn behind_a_tunnel_the_route_alone_counts_and_always_is_always() {
    for mut policy in policies() {
        if let Some(range) = policy.ranges.first_mut() {
            *range = range_by_routes();
        }
        let mut host = host(policy, &[via(PREFIX, "fe80::5", TUNNEL)]);
        let outputs = host.ask(behind(7));
        assert_eq!((asked(&outputs), advertisements(&outputs).len()), (vec![], 1));
    }
    let mut policy = written();
    policy.ranges[0].answer = Answer::Always;
    let mut host = host(policy, &[to("fe80::5")]);
    assert!(host.answers_for(behind(7)));
    assert_eq!(host.probes(), []);
}

fn range_by_routes() -> lone64::engine::policy::RangePolicy {
    let downstream = lone64::engine::policy::Downstream::Kernel;
    let routes = RangeRoutes::None;
    lone64::engine::policy::RangePolicy { downstream, routes, ..range("2001:db8:1:2:c::/79", "lxcbr0") }
}

#[test]
fn a_range_that_follows_the_routes_asks_next_hops_too() {
    let mut policy = written();
    policy.ranges[0] = range_by_routes();
    let mut host = host(policy, &[to("fe80::5")]);
    let outputs = host.ask(behind(7));
    assert_eq!(asked(&outputs), [address("fe80::5")]);
    host.advertise(address("fe80::5"), guest_mac(5));
    assert_eq!(host.answers().len(), 1);
}

#[test]
fn a_router_behind_the_upstream_is_no_next_hop_of_guests() {
    let mut host = host(written(), &[via(PREFIX, "fe80::77", UP)]);
    let outputs = host.ask(behind(7));
    assert_eq!(asked(&outputs), [behind(7)], "as it was");
}

#[test]
fn a_next_hop_ends_with_its_link() {
    let mut host = with_router(host(written(), &[to("fe80::5")]), "fe80::5", 5);
    assert!(host.answers_for(behind(7)));
    host.facts(vec![bridge(LinkState::NoCarrier)]);
    assert!(!host.answers_for(behind(7)));
    assert_eq!(host.dropped(DropReason::NoDownstream), 1);
    host.facts(vec![bridge(LinkState::Up)]);
    assert!(host.answers_for(behind(7)), "it is asked again at once");
}

/// The router has moved to another bridge, and the kernel's route still leads to the first one.
#[test]
fn a_next_hop_that_is_a_guest_on_another_link_than_its_route_brings_nobody() {
    let mut policy = written();
    policy.ranges[0].downstream =
        Downstream::Matching(["lxcbr0", "br1"].map(|name| name.parse().unwrap()).to_vec());
    let mut host = host(policy, &[via(PREFIX, "2001:db8:1:2:c::9", OTHER)]);
    host.make_live(guest(9), guest_mac(9));
    assert!(host.is_live(guest(9)) && !host.answers_for(behind(7)));
}
