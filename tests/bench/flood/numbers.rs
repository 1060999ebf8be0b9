//! Numbers: the middle of several, and how they are written.

use std::time::Duration;

/// The middle one, or the mean of the two in the middle.
pub fn median(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<_> = numbers.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { (sorted[middle - 1] + upper) / 2.0 })
}

/// In microseconds; an answer that was lost takes for ever.
pub fn percentile(latencies: &[Option<Duration>], percentile: usize) -> Option<f64> {
    let micros = |latency: &Option<Duration>| latency.map_or(f64::INFINITY, |l| l.as_secs_f64() * 1e6);
    let mut sorted: Vec<_> = latencies.iter().map(micros).collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() * percentile / 100).copied()
}

/// With thousands apart, and without a minus before zero.
pub fn text(number: Option<f64>, decimals: usize) -> String {
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

/// Where there is no number.
pub const DASH: &str = "-";
