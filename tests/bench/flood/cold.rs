//! Guests that nobody has asked for before: how long the first answer takes, and how many a second get one.

use std::time::Duration;

use super::asker::Flood;
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

    fn percentile(&self, percentile: usize) -> Option<f64> {
        let micros = |latency: &Option<Duration>| latency.map_or(f64::INFINITY, |l| l.as_secs_f64() * 1e6);
        let mut sorted: Vec<_> = self.latencies.iter().map(micros).collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() * percentile / 100).copied()
    }

    fn per_second(&self) -> Option<f64> {
        let rate = |flood: &Flood| flood.answered as f64 / flood.elapsed.as_secs_f64();
        let mut rates: Vec<_> = self.floods.iter().map(rate).collect();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied()
    }

    fn lost(&self) -> u64 {
        self.floods.iter().map(|flood| flood.asked.saturating_sub(flood.answered)).sum()
    }
}

/// Prints the table, and how lone64 compares.
pub fn print(colds: &[Cold]) {
    let show = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0}"));
    println!("\nguests that nobody has asked for before");
    println!("{:<16} {:>8} {:>8} {:>10} {:>6}", "responder", "p50 µs", "p90 µs", "first/s", "lost");
    for cold in colds {
        println!(
            "{:<16} {:>8} {:>8} {:>10} {:>6}",
            cold.responder.name(),
            show(cold.percentile(50)),
            show(cold.percentile(90)),
            show(cold.per_second()),
            cold.lost()
        );
    }
    let of = |responder| colds.iter().find(|cold| cold.responder == responder);
    let (Some(lone64), Some(ndppd)) = (of(Responder::Lone64Live), of(Responder::NdppdIface)) else { return };
    if let (Some(ours), Some(theirs)) = (lone64.percentile(50), ndppd.percentile(50)) {
        let ratio = ours / theirs;
        let verdict = if ratio <= FIRST_ANSWER { "reached" } else { "missed" };
        println!(
            "first answer, p50, lone64 live over ndppd iface: {ratio:.2} (target {FIRST_ANSWER}: {verdict})"
        );
    }
    if let Some(rate) = lone64.per_second() {
        let verdict = if rate >= COLD { "reached" } else { "missed" };
        println!("cold guests answered per second, lone64 live: {rate:.0} (target {COLD}: {verdict})");
    }
}

const FIRST_ANSWER: f64 = 0.65;
const COLD: f64 = 50_000.0;
