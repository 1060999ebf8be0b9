//! Rounds: where that is wanted, whatever is announced on an upstream is announced again at a period, for switches
//! and routers that age entries out.
//!
//! A round visits one target after the other, as the pace of announcements allows, so none is a burst. If there are
//! more than the pace allows in one period, the next round begins when the last one has ended.

use core::net::Ipv6Addr;
use core::ops::Bound::{Excluded, Unbounded};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::engine::facts::IfIndex;
use crate::engine::time::Time;

/// The rounds of all upstreams on which they are wanted.
#[derive(Debug, Default)]
pub struct Rounds {
    by_link: BTreeMap<IfIndex, Round>,
    /// The targets for which the link is being asked, by when it has had its time.
    asked: VecDeque<(Time, Ipv6Addr)>,
}

#[derive(Debug)]
struct Round {
    period: Duration,
    /// When it begins, or has begun.
    begins: Time,
    place: Place,
    /// It was told that it takes longer than its period.
    is_told: bool,
}

/// How far a round has come.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Behind this one of the host's own addresses.
    Own(Option<Ipv6Addr>),
    /// At this number in the table of live targets.
    Live(u32),
}

/// One step of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visit {
    /// This target is next on this upstream, if it is answered for there.
    Target(IfIndex, Ipv6Addr),
    /// There is no live target at this place, or the round has ended.
    Nobody,
    /// The round on this upstream has ended, and took so much longer than its period. Told once.
    Late(IfIndex, Duration, Duration),
}

impl Rounds {
    /// Rounds are wanted on these upstreams, which are up. On those that are new everything has just begun to be
    /// announced.
    pub fn settle(
        &mut self,
        periods: &BTreeMap<IfIndex, Duration>,
        new: &BTreeMap<IfIndex, bool>,
        now: Time,
    ) {
        self.by_link
            .retain(|link, round| periods.get(link) == Some(&round.period) && !new.contains_key(link));
        for (link, period) in periods {
            let begin = || Round { period: *period, begins: now + *period, place: START, is_told: false };
            self.by_link.entry(*link).or_insert_with(begin);
        }
    }

    /// The next round on this upstream begins at once, unless one is under way.
    pub fn hasten(&mut self, link: IfIndex, now: Time) {
        if let Some(round) = self.by_link.get_mut(&link) {
            round.begins = round.begins.min(now);
        }
    }

    /// Whether there are rounds on this upstream.
    pub fn has(&self, link: IfIndex) -> bool {
        self.by_link.contains_key(&link)
    }

    /// When something is due next: a round begins or goes on at the first time, and no sooner than the pace allows; a
    /// target is told of at the second.
    pub fn next_due(&self) -> (Option<Time>, Option<Time>) {
        let begins = self.by_link.values().map(|round| round.begins).min();
        (begins, self.asked.front().map(|(due, _)| *due))
    }

    /// The link is asked for the target, and has until then.
    pub fn ask(&mut self, target: Ipv6Addr, until: Time) {
        self.asked.push_back((until, target));
    }

    /// The next target for which the link has had its time.
    pub fn next_asked(&mut self, now: Time) -> Option<Ipv6Addr> {
        self.asked.front().filter(|(due, _)| *due <= now)?;
        self.asked.pop_front().map(|(_, target)| target)
    }

    /// The next step of the round that began first. `own` are the host's addresses, and where they are announced;
    /// `live_at` says what is at a number in the table of live targets, and where to go on. None if no round has begun.
    pub fn visit(
        &mut self,
        own: &BTreeMap<Ipv6Addr, IfIndex>,
        live_at: impl Fn(u32) -> Option<(u32, Option<Ipv6Addr>)>,
        now: Time,
    ) -> Option<Visit> {
        let begun = self.by_link.iter_mut().filter(|(_, round)| round.begins <= now);
        let (link, round) = begun.min_by_key(|(_, round)| round.begins)?;
        let visit = |target| Visit::Target(*link, target);
        match round.place {
            Place::Own(last) => {
                let behind = (last.map_or(Unbounded, Excluded), Unbounded);
                let next = own.range(behind).find(|(_, upstream)| *upstream == link);
                round.place = next.map_or(Place::Live(0), |(target, _)| Place::Own(Some(*target)));
                Some(next.map_or(Visit::Nobody, |(target, _)| visit(*target)))
            }
            Place::Live(number) => match live_at(number) {
                Some((next, target)) => {
                    round.place = Place::Live(next);
                    Some(target.map_or(Visit::Nobody, visit))
                }
                None => Some(round.end(*link, now)),
            },
        }
    }
}

impl Round {
    /// The next one begins a period after this one did; at once, if that has passed.
    fn end(&mut self, link: IfIndex, now: Time) -> Visit {
        let took = now.since(self.begins);
        self.begins = now.max(self.begins + self.period);
        self.place = START;
        if took <= self.period || std::mem::replace(&mut self.is_told, true) {
            return Visit::Nobody;
        }
        Visit::Late(link, self.period, took)
    }
}

const START: Place = Place::Own(None);

#[cfg(test)]
mod tests {
    use super::*;

    const UP: IfIndex = IfIndex(2);
    const PERIOD: Duration = Duration::from_secs(10);

    fn target(number: u32) -> Ipv6Addr {
        Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(number))
    }

    fn at(seconds: u64) -> Time {
        Time::at(Duration::from_secs(seconds))
    }

    fn wanted(period: Duration) -> Rounds {
        let mut rounds = Rounds::default();
        rounds.settle(&BTreeMap::from([(UP, period)]), &BTreeMap::new(), at(0));
        rounds
    }

    /// What is visited now: one address of the host's, and two live targets with a gap between them.
    fn visits(rounds: &mut Rounds, now: Time) -> Vec<Ipv6Addr> {
        let own = BTreeMap::from([(target(1), UP), (target(2), IfIndex(3))]);
        let live_at = |number| (number < 3).then(|| (number + 1, (number != 1).then(|| target(10 + number))));
        let visits = std::iter::from_fn(|| rounds.visit(&own, live_at, now));
        visits
            .filter_map(|visit| match visit {
                Visit::Target(_, target) => Some(target),
                Visit::Nobody | Visit::Late(..) => None,
            })
            .collect()
    }

    #[test]
    fn a_round_visits_everything_once_and_the_next_begins_a_period_later() {
        let mut rounds = wanted(PERIOD);
        let all = [target(1), target(10), target(12)];
        assert_eq!((visits(&mut rounds, at(9)), rounds.next_due()), (vec![], (Some(at(10)), None)));
        assert_eq!(visits(&mut rounds, at(10)), all);
        assert_eq!((visits(&mut rounds, at(11)), rounds.next_due().0), (vec![], Some(at(20))));
        assert_eq!(visits(&mut rounds, at(21)), all);
        assert_eq!(rounds.next_due().0, Some(at(30)), "the period does not drift");
    }

    #[test]
    fn one_that_takes_longer_is_followed_by_the_next_and_that_is_told_once() {
        let mut rounds = wanted(PERIOD);
        let mut end = |now| rounds.visit(&BTreeMap::new(), |_| None, now);
        let took = Duration::from_secs(15);
        assert_eq!((end(at(10)), end(at(25))), (Some(Visit::Nobody), Some(Visit::Late(UP, PERIOD, took))));
        assert_eq!(
            (end(at(25)), end(at(90)), end(at(90))),
            (Some(Visit::Nobody), Some(Visit::Nobody), Some(Visit::Nobody))
        );
    }

    #[test]
    fn the_next_round_is_hastened_only_where_there_are_rounds() {
        let mut rounds = wanted(PERIOD);
        assert!(rounds.has(UP) && !rounds.has(IfIndex(3)));
        rounds.hasten(IfIndex(3), at(1));
        rounds.hasten(UP, at(4));
        rounds.hasten(UP, at(5));
        assert_eq!(rounds.next_due().0, Some(at(4)));
    }

    #[test]
    fn another_period_and_an_upstream_that_is_new_begin_again_and_one_that_is_gone_ends() {
        let mut rounds = wanted(PERIOD);
        let mut settle = |periods: &[(IfIndex, Duration)], new: &[(IfIndex, bool)], now| {
            rounds.settle(&periods.iter().copied().collect(), &new.iter().copied().collect(), now);
            rounds.next_due().0
        };
        assert_eq!(settle(&[(UP, PERIOD)], &[], at(5)), Some(at(10)), "it goes on");
        assert_eq!(settle(&[(UP, PERIOD)], &[(UP, false)], at(6)), Some(at(16)));
        assert_eq!(settle(&[(UP, PERIOD * 2)], &[], at(7)), Some(at(27)));
        assert_eq!(settle(&[], &[], at(8)), None);
    }
}
