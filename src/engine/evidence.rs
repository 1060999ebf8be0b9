//! Signs of life: what a downstream tells about its guests.
//!
//! Guests are not trusted. What one says of itself is enough to be answered for, and to be asked; it
//! is not enough to take another's place, and those of whom there is nothing but their own word are
//! few, and the first to be forgotten.

use core::net::Ipv6Addr;
use std::time::Duration;

use super::facts::{IfIndex, Neighbor, NeighborState};
use super::gateway::NeighborChange;
use super::output::{Loss, Output};
use super::policy::RangeRoutes;
use super::ranges::RangeId;
use super::targets::{Claim, Evidence, Live, Proof, Put, State};
use super::time::Time;
use super::{Engine, Event};
use crate::wire::{Advertisement, DropReason, Mac, Solicitation};

/// One sign of life.
#[derive(Debug, Clone, Copy)]
struct Sign {
    link: IfIndex,
    mac: Mac,
    kind: SignKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SignKind {
    /// It advertised itself: the reply to a probe, or not.
    Advertised,
    /// It asked for something else.
    Asked,
    /// It asks whether anybody has its address.
    Dad,
    /// The kernel has found it.
    Found,
    /// The kernel found it some time ago.
    WasFound,
}

impl Engine {
    /// An advertisement arrived. On an upstream it makes nothing live, but it may be a rival's.
    pub(super) fn advertisement(&mut self, link: IfIndex, advertisement: &Advertisement, now: Time) {
        let (target, mac) = (advertisement.target, advertisement.owner_mac());
        if self.bindings.upstream(link).is_some() {
            self.heard_gateway(link, advertisement, now);
            self.heard_neighbor(link, advertisement, now);
            return self.heard_rival(link, target, mac, now);
        }
        self.sign_of_life(target, Sign { link, mac, kind: SignKind::Advertised }, now);
    }

    /// A guest asked for something, or checked that nobody else has its address. The latter is never
    /// answered, and the former only where the range says so.
    pub(super) fn heard_solicitation(&mut self, link: IfIndex, solicitation: &Solicitation, now: Time) {
        let (address, kind) = if solicitation.is_dad() {
            (solicitation.target, SignKind::Dad)
        } else {
            self.look_at_mask(link, solicitation);
            (solicitation.source, SignKind::Asked)
        };
        self.sign_of_life(address, Sign { link, mac: solicitation.asker_mac(), kind }, now);
        if kind == SignKind::Asked && self.answers_guests_on(link) {
            return self.guest_asks(link, solicitation, now);
        }
        self.counters.dropped(link, DropReason::NotUpstream);
    }

    /// The kernel's neighbor table says something of a guest.
    pub(super) fn neighbor(&mut self, neighbor: Neighbor, now: Time) {
        let Neighbor { link, address, mac, state } = neighbor;
        self.gateway_entry(link, address, Some(state), now);
        self.found_neighbor(&neighbor, now);
        let sign = |mac, kind| Sign { link, mac, kind };
        match (state, mac) {
            (NeighborState::Reachable | NeighborState::Permanent, Some(mac)) => {
                self.sign_of_life(address, sign(mac, SignKind::Found), now);
            }
            (NeighborState::Stale, Some(mac)) if self.targets.live(address).is_none() => {
                self.sign_of_life(address, sign(mac, SignKind::WasFound), now);
            }
            // The kernel may have asked in vain for a reason of its own: it is asked again first.
            (NeighborState::Failed, _) => {
                let live = self.targets.live(address).copied();
                let is_idle = |live: &Live| live.unanswered == 0 && live.claim.is_none();
                let Some(live) = live.filter(|live| live.link == link && is_idle(live)) else { return };
                // RFC 4861 §7.2.2: "Retransmissions MUST be rate-limited to at most one solicitation
                // per neighbor every RetransTimer milliseconds."
                let earliest = live.seen + self.policy.timers.retransmit;
                if earliest <= now {
                    self.confirm(address, live, now);
                } else {
                    self.targets.postpone(address, earliest);
                }
            }
            _ => {}
        }
    }

    /// A predecessor of this process left routes for its guests: they are answered for at once, and
    /// asked whether they are still there.
    pub(super) fn inherit(&mut self, now: Time) {
        for (target, link) in self.routes.inherited_guests().collect::<Vec<_>>() {
            let range = self.ranges.find(target).filter(|range| self.may_live(*range, target, link));
            let keeps_routes =
                range.is_some_and(|range| self.policy.ranges[range.0].routes == RangeRoutes::Guests);
            if keeps_routes && self.links.is_up(link) {
                let live = Live {
                    link,
                    mac: None,
                    evidence: Evidence::Route,
                    proof: Proof::Replied,
                    since: now,
                    seen: now,
                    unanswered: 0,
                    claim: None,
                };
                if self.put(target, State::Live(live), now) {
                    self.targets.postpone(target, now);
                }
            }
        }
    }

    /// The target is behind another downstream now.
    pub(super) fn move_to(&mut self, target: Ipv6Addr, live: Live, claim: Claim, now: Time) {
        let Claim { link, mac, evidence } = claim;
        if !self.links.is_up(link) {
            let stays = Live { claim: None, unanswered: 0, ..live };
            self.put(target, State::Live(stays), now);
            return;
        }
        let moved = Live {
            link,
            mac: Some(mac),
            evidence,
            proof: Proof::Announced,
            since: live.since,
            seen: now,
            unanswered: 0,
            claim: None,
        };
        self.put(target, State::Live(moved), now);
        self.tell(Event::Moved(target, live.link, link, mac));
    }

    /// Puts a target into a state, with whatever follows for its route, and when the engine comes
    /// back to it. False if there was no room.
    pub(super) fn put(&mut self, target: Ipv6Addr, state: State, now: Time) -> bool {
        let link_of = |state: &State| match state {
            State::Live(live) => Some(live.link),
            State::Probing(_) | State::Absent => None,
        };
        let was = self.targets.live(target).map(|live| (live.link, live.proof));
        let after = link_of(&state);
        self.count_group(target, was.map(|(_, proof)| proof), &state);
        let due = now + self.comes_back_after(&state);
        match self.targets.put(target, state, due) {
            Put::Full => {
                self.uncount_group(target);
                return false;
            }
            Put::Kept(_) => {}
            Put::Instead(evicted, State::Live(live)) => {
                self.guest_route(evicted, Some(live.link), None);
                self.uncount_group(evicted);
                self.tell(Event::Gone(evicted, live.link, Loss::NoRoom));
            }
            Put::Instead(evicted, State::Probing(probing)) => {
                for asker in probing.askers {
                    self.unanswered(evicted, &asker, DropReason::TargetsFull);
                }
            }
            Put::Instead(_, State::Absent) => {}
        }
        self.guest_route(target, was.map(|(link, _)| link), after);
        self.announce_if_proved(target, was, now);
        true
    }

    /// Whether the target could be live on this link, by policy: nothing that a downstream says
    /// concerns an address outside that downstream's ranges, one of the host, or the gateway's.
    fn may_live(&self, range: RangeId, target: Ipv6Addr, link: IfIndex) -> bool {
        self.policy.ranges[range.0].looks_for_guests()
            && self.behind(range, target).contains(link)
            && !self.ranges.excludes(range, target)
            && !self.links.is_of_host(target)
            && !self.routes.is_gateway(target)
    }

    fn sign_of_life(&mut self, address: Ipv6Addr, sign: Sign, now: Time) {
        let Some(range) = self.ranges.find(address) else { return };
        if !self.may_live(range, address, sign.link) || !sign.mac.is_station() {
            return;
        }
        let claim = Claim { link: sign.link, mac: sign.mac, evidence: sign.kind.evidence() };
        if self.contest_neighbor(address, claim, now) {
            return;
        }
        match self.targets.get(address) {
            Some(State::Live(live)) if live.link == sign.link => self.seen_again(address, *live, sign, now),
            Some(State::Live(live)) => self.seen_elsewhere(address, *live, sign, now),
            Some(State::Probing(_)) => self.seen_first(address, sign, sign.kind.proof(Asked::Yes), now),
            Some(State::Absent) | None => self.seen_first(address, sign, sign.kind.proof(Asked::No), now),
        }
    }

    /// Whoever had the address before is silent: it is where somebody said a moment ago.
    pub(super) fn claimed(&mut self, target: Ipv6Addr, Claim { link, mac, evidence }: Claim, now: Time) {
        let kind = match evidence {
            Evidence::Probe => SignKind::Advertised,
            Evidence::Neighbor | Evidence::Route => SignKind::Asked,
            Evidence::Dad => SignKind::Dad,
        };
        self.sign_of_life(target, Sign { link, mac, kind }, now);
    }

    fn seen_first(&mut self, target: Ipv6Addr, sign: Sign, proof: Proof, now: Time) {
        let Sign { link, mac, kind } = sign;
        // One downstream alone does not get all the room for those who merely say that they exist.
        let (most, half) = (self.policy.limits.pending, self.policy.limits.pending.div_ceil(2));
        let is_crowded = self.targets.announced() >= most || self.targets.announced_on(link) >= half;
        if proof == Proof::Announced && is_crowded {
            return;
        }
        let evidence = kind.evidence();
        let mut askers = self.targets.askers_mut(target).map(std::mem::take).unwrap_or_default();
        askers.extend(self.neighbors.remove(target));
        let (unanswered, claim) = (0, None);
        let live = Live { link, mac: Some(mac), evidence, proof, since: now, seen: now, unanswered, claim };
        if self.put(target, State::Live(live), now) {
            if kind == SignKind::Dad {
                self.forget_station(target, link, Some(mac), now);
            }
            self.answer_waiting(&askers, target);
            self.tell(Event::Live(target, link, mac, evidence));
        }
    }

    fn seen_again(&mut self, target: Ipv6Addr, live: Live, sign: Sign, now: Time) {
        let was_asked = if live.unanswered > 0 { Asked::Yes } else { Asked::No };
        let proof = if live.proof == Proof::Replied { live.proof } else { sign.kind.proof(was_asked) };
        let again = match sign.kind {
            // Its own word alone refutes no claim, and a word about the past says nothing now.
            SignKind::Asked if live.claim.is_some() => return,
            // While a claim is being settled whoever has the address is being asked anyway.
            SignKind::Dad if live.claim.is_none() && live.mac.is_some_and(|mac| mac != sign.mac) => {
                return self.expect_another_mac(target, live, sign.mac, now);
            }
            SignKind::Dad | SignKind::WasFound => return,
            kind => Live { evidence: kind.evidence(), proof, seen: now, unanswered: 0, ..live },
        };
        if let Some(claim) = live.claim {
            self.tell(Event::Contested(target, live.link, claim.link, claim.mac));
        }
        self.put(target, State::Live(Live { mac: Some(sign.mac), claim: None, ..again }), now);
    }

    /// A guest checks its address with another MAC than it had, as containers do that are started
    /// anew. Whoever has the address then is asked for by its group: the reply tells us, and also the
    /// kernel, should it be asking too.
    fn expect_another_mac(&mut self, target: Ipv6Addr, live: Live, mac: Mac, now: Time) {
        self.forget_station(target, live.link, Some(mac), now);
        self.put(target, State::Live(Live { mac: None, seen: now, unanswered: 0, ..live }), now);
        self.targets.postpone(target, now + self.end_of_dad());
    }

    /// The station that had this address has gone, or the one to keep is about to have it. Where the kernel
    /// holds another, it would send there what arrives, until it finds out by itself, half a minute later:
    /// a guest that comes without DAD says nothing, and DAD does not tell it (RFC 4861 §7.2.3, "If the
    /// Source Address is the unspecified address, the node MUST NOT create or update the Neighbor Cache
    /// entry"). So that entry goes, and the first packet makes the kernel ask.
    ///
    /// It costs as much as a probe, and counts as one: guests can provoke it.
    pub(super) fn forget_station(&mut self, target: Ipv6Addr, link: IfIndex, keep: Option<Mac>, now: Time) {
        if !self.probe_limit.is_scarce(now) && self.probe_limit.take(now) {
            let change = NeighborChange::Forget(link, target, keep);
            self.outputs.push_back(Output::ChangeNeighbor(change));
        }
    }

    /// Somebody behind another downstream says that it is there now. The one who was there is asked
    /// first; the newer proof wins only if he is silent.
    fn seen_elsewhere(&mut self, target: Ipv6Addr, live: Live, sign: Sign, now: Time) {
        if live.claim.is_some() || sign.kind == SignKind::WasFound {
            return;
        }
        let claim = Claim { link: sign.link, mac: sign.mac, evidence: sign.kind.evidence() };
        if !self.links.is_up(live.link) {
            return self.move_to(target, live, claim, now);
        }
        // Claims are a guest's to make, so they get no more than what is not scarce.
        if !self.probe_limit.is_scarce(now) {
            if sign.kind == SignKind::Dad {
                self.forget_station(target, sign.link, Some(sign.mac), now);
            }
            self.challenge(target, Live { claim: Some(claim), unanswered: 0, ..live }, now);
        }
    }

    /// Forgets a target, and does not want its route any more.
    pub(super) fn forget(&mut self, target: Ipv6Addr) {
        if let Some(State::Live(live)) = self.targets.remove(target) {
            self.guest_route(target, Some(live.link), None);
            self.uncount_group(target);
        }
    }

    /// Whether the target has a route of its own while it is live.
    pub(super) fn keeps_guest_routes(&self, target: Ipv6Addr) -> bool {
        let range = self.ranges.find(target);
        range.is_some_and(|range| self.policy.ranges[range.0].routes == RangeRoutes::Guests)
    }

    fn guest_route(&mut self, target: Ipv6Addr, before: Option<IfIndex>, after: Option<IfIndex>) {
        if before == after || !self.keeps_guest_routes(target) {
            return;
        }
        if let Some(link) = before {
            self.routes.unwant(&self.routes.guest(target, link));
        }
        if let Some(link) = after {
            self.routes.want(self.routes.guest(target, link));
        }
    }

    /// RFC 4862 §5.4: an address is the guest's one retransmission time after its last solicitation, and
    /// until then the guest does not reply. When it is asked first; for what follows see [`Engine::confirm`].
    fn end_of_dad(&self) -> Duration {
        let retransmit = self.policy.timers.retransmit;
        retransmit + retransmit / 64
    }

    pub(super) fn comes_back_after(&self, state: &State) -> Duration {
        let timers = &self.policy.timers;
        match state {
            // The reply tells the kernel too: packets may wait there for a guest that it has asked for
            // too early, and would ask for again a second later.
            State::Live(Live { proof: Proof::Announced, evidence: Evidence::Dad, .. }) => self.end_of_dad(),
            State::Live(Live { proof: Proof::Announced, .. }) => timers.retransmit / 4,
            State::Live(_) => timers.keepalive,
            State::Probing(_) => timers.retransmit,
            State::Absent => timers.absent,
        }
    }
}

/// Whether we have asked for what we were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Yes,
    No,
}

impl SignKind {
    fn evidence(self) -> Evidence {
        match self {
            Self::Advertised => Evidence::Probe,
            Self::Asked | Self::Found | Self::WasFound => Evidence::Neighbor,
            Self::Dad => Evidence::Dad,
        }
    }

    fn proof(self, asked: Asked) -> Proof {
        match (self, asked) {
            (Self::Found, _) | (Self::Advertised, Asked::Yes) => Proof::Replied,
            (Self::Advertised, Asked::No) | (Self::Asked | Self::Dad | Self::WasFound, _) => Proof::Announced,
        }
    }
}
