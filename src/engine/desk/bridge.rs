//! Guests on the upstream's own bridge: what is heard there comes from the router's side or from a guest, and the port
//! tells which.

use core::net::Ipv6Addr;

use super::{Desk, Phase};
use crate::engine::effect::Output;
use crate::engine::facts::IfIndex;
use crate::engine::host::Host;
use crate::engine::host::stations::Side;
use crate::engine::house::House;
use crate::engine::liveness::{Heard, Sign};
use crate::engine::plan::problem::Problem;
use crate::engine::time::Time;
use crate::wire::{Advertisement, DropReason, Mac, Solicitation};

impl Desk {
    /// The bridges that guests share with the provider's router are as the plan has them.
    pub fn watch_bridges(&mut self, now: Time) {
        let House { plan, host, .. } = &mut self.house;
        let Host { gateways, routes, .. } = host;
        gateways.retain(|link, router| routes.is_router_of(link, router));
        let shared = &plan.bindings.shared;
        for bridge in shared {
            let routers = host.routes.routers(*bridge);
            host.stations.keep_routers(*bridge, &routers);
        }
        let mut watched = self.house.guards_by_port();
        let House { plan, host, .. } = &mut self.house;
        watched.extend(&plan.bindings.shared);
        if host.stations.watch(&watched) {
            self.outputs.push_back(Output::Resync);
        }
        if self.phase == Phase::Serving {
            for bridge in self.house.plan.bindings.shared.clone() {
                self.seek_uplink(bridge, now);
            }
        }
    }

    /// Where a station is on a bridge that guests share with the router; `None` on any other link.
    pub(super) fn side_of(&self, link: IfIndex, mac: Mac) -> Option<Side> {
        let House { plan, host, .. } = &self.house;
        plan.is_shared(link).then(|| host.stations.side(link, mac))
    }

    /// The same for the sender of an advertisement, which may be the router's own.
    pub(super) fn side_after(
        &mut self,
        link: IfIndex,
        advertisement: &Advertisement,
        now: Time,
    ) -> Option<Side> {
        let Advertisement { target, source_mac, .. } = *advertisement;
        self.hear_router(link, target, source_mac);
        let side = self.side_of(link, source_mac)?;
        self.on_shared(link, side, now);
        Some(side)
    }

    /// The same for an entry of the kernel's neighbor table.
    pub(super) fn side_of_neighbor(&mut self, link: IfIndex, address: Ipv6Addr, mac: Mac) -> Option<Side> {
        self.hear_router(link, address, mac);
        self.side_of(link, mac)
    }

    /// This was heard of a station. It is of use if the address is one that a default route leads through.
    pub(super) fn hear_router(&mut self, link: IfIndex, address: Ipv6Addr, mac: Mac) {
        let House { plan, host, .. } = &mut self.house;
        if !mac.is_station() || !host.routes.is_router_of(link, address) {
            return;
        }
        host.gateways.learn(link, address, mac);
        if plan.is_shared(link) {
            host.stations.learn_router(link, address, mac);
        }
    }

    /// A frame came from a station of which it is not known on which side it is: maybe the router's is not known.
    pub(super) fn on_shared(&mut self, link: IfIndex, side: Side, now: Time) {
        if side == Side::Unknown {
            self.seek_uplink(link, now);
        }
    }

    /// Tells of bridges on which it is not known where the router is, and of those on which it is known again.
    pub(super) fn follow_uplinks(&mut self, now: Time) {
        let House { plan, host, .. } = &mut self.house;
        if plan.bindings.shared.is_empty() && host.stations.has_lost_none() || self.phase != Phase::Serving {
            return;
        }
        let is_known = |bridge| host.stations.uplinks(bridge).next().is_some();
        if host.stations.has_lost_none() && plan.bindings.shared.iter().copied().all(is_known) {
            return;
        }
        // One that is down has nobody to answer.
        let up = plan.bindings.shared.iter().copied().filter(|bridge| host.links.is_up(*bridge)).collect();
        if host.stations.follow_uplinks(&up, now) {
            self.tell_problems();
        }
    }

    pub(super) fn lost_uplinks(&self) -> Vec<Problem> {
        let host = &self.house.host;
        let lost = host.stations.lost().filter_map(|bridge| host.links.get(bridge));
        lost.map(|bridge| Problem::UplinkUnknown(bridge.name)).collect()
    }

    /// Asks the routers where they are, if that is not known.
    pub(super) fn seek_uplink(&mut self, link: IfIndex, now: Time) {
        let House { host, .. } = &mut self.house;
        if !host.links.is_up(link) || !host.stations.is_to_ask(link, now) {
            return;
        }
        for router in self.house.host.routes.routers(link) {
            let question = self.house.probe_upstream(link, router, None);
            self.outputs.extend(question.map(|question| Output::Solicit(link, question)));
        }
    }

    /// A guest asked for something on the link that it shares with the router, or checked its address: a sign of life.
    /// What it asks for answers for itself there.
    pub(super) fn guest_asks(&mut self, link: IfIndex, asked: &Solicitation, side: Side, now: Time) {
        if side == Side::Guests {
            let (address, sign) =
                if asked.is_dad() { (asked.target, Sign::Dad) } else { (asked.source, Sign::Asked) };
            self.hear(address, Heard { link, mac: asked.asker_mac(), sign }, now);
        }
        self.dropped(Some(asked.target), link, DropReason::NotUpstream);
    }
}
