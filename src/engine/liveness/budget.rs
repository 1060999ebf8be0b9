//! The budget of probes, and who may have how much of it.

use crate::engine::hints::Hints;
use crate::engine::limiter::Limiter;
use crate::engine::seed::Seed;
use crate::engine::time::Time;

/// The probes of one second, over all links, with a share for each asker on each downstream; and hints, which say where
/// probes may go that need none of it.
#[derive(Debug)]
pub struct Budget {
    /// Where somebody listens to the groups of addresses.
    pub hints: Hints,
    all: Limiter,
    /// Where probes are scarce, what each asker may have of them.
    shares: Vec<Limiter>,
}

impl Budget {
    /// As many probes a second, and no hints yet.
    pub fn new(per_second: u32, seed: Seed) -> Self {
        Self {
            hints: Hints::new(seed),
            all: Limiter::new(per_second),
            shares: vec![share(per_second); SHARES],
        }
    }

    /// As many probes a second from here on.
    pub fn change(&mut self, per_second: u32, now: Time) {
        self.all.change(&Limiter::new(per_second), now);
        let share = share(per_second);
        self.shares.iter_mut().for_each(|old| old.change(&share, now));
    }

    /// One probe, if there is one.
    pub fn take(&mut self, now: Time) -> bool {
        self.all.take(now)
    }

    /// One probe for what matters more than new questions do: also where there is none, up to a debt.
    pub fn take_in_debt(&mut self, now: Time) -> bool {
        self.all.take_in_debt(now)
    }

    /// True if less than half of a second's worth is left.
    pub fn is_scarce(&mut self, now: Time) -> bool {
        self.all.is_scarce(now)
    }

    /// One probe where they are plenty: for what somebody could provoke, and can wait.
    pub fn take_if_plenty(&mut self, now: Time) -> bool {
        !self.is_scarce(now) && self.take(now)
    }

    /// A probe was replied to: it costs nothing. So guests that are there never wait for probes that others, who are not,
    /// have used up; what is limited is the asking for those.
    pub fn give_back(&mut self, share: Option<usize>) {
        self.all.give_back();
        if let Some(share) = share.and_then(|share| self.shares.get_mut(share)) {
            share.give_back();
        }
    }

    /// One probe for this share. Where probes are scarce nobody gets more than half of them, however often it
    /// asks; and one that has asked for little so far gets some also when another has just taken all.
    pub fn grant(&mut self, share: usize, now: Time) -> bool {
        if self.shares[share].take(now) { self.take_in_debt(now) } else { self.take_if_plenty(now) }
    }
}

/// An asker may have all probes at once where nobody else asks; for longer than that only half.
fn share(per_second: u32) -> Limiter {
    Limiter::deep(per_second.div_ceil(2), per_second)
}

/// Askers and downstreams are told apart as far as this; a stranger with many addresses has few shares all the same.
pub const SHARES: usize = 256;
/// In place of a share, for targets that were asked where a hint said: that is outside of the budget.
pub const HINTED: usize = SHARES;
/// The same for targets that nobody has asked for: they have said to which group they listen.
pub const UNASKED: usize = HINTED + 1;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn budget() -> Budget {
        Budget::new(100, Seed::default())
    }

    fn granted(budget: &mut Budget, share: usize, now: Time) -> usize {
        (0..1_000).take_while(|_| budget.grant(share, now)).count()
    }

    #[test]
    fn one_asker_gets_a_seconds_worth_and_then_half() {
        let mut budget = budget();
        assert_eq!(granted(&mut budget, 1, Time::ORIGIN), 100);
        let later = Time::at(Duration::from_secs(1));
        // Its share, and what is plenty: less than half of the bucket is not.
        assert_eq!(granted(&mut budget, 1, later), 51);
    }

    #[test]
    fn what_is_replied_to_costs_nothing() {
        let mut budget = budget();
        for _ in 0..10_000 {
            assert!(budget.grant(1, Time::ORIGIN));
            budget.give_back(Some(1));
        }
        assert_eq!(granted(&mut budget, 1, Time::ORIGIN), 100, "and no more than that");
    }

    #[test]
    fn one_who_asks_for_little_gets_some_when_another_has_taken_all() {
        let mut budget = budget();
        granted(&mut budget, 1, Time::ORIGIN);
        assert!(granted(&mut budget, 2, Time::ORIGIN) > 0);
        assert!(!budget.take(Time::ORIGIN) && budget.is_scarce(Time::ORIGIN));
    }
}
