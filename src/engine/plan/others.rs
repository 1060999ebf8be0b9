//! What is others' to answer for: the routers' addresses, and what the kernel looks for on an upstream's own link.

use core::net::Ipv6Addr;
use std::collections::BTreeSet;

use ipnet::Ipv6Net;

use super::derive::Around;
use super::reach::{Extent, Reach};
use super::{Plan, RangeId};
use crate::engine::facts::{KernelRoute, NextHop};
use crate::engine::host::Host;
use crate::engine::ours::Ours;
use crate::engine::policy::{Answer, Downstream, RangeRoutes};
use crate::wire::DropReason;

impl Plan {
    /// The routers of default routes: of the main table's, and of an upstream's in a table of its own.
    pub fn routers(&self, host: &Host) -> BTreeSet<Ipv6Addr> {
        let upstreams =
            self.bindings.upstreams.iter().flat_map(|upstream| host.routes.routers(upstream.link));
        host.routes.all_routers().chain(upstreams).collect()
    }

    /// Whether a default route leads through this address: the main table's, or that of an upstream in a table of its own.
    pub fn is_router(&self, address: Ipv6Addr, host: &Host) -> bool {
        let mut upstreams = self.bindings.upstreams.iter();
        host.routes.is_router(address)
            || upstreams.any(|upstream| host.routes.is_router_of(upstream.link, address))
    }

    /// Whether a route leads some of the range, or all, back out of an upstream.
    pub fn may_lead_back(&self, RangeId(range): RangeId) -> bool {
        self.bindings.may_lead_back.get(range).is_some_and(|back| *back)
    }

    /// What routes may lead back out of an upstream of a range that is answered for as a whole; none if that may be any of
    /// it.
    pub fn led_back(&self, range: RangeId, host: &Host, ours: &Ours) -> Option<Vec<Ipv6Net>> {
        if !self.may_lead_back(range) {
            return Some(Vec::new());
        }
        let around = Around { bindings: &self.bindings, host, ours };
        Reach::led_back(self.range(range), self.place(range), around)
    }

    /// Whether a target of a range that is answered for as a whole is: there is a way to it, and it does not lead back.
    pub fn check_whole(&self, range: RangeId, target: Ipv6Addr, host: &Host) -> Result<(), DropReason> {
        self.check_downstream(range, host)?;
        // There the way to the guests does lead back, and the uplink is asked instead.
        if self.place(range).own_bridge().is_some() {
            return Ok(());
        }
        self.check_way(range, target, host)
    }

    /// `always` answers for nobody whom the kernel looks for on the upstream's own link: that station is there, and
    /// answers for itself. But routes do not always decide: a part of the link may be translated, or be behind an
    /// IPsec policy, and another program may route what has an interface.
    fn check_way(&self, range: RangeId, target: Ipv6Addr, host: &Host) -> Result<(), DropReason> {
        if !self.may_lead_back(range) {
            return Ok(());
        }
        let policy = self.range(range);
        let is_routed_by_us =
            policy.routes == RangeRoutes::Range && host.routes.rules.read(self.policy.routes.table);
        let is_whole = self.place(range).extent == Extent::Whole;
        if !is_whole && !is_routed_by_us {
            return Ok(());
        }
        let says_more = |route: &&KernelRoute| {
            let is_default = route.next_hop != NextHop::OnLink;
            !is_default || is_routed_by_us || policy.downstream == Downstream::Kernel
        };
        match self.leads_back(range, target, host, says_more) {
            true => Err(DropReason::RoutedBack),
            false => Ok(()),
        }
    }

    /// Whether a target of a range that is answered for as a whole goes without defence: its only way is the one over
    /// the upstream's own link, so that a station there that checks the address may have it.
    pub fn is_free(&self, range: RangeId, target: Ipv6Addr, host: &Host) -> bool {
        self.range(range).answer == Answer::Always
            && self.may_lead_back(range)
            && self.place(range).own_bridge().is_none()
            && self.check_way(range, target, host).is_ok()
            && self.leads_back(range, target, host, |route| route.next_hop == NextHop::OnLink)
    }

    fn leads_back(
        &self,
        range: RangeId,
        target: Ipv6Addr,
        host: &Host,
        counts: impl Fn(&&KernelRoute) -> bool,
    ) -> bool {
        let deciding = host.way(&target.into(), self.place(range).upstream).route.filter(counts);
        let link = deciding.and_then(KernelRoute::unicast_link);
        link.is_some_and(|link| self.bindings.is_on_an_upstream(link))
            && !host.links.is_of_host(target)
            && !host.routes.is_local(target)
    }
}
