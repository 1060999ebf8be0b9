//! A range of one address: its route has the shape of a guest's, and is the range's all the same.

use crate::host::*;
use lone64::engine::facts::*;
use lone64::engine::policy::*;
use lone64::engine::{Change, Input, Output, RouteState};

fn of(prefix: &str, routes: RangeRoutes) -> Policy {
    with(|policy| policy.ranges[0] = RangePolicy { routes, ..range(prefix, "lxcbr0") })
}

fn one() -> Policy {
    of("2001:db8:1:2:c::5/128", RangeRoutes::Range)
}

fn many() -> Policy {
    of("2001:db8:1:2:c::/112", RangeRoutes::Guests)
}

fn its_route() -> KernelRoute {
    route("2001:db8:1:2:c::5/128", RouteKind::Unicast(BRIDGE))
}

fn state(host: &Host) -> Option<RouteState> {
    host.engine.routes().find(|(route, _)| *route == its_route()).map(|(_, state)| state)
}

fn changes(outputs: &[Output]) -> Vec<Change> {
    let change = |output: &Output| match output {
        Output::ChangeRoute(change) => Some(change.clone()),
        _ => None,
    };
    outputs
        .iter()
        .filter_map(change)
        .filter(|change| {
            let (Change::Add(route) | Change::Remove(route)) = change;
            *route == its_route()
        })
        .collect()
}

#[track_caller]
fn is_kept(host: &Host) {
    assert!(host.kernel.contains(&its_route()), "{:?}", host.kernel);
    assert_eq!(state(host), Some(RouteState::Installed));
}

#[test]
fn has_its_route_with_and_without_its_guest() {
    let mut host = Host::new(one());
    is_kept(&host);
    host.make_live(guest(5), guest_mac(5));
    is_kept(&host);
    host.guests.clear();
    host.pass(seconds(600));
    assert!(!host.is_live(guest(5)));
    is_kept(&host);
    assert_eq!(host.engine.leads_to(guest(5), UP), Some(BRIDGE), "the engine knows where it leads");
}

#[test]
fn has_it_back_when_somebody_removes_it() {
    let mut host = Host::new(one());
    host.kernel.remove(&its_route());
    host.facts(vec![Fact::RouteGone(its_route())]);
    is_kept(&host);
}

#[test]
fn takes_over_the_route_that_a_predecessor_left() {
    let mut host = Host::bare(one());
    host.kernel.insert(its_route());
    host.facts(usual_facts());
    host.facts(vec![Fact::Route(its_route())]);
    host.input(Input::Synced);
    assert_eq!(changes(&host.take()), []);
    is_kept(&host);
}

#[test]
fn takes_over_the_route_of_its_guest_and_gives_it_back() {
    let mut host = Host::new(many());
    host.guests.insert(guest(5), guest_mac(5));
    host.make_live(guest(5), guest_mac(5));
    is_kept(&host);
    for policy in [one(), many(), one()] {
        host.input(Input::Reload(Box::new(policy)));
        assert_eq!(changes(&host.take()), [], "there is a way at every moment");
        is_kept(&host);
    }
    host.input(Input::Reload(Box::new(of("2001:db8:1:2:d::/112", RangeRoutes::Range))));
    assert!(!host.kernel.contains(&its_route()));
    assert_eq!(state(&host), None);
}

#[test]
fn follows_its_guests_interface() {
    const OTHER: IfIndex = IfIndex(7);
    let mac = lone64::wire::Mac([0x52, 0x54, 0, 0, 0, 0xb1]);
    let mut host = Host::new(one());
    host.facts(vec![Fact::Link(link(OTHER, "br1", LinkLayer::Ethernet(mac))), has(OTHER, "fe80::b1/64")]);
    host.input(Input::Reload(Box::new(with(|policy| {
        policy.ranges[0] = range("2001:db8:1:2:c::5/128", "br1");
    }))));
    assert!(!host.kernel.contains(&its_route()));
    assert!(host.kernel.contains(&KernelRoute { kind: RouteKind::Unicast(OTHER), ..its_route() }));
}

#[test]
fn goes_with_the_daemon() {
    let mut host = Host::new(one());
    host.input(Input::Stop);
    assert!(host.kernel.is_empty(), "{:?}", host.kernel);
}

#[test]
fn gives_way_to_a_foreign_route_and_comes_back() {
    let mut host = Host::new(one());
    let foreign = KernelRoute { protocol: 3, kind: RouteKind::Unicast(LO), ..its_route() };
    host.kernel.remove(&its_route());
    host.kernel.insert(foreign.clone());
    host.facts(vec![Fact::RouteReplaced(foreign.clone())]);
    assert_eq!(state(&host), Some(RouteState::Conflict));
    host.kernel.remove(&foreign);
    host.facts(vec![Fact::RouteGone(foreign)]);
    is_kept(&host);
}

#[test]
fn stays_where_a_route_of_ours_goes_that_was_another() {
    let mut host = Host::new(many());
    host.guests.insert(guest(5), guest_mac(5));
    host.make_live(guest(5), guest_mac(5));
    host.facts(vec![Fact::RouteGone(KernelRoute { kind: RouteKind::Unicast(UP), ..its_route() })]);
    assert_eq!(changes(&host.take()), []);
    is_kept(&host);
}

#[test]
fn leaves_its_guest_one_where_it_went_with_its_interface() {
    const OTHER: IfIndex = IfIndex(7);
    let mac = lone64::wire::Mac([0x52, 0x54, 0, 0, 0, 0xb1]);
    let mut policy = many();
    policy.ranges.push(range("2001:db8:1:2:c::5/128", "br1"));
    let mut host = Host::new(policy);
    host.facts(vec![Fact::Link(link(OTHER, "br1", LinkLayer::Ethernet(mac))), has(OTHER, "fe80::b1/64")]);
    assert!(host.kernel.contains(&KernelRoute { kind: RouteKind::Unicast(OTHER), ..its_route() }));
    host.facts(vec![Fact::LinkGone(OTHER)]);
    host.input(Input::Reload(Box::new(many())));
    host.make_live(guest(5), guest_mac(5));
    is_kept(&host);
}
