//! The store of targets: bounds, and what is due.

use super::*;
use std::time::Duration;

fn address(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)
}

fn live(proof: Proof) -> State {
    State::Live(Live {
        link: IfIndex(3),
        mac: Some(Mac([2, 0, 0, 0, 0, 1])),
        evidence: Evidence::Probe,
        proof,
        since: Time::ORIGIN,
        seen: Time::ORIGIN,
        unanswered: 0,
        claim: None,
    })
}

fn probing() -> State {
    State::Probing(Probing { left: 2, asked: 1, share: 5, askers: Vec::new() })
}

fn seconds(seconds: u64) -> Time {
    Time::at(Duration::from_secs(seconds))
}

#[test]
fn gives_up_the_absent_then_the_probed_then_the_announced_and_never_the_proved() {
    let mut targets = Targets::new(4, [1, 2]);
    let states = [live(Proof::Replied), live(Proof::Announced), probing(), State::Absent];
    for (last, state) in (1..).zip(states.clone()) {
        assert_eq!(targets.put(address(last), state, seconds(9)), Put::Kept(None));
    }
    for (newcomer, victim) in [(5, 4), (6, 3), (7, 2)] {
        let state = states[victim - 1].clone();
        let gone = address(u16::try_from(victim).expect("small"));
        assert_eq!(
            targets.put(address(newcomer), live(Proof::Replied), seconds(9)),
            Put::Instead(gone, state)
        );
    }
    assert_eq!(targets.put(address(8), probing(), seconds(9)), Put::Full);
    assert_eq!(targets.len(), 4);
}

#[test]
fn the_announced_keep_their_place_against_their_like_and_against_questions() {
    let mut targets = Targets::new(1, [1, 2]);
    targets.put(address(1), live(Proof::Announced), seconds(9));
    for state in [live(Proof::Announced), probing()] {
        assert_eq!(targets.put(address(2), state, seconds(9)), Put::Full);
    }
    assert!(!targets.has_room_for(address(2)) && targets.has_room_for(address(1)));
}

#[test]
fn a_known_target_keeps_its_place_when_all_is_full() {
    let mut targets = Targets::new(1, [1, 2]);
    targets.put(address(1), live(Proof::Replied), seconds(9));
    assert_eq!(targets.put(address(1), State::Absent, seconds(9)), Put::Kept(Some(live(Proof::Replied))));
}

#[test]
fn tells_what_is_due_in_order() {
    let mut targets = Targets::new(9, [1, 2]);
    targets.put(address(1), live(Proof::Replied), seconds(5));
    targets.put(address(2), State::Absent, seconds(3));
    assert_eq!((targets.next_due(), targets.first_due(seconds(2))), (Some(seconds(3)), None));
    assert_eq!(targets.first_due(seconds(4)), Some(address(2)));
    targets.postpone(address(2), seconds(7));
    assert_eq!(targets.first_due(seconds(9)), Some(address(1)));
    targets.remove(address(1));
    targets.remove(address(2));
    assert_eq!(targets.next_due(), None);
}

#[test]
fn knows_who_lives_on_a_link() {
    let mut targets = Targets::new(9, [1, 2]);
    targets.put(address(1), live(Proof::Replied), seconds(5));
    targets.put(address(2), live(Proof::Announced), seconds(5));
    targets.put(address(2), State::Absent, seconds(5));
    assert_eq!(targets.on_link(IfIndex(3)).collect::<Vec<_>>(), [address(1)]);
    assert_eq!(targets.on_link(IfIndex(4)).count(), 0);
}

#[test]
fn counts_the_probed_by_share() {
    let mut targets = Targets::new(9, [1, 2]);
    targets.put(address(1), probing(), seconds(5));
    targets.put(address(2), probing(), seconds(5));
    targets.put(address(2), State::Absent, seconds(5));
    assert_eq!((targets.probing(), targets.probing_for(5), targets.probing_for(6)), (1, 1, 0));
}
