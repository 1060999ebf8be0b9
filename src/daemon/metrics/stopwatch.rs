//! How long answers take: from the moment at which the kernel received the question to the one at which
//! it got the answer.
//!
//! Only questions that are answered at once are timed. What has to be probed first takes as long as
//! the guest, and would say nothing of the responder.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::frames::Received;
use super::super::record::Recorded;
use crate::engine::Time;

/// Times the answers to each batch of frames.
#[derive(Debug, Default)]
pub(in super::super) struct Stopwatch {
    /// When the questions came whose answers are about to leave; one batch at most.
    running: Vec<Duration>,
    answers: Answers,
}

/// A histogram.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Answers {
    /// How many took so long, and longer than the bound before; the last are those over all bounds.
    counts: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

impl Stopwatch {
    /// Hands in each frame, and notes which questions are answered at once.
    pub(in super::super) fn handle(&mut self, engine: &mut Recorded, batch: &mut Received, now: Time) {
        let link = batch.link();
        let mut answered = engine.counters().answered_on(link);
        for (input, stamp) in batch.take_inputs() {
            engine.handle(input, now);
            let before = std::mem::replace(&mut answered, engine.counters().answered_on(link));
            if answered > before {
                self.running.extend(stamp);
            }
        }
    }

    pub(super) fn is_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// The answers have left.
    pub(super) fn stop(&mut self, now: SystemTime) {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        for asked in self.running.drain(..) {
            // A clock that was set back meanwhile has measured nothing.
            if let Some(taken) = now.checked_sub(asked) {
                self.answers.observe(taken);
            }
        }
    }

    pub(super) fn answers(&self) -> &Answers {
        &self.answers
    }
}

impl Answers {
    pub(super) fn observe(&mut self, taken: Duration) {
        let bucket = BOUNDS.iter().position(|bound| taken <= Duration::from_micros(*bound));
        self.counts[bucket.unwrap_or(BOUNDS.len())] += 1;
        self.sum = self.sum.saturating_add(taken);
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(super) fn seconds(&self) -> f64 {
        self.sum.as_secs_f64()
    }

    /// The upper bound of each bucket in seconds, and how many are in it and in none before.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().map(|bound| *bound as f64 / 1e6).chain([f64::INFINITY]);
        bounds.zip(self.counts).collect()
    }
}

/// Microseconds. RFC 4861 §10: a router waits RETRANS_TIMER, 1 second, before it asks again.
const BOUNDS: [u64; 16] = [
    10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_took_as_long_as_a_bound_below_it() {
        let mut answers = Answers::default();
        for micros in [0, 10, 11, 1_000_000, 1_000_001] {
            answers.observe(Duration::from_micros(micros));
        }
        let buckets = answers.buckets();
        assert_eq!((buckets[0], buckets[1]), ((10e-6, 2), (20e-6, 1)));
        assert_eq!((buckets[15], buckets[16]), ((1.0, 1), (f64::INFINITY, 1)));
        assert_eq!((answers.count(), answers.seconds()), (5, 2.000_022));
    }

    #[test]
    fn times_from_the_question_to_the_end_and_skips_a_clock_that_was_set_back() {
        let mut stopwatch = Stopwatch::default();
        let at = |micros: u64| Duration::from_micros(1_000_000 + micros);
        stopwatch.running.extend([at(0), at(30), at(90)]);
        stopwatch.stop(UNIX_EPOCH + at(60));
        assert!(!stopwatch.is_running());
        assert_eq!((stopwatch.answers().count(), stopwatch.answers().seconds()), (2, 90e-6));
    }
}
