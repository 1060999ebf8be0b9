//! `gateway-source = "global"`: the gateway's neighbor entry, kept fresh from a global address.

use std::net::Ipv6Addr;

use lone64::engine::facts::{Fact, LinkLayer, LinkState, Neighbor, NeighborState};
use lone64::engine::policy::{GatewaySource, Policy};
use lone64::engine::{Input, NeighborChange, Outcome, Output, Role};
use lone64::wire::{Advertisement, Flags, Mac, Solicitation, solicited_node};

use crate::host::{
    Host, ROUTER_MAC, UP, UP_MAC, address, default_route, link, live, millis, net, seconds, usual_facts, with,
};

const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const NEW_MAC: Mac = Mac([0x52, 0x54, 0, 0, 0, 2]);

fn policy() -> Policy {
    with(|policy| policy.upstreams[0].gateway_source = GatewaySource::Global)
}

fn own() -> Ipv6Addr {
    address("2001:db8:1:2::2")
}

/// What the gateway answers to our question.
fn answer() -> Advertisement {
    Advertisement {
        source_mac: ROUTER_MAC,
        destination_mac: UP_MAC,
        source: GATEWAY,
        destination: own(),
        target: GATEWAY,
        flags: Flags { router: true, solicited: true, override_entry: true },
        target_link_layer: Some(ROUTER_MAC),
    }
}

fn entry(state: NeighborState) -> Input {
    Input::Facts(vec![Fact::Neighbor(Neighbor { link: UP, address: GATEWAY, mac: None, state })])
}

fn changes(host: &mut Host) -> Vec<NeighborChange> {
    let change = |output| match output {
        Output::ChangeNeighbor(change) => Some(change),
        _ => None,
    };
    host.take().into_iter().filter_map(change).collect()
}

/// A host whose gateway has been asked and has answered, with this entry in the kernel.
fn answered(state: NeighborState) -> (Host, Vec<NeighborChange>) {
    let mut host = Host::new(policy());
    host.pass(millis(1));
    host.input(entry(state));
    host.take();
    host.input(Input::Advertisement(UP, answer()));
    let changes = changes(&mut host);
    (host, changes)
}

#[test]
fn the_gateway_is_asked_at_the_start_from_the_global_address() {
    let mut host = Host::new(policy());
    host.pass(millis(1));
    let group = solicited_node(GATEWAY);
    let expected = Solicitation {
        source_mac: UP_MAC,
        destination_mac: Mac::multicast(group),
        source: own(),
        destination: group,
        target: GATEWAY,
        source_link_layer: Some(UP_MAC),
    };
    assert_eq!(host.probes(), [expected]);
}

#[test]
fn an_entry_that_had_failed_before_the_start_is_revived() {
    let mut host = Host::bare(policy());
    host.facts(usual_facts());
    host.input(entry(NeighborState::Failed));
    host.input(Input::Synced);
    host.pass(millis(1));
    host.input(Input::Advertisement(UP, answer()));
    let told = changes(&mut host);
    assert_eq!(told, [NeighborChange::Add(UP, GATEWAY, ROUTER_MAC)]);
    // The kernel refuses to make a second one.
    host.input(Input::NeighborChanged(told[0], Outcome::Exists));
    assert!(host.take().contains(&Output::Resync));
    let mut facts = usual_facts();
    facts.extend(host.kernel.iter().cloned().map(Fact::Route));
    let failed = Neighbor { link: UP, address: GATEWAY, mac: None, state: NeighborState::Failed };
    facts.push(Fact::Neighbor(failed));
    host.input(Input::Snapshot(facts));
    host.pass(seconds(1));
    host.input(Input::Advertisement(UP, answer()));
    assert_eq!(changes(&mut host), [NeighborChange::Revive(UP, GATEWAY, ROUTER_MAC)]);
    // It is asked for once, however often that happens.
    host.input(Input::NeighborChanged(told[0], Outcome::Exists));
    assert!(!host.take().contains(&Output::Resync));
}

#[test]
fn by_default_that_is_the_kernels_business() {
    let mut host = Host::new(live());
    host.input(entry(NeighborState::Failed));
    host.pass(seconds(600));
    assert_eq!(host.probes(), []);
}

#[test]
fn one_that_has_answered_is_asked_by_unicast_before_its_entry_grows_old() {
    let (mut host, _) = answered(NeighborState::Reachable);
    let start = host.now;
    for _ in 0..10 {
        // 0.5 times REACHABLE_TIME (RFC 4861 §6.3.2) is the shortest time for which it is good.
        host.pass(seconds(14));
        let asked = host.probes();
        assert!(!asked.is_empty() && asked.iter().all(|ask| ask.target == GATEWAY));
        assert_eq!((asked[0].destination_mac, asked[0].destination), (ROUTER_MAC, GATEWAY));
        host.input(Input::Advertisement(UP, answer()));
    }
    assert!(host.now.since(start) >= seconds(140));
}

#[test]
fn one_that_does_not_answer_is_asked_three_times_through_its_group_and_then_now_and_then() {
    let (mut host, _) = answered(NeighborState::Reachable);
    host.pass(seconds(600));
    let asked = host.probes();
    let to_group = asked.iter().filter(|ask| ask.destination_mac.is_group()).count();
    assert_eq!((asked.len() - to_group, asked[0].destination_mac), (1, ROUTER_MAC));
    assert!((40..=62).contains(&to_group), "{to_group}");
}

#[test]
fn an_entry_that_is_not_good_any_more_is_asked_for_at_once_and_once_a_second_at_most() {
    for state in [NeighborState::Stale, NeighborState::Incomplete, NeighborState::Failed] {
        let (mut host, _) = answered(NeighborState::Reachable);
        host.pass(seconds(5));
        host.take();
        host.input(entry(state));
        host.pass(millis(1));
        assert_eq!(host.probes().len(), 1, "{state:?}");
        for _ in 0..100 {
            host.input(entry(state));
            host.pass(millis(10));
        }
        assert_eq!(host.probes().len(), 1, "{state:?}");
    }
    let (mut host, _) = answered(NeighborState::Reachable);
    host.pass(seconds(5));
    host.take();
    host.facts(vec![Fact::NeighborGone { link: UP, address: GATEWAY }]);
    host.pass(millis(1));
    assert_eq!(host.probes().len(), 1);
}

#[test]
fn the_kernel_is_told_where_it_has_no_entry_or_one_that_has_failed() {
    let mut host = Host::new(policy());
    host.pass(millis(1));
    host.take();
    host.input(Input::Advertisement(UP, answer()));
    assert_eq!(changes(&mut host), [NeighborChange::Add(UP, GATEWAY, ROUTER_MAC)]);
    let (_, changes) = answered(NeighborState::Failed);
    assert_eq!(changes, [NeighborChange::Revive(UP, GATEWAY, ROUTER_MAC)]);
}

#[test]
fn an_entry_that_is_removed_fails_first_and_is_made_anew() {
    let (mut host, _) = answered(NeighborState::Reachable);
    host.pass(seconds(5));
    let state = NeighborState::Failed;
    let failed = Fact::Neighbor(Neighbor { link: UP, address: GATEWAY, mac: None, state });
    host.facts(vec![failed, Fact::NeighborGone { link: UP, address: GATEWAY }]);
    host.pass(millis(1));
    host.take();
    host.input(Input::Advertisement(UP, answer()));
    assert_eq!(changes(&mut host), [NeighborChange::Add(UP, GATEWAY, ROUTER_MAC)]);
}

#[test]
fn an_entry_that_is_not_told_of_when_everything_is_told_is_gone() {
    let (mut host, _) = answered(NeighborState::Reachable);
    host.input(Input::Snapshot(usual_facts()));
    host.pass(seconds(15));
    host.take();
    host.input(Input::Advertisement(UP, answer()));
    assert_eq!(changes(&mut host), [NeighborChange::Add(UP, GATEWAY, ROUTER_MAC)]);
}

#[test]
fn it_is_not_told_where_the_answer_serves_for_its_own_question_or_it_needs_none() {
    use NeighborState::{Incomplete, Noarp, Permanent, Reachable, Stale};
    for state in [Reachable, Permanent, Stale, Incomplete, Noarp] {
        let (_, changes) = answered(state);
        assert_eq!(changes, [], "{state:?}");
    }
}

#[test]
fn what_the_kernel_does_not_confirm_is_told_again_and_not_for_ever() {
    let (mut host, first) = answered(NeighborState::Stale);
    assert_eq!(first, []);
    let mut told = Vec::new();
    for second in 1..=8 {
        host.pass(seconds(1));
        host.take();
        host.input(Input::Advertisement(UP, answer()));
        told.extend(changes(&mut host).into_iter().map(|change| (second, change)));
    }
    let add = NeighborChange::Add(UP, GATEWAY, ROUTER_MAC);
    assert_eq!(told, [(2, add), (3, add)]);
    // Confirmed, it has time.
    let (mut host, _) = answered(NeighborState::Stale);
    host.input(entry(NeighborState::Reachable));
    host.pass(seconds(9));
    assert_eq!(host.probes(), []);
}

#[test]
fn only_the_answer_to_a_question_of_ours_counts() {
    let unasked = Advertisement { flags: Flags::default(), ..answer() };
    let to_another = Advertisement { destination: address("2001:db8:1:2::3"), ..answer() };
    let of_another = Advertisement { target: address("fe80::7"), ..answer() };
    let of_ourselves = Advertisement { target_link_layer: Some(UP_MAC), ..answer() };
    for wrong in [unasked, to_another, of_another, of_ourselves] {
        let mut host = Host::new(policy());
        host.pass(millis(1));
        host.take();
        host.input(Input::Advertisement(UP, wrong));
        assert_eq!(changes(&mut host), [], "{wrong:?}");
    }
    // One question, one answer.
    let (mut host, _) = answered(NeighborState::Failed);
    host.input(Input::Advertisement(UP, answer()));
    assert_eq!(changes(&mut host), []);
}

#[test]
fn an_answer_is_no_rival() {
    let mut host = Host::new(with(|policy| {
        policy.upstreams[0].gateway_source = GatewaySource::Global;
        policy.ranges[0].prefix = net("2001:db8:1:2::/64");
    }));
    host.pass(millis(1));
    host.input(Input::Advertisement(UP, answer()));
    assert_eq!(host.engine.counters().conflicts, 0);
}

#[test]
fn another_address_of_the_upstream_is_told_to_the_gateway() {
    let (mut host, _) = answered(NeighborState::Reachable);
    host.facts(vec![Fact::Link(link(UP, "up0", LinkLayer::Ethernet(NEW_MAC)))]);
    host.pass(millis(1));
    assert_eq!(host.probes()[0].source_link_layer, Some(NEW_MAC));
}

#[test]
fn an_upstream_that_comes_up_asks() {
    let (mut host, _) = answered(NeighborState::Reachable);
    let state = |state| {
        let up = link(UP, "up0", LinkLayer::Ethernet(UP_MAC));
        Fact::Link(lone64::engine::facts::Link { state, ..up })
    };
    host.facts(vec![state(LinkState::NoCarrier)]);
    host.pass(seconds(60));
    assert_eq!(host.probes(), []);
    host.facts(vec![state(LinkState::Up)]);
    host.pass(millis(1));
    assert_eq!(host.probes().len(), 1);
}

#[test]
fn the_ear_hears_the_gateways_answers() {
    let mut host = Host::bare(policy());
    host.facts(usual_facts());
    let ears = |host: &mut Host| {
        let ear = |output| match output {
            Output::Listen(UP, ear) => Some(ear.role),
            _ => None,
        };
        host.take().into_iter().filter_map(ear).collect::<Vec<_>>()
    };
    let (range, gateway) = (net("2001:db8:1:2:c::/112"), net("fe80::1/128"));
    assert_eq!(ears(&mut host), [Role::Upstream { ranges: vec![range, gateway], neighbors: Vec::new() }]);
    host.facts(vec![Fact::RouteGone(default_route(UP))]);
    assert_eq!(ears(&mut host), [Role::Upstream { ranges: vec![range], neighbors: Vec::new() }]);
}

#[test]
fn what_the_kernel_has_from_us_is_taken_back_at_the_end() {
    for (told, now, expected) in [
        (NeighborState::Failed, NeighborState::Stale, vec![NeighborChange::Remove(UP, GATEWAY)]),
        // The kernel's own, and an administrator's.
        (NeighborState::Stale, NeighborState::Reachable, vec![]),
        (NeighborState::Failed, NeighborState::Permanent, vec![]),
    ] {
        let (mut host, _) = answered(told);
        host.input(entry(NeighborState::Reachable));
        host.input(entry(now));
        host.take();
        host.input(Input::Stop);
        assert_eq!(changes(&mut host), expected);
    }
    // The kernel refused, because there was one.
    let (mut host, _) = answered(NeighborState::Failed);
    host.input(Input::Stop);
    assert_eq!(changes(&mut host), []);
}
