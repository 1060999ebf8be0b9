//! Before we claim: who has a target on its upstream's own link. The link is asked before anything rewrites what
//! others there believe, and a station that has the address wins.
//!
//! Three things rewrite it: an advertisement with the override flag, a solicitation sent from the target's address, and
//! the defence against a stranger's duplicate address detection.

use core::net::Ipv6Addr;

use super::Desk;
use crate::engine::asker::{Asker, join};
use crate::engine::effect::Output;
use crate::engine::event::Event;
use crate::engine::facts::IfIndex;
use crate::engine::house::House;
use crate::engine::liveness::{Doubt, Owner};
use crate::engine::policy::Answer;
use crate::engine::time::Time;
use crate::wire::{DropReason, Mac};

impl Desk {
    /// A guest has proved to be there, or an address of the host's: it is announced, once the link has been asked.
    pub(super) fn begin_claim(&mut self, target: Ipv6Addr, since: Time, now: Time) {
        let House { plan, manners, guests, .. } = &mut self.house;
        let Some(upstream) = plan.upstream_of(target) else { return };
        if upstream.is_claimed_on() || plan.link_around(target).is_some() {
            if guests.owner(target) == Some(Owner::Unknown) {
                guests.set_owner(target, Owner::Asked);
            }
            manners.announcements.begin(target, guests.number(target), since, now);
            self.house.look_again();
        }
    }

    /// The target was answered for on this upstream, and nothing is known of an owner there: the link is asked. Not
    /// where nothing is to be sent unasked: an answer that overrides nothing does an owner no harm. But the route of a guest
    /// does, where all of the link is in the range.
    pub(super) fn ask_link(&mut self, target: Ipv6Addr, upstream: IfIndex, now: Time) {
        let plan = &self.house.plan;
        let is_silent = plan.upstream(upstream).is_none_or(|up| !up.is_claimed_on());
        if is_silent && plan.link_around(target).is_none()
            || self.house.scene().owner(target, now) != Owner::Unknown
        {
            return;
        }
        // Strangers choose what they ask for in a range that is answered for as a whole.
        let is_guest = self.house.guests.live(target).is_some();
        if is_guest || self.house.manners.announcements.len() < FEW {
            self.set_owner(target, Owner::Asked, now);
            // One that is under way comes to its end, however often the target is asked for meanwhile.
            let number = self.house.guests.number(target);
            if !self.house.manners.announcements.will_ask(target, number) {
                self.announce_again(target, now);
            }
        }
    }

    pub(super) fn announce_again(&mut self, target: Ipv6Addr, now: Time) {
        let House { guests, manners, .. } = &mut self.house;
        manners.announcements.begin(target, guests.number(target), now, now);
        self.house.look_again();
    }

    pub(super) fn set_owner(&mut self, target: Ipv6Addr, owner: Owner, now: Time) {
        let House { guests, manners, .. } = &mut self.house;
        match guests.live(target) {
            Some(_) => guests.set_owner(target, owner),
            None => _ = manners.asked.set(target, owner, now),
        }
    }

    /// A stranger checks whether the address is free, and the link has not been asked yet. Its question asks the link as
    /// ours would: an owner would speak up at once. Where nobody does it is defended, while the stranger still waits.
    pub(super) fn listen(&mut self, asker: Asker, target: Ipv6Addr, now: Time) -> Result<(), DropReason> {
        let checks = &mut self.house.manners.checks;
        if checks.len() >= MOST_CHECKS && !checks.contains_key(&target) {
            return Err(DropReason::AskersFull);
        }
        join(checks.entry(target).or_default(), asker)?;
        self.set_owner(target, Owner::Asked, now);
        // An owner replies to nobody but the one that asks.
        if !asker.address.is_unspecified() && !self.house.manners.announcements.is_asking(target) {
            let question = self.house.probe(asker.link, target, None);
            self.outputs.extend(question.map(|question| Output::Solicit(asker.link, question)));
        }
        let number = self.house.guests.number(target);
        self.house.manners.announcements.listen(target, number, now);
        Ok(())
    }

    /// A stranger checks whether an address is free, and it goes to the stranger. The provider's router gets what is an
    /// address of the host's elsewhere: it may have been away when the link was asked (Docker gives its bridge the
    /// first address of a prefix, and providers give it to their router). What is answered for as a whole is not
    /// defended where the kernel, too, looks for it on the upstream's link. And where two ask the link for the same address
    /// at the same moment RFC 4862 §5.4.3 has both give it up; here the lower link-layer address goes on, and both
    /// sides know which that is.
    pub(super) fn gives_way(&mut self, asker: &Asker, target: Ipv6Addr, now: Time) -> bool {
        if !asker.address.is_unspecified() {
            return false;
        }
        let House { manners, plan, host, .. } = &self.house;
        let is_here = plan.upstream_of(target).is_some_and(|upstream| upstream.link == asker.link);
        let is_routers = || host.links.is_of_host(target) && host.gateways.have(asker.link, asker.mac);
        let is_free = || plan.find(target).is_some_and(|range| plan.is_free(range, target, host));
        if is_here && (is_routers() || is_free()) {
            self.is_taken_by(asker, target, now);
            return true;
        }
        let is_lower = plan.upstream(asker.link).is_some_and(|upstream| asker.mac < upstream.mac);
        let is_asking = manners.announcements.is_asking(target) && !manners.checks.contains_key(&target);
        let gives_way =
            is_lower && is_asking && !manners.rivals.defend(target) && self.is_ours_to_answer(target, now);
        if gives_way {
            self.is_taken_by(asker, target, now);
        }
        gives_way
    }

    /// The station checks the target, and nobody tells it that it is taken.
    fn is_taken_by(&mut self, asker: &Asker, target: Ipv6Addr, now: Time) {
        self.belongs_to(target, asker.link, asker.mac, now);
        self.house.manners.rivals.is_checking(target);
    }

    /// A station that asks for an address does not have it, also if it has said so: a router that answers for all
    /// of its link.
    pub(super) fn asked_by(&mut self, asker: &Asker, target: Ipv6Addr, now: Time) {
        let rivals = &mut self.house.manners.rivals;
        if !asker.address.is_unspecified() && rivals.asks(target, asker.link, asker.mac, now) {
            self.tell(Event::ConflictOver(target, asker.link));
            self.set_owner(target, Owner::Nobody, now);
            self.reroute(target);
            self.announce_again(target, now);
        }
    }

    /// Another station on this upstream has the target, by its own word or the kernel's. Nothing of it is claimed or
    /// answered any more, until the link is silent about it.
    pub(super) fn belongs_to(&mut self, target: Ipv6Addr, link: IfIndex, mac: Mac, now: Time) {
        if !mac.is_station() || self.house.is_our_station(mac) {
            return;
        }
        let House { plan, manners, guests, .. } = &mut self.house;
        if plan.upstream_of(target).is_none_or(|upstream| upstream.link != link) {
            return;
        }
        manners.announcements.stop(target, guests.number(target));
        for asker in manners.checks.remove(&target).unwrap_or_default() {
            self.dropped(Some(target), asker.link, DropReason::Conflict);
        }
        if !self.is_ours_to_answer(target, now) {
            return;
        }
        self.house.counters.conflicts += 1;
        let pause = self.house.written.timers.reachable;
        if self.house.manners.rivals.heard(target, link, mac, pause, now) {
            self.tell(Event::Conflict(target, link, mac));
        }
        self.reroute(target);
        self.doubt(target, Doubt::Rival, now);
    }

    /// The kernel has found another station with this address on an upstream's link. That may be over: the link is
    /// asked.
    pub(super) fn found_on_link(&mut self, target: Ipv6Addr, link: IfIndex, mac: Mac, now: Time) {
        let is_known = self.house.manners.rivals.owner(target) == Some(mac);
        self.belongs_to(target, link, mac, now);
        if !is_known && self.house.manners.rivals.defend(target) {
            self.announce_again(target, now);
        }
    }

    /// Whether the target would be answered for, were there no rival.
    fn is_ours_to_answer(&self, target: Ipv6Addr, now: Time) -> bool {
        let House { plan, host, guests, manners, .. } = &self.house;
        let Some(range) = plan.find(target) else { return false };
        let is_there = match plan.range(range).answer {
            _ if plan.range(range).standby && !self.house.identities.words().is_claimed(target) => false,
            Answer::Never => false,
            Answer::Always => {
                let has_room = manners.rivals.has_room() || manners.rivals.defend(target);
                has_room && plan.check_whole(range, target, host).is_ok()
            }
            Answer::Live => {
                guests.live(target).is_some()
                    || self.house.scene().routers().bring(range, target) && manners.rivals.has_room()
                    || plan.own_target(target, host).is_some()
                    || manners.asked.owner(target, now) != Owner::Unknown
            }
        };
        let upstream = plan.place(range).upstream;
        let is_upstreams = upstream.is_some_and(|upstream| host.links.has(upstream, target));
        is_there && !is_upstreams && !plan.index.excludes(range, target)
    }

    /// The link was asked, and nobody has spoken up.
    pub(super) fn link_is_silent(&mut self, target: Ipv6Addr, now: Time) {
        let House { manners, host, .. } = &mut self.house;
        if manners.rivals.may_return(target, |link, mac| host.gateways.have(link, mac)) {
            manners.rivals.count_silence(target);
            for asker in manners.checks.remove(&target).unwrap_or_default() {
                self.dropped(Some(target), asker.link, DropReason::Conflict);
            }
            return;
        }
        self.set_owner(target, Owner::Nobody, now);
        let link = self.house.plan.upstream_of(target).map(|upstream| upstream.link);
        if let (Some(_), Some(link)) = (self.house.manners.rivals.end(target), link) {
            self.tell(Event::ConflictOver(target, link));
            self.reroute(target);
        }
        for asker in self.house.manners.checks.remove(&target).unwrap_or_default() {
            self.question(asker, target, now);
        }
    }

    /// What is due: rivals that may have gone are asked for again, and checks of strangers that nothing came of end.
    pub(super) fn tick_claims(&mut self, now: Time) {
        for target in self.house.manners.rivals.tick(self.house.written.timers.reachable, now) {
            if self.is_ours_to_answer(target, now) {
                self.announce_again(target, now);
            } else {
                self.house.manners.rivals.end(target);
            }
        }
    }

    /// A stranger's check was answered: it wanted what is ours.
    pub(super) fn refused(&mut self, asker: &Asker, target: Ipv6Addr, now: Time) {
        let until = now + self.house.written.timers.reachable;
        if self.house.manners.rivals.refused(target, asker.link, asker.mac, until) {
            self.tell(Event::Defended(target, asker.link, asker.mac));
        }
    }

    /// Checks whose target is not asked for any more get no answer.
    pub(super) fn end_checks(&mut self) {
        let House { manners, .. } = &mut self.house;
        let announcements = &manners.announcements;
        let is_ended = |target: &Ipv6Addr| !announcements.is_asking(*target);
        let ended: Vec<_> = manners.checks.keys().copied().filter(is_ended).collect();
        for target in ended {
            let askers = self.house.manners.checks.remove(&target).unwrap_or_default();
            askers.iter().for_each(|asker| self.dropped(Some(target), asker.link, DropReason::Absent));
        }
    }
}

/// The link is asked for addresses that are no live guests as long as no more than so many are announced.
const FEW: usize = 64;
/// Targets of which checks of strangers wait at a time.
const MOST_CHECKS: usize = 256;
