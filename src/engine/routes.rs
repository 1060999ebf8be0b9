//! The kernel's routes that concern us, and the difference between those we want and those there are.
//!
//! Ours are the ones with our protocol number. They are added exclusively, so that a foreign route
//! is never replaced; one in the way is a conflict, and ours waits until it goes. A route costs work
//! only when something happened to its destination, however many there are.

mod lookup;

use core::net::Ipv6Addr;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv6Net;
use prefix_trie::PrefixMap;
use serde::{Deserialize, Serialize};

use super::facts::{IfIndex, KernelRoute, NextHop, RouteKind};
use super::policy::RoutePolicy;
pub use lookup::MAIN;

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
    /// On their way in, and how often.
    adding: BTreeMap<KernelRoute, usize>,
    removing: BTreeSet<KernelRoute>,
    /// Protocol numbers that were ours before, until everything has been told anew.
    former: BTreeSet<u8>,
    /// Ours under one of these, until they are gone.
    leaving: BTreeSet<KernelRoute>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    route: KernelRoute,
    state: RouteState,
}

/// A route to be added or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Add it, exclusively.
    Add(KernelRoute),
    /// Remove it, if it is there.
    Remove(KernelRoute),
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
            adding: BTreeMap::new(),
            removing: BTreeSet::new(),
            former: BTreeSet::new(),
            leaving: BTreeSet::new(),
        }
    }

    /// From here on ours are installed like this. Those that are there already become unwanted, also
    /// under a protocol number that is not ours any more; those still on their way in, too.
    pub fn set_policy(&mut self, policy: RoutePolicy) {
        if policy.protocol != self.policy.protocol {
            self.former.insert(self.policy.protocol);
            self.former.remove(&policy.protocol);
        }
        self.leaving.retain(|route| route.protocol != policy.protocol);
        self.policy = policy;
        self.touched.extend(self.known.keys());
        self.touched.extend(self.wanted.keys());
    }

    /// Everything that there is has been told. What is there under a number that was ours before is
    /// the last of it; whatever else comes under that number is somebody else's.
    pub fn told_all(&mut self) {
        // Nothing may ever have been told of what keeps one out, so that its end is not told either.
        let is_kept_out = |at: &[Wanted]| at.iter().any(|wanted| wanted.state == RouteState::Conflict);
        let kept_out = self.wanted.iter().filter(|(_, at)| is_kept_out(at));
        self.touched.extend(kept_out.map(|(destination, _)| destination));
        if self.former.is_empty() {
            return;
        }
        let known = self.known().filter(|route| self.is_ours(route)).chain(self.adding.keys());
        let old: Vec<_> = known.filter(|route| self.former.contains(&route.protocol)).cloned().collect();
        self.touched.extend(old.iter().map(|route| route.destination));
        self.leaving.extend(old);
        self.former.clear();
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
        let there = self.at(&route.destination).filter(|other| takes_the_place_of(route, other));
        there.into_iter().find(|other| other.protocol != route.protocol)
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
    /// Removals come last, so that there is a way at every moment; only what is in the way of a new
    /// one goes before it, because the kernel takes no second route of the same table and metric. And
    /// what guards a range, its backstop, is the last of all to go.
    pub fn reconcile(&mut self) -> Vec<Change> {
        let (mut changes, mut last) = (Vec::new(), Vec::new());
        for destination in std::mem::take(&mut self.touched) {
            self.reconcile_at(destination, &mut changes, &mut last);
        }
        last.sort_by_key(|change| {
            matches!(change, Change::Remove(KernelRoute { kind: RouteKind::Unreachable, .. }))
        });
        changes.append(&mut last);
        changes
    }

    /// Takes the outcome of a change to heart.
    pub fn changed(&mut self, change: &Change, outcome: &Outcome) {
        if let Change::Add(route) = change
            && let Entry::Occupied(mut count) = self.adding.entry(route.clone())
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
            if self.leaving.contains(route) {
                self.touched.insert(route.destination);
            }
        }
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
                match outcome {
                    Outcome::Done => {
                        self.remove(route);
                        self.left(route);
                    }
                    Outcome::Exists | Outcome::Failed(_) => _ = self.refused.insert(route.destination),
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

    fn reconcile_at(&mut self, destination: Ipv6Net, changes: &mut Vec<Change>, last: &mut Vec<Change>) {
        let wanted = self.wanted.get(&destination).cloned().unwrap_or_default();
        let mut unwanted: Vec<_> = self
            .at(&destination)
            .filter(|route| self.is_ours(route) && !wanted.iter().any(|wanted| wanted.route == **route))
            .cloned()
            .collect();
        // Word of a removal may be old, and the route be in again: those that nobody will know as ours
        // are removed until the kernel says that it has.
        unwanted.extend(self.leaving.iter().filter(|route| route.destination == destination).cloned());
        unwanted.sort();
        unwanted.dedup();
        unwanted.retain(|route| self.has(route) || !self.adding.contains_key(route));
        for route in unwanted {
            if self.removing.insert(route.clone()) {
                let is_in_the_way = wanted.iter().any(|wanted| takes_the_place_of(&wanted.route, &route));
                let queue = if is_in_the_way { &mut *changes } else { &mut *last };
                queue.push(Change::Remove(route));
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
                    *self.adding.entry(route.clone()).or_default() += 1;
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
        let Some(at) = self.known.get_mut(&destination) else { return };
        let links: BTreeSet<_> = at.iter().filter_map(KernelRoute::link).collect();
        at.retain(|route| !goes(route));
        for link in links.into_iter().filter(|link| !at.iter().any(|route| route.link() == Some(*link))) {
            if let Some(known) = self.by_link.get_mut(&link) {
                known.remove(&destination);
            }
        }
        if at.is_empty() {
            self.known.remove(&destination);
        }
    }

    /// One under a former number is gone, unless it is on its way in again.
    fn left(&mut self, route: &KernelRoute) {
        if !self.adding.contains_key(route) && !self.has(route) {
            self.leaving.remove(route);
        }
    }

    fn set(&mut self, route: &KernelRoute, state: RouteState) {
        let at = self.wanted.get_mut(&route.destination).into_iter().flatten();
        if let Some(wanted) = at.into_iter().find(|wanted| wanted.route == *route) {
            wanted.state = state;
        }
    }

    /// True if it is in the kernel, as far as is known.
    pub fn has(&self, route: &KernelRoute) -> bool {
        self.at(&route.destination).any(|known| known == route)
    }

    /// True for a route that is ours to remove.
    pub fn is_ours(&self, route: &KernelRoute) -> bool {
        route.protocol == self.policy.protocol
            || self.former.contains(&route.protocol)
            || self.leaving.contains(route)
    }

    fn at(&self, destination: &Ipv6Net) -> impl Iterator<Item = &KernelRoute> {
        self.known.get(destination).into_iter().flatten()
    }
}

/// The kernel takes only one of two such routes.
fn takes_the_place_of(route: &KernelRoute, other: &KernelRoute) -> bool {
    other.destination == route.destination && other.table == route.table && other.metric == route.metric
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
