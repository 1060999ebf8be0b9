//! Questions for targets of which nothing is seen yet: the guest may have to be asked first, and its router asks again
//! meanwhile.

use core::net::Ipv6Addr;
use std::collections::VecDeque;

use super::seen::{ROW, Sight, WINDOW, next};
use crate::engine::asker::Asker;
use crate::engine::time::Time;

/// The last question, and those before it that wait.
#[derive(Debug, Default)]
pub struct Pending {
    newest: Option<Question>,
    /// The oldest first.
    waiting: VecDeque<Question>,
}

#[derive(Debug, Clone, Copy)]
struct Question {
    asker: Asker,
    target: Ipv6Addr,
    at: Time,
    /// Which of a row it was.
    place: u8,
    is_answered: bool,
}

impl Pending {
    /// A question has come.
    pub fn ask(&mut self, asker: Asker, target: Ipv6Addr, sight: Sight, now: Time) {
        if let Some(before) = self.newest.take().filter(|before| !before.is_answered) {
            if self.waiting.len() == MOST {
                self.waiting.pop_front();
            }
            self.waiting.push_back(before);
        }
        let before = self.take(&asker, target).filter(|before| now.since(before.at) <= WINDOW);
        let place = before.map_or(sight.first(), |before| next(before.place));
        self.newest = Some(Question { asker, target, at: now, place, is_answered: false });
    }

    /// The asker is answered. Which of a row its last question was, as far as is known.
    pub fn answer(&mut self, asker: &Asker, target: Ipv6Addr) -> u8 {
        if let Some(newest) = self.newest.as_mut().filter(|newest| newest.is(asker, target)) {
            newest.is_answered = true;
            return newest.place;
        }
        self.take(asker, target).map_or(ROW, |question| question.place)
    }

    fn take(&mut self, asker: &Asker, target: Ipv6Addr) -> Option<Question> {
        let place = self.waiting.iter().position(|question| question.is(asker, target))?;
        self.waiting.remove(place)
    }
}

impl Question {
    fn is(&self, asker: &Asker, target: Ipv6Addr) -> bool {
        self.target == target && self.asker == *asker
    }
}

/// As many wait. What is asked for beyond that has an answer of which less is known.
const MOST: usize = 16;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::facts::IfIndex;
    use crate::wire::Mac;

    const ASKER: Asker =
        Asker { link: IfIndex(2), mac: Mac([2, 0, 0, 0, 0, 1]), address: Ipv6Addr::LOCALHOST };

    fn at(millis: u64) -> Time {
        Time::at(Duration::from_millis(millis))
    }

    fn target(last: u16) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)
    }

    #[test]
    fn counts_the_questions_of_a_row_also_among_others() {
        let mut pending = Pending::default();
        for second in 0..5 {
            for last in 1..4 {
                pending.ask(ASKER, target(last), Sight::All, at(second * 1_000));
            }
        }
        assert_eq!((1..4).map(|last| pending.answer(&ASKER, target(last))).collect::<Vec<_>>(), [2, 2, 2]);
        assert_eq!(pending.answer(&ASKER, target(9)), ROW, "nobody has asked");
        pending.ask(ASKER, target(1), Sight::All, at(9_000));
        assert_eq!(pending.answer(&ASKER, target(1)), 1, "a row of its own");
    }

    #[test]
    fn has_room_for_a_few() {
        let mut pending = Pending::default();
        (1..1_000).for_each(|last| pending.ask(ASKER, target(last), Sight::All, at(0)));
        assert_eq!((pending.waiting.len(), pending.answer(&ASKER, target(1))), (MOST, ROW));
        assert_eq!(pending.answer(&ASKER, target(998)), 1);
    }
}
