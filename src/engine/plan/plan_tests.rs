//! A plan alone: a policy and a host in, values out.

use super::*;
use crate::engine::facts::{Address, AddressState, Fact, KernelRoute, Link, NextHop, RouteKind};
use crate::engine::host::Delta;
use crate::engine::policy::{Automatic, Limits, RoutePolicy, Timers, UpstreamInterface, UpstreamPolicy};
use crate::wire::Mac;

const UP: IfIndex = IfIndex(2);
const BRIDGE: IfIndex = IfIndex(3);

fn net(text: &str) -> Ipv6Net {
    text.parse().expect("a prefix")
}

fn route(destination: &str, link: IfIndex, next_hop: NextHop) -> KernelRoute {
    let (kind, table, protocol) = (RouteKind::Unicast(link), 254, 2);
    KernelRoute { destination: net(destination), kind, next_hop, table, protocol, metric: 256, source: None }
}

/// An upstream with a /64, a bridge with a /112 out of it.
fn host() -> Host {
    let (mut host, mut delta) = (Host::default(), Delta::default());
    let router = "fe80::1".parse().expect("an address");
    for (index, name) in [(UP, "up0"), (BRIDGE, "br0")] {
        let layer = LinkLayer::Ethernet(Mac([2, 0, 0, 0, 0, index.0 as u8]));
        let name = name.parse().expect("a name");
        host.learn(
            Fact::Link(Link {
                index,
                name,
                state: LinkState::Up,
                layer,
                master: None,
                lower: None,
                peer: None,
                is_bridge: false,
                leads_to_one: false,
                group: 0,
                vrf: None,
            }),
            &mut delta,
        );
    }
    let address = Address {
        link: UP,
        address: "2001:db8::2".parse().expect("an address"),
        prefix_len: 64,
        state: AddressState::Preferred,
        protocol: 0,
    };
    host.learn(Fact::Address(address), &mut delta);
    host.learn(Fact::Route(route("::/0", UP, NextHop::Via(router))), &mut delta);
    host.learn(Fact::Route(route("2001:db8::c:0:0:0/112", BRIDGE, NextHop::OnLink)), &mut delta);
    host
}

fn automatic() -> Policy {
    let automatic = Some(Automatic::default());
    let upstream = UpstreamPolicy { automatic, ..UpstreamPolicy::new(UpstreamInterface::DefaultRoute) };
    Policy {
        upstreams: vec![upstream],
        ranges: Vec::new(),
        suffixes: Vec::new(),
        routes: RoutePolicy::default(),
        timers: Timers::default(),
        limits: Limits::default(),
        guests: Vec::new(),
        nft_sets: false,
    }
}

fn made(host: &Host) -> Plan {
    made_after(host, &[])
}

fn made_after(host: &Host, before: &[Upstream]) -> Plan {
    make(Grounds { written: &automatic(), host, ours: &Ours::new(64) }, before)
}

/// In what a plan of this host differs, made step by step.
fn changes_since(before: &Plan, host: &Host) -> Changes {
    let mut making = Making::default();
    loop {
        let grounds = Grounds { written: &automatic(), host, ours: &Ours::new(64) };
        match making.go_on(grounds, before) {
            Ok((_, changes)) => return changes,
            Err(rest) => making = rest,
        }
    }
}

#[test]
fn the_default_route_says_which_upstream_and_the_others_which_ranges() {
    let plan = made(&host());
    let upstreams: Vec<_> = plan.bindings.upstreams.iter().map(|upstream| upstream.link).collect();
    let ranges: Vec<_> =
        plan.served().map(|(range, place)| (range.prefix, place.downstreams.clone())).collect();
    assert_eq!(upstreams, [UP]);
    assert_eq!(ranges, [(net("2001:db8::c:0:0:0/112"), vec![BRIDGE])]);
    let target = "2001:db8::c:0:0:5".parse().expect("an address");
    assert!(plan.may_live(target, BRIDGE, &host()) && !plan.may_live(target, UP, &host()));
    assert_eq!(plan.upstream_of(target).map(|upstream| upstream.link), Some(UP));
}

#[test]
fn a_plan_of_the_same_host_is_the_same_and_changes_name_what_is_another() {
    let mut host = host();
    let before = made(&host);
    assert!(changes_since(&before, &host).is_empty());
    let (mut delta, host_before) = (Delta::default(), self::host());
    host.learn(Fact::Route(route("2001:db8::a:0:0:0/112", BRIDGE, NextHop::OnLink)), &mut delta);
    let changes = changes_since(&before, &host);
    assert_eq!(changes.ranges.keys().copied().collect::<Vec<_>>(), [net("2001:db8::a:0:0:0/112")]);
    assert!(changes.ranges.values().all(|(old, new)| old.is_none() && new.is_some()));
    let back = changes_since(&made(&host), &host_before);
    assert!(back.ranges.values().all(|(old, new)| old.is_some() && new.is_none()));
    assert!(!changes.are_upstreams_new);
}

#[test]
fn routes_of_our_own_make_no_range() {
    let mut host = host();
    let ours = KernelRoute { protocol: 64, ..route("2001:db8::b:0:0:0/112", BRIDGE, NextHop::OnLink) };
    host.learn(Fact::Route(ours), &mut Delta::default());
    assert_eq!(made(&host).policy.ranges.len(), 1);
}

#[test]
fn an_upstream_stays_one_while_its_default_route_is_gone_for_a_moment() {
    let mut host = host();
    let before = made(&host);
    let router = "fe80::1".parse().expect("an address");
    host.learn(Fact::RouteGone(route("::/0", UP, NextHop::Via(router))), &mut Delta::default());
    let plan = made_after(&host, &before.bindings.upstreams);
    assert_eq!(plan.bindings, before.bindings);
    assert!(changes_since(&before, &host).is_empty());
    assert_eq!(made(&host).bindings.upstreams, []);
}

#[test]
fn many_changes_are_taken_in_parts() {
    let plan = made(&host());
    assert!(Changes::none_but(&plan, 0, 9).split_off(1).is_none());
    assert!(Changes::none_but(&plan, 1, 9).is_empty());
    let mut two = Changes::default();
    two.ranges.insert(net("2001:db8::/112"), Default::default());
    two.ranges.insert(net("2001:db8::1:0/112"), Default::default());
    let rest = two.split_off(1).expect("one is left");
    assert_eq!((two.ranges.len(), rest.ranges.len()), (1, 1));
}

#[test]
fn thousands_of_changes_are_found_step_by_step_and_all_of_them() {
    let (mut host, mut delta) = (host(), Delta::default());
    let before = made(&host);
    let networks: Vec<_> = (0..1_500).map(|n| format!("2001:db8:0:0:d:{n:x}::/96")).collect();
    for network in &networks {
        host.learn(Fact::Route(route(network, BRIDGE, NextHop::OnLink)), &mut delta);
    }
    let changes = changes_since(&before, &host);
    assert_eq!(changes.ranges.len(), networks.len());
    assert!(changes.ranges.values().all(|(old, new)| old.is_none() && new.is_some()));
    let after = made(&host);
    // The first and the last are others, and what is between them is alike: it is none of the changes.
    host.learn(Fact::RouteGone(route(&networks[0], BRIDGE, NextHop::OnLink)), &mut delta);
    host.learn(Fact::RouteGone(route("2001:db8::c:0:0:0/112", BRIDGE, NextHop::OnLink)), &mut delta);
    let changes = changes_since(&after, &host);
    let gone = [net("2001:db8::c:0:0:0/112"), net(&networks[0])];
    assert_eq!(changes.ranges.keys().copied().collect::<Vec<_>>(), gone);
    assert!(changes.ranges.values().all(|(old, new)| old.is_some() && new.is_none()));
}
