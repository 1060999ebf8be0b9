//! Automatic: every prefix that the kernel routes to another interface, inside an on-link prefix of the
//! upstream, is a range; so is each of the host's own addresses there that is in none of these.
//!
//! Nothing of ours is put into the kernel for such a range: its route is there, and when that goes the
//! range goes with it. So it has no backstop either; to have one, write a `[[range]]`.

use std::collections::BTreeSet;
use std::vec::IntoIter;

use ipnet::Ipv6Net;

use super::bindings::{Place, Problem, Upstream};
use super::derive::{Around, Effective};
use super::ranges::Ranges;
use crate::engine::facts::{AddressState, IfIndex, KernelRoute, Link, LinkLayer, NextHop};
use crate::engine::policy::{Answer, Automatic, Downstream, Origin, RangePolicy, RangeRoutes};

/// What follows for one upstream is being looked for.
#[derive(Debug)]
pub struct Search {
    /// What is on-link at the upstream.
    on_link: BTreeSet<Ipv6Net>,
    /// The outermost of it that are still to be looked through.
    left: IntoIter<Ipv6Net>,
    /// The one that is being looked through, and the last destination in it that was looked at.
    within: Option<(Ipv6Net, Option<Ipv6Net>)>,
    /// What there is around the next destination.
    nested: Vec<Nested>,
    /// How many ranges there were before.
    written: usize,
}

impl Search {
    /// For this upstream.
    pub fn begin(
        effective: &mut Effective,
        (automatic, upstream): (&Automatic, &Upstream),
        around: Around<'_>,
    ) -> Self {
        let on_link = around.on_link(upstream.link);
        let mut outermost: Vec<Ipv6Net> = Vec::new();
        for prefix in &on_link {
            let links = around.host.routes.links_of(prefix, |route| around.ours.include(route));
            let guests_links = links.filter_map(|link| guests_link(link, automatic, around));
            if let (Some(up), Some(both)) =
                (around.host.links.get(upstream.link), guests_links.min_by_key(|link| link.index))
            {
                effective.problems.push(Problem::SamePrefix(*prefix, up.name, both.name));
            }
            // An outer one comes before those in it, which are looked through with it.
            if outermost.last().is_none_or(|outer| !outer.contains(prefix)) {
                outermost.push(*prefix);
            }
        }
        Self {
            on_link,
            left: outermost.into_iter(),
            within: None,
            nested: Vec::new(),
            written: effective.ranges.len(),
        }
    }

    /// Adds what follows and is not served as it is, and looks at `most` more destinations at most. False if there
    /// are more.
    pub fn go_on(
        &mut self,
        effective: &mut Effective,
        (automatic, upstream): (&Automatic, &Upstream),
        around: Around<'_>,
        is_served: impl Fn(&KernelRoute) -> bool,
        most: usize,
    ) -> bool {
        let Some(up) = around.host.links.get(upstream.link) else { return true };
        let mut left = most;
        while let Some((prefix, after)) = self.within.or_else(|| Some((self.left.next()?, None))) {
            let is_ours = |route: &KernelRoute| around.ours.include(route);
            let inside = around.host.ways_inside(&prefix, after.as_ref(), up.index, is_ours);
            for (destination, deciding) in inside {
                if left == 0 {
                    return false;
                }
                left = left.saturating_sub(around.host.routes.rules.lookups());
                self.within = Some((prefix, Some(destination)));
                let Some(route) = deciding.as_ref().filter(|route| !is_served(route)) else { continue };
                let link = route.unicast_link().and_then(|link| guests_link(link, automatic, around));
                if !self.take(effective, route, link, (automatic, up, around)) {
                    effective.problems.push(Problem::TooManyRanges);
                    return true;
                }
            }
            (self.within, self.nested) = (None, Vec::new());
        }
        true
    }

    /// Adds addresses of the host that no route to another interface shows: on `lo`, on a dummy, on a link that is
    /// down. Where the configuration says something (`written`), that holds.
    pub fn take_own(
        &self,
        effective: &mut Effective,
        (automatic, upstream): (&Automatic, &Upstream),
        around: Around<'_>,
        written: &Ranges,
    ) {
        let Some(up) = around.host.links.get(upstream.link) else { return };
        let found = Ranges::new(&effective.ranges);
        let links = &around.host.links;
        let mut taken = BTreeSet::new();
        for known in self.on_link.iter().flat_map(|prefix| links.addresses_inside(prefix)) {
            let is_served =
                |address| found.find(address).is_some_and(|range| !found.excludes(range, address));
            let is_theirs = known.state == AddressState::Tentative
                || links.owners(known.address).any(|owner| around.bindings.is_on_an_upstream(owner))
                || around.host.routes.is_router(known.address);
            let link = links.get(known.link).filter(|link| !is_ignored(link, automatic));
            let Some(link) = link.filter(|_| !is_theirs && !is_served(known.address)) else { continue };
            let prefix = Ipv6Net::from(known.address);
            if written.covers(&prefix) || !taken.insert(prefix) {
                continue;
            }
            if effective.ranges.len() - self.written >= MOST_RANGES {
                return effective.problems.push(Problem::TooManyRanges);
            }
            effective.ranges.push(range(prefix, up, link));
            let (upstream, downstreams) = (Some(up.index), vec![link.index]);
            effective.places.push(Place { upstream, downstreams, ..Place::default() });
        }
    }

    /// Takes in a route, and the link that it leads to, if guests can be behind it. False if there are too many.
    fn take(
        &mut self,
        effective: &mut Effective,
        route: &KernelRoute,
        link: Option<&Link>,
        (automatic, up, around): (&Automatic, &Link, Around<'_>),
    ) -> bool {
        let net = route.destination;
        while self.nested.last().is_some_and(|outer| !outer.net.contains(&net)) {
            self.nested.pop();
        }
        let link = link.filter(|_| !self.on_link.contains(&net));
        let way = link.map(|link| Way { link: link.index, next_hop: route.next_hop });
        let outer = self.nested.last().copied();
        if outer.is_some_and(|outer| outer.way == way) {
            return true;
        }
        let range = match (link, outer.and_then(|outer| outer.range)) {
            (Some(_), _) if effective.ranges.len() - self.written >= MOST_RANGES => return false,
            (Some(link), _) => {
                effective.ranges.push(range(route.destination, up, link));
                let (upstream, downstreams) = (Some(up.index), guests_links(route, automatic, around));
                effective.places.push(Place { upstream, downstreams, ..Place::default() });
                Some(effective.ranges.len() - 1)
            }
            // A part that is another program's.
            (None, Some(outer)) => {
                effective.ranges[outer].exclude.push(net);
                None
            }
            (None, None) => None,
        };
        self.nested.push(Nested { net, way, range });
        true
    }
}

/// A prefix that was looked at, around the one that is looked at now.
#[derive(Debug, Clone, Copy)]
struct Nested {
    net: Ipv6Net,
    /// Where it leads, if guests are there.
    way: Option<Way>,
    /// The range that it became.
    range: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    link: IfIndex,
    next_hop: NextHop,
}

/// The link, if guests can be behind it and it is not to be left alone.
fn guests_link<'a>(link: IfIndex, automatic: &Automatic, around: Around<'a>) -> Option<&'a Link> {
    let link = around.host.links.get(link)?;
    let is_upstream = around.bindings.is_on_an_upstream(link.index);
    (!is_upstream && !is_ignored(link, automatic) && link.layer != LinkLayer::Loopback).then_some(link)
}

/// Those that the route leads to, by this next hop or another, in ascending order.
fn guests_links(route: &KernelRoute, automatic: &Automatic, around: Around<'_>) -> Vec<IfIndex> {
    if let (NextHop::OnLink, Some(link)) = (route.next_hop, route.unicast_link()) {
        return vec![link];
    }
    let hops = around.host.routes.at(&route.destination).filter(|other| other.goes_beside(route));
    let all = hops.chain([route]).filter_map(KernelRoute::unicast_link);
    let links: BTreeSet<_> = all.filter(|link| guests_link(*link, automatic, around).is_some()).collect();
    links.into_iter().collect()
}

fn is_ignored(link: &Link, automatic: &Automatic) -> bool {
    automatic.ignore.iter().any(|pattern| pattern.matches(&link.name))
}

fn range(prefix: Ipv6Net, upstream: &Link, downstream: &Link) -> RangePolicy {
    RangePolicy {
        prefix,
        upstream: Some(upstream.name),
        downstream: Downstream::Named(downstream.name),
        answer: Answer::Live,
        routes: RangeRoutes::None,
        has_written_routes: false,
        backstop: false,
        gateway: None,
        exclude: Vec::new(),
        proxy_downstream: false,
        guard: false,
        standby: false,
        origin: Origin::Automatic,
    }
}

/// As many are served; a host that routes more prefixes than that is better served by one range
/// around them.
const MOST_RANGES: usize = 4_096;
