//! Answers: `always`, `live` and `never`; to whom, and with which flags.

use lone64::engine::policy::{Answer, Override};
use lone64::engine::{Event, Output};
use lone64::wire::{DropReason, Solicitation};

use crate::host::{
    BRIDGE, Host, ROUTER_MAC, UP, UP_MAC, address, advertisements, always, dad, events, guest, guest_mac,
    live, probes, question, question_from, seconds, with,
};

#[test]
fn always_answers_for_every_address_of_the_range_at_once_and_probes_none() {
    let mut host = Host::new(always());
    for number in [0, 1, 5, 0x7fff, 0xffff] {
        let outputs = host.ask(guest(number));
        assert_eq!((outputs.len(), advertisements(&outputs).len()), (1, 1), "{outputs:?}");
    }
    assert_eq!((host.engine.known_targets(), host.engine.counters().probes), (0, 0));
}

#[test]
fn an_answer_leaves_on_the_upstream_that_the_question_came_on() {
    let mut host = Host::new(always());
    assert!(matches!(host.ask(guest(5))[..], [Output::Advertise(UP, _)]));
}

#[test]
fn an_answer_is_a_whole_frame_to_the_asker() {
    let mut host = Host::new(always());
    let answer = host.answer_to(question(guest(5))).unwrap();
    assert_eq!((answer.source_mac, answer.destination_mac), (UP_MAC, ROUTER_MAC));
    assert_eq!((answer.destination, answer.target), (address("fe80::1"), guest(5)));
    assert_eq!(answer.target_link_layer, Some(UP_MAC));
}

#[test]
fn never_answers_for_none_and_probes_none() {
    let mut host = Host::new(with(|policy| policy.ranges[0].answer = Answer::Never));
    host.advertise(guest(5), guest_mac(5));
    assert_eq!(host.ask(guest(5)), []);
    assert_eq!(host.dropped(DropReason::NeverAnswered), 1);
}

#[test]
fn live_probes_for_an_unknown_target_and_answers_when_it_replies() {
    let mut host = Host::new(live());
    let outputs = host.ask(guest(5));
    assert_eq!((advertisements(&outputs).len(), probes(&outputs).len()), (0, 1));
    host.pass(seconds(1));
    host.advertise(guest(5), guest_mac(5));
    let outputs = host.take();
    assert_eq!(advertisements(&outputs).len(), 1);
    assert!(matches!(events(&outputs)[..], [Event::Live(target, BRIDGE, mac, _)]
        if target == guest(5) && mac == Some(guest_mac(5))));
}

#[test]
fn live_answers_for_a_live_target_at_once_and_without_a_probe() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    let outputs = host.ask(guest(5));
    assert!(matches!(outputs[..], [Output::Advertise(UP, _)]), "{outputs:?}");
}

#[test]
fn everyone_who_waited_is_answered_once_each_in_the_order_of_the_questions() {
    let mut host = Host::new(live());
    let askers = ["fe80::1", "2001:db8:1:2::1", "fe80::3"].map(address);
    // The first asks again while it waits, as routers do.
    for asker in [askers[0], askers[1], askers[0], askers[2], askers[0]] {
        host.solicit(question_from(asker, ROUTER_MAC, guest(5)));
    }
    host.take();
    host.advertise(guest(5), guest_mac(5));
    host.advertise(guest(5), guest_mac(5));
    let answered: Vec<_> = host.answers().iter().map(|answer| answer.destination).collect();
    assert_eq!(answered, askers);
}

#[test]
fn two_stations_with_one_address_are_two_askers() {
    let mut host = Host::new(live());
    for mac in [guest_mac(1), guest_mac(2)] {
        host.solicit(question_from(address("fe80::1"), mac, guest(5)));
    }
    host.take();
    host.advertise(guest(5), guest_mac(5));
    let answered: Vec<_> = host.answers().iter().map(|answer| answer.destination_mac).collect();
    assert_eq!(answered, [guest_mac(1), guest_mac(2)]);
}

#[test]
fn a_duplicate_check_that_waited_is_answered_to_all_nodes_beside_the_others() {
    let mut host = Host::new(live());
    host.solicit(dad(guest_mac(9), guest(5)));
    host.solicit(question(guest(5)));
    host.take();
    host.advertise(guest(5), guest_mac(5));
    let answered: Vec<_> = host.answers().iter().map(|answer| answer.destination).collect();
    assert_eq!(answered, [address("ff02::1"), address("fe80::1")]);
}

#[test]
fn retransmissions_of_a_question_for_a_live_target_are_all_answered() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    for _ in 0..3 {
        host.solicit(question(guest(5)));
    }
    assert_eq!(host.answers().len(), 3);
}

#[test]
fn a_reachability_probe_of_the_router_is_answered_as_a_question_is() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    let unicast = Solicitation {
        destination: guest(5),
        destination_mac: UP_MAC,
        source_link_layer: None,
        ..question(guest(5))
    };
    assert_eq!(host.answer_to(unicast), host.answer_to(question(guest(5))));
}

#[test]
fn router_and_override_flags_are_those_of_the_policy() {
    for router in [false, true] {
        for (policy, expected) in
            [(Override::Takeover, false), (Override::Never, false), (Override::Always, true)]
        {
            let mut host = Host::new(with(|p| {
                p.ranges[0].answer = Answer::Always;
                p.upstreams[0].router = router;
                p.upstreams[0].override_flag = policy;
            }));
            let flags = host.answer_to(question(guest(5))).unwrap().flags;
            assert_eq!((flags.router, flags.override_entry), (router, expected), "{policy:?}");
        }
    }
}

#[test]
fn every_question_is_counted_once() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    host.ask(guest(5));
    host.ask(guest(6));
    host.ask(address("2001:db8:9::1"));
    host.pass(seconds(10));
    let counters = host.engine.counters().of(UP);
    assert_eq!((counters.answered, counters.dropped(DropReason::Absent)), (2, 1));
    assert_eq!(counters.dropped(DropReason::NoRange), 1);
    let all: u64 = DropReason::ALL.iter().map(|reason| counters.dropped(*reason)).sum();
    assert_eq!(all, 2);
}

#[test]
fn a_discarded_frame_is_counted_and_nothing_else() {
    let mut host = Host::new(always());
    host.input(lone64::engine::Input::Discarded(UP, DropReason::Checksum));
    assert_eq!((host.dropped(DropReason::Checksum), host.take()), (1, vec![]));
}
