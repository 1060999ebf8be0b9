//! The kernel's routes that concern us, and the difference between those we want and those there are.
//!
//! Ours are the ones with our protocol number. They are added exclusively, so that a foreign route
//! is never replaced; one in the way is a conflict, and ours waits until it goes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use prefix_trie::PrefixMap;

use super::bindings::Bindings;
use super::facts::{IfIndex, KernelRoute, LinkLayer, LinkState, NextHop, RouteKind};
use super::links::Links;
use super::policy::{Policy, RangePolicy, RangeRoutes, RoutePolicy};

/// The routes of the kernel that concern us, and what becomes of ours.
#[derive(Debug)]
pub struct Routes {
    policy: RoutePolicy,
    known: PrefixMap<Ipv6Net, Vec<KernelRoute>>,
    ours: BTreeSet<KernelRoute>,
    wanted: BTreeMap<KernelRoute, RouteState>,
    removing: BTreeSet<KernelRoute>,
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
    /// Asked for, or to be asked for again.
    Pending,
    /// In the kernel.
    Installed,
    /// Kept out by a foreign route.
    Conflict,
}

impl Routes {
    /// No routes yet.
    pub fn new(policy: RoutePolicy) -> Self {
        let (known, ours) = (PrefixMap::new(), BTreeSet::new());
        Self { policy, known, ours, wanted: BTreeMap::new(), removing: BTreeSet::new() }
    }

    /// Learns of a route.
    pub fn insert(&mut self, route: KernelRoute) {
        if route.protocol == self.policy.protocol {
            self.ours.insert(route.clone());
        }
        let at = self.known.entry(route.destination).or_default();
        if !at.contains(&route) {
            at.push(route);
        }
    }

    /// Forgets a route.
    pub fn remove(&mut self, route: &KernelRoute) {
        self.ours.remove(route);
        if let Some(at) = self.known.get_mut(&route.destination) {
            at.retain(|known| known != route);
            if at.is_empty() {
                self.known.remove(&route.destination);
            }
        }
    }

    /// The kernel drops the routes of an interface that goes, not always with a word.
    pub fn remove_link(&mut self, link: IfIndex) {
        let through = |route: &KernelRoute| route.link() == Some(link);
        let gone: Vec<_> = self.known.values().flatten().filter(|route| through(route)).cloned().collect();
        for route in gone {
            self.remove(&route);
        }
    }

    /// The interfaces that default routes leave by, the preferred first.
    pub fn default_links(&self) -> Vec<IfIndex> {
        let mut defaults: Vec<_> = self
            .at(&Ipv6Net::default())
            .filter(|route| route.table == MAIN)
            .filter_map(|route| Some((route.metric, route.unicast_link()?)))
            .collect();
        defaults.sort_unstable();
        let mut links = Vec::new();
        for (_, link) in defaults {
            if !links.contains(&link) {
                links.push(link);
            }
        }
        links
    }

    /// The interface that a packet to `target` leaves by, as far as the main table decides.
    pub fn leads_to(&self, target: Ipv6Addr) -> Option<IfIndex> {
        self.known
            .cover_values(&Ipv6Net::from(target))
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
        self.wanted.iter().map(|(route, state)| (route, *state))
    }

    /// A foreign route that keeps this one out: same destination, table and metric.
    pub fn in_the_way_of(&self, route: &KernelRoute) -> Option<&KernelRoute> {
        let same = |other: &&KernelRoute| other.table == route.table && other.metric == route.metric;
        self.at(&route.destination).filter(same).find(|other| other.protocol != route.protocol)
    }

    /// The routes that the policy asks for, on the host as it is.
    pub fn wish(&self, policy: &Policy, bindings: &Bindings, links: &Links) -> BTreeSet<KernelRoute> {
        let mut wish = BTreeSet::new();
        for (range, place) in policy.ranges.iter().zip(&bindings.ranges) {
            let destination = place.downstream.and_then(|link| self.range_route(range, link, links));
            let owns_all = matches!(destination, Some(KernelRoute { kind: RouteKind::Local(_), .. }));
            if range.backstop && !owns_all {
                wish.insert(self.our(range.prefix, RouteKind::Unreachable, RoutePolicy::BACKSTOP_METRIC));
            }
            wish.extend(destination);
        }
        wish
    }

    /// The changes that lead from what there is to `wish`; those that are under way are left out.
    pub fn reconcile(&mut self, wish: &BTreeSet<KernelRoute>) -> Vec<Change> {
        let mut changes = Vec::new();
        self.wanted.retain(|route, _| wish.contains(route));
        for route in wish {
            let state = self.wanted.get(route).copied();
            let next = if self.ours.contains(route) && !self.removing.contains(route) {
                RouteState::Installed
            } else if state == Some(RouteState::Conflict) && self.in_the_way_of(route).is_some() {
                RouteState::Conflict
            } else {
                if state != Some(RouteState::Pending) {
                    changes.push(Change::Add(route.clone()));
                }
                RouteState::Pending
            };
            self.wanted.insert(route.clone(), next);
        }
        // The backstop goes last, so that nothing leaks upstream in between: it sorts behind the
        // others of its range.
        let unwanted: Vec<_> = self.ours.iter().filter(|route| !wish.contains(route)).cloned().collect();
        for route in unwanted {
            if self.removing.insert(route.clone()) {
                changes.push(Change::Remove(route));
            }
        }
        changes
    }

    /// Takes the outcome of a change to heart. `Some` is a route that is kept out, or was refused.
    pub fn changed(&mut self, change: &Change, outcome: &Outcome) {
        match (change, outcome) {
            (Change::Add(route), Outcome::Done) => {
                self.insert(route.clone());
                self.set(route, RouteState::Installed);
            }
            // Somebody else's, unless the notification of our own is only late.
            (Change::Add(route), Outcome::Exists) if self.ours.contains(route) => {
                self.set(route, RouteState::Installed);
            }
            (Change::Add(route), Outcome::Exists) => self.set(route, RouteState::Conflict),
            // Forgotten, so that the next reconciliation asks again.
            (Change::Add(route), Outcome::Failed(_)) => {
                self.wanted.remove(route);
            }
            (Change::Remove(route), outcome) => {
                self.removing.remove(route);
                if *outcome == Outcome::Done {
                    self.remove(route);
                }
            }
        }
    }

    fn set(&mut self, route: &KernelRoute, state: RouteState) {
        if let Some(known) = self.wanted.get_mut(route) {
            *known = state;
        }
    }

    fn at(&self, destination: &Ipv6Net) -> impl Iterator<Item = &KernelRoute> {
        self.known.get(destination).into_iter().flatten()
    }

    fn range_route(&self, range: &RangePolicy, link: IfIndex, links: &Links) -> Option<KernelRoute> {
        if range.routes != RangeRoutes::Range {
            return None;
        }
        let link = links.get(link).filter(|link| link.state != LinkState::Down)?;
        let kind = match link.layer {
            LinkLayer::Loopback => RouteKind::Local(link.index),
            LinkLayer::Ethernet(_) | LinkLayer::None => RouteKind::Unicast(link.index),
        };
        // The kernel made an equal one for the interface's own prefix, or the administrator did.
        let equal = |route: &KernelRoute| {
            route.kind == kind && route.next_hop == NextHop::OnLink && route.table == self.policy.table
        };
        let is_there =
            self.at(&range.prefix).any(|route| route.protocol != self.policy.protocol && equal(route));
        (!is_there).then(|| self.our(range.prefix, kind, self.policy.metric))
    }

    fn our(&self, destination: Ipv6Net, kind: RouteKind, metric: u32) -> KernelRoute {
        let RoutePolicy { table, protocol, .. } = self.policy;
        KernelRoute { destination, kind, next_hop: NextHop::OnLink, table, protocol, metric }
    }
}

impl KernelRoute {
    /// The interface that packets leave by.
    pub fn unicast_link(&self) -> Option<IfIndex> {
        match self.kind {
            RouteKind::Unicast(link) => Some(link),
            RouteKind::Local(_) | RouteKind::Unreachable | RouteKind::Other => None,
        }
    }

    /// The interface that the route is on.
    pub fn link(&self) -> Option<IfIndex> {
        match self.kind {
            RouteKind::Unicast(link) | RouteKind::Local(link) => Some(link),
            RouteKind::Unreachable | RouteKind::Other => None,
        }
    }
}

/// As `ip -6 route` prints it, with the number of the interface instead of its name.
impl fmt::Display for KernelRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RouteKind::Unicast(link) => write!(f, "{} dev #{link}", self.destination)?,
            RouteKind::Local(link) => write!(f, "local {} dev #{link}", self.destination)?,
            RouteKind::Unreachable => write!(f, "unreachable {}", self.destination)?,
            RouteKind::Other => write!(f, "{}", self.destination)?,
        }
        if let NextHop::Via(router) = self.next_hop {
            write!(f, " via {router}")?;
        }
        write!(f, " proto {} metric {}", self.protocol, self.metric)
    }
}

/// The number of the table `main`.
const MAIN: u32 = 254;

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
