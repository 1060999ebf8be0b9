//! Which interfaces the policy means at this moment: names bound to indices.
//!
//! A pure function of policy, links and default routes, computed again whenever one of them changes;
//! so an interface may appear, vanish or be renamed at any time.

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};

use crate::engine::facts::{IfIndex, IfName, Link, LinkLayer, Lower};
use crate::engine::host::links::Links;
use crate::engine::pattern::IfPattern;
use crate::engine::policy::{
    Announce, Downstream, GatewaySource, Mld, Override, RangePolicy, Source, UpstreamInterface,
    UpstreamPolicy,
};
use crate::wire::Mac;

pub use super::problem::{Problem, Scope};
pub use super::reach::Extent;

/// What the policy means at this moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Bindings {
    /// The upstreams that are there.
    pub upstreams: Vec<Upstream>,
    /// For each range of the policy, in its order: where it is served.
    pub ranges: Vec<Place>,
    /// For each of them: whether a route leads some of it, or all, back out of an upstream. So a question costs a look
    /// at the routes only where that can matter.
    pub may_lead_back: Vec<bool>,
    /// What is not there, or cannot be used.
    pub problems: Vec<Problem>,
    /// Links that are none of the upstreams, and on the same link as one of them: a macvlan, macvtap or ipvlan that
    /// shares it, a port of the bridge that it is. Stations there answer for themselves.
    pub beside: BTreeMap<IfIndex, IfIndex>,
    /// Upstreams that are bridges, and have guests of a range on other ports than the router's.
    pub shared: BTreeSet<IfIndex>,
}

/// An upstream that is there, with everything that an answer takes from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upstream {
    /// The interface.
    pub link: IfIndex,
    /// Its position in the policy.
    pub policy: usize,
    /// Its own address.
    pub mac: Mac,
    /// The R flag of answers.
    pub router: bool,
    /// When the O flag is set.
    pub override_flag: Override,
    /// Which source answers carry.
    pub source: Source,
    /// What is announced.
    pub announce: Announce,
    /// Who keeps the gateway's neighbor entry fresh.
    pub gateway_source: GatewaySource,
    /// What switches that snoop MLD are told.
    pub mld: Mld,
    /// Whether the kernel is kept from unicast solicitations.
    pub suppress_kernel: bool,
    /// Its link-local address.
    pub link_local: Option<Ipv6Addr>,
    /// Its address of wider scope, the preferred one if it has several.
    pub global: Option<Ipv6Addr>,
    /// True if it has several of wider scope, so that the asker decides which one answers.
    pub has_several: bool,
    /// The address that the policy names for it, if it has that.
    pub fixed: Option<Ipv6Addr>,
}

impl Upstream {
    /// Whether anything is sent here unasked, or overrides what others believe.
    pub fn is_claimed_on(&self) -> bool {
        self.announce != Announce::No || self.override_flag == Override::Always
    }
}

/// Where one range is served.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The upstream on which it is answered for.
    pub upstream: Option<IfIndex>,
    /// Its downstreams that are there, in ascending order; none where the kernel's routes decide.
    pub downstreams: Vec<IfIndex>,
    /// One that it means and that is left out, where there is no other: it is on an upstream's own link.
    pub refused: Option<IfIndex>,
    /// How much of the upstream's own link it is.
    pub extent: Extent,
    /// Whether it has the backstop that it asks for: not where that would take away what is not behind this host.
    pub has_backstop: bool,
}

impl Place {
    /// The upstream itself, if the guests are on other ports of it.
    pub fn own_bridge(&self) -> Option<IfIndex> {
        self.upstream.filter(|upstream| self.downstreams.binary_search(upstream).is_ok())
    }
}

impl Bindings {
    /// The upstreams of the policy on the host as it is. What is wrong with one on which nothing is done is no problem
    /// (`is_needed`). `default_routes` are the interfaces that default
    /// routes leave by; `before` are the upstreams that there were so far.
    pub(super) fn of_upstreams(
        policy: &[UpstreamPolicy],
        is_needed: impl Fn(&UpstreamPolicy) -> bool,
        links: &Links,
        default_routes: &[IfIndex],
        before: &[Upstream],
    ) -> Self {
        let mut bound = Self::default();
        // An interface that is named follows its own policy, also if the default route leaves by it.
        let (named, unnamed): (Vec<_>, Vec<_>) = policy
            .iter()
            .enumerate()
            .partition(|(_, upstream)| upstream.interface != UpstreamInterface::DefaultRoute);
        for upstream in named.into_iter().chain(unnamed) {
            let told = bound.problems.len();
            bound.bind_upstream(upstream, links, default_routes, before);
            if !is_needed(upstream.1) {
                bound.problems.truncate(told);
            }
        }
        bound.beside = bound.beside_upstreams(links);
        bound
    }

    fn beside_upstreams(&self, links: &Links) -> BTreeMap<IfIndex, IfIndex> {
        let mut bottoms: Vec<_> = self.upstreams.iter().map(|up| (links.bottom(up.link), up.link)).collect();
        add_other_ends(&mut bottoms, links);
        let others = links.iter().filter(|link| self.upstream(link.index).is_none());
        let beside = others.filter_map(|link| {
            let bottom = links.bottom(link.index);
            let (_, upstream) = bottoms.iter().find(|(other, _)| *other == bottom)?;
            Some((link.index, *upstream))
        });
        beside.collect()
    }

    /// Places the ranges; those whose place is known already keep it.
    pub(super) fn place_ranges(&mut self, ranges: &[RangePolicy], known: Vec<Place>, links: &Links) {
        let placed = ranges.len() - known.len();
        self.ranges = ranges[..placed].iter().map(|range| self.place(range, links)).collect();
        self.ranges.extend(known);
        self.shared = self.ranges.iter().filter_map(Place::own_bridge).collect();
        for (range, place) in ranges.iter().zip(&self.ranges) {
            self.problems.extend(problems_of(range, place, links, (&self.upstreams, &self.beside)));
        }
    }

    /// The upstream of this index.
    pub fn upstream(&self, link: IfIndex) -> Option<&Upstream> {
        self.upstreams.iter().find(|upstream| upstream.link == link)
    }

    /// Whether stations on this link are on the own link of an upstream: it is one, or is beside one.
    pub fn is_on_an_upstream(&self, link: IfIndex) -> bool {
        self.upstream(link).is_some() || self.beside.contains_key(&link)
    }

    fn bind_upstream(
        &mut self,
        (position, policy): (usize, &UpstreamPolicy),
        links: &Links,
        default_routes: &[IfIndex],
        before: &[Upstream],
    ) {
        let candidates: Vec<IfIndex> = match &policy.interface {
            UpstreamInterface::Named(name) => match links.named(name) {
                Some(link) => vec![link.index],
                None => return self.problems.push(Problem::UpstreamMissing(*name)),
            },
            UpstreamInterface::DefaultRoute if !default_routes.is_empty() => default_routes.to_vec(),
            // The default route may go for a moment, while it is changed or the router's
            // advertisement is late; the guests are still there, and the upstream still is it.
            UpstreamInterface::DefaultRoute => {
                let others = before.iter().map(|upstream| upstream.link);
                others.filter(|link| self.upstream(*link).is_none()).collect()
            }
        };
        let mut unusable = Vec::new();
        let mut usable = false;
        for link in candidates.into_iter().filter_map(|index| links.get(index)) {
            match mac_of_upstream(link, links) {
                Ok(mac) => {
                    usable = true;
                    self.add_upstream((position, policy), link.index, mac, links);
                }
                Err(problem) => unusable.push(problem),
            }
        }
        // A default route may well leave by a tunnel besides; that is a fault only if it is all.
        if !usable || policy.interface != UpstreamInterface::DefaultRoute {
            if unusable.is_empty() && !usable {
                unusable.push(Problem::NoDefaultRoute);
            }
            self.problems.append(&mut unusable);
        }
    }

    fn add_upstream(
        &mut self,
        (position, policy): (usize, &UpstreamPolicy),
        link: IfIndex,
        mac: Mac,
        links: &Links,
    ) {
        if self.upstream(link).is_none() {
            let &UpstreamPolicy { router, override_flag, source, announce, gateway_source, .. } = policy;
            let &UpstreamPolicy { mld, suppress_kernel, .. } = policy;
            let (link_local, global) = (links.link_local(link), links.global(link));
            let globals = links.addresses_of(link).filter(|known| !known.address.is_unicast_link_local());
            let has_several = globals.take(2).count() > 1;
            let fixed = match source {
                Source::Address(address) => Some(address).filter(|address| links.can_use(link, *address)),
                _ => None,
            };
            if let (Source::Address(address), None, Some(link)) = (source, fixed, links.get(link)) {
                self.problems.push(Problem::SourceMissing(link.name, address));
            }
            let is_mute = match source {
                Source::Auto | Source::Scope => link_local.or(global).is_none(),
                Source::LinkLocal => link_local.is_none(),
                Source::Global => global.is_none(),
                Source::Target | Source::Address(_) => false,
            };
            if let Some(link) = links.get(link).filter(|_| is_mute) {
                self.problems.push(Problem::UpstreamWithoutAddress(link.name));
            }
            self.upstreams.push(Upstream {
                link,
                policy: position,
                mac,
                router,
                override_flag,
                source,
                announce,
                gateway_source,
                mld,
                suppress_kernel,
                link_local,
                global,
                has_several,
                fixed,
            });
        }
    }

    fn place(&self, range: &RangePolicy, links: &Links) -> Place {
        let upstream = match &range.upstream {
            Some(name) => links.named(name).map(|link| link.index).filter(|up| self.upstream(*up).is_some()),
            None => self
                .upstreams
                .iter()
                .find(|upstream| links.is_on_link(upstream.link, &range.prefix))
                // One that needs none does not follow it as it comes and goes.
                .or_else(|| {
                    let is_meant = self.upstreams.len() == 1 && range.needs_upstream();
                    self.upstreams.first().filter(|_| is_meant)
                })
                .map(|upstream| upstream.link),
        };
        let mut downstreams: Vec<_> = match &range.downstream {
            Downstream::Named(name) => links.named(name).map(|link| link.index).into_iter().collect(),
            Downstream::Matching(patterns) => {
                // `*` means those that guests can be behind, and nobody is behind `lo`.
                let is_meant = |link: &&Link| {
                    !link.name.is_loopback() && patterns.iter().any(|pattern| pattern.matches(&link.name))
                };
                links.iter().filter(is_meant).map(|link| link.index).collect()
            }
            Downstream::Kernel => Vec::new(),
        };
        // On an upstream's own link guests are told from strangers by the port that they are behind.
        let is_named = matches!(range.downstream, Downstream::Named(_));
        let is_own_bridge = |link: IfIndex| {
            is_named && upstream == Some(link) && links.get(link).is_some_and(|link| link.is_bridge)
        };
        let refused = downstreams.first().copied();
        downstreams.retain(|link| !self.is_on_an_upstream(*link) || is_own_bridge(*link));
        let refused = refused.filter(|_| downstreams.is_empty());
        Place { upstream, downstreams, refused, ..Place::default() }
    }
}

/// A veth whose ends are both on this host makes one link of the two that its ends are on, as a veth into the bridge
/// that is the upstream: those that are on an upstream's link in that way too are added.
fn add_other_ends(bottoms: &mut Vec<(Lower, IfIndex)>, links: &Links) {
    let pairs = links.iter().filter_map(|link| Some((links.bottom(link.index), links.bottom(link.peer?))));
    let mut pairs: Vec<_> = pairs.filter(|(one, other)| one != other).collect();
    loop {
        let upstream_of = |end: &Lower| bottoms.iter().find(|(known, _)| known == end).map(|(_, up)| *up);
        let next =
            pairs.iter().position(|(one, other)| upstream_of(one).is_some() && upstream_of(other).is_none());
        let Some(next) = next else { return };
        let (one, other) = pairs.swap_remove(next);
        bottoms.extend(upstream_of(&one).map(|upstream| (other, upstream)));
    }
}

/// The address of an interface that can be an upstream.
fn mac_of_upstream(link: &Link, links: &Links) -> Result<Mac, Problem> {
    let (LinkLayer::Ethernet(mac) | LinkLayer::NoDiscovery(mac)) = link.layer else {
        return Err(Problem::UpstreamWithoutLinkLayer(link.name));
    };
    match link.master.and_then(|master| links.get(master)) {
        Some(master) => Err(Problem::UpstreamIsPort(link.name, master.name)),
        None => Ok(mac),
    }
}

/// The interfaces that it has by their names, and not by a pattern, of which none need be there.
fn names_in(downstream: &Downstream) -> Vec<IfName> {
    match downstream {
        Downstream::Named(name) => vec![*name],
        Downstream::Matching(patterns) => {
            let names = patterns.iter().filter(|pattern| !IfPattern::is_pattern(pattern.as_str()));
            names.filter_map(|name| name.as_str().parse().ok()).collect()
        }
        Downstream::Kernel => Vec::new(),
    }
}

fn problems_of(
    range: &RangePolicy,
    place: &Place,
    links: &Links,
    (upstreams, beside): (&[Upstream], &BTreeMap<IfIndex, IfIndex>),
) -> Vec<Problem> {
    let name_of = |link: IfIndex| links.get(link).map(|link| link.name);
    let upstream_of = |link: IfIndex| beside.get(&link).copied().unwrap_or(link);
    let mut problems: Vec<_> = names_in(&range.downstream)
        .into_iter()
        .filter_map(|name| match links.named(&name) {
            None => Some(Problem::AlsoMissing(range.prefix, name)),
            Some(link) if place.downstreams.binary_search(&link.index).is_ok() => None,
            Some(link) => {
                Some(Problem::AlsoOnUpstream(range.prefix, name, name_of(upstream_of(link.index))?))
            }
        })
        .collect();
    if let Some((name, refused)) = place.refused.and_then(|link| Some((name_of(link)?, link))) {
        let is_own =
            |problem: &Problem| matches!(problem, Problem::AlsoOnUpstream(_, own, _) if *own == name);
        problems.retain(|problem| !is_own(problem));
        let upstream = beside.get(&refused).and_then(|upstream| name_of(*upstream));
        problems.insert(
            0,
            match upstream {
                Some(upstream) => Problem::DownstreamBesideUpstream(range.prefix, name, upstream),
                None => Problem::DownstreamIsUpstream(range.prefix, name),
            },
        );
    } else if place.downstreams.is_empty()
        && let Some(Problem::AlsoMissing(prefix, name)) = problems.first().cloned()
    {
        problems[0] = Problem::DownstreamMissing(prefix, name);
    }
    // Without any upstream, that is the problem, and it has been named already.
    let is_missing = place.upstream.is_none() && range.needs_upstream();
    if problems.is_empty() && is_missing && !upstreams.is_empty() {
        problems.push(Problem::NoUpstreamForRange(range.prefix));
    }
    problems
}

#[cfg(test)]
#[path = "bindings_tests.rs"]
mod tests;
