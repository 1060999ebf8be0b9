//! Addresses and prefixes that no guest can have.

use lone64::engine::facts::{Fact, KernelRoute, RouteKind};
use lone64::engine::guests::{Claim, Covered, Missing, Object};
use lone64::engine::policy::{Downstream, GuestAddresses, GuestPolicy, RangeRoutes};

use super::{identity, missing, policy};
use crate::host::{BRIDGE, Host, UP, address, default_route, has, net, range, route, with};

fn with_address(text: &str) -> Host {
    let listed = GuestAddresses::Listed(vec![address(text)]);
    let mut host = Host::new(policy(vec![GuestPolicy { addresses: listed, ..identity(5) }]));
    host.facts(vec![
        has(BRIDGE, "2001:db8:1:2:c::101/120"),
        has(BRIDGE, "2001:db8:1:2:c::205/127"),
        has(BRIDGE, "2001:db8:1:2:c::406/126"),
        Fact::Route(default_route(UP)),
    ]);
    host
}

#[test]
fn the_anycast_address_of_routers_is_no_guests_but_of_a_link_of_two() {
    let anycast = |text: &str| match missing(&with_address(text), "web5") {
        Some(Missing::Covers(_, Covered::Anycast(prefix))) => Some(prefix),
        None => None,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(anycast("2001:db8:1:2:c::"), Some(net("2001:db8:1:2:c::/112")), "of the range");
    assert_eq!(anycast("2001:db8:1:2:c::100"), Some(net("2001:db8:1:2:c::100/120")), "of the link");
    assert_eq!(anycast("2001:db8:1:2:c::204"), None, "RFC 6164 §6");
    assert_eq!(
        anycast("2001:db8:1:2:c::404"),
        Some(net("2001:db8:1:2:c::404/126")),
        "the smallest link with one"
    );
    assert_eq!(anycast("2001:db8:1:2:c::104"), None);
    assert_eq!(anycast("2001:db8:1:2:c::300"), None, "no link has that prefix");
}

#[test]
fn what_the_host_and_the_router_have_is_no_guests() {
    let covered = |text: &str| match missing(&with_address(text), "web5") {
        Some(Missing::Covers(_, covered)) => Some(covered),
        _ => None,
    };
    let own = address("2001:db8:1:2:c::101");
    assert_eq!(covered("2001:db8:1:2:c::101"), Some(Covered::Own(own)));
    assert_eq!(covered("2001:db8:1:2:c::102"), None);
}

fn claim(prefix: &str) -> Claim {
    Claim {
        object: Object::Prefix(net(prefix)),
        interface: "lxcbr0".parse().ok(),
        mac: None,
        via: Some(address("fe80::5")),
        until: None,
    }
}

#[test]
fn a_prefix_is_routed_to_a_guest_only_where_nothing_else_is() {
    let mut wanted = with(|policy| policy.ranges[0].routes = RangeRoutes::Guests);
    wanted.ranges.push(range("2001:db8:1:2:c::4000/116", "lxcbr0"));
    let mut host = Host::new(wanted);
    let foreign = |prefix: &str, next_hop| {
        Fact::Route(KernelRoute { protocol: 2, next_hop, ..route(prefix, RouteKind::Unicast(BRIDGE)) })
    };
    use lone64::engine::facts::NextHop::{OnLink, Via};
    host.facts(vec![
        foreign("2001:db8:1:2:c::5000/118", OnLink),
        foreign("2001:db8:1:2:c::6001/128", OnLink),
        foreign("2001:db8:1:2:c::7000/118", Via(address("fe80::7"))),
        has(BRIDGE, "2001:db8:1:2:c::8001/128"),
    ]);
    let covered = |prefix: &str| match host.engine.may_claim(&claim(prefix)) {
        Err(Missing::Covers(_, covered)) => Some(covered),
        Err(other) => panic!("{prefix}: {other:?}"),
        Ok(()) => None,
    };
    let name = "lxcbr0".parse().unwrap();
    let connected = Covered::Connected(net("2001:db8:1:2:c::5000/118"), name);
    assert_eq!(covered("2001:db8:1:2:c::4000/115"), Some(Covered::Range(net("2001:db8:1:2:c::4000/116"))));
    assert_eq!(covered("2001:db8:1:2:c::5000/116"), Some(connected));
    assert_eq!(covered("2001:db8:1:2:c::6000/116"), None, "one neighbor is no link");
    assert_eq!(covered("2001:db8:1:2:c::7000/116"), None, "behind a router is not on the link");
    assert_eq!(covered("2001:db8:1:2:c::8000/116"), Some(Covered::Own(address("2001:db8:1:2:c::8001"))));
    assert_eq!(covered("2001:db8:1:2:c::9000/116"), None);
}

#[test]
fn a_prefix_is_routed_only_where_guests_of_its_range_can_be() {
    let mut host = Host::new(with(|policy| {
        let range = &mut policy.ranges[0];
        (range.downstream, range.routes) = (Downstream::Kernel, RangeRoutes::Guests);
        range.exclude = vec![net("2001:db8:1:2:c::a000/116")];
    }));
    let led = |prefix: &str, link| {
        Fact::Route(KernelRoute { protocol: 3, ..route(prefix, RouteKind::Unicast(link)) })
    };
    host.facts(vec![led("2001:db8:1:2:c::/112", BRIDGE), led("2001:db8:1:2:c::b000/112", UP)]);
    let is_taken = |host: &Host, prefix: &str| host.engine.may_claim(&claim(prefix)).is_ok();
    assert!(is_taken(&host, "2001:db8:1:2:c::9000/116"));
    assert!(!is_taken(&host, "2001:db8:1:2:c::a000/116"), "it is excluded");
    host.facts(vec![
        Fact::RouteGone(KernelRoute {
            protocol: 3,
            ..route("2001:db8:1:2:c::/112", RouteKind::Unicast(BRIDGE))
        }),
        led("2001:db8:1:2:c::/112", UP),
    ]);
    assert!(!is_taken(&host, "2001:db8:1:2:c::9000/116"), "the kernel sends it back out of the upstream");
}
