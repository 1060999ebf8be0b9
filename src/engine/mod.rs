//! The engine room: the decisions. PURE: no clock, no socket, no file, no environment.
//!
//! Everything that the engine knows came in through [`Engine::handle`], and everything that it wants
//! done leaves as an [`Output`]. The contract with its caller, which the daemon's loop follows in the
//! same numbers:
//!
//! 1. Call [`Engine::handle`] with whatever happened, and the time.
//! 2. Drain [`Engine::poll_output`] until it returns nothing, and carry the outputs out in order.
//! 3. Wait until something happens, at most until [`Engine::next_timeout`]; then hand in
//!    [`Input::Timeout`].
//!
//! Time never runs backwards between two calls. Effects are idempotent: whoever carries out the
//! same output twice has done no harm. A run of inputs and times, recorded, is a test.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod announce;
mod answer;
mod automatic;
pub mod bindings;
mod counters;
mod departures;
mod derive;
mod downstream;
mod evidence;
mod explain;
pub mod facts;
mod gateway;
mod gateway_address;
mod groups;
mod input;
mod limiter;
mod links;
mod masks;
mod neighbors;
mod output;
pub mod policy;
mod probe;
mod question;
mod ranges;
mod reload;
mod rivals;
mod routes;
mod settle;
mod suppress;
mod targets;
mod time;
mod view;

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, VecDeque};

pub use answer::{Asker, advertisement};
pub use bindings::{Bindings, Problem};
pub use counters::{Counters, LinkCounters};
pub use explain::{Expected, Explanation, Holds, Step, Subject};
pub use gateway::NeighborChange;
pub use gateway_address::{AddressChange, AddressOutcome, GatewayAddress, Obstacle};
pub use input::Input;
pub use limiter::Limiter;
pub use links::Links;
pub use masks::WideMask;
pub use output::{Ear, Event, Loss, Output, Role};
pub use routes::{Change, Outcome, RouteState};
pub use suppress::{Fate, Suppression};
pub use targets::{Claim, Evidence, Live, Probing, Proof, State, Target};
pub use time::Time;
pub use view::{Census, Watch, Which};

use announce::Announcements;
use facts::{IfIndex, KernelRoute};
use gateway::Gateways;
use gateway_address::GatewayAddresses;
use groups::Groups;
use masks::Masks;
use neighbors::Neighbors;
use policy::Policy;
use ranges::Ranges;
use rivals::Rivals;
use routes::Routes;
use targets::{SHARES, Targets};

use crate::wire::Mac;

/// The responder, without its sockets.
#[derive(Debug)]
pub struct Engine {
    /// What the administrator wrote.
    written: Policy,
    /// The same with the ranges that follow from it on this host.
    policy: Policy,
    ranges: Ranges,
    links: Links,
    routes: Routes,
    bindings: Bindings,
    targets: Targets,
    probe_limit: Limiter,
    /// Where probes are scarce, what each asker may have of them.
    shares: Vec<Limiter>,
    rivals: Rivals,
    masks: Masks,
    neighbors: Neighbors,
    announcements: Announcements,
    gateways: Gateways,
    gateway_addresses: GatewayAddresses,
    /// Who waits for the route of a live guest to be in the kernel.
    held: BTreeMap<Ipv6Addr, Vec<Asker>>,
    /// The questions of guests whose own route is not in the kernel yet, by guest.
    unreturned: BTreeMap<Ipv6Addr, Vec<(Asker, Ipv6Addr)>>,
    ears: BTreeMap<IfIndex, Ear>,
    groups: Groups,
    suppressed: Vec<Suppression>,
    counters: Counters,
    outputs: VecDeque<Output>,
    watch: Watch,
    phase: Phase,
}

/// How far the engine's life has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The kernel is still telling what there is.
    Learning,
    /// Routes are kept as they should be.
    Serving,
    /// Everything is being given back.
    Stopping,
}

impl Engine {
    /// An engine that knows nothing but its policy. `seed` is random, and nobody else's to know.
    pub fn new(policy: Policy, seed: [u64; 2]) -> Self {
        Self {
            ranges: Ranges::new(&policy.ranges),
            links: Links::default(),
            routes: Routes::new(policy.routes),
            bindings: Bindings::resolve(&policy, &Links::default(), &[], &Bindings::default()),
            targets: Targets::new(policy.limits.targets, seed),
            probe_limit: Limiter::new(policy.limits.probes_per_second),
            shares: vec![share_of_probes(policy.limits.probes_per_second); SHARES],
            rivals: Rivals::default(),
            masks: Masks::default(),
            neighbors: Neighbors::new(policy.limits.pending, seed),
            announcements: Announcements::new(&policy.limits),
            gateways: Gateways::default(),
            gateway_addresses: GatewayAddresses::new(policy.routes.protocol),
            held: BTreeMap::new(),
            unreturned: BTreeMap::new(),
            ears: BTreeMap::new(),
            groups: Groups::new(policy.limits.groups),
            suppressed: Vec::new(),
            counters: Counters::default(),
            outputs: VecDeque::new(),
            watch: Watch::default(),
            phase: Phase::Learning,
            written: policy.clone(),
            policy,
        }
    }

    /// Takes in one thing that happened at the time `now`.
    pub fn handle(&mut self, input: Input, now: Time) {
        match input {
            Input::Solicitation(link, solicitation) => {
                self.solicitation(link, &solicitation, now);
                self.settle_routes();
            }
            Input::Advertisement(link, advertisement) => {
                self.advertisement(link, &advertisement, now);
                self.settle_routes();
            }
            Input::Discarded(link, reason) => self.discarded(link, reason),
            Input::Watch(watch) => self.watch = watch,
            Input::Facts(facts) => self.facts(facts, now),
            Input::Snapshot(facts) => self.snapshot(facts, now),
            Input::Synced if self.phase == Phase::Learning => self.begin(now),
            // There is nothing more to begin.
            Input::Synced => {}
            Input::RouteChanged(change, outcome) => self.route_changed(change, &outcome, now),
            Input::AddressChanged(change, outcome) => self.address_changed(change, &outcome, now),
            Input::EarChanged(..) | Input::GroupChanged(..) | Input::NeighborChanged(..) => {}
            Input::SuppressionChanged(_) | Input::SuppressionLost | Input::Unsent(..) => {}
            Input::Ask(target) => {
                self.look(target, now);
                self.settle_routes();
            }
            Input::Timeout => self.due(now),
            Input::Reload(policy) => self.reload(*policy, now),
            Input::Stop => self.stop(),
        }
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is to be handed in, if nothing else happens before.
    pub fn next_timeout(&self) -> Option<Time> {
        let known = [self.targets.next_due(), self.neighbors.next_due()];
        let due = [self.announcements.next_due(), self.gateways.next_due(), self.gateways_due()];
        known.into_iter().chain(due).flatten().min()
    }

    /// What the policy asks for and the host does not have, at this moment.
    pub fn problems(&self) -> &[Problem] {
        &self.bindings.problems
    }

    /// What the policy means at this moment.
    pub fn bindings(&self) -> &Bindings {
        &self.bindings
    }

    /// The policy as it was written.
    pub fn written(&self) -> &Policy {
        &self.written
    }

    /// The policy with its effective ranges: each says where it comes from.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether all that is served are the host's own addresses (AnyIP), so that nothing is forwarded.
    pub fn serves_itself_alone(&self) -> bool {
        let ranges = &self.policy.ranges;
        !ranges.is_empty()
            && ranges.iter().all(
                |range| matches!(&range.downstream, policy::Downstream::Named(name) if name.is_loopback()),
            )
    }

    /// The host's interfaces and addresses.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What is known of a target.
    pub fn target(&self, address: Ipv6Addr) -> Option<&State> {
        self.targets.get(address)
    }

    /// Every target that something is known of.
    pub fn targets(&self) -> impl Iterator<Item = (Ipv6Addr, &State)> {
        self.targets.iter()
    }

    /// How many questions for a target were answered since something is known of it.
    pub fn answered_for(&self, address: Ipv6Addr) -> u64 {
        self.targets.answered_for(address).into()
    }

    /// The targets that somebody else on the upstream link speaks up for, and his address.
    pub fn conflicts(&self) -> impl Iterator<Item = (Ipv6Addr, Mac)> {
        self.rivals.iter()
    }

    /// The guests that take more for their own link than is on it, one for each downstream.
    pub fn wide_masks(&self) -> impl Iterator<Item = (IfIndex, WideMask)> {
        self.masks.iter()
    }

    /// How many targets are known.
    pub fn known_targets(&self) -> usize {
        self.targets.len()
    }

    /// How many of the upstreams' neighbors are known because guests may ask for them.
    pub fn known_neighbors(&self) -> usize {
        self.neighbors.len()
    }

    /// Every route that we want, and what became of it.
    pub fn routes(&self) -> impl Iterator<Item = (&KernelRoute, RouteState)> {
        self.routes.wanted()
    }

    /// A foreign route that keeps this one out.
    pub fn in_the_way_of(&self, route: &KernelRoute) -> Option<&KernelRoute> {
        self.routes.in_the_way_of(route)
    }

    fn begin(&mut self, now: Time) {
        self.phase = Phase::Serving;
        // Problems are told as they come; those there are from the start, now.
        self.bindings.problems.clear();
        self.inherit(now);
        self.settle(now);
        self.settle_upstreams(now);
    }

    fn stop(&mut self) {
        self.phase = Phase::Stopping;
        self.give_back_gateways();
        self.routes.unwant_all();
        self.end_suppression();
        self.settle_routes();
        self.settle_gateway_addresses();
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

/// An asker may have all probes at once where nobody else asks; for longer than that only half.
fn share_of_probes(per_second: u32) -> Limiter {
    Limiter::deep(per_second.div_ceil(2), per_second)
}
