//! Ranges that a program in the kernel answers for as a whole: when it is told of which, and what of them it passes on.

use std::net::Ipv6Addr;

use lone64::engine::facts::{Fact, KernelRoute, LinkState, RouteKind};
use lone64::engine::policy::{Answer, Backend, Downstream, Policy, RangePolicy, RangeRoutes, Source};
use lone64::engine::{Expected, Input, MirroredRanges, Outcome, Output};
use proptest::prelude::*;

use crate::host::{
    BRIDGE, Host, ROUTER_MAC, UP, address, bridge, guest, has, host_address, millis, net, range, route,
    seconds,
};
use crate::mirror::{changes, mirrored, programs, with_guests};
use crate::storm;

/// The usual host with a program, where every address of the range is answered for, but for this.
fn whole(change: impl FnOnce(&mut Policy)) -> (Host, MirroredRanges) {
    let policy = mirrored(|policy| {
        policy.ranges[0].answer = Answer::Always;
        policy.ranges[0].routes = RangeRoutes::Range;
        change(policy);
    });
    let mut host = Host::bare(policy);
    host.facts(crate::host::usual_facts());
    host.input(Input::Synced);
    let told = told(&host.take()).expect("it was told");
    (host, told)
}

/// What the program was told last.
fn told(outputs: &[Output]) -> Option<MirroredRanges> {
    let mut all = outputs.iter().filter_map(|output| match output {
        Output::MirrorRanges(UP, ranges) => Some(ranges.clone()),
        _ => None,
    });
    all.next_back()
}

/// Whether that program answers for the target: the longest prefix says.
fn answers(told: &MirroredRanges, target: Ipv6Addr) -> bool {
    let answered = told.answered.iter().map(|prefix| (prefix, true));
    let all = answered.chain(told.passed_on.iter().map(|prefix| (prefix, false)));
    let longest =
        all.filter(|(prefix, _)| prefix.contains(&target)).max_by_key(|(prefix, _)| prefix.prefix_len());
    longest.is_some_and(|(_, is_answered)| is_answered)
}

#[test]
fn a_program_is_told_of_all_of_a_range_and_of_what_it_passes_on() {
    let (host, told) = whole(|policy| {
        policy.ranges[0].exclude = vec![net("2001:db8:1:2:c::7/128"), net("2001:db8:1:2:c::80/121")];
        let mut inner = range("2001:db8:1:2:c::4400/120", "lxcbr0");
        inner.answer = Answer::Live;
        policy.ranges.push(inner);
        let mut never = range("2001:db8:1:2:d::/112", "lxcbr0");
        never.answer = Answer::Never;
        policy.ranges.push(never);
    });
    assert!(told.answered.iter().eq([&net("2001:db8:1:2:c::/112")]), "{told:?}");
    let passed_on = ["2001:db8:1:2:c::7/128", "2001:db8:1:2:c::80/121", "2001:db8:1:2:c::4400/120"].map(net);
    assert!(told.passed_on.iter().eq(&passed_on), "{told:?}");
    assert!(told.until.since(host.now) > seconds(290));
    let program = host.engine.program_of(guest(5));
    assert_eq!((program, host.engine.program_of(guest(7))), (Some(UP), None));
}

#[test]
fn a_program_answers_for_nothing_of_a_range_that_stands_by() {
    let (_, told) = whole(|policy| {
        let mut standby = range("2001:db8:1:2:c::4400/120", "lxcbr0");
        (standby.answer, standby.standby) = (Answer::Always, true);
        policy.ranges.push(standby);
    });
    assert!(answers(&told, guest(5)) && !answers(&told, guest(0x4405)), "{told:?}");
}

#[test]
fn its_program_looks_at_what_is_within_answered_ranges_alone() {
    let mut host = Host::bare(mirrored(|policy| {
        policy.ranges[0].answer = Answer::Always;
        let mut never = range("2001:db8:1:2:d::/112", "lxcbr0");
        never.answer = Answer::Never;
        policy.ranges.push(never);
    }));
    host.facts(crate::host::usual_facts());
    host.input(Input::Synced);
    let program = programs(&host.take()).pop().flatten().expect("a program");
    assert_eq!(program.responder.within, [net("2001:db8:1:2:c::/112")]);
}

#[test]
fn an_address_of_the_upstream_is_passed_on_as_long_as_it_is_there() {
    let (mut host, before) = whole(|_| {});
    assert!(answers(&before, guest(7)));
    host.facts(vec![has(UP, "2001:db8:1:2:c::7/64")]);
    assert!(!answers(&told(&host.take()).expect("it was told"), guest(7)));
    let gone = host_address(UP, "2001:db8:1:2:c::7/64", lone64::engine::facts::AddressState::Preferred);
    host.facts(vec![Fact::AddressGone { link: UP, address: gone.address }]);
    assert!(answers(&told(&host.take()).expect("it was told"), guest(7)));
    // One of another interface is answered for as any other.
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::7/112")]);
    assert!(told(&host.take()).is_none_or(|told| answers(&told, guest(7))));
}

/// Not with the next thing that happens: until it is told, it answers for an address that the host has itself.
#[test]
fn it_is_told_in_the_turn_in_which_the_daemon_learns_it() {
    let (mut host, _) = whole(|_| {});
    host.engine.handle(Input::Facts(vec![has(UP, "2001:db8:1:2:c::7/112")]), host.now);
    let outputs: Vec<_> = std::iter::from_fn(|| host.engine.poll_output()).collect();
    assert!(told(&outputs).is_some_and(|told| !answers(&told, guest(7))), "{outputs:?}");
}

#[test]
fn what_a_station_on_the_link_has_is_passed_on_until_it_has_it_no_more() {
    let (mut host, _) = whole(|_| {});
    let rival = crate::host::reply(guest(9), ROUTER_MAC);
    host.input(Input::Advertisement(UP, rival));
    let now = told(&host.take()).expect("it was told");
    assert!(!answers(&now, guest(9)) && answers(&now, guest(8)), "{now:?}");
    assert_eq!(host.engine.program_of(guest(9)), None);
}

#[test]
fn a_range_whose_interface_is_down_is_not_answered_for() {
    let (mut host, _) = whole(|_| {});
    host.facts(vec![bridge(LinkState::Down)]);
    assert!(told(&host.take()).expect("it was told").answered.is_empty());
    host.facts(vec![bridge(LinkState::Up)]);
    assert!(!told(&host.take()).expect("it was told").answered.is_empty());
}

#[test]
fn what_a_route_leads_back_out_of_the_upstream_is_the_daemons() {
    let (mut host, _) = whole(|_| {});
    let another = KernelRoute { protocol: 4, ..route("2001:db8:1:2:c::8/126", RouteKind::Unicast(UP)) };
    host.facts(vec![Fact::Route(another)]);
    let now = told(&host.take()).expect("it was told");
    assert!(!answers(&now, guest(9)) && answers(&now, guest(12)), "{now:?}");
    let (_, told) = whole(|policy| {
        policy.ranges[0].downstream = Downstream::Kernel;
        policy.ranges[0].routes = RangeRoutes::None;
    });
    assert!(told.answered.is_empty(), "all of it goes where the default route leads: {told:?}");
}

#[test]
fn its_time_is_put_off_while_the_daemon_is_there() {
    let (mut host, mut last) = whole(|policy| policy.upstreams[0].on_crash_answer = seconds(60));
    for _ in 0..30 {
        host.pass(seconds(5));
        last = told(&host.take()).unwrap_or(last);
        assert!(last.until.since(host.now) >= seconds(40), "{last:?} at {:?}", host.now);
    }
}

#[test]
fn what_the_kernel_has_no_room_for_is_told_again_when_it_is_another() {
    let (mut host, _) = whole(|_| {});
    host.input(Input::RangesMirrored(UP, Outcome::Failed("full".to_owned())));
    assert_eq!((told(&host.take()), host.engine.program_of(guest(5))), (None, None));
    assert_eq!(host.engine.count_mirrored_ranges_on(UP), 0);
    host.facts(vec![has(UP, "2001:db8:1:2:c::7/64")]);
    assert!(told(&host.take()).is_some());
    assert_eq!(host.engine.program_of(guest(5)), Some(UP));
    assert_eq!(
        (host.engine.count_mirrored_ranges_on(UP), host.engine.count_mirrored_ranges_on(BRIDGE)),
        (1, 0)
    );
}

#[test]
fn each_range_that_is_answered_for_counts() {
    let (host, _) = whole(|policy| {
        policy.ranges.push(RangePolicy { answer: Answer::Always, ..range("2001:db8:1:2:d::/112", "lxcbr0") });
    });
    assert_eq!(host.engine.count_mirrored_ranges_on(UP), 2);
}

#[test]
fn a_program_that_is_put_back_is_told_again() {
    let (mut host, _) = whole(|_| {});
    host.input(Input::ProgramLost(UP));
    host.pass(millis(1));
    assert!(told(&host.take()).is_some());
}

#[test]
fn what_a_predecessor_answered_for_as_a_whole_is_taken_away() {
    let (mut host, _) = with_guests(mirrored(|_| {}), 0);
    host.take();
    host.input(Input::ProgramLost(UP));
    host.pass(millis(1));
    let outputs = host.take();
    assert!(told(&outputs).expect("it was told").answered.is_empty() && changes(&outputs).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// What the program answers for, the daemon would answer at once.
    #[test]
    fn the_programs_answer_for_nothing_in_a_range_that_the_daemon_would_not(
        steps in prop::collection::vec(storm::a_step(), 1..120),
        routes in prop::sample::select(vec![RangeRoutes::Range, RangeRoutes::None]),
        is_kernels in any::<bool>(),
    ) {
        let mut policy = storm::policy();
        policy.upstreams[0].backend = Backend::Tc;
        policy.upstreams[0].source = Source::Scope;
        policy.ranges[0].answer = Answer::Always;
        policy.ranges[0].routes = routes;
        if is_kernels {
            policy.ranges[0].downstream = Downstream::Kernel;
            policy.ranges[0].routes = RangeRoutes::None;
        }
        let (mut host, _) = with_guests(policy, 0);
        let mut last = None;
        for step in steps {
            match step {
                storm::Step::Input(input) => host.input(input),
                storm::Step::Pass(duration) => host.pass(millis(duration)),
            }
            for output in host.take() {
                match output {
                    Output::MirrorRanges(UP, ranges) => last = Some(ranges),
                    Output::Program(UP, None) => last = None,
                    _ => {}
                }
            }
            let Some(told) = &last else { continue };
            prop_assert!(told.answered.is_empty() || told.until.since(host.now) > seconds(200));
            for target in (0..0x1c).map(guest).chain([address("2001:db8:1:2::1")]) {
                let explanation = host.engine.explain(target, host.now);
                let is_answered = explanation.outcome == Expected::Answered && explanation.upstream == Some(UP);
                prop_assert!(is_answered || !answers(told, target), "{target}: {told:?} {explanation:?}");
            }
        }
    }
}

#[test]
fn what_does_not_concern_it_is_no_reason_to_tell_it_again() {
    let (mut host, _) = whole(|_| {});
    host.facts(vec![has(UP, "2001:db8:9::9/64")]);
    assert_eq!(told(&host.take()), None);
    host.pass(seconds(10));
    host.facts(vec![has(UP, "2001:db8:9::8/64")]);
    assert_eq!(told(&host.take()), None);
}
