//! Where one guest is, of all hosts that know it: here, or behind another host that announces its addresses.
//!
//! A guest that moves says so on its new interface (RARP, gratuitous ARP, an unsolicited advertisement, duplicate address
//! detection), and its addresses are announced there. The host that it has left hears that, asks the guest once, and
//! lets go when there is no reply. RFC 7432 §15.1 has the same limit for a MAC that comes and goes: more than N = 5 moves
//! within M = 180 seconds are no moves but a mistake, such as two guests with one MAC.
//!
//! Two that both reply are never away. So one that was away and replies here has moved, however often: it is announced
//! at once also while it flaps.

use std::collections::VecDeque;
use std::time::Duration;

use crate::engine::time::Time;
use crate::wire::Mac;

/// Where it is, and how often it has come lately.
#[derive(Debug, Default)]
pub(super) struct Course {
    stand: Stand,
    /// When it came, or was found to be here still; the oldest first, at most [`MOST_TURNS`] and one more.
    turns: VecDeque<Time>,
    /// It flaps, and is quiet from then on if it does not come again.
    quiet_at: Option<Time>,
    /// When it was asked last, or is to be asked.
    asked_at: Option<Time>,
    proof: Proof,
}

/// Whether one that flaps has shown that it has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Proof {
    /// It has not.
    #[default]
    None,
    /// It was away, has come, and is asked.
    Wanted,
    /// It was away, and replies here.
    Given,
}

/// What is known of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stand {
    /// It is here by the administrator's word alone.
    #[default]
    Assumed,
    /// It has said here that it is here.
    Here,
    /// Another station announces its addresses: it has been asked, or is as soon as that may be, and has until then to
    /// reply.
    Asked { by: Mac, until: Time, is_asked: bool, crossed: Crossed },
    /// That station has it.
    Away { by: Mac },
}

/// Whether the word of another station may have crossed ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crossed {
    /// Nothing of the guest is answered until it replies.
    No,
    /// The guest has come just now, and the other station may not have heard of that: nothing changes as long as it is
    /// not known that the guest does not reply.
    Maybe,
}

/// What a frame of the guest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sighting {
    /// It begins to be here.
    Arrival,
    /// It is here.
    Sign,
}

/// What follows from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing new.
    Nothing,
    /// It has come: its addresses are announced at once.
    Arrived,
    /// It is here still, although another station announces its addresses.
    Stays,
    /// It has come once too often. From here on it is announced as any other guest is: only when the link was asked.
    Flaps,
    /// It has come, or is here still, and it flaps.
    Still,
    /// The same, and it was away: it is asked whether it is here.
    Returns,
    /// It flaps, was away, and replies here: its addresses are announced at once.
    Moved,
}

/// What follows where another station announces its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubted {
    /// It is asked.
    Now,
    /// It is asked later, or has been.
    Later,
}

/// What has come of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// It may be asked now.
    Ask,
    /// It has not replied: that station has it.
    Left(Mac),
    /// It has not come for long enough.
    Quiet,
}

impl Course {
    /// Something was heard of it on its interface.
    pub(super) fn heard(&mut self, sighting: Sighting, now: Time) -> News {
        let was_away = self.away().is_some();
        match (self.stand, sighting) {
            (Stand::Here, Sighting::Sign) if self.proof == Proof::Wanted => {
                self.proof = Proof::Given;
                return News::Moved;
            }
            (Stand::Here, _) | (Stand::Assumed, Sighting::Sign) => return News::Nothing,
            (Stand::Asked { crossed: Crossed::Maybe, .. }, Sighting::Sign) => {
                self.stand = Stand::Here;
                return News::Nothing;
            }
            (Stand::Asked { .. }, Sighting::Sign) => self.stand = Stand::Assumed,
            (Stand::Assumed | Stand::Asked { .. }, Sighting::Arrival) | (Stand::Away { .. }, _) => {
                self.stand = Stand::Here;
            }
        }
        self.proof = Proof::None;
        let is_here = self.stand == Stand::Here;
        let flapped = self.is_flapping();
        match (self.turn(now), flapped) {
            (false, _) if is_here => News::Arrived,
            (false, _) => News::Stays,
            (true, false) => News::Flaps,
            (true, true) if was_away && sighting == Sighting::Sign => {
                self.proof = Proof::Given;
                News::Moved
            }
            (true, true) if was_away => News::Returns,
            (true, true) => News::Still,
        }
    }

    /// It was away, has come, and flaps: it is asked whether it is here, if it was not a moment ago. Whether it is.
    pub(super) fn wants_proof(&mut self, now: Time) -> bool {
        let may_ask = self.stand == Stand::Here && self.may_be_asked_from(now) <= now;
        if may_ask {
            self.asked_at = Some(now);
            self.proof = Proof::Wanted;
        }
        may_ask
    }

    /// Another station announces its addresses.
    pub(super) fn announced_elsewhere(&mut self, by: Mac, crossed: Crossed, now: Time) -> Doubted {
        match &mut self.stand {
            Stand::Asked { crossed: before, .. } => {
                if crossed == Crossed::No {
                    *before = crossed;
                }
                return Doubted::Later;
            }
            Stand::Away { .. } => return Doubted::Later,
            Stand::Assumed | Stand::Here => {}
        }
        let asked_at = self.may_be_asked_from(now);
        let is_asked = asked_at <= now;
        self.asked_at = Some(asked_at);
        self.stand = Stand::Asked { by, until: asked_at + PATIENCE, is_asked, crossed };
        if is_asked { Doubted::Now } else { Doubted::Later }
    }

    /// RFC 4861 §7.2.2: "Retransmissions MUST be rate-limited". This is the first question after each announcement, and
    /// no retransmission; but strangers can bring it about.
    fn may_be_asked_from(&self, now: Time) -> Time {
        self.asked_at.map_or(now, |asked| (asked + SPACING).max(now))
    }

    /// Its interface is not there, or not up: when that comes again nothing is known.
    pub(super) fn lost_its_link(&mut self) {
        self.stand = Stand::Assumed;
    }

    /// What is due by now.
    pub(super) fn tick(&mut self, now: Time) -> Option<Over> {
        match self.stand {
            Stand::Asked { by, until, is_asked: false, crossed }
                if self.asked_at.is_none_or(|asked| asked <= now) =>
            {
                self.stand = Stand::Asked { by, until, is_asked: true, crossed };
                return Some(Over::Ask);
            }
            Stand::Asked { by, until, .. } if until <= now => {
                self.stand = Stand::Away { by };
                return Some(Over::Left(by));
            }
            _ => {}
        }
        if self.quiet_at.is_some_and(|quiet| quiet <= now) {
            self.quiet_at = None;
            self.turns.clear();
            return Some(Over::Quiet);
        }
        None
    }

    /// When something is due.
    pub(super) fn next_due(&self) -> Option<Time> {
        let asked = match self.stand {
            Stand::Asked { is_asked: false, .. } => self.asked_at,
            Stand::Asked { until, .. } => Some(until),
            _ => None,
        };
        asked.into_iter().chain(self.quiet_at).min()
    }

    /// The station that has it, if another has.
    pub(super) fn away(&self) -> Option<Mac> {
        match self.stand {
            Stand::Away { by } => Some(by),
            _ => None,
        }
    }

    /// Whether it has said here that it is here, and does not do so too often, or has shown that it has moved.
    pub(super) fn has_come(&self) -> bool {
        self.stand == Stand::Here && (!self.is_flapping() || self.proof == Proof::Given)
    }

    /// Whether it comes and goes too often.
    pub(super) fn is_flapping(&self) -> bool {
        self.quiet_at.is_some()
    }

    /// Counts one. Whether it flaps.
    fn turn(&mut self, now: Time) -> bool {
        self.turns.retain(|turn| now.since(*turn) < WINDOW);
        self.turns.push_back(now);
        if self.turns.len() > MOST_TURNS {
            self.turns.pop_front();
            self.quiet_at = Some(now + WINDOW);
        } else if self.is_flapping() {
            self.quiet_at = Some(now + WINDOW);
        }
        self.is_flapping()
    }
}

/// It has so long to reply. With [`SPACING`] this is below the second within which a host lets go, also where the
/// guest was asked for another announcement just before.
const PATIENCE: Duration = Duration::from_millis(450);
/// From one question to the next.
const SPACING: Duration = Duration::from_millis(500);
/// RFC 7432 §15.1: "N=5".
const MOST_TURNS: usize = 5;
/// RFC 7432 §15.1: "an M-second timer (with a default value of M = 180)".
const WINDOW: Duration = Duration::from_secs(180);

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(over, [(Over::Ask, at(500)), (Over::Left(OTHER), at(950))]);
            assert!(over[1].1.since(at(left)) < Duration::from_secs(1));
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
        assert!(course.wants_proof(at(6_500)) && !course.has_come());
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
}
