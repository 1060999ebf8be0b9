//! What is on the upstream's own link answers for itself: `always` is silent for it, a macvlan there has no guests of
//! ours, and no backstop takes it away.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use lone64::engine::facts::{
    Fact, IfIndex, KernelRoute, Link, LinkLayer, LinkState, Lower, NextHop, RouteKind,
};
use lone64::engine::policy::{Answer, Automatic, Downstream, Policy, RangePolicy, RangeRoutes};
use lone64::engine::{Expected, Input, Problem};
use lone64::wire::{DropReason, Mac};

use crate::host::{
    BRIDGE, BRIDGE_MAC, Host, LO, UP, address, bridge, dad, default_route, guest, guest_mac, has, link, live,
    net, range, route, usual_facts, with,
};

const SHIM: IfIndex = IfIndex(7);
const OTHER: IfIndex = IfIndex(8);
const STRANGER: Mac = Mac([2, 0, 0, 0, 0x5e, 1]);

/// The kernel's route to the /64 of the upstream, in this table.
pub fn connected(table: u32) -> Fact {
    let on_link = route("2001:db8:1:2::/64", RouteKind::Unicast(UP));
    Fact::Route(KernelRoute { protocol: 2, metric: 256, table, ..on_link })
}

fn routed(destination: &str, to: IfIndex) -> Fact {
    Fact::Route(KernelRoute { protocol: 2, metric: 256, ..route(destination, RouteKind::Unicast(to)) })
}

/// As `static` of ndppd is imported: every address, wherever the kernel's routes lead.
fn imported(prefix: &str) -> RangePolicy {
    RangePolicy {
        downstream: Downstream::Kernel,
        answer: Answer::Always,
        routes: RangeRoutes::None,
        backstop: false,
        ..range(prefix, "lxcbr0")
    }
}

fn serving(ranges: Vec<RangePolicy>) -> Policy {
    Policy { ranges, ..live() }
}

fn on_usual_link(policy: Policy) -> Host {
    let mut host = Host::new(policy);
    host.facts(vec![connected(254)]);
    host.take();
    host
}

fn backstops(host: &Host) -> BTreeSet<String> {
    let all = host.kernel.iter().filter(|route| route.kind == RouteKind::Unreachable);
    all.map(|route| route.destination.to_string()).collect()
}

fn macvlan(index: IfIndex, name: &str, lower: Lower) -> Link {
    Link { lower: Some(lower), ..link(index, name, LinkLayer::Ethernet(guest_mac(index.0 as u16))) }
}

fn here(link: IfIndex) -> Lower {
    Lower { namespace: None, link }
}

// ---- `always` and the way back ----

#[test]
fn always_leaves_what_the_kernel_routes_back_out_of_the_upstream_to_its_owner() {
    let mut host = on_usual_link(serving(vec![imported("2001:db8:1:2::/64")]));
    let stranger = address("2001:db8:1:2::77");
    assert!(!host.answers_for(stranger));
    host.solicit(dad(STRANGER, stranger));
    assert_eq!(host.answers(), [], "its check of its own address succeeds");
    assert_eq!(host.dropped(DropReason::RoutedBack), 2);
    let explained = host.engine.explain(stranger, host.now);
    assert_eq!(explained.outcome, Expected::Dropped(DropReason::RoutedBack));
    assert!(explained.steps.last().unwrap().value.contains("2001:db8:1:2::/64 leads back out of up0"));
}

#[test]
fn always_answers_for_what_the_kernel_routes_elsewhere_and_for_the_host() {
    let mut host = on_usual_link(serving(vec![imported("2001:db8:1:2::/64")]));
    host.facts(vec![
        routed("2001:db8:1:2:c::/112", BRIDGE),
        has(BRIDGE, "2001:db8:1:2:d::1/128"),
        Fact::Route(KernelRoute {
            table: 255,
            protocol: 3,
            ..route("2001:db8:1:2:e::/80", RouteKind::Local(LO))
        }),
    ]);
    for target in ["2001:db8:1:2:c::5", "2001:db8:1:2:d::1", "2001:db8:1:2:e::9"] {
        assert!(host.answers_for(address(target)), "{target}");
    }
    // The network of the guests is stopped.
    let Fact::Route(gone) = routed("2001:db8:1:2:c::/112", BRIDGE) else { unreachable!() };
    host.facts(vec![Fact::RouteGone(gone)]);
    assert!(!host.answers_for(guest(5)));
}

#[test]
fn always_is_silent_for_the_whole_link_where_only_a_default_route_leads_there() {
    let single = || {
        let mut facts = usual_facts();
        facts[4] = has(UP, "2001:db8:1:2::2/128");
        // The kernel makes a route of that.
        facts.push(routed("2001:db8:1:2::2/128", UP));
        facts
    };
    for halves in [&["2001:db8:1:2::/64"][..], &["2001:db8:1:2::/65", "2001:db8:1:2:8000::/65"]] {
        let mut host = Host::bare(serving(halves.iter().map(|half| imported(half)).collect()));
        host.facts(single());
        host.input(Input::Synced);
        for target in ["2001:db8:1:2::77", "2001:db8:1:2:9000::77"] {
            assert!(!host.answers_for(address(target)), "{halves:?} {target}");
        }
    }
}

#[test]
fn a_part_keeps_its_own_rules_inside_a_range_that_is_the_whole_link() {
    let part = range("2001:db8:1:2:c::/112", "lxcbr0");
    let part = RangePolicy { answer: Answer::Always, routes: RangeRoutes::None, ..part };
    let mut host = on_usual_link(serving(vec![imported("2001:db8:1:2::/64"), part]));
    assert!(host.answers_for(guest(5)), "its interface is named");
    assert!(!host.answers_for(address("2001:db8:1:2::77")));
    assert_eq!(backstops(&host), BTreeSet::from(["2001:db8:1:2:c::/112".to_owned()]));
}

#[test]
fn always_answers_for_a_part_of_the_link_that_may_be_translated() {
    let mut host =
        on_usual_link(serving(vec![RangePolicy { backstop: true, ..imported("2001:db8:1:2:c::/112") }]));
    assert!(host.answers_for(guest(5)));
    assert_eq!(backstops(&host), BTreeSet::new(), "the host's own programs reach it");
}

#[test]
fn always_with_an_interface_answers_once_its_route_is_in() {
    let mut host = on_usual_link(with(|policy| policy.ranges[0].answer = Answer::Always));
    assert_eq!(host.engine.bindings().may_lead_back, [false], "its route is in: no question costs a look");
    assert!(host.answers_for(guest(5)));
    let mut policy = with(|policy| policy.ranges[0].answer = Answer::Always);
    policy.ranges[0].backstop = false;
    let mut host = on_usual_link(policy);
    let foreign = KernelRoute { protocol: 3, ..route("2001:db8:1:2:c::/112", RouteKind::Unicast(UP)) };
    host.kernel = BTreeSet::from([foreign.clone()]);
    host.facts(vec![Fact::RouteReplaced(foreign)]);
    assert!(!host.answers_for(guest(5)), "another program's route keeps ours out, and leads back");
    assert_eq!(host.dropped(DropReason::RoutedBack), 1);
}

#[test]
fn always_behind_lo_answers_as_soon_as_the_host_takes_it() {
    let lo = RangePolicy {
        downstream: Downstream::Named("lo".parse().unwrap()),
        answer: Answer::Always,
        ..range("2001:db8:1:2:a::/80", "lo")
    };
    let mut host = on_usual_link(serving(vec![lo]));
    assert!(host.answers_for(address("2001:db8:1:2:a::9")));
}

#[test]
fn the_router_is_never_answered_for_in_any_mode() {
    for answer in [Answer::Live, Answer::Always] {
        let mut host = on_usual_link(with(|policy| policy.ranges[0].answer = answer));
        let next_hop = NextHop::Via(guest(1));
        host.facts(vec![Fact::Route(KernelRoute { next_hop, ..default_route(UP) })]);
        assert!(!host.answers_for(guest(1)), "{answer}");
        host.solicit(dad(STRANGER, guest(1)));
        assert_eq!((host.answers(), host.dropped(DropReason::Excluded)), (vec![], 2), "{answer}");
    }
}

// ---- Links that stand on the upstream ----

#[test]
fn a_macvlan_on_the_upstream_is_refused_by_name_and_left_out_of_a_pattern() {
    let mut host = on_usual_link(serving(vec![range("2001:db8:1:2:c::/112", "shim0")]));
    host.facts(vec![Fact::Link(macvlan(SHIM, "shim0", here(UP))), has(SHIM, "fe80::7/64")]);
    let [shim, up] = ["shim0", "up0"].map(|name| name.parse().unwrap());
    let refused = Problem::DownstreamBesideUpstream(net("2001:db8:1:2:c::/112"), shim, up);
    assert_eq!(host.engine.problems(), [refused]);
    assert!(!host.answers_for(guest(5)));
    assert_eq!(host.dropped(DropReason::NoDownstream), 1);
    let explained = host.engine.explain(guest(5), host.now);
    assert_eq!(explained.outcome, Expected::Dropped(DropReason::NoDownstream));
    assert!(explained.steps.last().unwrap().value.contains("shim0 is on the upstream's own link"));

    let mut globs = with(|policy| {
        policy.ranges[0].downstream = Downstream::Matching(vec!["*0".parse().unwrap()]);
        policy.ranges[0].routes = RangeRoutes::Guests;
    });
    globs.ranges[0].answer = Answer::Live;
    host.input(Input::Reload(Box::new(globs)));
    assert_eq!(host.engine.bindings().ranges[0].downstreams, [BRIDGE]);
    assert_eq!(host.engine.problems(), []);
}

#[test]
fn stations_on_any_link_that_shares_the_upstreams_are_left_alone() {
    let elsewhere = Lower { namespace: Some(0), link: IfIndex(5) };
    let plain = link(UP, "up0", LinkLayer::Ethernet(crate::host::UP_MAC));
    let between = || Fact::Link(macvlan(OTHER, "between", here(UP)));
    for (what, facts, is_beside) in [
        ("on top of it", vec![Fact::Link(macvlan(SHIM, "shim0", here(UP)))], true),
        ("on top of another that is", vec![between(), Fact::Link(macvlan(SHIM, "shim0", here(OTHER)))], true),
        (
            "the upstream is one too, on the same link",
            vec![
                Fact::Link(link(OTHER, "eth0", LinkLayer::Ethernet(guest_mac(8)))),
                Fact::Link(Link { lower: Some(here(OTHER)), ..plain.clone() }),
                Fact::Link(macvlan(SHIM, "shim0", here(OTHER))),
            ],
            true,
        ),
        (
            "the same, in a container",
            vec![
                Fact::Link(Link { lower: Some(elsewhere), ..plain.clone() }),
                Fact::Link(macvlan(SHIM, "shim0", elsewhere)),
            ],
            true,
        ),
        (
            "a port of the bridge that is the upstream",
            vec![Fact::Link(Link {
                master: Some(UP),
                ..link(SHIM, "shim0", LinkLayer::Ethernet(guest_mac(7)))
            })],
            true,
        ),
        (
            "on top of another link of that number, in another namespace",
            vec![Fact::Link(macvlan(SHIM, "shim0", Lower { namespace: Some(0), link: UP }))],
            false,
        ),
        ("on top of a downstream", vec![Fact::Link(macvlan(SHIM, "shim0", here(BRIDGE)))], false),
        ("a VLAN of it", vec![Fact::Link(link(SHIM, "shim0", LinkLayer::Ethernet(guest_mac(7))))], false),
    ] {
        let mut policy = live();
        policy.ranges.clear();
        policy.upstreams[0].automatic = Some(Automatic::default());
        let mut host = on_usual_link(policy);
        host.facts(facts);
        host.facts(vec![has(SHIM, "fe80::7/64"), routed("2001:db8:1:2:c::/112", SHIM)]);
        assert_eq!(host.engine.policy().ranges.is_empty(), is_beside, "automatic: {what}");
        host.ask(guest(5));
        assert_eq!(host.dropped(DropReason::NoRange), u64::from(is_beside), "{what}");

        let by_routes = RangePolicy {
            downstream: Downstream::Kernel,
            routes: RangeRoutes::None,
            ..live().ranges[0].clone()
        };
        host.input(Input::Reload(Box::new(serving(vec![by_routes]))));
        host.ask(guest(6));
        assert_eq!(host.dropped(DropReason::NoDownstream), u64::from(is_beside), "by routes: {what}");
    }
}

#[test]
fn an_address_of_the_host_on_a_macvlan_of_the_upstream_is_the_kernels_to_answer() {
    for answer in [Answer::Live, Answer::Always] {
        let mut policy = crate::host::announcing();
        policy.ranges[0].answer = answer;
        let mut host = on_usual_link(policy);
        host.facts(vec![Fact::Link(macvlan(SHIM, "shim0", here(UP))), has(SHIM, "2001:db8:1:2:c::7/128")]);
        host.pass(crate::host::seconds(5));
        assert_eq!(host.answers(), [], "it is not announced with another MAC");
        assert!(!host.answers_for(guest(7)));
        assert_eq!(host.dropped(DropReason::UpstreamAddress), 1, "{answer}");
        let explained = host.engine.explain(guest(7), host.now);
        assert_eq!(explained.outcome, Expected::Dropped(DropReason::UpstreamAddress));
    }
}

// ---- Backstops ----

#[test]
fn no_backstop_covers_what_is_on_the_upstreams_link() {
    let ranges = |prefixes: &[&str]| serving(prefixes.iter().map(|prefix| range(prefix, "lxcbr0")).collect());
    let router =
        |address: Ipv6Addr| Fact::Route(KernelRoute { next_hop: NextHop::Via(address), ..default_route(UP) });
    let single = has(UP, "2001:db8:1:2::2/128");
    for (what, prefixes, own, more, expected) in [
        ("a part of the link", &["2001:db8:1:2:c::/112"][..], None, vec![], &["2001:db8:1:2:c::/112"][..]),
        ("the upper half", &["2001:db8:1:2:8000::/65"], None, vec![], &[]),
        ("a quarter", &["2001:db8:1:2:8000::/66"], None, vec![], &["2001:db8:1:2:8000::/66"]),
        ("a routed prefix", &["2001:db8:9::/56"], None, vec![], &["2001:db8:9::/56"]),
        ("the link", &["2001:db8:1:2::/64"], None, vec![], &[]),
        ("more than the link", &["2001:db8:1::/48"], None, vec![], &[]),
        ("both halves", &["2001:db8:1:2::/65", "2001:db8:1:2:8000::/65"], None, vec![], &[]),
        ("the half with the host in it", &["2001:db8:1:2::/65"], None, vec![], &[]),
        ("the /64 of a host with a /128", &["2001:db8:1:2::/64"], Some(single.clone()), vec![], &[]),
        (
            "a half of it, and the rest",
            &["2001:db8:1:2:8000::/65", "2001:db8:1:2::/66", "2001:db8:1:2:4000::/66"],
            Some(single),
            vec![routed("2001:db8:1:2::2/128", UP)],
            &[],
        ),
        ("the router", &["2001:db8:1:2:c::/112"], None, vec![router(guest(1))], &[]),
        (
            "a prefix that a route puts on the link",
            &["2001:db8:1:2:c::/112"],
            None,
            vec![routed("2001:db8:1:2:c::/120", UP)],
            &[],
        ),
    ] {
        let mut facts = usual_facts();
        facts[4] = own.unwrap_or(facts[4].clone());
        let mut host = Host::bare(ranges(prefixes));
        host.facts(facts);
        host.facts(more);
        host.input(Input::Synced);
        assert_eq!(backstops(&host), expected.iter().map(ToString::to_string).collect(), "{what}");
    }
}

#[test]
fn a_backstop_comes_and_goes_with_what_is_on_the_upstreams_link() {
    let mut host = Host::new(live());
    assert_eq!(backstops(&host).len(), 1);
    host.facts(vec![has(UP, "2001:db8:1:2:c::9/64")]);
    assert_eq!(backstops(&host).len(), 0);
    host.facts(vec![Fact::AddressGone { link: UP, address: guest(9) }]);
    assert_eq!(backstops(&host).len(), 1);
}

#[test]
fn two_halves_by_suffix_have_no_backstop() {
    let suffix = |prefix: &str| RangePolicy {
        origin: lone64::engine::policy::Origin::Suffix,
        ..range(prefix, "lxcbr0")
    };
    let policy = Policy { suffixes: vec![suffix("::/65"), suffix("::8000:0:0:0/65")], ..serving(vec![]) };
    let host = Host::new(policy);
    assert_eq!(host.engine.policy().ranges.len(), 2);
    assert_eq!(backstops(&host), BTreeSet::new());
}

#[test]
fn another_table_has_a_backstop_only_where_the_upstreams_own_prefix_is_in_it() {
    let mut host = on_usual_link(with(|policy| policy.routes.table = 100));
    assert_eq!(backstops(&host).len(), 0);
    assert_eq!(host.kernel.len(), 1, "the range's route is there");
    host.facts(vec![connected(100)]);
    assert_eq!(backstops(&host).len(), 1);
}

// ---- Links without Neighbor Discovery ----

#[test]
fn behind_a_link_without_discovery_a_target_is_live_while_the_kernel_routes_it_there() {
    let quiet =
        |state| Fact::Link(Link { state, ..link(BRIDGE, "lxcbr0", LinkLayer::NoDiscovery(BRIDGE_MAC)) });
    let mut host = on_usual_link(live());
    host.facts(vec![quiet(LinkState::Up)]);
    assert!(host.answers_for(guest(5)), "its range is routed there");
    assert_eq!(host.probes(), []);
    host.facts(vec![quiet(LinkState::NoCarrier)]);
    assert!(!host.answers_for(guest(5)));
    host.facts(vec![bridge(LinkState::Up)]);
    assert!(!host.answers_for(guest(5)));
    assert_eq!(host.engine.counters().probes, 1, "with discovery it is asked");
}

#[test]
fn an_upstream_without_discovery_is_an_upstream_all_the_same() {
    let mut host = on_usual_link(live());
    host.facts(vec![Fact::Link(link(UP, "up0", LinkLayer::NoDiscovery(crate::host::UP_MAC)))]);
    assert_eq!(host.engine.problems(), []);
    host.make_live(guest(5), guest_mac(5));
    assert!(host.answers_for(guest(5)));
}

#[test]
fn a_list_or_a_pattern_of_which_all_is_refused_says_so_and_leaves_nothing_behind() {
    for patterns in [&["shim0"][..], &["shim*"], &["shim0", "nope"]] {
        let matching = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
        let mut policy = live();
        policy.ranges[0].downstream = Downstream::Matching(matching);
        let mut host = on_usual_link(policy);
        host.facts(vec![Fact::Link(macvlan(SHIM, "shim0", here(UP)))]);
        let told = host.engine.problems().first().map(ToString::to_string).unwrap_or_default();
        assert!(told.contains("shim0 (a macvlan"), "{patterns:?}: {told}");
        assert_eq!(backstops(&host).len(), 0, "{patterns:?}: stations there are reached");
        host.facts(vec![Fact::LinkGone(SHIM)]);
        let missing =
            host.engine.problems().iter().any(|problem| matches!(problem, Problem::DownstreamMissing(..)));
        assert_eq!(missing, patterns != ["shim*"], "{patterns:?}");
        assert_eq!(backstops(&host).len(), 1);
    }
}
