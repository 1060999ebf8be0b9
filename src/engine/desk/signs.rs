//! Signs of life and of rivals: what is heard on the wire and from the kernel's neighbor table.

use core::net::Ipv6Addr;

use super::{Desk, Said};
use crate::engine::asker::Asker;
use crate::engine::event::Event;
use crate::engine::export::Standing;
use crate::engine::facts::{IfIndex, Neighbor, NeighborState};
use crate::engine::guests;
use crate::engine::host::stations::Side;
use crate::engine::house::House;
use crate::engine::liveness::{Doubt, Heard, Sign};
use crate::engine::plan::Hop;
use crate::engine::time::Time;
use crate::wire::{Advertisement, DropReason, Mac, Solicitation};

impl Desk {
    /// A solicitation arrived: a question on an upstream, a sign of life on a downstream, and a question there too
    /// where guests are answered.
    pub fn solicitation(&mut self, link: IfIndex, solicitation: &Solicitation, now: Time) {
        let (asker, target) = (Asker::of(link, solicitation), solicitation.target);
        if let Some(side) = self.side_of(link, solicitation.source_mac)
            && side != Side::Uplink
        {
            self.on_shared(link, side, now);
            return self.guest_asks(link, solicitation, side, now);
        }
        if self.house.plan.upstream(link).is_some() {
            if solicitation.is_dad() {
                self.station_on_link(link, solicitation.source_mac, now);
            }
            self.solicited(asker, target);
            self.came(link, solicitation, now);
            self.hear_router(link, asker.address, solicitation.source_mac);
            self.note_question(&asker, solicitation, now);
            self.asked_by(&asker, target, now);
            if self.gives_way(&asker, target, now) {
                return self.dropped(Some(target), link, DropReason::Conflict);
            }
            let decision = self.house.scene().decide(&asker, target, now);
            return self.carry_out(decision, asker, target, now);
        }
        // A guest asked for something, or checked that nobody else has its address. The latter is never
        // answered, and the former only where the range says so.
        let (address, sign) =
            if solicitation.is_dad() { (target, Sign::Dad) } else { (solicitation.source, Sign::Asked) };
        let is_answered = sign == Sign::Asked && self.house.answers_guests_on(link);
        let House { masks, plan, host, .. } = &mut self.house;
        if sign == Sign::Asked && !is_answered && masks.look(link, solicitation, plan, host) {
            self.tell(Event::WideMask(address, link, target));
        }
        self.hear(address, Heard { link, mac: solicitation.asker_mac(), sign }, now);
        if !is_answered {
            return self.house.counters.dropped(link, DropReason::NotUpstream);
        }
        self.settle(now);
        self.solicited(asker, target);
        // An answer is a promise that packets arrive, and that the replies do.
        if !self.house.keep.routes.is_under_way(asker.address, link) {
            return self.question(asker, target, now);
        }
        let verdict = self.house.held.hold_back(asker, target).map(|()| Said::Later);
        self.count(target, &asker, verdict, now);
    }

    /// An advertisement arrived.
    pub fn advertisement(&mut self, link: IfIndex, advertisement: &Advertisement, now: Time) {
        let (target, mac) = (advertisement.target, advertisement.owner_mac());
        let Some(upstream) = self.house.plan.upstream(link).copied() else {
            self.hear(target, Heard { link, mac, sign: Sign::Advertised }, now);
            if !advertisement.flags.solicited {
                self.arrived(link, advertisement.source_mac, now);
            }
            return;
        };
        if let Some(side) = self.side_after(link, advertisement, now)
            && side != Side::Uplink
        {
            if side == Side::Guests {
                self.hear(target, Heard { link, mac, sign: Sign::Advertised }, now);
            }
            return;
        }
        self.station_on_link(link, advertisement.source_mac, now);
        self.hear_gateway(&upstream, advertisement, now);
        if self.house.is_our_station(mac) {
            return;
        }
        let is_asked_for = self.house.neighbors.standing(target) != Standing::Unknown;
        if is_asked_for && mac.is_station() && self.house.neighborhood.link_of(target) == Some(link) {
            let (neighbors, ground, budget) = self.house.neighbors();
            neighbors.hear(target, Heard { link, mac, sign: Sign::Advertised }, &ground, budget, now);
        }
        if !advertisement.flags.solicited {
            // Also where the last word is ours: the guest may have gone on meanwhile.
            if self.insists(target, now) {
                return self.announced_elsewhere(target, mac, guests::Crossed::Maybe, now);
            }
            self.announced_elsewhere(target, mac, guests::Crossed::No, now);
        }
        // On an upstream it makes nothing live, but it may be a rival's. Not the word of one that says so of everything,
        // unless it says that it is more than a proxy, and has not asked for it itself.
        let rivals = &self.house.manners.rivals;
        let is_proxied = rivals.is_proxy(link, mac) && !advertisement.flags.override_entry;
        if !is_proxied && !rivals.is_denied(target, link, mac, now) {
            self.belongs_to(target, link, mac, now);
        }
    }

    /// A downstream, or the kernel, says something of a guest.
    pub(super) fn hear(&mut self, target: Ipv6Addr, heard: Heard, now: Time) {
        if !heard.mac.is_station() || self.is_dropped(target, heard) {
            return;
        }
        self.hear_identity((heard.link, heard.mac), target, now);
        self.sighted(heard, now);
        self.hear_hop(target, heard, now);
        if !self.house.plan.may_live(target, heard.link, &self.house.host) {
            return;
        }
        let (neighbors, ground, budget) = self.house.neighbors();
        if !neighbors.contest(target, heard.claim(), &ground, budget, now) {
            let (guests, ground, budget) = self.house.guests();
            guests.hear(target, heard, &ground, budget, now);
        }
    }

    pub fn doubt(&mut self, target: Ipv6Addr, doubt: Doubt, now: Time) {
        let (guests, ground, budget) = self.house.guests();
        guests.doubt(target, doubt, &ground, budget, now);
    }

    /// The kernel's neighbor table says something.
    pub fn neighbor(&mut self, Neighbor { link, address, mac, state }: Neighbor, now: Time) {
        use NeighborState::{Failed, Permanent, Reachable, Stale};
        self.house.manners.entry(link, address, Some(state), now);
        if let (Reachable | Stale, Some(mac)) = (state, mac) {
            self.station_on_link(link, mac, now);
        }
        let side = mac.and_then(|mac| self.side_of_neighbor(link, address, mac));
        match (state, mac) {
            (Reachable | Permanent | Stale, Some(_)) if side == Some(Side::Unknown) => {}
            (Reachable | Permanent, Some(mac)) if side == Some(Side::Uplink) => {
                self.found_on_link(address, link, mac, now);
            }
            (Reachable | Permanent, Some(mac)) if side == Some(Side::Guests) => {
                self.hear(address, Heard { link, mac, sign: Sign::Found }, now);
            }
            (Stale, Some(_)) if side == Some(Side::Uplink) => {}
            (Reachable | Permanent, Some(mac)) => self.found(link, address, mac, now),
            // Of a guest that has left it is of before.
            (Stale, Some(_)) if self.house.identities.is_away(address) => {}
            (Stale, Some(mac)) if self.house.guests.live(address).is_none() => {
                self.hear(address, Heard { link, mac, sign: Sign::WasFound }, now);
            }
            // The kernel may have got no reply for a reason of its own: it is asked again first.
            (Failed, _) => {
                self.doubt_hop(&Hop { link, address }, now);
                self.doubt(address, Doubt::Failed(link), now);
            }
            _ => {}
        }
    }

    /// The kernel has found the address on this link.
    fn found(&mut self, link: IfIndex, address: Ipv6Addr, mac: Mac, now: Time) {
        let heard = Heard { link, mac, sign: Sign::Found };
        let is_known = self.house.neighbors.standing(address) != Standing::Unknown;
        // Half of the room is for those that guests ask for.
        let has_room = is_known || self.house.neighbors.len() < self.house.written.limits.pending / 2;
        let is_there = self.house.neighborhood.link_of(address) == Some(link) && mac.is_station();
        let is_theirs =
            self.house.guests.live(address).is_none() && !self.house.host.links.is_of_host(address);
        if is_there && is_theirs && has_room {
            let (neighbors, ground, budget) = self.house.neighbors();
            neighbors.hear(address, heard, &ground, budget, now);
        }
        self.found_on_link(address, link, mac, now);
        self.hear(address, heard, now);
    }
}
