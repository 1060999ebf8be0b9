//! Another policy while the daemon serves: whatever both share is left as it is.

use lone64::engine::facts::{Fact, IfIndex, KernelRoute, LinkLayer, RouteKind};
use lone64::engine::policy::{
    Answer, Downstream, Limits, Policy, RangePolicy, RangeRoutes, Source, UpstreamInterface,
};
use lone64::engine::{Change, Engine, Event, Input, Loss, Note, Outcome, Output, RouteState, Time};
use lone64::wire::{DropReason, Mac};

use crate::host::{
    BRIDGE, BRIDGE_MAC, Host, UP, address, always, events, guest, guest_mac, has, link, live, millis, net,
    probes, question, range, reply, route, seconds, usual_facts, with,
};

const OTHER: IfIndex = IfIndex(7);

fn reload(host: &mut Host, policy: Policy) -> Vec<Output> {
    host.take();
    host.input(Input::Reload(Box::new(policy)));
    host.take()
}

fn guests() -> Policy {
    with(|policy| policy.ranges[0].routes = RangeRoutes::Guests)
}

fn guest_route(number: u16) -> KernelRoute {
    route(&format!("{}/128", guest(number)), RouteKind::Unicast(BRIDGE))
}

fn changes(outputs: &[Output]) -> Vec<Change> {
    let change = |output: &Output| match output {
        Output::ChangeRoute(change) => Some(change.clone()),
        _ => None,
    };
    outputs.iter().filter_map(change).collect()
}

fn moves_an_ear(output: &Output) -> bool {
    matches!(output, Output::Listen(..) | Output::Unlisten(_))
}

/// With a second downstream, on which nobody is.
fn host_with_other_bridge(policy: Policy) -> Host {
    let mut host = Host::new(policy);
    let mac = Mac([0x52, 0x54, 0, 0, 0, 0xb1]);
    host.facts(vec![Fact::Link(link(OTHER, "br1", LinkLayer::Ethernet(mac))), has(OTHER, "fe80::b1/64")]);
    host
}

#[test]
fn an_equal_policy_changes_nothing_and_says_nothing() {
    for policy in [live(), always(), guests()] {
        let mut host = Host::new(policy.clone());
        host.ask(guest(9));
        host.advertise(guest(5), guest_mac(5));
        assert_eq!(reload(&mut host, policy), []);
    }
}

#[test]
fn what_both_policies_share_is_not_touched() {
    let mut host = host_with_other_bridge(guests());
    host.make_live(guest(5), guest_mac(5));
    let mut more = guests();
    more.ranges.insert(0, RangePolicy { prefix: net("2001:db8:1:2:d::/112"), ..range("::/0", "br1") });
    let outputs = reload(&mut host, more.clone());
    let of_old = |change: &Change| match change {
        Change::Add(route) | Change::Remove(route) => {
            net("2001:db8:1:2:c::/112").contains(&route.destination)
        }
    };
    assert!(!changes(&outputs).iter().any(of_old), "{outputs:?}");
    let bridge = |output: &&Output| matches!(output, Output::Listen(link, _) | Output::Unlisten(link) if *link == BRIDGE);
    assert_eq!(outputs.iter().find(bridge), None);
    assert!(host.answers_for(guest(5)));
    assert_eq!(host.engine.policy(), &more);

    let outputs = reload(&mut host, guests());
    assert!(!changes(&outputs).iter().any(of_old), "{outputs:?}");
    assert_eq!(outputs.iter().find(bridge), None);
    assert!(outputs.contains(&Output::Unlisten(OTHER)));
    assert!(host.answers_for(guest(5)));
    assert!(host.kernel.iter().all(|route| net("2001:db8:1:2:c::/112").contains(&route.destination)));
}

#[test]
fn more_of_the_kernels_routes_matter_with_a_new_range() {
    let mut host = Host::new(live());
    let wider = with(|policy| policy.ranges[0].prefix = net("2001:db8:1:2:c::/80"));
    assert!(reload(&mut host, wider).contains(&Output::Resync));
    let mut host = Host::new(live());
    let narrower = with(|policy| policy.ranges[0].prefix = net("2001:db8:1:2:c::/120"));
    assert!(!reload(&mut host, narrower).contains(&Output::Resync));
}

#[test]
fn whoever_waits_for_a_target_that_is_still_served_gets_his_answer() {
    let mut host = host_with_other_bridge(live());
    host.ask(guest(5));
    // The range has another number now.
    reload(&mut host, with(|policy| policy.ranges.insert(0, range("2001:db8:1:2:d::/112", "br1"))));
    host.advertise(guest(5), guest_mac(5));
    assert_eq!(host.answers().len(), 1);
}

#[test]
fn a_target_that_moves_to_another_downstream_is_looked_for_there() {
    let mut host = host_with_other_bridge(live());
    host.ask(guest(5));
    reload(&mut host, with(|policy| policy.ranges[0] = range("2001:db8:1:2:c::/112", "br1")));
    host.guests.insert(guest(5), guest_mac(5));
    host.pass(seconds(1));
    assert_eq!(host.answers().len(), 1);
}

#[test]
fn targets_that_are_not_served_any_more_end() {
    let gone: [(&str, Policy); 4] = [
        ("no range", with(|policy| policy.ranges[0].prefix = net("2001:db8:1:2:d::/112"))),
        ("another downstream", with(|policy| policy.ranges[0] = range("2001:db8:1:2:c::/112", "br1"))),
        ("excluded", with(|policy| policy.ranges[0].exclude = vec![net("2001:db8:1:2:c::4/126")])),
        ("never", with(|policy| policy.ranges[0].answer = Answer::Never)),
    ];
    for (why, policy) in gone {
        let mut host = host_with_other_bridge(guests());
        host.make_live(guest(5), guest_mac(5));
        host.ask(guest(6));
        let outputs = reload(&mut host, policy);
        assert!(events(&outputs).contains(&Event::Gone(guest(5), BRIDGE, Loss::Policy)), "{why}");
        assert!(!host.is_live(guest(5)), "{why}");
        assert!(!host.kernel.contains(&guest_route(5)), "{why}");
        assert!(!host.answers_for(guest(5)), "{why}");
    }
}

#[test]
fn whoever_waits_for_a_target_that_is_not_served_any_more_is_counted_with_the_reason() {
    for (policy, reason) in [
        (with(|policy| policy.ranges.clear()), DropReason::NoRange),
        (with(|policy| policy.ranges[0].answer = Answer::Never), DropReason::NeverAnswered),
        (with(|policy| policy.ranges[0].exclude = vec![net("2001:db8:1:2:c::5/128")]), DropReason::Excluded),
    ] {
        let mut host = Host::new(live());
        host.ask(guest(5));
        reload(&mut host, policy);
        assert_eq!((host.dropped(reason), host.engine.known_targets()), (1, 0), "{reason:?}");
    }
}

#[test]
fn a_range_that_becomes_always_answers_whoever_waits_and_forgets_nobody_aloud() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    host.ask(guest(6));
    let outputs = reload(&mut host, always());
    assert_eq!(crate::host::advertisements(&outputs).len(), 1);
    assert_eq!(events(&outputs), [Event::Note(Note::TooWideForGroups(net("2001:db8:1:2:c::/112"), 1_024))]);
    assert_eq!(host.engine.known_targets(), 0);
    assert!(host.answers_for(guest(7)));

    reload(&mut host, live());
    assert!(!host.answers_for(guest(7)));
    host.advertise(guest(7), guest_mac(7));
    assert!(host.is_live(guest(7)));
}

#[test]
fn the_routes_of_guests_follow_the_mode_of_the_range() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    let outputs = reload(&mut host, guests());
    let range_route = route("2001:db8:1:2:c::/112", RouteKind::Unicast(BRIDGE));
    // The guest has its own before that of all goes.
    assert_eq!(changes(&outputs), [Change::Add(guest_route(5)), Change::Remove(range_route.clone())]);
    assert!(host.answers_for(guest(5)));
    let outputs = reload(&mut host, live());
    assert_eq!(changes(&outputs), [Change::Add(range_route), Change::Remove(guest_route(5))]);
    assert!(host.answers_for(guest(5)));
}

#[test]
fn another_metric_or_table_has_the_new_route_in_before_the_old_one_goes() {
    for change in [|p: &mut Policy| p.routes.metric = 512, |p: &mut Policy| p.routes.table = 100] {
        let mut host = Host::new(guests());
        host.facts(vec![crate::own_link::connected(100)]);
        host.make_live(guest(5), guest_mac(5));
        let (old, new) = (guest_route(5), with(change).routes);
        let outputs = reload(&mut host, Policy { routes: new, ..guests() });
        let moved = KernelRoute { metric: new.metric, table: new.table, ..old.clone() };
        let changes = changes(&outputs);
        let at = |wanted: Change| changes.iter().position(|change| *change == wanted).unwrap();
        assert!(at(Change::Add(moved.clone())) < at(Change::Remove(old)));
        assert!(host.kernel.contains(&moved));
        assert_eq!(host.kernel.len(), 2, "{:?}", host.kernel);
        assert!(host.engine.routes().all(|(_, state)| state == RouteState::Installed));
    }
}

#[test]
fn another_protocol_takes_the_old_routes_out_of_the_way_and_nothing_is_a_conflict() {
    let mut host = Host::new(guests());
    host.make_live(guest(5), guest_mac(5));
    let mut policy = guests();
    policy.routes.protocol = 65;
    let outputs = reload(&mut host, policy.clone());
    assert!(host.kernel.iter().all(|route| route.protocol == 65), "{:?}", host.kernel);
    assert_eq!(host.kernel.len(), 2);
    let conflict = |event: &Event| matches!(event, Event::RouteConflict(..));
    assert!(!events(&outputs).iter().any(conflict), "{outputs:?}");
    // When everything has been told again, the number is another program's.
    assert!(outputs.contains(&Output::Resync));
    let routes = host.kernel.iter().cloned().map(Fact::Route);
    let all = usual_facts().into_iter().chain(routes).collect();
    host.input(Input::Snapshot(all));
    host.take();
    let foreign = route("2001:db8:1:2:c::7/128", RouteKind::Unicast(BRIDGE));
    host.kernel.insert(foreign.clone());
    host.facts(vec![Fact::Route(foreign.clone())]);
    assert_eq!(changes(&host.take()), []);

    host.input(Input::Stop);
    assert_eq!(host.kernel.into_iter().collect::<Vec<_>>(), [foreign]);
}

#[test]
fn a_route_that_was_on_its_way_in_under_the_old_protocol_is_taken_out_again() {
    let mut engine = Engine::new(live(), [1, 2]);
    let now = Time::at(seconds(1));
    let drain = |engine: &mut Engine| {
        let outputs: Vec<_> = std::iter::from_fn(|| engine.poll_output()).collect();
        changes(&outputs)
    };
    engine.handle(Input::Facts(usual_facts()), now);
    engine.handle(Input::Synced, now);
    let under_way = drain(&mut engine);
    let mut policy = live();
    policy.routes.protocol = 65;
    engine.handle(Input::Reload(Box::new(policy)), now);
    assert!(drain(&mut engine).iter().all(|change| matches!(change, Change::Add(_))));
    for change in &under_way {
        engine.handle(Input::RouteChanged(change.clone(), Outcome::Done), now);
    }
    let Change::Add(old) = &under_way[0] else { panic!("{under_way:?}") };
    assert!(drain(&mut engine).contains(&Change::Remove(old.clone())));
}

#[test]
fn fewer_targets_are_kept_in_the_usual_order() {
    let mut host = Host::new(guests());
    host.make_live(guest(1), guest_mac(1));
    host.make_live(guest(2), guest_mac(2));
    host.ask(guest(3));
    host.pass(seconds(4));
    assert!(host.is_absent(guest(3)));
    host.ask(guest(4));
    let limited = |targets| {
        let mut policy = guests();
        policy.limits = Limits { targets, ..Limits::default() };
        policy
    };
    reload(&mut host, limited(3));
    assert_eq!(host.engine.target(guest(3)), None, "the absent one first");
    reload(&mut host, limited(2));
    assert_eq!(host.dropped(DropReason::TargetsFull), 1, "then the one that is asked for");
    assert!(host.is_live(guest(1)) && host.is_live(guest(2)));
    let outputs = reload(&mut host, limited(1));
    assert!(events(&outputs).contains(&Event::Gone(guest(1), BRIDGE, Loss::NoRoom)));
    assert!(!host.kernel.contains(&guest_route(1)) && host.kernel.contains(&guest_route(2)));
}

#[test]
fn timers_hold_at_once_also_for_what_is_known() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    let mut policy = live();
    policy.timers.keepalive = seconds(5);
    reload(&mut host, policy);
    host.pass(seconds(6));
    assert!(!host.probes().is_empty());
}

#[test]
fn the_limit_of_probes_changes_without_a_gift() {
    let limited =
        |probes_per_second| with(|policy| policy.limits = Limits { probes_per_second, ..Limits::default() });
    let mut host = Host::new(limited(10));
    for number in 0..20 {
        host.solicit(question(guest(number)));
    }
    assert_eq!(probes(&reload(&mut host, limited(100))), []);
    for number in 20..200 {
        host.solicit(question(guest(number)));
    }
    assert!(host.probes().len() <= 10, "a reload fills no bucket");
    host.pass(seconds(10));
    host.take();
    for number in 200..400 {
        host.solicit(question(guest(number)));
    }
    assert!((50..=100).contains(&host.probes().len()));
}

#[test]
fn an_upstreams_settings_hold_from_the_next_answer_on() {
    let mut host = Host::new(always());
    let mut policy = always();
    policy.upstreams[0].router = true;
    policy.upstreams[0].source = Source::Global;
    let outputs = reload(&mut host, policy);
    assert!(!outputs.iter().any(moves_an_ear), "{outputs:?}");
    let answer = host.answer_to(question(guest(5))).unwrap();
    assert!(answer.flags.router);
    assert_eq!(answer.source, address("2001:db8:1:2::2"));
}

#[test]
fn another_upstream_is_listened_to_instead() {
    let mut host = host_with_other_bridge(always());
    let mut policy = always();
    policy.upstreams[0].interface = UpstreamInterface::Named("br1".parse().unwrap());
    let outputs = reload(&mut host, policy);
    assert!(outputs.contains(&Output::Unlisten(UP)));
    assert!(!host.answers_for(guest(5)));
    host.input(Input::Solicitation(OTHER, question(guest(5))));
    assert_eq!(host.answers().len(), 1);
}

#[test]
fn a_new_range_is_served_at_once() {
    let mut host = Host::new(with(|policy| policy.ranges.clear())).with_guest(guest(5), guest_mac(5));
    reload(&mut host, live());
    host.solicit(question(guest(5)));
    assert_eq!(host.answers().len(), 1);
}

#[test]
fn a_policy_without_ranges_still_follows_the_default_route() {
    let mut host = Host::new(with(|policy| policy.ranges.clear()));
    assert_eq!(host.engine.problems(), []);
    assert!(host.kernel.is_empty());
    reload(&mut host, live());
    assert_eq!(host.engine.bindings().ranges[0].upstream, Some(UP));
}

#[test]
fn a_range_that_follows_the_kernels_routes_instead_keeps_its_targets() {
    let connected =
        KernelRoute { protocol: 2, metric: 256, ..route("2001:db8:1:2:c::/112", RouteKind::Unicast(BRIDGE)) };
    let mut host = Host::new(live());
    host.facts(vec![Fact::Route(connected)]);
    host.make_live(guest(5), guest_mac(5));
    let outputs = reload(
        &mut host,
        with(|policy| {
            policy.ranges[0].downstream = Downstream::Kernel;
            policy.ranges[0].routes = RangeRoutes::None;
        }),
    );
    assert_eq!(events(&outputs).iter().filter(|event| matches!(event, Event::Gone(..))).count(), 0);
    assert!(host.answers_for(guest(5)));
}

#[test]
fn a_reload_while_stopping_or_before_everything_is_known_starts_nothing() {
    let mut host = Host::bare(with(|policy| policy.ranges.clear()));
    host.facts(usual_facts());
    let outputs = reload(&mut host, live());
    assert_eq!(changes(&outputs), []);
    host.input(Input::Synced);
    assert_eq!(host.kernel.len(), 2);
    host.input(Input::Stop);
    assert_eq!(reload(&mut host, always()), []);
    assert!(host.kernel.is_empty());
    host.pass(millis(10));
    host.input(Input::Advertisement(
        BRIDGE,
        lone64::wire::Advertisement { destination_mac: BRIDGE_MAC, ..reply(guest(5), guest_mac(5)) },
    ));
}
