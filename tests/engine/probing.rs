//! Probing: retries and their spacing, absence and how it ends.

use lone64::engine::facts::LinkState;
use lone64::engine::{Input, Output, Time};
use lone64::wire::{DropReason, Mac};

use crate::host::{
    BRIDGE, Host, address, advertisements, bridge, dad, guest, guest_mac, live, millis, probes, question,
    question_from, reply, seconds, with,
};
use crate::proxy_downstream::{OTHER, advertised, other, two_downstreams};

/// When the probes came out, in milliseconds since `from`.
fn probe_times(host: &mut Host, from: Time) -> Vec<u128> {
    let outputs = host.take_timed();
    let is_probe = |output| !probes(std::slice::from_ref(output)).is_empty();
    outputs.iter().filter(|(_, o)| is_probe(o)).map(|(at, _)| at.since(from).as_millis()).collect()
}

#[test]
fn a_question_for_a_dead_target_costs_retries_probes_a_retransmit_apart() {
    for (retries, retransmit, expected) in
        [(3, 1_000, vec![0, 1_000, 2_000]), (1, 1_000, vec![0]), (5, 200, vec![0, 200, 400, 600, 800])]
    {
        let mut host = Host::new(with(|policy| {
            policy.timers.retries = retries;
            policy.timers.retransmit = millis(retransmit);
        }));
        let start = host.now;
        host.solicit(question(guest(5)));
        host.pass(seconds(60));
        assert_eq!(probe_times(&mut host, start), expected);
    }
}

#[test]
fn a_question_for_a_target_that_exists_costs_one_probe() {
    let mut host = Host::new(live()).with_guest(guest(5), guest_mac(5));
    host.ask(guest(5));
    host.pass(seconds(20));
    assert_eq!(host.engine.counters().probes, 1);
}

#[test]
fn a_target_that_replies_to_the_last_probe_only_is_live_and_its_asker_is_answered() {
    let mut host = Host::new(live());
    host.ask(guest(5));
    host.pass(millis(2_900));
    host.advertise(guest(5), guest_mac(5));
    assert_eq!(host.answers().len(), 1);
    host.pass(seconds(5));
    assert!(host.is_live(guest(5)));
}

#[test]
fn probes_for_an_unknown_target_go_to_the_group_on_the_downstream_of_its_range() {
    let mut host = Host::new(live());
    host.solicit(question(guest(5)));
    host.pass(seconds(3));
    let outputs = host.take();
    let on: Vec<_> = outputs
        .iter()
        .map(|output| match output {
            Output::Solicit(link, probe) => (*link, probe.destination_mac),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(on, [(BRIDGE, Mac([0x33, 0x33, 0xff, 0, 0, 5])); 3]);
}

#[test]
fn whoever_waited_in_vain_is_counted_as_absent_once() {
    let mut host = Host::new(live());
    for _ in 0..3 {
        host.solicit(question(guest(5)));
    }
    host.pass(seconds(60));
    assert_eq!((host.dropped(DropReason::Absent), host.answers().len()), (1, 0));
}

#[test]
fn absence_lasts_absent_and_then_nothing_is_remembered() {
    let mut host = Host::new(with(|policy| policy.timers.absent = seconds(7)));
    host.ask(guest(5));
    host.pass(seconds(3));
    assert!(host.is_absent(guest(5)));
    host.pass(millis(6_999));
    assert!(host.is_absent(guest(5)));
    host.pass(millis(1));
    assert_eq!((host.engine.known_targets(), host.engine.next_timeout()), (0, None));
}

#[test]
fn in_absence_each_question_costs_one_look() {
    let mut host = Host::new(live());
    host.ask(guest(5));
    host.pass(seconds(3));
    host.take();
    for _ in 0..2 {
        assert_eq!(probes(&host.ask(guest(5))).len(), 1);
        host.pass(seconds(1));
        assert!(host.is_absent(guest(5)), "one look, and no more");
        assert_eq!(host.probes(), []);
    }
}

#[test]
fn a_guest_that_came_up_without_a_word_is_found_by_the_first_question_in_its_absence() {
    let mut host = Host::new(live());
    host.ask(guest(5));
    host.pass(seconds(3));
    host.guests.insert(guest(5), guest_mac(5));
    assert_eq!(advertisements(&host.ask(guest(5))).len(), 1);
}

#[test]
fn a_sign_of_life_ends_absence_at_once() {
    let mut host = Host::new(live());
    host.ask(guest(5));
    host.pass(seconds(3));
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    host.take();
    let outputs = host.ask(guest(5));
    assert_eq!((advertisements(&outputs).len(), probes(&outputs).len()), (1, 0));
}

#[test]
fn after_an_absence_a_target_has_all_its_retries_again() {
    let mut host = Host::new(live());
    host.ask(guest(5));
    host.pass(seconds(10));
    host.take();
    let start = host.now;
    host.solicit(question(guest(5)));
    host.pass(seconds(10));
    assert_eq!(probe_times(&mut host, start), [0, 1_000, 2_000]);
}

#[test]
fn no_downstream_no_probe() {
    for state in [LinkState::NoCarrier, LinkState::Down] {
        let mut host = Host::new(live());
        host.facts(vec![bridge(state)]);
        host.take();
        assert_eq!(host.ask(guest(5)), [], "{state:?}");
        assert_eq!(host.dropped(DropReason::NoDownstream), 1);
    }
}

#[test]
fn a_late_timeout_sends_one_probe_for_each_target_and_not_those_it_missed() {
    let mut host = Host::new(live());
    host.solicit(question(guest(5)));
    host.take();
    // The process was stopped for a while.
    host.now = host.now + seconds(30);
    host.input(Input::Timeout);
    assert_eq!(host.probes().len(), 1);
    assert!(host.engine.next_timeout().unwrap() > host.now);
}

#[test]
fn a_timeout_before_its_time_does_nothing() {
    let mut host = Host::new(live());
    host.solicit(question(guest(5)));
    host.take();
    host.input(Input::Timeout);
    assert_eq!(host.take(), []);
}

/// rules.md, "Probing": "At most three per question for a dead target". Here the administrator asks.
#[test]
fn a_dead_target_that_the_administrator_asks_for_costs_as_many_probes() {
    for (retries, expected) in [(3, vec![0, 1_000, 2_000]), (1, vec![0])] {
        let mut host = Host::new(with(|policy| policy.timers.retries = retries));
        let start = host.now;
        host.input(Input::Ask(guest(5)));
        host.pass(seconds(60));
        assert_eq!(probe_times(&mut host, start), expected);
    }
}

#[test]
fn guests_that_ask_for_the_same_one_meanwhile_cost_no_more_probes_and_each_has_one_answer() {
    let mut host = two_downstreams();
    for number in [5, 7, 5, 8] {
        let question = question_from(guest(number), guest_mac(number), other(6));
        host.input(Input::Solicitation(BRIDGE, question));
    }
    let outputs = host.take();
    let asked = outputs.iter().filter(|output| matches!(output, Output::Solicit(OTHER, _)));
    assert_eq!(asked.count(), 1);
    host.input(Input::Advertisement(OTHER, reply(other(6), guest_mac(6))));
    let answered: Vec<_> = advertised(&mut host).iter().map(|answer| answer.destination).collect();
    assert_eq!(answered, [5, 7, 8].map(guest));
}

/// A multicast question wakes all others on the link.
#[test]
fn one_whose_station_is_known_is_asked_there() {
    let gateway = address("fe80::5054:ff:fe00:b0");
    let mut host = Host::new(live());
    host.input(Input::Solicitation(BRIDGE, question_from(guest(5), guest_mac(5), gateway)));
    host.pass(seconds(1));
    let by_itself = host.probes();
    host.make_live(guest(6), guest_mac(6));
    host.pass(millis(1_050));
    host.take();
    host.input(Input::Ask(guest(6)));
    let wanted = host.probes();
    assert_eq!(by_itself.first().map(|probe| probe.destination_mac), Some(guest_mac(5)));
    assert_eq!(wanted.iter().map(|probe| probe.destination_mac).collect::<Vec<_>>(), [guest_mac(6)]);
}

#[test]
fn replies_give_probes_back_and_what_nobody_asked_for_does_not() {
    let limited = || {
        let mut host = Host::new(with(|policy| policy.limits.probes_per_second = 4));
        (1..=20).for_each(|number| host.make_live(guest(number), guest_mac(number)));
        host.pass(seconds(5));
        host
    };
    let mut host = limited();
    for number in 1..=20 {
        host.guests.insert(guest(number), guest_mac(number));
        host.input(Input::Ask(guest(number)));
    }
    assert_eq!(probes(&host.ask(guest(100))).len(), 1, "all have replied");
    let mut host = limited();
    (100..200).for_each(|number| _ = host.ask(guest(number)));
    for number in 1..=20 {
        host.advertise(guest(number), guest_mac(number));
    }
    assert_eq!(probes(&host.ask(guest(200))).len(), 0, "probes are scarce still");
    let mut host = limited();
    (1..=20).for_each(|number| host.input(Input::Ask(guest(number))));
    assert_eq!(probes(&host.ask(guest(100))).len(), 0, "none has replied");
}
