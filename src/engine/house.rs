//! The machines side by side, and what may be looked at of them.

use core::cell::Cell;
use core::net::Ipv6Addr;
use std::collections::BTreeSet;
use std::hash::BuildHasher;

use ipnet::Ipv6Net;

use super::answers::Scene;
use super::answers::explain::{Explainer, Explanation};
use super::answers::guests::Neighborhood;
use super::answers::held::Held;
use super::answers::masks::{Masks, WideMask};
use super::asker::Asker;
use super::change::{At, RouteState};
use super::counters::Counters;
use super::event::Note;
use super::export::{self, Census, Target, Which};
use super::facts::{IfIndex, KernelRoute, KernelRule};
use super::guests::Guests;
use super::host::{Host, links::Links};
use super::input::Input;
use super::keep::{self, Keep};
use super::leads::Leads;
use super::liveness::{Budget, Liveness, SHARES, State, Subject};
use super::manners::Manners;
use super::next_hops::NextHops;
use super::plan::bindings::{Bindings, Problem, Upstream};
use super::plan::unserved::Unserved;
use super::plan::{self, Changes, Grounds, Making, Plan, RangeId};
use super::policy::{Policy, RoutePolicy};
use super::seed::Seed;
use super::time::Time;
use super::told::Told;
use crate::wire::Mac;

/// Every machine of the engine.
#[derive(Debug)]
pub struct House {
    /// What the administrator wrote.
    pub(super) written: Policy,
    pub(super) host: Host,
    pub(super) plan: Plan,
    pub(super) neighborhood: Neighborhood,
    pub(super) guests: Liveness,
    pub(super) identities: Guests,
    pub(super) neighbors: Liveness,
    pub(super) next_hops: NextHops,
    pub(super) budget: Budget,
    pub(super) leads: Leads,
    pub(super) manners: Manners,
    pub(super) keep: Keep,
    pub(super) held: Held,
    pub(super) masks: Masks,
    pub(super) counters: Counters,
    /// Those of the plan, and what the kernel refuses.
    pub(super) problems: Vec<Problem>,
    /// What switches may keep from this host.
    pub(super) notes: Vec<Note>,
    /// What was told of networks that nobody serves.
    pub(super) told: Told,
    pub(super) seed: Seed,
    /// When something is due of the machines that no question concerns, where that is known.
    pub(super) rest_due: Cell<Option<Option<Time>>>,
}

impl House {
    /// One that knows nothing but its policy.
    pub(super) fn new(policy: Policy, seed: [u64; 2]) -> Self {
        let &Policy { limits, timers, routes, .. } = &policy;
        let host = Host::default();
        let keep = Keep::new(routes, Seed(seed));
        let grounds = Grounds { written: &policy, host: &host, ours: keep.routes.ours() };
        let plan = plan::make(grounds, &[]);
        let guests = Liveness::new(Subject::Guests, limits.targets, timers, limits.pending, seed);
        let neighbors = Liveness::new(Subject::Neighbors, limits.pending, timers, limits.pending, seed);
        let mut identities = Guests::default();
        identities.write(&policy.guests);
        Self {
            written: policy,
            host,
            plan,
            neighborhood: Neighborhood::default(),
            guests,
            identities,
            neighbors,
            next_hops: NextHops::new(timers, &limits, seed),
            budget: Budget::new(limits.probes_per_second, Seed(seed)),
            leads: Leads::default(),
            manners: Manners::new(&limits, Seed(seed)),
            keep,
            held: Held::default(),
            masks: Masks::default(),
            counters: Counters::default(),
            problems: Vec::new(),
            notes: Vec::new(),
            told: Told::default(),
            seed: Seed(seed),
            rest_due: Cell::default(),
        }
    }

    /// What the policy asks for and the host does not have, at this moment.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The networks that automatic would serve where it is off, and that no range does: the first of them.
    pub fn unserved(&self) -> &[Unserved] {
        &self.plan.unserved.first
    }

    /// How many there are of them.
    pub fn count_unserved(&self) -> usize {
        self.plan.unserved.count
    }

    /// What the policy means at this moment.
    pub fn bindings(&self) -> &Bindings {
        &self.plan.bindings
    }

    /// The policy as it was written.
    pub fn written(&self) -> &Policy {
        &self.written
    }

    /// The policy with its effective ranges: each says where it comes from.
    pub fn policy(&self) -> &Policy {
        &self.plan.policy
    }

    /// Whether all that is served are the host's own addresses (AnyIP), so that nothing is forwarded.
    pub fn serves_itself_alone(&self) -> bool {
        self.plan.serves_itself_alone()
    }

    /// The host's interfaces and addresses.
    pub fn links(&self) -> &Links {
        &self.host.links
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What is known of a target.
    pub fn target(&self, address: Ipv6Addr) -> Option<State> {
        self.guests.get(address)
    }

    /// Every target that something is known of.
    pub fn targets(&self) -> impl Iterator<Item = (Ipv6Addr, State)> {
        self.guests.iter()
    }

    /// These have come in one batch and are about to be handled, one by one. It changes nothing but how long that
    /// takes: the entries of the targets are read in one go.
    pub fn look_ahead(&self, batch: &[Input]) {
        if batch.len() > 1 {
            self.guests.look_ahead(batch.iter().filter_map(Input::target));
        }
    }

    /// How many questions for a target were answered since something is known of it.
    pub fn answered_for(&self, address: Ipv6Addr) -> u64 {
        self.guests.answered(address).into()
    }

    /// The first `limit` targets behind `after`, in the order of their addresses.
    pub fn target_page(
        &self,
        which: Which,
        after: Option<Ipv6Addr>,
        limit: usize,
    ) -> Vec<(Ipv6Addr, Target)> {
        export::page(&self.guests, which, after, limit)
    }

    /// How many targets there are.
    pub fn census(&self) -> Census {
        export::census(&self.guests)
    }

    /// The targets that another station on the upstream link has or wanted, its link-layer address, and whether it has
    /// it, so that it is not answered for.
    pub fn conflicts(&self) -> impl Iterator<Item = (Ipv6Addr, Mac, bool)> {
        self.manners.rivals.iter()
    }

    /// The guests that take more for their own link than is on it, one for each downstream.
    pub fn wide_masks(&self) -> impl Iterator<Item = (IfIndex, WideMask)> {
        self.masks.iter()
    }

    /// The multicast groups that are reported to switches, each on its link.
    pub fn listened(&self) -> impl Iterator<Item = (IfIndex, Ipv6Addr)> {
        self.manners.groups.listened()
    }

    /// How many targets are known.
    pub fn known_targets(&self) -> usize {
        self.guests.len()
    }

    /// How many of the upstreams' neighbors are known because guests may ask for them.
    pub fn known_neighbors(&self) -> usize {
        self.neighbors.len()
    }

    /// Every route that we want, and what became of it.
    pub fn routes(&self) -> impl Iterator<Item = (KernelRoute, RouteState)> {
        self.keep.routes.wanted()
    }

    /// The first `limit` of those routes that are meant, in the order of their destinations.
    pub fn route_page(
        &self,
        is_meant: impl Fn(&KernelRoute, RouteState) -> bool,
        limit: usize,
    ) -> Vec<(KernelRoute, RouteState)> {
        export::first(self.routes().filter(|(route, state)| is_meant(route, *state)), limit)
    }

    /// How many of the routes that we want are in this state.
    pub fn count_routes(&self, state: RouteState) -> usize {
        self.keep.routes.count(state)
    }

    /// A foreign route that keeps this one out.
    pub fn in_the_way_of(&self, route: &KernelRoute) -> Option<&KernelRoute> {
        self.keep.routes.in_the_way_of(route, &self.host)
    }

    /// The interface by which the kernel sends on a packet for `target` that arrives on the interface `from`.
    pub fn leads_to(&self, target: Ipv6Addr, from: IfIndex) -> Option<IfIndex> {
        self.host.leads_to(target, Some(from))
    }

    /// The route that decides for packets to all of `prefix` that arrive on the interface `from`, as if ours were not
    /// there.
    pub fn foreign_way(&self, prefix: &Ipv6Net, from: Option<IfIndex>) -> Option<&KernelRoute> {
        let ours = self.keep.routes.ours();
        self.host.way_without(prefix, from, |route| ours.include(route)).route
    }

    /// The route that decides for a packet to `target` that arrives on the interface `from`, and the rule that names its
    /// table, or refuses.
    pub fn way(&self, target: Ipv6Addr, from: IfIndex) -> (Option<&KernelRoute>, Option<&KernelRule>) {
        let way = self.host.way(&target.into(), Some(from));
        (way.route, way.rule)
    }

    /// The kernel's rules, in the order in which it follows them.
    pub fn rules(&self) -> impl Iterator<Item = &KernelRule> {
        self.host.routes.rules.iter()
    }

    /// The default routes.
    pub fn default_routes(&self) -> impl Iterator<Item = &KernelRoute> {
        self.host.routes.defaults()
    }

    /// Where the policy wants a gateway's address, on the host as it is.
    pub fn wanted_gateways(&self) -> BTreeSet<At> {
        keep::wanted_gateways(&self.plan, &self.host)
    }

    /// Whether it matters behind which port of a bridge a station is.
    pub fn minds_ports(&self) -> bool {
        self.host.stations.is_watching()
    }

    /// The interfaces that are upstreams at this moment.
    pub fn upstream_links(&self) -> impl Iterator<Item = IfIndex> {
        self.plan.bindings.upstreams.iter().map(|upstream| upstream.link)
    }

    /// What would be missing on this host, were this the policy, and how many ranges it would have.
    pub fn problems_of(&self, policy: &Policy) -> (Vec<Problem>, usize) {
        let grounds = Grounds { written: policy, ..self.grounds() };
        let plan = plan::make(grounds, &self.plan.bindings.upstreams);
        (plan.bindings.problems, plan.policy.ranges.len())
    }

    /// Why the address is answered for, or not, at the time `now`.
    pub fn explain(&self, target: Ipv6Addr, now: Time) -> Explanation {
        let (scene, keep, identities) = (self.scene(), &self.keep, &self.identities);
        Explainer { scene, keep, refusing: self.refusing(target), identities }.explain(target, now)
    }

    /// One step on with the plan as it is to be on the host as it is. `Ok` at the end: in what it differs, too.
    pub(super) fn go_on(&self, making: Making) -> Result<(Plan, Changes), Making> {
        making.go_on(self.grounds(), &self.plan)
    }

    /// How much a plan has to look at: links, routes, ranges, exclusions.
    pub(super) fn plan_weight(&self) -> usize {
        let excluded = self.written.ranges.iter().map(|range| range.exclude.len()).sum::<usize>();
        let known = self.host.links.count() + self.host.routes.destinations();
        known + self.written.ranges.len() + self.plan.policy.ranges.len() + excluded
    }

    fn grounds(&self) -> Grounds<'_> {
        Grounds { written: &self.written, host: &self.host, ours: self.keep.routes.ours() }
    }

    /// The administrator has written this. What was written before.
    pub(super) fn rewrite(&mut self, policy: Policy) -> Policy {
        self.identities.write(&policy.guests);
        std::mem::replace(&mut self.written, policy)
    }

    /// Our routes are to be like this. False if they are already; else what is there is given back, in slices.
    pub(super) fn reroute(&mut self, routes: RoutePolicy) -> bool {
        let Self { host, keep, .. } = self;
        let is_new = !keep.routes.policy().looks_like(&routes);
        keep.routes.set_policy(routes, self.seed, host);
        if is_new {
            keep.addresses.set_protocol(routes.protocol);
            keep.pins.set_protocol(routes.protocol);
        }
        is_new
    }

    /// Our protocol number is another, or was not known to a predecessor: its gateways' addresses are looked for, and the
    /// ways to guests' prefixes wanted under the number that there is.
    pub(super) fn follow_protocol(&mut self) {
        self.keep.addresses.look_everywhere(&self.host.links);
        self.keep.routes.want_ways_again(&mut self.host);
    }

    /// What decisions look at.
    pub(super) fn scene(&self) -> Scene<'_> {
        Scene {
            plan: &self.plan,
            host: &self.host,
            guests: &self.guests,
            neighbors: &self.neighbors,
            next_hops: &self.next_hops,
            neighborhood: &self.neighborhood,
            rivals: &self.manners.rivals,
            asked: &self.manners.asked,
            hints: &self.budget.hints,
            words: self.identities.words(),
        }
    }

    /// Whose share of the probes a question counts for. Routers and others on an upstream have one by their station for
    /// each range, so that a scan of one range leaves something for the others; a few may share one, which is fair
    /// enough. A guest can pretend to be many stations, so those of one downstream have one share together.
    pub(super) fn share_of(&self, asker: &Asker, target: Ipv6Addr) -> usize {
        let RangeId(range) = self.plan.find(target).unwrap_or(RangeId(0));
        let who = match self.plan.upstream(asker.link) {
            Some(_) => (asker.link, asker.mac, range),
            None => (asker.link, Mac([0; 6]), range),
        };
        usize::try_from(self.seed.hash_one(who) % SHARES as u64).expect("less than there are shares")
    }

    /// What an answer to this asker takes from the link that it is on.
    pub(super) fn face_towards(&self, asker: &Asker, target: Ipv6Addr) -> Option<Upstream> {
        match self.plan.upstream(asker.link) {
            Some(upstream) => Some(*upstream),
            None => self.scene().face_towards_guests(asker.link, target),
        }
    }

    /// True for one of our own stations on an upstream.
    pub(super) fn is_our_station(&self, mac: Mac) -> bool {
        self.plan.bindings.upstreams.iter().any(|upstream| upstream.mac == mac)
    }

    /// True if guests on this link are answered there.
    pub(super) fn answers_guests_on(&self, link: IfIndex) -> bool {
        !self.neighborhood.upstreams_of(link).is_empty()
    }
}
