//! `ip -6 route replace`: the kernel says of the new route that it is there, and of the old one nothing.
use crate::host::*;
use lone64::engine::facts::*;
use lone64::engine::policy::*;
use lone64::engine::{Event, Output, Problem, RouteState};
use lone64::wire::Mac;

const OTHER: IfIndex = IfIndex(7);

fn two_bridges(policy: Policy) -> Host {
    let mut host = Host::new(policy);
    let mac = Mac([0x52, 0x54, 0, 0, 0, 0xb1]);
    host.facts(vec![Fact::Link(link(OTHER, "br1", LinkLayer::Ethernet(mac))), has(OTHER, "fe80::b1/64")]);
    host.take();
    host
}

fn foreign(link: IfIndex) -> KernelRoute {
    KernelRoute { protocol: 3, ..route("2001:db8:1:2:c::/112", RouteKind::Unicast(link)) }
}

#[test]
fn a_default_route_that_is_replaced_moves_the_upstream() {
    let mut host = Host::new(live());
    let mac = Mac([0x52, 0x54, 0, 0, 0, 0xa1]);
    host.facts(vec![
        Fact::Link(link(OTHER, "up1", LinkLayer::Ethernet(mac))),
        has(OTHER, "fe80::a1/64"),
        has(OTHER, "2001:db8:9::2/64"),
    ]);
    host.facts(vec![Fact::RouteReplaced(default_route(OTHER))]);
    assert_eq!(host.engine.upstream_links().collect::<Vec<_>>(), [OTHER]);
}

#[test]
fn our_own_route_that_somebody_replaced_is_told_to_be_kept_out_and_comes_back() {
    let mut host = two_bridges(live());
    let ours = route("2001:db8:1:2:c::/112", RouteKind::Unicast(BRIDGE));
    assert!(host.kernel.remove(&ours));
    host.kernel.insert(foreign(OTHER));
    host.facts(vec![Fact::RouteReplaced(foreign(OTHER))]);
    let state = |host: &Host| host.engine.routes().find(|(r, _)| *r == ours).map(|(_, state)| state);
    assert_eq!(state(&host), Some(RouteState::Conflict));
    assert!(
        host.events().iter().any(|event| matches!(event, Event::RouteConflict(r, Some(_)) if *r == ours))
    );
    host.kernel.remove(&foreign(OTHER));
    host.facts(vec![Fact::RouteGone(foreign(OTHER))]);
    assert_eq!(state(&host), Some(RouteState::Installed));
    assert!(host.kernel.contains(&ours));
}

#[test]
fn the_route_of_a_guest_that_somebody_replaced_comes_back_when_that_goes() {
    let mut host = two_bridges(with(|policy| policy.ranges[0].routes = RangeRoutes::Guests));
    host.make_live(guest(5), guest_mac(5));
    let ours = route(&format!("{}/128", guest(5)), RouteKind::Unicast(BRIDGE));
    let theirs = KernelRoute { protocol: 3, kind: RouteKind::Unicast(OTHER), ..ours.clone() };
    assert!(host.kernel.remove(&ours));
    host.kernel.insert(theirs.clone());
    host.facts(vec![Fact::RouteReplaced(theirs.clone())]);
    let state = |host: &Host| host.engine.routes().find(|(r, _)| *r == ours).map(|(_, state)| state);
    assert_eq!(state(&host), Some(RouteState::Conflict));
    host.kernel.remove(&theirs);
    host.facts(vec![Fact::RouteGone(theirs)]);
    assert!(host.kernel.contains(&ours));
}

#[test]
fn what_is_in_the_way_and_is_replaced_and_removed_is_in_the_way_no_more() {
    let mut host = Host::bare(live());
    host.kernel.insert(foreign(OTHER));
    let mut facts = usual_facts();
    facts.push(Fact::Route(foreign(OTHER)));
    host.facts(facts);
    host.input(lone64::engine::Input::Synced);
    let second = foreign(IfIndex(9));
    host.kernel.remove(&foreign(OTHER));
    host.facts(vec![Fact::RouteReplaced(second.clone())]);
    host.facts(vec![Fact::RouteGone(second)]);
    let ours = route("2001:db8:1:2:c::/112", RouteKind::Unicast(BRIDGE));
    assert!(host.kernel.contains(&ours), "nothing is in the way, and ours is not put in");
}

#[test]
fn a_range_by_the_kernels_routes_moves_with_a_route_that_is_replaced() {
    let mut host = two_bridges(with(|policy| {
        policy.ranges[0].downstream = Downstream::Kernel;
        policy.ranges[0].routes = RangeRoutes::None;
    }));
    host.facts(vec![Fact::Route(foreign(BRIDGE))]);
    host.facts(vec![Fact::RouteReplaced(foreign(OTHER))]);
    let outputs = host.ask(guest(5));
    assert!(matches!(outputs[..], [Output::Solicit(on, _)] if on == OTHER), "{outputs:?}");
}

#[test]
fn where_it_is_open_which_of_several_routes_was_replaced_everything_is_read_again() {
    let mut host = two_bridges(live());
    let via = |router: &str| KernelRoute { next_hop: NextHop::Via(address(router)), ..foreign(OTHER) };
    let on_link = KernelRoute { metric: 7, ..foreign(OTHER) };
    let beside = KernelRoute { metric: 7, ..via("fe80::9") };
    host.facts(vec![Fact::Route(on_link.clone()), Fact::Route(beside.clone())]);
    host.take();
    host.facts(vec![Fact::RouteReplaced(KernelRoute { metric: 7, ..via("fe80::a") })]);
    assert!(host.take().contains(&Output::Resync));
}

#[test]
fn routes_of_an_interface_that_is_switched_off_are_gone_without_a_word() {
    // net.ipv6.route.skip_notify_on_dev_down.
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].downstream = Downstream::Kernel;
        policy.ranges[0].routes = RangeRoutes::None;
    }));
    host.facts(vec![Fact::Route(foreign(BRIDGE))]);
    host.make_live(guest(5), guest_mac(5));
    host.facts(vec![bridge(LinkState::Down)]);
    host.facts(vec![bridge(LinkState::Up)]);
    assert_eq!(probes(&host.ask(guest(5))), [], "no route leads there any more");
    host.facts(vec![Fact::Route(foreign(BRIDGE))]);
    assert_eq!(probes(&host.ask(guest(5))).len(), 1);
}

#[test]
fn what_replaces_a_route_beside_the_guests_is_nothing_to_it() {
    let mut host = two_bridges(with(|policy| policy.ranges[0].routes = RangeRoutes::Guests));
    host.make_live(guest(5), guest_mac(5));
    let ours = route(&format!("{}/128", guest(5)), RouteKind::Unicast(BRIDGE));
    let beside = KernelRoute { protocol: 3, kind: RouteKind::Unicast(OTHER), ..ours.clone() };
    for theirs in [
        KernelRoute { metric: ours.metric + 1, ..beside.clone() },
        KernelRoute { table: 52, ..beside.clone() },
        KernelRoute { destination: net("2001:db8:1:2:c::/112"), ..beside },
    ] {
        host.facts(vec![Fact::RouteReplaced(theirs.clone())]);
        let state = host.engine.routes().find(|(known, _)| *known == ours).map(|(_, state)| state);
        assert_eq!(state, Some(RouteState::Installed), "{theirs}");
        assert!(!host.take().iter().any(|output| matches!(output, Output::ChangeRoute(_))), "{theirs}");
    }
}

/// Somebody gives a route the protocol of ours.
#[test]
fn a_route_that_one_of_ours_replaces_leads_nobody_there_any_more() {
    let tunnel = IfIndex(8);
    let mut host = Host::new(with(|policy| {
        policy.ranges = vec![range("2001:db8:1:2:c::/112", "wg0")];
        policy.ranges[0].routes = RangeRoutes::None;
    }));
    let ours = route("2001:db8:1:2:c::/120", RouteKind::Unicast(tunnel));
    let theirs = KernelRoute { protocol: 3, ..ours.clone() };
    host.facts(vec![Fact::Link(link(tunnel, "wg0", LinkLayer::None)), Fact::Route(theirs)]);
    assert_eq!(host.engine.problems(), []);
    host.kernel.insert(ours.clone());
    host.facts(vec![Fact::RouteReplaced(ours)]);
    let nobody = Problem::NobodyToAsk(net("2001:db8:1:2:c::/112"), "wg0".parse().unwrap());
    assert_eq!(host.engine.problems(), [nobody]);
}
