//! Guests that nobody has asked for before: how long the first answer takes, and how many a second get one.

use std::time::Duration;

use super::asker::Flood;
use super::figures::{Figures, What};
use super::numbers::{median, percentile, text};
use super::responder::Responder;

/// What became of cold guests, over all rounds.
#[derive(Debug)]
pub struct Cold {
    /// Who answers.
    pub responder: Responder,
    /// As fast as answers came.
    pub floods: Vec<Flood>,
    /// The time to each first answer; none for one that was lost.
    pub latencies: Vec<Option<Duration>>,
}

impl Cold {
    /// Nothing yet.
    pub fn new(responder: Responder) -> Self {
        Self { responder, floods: Vec::new(), latencies: Vec::new() }
    }

    fn per_second(&self) -> Option<f64> {
        median(self.floods.iter().map(|flood| flood.answered as f64 / flood.elapsed.as_secs_f64()))
    }

    fn lost(&self) -> u64 {
        self.floods.iter().map(|flood| flood.asked.saturating_sub(flood.answered)).sum()
    }
}

/// Prints the table, and adds its numbers.
pub fn print(colds: &[Cold], figures: &mut Figures) {
    println!("\nguests that nobody has asked for before; they report their groups");
    println!("{:<16} {:>8} {:>8} {:>10} {:>6}", "responder", "p50 µs", "p90 µs", "first/s", "lost");
    for cold in colds {
        let (middle, slow) = (percentile(&cold.latencies, 50), percentile(&cold.latencies, 90));
        println!(
            "{:<16} {:>8} {:>8} {:>10} {:>6}",
            cold.responder.name(),
            text(middle, 0),
            text(slow, 0),
            text(cold.per_second(), 0),
            cold.lost()
        );
        figures.add(cold.responder, What::ColdMedian, "", middle);
        figures.add(cold.responder, What::ColdPerSecond, "", cold.per_second());
    }
}
