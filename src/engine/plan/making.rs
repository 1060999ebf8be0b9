//! A plan in the making, step by step: on a host with thousands of networks no step takes long, and questions
//! are answered between two of them by the plan that there is.

use super::Plan;
use super::bindings::{Bindings, Upstream};
use super::changes::{Changes, Comparison};
use super::derive::{Around, Derivation, Effective};
use super::hops::Hops;
use super::ranges::Ranges;
use super::reach::Reach;
use super::unserved::{Lookout, Networks};
use crate::engine::host::Host;
use crate::engine::ours::Ours;
use crate::engine::policy::{Policy, UpstreamPolicy};

/// A plan in the making. The host and the policy may not be others between two steps, or the plan is made again.
#[derive(Debug, Default)]
pub struct Making(Stage);

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Begun,
    /// Which upstreams there are, and which ranges, as far as they have been found.
    Derived(Box<(Bindings, Derivation)>),
    /// And all of them.
    Found(Box<(Bindings, Effective)>),
    /// The plan, and what nobody serves, as far as it has been found.
    Looking(Box<(Plan, Lookout)>),
    /// The plan.
    Made(Box<Plan>),
    /// The plan, and how far it has been compared with the one before.
    Compared(Box<(Plan, Comparison)>),
}

/// What is known when a plan is made.
#[derive(Debug, Clone, Copy)]
pub struct Grounds<'a> {
    /// What the administrator wrote.
    pub written: &'a Policy,
    /// The host as it is.
    pub host: &'a Host,
    /// Which of its routes are ours.
    pub ours: &'a Ours,
}

/// What is asked for by `written` on this host; what nobody serves is left out. `before` are the upstreams that there were so far: the default route
/// may go for a moment.
pub fn make(grounds: Grounds<'_>, before: &[Upstream]) -> Plan {
    let bindings = grounds.bind(before);
    let around = grounds.around(&bindings);
    let mut derivation = Derivation::begin(grounds.written, around);
    let is_all = derivation.go_on(grounds.written, around, usize::MAX);
    debug_assert!(is_all, "nothing is left over");
    grounds.plan(bindings, derivation.effective)
}

impl Making {
    /// One step on. `Ok` at the end: the plan, and in what it differs from the one before.
    pub fn go_on(self, grounds: Grounds<'_>, before: &Plan) -> Result<(Plan, Changes), Self> {
        match self.0 {
            Stage::Begun => {
                let bindings = grounds.bind(&before.bindings.upstreams);
                let derivation = Derivation::begin(grounds.written, grounds.around(&bindings));
                Err(grounds.derive(bindings, derivation))
            }
            Stage::Derived(derived) => Err(grounds.derive(derived.0, derived.1)),
            Stage::Found(found) => {
                let plan = grounds.plan(found.0, found.1);
                Err(Self(match Lookout::is_needed(&plan) {
                    true => Stage::Looking(Box::new((plan, Lookout::default()))),
                    false => Stage::Made(Box::new(plan)),
                }))
            }
            Stage::Looking(both) => Err(grounds.look(both.0, both.1)),
            Stage::Made(plan) => {
                let comparison = Comparison::of(before, &plan);
                Self::compare(*plan, comparison, before, 0)
            }
            Stage::Compared(both) => Self::compare(both.0, both.1, before, COMPARED),
        }
    }

    fn compare(
        plan: Plan,
        comparison: Comparison,
        before: &Plan,
        most: usize,
    ) -> Result<(Plan, Changes), Self> {
        match comparison.go_on(before, &plan, most) {
            Ok(changes) => Ok((plan, changes)),
            Err(comparison) => Err(Self(Stage::Compared(Box::new((plan, comparison))))),
        }
    }
}

impl Grounds<'_> {
    /// The upstreams. `before` are those that there were so far.
    fn bind(self, before: &[Upstream]) -> Bindings {
        let Self { written, host, .. } = self;
        let defaults = host.routes.default_links();
        let is_needed = |upstream: &UpstreamPolicy| written.needs(upstream);
        Bindings::of_upstreams(&written.upstreams, is_needed, &host.links, &defaults, before)
    }

    fn around<'b>(&'b self, bindings: &'b Bindings) -> Around<'b> {
        Around { bindings, host: self.host, ours: self.ours }
    }

    fn derive(self, bindings: Bindings, mut derivation: Derivation) -> Making {
        let is_all = derivation.go_on(self.written, self.around(&bindings), DERIVED);
        Making(match is_all {
            true => Stage::Found(Box::new((bindings, derivation.effective))),
            false => Stage::Derived(Box::new((bindings, derivation))),
        })
    }

    fn look(self, mut plan: Plan, mut lookout: Lookout) -> Making {
        let around = self.around(&plan.bindings);
        if !lookout.go_on(&plan, around, LOOKED_AT) {
            return Making(Stage::Looking(Box::new((plan, lookout))));
        }
        plan.unserved = lookout.into_networks(&plan, around);
        Making(Stage::Made(Box::new(plan)))
    }

    fn plan(self, mut bindings: Bindings, mut effective: Effective) -> Plan {
        let Self { written, host, .. } = self;
        bindings.place_ranges(&effective.ranges, effective.places, &host.links);
        for (range, place) in effective.ranges.iter_mut().zip(&bindings.ranges) {
            if place.own_bridge().is_some() {
                range.share_the_upstream();
            }
        }
        bindings.problems.extend(effective.problems);
        let reach = Reach::of(self.around(&bindings), written.routes.table);
        let spared = reach.spare_links(&mut effective.ranges, self.around(&bindings));
        bindings.problems.extend(spared);
        reach.add_to(&effective.ranges, &mut bindings.ranges);
        let around = self.around(&bindings);
        let placed = effective.ranges.iter().zip(&bindings.ranges);
        let unasked: Vec<_> =
            placed.filter_map(|(range, place)| around.nobody_to_ask(range, place)).collect();
        bindings.problems.extend(unasked);
        let around = self.around(&bindings);
        let placed = effective.ranges.iter().zip(&bindings.ranges);
        let leads_back = placed.map(|(range, place)| Reach::may_lead_back(range, place, around)).collect();
        bindings.may_lead_back = leads_back;
        let policy = Policy {
            upstreams: written.upstreams.clone(),
            ranges: effective.ranges,
            suffixes: written.suffixes.clone(),
            guests: Vec::new(),
            ..*written
        };
        let index = Ranges::new(&policy.ranges);
        let hops = Hops::of(&policy.ranges, &index, &bindings, host);
        Plan { index, policy, bindings, hops, unserved: Networks::default() }
    }
}

/// As many routes are looked at in one step.
const DERIVED: usize = 1_024;
/// The same for networks that nobody serves: to find out which of thousands of routes are still ours takes longer.
const LOOKED_AT: usize = 256;
/// As many ranges that are others are compared in one step.
const COMPARED: usize = 512;
