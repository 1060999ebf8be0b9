//! A question: what becomes of a solicitation, step by step as the design counts them.

use core::net::Ipv6Addr;

use super::answer::{self, Asker};
use super::facts::{IfIndex, LinkLayer, LinkState};
use super::policy::{Answer, Downstream};
use super::ranges::RangeId;
use super::targets::{Live, Probing, SHARES, State};
use super::time::Time;
use super::view::Watch;
use super::{Engine, Event};
use crate::wire::{DropReason, Solicitation};

/// What a question leads to at once.
pub(super) enum Verdict {
    /// The answer is on its way.
    Answered,
    /// The answer, or its absence, will follow.
    Asked,
}

/// The downstreams that a target may be behind.
pub(super) enum Behind<'a> {
    /// The one that the kernel's routes lead to.
    Route(Option<IfIndex>),
    /// Those that the policy names, in ascending order.
    Named(&'a [IfIndex]),
}

impl Engine {
    pub(super) fn solicitation(&mut self, link: IfIndex, solicitation: &Solicitation, now: Time) {
        if self.bindings.upstream(link).is_none() {
            return self.heard_solicitation(link, solicitation, now);
        }
        let asker = Asker::of(link, solicitation);
        if self.watch == Watch::Questions {
            self.tell(Event::Solicited(solicitation.target, asker));
        }
        let verdict = self.question(asker, solicitation.target, now);
        self.count(solicitation.target, &asker, verdict);
    }

    /// A frame that is no message.
    pub(super) fn discarded(&mut self, link: IfIndex, reason: DropReason) {
        self.counters.dropped(link, reason);
        if self.watch == Watch::Questions {
            self.tell(Event::Dropped(None, link, reason));
        }
    }

    /// A question that ends without an answer.
    pub(super) fn unanswered(&mut self, target: Ipv6Addr, asker: &Asker, reason: DropReason) {
        self.counters.dropped(asker.link, reason);
        if self.watch == Watch::Questions {
            self.tell(Event::Dropped(Some(target), asker.link, reason));
        }
    }

    /// What became of a question.
    pub(super) fn count(&mut self, target: Ipv6Addr, asker: &Asker, verdict: Result<Verdict, DropReason>) {
        match verdict {
            Ok(Verdict::Answered) => {
                self.counters.answered(asker.link);
                if self.bindings.upstream(asker.link).is_none() {
                    self.counters.downstream_answers += 1;
                }
                self.targets.answered(target);
                if self.watch == Watch::Questions {
                    self.tell(Event::Answered(target, *asker));
                }
            }
            Ok(Verdict::Asked) => {}
            Err(reason) => self.unanswered(target, asker, reason),
        }
    }

    pub(super) fn question(
        &mut self,
        asker: Asker,
        target: Ipv6Addr,
        now: Time,
    ) -> Result<Verdict, DropReason> {
        if target.is_unicast_link_local() {
            return Err(DropReason::TargetLinkLocal);
        }
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
        match self.targets.get(target) {
            Some(State::Live(live)) => {
                let live = *live;
                if self.rivals.defend(target, now) {
                    return Err(DropReason::Conflict);
                }
                let verdict = self.answer_once_routed(asker, target, live.link)?;
                self.confirm_if_old(target, &live, now);
                Ok(verdict)
            }
            // The provider's router is no guest, also in a range that is the whole link.
            _ if self.routes.is_gateway(target) => Err(DropReason::Excluded),
            Some(State::Probing(_)) => self.wait(asker, target),
            // One look for a target that was absent a moment ago: it costs little, and a guest
            // that came up without a word is found at the first question.
            Some(State::Absent) => self.ask_downstream(asker, target, range, 1, now),
            None => self.ask_downstream(asker, target, range, self.policy.timers.retries, now),
        }
    }

    pub(super) fn wait(&mut self, asker: Asker, target: Ipv6Addr) -> Result<Verdict, DropReason> {
        join(self.targets.askers_mut(target), asker).map(|()| Verdict::Asked)
    }

    /// Asks the downstreams for a target of which nothing is known.
    pub(super) fn ask_downstream(
        &mut self,
        asker: Asker,
        target: Ipv6Addr,
        range: RangeId,
        tries: u8,
        now: Time,
    ) -> Result<Verdict, DropReason> {
        if self.is_routed_to_layer_3(range, target) {
            return self.answer(&asker, target);
        }
        let share = self.share_of(&asker);
        self.seek(target, range, (tries, share), vec![asker], now)
    }

    /// Asks for a target within the limits of whoever caused it, and notes who waits for the answer.
    pub(super) fn seek(
        &mut self,
        target: Ipv6Addr,
        range: RangeId,
        (tries, share): (u8, usize),
        askers: Vec<Asker>,
        now: Time,
    ) -> Result<Verdict, DropReason> {
        if !self.behind(range, target).iter().any(|link| self.can_probe(*link)) {
            return Err(self.why_not_probed(range, target));
        }
        if !self.targets.has_room_for(target) {
            return Err(DropReason::TargetsFull);
        }
        let (limit, half) = (self.policy.limits.pending, self.policy.limits.pending.div_ceil(2));
        if self.targets.probing() >= limit || self.targets.probing_for(share) >= half.max(1) && limit > 1 {
            return Err(DropReason::PendingFull);
        }
        if !self.grants_probe(share, now) {
            return Err(DropReason::ProbeLimit);
        }
        let probing = Probing { left: tries - 1, asked: 0, share, askers };
        if !self.put(target, State::Probing(probing), now) {
            return Err(DropReason::TargetsFull);
        }
        self.ask_round(target, range, Paid::First, now);
        Ok(Verdict::Asked)
    }

    /// Where probes are scarce nobody gets more than half of them, however often he asks; and who has
    /// asked for little so far gets some also when another has just taken all.
    pub(super) fn grants_probe(&mut self, share: usize, now: Time) -> bool {
        if self.shares[share].take(now) {
            self.probe_limit.take_in_debt(now)
        } else {
            !self.probe_limit.is_scarce(now) && self.probe_limit.take(now)
        }
    }

    /// Whose share of the probes a question counts for. Routers and others on an upstream share by their
    /// station; a few may share one, which is fair enough. A guest can pretend to be many stations, so
    /// those of one downstream have one share together.
    pub(super) fn share_of(&self, asker: &Asker) -> usize {
        let fold = |sum: usize, byte: &u8| sum.wrapping_mul(31).wrapping_add(usize::from(*byte));
        let link = asker.link.0 as usize;
        match self.bindings.upstream(asker.link) {
            Some(_) => asker.mac.0.iter().fold(link, fold) % SHARES,
            None => link % SHARES,
        }
    }

    /// Asks for a target of which nobody asked, within the same limits; one that is live is asked
    /// whether it still is.
    pub(super) fn look(&mut self, target: Ipv6Addr, now: Time) {
        match self.targets.get(target) {
            Some(State::Live(live)) => {
                let live = *live;
                if live.unanswered == 0 && live.claim.is_none() {
                    self.confirm(target, live, now);
                }
            }
            Some(State::Probing(_)) => {}
            Some(State::Absent) | None => {
                let Some(range) = self.ranges.find(target) else { return };
                let is_askable = self.policy.ranges[range.0].looks_for_guests()
                    && !self.ranges.excludes(range, target)
                    && !self.links.is_of_host(target)
                    && !self.routes.is_gateway(target)
                    && self.behind(range, target).iter().any(|link| self.can_probe(*link))
                    && self.targets.has_room_for(target)
                    && self.targets.probing() < self.policy.limits.pending
                    && self.probe_limit.take(now);
                let probing =
                    Probing { left: self.policy.timers.retries - 1, asked: 0, share: 0, askers: Vec::new() };
                if is_askable && self.put(target, State::Probing(probing), now) {
                    self.ask_round(target, range, Paid::First, now);
                }
            }
        }
    }

    /// Without Neighbor Discovery a target is there while the kernel routes it there.
    pub(super) fn is_routed_to_layer_3(&self, range: RangeId, target: Ipv6Addr) -> bool {
        let link = self.routes.leads_to(target).filter(|link| self.behind(range, target).contains(*link));
        link.and_then(|link| self.links.get(link))
            .is_some_and(|link| link.state == LinkState::Up && link.layer == LinkLayer::None)
    }

    /// A target that no downstream can be asked for is absent where that is in the nature of the
    /// downstreams, and merely out of reach where they are not there.
    pub(super) fn why_not_probed(&self, range: RangeId, target: Ipv6Addr) -> DropReason {
        let is_silent = |link: &IfIndex| {
            self.links.get(*link).is_some_and(|link| {
                link.state == LinkState::Up && !matches!(link.layer, LinkLayer::Ethernet(_))
            })
        };
        let is_absent = self.behind(range, target).iter().any(is_silent);
        if is_absent { DropReason::Absent } else { DropReason::NoDownstream }
    }

    /// `always` asks nobody whether the target exists, but there must be a way to it: a missing
    /// interface must not turn a range into answers for everything.
    pub(super) fn check_downstream(&self, range: RangeId) -> Result<(), DropReason> {
        let is_there =
            |link: &IfIndex| self.links.get(*link).is_some_and(|link| link.state != LinkState::Down);
        let is_served = match self.policy.ranges[range.0].downstream {
            Downstream::Kernel => true,
            Downstream::Named(_) | Downstream::Matching(_) => {
                self.bindings.ranges[range.0].downstreams.iter().any(is_there)
            }
        };
        is_served.then_some(()).ok_or(DropReason::NoDownstream)
    }

    /// The downstreams that the target may be behind.
    pub(super) fn behind(&self, RangeId(range): RangeId, target: Ipv6Addr) -> Behind<'_> {
        match self.policy.ranges[range].downstream {
            Downstream::Named(_) | Downstream::Matching(_) => {
                Behind::Named(&self.bindings.ranges[range].downstreams)
            }
            Downstream::Kernel => Behind::Route(
                self.routes.leads_to(target).filter(|link| self.bindings.upstream(*link).is_none()),
            ),
        }
    }

    pub(super) fn answer(&mut self, asker: &Asker, target: Ipv6Addr) -> Result<Verdict, DropReason> {
        let guests;
        let face = match self.bindings.upstream(asker.link) {
            Some(upstream) => upstream,
            None => {
                let face = self.face_towards_guests(asker.link, target);
                guests = face.ok_or(DropReason::NotUpstream)?;
                &guests
            }
        };
        let advertisement = answer::advertisement(face, asker, target).ok_or(DropReason::NoSource)?;
        self.outputs.push_back(super::Output::Advertise(asker.link, advertisement));
        Ok(Verdict::Answered)
    }

    /// The target has proved live: answers those who have waited for it.
    pub(super) fn answer_waiting(&mut self, askers: &[Asker], target: Ipv6Addr) {
        self.settle_routes();
        for asker in askers {
            let link = self.targets.live(target).map(|live| live.link);
            let verdict =
                link.ok_or(DropReason::Absent).and_then(|link| self.answer_once_routed(*asker, target, link));
            self.count(target, asker, verdict);
        }
    }

    /// An answer is a promise that the next packet arrives. Were it made before the guest's route is
    /// in, that packet would meet the backstop, and whoever sent it be told that nobody is there.
    pub(super) fn answer_once_routed(
        &mut self,
        asker: Asker,
        target: Ipv6Addr,
        link: IfIndex,
    ) -> Result<Verdict, DropReason> {
        // Who is on the asker's own link answers for itself.
        if link == asker.link {
            return Err(DropReason::NotUpstream);
        }
        if !self.routes.is_under_way(&self.routes.guest(target, link)) {
            return self.answer(&asker, target);
        }
        join(Some(self.held.entry(target).or_default()), asker).map(|()| Verdict::Asked)
    }

    /// The kernel has said what became of a guest's route: whoever waited for it is answered, also
    /// if it was refused, because then there may be another way.
    pub(super) fn answer_held(&mut self, target: Ipv6Addr) {
        if let Some(askers) = self.held.remove(&target) {
            self.answer_waiting(&askers, target);
        }
    }

    /// Answers never wait for it: knowledge that has grown old is confirmed behind the answer.
    pub(super) fn confirm_if_old(&mut self, target: Ipv6Addr, live: &Live, now: Time) {
        let is_old = now.since(live.seen) > self.policy.timers.reachable;
        if is_old && live.unanswered == 0 && live.claim.is_none() {
            self.confirm(target, *live, now);
        }
    }
}

/// Whether the limit was asked already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paid {
    /// For the first probe.
    First,
    /// For none.
    None,
}

impl Behind<'_> {
    /// All of them.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, IfIndex> {
        match self {
            Self::Route(link) => link.as_slice().iter(),
            Self::Named(links) => links.iter(),
        }
    }

    /// Whether this link is one of them.
    pub(super) fn contains(&self, link: IfIndex) -> bool {
        match self {
            Self::Route(known) => *known == Some(link),
            Self::Named(links) => links.binary_search(&link).is_ok(),
        }
    }
}

/// One more waits; once, however often he asks.
pub(super) fn join(askers: Option<&mut Vec<Asker>>, asker: Asker) -> Result<(), DropReason> {
    if let Some(askers) = askers.filter(|askers| !askers.contains(&asker)) {
        if askers.len() >= MAX_ASKERS {
            return Err(DropReason::AskersFull);
        }
        askers.push(asker);
    }
    Ok(())
}

/// As many askers wait for one target. A link has one or two routers; the rest is somebody who
/// wants our memory.
pub(super) const MAX_ASKERS: usize = 8;
