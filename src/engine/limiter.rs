//! How often something may happen: a token bucket on the caller's clock.

use std::time::Duration;

use super::time::Time;

/// Grants at most `per_second` tokens a second, and a second's worth at once.
#[derive(Debug, Clone)]
pub struct Limiter {
    per_second: u32,
    /// Millionths of a token, which is what one microsecond gains at one token a second.
    level: u64,
    filled: Time,
}

impl Limiter {
    /// A full bucket.
    pub fn new(per_second: u32) -> Self {
        Self { per_second, level: u64::from(per_second) * TOKEN, filled: Time::ORIGIN }
    }

    /// Takes one token, if there is one.
    pub fn take(&mut self, now: Time) -> bool {
        self.take_leaving(0, now)
    }

    /// Takes one token, if at least `reserve` others remain.
    pub fn take_leaving(&mut self, reserve: u32, now: Time) -> bool {
        self.fill(now);
        if self.level < (u64::from(reserve) + 1) * TOKEN {
            return false;
        }
        self.level -= TOKEN;
        true
    }

    fn fill(&mut self, now: Time) {
        let elapsed = now.since(self.filled).min(Duration::from_secs(1));
        let micros = u64::try_from(elapsed.as_micros()).expect("at most one second");
        let gained = micros * u64::from(self.per_second);
        self.level = (self.level + gained).min(u64::from(self.per_second) * TOKEN);
        self.filled = now;
    }
}

const TOKEN: u64 = 1_000_000;

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
    fn loses_nothing_when_asked_often() {
        let mut limiter = Limiter::new(3);
        granted(&mut limiter, Time::ORIGIN);
        let later = (1..=1_000_000).step_by(3).map(|micros| Time::at(Duration::from_micros(micros)));
        assert_eq!(later.filter(|now| limiter.take(*now)).count(), 3);
    }

    #[test]
    fn keeps_the_reserve_for_those_who_may_use_it() {
        let mut limiter = Limiter::new(10);
        let modest = (0..20).filter(|_| limiter.take_leaving(4, Time::ORIGIN)).count();
        assert_eq!((modest, granted(&mut limiter, Time::ORIGIN)), (6, 4));
    }
}
