//! Neighbors of the upstream that guests ask for (`proxy-downstream`, RFC 4389): learned as targets
//! are, on the other side, and forgotten when nobody asks for them any more.
//!
//! Known is who has replied to a question of ours, or whom the kernel has found there. What is merely
//! advertised on the upstream is not kept, because whoever is on that link could advertise without end.
//! Guests confirm their neighbors from time to time; that is when ours are confirmed, behind the
//! answer, so there are no questions of our own accord.

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ipnet::Ipv6Net;
use prefix_trie::PrefixMap;

use super::answer::Asker;
use super::bindings::Place;
use super::facts::{IfIndex, Neighbor, NeighborState};
use super::policy::{Downstream, RangePolicy};
use super::probe::{CHALLENGES, SCARCE};
use super::question::{Verdict, join};
use super::targets::{Claim, Evidence, Live, Probing, Proof, Put, State, Targets};
use super::time::Time;
use super::{Engine, Event};
use crate::wire::{Advertisement, DropReason, Mac, Solicitation};

/// The neighbors that something is known of, and for whom.
#[derive(Debug)]
pub struct Neighbors {
    known: Targets,
    /// The downstreams on which guests are answered, and the upstreams whose neighbors they may mean.
    asked_on: BTreeMap<IfIndex, Vec<IfIndex>>,
    /// What is on-link at these upstreams.
    on_link: PrefixMap<Ipv6Net, IfIndex>,
}

impl Neighbors {
    /// None yet, and room for `limit`.
    pub fn new(limit: usize, seed: [u64; 2]) -> Self {
        Self { known: Targets::new(limit, seed), asked_on: BTreeMap::new(), on_link: PrefixMap::new() }
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Time> {
        self.known.next_due()
    }

    /// How many something is known of.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// The upstreams for whose links this one is answered; none where guests are not answered.
    pub fn upstreams_of(&self, downstream: IfIndex) -> &[IfIndex] {
        self.asked_on.get(&downstream).map_or(&[], Vec::as_slice)
    }

    /// Every downstream on which guests are answered, and the upstreams for whose links.
    pub fn downstreams(&self) -> impl Iterator<Item = (IfIndex, &[IfIndex])> {
        self.asked_on.iter().map(|(link, upstreams)| (*link, upstreams.as_slice()))
    }

    /// The upstream on whose link the address is.
    pub fn link_of(&self, address: Ipv6Addr) -> Option<IfIndex> {
        self.on_link.get_lpm(&Ipv6Net::from(address)).map(|(_, upstream)| *upstream)
    }

    /// What is on the link of this upstream, as far as guests may ask for it.
    pub fn prefixes_of(&self, upstream: IfIndex) -> Vec<Ipv6Net> {
        self.on_link.iter().filter(|(_, link)| **link == upstream).map(|(prefix, _)| prefix).collect()
    }

    /// True for one that is there.
    pub fn is_live(&self, address: Ipv6Addr) -> bool {
        self.known.live(address).is_some()
    }

    /// It is no neighbor any more, if it was one; whoever waits for it.
    pub fn remove(&mut self, address: Ipv6Addr) -> Vec<Asker> {
        match self.known.remove(address) {
            Some(State::Probing(probing)) => probing.askers,
            Some(State::Live(_) | State::Absent) | None => Vec::new(),
        }
    }

    /// The link is down or gone, and they cannot be reached.
    pub fn end_link(&mut self, link: IfIndex) {
        for address in self.known.on_link(link).collect::<Vec<_>>() {
            self.known.remove(address);
        }
    }
}

impl Engine {
    /// Whose guests are answered, and for which links.
    pub(super) fn settle_neighbors(&mut self) {
        let mut asked_on: BTreeMap<IfIndex, Vec<IfIndex>> = BTreeMap::new();
        for (range, place) in self.policy.ranges.iter().zip(&self.bindings.ranges) {
            let Some(upstream) = place.upstream.filter(|_| range.proxy_downstream) else { continue };
            for link in self.downstreams_of(range, place) {
                // Without a link layer nobody asks.
                if self.bindings.upstream(link).is_none() && self.links.mac(link).is_some() {
                    let upstreams = asked_on.entry(link).or_default();
                    if !upstreams.contains(&upstream) {
                        upstreams.push(upstream);
                    }
                }
            }
        }
        let mut on_link = PrefixMap::new();
        for upstream in asked_on.values().flatten().copied().collect::<BTreeSet<_>>() {
            for prefix in self.host(&self.bindings).on_link(upstream) {
                on_link.entry(prefix).or_insert(upstream);
            }
        }
        asked_on.keys().for_each(|link| self.masks.forget(*link));
        (self.neighbors.asked_on, self.neighbors.on_link) = (asked_on, on_link);
    }

    /// The downstreams of a range, also where the kernel's routes decide.
    pub(super) fn downstreams_of(&self, range: &RangePolicy, place: &Place) -> Vec<IfIndex> {
        match range.downstream {
            Downstream::Named(_) | Downstream::Matching(_) => place.downstreams.clone(),
            // A guest may also be where a route for more than the range leads.
            Downstream::Kernel => {
                let around = self.routes.leads_to_all(&range.prefix);
                self.routes.links_inside(&range.prefix).chain(around).collect()
            }
        }
    }

    /// There may be fewer now.
    pub(super) fn limit_neighbors(&mut self, limit: usize) {
        for (target, state) in self.neighbors.known.set_limit(limit) {
            self.neighbor_evicted(target, state);
        }
    }

    /// The upstream on whose link the target is, if packets for it leave by that.
    pub(super) fn upstream_towards(&self, target: Ipv6Addr) -> Option<IfIndex> {
        self.neighbors.link_of(target).filter(|upstream| self.routes.leads_to(target) == Some(*upstream))
    }

    /// A guest asks for what may be on the link of this upstream.
    pub(super) fn question_neighbor(
        &mut self,
        asker: Asker,
        target: Ipv6Addr,
        upstream: IfIndex,
        now: Time,
    ) -> Result<Verdict, DropReason> {
        match self.neighbors.known.get(target) {
            Some(State::Live(live)) => {
                let live = *live;
                let verdict = self.answer(&asker, target)?;
                let is_old = now.since(live.seen) > self.policy.timers.reachable;
                if is_old && live.unanswered == 0 && live.claim.is_none() {
                    self.confirm_neighbor(target, live, self.policy.timers.retransmit, now);
                }
                Ok(verdict)
            }
            Some(State::Probing(_)) => {
                let askers = self.neighbors.known.askers_mut(target);
                join(askers, asker).map(|()| Verdict::Asked)
            }
            Some(State::Absent) => self.ask_upstream(asker, target, upstream, 1, now),
            None => self.ask_upstream(asker, target, upstream, self.policy.timers.retries, now),
        }
    }

    fn ask_upstream(
        &mut self,
        asker: Asker,
        target: Ipv6Addr,
        upstream: IfIndex,
        tries: u8,
        now: Time,
    ) -> Result<Verdict, DropReason> {
        let question = self.solicitation_for(upstream, target, None).filter(|_| self.links.is_up(upstream));
        let question = question.ok_or(DropReason::Absent)?;
        let share = self.share_of(&asker);
        let (limit, half) = (self.policy.limits.pending, self.policy.limits.pending.div_ceil(2));
        let known = &self.neighbors.known;
        if known.probing() >= limit || known.probing_for(share) >= half && limit > 1 {
            return Err(DropReason::PendingFull);
        }
        if !self.grants_probe(share, now) {
            return Err(DropReason::ProbeLimit);
        }
        let probing = Probing { left: tries - 1, asked: 0, share, askers: vec![asker] };
        self.put_neighbor(target, State::Probing(probing), now);
        self.send_probe(upstream, question);
        Ok(Verdict::Asked)
    }

    /// An advertisement on an upstream: that of a neighbor, if guests have asked for it.
    pub(super) fn heard_neighbor(&mut self, link: IfIndex, advertisement: &Advertisement, now: Time) {
        let (target, mac) = (advertisement.target, advertisement.owner_mac());
        let Some(state) = self.neighbors.known.get(target) else { return };
        let is_ours = self.bindings.upstreams.iter().any(|upstream| upstream.mac == mac);
        if is_ours || !mac.is_station() || self.neighbors.link_of(target) != Some(link) {
            return;
        }
        if let State::Live(Live { claim: Some(claim), .. }) = *state {
            self.tell(Event::Contested(target, link, claim.link, claim.mac));
        }
        self.neighbor_is_there(target, link, mac, Evidence::Probe, now);
    }

    /// The kernel's neighbor table says something of a neighbor on an upstream.
    pub(super) fn found_neighbor(&mut self, neighbor: &Neighbor, now: Time) {
        let &Neighbor { link, address, mac, state } = neighbor;
        let (NeighborState::Reachable | NeighborState::Permanent, Some(mac)) = (state, mac) else { return };
        let is_of_this_link = self.neighbors.link_of(address) == Some(link);
        let is_asked_for = self.neighbors.known.get(address).is_some();
        // Half of the room is for those that guests ask for.
        let has_room = self.neighbors.len() < self.policy.limits.pending / 2;
        let is_theirs = self.targets.live(address).is_none() && !self.links.is_of_host(address);
        if is_of_this_link && is_theirs && mac.is_station() && (is_asked_for || has_room) {
            self.neighbor_is_there(address, link, mac, Evidence::Neighbor, now);
        }
    }

    fn neighbor_is_there(
        &mut self,
        target: Ipv6Addr,
        link: IfIndex,
        mac: Mac,
        evidence: Evidence,
        now: Time,
    ) {
        let known = &mut self.neighbors.known;
        let since = known.live(target).map_or(now, |live| live.since);
        let askers = known.askers_mut(target).map(std::mem::take).unwrap_or_default();
        let (mac, proof, unanswered, claim) = (Some(mac), Proof::Replied, 0, None);
        let live = Live { link, mac, evidence, proof, since, seen: now, unanswered, claim };
        self.put_neighbor(target, State::Live(live), now);
        for asker in askers {
            let verdict = self.answer(&asker, target);
            self.count(target, &asker, verdict);
        }
    }

    /// A guest says that it has the address of a neighbor. As among guests, the one who was there is
    /// asked first, and the newer word counts only if he is silent. True if that is being found out.
    pub(super) fn contest_neighbor(&mut self, target: Ipv6Addr, claim: Claim, now: Time) -> bool {
        let Some(live) = self.neighbors.known.live(target).copied() else { return false };
        if live.claim.is_none() && !self.probe_limit.is_scarce(now) {
            let claimed = Live { claim: Some(claim), unanswered: 0, ..live };
            self.confirm_neighbor(target, claimed, self.policy.timers.retransmit / 2, now);
        }
        true
    }

    /// Asks those whose time has come, and forgets those that nobody asks for.
    pub(super) fn neighbors_due(&mut self, now: Time) {
        while let Some(target) = self.neighbors.known.first_due(now) {
            match self.neighbors.known.get(target).cloned() {
                Some(State::Live(live)) => self.live_neighbor_is_due(target, live, now),
                Some(State::Probing(probing)) => self.neighbor_is_asked_again(target, probing, now),
                Some(State::Absent) | None => _ = self.neighbors.remove(target),
            }
        }
    }

    fn live_neighbor_is_due(&mut self, target: Ipv6Addr, live: Live, now: Time) {
        let retransmit = self.policy.timers.retransmit;
        match live.claim {
            Some(_) if live.unanswered < CHALLENGES => {
                self.confirm_neighbor(target, live, retransmit / 2, now);
            }
            Some(claim) => {
                self.neighbors.remove(target);
                self.claimed(target, claim, now);
            }
            None if live.unanswered == 0 => _ = self.neighbors.remove(target),
            None if live.unanswered < self.policy.timers.retries => {
                self.confirm_neighbor(target, live, retransmit, now);
            }
            None => self.put_neighbor(target, State::Absent, now),
        }
    }

    fn neighbor_is_asked_again(&mut self, target: Ipv6Addr, mut probing: Probing, now: Time) {
        let upstream = self.upstream_towards(target);
        let question = upstream.and_then(|up| Some((up, self.solicitation_for(up, target, None)?)));
        let (Some((upstream, question)), Some(left)) = (question, probing.left.checked_sub(1)) else {
            for asker in &probing.askers {
                self.unanswered(target, asker, DropReason::Absent);
            }
            return self.put_neighbor(target, State::Absent, now);
        };
        let retransmit = self.policy.timers.retransmit;
        if !self.probe_limit.take(now) {
            self.neighbors.known.postpone(target, now + SCARCE.min(retransmit / 4));
            return;
        }
        probing.left = left;
        self.put_neighbor(target, State::Probing(probing), now);
        self.send_probe(upstream, question);
    }

    fn confirm_neighbor(&mut self, target: Ipv6Addr, live: Live, pause: Duration, now: Time) {
        // The last try goes to the group: it may have another link-layer address now.
        let is_last = live.unanswered + 1 >= self.policy.timers.retries;
        let question = self.solicitation_for(live.link, target, live.mac.filter(|_| !is_last));
        let mut asked = live;
        match question {
            Some(question) if self.probe_limit.take_in_debt(now) => {
                asked.unanswered += 1;
                self.send_probe(live.link, question);
            }
            // Not asked for want of probes: that is no silence of its.
            Some(_) => {}
            None => asked.unanswered += 1,
        }
        self.neighbors.known.put(target, State::Live(asked), now + pause);
    }

    /// RFC 4861 §7.2.2, as a host on that link would ask: from a global address, because some providers
    /// drop what comes from a link-local one.
    fn solicitation_for(&self, link: IfIndex, target: Ipv6Addr, known: Option<Mac>) -> Option<Solicitation> {
        let source = self.links.global(link).or_else(|| self.links.link_local(link))?;
        Some(Solicitation { source, ..self.probe(link, target, known)? })
    }

    fn put_neighbor(&mut self, target: Ipv6Addr, state: State, now: Time) {
        let due = now + self.comes_back_after(&state);
        // Where all of them are there, the one that has not been heard for longest is asked anew when
        // somebody wants it: that costs a question, and no more.
        if !self.neighbors.known.has_room_for(target)
            && let Some(oldest) = self.neighbors.known.first_due(Time::at(Duration::MAX))
        {
            self.neighbors.known.remove(oldest);
        }
        if let Put::Instead(evicted, state) = self.neighbors.known.put(target, state, due) {
            self.neighbor_evicted(evicted, state);
        }
    }

    fn neighbor_evicted(&mut self, target: Ipv6Addr, state: State) {
        if let State::Probing(probing) = state {
            for asker in probing.askers {
                self.unanswered(target, &asker, DropReason::TargetsFull);
            }
        }
    }
}
