//! How live targets stay live: knowledge that grows old, quiet guests, and those that are gone.

use lone64::engine::facts::{Fact, Neighbor, NeighborState};
use lone64::engine::{Event, Loss, NeighborChange, Output, State, Time};
use lone64::wire::Mac;

use crate::host::{
    BRIDGE, Host, advertisements, events, guest, guest_mac, live, millis, probes, seconds, with,
};

const GROUP: Mac = Mac([0x33, 0x33, 0xff, 0, 0, 5]);
const NEW: Mac = Mac([2, 0, 0, 0, 0xff, 0xff]);

fn host_with_live_target() -> Host {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    host
}

#[test]
fn knowledge_older_than_reachable_is_answered_at_once_and_confirmed_behind_the_answer() {
    let mut host = host_with_live_target();
    host.pass(seconds(30) + millis(1));
    let outputs = host.ask(guest(5));
    assert_eq!((advertisements(&outputs).len(), probes(&outputs).len()), (1, 1));
    let first = &outputs[..1];
    assert_eq!(advertisements(first).len(), 1, "the answer goes first");
    assert_eq!(probes(&outputs)[0].destination_mac, guest_mac(5));
}

#[test]
fn knowledge_as_old_as_reachable_is_not_confirmed() {
    let mut host = host_with_live_target();
    host.pass(seconds(30));
    assert_eq!(probes(&host.ask(guest(5))), []);
}

#[test]
fn once_confirmed_it_is_new_again() {
    let mut host = host_with_live_target().with_guest(guest(5), guest_mac(5));
    host.pass(seconds(31));
    assert_eq!(probes(&host.ask(guest(5))).len(), 1);
    assert_eq!(probes(&host.ask(guest(5))), []);
}

#[test]
fn while_it_is_being_confirmed_every_question_is_answered_and_none_adds_a_probe() {
    let mut host = host_with_live_target();
    host.pass(seconds(31));
    host.ask(guest(5));
    for _ in 0..5 {
        let outputs = host.ask(guest(5));
        assert_eq!((advertisements(&outputs).len(), probes(&outputs).len()), (1, 0));
    }
}

#[test]
fn a_quiet_guest_that_nobody_asks_for_is_asked_every_keepalive() {
    let mut host = host_with_live_target().with_guest(guest(5), guest_mac(5));
    host.pass(millis(59_999));
    assert_eq!(host.probes(), []);
    host.pass(millis(1));
    assert_eq!(host.probes().len(), 1);
    host.pass(seconds(600));
    assert_eq!(host.probes().len(), 10);
    assert!(host.is_live(guest(5)));
}

#[test]
fn a_keepalive_that_is_answered_is_no_event() {
    let mut host = host_with_live_target().with_guest(guest(5), guest_mac(5));
    host.pass(seconds(600));
    assert_eq!(host.events(), []);
}

#[test]
fn a_guest_that_answers_no_keepalive_is_gone_and_absent() {
    let mut host = host_with_live_target();
    host.pass(millis(62_999));
    assert!(host.is_live(guest(5)));
    assert_eq!(host.events(), []);
    host.pass(millis(1));
    let outputs = host.take();
    assert_eq!(events(&outputs), [Event::Gone(guest(5), BRIDGE, Loss::Unanswered)]);
    let forget = Output::ChangeNeighbor(NeighborChange::Forget(BRIDGE, guest(5), None));
    assert!(outputs.contains(&forget), "whoever comes after it may have another MAC");
    assert!(host.is_absent(guest(5)));
    assert!(!host.answers_for(guest(5)));
    host.pass(seconds(10));
    assert_eq!(host.engine.known_targets(), 0);
}

#[test]
fn it_is_asked_retries_times_a_retransmit_apart_and_the_last_time_in_its_group() {
    let mut host = Host::new(with(|policy| {
        policy.timers.retries = 4;
        policy.timers.retransmit = millis(500);
    }));
    host.make_live(guest(5), guest_mac(5));
    let start = host.now;
    host.pass(seconds(70));
    let asked: Vec<_> = host
        .take_timed()
        .into_iter()
        .filter_map(|(at, output)| {
            Some((at.since(start).as_millis(), probes(&[output]).first()?.destination_mac))
        })
        .collect();
    let mac = guest_mac(5);
    assert_eq!(asked, [(60_000, mac), (60_500, mac), (61_000, mac), (61_500, GROUP)]);
}

#[test]
fn a_guest_with_a_new_link_layer_address_is_found_by_the_last_probe_and_never_gone() {
    let mut host = host_with_live_target();
    host.pass(seconds(62));
    let last = host.probes().pop().unwrap();
    assert_eq!(last.destination_mac, GROUP);
    host.advertise(guest(5), NEW);
    assert_eq!(host.events(), []);
    assert!(matches!(host.engine.target(guest(5)), Some(State::Live(live)) if live.mac == Some(NEW)));
    host.pass(seconds(60));
    assert_eq!(host.probes()[0].destination_mac, NEW, "and asked there from then on");
}

#[test]
fn one_reply_among_the_keepalives_starts_the_count_anew() {
    let mut host = host_with_live_target();
    host.pass(seconds(62));
    host.advertise(guest(5), guest_mac(5));
    host.take();
    host.pass(seconds(62));
    assert!(host.is_live(guest(5)));
    assert_eq!(host.probes().len(), 3);
}

#[test]
fn a_neighbor_that_fails_in_the_kernel_is_asked_again_before_it_is_gone() {
    let mut host = host_with_live_target();
    host.pass(seconds(2));
    let failed = Neighbor { link: BRIDGE, address: guest(5), mac: None, state: NeighborState::Failed };
    host.facts(vec![Fact::Neighbor(failed)]);
    let outputs = host.take();
    assert_eq!((probes(&outputs).len(), events(&outputs).len()), (1, 0));
    assert!(host.answers_for(guest(5)), "until it is confirmed it is answered for");
    host.pass(seconds(3));
    assert!(host.is_absent(guest(5)));
}

#[test]
fn a_neighbor_that_fails_and_replies_to_us_stays_live() {
    let mut host = host_with_live_target().with_guest(guest(5), guest_mac(5));
    let failed = Neighbor { link: BRIDGE, address: guest(5), mac: None, state: NeighborState::Failed };
    host.facts(vec![Fact::Neighbor(failed)]);
    host.pass(seconds(10));
    assert!(host.is_live(guest(5)));
    assert_eq!(host.events(), []);
}

#[test]
fn questions_alone_keep_no_guest_live() {
    let mut host = host_with_live_target();
    for _ in 0..70 {
        host.ask(guest(5));
        host.pass(seconds(1));
    }
    assert!(!host.is_live(guest(5)));
}

#[test]
fn a_guest_whose_bridge_forgets_it_is_asked_at_once_and_gone_half_a_retransmission_later() {
    let mut host = host_with_live_target();
    host.make_live(guest(6), guest_mac(6));
    host.take();
    host.facts(vec![Fact::StationGone { bridge: BRIDGE, mac: guest_mac(5) }]);
    let probes = host.probes();
    assert_eq!(
        probes.iter().map(|probe| (probe.target, probe.destination_mac)).collect::<Vec<_>>(),
        [(guest(5), GROUP)]
    );
    host.pass(millis(500));
    assert_eq!(host.events(), [Event::Gone(guest(5), BRIDGE, Loss::Unanswered)]);
    assert!(matches!(host.engine.target(guest(6)), Some(State::Live(_))));
}

#[test]
fn a_guest_that_answers_from_another_port_of_its_bridge_stays() {
    let mut host = host_with_live_target().with_guest(guest(5), guest_mac(5));
    host.facts(vec![Fact::StationGone { bridge: BRIDGE, mac: guest_mac(5) }]);
    host.pass(seconds(2));
    assert!(host.answers_for(guest(5)));
}

#[test]
fn what_another_bridge_forgets_concerns_nobody_here() {
    let mut host = host_with_live_target();
    host.facts(vec![Fact::StationGone { bridge: lone64::engine::facts::IfIndex(9), mac: guest_mac(5) }]);
    assert_eq!(host.probes(), []);
}

#[test]
fn guests_that_were_found_at_the_same_moment_are_not_asked_at_the_same_moment() {
    let mut host = Host::new(live());
    for number in 1..=3_000 {
        host.guests.insert(guest(number), guest_mac(number));
        host.ask(guest(number));
    }
    host.take();
    for round in 1..=5 {
        host.pass(seconds(60));
        let asked = host.take_timed().into_iter();
        let asked = asked.filter(|(_, output)| matches!(output, Output::Solicit(BRIDGE, _)));
        let mut of_second = [0; 10_000];
        asked.for_each(|(at, _)| of_second[usize::try_from(at.since(Time::ORIGIN).as_secs()).unwrap()] += 1);
        // Spread over fifteen seconds, that would be 200 in each.
        let most = of_second.into_iter().max().unwrap();
        assert!((1..300).contains(&most), "{most} in one second of round {round}");
    }
    assert!((1..=3_000).all(|number| host.is_live(guest(number))));
}
