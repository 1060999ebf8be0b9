//! How far ranges reach into the upstreams' own links: where other stations have addresses in them, and where a
//! backstop would take those away.

use core::net::Ipv6Addr;
use std::collections::BTreeSet;

use ipnet::Ipv6Net;

use super::bindings::{Place, Problem};
use super::derive::Around;
use super::ranges::outermost;
use crate::engine::facts::{IfIndex, IfName, KernelRoute};
use crate::engine::host::routes::MAIN;
use crate::engine::policy::{Answer, Downstream, RangePolicy, RangeRoutes};

/// How much of an upstream's link a range is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Extent {
    /// A part of it, or something else: the administrator says that these addresses are here.
    #[default]
    Part,
    /// All of a prefix that is on-link there, alone or together with other ranges: so there are addresses in it that
    /// other stations of the link have.
    Whole,
}

/// What is on the upstreams' own links.
#[derive(Debug)]
pub struct Reach {
    /// The prefixes that are on-link. Of an upstream that has a single address and nothing around it, the /64.
    on_link: BTreeSet<Ipv6Net>,
    /// The upstreams' addresses, the routers of default routes, and whatever else a route of its own puts there.
    stations: BTreeSet<Ipv6Addr>,
    /// Those of them that are other hosts'.
    others: BTreeSet<Ipv6Addr>,
    /// The upstreams whose own prefix stands in the table of our routes.
    routed: BTreeSet<IfIndex>,
}

impl Reach {
    /// On this host, where our routes are in this table.
    pub fn of(around: Around<'_>, table: u32) -> Self {
        let host = around.host;
        let (mut on_link, mut routed) = (BTreeSet::new(), BTreeSet::new());
        let mut others: BTreeSet<_> = host.routes.all_routers().collect();
        let mut stations = BTreeSet::new();
        for upstream in around.bindings.upstreams.iter().map(|upstream| upstream.link) {
            let (single, prefixes): (BTreeSet<_>, BTreeSet<_>) =
                around.on_link(upstream).into_iter().partition(|prefix| prefix.prefix_len() == 128);
            others.extend(single.iter().map(Ipv6Net::addr));
            let is_routed = |prefix: &Ipv6Net| {
                let mut routes = host.routes.at(prefix).filter(|route| route.table == table);
                routes.any(|route| route.unicast_link() == Some(upstream))
            };
            if table == MAIN || prefixes.iter().chain(&single).any(is_routed) {
                routed.insert(upstream);
            }
            for address in around.prefixes(upstream) {
                stations.insert(address.addr());
                if !prefixes.iter().any(|prefix| prefix.contains(&address.addr())) {
                    on_link.insert(Ipv6Net::new_assert(address.addr(), 64).trunc());
                }
            }
            on_link.extend(prefixes);
        }
        stations.extend(&others);
        Self { on_link, stations, others, routed }
    }

    /// Adds to the places of these ranges how far they reach.
    pub fn add_to(&self, ranges: &[RangePolicy], places: &mut [Place]) {
        let answered = self.covering(ranges, |range| range.answer == Answer::Always);
        let looked_for = self.covering_links(ranges, |range| range.answer != Answer::Always);
        let guarded = self.covering(ranges, |range| range.backstop);
        for (range, place) in ranges.iter().zip(places) {
            let takes_stations = is_hosts(range) && self.others_in(&range.prefix).next().is_some();
            let all = if range.answer == Answer::Always { &answered } else { &looked_for };
            if all.contains(&range.prefix) || takes_stations {
                place.extent = Extent::Whole;
            }
            // Where its interfaces are refused, those that have its addresses are stations of the upstream's link.
            place.has_backstop = range.backstop
                && place.refused.is_none()
                && !range.may_be_translated()
                && !guarded.contains(&range.prefix)
                && !self.is_half_of_a_link(&range.prefix)
                && self.stations_in(&range.prefix) == 0
                && place.upstream.is_none_or(|upstream| self.routed.contains(&upstream));
        }
    }

    /// A route for all of an upstream's link would take the router and every other station away from this host, and one
    /// for a part of it the stations that are known to be there. Where such a range asks for one, its guests have a
    /// route each instead. What cannot be as it is written.
    pub fn spare_links(&self, ranges: &mut [RangePolicy], around: Around<'_>) -> Vec<Problem> {
        let has_route = |range: &RangePolicy| {
            range.routes == RangeRoutes::Range
                && matches!(&range.downstream, Downstream::Named(name) if !name.is_loopback())
        };
        let whole = self.covering_links(ranges, has_route);
        let mut problems = Vec::new();
        let has_others = |range: &RangePolicy| {
            let mut others = self.others_in(&range.prefix);
            others.any(|other| !around.host.links.is_of_host(*other))
        };
        // A host that takes all of its link for its own reaches nobody there, and nobody reaches it: what the kernel has
        // for the link comes first.
        let owned = self.covering_links(ranges, has_own_route);
        for range in ranges.iter_mut().filter(|range| has_own_route(range)) {
            // An administrator's own `local` route comes before that.
            let is_taken = around.host.routes.is_all_local(&range.prefix);
            if is_taken || !owned.contains(&range.prefix) && !has_others(range) {
                continue;
            }
            if let (Downstream::Named(name), Some(upstream)) =
                (&range.downstream, around.upstream_with(&range.prefix))
            {
                problems.push(Problem::AlwaysOverLink(range.prefix, *name, upstream));
                range.routes = RangeRoutes::None;
            }
        }
        let takes_away = |range: &&mut RangePolicy| {
            let is_live = range.answer != Answer::Always;
            has_route(range) && (whole.contains(&range.prefix) || is_live && has_others(range))
        };
        for range in ranges.iter_mut().filter(takes_away) {
            let upstream = around.upstream_with(&range.prefix);
            let is_wanted = range.has_written_routes || range.answer == Answer::Always;
            let is_guests = match (range.answer, upstream) {
                (Answer::Live, upstream) => upstream.is_some() || !range.has_written_routes,
                (Answer::Never | Answer::Always, upstream) => upstream.is_some(),
            };
            if !is_guests {
                continue;
            }
            if let (true, Downstream::Named(name), Some(upstream)) = (is_wanted, &range.downstream, upstream)
            {
                problems.push(match range.answer {
                    Answer::Always => Problem::AlwaysOverLink(range.prefix, *name, upstream),
                    Answer::Live | Answer::Never => Problem::RouteOverLink(range.prefix, *name, upstream),
                });
            }
            // No guest is looked for where every address is answered for.
            range.routes = match range.answer {
                Answer::Always => RangeRoutes::None,
                Answer::Live | Answer::Never => RangeRoutes::Guests,
            };
        }
        problems
    }

    /// Whether a route may lead some of a range that is answered for as a whole, or all, back out of an upstream.
    pub fn may_lead_back(range: &RangePolicy, place: &Place, around: Around<'_>) -> bool {
        Self::led_back(range, place, around).is_none_or(|led_back| !led_back.is_empty())
    }

    /// What routes may lead back of a range that is answered for as a whole; none if that may be any of it.
    pub fn led_back(range: &RangePolicy, place: &Place, around: Around<'_>) -> Option<Vec<Ipv6Net>> {
        let routes = &around.host.routes;
        let is_back = |route: &KernelRoute| {
            let is_read = routes.is_read(route);
            is_read && route.unicast_link().is_some_and(|link| around.bindings.is_on_an_upstream(link))
        };
        if range.answer != Answer::Always {
            return Some(Vec::new());
        }
        // A route of ours that is not wanted is about to go.
        let counts_out =
            |route: &KernelRoute| range.routes != RangeRoutes::Range && around.ours.include(route);
        let way = around.host.way_without(&range.prefix, place.upstream, counts_out);
        if way.route.is_some_and(is_back) || routes.rules.destinations_inside(range.prefix).next().is_some() {
            return None;
        }
        let inside = routes.inside(&range.prefix).filter(|route| is_back(route));
        Some(inside.map(|route| route.destination).collect())
    }

    fn others_in(&self, prefix: &Ipv6Net) -> impl Iterator<Item = &Ipv6Addr> {
        self.others.range(prefix.network()..=prefix.broadcast())
    }

    fn is_half_of_a_link(&self, range: &Ipv6Net) -> bool {
        let is_half = |link: &Ipv6Net| {
            link.contains(range) && range.prefix_len() <= link.prefix_len().saturating_add(1)
        };
        self.on_link.iter().any(is_half)
    }

    fn stations_in(&self, prefix: &Ipv6Net) -> usize {
        self.stations.range(prefix.network()..=prefix.broadcast()).count()
    }

    /// Those of such ranges that cover an on-link prefix, each alone or all together. One inside another adds nothing.
    fn covering(&self, ranges: &[RangePolicy], is_meant: impl Fn(&RangePolicy) -> bool) -> BTreeSet<Ipv6Net> {
        self.covering_any(ranges, is_meant, |_| true)
    }

    /// The same of whole links: not of a part that another program routes there, in which nobody is known to be.
    fn covering_links(
        &self,
        ranges: &[RangePolicy],
        is_meant: impl Fn(&RangePolicy) -> bool,
    ) -> BTreeSet<Ipv6Net> {
        self.covering_any(ranges, is_meant, |prefix| {
            prefix.prefix_len() <= 64 || self.stations_in(prefix) > 0
        })
    }

    fn covering_any(
        &self,
        ranges: &[RangePolicy],
        is_meant: impl Fn(&RangePolicy) -> bool,
        is_looked_at: impl Fn(&Ipv6Net) -> bool,
    ) -> BTreeSet<Ipv6Net> {
        let meant: Vec<_> = ranges.iter().filter(|range| is_meant(range)).map(|range| range.prefix).collect();
        let meant = outermost(&meant);
        let all = Ipv6Net::aggregate(&meant.to_vec());
        let is_covered = |prefix: &&Ipv6Net| all.iter().any(|range| range.contains(*prefix));
        let looked_at = self.on_link.iter().filter(|prefix| is_looked_at(prefix));
        let covered: Vec<_> = looked_at.filter(is_covered).collect();
        let touches =
            |range: &Ipv6Net| covered.iter().any(|prefix| prefix.contains(range) || range.contains(*prefix));
        meant.into_iter().filter(touches).collect()
    }
}

impl Around<'_> {
    /// The upstream whose link a route to this prefix would take away: it has the same prefix, or a shorter one.
    fn upstream_with(&self, prefix: &Ipv6Net) -> Option<IfName> {
        let mut upstreams = self.bindings.upstreams.iter().map(|upstream| upstream.link);
        let has_it = |link: &IfIndex| self.on_link(*link).iter().any(|on_link| on_link.contains(prefix));
        upstreams.find(has_it).and_then(|link| self.host.links.get(link)).map(|link| link.name)
    }
}

/// Whether the host itself is to own all of it.
fn is_hosts(range: &RangePolicy) -> bool {
    matches!(&range.downstream, Downstream::Named(name) if name.is_loopback())
}

fn has_own_route(range: &RangePolicy) -> bool {
    is_hosts(range) && range.routes == RangeRoutes::Range
}
