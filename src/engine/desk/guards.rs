//! Guards: what guests are held to follows the host and what is heard, and what was dropped is counted and told.

use core::net::Ipv6Addr;
use std::collections::BTreeSet;

use ipnet::Ipv6Net;

use super::identities::Ground;
use super::{Desk, Phase};
use crate::engine::change::Outcome;
use crate::engine::event::Event;
use crate::engine::facts::{IfIndex, IfName};
use crate::engine::guests::{Breach, GuardKey, Guarding, GuestId, Spot, Watched};
use crate::engine::house::House;
use crate::engine::liveness::{Heard, Sign};
use crate::engine::plan::RangeId;
use crate::engine::plan::problem::Problem;
use crate::engine::time::Time;
use crate::wire::Mac;

impl Desk {
    /// What guests are held to follows what has changed since the last look.
    pub(super) fn settle_guards(&mut self, now: Time) {
        // All that one look over the guests brings about goes in one transaction.
        if self.phase != Phase::Serving || self.reviews || !self.house.identities.has_touched_guards() {
            return;
        }
        let (identities, terrain) = self.house.identities();
        let guards = identities.take_guards(&terrain);
        if guards.is_empty() {
            return self.tell_problems();
        }
        for (key, guarded) in guards {
            self.house.keep.want_guard(key, guarded.map(|guarded| Guarding::Guest(guarded.into())));
        }
        if self.house.keep.reserves() != self.house.identities.has_guards() {
            self.reserve_link_locals();
        }
        self.watch_bridges(now);
        self.tell_problems();
    }

    /// The host's own link-local addresses are no guest's.
    pub fn reserve_link_locals(&mut self) {
        let House { identities, keep, host, plan, .. } = &mut self.house;
        if !keep.has_guards() {
            return;
        }
        let gateways = plan.policy.ranges.iter().filter_map(|range| range.gateway);
        let own = host.links.link_locals().map(|address| address.address);
        let reserved: BTreeSet<_> =
            own.chain(gateways).chain(link_local_routers(plan.routers(host))).collect();
        let wanted = identities.has_guards().then(|| Guarding::Reserved(reserved.into_iter().collect()));
        keep.want_guard(GuardKey::Reserved, wanted);
    }

    /// What became of guards.
    pub fn guard_changed(&mut self, keys: &[GuardKey], outcome: &Outcome, now: Time) {
        if self.house.keep.guards_changed(keys, outcome, now) {
            self.tell_problems();
        }
    }

    /// Another program has removed the tables.
    pub fn guard_lost(&mut self) {
        self.house.keep.guards_lost();
    }

    /// So many packets were dropped.
    pub fn guard_dropped(&mut self, dropped: Vec<(GuestId, Breach, u64)>) {
        for (id, breach, packets) in dropped {
            self.house.identities.count_drops(id, breach, packets);
            if let Some(name) = self.house.identities.name(id).map(str::to_owned) {
                self.tell(Event::GuardDropped(name, breach, packets));
            }
        }
    }

    /// Whether a guard keeps this from everybody else: then it says nothing here either. What the kernel has found is no
    /// frame of a guest's.
    pub(super) fn is_dropped(&mut self, target: Ipv6Addr, heard: Heard) -> bool {
        let is_frame = matches!(heard.sign, Sign::Dad | Sign::Asked | Sign::Advertised);
        if !is_frame || !self.house.identities.has_guards() {
            return false;
        }
        let (identities, terrain) = self.house.identities();
        identities.is_dropped((heard.link, heard.mac), target, &terrain)
    }

    /// Guests that are to be guarded and cannot be.
    pub(super) fn unguarded(&self) -> Vec<Problem> {
        let unguarded = self.house.identities.unguarded();
        unguarded.map(|(name, why)| Problem::Unguarded(name.to_owned(), why.clone())).collect()
    }
}

impl House {
    /// Whether this guest is held to its own addresses at this moment, as far as is known.
    pub fn keeps_guard(&self, id: GuestId) -> bool {
        self.keep.keeps_guard(id)
    }

    /// The bridges on which it matters behind which port a guarded guest is.
    pub(super) fn guards_by_port(&mut self) -> BTreeSet<IfIndex> {
        let (identities, terrain) = self.identities();
        identities.watched_bridges(&terrain)
    }
}

impl Watched for Ground<'_> {
    fn exactly(&self, name: &IfName) -> Option<IfIndex> {
        self.host.links.named(name).map(|link| link.index)
    }

    fn spot(&self, link: IfIndex) -> Spot {
        let Some(known) = self.host.links.get(link) else { return Spot::Routed(false) };
        let bridge = known.master.filter(|master| self.host.links.get(*master).is_some_and(|m| m.is_bridge));
        match bridge {
            Some(bridge) => Spot::Port(bridge, known.leads_to_one),
            None if known.is_bridge => Spot::Bridge,
            None if self.host.links.is_layer_3(link) => Spot::NoEthernet,
            None => Spot::Routed(known.leads_to_one),
        }
    }

    fn port_of(&self, bridge: IfIndex, mac: Mac) -> Option<IfIndex> {
        self.host.stations.port(bridge, mac)
    }

    fn guards(&self, prefix: &Ipv6Net) -> bool {
        self.plan.index.around_all(prefix).is_some_and(|range| self.plan.range(range).guard)
    }

    fn every_64(&self) -> Vec<Ipv6Net> {
        let ranges = (0..self.plan.policy.ranges.len()).map(|range| self.plan.range(RangeId(range)).prefix);
        ranges.filter(|prefix| prefix.prefix_len() == 64).collect()
    }

    fn is_reserved(&self, address: Ipv6Addr) -> bool {
        let mut gateways = self.plan.policy.ranges.iter().filter_map(|range| range.gateway);
        self.host.links.is_of_host(address)
            || self.plan.is_router(address, self.host)
            || gateways.any(|gateway| gateway == address)
    }
}

fn link_local_routers(routers: impl IntoIterator<Item = Ipv6Addr>) -> impl Iterator<Item = Ipv6Addr> {
    routers.into_iter().filter(Ipv6Addr::is_unicast_link_local)
}
