//! Somebody else on the upstream link who says that a target of ours is his.

use lone64::engine::policy::Limits;
use lone64::engine::{Event, Input};
use lone64::wire::{DropReason, Mac};

use crate::host::{UP, UP_MAC, guest, reply, seconds};
use crate::village::{Village, veth};

const RIVAL: Mac = Mac([2, 0, 9, 9, 9, 9]);

fn village_with_a_guest() -> Village {
    let mut village = Village::new(1, Limits::default());
    village.settle(guest(5), 0);
    village.ask(guest(5));
    village
}

#[test]
fn answers_stop_while_a_rival_speaks_up_and_resume_when_he_is_silent() {
    let mut village = village_with_a_guest();
    village.input(Input::Advertisement(UP, reply(guest(5), RIVAL)));
    assert!(village.events.contains(&Event::Conflict(guest(5), UP, RIVAL)));
    assert_eq!(village.ask(guest(5)), 0);
    assert_eq!(village.engine.counters().of(UP).dropped(DropReason::Conflict), 1);
    assert_eq!(village.engine.conflicts().collect::<Vec<_>>(), [(guest(5), RIVAL, true)]);
    village.pass(seconds(33));
    assert_eq!(village.ask(guest(5)), 1);
    assert_eq!(village.engine.conflicts().count(), 0);
}

#[test]
fn a_rival_is_told_of_once_while_he_speaks_up() {
    let mut village = village_with_a_guest();
    for _ in 0..10 {
        village.input(Input::Advertisement(UP, reply(guest(5), RIVAL)));
        village.pass(seconds(1));
    }
    let told = village.events.iter().filter(|event| matches!(event, Event::Conflict(..))).count();
    assert_eq!((told, village.engine.counters().conflicts), (1, 10));
}

#[test]
fn our_own_advertisement_is_no_rivals() {
    let mut village = village_with_a_guest();
    village.input(Input::Advertisement(UP, reply(guest(5), UP_MAC)));
    assert_eq!(village.ask(guest(5)), 1);
}

#[test]
fn an_advertisement_upstream_makes_nothing_live_and_concerns_no_unknown_target() {
    let mut village = village_with_a_guest();
    village.input(Input::Advertisement(UP, reply(guest(6), RIVAL)));
    assert_eq!(village.place_of(guest(6)), None);
    assert_eq!(village.engine.counters().conflicts, 0);
    village.settle(guest(6), 0);
    assert_eq!(village.ask(guest(6)), 1);
    assert_eq!(village.place_of(guest(6)), Some(veth(0)));
}
