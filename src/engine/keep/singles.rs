//! Routes to a single address that are a range's, or lead to a prefix that is routed to a guest. In the kernel they
//! look as guests' own do, so each is known to one of both keepers, and goes over with what is known of it.

use core::net::Ipv6Addr;

use super::keeper::Found;
use super::routes::{Routes, slot};
use crate::engine::facts::{IfIndex, KernelRoute, NextHop, RouteKind};
use crate::engine::host::Host;
use crate::engine::policy::RoutePolicy;

impl Routes {
    /// The guest whose route this is, and its link.
    pub fn guest_of(&self, route: &KernelRoute) -> Option<(Ipv6Addr, IfIndex)> {
        self.single_of(route).filter(|(target, _)| !self.singles.contains_key(target))
    }

    /// The address and the link of a route of ours that looks like a guest's.
    fn single_of(&self, route: &KernelRoute) -> Option<(Ipv6Addr, IfIndex)> {
        let RoutePolicy { table, protocol, metric, .. } = self.policy;
        let is_single = route.destination.prefix_len() == 128
            && route.protocol == protocol
            && route.table == table
            && route.metric == metric
            && route.next_hop == NextHop::OnLink
            && route.source.is_none();
        match route.kind {
            RouteKind::Unicast(link) if is_single => Some((route.destination.addr(), link)),
            _ => None,
        }
    }

    /// A range, or a prefix that is routed to a guest, wants this route.
    pub(super) fn take_single(&mut self, route: &KernelRoute, host: &mut Host) {
        let Some((target, _)) = self.single_of(route) else { return };
        if self.singles.contains_key(&target) {
            return;
        }
        let shadowed = self.shadowed.remove(&target);
        let wish = shadowed.or_else(|| self.guests.wanted(&target).copied());
        if let Some(link) = self.guests.forget(&target) {
            host.routes.insert(self.guest(target, link));
        }
        self.singles.insert(target, wish);
    }

    /// None wants this one any more. A guest may.
    pub(super) fn give_single(&mut self, route: &KernelRoute, host: &mut Host) {
        let Some((target, _)) = self.single_of(route) else { return };
        let Some(wish) = self.singles.remove(&target) else { return };
        let slot = slot(route);
        let there = self.ranges.found_at(&slot).cloned();
        let single = there.as_ref().and_then(|there| self.single_of(there));
        // One by a next hop is removed as any other.
        if there.is_none() || single.is_some() {
            self.ranges.forget(&slot);
        }
        if let (Some(there), Some((_, link))) = (there, single) {
            host.routes.remove(&there);
            self.guests.found(target, Found::Ours(link));
        }
        if let Some(link) = wish {
            self.want_guest(target, link, host);
        }
    }
}
