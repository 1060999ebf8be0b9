//! Which of several routes leads to what is behind routers of guests, and whether it can.

use super::*;
use crate::host::{default_route, has, usual_facts};
use lone64::engine::policy::UpstreamInterface;

/// The kernel takes the one with the smaller metric, also while nobody is there.
#[test]
fn only_the_next_hop_of_the_route_that_decides_is_asked_and_counts() {
    let second = KernelRoute { metric: 2_048, ..to("fe80::6") };
    for routes in [[to("fe80::5"), second.clone()], [second, to("fe80::5")]] {
        let mut host = with_router(host(written(), &routes), "fe80::6", 6);
        let outputs = host.ask(behind(7));
        assert_eq!((asked(&outputs), advertisements(&outputs)), (vec![address("fe80::5")], vec![]));
        host.pass(seconds(4));
        assert_eq!((host.answers(), host.dropped(DropReason::Absent)), (vec![], 1));
    }
}

/// Nobody can be asked there, and the kernel keeps the route while a tunnel has no carrier.
#[test]
fn behind_a_tunnel_without_carrier_nobody_is_answered_for() {
    let mut policy = written();
    policy.ranges[0].downstream =
        Downstream::Matching(["lxcbr0", "wg0"].map(|name| name.parse().unwrap()).to_vec());
    policy.ranges[0].routes = RangeRoutes::Guests;
    let mut host = host(policy, &[via(PREFIX, "fe80::9", TUNNEL)]);
    assert!(host.answers_for(behind(7)));
    let silent =
        lone64::engine::facts::Link { state: LinkState::NoCarrier, ..link(TUNNEL, "wg0", LinkLayer::None) };
    host.facts(vec![Fact::Link(silent)]);
    assert!(!host.answers_for(behind(7)));
}

/// RFC 4861 §7.2.2: a question needs a source.
#[test]
fn where_there_is_no_address_to_ask_from_nobody_waits() {
    let mut host = Host::bare(written());
    let mut facts = usual_facts();
    facts.retain(|fact| !matches!(fact, Fact::Address(address) if address.link == BRIDGE));
    facts.push(Fact::Route(to("fe80::5")));
    host.facts(facts);
    host.input(Input::Synced);
    assert_eq!(asked(&host.ask(behind(7))), Vec::<Ipv6Addr>::new());
    assert_eq!(host.dropped(DropReason::NoDownstream), 1);
    host.facts(vec![has(BRIDGE, "fe80::5054:ff:fe00:b0/64")]);
    assert_eq!(asked(&host.ask(behind(7))), [address("fe80::5")]);
}

#[test]
fn one_whose_station_a_bridge_has_forgotten_is_asked() {
    let mut host = with_router(host(written(), &[to("fe80::5")]), "fe80::5", 5);
    assert!(host.answers_for(behind(7)));
    host.pass(seconds(3));
    host.take();
    host.facts(vec![Fact::StationGone { bridge: BRIDGE, mac: guest_mac(6) }]);
    assert_eq!(asked(&host.take()), Vec::<Ipv6Addr>::new());
    host.facts(vec![Fact::StationGone { bridge: BRIDGE, mac: guest_mac(5) }]);
    assert_eq!(asked(&host.take()), [address("fe80::5")]);
}

#[test]
fn the_groups_of_what_is_behind_a_next_hop_are_joined() {
    for policy in policies() {
        let host = host(policy, &[via("2001:db8:1:2:d::8/126", "fe80::5", BRIDGE)]);
        let joined = |number| {
            let group = lone64::wire::solicited_node(behind(number));
            host.engine.listened().any(|known| known == (UP, group))
        };
        assert_eq!([7, 8, 9, 10, 11, 12].map(joined), [false, true, true, true, true, false]);
    }
}

/// Several next hops of one route, of which the kernel takes any.
#[test]
fn where_one_of_several_next_hops_is_behind_a_tunnel_the_route_alone_counts() {
    let mut policy = written();
    policy.ranges[0].downstream =
        Downstream::Matching(["lxcbr0", "wg0"].map(|name| name.parse().unwrap()).to_vec());
    policy.ranges[0].routes = RangeRoutes::Guests;
    let (asked_first, silent) = (to("fe80::5"), via(PREFIX, "fe80::9", TUNNEL));
    for routes in [[asked_first.clone(), silent.clone()], [silent, asked_first]] {
        let mut host = host(policy.clone(), &routes);
        assert!(host.answers_for(behind(7)), "{routes:?}");
    }
}

#[test]
fn behind_the_next_hop_of_a_default_route_nobody_is() {
    let mut policy = written();
    policy.upstreams[0].interface = UpstreamInterface::Named("up0".parse().unwrap());
    (policy.ranges[0].routes, policy.ranges[0].backstop) = (RangeRoutes::None, false);
    let default = KernelRoute { metric: 1, ..via("::/0", "fe80::9", BRIDGE) };
    let mut host = host(policy, &[to("fe80::5"), default]);
    host.facts(vec![Fact::RouteGone(default_route(UP))]);
    assert_eq!(asked(&host.ask(guest(7))), [guest(7)]);
    assert_eq!(asked(&host.ask(behind(7))), [address("fe80::5")]);
}
