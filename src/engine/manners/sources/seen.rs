//! What one asker does with the answers for one target: it asks again at once, or it does not.

use core::net::Ipv6Addr;
use std::time::Duration;

use crate::engine::time::Time;

/// How a question was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cast {
    /// To the solicited-node group: the asker does not know where the target is.
    Multicast,
    /// To our link-layer address: the asker knows it, and wants to know whether it is still right.
    Unicast,
}

/// Which questions of an asker for a target come to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// All.
    All,
    /// Those that follow another soon: a program in the kernel answers the first one of a row.
    Repeats,
}

impl Sight {
    /// Which question of a row it is that comes first.
    pub fn first(self) -> u8 {
        match self {
            Self::All => 1,
            Self::Repeats => 2,
        }
    }
}

/// Whether the answers for a target are taken, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// Nothing is known.
    #[default]
    Unknown,
    /// The asker was silent after an answer, although it would have asked again.
    Taken,
    /// No source of answers has helped.
    Refused,
}

/// One target that an asker was answered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub target: Ipv6Addr,
    /// The last question.
    pub asked: Time,
    cast: Cast,
    /// When it was answered, if it was.
    pub answered: Option<Time>,
    /// Which question of a row it was, from 1 to [`ROW`].
    place: u8,
    /// How often it was asked again right after an answer, since one was taken.
    pub again: u8,
    pub standing: Standing,
}

impl Seen {
    /// A target that is answered for the first time, after a question at this place of its row.
    pub fn new(target: Ipv6Addr, place: u8, now: Time) -> Self {
        let (cast, standing) = (Cast::Multicast, Standing::Unknown);
        Self { target, asked: now, cast, answered: Some(now), place, again: 0, standing }
    }

    /// The asker asks for it. True if it does so again right after an answer.
    pub fn ask(&mut self, cast: Cast, sight: Sight, now: Time) -> bool {
        let first = sight.first();
        let since_answer = self.answered.map(|answered| now.since(answered));
        let mut is_again = false;
        match since_answer {
            // It waits for the answer, or the question was on its way when that was sent.
            None if now.since(self.asked) <= WINDOW => self.place = next(self.place),
            None => self.place = first,
            Some(since) if since < SHORTEST => self.place = next(self.place),
            Some(since) if since <= WINDOW => match (self.cast, cast) {
                // It has learnt our link-layer address.
                (Cast::Multicast, Cast::Unicast) => {
                    self.take();
                    self.place = first;
                }
                (Cast::Unicast, Cast::Unicast) => self.place = next(self.place),
                (Cast::Unicast, Cast::Multicast) => (self.place, is_again) = (first, true),
                (Cast::Multicast, Cast::Multicast) => (self.place, is_again) = (next(self.place), true),
            },
            Some(_) => {
                self.settle(now);
                self.place = first;
            }
        }
        if is_again {
            self.again = MOST_AGAIN.min(self.again + 1);
        }
        if self.again == MOST_AGAIN && self.standing == Standing::Taken {
            self.standing = Standing::Unknown;
        }
        (self.asked, self.cast, self.answered) = (now, cast, None);
        is_again
    }

    /// Its last question is answered, if it is not yet.
    pub fn answer(&mut self, now: Time) {
        self.answered.get_or_insert(now);
    }

    /// A router learns the target in another way, too: its silence says nothing of the answer.
    pub fn tell(&mut self) {
        self.place = ROW;
    }

    /// When its silence says that the answer was taken, if it can say that. RFC 4861 §7.2.2: an asker without an answer
    /// sends MAX_MULTICAST_SOLICIT questions, RetransTimer apart. So it falls silent after the last one of a row anyway,
    /// and after another only if it has what it wants.
    pub fn due(&self) -> Option<Time> {
        self.answered.filter(|_| self.place < ROW).map(|answered| answered + SILENCE)
    }

    /// True if its silence says by now that the last answer was taken; that is noted.
    pub fn settle(&mut self, now: Time) -> bool {
        let is_taken = self.due().is_some_and(|due| due <= now);
        if is_taken {
            self.take();
        }
        is_taken
    }

    fn take(&mut self) {
        (self.again, self.standing) = (0, Standing::Taken);
    }
}

/// The place of the question that follows one at this place.
pub fn next(place: u8) -> u8 {
    place % ROW + 1
}

/// RFC 4861 §10: MAX_MULTICAST_SOLICIT, and MAX_UNICAST_SOLICIT.
pub const ROW: u8 = 3;
/// So often an asker asks again until its answers count as not taken.
pub const MOST_AGAIN: u8 = 3;
/// What comes sooner was sent before the answer arrived, or waited for us in a queue.
const SHORTEST: Duration = Duration::from_millis(200);
/// An asker asks again after RetransTimer (RFC 4861 §10: 1 s).
pub const WINDOW: Duration = Duration::from_secs(2);
/// One that has not asked again by then does not: a little more than [`WINDOW`].
const SILENCE: Duration = Duration::from_millis(2_200);

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

    fn at(millis: u64) -> Time {
        Time::at(Duration::from_millis(millis))
    }

    /// The target was asked for at 0 and answered; then there were these questions, each answered. How often it counts
    /// as asked again.
    fn again(questions: &[(u64, Cast)]) -> u8 {
        let mut seen = Seen::new(TARGET, 1, at(0));
        for (millis, cast) in questions {
            seen.ask(*cast, Sight::All, at(*millis));
            seen.answer(at(*millis));
        }
        seen.again
    }

    #[test]
    fn only_a_multicast_question_that_follows_an_answer_within_two_seconds_counts() {
        use Cast::{Multicast, Unicast};
        assert_eq!(again(&[(1_000, Multicast), (2_000, Multicast), (3_000, Multicast)]), 3);
        assert_eq!(again(&[(1_000, Multicast), (2_000, Multicast), (3_000, Unicast)]), 0, "it has learnt it");
        assert_eq!(again(&[(1_000, Unicast), (2_000, Unicast), (3_000, Unicast)]), 0);
        // Three checks of an entry come to nothing, and then it is forgotten.
        assert_eq!(again(&[(60_000, Unicast), (61_000, Unicast), (62_000, Unicast), (63_000, Multicast)]), 1);
        assert_eq!(
            again(&[(10, Multicast), (20, Multicast), (199, Multicast)]),
            0,
            "they had waited in a queue"
        );
        assert_eq!(again(&[(60_000, Multicast), (120_000, Multicast), (180_000, Multicast)]), 0);
    }

    #[test]
    fn a_question_that_is_not_answered_says_nothing() {
        let mut seen = Seen::new(TARGET, 1, at(0));
        for millis in [60_000, 61_000, 62_000, 63_000, 64_000] {
            assert!(!seen.ask(Cast::Multicast, Sight::All, at(millis)));
        }
        assert_eq!((seen.again, seen.due()), (0, None));
    }

    #[test]
    fn silence_says_something_only_where_another_question_would_have_come() {
        let mut seen = Seen::new(TARGET, 1, at(0));
        assert_eq!(seen.due(), Some(at(2_200)));
        for (millis, due) in [(1_000, Some(3_200)), (2_000, None), (3_000, Some(5_200))] {
            seen.ask(Cast::Multicast, Sight::All, at(millis));
            seen.answer(at(millis));
            assert_eq!(seen.due(), due.map(at), "{millis}");
        }
        assert!(!seen.settle(at(5_199)) && seen.again == 3);
        assert!(seen.settle(at(5_200)) && seen.again == 0 && seen.standing == Standing::Taken);
        // It was asked for before the first answer, nobody knows how often.
        assert_eq!(Seen::new(TARGET, ROW, at(0)).due(), None);
    }

    #[test]
    fn rows_with_pauses_between_them_add_up_until_an_answer_is_taken() {
        use Cast::Multicast;
        let row = |start| [start, start + 1_000, start + 2_000].map(|at| (at, Multicast));
        let rows = [row(10_000), row(20_000)].concat();
        assert_eq!(again(&rows[..2]), 1, "the one at 0 was taken");
        assert_eq!(again(&rows[..3]), 2);
        assert_eq!(again(&rows[..5]), 3);
        let taken = [&rows[..3], &[(20_000, Multicast), (40_000, Multicast)]].concat();
        assert_eq!(again(&taken), 0);
    }
}
