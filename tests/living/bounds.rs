//! Scans, floods and crowds: what stays bounded, and who is served all the same.

use std::net::Ipv6Addr;

use lone64::engine::Input;
use lone64::engine::facts::{Fact, Neighbor, NeighborState};
use lone64::engine::policy::Limits;
use lone64::wire::{DropReason, Mac};

use crate::host::{ROUTER_MAC, UP, address, dad, guest, millis, question_from, seconds};
use crate::village::{Village, mac_on, veth};

const STRANGER: Mac = Mac([2, 0, 7, 7, 7, 7]);

fn scanned(number: u32) -> Ipv6Addr {
    // A permutation of the lower 16 bits that stays clear of the few guests.
    guest(0x100 | (number.wrapping_mul(40_503) & 0xffff) as u16)
}

fn scan(village: &mut Village, by: Mac, number: u32) {
    let question = question_from(address("fe80::bad"), by, scanned(number));
    village.input(Input::Solicitation(UP, question));
}

#[test]
fn a_scan_loses_no_answer_for_a_live_guest() {
    let mut village = Village::new(4, Limits::default());
    for number in 0..10 {
        village.settle(guest(number + 1), u32::from(number) % 4);
        village.ask(guest(number + 1));
    }
    village.answers.clear();
    for tenth in 0..100u32 {
        for number in 0..500 {
            scan(&mut village, STRANGER, tenth * 500 + number);
        }
        for number in 0..10 {
            assert_eq!(village.ask(guest(number + 1)), 1, "guest {number} after {tenth} tenths");
        }
        village.pass(millis(100));
        village.answers.clear();
        village.probes.clear();
    }
    assert!(village.engine.known_targets() <= 65_536);
    assert_eq!(village.kernel.len(), 11, "a route for each guest, and the backstop");
}

#[test]
fn probes_stay_within_their_limit() {
    let limits = Limits { probes_per_second: 100, ..Limits::default() };
    let mut village = Village::new(4, limits);
    for second in 0..10 {
        for number in 0..2_000 {
            scan(&mut village, STRANGER, second * 2_000 + number);
        }
        village.pass(seconds(1));
    }
    // A second's worth at once, ten seconds' worth, and a quarter of a second's worth in debt.
    assert!(village.probes.len() <= 100 * 11 + 25, "{} probes in ten seconds", village.probes.len());
    assert!(village.engine.counters().of(UP).dropped(DropReason::ProbeLimit) > 0);
}

#[test]
fn a_flood_from_one_asker_leaves_another_his_share_of_the_probes() {
    let limits = Limits { probes_per_second: 100, pending: 200, ..Limits::default() };
    let mut village = Village::new(1, limits);
    for round in 0..20u16 {
        for number in 0..1_000 {
            scan(&mut village, STRANGER, u32::from(round) * 1_000 + number);
        }
        // A guest that nobody has asked for yet, asked for behind the flood.
        let unknown = guest(round + 1);
        village.settle(unknown, 0);
        village.ask(unknown);
        village.pass(millis(100));
        assert_eq!(village.place_of(unknown), Some(veth(0)), "in round {round}");
    }
}

#[test]
fn what_is_pending_is_bounded_for_each_asker_and_in_all() {
    let limits = Limits { pending: 10, ..Limits::default() };
    let mut village = Village::new(1, limits);
    for number in 0..50 {
        scan(&mut village, STRANGER, number);
    }
    assert_eq!(village.engine.known_targets(), 5);
    for number in 50..100 {
        scan(&mut village, ROUTER_MAC, number);
    }
    assert_eq!(village.engine.known_targets(), 10);
    assert_eq!(village.engine.counters().of(UP).dropped(DropReason::PendingFull), 90);
}

#[test]
fn a_flood_of_announcements_stays_bounded_and_is_forgotten() {
    let limits = Limits { targets: 5_000, pending: 1_000, ..Limits::default() };
    let mut village = Village::new(2, limits);
    village.settle(guest(1), 1);
    village.ask(guest(1));
    for number in 0..100_000u32 {
        village.input(Input::Solicitation(veth(0), dad(mac_on(0), scanned(number))));
        if number % 1_000 == 0 {
            assert_eq!(village.ask(guest(1)), 1);
        }
    }
    assert!(village.engine.known_targets() <= 501, "{}", village.engine.known_targets());
    assert!(village.kernel.len() <= 502, "{}", village.kernel.len());
    village.pass(seconds(30));
    assert_eq!(village.kernel.len(), 2, "the guest's, and the backstop");
    assert_eq!(village.ask(guest(1)), 1);
}

#[test]
fn a_flood_of_announcements_leaves_room_for_those_of_other_downstreams() {
    let mut village = Village::new(2, Limits { pending: 100, ..Limits::default() });
    for number in 0..1_000u32 {
        village.input(Input::Solicitation(veth(0), dad(mac_on(0), scanned(number))));
    }
    assert_eq!(village.engine.known_targets(), 50);
    village.input(Input::Solicitation(veth(1), dad(mac_on(1), guest(1))));
    assert_eq!(village.place_of(guest(1)), Some(veth(1)));
}

#[test]
fn one_that_the_kernel_found_takes_the_place_of_one_that_only_announced_itself_and_of_its_route() {
    let limits = Limits { targets: 2, ..Limits::default() };
    let mut village = Village::new(1, limits);
    village.input(Input::Solicitation(veth(0), dad(mac_on(0), guest(1))));
    village.settle(guest(2), 0);
    village.ask(guest(2));
    village.input(Input::Facts(vec![Fact::Neighbor(Neighbor {
        link: veth(0),
        address: guest(3),
        mac: Some(mac_on(0)),
        state: NeighborState::Reachable,
    })]));
    assert_eq!([1, 2, 3].map(|number| village.route_of(guest(number)).len()), [0, 1, 1]);
    village.settle(guest(4), 0);
    village.ask(guest(4));
    assert_eq!(village.place_of(guest(4)), None, "the proved ones stay");
    assert_eq!(village.engine.counters().of(UP).dropped(DropReason::TargetsFull), 1);
}

#[test]
fn two_thousand_downstreams_with_a_guest_each_are_served() {
    let mut village = Village::new(2_000, Limits::default());
    for number in 0..2_000 {
        let guest = guest(u16::try_from(number).unwrap() + 1);
        village.settle(guest, number);
        village.input(Input::Solicitation(veth(number), dad(mac_on(number), guest)));
    }
    for number in 0..2_000u16 {
        assert_eq!(village.ask(guest(number + 1)), 1);
    }
    village.pass(seconds(120));
    for number in 0..2_000u16 {
        assert_eq!(village.route_of(guest(number + 1)), [veth(u32::from(number))]);
    }
}

#[test]
fn a_guest_that_never_said_a_word_is_found_behind_two_thousand_downstreams() {
    let mut village = Village::new(2_000, Limits::default());
    village.settle(guest(5), 1_999);
    village.ask(guest(5));
    village.pass(seconds(3));
    assert_eq!(village.place_of(guest(5)), Some(veth(1_999)));
    assert_eq!(village.answers.len(), 1, "whoever asked has been answered");
    let first_second = village.probes.iter().filter(|(at, ..)| at.since(village.probes[0].0) < seconds(1));
    assert!(first_second.count() <= 2_000, "within the limit, and a second's worth at once");
}

#[test]
fn sixty_five_thousand_live_targets_are_all_answered_for() {
    let limits = Limits { probes_per_second: 100_000, pending: 65_536, ..Limits::default() };
    let mut village = Village::new(1, limits);
    for number in 0..=u16::MAX {
        village.settle(guest(number), 0);
        village.ask(guest(number));
    }
    village.answers.clear();
    for number in 0..=u16::MAX {
        assert_eq!(village.ask(guest(number)), 1);
        village.answers.clear();
    }
    assert_eq!(village.engine.known_targets(), 65_536);
    assert_eq!(village.kernel.len(), 65_537);
}
