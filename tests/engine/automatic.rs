//! Automatic: what the kernel routes is what is served, and follows it.

use lone64::engine::bindings::Problem;
use lone64::engine::facts::{Fact, IfIndex, KernelRoute, Link, LinkLayer, LinkState, NextHop, RouteKind};
use lone64::engine::policy::{Answer, Automatic, Downstream, Origin, Policy, RangePolicy, UpstreamInterface};
use lone64::engine::{Event, Input, Output};
use lone64::wire::{DropReason, Mac};

use crate::host::{
    BRIDGE, Host, LO, UP, address, default_route, guest, guest_mac, has, link, net, question, range, route,
    seconds, usual_facts, with,
};

const OTHER: IfIndex = IfIndex(7);
const TUNNEL: IfIndex = IfIndex(8);

fn automatic() -> Policy {
    ignoring(&[])
}

fn ignoring(ignore: &[&str]) -> Policy {
    with(|policy| {
        policy.ranges.clear();
        let ignore = ignore.iter().map(|pattern| pattern.parse().unwrap()).collect();
        policy.upstreams[0].automatic = Some(Automatic { ignore });
    })
}

fn connected(prefix: &str, link: IfIndex) -> KernelRoute {
    KernelRoute { protocol: 2, metric: 256, ..route(prefix, RouteKind::Unicast(link)) }
}

fn on_upstream() -> Fact {
    Fact::Route(connected("2001:db8:1:2::/64", UP))
}

fn bridged() -> Fact {
    Fact::Route(connected("2001:db8:1:2:c::/112", BRIDGE))
}

/// The usual host, with another bridge and a tunnel.
fn host(policy: Policy) -> Host {
    let mut host = Host::new(policy);
    let mac = Mac([0x52, 0x54, 0, 0, 0, 0xb1]);
    host.facts(vec![
        Fact::Link(link(OTHER, "br1", LinkLayer::Ethernet(mac))),
        has(OTHER, "fe80::b1/64"),
        Fact::Link(link(TUNNEL, "wg0", LinkLayer::None)),
        on_upstream(),
    ]);
    host.take();
    host
}

/// Each range that is served, and behind what.
fn served(host: &Host) -> Vec<(String, String)> {
    let ranges = &host.engine.policy().ranges;
    ranges.iter().map(|range| (range.prefix.to_string(), range.downstream.to_string())).collect()
}

fn is_ear(output: &Output, link: IfIndex) -> bool {
    matches!(output, Output::Listen(on, _) if *on == link)
}

#[test]
fn a_route_that_comes_is_served_and_one_that_goes_is_not() {
    let mut host = host(automatic()).with_guest(guest(5), guest_mac(5));
    assert!(!host.answers_for(guest(5)));
    host.facts(vec![bridged()]);
    let outputs = host.take();
    assert!(
        outputs.iter().any(|output| is_ear(output, BRIDGE))
            && outputs.iter().any(|output| is_ear(output, UP))
    );
    let told = crate::host::events(&outputs);
    assert!(matches!(&told[..], [Event::Serving(range)] if range.origin == Origin::Automatic), "{told:?}");
    host.solicit(question(guest(5)));
    assert_eq!(host.answers().len(), 1);
    assert!(host.kernel.is_empty(), "nothing of ours is needed");

    let Fact::Route(gone) = bridged() else { unreachable!() };
    host.facts(vec![Fact::RouteGone(gone)]);
    let outputs = host.take();
    assert!(outputs.contains(&Output::Unlisten(BRIDGE)));
    assert!(crate::host::events(&outputs).iter().any(|event| matches!(event, Event::Withdrawn(_))));
    assert!(!host.answers_for(guest(5)));
    assert_eq!(host.engine.known_targets(), 0);
}

#[test]
fn the_order_in_which_the_kernel_tells_does_not_matter() {
    let mut facts = usual_facts();
    facts.extend([bridged(), on_upstream()]);
    for turn in 0..facts.len() {
        facts.rotate_left(1);
        let mut host = Host::bare(automatic());
        for fact in facts.clone() {
            host.facts(vec![fact]);
        }
        host.input(Input::Synced);
        assert_eq!(served(&host), [("2001:db8:1:2:c::/112".to_owned(), "lxcbr0".to_owned())], "turn {turn}");
    }
}

#[test]
fn only_unicast_routes_inside_an_on_link_prefix_count() {
    let mut host = host(automatic());
    let table = KernelRoute { table: 100, ..connected("2001:db8:1:2:1::/112", BRIDGE) };
    let kinds = [RouteKind::Local(LO), RouteKind::Unreachable, RouteKind::Other, RouteKind::Unicast(LO)];
    host.facts(
        kinds.map(|kind| Fact::Route(KernelRoute { kind, ..connected("2001:db8:1:2:2::/112", LO) })).to_vec(),
    );
    host.facts(vec![
        Fact::Route(table),
        Fact::Route(connected("2001:db8:7:7::/64", BRIDGE)),
        Fact::Route(connected("fe80::/64", BRIDGE)),
        Fact::Route(connected("2001:db8:1:2:3::/112", UP)),
        Fact::Route(route("2001:db8:1:2:4::/112", RouteKind::Unicast(BRIDGE))),
    ]);
    assert_eq!(served(&host), []);
}

#[test]
fn the_upstreams_own_prefix_is_not_served_and_said_to_be_on_both_sides() {
    let mut host = host(automatic());
    host.facts(vec![Fact::Route(connected("2001:db8:1:2::/64", BRIDGE))]);
    assert_eq!(served(&host), []);
    let both =
        Problem::SamePrefix(net("2001:db8:1:2::/64"), "up0".parse().unwrap(), "lxcbr0".parse().unwrap());
    assert_eq!(host.events(), [Event::Problem(both.clone())]);
    host.facts(vec![Fact::RouteGone(connected("2001:db8:1:2::/64", BRIDGE))]);
    assert_eq!(host.events(), [Event::Solved(both)]);
}

#[test]
fn of_nested_routes_the_longest_wins() {
    let mut host = host(automatic()).with_guest(guest(5), guest_mac(5));
    host.facts(vec![bridged(), Fact::Route(connected("2001:db8:1:2:c::/120", OTHER))]);
    let (outer, inner) = ("2001:db8:1:2:c::/112".to_owned(), "2001:db8:1:2:c::/120".to_owned());
    assert_eq!(served(&host), [(outer, "lxcbr0".to_owned()), (inner, "br1".to_owned())]);
    host.ask(guest(5));
    assert!(host.engine.target(guest(5)).is_some());
    host.take();
    host.solicit(question(guest(0x105)));
    let probed: Vec<_> = host
        .take()
        .into_iter()
        .filter_map(|output| match output {
            Output::Solicit(link, _) => Some(link),
            _ => None,
        })
        .collect();
    assert_eq!(probed, [BRIDGE]);
}

#[test]
fn a_nested_route_to_the_same_link_is_no_range_of_its_own() {
    let mut host = host(automatic());
    host.facts(vec![bridged(), Fact::Route(connected("2001:db8:1:2:c::5/128", BRIDGE))]);
    assert_eq!(served(&host).len(), 1);
    let Fact::Route(outer) = bridged() else { unreachable!() };
    host.facts(vec![Fact::RouteGone(outer)]);
    assert_eq!(served(&host), [("2001:db8:1:2:c::5/128".to_owned(), "lxcbr0".to_owned())]);
}

#[test]
fn what_is_to_be_ignored_is_left_alone_also_inside_a_range() {
    let mut host = host(ignoring(&["lxc*"]));
    host.facts(vec![bridged()]);
    assert_eq!(served(&host), []);
    host.facts(vec![Fact::Route(connected("2001:db8:1:2:c::/96", OTHER))]);
    assert_eq!(served(&host), [("2001:db8:1:2:c::/96".to_owned(), "br1".to_owned())]);
    assert!(!host.answers_for(guest(5)));
    assert_eq!(host.dropped(DropReason::Excluded), 1);
}

#[test]
fn an_address_behind_the_upstream_inside_a_range_is_left_alone() {
    let mut host = host(automatic());
    host.facts(vec![bridged(), Fact::Route(connected("2001:db8:1:2:c::5/128", UP))]);
    host.ask(guest(5));
    assert_eq!(host.dropped(DropReason::Excluded), 1);
}

#[test]
fn what_is_written_goes_before_what_is_found() {
    let mut policy = automatic();
    policy.ranges = vec![RangePolicy { answer: Answer::Never, ..range("2001:db8:1:2:c::/112", "br1") }];
    let mut host = host(policy);
    host.facts(vec![bridged(), Fact::Route(connected("2001:db8:1:2:c::/120", BRIDGE))]);
    assert_eq!(served(&host), [("2001:db8:1:2:c::/112".to_owned(), "br1".to_owned())]);
}

#[test]
fn a_prefix_routed_to_a_guest_is_answered_while_that_guest_is_there() {
    let mut host = host(automatic());
    let next_hop = NextHop::Via(address("fe80::5"));
    host.facts(vec![Fact::Route(KernelRoute { next_hop, ..connected("2001:db8:1:2:d::/80", BRIDGE) })]);
    let of_it = address("2001:db8:1:2:d::77");
    assert!(!host.answers_for(of_it));
    host.advertise(address("fe80::5"), guest_mac(5));
    assert!(host.answers_for(of_it));
    host.facts(vec![Fact::LinkGone(BRIDGE)]);
    assert!(!host.answers_for(of_it));
    assert_eq!(served(&host), []);
}

#[test]
fn behind_a_tunnel_whatever_is_routed_there_is_live() {
    let mut host = host(automatic());
    host.facts(vec![Fact::Route(connected("2001:db8:1:2:e::/112", TUNNEL))]);
    assert!(host.answers_for(address("2001:db8:1:2:e::5")));
}

#[test]
fn a_downstream_that_is_renamed_is_followed() {
    let mut host = host(automatic());
    host.facts(vec![bridged()]);
    host.make_live(guest(5), guest_mac(5));
    let Fact::Link(renamed) = crate::host::bridge(lone64::engine::facts::LinkState::Up) else {
        unreachable!()
    };
    let name = "docker7".parse().unwrap();
    host.facts(vec![Fact::Link(lone64::engine::facts::Link { name, ..renamed })]);
    assert_eq!(served(&host)[0].1, "docker7");
    assert!(host.answers_for(guest(5)));
}

#[test]
fn another_prefix_of_the_upstream_makes_the_routes_in_it_count() {
    let mut host = host(automatic());
    host.facts(vec![Fact::Route(connected("2001:db8:9:9:c::/112", BRIDGE))]);
    assert_eq!(served(&host), []);
    host.facts(vec![has(UP, "2001:db8:9:9::2/64")]);
    assert_eq!(served(&host)[0].0, "2001:db8:9:9:c::/112");
    host.facts(vec![Fact::AddressGone { link: UP, address: address("2001:db8:9:9::2") }]);
    assert_eq!(served(&host), []);
    // An address alone on its prefix, as DHCPv6 gives them, and the prefix as a route.
    host.facts(vec![has(UP, "2001:db8:9:9::2/128"), Fact::Route(connected("2001:db8:9:9::/64", UP))]);
    assert_eq!(served(&host).len(), 1);
}

#[test]
fn the_sudden_absence_of_the_default_route_ends_nothing() {
    let mut host = host(automatic());
    host.facts(vec![bridged(), Fact::RouteGone(default_route(UP))]);
    assert_eq!(served(&host).len(), 1);
}

#[test]
fn targets_stay_live_while_other_ranges_come_and_go() {
    let mut host = host(automatic());
    host.facts(vec![bridged()]);
    host.make_live(guest(5), guest_mac(5));
    for number in 0..20 {
        let other = connected(&format!("2001:db8:1:2:{number:x}::/112"), OTHER);
        host.facts(vec![Fact::Route(other.clone())]);
        assert!(host.answers_for(guest(5)), "{number}");
        host.facts(vec![Fact::RouteGone(other)]);
        assert!(host.answers_for(guest(5)), "{number}");
    }
}

#[test]
fn a_reload_between_written_and_automatic_keeps_what_both_serve() {
    let written = with(|policy| policy.ranges[0].downstream = Downstream::Named("lxcbr0".parse().unwrap()));
    let mut host = host(written.clone());
    host.facts(vec![bridged()]);
    host.make_live(guest(5), guest_mac(5));
    for policy in [automatic(), written] {
        host.input(Input::Reload(Box::new(policy)));
        assert!(host.answers_for(guest(5)));
    }
    host.input(Input::Reload(Box::new(automatic())));
    assert!(host.kernel.is_empty(), "{:?}", host.kernel);
    host.pass(seconds(1));
    assert_eq!(host.engine.written(), &automatic());
}

#[test]
fn a_named_upstream_is_automatic_without_any_default_route() {
    let mut policy = automatic();
    policy.upstreams[0].interface = UpstreamInterface::Named("up0".parse().unwrap());
    let mut host = host(policy);
    host.facts(vec![Fact::RouteGone(default_route(UP)), bridged()]);
    assert_eq!(served(&host).len(), 1);
}

#[test]
fn as_many_routes_as_there_may_be_are_served_and_no_more() {
    let mut policy = automatic();
    policy.ranges = (0..8).map(|n| range(&format!("2001:db8:1:2:4:{n:x}::/112"), "lxcbr0")).collect();
    let mut host = host(policy);
    let many = |count: u32| {
        (0..count).map(|n| {
            Fact::Route(connected(
                &format!("2001:db8:1:2:5::{n:x}/128"),
                if n % 2 == 0 { BRIDGE } else { OTHER },
            ))
        })
    };
    host.facts(many(5_000).collect());
    assert_eq!(host.engine.policy().ranges.len(), 8 + 4_096, "beside those that are written");
    assert!(host.events().contains(&Event::Problem(Problem::TooManyRanges)));
}

#[test]
fn as_many_addresses_of_the_host_as_there_may_be_are_served_and_no_more() {
    let mut policy = automatic();
    policy.ranges = (0..8).map(|n| range(&format!("2001:db8:1:2:4:{n:x}::/112"), "lxcbr0")).collect();
    let mut host = host(policy);
    let address = |n: u32| has(LO, &format!("2001:db8:1:2:5::{n:x}/128"));
    let problem = Event::Problem(Problem::TooManyRanges);
    host.facts((0..4_096).map(address).collect());
    assert_eq!(host.engine.policy().ranges.len(), 8 + 4_096, "beside those that are written");
    assert!(!host.events().contains(&problem));
    host.facts(vec![address(4_096)]);
    assert_eq!(host.engine.policy().ranges.len(), 8 + 4_096);
    assert!(host.events().contains(&problem));
}

#[test]
fn addresses_of_the_host_that_no_route_shows_are_served_as_they_come_and_go() {
    let dummy = IfIndex(9);
    let down = |index, name| {
        Fact::Link(Link { state: LinkState::Down, ..link(index, name, LinkLayer::Ethernet(guest_mac(9))) })
    };
    for (owner, made) in
        [(LO, None), (dummy, Some(down(dummy, "kube-ipvs0"))), (OTHER, Some(down(OTHER, "br1")))]
    {
        let mut host = host(automatic());
        host.facts(vec![bridged()]);
        host.facts(made.into_iter().collect());
        // One inside a network of guests, whose route to `lo` takes it out of that, and one beside it.
        let own = [guest(0x77), address("2001:db8:1:2:ee::1")];
        for target in own {
            host.facts(vec![
                has(owner, &format!("{target}/128")),
                Fact::Route(connected(&format!("{target}/128"), LO)),
            ]);
            assert!(host.answers_for(target), "{owner} {target}");
            assert_eq!(host.probes(), []);
        }
        host.facts(vec![has(owner, "2001:db8:7:7::1/128"), has(owner, "fe80::77/64")]);
        assert_eq!(served(&host).len(), 3, "{:?}", served(&host));
        host.facts(vec![Fact::AddressGone { link: owner, address: own[1] }]);
        assert!(!host.answers_for(own[1]), "{owner}");
        assert_eq!(served(&host).len(), 2);
    }
}

#[test]
fn an_address_of_the_host_is_left_alone_where_it_is_the_upstreams_or_the_routers_or_ignored() {
    let mut host = host(ignoring(&["br1"]));
    host.facts(vec![
        has(LO, "2001:db8:1:2::2/128"),
        has(LO, "2001:db8:1:2::1/128"),
        has(OTHER, "2001:db8:1:2:b::1/128"),
        Fact::Route(KernelRoute { next_hop: NextHop::Via(address("2001:db8:1:2::1")), ..default_route(UP) }),
    ]);
    assert_eq!(served(&host), []);
}

#[test]
fn a_route_for_some_senders_only_makes_no_range_and_takes_none_out() {
    let some = |prefix: &str, link| KernelRoute {
        source: Some(net("2001:db8:1:2:c::/112")),
        ..connected(prefix, link)
    };
    let mut host = host(automatic());
    host.facts(vec![
        bridged(),
        Fact::Route(some("2001:db8:1:2:c::/120", OTHER)),
        Fact::Route(some("2001:db8:1:2:e::/112", OTHER)),
    ]);
    assert_eq!(served(&host), [("2001:db8:1:2:c::/112".to_owned(), "lxcbr0".to_owned())]);
    host.make_live(guest(5), guest_mac(5));
    assert!(host.answers_for(guest(5)));
    // It takes no other's place, and no other takes its own: but it hides the one to the same destination.
    let hiding = some("2001:db8:1:2:c::/112", UP);
    host.facts(vec![Fact::RouteReplaced(hiding.clone())]);
    assert_eq!(served(&host), []);
    host.facts(vec![Fact::RouteReplaced(connected("2001:db8:1:2:c::/112", BRIDGE))]);
    assert_eq!(served(&host), []);
    host.facts(vec![Fact::RouteGone(hiding)]);
    assert_eq!(served(&host).len(), 1);
}

#[test]
fn a_default_route_for_some_senders_only_names_the_upstream() {
    let mut host = host(automatic());
    let by_source = KernelRoute { source: Some(net("2001:db8:1:2::/64")), ..default_route(OTHER) };
    host.facts(vec![Fact::Route(by_source), Fact::RouteGone(default_route(UP))]);
    let upstreams: Vec<_> = host.engine.upstream_links().collect();
    assert_eq!(upstreams, [OTHER]);
}
