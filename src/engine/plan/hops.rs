//! The next hops that guests are behind: routers of guests' own, on the links of guests.
//!
//! A target that the kernel routes through one of them cannot be asked for: it is on no link of this host. It is there
//! while its next hop is. Where a range has no such route inside, no question costs a look at the routes.

use core::net::Ipv6Addr;
use std::collections::BTreeSet;

use super::bindings::{Bindings, Place, Problem};
use super::derive::Around;
use super::{Plan, RangeId, Ranges};
use crate::engine::facts::{IfIndex, KernelRoute, LinkState, NextHop};
use crate::engine::host::Host;
use crate::engine::policy::{Answer, Origin, RangePolicy, RangeRoutes};

/// A router on the link of guests, as a route names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hop {
    /// The link that it is on.
    pub link: IfIndex,
    /// Its address there, a link-local one as a rule.
    pub address: Ipv6Addr,
}

/// Those that the plan knows, and the ranges that they matter to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hops {
    all: BTreeSet<Hop>,
    /// By range, whether a part of it is behind one; empty where none is.
    concerned: Vec<bool>,
}

impl KernelRoute {
    /// The next hop of a route that is not the default route by any name, and the link that it is on.
    pub fn hop(&self) -> Option<Hop> {
        match (self.unicast_link(), self.next_hop) {
            (Some(link), NextHop::Via(address)) if !self.leads_everywhere() => Some(Hop { link, address }),
            _ => None,
        }
    }

    /// Whether it goes in the same way as this one, beside it: one of several next hops of one route.
    pub(super) fn goes_beside(&self, other: &Self) -> bool {
        self.takes_the_place_of(other)
            && self.next_hop != NextHop::OnLink
            && other.next_hop != NextHop::OnLink
    }
}

impl Hops {
    /// Those that matter to these ranges.
    pub(super) fn of(ranges: &[RangePolicy], index: &Ranges, bindings: &Bindings, host: &Host) -> Self {
        let mut found = Self::default();
        for route in host.routes.behind_routers().filter(|route| host.routes.is_read(route)) {
            let Some(hop) = route.hop().filter(|hop| !bindings.is_on_an_upstream(hop.link)) else { continue };
            let concerned = index.around_all(&route.destination).into_iter();
            for RangeId(range) in concerned.chain(index.inside(&route.destination)) {
                let downstreams = &bindings.ranges[range].downstreams;
                let leads_there =
                    ranges[range].follows_routes() || downstreams.binary_search(&hop.link).is_ok();
                if !leads_there || !ranges[range].looks_for_guests() {
                    continue;
                }
                found.concerned.resize(ranges.len(), false);
                found.concerned[range] = true;
                if !host.links.is_layer_3(hop.link) {
                    found.all.insert(hop);
                }
            }
        }
        found
    }

    /// All of them that can be asked whether they are there, in order.
    pub fn iter(&self) -> impl Iterator<Item = Hop> + '_ {
        self.all.iter().copied()
    }

    /// Whether it is one of them.
    pub fn contains(&self, hop: &Hop) -> bool {
        self.all.contains(hop)
    }

    /// Whether a part of any range is behind one.
    pub fn concern_any(&self) -> bool {
        !self.concerned.is_empty()
    }

    /// Whether a part of this range is behind one.
    pub fn concern(&self, RangeId(range): RangeId) -> bool {
        self.concerned.get(range).is_some_and(|is_concerned| *is_concerned)
    }
}

impl Around<'_> {
    /// A range whose guests cannot be asked whether they are there, because its interfaces have no Neighbor Discovery;
    /// and no route but ours says where they are.
    pub(super) fn nobody_to_ask(&self, range: &RangePolicy, place: &Place) -> Option<Problem> {
        let Self { host, ours, .. } = self;
        let first = *place.downstreams.first()?;
        let is_asked = place.downstreams.iter().any(|link| !host.links.is_layer_3(*link));
        let is_written = matches!(range.origin, Origin::Config | Origin::Suffix);
        let is_hosts = host.links.is_of_host(range.prefix.addr()) && range.prefix.prefix_len() == 128;
        if is_asked
            || !is_written
            || is_hosts
            || range.answer != Answer::Live
            || range.routes == RangeRoutes::Range
        {
            return None;
        }
        let leads_there = |route: &KernelRoute| {
            route.unicast_link().is_some_and(|link| place.downstreams.binary_search(&link).is_ok())
        };
        let mut inside = host.routes.inside(&range.prefix).filter(|route| host.routes.is_read(route));
        let around = host.way_without(&range.prefix, place.upstream, |route| ours.include(route)).route;
        let is_led =
            around.is_some_and(leads_there) || inside.any(|route| !ours.include(route) && leads_there(route));
        let name = host.links.get(first)?.name;
        (!is_led).then_some(Problem::NobodyToAsk(range.prefix, name))
    }
}

impl Plan {
    /// The next hops that the target is behind, any of which brings packets there. None where it is on the guests' link
    /// itself, or behind no downstream of its range.
    pub fn hops_towards<'a>(
        &'a self,
        range: RangeId,
        target: Ipv6Addr,
        host: &'a Host,
    ) -> impl Iterator<Item = Hop> + 'a {
        let upstream = self.place(range).upstream;
        let deciding = self.hops.concern(range).then(|| host.way(&target.into(), upstream).route).flatten();
        let beside = deciding.filter(|route| route.hop().is_some()).into_iter().flat_map(|deciding| {
            host.routes.at(&deciding.destination).filter(move |route| route.goes_beside(deciding))
        });
        let is_downstream = move |link: IfIndex| match self.range(range).follows_routes() {
            true => !self.bindings.is_on_an_upstream(link),
            false => self.place(range).downstreams.binary_search(&link).is_ok(),
        };
        beside.filter_map(KernelRoute::hop).filter(move |hop| is_downstream(hop.link))
    }

    /// Whether the target is behind a next hop, so that it is never a guest on a link of this host.
    pub fn is_behind_a_hop(&self, range: RangeId, target: Ipv6Addr, host: &Host) -> bool {
        self.hops_towards(range, target, host).next().is_some()
    }

    /// A link without Neighbor Discovery that carries traffic, behind which the target is by way of a next hop that
    /// cannot be asked.
    pub(super) fn silent_hop_towards(
        &self,
        range: RangeId,
        target: Ipv6Addr,
        host: &Host,
    ) -> Option<IfIndex> {
        let is_there = |link: &IfIndex| {
            host.links.is_layer_3(*link)
                && host.links.get(*link).is_some_and(|link| link.state == LinkState::Up)
        };
        self.hops_towards(range, target, host).map(|hop| hop.link).find(is_there)
    }
}
