//! Which interfaces the policy means at this moment: names bound to indices.
//!
//! A pure function of policy, links and default routes, computed anew whenever one of them changes;
//! so an interface may appear, vanish or be renamed at any time.

use core::net::Ipv6Addr;
use std::fmt;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use super::facts::{IfIndex, IfName, Link, LinkLayer};
use super::gateway_address::Obstacle;
use super::links::Links;
use super::policy::{
    Announce, Downstream, GatewaySource, Override, Policy, RangePolicy, Source, UpstreamInterface,
    UpstreamPolicy,
};
use crate::wire::Mac;

/// What the policy means at this moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Bindings {
    /// The upstreams that are there.
    pub upstreams: Vec<Upstream>,
    /// For each range of the policy, in its order: where it is served.
    pub ranges: Vec<Place>,
    /// What is not there, or cannot be used.
    pub problems: Vec<Problem>,
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
    /// Whether the groups of what is answered for are joined.
    pub mld: bool,
    /// Whether the kernel is kept from unicast solicitations.
    pub suppress_kernel: bool,
    /// Its link-local address.
    pub link_local: Option<Ipv6Addr>,
    /// Its address of wider scope.
    pub global: Option<Ipv6Addr>,
    /// The address that the policy names for it, if it has that.
    pub fixed: Option<Ipv6Addr>,
}

/// Where one range is served.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The upstream on which it is answered for.
    pub upstream: Option<IfIndex>,
    /// Its downstreams that are there, in ascending order; none where the kernel's routes decide.
    pub downstreams: Vec<IfIndex>,
}

/// Something that the policy asks for and the host does not have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Problem {
    /// No interface has this name.
    UpstreamMissing(IfName),
    /// The upstream is to be the interface of the default route, and there is none.
    NoDefaultRoute,
    /// Nothing arrives at the socket of a port; its master is the interface to name.
    UpstreamIsPort(IfName, IfName),
    /// There is no Neighbor Discovery on such an interface.
    UpstreamWithoutLinkLayer(IfName),
    /// The upstream has no such address, or cannot use it yet; so nothing is answered.
    SourceMissing(IfName, Ipv6Addr),
    /// Several upstreams are there, and none has a prefix that covers the range.
    NoUpstreamForRange(Ipv6Net),
    /// No interface has this name.
    DownstreamMissing(Ipv6Net, IfName),
    /// The guests cannot be on the side that asks for them.
    DownstreamIsUpstream(Ipv6Net, IfName),
    /// No upstream has a /64 that the suffix could be put under.
    NoPrefixForSuffix(Ipv6Net),
    /// The whole on-link prefix of the first is on the second too, which automatic cannot serve.
    SamePrefix(Ipv6Net, IfName, IfName),
    /// The kernel routes more prefixes than can be served automatically.
    TooManyRanges,
    /// The kernel does not take the guests' gateway on this downstream.
    GatewayRefused(IfName, Ipv6Addr, Obstacle),
}

impl Bindings {
    /// Binds the policy to the host as it is. `default_routes` are the interfaces that default
    /// routes leave by; `before` is what was bound so far.
    pub fn resolve(policy: &Policy, links: &Links, default_routes: &[IfIndex], before: &Self) -> Self {
        let mut bound = Self::default();
        // An interface that is named follows its own policy, also if the default route leaves by it.
        let (named, unnamed): (Vec<_>, Vec<_>) = policy
            .upstreams
            .iter()
            .enumerate()
            .partition(|(_, upstream)| upstream.interface != UpstreamInterface::DefaultRoute);
        for upstream in named.into_iter().chain(unnamed) {
            bound.bind_upstream(upstream, links, default_routes, before);
        }
        bound.ranges = policy.ranges.iter().map(|range| bound.place(range, links)).collect();
        for (range, place) in policy.ranges.iter().zip(&bound.ranges) {
            bound.problems.extend(problem_of(range, place, links, &bound.upstreams));
        }
        bound
    }

    /// The upstream of this index.
    pub fn upstream(&self, link: IfIndex) -> Option<&Upstream> {
        self.upstreams.iter().find(|upstream| upstream.link == link)
    }

    fn bind_upstream(
        &mut self,
        (position, policy): (usize, &UpstreamPolicy),
        links: &Links,
        default_routes: &[IfIndex],
        before: &Self,
    ) {
        let candidates: Vec<IfIndex> = match &policy.interface {
            UpstreamInterface::Named(name) => match links.named(name) {
                Some(link) => vec![link.index],
                None => return self.problems.push(Problem::UpstreamMissing(name.clone())),
            },
            UpstreamInterface::DefaultRoute if !default_routes.is_empty() => default_routes.to_vec(),
            // The default route may go for a moment, while it is changed or the router's
            // advertisement is late; the guests are still there, and the upstream still is it.
            UpstreamInterface::DefaultRoute => {
                let others = before.upstreams.iter().map(|upstream| upstream.link);
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
            let fixed = match source {
                Source::Address(address) => Some(address).filter(|address| links.can_use(link, *address)),
                _ => None,
            };
            if let (Source::Address(address), None, Some(link)) = (source, fixed, links.get(link)) {
                self.problems.push(Problem::SourceMissing(link.name.clone(), address));
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
                .or_else(|| self.upstreams.first().filter(|_| self.upstreams.len() == 1))
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
        downstreams.retain(|link| self.upstream(*link).is_none());
        Place { upstream, downstreams }
    }
}

/// The address of an interface that can be an upstream.
fn mac_of_upstream(link: &Link, links: &Links) -> Result<Mac, Problem> {
    let LinkLayer::Ethernet(mac) = link.layer else {
        return Err(Problem::UpstreamWithoutLinkLayer(link.name.clone()));
    };
    match link.master.and_then(|master| links.get(master)) {
        Some(master) => Err(Problem::UpstreamIsPort(link.name.clone(), master.name.clone())),
        None => Ok(mac),
    }
}

fn problem_of(range: &RangePolicy, place: &Place, links: &Links, upstreams: &[Upstream]) -> Option<Problem> {
    if let Downstream::Named(name) = &range.downstream
        && place.downstreams.is_empty()
    {
        let is_there = links.named(name).is_some();
        let problem = if is_there { Problem::DownstreamIsUpstream } else { Problem::DownstreamMissing };
        return Some(problem(range.prefix, name.clone()));
    }
    // Without any upstream, that is the problem, and it has been named already.
    (place.upstream.is_none() && !upstreams.is_empty()).then_some(Problem::NoUpstreamForRange(range.prefix))
}

/// How much of the policy a problem concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// An upstream, and whatever is served there.
    Upstream,
    /// One range; the others are served.
    Range,
    /// Nothing, for long: an address that is still being checked, say. Or one interface among others.
    Passing,
}

impl Problem {
    /// How much of the policy it concerns.
    pub fn scope(&self) -> Scope {
        match self {
            Self::UpstreamMissing(_)
            | Self::NoDefaultRoute
            | Self::UpstreamIsPort(..)
            | Self::UpstreamWithoutLinkLayer(_) => Scope::Upstream,
            Self::NoUpstreamForRange(_) | Self::DownstreamMissing(..) | Self::DownstreamIsUpstream(..) => {
                Scope::Range
            }
            Self::SourceMissing(..)
            | Self::NoPrefixForSuffix(_)
            | Self::SamePrefix(..)
            | Self::TooManyRanges
            | Self::GatewayRefused(..) => Scope::Passing,
        }
    }

    /// What to say when it is gone.
    pub fn solved(&self) -> String {
        match self {
            Self::UpstreamMissing(name) => format!("upstream {name} is there now"),
            Self::NoDefaultRoute => "there is an IPv6 default route again".to_owned(),
            Self::UpstreamIsPort(name, master) => format!("upstream {name} is no port of {master} any more"),
            Self::UpstreamWithoutLinkLayer(name) => format!("upstream {name} has a link layer now"),
            Self::SourceMissing(name, address) => format!("upstream {name} has the address {address} now"),
            Self::NoUpstreamForRange(prefix) => format!("range {prefix} has an upstream now"),
            Self::DownstreamMissing(prefix, name) | Self::DownstreamIsUpstream(prefix, name) => {
                format!("range {prefix} has its interface {name} now")
            }
            Self::NoPrefixForSuffix(suffix) => format!("the suffix {suffix} has a /64 to be put under now"),
            Self::SamePrefix(prefix, _, name) => format!("{name} has not the whole {prefix} any more"),
            Self::GatewayRefused(name, address, _) => {
                format!("the gateway {address} is missing on {name} no more")
            }
            Self::TooManyRanges => "all that the kernel routes can be served again".to_owned(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UpstreamMissing(name) => write!(
                f,
                "upstream {name}: there is no such interface; `ip link` lists those there are, and the one \
                 towards the provider's router is the upstream"
            ),
            Self::NoDefaultRoute => write!(
                f,
                "there is no IPv6 default route to tell the upstream by; name it with `interface` in \
                 [[upstream]] or with --upstream"
            ),
            Self::UpstreamIsPort(name, master) => write!(
                f,
                "upstream {name} is a port of {master}, so solicitations arrive at {master}: name {master} \
                 as the upstream"
            ),
            Self::UpstreamWithoutLinkLayer(name) => write!(
                f,
                "upstream {name} has no link layer (tun, WireGuard, PPP), so nobody sends solicitations \
                 there: the provider routes to this host anyway, and no answers are needed"
            ),
            Self::SourceMissing(name, address) => write!(
                f,
                "upstream {name} has no address {address} that it can use, so nothing is answered there: add it \
                 with `ip -6 addr add {address}/64 dev {name}`, or choose another `source` in [[upstream]]"
            ),
            Self::NoUpstreamForRange(prefix) => write!(
                f,
                "range {prefix}: several upstreams are there, and none has an address whose prefix covers \
                 it; name one with `upstream` in [[range]]"
            ),
            Self::DownstreamMissing(prefix, name) => write!(
                f,
                "range {prefix}: there is no interface {name} for its guests; `ip link` lists those there \
                 are: start what makes it, or mend `interface` in [[range]]"
            ),
            Self::DownstreamIsUpstream(prefix, name) => write!(
                f,
                "range {prefix}: {name} is the upstream, and the guests cannot be on the side that asks for \
                 them; name the interface that they are behind"
            ),
            Self::NoPrefixForSuffix(suffix) => write!(
                f,
                "the suffix {suffix} is not served: its upstream has no /64 yet to put it under; \
                 `ip -6 addr` and `ip -6 route` show what the upstream has"
            ),
            Self::SamePrefix(prefix, upstream, name) => write!(
                f,
                "{prefix} is on {upstream} and on {name}, so it is not served automatically: give {name} a \
                 longer prefix out of it, a /112 say, or write a [[range]] for it"
            ),
            Self::GatewayRefused(name, address, obstacle) => {
                write!(f, "the guests behind {name} have no gateway {address}: {}", obstacle.on(name))
            }
            Self::TooManyRanges => write!(
                f,
                "the kernel routes more prefixes to other interfaces than can be served automatically; the \
                 others are left out: write a [[range]] that covers them"
            ),
        }
    }
}

#[cfg(test)]
#[path = "bindings_tests.rs"]
mod tests;
