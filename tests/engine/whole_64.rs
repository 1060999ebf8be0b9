//! A range that is all of the upstream's own link: a /128 for each live guest, and nothing that takes the link away.

use std::net::Ipv6Addr;

use lone64::engine::bindings::Problem;
use lone64::engine::facts::{Fact, KernelRoute, NextHop, RouteKind};
use lone64::engine::policy::{Announce, Answer, Origin, Policy, RangePolicy, RangeRoutes};
use lone64::engine::{Event, Input};
use lone64::wire::{DropReason, Mac};

use crate::host::*;

const WHOLE: &str = "2001:db8:1:2::/64";
/// A neighbor on the provider's link.
const OWNER: Mac = Mac([0x02, 0, 0, 0, 0, 9]);

/// Somewhere in the /64.
fn anywhere() -> Ipv6Addr {
    address("2001:db8:1:2:a00:ff:fe00:5")
}

fn whole(change: impl FnOnce(&mut RangePolicy)) -> Policy {
    with(|policy| {
        policy.ranges = vec![range(WHOLE, "lxcbr0")];
        change(&mut policy.ranges[0]);
    })
}

fn suffix() -> Policy {
    with(|policy| {
        policy.ranges.clear();
        policy.suffixes = vec![RangePolicy { origin: Origin::Suffix, ..range("::/64", "lxcbr0") }];
    })
}

fn started(policy: Policy) -> Host {
    let mut host = Host::bare(policy);
    host.facts(usual_facts());
    let connected = route(WHOLE, RouteKind::Unicast(UP));
    host.facts(vec![Fact::Route(KernelRoute { protocol: 2, metric: 256, ..connected })]);
    host.input(Input::Synced);
    host.take();
    host
}

fn routes(host: &Host) -> Vec<String> {
    host.kernel.iter().map(|route| route.destination.to_string()).collect()
}

fn only(target: Ipv6Addr) -> Vec<String> {
    vec![format!("{target}/128")]
}

#[test]
fn has_a_route_for_each_live_guest_and_none_of_its_own() {
    for policy in [whole(|_| {}), suffix(), whole(|range| range.answer = Answer::Never)] {
        let is_answered = policy.ranges.first().is_none_or(|range| range.answer == Answer::Live);
        let mut host = started(policy);
        assert_eq!((routes(&host), host.engine.problems()), (vec![], &[][..]));
        host.guests.insert(anywhere(), guest_mac(5));
        assert_eq!(host.answers_for(anywhere()), is_answered, "the kernel's way back is no reason to refuse");
        host.advertise(anywhere(), guest_mac(5));
        assert_eq!(routes(&host), only(anywhere()));
        assert_eq!(host.engine.policy().ranges[0].routes, RangeRoutes::Guests);
    }
}

#[test]
fn one_that_covers_the_link_alone_or_with_others_is_no_other_case() {
    let halves = ["2001:db8:1:2::/65", "2001:db8:1:2:8000::/65"];
    for prefixes in [&["2001:db8:1::/48"][..], &halves] {
        let ranges = prefixes.iter().map(|prefix| range(prefix, "lxcbr0")).collect();
        let mut host = started(with(|policy| policy.ranges = ranges));
        assert_eq!(routes(&host), [""; 0]);
        host.make_live(anywhere(), guest_mac(5));
        assert_eq!(routes(&host), only(anywhere()));
    }
    // A part of it is the guests'.
    let host = started(with(|policy| policy.ranges = vec![range("2001:db8:1:2::/65", "lxcbr0")]));
    assert_eq!(routes(&host), ["2001:db8:1:2::/65"]);
    // With a backstop, but not behind as much as half of the link.
    for (part, backstops) in [("2001:db8:1:2:8000::/65", 0), ("2001:db8:1:2:c000::/66", 1)] {
        let host = started(with(|policy| policy.ranges = vec![range(part, "lxcbr0")]));
        let unreachable = host.kernel.iter().filter(|route| route.kind == RouteKind::Unreachable);
        assert_eq!(unreachable.count(), backstops, "{part}");
    }
}

/// A provider's link can be smaller than a /64, and a range as large as that takes all of its stations away.
#[test]
fn one_that_covers_a_link_longer_than_a_64_is_no_other_case_where_a_station_is_known_on_it() {
    for (has_station, expected) in [(true, None), (false, Some("2001:db8:1:2:f::/112"))] {
        let mut host =
            Host::bare(with(|policy| policy.ranges = vec![range("2001:db8:1:2:f::/112", "lxcbr0")]));
        host.facts(usual_facts());
        let on_link = |prefix| {
            Fact::Route(KernelRoute { protocol: 2, metric: 256, ..route(prefix, RouteKind::Unicast(UP)) })
        };
        host.facts(vec![on_link(WHOLE), on_link("2001:db8:1:2:f::/112")]);
        if has_station {
            host.facts(vec![has(UP, "2001:db8:1:2:f::2/112")]);
        }
        host.input(Input::Synced);
        assert_eq!(routes(&host).first().map(String::as_str), expected);
    }
}

#[test]
fn one_that_has_the_router_in_it_takes_nothing_away() {
    // Docker's own example has the first /80 of a /64.
    let router = KernelRoute { next_hop: NextHop::Via(address("2001:db8:1:2::1")), ..default_route(UP) };
    let part = |change: fn(&mut RangePolicy)| {
        let mut range = range("2001:db8:1:2::/80", "lxcbr0");
        change(&mut range);
        let mut host = started(with(|policy| policy.ranges = vec![range]));
        host.facts(vec![Fact::Route(router.clone())]);
        host
    };
    let target = address("2001:db8:1:2::5");
    let mut host = part(|_| {});
    assert_eq!((routes(&host), host.engine.problems()), (vec![], &[][..]));
    host.make_live(target, guest_mac(5));
    assert_eq!(routes(&host), only(target));
    assert!(!host.answers_for(address("2001:db8:1:2::1")));
    host.facts(vec![Fact::RouteGone(router.clone())]);
    assert!(routes(&host).contains(&"2001:db8:1:2::/80".to_owned()), "{:?}", routes(&host));
    let told = part(|range| range.has_written_routes = true).engine.problems()[0].to_string();
    assert!(told.contains("contains the router or other hosts of the link of up0"), "{told}");
}

#[test]
fn one_route_over_the_link_is_refused_with_the_remedy_and_guests_are_served() {
    let problem = Problem::RouteOverLink(net(WHOLE), "lxcbr0".parse().unwrap(), "up0".parse().unwrap());
    let mut host = started(whole(|range| range.has_written_routes = true));
    assert_eq!(host.engine.problems(), std::slice::from_ref(&problem));
    assert!(problem.to_string().contains("write routes = \"guests\""), "{problem}");
    assert_eq!(routes(&host), [""; 0]);
    host.make_live(anywhere(), guest_mac(5));
    assert_eq!(routes(&host), only(anywhere()));
    // It is known only once the upstream's prefix is.
    host.facts(vec![
        Fact::AddressGone { link: UP, address: address("2001:db8:1:2::2") },
        Fact::RouteGone(KernelRoute { protocol: 2, metric: 256, ..route(WHOLE, RouteKind::Unicast(UP)) }),
    ]);
    assert!(host.events().contains(&Event::Solved(problem)));
    assert!(routes(&host).contains(&WHOLE.to_owned()), "{:?}", routes(&host));
}

#[test]
fn answers_for_everything_have_no_route_over_the_link_and_that_is_told() {
    let mut host = started(whole(|range| range.answer = Answer::Always));
    let problem = Problem::AlwaysOverLink(net(WHOLE), "lxcbr0".parse().unwrap(), "up0".parse().unwrap());
    assert_eq!((host.engine.problems(), routes(&host)), (&[problem][..], vec![]));
    assert!(!host.answers_for(anywhere()));
    assert_eq!(host.dropped(DropReason::RoutedBack), 1);
    let steps = host.engine.explain(anywhere(), host.now).steps;
    let remedy = steps.last().and_then(|step| step.remedy.clone()).unwrap();
    assert!(remedy.contains("`lone64 status` says why"), "it is not the administrator's to set: {remedy}");
}

#[test]
fn a_guest_with_the_address_of_a_neighbor_keeps_no_route_once_that_defends_it() {
    for announce in [Announce::Yes, Announce::No] {
        for is_proved in [true, false] {
            let mut policy = whole(|_| {});
            policy.upstreams[0].announce = announce;
            let mut host = started(policy);
            if is_proved {
                host.make_live(anywhere(), guest_mac(5));
            } else {
                host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), anywhere())));
            }
            host.pass(millis(10));
            let asked = host.probes();
            assert!(asked.iter().any(|sent| sent.is_dad() && sent.target == anywhere()), "the link is asked");
            host.input(Input::Advertisement(UP, reply(anywhere(), OWNER)));
            assert_eq!(routes(&host), [""; 0], "what is for the neighbor goes to the neighbor");
            assert!(!host.answers_for(anywhere()));
            // Not even while the guest goes on saying that it is there.
            for _ in 0..100 {
                host.advertise(anywhere(), guest_mac(5));
                host.pass(millis(50));
                for _ in host.probes().iter().filter(|sent| sent.is_dad()) {
                    host.input(Input::Advertisement(UP, reply(anywhere(), OWNER)));
                }
                assert_eq!(routes(&host), [""; 0]);
            }
            // The neighbor goes, and the guest has the address alone.
            host.guests.insert(anywhere(), guest_mac(5));
            host.pass(seconds(300));
            assert_eq!(routes(&host), only(anywhere()));
            assert!(host.answers_for(anywhere()));
        }
    }
}

#[test]
fn a_part_of_the_link_is_the_guests_whoever_else_has_an_address_in_it() {
    let mut policy = announcing();
    policy.ranges[0].routes = RangeRoutes::Guests;
    let mut host = started(policy);
    host.make_live(guest(5), guest_mac(5));
    host.input(Input::Advertisement(UP, reply(guest(5), OWNER)));
    assert!(routes(&host).contains(&format!("{}/128", guest(5))));
}

#[test]
fn neighbors_and_the_router_are_asked_for_downstream_and_never_routed_there() {
    let mut host = started(whole(|_| {}));
    let router = address("2001:db8:1:2::1");
    let next_hop = lone64::engine::facts::NextHop::Via(router);
    host.facts(vec![Fact::Route(KernelRoute { next_hop, ..default_route(UP) })]);
    for target in [router, address("2001:db8:1:2::9")] {
        assert!(!host.answers_for(target));
        host.pass(seconds(10));
        assert!(!host.answers_for(target) && routes(&host).is_empty(), "{target}");
    }
    // A guest that says so is not believed.
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), router)));
    host.advertise(router, guest_mac(5));
    assert_eq!((host.is_live(router), routes(&host)), (false, vec![]));
}

#[test]
fn another_prefix_takes_the_routes_along() {
    let mut host = started(suffix());
    host.make_live(anywhere(), guest_mac(5));
    host.facts(vec![
        has(UP, "2001:db8:9:9::2/64"),
        Fact::AddressGone { link: UP, address: address("2001:db8:1:2::2") },
        Fact::RouteGone(KernelRoute { protocol: 2, metric: 256, ..route(WHOLE, RouteKind::Unicast(UP)) }),
    ]);
    assert_eq!(routes(&host), [""; 0]);
    assert!(!host.answers_for(anywhere()));
    let moved = address("2001:db8:9:9:a00:ff:fe00:5");
    host.make_live(moved, guest_mac(5));
    assert_eq!(routes(&host), only(moved));
}

#[test]
fn an_upstream_with_a_single_address_has_the_64_around_it() {
    let mut host = Host::bare(suffix());
    let mut facts = usual_facts();
    facts.retain(|fact| *fact != has(UP, "2001:db8:1:2::2/64"));
    host.facts(facts);
    let connected = route(WHOLE, RouteKind::Unicast(BRIDGE));
    host.facts(vec![
        has(UP, "2001:db8:1:2::10/128"),
        has(BRIDGE, "2001:db8:1:2::1/64"),
        Fact::Route(KernelRoute { protocol: 2, metric: 256, ..connected }),
    ]);
    host.input(Input::Synced);
    assert_eq!(host.engine.policy().ranges[0].prefix, net(WHOLE));
    assert_eq!((routes(&host), host.engine.problems()), (vec![], &[][..]));
    host.make_live(anywhere(), guest_mac(5));
    assert!(host.answers_for(anywhere()));
    assert!(host.answers_for(address("2001:db8:1:2::1")), "the host's own address on the bridge");
    assert!(!host.answers_for(address("2001:db8:1:2::10")), "the kernel answers for the upstream's");
}

#[test]
fn all_of_the_link_is_not_the_hosts_own() {
    let own = |prefix: &str| {
        let lo = RangePolicy { answer: Answer::Always, ..range(prefix, "lo") };
        let mut host = started(with(|policy| policy.ranges = vec![lo]));
        let router = NextHop::Via(address("2001:db8:1:2::1"));
        // As the kernel has it of its own accord, where it forwards: the subnet-router anycast address (RFC 4291 §2.6.1).
        let anycast = route("2001:db8:1:2::/128", RouteKind::Local(UP));
        host.facts(vec![
            Fact::Route(KernelRoute { next_hop: router, ..default_route(UP) }),
            Fact::Route(KernelRoute { table: 255, protocol: 2, ..anycast }),
        ]);
        host
    };
    for prefix in [WHOLE, "2001:db8:1:2::/80"] {
        let mut host = own(prefix);
        assert_eq!(routes(&host), [""; 0], "{prefix}");
        let told = host.engine.problems()[0].to_string();
        assert!(told.contains("write a longer prefix"), "{told}");
        assert!(!host.answers_for(address("2001:db8:1:2::9")), "{prefix}");
        // With a route of the administrator's it is.
        let local = KernelRoute { table: 255, protocol: 3, ..route(prefix, RouteKind::Local(LO)) };
        host.facts(vec![Fact::Route(local)]);
        assert!(host.answers_for(address("2001:db8:1:2::9")), "{prefix}");
        assert_eq!(host.engine.problems(), []);
    }
    let mut host = own("2001:db8:1:2:d::/112");
    assert_eq!(routes(&host), ["2001:db8:1:2:d::/112"]);
    assert!(host.answers_for(address("2001:db8:1:2:d::9")));
}
