//! The tables: medians over the rounds, and how lone64 compares.

use std::time::Duration;

use super::asker::{Flood, Scan};
use super::responder::Responder;

/// One row: one responder with so many addresses, over all rounds.
#[derive(Debug)]
pub struct Row {
    /// Who answers.
    pub responder: Responder,
    /// For how many addresses.
    pub addresses: u16,
    /// Why there is nothing to show.
    pub problem: Option<String>,
    floods: Vec<(Flood, Option<Duration>)>,
    latencies: Vec<Option<Duration>>,
    burst: Option<usize>,
}

impl Row {
    /// Nothing yet.
    pub fn new(responder: Responder, addresses: u16) -> Self {
        Self { responder, addresses, problem: None, floods: Vec::new(), latencies: Vec::new(), burst: None }
    }

    /// Adds a round's flood, and the CPU time that the responder spent on it.
    pub fn flood(&mut self, flood: &Flood, spent: Option<Duration>) {
        self.floods.push((*flood, spent));
    }

    /// Adds a round's latencies.
    pub fn latencies(&mut self, latencies: Vec<Option<Duration>>) {
        self.latencies.extend(latencies);
    }

    /// Adds a round's burst; the worst one counts.
    pub fn burst(&mut self, answered: usize) {
        self.burst = Some(self.burst.map_or(answered, |worst| worst.min(answered)));
    }

    fn per_second(&self) -> Option<f64> {
        median(self.floods.iter().map(|(flood, _)| flood.answered as f64 / flood.elapsed.as_secs_f64()))
    }

    fn per_cpu_second(&self) -> Option<f64> {
        let spent = self.floods.iter().filter_map(|(flood, spent)| Some((flood, (*spent)?)));
        median(spent.map(|(flood, spent)| flood.answered as f64 / spent.as_secs_f64()))
    }

    fn busy(&self) -> Option<f64> {
        let spent = self.floods.iter().filter_map(|(flood, spent)| Some((flood, (*spent)?)));
        median(spent.map(|(flood, spent)| spent.as_secs_f64() / flood.elapsed.as_secs_f64()))
    }

    fn lost(&self) -> u64 {
        self.floods.iter().map(|(flood, _)| flood.asked.saturating_sub(flood.answered)).sum()
    }

    /// In microseconds; a lost answer takes for ever.
    fn latency(&self, percentile: usize) -> Option<f64> {
        let mut sorted: Vec<_> =
            self.latencies.iter().map(|l| l.map_or(f64::INFINITY, |l| l.as_secs_f64() * 1e6)).collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() * percentile / 100).copied()
    }
}

/// Prints both tables, and the ratio that is the target.
pub fn print(rows: &[Row], scans: &[(Responder, Vec<Scan>)]) {
    println!();
    println!(
        "{:<16} {:>9} {:>10} {:>10} {:>9} {:>6} {:>6} {:>6} {:>7} {:>7} {:>7}",
        "responder",
        "addresses",
        "answers/s",
        "per CPU s",
        "µs/answer",
        "busy",
        "lost",
        "burst",
        "p50 µs",
        "p90 µs",
        "p99 µs"
    );
    for row in rows {
        match &row.problem {
            Some(problem) => println!("{:<16} {:>9} {problem}", row.responder, row.addresses),
            None => print_row(row),
        }
    }
    if rows.iter().filter_map(Row::busy).any(|busy| busy < SATURATED) {
        println!("* the asker was the bottleneck of answers/s, not the responder");
    }
    print_ratios(rows);
    print_growth(rows);
    print_scans(scans);
}

fn print_row(row: &Row) {
    let per_cpu_second = row.per_cpu_second();
    let mark = if row.busy().is_some_and(|busy| busy < SATURATED) { "*" } else { "" };
    println!(
        "{:<16} {:>9} {:>10} {:>10} {:>9} {:>6} {:>6} {:>6} {:>7} {:>7} {:>7}",
        row.responder,
        row.addresses,
        text(row.per_second(), 0) + mark,
        text(per_cpu_second, 0),
        text(per_cpu_second.map(|rate| 1e6 / rate), 2),
        row.busy().map_or(DASH.to_owned(), |busy| format!("{:.0} %", busy * 100.0)),
        row.lost(),
        text(row.burst.map(|burst| burst as f64), 0),
        text(row.latency(50), 0),
        text(row.latency(90), 0),
        text(row.latency(99), 0),
    );
}

fn print_ratios(rows: &[Row]) {
    println!();
    let of = |responder, addresses| {
        rows.iter().find(|row| row.responder == responder && row.addresses == addresses)?.per_cpu_second()
    };
    for row in rows.iter().filter(|row| row.responder.name().starts_with("lone64")) {
        let Some((ours, theirs)) = row.per_cpu_second().zip(of(Responder::NdppdStatic, row.addresses)) else {
            continue;
        };
        let ratio = ours / theirs;
        let verdict = if ratio >= TARGET { "reached" } else { "missed" };
        println!(
            "answers per CPU second, {} over ndppd static, {} address{}: {ratio:.1} (target {TARGET}: {verdict})",
            row.responder,
            row.addresses,
            if row.addresses == 1 { "" } else { "es" }
        );
    }
}

/// What one more address costs: as good as nothing, or a host with many would be slow.
fn print_growth(rows: &[Row]) {
    let lone64 = |addresses| {
        let mut live = rows.iter().filter(|row| row.responder == Responder::Lone64Live);
        live.find(|row| row.addresses == addresses)?.per_cpu_second()
    };
    if let Some((one, all)) = lone64(1).zip(lone64(u16::MAX)) {
        let (ratio, most) = (one / all, MOST_GROWTH);
        let verdict = if ratio <= most { "reached" } else { "missed" };
        println!(
            "CPU per answer, lone64 live, {} addresses over 1: {ratio:.2} (target {most}: {verdict})",
            u16::MAX
        );
    }
}

fn print_scans(scans: &[(Responder, Vec<Scan>)]) {
    let each = |spent: Duration, scan: &Scan| spent.as_secs_f64() * 1e9 / f64::from(scan.asked);
    let in_kernel = |turns: &[Scan]| median(turns.iter().map(|scan| each(scan.asker, scan)));
    let Some(alone) = scans.iter().find(|(r, _)| *r == Responder::Nobody).and_then(|(_, t)| in_kernel(t))
    else {
        return;
    };
    println!();
    println!("scan outside the range, ns per solicitation over a host without responder ({alone:.0} ns)");
    println!("{:<16} {:>12} {:>12} {:>12}", "responder", "in kernel", "in process", "together");
    for (responder, turns) in scans.iter().filter(|(responder, _)| *responder != Responder::Nobody) {
        let kernel = in_kernel(turns).map(|cost| cost - alone);
        let process = median(turns.iter().filter_map(|scan| Some(each(scan.responder?, scan))));
        let together = kernel.map(|kernel| kernel + process.unwrap_or(0.0));
        println!(
            "{responder:<16} {:>12} {:>12} {:>12}",
            text(kernel, 0),
            text(process, 0),
            text(together, 0)
        );
    }
}

/// With thousands apart, and without a minus before zero.
fn text(number: Option<f64>, decimals: usize) -> String {
    let Some(number) = number else { return DASH.to_owned() };
    if decimals > 0 || !number.is_finite() {
        return format!("{number:.decimals$}");
    }
    let digits = format!("{:.0}", number.abs());
    let grouped: Vec<_> =
        digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group)).collect();
    let sign = if number <= -0.5 { "-" } else { "" };
    format!("{sign}{}", grouped.join(","))
}

/// The middle one, or the mean of the two in the middle.
fn median(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<_> = numbers.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { (sorted[middle - 1] + upper) / 2.0 })
}

/// A responder that is on its CPU less than this was not the bottleneck.
const SATURATED: f64 = 0.9;
/// CPU per answer may grow by as much from one address to all of a /112.
const MOST_GROWTH: f64 = 1.5;
/// lone64 over ndppd, in answers per CPU second.
const TARGET: f64 = 5.0;
const DASH: &str = "-";
