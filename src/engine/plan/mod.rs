//! What the policy means on this host: which interfaces are upstreams, which ranges there are, where each
//! is served, and what is missing.
//!
//! A plan is a value. It is made again when the host or the policy changes, step by step ([`Making`]), and
//! [`Changes`] says in what it differs from the one before.

mod automatic;
pub mod bindings;
mod changes;
mod derive;
mod hops;
pub mod idle;
mod making;
mod need;
mod others;
pub mod problem;
mod ranges;
mod reach;
pub mod unserved;

use core::net::Ipv6Addr;
use std::collections::BTreeSet;

use ipnet::Ipv6Net;

use super::facts::{IfIndex, KernelRoute, LinkLayer, LinkState};
use super::host::Host;
use super::ours::Ours;
use super::policy::{Answer, Downstream, GatewaySource, Policy, RangePolicy, RangeRoutes};
use crate::wire::DropReason;
use bindings::{Bindings, Extent, Place, Upstream};
pub use changes::{Changes, Served};
use derive::Around;
pub use hops::{Hop, Hops};
pub use making::{Grounds, Making, make};
pub use ranges::{RangeId, Ranges};
use unserved::Networks;

/// What the policy means on this host.
#[derive(Debug)]
pub struct Plan {
    /// The policy with its effective ranges: each says where it comes from.
    pub policy: Policy,
    /// Upstreams, where the ranges are served, and what is missing.
    pub bindings: Bindings,
    /// Which range a target belongs to.
    pub index: Ranges,
    /// The next hops that targets are behind.
    pub hops: Hops,
    /// What automatic would serve where it is off, and no range does.
    pub unserved: Networks,
}

/// The downstreams that a target may be behind.
#[derive(Debug, Clone, Copy)]
pub enum Behind<'a> {
    /// The one that the kernel's routes lead to.
    Route(Option<IfIndex>),
    /// Those that the policy names, in ascending order.
    Named(&'a [IfIndex]),
}

/// What is on-link at this upstream: the prefixes of its addresses, and what routes say.
pub fn on_link(upstream: IfIndex, plan: &Plan, host: &Host, ours: &Ours) -> BTreeSet<Ipv6Net> {
    Around { bindings: &plan.bindings, host, ours }.on_link(upstream)
}

impl Plan {
    /// The range that decides for this target.
    pub fn find(&self, target: Ipv6Addr) -> Option<RangeId> {
        self.index.find(target)
    }

    /// What the range asks for.
    pub fn range(&self, RangeId(range): RangeId) -> &RangePolicy {
        &self.policy.ranges[range]
    }

    /// Where the range is served.
    pub fn place(&self, RangeId(range): RangeId) -> &Place {
        &self.bindings.ranges[range]
    }

    /// Every range, and where it is served.
    pub fn served(&self) -> impl Iterator<Item = (&RangePolicy, &Place)> {
        self.policy.ranges.iter().zip(&self.bindings.ranges)
    }

    /// The upstream of this index.
    pub fn upstream(&self, link: IfIndex) -> Option<&Upstream> {
        self.bindings.upstream(link)
    }

    /// The upstream on which the target is answered for.
    pub fn upstream_of(&self, target: Ipv6Addr) -> Option<&Upstream> {
        self.upstream(self.place(self.find(target)?).upstream?)
    }

    /// The upstream of this target's range, if all of its link is in that range, and each guest has a route: then
    /// another station may have the target, and must be reached.
    pub fn link_around(&self, target: Ipv6Addr) -> Option<IfIndex> {
        let range = self.find(target)?;
        let place = self.place(range);
        let is_whole = place.extent == Extent::Whole && self.range(range).routes == RangeRoutes::Guests;
        place.upstream.filter(|_| is_whole)
    }

    /// The upstream on which the group of this target is joined, if groups are joined there for it.
    pub fn group_link(&self, target: Ipv6Addr) -> Option<IfIndex> {
        let range = self.find(target)?;
        self.joined_for(self.range(range), self.place(range))
    }

    /// The upstream of the range, if groups are joined there for what is answered in it.
    pub fn joined_for(&self, range: &RangePolicy, place: &Place) -> Option<IfIndex> {
        let upstream = self.upstream(place.upstream?)?;
        (upstream.mld.reports() && range.answer != Answer::Never).then_some(upstream.link)
    }

    /// What of the range is answered for as a whole: all of it, or what is routed to where nobody can be asked for it:
    /// there is no Neighbor Discovery downstream, or a router stands before it.
    pub fn answered_as_a_whole(&self, range: &RangePolicy, place: &Place, host: &Host) -> Vec<Ipv6Net> {
        let is_layer_3 = |link: IfIndex| {
            host.links.get(link).is_some_and(|link| link.layer.is_layer_3())
                && (place.downstreams.binary_search(&link).is_ok() || range.downstream == Downstream::Kernel)
        };
        let has_none = || {
            !self.hops.concern_any() && !self.downstreams_of(range, place, host).into_iter().any(is_layer_3)
        };
        match range.answer {
            Answer::Always => vec![range.prefix],
            Answer::Never => Vec::new(),
            Answer::Live if has_none() => Vec::new(),
            Answer::Live => {
                let routes = host.routes.inside(&range.prefix).filter(|route| host.routes.is_read(route));
                let is_there = |route: &&KernelRoute| {
                    route.unicast_link().is_some_and(is_layer_3)
                        || route.hop().is_some_and(|hop| self.hops.contains(&hop))
                };
                routes.filter(is_there).map(|route| route.destination).collect()
            }
        }
    }

    /// The downstreams that the target may be behind.
    pub fn behind(&self, range: RangeId, target: Ipv6Addr, host: &Host) -> Behind<'_> {
        match self.range(range).downstream {
            Downstream::Named(_) | Downstream::Matching(_) => Behind::Named(&self.place(range).downstreams),
            Downstream::Kernel => {
                let link = host.leads_to(target, self.place(range).upstream);
                Behind::Route(link.filter(|link| !self.bindings.is_on_an_upstream(*link)))
            }
        }
    }

    /// The downstreams of a range, also where the kernel's routes decide.
    pub fn downstreams_of(&self, range: &RangePolicy, place: &Place, host: &Host) -> Vec<IfIndex> {
        match range.downstream {
            Downstream::Named(_) | Downstream::Matching(_) => place.downstreams.clone(),
            // A guest may also be where a route for more than the range leads.
            Downstream::Kernel => {
                let around = host.way(&range.prefix, place.upstream).link();
                let of_rules = host.routes.rules.destinations_inside(range.prefix);
                let of_rules = of_rules.filter_map(|to| host.way(&to, place.upstream).link());
                let inside = host.routes.inside(&range.prefix).filter(|route| host.routes.is_read(route));
                let all = inside.filter_map(KernelRoute::unicast_link).chain(of_rules).chain(around);
                all.filter(|link| !self.bindings.beside.contains_key(link)).collect()
            }
        }
    }

    /// Whether the target is one that is looked for on downstreams: not an excluded one, not the host's own,
    /// not the provider's router.
    pub fn is_looked_for(&self, range: RangeId, target: Ipv6Addr, host: &Host) -> bool {
        self.range(range).looks_for_guests()
            && !self.index.excludes(range, target)
            && !host.links.is_of_host(target)
            && !self.is_router(target, host)
    }

    /// Whether the target could be live on this link: nothing that a downstream says concerns an address
    /// outside that downstream's ranges.
    pub fn may_live(&self, target: Ipv6Addr, link: IfIndex, host: &Host) -> bool {
        self.find(target).is_some_and(|range| {
            self.is_looked_for(range, target, host)
                && self.behind(range, target, host).contains(link)
                && !self.is_behind_a_hop(range, target, host)
        })
    }

    /// The ranges whose guests are looked for on this link, or may be; the first of them.
    pub fn looked_for_on(&self, link: IfIndex) -> Vec<RangeId> {
        let is_there = |(_, (range, place)): &(usize, (&RangePolicy, &Place))| {
            range.looks_for_guests()
                && (range.follows_routes() || place.downstreams.binary_search(&link).is_ok())
        };
        self.served().enumerate().filter(is_there).map(|(id, _)| RangeId(id)).take(MOST_ON_LINK).collect()
    }

    /// Without Neighbor Discovery a target is there while the kernel routes it there.
    pub fn routed_to_layer_3(&self, range: RangeId, target: Ipv6Addr, host: &Host) -> Option<IfIndex> {
        if let Some(link) = self.silent_hop_towards(range, target, host) {
            return Some(link);
        }
        let link = host.leads_to(target, self.place(range).upstream)?;
        let known = host.links.get(link)?;
        let is_there = known.state == LinkState::Up && known.layer.is_layer_3();
        (is_there && self.behind(range, target, host).contains(link)).then_some(link)
    }

    /// A target that no downstream can be asked for is absent where that is in the nature of the
    /// downstreams, and merely out of reach where they are not there.
    pub fn why_not_probed(&self, range: RangeId, target: Ipv6Addr, host: &Host) -> DropReason {
        let is_silent = |link: &IfIndex| {
            host.links.get(*link).is_some_and(|link| {
                link.state == LinkState::Up && !matches!(link.layer, LinkLayer::Ethernet(_))
            })
        };
        let is_absent = self.behind(range, target, host).iter().any(is_silent);
        if is_absent { DropReason::Absent } else { DropReason::NoDownstream }
    }

    /// `always` asks nobody whether the target exists, but there must be a way to it: a missing
    /// interface must not turn a range into answers for everything.
    pub fn check_downstream(&self, range: RangeId, host: &Host) -> Result<(), DropReason> {
        let is_there =
            |link: &IfIndex| host.links.get(*link).is_some_and(|link| link.state != LinkState::Down);
        let is_served = match self.range(range).downstream {
            Downstream::Kernel => true,
            Downstream::Named(_) | Downstream::Matching(_) => {
                self.place(range).downstreams.iter().any(is_there)
            }
        };
        is_served.then_some(()).ok_or(DropReason::NoDownstream)
    }

    /// An address of the host on an interface that is no upstream, and the upstream on which it is answered
    /// for.
    pub fn own_target(&self, address: Ipv6Addr, host: &Host) -> Option<IfIndex> {
        if address.is_unicast_link_local() {
            return None;
        }
        let upstream = self.place(self.find(address)?).upstream?;
        let is_own = host.links.owners(address).any(|owner| self.upstream(owner).is_none());
        (is_own && !self.is_beside(address, upstream, host)).then_some(upstream)
    }

    /// Whether the host has the address on an interface that is on this upstream's own link, and is asked there.
    pub fn is_beside(&self, address: Ipv6Addr, upstream: IfIndex, host: &Host) -> bool {
        let beside = &self.bindings.beside;
        !beside.is_empty() && host.links.owners(address).any(|owner| beside.get(&owner) == Some(&upstream))
    }

    /// Whether there may be answers for addresses of this prefix by one range.
    pub fn may_answer_in(&self, prefix: &Ipv6Net) -> bool {
        self.index.around_all(prefix).is_some_and(|range| {
            self.range(range).answer != Answer::Never && !self.index.excludes_all(range, prefix)
        })
    }

    /// Whether guests are on this upstream's own link, behind other ports than the router.
    pub fn is_shared(&self, upstream: IfIndex) -> bool {
        self.bindings.shared.contains(&upstream)
    }

    /// The routers of which advertisements and solicitations are to be heard on this upstream.
    pub fn routers_to_hear(&self, upstream: &Upstream, host: &Host) -> Vec<Ipv6Addr> {
        let is_asked_by_us = upstream.gateway_source == GatewaySource::Global;
        match is_asked_by_us || self.is_shared(upstream.link) {
            true => host.routes.routers(upstream.link),
            false => Vec::new(),
        }
    }

    /// Those of which nothing else is to be heard: all of its link asks for a router.
    pub fn routers_that_answer(&self, upstream: &Upstream, host: &Host) -> Vec<Ipv6Addr> {
        match upstream.gateway_source {
            GatewaySource::Auto => host.routes.routers(upstream.link),
            // Whether the provider admits a target shows in what they answer to its announcement.
            GatewaySource::Kernel if upstream.is_claimed_on() => host.routes.routers(upstream.link),
            GatewaySource::Kernel | GatewaySource::Global => Vec::new(),
        }
    }

    /// Whether guests may come behind an interface that is not there yet, or is not known to have any.
    pub fn awaits_interfaces(&self) -> bool {
        let Policy { upstreams, ranges, suffixes, .. } = &self.policy;
        let is_open = |(range, place): (&RangePolicy, &Place)| {
            let is_there = matches!(range.downstream, Downstream::Named(_)) && !place.downstreams.is_empty();
            range.looks_for_guests() && !is_there
        };
        let has_automatic = upstreams.iter().any(|upstream| upstream.automatic.is_some());
        has_automatic || ranges.is_empty() || !suffixes.is_empty() || self.served().any(is_open)
    }

    /// Whether any range is served where the kernel's routes lead.
    pub fn follows_routes(&self) -> bool {
        self.policy.ranges.iter().any(RangePolicy::follows_routes)
    }

    /// Whether the kernel's routes say where targets are, and a route to one of these could.
    pub fn is_led_by(&self, routes: &BTreeSet<Ipv6Net>) -> bool {
        (self.follows_routes() || self.hops.concern_any())
            && routes.iter().any(|destination| self.index.touch(destination))
    }

    /// Whether all that is served are the host's own addresses (AnyIP), so that nothing is forwarded.
    pub fn serves_itself_alone(&self) -> bool {
        let is_host =
            |range: &RangePolicy| matches!(&range.downstream, Downstream::Named(n) if n.is_loopback());
        !self.policy.ranges.is_empty() && self.policy.ranges.iter().all(is_host)
    }

    /// True for a route that says something about what is served here, or could be.
    pub fn is_concerned_by(&self, route: &KernelRoute, written: &Policy, ours: &Ours) -> bool {
        // A default route says which upstream is meant, also while there is no range.
        let is_default = route.leads_everywhere();
        is_default
            || ours.include(route)
            || self.index.touch(&route.destination)
            || written.could_follow(route)
    }

    /// Whether every route that concerns `next`, the plan of the policy `is`, concerned this plan of the policy `was`
    /// too, so that it is known if it is there.
    pub fn knew_routes_for(&self, next: &Self, was: &Policy, is: &Policy) -> bool {
        let is_known = |range: &RangePolicy| self.index.covers(&range.prefix);
        next.policy.ranges.iter().all(is_known)
            && was.curiosity() >= is.curiosity()
            && next.policy.routes.protocol == self.policy.routes.protocol
    }
}

impl Behind<'_> {
    /// All of them.
    pub fn as_slice(&self) -> &[IfIndex] {
        match self {
            Self::Route(link) => link.as_slice(),
            Self::Named(links) => links,
        }
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, IfIndex> {
        self.as_slice().iter()
    }

    /// Whether this link is one of them.
    pub fn contains(&self, link: IfIndex) -> bool {
        self.as_slice().binary_search(&link).is_ok()
    }
}

/// Ranges of one link of which the guests are looked for before anybody asks for them.
const MOST_ON_LINK: usize = 8;

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
