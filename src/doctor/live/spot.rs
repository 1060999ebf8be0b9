//! Where the temporary guest goes: a pure choice among what the configuration serves.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::LiveError;
use crate::doctor::Host;
use crate::engine::bindings::{Place, Upstream};
use crate::engine::facts::{IfIndex, IfName, KernelRoute, NextHop};
use crate::engine::policy::{Answer, Downstream, IfPattern, RangePolicy};

/// Where the guest goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    /// The range that it is in.
    pub(super) range: Ipv6Net,
    /// Where the range is answered for.
    pub(super) upstream: Upstream,
    /// How it is attached.
    pub(super) seat: Seat,
}

/// How the guest is attached to the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seat {
    /// As one more port of this bridge.
    Port {
        /// The bridge.
        bridge: IfIndex,
        /// The host's address there.
        gateway: Ipv6Addr,
        /// Bytes: a port with less would take the whole bridge down to it.
        mtu: u32,
    },
    /// On a new interface of this name, which a pattern of the range matches.
    Beside(IfName),
    /// It is the host itself, at an address that it has on this interface.
    Host {
        /// The interface.
        link: IfIndex,
        /// The address, if only one will do.
        address: Option<Ipv6Addr>,
    },
}

impl Spot {
    /// The first range that takes a guest; a range for which the host itself has to stand in comes
    /// after those. With an address, the range of that, whether or not it would be answered for.
    pub(super) fn choose(host: &Host, address: Option<Ipv6Addr>) -> Result<Self, LiveError> {
        let mut refusals = Vec::new();
        let mut ranges: Vec<_> = host.ranges().collect();
        match address {
            Some(address) => {
                ranges.retain(|(range, _)| range.prefix.contains(&address));
                // The longest matching one decides.
                ranges.sort_by_key(|(range, _)| std::cmp::Reverse(range.prefix.prefix_len()));
                ranges.truncate(1);
                if ranges.is_empty() {
                    refusals.push(format!("{address} lies in no range of the configuration"));
                }
            }
            None => {
                ranges.retain(|(range, _)| range.answer != Answer::Never);
                if ranges.is_empty() {
                    let what = match (host.ranges().next(), host.upstreams()) {
                        (None, _) => "write a [[range]], or give one with --range",
                        (Some(_), []) => {
                            "`answer` is \"never\" in each, and there is no upstream: no router asks for anything, and \
                             packets are only routed"
                        }
                        (Some(_), _) => {
                            "`answer` is \"never\" in each; --live-address tries an address of one all the same"
                        }
                    };
                    refusals.push(format!("no range is answered for; {what}"));
                }
            }
        }
        let mut second_best = None;
        for (range, place) in ranges {
            let Some(upstream) = place.upstream.and_then(|link| host.bindings().upstream(link)) else {
                refusals.push(format!("range {} has no upstream", range.prefix));
                continue;
            };
            let spot = |seat| Self { range: range.prefix, upstream: *upstream, seat };
            let own = address.filter(|address| host.links().is_of_host(*address));
            match own
                .map_or_else(|| seat(host, range, place), |_| Err("its address is the host's".to_owned()))
            {
                Ok(seat) => return Ok(spot(seat)),
                Err(why) => {
                    match stand_in(host, range, place, address) {
                        Some(seat) if second_best.is_none() => second_best = Some(spot(seat)),
                        _ => refusals.push(format!("range {}: {why}", range.prefix)),
                    };
                }
            }
        }
        second_best.ok_or(LiveError::NoPlace(refusals))
    }

    /// An address of the range that nobody is known to have; `random` makes up its last 64 bits.
    pub(super) fn address(&self, host: &Host, mut random: impl FnMut() -> u64) -> Option<Ipv6Addr> {
        if let Seat::Host { address: Some(address), .. } = self.seat {
            return Some(address);
        }
        let policies = || host.ranges().map(|(range, _)| range);
        let is_free = |address: Ipv6Addr| {
            let best = policies()
                .filter(|range| range.prefix.contains(&address))
                .max_by_key(|range| range.prefix.prefix_len());
            // The first address of a prefix belongs to every router (RFC 4291 §2.6.1).
            address != self.range.network()
                && best.is_some_and(|range| range.prefix == self.range)
                && !policies()
                    .filter(|range| range.prefix == self.range)
                    .flat_map(|range| &range.exclude)
                    .any(|excluded| excluded.contains(&address))
                && !host.links().is_of_host(address)
                && !host.neighbors.iter().any(|neighbor| neighbor.address == address)
        };
        (0..MOST_DRAWS).find_map(|_| {
            let bits =
                u128::from(self.range.network()) | (u128::from(random()) & u128::from(self.range.hostmask()));
            Some(Ipv6Addr::from(bits)).filter(|address| is_free(*address))
        })
    }
}

/// Where a guest can be attached for this range, or why nowhere.
fn seat(host: &Host, range: &RangePolicy, place: &Place) -> Result<Seat, String> {
    let hop = best_route(&host.routes, range.prefix.network()).and_then(KernelRoute::hop);
    // What is sent to a guest that is put there would go to that router.
    if hop.is_some_and(|hop| host.bindings().upstream(hop.link).is_none()) {
        return Err("the kernel routes it to another router".to_owned());
    }
    match &range.downstream {
        Downstream::Matching(patterns) => beside(host, patterns),
        Downstream::Named(name) if name.is_loopback() => Ok(Seat::Host { link: LOOPBACK, address: None }),
        Downstream::Named(name) => match place.downstreams.first() {
            Some(link) => port(host, *link),
            None => Err(format!("its interface {name} is not there")),
        },
        Downstream::Kernel => match best_route(&host.routes, range.prefix.network()) {
            Some(route) if route.link() == Some(LOOPBACK) => Ok(Seat::Host { link: LOOPBACK, address: None }),
            Some(KernelRoute { next_hop: NextHop::Via(_), .. }) => {
                Err("the kernel routes it to another router".to_owned())
            }
            route => route
                .and_then(KernelRoute::unicast_link)
                .filter(|link| host.bindings().upstream(*link).is_none())
                .ok_or_else(|| "the kernel routes it to no interface for guests".to_owned())
                .and_then(|link| port(host, link)),
        },
    }
}

fn port(host: &Host, link: IfIndex) -> Result<Seat, String> {
    let name = host.name(link);
    let make = host.make(link).filter(|make| make.bridge.is_some());
    let Some(make) = make else {
        return Err(format!("{name} is no bridge, so that no further guest can be put behind it"));
    };
    let links = host.links();
    let gateway = links.link_local(link).or_else(|| links.global(link));
    let gateway = gateway.ok_or_else(|| format!("{name} has no address, so that guests have no gateway"))?;
    Ok(Seat::Port { bridge: link, gateway, mtu: make.mtu })
}

/// A new interface whose name one of the patterns matches.
fn beside(host: &Host, patterns: &[IfPattern]) -> Result<Seat, String> {
    let free = |name: &IfName| host.links().named(name).is_none();
    let name = patterns.iter().find_map(|pattern| {
        FILLINGS.iter().find_map(|filling| {
            let text =
                pattern.as_str().replacen('*', filling, 1).replace('*', "").replace('?', &filling[..1]);
            let name = text.parse::<IfName>().ok();
            name.filter(|name| pattern.matches(name) && free(name))
        })
    });
    let listed = || patterns.iter().map(IfPattern::as_str).collect::<Vec<_>>().join(", ");
    name.map(Seat::Beside)
        .ok_or_else(|| format!("no new interface can have a name that matches {}", listed()))
}

/// An address of the host that lies in the range, on one of its downstreams.
fn stand_in(host: &Host, range: &RangePolicy, place: &Place, address: Option<Ipv6Addr>) -> Option<Seat> {
    let all = place.downstreams.iter().flat_map(|link| host.links().addresses_of(*link));
    all.filter(|known| range.prefix.contains(&known.address))
        .find(|known| address.is_none_or(|address| address == known.address))
        .map(|known| Seat::Host { link: known.link, address: Some(known.address) })
}

/// The route that the kernel takes, unless rules choose by something else than the destination.
pub(super) fn best_route(routes: &[KernelRoute], to: Ipv6Addr) -> Option<&KernelRoute> {
    routes
        .iter()
        .filter(|route| route.source.is_none() && [MAIN, LOCAL].contains(&route.table))
        .filter(|route| route.destination.contains(&to))
        .min_by_key(|route| (std::cmp::Reverse(route.destination.prefix_len()), route.metric))
}

/// The host's own loopback interface.
pub(super) const LOOPBACK: IfIndex = IfIndex(1);

const MAIN: u32 = 254;
const LOCAL: u32 = 255;
const MOST_DRAWS: usize = 64;
/// What stands for the star of a pattern, in the name of a new interface.
const FILLINGS: [&str; 3] = ["lone64live", "l64", "9"];

#[cfg(test)]
#[path = "spot_tests.rs"]
mod tests;
