//! Where one guest is, of all hosts that know it: here, or behind another host that announces its addresses.
//!
//! A guest that moves says so on its new interface (RARP, gratuitous ARP, an unsolicited advertisement, duplicate address
//! detection), and its addresses are announced there. The host that it has left hears that, asks the guest once, and
//! lets go when there is no reply. RFC 7432 §15.1 has the same limit for a MAC that comes and goes: more than N = 5 moves
//! within M = 180 seconds are no moves but a mistake, such as two guests with one MAC.

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
    /// When it was asked last.
    asked_at: Option<Time>,
}

/// What is known of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stand {
    /// It is here by the administrator's word alone.
    #[default]
    Assumed,
    /// It has said here that it is here.
    Here,
    /// Another station announces its addresses: it has been asked, and has until then to reply.
    Asked { by: Mac, until: Time },
    /// That station has it.
    Away { by: Mac },
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
}

/// What has come of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// It has not replied: that station has it.
    Left(Mac),
    /// It has not come for long enough.
    Quiet,
}

impl Course {
    /// Something was heard of it on its interface.
    pub(super) fn heard(&mut self, sighting: Sighting, now: Time) -> News {
        match (self.stand, sighting) {
            (Stand::Here, _) | (Stand::Assumed, Sighting::Sign) => return News::Nothing,
            (Stand::Asked { .. }, Sighting::Sign) => self.stand = Stand::Assumed,
            (Stand::Assumed | Stand::Asked { .. }, Sighting::Arrival) | (Stand::Away { .. }, _) => {
                self.stand = Stand::Here;
            }
        }
        let is_here = self.stand == Stand::Here;
        let flapped = self.is_flapping();
        match (self.turn(now), flapped) {
            (false, _) if is_here => News::Arrived,
            (false, _) => News::Stays,
            (true, false) => News::Flaps,
            (true, true) => News::Still,
        }
    }

    /// Another station announces its addresses. Whether it is to be asked.
    pub(super) fn announced_elsewhere(&mut self, by: Mac, now: Time) -> bool {
        let is_known = matches!(self.stand, Stand::Asked { .. } | Stand::Away { .. });
        // RFC 4861 §7.2.2: "Retransmissions MUST be rate-limited to at most one solicitation per neighbor every
        // RetransTimer milliseconds."
        let was_asked = self.asked_at.is_some_and(|asked| now.since(asked) < RETRANS_TIMER);
        if is_known || was_asked {
            return false;
        }
        self.asked_at = Some(now);
        self.stand = Stand::Asked { by, until: now + PATIENCE };
        true
    }

    /// Its interface is not there, or not up: when that comes again nothing is known.
    pub(super) fn lost_its_link(&mut self) {
        self.stand = Stand::Assumed;
    }

    /// What is due by now.
    pub(super) fn tick(&mut self, now: Time) -> Option<Over> {
        if let Stand::Asked { by, until } = self.stand
            && until <= now
        {
            self.stand = Stand::Away { by };
            return Some(Over::Left(by));
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

    /// Whether it has said here that it is here, and does not do so too often.
    pub(super) fn has_come(&self) -> bool {
        self.stand == Stand::Here && !self.is_flapping()
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

/// It has so long to reply: a host that lets go does so within a second.
const PATIENCE: Duration = Duration::from_millis(900);
/// RFC 4861 §10.
const RETRANS_TIMER: Duration = Duration::from_secs(1);
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
        assert!(course.announced_elsewhere(OTHER, at(5_000)));
        assert!(!course.announced_elsewhere(OTHER, at(5_500)), "it is being asked");
        assert_eq!(course.next_due(), Some(at(5_900)));
        assert_eq!((course.tick(at(5_899)), course.away()), (None, None));
        assert_eq!((course.tick(at(5_900)), course.away()), (Some(Over::Left(OTHER)), Some(OTHER)));
        assert_eq!((course.tick(at(9_000)), course.next_due()), (None, None));
        assert!(!course.announced_elsewhere(OTHER, at(9_000)));
    }

    #[test]
    fn one_that_replies_stays_and_is_asked_again_a_second_later_at_the_earliest() {
        let mut course = Course::default();
        assert!(course.announced_elsewhere(OTHER, at(0)));
        assert_eq!(course.heard(Sighting::Sign, at(10)), News::Stays);
        assert_eq!(course.heard(Sighting::Sign, at(11)), News::Nothing);
        assert!(!course.announced_elsewhere(OTHER, at(999)) && course.next_due().is_none());
        assert!(course.announced_elsewhere(OTHER, at(1_000)));
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
    fn one_that_was_away_has_come_with_whatever_it_says() {
        for sighting in [Sighting::Arrival, Sighting::Sign] {
            let mut course = Course::default();
            course.announced_elsewhere(OTHER, at(0));
            course.tick(at(900));
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
    fn moves_that_are_further_apart_are_no_flapping() {
        let mut course = Course::default();
        for turn in 0..100 {
            course.lost_its_link();
            assert_eq!(course.heard(Sighting::Arrival, at(turn * 36_000)), News::Arrived);
        }
    }
}
