//! A question: what becomes of a solicitation, step by step as the design counts them.

use std::net::Ipv6Addr;

use super::Engine;
use super::answer::{self, Asker};
use super::facts::{IfIndex, LinkLayer, LinkState};
use super::policy::{Answer, Downstream};
use super::ranges::RangeId;
use super::targets::{Live, Probing, State};
use super::time::Time;
use crate::wire::{DropReason, Solicitation};

/// What a question leads to at once.
enum Verdict {
    /// The answer is on its way.
    Answered,
    /// The answer, or its absence, will follow.
    Asked,
}

impl Engine {
    pub(super) fn solicitation(&mut self, link: IfIndex, solicitation: &Solicitation, now: Time) {
        if self.bindings.upstream(link).is_none() {
            return self.heard_solicitation(link, solicitation, now);
        }
        let asker = Asker::of(link, solicitation);
        match self.question(asker, solicitation.target, now) {
            Ok(Verdict::Answered) => self.counters.answered(link),
            Ok(Verdict::Asked) => {}
            Err(reason) => self.counters.dropped(link, reason),
        }
    }

    fn question(&mut self, asker: Asker, target: Ipv6Addr, now: Time) -> Result<Verdict, DropReason> {
        // RFC 4861 §7.2.3: for "a valid unicast or anycast address assigned to the receiving
        // interface" the kernel answers, and DAD that is under way must not be defended against.
        if self.links.has(asker.link, target) {
            return Err(DropReason::UpstreamAddress);
        }
        let range = self.ranges.find(target).ok_or(DropReason::NoRange)?;
        if self.bindings.ranges.get(range.0).and_then(|place| place.upstream) != Some(asker.link) {
            return Err(DropReason::NoRange);
        }
        if self.ranges.excludes(range, target) {
            return Err(DropReason::Excluded);
        }
        match self.policy.ranges[range.0].answer {
            Answer::Never => Err(DropReason::NeverAnswered),
            Answer::Always => {
                self.check_downstream(range)?;
                self.answer(&asker, target)
            }
            // Linux answers on the upstream for the upstream's addresses only.
            Answer::Live if self.links.owners(target).any(|owner| owner != asker.link) => {
                self.answer(&asker, target)
            }
            Answer::Live => self.question_live(asker, target, range, now),
        }
    }

    fn question_live(
        &mut self,
        asker: Asker,
        target: Ipv6Addr,
        range: RangeId,
        now: Time,
    ) -> Result<Verdict, DropReason> {
        match self.targets.get_mut(target).map(|known| &mut known.state) {
            Some(State::Live(live)) => {
                let live = *live;
                let verdict = self.answer(&asker, target)?;
                self.confirm_if_old(target, live, now);
                Ok(verdict)
            }
            Some(State::Probing(probing)) => {
                if probing.askers.contains(&asker) {
                    return Ok(Verdict::Asked);
                }
                if probing.askers.len() >= MAX_ASKERS {
                    return Err(DropReason::AskersFull);
                }
                probing.askers.push(asker);
                Ok(Verdict::Asked)
            }
            // One look for a target that was absent a moment ago: it costs little, and a guest
            // that came up without a word is found at the first question.
            Some(State::Absent) => self.ask_downstream(asker, target, range, 1, now),
            None => self.ask_downstream(asker, target, range, self.policy.timers.retries, now),
        }
    }

    /// Asks the downstreams for a target of which nothing is known.
    fn ask_downstream(
        &mut self,
        asker: Asker,
        target: Ipv6Addr,
        range: RangeId,
        tries: u8,
        now: Time,
    ) -> Result<Verdict, DropReason> {
        let link = self.behind(range, target).ok_or(DropReason::NoDownstream)?;
        match self.links.get(link).map(|link| (link.state, link.layer)) {
            // Without Neighbor Discovery a target is there while the kernel routes it there.
            Some((LinkState::Up, LinkLayer::None)) => {
                return if self.routes.leads_to(target) == Some(link) {
                    self.answer(&asker, target)
                } else {
                    Err(DropReason::Absent)
                };
            }
            // What the host has on its loopback interface has been answered for already.
            Some((_, LinkLayer::Loopback)) => return Err(DropReason::Absent),
            Some((LinkState::Up, LinkLayer::Ethernet(_))) => {}
            _ => return Err(DropReason::NoDownstream),
        }
        if self.targets.probing() >= self.policy.limits.pending {
            return Err(DropReason::PendingFull);
        }
        let probe = self.probe(link, target, None).ok_or(DropReason::NoDownstream)?;
        if !self.probe_limit.take(now) {
            return Err(DropReason::ProbeLimit);
        }
        let state = State::Probing(Probing { left: tries - 1, askers: vec![asker] });
        let due = now + self.policy.timers.retransmit;
        self.targets.put(target, state, due).map_err(|_| DropReason::TargetsFull)?;
        self.send_probe(link, probe);
        Ok(Verdict::Asked)
    }

    /// `always` asks nobody whether the target exists, but there must be a way to it: a missing
    /// interface must not turn a range into answers for everything.
    fn check_downstream(&self, range: RangeId) -> Result<(), DropReason> {
        let is_there = match self.policy.ranges[range.0].downstream {
            Downstream::Kernel => true,
            Downstream::Named(_) => self.bindings.ranges[range.0]
                .downstream
                .and_then(|link| self.links.get(link))
                .is_some_and(|link| link.state != LinkState::Down),
        };
        is_there.then_some(()).ok_or(DropReason::NoDownstream)
    }

    /// The downstream that the target would be behind.
    pub(super) fn behind(&self, RangeId(range): RangeId, target: Ipv6Addr) -> Option<IfIndex> {
        match self.policy.ranges[range].downstream {
            Downstream::Named(_) => self.bindings.ranges.get(range)?.downstream,
            Downstream::Kernel => {
                self.routes.leads_to(target).filter(|link| self.bindings.upstream(*link).is_none())
            }
        }
    }

    fn answer(&mut self, asker: &Asker, target: Ipv6Addr) -> Result<Verdict, DropReason> {
        let upstream = self.bindings.upstream(asker.link).ok_or(DropReason::NotUpstream)?;
        let advertisement = answer::advertisement(upstream, asker, target).ok_or(DropReason::NoSource)?;
        self.outputs.push_back(super::Output::Advertise(asker.link, advertisement));
        Ok(Verdict::Answered)
    }

    /// The target has proved live: answers those who have waited for it.
    pub(super) fn answer_waiting(&mut self, askers: &[Asker], target: Ipv6Addr) {
        for asker in askers {
            match self.answer(asker, target) {
                Ok(_) => self.counters.answered(asker.link),
                Err(reason) => self.counters.dropped(asker.link, reason),
            }
        }
    }

    /// Answers never wait for it: knowledge that has grown old is confirmed behind the answer.
    fn confirm_if_old(&mut self, target: Ipv6Addr, live: Live, now: Time) {
        let is_old = now.since(live.seen) > self.policy.timers.reachable;
        if is_old && live.unanswered == 0 {
            self.confirm(target, live, now);
        }
    }
}

/// As many askers wait for one target. A link has one or two routers; the rest is somebody who
/// wants our memory.
const MAX_ASKERS: usize = 8;
