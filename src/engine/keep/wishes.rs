//! Which routes a range asks for, on the host as it is.

use ipnet::Ipv6Net;

use crate::engine::facts::{IfIndex, KernelRoute, LinkLayer, LinkState, NextHop, RouteKind};
use crate::engine::host::Host;
use crate::engine::ours::Ours;
use crate::engine::plan::Served;
use crate::engine::policy::{RangePolicy, RangeRoutes, RoutePolicy};

/// What a wish follows from, besides the range.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    /// Where and how routes are installed.
    pub policy: RoutePolicy,
    /// Which of the kernel's routes are ours.
    pub ours: &'a Ours,
    /// What the kernel says.
    pub host: &'a Host,
}

impl Wishes<'_> {
    /// The routes that a range asks for where it is served here, besides those of single guests.
    pub fn of(&self, (range, place): &Served) -> Vec<KernelRoute> {
        let route = place.downstreams.first().copied().and_then(|link| self.route_of(range, link));
        let owns_all = matches!(route, Some(KernelRoute { kind: RouteKind::Local(_), .. }));
        let backstop = (place.has_backstop && !owns_all)
            .then(|| our(&self.policy, range.prefix, RouteKind::Unreachable, RoutePolicy::BACKSTOP_METRIC));
        route.into_iter().chain(backstop).collect()
    }

    fn route_of(&self, range: &RangePolicy, link: IfIndex) -> Option<KernelRoute> {
        if range.routes != RangeRoutes::Range {
            return None;
        }
        let link = self.host.links.get(link).filter(|link| link.state != LinkState::Down)?;
        let kind = match link.layer {
            LinkLayer::Loopback => RouteKind::Local(link.index),
            LinkLayer::Ethernet(_) | LinkLayer::NoDiscovery(_) | LinkLayer::None => {
                RouteKind::Unicast(link.index)
            }
        };
        // The kernel made an equal one for the interface's own prefix, or the administrator did.
        let is_there = self.has_equal(&range.prefix, kind);
        (!is_there).then(|| our(&self.policy, range.prefix, kind, self.policy.metric))
    }

    /// True if another program has a route that does the same, of whatever metric.
    pub fn has_equal(&self, destination: &Ipv6Net, kind: RouteKind) -> bool {
        self.host.routes.at(destination).any(|route| {
            let is_foreign = !self.ours.include(route) && route.table == self.policy.table;
            is_foreign && route.kind == kind && route.next_hop == NextHop::OnLink
        })
    }
}

/// A route of ours: on the link itself, in our table, under our protocol.
pub fn our(policy: &RoutePolicy, destination: Ipv6Net, kind: RouteKind, metric: u32) -> KernelRoute {
    let RoutePolicy { table, protocol, .. } = *policy;
    KernelRoute { destination, kind, next_hop: NextHop::OnLink, table, protocol, metric, source: None }
}
