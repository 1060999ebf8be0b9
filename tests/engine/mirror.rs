//! The mirror: which live guests the programs in the kernel are told of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::time::Duration;

use lone64::engine::facts::{AddressState, Fact, IfIndex, LinkLayer, RouteKind};
use lone64::engine::policy::{Announce, Answer, Backend, Policy, RangeRoutes, Source, UpstreamInterface};
use lone64::engine::{Change, Event, Expected, Input, Outcome, Output, Program, RouteState, State, Time};
use lone64::wire::Mac;
use proptest::prelude::*;

use crate::host::{
    BRIDGE, Host, UP, UP_MAC, guest, guest_mac, has, host_address, link, live, millis, reply, seconds, with,
};
use crate::storm;

/// The policy of [`live`] with a program on the upstream and a route for each guest, but for this.
pub(crate) fn mirrored(change: impl FnOnce(&mut Policy)) -> Policy {
    with(|policy| {
        policy.ranges[0].routes = RangeRoutes::Guests;
        on_tc(policy);
        change(policy);
    })
}

fn on_tc(policy: &mut Policy) {
    policy.upstreams[0].backend = Backend::Tc;
    policy.upstreams[0].source = Source::Scope;
}

/// The kernel, as it follows from what came out: the programs, and what each knows.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    programs: BTreeMap<IfIndex, Program>,
    known: BTreeMap<IfIndex, BTreeMap<Ipv6Addr, Time>>,
    /// Whether a guest has a route of its own. Where it has none, one that a storm has left for it may go at any time.
    has_own_routes: bool,
    /// Guests that another program may have given an equal route, so that ours goes and they are still reached.
    of_others: BTreeSet<Ipv6Addr>,
}

impl Kernel {
    /// Carries the outputs out, in order. No route of a guest goes that a program knows.
    fn obey(&mut self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Program(link, Some(program)) => {
                    self.programs.insert(*link, program.clone());
                    self.known.entry(*link).or_default();
                }
                Output::Program(link, None) => self.lose(*link),
                Output::Mirror(link, changes) => {
                    let known = self.known.get_mut(link).expect("there is a program");
                    for (guest, until) in changes {
                        match until {
                            Some(until) => known.insert(*guest, *until),
                            None => known.remove(guest),
                        };
                    }
                }
                Output::ChangeRoute(Change::Remove(route)) if matches!(route.kind, RouteKind::Unicast(_)) => {
                    let guest = route.destination.addr();
                    let is_guests = route.destination.prefix_len() == 128 && route.metric == 1024;
                    let matters = is_guests && self.has_own_routes && !self.of_others.contains(&guest);
                    assert!(!matters || !self.knows(guest), "{guest} is answered for without a route");
                }
                _ => {}
            }
        }
    }

    fn note_others(&mut self, input: &Input) {
        let Input::Facts(facts) = input else { return };
        let foreign = facts.iter().filter_map(|fact| match fact {
            Fact::Route(route) if route.protocol != 64 => Some(route.destination),
            _ => None,
        });
        self.of_others.extend(foreign.filter(|net| net.prefix_len() == 128).map(|net| net.addr()));
    }

    fn lose(&mut self, link: IfIndex) {
        self.programs.remove(&link);
        self.known.remove(&link);
    }

    fn knows(&self, guest: Ipv6Addr) -> bool {
        self.known.values().any(|known| known.contains_key(&guest))
    }

    /// The program of this upstream for this target, if it knows it.
    fn answers(&self, link: IfIndex, guest: Ipv6Addr) -> bool {
        self.known.get(&link).is_some_and(|known| known.contains_key(&guest))
    }
}

/// Whether the program of this upstream is to know the guest: it is live, an ordinary question would be answered at
/// once because of that, and the route of its own that it may have is in.
fn is_expected(host: &Host, link: IfIndex, target: Ipv6Addr) -> bool {
    let engine = &host.engine;
    let Some(State::Live(known)) = engine.target(target) else { return false };
    let ranges = engine.policy().ranges.iter().filter(|range| range.prefix.contains(&target));
    let Some(range) = ranges.max_by_key(|range| range.prefix.prefix_len()) else { return false };
    let explanation = engine.explain(target, host.now);
    let is_answered = explanation.outcome == Expected::Answered && explanation.upstream == Some(link);
    let is_hosts = engine.links().owners(target).any(|owner| owner != link);
    let is_routed = range.routes != RangeRoutes::Guests
        || engine.routes().any(|(route, state)| {
            route.destination == target.into()
                && route.kind == RouteKind::Unicast(known.link)
                && state == RouteState::Installed
        });
    range.answer == Answer::Live && is_answered && !is_hosts && known.link != link && is_routed
}

pub(crate) fn changes(outputs: &[Output]) -> Vec<(Ipv6Addr, Option<Time>)> {
    let changes = outputs.iter().filter_map(|output| match output {
        Output::Mirror(UP, changes) => Some(changes.clone()),
        _ => None,
    });
    changes.flatten().collect()
}

pub(crate) fn programs(outputs: &[Output]) -> Vec<Option<Program>> {
    let programs = outputs.iter().filter_map(|output| match output {
        Output::Program(UP, program) => Some(program.clone()),
        _ => None,
    });
    programs.collect()
}

/// The usual host with a program, and what that knows, with `count` live guests.
pub(crate) fn with_guests(policy: Policy, count: u16) -> (Host, Kernel) {
    let has_own_routes = policy.ranges[0].routes == RangeRoutes::Guests;
    let mut kernel = Kernel { has_own_routes, ..Kernel::default() };
    let mut host = Host::bare(policy);
    host.facts(crate::host::usual_facts());
    host.input(Input::Synced);
    for number in 1..=count {
        host.guests.insert(guest(number), guest_mac(number));
        host.solicit(crate::host::question(guest(number)));
        assert!(host.is_live(guest(number)));
    }
    kernel.obey(&host.take());
    (host, kernel)
}

#[test]
fn nothing_is_asked_for_unless_the_policy_says_so() {
    let (_, kernel) = with_guests(live(), 1);
    assert!(kernel.programs.is_empty() && kernel.known.is_empty());
}

#[test]
fn a_guest_is_known_once_its_route_is_in() {
    let (mut host, kernel) = with_guests(mirrored(|_| {}), 0);
    assert_eq!(kernel.programs[&UP].responder.station, UP_MAC);
    host.guests.insert(guest(5), guest_mac(5));
    let outputs = host.ask(guest(5));
    let place = |is_meant: &dyn Fn(&Output) -> bool| outputs.iter().position(is_meant).expect("it came out");
    let told = place(&|output| matches!(output, Output::Event(Event::RouteInstalled(_))));
    assert!(told < place(&|output| matches!(output, Output::Mirror(..))));
    let until = host.now + Duration::from_secs(299);
    assert!(matches!(changes(&outputs)[..], [(known, Some(at))] if known == guest(5) && at > until));
    assert_eq!(host.engine.count_mirrored(), 1);
}

#[test]
fn what_is_not_answered_for_as_a_guest_is_not_known() {
    let (mut host, mut kernel) = with_guests(mirrored(|policy| policy.ranges[0].answer = Answer::Always), 0);
    host.advertise(guest(5), guest_mac(5));
    host.facts(vec![has(BRIDGE, &format!("{}/64", guest(6)))]);
    assert!(host.answers_for(guest(5)) && host.answers_for(guest(6)));
    kernel.obey(&host.take());
    assert!(!kernel.knows(guest(5)) && !kernel.knows(guest(6)));
}

#[test]
fn one_that_ends_is_forgotten_before_its_route_goes() {
    let (mut host, mut kernel) = with_guests(mirrored(|_| {}), 2);
    assert!(kernel.answers(UP, guest(1)) && kernel.answers(UP, guest(2)));
    host.facts(vec![has(BRIDGE, &format!("{}/64", guest(1)))]);
    let outputs = host.take();
    assert!(outputs.iter().any(|output| matches!(output, Output::ChangeRoute(Change::Remove(_)))));
    kernel.obey(&outputs);
    assert!(!kernel.knows(guest(1)) && kernel.knows(guest(2)));
}

#[test]
fn one_that_does_not_reply_any_more_is_forgotten() {
    let (mut host, mut kernel) = with_guests(mirrored(|_| {}), 2);
    host.guests.remove(&guest(1));
    host.pass(seconds(100));
    kernel.obey(&host.take());
    assert!(!kernel.knows(guest(1)) && kernel.knows(guest(2)));
}

#[test]
fn the_moment_of_a_guest_is_put_off_as_long_as_it_lives() {
    let (mut host, mut kernel) = with_guests(mirrored(|_| {}), 1);
    for _ in 0..60 {
        host.pass(seconds(20));
        kernel.obey(&host.take());
        let left = kernel.known[&UP][&guest(1)].since(host.now);
        assert!((seconds(230)..=seconds(300)).contains(&left), "{left:?}");
    }
}

#[test]
fn one_that_the_kernel_refuses_is_told_again() {
    let (mut host, _) = with_guests(mirrored(|_| {}), 2);
    host.input(Input::MirrorChanged(UP, vec![guest(1)], Outcome::Failed("full".to_owned())));
    assert_eq!((changes(&host.take()), host.engine.count_mirrored()), (vec![], 1));
    host.pass(millis(1_100));
    assert!(matches!(changes(&host.take())[..], [(known, Some(_))] if known == guest(1)));
    assert_eq!(host.engine.count_mirrored(), 2);
}

#[test]
fn a_program_that_is_not_there_is_told_nothing_and_everything_once_it_is() {
    let (mut host, _) = with_guests(mirrored(|_| {}), 2);
    host.input(Input::ProgramChanged(UP, Outcome::Failed("removed".to_owned())));
    assert_eq!(host.engine.count_mirrored(), 0);
    host.advertise(guest(3), guest_mac(3));
    assert_eq!(changes(&host.take()), []);
    host.pass(millis(1_100));
    let outputs = host.take();
    assert_eq!((programs(&outputs).len(), changes(&outputs).len()), (1, 3));
}

#[test]
fn a_program_follows_the_address_of_its_upstream_and_keeps_its_map() {
    let (mut host, _) = with_guests(mirrored(|_| {}), 2);
    let mac = Mac([0x52, 0x54, 0, 0, 0, 0x77]);
    host.facts(vec![Fact::Link(link(UP, "up0", LinkLayer::Ethernet(mac)))]);
    let outputs = host.take();
    assert!(matches!(&programs(&outputs)[..], [Some(program)] if program.responder.station == mac));
    assert_eq!((changes(&outputs), host.engine.count_mirrored()), (vec![], 2));
}

#[test]
fn the_upstream_may_have_no_address_of_a_guest() {
    let (mut host, mut kernel) = with_guests(mirrored(|_| {}), 2);
    let tentative = host_address(UP, &format!("{}/64", guest(2)), AddressState::Tentative);
    host.facts(vec![Fact::Address(tentative)]);
    kernel.obey(&host.take());
    assert!(kernel.knows(guest(1)) && !kernel.knows(guest(2)));
}

#[test]
fn a_guest_may_have_the_address_that_another_upstream_checks() {
    let (mut host, mut kernel) = with_guests(mirrored(|_| {}), 2);
    let other = IfIndex(4);
    host.facts(vec![
        Fact::Address(host_address(other, &format!("{}/64", guest(2)), AddressState::Tentative)),
        Fact::Link(link(other, "up1", LinkLayer::Ethernet(Mac([0x52, 0x54, 0, 0, 0, 0x44])))),
        Fact::Route(crate::host::default_route(other)),
    ]);
    kernel.obey(&host.take());
    assert!(host.engine.upstream_links().any(|upstream| upstream == other));
    assert!(kernel.answers(UP, guest(2)));
    // What is told is what is done.
    assert_eq!(host.engine.explain(guest(2), host.now).outcome, Expected::Answered);
}

#[test]
fn a_reload_brings_the_program_and_takes_it_away() {
    let packet = with(|policy| {
        policy.ranges[0].routes = RangeRoutes::Guests;
        policy.upstreams[0].source = Source::Scope;
    });
    let (mut host, mut kernel) = with_guests(packet.clone(), 2);
    host.input(Input::Reload(Box::new(mirrored(|_| {}))));
    kernel.obey(&host.take());
    assert!(kernel.answers(UP, guest(1)) && kernel.answers(UP, guest(2)));
    host.input(Input::Reload(Box::new(packet)));
    assert_eq!((programs(&host.take()), host.engine.count_mirrored()), (vec![None], 0));
}

#[test]
fn at_the_end_the_program_goes_before_the_routes() {
    let (mut host, mut kernel) = with_guests(mirrored(|_| {}), 2);
    host.input(Input::Stop);
    let outputs = host.take();
    assert!(outputs.iter().any(|output| matches!(output, Output::ChangeRoute(Change::Remove(_)))));
    kernel.obey(&outputs);
    assert!(kernel.programs.is_empty());
}

/// Something that happens: in the storm, or in the kernel.
#[derive(Debug, Clone)]
enum Step {
    Storm(storm::Step),
    ProgramLost,
    GuestRefused(u16),
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => storm::a_step().prop_map(Step::Storm),
        // Guests that announce themselves, so that many are live.
        10 => (0u16..0x1c).prop_map(|n| {
            Step::Storm(storm::Step::Input(Input::Advertisement(BRIDGE, reply(guest(n), guest_mac(n)))))
        }),
        1 => Just(Step::ProgramLost),
        1 => (0u16..0x1c).prop_map(Step::GuestRefused),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_programs_know_exactly_those_who_are_answered_for(
        steps in prop::collection::vec(a_step(), 1..120),
        routes in prop::sample::select(vec![RangeRoutes::Guests, RangeRoutes::Range, RangeRoutes::None]),
        interface in prop::sample::select(vec![None, Some("up0")]),
        source in prop::sample::select(vec![Source::Scope, Source::Auto]),
    ) {
        let mut policy = storm::policy();
        on_tc(&mut policy);
        policy.upstreams[0].source = source;
        policy.ranges[0].routes = routes;
        policy.upstreams[0].announce = Announce::Yes;
        if let Some(name) = interface {
            policy.upstreams[0].interface = UpstreamInterface::Named(name.parse().unwrap());
        }
        let (mut host, mut kernel) = with_guests(policy, 3);
        prop_assert!(kernel.answers(UP, guest(1)) && kernel.answers(UP, guest(3)));
        // What the kernel refuses is told again after a while.
        let mut is_refused = false;
        let end = [Step::Storm(storm::Step::Pass(300_000))];
        for step in steps.into_iter().chain(end) {
            match step {
                Step::Storm(storm::Step::Input(input)) => {
                    kernel.note_others(&input);
                    host.input(input);
                }
                Step::Storm(storm::Step::Pass(duration)) => {
                    host.pass(millis(duration));
                    is_refused &= duration < 300_000;
                }
                Step::ProgramLost => {
                    is_refused = true;
                    kernel.lose(UP);
                    host.input(Input::ProgramChanged(UP, Outcome::Failed("removed".to_owned())));
                }
                Step::GuestRefused(number) => {
                    is_refused = true;
                    kernel.known.get_mut(&UP).map(|known| known.remove(&guest(number)));
                    let refused = Outcome::Failed("full".to_owned());
                    host.input(Input::MirrorChanged(UP, vec![guest(number)], refused));
                }
            }
            kernel.obey(&host.take());
            for (link, known) in &kernel.known {
                for target in (0..0x1c).map(guest) {
                    let (is_known, is_expected) = (known.contains_key(&target), is_expected(&host, *link, target));
                    let agree = is_known == is_expected || is_refused && !is_known;
                    prop_assert!(agree, "{target}: {is_known}, expected {is_expected}");
                }
                prop_assert!(known.values().all(|until| until.since(host.now) > seconds(200)));
            }
            let known: usize = kernel.known.values().map(BTreeMap::len).sum();
            prop_assert_eq!(known, host.engine.count_mirrored());
        }
    }
}
