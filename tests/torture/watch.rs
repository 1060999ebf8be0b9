//! Every advertisement that the host sends on the upstream is judged, all the time.

use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::advertisement::Advertisement;
use crate::endpoint::Endpoint;
use crate::frame::{ADVERTISEMENT, sender, target_of};
use crate::lab::{Lab, UPSTREAM_MAC};
use crate::world::{FLAGS, Village, is_in_a_range};

/// What is wrong, with the round in which it was seen.
#[derive(Clone, Default)]
pub(crate) struct Findings {
    found: Arc<Mutex<Vec<String>>>,
    round: Arc<AtomicU32>,
    judged: Arc<AtomicU64>,
    answers: Arc<Mutex<Vec<(Ipv6Addr, Ipv6Addr)>>>,
}

impl Findings {
    pub(crate) fn round(&self, number: u32) {
        self.round.store(number, Ordering::Relaxed);
    }

    pub(crate) fn violated(&self, what: &str) {
        let line = format!("round {}: {what}", self.round.load(Ordering::Relaxed));
        eprintln!("torture: VIOLATION: {line}");
        self.found.lock().expect("no thread panics with it").push(line);
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.found.lock().expect("no thread panics with it").clone()
    }

    pub(crate) fn judged(&self) -> u64 {
        self.judged.load(Ordering::Relaxed)
    }

    /// Whether this asker has an answer for this target.
    pub(crate) fn is_answered(&self, asker: Ipv6Addr, target: Ipv6Addr) -> bool {
        self.answers.lock().expect("no thread panics with it").contains(&(asker, target))
    }

    fn heard(&self, asker: Ipv6Addr, target: Ipv6Addr) {
        let mut answers = self.answers.lock().expect("no thread panics with it");
        if answers.len() >= KEPT {
            answers.drain(..KEPT / 2);
        }
        answers.push((asker, target));
    }
}

/// Listens from now on.
pub(crate) fn begin(lab: &Lab, village: Village) -> Findings {
    let findings = Findings::default();
    let ours = findings.clone();
    let mut endpoint = Endpoint::open(&lab.router, "rt0");
    thread::spawn(move || {
        loop {
            let Some(frame) = endpoint.receive(Instant::now() + Duration::from_secs(1)) else { continue };
            // What the router sends, true or false, is heard here as well.
            if sender(&frame) == UPSTREAM_MAC
                && let Some(target) = target_of(&frame, ADVERTISEMENT)
            {
                judge(&frame, target, &village, &ours);
            }
        }
    });
    findings
}

fn judge(frame: &[u8], target: Ipv6Addr, village: &Village, findings: &Findings) {
    findings.judged.fetch_add(1, Ordering::Relaxed);
    // The kernel speaks for the host's own addresses on the upstream.
    if !is_in_a_range(target) {
        let is_the_kernels = target.segments()[7] == 2;
        if !is_the_kernels {
            findings.violated(&format!("an advertisement for {target}, which is in no range"));
        }
        return;
    }
    let advertisement = match Advertisement::parse(frame) {
        Ok(advertisement) => advertisement,
        Err(why) => return findings.violated(&format!("a malformed advertisement for {target}: {why}")),
    };
    findings.heard(advertisement.destination, target);
    if frame[FLAGS] & 0x60 == 0x60 {
        findings.violated(&format!("the answer for {target} overrides"));
    }
    match village.empty_for(target) {
        None => findings.violated(&format!("an answer for {target}, which never was anybody's")),
        Some(empty) if empty > FORGOTTEN => findings
            .violated(&format!("an answer for {target}, which has been nobody's for {} s", empty.as_secs())),
        Some(_) => {}
    }
}

/// Longer than a guest that has gone is believed to be there: `reachable`, `keepalive` and three tries, also where the
/// daemon was stopped for a while in between.
const FORGOTTEN: Duration = Duration::from_secs(60);
const KEPT: usize = 4_096;
