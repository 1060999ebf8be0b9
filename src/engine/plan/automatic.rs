//! Automatic: every prefix that the kernel routes to another interface, inside an on-link prefix of the
//! upstream, is a range.
//!
//! Nothing of ours is put into the kernel for such a range: its route is there, and when that goes the
//! range goes with it. So it has no backstop either; to have one, write a `[[range]]`.

use ipnet::Ipv6Net;

use super::bindings::{Place, Problem, Upstream};
use super::derive::{Around, Effective};
use crate::engine::facts::{IfIndex, KernelRoute, Link, LinkLayer, NextHop};
use crate::engine::policy::{Answer, Automatic, Downstream, Origin, RangePolicy, RangeRoutes};

/// Adds what follows for this upstream.
pub fn extend(effective: &mut Effective, automatic: &Automatic, upstream: &Upstream, around: Around<'_>) {
    let Some(up) = around.host.links.get(upstream.link) else { return };
    let on_link = around.on_link(up.index);
    let written = effective.ranges.len();
    let mut outermost: Option<Ipv6Net> = None;
    for prefix in &on_link {
        let links = around.host.routes.links_of(prefix, |route| around.ours.include(route));
        let guests_links = links.filter_map(|link| guests_link(link, automatic, around));
        if let Some(both) = guests_links.min_by_key(|link| link.index) {
            effective.problems.push(Problem::SamePrefix(*prefix, up.name.clone(), both.name.clone()));
        }
        // An outer one comes before those in it, and has been looked through with them.
        if outermost.is_some_and(|outer| outer.contains(prefix)) {
            continue;
        }
        outermost = Some(*prefix);
        let mut nested: Vec<Nested> = Vec::new();
        for route in around.host.routes.deciding_inside(prefix, |route| around.ours.include(route)) {
            let net = route.destination;
            // Where the configuration says something, that holds.
            if effective.ranges[..written].iter().any(|range| range.prefix.contains(&net)) {
                continue;
            }
            while nested.last().is_some_and(|outer| !outer.net.contains(&net)) {
                nested.pop();
            }
            let link = route.unicast_link().and_then(|link| guests_link(link, automatic, around));
            let link = link.filter(|_| !on_link.contains(&net));
            let way = link.map(|link| Way { link: link.index, next_hop: route.next_hop });
            let outer = nested.last().copied();
            if outer.is_some_and(|outer| outer.way == way) {
                continue;
            }
            let range = match (link, outer.and_then(|outer| outer.range)) {
                (Some(_), _) if effective.ranges.len() - written >= MOST_RANGES => {
                    effective.problems.push(Problem::TooManyRanges);
                    return;
                }
                (Some(link), _) => {
                    effective.ranges.push(range(route, up, link));
                    effective.places.push(Place { upstream: Some(up.index), downstreams: vec![link.index] });
                    Some(effective.ranges.len() - 1)
                }
                // A part that is another program's.
                (None, Some(outer)) => {
                    effective.ranges[outer].exclude.push(net);
                    None
                }
                (None, None) => None,
            };
            nested.push(Nested { net, way, range });
        }
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
    let is_upstream = around.upstreams.iter().any(|upstream| upstream.link == link.index);
    let is_ignored = automatic.ignore.iter().any(|pattern| pattern.matches(&link.name));
    (!is_upstream && !is_ignored && link.layer != LinkLayer::Loopback).then_some(link)
}

fn range(route: &KernelRoute, upstream: &Link, downstream: &Link) -> RangePolicy {
    RangePolicy {
        prefix: route.destination,
        upstream: Some(upstream.name.clone()),
        downstream: Downstream::Named(downstream.name.clone()),
        answer: match route.next_hop {
            NextHop::OnLink => Answer::Live,
            // Guests behind a router of their own cannot be asked. The program that delegated the prefix to it
            // has said that all of it is there.
            NextHop::Via(_) => Answer::Always,
        },
        routes: RangeRoutes::None,
        backstop: false,
        gateway: None,
        exclude: Vec::new(),
        proxy_downstream: false,
        origin: Origin::Automatic,
    }
}

/// As many are served; a host that routes more prefixes than that is better served by one range
/// around them.
const MOST_RANGES: usize = 4_096;
