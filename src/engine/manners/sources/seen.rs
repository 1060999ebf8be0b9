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
    /// When the asker last learned of the target in another way, as long as that may be what it knows.
    told: Option<Time>,
}

impl Seen {
    /// A target that is answered for the first time, after a question at this place of its row.
    pub fn new(target: Ipv6Addr, place: u8, now: Time) -> Self {
        let (cast, standing) = (Cast::Multicast, Standing::Unknown);
        Self { target, asked: now, cast, answered: Some(now), place, again: 0, standing, told: None }
    }

    /// The asker asks for it. True if it does so again right after an answer.
    pub fn ask(&mut self, cast: Cast, sight: Sight, now: Time) -> bool {
        let first = sight.first();
        self.settle(now);
        let was_last = self.place == ROW;
        let is_row = self.cast == cast;
        let is_again = match self.answered.map(|answered| now.since(answered)) {
            // It waits for the answer, or the question was on its way when that was sent.
            None => {
                self.place = if is_row && now.since(self.asked) <= WINDOW { next(self.place) } else { first };
                false
            }
            Some(since) if since < SHORTEST => {
                self.place = if is_row { next(self.place) } else { first };
                false
            }
            Some(since) => match (self.cast, cast) {
                // It has learned our link-layer address: from our answer, if from nothing else.
                (Cast::Multicast, Cast::Unicast) => {
                    if self.told.is_none() {
                        self.take();
                    }
                    self.place = 1;
                    false
                }
                // A fourth question: the entry was not given up after the third.
                (Cast::Unicast, Cast::Unicast) if was_last && self.told.is_none() => {
                    self.take();
                    self.place = first;
                    false
                }
                (Cast::Unicast, Cast::Unicast) => {
                    let is_again = since <= RETRANSMISSION && !was_last;
                    self.place = if since <= SILENCE { next(self.place) } else { first };
                    is_again
                }
                (Cast::Unicast, Cast::Multicast) => {
                    self.place = first;
                    since <= if was_last { PAUSE } else { WINDOW }
                }
                (Cast::Multicast, Cast::Multicast) => {
                    self.place = if since <= WINDOW { next(self.place) } else { first };
                    since <= if was_last { PAUSE } else { WINDOW }
                }
            },
        };
        if is_again {
            self.again = MOST_AGAIN.min(self.again + 1);
        }
        if self.again == MOST_AGAIN && self.standing == Standing::Taken {
            self.standing = Standing::Unknown;
        }
        // A question to all shows that it has forgotten, and with the first check of an entry its answer is what counts;
        // but not with one that was on its way meanwhile.
        let is_first = cast == Cast::Multicast || self.place == 1;
        if is_first && self.told.is_some_and(|told| now.since(told) > ON_THE_WAY) {
            self.told = None;
        }
        (self.asked, self.cast, self.answered) = (now, cast, None);
        is_again
    }

    /// Its last question is answered, if it is not yet.
    pub fn answer(&mut self, now: Time) {
        self.answered.get_or_insert(now);
    }

    /// A router learns the target in another way, too: its silence says nothing of the answer, unless it was
    /// checking what it knew. "If the Source Link-Layer Address is the same as the cached one" a solicitation from the target
    /// leaves the state of the entry as it is (RFC 4861 §7.2.3).
    pub fn tell(&mut self, now: Time) {
        self.told = Some(now);
    }

    /// The same station asks all from another of its addresses, and learns the target from that answer. If it was checking
    /// its entry before, that has come to nothing.
    pub fn ask_elsewhere(&mut self, now: Time) {
        let since = self.answered.map(|answered| now.since(answered));
        let is_given_up = self.cast == Cast::Unicast && self.place == ROW;
        if is_given_up && since.is_some_and(|since| (SHORTEST..=PAUSE).contains(&since)) {
            self.again = MOST_AGAIN.min(self.again + 1);
            self.answered = None;
        }
        self.told = Some(now);
    }

    /// Whether another source may be tried with the answer to this question: not with the last of a row, after which the asker
    /// falls silent anyway. The next row comes a second later, if there are packets still.
    pub fn shows(&self) -> bool {
        self.place < ROW
    }

    /// When its silence says that the answer was taken, if it can say that. RFC 4861 §7.2.2: an asker without an answer
    /// sends MAX_MULTICAST_SOLICIT questions, RetransTimer apart. So it falls silent after the last one of a row anyway,
    /// and after another only if it has what it wants.
    pub fn due(&self) -> Option<Time> {
        let is_clear = self.place < ROW && (self.cast == Cast::Unicast || self.told.is_none());
        self.answered.filter(|_| is_clear).map(|answered| answered + SILENCE)
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
/// One that checks what it knows and asks again by then has no answer; one that checks often enough for another check may
/// ask a second later.
const RETRANSMISSION: Duration = Duration::from_millis(1_400);
/// After the last question of a row an asker gives up, and asks again when there is a packet: had it taken the answer, it
/// would not ask everybody so soon (RFC 4861 §10: REACHABLE_TIME is 30 s).
const PAUSE: Duration = Duration::from_secs(10);
/// So long a question may have waited for us.
const ON_THE_WAY: Duration = Duration::from_secs(1);
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
    fn a_question_that_follows_an_answer_soon_counts() {
        use Cast::{Multicast, Unicast};
        assert_eq!(again(&[(1_000, Multicast), (2_000, Multicast), (3_000, Multicast)]), 3);
        assert_eq!(
            again(&[(1_000, Multicast), (2_000, Multicast), (3_000, Unicast)]),
            0,
            "it has learned it"
        );
        assert_eq!(
            again(&[(10, Multicast), (20, Multicast), (199, Multicast)]),
            0,
            "they had waited in a queue"
        );
        assert_eq!(again(&[(60_000, Multicast), (120_000, Multicast), (180_000, Multicast)]), 0);
    }

    #[test]
    fn checks_of_an_entry_count_where_each_follows_the_one_before_after_a_second() {
        use Cast::{Multicast, Unicast};
        let checks = [(60_000, Unicast), (61_000, Unicast), (62_000, Unicast), (63_000, Multicast)];
        assert_eq!((1..=4).map(|most| again(&checks[..most])).collect::<Vec<_>>(), [0, 1, 2, 3]);
        // One that checks what it knows as often as it can.
        for pause in [1_500, 1_999, 2_010, 2_190, 2_210, 3_000, 40_000] {
            let checks: Vec<_> = (1..50).map(|number| (number * pause, Unicast)).collect();
            assert_eq!(again(&checks), 0, "{pause}");
        }
        // A fourth check: the entry was not given up after the third.
        assert_eq!(again(&[&checks[..3], &[(63_000, Unicast)]].concat()), 0);
        // The packet after which it asks everybody may come later.
        assert_eq!(again(&[&checks[..3], &[(70_000, Multicast)]].concat()), 3);
        assert_eq!(again(&[&checks[..3], &[(73_000, Multicast)]].concat()), 2);
    }

    #[test]
    fn what_the_target_has_told_the_router_itself_is_no_proof() {
        let told = |millis| {
            let mut seen = Seen::new(TARGET, 1, at(0));
            seen.ask(Cast::Multicast, Sight::All, at(1_000));
            seen.answer(at(1_000));
            seen.tell(at(millis));
            seen
        };
        let mut seen = told(1_020);
        assert_eq!(seen.due(), None, "silence");
        seen.ask(Cast::Unicast, Sight::All, at(2_020));
        assert_eq!(
            (seen.again, seen.standing),
            (1, Standing::Unknown),
            "a check of the entry that this has made"
        );
        seen.answer(at(2_020));
        assert!(seen.settle(at(4_220)) && seen.again == 0, "but that its check came to nothing would show");
        // A question that was on its way does not show that the entry has gone.
        let mut seen = told(1_990);
        seen.ask(Cast::Multicast, Sight::All, at(2_000));
        seen.answer(at(2_000));
        seen.ask(Cast::Unicast, Sight::All, at(7_000));
        assert_eq!(seen.again, 2);
        // One later does, and the entry is made by the answer.
        let mut seen = told(1_990);
        seen.ask(Cast::Multicast, Sight::All, at(9_000));
        seen.answer(at(9_000));
        seen.ask(Cast::Unicast, Sight::All, at(60_000));
        assert_eq!((seen.again, seen.standing), (0, Standing::Taken));
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
    fn questions_without_an_answer_are_of_one_row_where_they_come_soon() {
        let ask = |unanswered: &[u64], answered: &[u64]| {
            let mut seen = Seen::new(TARGET, 1, at(0));
            for millis in unanswered {
                seen.ask(Cast::Multicast, Sight::All, at(*millis));
            }
            for millis in answered {
                seen.ask(Cast::Multicast, Sight::All, at(*millis));
                seen.answer(at(*millis));
            }
            seen.due()
        };
        assert_eq!(ask(&[60_000, 61_000], &[62_000]), None, "after the last of a row it is silent anyway");
        assert_eq!(ask(&[60_000], &[70_000, 71_000]), Some(at(73_200)));
    }

    #[test]
    fn a_question_from_another_address_counts_where_a_check_has_just_been_given_up() {
        use Cast::{Multicast, Unicast};
        let counted = |casts: &[Cast], after| {
            let mut seen = Seen::new(TARGET, 1, at(0));
            let mut now = 60_000;
            for cast in casts {
                now += 1_000;
                seen.ask(*cast, Sight::All, at(now));
                seen.answer(at(now));
            }
            let before = seen.again;
            seen.ask_elsewhere(at(now + after));
            seen.again - before
        };
        assert_eq!(counted(&[Unicast; 3], 1_000), 1);
        assert_eq!(counted(&[Unicast], 1_000), 0, "it checks its entry, and has got an answer");
        assert_eq!(counted(&[Multicast; 2], 1_000), 0);
        assert_eq!(counted(&[Unicast; 3], 199), 0, "it was on its way");
        assert_eq!(counted(&[Unicast; 3], 10_001), 0, "a packet much later");
    }

    #[test]
    fn what_is_told_in_the_middle_of_a_row_of_checks_counts_until_the_next_row() {
        let mut seen = Seen::new(TARGET, 1, at(0));
        for millis in [60_000, 61_150, 62_150, 63_150] {
            seen.ask(Cast::Unicast, Sight::All, at(millis));
            seen.answer(at(millis));
            if millis == 60_000 {
                seen.tell(at(60_100));
            }
        }
        assert_eq!(seen.again, 2, "the fourth may check what it was told");
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
