//! A responder between a router and a guest: it is asked, and what it sends is heard on both sides.
//!
//! A foreign responder cannot be told to say when it is done. Silence is when it has answered two more questions, which
//! were asked later, and nothing has come for a while after that.

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use crate::cases::{self, Case, Verdict};
use crate::endpoint::Endpoint;
use crate::frame::{ADVERTISEMENT, ICMP, IP, SOLICITATION, address, sender, target_of};
use crate::lab::{GUEST, Lab, ROUTER_MAC};
use crate::responders::{Responder, Running};
use crate::solicitation::{Asker, Solicitation};

/// A responder at work.
pub(crate) struct Bench {
    // Stopped before its host goes.
    _running: Running,
    _lab: Lab,
    upstream: Endpoint,
    downstream: Endpoint,
    askers: u16,
    /// Whether a second asker gets an answer of its own. If not, there is only one.
    pub(crate) answers_each: bool,
    /// Every frame that was heard on the upstream, from the start.
    pub(crate) heard: Vec<Vec<u8>>,
    /// Whether it answers at all.
    pub(crate) answers: bool,
}

/// Tries every clause.
pub(crate) fn examine(responder: &Responder) -> Vec<(Case, Verdict)> {
    let mut bench = Bench::start(responder);
    let mut results = Vec::new();
    for case in cases::all() {
        let verdict = if bench.answers {
            (case.judge)(&mut bench)
        } else {
            Verdict::Unseen("it answers no question".to_owned())
        };
        // What it has taken amiss is not held against it in the next case.
        if matches!(verdict, Verdict::Broken(_)) || !bench.answers_each {
            drop(bench);
            bench = Bench::start(responder);
        }
        results.push((case, verdict));
    }
    results
}

impl Bench {
    fn start(responder: &Responder) -> Self {
        let lab = Lab::veth();
        // The responder's host may have to resolve the asker, and the router's kernel replies.
        let addresses: String =
            (1..=ASKERS).map(|n| format!("addr add {}/64 dev rt0 nodad\n", asker(n).address)).collect();
        lab.router.ip(addresses.trim_end());
        let upstream = Endpoint::open(&lab.router, "rt0");
        let downstream = Endpoint::open(&lab.guest, "eth0");
        let running = responder.start(&lab);
        let mut bench = Self {
            _running: running,
            _lab: lab,
            upstream,
            downstream,
            askers: 0,
            answers_each: true,
            heard: Vec::new(),
            answers: false,
        };
        let start = Instant::now();
        bench.askers = 1;
        while !bench.answers && start.elapsed() < TO_START {
            let question = Solicitation::multicast(asker(1), GUEST);
            bench.send(&question);
            bench.answers = bench.answer_within(&question, AGAIN).is_some();
        }
        let second = bench.question(GUEST);
        bench.answers_each = !bench.answers || bench.answer(&second).is_ok();
        if !bench.answers_each {
            bench.askers = 1;
        }
        bench
    }

    /// Somebody who has not asked yet.
    pub(crate) fn asker(&mut self) -> Asker {
        if self.answers_each {
            self.askers = self.askers % ASKERS + 1;
        }
        asker(self.askers)
    }

    /// How a router resolves.
    pub(crate) fn question(&mut self, target: Ipv6Addr) -> Solicitation {
        Solicitation::multicast(self.asker(), target)
    }

    pub(crate) fn send(&mut self, question: &Solicitation) {
        self.upstream.send(&question.frame());
    }

    /// Sends on the guests' side.
    pub(crate) fn send_downstream(&mut self, question: &Solicitation) {
        self.downstream.send(&question.frame());
    }

    /// The answer to a question, which is asked up to three times, as a router does.
    pub(crate) fn answer(&mut self, question: &Solicitation) -> Result<Vec<u8>, Verdict> {
        for _ in 0..3 {
            self.send(question);
            if let Some(answer) = self.answer_within(question, AGAIN) {
                return Ok(answer);
            }
        }
        Err(Verdict::Broken("it gives no answer within three tries".to_owned()))
    }

    /// Judges the answer to a question.
    pub(crate) fn answers_so(
        &mut self,
        question: &Solicitation,
        judge: impl FnOnce(&[u8]) -> Result<(), String>,
    ) -> Verdict {
        match self.answer(question) {
            Ok(answer) => judge(&answer).map_or_else(Verdict::Broken, |()| Verdict::Kept),
            Err(verdict) => verdict,
        }
    }

    /// Judges whether nothing comes of a frame.
    pub(crate) fn is_silent_to(&mut self, question: &Solicitation) -> Verdict {
        let from = self.heard.len();
        self.send(question);
        if !self.answers_each {
            self.listen(AGAIN);
        }
        let at_once = self.answers_since(from, question);
        if let Err(verdict) = self.settle() {
            return verdict;
        }
        // Where there is but one asker, what came later was for the questions behind.
        let answers = if self.answers_each { self.answers_since(from, question) } else { at_once };
        if answers > 0 { Verdict::Broken("it answers".to_owned()) } else { Verdict::Kept }
    }

    fn answers_since(&self, from: usize, question: &Solicitation) -> usize {
        self.heard[from..].iter().filter(|frame| is_answer(frame, question)).count()
    }

    /// Waits until all that was asked has had its turn.
    pub(crate) fn settle(&mut self) -> Result<(), Verdict> {
        for _ in 0..2 {
            let sentinel = self.question(GUEST);
            self.answer(&sentinel).map_err(|_| {
                Verdict::Broken("after this it answers nobody any more, or not within three tries".to_owned())
            })?;
        }
        self.listen(QUIET);
        Ok(())
    }

    /// Hears the upstream for so long.
    pub(crate) fn listen(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        while let Some(frame) = self.upstream.receive(deadline) {
            self.heard.push(frame);
        }
    }

    /// What comes out on the guests' side in this time, with the moment of each frame.
    pub(crate) fn listen_downstream(&mut self, time: Duration) -> Vec<(Instant, Vec<u8>)> {
        let deadline = Instant::now() + time;
        let mut heard = Vec::new();
        while let Some(frame) = self.downstream.receive(deadline) {
            heard.push((Instant::now(), frame));
        }
        heard
    }

    /// Forgets what is in the queue of the guests' side.
    pub(crate) fn drain_downstream(&mut self) {
        let _ = self.downstream.heard();
    }

    fn answer_within(&mut self, question: &Solicitation, time: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + time;
        while let Some(frame) = self.upstream.receive(deadline) {
            let found = is_answer(&frame, question).then(|| frame.clone());
            self.heard.push(frame);
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

/// Whether a frame answers a question: an advertisement for its target, from the host, to the asker or, if that has no
/// address, to all nodes. What is announced goes to all nodes with the Override flag.
fn is_answer(frame: &[u8], question: &Solicitation) -> bool {
    let to = if question.source.is_unspecified() { ALL_NODES } else { question.source };
    target_of(frame, ADVERTISEMENT) == Some(question.target)
        && sender(frame) != ROUTER_MAC
        && address(frame, IP + 24) == to
        && !(question.source.is_unspecified() && frame[ICMP + 4] & 0x60 == 0x20)
}

/// The probes for a target among frames.
pub(crate) fn probes(frames: &[(Instant, Vec<u8>)], target: Ipv6Addr) -> Vec<(Instant, Vec<u8>)> {
    let of_target = |frame: &[u8]| target_of(frame, SOLICITATION) == Some(target);
    frames.iter().filter(|(_, frame)| of_target(frame)).cloned().collect()
}

fn asker(number: u16) -> Asker {
    Asker { mac: ROUTER_MAC, address: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa, number) }
}

pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ASKERS: u16 = 200;
/// RetransTimer (RFC 4861 §10), twice over.
const AGAIN: Duration = Duration::from_secs(2);
const TO_START: Duration = Duration::from_secs(30);
const QUIET: Duration = Duration::from_millis(300);
