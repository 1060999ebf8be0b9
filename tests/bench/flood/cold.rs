//! Guests that nobody has asked for before: how long the first answer takes, and how many a second get one.

use std::time::Duration;

use super::asker::Flood;
use super::figures::{Figures, What};
use super::guests::Manner;
use super::numbers::{median, percentile, text};
use super::responder::Responder;

/// What became of cold guests, over all rounds.
#[derive(Debug)]
pub struct Cold {
    /// Who answers.
    pub responder: Responder,
    /// Whether the guests report their groups.
    pub manner: Manner,
    /// As fast as answers came.
    pub floods: Vec<Flood>,
    /// The time to each first answer; none for one that was lost.
    pub latencies: Vec<Option<Duration>>,
}

impl Cold {
    /// Nothing yet; what is measured of this responder.
    pub fn all(responder: Responder) -> impl Iterator<Item = Self> {
        // Only lone64 hears reports.
        let both = responder == Responder::Lone64Live;
        let manners = [Some(Manner::Reporting), both.then_some(Manner::Silent)].into_iter().flatten();
        manners.map(move |manner| Self { responder, manner, floods: Vec::new(), latencies: Vec::new() })
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
    println!("\nguests that nobody has asked for before");
    println!(
        "{:<16} {:>10} {:>8} {:>8} {:>10} {:>6}",
        "responder", "guests", "p50 µs", "p90 µs", "first/s", "lost"
    );
    for cold in colds {
        let (middle, slow) = (percentile(&cold.latencies, 50), percentile(&cold.latencies, 90));
        println!(
            "{:<16} {:>10} {:>8} {:>8} {:>10} {:>6}",
            cold.responder.name(),
            cold.manner.name(),
            text(middle, 0),
            text(slow, 0),
            text(cold.per_second(), 0),
            cold.lost()
        );
        // What is compared are guests that report.
        let case = if cold.manner == Manner::Reporting { "" } else { SILENT };
        figures.add(cold.responder, What::ColdMedian, case, middle);
        figures.add(cold.responder, What::ColdPerSecond, case, cold.per_second());
    }
}

/// What the figures name guests that do not report their groups.
pub const SILENT: &str = "silent guests";
