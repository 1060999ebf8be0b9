//! Whatever ends a target, all that follows from it ends too: groups, those who wait, counters, conflicts.
use crate::host::reports::{begun, ended};
use crate::host::*;
use lone64::engine::facts::*;
use lone64::engine::policy::*;
use lone64::engine::{Input, Output};
use lone64::wire::{DropReason, Mac, solicited_node};
use proptest::prelude::*;
use std::collections::BTreeSet;

const OTHER: IfIndex = IfIndex(7);

fn leaves(outputs: &[Output]) -> usize {
    ended(outputs).len()
}

fn reload(host: &mut Host, policy: Policy) -> Vec<Output> {
    host.take();
    host.input(Input::Reload(Box::new(policy)));
    host.take()
}

/// Every question that arrived on the upstream and is over.
fn verdicts(host: &Host) -> u64 {
    let counters = host.engine.counters().of(UP);
    counters.answered + DropReason::ALL.iter().map(|reason| counters.dropped(*reason)).sum::<u64>()
}

#[test]
fn a_target_that_a_reload_ends_leaves_its_group() {
    let excluding = with(|policy| policy.ranges[0].exclude = vec![net("2001:db8:1:2:c::5/128")]);
    let elsewhere = with(|policy| policy.ranges[0] = range("2001:db8:1:2:c::/112", "br1"));
    for policy in [excluding, elsewhere] {
        let mut host = Host::new(live());
        let mac = Mac([0x52, 0x54, 0, 0, 0, 0xb1]);
        host.facts(vec![Fact::Link(link(OTHER, "br1", LinkLayer::Ethernet(mac))), has(OTHER, "fe80::b1/64")]);
        host.make_live(guest(5), guest_mac(5));
        let outputs = reload(&mut host, policy);
        assert!(!host.is_live(guest(5)));
        assert_eq!(leaves(&outputs), 1, "still a member of {}", solicited_node(guest(5)));
    }
}

#[test]
fn targets_that_go_because_fewer_may_be_known_leave_their_groups_and_routes() {
    let guests = with(|policy| policy.ranges[0].routes = RangeRoutes::Guests);
    let mut host = Host::new(guests.clone());
    host.make_live(guest(5), guest_mac(5));
    host.make_live(guest(6), guest_mac(6));
    let mut fewer = guests;
    fewer.limits.targets = 1;
    let outputs = reload(&mut host, fewer);
    assert_eq!((host.engine.known_targets(), leaves(&outputs)), (1, 1));
    assert_eq!(host.kernel.iter().filter(|route| route.destination.prefix_len() == 128).count(), 1);
}

#[test]
fn live_guests_have_the_room_of_those_that_a_reload_ended() {
    let limited = |exclude: &[&str]| {
        let exclude: Vec<_> = exclude.iter().map(|net| crate::host::net(net)).collect();
        with(|policy| {
            policy.limits.groups = 3;
            policy.ranges[0].exclude = exclude;
        })
    };
    let mut host = Host::new(limited(&[]));
    for number in 1..=3 {
        host.make_live(guest(number), guest_mac(number));
    }
    reload(&mut host, limited(&["2001:db8:1:2:c::/126"]));
    let mut joined = 0;
    for number in 5..=7 {
        host.ask(guest(number));
        host.advertise(guest(number), guest_mac(number));
        joined += begun(&host.take()).len();
    }
    assert_eq!(joined, 3, "behind a snooping switch nobody can ask for the others");
}

#[test]
fn one_who_waits_for_what_becomes_the_hosts_own_is_answered() {
    let mut host = Host::new(live());
    host.ask(guest(5));
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::5/112")]);
    assert_eq!((host.answers().len(), verdicts(&host)), (1, 1));
}

#[test]
fn a_guest_that_waits_for_a_neighbor_that_the_host_becomes_has_a_verdict() {
    let mut host = Host::new(with(|policy| policy.ranges[0].proxy_downstream = true));
    let on_link =
        KernelRoute { protocol: 2, metric: 256, ..route("2001:db8:1:2::/64", RouteKind::Unicast(UP)) };
    host.facts(vec![Fact::Route(on_link)]);
    let neighbor = address("2001:db8:1:2::77");
    host.input(Input::Solicitation(BRIDGE, question_from(guest(9), guest_mac(9), neighbor)));
    host.facts(vec![has(UP, "2001:db8:1:2::77/64")]);
    let counters = host.engine.counters().of(BRIDGE);
    let dropped: u64 = DropReason::ALL.iter().map(|reason| counters.dropped(*reason)).sum();
    assert_eq!(counters.answered + dropped, 1, "{counters:?}");
}

#[test]
fn a_live_guest_whose_address_becomes_the_routers_is_answered_for_no_more() {
    let mut host = Host::new(with(|policy| policy.ranges[0].prefix = net("2001:db8:1:2::/64")));
    let router = address("2001:db8:1:2:c::1");
    host.make_live(router, guest_mac(1));
    let via = KernelRoute { next_hop: NextHop::Via(router), metric: 512, ..default_route(UP) };
    host.facts(vec![Fact::Route(via)]);
    assert!(!host.is_live(router) && !host.answers_for(router), "the router answers for itself");
}

#[test]
fn counters_go_with_their_interface_and_are_not_inherited() {
    let mut host = Host::new(live());
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(7), guest(7))));
    assert_eq!(host.engine.counters().of(BRIDGE).dropped(DropReason::NotUpstream), 1);
    host.facts(vec![Fact::LinkGone(BRIDGE)]);
    host.facts(vec![Fact::Link(link(BRIDGE, "wlan0", LinkLayer::Ethernet(guest_mac(9))))]);
    assert_eq!(host.engine.counters().of(BRIDGE).dropped(DropReason::NotUpstream), 0);
}

#[test]
fn a_conflict_that_is_over_is_none() {
    for is_there in [true, false] {
        let mut host = Host::new(live());
        host.make_live(guest(5), guest_mac(5));
        if is_there {
            host.guests.insert(guest(5), guest_mac(5));
        }
        host.input(Input::Advertisement(UP, reply(guest(5), ROUTER_MAC)));
        assert_eq!(host.engine.conflicts().count(), 1);
        host.pass(seconds(3_600));
        assert_eq!((host.is_live(guest(5)), host.engine.conflicts().count()), (is_there, 0));
    }
}

#[test]
fn a_conflict_goes_with_its_upstream() {
    let mut host = Host::new(with(|policy| {
        policy.upstreams = vec![upstream(UpstreamInterface::Named("up0".parse().unwrap()))];
    }));
    host.make_live(guest(5), guest_mac(5));
    host.input(Input::Advertisement(UP, reply(guest(5), ROUTER_MAC)));
    host.facts(vec![Fact::LinkGone(UP)]);
    assert_eq!(host.engine.conflicts().count(), 0);
}

#[test]
fn many_rivals_are_told_once_each() {
    let mut host = Host::new(live());
    for number in 1..=1_030_u16 {
        let found = (guest(number), Some(guest_mac(number)), NeighborState::Reachable);
        let (address, mac, state) = found;
        host.facts(vec![Fact::Neighbor(Neighbor { link: BRIDGE, address, mac, state })]);
    }
    let speak_up = |host: &mut Host| {
        for number in 1..=1_030_u16 {
            host.input(Input::Advertisement(UP, reply(guest(number), ROUTER_MAC)));
        }
        let told = host.events();
        told.iter().filter(|event| matches!(event, lone64::engine::Event::Conflict(..))).count()
    };
    assert_eq!(speak_up(&mut host), 1_030);
    assert_eq!(speak_up(&mut host), 0);
}

#[test]
fn an_answer_that_the_interface_did_not_take_is_not_counted_as_given() {
    let mut host = Host::new(always());
    let answer = host.answer_to(question(guest(5))).unwrap();
    assert_eq!(host.engine.counters().of(UP).answered, 1);
    host.input(Input::Unsent(UP, answer));
    assert_eq!((host.engine.counters().of(UP).answered, host.dropped(DropReason::NotSent)), (0, 1));
}

const LIMITS: Limits =
    Limits { targets: 6, pending: 3, probes_per_second: 50, announcements_per_second: 3, groups: 512 };

fn policies() -> Vec<Policy> {
    let base = with(|policy| policy.limits = LIMITS);
    let changed = |change: fn(&mut Policy)| {
        let mut policy = base.clone();
        change(&mut policy);
        policy
    };
    vec![
        base.clone(),
        changed(|policy| policy.ranges[0].exclude = vec![net("2001:db8:1:2:c::2/127")]),
        changed(|policy| policy.limits.targets = 2),
        changed(|policy| policy.ranges[0].answer = Answer::Never),
        changed(|policy| policy.ranges[0].routes = RangeRoutes::Guests),
        changed(|policy| policy.routes.protocol = 65),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Ask(u16),
    Guest(u16),
    Pass(u64),
    Reload(usize),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// After any reload every kept thing has an owner that wants it.
    #[test]
    fn what_is_kept_is_wanted_by_who_is_live(steps in prop::collection::vec(prop_oneof![
        3 => (1u16..8).prop_map(Step::Ask), 3 => (1u16..8).prop_map(Step::Guest),
        2 => (1u64..70).prop_map(Step::Pass), 1 => (0usize..6).prop_map(Step::Reload)], 1..40)) {
        let mut policy = policies()[0].clone();
        let mut host = Host::new(policy.clone());
        for step in steps {
            match step {
                Step::Ask(number) => host.solicit(question(guest(number))),
                Step::Guest(number) => host.advertise(guest(number), guest_mac(number)),
                Step::Pass(time) => host.pass(seconds(time)),
                Step::Reload(number) => {
                    policy = policies()[number].clone();
                    host.input(Input::Reload(Box::new(policy.clone())));
                }
            }
            host.take();
            let joined: BTreeSet<_> = host.engine.listened().map(|(_, group)| group).collect();
            let live: BTreeSet<_> = (1..8).map(guest).filter(|guest| host.is_live(*guest)).collect();
            let groups: BTreeSet<_> = live.iter().copied().map(solicited_node).collect();
            prop_assert!(joined.is_subset(&groups), "joined for nobody: {:?}", joined.difference(&groups));
            let keeps_routes = policy.ranges[0].routes == RangeRoutes::Guests;
            let routed = host.kernel.iter().filter(|route| route.destination.prefix_len() == 128);
            let routed: BTreeSet<_> = routed.map(|route| route.destination.addr()).collect();
            prop_assert_eq!(routed, if keeps_routes { live } else { BTreeSet::new() });
            prop_assert!(host.kernel.iter().all(|route| route.protocol == policy.routes.protocol));
        }
    }
}
