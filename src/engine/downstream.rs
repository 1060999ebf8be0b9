//! Questions on a downstream (`proxy-downstream`): guests that believe more to be on their link than is
//! there are answered with this host's link-layer address, so that what they send comes here and is
//! forwarded. It is the other half of RFC 4389, and each kind of target has its own way:
//!
//! 1. the upstream's gateway, also a link-local one;
//! 2. addresses of the host on other interfaces;
//! 3. guests behind another downstream;
//! 4. whatever else is on the upstream's link.
//!
//! A guest's Duplicate Address Detection is never answered (facts.md: it would fail), and neither is a
//! question for what is on the asker's own link: who is there answers for itself.

use core::net::Ipv6Addr;

use super::Engine;
use super::Event;
use super::answer::Asker;
use super::bindings::Upstream;
use super::facts::IfIndex;
use super::policy::{Answer, Source};
use super::question::{MAX_ASKERS, Verdict};
use super::ranges::RangeId;
use super::targets::State;
use super::time::Time;
use super::view::Watch;
use crate::wire::{DropReason, Solicitation};

impl Engine {
    /// True if guests on this link are answered.
    pub(super) fn answers_guests_on(&self, link: IfIndex) -> bool {
        !self.neighbors.upstreams_of(link).is_empty()
    }

    /// A guest asks, and does not mean itself.
    pub(super) fn guest_asks(&mut self, link: IfIndex, solicitation: &Solicitation, now: Time) {
        let asker = Asker::of(link, solicitation);
        if self.watch == Watch::Questions {
            self.tell(Event::Solicited(solicitation.target, asker));
        }
        let verdict = self.question_once_returnable(asker, solicitation.target, now);
        self.count(solicitation.target, &asker, verdict);
    }

    /// An answer is a promise that packets arrive, and that the replies do. One that has just been heard
    /// for the first time is answered when the way back to it is in the kernel.
    fn question_once_returnable(
        &mut self,
        asker: Asker,
        target: Ipv6Addr,
        now: Time,
    ) -> Result<Verdict, DropReason> {
        self.settle_routes();
        if !self.routes.is_under_way(&self.routes.guest(asker.address, asker.link)) {
            return self.question_of_guest(asker, target, now);
        }
        let waiting = self.unreturned.entry(asker.address).or_default();
        if !waiting.contains(&(asker, target)) {
            if waiting.len() >= MAX_ASKERS {
                return Err(DropReason::AskersFull);
            }
            waiting.push((asker, target));
        }
        Ok(Verdict::Asked)
    }

    /// The kernel has said what became of a guest's route: what it has asked is answered, also if that was
    /// refused, because then there may be another way.
    pub(super) fn answer_unreturned(&mut self, guest: Ipv6Addr, now: Time) {
        for (asker, target) in self.unreturned.remove(&guest).unwrap_or_default() {
            let verdict = self.question_of_guest(asker, target, now);
            self.count(target, &asker, verdict);
        }
    }

    pub(super) fn question_of_guest(
        &mut self,
        asker: Asker,
        target: Ipv6Addr,
        now: Time,
    ) -> Result<Verdict, DropReason> {
        // RFC 4861 §7.2.3: for "a valid unicast or anycast address assigned to the receiving
        // interface" the kernel answers.
        if self.links.has(asker.link, target) {
            return Err(DropReason::NotUpstream);
        }
        let upstreams = self.neighbors.upstreams_of(asker.link);
        if upstreams.iter().any(|upstream| self.routes.is_gateway_of(*upstream, target)) {
            return self.answer(&asker, target);
        }
        // Others of these are on the asker's own link.
        if target.is_unicast_link_local() {
            return Err(DropReason::NotUpstream);
        }
        let is_on_link = self.neighbors.link_of(target).is_some_and(|link| upstreams.contains(&link));
        if self.links.is_of_host(target) {
            let can_be_used = self.links.owners(target).next().is_some();
            return if is_on_link && can_be_used {
                self.answer(&asker, target)
            } else {
                Err(DropReason::NotUpstream)
            };
        }
        let upstream = self.upstream_towards(target).filter(|upstream| upstreams.contains(upstream));
        let Some(range) = self.ranges.find(target) else {
            let upstream = upstream.ok_or(DropReason::NotUpstream)?;
            return self.question_neighbor(asker, target, upstream, now);
        };
        if self.ranges.excludes(range, target) {
            return Err(DropReason::Excluded);
        }
        let policy = &self.policy.ranges[range.0];
        if policy.looks_for_guests() {
            return self.question_other_guest(asker, target, (range, upstream), now);
        }
        if policy.answer == Answer::Always {
            // All of it is behind its downstreams, also behind that of the asker if it is one.
            if self.behind(range, target).contains(asker.link) {
                return Err(DropReason::NotUpstream);
            }
            self.check_downstream(range)?;
            return self.answer(&asker, target);
        }
        let upstream = upstream.ok_or(DropReason::NeverAnswered)?;
        self.question_neighbor(asker, target, upstream, now)
    }

    /// The target is of a range, so it may be a guest; where the upstream's link has the same prefix,
    /// it may be there as well.
    fn question_other_guest(
        &mut self,
        asker: Asker,
        target: Ipv6Addr,
        (range, upstream): (RangeId, Option<IfIndex>),
        now: Time,
    ) -> Result<Verdict, DropReason> {
        let state = self.targets.get(target);
        if let Some(State::Live(live)) = state {
            let live = *live;
            let verdict = self.answer_once_routed(asker, target, live.link)?;
            self.confirm_if_old(target, &live, now);
            return Ok(verdict);
        }
        let tries = if state == Some(&State::Absent) { 1 } else { self.policy.timers.retries };
        let is_probing = matches!(state, Some(State::Probing(_)));
        let behind = self.behind(range, target);
        let may_be_elsewhere = behind.iter().any(|link| *link != asker.link && self.can_probe(*link))
            || self.is_routed_to_layer_3(range, target);
        let is_own = behind.contains(asker.link);
        match upstream {
            // Whoever is found first is answered for. The asker waits in one place only, so that he gets
            // one answer.
            Some(upstream) => {
                if may_be_elsewhere && !is_probing && !self.neighbors.is_live(target) {
                    let share = self.share_of(&asker);
                    let _ = self.seek(target, range, (tries, share), Vec::new(), now);
                }
                self.question_neighbor(asker, target, upstream, now)
            }
            None if is_own && !may_be_elsewhere => Err(DropReason::NotUpstream),
            None if is_probing => self.wait(asker, target),
            None => self.ask_downstream(asker, target, range, tries, now),
        }
    }

    /// What an answer on this downstream takes from it.
    ///
    /// The source follows the scope of the asker, whatever `source` says: that is about the provider. So
    /// does the upstream's R flag, for guests and neighbors, of whom it is not known what they are. For
    /// the gateway, and for addresses of this host, the flag is set as they would set it themselves:
    /// RFC 4861 §7.2.5 has a host drop the default routes by a neighbor that is "no longer a router",
    /// and Linux sets it in its own answers while it forwards, which is what all of this is for.
    pub(super) fn face_towards_guests(&self, link: IfIndex, target: Ipv6Addr) -> Option<Upstream> {
        let upstreams = self.neighbors.upstreams_of(link).iter();
        let upstream = upstreams.filter_map(|upstream| self.bindings.upstream(*upstream)).next()?;
        Some(Upstream {
            link,
            mac: self.links.mac(link)?,
            router: upstream.router || self.routes.is_gateway(target) || self.links.is_of_host(target),
            source: Source::Scope,
            link_local: self.links.link_local(link),
            global: self.links.global(link),
            ..*upstream
        })
    }
}
