//! The router's end of the upstream link: asks, and knows when nothing more will be answered.
//!
//! Silence is not waited for. The daemon handles frames in the order in which they arrive, so when
//! the sentinel, a question for a target that is always answered, has its answer, everything that
//! was asked before has had its own. Two of them in turn: what the daemon has to do on another
//! socket is done between the one and the other. Where a program in the kernel answers (`backend`), that may be before the
//! daemon hears of an interface at all: so the sentinel is asked for again until there is an answer.

use std::collections::HashMap;
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::advertisement::Advertisement;
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, ICMP, address, receiver, sender, target_of};
use crate::lab::{Lab, ROUTER_MAC, UPSTREAM_GLOBAL, UPSTREAM_LINK_LOCAL, UPSTREAM_MAC};
use crate::solicitation::{Asker, Solicitation, option};

/// The router's end of the upstream link.
pub(crate) struct Link {
    endpoint: Endpoint,
    hears_announcements: bool,
    /// How often each asker has asked for each target.
    asked: HashMap<(Ipv6Addr, Ipv6Addr), u32>,
}

impl Link {
    /// Opens `rt0`.
    pub(crate) fn open(lab: &Lab) -> Self {
        let endpoint = Endpoint::open(&lab.router, "rt0");
        Self { endpoint, hears_announcements: false, asked: HashMap::new() }
    }

    /// Opens `rt0`, and hears also what looks like an announcement.
    pub(crate) fn open_for_all(lab: &Lab) -> Self {
        Self { hears_announcements: true, ..Self::open(lab) }
    }

    /// Asks a question that is to be answered, and checks all of the answer: it comes, it is
    /// right in every field, and there is no second one.
    pub(crate) fn answered(&mut self, question: &Solicitation) -> Advertisement {
        let answer = self.answer(question);
        let mut own = vec![UPSTREAM_LINK_LOCAL, UPSTREAM_GLOBAL];
        // One that asks again and again, as no router does that takes its answers, gets them from other sources.
        if self.asked[&(question.source, question.target)] > 3 {
            own.push(question.target);
        }
        answer.check(question, UPSTREAM_MAC, &own);
        answer
    }

    /// As [`Link::answered`], for policies other than the default: only what holds for all is checked.
    pub(crate) fn answer(&mut self, question: &Solicitation) -> Advertisement {
        self.send(question);
        let first = self.hear(question, PATIENCE);
        let more = self.settle();
        assert!(more.is_empty(), "more than one answer to {question:?}: {more:02x?}");
        Advertisement::parse(&first).unwrap_or_else(|fault| panic!("{fault}\nto {question:?}"))
    }

    /// Asks, and returns every advertisement that the question brought about at once.
    pub(crate) fn advertisements(&mut self, question: &Solicitation) -> Vec<Vec<u8>> {
        self.send(question);
        self.settle()
    }

    /// Asks, and is not answered at once.
    pub(crate) fn unanswered(&mut self, question: &Solicitation) {
        let heard = self.advertisements(question);
        assert!(heard.is_empty(), "answered {question:?} with {heard:02x?}");
    }

    /// Only asks.
    pub(crate) fn send(&mut self, question: &Solicitation) {
        *self.asked.entry((question.source, question.target)).or_default() += 1;
        self.endpoint.send(&question.frame());
    }

    /// Only sends.
    pub(crate) fn send_frame(&mut self, frame: &[u8]) {
        self.endpoint.send(frame);
    }

    /// The first advertisement for the target of a question that goes to its asker.
    pub(crate) fn hear(&mut self, question: &Solicitation, within: Duration) -> Vec<u8> {
        let (mac, to) = question.answer_to();
        let hears_announcements = self.hears_announcements;
        self.endpoint.receive_until(&format!("an answer to {question:?}"), within, |frame| {
            let fits = target_of(frame, ADVERTISEMENT) == Some(question.target)
                && receiver(frame) == mac
                && address(frame, 38) == to
                && (hears_announcements || !is_announcement(frame));
            fits.then(|| frame.to_vec())
        })
    }

    /// What arrives next, if anything does before the deadline.
    pub(crate) fn receive(&mut self, deadline: Instant) -> Option<Vec<u8>> {
        loop {
            let frame = self.endpoint.receive(deadline)?;
            if self.hears_announcements || !is_announcement(&frame) {
                return Some(frame);
            }
        }
    }

    /// Every advertisement up to the moment at which everything asked so far has had its turn.
    pub(crate) fn settle(&mut self) -> Vec<Vec<u8>> {
        self.settle_all().into_iter().filter(|frame| is_advertisement(frame)).collect()
    }

    /// Every frame up to that moment, without the sentinels' and without announcements.
    pub(crate) fn settle_all(&mut self) -> Vec<Vec<u8>> {
        let mut heard = Vec::new();
        let hears_announcements = self.hears_announcements;
        for _ in 0..2 {
            // Another link of the same test hears the answers to this one's.
            let number = SENTINEL.fetch_add(1, Ordering::Relaxed);
            let address = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x5e, number);
            let target = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0x5e, 0, 0, number);
            let start = Instant::now();
            'answered: loop {
                assert!(start.elapsed() < PATIENCE, "there was not the sentinel's answer");
                // With a nonce, so that a program in the kernel leaves it to the daemon, as all that came before it.
                let sentinel = Solicitation::multicast(Asker { mac: ROUTER_MAC, address }, target);
                self.send(&sentinel.with(|question| question.options.extend(option(14, &[7; 6]))));
                let deadline = Instant::now() + ASKED_AGAIN;
                while let Some(frame) = self.endpoint.receive(deadline) {
                    let answered = target_of(&frame, ADVERTISEMENT);
                    if answered == Some(target) {
                        break 'answered;
                    }
                    let is_sentinel = answered.is_some_and(|of| of.segments()[..5] == target.segments()[..5]);
                    if !is_sentinel && (hears_announcements || !is_announcement(&frame)) {
                        heard.push(frame);
                    }
                }
            }
        }
        heard
    }
}

/// Whether a frame is an advertisement that nobody asked for. Those that answer DAD go to all nodes
/// too, but override nothing, unless the policy says so.
pub(crate) fn is_announcement(frame: &[u8]) -> bool {
    target_of(frame, ADVERTISEMENT).is_some()
        && address(frame, 38) == ALL_NODES
        && frame[ICMP + 4] & 0x60 == 0x20
}

/// Whether a frame is an advertisement, right or wrong, that was not sent by the router itself.
fn is_advertisement(frame: &[u8]) -> bool {
    target_of(frame, ADVERTISEMENT).is_some() && sender(frame) != ROUTER_MAC
}

/// The number of the next sentinel.
static SENTINEL: AtomicU16 = AtomicU16::new(1);
/// A daemon that is there has answered by then, unless the machine is very busy.
const ASKED_AGAIN: Duration = Duration::from_secs(5);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
