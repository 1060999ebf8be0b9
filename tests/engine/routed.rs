//! Guests that are only routed to: `answer = "never"` with `routes = "guests"`, for a prefix that the
//! provider, or a routing daemon, routes to this host, so that nobody asks for its addresses.

use lone64::engine::facts::{Fact, KernelRoute, LinkState, NextHop, RouteKind};
use lone64::engine::policy::{Announce, Answer, Policy, RangeRoutes};
use lone64::engine::{Event, Expected, Holds, Input, Output, Problem, Subject};
use lone64::wire::DropReason;

use crate::host::reports::{begun, ended};
use crate::host::{
    BRIDGE, Host, UP, address, advertisements, bridge, dad, guest, guest_mac, has, live, millis, question,
    range, route, seconds, usual_facts, with,
};

fn routed() -> Policy {
    with(|policy| {
        policy.ranges[0].answer = Answer::Never;
        policy.ranges[0].routes = RangeRoutes::Guests;
        policy.upstreams[0].announce = Announce::Yes;
    })
}

/// The same, with answers.
fn answered() -> Policy {
    Policy {
        ranges: vec![with(|policy| policy.ranges[0].routes = RangeRoutes::Guests).ranges[0].clone()],
        ..live()
    }
}

fn guests_route() -> KernelRoute {
    route("2001:db8:1:2:c::5/128", RouteKind::Unicast(BRIDGE))
}

/// One on the other host, as a routing daemon has it.
fn by_bgp() -> KernelRoute {
    let next_hop = NextHop::Via(address("2001:db8:1:2::3"));
    KernelRoute {
        next_hop,
        protocol: 186,
        metric: 20,
        ..route("2001:db8:1:2:c::6/128", RouteKind::Unicast(UP))
    }
}

fn with_guest(policy: Policy) -> Host {
    let mut host = Host::new(policy).with_guest(guest(5), guest_mac(5));
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    host
}

#[test]
fn a_guest_has_its_route_as_soon_as_it_checks_its_address() {
    let mut host = with_guest(routed());
    assert!(host.kernel.contains(&guests_route()));
    host.pass(seconds(10));
    assert!(host.is_live(guest(5)), "it replied when it was asked");
}

/// A host with its guests' bridge, and no upstream at all.
fn without_upstream(policy: Policy) -> Host {
    let mut host = Host::bare(policy).with_guest(guest(5), guest_mac(5));
    host.facts(vec![bridge(LinkState::Up), has(BRIDGE, "fe80::5054:ff:fe00:b0/64")]);
    host.input(Input::Synced);
    host
}

#[test]
fn needs_no_upstream() {
    let mut host = without_upstream(routed());
    assert_eq!(host.engine.problems(), []);
    assert!(!host.events().iter().any(is_problem));
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    host.pass(seconds(100));
    assert!(host.is_live(guest(5)) && host.kernel.contains(&guests_route()));
    let said = host.engine.explain(guest(5), host.now);
    assert_eq!(said.outcome, Expected::Dropped(DropReason::NeverAnswered));
    assert!(said.steps.iter().all(|step| step.subject != Subject::Upstream));
}

#[test]
fn is_served_while_the_upstream_of_another_range_is_waited_for() {
    let mut policy = routed();
    policy.ranges.push(range("2001:db8:1:2:d::/112", "lxcbr0"));
    let mut host = without_upstream(policy);
    assert!(matches!(host.engine.problems(), [Problem::NoDefaultRoute]));
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    host.pass(seconds(10));
    assert!(host.kernel.contains(&guests_route()));
}

#[test]
fn keeps_its_routes_when_its_upstream_comes_and_goes() {
    let mut host = without_upstream(routed());
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    host.pass(seconds(10));
    host.take();
    host.facts(usual_facts());
    host.pass(seconds(10));
    host.facts(vec![Fact::LinkGone(UP)]);
    host.pass(seconds(10));
    let outputs = host.take();
    assert!(!outputs.iter().any(|output| matches!(output, Output::ChangeRoute(_))), "{outputs:?}");
    assert!(host.is_live(guest(5)) && host.engine.problems().is_empty());
}

fn is_problem(event: &Event) -> bool {
    matches!(event, Event::Problem(_))
}

#[test]
fn nobody_is_answered_and_nothing_is_announced_or_joined() {
    let mut host = with_guest(routed());
    host.pass(seconds(10));
    host.input(Input::Solicitation(UP, question(guest(5))));
    let outputs = host.take();
    assert_eq!(advertisements(&outputs), []);
    let is_upstream = |output: &&Output| matches!(output, Output::Solicit(UP, _) | Output::Report(..));
    assert_eq!(outputs.iter().find(is_upstream), None);
    assert_eq!(host.dropped(DropReason::NeverAnswered), 1);
}

#[test]
fn a_question_asks_no_guest() {
    let mut host = Host::new(routed());
    host.ask(guest(5));
    assert_eq!(host.probes(), []);
    assert_eq!(host.engine.known_targets(), 0);
}

#[test]
fn the_route_goes_with_the_guest() {
    let mut host = with_guest(routed());
    host.facts(vec![bridge(LinkState::Down)]);
    assert!(!host.kernel.contains(&guests_route()));
    let mut host = with_guest(routed());
    host.pass(seconds(10));
    host.guests.clear();
    host.pass(seconds(70));
    assert!(!host.kernel.contains(&guests_route()), "it was asked in the background, in vain");
}

#[test]
fn whoever_waits_for_a_guest_gets_no_answer_once_the_range_is_never_answered() {
    let mut host = Host::new(answered());
    host.ask(guest(5));
    host.input(Input::Reload(Box::new(routed())));
    assert_eq!(host.dropped(DropReason::NeverAnswered), 1);
    host.take();
    host.advertise(guest(5), guest_mac(5));
    assert_eq!(host.answers(), []);
    assert!(host.kernel.contains(&guests_route()));
}

#[test]
fn a_live_guest_keeps_its_route_and_loses_its_group_when_answers_end() {
    let mut host = with_guest(answered());
    host.pass(seconds(10));
    host.take();
    host.input(Input::Reload(Box::new(routed())));
    let outputs = host.take();
    assert!(ended(&outputs).iter().any(|(link, _)| *link == UP));
    assert!(!outputs.iter().any(|output| matches!(output, Output::ChangeRoute(_))));
    host.input(Input::Reload(Box::new(answered())));
    assert!(begun(&host.take()).iter().any(|(link, _)| *link == UP));
}

#[test]
fn an_explanation_says_where_the_guest_is() {
    let mut host = with_guest(routed());
    host.pass(millis(10));
    let said = host.engine.explain(guest(5), host.now);
    assert_eq!(said.outcome, Expected::Dropped(DropReason::NeverAnswered));
    let holds = |subject| said.steps.iter().find(|step| step.subject == subject).map(|step| step.holds);
    assert_eq!(holds(Subject::Mode), Some(Holds::No));
    assert_eq!(holds(Subject::Liveness), Some(Holds::Yes));
    assert_eq!(holds(Subject::Route), Some(Holds::Yes));
}

#[test]
fn an_explanation_knows_the_guests_of_other_hosts() {
    for policy in [routed(), answered()] {
        let mut host = Host::new(policy);
        host.facts(vec![Fact::Route(by_bgp())]);
        let said = host.engine.explain(guest(6), host.now);
        let step = said.steps.iter().find(|step| step.subject == Subject::Route).unwrap();
        assert_eq!((step.holds, step.remedy.as_deref()), (Holds::Open, None), "{}", step.value);
        assert!(step.value.contains("another host, by up0"), "{}", step.value);
    }
}
