//! `announce` with a period: everything that is live is announced again, for switches and routers that age entries out.

use std::net::Ipv6Addr;
use std::time::Duration;

use lone64::engine::facts::{Fact, Link, LinkLayer, LinkState};
use lone64::engine::policy::{Announce, Answer, Policy};
use lone64::engine::{Event, Input, Output, Time};
use lone64::wire::{DropReason, Mac};

use crate::host::*;

const PERIOD: Duration = Duration::from_secs(60);

fn every(period: Duration) -> Policy {
    with(|policy| policy.upstreams[0].announce = Announce::Every(period))
}

/// The usual host, where these guests have been announced as newcomers are.
fn with_guests(policy: Policy, numbers: impl IntoIterator<Item = u16>) -> Host {
    let mut host = Host::new(policy);
    for number in numbers {
        host.guests.insert(guest(number), guest_mac(number));
        host.make_live(guest(number), guest_mac(number));
    }
    host.pass(seconds(5));
    host.take();
    host
}

/// What was advertised unasked, and how long after that moment.
fn announced(host: &mut Host, since: Time) -> Vec<(Duration, Ipv6Addr)> {
    let announcement = |(at, output): (Time, Output)| match output {
        Output::Advertise(UP, advertisement) if !advertisement.flags.solicited => {
            Some((at.since(since), advertisement.target))
        }
        _ => None,
    };
    host.take_timed().into_iter().filter_map(announcement).collect()
}

/// How often each of these is announced in that time.
fn counts<const N: usize>(host: &mut Host, time: Duration, targets: [Ipv6Addr; N]) -> [usize; N] {
    host.pass(time);
    let announced = announced(host, Time::ORIGIN);
    targets.map(|target| announced.iter().filter(|(_, announced)| *announced == target).count())
}

fn up(state: LinkState, mac: Mac) -> Fact {
    Fact::Link(Link { state, ..link(UP, "up0", LinkLayer::Ethernet(mac)) })
}

#[test]
fn a_live_guest_is_announced_again_once_in_each_period_and_the_link_is_asked_before() {
    let start = Time::at(seconds(1_000));
    let mut host = with_guests(every(PERIOD), [5]);
    host.pass(PERIOD * 3);
    let outputs = host.take_timed();
    let sent = |wanted: fn(&Output) -> bool| -> Vec<u64> {
        let sent = outputs.iter().filter(|(_, output)| wanted(output));
        sent.map(|(at, _)| at.since(start).as_secs()).collect()
    };
    let asked =
        sent(|output| matches!(output, Output::Solicit(UP, asked) if *asked == dad(UP_MAC, guest(5))));
    assert_eq!(asked, [60, 120, 180]);
    assert_eq!(sent(|output| matches!(output, Output::Advertise(UP, _))), [61, 121, 181]);
    // From the guest's address for the router, so that one that has no entry makes one.
    let from = |output: &Output| matches!(output, Output::Solicit(UP, asked) if asked.source == guest(5));
    assert_eq!(sent(from), [61, 121, 181]);
}

#[test]
fn without_a_period_nothing_is_announced_again() {
    for announce in [Announce::Yes, Announce::Dad] {
        let mut host = with_guests(with(|policy| policy.upstreams[0].announce = announce), [5]);
        assert_eq!(counts(&mut host, seconds(3_600), [guest(5)]), [0]);
    }
}

#[test]
fn addresses_of_the_host_are_announced_again_too_and_what_has_gone_is_not() {
    let mut host = with_guests(every(PERIOD), [5, 6]);
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
    host.pass(seconds(5));
    host.take();
    assert_eq!(counts(&mut host, PERIOD, [guest(1), guest(5), guest(6)]), [1, 1, 1]);
    host.guests.remove(&guest(6));
    host.facts(vec![Fact::AddressGone { link: BRIDGE, address: guest(1) }]);
    host.pass(PERIOD * 3);
    host.take();
    assert_eq!(counts(&mut host, PERIOD, [guest(1), guest(5), guest(6)]), [0, 1, 0]);
}

#[test]
fn of_a_range_that_is_always_answered_only_what_is_known_is_announced_again() {
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].answer = Answer::Always;
        policy.upstreams[0].announce = Announce::Every(PERIOD);
    }));
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
    assert!(host.answers_for(guest(5)));
    host.pass(seconds(5));
    host.take();
    assert_eq!(counts(&mut host, PERIOD, [guest(1), guest(5)]), [1, 0]);
}

#[test]
fn one_that_has_only_announced_itself_is_not_announced_again() {
    let mut host = with_guests(every(PERIOD), [5]);
    // It replies to nothing, but says that it is there again and again.
    let mut outputs = Vec::new();
    for _ in 0..120 {
        host.input(Input::Solicitation(BRIDGE, dad(guest_mac(6), guest(6))));
        host.pass(millis(500));
        outputs.extend(host.take());
    }
    let told = |target| advertisements(&outputs).iter().filter(|told| told.target == target).count();
    assert_eq!((told(guest(5)), told(guest(6))), (1, 0));
}

#[test]
fn a_station_that_has_taken_the_address_is_not_overridden_and_one_that_wants_it_does_not_get_it() {
    let mut host = with_guests(every(PERIOD), [5]);
    host.pass(seconds(55));
    assert_eq!(host.take().iter().filter(|output| matches!(output, Output::Advertise(..))).count(), 0);
    // The link is being asked. A lower link-layer address than ours checks whether the address is free.
    let low = Mac([0, 0, 0, 0, 0, 1]);
    assert!(host.answer_to(dad(low, guest(5))).is_some(), "it is defended");
    host.pass(seconds(5));
    host.take();
    // It has it all the same, and says so whenever the link is asked.
    for _ in 0..3_000 {
        let outputs = host.take();
        if probes(&outputs).contains(&dad(UP_MAC, guest(5))) {
            host.input(Input::Advertisement(UP, reply(guest(5), low)));
        }
        assert!(advertisements(&outputs).is_empty());
        host.pass(millis(100));
    }
    host.ask(guest(5));
    assert_eq!(host.dropped(DropReason::Conflict), 1);
}

#[test]
fn a_round_keeps_to_the_pace_and_newcomers_go_first() {
    let mut host = with_guests(every(PERIOD), 1..=300);
    host.pass(seconds(50));
    host.take();
    let start = host.now;
    host.pass(seconds(8));
    let mut all = announced(&mut host, start);
    host.make_live(guest(999), guest_mac(999));
    let newcomer = host.now;
    host.pass(PERIOD - seconds(8));
    all.extend(announced(&mut host, start));
    assert_eq!(all.iter().filter(|(_, target)| *target != guest(999)).count(), 300, "each once");
    for (at, _) in &all {
        let within = all.iter().filter(|(other, _)| *other >= *at && *other < *at + seconds(1)).count();
        assert!(within <= 101, "{within} within a second from {at:?}");
    }
    let first = all.iter().find(|(_, target)| *target == guest(999)).expect("it is announced");
    assert!(first.0 - newcomer.since(start) < millis(1_020), "{first:?}");
}

#[test]
fn where_a_round_takes_longer_than_the_period_the_next_follows_it_and_that_is_told_once() {
    let mut host = with_guests(
        with(|policy| {
            policy.upstreams[0].announce = Announce::Every(seconds(10));
            policy.limits.announcements_per_second = 2;
        }),
        1..=50,
    );
    host.pass(seconds(200));
    host.take();
    // 50 targets at two a second: a round takes 25 seconds.
    let mut host = {
        host.pass(seconds(100));
        host
    };
    let outputs = host.take_timed();
    for number in 1..=50 {
        let told = outputs.iter().filter(
            |(_, output)| matches!(output, Output::Advertise(_, told) if told.target == guest(number)),
        );
        assert_eq!(told.count(), 4, "{number}");
    }
    let late = |outputs: &[Output]| {
        let late = events(outputs).into_iter().filter(|event| matches!(event, Event::RoundLate(UP, ..)));
        late.collect::<Vec<_>>()
    };
    let outputs: Vec<_> = outputs.into_iter().map(|(_, output)| output).collect();
    assert_eq!(late(&outputs), [], "it was told before");
    let mut policy = every(seconds(11));
    policy.limits.announcements_per_second = 2;
    host.input(Input::Reload(Box::new(policy)));
    host.pass(seconds(200));
    assert_eq!(late(&host.take()).len(), 1, "another period is told of once more");
}

#[test]
fn an_upstream_that_is_down_is_left_out_and_begins_again_when_it_is_up() {
    let mut host = with_guests(every(PERIOD), [5]);
    host.facts(vec![up(LinkState::NoCarrier, UP_MAC)]);
    assert_eq!(counts(&mut host, PERIOD * 2, [guest(5)]), [0]);
    host.facts(vec![up(LinkState::Up, UP_MAC)]);
    assert_eq!(counts(&mut host, seconds(59), [guest(5)]), [3], "as a newcomer");
    assert_eq!(counts(&mut host, seconds(5), [guest(5)]), [1]);
}

#[test]
fn a_reload_begins_changes_and_ends_it() {
    let mut host = with_guests(announcing(), [5]);
    host.input(Input::Reload(Box::new(every(PERIOD))));
    assert_eq!(counts(&mut host, seconds(59), [guest(5)]), [0], "nothing is new");
    assert_eq!(counts(&mut host, seconds(3), [guest(5)]), [1]);
    host.input(Input::Reload(Box::new(every(PERIOD / 2))));
    assert_eq!(counts(&mut host, seconds(32), [guest(5)]), [1]);
    host.input(Input::Reload(Box::new(announcing())));
    assert_eq!(counts(&mut host, PERIOD * 4, [guest(5)]), [0]);
}

#[test]
fn no_slice_of_a_round_visits_more_than_some_hundred_targets() {
    let mut policy = every(PERIOD);
    policy.limits.announcements_per_second = 1 << 20;
    let mut host = with_guests(policy, 0..4_000);
    host.pass(seconds(54));
    host.take();
    while host.engine.next_timeout().is_some_and(|due| due <= Time::at(seconds(1_061))) {
        host.now = host.engine.next_timeout().unwrap();
        host.engine.handle(Input::Timeout, host.now);
        let outputs: Vec<_> = std::iter::from_fn(|| host.engine.poll_output()).collect();
        assert!(outputs.len() <= 1_100, "{} at once", outputs.len());
    }
}
