//! Which routes and interfaces a plan follows, and what of a range stays while another part of the plan changes.

use lone64::engine::facts::{Fact, IfIndex, KernelRoute, Link, LinkLayer, LinkState, NextHop, RouteKind};
use lone64::engine::policy::{
    Automatic, Downstream, GatewaySource, LeftOut, Origin, Policy, RangeRoutes, UpstreamInterface,
};
use lone64::engine::{Ended, Event, Input, Output, Problem, Role};
use lone64::wire::Mac;

use crate::host::{
    BRIDGE, BRIDGE_MAC, Host, UP, UP_MAC, address, guest, guest_mac, has, link, live, net, probes, range,
    route, upstream, usual_facts, with,
};

const TAP: IfIndex = IfIndex(7);
const SECOND: IfIndex = IfIndex(9);

fn connected(prefix: &str, link: IfIndex) -> KernelRoute {
    KernelRoute { protocol: 2, metric: 256, ..route(prefix, RouteKind::Unicast(link)) }
}

fn tap(state: LinkState) -> Fact {
    let tap = link(TAP, "tap7", LinkLayer::Ethernet(Mac([0x52, 0x54, 0, 0, 0, 7])));
    Fact::Link(Link { state, ..tap })
}

/// The usual range, behind the usual bridge or a tap.
fn on_two_links() -> Policy {
    let patterns = ["lxcbr0", "tap*"].map(|name| name.parse().unwrap());
    with(|policy| policy.ranges[0].downstream = Downstream::Matching(patterns.to_vec()))
}

#[test]
fn routes_matter_that_could_make_a_range_and_no_others() {
    let of = |is_suffix: bool, is_automatic: bool, left_out| {
        with(|policy| {
            policy.upstreams[0].automatic = is_automatic.then(Automatic::default);
            policy.upstreams[0].left_out = left_out;
            policy.suffixes.extend(is_suffix.then(|| range("::c:0:0:0/112", "lxcbr0")));
        })
    };
    let on_link = |prefix| connected(prefix, BRIDGE);
    let via = |prefix| KernelRoute { next_hop: NextHop::Via(address("fe80::9")), ..on_link(prefix) };
    let refused = KernelRoute { kind: RouteKind::Unreachable, ..on_link("2001:db8::/40") };
    for policy in [of(true, false, LeftOut::OnPurpose), of(false, true, LeftOut::OnPurpose)] {
        let follows = |route: &KernelRoute| policy.could_follow(route);
        assert!(follows(&on_link("2001:db8::/40")) && follows(&via("2001:db8:1:2::/64")));
        assert!(!follows(&via("2001:db8::/40")) && !follows(&refused));
        assert!(!follows(&on_link("ff00::/8")) && !follows(&on_link("fe80::/64")));
    }
    let named = of(false, false, LeftOut::Named);
    assert!(!named.could_follow(&on_link("2001:db8::/40")) && named.could_follow(&via("2001:db8:1:2::/64")));
    let none = of(false, false, LeftOut::OnPurpose);
    assert!(!none.could_follow(&via("2001:db8:1:2::/64")));
}

#[test]
fn a_range_by_suffix_is_of_the_upstream_whose_64_it_is_under() {
    let mut host = Host::bare(with(|policy| {
        policy.ranges.clear();
        policy.upstreams.push(upstream(UpstreamInterface::Named("up1".parse().unwrap())));
        policy.suffixes = vec![range("::c:0:0:0/112", "lxcbr0")];
    }));
    host.facts(usual_facts());
    host.facts(vec![
        Fact::Link(link(SECOND, "up1", LinkLayer::Ethernet(Mac([0x52, 0x54, 0, 0, 0, 9])))),
        has(SECOND, "2001:db8:9:9::2/64"),
    ]);
    host.input(Input::Synced);
    let ranges = host.engine.policy().ranges.iter();
    let mut found: Vec<_> = ranges.map(|range| (range.prefix, range.upstream, range.origin)).collect();
    found.sort_by_key(|(prefix, ..)| *prefix);
    let of = |prefix: &str, name: &str| (net(prefix), name.parse().ok(), Origin::Suffix);
    assert_eq!(found, [of("2001:db8:1:2:c::/112", "up0"), of("2001:db8:9:9:c::/112", "up1")]);
}

#[test]
fn one_that_is_being_asked_for_goes_on_where_another_interface_of_its_range_comes() {
    let mut host = Host::new(on_two_links());
    assert_eq!(probes(&host.ask(guest(5))).len(), 1);
    host.facts(vec![tap(LinkState::Up), has(TAP, "fe80::7/64")]);
    let outputs = host.take();
    let asked = outputs.iter().filter(|output| matches!(output, Output::Solicit(BRIDGE, _)));
    assert_eq!(asked.count(), 0, "it was asked a moment ago");
}

#[test]
fn a_pattern_that_means_the_upstream_makes_no_guests_of_what_is_behind_it() {
    let mut host = Host::bare(with(|policy| {
        let patterns = vec!["*".parse().unwrap()];
        policy.ranges[0].downstream = Downstream::Matching(patterns);
    }));
    host.facts(usual_facts());
    host.facts(vec![Fact::Link(Link { is_bridge: true, ..link(UP, "up0", LinkLayer::Ethernet(UP_MAC)) })]);
    host.input(Input::Synced);
    assert_eq!(host.engine.bindings().ranges[0].downstreams, [BRIDGE]);
}

#[test]
fn of_two_veths_in_a_row_into_the_upstreams_bridge_both_are_on_its_link() {
    let bridge = |index, name| Link {
        is_bridge: true,
        ..link(index, name, LinkLayer::Ethernet(Mac([0x52, 0x54, 1, 0, 0, 1])))
    };
    let [near, far] = [IfIndex(20), IfIndex(21)];
    let end = |index: u32, peer: u32, master| {
        let number = u16::try_from(index).unwrap();
        let plain = link(IfIndex(index), &format!("veth{index}"), LinkLayer::Ethernet(guest_mac(number)));
        Fact::Link(Link { peer: Some(IfIndex(peer)), master: Some(master), ..plain })
    };
    let mut host = Host::new(with(|policy| policy.ranges = vec![range("2001:db8:1:2:c::/112", "far0")]));
    host.facts(vec![
        Fact::Link(Link { is_bridge: true, ..link(UP, "up0", LinkLayer::Ethernet(UP_MAC)) }),
        Fact::Link(bridge(near, "near0")),
        Fact::Link(bridge(far, "far0")),
        // The one that is further away is looked at first.
        end(10, 11, near),
        end(11, 10, far),
        end(12, 13, UP),
        end(13, 12, near),
    ]);
    assert_eq!(host.engine.bindings().ranges[0].downstreams, []);
}

#[test]
fn an_address_of_the_host_that_is_found_has_the_interface_that_it_is_on() {
    let dummy = IfIndex(12);
    let mut host = Host::new(with(|policy| {
        policy.ranges.clear();
        policy.upstreams[0].automatic = Some(Automatic::default());
    }));
    host.facts(vec![
        Fact::Route(connected("2001:db8:1:2::/64", UP)),
        Fact::Link(link(dummy, "dummy0", LinkLayer::Ethernet(guest_mac(12)))),
        has(dummy, "2001:db8:1:2:e::1/128"),
    ]);
    let places = &host.engine.bindings().ranges;
    assert_eq!(places.iter().map(|place| &place.downstreams[..]).collect::<Vec<_>>(), [[dummy]]);
}

#[test]
fn a_written_address_of_the_host_is_served_where_it_is_on_a_bridge() {
    let mut host = Host::new(with(|policy| policy.ranges = vec![range("2001:db8:1:2:c::1/128", "lxcbr0")]));
    let bridge = Link { is_bridge: true, ..link(BRIDGE, "lxcbr0", LinkLayer::Ethernet(BRIDGE_MAC)) };
    host.facts(vec![
        Fact::Link(bridge),
        Fact::Route(connected("2001:db8:1:2::/64", UP)),
        has(BRIDGE, "2001:db8:1:2:c::1/128"),
    ]);
    assert_eq!(host.engine.idle(), None);
}

#[test]
fn nothing_that_is_on_every_link_is_proposed_where_nothing_else_is() {
    let mut host = Host::new(Policy { ranges: Vec::new(), ..live() });
    host.facts(vec![Fact::Route(connected("fe80::/64", UP)), Fact::Route(connected("ff00::/8", UP))]);
    assert_eq!(host.engine.idle().unwrap().on_link, None);
}

/// Docker's network beside the usual range, and what is known of networks that nobody serves.
fn with_docker(policy: Policy, further: Vec<Fact>) -> Host {
    let mut host = Host::bare(policy);
    host.facts([usual_facts(), further].concat());
    host.facts(vec![
        Fact::Link(link(TAP, "docker0", LinkLayer::Ethernet(Mac([2, 0, 0, 0, 0, 0xd])))),
        has(TAP, "fe80::d/64"),
        Fact::Route(connected("2001:db8:1:2::/64", UP)),
        Fact::Route(connected("2001:db8:1:2:d::/80", TAP)),
    ]);
    host.input(Input::Synced);
    host
}

#[test]
fn the_only_upstream_is_not_named_in_the_range_that_would_serve() {
    let mut facts = usual_facts();
    facts[4] = has(UP, "2001:db8:1:2::2/128");
    let host = with_docker(live(), vec![Fact::AddressGone { link: UP, address: address("2001:db8:1:2::2") }]);
    let lines: Vec<_> = host.engine.unserved().iter().map(|network| network.lines()).collect();
    assert_eq!(lines, ["[[range]]\nprefix = \"2001:db8:1:2:d::/80\"\ninterface = \"docker0\"\n"]);
}

#[test]
fn a_network_that_a_range_leaves_out_is_told_to_be_left_alone_not_served() {
    let mut host = with_docker(live(), Vec::new());
    assert_eq!(host.engine.unserved().len(), 1);
    host.take();
    host.input(Input::Reload(Box::new(with(|policy| {
        let mut around = range("2001:db8:1:2:d::/79", "lxcbr0");
        (around.exclude, around.routes) = (vec![net("2001:db8:1:2:d::/80")], RangeRoutes::None);
        policy.ranges.push(around);
    }))));
    let ended: Vec<_> = host
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::UnservedEnded(_, ended) => Some(ended),
            _ => None,
        })
        .collect();
    assert_eq!(ended, [Ended::Gone]);
}

/// The prefixes of which neighbors are heard on the upstream.
fn heard_neighbors(change: impl FnOnce(&mut Policy)) -> Vec<String> {
    let host = &mut Host::bare(with(change));
    host.facts(usual_facts());
    host.input(Input::Synced);
    let ears = host.take().into_iter().filter_map(|output| match output {
        Output::Listen(UP, ear) => Some(ear.role),
        _ => None,
    });
    let Some(Role::Upstream { neighbors, .. }) = ears.last() else { panic!("it is heard") };
    neighbors.iter().map(ToString::to_string).collect()
}

#[test]
fn the_router_is_heard_where_it_shows_whether_it_takes_what_is_claimed() {
    use lone64::engine::policy::Announce;
    let with_source = |source, announce| {
        heard_neighbors(|policy| {
            policy.upstreams[0].gateway_source = source;
            policy.upstreams[0].announce = announce;
        })
    };
    assert_eq!(with_source(GatewaySource::Kernel, Announce::No), [] as [&str; 0]);
    assert_eq!(with_source(GatewaySource::Kernel, Announce::Yes), ["fe80::1/128"]);
    assert_eq!(with_source(GatewaySource::Auto, Announce::No), ["fe80::1/128"]);
}

#[test]
fn what_is_routed_to_a_tunnel_that_is_not_of_the_range_joins_no_group() {
    let [own, other] = [IfIndex(30), IfIndex(31)];
    let policy = with(|policy| {
        let patterns = ["lxcbr0", "wg0"].map(|name| name.parse().unwrap());
        policy.ranges[0].downstream = Downstream::Matching(patterns.to_vec());
        policy.ranges[0].routes = RangeRoutes::None;
    });
    let joined = |leads_to: IfIndex, policy: Policy| {
        let mut host = Host::bare(policy);
        host.facts(usual_facts());
        host.facts(vec![
            Fact::Link(link(own, "wg0", LinkLayer::None)),
            Fact::Link(link(other, "wg1", LinkLayer::None)),
            Fact::Route(connected("2001:db8:1:2:c::99/128", leads_to)),
        ]);
        host.input(Input::Synced);
        host.engine.listened().any(|(_, group)| group == lone64::wire::solicited_node(guest(0x99)))
    };
    assert!(joined(own, policy.clone()) && !joined(other, policy.clone()));
    let follows = with(|policy| {
        policy.ranges[0].downstream = Downstream::Kernel;
        policy.ranges[0].routes = RangeRoutes::None;
    });
    assert!(joined(other, follows));
}

#[test]
fn a_network_whose_first_address_the_host_has_is_named_all_the_same() {
    let host = with_docker(live(), vec![has(TAP, "2001:db8:1:2:d::/80")]);
    assert_eq!(host.engine.unserved().len(), 1);
}

#[test]
fn a_next_hop_counts_behind_an_interface_of_its_range_and_is_known_while_a_route_leads_there() {
    let via = |destination: &str, link, hop: &str| {
        Fact::Route(KernelRoute { next_hop: NextHop::Via(address(hop)), ..connected(destination, link) })
    };
    let mut host = Host::new(with(|policy| policy.ranges[0].routes = RangeRoutes::None));
    host.facts(vec![tap(LinkState::Up), has(TAP, "fe80::7/64")]);
    host.facts(vec![
        via("2001:db8:1:2:c::20/124", TAP, "fe80::9"),
        via("2001:db8:1:2:c::30/124", BRIDGE, "fe80::5"),
    ]);
    let hops = |host: &Host| {
        host.engine.known_hops().map(|(hop, state)| (hop.link, state.is_some())).collect::<Vec<_>>()
    };
    assert_eq!(hops(&host), [(BRIDGE, false)]);
    host.guests.insert(address("fe80::5"), guest_mac(5));
    host.ask(guest(0x33));
    assert_eq!(hops(&host), [(BRIDGE, true)]);
    // Another route changes nothing of that; its own end does.
    host.facts(vec![via("2001:db8:1:2:c::40/124", BRIDGE, "fe80::6")]);
    assert_eq!(hops(&host), [(BRIDGE, true), (BRIDGE, false)]);
    let Fact::Route(first) = via("2001:db8:1:2:c::30/124", BRIDGE, "fe80::5") else { panic!() };
    host.facts(vec![Fact::RouteGone(first.clone())]);
    host.facts(vec![Fact::Route(first)]);
    assert_eq!(hops(&host), [(BRIDGE, false); 2], "what was known of it is of before");
}

#[test]
fn guests_behind_a_tunnel_lack_a_route_also_where_one_leads_elsewhere() {
    let tunnel = IfIndex(30);
    let mut host = Host::new(with(|policy| {
        policy.ranges = vec![range("2001:db8:1:2:c::/112", "wg0")];
        policy.ranges[0].routes = RangeRoutes::None;
    }));
    let to = |link| Fact::Route(connected("2001:db8:1:2:c::5/128", link));
    host.facts(vec![Fact::Link(link(tunnel, "wg0", LinkLayer::None)), to(BRIDGE)]);
    let lacks = |host: &Host| host.engine.problems().iter().any(|p| matches!(p, Problem::NobodyToAsk(..)));
    assert!(lacks(&host));
    host.facts(vec![to(tunnel)]);
    assert!(!lacks(&host));
}

#[test]
fn so_does_a_single_guest_there_and_not_the_host_itself() {
    let tunnel = IfIndex(30);
    let mut host = Host::new(with(|policy| {
        policy.ranges = vec![range("2001:db8:1:2:c::5/128", "wg0")];
        policy.ranges[0].routes = RangeRoutes::None;
    }));
    host.facts(vec![Fact::Link(link(tunnel, "wg0", LinkLayer::None))]);
    let lacks = |host: &Host| host.engine.problems().iter().any(|p| matches!(p, Problem::NobodyToAsk(..)));
    assert!(lacks(&host));
    host.facts(vec![has(tunnel, "2001:db8:1:2:c::5/128")]);
    assert!(!lacks(&host));
}

#[test]
fn a_range_over_a_part_of_the_link_with_the_router_in_it_has_no_route() {
    let routed = |upstreams: &str, router: &str| {
        let mut host = Host::bare(live());
        let mut facts = usual_facts();
        facts[4] = has(UP, upstreams);
        let to_router = NextHop::Via(address(router));
        let Some(Fact::Route(first)) = facts.pop() else { panic!() };
        facts.push(Fact::Route(KernelRoute { next_hop: to_router, ..first }));
        host.facts(facts);
        host.input(Input::Synced);
        host.kernel.contains(&route("2001:db8:1:2:c::/112", RouteKind::Unicast(BRIDGE)))
    };
    assert!(!routed("2001:db8:1:2:c::2/112", "2001:db8:1:2:c::1"));
    assert!(routed("2001:db8:1:2:d::2/112", "2001:db8:1:2:d::1"));
}
