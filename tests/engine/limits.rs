//! Everything is bounded: targets, pending probes, waiting askers, probes per second.

use lone64::engine::Input;
use lone64::engine::facts::{Fact, Neighbor, NeighborState};
use lone64::engine::policy::{Limits, Policy};
use lone64::wire::DropReason;

use crate::host::{
    BRIDGE, Host, ROUTER_MAC, UP, address, advertisements, dad, guest, guest_mac, live, millis, probes,
    question_from, seconds, with,
};

fn limited(change: impl FnOnce(&mut Limits)) -> Host {
    Host::new(with(|policy| change(&mut policy.limits)))
}

#[test]
fn no_more_targets_than_pending_are_probed_at_once() {
    let mut host = limited(|limits| limits.pending = 10);
    // Of two askers, because one alone does not get all.
    for number in 0..25 {
        let asker = if number % 2 == 0 { ROUTER_MAC } else { guest_mac(77) };
        host.solicit(question_from(address("fe80::1"), asker, guest(number)));
    }
    assert_eq!((host.dropped(DropReason::PendingFull), host.engine.known_targets()), (15, 10));
    assert_eq!(host.engine.counters().probes, 10);
}

#[test]
fn explain_keeps_to_the_limit_of_those_that_are_probed() {
    let mut host = limited(|limits| limits.pending = 2);
    for number in 1..=5 {
        host.input(Input::Ask(guest(number)));
    }
    assert_eq!(host.engine.known_targets(), 2);
}

#[test]
fn when_probing_ends_there_is_room_for_others() {
    let mut host = limited(|limits| limits.pending = 1);
    host.ask(guest(1));
    assert_eq!(probes(&host.ask(guest(2))), []);
    host.advertise(guest(1), guest_mac(1));
    assert_eq!(probes(&host.ask(guest(2))).len(), 1);
    host.pass(seconds(3));
    assert_eq!(probes(&host.ask(guest(3))).len(), 1);
}

#[test]
fn while_as_many_are_probed_as_may_be_live_targets_are_answered_for() {
    let mut host = limited(|limits| limits.pending = 1);
    host.make_live(guest(5), guest_mac(5));
    host.ask(guest(1));
    assert!(host.answers_for(guest(5)));
}

#[test]
fn no_more_than_eight_askers_wait_for_one_target_and_others_wait_for_others() {
    let mut host = Host::new(live());
    for asker in 1..=9 {
        host.solicit(question_from(address(&format!("fe80::{asker}")), ROUTER_MAC, guest(5)));
    }
    assert_eq!(host.dropped(DropReason::AskersFull), 1);
    host.ask(guest(6));
    assert_eq!(host.dropped(DropReason::AskersFull), 1);
}

#[test]
fn no_more_probes_leave_within_a_second_than_the_limit() {
    let mut host = limited(|limits| limits.probes_per_second = 50);
    for number in 0..80 {
        host.ask(guest(number));
    }
    assert_eq!((host.dropped(DropReason::ProbeLimit), host.engine.counters().probes), (30, 50));
    assert_eq!(host.engine.known_targets(), 50, "what was not asked for is not remembered");
}

#[test]
fn probes_over_a_long_scan_keep_to_the_limit_in_every_second() {
    let mut host = limited(|limits| limits.probes_per_second = 20);
    let start = host.now;
    for number in 0..3_000 {
        host.solicit(crate::host::question(guest(number)));
        host.pass(millis(10));
    }
    let mut by_second = vec![0u32; 32];
    for (at, output) in host.take_timed() {
        if !probes(&[output]).is_empty() {
            by_second[usize::try_from(at.since(start).as_secs()).unwrap()] += 1;
        }
    }
    // A second's worth at once, and then as many as each second brings; and once a quarter of a second's worth in
    // debt, for tries that have waited long.
    for seconds in 1..=30 {
        let sum: u32 = by_second[..seconds].iter().sum();
        assert!(sum <= 20 + 20 * u32::try_from(seconds).unwrap() + 5, "{by_second:?}");
    }
    // A debt is paid back.
    assert!(by_second[1..29].iter().all(|n| *n >= 15), "and it is used: {by_second:?}");
    assert!(by_second[..30].iter().sum::<u32>() >= 20 * 30, "{by_second:?}");
}

#[test]
fn the_limit_on_probes_delays_no_answer_for_a_live_target() {
    let mut host = limited(|limits| limits.probes_per_second = 5);
    host.make_live(guest(500), guest_mac(500));
    host.pass(seconds(31));
    for number in 0..20 {
        host.ask(guest(number));
    }
    let outputs = host.ask(guest(500));
    // Confirming the living may run up a debt, which is bounded.
    assert!(advertisements(&outputs).len() == 1 && probes(&outputs).len() <= 1);
}

#[test]
fn a_live_target_is_not_gone_because_its_probes_were_over_the_limit() {
    let mut host = limited(|limits| limits.probes_per_second = 2);
    host.make_live(guest(500), guest_mac(500));
    host.guests.insert(guest(500), guest_mac(500));
    let mut number = 0;
    // A scan takes every probe there is, for longer than a keepalive and all its retries.
    for _ in 0..120 {
        for _ in 0..5 {
            number += 1;
            host.solicit(crate::host::question(guest(number % 400)));
        }
        host.pass(seconds(1));
        assert!(host.is_live(guest(500)));
    }
    assert_eq!(host.events(), []);
}

#[test]
fn a_new_target_takes_the_place_of_an_absent_one() {
    let mut host = limited(|limits| limits.targets = 3);
    host.make_live(guest(1), guest_mac(1));
    host.ask(guest(2));
    host.pass(seconds(3));
    assert!(host.is_absent(guest(2)));
    host.ask(guest(3));
    assert_eq!(probes(&host.ask(guest(4))).len(), 1);
    assert_eq!(host.engine.target(guest(2)), None);
    assert!(host.engine.target(guest(3)).is_some() && host.is_live(guest(1)));
}

#[test]
fn without_an_absent_one_it_takes_the_place_of_the_one_whose_next_probe_is_first() {
    let mut host = limited(|limits| limits.targets = 2);
    host.ask(guest(1));
    host.pass(millis(100));
    host.ask(guest(2));
    host.ask(guest(3));
    assert_eq!(host.engine.target(guest(1)), None);
    assert!(host.engine.target(guest(2)).is_some() && host.engine.target(guest(3)).is_some());
}

#[test]
fn a_live_one_never_goes_for_a_question() {
    let mut host = limited(|limits| limits.targets = 2);
    host.make_live(guest(1), guest_mac(1));
    host.make_live(guest(2), guest_mac(2));
    assert_eq!(probes(&host.ask(guest(3))), []);
    assert_eq!(host.dropped(DropReason::TargetsFull), 1);
    assert!(host.answers_for(guest(1)) && host.answers_for(guest(2)));
}

#[test]
fn nor_for_another_guest_that_shows_itself() {
    let mut host = limited(|limits| limits.targets = 2);
    for number in 1..=5 {
        host.advertise(guest(number), guest_mac(number));
    }
    assert_eq!(host.engine.known_targets(), 2);
    assert!(host.answers_for(guest(1)) && host.answers_for(guest(2)));
}

#[test]
fn when_a_live_one_is_gone_there_is_room() {
    let mut host = limited(|limits| limits.targets = 1);
    host.make_live(guest(1), guest_mac(1));
    host.pass(seconds(63));
    assert_eq!(probes(&host.ask(guest(2))).len(), 1);
}

#[test]
fn a_scan_of_the_whole_range_neither_grows_past_the_limits_nor_harms_a_live_target() {
    let mut host = limited(|limits| {
        limits.targets = 200;
        limits.pending = 100;
    });
    host.guests.insert(guest(5), guest_mac(5));
    host.make_live(guest(5), guest_mac(5));
    for number in 6..=0xffff {
        host.solicit(crate::host::question(guest(number)));
        if number % 64 == 0 {
            host.pass(millis(100));
            host.take();
            assert!(host.engine.known_targets() <= 200);
            assert!(host.answers_for(guest(5)));
        }
    }
}

/// Somebody on the upstream's link checks thousands of addresses, each of which is ours to defend.
#[test]
fn checks_of_strangers_wait_for_so_many_addresses_only() {
    let mut host = Host::new(crate::host::always());
    for number in 0..300 {
        host.solicit(crate::host::dad(guest_mac(0x99), guest(number)));
    }
    assert_eq!(host.dropped(DropReason::AskersFull), 300 - 256);
    // One that waits already takes another in.
    host.solicit(crate::host::dad(guest_mac(0x98), guest(5)));
    assert_eq!(host.dropped(DropReason::AskersFull), 300 - 256);
}

#[test]
fn checks_of_strangers_for_what_is_not_ours_any_more_make_room() {
    let mut host = Host::new(crate::host::always());
    (0..256).for_each(|number| host.solicit(crate::host::dad(guest_mac(0x99), guest(number))));
    host.input(Input::Reload(Box::new(crate::host::with(|policy| policy.ranges.clear()))));
    host.pass(seconds(2));
    host.input(Input::Reload(Box::new(crate::host::always())));
    (256..512).for_each(|number| host.solicit(crate::host::dad(guest_mac(0x99), guest(number))));
    assert_eq!(host.dropped(DropReason::AskersFull), 0);
}

/// Two askers, and which of them asked for targets first; each has four questions under way, which is all that there may be.
fn crowded(first: u16, second: u16) -> Host {
    let mut host = limited(|limits| limits.pending = 8);
    for (asker, from) in [(first, 10), (second, 20)] {
        for number in from..from + 4 {
            host.solicit(asked_by(asker, number));
        }
        host.pass(millis(10));
    }
    // Whoever is there has replied by now.
    host.pass(millis(950));
    host.take();
    assert_eq!(host.engine.known_targets(), 8);
    host
}

fn asked_by(asker: u16, number: u16) -> lone64::wire::Solicitation {
    question_from(address(&format!("fe80::{asker}")), guest_mac(asker), guest(number))
}

fn is_being_asked(host: &Host, number: u16) -> bool {
    matches!(host.engine.target(guest(number)), Some(lone64::engine::State::Probing(_)))
}

#[test]
fn a_question_that_has_been_silent_gives_way_to_one_who_asks_for_less() {
    let mut host = crowded(70, 80);
    host.solicit(asked_by(90, 30));
    assert!(is_being_asked(&host, 30) && !is_being_asked(&host, 10));
    // To who has as many it does not.
    let mut host = crowded(70, 80);
    host.solicit(asked_by(80, 30));
    assert!(!is_being_asked(&host, 30) && is_being_asked(&host, 10));
    assert_eq!(host.dropped(DropReason::PendingFull), 1);
    // And who has one keeps it.
    let mut host = limited(|limits| limits.pending = 8);
    host.solicit(asked_by(70, 10));
    host.pass(millis(10));
    (20..24).for_each(|number| host.solicit(asked_by(80, number)));
    host.pass(millis(950));
    host.solicit(asked_by(80, 30));
    assert!(!is_being_asked(&host, 30) && is_being_asked(&host, 10));
}

#[test]
fn of_more_targets_than_there_may_be_as_many_go_however_many_those_are() {
    let mut host = limited(|limits| limits.targets = 1_000);
    for number in 1..=700 {
        host.advertise(guest(number), guest_mac(number));
        host.make_live(guest(number), guest_mac(number));
    }
    host.input(lone64::engine::Input::Reload(Box::new(with(|policy| policy.limits.targets = 50))));
    assert_eq!(host.engine.known_targets(), 50);
}

#[test]
fn of_what_the_kernel_finds_on_the_upstream_half_as_many_are_known_as_are_asked_at_once() {
    let mut host = Host::new(Policy {
        limits: Limits { pending: 8, ..Limits::default() },
        ..crate::proxy_downstream::proxying()
    });
    let entry = |last: u16| {
        let target = address(&format!("2001:db8:1:2::{last:x}"));
        let (mac, state) = (Some(guest_mac(last)), NeighborState::Reachable);
        Fact::Neighbor(Neighbor { link: UP, address: target, mac, state })
    };
    (0x100..0x120).for_each(|last| host.facts(vec![entry(last)]));
    assert_eq!(host.engine.known_neighbors(), 4);
}

#[test]
fn guests_that_announce_themselves_one_after_the_other_are_all_taken_in() {
    let mut host = limited(|limits| limits.pending = 4);
    for number in 1..=20 {
        host.guests.insert(guest(number), guest_mac(number));
        host.input(Input::Solicitation(BRIDGE, dad(guest_mac(number), guest(number))));
        host.pass(seconds(3));
        assert!(host.is_live(guest(number)), "{number}");
    }
}
