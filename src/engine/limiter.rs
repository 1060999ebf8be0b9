//! How often something may happen: a token bucket on the caller's clock.

use std::time::Duration;

use super::time::Time;

/// Grants at most `per_second` tokens a second, and a second's worth at once.
#[derive(Debug, Clone)]
pub struct Limiter {
    per_second: u32,
    /// As many at once.
    depth: u32,
    /// Millionths of a token, which is what one microsecond gains at one token a second. Below zero
    /// while those who may run up debts have done so.
    level: i64,
    filled: Time,
}

impl Limiter {
    /// A full bucket.
    pub fn new(per_second: u32) -> Self {
        Self::deep(per_second, per_second)
    }

    /// A full bucket that holds `depth` tokens.
    pub fn deep(per_second: u32, depth: u32) -> Self {
        Self { per_second, depth, level: i64::from(depth) * TOKEN, filled: Time::ORIGIN }
    }

    /// From here on it is a bucket like `other`; what is in it stays, as far as it fits.
    pub fn change(&mut self, other: &Self, now: Time) {
        self.fill(now);
        (self.per_second, self.depth) = (other.per_second, other.depth);
        let (debt, full) = (-i64::from(self.per_second) * TOKEN / 4, i64::from(self.depth) * TOKEN);
        self.level = self.level.clamp(debt, full);
    }

    /// Takes one token, if there is one.
    pub fn take(&mut self, now: Time) -> bool {
        self.take_above(0, now)
    }

    /// Gives one token back.
    pub fn give_back(&mut self) {
        self.level = (self.level + TOKEN).min(i64::from(self.depth) * TOKEN);
    }

    /// When there will be a token, at the latest; a moment that has passed if there is one.
    pub fn ready_at(&self) -> Time {
        let missing = u64::try_from(TOKEN - self.level).unwrap_or(0);
        self.filled + Duration::from_micros(missing.div_ceil(u64::from(self.per_second.max(1))))
    }

    /// Takes one token also if there is none, up to a debt of a quarter of a second's worth: for
    /// what matters more than that for which [`Self::take`] is called.
    pub fn take_in_debt(&mut self, now: Time) -> bool {
        self.take_above(-i64::from(self.per_second) * TOKEN / 4, now)
    }

    /// True if less than half of the bucket is left.
    pub fn is_scarce(&mut self, now: Time) -> bool {
        self.fill(now);
        self.level < i64::from(self.depth) * TOKEN / 2
    }

    fn take_above(&mut self, floor: i64, now: Time) -> bool {
        self.fill(now);
        if self.level < floor + TOKEN {
            return false;
        }
        self.level -= TOKEN;
        true
    }

    fn fill(&mut self, now: Time) {
        // Longer than any bucket takes to fill makes no difference, and cannot overflow.
        let micros = i64::try_from(now.since(self.filled).min(LONG).as_micros()).expect("an hour");
        let gained = micros * i64::from(self.per_second);
        self.level = (self.level + gained).min(i64::from(self.depth) * TOKEN);
        self.filled = now;
    }
}

const LONG: Duration = Duration::from_secs(3_600);
const TOKEN: i64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(limiter: &mut Limiter, now: Time) -> usize {
        (0..10_000).take_while(|_| limiter.take(now)).count()
    }

    #[test]
    fn grants_a_seconds_worth_at_once_and_then_none() {
        let mut limiter = Limiter::new(100);
        assert_eq!(granted(&mut limiter, Time::ORIGIN), 100);
        assert_eq!(granted(&mut limiter, Time::ORIGIN), 0);
    }

    #[test]
    fn refills_with_time_up_to_a_seconds_worth() {
        let mut limiter = Limiter::new(100);
        granted(&mut limiter, Time::ORIGIN);
        assert_eq!(granted(&mut limiter, Time::at(Duration::from_millis(250))), 25);
        assert_eq!(granted(&mut limiter, Time::at(Duration::from_secs(3_600))), 100);
    }

    #[test]
    fn says_when_there_will_be_a_token_and_not_a_microsecond_early() {
        let mut limiter = Limiter::deep(3, 1);
        assert_eq!(limiter.ready_at(), Time::ORIGIN);
        granted(&mut limiter, Time::ORIGIN);
        let ready = limiter.ready_at();
        assert_eq!(ready, Time::at(Duration::from_micros(333_334)));
        assert_eq!(granted(&mut limiter, Time::at(Duration::from_micros(333_333))), 0);
        assert_eq!(granted(&mut limiter, ready), 1);
    }

    #[test]
    fn loses_nothing_when_asked_often() {
        let mut limiter = Limiter::new(3);
        granted(&mut limiter, Time::ORIGIN);
        let later = (1..=1_000_000).step_by(3).map(|micros| Time::at(Duration::from_micros(micros)));
        assert_eq!(later.filter(|now| limiter.take(*now)).count(), 3);
    }

    #[test]
    fn lets_what_matters_run_up_a_debt_that_others_wait_for() {
        let mut limiter = Limiter::new(8);
        granted(&mut limiter, Time::ORIGIN);
        let in_debt = (0..20).filter(|_| limiter.take_in_debt(Time::ORIGIN)).count();
        assert_eq!(in_debt, 2);
        assert_eq!(granted(&mut limiter, Time::at(Duration::from_millis(250))), 0);
        assert_eq!(granted(&mut limiter, Time::at(Duration::from_millis(375))), 1);
    }

    #[test]
    fn a_lower_limit_keeps_as_much_of_a_debt_as_it_allows() {
        let mut limiter = Limiter::new(80);
        granted(&mut limiter, Time::ORIGIN);
        assert_eq!((0..40).filter(|_| limiter.take_in_debt(Time::ORIGIN)).count(), 20);
        limiter.change(&Limiter::new(8), Time::ORIGIN);
        assert_eq!(granted(&mut limiter, Time::at(Duration::from_millis(250))), 0);
        assert_eq!(granted(&mut limiter, Time::at(Duration::from_millis(375))), 1);
    }
}
