//! Guests that take more for their own link than is on it: a /64 mask where a /112 belongs.
//!
//! Such a guest asks its own link for the gateway's neighbors instead of sending to its gateway, and
//! nobody answers. Its question shows it (RFC 4861 §5.2: what is on-link is asked for, everything else
//! goes to a router), and whoever looks for the fault is told; nothing else follows.

use core::net::Ipv6Addr;
use std::collections::BTreeMap;

use ipnet::Ipv6Net;

use super::facts::IfIndex;
use super::{Engine, Event};
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

    /// The link is gone.
    pub fn forget(&mut self, link: IfIndex) {
        self.by_link.remove(&link);
    }
}

impl Engine {
    /// A solicitation on a downstream, from one of its guests.
    pub(super) fn look_at_mask(&mut self, link: IfIndex, solicitation: &Solicitation) {
        let (guest, asked_for) = (solicitation.source, solicitation.target);
        // Where such guests are answered nothing is wrong.
        if self.answers_guests_on(link) {
            return;
        }
        if asked_for.is_unicast_link_local() || self.links.is_of_host(asked_for) {
            return;
        }
        let is_behind =
            |address| self.ranges.find(address).is_some_and(|r| self.behind(r, address).contains(link));
        if !is_behind(guest) || is_behind(asked_for) {
            return;
        }
        // Of the upstream's link it is, and not of this one.
        let prefix = Ipv6Net::from(asked_for);
        let is_upstream_s = self.bindings.upstreams.iter().any(|up| self.links.is_on_link(up.link, &prefix));
        if is_upstream_s && !self.links.is_on_link(link, &prefix) {
            let is_new = self.masks.by_link.insert(link, WideMask { guest, asked_for }).is_none();
            if is_new {
                self.tell(Event::WideMask(guest, link, asked_for));
            }
        }
    }
}
