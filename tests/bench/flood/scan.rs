//! A scan of dead targets inside the range, and guests that nobody has asked for before it: how many of them are
//! answered meanwhile?

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};
use std::{io, thread};

use lone64::kernel::packet::BATCH;

use super::asker::Asker;
use super::figures::{Figures, What};
use super::guests::Manner;
use super::numbers::{percentile, text};
use super::responder::{Responder, target};

/// One responder under one scan.
#[derive(Debug)]
pub struct Scan {
    /// Who answers.
    pub responder: Responder,
    /// Dead targets per second.
    pub rate: u32,
    /// Whether the guests report their groups.
    pub manner: Manner,
    /// Why there is nothing to show.
    pub problem: Option<String>,
    /// From the first question for each guest to its answer.
    latencies: Vec<Option<Duration>>,
}

/// A guest that was asked for and not answered yet.
struct Waiting {
    since: Instant,
    /// When the asker asks for it again.
    again: Instant,
}

impl Scan {
    /// Nothing yet; what is measured of this responder.
    pub fn all(responder: Responder) -> impl Iterator<Item = Self> {
        // Only lone64 hears reports.
        let both = responder == Responder::Lone64Live;
        let manners = [Some(Manner::Reporting), both.then_some(Manner::Silent)].into_iter().flatten();
        manners.flat_map(move |manner| {
            RATES.map(|rate| Self { responder, rate, manner, problem: None, latencies: Vec::new() })
        })
    }

    /// Scans, and asks for these guests meanwhile, evenly over `duration`; then goes on for as long as the last of them
    /// may take.
    pub fn take(&mut self, asker: &mut Asker, guests: &[Ipv6Addr], duration: Duration) -> io::Result<()> {
        let start = Instant::now();
        let pause = duration / guests.len() as u32;
        let (mut dead, mut next) = (0_u32, 0_u32);
        let mut waiting: BTreeMap<Ipv6Addr, Waiting> = BTreeMap::new();
        while start.elapsed() < ALONE + duration + IN_TIME {
            let due = (start.elapsed().as_secs_f64() * f64::from(self.rate)) as u32;
            let more = due.saturating_sub(dead).min(BATCH as u32);
            asker.ask((dead..dead + more).map(|number| target(DEAD + number)))?;
            dead += more;

            let now = Instant::now();
            if let Some(guest) = guests.get(next as usize).filter(|_| start + ALONE + pause * next <= now) {
                asker.ask([*guest].into_iter())?;
                waiting.insert(*guest, Waiting { since: now, again: now + AGAIN });
                next += 1;
            }
            for (guest, waiting) in waiting.iter_mut().filter(|(_, waiting)| waiting.again <= now) {
                asker.ask([*guest].into_iter())?;
                waiting.again += AGAIN;
            }
            if asker.hear()? > 0 {
                for answered in asker.heard() {
                    if let Some(waiting) = waiting.remove(&answered) {
                        self.latencies.push(Some(waiting.since.elapsed()));
                    }
                }
            }
            waiting.retain(|_, waiting| {
                let is_late = waiting.since.elapsed() > IN_TIME;
                self.latencies.extend(is_late.then_some(None));
                !is_late
            });
            if more == 0 {
                thread::sleep(Duration::from_micros(100));
            }
        }
        self.latencies.extend(waiting.values().map(|_| None));
        Ok(())
    }

    fn share(&self, within: Duration) -> Option<f64> {
        let count = self.latencies.iter().filter(|latency| latency.is_some_and(|l| l < within)).count();
        (!self.latencies.is_empty()).then(|| count as f64 / self.latencies.len() as f64)
    }

    /// As the figures name it.
    pub fn case(rate: u32, manner: Manner) -> String {
        format!("{rate} dead per second, {} guests", manner.name())
    }
}

/// Prints the table, and adds its numbers.
pub fn print(scans: &[Scan], figures: &mut Figures) {
    println!("\nguests that nobody has asked for before, during a scan of dead targets inside the range");
    println!(
        "{:<16} {:>9} {:>10} {:>7} {:>7} {:>8} {:>8}",
        "responder", "dead/s", "guests", "first", "in 1 s", "p50 µs", "p90 µs"
    );
    for scan in scans {
        let (rate, manner) = (text(Some(f64::from(scan.rate)), 0), scan.manner);
        let says = manner.name();
        if let Some(problem) = &scan.problem {
            println!("{:<16} {rate:>9} {says:>10} {problem}", scan.responder);
            continue;
        }
        let (first, in_time) = (scan.share(AGAIN), scan.share(IN_TIME));
        let percent = |share: Option<f64>| text(share.map(|share| share * 100.0), 0) + " %";
        println!(
            "{:<16} {rate:>9} {says:>10} {:>7} {:>7} {:>8} {:>8}",
            scan.responder,
            percent(first),
            percent(in_time),
            text(percentile(&scan.latencies, 50), 0),
            text(percentile(&scan.latencies, 90), 0),
        );
        let case = Scan::case(scan.rate, manner);
        figures.add(scan.responder, What::ScanFirst, &case, first);
        figures.add(scan.responder, What::ScanInTime, &case, in_time);
    }
}

/// Dead targets per second.
pub const RATES: [u32; 3] = [1_000, 5_000, 100_000];
/// Behind all guests; no target is asked for twice.
const DEAD: u32 = 0x10_0000;
/// The scan has been at work for so long when the first guest is asked for.
const ALONE: Duration = Duration::from_millis(300);
/// An asker that was not answered asks again.
const AGAIN: Duration = Duration::from_millis(300);
/// After that it is too late: a router tells the sender that the address is not reachable after three seconds, and
/// people have noticed before.
const IN_TIME: Duration = Duration::from_secs(1);
