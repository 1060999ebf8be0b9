//! The first tables: floods and lone questions, medians over the rounds.

use std::time::Duration;

use super::asker::Flood;
use super::figures::{Figures, What, addresses};
use super::numbers::{DASH, median, percentile, text};
use super::responder::Responder;

/// One row: one responder with so many addresses, over all rounds.
#[derive(Debug)]
pub struct Row {
    /// Who answers.
    pub responder: Responder,
    /// For how many addresses.
    pub addresses: u32,
    /// Why there is nothing to show.
    pub problem: Option<String>,
    floods: Vec<(Flood, Option<Duration>)>,
    /// CPU of one answer of a responder without a process, round by round.
    sides: Vec<Duration>,
    latencies: Vec<Option<Duration>>,
    /// CPU of the responder for one lone question, round by round.
    lone: Vec<Duration>,
    burst: Option<usize>,
    resident: Vec<u64>,
}

impl Row {
    /// Nothing yet.
    pub fn new(responder: Responder, addresses: u32) -> Self {
        Self {
            responder,
            addresses,
            problem: None,
            floods: Vec::new(),
            sides: Vec::new(),
            latencies: Vec::new(),
            lone: Vec::new(),
            burst: None,
            resident: Vec::new(),
        }
    }

    /// Adds a round's flood, and the CPU time that the responder spent on it.
    pub fn flood(&mut self, flood: &Flood, spent: Option<Duration>) {
        self.floods.push((*flood, spent));
    }

    /// Adds what an answer cost in a round where no process gave it.
    pub fn side(&mut self, cost: Duration) {
        self.sides.push(cost);
    }

    /// Adds a round's lone questions, and the CPU time that the responder spent on them.
    pub fn latencies(&mut self, latencies: Vec<Option<Duration>>, spent: Option<Duration>) {
        let count = u32::try_from(latencies.len()).unwrap_or(u32::MAX);
        self.lone.extend(spent.filter(|_| count > 0).map(|spent| spent / count));
        self.latencies.extend(latencies);
    }

    /// Adds a round's burst; the worst one counts.
    pub fn burst(&mut self, answered: usize) {
        self.burst = Some(self.burst.map_or(answered, |worst| worst.min(answered)));
    }

    /// Adds the resident memory at the end of a round, in KiB.
    pub fn resident(&mut self, kib: Option<u64>) {
        self.resident.extend(kib);
    }

    fn per_second(&self) -> Option<f64> {
        median(self.floods.iter().map(|(flood, _)| flood.answered as f64 / flood.elapsed.as_secs_f64()))
    }

    fn per_cpu_second(&self) -> Option<f64> {
        let spent = self.floods.iter().filter_map(|(flood, spent)| Some((flood, (*spent)?)));
        let by_process = median(spent.map(|(flood, spent)| flood.answered as f64 / spent.as_secs_f64()));
        by_process.or_else(|| median(self.sides.iter().map(|cost| 1.0 / cost.as_secs_f64())))
    }

    fn busy(&self) -> Option<f64> {
        let spent = self.floods.iter().filter_map(|(flood, spent)| Some((flood, (*spent)?)));
        median(spent.map(|(flood, spent)| spent.as_secs_f64() / flood.elapsed.as_secs_f64()))
    }

    fn lost(&self) -> u64 {
        self.floods.iter().map(|(flood, _)| flood.asked.saturating_sub(flood.answered)).sum()
    }

    fn latency(&self, share: usize) -> Option<f64> {
        percentile(&self.latencies, share)
    }

    fn lone(&self) -> Option<f64> {
        median(self.lone.iter().map(|spent| spent.as_secs_f64() * 1e6))
    }

    fn memory(&self) -> Option<f64> {
        median(self.resident.iter().map(|kib| *kib as f64))
    }

    fn add_to(&self, figures: &mut Figures) {
        let case = addresses(self.addresses);
        for (what, value) in [
            (What::AnswersPerCpuSecond, self.per_cpu_second()),
            (What::AnswersPerSecond, self.per_second()),
            (What::Burst, self.burst.map(|burst| burst as f64)),
            (What::LoneMedian, self.latency(50)),
            (What::LoneSlow, self.latency(99)),
            (What::LoneCpu, self.lone()),
            (What::Resident, self.memory()),
        ] {
            figures.add(self.responder, what, &case, value);
        }
    }
}

/// Prints the table, and adds its numbers.
pub fn print(rows: &[Row], figures: &mut Figures) {
    println!();
    println!(
        "{:<16} {:>9} {:>10} {:>10} {:>9} {:>6} {:>6} {:>6} {:>7} {:>7} {:>7} {:>7} {:>8}",
        "responder",
        "addresses",
        "answers/s",
        "per CPU s",
        "µs/answer",
        "busy",
        "lost",
        "burst",
        "lone µs",
        "p50 µs",
        "p90 µs",
        "p99 µs",
        "memory"
    );
    for row in rows {
        match &row.problem {
            Some(problem) => println!("{:<16} {:>9} {problem}", row.responder, row.addresses),
            None => print_row(row),
        }
        row.add_to(figures);
    }
    if rows.iter().filter_map(Row::busy).any(|busy| busy < SATURATED) {
        println!("* the asker was the bottleneck of answers/s, not the responder");
    }
}

fn print_row(row: &Row) {
    let per_cpu_second = row.per_cpu_second();
    let mark = if row.busy().is_some_and(|busy| busy < SATURATED) { "*" } else { "" };
    println!(
        "{:<16} {:>9} {:>10} {:>10} {:>9} {:>6} {:>6} {:>6} {:>7} {:>7} {:>7} {:>7} {:>8}",
        row.responder,
        text(Some(f64::from(row.addresses)), 0),
        text(row.per_second(), 0) + mark,
        text(per_cpu_second, 0),
        text(per_cpu_second.map(|rate| 1e6 / rate), 2),
        row.busy().map_or(DASH.to_owned(), |busy| format!("{:.0} %", busy * 100.0)),
        row.lost(),
        text(row.burst.map(|burst| burst as f64), 0),
        text(row.lone(), 0),
        text(row.latency(50), 0),
        text(row.latency(90), 0),
        text(row.latency(99), 0),
        row.memory().map_or(DASH.to_owned(), |kib| format!("{:.1} MB", kib / 1024.0)),
    );
}

/// A responder that is on its CPU less than this was not the bottleneck.
const SATURATED: f64 = 0.9;
