//! Guests that take more for their own link than is on it: a /64 mask where a /112 belongs.
//!
//! Such a guest asks its own link for the router's neighbors instead of sending to its gateway, and nobody
//! answers. Its question shows it (RFC 4861 §5.2: what is on-link is asked for, everything else goes to a
//! router), and the one that looks for the fault is told; nothing else follows.

use core::net::Ipv6Addr;
use std::collections::BTreeMap;

use ipnet::Ipv6Net;

use crate::engine::facts::IfIndex;
use crate::engine::host::Host;
use crate::engine::plan::Plan;
use crate::wire::Solicitation;

/// The last such guest behind each downstream.
#[derive(Debug, Default)]
pub struct Masks {
    by_link: BTreeMap<IfIndex, WideMask>,
}

/// A guest that asked its own link for something beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WideMask {
    /// The guest.
    pub guest: Ipv6Addr,
    /// What it took for a neighbor.
    pub asked_for: Ipv6Addr,
}

impl Masks {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (IfIndex, WideMask)> {
        self.by_link.iter().map(|(link, mask)| (*link, *mask))
    }

    /// The link is gone, or guests are answered there, so that nothing is wrong.
    pub fn forget(&mut self, link: IfIndex) {
        self.by_link.remove(&link);
    }

    /// A solicitation on a downstream, from one of its guests. True if it shows a mask that is too short, and
    /// none was known there.
    pub fn look(&mut self, link: IfIndex, solicitation: &Solicitation, plan: &Plan, host: &Host) -> bool {
        let (guest, asked_for) = (solicitation.source, solicitation.target);
        if asked_for.is_unicast_link_local() || host.links.is_of_host(asked_for) {
            return false;
        }
        let is_behind = |address| {
            plan.find(address).is_some_and(|range| plan.behind(range, address, host).contains(link))
        };
        if !is_behind(guest) || is_behind(asked_for) {
            return false;
        }
        // It is on the upstream's link, and not on this one.
        let prefix = Ipv6Net::from(asked_for);
        let is_upstreams =
            plan.bindings.upstreams.iter().any(|upstream| host.links.is_on_link(upstream.link, &prefix));
        if !is_upstreams || host.links.is_on_link(link, &prefix) {
            return false;
        }
        self.by_link.insert(link, WideMask { guest, asked_for }).is_none()
    }
}
