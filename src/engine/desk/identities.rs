//! Guests with an identity, and claims: what the machine of [`Guests`](crate::engine::guests::Guests) says is handed on to
//! those who follow.

use core::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::{Desk, Phase};
use crate::engine::effect::Output;
use crate::engine::event::Event;
use crate::engine::export::Why;
use crate::engine::facts::{IfIndex, IfName, KernelRoute, NextHop};
use crate::engine::guests::{
    By, Claim, Covered, Cursor, Ended, Missing, Object, Out, Spot, Terrain, Watched, Word,
};
use crate::engine::host::Host;
use crate::engine::house::House;
use crate::engine::input::Claiming;
use crate::engine::liveness::{Doubt, Evidence, Liveness, Owner, Vouched};
use crate::engine::ours::Ours;
use crate::engine::plan::{Hop, Plan, RangeId};
use crate::engine::policy::Answer;
use crate::engine::time::Time;
use crate::engine::work::Work;
use crate::wire::Mac;

impl Desk {
    /// The administrator, or a program, claims or releases something.
    pub fn claiming(&mut self, claiming: Claiming, now: Time) {
        match claiming {
            Claiming::Remembered(claims) => self.house.identities.remember(claims),
            Claiming::Claim(claim) => {
                // The caller is told before; what has changed since is no reason to do half of it.
                if self.house.may_claim(&claim).is_ok() {
                    self.claim(claim, now);
                }
            }
            Claiming::Several(claims) => {
                for claim in claims {
                    if self.house.may_claim(&claim).is_ok() {
                        self.claim(claim, now);
                    }
                }
            }
            Claiming::Release(object) => self.release_claim(&object, Ended::Released, now),
        }
        self.remember_claims();
    }

    fn claim(&mut self, claim: Claim, now: Time) {
        let object = claim.object.clone();
        let (identities, terrain) = self.house.identities();
        identities.claim(claim, &terrain);
        let link = self.house.identities.claim_of(&object).and_then(|seen| seen.link);
        self.tell(Event::Claimed(object.clone(), link));
        self.follow_identities(now);
        // Also what was live before: others on the link may know it elsewhere.
        for target in self.house.identities.addresses_of(&object) {
            self.announce_claimed(target, now);
        }
        if let (Object::Guest(name), Some(link)) = (&object, link)
            && let Some(id) = self.house.identities.named(name)
        {
            self.announce_gateways(link, id);
        }
    }

    fn release_claim(&mut self, object: &Object, ended: Ended, now: Time) {
        if self.house.identities.release(object).is_some() {
            self.tell(Event::Released(object.clone(), ended));
            self.settle_identities(now);
        }
    }

    /// Claims whose time is over end.
    pub fn tick_identities(&mut self, now: Time) {
        while let Some(object) = self.house.identities.take_over(now) {
            self.tell(Event::Released(object, Ended::Over));
        }
        let (identities, terrain) = self.house.identities();
        identities.tick_moves(&terrain, now);
        self.settle_identities(now);
    }

    /// The place of guests and claims is to be looked at, from here on.
    pub fn begin_review(&mut self, from: Cursor) -> Work {
        self.reviews = true;
        Work::Identities(from)
    }

    /// Looks at the place of guests and claims from here on, at most at so many. Where to go on.
    pub(super) fn review_identities(&mut self, from: Cursor, most: usize, now: Time) -> Option<Cursor> {
        if self.phase != Phase::Serving {
            self.reviews = false;
            return None;
        }
        let (identities, terrain) = self.house.identities();
        let next = identities.settle(from, most, &terrain);
        self.reviews = next.is_some();
        self.settle_identities(now);
        if next.is_none() {
            self.house.keep.pins.want_no_other();
        }
        next
    }

    /// Something was heard from this MAC.
    pub(super) fn hear_identity(&mut self, at: (IfIndex, Mac), address: Ipv6Addr, now: Time) {
        let (identities, terrain) = self.house.identities();
        // The kernel's neighbor table tells of upstreams too.
        if terrain.is_upstream(at.0) {
            return;
        }
        identities.hear(at, address, &terrain);
        identities.observe(at, address, &terrain);
        self.settle_identities(now);
    }

    /// The guest is behind another downstream.
    pub(super) fn identity_moved(&mut self, target: Ipv6Addr, link: IfIndex, now: Time) {
        let (identities, terrain) = self.house.identities();
        identities.moved(target, link, &terrain);
        self.settle_identities(now);
    }

    /// A next hop is not there any more.
    pub(super) fn identity_hop_gone(&mut self, hop: &Hop, now: Time) {
        let (identities, terrain) = self.house.identities();
        identities.hop_is_gone(hop.link, hop.address, &terrain);
        self.settle_identities(now);
    }

    /// Hands on what has come out.
    pub(super) fn settle_identities(&mut self, now: Time) {
        self.follow_identities(now);
        self.remember_claims();
    }

    fn remember_claims(&mut self) {
        let changed = self.house.identities.take_changed();
        if !changed.is_empty() {
            self.outputs.push_back(Output::RememberClaims(changed));
        }
    }

    fn follow_identities(&mut self, now: Time) {
        for out in self.house.identities.take_out() {
            self.export_identity(&out);
            match out {
                Out::Here(target, word) => {
                    self.is_here(target, word, now);
                    self.pin(target, Some(word));
                }
                Out::Gone(target, By::Claim | By::NamedClaim) => {
                    self.pin(target, None);
                    self.house.guests.end(target, Why::Released, now);
                }
                Out::Gone(target, By::Guest) => {
                    self.pin(target, None);
                    // Where it is not elsewhere it may be there all the same, as any other guest.
                    match self.house.identities.is_away(target) {
                        true => self.house.guests.end(target, Why::Elsewhere, now),
                        false => self.doubt(target, Doubt::StationGone, now),
                    }
                }
                Out::Lead(prefix, way) => {
                    let House { keep, host, .. } = &mut self.house;
                    keep.routes.want_way(prefix, way, host);
                }
                Out::Doubt(link, address) => self.doubt_identity_hop(&Hop { link, address }, now),
                Out::Woke(prefix) => self.woke(prefix),
                Out::Slept(prefix) => self.changed_hands(prefix),
                of_a_move => self.follow_move(of_a_move, now),
            }
        }
    }

    fn is_here(&mut self, target: Ipv6Addr, word: Word, now: Time) {
        if self.phase != Phase::Serving {
            return;
        }
        let evidence = match word.by {
            By::Claim | By::NamedClaim => Evidence::Claim,
            By::Guest => Evidence::Guest,
        };
        let House { guests, .. } = &mut self.house;
        let Word { link, mac, .. } = word;
        guests.vouch(target, Vouched { link, mac, evidence }, now);
        if evidence == Evidence::Claim {
            self.announce_claimed(target, now);
        }
    }

    /// The link is not asked first: the administrator says that it is here, and may have taken it from another host.
    pub(super) fn announce_claimed(&mut self, target: Ipv6Addr, now: Time) {
        self.house.manners.rivals.end(target);
        self.set_owner(target, Owner::Nobody, now);
        self.reroute(target);
        if self.house.plan.upstream_of(target).is_some_and(|upstream| upstream.is_claimed_on()) {
            let House { guests, manners, .. } = &mut self.house;
            manners.announcements.begin_claimed(target, guests.number(target), now);
            self.house.look_again();
        }
    }

    /// Another address was heard from the MAC of this next hop: it is asked whether it is still there. Where that cannot be
    /// found out, or is known, the newer one is taken.
    fn doubt_identity_hop(&mut self, hop: &Hop, now: Time) {
        let House { host, next_hops, budget, .. } = &mut self.house;
        match next_hops.machine(hop, host) {
            Some((hops, ground, key)) if hops.live(key).is_some() => {
                hops.doubt(key, Doubt::StationGone, &ground, budget, now);
            }
            _ => self.identity_hop_gone(hop, now),
        }
    }
}

/// What guests with an identity have to know of the host.
pub struct Ground<'a> {
    /// What is served where.
    pub plan: &'a Plan,
    /// What the kernel says.
    pub host: &'a Host,
    /// Which guests are there.
    pub guests: &'a Liveness,
    /// Which routes are ours, so that nothing follows from them.
    pub ours: &'a Ours,
}

impl Terrain for Ground<'_> {
    fn named(&self, name: &IfName) -> Option<IfIndex> {
        // What arrives at a port is its bridge's.
        self.exactly(name).map(|link| match self.spot(link) {
            Spot::Port(bridge, _) => bridge,
            _ => link,
        })
    }

    fn name(&self, link: IfIndex) -> Option<IfName> {
        self.host.links.get(link).map(|link| link.name)
    }

    fn is_up(&self, link: IfIndex) -> bool {
        self.host.links.is_up(link)
    }

    fn is_layer_3(&self, link: IfIndex) -> bool {
        self.host.links.is_layer_3(link)
    }

    fn only_downstream(&self, prefix: &Ipv6Net) -> Result<IfIndex, Missing> {
        let range = self.plan.index.around_all(prefix).ok_or(Missing::Range(*prefix))?;
        match self.plan.behind(range, prefix.addr(), self.host).as_slice() {
            [] => Err(Missing::AnyInterface(*prefix)),
            [only] => Ok(*only),
            _ => Err(Missing::Choice(*prefix)),
        }
    }

    fn check_address(&self, address: Ipv6Addr, link: IfIndex) -> Result<(), Missing> {
        let net = Ipv6Net::from(address);
        let range = self.plan.find(address).ok_or(Missing::Range(net))?;
        if let Some(prefix) = self.anycast_of(address, range) {
            return Err(Missing::Covers(net, Covered::Anycast(prefix)));
        }
        if self.host.links.is_of_host(address) {
            return Err(Missing::Covers(net, Covered::Own(address)));
        }
        if self.plan.is_router(address, self.host) {
            return Err(Missing::Covers(net, Covered::Router(address)));
        }
        let name = self.name(link);
        match self.plan.may_live(address, link, self.host) {
            true => Ok(()),
            false => Err(name.map_or(Missing::AnyInterface(net), |name| Missing::Downstream(net, name))),
        }
    }

    fn check_prefix(&self, prefix: &Ipv6Net, link: IfIndex) -> Result<(), Missing> {
        let Self { plan, host, .. } = self;
        let covered = |covered| Err(Missing::Covers(*prefix, covered));
        let range = plan.index.around_all(prefix).ok_or(Missing::Range(*prefix))?;
        if let Some(inside) = plan.index.inside(prefix).next() {
            return covered(Covered::Range(plan.range(inside).prefix));
        }
        if let Some(own) = host.links.addresses_inside(prefix).next() {
            return covered(Covered::Own(own.address));
        }
        if let Some(router) = plan.routers(host).into_iter().find(|router| prefix.contains(router)) {
            return covered(Covered::Router(router));
        }
        let connected = host.routes.inside(prefix).find(|route| {
            !self.ours.include(route)
                && route.destination.prefix_len() < 128
                && route.next_hop == NextHop::OnLink
                && route.unicast_link().is_some()
        });
        if let Some((destination, name)) =
            connected.and_then(|route| Some((route.destination, self.name(route.unicast_link()?)?)))
        {
            return covered(Covered::Connected(destination, name));
        }
        let has_guests = plan.range(range).looks_for_guests()
            && !plan.index.excludes_all(range, prefix)
            && self.is_behind(range, prefix, link);
        let name = self.name(link);
        match has_guests {
            true => Ok(()),
            false => Err(name.map_or(Missing::Range(*prefix), |name| Missing::Downstream(*prefix, name))),
        }
    }

    fn slash_64s(&self, link: IfIndex) -> Vec<Ipv6Net> {
        let ids = (0..self.plan.policy.ranges.len()).map(RangeId);
        let is_there = |range: &RangeId| {
            let prefix = self.plan.range(*range).prefix;
            prefix.prefix_len() == 64 && self.is_behind(*range, &prefix, link)
        };
        ids.filter(is_there).map(|range| self.plan.range(range).prefix).collect()
    }

    fn stands_by(&self, prefix: &Ipv6Net) -> bool {
        self.plan.index.around_all(prefix).is_some_and(|range| self.plan.range(range).standby)
    }

    fn is_upstream(&self, link: IfIndex) -> bool {
        self.plan.upstream(link).is_some() && !self.plan.is_shared(link)
    }

    fn is_answered_as_a_whole(&self, prefix: &Ipv6Net) -> bool {
        let range = self.plan.index.around_all(prefix);
        range.is_some_and(|range| self.plan.range(range).answer == Answer::Always)
    }

    fn is_live_on(&self, address: Ipv6Addr, link: IfIndex) -> bool {
        self.guests.live(address).is_some_and(|live| live.link == link)
    }
}

impl Ground<'_> {
    /// The prefix of which this is the subnet-router anycast address. RFC 4291 §2.6.1: "All routers are required to
    /// support the Subnet-Router anycast addresses for the subnets to which they have interfaces." RFC 6164 §6 makes an
    /// exception of a /127.
    fn anycast_of(&self, address: Ipv6Addr, range: RangeId) -> Option<Ipv6Net> {
        // Hardly any address is one.
        if address.to_bits().trailing_zeros() < 2 {
            return None;
        }
        let on_link = self.host.links.all_addresses().filter_map(|known| {
            let prefix = Ipv6Net::new(known.address, known.prefix_len).ok()?.trunc();
            (prefix.addr() == address).then_some(prefix)
        });
        let all = on_link.chain([self.plan.range(range).prefix]);
        all.into_iter().find(|prefix| prefix.prefix_len() < 127 && prefix.addr() == address)
    }

    /// Whether guests of this part of a range can be behind this link. Where the kernel's routes decide, ours to the
    /// guest itself does not.
    fn is_behind(&self, range: RangeId, prefix: &Ipv6Net, link: IfIndex) -> bool {
        if !self.plan.range(range).follows_routes() {
            return self.plan.place(range).downstreams.binary_search(&link).is_ok();
        }
        let way =
            self.host.way_without(prefix, self.plan.place(range).upstream, |route| self.ours.include(route));
        way.route.and_then(KernelRoute::unicast_link) == Some(link)
            && !self.plan.bindings.is_on_an_upstream(link)
    }
}
