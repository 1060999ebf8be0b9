//! Targets that wait for their turn to be announced: there may be as many as there are guests, for minutes, so that each
//! of those takes eight bytes.
//!
//! The newest is the next. Guests are in two lists of their numbers in the table of targets, those that have come and
//! those that are announced once more because their upstream is another; whatever else waits, few targets, is kept by
//! since when it is there. Guests and others take turns, so that strangers who choose what they ask for do not keep
//! guests from being announced.

use core::net::Ipv6Addr;
use std::collections::BTreeMap;

use crate::engine::time::Time;

/// Those that wait.
#[derive(Debug)]
pub struct Waiting {
    /// By the number of a guest, its neighbors in its list.
    lists: Vec<Neighbors>,
    /// The first of those that have come, and of those that are announced once more.
    heads: [u32; 2],
    count: usize,
    others: BTreeMap<Turn, Ipv6Addr>,
    /// Counts the others that began to wait.
    serial: u64,
    /// Whether one of the others was the last to have its turn.
    was_other: bool,
}

/// Since when it is there, and how many had begun to wait before.
pub type Turn = (Time, u64);

/// Who is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The guest of this number.
    Guest(u32),
    /// Another target.
    Other(Ipv6Addr),
}

/// The neighbors of a guest in its list: [`NONE`] at its end, [`OUT`] in both if it does not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Neighbors {
    before: u32,
    after: u32,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            lists: Vec::new(),
            heads: [NONE; 2],
            count: 0,
            others: BTreeMap::new(),
            serial: 0,
            was_other: false,
        }
    }
}

impl Waiting {
    /// How many guests wait.
    pub fn guests(&self) -> usize {
        self.count
    }

    /// True if nobody waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.others.is_empty()
    }

    /// Whether the guest of this number waits.
    pub fn has(&self, number: u32) -> bool {
        self.lists.get(number as usize).is_some_and(|at| *at != ABSENT)
    }

    /// The guest of this number waits from here on, before all others in its list.
    pub fn add(&mut self, number: u32, is_new: bool) {
        self.remove(number);
        let list = usize::from(!is_new);
        if self.lists.len() <= number as usize {
            self.lists.resize(number as usize + 1, ABSENT);
        }
        let after = std::mem::replace(&mut self.heads[list], number);
        self.lists[number as usize] = Neighbors { before: NONE, after };
        if let Some(second) = self.lists.get_mut(after as usize) {
            second.before = number;
        }
        self.count += 1;
    }

    /// It does not wait any more.
    pub fn remove(&mut self, number: u32) {
        let Some(at) = self.lists.get_mut(number as usize).filter(|at| **at != ABSENT) else { return };
        let Neighbors { before, after } = std::mem::replace(at, ABSENT);
        match self.lists.get_mut(before as usize) {
            Some(previous) => previous.after = after,
            None => {
                let head = self.heads.iter_mut().find(|head| **head == number);
                *head.expect("nobody is before the head of a list") = after;
            }
        }
        if let Some(next) = self.lists.get_mut(after as usize) {
            next.before = before;
        }
        self.count -= 1;
        if self.count == 0 {
            self.lists = Vec::new();
        }
    }

    /// This target, of no guest, waits from here on. Its turn finds it again.
    pub fn add_other(&mut self, target: Ipv6Addr, since: Time) -> Turn {
        self.serial += 1;
        self.others.insert((since, self.serial), target);
        (since, self.serial)
    }

    /// It does not wait any more.
    pub fn remove_other(&mut self, turn: Turn) {
        self.others.remove(&turn);
    }

    /// Takes out the other that has been there longest.
    pub fn pop_oldest_other(&mut self) -> Option<Ipv6Addr> {
        self.others.pop_first().map(|(_, target)| target)
    }

    /// Who is next. It goes on waiting until it is taken out.
    pub fn next(&self) -> Option<Next> {
        let guest = self.heads.into_iter().find(|head| *head != NONE).map(Next::Guest);
        let other = self.others.last_key_value().map(|(_, target)| Next::Other(*target));
        if self.was_other { guest.or(other) } else { other.or(guest) }
    }

    /// That one has had its turn.
    pub fn took(&mut self, next: Next) {
        self.was_other = matches!(next, Next::Other(_));
    }
}

/// No number.
const NONE: u32 = u32::MAX;
/// Of a guest that does not wait.
const OUT: u32 = u32::MAX - 1;
const ABSENT: Neighbors = Neighbors { before: OUT, after: OUT };

#[cfg(test)]
mod tests {
    use super::*;

    fn order(mut waiting: Waiting) -> Vec<Next> {
        let mut order = Vec::new();
        while let Some(next) = waiting.next() {
            match next {
                Next::Guest(number) => waiting.remove(number),
                Next::Other(_) => _ = waiting.others.pop_last(),
            }
            waiting.took(next);
            order.push(next);
        }
        assert!(waiting.is_empty() && waiting.lists.is_empty(), "{waiting:?}");
        order
    }

    fn of(guests: &[(u32, bool)]) -> Waiting {
        let mut waiting = Waiting::default();
        guests.iter().for_each(|(number, is_new)| waiting.add(*number, *is_new));
        waiting
    }

    #[test]
    fn the_newest_guest_is_the_first_and_those_announced_once_more_come_last() {
        let waiting = of(&[(7, true), (0, false), (3, false), (5, true)]);
        assert_eq!(order(waiting), [5, 7, 3, 0].map(Next::Guest));
    }

    #[test]
    fn a_guest_that_begins_again_is_the_first_and_waits_once() {
        let mut waiting = of(&[(1, true), (2, true), (3, false)]);
        waiting.add(1, true);
        waiting.add(3, true);
        assert_eq!(waiting.guests(), 3);
        assert_eq!(order(waiting), [3, 1, 2].map(Next::Guest));
    }

    #[test]
    fn a_guest_leaves_from_wherever_it_is() {
        for gone in [1, 2, 3] {
            let mut waiting = of(&[(1, true), (2, true), (3, true)]);
            waiting.remove(gone);
            waiting.remove(gone);
            waiting.remove(99);
            assert!(!waiting.has(gone));
            let left: Vec<_> =
                [3, 2, 1].into_iter().filter(|number| *number != gone).map(Next::Guest).collect();
            assert_eq!(order(waiting), left);
        }
    }

    #[test]
    fn guests_and_others_take_turns() {
        let mut waiting = of(&[(1, true), (2, true)]);
        let others = [1, 2].map(|last| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last));
        let turns = others.map(|other| waiting.add_other(other, Time::ORIGIN));
        assert_eq!(turns[1], (Time::ORIGIN, 2));
        let [first, second] = others.map(Next::Other);
        assert_eq!(order(waiting), [second, Next::Guest(2), first, Next::Guest(1)]);
    }

    #[test]
    fn the_other_that_was_there_first_makes_room() {
        let mut waiting = Waiting::default();
        let others = [1, 2].map(|last| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last));
        let _ = waiting.add_other(others[0], Time::ORIGIN);
        let newest = waiting.add_other(others[1], Time::ORIGIN);
        assert_eq!(waiting.pop_oldest_other(), Some(others[0]));
        waiting.remove_other(newest);
        assert_eq!(waiting.next(), None);
    }
}
