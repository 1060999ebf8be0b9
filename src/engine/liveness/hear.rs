//! Signs of life, and what they are worth.
//!
//! Guests are not trusted. What one says of itself is enough to be answered for, and to be asked; it is not
//! enough to take another's place, and those of whom there is nothing but their own word are few, and the
//! first to be forgotten.

use core::net::Ipv6Addr;

use super::{
    Budget, Claim, Doubt, Evidence, Ground, HINTED, Heard, Kind, Live, Liveness, Out, Owner, Proof, Sign,
    Standing, State, Subject, UNASKED, Vouched, Why,
};
use crate::engine::asker::Asker;
use crate::engine::facts::IfIndex;
use crate::engine::time::Time;
use crate::wire::{DropReason, Mac, group_suffix};

impl Liveness {
    /// Something was heard of a target that may be on that link.
    pub fn hear(
        &mut self,
        target: Ipv6Addr,
        heard: Heard,
        ground: &impl Ground,
        budget: &mut Budget,
        now: Time,
    ) {
        self.pay_back(target, heard, budget);
        if self.subject == Subject::Neighbors {
            return self.is_there(target, heard, now);
        }
        match self.standing(target) {
            Standing::Live(place) => {
                let Some(live) = self.live(target) else { return };
                if place.link == heard.link {
                    self.seen_again(target, live, heard, budget, now);
                } else {
                    self.seen_elsewhere(target, live, heard, ground, budget, now);
                }
            }
            Standing::Probing => self.seen_first(target, heard, heard.sign.proof(true), budget, now),
            Standing::Absent | Standing::Unknown => {
                self.seen_first(target, heard, heard.sign.proof(false), budget, now);
            }
        }
    }

    /// A reply to a probe gives the probe back.
    fn pay_back(&mut self, target: Ipv6Addr, heard: Heard, budget: &mut Budget) {
        let Some(id) = self.table.find(target).filter(|_| heard.sign == Sign::Advertised) else { return };
        match self.table.kind(id) {
            Kind::Probing => {
                let share = self.table.probing(id).filter(|probing| probing.spent > 0).map(|p| p.share);
                match share {
                    Some(HINTED) => budget.hints.confirm(group_suffix(target), heard.link),
                    Some(UNASKED) => {
                        budget.hints.confirm(group_suffix(target), heard.link);
                        budget.give_back(None);
                    }
                    Some(share) => budget.give_back(Some(share)),
                    None => {}
                }
            }
            Kind::Absent => {}
            _ => {
                if self.table.live(id).is_some_and(|live| live.unanswered > 0) {
                    budget.give_back(None);
                }
            }
        }
    }

    /// A neighbor on the upstream: its word, or the kernel's, is enough.
    fn is_there(&mut self, target: Ipv6Addr, heard: Heard, now: Time) {
        let before = self.live(target);
        if let Some(Live { link, claim: Some(claim), .. }) = before {
            self.out.push(Out::Contested(target, link, claim));
        }
        let live =
            Live { since: before.map_or(now, |live| live.since), ..first_seen(heard, Proof::Replied, now) };
        self.put(target, State::Live(live), Why::Heard, now);
    }

    /// A predecessor of this process left a route to this guest: it is answered for at once, and asked whether
    /// it is still there.
    pub fn inherit(&mut self, target: Ipv6Addr, link: IfIndex, now: Time) {
        let live = Live {
            link,
            mac: None,
            evidence: Evidence::Route,
            proof: Proof::Replied,
            was_proved: true,
            since: now,
            seen: now,
            unanswered: 0,
            claim: None,
        };
        self.set(target, Some(State::Live(live)), now, Why::Inherited);
        // It was ours a moment ago: the link need not be asked.
        self.set_owner(target, Owner::Nobody);
    }

    /// The administrator says that the target is there.
    pub fn vouch(&mut self, target: Ipv6Addr, vouched: Vouched, now: Time) {
        let Vouched { link, mac, evidence } = vouched;
        let before = self.live(target);
        let known = before.filter(|live| live.link == link).and_then(|live| live.mac);
        let live = Live {
            link,
            mac: mac.or(known),
            evidence,
            proof: Proof::Replied,
            was_proved: true,
            since: before.map_or(now, |live| live.since),
            seen: now,
            unanswered: 0,
            claim: None,
        };
        self.put(target, State::Live(live), Why::Vouched, now);
    }

    fn seen_first(&mut self, target: Ipv6Addr, heard: Heard, proof: Proof, budget: &mut Budget, now: Time) {
        // One downstream alone does not get all the room for those who merely say that they exist.
        let (most, half) = (self.pending, self.pending.div_ceil(2));
        let is_crowded =
            self.table.count(Kind::Announced) >= most || self.table.announced_on(heard.link) >= half;
        if proof == Proof::Announced && is_crowded {
            return;
        }
        let is_in = self.put(target, State::Live(first_seen(heard, proof, now)), Why::Heard, now);
        if is_in && heard.sign == Sign::Dad {
            self.forget_station(target, heard.link, Some(heard.mac), budget, now);
        }
    }

    fn seen_again(&mut self, target: Ipv6Addr, live: Live, heard: Heard, budget: &mut Budget, now: Time) {
        let is_awaited = self.has_askers(target);
        match heard.sign {
            // Who waits for its reply does not wait for ever because it talks, with whatever MAC.
            Sign::Asked if is_awaited && live.mac != Some(heard.mac) => return,
            // Its own word alone refutes no claim, and a word about the past says nothing now.
            Sign::Asked if live.claim.is_some() => return,
            // While a claim is being settled, the target is being asked anyway.
            Sign::Dad if live.claim.is_none() && live.mac.is_some_and(|mac| mac != heard.mac) => {
                return self.expect_another_mac(target, live, heard.mac, budget, now);
            }
            Sign::Dad | Sign::WasFound => return,
            Sign::Advertised | Sign::Asked | Sign::Found => {}
        }
        if let Some(claim) = live.claim {
            self.out.push(Out::Contested(target, live.link, claim));
        }
        let was_asked = live.unanswered > 0;
        let proof = if live.proof == Proof::Replied { live.proof } else { heard.sign.proof(was_asked) };
        let again = Live {
            mac: Some(heard.mac),
            evidence: heard.sign.evidence(),
            proof,
            was_proved: live.was_proved || proof == Proof::Replied,
            seen: now,
            unanswered: 0,
            claim: None,
            ..live
        };
        self.put(target, State::Live(again), Why::Heard, now);
        if heard.sign != Sign::Asked || is_awaited {
            self.confirmed(target);
        }
    }

    fn has_askers(&mut self, target: Ipv6Addr) -> bool {
        let probing = self.table.find(target).and_then(|id| self.table.probing_mut(id));
        probing.is_some_and(|probing| !probing.askers.is_empty())
    }

    /// It is there: those who waited for that are told.
    fn confirmed(&mut self, target: Ipv6Addr) {
        let Some(id) = self.table.find(target) else { return };
        let waited = self.table.take_askers(id);
        if !waited.is_empty() {
            self.out.push(Out::Confirmed(target, waited));
        }
    }

    /// A guest checks its address with another MAC than it had, as containers do that are started again.
    /// The one that has the address then is asked for by its group: the reply tells us, and also the kernel,
    /// should it be asking too.
    fn expect_another_mac(&mut self, target: Ipv6Addr, live: Live, mac: Mac, budget: &mut Budget, now: Time) {
        self.forget_station(target, live.link, Some(mac), budget, now);
        let expected = Live { mac: None, seen: now, unanswered: 0, ..live };
        self.set(target, Some(State::Live(expected)), now + self.end_of_dad(), Why::Heard);
    }

    /// The station that had this address has gone, or the one to keep is about to have it. Where the kernel
    /// holds another, it would send there what arrives, until it finds out by itself, half a minute later:
    /// a guest that comes without DAD says nothing, and DAD does not tell it (RFC 4861 §7.2.3, "If the
    /// Source Address is the unspecified address, the node MUST NOT create or update the Neighbor Cache
    /// entry"). So that entry goes, and the first packet makes the kernel ask.
    ///
    /// It costs as much as a probe, and counts as one: guests can provoke it.
    pub(super) fn forget_station(
        &mut self,
        target: Ipv6Addr,
        link: IfIndex,
        keep: Option<Mac>,
        budget: &mut Budget,
        now: Time,
    ) {
        if budget.take_if_plenty(now) {
            self.out.push(Out::Forget(target, link, keep));
        }
    }

    /// A station behind another downstream says that it has the address now. The one that had it is asked
    /// first; the newer word wins only if that one is silent.
    fn seen_elsewhere(
        &mut self,
        target: Ipv6Addr,
        live: Live,
        heard: Heard,
        ground: &impl Ground,
        budget: &mut Budget,
        now: Time,
    ) {
        if live.claim.is_some() || heard.sign == Sign::WasFound || ground.fixes(target, live.link) {
            return;
        }
        if !ground.is_up(live.link) {
            return self.move_to(target, live, heard.claim(), ground, now);
        }
        // Claims are a guest's to make, so they get no more than what is not scarce.
        if !budget.is_scarce(now) {
            if heard.sign == Sign::Dad {
                self.forget_station(target, heard.link, Some(heard.mac), budget, now);
            }
            let claimed = Live { claim: Some(heard.claim()), unanswered: 0, ..live };
            self.challenge(target, claimed, ground, budget, now);
        }
    }

    /// A guest says that it has the address of a neighbor. As among guests, the one that was there is asked
    /// first, and the newer word counts only if that one is silent. True if that is being found out.
    pub fn contest(
        &mut self,
        target: Ipv6Addr,
        claim: Claim,
        ground: &impl Ground,
        budget: &mut Budget,
        now: Time,
    ) -> bool {
        let Some(live) = self.live(target) else { return false };
        if live.claim.is_none() && !budget.is_scarce(now) {
            let claimed = Live { claim: Some(claim), unanswered: 0, ..live };
            self.challenge(target, claimed, ground, budget, now);
        }
        true
    }

    /// The target is behind another downstream now.
    pub(super) fn move_to(
        &mut self,
        target: Ipv6Addr,
        live: Live,
        claim: Claim,
        ground: &impl Ground,
        now: Time,
    ) {
        if !ground.is_up(claim.link) {
            let stays = Live { claim: None, unanswered: 0, ..live };
            self.put(target, State::Live(stays), Why::Heard, now);
            return;
        }
        let heard = claim.heard();
        let moved = Live {
            since: live.since,
            was_proved: live.was_proved,
            ..first_seen(heard, Proof::Announced, now)
        };
        self.put(target, State::Live(moved), Why::Moved, now);
    }

    /// There is a reason to ask a live target whether it is still there.
    pub fn doubt(
        &mut self,
        target: Ipv6Addr,
        doubt: Doubt,
        ground: &impl Ground,
        budget: &mut Budget,
        now: Time,
    ) {
        let Some(live) = self.live(target) else { return };
        match (doubt, live.claim) {
            // The place where it was is gone, by the kernel's word.
            (Doubt::StationGone, Some(claim)) if self.subject == Subject::Guests => {
                self.move_to(target, live, claim, ground, now);
            }
            (Doubt::StationGone, None) => self.ask_once_more(target, live, ground, budget, now),
            (Doubt::Failed(link), _) if live.link == link => self.ask_soon(target, live, ground, budget, now),
            (Doubt::Rival, _) => self.ask_soon(target, live, ground, budget, now),
            (Doubt::Wanted, _) if live.is_idle() => self.confirm(target, live, ground, budget, now),
            (Doubt::StationGone | Doubt::Failed(_) | Doubt::Wanted, _) => {}
        }
    }

    /// A stranger checks that nobody has the address of a live target. The target is asked first, because it may
    /// have gone there; it is defended when it replies. False if it was heard so lately, or probes are so scarce,
    /// that it is defended at once.
    pub fn ask_before_defending(
        &mut self,
        target: Ipv6Addr,
        stranger: Asker,
        share: usize,
        ground: &impl Ground,
        budget: &mut Budget,
        now: Time,
    ) -> Result<bool, DropReason> {
        let Some(live) = self.live(target) else { return Ok(false) };
        let was_heard_lately = live.proof == Proof::Replied && now.since(live.seen) < self.timers.retransmit;
        if was_heard_lately || !ground.can_ask(live.link) {
            return Ok(false);
        }
        if live.is_idle() {
            if !budget.grant(share, now) {
                return Ok(false);
            }
            self.ask_paid(target, live, live.mac, self.timers.retransmit, now);
        }
        self.wait(target, stranger).map(|()| true)
    }

    /// Asks a live target that is idle, as soon as that may be. RFC 4861 §7.2.2: "Retransmissions MUST be
    /// rate-limited to at most one solicitation per neighbor every RetransTimer milliseconds."
    fn ask_soon(
        &mut self,
        target: Ipv6Addr,
        live: Live,
        ground: &impl Ground,
        budget: &mut Budget,
        now: Time,
    ) {
        if !live.is_idle() {
            return;
        }
        let earliest = live.seen + self.timers.retransmit;
        if earliest <= now {
            self.confirm(target, live, ground, budget, now);
        } else if let Some(id) = self.table.find(target)
            && earliest < self.table.due_at(id)
        {
            self.table.postpone(id, earliest);
        }
    }

    /// Everything known from this number of an entry on is looked at, `most` entries at a time: those whose
    /// station a bridge has forgotten are asked. Where to go on; `None` at the end.
    pub fn doubt_stations(
        &mut self,
        is_gone: impl Fn(IfIndex, Mac) -> bool,
        (mut from, most): (u32, usize),
        ground: &impl Ground,
        budget: &mut Budget,
        now: Time,
    ) -> Option<u32> {
        for _ in 0..most {
            let (next, id) = self.table.known_from(from)?;
            let station = self.table.live(id).and_then(|live| Some((live.link, live.mac?)));
            if station.is_some_and(|(link, mac)| is_gone(link, mac)) {
                let target = self.table.address(id);
                self.doubt(target, Doubt::StationGone, ground, budget, now);
            }
            from = next;
        }
        Some(from)
    }
}

fn first_seen(heard: Heard, proof: Proof, now: Time) -> Live {
    Live {
        link: heard.link,
        mac: Some(heard.mac),
        evidence: heard.sign.evidence(),
        proof,
        was_proved: proof == Proof::Replied,
        since: now,
        seen: now,
        unanswered: 0,
        claim: None,
    }
}
