//! Tests of the [`Course`](super::course::Course) of one guest.

use std::time::Duration;

use super::course::{Course, Crossed, Doubted, News, Over, Sighting};
use crate::engine::time::Time;
use crate::wire::Mac;

const OTHER: Mac = Mac([2, 0, 0, 0, 0, 9]);

fn at(milliseconds: u64) -> Time {
    Time::at(Duration::from_millis(milliseconds))
}

#[test]
fn one_that_is_announced_elsewhere_and_does_not_reply_is_away_within_a_second() {
    let mut course = Course::default();
    assert_eq!(course.heard(Sighting::Arrival, at(0)), News::Arrived);
    assert_eq!(course.announced_elsewhere(OTHER, Crossed::No, at(5_000)), Doubted::Now);
    assert_eq!(
        course.announced_elsewhere(OTHER, Crossed::No, at(5_400)),
        Doubted::Later,
        "it is being asked"
    );
    assert_eq!(course.next_due(), Some(at(5_050)));
    assert_eq!((course.tick(at(5_050)), course.is_late()), (Some(Over::Late), true));
    assert_eq!(course.next_due(), Some(at(5_450)));
    assert_eq!((course.tick(at(5_449)), course.away()), (None, None));
    assert_eq!((course.tick(at(5_450)), course.away()), (Some(Over::Left(OTHER)), Some(OTHER)));
    assert_eq!((course.tick(at(9_000)), course.next_due()), (None, None));
    assert_eq!(course.announced_elsewhere(OTHER, Crossed::No, at(9_000)), Doubted::Later);
}

#[test]
fn one_that_leaves_just_after_it_was_asked_is_away_within_a_second_all_the_same() {
    for replies_at in 1..440 {
        let mut course = Course::default();
        assert_eq!(course.announced_elsewhere(OTHER, Crossed::No, at(0)), Doubted::Now);
        assert_eq!(course.heard(Sighting::Arrival, at(replies_at)), News::Arrived);
        let left = replies_at + 1;
        assert_eq!(course.announced_elsewhere(OTHER, Crossed::No, at(left)), Doubted::Later);
        let mut over = Vec::new();
        while let Some(due) = course.next_due() {
            over.extend(course.tick(due).map(|over| (over, due)));
        }
        assert_eq!(over, [(Over::Ask, at(500)), (Over::Late, at(550)), (Over::Left(OTHER), at(950))]);
        assert!(over[2].1.since(at(left)) < Duration::from_secs(1));
    }
}

#[test]
fn one_that_replies_stays_and_is_asked_again_half_a_second_later_at_the_earliest() {
    let mut course = Course::default();
    assert_eq!(course.announced_elsewhere(OTHER, Crossed::No, at(0)), Doubted::Now);
    assert_eq!(course.heard(Sighting::Sign, at(10)), News::Stays);
    assert_eq!((course.heard(Sighting::Sign, at(11)), course.next_due()), (News::Nothing, None));
    assert_eq!(course.announced_elsewhere(OTHER, Crossed::No, at(499)), Doubted::Later);
    assert_eq!((course.tick(at(499)), course.tick(at(500))), (None, Some(Over::Ask)));
    assert_eq!(course.heard(Sighting::Sign, at(501)), News::Stays);
    assert_eq!(course.announced_elsewhere(OTHER, Crossed::No, at(1_000)), Doubted::Now);
}

#[test]
fn it_has_come_once_however_often_it_says_so_and_again_when_its_interface_does() {
    let mut course = Course::default();
    assert_eq!(course.heard(Sighting::Sign, at(0)), News::Nothing);
    let rounds = [50, 200, 450, 800].map(|round| course.heard(Sighting::Arrival, at(round)));
    assert_eq!(rounds, [News::Arrived, News::Nothing, News::Nothing, News::Nothing]);
    course.lost_its_link();
    assert_eq!(course.heard(Sighting::Arrival, at(60_000)), News::Arrived);
}

#[test]
fn one_that_has_come_just_now_and_replies_has_still_come() {
    let mut course = Course::default();
    course.heard(Sighting::Arrival, at(0));
    assert_eq!(course.announced_elsewhere(OTHER, Crossed::Maybe, at(10)), Doubted::Now);
    assert_eq!((course.heard(Sighting::Sign, at(11)), course.has_come()), (News::Nothing, true));
    assert_eq!(course.announced_elsewhere(OTHER, Crossed::Maybe, at(600)), Doubted::Now);
    assert_eq!(course.tick(at(1_050)), Some(Over::Left(OTHER)));
}

#[test]
fn one_that_was_away_has_come_with_whatever_it_says() {
    for sighting in [Sighting::Arrival, Sighting::Sign] {
        let mut course = Course::default();
        course.announced_elsewhere(OTHER, Crossed::No, at(0));
        course.tick(at(450));
        assert_eq!((course.heard(sighting, at(2_000)), course.away()), (News::Arrived, None));
    }
}

#[test]
fn it_flaps_with_the_sixth_turn_in_three_minutes_until_it_was_quiet_for_as_long() {
    let mut course = Course::default();
    let turn = |course: &mut Course, second: u64| {
        course.lost_its_link();
        course.heard(Sighting::Arrival, at(second * 1_000))
    };
    let turns = [0, 30, 60, 90, 120].map(|second| turn(&mut course, second));
    assert_eq!(turns, [News::Arrived; 5]);
    assert_eq!(turn(&mut course, 179), News::Flaps);
    assert_eq!(turn(&mut course, 300), News::Still);
    assert_eq!(course.next_due(), Some(at(480_000)));
    assert_eq!((course.tick(at(479_999)), course.is_flapping()), (None, true));
    assert_eq!((course.tick(at(480_000)), course.is_flapping()), (Some(Over::Quiet), false));
    assert_eq!(turn(&mut course, 481), News::Arrived);
}

#[test]
fn one_that_flaps_has_moved_only_if_it_was_away_and_replies() {
    let mut course = Course::default();
    let come = |course: &mut Course, second: u64, sighting| {
        course.announced_elsewhere(OTHER, Crossed::No, at(second * 1_000));
        course.tick(at(second * 1_000 + 450));
        course.heard(sighting, at(second * 1_000 + 500))
    };
    let first: Vec<_> = (0..6).map(|turn| come(&mut course, turn, Sighting::Arrival)).collect();
    assert_eq!(first, [[News::Arrived; 5].as_slice(), &[News::Flaps]].concat());
    assert_eq!(come(&mut course, 6, Sighting::Arrival), News::Returns);
    course.wants_proof(at(6_500));
    assert!(!course.has_come());
    assert_eq!((course.heard(Sighting::Arrival, at(6_501)), course.has_come()), (News::Nothing, false));
    assert_eq!((course.heard(Sighting::Sign, at(6_502)), course.has_come()), (News::Moved, true));
    assert_eq!(course.heard(Sighting::Sign, at(6_503)), News::Nothing);
    assert_eq!(come(&mut course, 7, Sighting::Sign), News::Moved);
    // Not one that is here when another says that it is there.
    course.announced_elsewhere(OTHER, Crossed::No, at(8_000));
    assert_eq!(course.heard(Sighting::Arrival, at(8_100)), News::Still);
    assert_eq!((course.heard(Sighting::Sign, at(8_101)), course.has_come()), (News::Nothing, false));
}

#[test]
fn moves_that_are_further_apart_are_no_flapping() {
    let mut course = Course::default();
    for turn in 0..100 {
        course.lost_its_link();
        assert_eq!(course.heard(Sighting::Arrival, at(turn * 36_000)), News::Arrived);
    }
}

#[test]
fn a_word_that_may_have_crossed_ours_changes_nothing_of_one_that_is_asked_and_another_does() {
    let mut course = Course::default();
    course.heard(Sighting::Arrival, at(0));
    course.announced_elsewhere(OTHER, Crossed::Maybe, at(10));
    course.announced_elsewhere(OTHER, Crossed::Maybe, at(20));
    assert_eq!(course.next_due(), Some(at(460)));
    course.announced_elsewhere(OTHER, Crossed::No, at(30));
    assert_eq!(course.next_due(), Some(at(80)));
}
