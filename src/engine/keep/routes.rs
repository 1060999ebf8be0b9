//! The routes that the kernel keeps for us: those of ranges, and those of single guests.
//!
//! Ours are the ones with our protocol number. They are added exclusively, so that a foreign route is never
//! replaced; one in the way is a conflict, and ours waits until it goes. A route costs work only when something
//! happened to its destination, however many there are.

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv6Net;

use super::handover::Former;
use super::keeper::{Found, Keeper, Keeping, Manner, Step};
use super::outcome::Verdict;
use super::wishes::{Wishes, our};
use crate::engine::change::{Change, Outcome, RouteState};
use crate::engine::facts::{IfIndex, KernelRoute, NextHop, RouteKind};
use crate::engine::guests::Way;
use crate::engine::host::Host;
use crate::engine::ours::Ours;
use crate::engine::plan::Served;
use crate::engine::policy::RoutePolicy;
use crate::engine::seed::Seed;
use crate::engine::time::Time;

/// The kernel takes one route of ours for each of these: destination, table and metric.
type Slot = (Ipv6Net, u32, u32);

/// What is wanted of the kernel's routes, and what becomes of it.
#[derive(Debug)]
pub struct Routes {
    pub(super) policy: RoutePolicy,
    pub(super) ours: Ours,
    /// Those that follow from ranges, and all else that is ours and not a guest's.
    pub(super) ranges: Keeper<Slot, KernelRoute>,
    /// By range, what it asks for.
    pub(super) by_range: BTreeMap<Ipv6Net, Vec<KernelRoute>>,
    /// Those to prefixes that are routed to guests.
    pub(super) ways: BTreeMap<Ipv6Net, Way>,
    /// Those of single guests: the link that each is on.
    pub(super) guests: Keeper<Ipv6Addr, IfIndex>,
    /// Guests to which another program's route leads just as ours would.
    pub(super) shadowed: BTreeMap<Ipv6Addr, IfIndex>,
    /// Where a range's own route, or one to a guest's prefix, is to a single address: what its guest wants there.
    pub(super) singles: BTreeMap<Ipv6Addr, Option<IfIndex>>,
    /// Routes of guests that were on their way in when the policy changed.
    pub(super) overtaken: BTreeSet<KernelRoute>,
    /// What is still as the policy before wanted it.
    pub(super) former: Option<Former>,
}

impl Routes {
    /// None yet.
    pub fn new(policy: RoutePolicy, seed: Seed) -> Self {
        Self {
            policy,
            ours: Ours::new(policy.protocol),
            ranges: Keeper::new(Manner::Confirmed, seed),
            by_range: BTreeMap::new(),
            ways: BTreeMap::new(),
            guests: Keeper::new(Manner::Confirmed, seed),
            shadowed: BTreeMap::new(),
            singles: BTreeMap::new(),
            overtaken: BTreeSet::new(),
            former: None,
        }
    }

    /// Which of the kernel's routes are ours.
    pub fn ours(&self) -> &Ours {
        &self.ours
    }

    fn wishes<'a>(&'a self, host: &'a Host) -> Wishes<'a> {
        Wishes { policy: self.policy, ours: &self.ours, host }
    }

    /// The route of one guest.
    pub fn guest(&self, target: Ipv6Addr, link: IfIndex) -> KernelRoute {
        our(&self.policy, Ipv6Net::from(target), RouteKind::Unicast(link), self.policy.metric)
    }

    /// The kernel has a route of a guest's, or has it no more.
    pub fn heard_guest(&mut self, target: Ipv6Addr, link: IfIndex, is_there: bool, host: &Host) {
        if is_there {
            self.guests.found(target, Found::Ours(link));
        } else if self.guests.has(&target, &link) {
            let found = self.found_at_guest(target, host);
            self.guests.found(target, found);
        }
    }

    /// Where the link of a guest's route is gone, the route is.
    pub fn check_link_of(&mut self, target: Ipv6Addr, host: &Host) {
        let link = self.guests.found_at(&target).copied();
        if let Some(link) = link.filter(|link| host.links.get(*link).is_none()) {
            self.heard_guest(target, link, false, host);
        }
    }

    /// The kernel has put another route into the place of this guest's.
    pub fn replaced_at(&mut self, route: &KernelRoute) {
        let RoutePolicy { table, metric, .. } = self.policy;
        let is_in_place = (route.table, route.metric, route.source) == (table, metric, None);
        if route.destination.prefix_len() == 128 && is_in_place {
            self.guests.found(route.destination.addr(), Found::Other);
        }
    }

    /// Something happened to the routes to this destination.
    pub fn touch(&mut self, destination: Ipv6Net, host: &Host) {
        if destination.prefix_len() == 128 {
            self.touch_guest(destination.addr(), host);
        }
        let ours = host.routes.at(&destination).filter(|route| self.ours.include(route));
        let RoutePolicy { table, metric, .. } = self.policy;
        let usual = [metric, RoutePolicy::BACKSTOP_METRIC].map(|metric| (destination, table, metric));
        let all = (destination, 0, 0)..=(destination, u32::MAX, u32::MAX);
        let open = self.ranges.open_in(all).copied();
        let slots: BTreeSet<_> = ours.map(slot).chain(usual).chain(open).collect();
        for slot in slots {
            let there: Vec<_> =
                host.routes.at(&destination).filter(|route| self::slot(route) == slot).collect();
            let wanted = self.ranges.wanted(&slot);
            let ours = there.iter().filter(|route| self.ours.include(route));
            // An unwanted one goes first, also where the wanted one is there beside it.
            let found = match ours.max_by_key(|route| wanted != Some(**route)) {
                Some(route) => Found::Ours((*route).clone()),
                None if there.is_empty() => Found::Nothing,
                None => Found::Other,
            };
            let is_taken = found == Found::Other;
            self.ranges.found(slot, found);
            if !is_taken {
                self.ranges.touch(slot);
            }
        }
    }

    fn touch_guest(&mut self, target: Ipv6Addr, host: &Host) {
        let link = self.shadowed.remove(&target).or_else(|| self.guests.wanted(&target).copied());
        if let Some(link) = link {
            self.want_guest(target, link, host);
        }
        if self.guests.knows(&target) && !self.guests.has_ours(&target) {
            let found = self.found_at_guest(target, host);
            let is_taken = found == Found::Other;
            self.guests.found(target, found);
            if !is_taken {
                self.guests.touch(target);
            }
        }
    }

    fn found_at_guest(&self, target: Ipv6Addr, host: &Host) -> Found<IfIndex> {
        let place = self.guest(target, IfIndex(0));
        let is_taken = host.routes.at(&place.destination).any(|route| route.takes_the_place_of(&place));
        if is_taken { Found::Other } else { Found::Nothing }
    }

    /// Wants the route of a guest, until [`Self::unwant_guest`]. Container engines give a guest its route by
    /// themselves: one is enough.
    pub fn want_guest(&mut self, target: Ipv6Addr, link: IfIndex, host: &Host) {
        if let Some(wish) = self.singles.get_mut(&target) {
            *wish = Some(link);
            return;
        }
        if self.wishes(host).has_equal(&target.into(), RouteKind::Unicast(link)) {
            self.shadowed.insert(target, link);
            return self.guests.want(target, None);
        }
        self.shadowed.remove(&target);
        self.guests.want(target, Some(link));
        if !self.guests.has_ours(&target) {
            let found = self.found_at_guest(target, host);
            self.guests.found(target, found);
        }
    }

    /// Does not want it any more.
    pub fn unwant_guest(&mut self, target: Ipv6Addr) {
        if let Some(wish) = self.singles.get_mut(&target) {
            *wish = None;
        }
        self.shadowed.remove(&target);
        self.guests.want(target, None);
    }

    /// This is what a range asks for now, besides its guests' routes; `None` where it is gone.
    pub fn want_of_range(&mut self, prefix: Ipv6Net, served: Option<&Served>, host: &mut Host) {
        let wish = served.map(|served| self.wishes(host).of(served)).unwrap_or_default();
        let before = self.by_range.remove(&prefix).unwrap_or_default();
        for gone in before.iter().filter(|route| !wish.contains(route)) {
            self.ranges.want(slot(gone), None);
            if !wish.iter().any(|route| slot(route) == slot(gone)) {
                self.give_single(gone, host);
            }
        }
        for route in &wish {
            self.take_single(route, host);
            self.ranges.want(slot(route), Some(route.clone()));
            self.touch(route.destination, host);
        }
        if !wish.is_empty() {
            self.by_range.insert(prefix, wish);
        }
    }

    /// This leads to a prefix that is routed to a guest, from here on; `None`: nothing does.
    pub fn want_way(&mut self, prefix: Ipv6Net, way: Option<Way>, host: &mut Host) {
        match way {
            Some(way) => _ = self.ways.insert(prefix, way),
            None => _ = self.ways.remove(&prefix),
        }
        let route = way.map(|way| {
            let next_hop = match way {
                Way::Via(_, via) => NextHop::Via(via),
                Way::Direct(_) => NextHop::OnLink,
            };
            let kind = RouteKind::Unicast(way.link());
            KernelRoute { next_hop, ..our(&self.policy, prefix, kind, self.policy.metric) }
        });
        let place = our(&self.policy, prefix, RouteKind::Unicast(IfIndex(0)), self.policy.metric);
        let is_wanted = route.is_some();
        self.ranges.want(slot(&place), route);
        match is_wanted {
            true => self.take_single(&place, host),
            false => self.give_single(&place, host),
        }
        self.touch(prefix, host);
    }

    /// The same of all of them, when ours look different.
    pub fn want_ways_again(&mut self, host: &mut Host) {
        for (prefix, way) in std::mem::take(&mut self.ways) {
            self.want_way(prefix, Some(way), host);
        }
    }

    /// A link or an address has changed: what the kernel refused may work now.
    pub fn retry_refused(&mut self) {
        self.ranges.retry_refused();
        self.guests.retry_refused();
    }

    /// Everything that there is has been told. What is there under a former number is the last of it; and what
    /// keeps ours out may have gone without a word.
    pub fn told_all(&mut self, host: &Host) {
        self.ranges.retry_kept_out();
        self.guests.retry_kept_out();
        if self.ours.has_former() {
            let adding = self.ranges.adding().map(|(_, route)| route).chain(&self.overtaken);
            self.ours.told_all(host.routes.iter().chain(adding));
        }
    }

    /// True if the kernel has been asked for the guest's route and has not answered yet.
    pub fn is_under_way(&self, target: Ipv6Addr, link: IfIndex) -> bool {
        self.guests.is_pending(&target, &link)
    }

    /// The guests to whose routes something has happened, of which the changes are still to come.
    pub fn touched_guests(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.guests.touched.iter().copied()
    }

    /// When something is tried again.
    pub fn next_due(&self) -> Option<Time> {
        self.ranges.next_due().into_iter().chain(self.guests.next_due()).min()
    }

    /// Tries again what is due.
    pub fn tick(&mut self, now: Time) {
        self.ranges.tick(now);
        self.guests.tick(now);
    }

    /// True if nothing has happened since the last look.
    pub fn is_quiet(&self) -> bool {
        self.ranges.is_quiet() && self.guests.is_quiet()
    }

    /// The changes that lead from what there is to what is wanted, but for those that are under way.
    ///
    /// Removals come last, so that there is a way at every moment; only what is in the way of a new one goes
    /// before it. And what guards a range, its backstop, is the last of all to go.
    pub fn changes(&mut self) -> Vec<Change> {
        let mut changes: Vec<(u8, Change)> = Vec::new();
        for (slot, step) in self.ranges.steps() {
            let (destination, table, metric) = slot;
            let is_guests = destination.prefix_len() == 128
                && (table, metric) == (self.policy.table, self.policy.metric)
                && self.guests.wanted(&destination.addr()).is_some();
            let is_wanted = is_guests || self.ranges.wanted(&slot).is_some();
            changes.push(match step {
                Step::Add(route) => (ADDED, Change::Add(route)),
                Step::Remove(route) if is_wanted => (ADDED, Change::Remove(route)),
                Step::Remove(route) if route.kind == RouteKind::Unreachable => (GUARD, Change::Remove(route)),
                Step::Remove(route) => (REMOVED, Change::Remove(route)),
            });
        }
        for (target, step) in self.guests.steps() {
            let is_wanted = self.guests.wanted(&target).is_some();
            changes.push(match step {
                Step::Add(link) => (ADDED, Change::Add(self.guest(target, link))),
                Step::Remove(link) if is_wanted => (ADDED, Change::Remove(self.guest(target, link))),
                Step::Remove(link) => (REMOVED, Change::Remove(self.guest(target, link))),
            });
        }
        changes.sort_by_key(|(class, _)| *class);
        changes.into_iter().map(|(_, change)| change).collect()
    }

    /// Takes the outcome of a change to heart.
    pub fn outcome(&mut self, change: &Change, outcome: &Outcome, host: &mut Host, now: Time) -> Verdict {
        let (Change::Add(route) | Change::Remove(route)) = change;
        let is_addition = matches!(change, Change::Add(_));
        self.overtaken.remove(route);
        if let Some((target, _)) = self.guest_of(route) {
            return self.guests.outcome(target, is_addition, outcome, now);
        }
        let verdict = self.ranges.outcome(slot(route), is_addition, outcome, now);
        if verdict == Verdict::Made {
            match is_addition && self.ranges.has_ours(&slot(route)) {
                true => _ = host.routes.insert(route.clone()),
                false if !is_addition => {
                    host.routes.remove(route);
                    self.ours.gone(route);
                }
                false => {}
            }
            self.touch(route.destination, host);
        }
        verdict
    }

    /// What became of each route that we want.
    pub fn wanted(&self) -> impl Iterator<Item = (KernelRoute, RouteState)> {
        let ranges = self.ranges.iter().map(|(_, route, keeping)| (route.clone(), state(keeping)));
        let mut ranges: Vec<_> = ranges.collect();
        ranges.sort_by_key(|(route, _)| slot(route));
        let guests =
            self.guests.iter().map(|(target, link, keeping)| (self.guest(*target, *link), state(keeping)));
        let shadowed = self.shadowed.iter();
        let shadowed = shadowed.map(|(target, link)| (self.guest(*target, *link), RouteState::Installed));
        ranges.into_iter().chain(guests).chain(shadowed)
    }

    /// How many of the routes that we want are in this state.
    pub fn count(&self, wanted: RouteState) -> usize {
        let guests = self.guests.count(|keeping| state(keeping) == wanted);
        let shadowed = if wanted == RouteState::Installed { self.shadowed.len() } else { 0 };
        self.ranges.count(|keeping| state(keeping) == wanted) + guests + shadowed
    }

    /// The link of a guest whose route is wanted, and what became of that.
    pub fn guest_state(&self, target: Ipv6Addr) -> Option<(IfIndex, RouteState)> {
        if let Some(wish) = self.singles.get(&target) {
            let keeping = self.ranges.keeping(&slot(&self.guest(target, IfIndex(0))))?;
            return Some(((*wish)?, state(keeping)));
        }
        match self.shadowed.get(&target) {
            Some(link) => Some((*link, RouteState::Installed)),
            None => Some((*self.guests.wanted(&target)?, state(self.guests.keeping(&target)?))),
        }
    }

    /// A foreign route that keeps this one out: same destination, table and metric.
    pub fn in_the_way_of<'a>(&self, route: &KernelRoute, host: &'a Host) -> Option<&'a KernelRoute> {
        let mut there = host.routes.at(&route.destination);
        there.find(|other| other.takes_the_place_of(route) && other.protocol != route.protocol)
    }

    /// The guests whose routes a predecessor left.
    pub fn inherited(&self) -> Vec<(Ipv6Addr, IfIndex)> {
        self.guests.found_ours().map(|(target, link)| (*target, *link)).collect()
    }
}

pub(super) fn slot(route: &KernelRoute) -> Slot {
    (route.destination, route.table, route.metric)
}

fn state(keeping: Keeping) -> RouteState {
    match keeping {
        Keeping::Pending => RouteState::Pending,
        Keeping::Kept => RouteState::Installed,
        Keeping::KeptOut => RouteState::Conflict,
        Keeping::Refused => RouteState::Refused,
    }
}

/// The order of changes.
const ADDED: u8 = 0;
const REMOVED: u8 = 1;
const GUARD: u8 = 2;
