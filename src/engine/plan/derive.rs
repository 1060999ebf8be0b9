//! Effective ranges: what the policy means on the host as it is.
//!
//! A pure function of the policy as it was written, the upstreams that are there, and the kernel's
//! addresses and routes, computed again whenever one of them changes. Ranges of the configuration come
//! first and are never overruled; then those of its suffixes; then what automatic finds.

use core::net::Ipv6Addr;
use std::collections::BTreeSet;

use ipnet::Ipv6Net;

use super::automatic::Search;
use super::bindings::{Bindings, Place, Problem};
use super::ranges::Ranges;
use crate::engine::facts::{AddressState, IfIndex, KernelRoute, NextHop};
use crate::engine::host::Host;
use crate::engine::host::routes::LOCAL;
use crate::engine::ours::Ours;
use crate::engine::policy::{LeftOut, Origin, Policy, RangePolicy, UpstreamPolicy};

/// What a policy means on the host as it is.
#[derive(Debug, Default)]
pub struct Effective {
    /// Every range, no two with the same prefix.
    pub ranges: Vec<RangePolicy>,
    /// Where the last of them are served: those of which that follows from how they were found.
    pub places: Vec<Place>,
    /// What could not be served.
    pub problems: Vec<Problem>,
}

/// The host as it is, and which of its interfaces are upstreams.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// The upstreams that are there, and what is beside them.
    pub bindings: &'a Bindings,
    /// What the kernel says.
    pub host: &'a Host,
    /// Which of its routes are ours, so that nothing follows from them.
    pub ours: &'a Ours,
}

impl Policy {
    /// Which routes say something, beside those to its ranges.
    pub fn curiosity(&self) -> Curiosity {
        let any = |is: fn(&UpstreamPolicy) -> bool| self.upstreams.iter().any(is);
        if !self.suffixes.is_empty() || any(|upstream| upstream.automatic.is_some()) {
            Curiosity::Ranges
        } else if any(|upstream| upstream.left_out == LeftOut::Named) {
            Curiosity::Networks
        } else {
            Curiosity::Nothing
        }
    }

    /// True for a foreign route that could make a range, be a part that a range leaves out, or lead to a network that
    /// nobody serves. That must not depend on what else is known, because routes are told before the addresses that
    /// make them matter, and after; nor on rules, which may come after the routes of their tables. Those that are not on-link count from /49 on, so that a full table of the
    /// Internet is not kept.
    pub fn could_follow(&self, route: &KernelRoute) -> bool {
        let is_local = |address: Ipv6Addr| address.is_multicast() || address.is_unicast_link_local();
        let is_on_link = route.unicast_link().is_some() && route.next_hop == NextHop::OnLink;
        let is_long = route.destination.prefix_len() > 48;
        let is_asked_for = match self.curiosity() {
            Curiosity::Ranges => is_on_link || is_long,
            Curiosity::Networks => is_long,
            Curiosity::Nothing => false,
        };
        is_asked_for && route.table != LOCAL && !is_local(route.destination.addr())
    }
}

/// Which routes say something, beside those to ranges. What comes later takes in more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Curiosity {
    /// None.
    Nothing,
    /// Those to networks that nobody serves.
    Networks,
    /// Those from which ranges follow.
    Ranges,
}

/// Effective ranges, as far as they have been found.
#[derive(Debug)]
pub struct Derivation {
    /// What has been found.
    pub effective: Effective,
    /// The upstream that is being looked at, the ranges that there were before, and what is looked for there by
    /// itself.
    upstream: usize,
    search: Option<(Ranges, Search)>,
}

impl Derivation {
    /// Those that are written, and those of suffixes.
    pub fn begin(written: &Policy, around: Around<'_>) -> Self {
        let mut effective = Effective { ranges: written.ranges.clone(), ..Effective::default() };
        let mut prefixes: BTreeSet<_> = written.ranges.iter().map(|range| range.prefix).collect();
        for suffix in &written.suffixes {
            let found = under_prefixes(suffix, around);
            if found.is_empty() && !around.bindings.upstreams.is_empty() {
                effective.problems.push(Problem::NoPrefixForSuffix(suffix.prefix));
            }
            effective.ranges.extend(found.into_iter().filter(|range| prefixes.insert(range.prefix)));
        }
        Self { effective, upstream: 0, search: None }
    }

    /// Those that follow from routes; `most` are looked at. True at the end.
    pub fn go_on(&mut self, written: &Policy, around: Around<'_>, most: usize) -> bool {
        while let Some(upstream) = around.bindings.upstreams.get(self.upstream) {
            if let Some(automatic) = &written.upstreams[upstream.policy].automatic {
                let effective = &mut self.effective;
                let asked = (automatic, upstream);
                let (before, search) = self.search.get_or_insert_with(|| {
                    (Ranges::new(&effective.ranges), Search::begin(effective, asked, around))
                });
                // There what the configuration says holds.
                let is_served = |route: &KernelRoute| before.covers(&route.destination);
                if !search.go_on(effective, asked, around, is_served, most) {
                    return false;
                }
                search.take_own(effective, asked, around, before);
            }
            (self.upstream, self.search) = (self.upstream + 1, None);
        }
        true
    }
}

impl RangePolicy {
    /// The range that this suffix stands for in one /64 of an upstream.
    fn under(&self, prefix: Ipv6Net) -> Self {
        let upper = prefix.network().to_bits();
        let put = |net: &Ipv6Net| {
            let address = Ipv6Addr::from_bits(upper | net.network().to_bits());
            Ipv6Net::new(address, net.prefix_len()).expect("the length that it had")
        };
        Self {
            prefix: put(&self.prefix),
            exclude: self.exclude.iter().map(put).collect(),
            origin: Origin::Suffix,
            ..self.clone()
        }
    }
}

impl Around<'_> {
    /// What is on-link at this upstream: the prefixes of its addresses, and what routes say.
    pub fn on_link(&self, link: IfIndex) -> BTreeSet<Ipv6Net> {
        let of_addresses = self.prefixes(link);
        // Shorter ones are a default route by another name.
        let of_routes = self
            .host
            .routes
            .on_link(link, |route| self.ours.include(route))
            .filter(|prefix| prefix.prefix_len() >= 48);
        let of_addresses = of_addresses.filter(|prefix| prefix.prefix_len() < 128);
        of_addresses.map(|prefix| prefix.trunc()).chain(of_routes).collect()
    }

    /// The /64s of this upstream: those of its addresses first.
    fn slash_64s(&self, link: IfIndex) -> BTreeSet<Ipv6Net> {
        let of_addresses = self.prefixes(link).filter(|prefix| prefix.prefix_len() <= 64);
        let of_routes = self
            .host
            .routes
            .on_link(link, |route| self.ours.include(route))
            .filter(|prefix| prefix.prefix_len() == 64);
        let mut found = BTreeSet::new();
        for prefix in of_addresses.chain(of_routes) {
            if found.len() < MOST_PREFIXES {
                found.insert(Ipv6Net::new_assert(prefix.addr(), 64).trunc());
            }
        }
        found
    }

    /// The /64s to put a suffix under. An upstream that has a single address, and no prefix on-link, has the one
    /// around it: that is how a 4G stick and DHCPv6 give it.
    fn suffixed(&self, link: IfIndex) -> BTreeSet<Ipv6Net> {
        let found = self.slash_64s(link);
        if !found.is_empty() {
            return found;
        }
        let around = self.prefixes(link).map(|prefix| Ipv6Net::new_assert(prefix.addr(), 64).trunc());
        around.take(MOST_PREFIXES).collect()
    }

    /// The addresses of this upstream that are in use, each with the length of its prefix.
    pub fn prefixes(&self, link: IfIndex) -> impl Iterator<Item = Ipv6Net> {
        let addresses = self.host.links.addresses_of(link);
        addresses
            .filter(|known| known.state != AddressState::Tentative)
            .filter(|known| !known.address.is_unicast_link_local())
            .filter_map(|known| Ipv6Net::new(known.address, known.prefix_len).ok())
    }
}

/// The range of this suffix under every /64 of its upstreams.
fn under_prefixes(suffix: &RangePolicy, around: Around<'_>) -> Vec<RangePolicy> {
    let mut found = Vec::new();
    for upstream in &around.bindings.upstreams {
        let Some(link) = around.host.links.get(upstream.link) else { continue };
        if suffix.upstream.as_ref().is_some_and(|name| *name != link.name) {
            continue;
        }
        let ranges = around.suffixed(link.index).into_iter().map(|prefix| suffix.under(prefix));
        found.extend(ranges.map(|range| RangePolicy { upstream: Some(link.name), ..range }));
    }
    found
}

/// As many /64s of one upstream count: a router's advertisements bring them, and anybody on the link
/// can advertise. The kernel takes no more addresses of them either (`max_addresses`).
const MOST_PREFIXES: usize = 16;
