//! What the kernel holds for us: routes, the gateway's addresses, ears, the nftables table, the programs that answer
//! there and what they know. One machine, [`keeper::Keeper`], for each kind of thing.

pub mod addresses;
mod ears;
pub mod exports;
mod handover;
pub mod keeper;
pub mod mirror;
pub mod mirrored_ranges;
pub mod outcome;
pub mod pins;
mod rest;
pub mod routes;
mod singles;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv6Net;

use super::change::{At, Outcome, Suppression};
use super::effect::Output;
use super::facts::IfIndex;
use super::guests::{GuardKey, Guarding, GuestId};
use super::host::{Delta, Host};
use super::plan::problem::Problem;
use super::plan::{Changes, Plan, Served};
use super::policy::{Downstream, OnStop, RoutePolicy};
use super::seed::Seed;
use super::time::Time;
use addresses::Addresses;
use ears::Ears;
use exports::Exports;
use keeper::{Keeper, Keeping, Manner, Step};
use mirror::Mirror;
use pins::Pins;
use routes::Routes;

/// Everything that the kernel holds for us.
#[derive(Debug)]
pub struct Keep {
    /// Routes, of ranges and of single guests.
    pub routes: Routes,
    /// The guests' gateway on its downstreams.
    pub addresses: Addresses,
    /// The programs that answer in the kernel, and what they know.
    pub mirror: Mirror,
    /// Permanent neighbor entries of guests.
    pub pins: Pins,
    ears: Ears,
    /// Whether guests are heard on interfaces that are not listened on yet, and whether that is to be asked for.
    newcomers: (bool, bool),
    table: Keeper<(), Vec<Suppression>>,
    /// What guests are held to, and why not, if the kernel refuses it.
    guards: Keeper<GuardKey, Guarding>,
    guards_refused: Option<String>,
    /// Named sets for other programs.
    pub exports: Exports,
}

/// What is to be asked of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Ears alone: the kernel is still telling what there is.
    Ears,
    /// Everything.
    All,
    /// Everything but routes and addresses, which stay as they are.
    AllButRoutes,
}

impl Keep {
    /// Nothing yet.
    pub fn new(policy: RoutePolicy, seed: Seed) -> Self {
        Self {
            routes: Routes::new(policy, seed),
            addresses: Addresses::new(policy.protocol, seed),
            mirror: Mirror::new(seed),
            pins: Pins::new(policy.protocol, seed),
            ears: Ears::new(seed),
            newcomers: (true, false),
            table: Keeper::new(Manner::Assumed, seed),
            guards: Keeper::new(Manner::Assumed, seed),
            guards_refused: None,
            exports: Exports::default(),
        }
    }

    /// Brings what is wanted in line with a plan, where the host has changed. `changes` are served apart. `neighbors` are
    /// the prefixes on the link of an upstream that guests may ask for.
    pub fn settle(
        &mut self,
        plan: &Plan,
        host: &mut Host,
        (delta, changes): (&Delta, &Changes),
        neighbors: impl Fn(IfIndex) -> Vec<Ipv6Net>,
    ) {
        let is_touched = delta.touched();
        for (range, place) in plan.served() {
            let has_route = delta.routes.contains(&range.prefix);
            let first = place.downstreams.first();
            let has_link = !delta.links.is_empty() && first.is_some_and(|link| delta.links.contains(link));
            let follows_routes = range.downstream == Downstream::Kernel && is_touched(&range.prefix);
            if (has_route || has_link || follows_routes) && !changes.ranges.contains_key(&range.prefix) {
                self.serve_range(range.prefix, Some(&(range.clone(), place.clone())), plan, host);
            }
        }
        delta.links.iter().for_each(|link| self.ears.touch(*link));
        if !changes.is_empty() || !delta.routes.is_empty() {
            plan.bindings.upstreams.iter().for_each(|upstream| self.ears.touch(upstream.link));
        }
        changes.upstreams_before.iter().for_each(|link| self.ears.touch(*link));
        let are_heard = plan.awaits_interfaces();
        self.newcomers = (are_heard, self.newcomers.1 != (are_heard != self.newcomers.0));
        self.ears.settle(plan, host, neighbors);
        self.settle_addresses(plan, host, delta);
    }

    /// The same where ranges are others than before.
    pub fn serve(
        &mut self,
        plan: &Plan,
        host: &mut Host,
        changes: &Changes,
        neighbors: impl Fn(IfIndex) -> Vec<Ipv6Net>,
    ) {
        for (prefix, (_, served)) in &changes.ranges {
            self.serve_range(*prefix, served.as_ref(), plan, host);
        }
        self.ears.settle(plan, host, neighbors);
    }

    /// Goes on with what [`Self::settle`] and [`Self::serve`] have left over. How much it was.
    pub fn serve_rest(
        &mut self,
        plan: &Plan,
        host: &Host,
        neighbors: impl Fn(IfIndex) -> Vec<Ipv6Net>,
    ) -> usize {
        self.ears.settle(plan, host, neighbors)
    }

    fn serve_range(&mut self, prefix: Ipv6Net, served: Option<&Served>, plan: &Plan, host: &mut Host) {
        self.routes.want_of_range(prefix, served, host);
        self.ears.serve(prefix, served, plan, host);
    }

    fn settle_addresses(&mut self, plan: &Plan, host: &Host, delta: &Delta) {
        let has_gateway = plan.policy.ranges.iter().any(|range| range.gateway.is_some());
        if has_gateway || !self.addresses.is_idle() {
            self.addresses.want(wanted_gateways(plan, host), &host.links);
            delta.links.iter().for_each(|link| self.addresses.try_again_on(*link, &host.links));
        }
    }

    /// This is to be suppressed, and nothing else.
    pub fn want_suppression(&mut self, suppressions: Vec<Suppression>) {
        self.table.want((), (!suppressions.is_empty()).then_some(suppressions));
    }

    /// True if nothing has happened since the last look.
    pub fn is_quiet(&self) -> bool {
        let is_quiet = self.routes.is_quiet() && self.addresses.is_quiet() && self.ears.is_quiet();
        is_quiet
            && self.mirror.is_quiet()
            && self.pins.is_quiet()
            && self.table.is_quiet()
            && self.guards.is_quiet()
            && self.exports.is_quiet()
            && !self.newcomers.1
    }

    /// The changes that lead from what there is to what is wanted.
    pub fn changes(&mut self, ask: Ask, outputs: &mut impl Extend<Output>) {
        if std::mem::take(&mut self.newcomers.1) {
            outputs.extend([Output::HearNewcomers(self.newcomers.0)]);
        }
        outputs.extend(self.ears.changes());
        if ask == Ask::Ears {
            return;
        }
        if ask == Ask::All {
            // A guest whose route goes is answered for no more before it does.
            self.mirror.changes(outputs);
            outputs.extend(self.routes.changes().into_iter().map(Output::ChangeRoute));
            outputs.extend(self.addresses.changes().into_iter().map(Output::ChangeAddress));
        }
        outputs.extend(self.table.steps().into_iter().map(|(_, step)| match step {
            Step::Add(suppressions) => Output::Suppress(suppressions),
            Step::Remove(_) => Output::Suppress(Vec::new()),
        }));
        let guards: Vec<_> = self.guards.steps().into_iter().map(guard_of).collect();
        outputs.extend((!guards.is_empty()).then_some(Output::Guard(guards)));
        outputs.extend(self.exports.changes());
    }

    /// What became of an ear. True if that is news.
    pub fn ear_changed(&mut self, link: IfIndex, outcome: &Outcome, now: Time) -> bool {
        self.ears.outcome(link, outcome, now)
    }

    /// Whether this is a downstream on which guests are heard, or will be soon.
    pub fn hears_guests_on(&self, link: IfIndex) -> bool {
        self.ears.hears_guests_on(link)
    }

    /// What the kernel refuses, and does not say with a route.
    pub fn problems(&self, plan: &Plan, host: &Host) -> Vec<Problem> {
        let mut problems = self.addresses.problems(&host.links);
        problems.extend(self.ears.problems(plan, host));
        problems.extend(self.pins.problems(&host.links));
        problems.extend(self.guards_refused.clone().map(Problem::GuardsRefused));
        problems.extend(self.exports.refused().cloned().map(Problem::SetsRefused));
        problems
    }

    /// What became of the table.
    pub fn table_changed(&mut self, outcome: &Outcome, now: Time) {
        self.table.outcome((), true, outcome, now);
    }

    /// Another program has removed the table, or changed it.
    pub fn table_lost(&mut self) {
        self.table.lost(());
    }

    /// This guest, or part of the guards, is held to this.
    pub fn want_guard(&mut self, key: GuardKey, guarding: Option<Guarding>) {
        self.guards.want(key, guarding);
    }

    /// What became of guards. True if it is news that they are refused, or that they are not any more.
    pub fn guards_changed(&mut self, keys: &[GuardKey], outcome: &Outcome, now: Time) -> bool {
        keys.iter().for_each(|key| {
            self.guards.outcome(*key, true, outcome, now);
        });
        let refused = match outcome {
            Outcome::Failed(said) => Some(said.clone()),
            Outcome::Done | Outcome::Exists => None,
        };
        std::mem::replace(&mut self.guards_refused, refused) != self.guards_refused
    }

    /// Another program has removed the tables of guards, or changed them.
    pub fn guards_lost(&mut self) {
        let keys: Vec<_> = self.guards.keys().copied().collect();
        keys.into_iter().for_each(|key| self.guards.lost(key));
    }

    /// Whether anybody is guarded, or the last guard is on its way out.
    pub fn has_guards(&self) -> bool {
        self.guards.keys().next().is_some()
    }

    /// Whether the link-local addresses that no guest can have are said.
    pub fn reserves(&self) -> bool {
        self.guards.wanted(&GuardKey::Reserved).is_some()
    }

    /// Whether the guest is held to what is wanted, as far as is known.
    pub fn keeps_guard(&self, id: GuestId) -> bool {
        self.guards.keeping(&GuardKey::Guest(id)) == Some(Keeping::Kept) && self.guards_refused.is_none()
    }

    /// Nothing is wanted any more of what outlives the process. The routes that are there follow, in slices, by
    /// [`Routes::want_less`].
    pub fn want_nothing(&mut self, host: &Host) {
        self.mirror.want_programs(&BTreeMap::new());
        self.routes.want_nothing_new();
        self.addresses.want(BTreeSet::new(), &host.links);
        self.table.want((), None);
        // As routes are: what is kept is taken over by the next start.
        if self.routes.policy().on_stop == OnStop::Remove {
            let keys: Vec<_> = self.guards.keys().copied().collect();
            keys.into_iter().for_each(|key| self.guards.want(key, None));
            self.exports.turn(false);
        }
    }

    /// When something is tried again.
    pub fn next_due(&self) -> Option<Time> {
        let due = [self.routes.next_due(), self.addresses.next_due(), self.ears.next_due()];
        due.into_iter()
            .chain([
                self.table.next_due(),
                self.guards.next_due(),
                self.mirror.next_due(),
                self.pins.next_due(),
            ])
            .flatten()
            .min()
    }

    /// Tries again what is due.
    pub fn tick(&mut self, now: Time) {
        self.routes.tick(now);
        self.addresses.tick(now);
        self.ears.tick(now);
        self.table.tick(now);
        self.guards.tick(now);
        self.mirror.tick(now);
        self.pins.tick(now);
    }
}

fn guard_of((key, step): (GuardKey, Step<Guarding>)) -> (GuardKey, Option<Guarding>) {
    match step {
        Step::Add(guarding) => (key, Some(guarding)),
        Step::Remove(_) => (key, None),
    }
}

/// Where the plan wants a gateway's address. A gateway is asked for by Neighbor Discovery, which a tunnel has not;
/// and what arrives at a port is its master's.
pub fn wanted_gateways(plan: &Plan, host: &Host) -> BTreeSet<At> {
    let takes_gateway = |link: &IfIndex| {
        plan.upstream(*link).is_none()
            && host
                .links
                .get(*link)
                .is_some_and(|known| host.links.mac(*link).is_some() && known.master.is_none())
    };
    let mut wanted = BTreeSet::new();
    for (range, place) in plan.served() {
        let Some(address) = range.gateway else { continue };
        let links = plan.downstreams_of(range, place, host).into_iter().filter(takes_gateway);
        wanted.extend(links.map(|link| (link, address)));
    }
    wanted
}
