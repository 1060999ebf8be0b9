//! What went wrong once, each as the scenario that showed it.
use crate::host::*;
use lone64::engine::facts::*;
use lone64::engine::policy::*;
use lone64::engine::{Change, Event, Input, Outcome, Output};
use lone64::wire::{DropReason, Mac};

#[test]
fn what_is_not_in_a_snapshot_is_not_there_any_more() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    let stale = has(BRIDGE, "2001:db8:1:2:c::1/112");
    host.facts(vec![stale]);
    assert!(host.answers_for(guest(1)));
    let mut snapshot = usual_facts();
    snapshot.extend(host.kernel.iter().cloned().map(Fact::Route));
    host.input(Input::Snapshot(snapshot.clone()));
    assert!(!host.answers_for(guest(1)), "the address was lost");
    assert!(host.is_live(guest(5)) && host.engine.counters().resyncs == 1);
    host.take();
    // A route of ours that somebody removed meanwhile is put back, a downstream that went is gone.
    let lost = host.kernel.pop_first().unwrap();
    snapshot.retain(|fact| *fact != Fact::Route(lost.clone()));
    host.input(Input::Snapshot(snapshot.clone()));
    assert!(host.take().contains(&Output::ChangeRoute(Change::Add(lost))));
    snapshot.retain(|fact| !matches!(fact, Fact::Link(link) if link.index == BRIDGE));
    host.input(Input::Snapshot(snapshot));
    assert!(!host.is_live(guest(5)));
}

#[test]
fn downstream_renamed_away_ends_its_targets() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    host.facts(vec![Fact::Link(link(BRIDGE, "old0", LinkLayer::Ethernet(BRIDGE_MAC)))]);
    assert!(!host.answers_for(guest(5)), "no downstream of the range is there");
}

#[test]
fn another_link_takes_the_name() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    let new = IfIndex(40);
    host.facts(vec![
        Fact::Link(link(BRIDGE, "old0", LinkLayer::Ethernet(BRIDGE_MAC))),
        Fact::Link(link(new, "lxcbr0", LinkLayer::Ethernet(guest_mac(0xb2)))),
        has(new, "fe80::b2/64"),
    ]);
    host.take();
    let out = host.ask(guest(5));
    assert!(matches!(out[..], [Output::Solicit(on, _)] if on == new), "{out:?}");
}

#[test]
fn route_gone_ends_targets_of_kernel_range() {
    let mut host = Host::new(with(|p| p.ranges[0].downstream = Downstream::Kernel));
    let r = KernelRoute { protocol: 3, ..route("2001:db8:1:2:c::/112", RouteKind::Unicast(BRIDGE)) };
    host.facts(vec![Fact::Route(r.clone())]);
    host.make_live(guest(5), guest_mac(5));
    host.facts(vec![Fact::RouteGone(r)]);
    assert!(!host.answers_for(guest(5)));
}

#[test]
fn source_address_not_on_the_upstream() {
    let mut host = Host::new(with(|p| {
        p.ranges[0].answer = Answer::Always;
        p.upstreams[0].source = Source::Address(address("2001:db8:1:2::dead"));
    }));
    assert_eq!(host.answer_to(question(guest(5))), None);
}

#[test]
fn no_probe_on_a_down_link() {
    let mut host = Host::new(live());
    host.ask(guest(5));
    host.facts(vec![bridge(LinkState::Down)]);
    host.pass(seconds(10));
    assert_eq!(host.probes(), []);
}

#[test]
fn asker_told_when_downstream_goes() {
    let mut host = Host::new(live());
    host.ask(guest(5));
    host.facts(vec![Fact::LinkGone(BRIDGE)]);
    host.pass(seconds(10));
    assert_eq!(host.probes(), []);
}

#[test]
fn add_in_flight_at_stop() {
    let mut engine = lone64::engine::Engine::new(live(), [1, 2]);
    let now = lone64::engine::Time::ORIGIN;
    engine.handle(Input::Facts(usual_facts()), now);
    engine.handle(Input::Synced, now);
    let mut adds = Vec::new();
    while let Some(o) = engine.poll_output() {
        if let Output::ChangeRoute(c @ Change::Add(_)) = o {
            adds.push(c);
        }
    }
    engine.handle(Input::Stop, now);
    for add in &adds {
        engine.handle(Input::RouteChanged(add.clone(), Outcome::Done), now);
    }
    let Change::Add(r) = &adds[0] else { unreachable!() };
    engine.handle(Input::Facts(vec![Fact::Route(r.clone())]), now);
    let mut removes = 0;
    while let Some(o) = engine.poll_output() {
        if matches!(o, Output::ChangeRoute(Change::Remove(_))) {
            removes += 1;
        }
    }
    assert_eq!(removes, adds.len());
}

#[test]
fn evicted_asker_is_counted() {
    let mut host = Host::new(with(|p| p.limits.targets = 1));
    host.ask(guest(1));
    host.ask(guest(2));
    host.pass(seconds(20));
    let c = host.engine.counters().of(UP);
    let all: u64 = DropReason::ALL.iter().map(|r| c.dropped(*r)).sum();
    assert_eq!(all, 2);
}

#[test]
fn unaskable_target_does_not_stay_live_for_ever() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    host.facts(vec![Fact::AddressGone { link: BRIDGE, address: address("fe80::5054:ff:fe00:b0") }]);
    host.pass(seconds(3600));
    assert!(!host.is_live(guest(5)));
}

#[test]
fn targets_full_costs_no_probe_token() {
    let mut host = Host::new(with(|p| {
        p.limits.targets = 1;
        p.limits.probes_per_second = 10;
    }));
    host.make_live(guest(1), guest_mac(1));
    host.pass(seconds(5));
    for n in 10..30 {
        host.ask(guest(n));
    }
    assert_eq!(host.dropped(DropReason::TargetsFull), 20);
}

#[test]
fn target_of_a_former_host_address() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::5/112")]);
    assert!(!host.is_live(guest(5)));
}

#[test]
fn predecessors_route_over_another_link() {
    let old = route("2001:db8:1:2:c::/112", RouteKind::Unicast(IfIndex(77)));
    let mut host = Host::bare(live());
    host.kernel.insert(old.clone());
    host.facts(usual_facts());
    host.facts(vec![Fact::Route(old.clone())]);
    host.input(Input::Synced);
    let events = host.events();
    assert!(
        host.kernel.contains(&route("2001:db8:1:2:c::/112", RouteKind::Unicast(BRIDGE))),
        "{:?}",
        host.kernel
    );
    assert!(!events.iter().any(|e| matches!(e, Event::RouteConflict(..))), "{events:?}");
}

#[test]
fn kernel_loses_neighbor_after_probe_rate() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(31));
    let t0 = host.now;
    host.solicit(question(guest(5)));
    host.advertise(guest(5), guest_mac(5));
    host.facts(vec![Fact::Neighbor(Neighbor {
        link: BRIDGE,
        address: guest(5),
        mac: None,
        state: NeighborState::Failed,
    })]);
    let n = host.take_timed().iter().filter(|(t, o)| *t == t0 && matches!(o, Output::Solicit(..))).count();
    assert_eq!(n, 1);
}

#[test]
fn sync_twice() {
    let mut host = Host::new(live());
    host.input(Input::Stop);
    host.take();
    host.input(Input::Synced);
    assert!(!host.take().iter().any(|o| matches!(o, Output::ChangeRoute(_))));
}

/// Found by the fuzzer. While the owner on the upstream link is asked whether it objects, the guest's link goes.
#[test]
#[ignore = "engine rewrite"]
fn claim_of_a_guest_ends_with_its_link() {
    let mut host = Host::new(with(|policy| {
        let range = &mut policy.ranges[0];
        (range.routes, range.backstop, range.proxy_downstream) = (RangeRoutes::Guests, false, true);
    }));
    let (contested, owner) = (guest(9), Mac([2, 0, 0, 0, 0x77, 9]));
    host.input(Input::Solicitation(BRIDGE, question_from(guest(5), guest_mac(5), contested)));
    host.input(Input::Advertisement(UP, reply(contested, owner)));
    assert_eq!(host.engine.known_neighbors(), 1, "it is known upstream");
    host.solicit(question(contested));
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(9), contested)));
    host.facts(vec![bridge(LinkState::NoCarrier)]);
    host.take();
    host.pass(seconds(20));
    assert!(!host.is_live(contested), "it claimed the address from behind a link that is down");
    assert_eq!(host.answers(), []);
}

/// shared/rules.md, "Before we claim": the guest has checked its address, and has never replied. Who checks the same
/// address upstream may be that guest, on another host now.
#[test]
#[ignore = "engine rewrite"]
fn stranger_is_not_kept_off_an_address_before_its_guest_has_replied() {
    let mut host = Host::new(live());
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    assert!(host.is_live(guest(5)));
    host.take();
    host.solicit(dad(guest_mac(6), guest(5)));
    assert_eq!(host.answers(), []);
    host.advertise(guest(5), guest_mac(5));
    assert_eq!(host.answers().len(), 1);
}
