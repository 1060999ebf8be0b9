//! What went wrong once, each as the scenario that showed it.
use crate::host::*;
use lone64::engine::facts::*;
use lone64::engine::policy::*;
use lone64::engine::{Change, Engine, Event, Input, Outcome, Output, Time};
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

/// The guest has checked its address, and has never replied. The station that checks the same address upstream may be
/// that guest, on another host now.
#[test]
fn stranger_is_not_kept_off_an_address_before_its_guest_has_replied() {
    let mut host = Host::new(live());
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    assert!(host.is_live(guest(5)));
    host.take();
    assert!(host.answer_to(dad(guest_mac(6), guest(5))).is_none());
    host.advertise(guest(5), guest_mac(5));
    assert_eq!(host.answers().len(), 1);
}

/// A removal that fails while the same route is wanted again leaves it there, and nobody waits for it.
#[test]
fn a_removal_that_failed_leaves_no_route_under_way() {
    let policy = with(|policy| policy.ranges[0].routes = RangeRoutes::Guests);
    let mut engine = Engine::new(policy, [1, 2]);
    let now = Time::at(seconds(1_000));
    let drain = |engine: &mut Engine| std::iter::from_fn(|| engine.poll_output()).collect::<Vec<_>>();
    engine.handle(Input::Facts(usual_facts()), now);
    engine.handle(Input::Synced, now);
    for output in drain(&mut engine) {
        if let Output::ChangeRoute(change) = output {
            engine.handle(Input::RouteChanged(change, Outcome::Done), now);
        }
    }
    let (mac, state) = (Some(guest_mac(5)), NeighborState::Reachable);
    let found = Fact::Neighbor(Neighbor { link: BRIDGE, address: guest(5), mac, state });
    engine.handle(Input::Facts(vec![found.clone()]), now);
    let own = route(&format!("{}/128", guest(5)), RouteKind::Unicast(BRIDGE));
    drain(&mut engine);
    engine.handle(Input::RouteChanged(Change::Add(own.clone()), Outcome::Done), now);
    // It goes, and the removal is under way when it comes back.
    engine.handle(Input::Facts(vec![bridge(LinkState::NoCarrier)]), now);
    engine.handle(Input::Facts(vec![bridge(LinkState::Up), found]), now);
    let asked = drain(&mut engine).into_iter().filter(|o| matches!(o, Output::ChangeRoute(_))).count();
    assert_eq!(asked, 1, "one change of a route at a time");
    engine.handle(Input::RouteChanged(Change::Remove(own), Outcome::Failed("ENOMEM".to_owned())), now);
    drain(&mut engine);
    engine.handle(Input::Solicitation(UP, question(guest(5))), now);
    assert_eq!(advertisements(&drain(&mut engine)).len(), 1, "held for a route that is there");
}

#[test]
fn a_guest_whose_address_the_host_may_not_use_is_answered_for() {
    let mut host = Host::new(live()).with_guest(guest(5), guest_mac(5));
    // The host's own check for duplicates has failed: the guest defended its address, and the kernel routes there.
    let failed = host_address(BRIDGE, "2001:db8:1:2:c::5/112", AddressState::Tentative);
    host.facts(vec![Fact::Address(failed)]);
    host.ask(guest(5));
    host.pass(seconds(4));
    assert!(host.answers_for(guest(5)));
}

#[test]
fn the_source_of_an_answer_is_of_the_askers_prefix() {
    let mut host = Host::new(always());
    host.facts(vec![has(UP, "2001:db8:1:1::2/64")]);
    let answer = host.answer_to(question_from(address("2001:db8:1:2::1"), ROUTER_MAC, guest(5))).unwrap();
    assert_eq!(answer.source, address("2001:db8:1:2::2"), "RFC 6724 section 5, rule 8");
}

#[test]
fn effects_that_fail_are_asked_for_again() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    let said = || Outcome::Failed("No buffer space available".to_owned());
    host.input(Input::EarChanged(BRIDGE, said()));
    assert_eq!(host.take(), []);
    host.pass(seconds(2));
    let outputs = host.take();
    assert!(outputs.iter().any(|output| matches!(output, Output::Listen(BRIDGE, _))), "{outputs:?}");
    // Less often as it goes on, and no more once it works.
    host.input(Input::EarChanged(BRIDGE, said()));
    host.pass(millis(1_500));
    assert_eq!(host.take(), []);
    host.pass(seconds(1));
    assert!(matches!(host.take()[..], [Output::Listen(BRIDGE, _)]));
    host.input(Input::EarChanged(BRIDGE, Outcome::Done));
    host.pass(seconds(50));
    assert!(!host.take().iter().any(|output| matches!(output, Output::Listen(..))));
}

#[test]
fn a_table_that_somebody_flushed_is_put_back() {
    let mut host = Host::bare(with(|policy| policy.upstreams[0].suppress_kernel = true));
    host.facts(usual_facts());
    host.input(Input::Synced);
    let table = |host: &mut Host| {
        host.take().into_iter().filter(|output| matches!(output, Output::Suppress(_))).collect::<Vec<_>>()
    };
    let first = table(&mut host);
    assert_eq!(first.len(), 1);
    host.input(Input::SuppressionLost);
    assert_eq!(table(&mut host), first);
    host.input(Input::SuppressionChanged(Outcome::Failed("no nft".to_owned())));
    host.pass(seconds(2));
    assert_eq!(table(&mut host), first);
}

#[test]
fn a_route_that_the_kernel_refused_is_tried_again_by_itself() {
    let mut engine = Engine::new(live(), [1, 2]);
    let now = Time::at(seconds(1));
    engine.handle(Input::Facts(usual_facts()), now);
    engine.handle(Input::Synced, now);
    let changes = |engine: &mut Engine| {
        let outputs = std::iter::from_fn(|| engine.poll_output());
        let change = |output| match output {
            Output::ChangeRoute(change) => Some(change),
            _ => None,
        };
        outputs.filter_map(change).collect::<Vec<_>>()
    };
    let asked = changes(&mut engine);
    for change in &asked {
        let said = Outcome::Failed("Cannot allocate memory".to_owned());
        engine.handle(Input::RouteChanged(change.clone(), said), now);
    }
    assert_eq!(changes(&mut engine), []);
    let due = engine.next_timeout().expect("it is tried again");
    engine.handle(Input::Timeout, due);
    assert_eq!(changes(&mut engine), asked);
}
