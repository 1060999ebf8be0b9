//! The kernel's routes that concern us, and the difference between those we want and those there are.
//!
//! Ours are the ones with our protocol number. They are added exclusively, so that a foreign route
//! is never replaced; one in the way is a conflict, and ours waits until it goes. A route costs work
//! only when something happened to its destination, however many there are.

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv6Net;
use prefix_trie::PrefixMap;

use super::facts::{IfIndex, KernelRoute, NextHop, RouteKind};
use super::policy::RoutePolicy;

/// The routes of the kernel that concern us, and what becomes of ours.
#[derive(Debug)]
pub struct Routes {
    policy: RoutePolicy,
    /// Every route that concerns us, ours among them.
    known: PrefixMap<Ipv6Net, Vec<KernelRoute>>,
    by_link: BTreeMap<IfIndex, BTreeSet<Ipv6Net>>,
    wanted: BTreeMap<Ipv6Net, Vec<Wanted>>,
    /// The part of `wanted` that follows from the policy; the rest are the guests' own.
    wish: BTreeSet<KernelRoute>,
    /// Where something happened since the last reconciliation.
    touched: BTreeSet<Ipv6Net>,
    /// Refused by the kernel, to be tried again when a link changes.
    refused: BTreeSet<Ipv6Net>,
    removing: BTreeSet<KernelRoute>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    route: KernelRoute,
    state: RouteState,
}

/// A route to be added or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Add it, exclusively.
    Add(KernelRoute),
    /// Remove it, if it is there.
    Remove(KernelRoute),
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it was asked for.
    Done,
    /// A route with the same destination, table and metric is there.
    Exists,
    /// The kernel refused, and said this.
    Failed(String),
}

/// What became of a route that we want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteState {
    /// Asked for, or to be asked for.
    Pending,
    /// In the kernel.
    Installed,
    /// Kept out by a foreign route.
    Conflict,
    /// Refused by the kernel.
    Refused,
}

impl Routes {
    /// No routes yet.
    pub fn new(policy: RoutePolicy) -> Self {
        Self {
            policy,
            known: PrefixMap::new(),
            by_link: BTreeMap::new(),
            wanted: BTreeMap::new(),
            wish: BTreeSet::new(),
            touched: BTreeSet::new(),
            refused: BTreeSet::new(),
            removing: BTreeSet::new(),
        }
    }

    /// Learns of a route.
    pub fn insert(&mut self, route: KernelRoute) {
        self.touched.insert(route.destination);
        if let Some(link) = route.link() {
            self.by_link.entry(link).or_default().insert(route.destination);
        }
        let at = self.known.entry(route.destination).or_default();
        if !at.contains(&route) {
            at.push(route);
        }
    }

    /// Forgets a route.
    pub fn remove(&mut self, route: &KernelRoute) {
        self.remove_where(route.destination, |known| known == route);
    }

    /// The kernel drops the routes of an interface that goes, not always with a word.
    pub fn remove_link(&mut self, link: IfIndex) {
        for destination in self.by_link.remove(&link).unwrap_or_default() {
            self.remove_where(destination, |route| route.link() == Some(link));
        }
    }

    /// A link has changed: what the kernel refused may work now.
    pub fn retry_refused(&mut self) {
        self.touched.append(&mut self.refused);
    }

    /// Every route that concerns us.
    pub fn known(&self) -> impl Iterator<Item = &KernelRoute> {
        self.known.values().flatten()
    }

    /// Ours that lead to a single address: the guests that a predecessor knew.
    pub fn inherited_guests(&self) -> impl Iterator<Item = (Ipv6Addr, IfIndex)> {
        let single = self.known.iter().filter(|(destination, _)| destination.prefix_len() == 128);
        single.flat_map(|(_, routes)| routes).filter(|route| self.is_ours(route)).filter_map(|route| {
            let link = route.unicast_link().filter(|_| route.next_hop == NextHop::OnLink)?;
            Some((route.destination.addr(), link))
        })
    }

    /// The interfaces that default routes leave by, the preferred first.
    pub fn default_links(&self) -> Vec<IfIndex> {
        let mut defaults: Vec<_> =
            self.defaults().filter_map(|route| Some((route.metric, route.unicast_link()?))).collect();
        defaults.sort_unstable();
        let mut links = Vec::new();
        for (_, link) in defaults {
            if !links.contains(&link) {
                links.push(link);
            }
        }
        links
    }

    /// The routers that default routes out of this interface lead through, the preferred first.
    pub fn gateways(&self, link: IfIndex) -> Vec<Ipv6Addr> {
        let via = |route: &KernelRoute| match route.next_hop {
            NextHop::Via(router) if route.unicast_link() == Some(link) => Some((route.metric, router)),
            NextHop::Via(_) | NextHop::OnLink => None,
        };
        let mut gateways: Vec<_> = self.defaults().filter_map(via).collect();
        gateways.sort_unstable();
        let mut routers: Vec<Ipv6Addr> = Vec::new();
        for (_, router) in gateways {
            if !routers.contains(&router) && routers.len() < MOST_GATEWAYS {
                routers.push(router);
            }
        }
        routers
    }

    /// True if a default route leads through this address.
    pub fn is_gateway(&self, address: Ipv6Addr) -> bool {
        self.defaults().any(|route| route.next_hop == NextHop::Via(address))
    }

    /// The interface that a packet to `target` leaves by, as far as the main table decides.
    pub fn leads_to(&self, target: Ipv6Addr) -> Option<IfIndex> {
        self.leads_to_all(&target.into())
    }

    /// The same for a whole prefix, where no route inside it decides.
    pub fn leads_to_all(&self, prefix: &Ipv6Net) -> Option<IfIndex> {
        self.known
            .cover_values(prefix)
            .filter_map(|routes| routes.iter().filter(|route| route.table == MAIN).min_by_key(|r| r.metric))
            .last()
            .and_then(KernelRoute::unicast_link)
    }

    /// The interfaces that routes inside `prefix` leave by.
    pub fn links_inside<'a>(&'a self, prefix: &Ipv6Net) -> impl Iterator<Item = IfIndex> + 'a {
        self.known.children(prefix).flat_map(|(_, routes)| routes).filter_map(KernelRoute::unicast_link)
    }

    /// What became of each route that we want.
    pub fn wanted(&self) -> impl Iterator<Item = (&KernelRoute, RouteState)> {
        self.wanted.values().flatten().map(|wanted| (&wanted.route, wanted.state))
    }

    /// True if the kernel has been asked for this route and has not answered yet.
    pub fn is_under_way(&self, route: &KernelRoute) -> bool {
        let mut at = self.wanted.get(&route.destination).into_iter().flatten();
        at.any(|wanted| wanted.route == *route && wanted.state == RouteState::Pending)
    }

    /// True if a foreign route keeps this one out.
    pub fn is_kept_out(&self, route: &KernelRoute) -> bool {
        let mut at = self.wanted.get(&route.destination).into_iter().flatten();
        at.any(|wanted| wanted.route == *route && wanted.state == RouteState::Conflict)
    }

    /// A foreign route that keeps this one out: same destination, table and metric.
    pub fn in_the_way_of(&self, route: &KernelRoute) -> Option<&KernelRoute> {
        let same = |other: &&KernelRoute| other.table == route.table && other.metric == route.metric;
        self.at(&route.destination).filter(same).find(|other| other.protocol != route.protocol)
    }

    /// True if somebody else has a route that does the same, of whatever metric.
    pub fn has_equal(&self, destination: &Ipv6Net, kind: RouteKind) -> bool {
        self.at(destination).any(|route| {
            let is_foreign = !self.is_ours(route) && route.table == self.policy.table;
            is_foreign && route.kind == kind && route.next_hop == NextHop::OnLink
        })
    }

    /// From here on this is what the policy asks for, besides the guests' routes.
    pub fn set_wish(&mut self, wish: BTreeSet<KernelRoute>) {
        for gone in self.wish.difference(&wish).cloned().collect::<Vec<_>>() {
            self.unwant(&gone);
        }
        for new in wish.difference(&self.wish).cloned().collect::<Vec<_>>() {
            self.want(new);
        }
        self.wish = wish;
    }

    /// Wants a route, until [`Self::unwant`].
    pub fn want(&mut self, route: KernelRoute) {
        self.touched.insert(route.destination);
        let at = self.wanted.entry(route.destination).or_default();
        if !at.iter().any(|wanted| wanted.route == route) {
            at.push(Wanted { route, state: RouteState::Refused });
        }
    }

    /// Does not want it any more.
    pub fn unwant(&mut self, route: &KernelRoute) {
        self.touched.insert(route.destination);
        if let Some(at) = self.wanted.get_mut(&route.destination) {
            at.retain(|wanted| wanted.route != *route);
            if at.is_empty() {
                self.wanted.remove(&route.destination);
            }
        }
    }

    /// Wants nothing any more.
    pub fn unwant_all(&mut self) {
        self.touched.extend(self.wanted.keys());
        let ours = self.known.iter().filter(|(_, routes)| routes.iter().any(|route| self.is_ours(route)));
        self.touched.extend(ours.map(|(destination, _)| destination).collect::<Vec<_>>());
        self.wanted.clear();
        self.wish.clear();
    }

    /// The changes that lead from what there is to what is wanted, for every destination at which
    /// something happened; those that are under way are left out.
    ///
    /// At one destination removals come first, because the kernel takes no second route of the same
    /// metric; and what guards a range, its backstop, is the last to go.
    pub fn reconcile(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for destination in std::mem::take(&mut self.touched) {
            self.reconcile_at(destination, &mut changes);
        }
        changes.sort_by_key(|change| {
            matches!(change, Change::Remove(KernelRoute { kind: RouteKind::Unreachable, .. }))
        });
        changes
    }

    /// Takes the outcome of a change to heart.
    pub fn changed(&mut self, change: &Change, outcome: &Outcome) {
        match (change, outcome) {
            (Change::Add(route), Outcome::Done) => self.insert(route.clone()),
            // Somebody else's, unless the notification of our own is only late.
            (Change::Add(route), Outcome::Exists) if !self.has(route) => {
                self.set(route, RouteState::Conflict);
            }
            (Change::Add(_), Outcome::Exists) => {}
            (Change::Add(route), Outcome::Failed(_)) => {
                self.set(route, RouteState::Refused);
                self.refused.insert(route.destination);
            }
            (Change::Remove(route), outcome) => {
                self.removing.remove(route);
                if *outcome == Outcome::Done {
                    self.remove(route);
                }
            }
        }
    }

    /// A route of ours: on the link itself, in our table, under our protocol.
    pub fn our(&self, destination: Ipv6Net, kind: RouteKind, metric: u32) -> KernelRoute {
        let RoutePolicy { table, protocol, .. } = self.policy;
        KernelRoute { destination, kind, next_hop: NextHop::OnLink, table, protocol, metric }
    }

    /// The route of one guest.
    pub fn guest(&self, target: Ipv6Addr, link: IfIndex) -> KernelRoute {
        self.our(Ipv6Net::from(target), RouteKind::Unicast(link), self.policy.metric)
    }

    fn reconcile_at(&mut self, destination: Ipv6Net, changes: &mut Vec<Change>) {
        let wanted = self.wanted.get(&destination).cloned().unwrap_or_default();
        let mut unwanted: Vec<_> = self
            .at(&destination)
            .filter(|route| self.is_ours(route) && !wanted.iter().any(|wanted| wanted.route == **route))
            .cloned()
            .collect();
        unwanted.sort();
        for route in unwanted {
            if self.removing.insert(route.clone()) {
                changes.push(Change::Remove(route));
            }
        }
        for Wanted { route, state } in wanted {
            let is_in = self.has(&route) && !self.removing.contains(&route);
            let next = if is_in || self.is_done_by_another(&route) {
                RouteState::Installed
            } else if state == RouteState::Conflict && self.in_the_way_of(&route).is_some() {
                RouteState::Conflict
            } else {
                if state != RouteState::Pending {
                    changes.push(Change::Add(route.clone()));
                }
                RouteState::Pending
            };
            self.set(&route, next);
        }
    }

    /// Container engines give a guest its route by themselves: one is enough. (For those of the
    /// policy, whoever makes the wish has looked.)
    fn is_done_by_another(&self, route: &KernelRoute) -> bool {
        !self.wish.contains(route) && self.has_equal(&route.destination, route.kind)
    }

    fn remove_where(&mut self, destination: Ipv6Net, goes: impl Fn(&KernelRoute) -> bool) {
        self.touched.insert(destination);
        if let Some(at) = self.known.get_mut(&destination) {
            at.retain(|route| !goes(route));
            if at.is_empty() {
                self.known.remove(&destination);
            }
        }
    }

    fn set(&mut self, route: &KernelRoute, state: RouteState) {
        let at = self.wanted.get_mut(&route.destination).into_iter().flatten();
        if let Some(wanted) = at.into_iter().find(|wanted| wanted.route == *route) {
            wanted.state = state;
        }
    }

    fn has(&self, route: &KernelRoute) -> bool {
        self.at(&route.destination).any(|known| known == route)
    }

    fn is_ours(&self, route: &KernelRoute) -> bool {
        route.protocol == self.policy.protocol
    }

    fn defaults(&self) -> impl Iterator<Item = &KernelRoute> {
        self.at(&DEFAULT).filter(|route| route.table == MAIN)
    }

    fn at(&self, destination: &Ipv6Net) -> impl Iterator<Item = &KernelRoute> {
        self.known.get(destination).into_iter().flatten()
    }
}

/// A link has one router or two; each costs a frame for every target that is announced.
const MOST_GATEWAYS: usize = 2;
/// The number of the table `main`.
const MAIN: u32 = 254;
/// `::/0`
const DEFAULT: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0);

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
