//! What the kernel says in one burst ends as if it had been said one by one.
use core::net::Ipv6Addr;
use std::collections::BTreeSet;

use crate::host::*;
use lone64::engine::facts::*;
use lone64::engine::policy::*;
use lone64::engine::{Input, Output, Standing, State};
use lone64::wire::Mac;
use proptest::prelude::*;

const OTHER: IfIndex = IfIndex(7);

fn found(number: u16) -> Fact {
    let (address, mac, state) = (guest(number), Some(guest_mac(number)), NeighborState::Reachable);
    Fact::Neighbor(Neighbor { link: BRIDGE, address, mac, state })
}

fn up(state: LinkState) -> Fact {
    Fact::Link(Link { state, ..link(UP, "up0", LinkLayer::Ethernet(UP_MAC)) })
}

#[test]
fn a_guest_that_was_found_before_its_link_went_down_is_not_live() {
    let mut host = Host::new(live());
    host.facts(vec![
        found(5),
        bridge(LinkState::Down),
        Fact::NeighborGone { link: BRIDGE, address: guest(5) },
    ]);
    assert!(!host.is_live(guest(5)) && !host.answers_for(guest(5)));
}

#[test]
fn a_guest_that_is_heard_on_a_link_that_is_down_is_not_answered_for() {
    let mut host = Host::new(live());
    host.facts(vec![bridge(LinkState::Down)]);
    // Still in the socket's queue.
    host.advertise(guest(5), guest_mac(5));
    assert!(!host.answers_for(guest(5)));
}

#[test]
fn a_downstream_that_is_deleted_and_made_again_is_listened_to_again() {
    let mut host = Host::new(live());
    host.facts(vec![
        Fact::LinkGone(BRIDGE),
        Fact::Link(link(BRIDGE, "lxcbr0", LinkLayer::Ethernet(BRIDGE_MAC))),
        has(BRIDGE, "fe80::5054:ff:fe00:b0/64"),
    ]);
    let outputs = host.take();
    let at = |wanted: &dyn Fn(&Output) -> bool| outputs.iter().position(wanted);
    let closed = at(&|output| matches!(output, Output::Unlisten(BRIDGE)));
    let opened = at(&|output| matches!(output, Output::Listen(BRIDGE, _)));
    assert!(closed.is_some() && closed < opened, "the old socket is deaf: {outputs:?}");
}

#[test]
fn an_upstream_that_is_deleted_and_made_again_is_listened_to_and_joined_again() {
    let mut host = Host::new(with(|policy| {
        policy.upstreams = vec![upstream(UpstreamInterface::Named("up0".parse().unwrap()))];
    }));
    host.make_live(guest(5), guest_mac(5));
    host.facts(vec![
        Fact::LinkGone(UP),
        Fact::Link(link(UP, "up0", LinkLayer::Ethernet(UP_MAC))),
        has(UP, "fe80::5054:ff:fe00:1/64"),
        has(UP, "2001:db8:1:2::2/64"),
    ]);
    let outputs = host.take();
    assert!(outputs.iter().any(|output| matches!(output, Output::Listen(UP, _))), "deaf: {outputs:?}");
    assert_eq!(crate::host::reports::begun(&outputs).len(), 1);
}

#[test]
fn an_upstream_that_was_down_for_a_moment_is_announced_on_again() {
    for bursts in [
        vec![vec![up(LinkState::NoCarrier), up(LinkState::Up)]],
        vec![vec![up(LinkState::NoCarrier)], vec![up(LinkState::Up)]],
    ] {
        let mut host = Host::new(announcing()).with_guest(guest(5), guest_mac(5));
        host.make_live(guest(5), guest_mac(5));
        host.pass(seconds(10));
        host.take();
        bursts.into_iter().for_each(|burst| host.facts(burst));
        host.pass(seconds(5));
        assert!(!host.answers().is_empty(), "nothing is announced");
    }
}

#[test]
fn an_announcement_does_not_begin_before_its_head_start() {
    let mut host = Host::new(announcing());
    host.make_live(guest(5), guest_mac(5));
    host.take();
    host.input(Input::Timeout);
    assert!(host.probes().is_empty(), "those who have asked are answered first");
    host.pass(millis(1));
    assert_eq!(host.probes().len(), 1, "the link is asked");
}

fn a_fact() -> impl Strategy<Value = Fact> {
    let state =
        prop::sample::select(vec![LinkState::Up, LinkState::Up, LinkState::Down, LinkState::NoCarrier]);
    let nud =
        prop::sample::select(vec![NeighborState::Reachable, NeighborState::Stale, NeighborState::Failed]);
    let on = prop::sample::select(vec![BRIDGE, BRIDGE, OTHER]);
    let routes = (prop::sample::select(vec![BRIDGE, OTHER]), any::<bool>()).prop_map(|(link, whole)| {
        let prefix = if whole { "2001:db8:1:2:c::/112" } else { "2001:db8:1:2:c::2/128" };
        // Never in the way of ours.
        KernelRoute { protocol: 3, metric: 7, ..route(prefix, RouteKind::Unicast(link)) }
    });
    prop_oneof![
        3 => state.clone().prop_map(bridge),
        1 => state.clone().prop_map(up),
        1 => Just(Fact::LinkGone(BRIDGE)),
        1 => Just(has(BRIDGE, "fe80::5054:ff:fe00:b0/64")),
        3 => (1u16..4, nud, on).prop_map(|(number, state, link)| {
            let (address, mac) = (guest(number), Some(guest_mac(number)));
            Fact::Neighbor(Neighbor { link, address, mac, state })
        }),
        1 => (1u16..4).prop_map(|number| has(BRIDGE, &format!("{}/128", guest(number)))),
        1 => (1u16..4).prop_map(|number| Fact::AddressGone { link: BRIDGE, address: guest(number) }),
        2 => (routes, 0u8..3).prop_map(|(route, said)| match said {
            0 => Fact::Route(route),
            1 => Fact::RouteReplaced(route),
            _ => Fact::RouteGone(route),
        }),
        1 => (1u16..4).prop_map(|n| Fact::StationGone { bridge: BRIDGE, mac: guest_mac(n) }),
    ]
}

fn a_policy() -> impl Strategy<Value = Policy> {
    prop::sample::select(vec![
        announcing(),
        with(|policy| {
            policy.ranges[0].downstream = Downstream::Kernel;
            policy.ranges[0].routes = RangeRoutes::None;
        }),
        with(|policy| {
            policy.ranges[0].downstream =
                Downstream::Matching(vec!["lxc*".parse().unwrap(), "br*".parse().unwrap()]);
            policy.ranges[0].routes = RangeRoutes::Guests;
        }),
        with(|policy| {
            policy.ranges.clear();
            policy.upstreams[0].automatic = Some(Automatic::default());
        }),
    ])
}

fn standing(host: &Host, target: Ipv6Addr) -> Option<Standing> {
    host.engine.target(target).map(|state: State| state.standing())
}

/// Everything that is known and wanted at the end, but for these guests.
fn end(host: &Host, left_out: &BTreeSet<Ipv6Addr>) -> impl PartialEq + std::fmt::Debug + use<> {
    let counted = (1..4).map(guest).filter(|target| !left_out.contains(target));
    let targets: Vec<Option<Standing>> = counted.map(|target| standing(host, target)).collect();
    let ranges: Vec<_> = host.engine.policy().ranges.iter().map(|range| range.prefix).collect();
    let is_counted = |route: &KernelRoute| {
        route.destination.prefix_len() < 128 || !left_out.contains(&route.destination.addr())
    };
    let routes: BTreeSet<_> = host.engine.routes().map(|(route, _)| route).filter(is_counted).collect();
    (targets, ranges, routes, host.engine.upstream_links().collect::<Vec<_>>())
}

/// The kernel says these one by one. The guests that ended because a route led elsewhere.
fn one_by_one(host: &mut Host, facts: Vec<Fact>) -> BTreeSet<Ipv6Addr> {
    let live = |host: &Host| (1..4).map(guest).filter(|target| host.is_live(*target)).collect();
    let mut led_away = BTreeSet::new();
    for fact in facts {
        let is_route = matches!(fact, Fact::Route(_) | Fact::RouteReplaced(_) | Fact::RouteGone(_));
        let before: BTreeSet<Ipv6Addr> = live(host);
        host.facts(vec![fact]);
        if is_route {
            led_away.extend(before.difference(&live(host)));
        }
    }
    led_away
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    /// But for one guest: a route that leads elsewhere ends it, and does not if it has come and gone within the burst.
    /// Then it is where routes lead again.
    #[test]
    fn facts_in_one_burst_end_as_the_same_facts_one_by_one(
        policy in a_policy(), facts in prop::collection::vec(a_fact(), 1..9),
    ) {
        let new = || {
            let mut host = Host::new(policy.clone());
            let mac = Mac([0x52, 0x54, 0, 0, 0, 0xb1]);
            host.facts(vec![
                Fact::Link(link(OTHER, "br1", LinkLayer::Ethernet(mac))),
                has(OTHER, "fe80::b1/64"),
            ]);
            host
        };
        let (mut burst, mut each) = (new(), new());
        burst.facts(facts.clone());
        let led_away = one_by_one(&mut each, facts);
        let stayed = |target: &Ipv6Addr| standing(&burst, *target) != standing(&each, *target);
        let stayed: BTreeSet<Ipv6Addr> = led_away.into_iter().filter(stayed).collect();
        for target in &stayed {
            let link = standing(&burst, *target).and_then(|standing| standing.live()).map(|place| place.link);
            prop_assert!(link.is_some() && link == burst.engine.leads_to(*target, UP), "{:?}", target);
        }
        prop_assert_eq!(end(&burst, &stayed), end(&each, &stayed));
        // Also what they do afterwards is the same.
        burst.pass(seconds(3));
        each.pass(seconds(3));
        prop_assert_eq!(end(&burst, &stayed), end(&each, &stayed));
    }
}
