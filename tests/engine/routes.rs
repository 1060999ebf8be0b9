//! The routes that are kept in the kernel: wanted, in conflict, put back, and given back at the end.

use std::collections::BTreeSet;

use lone64::engine::facts::{Fact, KernelRoute, LinkState, RouteKind};
use lone64::engine::policy::{Downstream, OnStop, RangeRoutes};
use lone64::engine::{Change, Event, Input, Output, RouteState};

use crate::host::{BRIDGE, Host, LO, UP, bridge, guest, guest_mac, live, net, route, usual_facts, with};

const BACKSTOP_METRIC: u32 = (1 << 24) - 1;

fn range_route() -> KernelRoute {
    route("2001:db8:1:2:c::/112", RouteKind::Unicast(BRIDGE))
}

fn backstop() -> KernelRoute {
    KernelRoute { metric: BACKSTOP_METRIC, ..route("2001:db8:1:2:c::/112", RouteKind::Unreachable) }
}

fn changes(outputs: &[Output]) -> Vec<Change> {
    let change = |output: &Output| match output {
        Output::ChangeRoute(change) => Some(change.clone()),
        _ => None,
    };
    outputs.iter().filter_map(change).collect()
}

fn states(host: &Host) -> Vec<(KernelRoute, RouteState)> {
    host.engine.routes().map(|(route, state)| (route.clone(), state)).collect()
}

/// The kernel loses or gets a route without our doing.
fn behind_our_back(host: &mut Host, fact: Fact) {
    match &fact {
        Fact::Route(route) => drop(host.kernel.insert(route.clone())),
        Fact::RouteGone(route) => drop(host.kernel.remove(route)),
        _ => unreachable!("only routes change behind our back"),
    }
    host.facts(vec![fact]);
}

#[test]
fn before_everything_is_known_nothing_is_changed() {
    let mut host = Host::bare(live());
    host.facts(usual_facts());
    assert_eq!(changes(&host.take()), []);
    host.input(Input::Synced);
    assert_eq!(changes(&host.take()), [Change::Add(range_route()), Change::Add(backstop())]);
}

#[test]
fn a_range_has_its_route_and_its_backstop_and_they_are_told() {
    let mut host = Host::bare(live());
    host.facts(usual_facts());
    host.input(Input::Synced);
    assert_eq!(host.kernel, BTreeSet::from([range_route(), backstop()]));
    assert_eq!(states(&host), [(range_route(), RouteState::Installed), (backstop(), RouteState::Installed)]);
    assert_eq!(host.events(), [Event::RouteInstalled(range_route()), Event::RouteInstalled(backstop())]);
}

#[test]
fn which_routes_there_are_is_the_policys_choice() {
    for (routes, has_backstop, expected) in [
        (RangeRoutes::Range, true, vec![range_route(), backstop()]),
        (RangeRoutes::Range, false, vec![range_route()]),
        (RangeRoutes::None, true, vec![backstop()]),
        (RangeRoutes::None, false, vec![]),
    ] {
        let host = Host::new(with(|policy| {
            policy.ranges[0].routes = routes;
            policy.ranges[0].backstop = has_backstop;
        }));
        assert_eq!(host.kernel, BTreeSet::from_iter(expected), "{routes:?} {has_backstop}");
    }
}

#[test]
fn protocol_table_and_metric_are_those_of_the_policy() {
    let mut host = Host::new(with(|policy| {
        policy.routes.protocol = 99;
        policy.routes.table = 77;
        policy.routes.metric = 5;
    }));
    host.facts(vec![crate::own_link::connected(77)]);
    let ours = KernelRoute { protocol: 99, table: 77, metric: 5, ..range_route() };
    assert!(host.kernel.contains(&ours));
    assert!(host.kernel.contains(&KernelRoute { protocol: 99, table: 77, ..backstop() }));
}

#[test]
fn behind_lo_the_route_is_local_and_needs_no_backstop() {
    let host =
        Host::new(with(|policy| policy.ranges[0].downstream = Downstream::Named("lo".parse().unwrap())));
    assert_eq!(host.kernel, BTreeSet::from([route("2001:db8:1:2:c::/112", RouteKind::Local(LO))]));
}

#[test]
fn a_downstream_that_is_missing_or_down_has_no_route_but_the_backstop_stays() {
    for end in [bridge(LinkState::Down), Fact::LinkGone(BRIDGE)] {
        let mut host = Host::new(live());
        host.kernel.remove(&range_route());
        host.facts(vec![Fact::RouteGone(range_route()), end.clone()]);
        assert_eq!(host.kernel, BTreeSet::from([backstop()]), "{end:?}");
        host.facts(vec![bridge(LinkState::Up)]);
        assert_eq!(host.kernel, BTreeSet::from([range_route(), backstop()]), "{end:?}");
    }
}

#[test]
fn a_bridge_without_a_carrier_keeps_its_route() {
    let mut host = Host::new(live());
    host.facts(vec![bridge(LinkState::NoCarrier)]);
    assert_eq!(changes(&host.take()), []);
}

#[test]
fn what_somebody_removes_is_put_back_at_once() {
    for ours in [range_route(), backstop()] {
        let mut host = Host::new(live());
        behind_our_back(&mut host, Fact::RouteGone(ours.clone()));
        assert_eq!(changes(&host.take()), [Change::Add(ours.clone())]);
        assert!(host.kernel.contains(&ours));
    }
}

#[test]
fn what_a_killed_predecessor_left_is_adopted_and_what_is_too_much_is_removed() {
    let left_over = route("2001:db8:1:2:d::/112", RouteKind::Unicast(BRIDGE));
    let mut host = Host::bare(live());
    host.kernel = BTreeSet::from([range_route(), left_over.clone()]);
    host.facts(usual_facts());
    host.facts(vec![Fact::Route(range_route()), Fact::Route(left_over.clone())]);
    host.input(Input::Synced);
    assert_eq!(changes(&host.take()), [Change::Add(backstop()), Change::Remove(left_over)]);
    assert_eq!(host.kernel, BTreeSet::from([range_route(), backstop()]));
}

#[test]
fn a_foreign_route_in_the_way_is_a_conflict_and_stays() {
    let foreign = KernelRoute { protocol: 3, ..route("2001:db8:1:2:c::/112", RouteKind::Unicast(UP)) };
    let mut host = Host::bare(live());
    let beside = KernelRoute { metric: 7, ..foreign.clone() };
    host.kernel.extend([foreign.clone(), beside.clone()]);
    host.facts(usual_facts());
    host.facts(vec![Fact::Route(beside), Fact::Route(foreign.clone())]);
    host.input(Input::Synced);
    assert!(host.events().contains(&Event::RouteConflict(range_route(), Some(foreign.clone()))));
    assert!(states(&host).contains(&(range_route(), RouteState::Conflict)));
    assert_eq!(host.engine.in_the_way_of(&range_route()), Some(&foreign));
    assert!(host.kernel.contains(&foreign));
}

/// A host that has served since another's route was in the place of ours.
fn with_one_in_the_way() -> (Host, KernelRoute) {
    let foreign = KernelRoute { protocol: 3, ..route("2001:db8:1:2:c::/112", RouteKind::Unicast(UP)) };
    let mut host = Host::bare(live());
    host.kernel.insert(foreign.clone());
    host.facts(usual_facts());
    host.facts(vec![Fact::Route(foreign.clone())]);
    host.input(Input::Synced);
    host.take();
    (host, foreign)
}

#[test]
fn while_it_is_in_the_way_ours_is_not_tried_again_and_when_it_goes_ours_comes() {
    let (mut host, foreign) = with_one_in_the_way();
    host.facts(vec![bridge(LinkState::Up)]);
    assert_eq!(host.take(), []);
    behind_our_back(&mut host, Fact::RouteGone(foreign));
    assert!(host.kernel.contains(&range_route()));
}

#[test]
fn an_equal_route_of_the_kernels_own_is_enough() {
    let connected = KernelRoute { protocol: 2, metric: 256, ..range_route() };
    let mut host = Host::bare(live());
    host.kernel.insert(connected.clone());
    host.facts(usual_facts());
    host.facts(vec![Fact::Route(connected.clone())]);
    host.input(Input::Synced);
    assert_eq!(changes(&host.take()), [Change::Add(backstop())]);
    behind_our_back(&mut host, Fact::RouteGone(connected));
    assert!(host.kernel.contains(&range_route()), "until it goes");
}

#[test]
fn foreign_routes_are_never_touched() {
    let foreign = [
        KernelRoute { protocol: 3, ..route("2001:db8:1:2:c::5/128", RouteKind::Unicast(BRIDGE)) },
        KernelRoute { protocol: 2, ..route("2001:db8:1:2::/64", RouteKind::Unicast(UP)) },
        KernelRoute { protocol: 186, ..route("2001:db8:1:2:c::/112", RouteKind::Unreachable) },
    ];
    let mut host = Host::bare(live());
    host.kernel.extend(foreign.clone());
    host.facts(usual_facts());
    host.facts(foreign.iter().cloned().map(Fact::Route).collect());
    host.input(Input::Synced);
    host.input(Input::Stop);
    assert!(foreign.iter().all(|route| host.kernel.contains(route)));
    assert!(
        changes(&host.take())
            .iter()
            .all(|change| !matches!(change, Change::Remove(r) if foreign.contains(r)))
    );
}

#[test]
fn at_the_end_all_of_ours_are_removed_the_backstop_last() {
    let mut host = Host::new(live());
    host.input(Input::Stop);
    assert_eq!(changes(&host.take()), [Change::Remove(range_route()), Change::Remove(backstop())]);
    assert!(host.kernel.is_empty());
}

#[test]
fn after_the_end_nothing_is_put_back() {
    let mut host = Host::new(live());
    host.input(Input::Stop);
    host.take();
    host.facts(vec![Fact::RouteGone(range_route()), bridge(LinkState::Up)]);
    assert_eq!(changes(&host.take()), []);
}

#[test]
fn with_on_stop_keep_they_stay() {
    let mut host = Host::new(with(|policy| policy.routes.on_stop = OnStop::Keep));
    host.input(Input::Stop);
    assert_eq!(host.take(), []);
    assert_eq!(host.kernel, BTreeSet::from([range_route(), backstop()]));
}

#[test]
fn a_burst_of_facts_that_changes_nothing_changes_no_route() {
    let mut host = Host::new(live());
    for _ in 0..3 {
        host.facts(usual_facts());
    }
    assert_eq!(changes(&host.take()), []);
}

#[test]
fn routes_that_concern_no_range_are_not_remembered() {
    let mut host = Host::new(live());
    let elsewhere = KernelRoute { protocol: 3, ..route("2001:db8:ffff::/48", RouteKind::Unicast(BRIDGE)) };
    host.facts(vec![Fact::Route(elsewhere.clone())]);
    assert_eq!(host.engine.in_the_way_of(&KernelRoute { protocol: 64, ..elsewhere }), None);
    assert!(!net("2001:db8:1:2:c::/112").contains(&net("2001:db8:ffff::/48")));
}

#[test]
fn the_kernel_is_told_nothing_twice_while_it_has_not_answered() {
    // Straight at the engine: this kernel is slow.
    let mut engine = lone64::engine::Engine::new(live(), [1, 2]);
    let now = lone64::engine::Time::ORIGIN;
    engine.handle(Input::Facts(usual_facts()), now);
    engine.handle(Input::Synced, now);
    engine.handle(Input::Facts(vec![bridge(LinkState::Up)]), now);
    let outputs: Vec<_> = std::iter::from_fn(|| engine.poll_output()).collect();
    assert_eq!(changes(&outputs), [Change::Add(range_route()), Change::Add(backstop())]);
}

#[test]
fn a_route_that_the_kernel_refused_is_told_and_tried_again_with_the_next_news() {
    let mut engine = lone64::engine::Engine::new(live(), [1, 2]);
    let now = lone64::engine::Time::ORIGIN;
    engine.handle(Input::Facts(usual_facts()), now);
    engine.handle(Input::Synced, now);
    while engine.poll_output().is_some() {}
    let refused = lone64::engine::Outcome::Failed("no buffer space".to_owned());
    engine.handle(Input::RouteChanged(Change::Add(range_route()), refused), now);
    let told = engine.poll_output();
    assert_eq!(told, Some(Output::Event(Event::RouteFailed(range_route(), "no buffer space".to_owned()))));
    engine.handle(Input::Facts(vec![bridge(LinkState::Up)]), now);
    let outputs: Vec<_> = std::iter::from_fn(|| engine.poll_output()).collect();
    assert_eq!(changes(&outputs), [Change::Add(range_route())]);
}

/// The messages that told of it were lost: only that the kernel has one in the place of ours is known.
#[test]
fn a_foreign_route_that_went_without_a_message_makes_room_for_a_guests() {
    let of_guest = route("2001:db8:1:2:c::5/128", RouteKind::Unicast(BRIDGE));
    let foreign = KernelRoute { protocol: 3, ..route("2001:db8:1:2:c::5/128", RouteKind::Unicast(UP)) };
    let mut host = Host::new(with(|policy| policy.ranges[0].routes = RangeRoutes::Guests));
    host.kernel.insert(foreign.clone());
    host.make_live(guest(5), guest_mac(5));
    assert!(states(&host).contains(&(of_guest.clone(), RouteState::Conflict)));
    host.kernel.remove(&foreign);
    let mut facts = usual_facts();
    facts.extend(host.kernel.iter().cloned().map(Fact::Route));
    host.input(Input::Snapshot(facts));
    assert!(host.kernel.contains(&of_guest));
}

#[test]
fn what_comes_beside_a_route_in_the_way_is_no_reason_to_try_ours_again() {
    let (mut host, foreign) = with_one_in_the_way();
    behind_our_back(&mut host, Fact::Route(KernelRoute { metric: 2048, ..foreign }));
    assert_eq!(changes(&host.take()), []);
}

#[test]
fn of_two_of_ours_in_one_place_that_goes_which_is_not_wanted() {
    let mut host = Host::bare(live());
    let unwanted = KernelRoute { kind: RouteKind::Unicast(UP), ..range_route() };
    host.kernel.extend([range_route(), unwanted.clone()]);
    host.facts(usual_facts());
    host.facts(vec![Fact::Route(range_route()), Fact::Route(unwanted)]);
    host.input(Input::Synced);
    assert_eq!(host.kernel, BTreeSet::from([range_route(), backstop()]));
    assert!(states(&host).contains(&(range_route(), RouteState::Installed)));
}

#[test]
fn the_backstops_of_all_ranges_are_the_last_to_go() {
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].routes = RangeRoutes::Guests;
        policy.ranges.push(crate::host::range("2001:db8:1:2:d::/112", "lxcbr0"));
    }));
    host.make_live(guest(5), guest_mac(5));
    host.input(Input::Stop);
    let is_backstop = |change: &Change| match change {
        Change::Remove(route) => route.kind == RouteKind::Unreachable,
        Change::Add(route) => panic!("{route:?} is added at the end"),
    };
    let order: Vec<_> = changes(&host.take()).iter().map(is_backstop).collect();
    assert_eq!(order, [false, false, true, true]);
}

#[test]
fn one_that_somebody_removes_before_the_kernel_has_answered_is_put_back() {
    let mut engine = lone64::engine::Engine::new(live(), [1, 2]);
    let now = lone64::engine::Time::ORIGIN;
    engine.handle(Input::Facts(usual_facts()), now);
    engine.handle(Input::Synced, now);
    engine.handle(Input::Facts(vec![Fact::Route(range_route())]), now);
    engine.handle(Input::Facts(vec![Fact::RouteGone(range_route())]), now);
    while engine.poll_output().is_some() {}
    engine.handle(Input::RouteChanged(Change::Add(range_route()), lone64::engine::Outcome::Done), now);
    let outputs: Vec<_> = std::iter::from_fn(|| engine.poll_output()).collect();
    assert_eq!(changes(&outputs), [Change::Add(range_route())]);
}
