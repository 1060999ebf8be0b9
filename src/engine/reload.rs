//! Another policy takes the place of the present one, and whatever both share is left as it is.
//!
//! The administrator brings about such a change, with a whole new policy ([`Engine::reload`]), or the
//! kernel, with a prefix that makes a range of its own ([`Engine::follow`]).

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv6Net;

use super::answer::Asker;
use super::bindings::Bindings;
use super::derive::Host;
use super::facts::{IfIndex, KernelRoute};
use super::output::{Loss, Output};
use super::policy::{Answer, Origin, Policy, RangePolicy, RangeRoutes};
use super::ranges::Ranges;
use super::targets::{Live, State};
use super::time::Time;
use super::{Engine, Event, Phase, share_of_probes};
use crate::wire::DropReason;

impl Engine {
    /// From here on this is what the administrator wants.
    pub(super) fn reload(&mut self, policy: Policy, now: Time) {
        if policy == self.written || self.phase == Phase::Stopping {
            return;
        }
        let defaults = self.routes.default_links();
        let bound = Bindings::resolve(&policy, &self.links, &defaults, &self.bindings);
        let effective = policy.derive(self.host(&bound));
        self.tell_ranges(&effective.ranges);
        let next = Policy { ranges: effective.ranges, ..policy.clone() };
        let knew_all = self.knows_routes_for(&next);
        self.written = policy;
        let before = self.take_over(next, now);
        self.bindings.problems.extend(effective.problems);
        self.settle_from(&before);
        self.settle_upstreams(now);
        if !knew_all {
            self.outputs.push_back(Output::Resync);
        }
    }

    /// Brings the effective ranges in line with the host. `before` is what was bound so far; of
    /// ranges there is nothing in it afterwards if they are others now.
    pub(super) fn follow(&mut self, before: &mut Bindings, now: Time) {
        let effective = self.written.derive(self.host(&self.bindings));
        if effective.ranges != self.policy.ranges {
            self.tell_ranges(&effective.ranges);
            self.take_over(Policy { ranges: effective.ranges, ..self.written.clone() }, now);
            before.ranges.clear();
        }
        self.bindings.problems.extend(effective.problems);
    }

    /// Puts the policy into the place of the present one, and returns what that one meant.
    pub(super) fn take_over(&mut self, policy: Policy, now: Time) -> Bindings {
        let guests = self.guest_routes();
        if policy.routes != self.policy.routes {
            self.routes.set_policy(policy.routes);
            self.gateway_addresses.set_protocol(policy.routes.protocol);
        }
        let probes = policy.limits.probes_per_second;
        if probes != self.policy.limits.probes_per_second {
            self.probe_limit.change(&super::Limiter::new(probes), now);
            let share = share_of_probes(probes);
            self.shares.iter_mut().for_each(|old| old.change(&share, now));
        }
        self.announcements.change(&policy.limits, now);
        self.groups.change(policy.limits.groups);
        let (timers, targets) = (policy.timers, policy.limits.targets);
        let are_timers_new = timers != self.policy.timers;
        self.ranges = Ranges::new(&policy.ranges);
        self.policy = policy;
        let bindings = self.resolve();
        let before = std::mem::replace(&mut self.bindings, bindings);
        self.review_targets(now);
        for (target, state) in self.targets.set_limit(targets) {
            self.evicted(target, state);
        }
        self.limit_neighbors(self.policy.limits.pending);
        if are_timers_new {
            self.hasten(now);
        }
        let guests_now = self.guest_routes();
        guests.difference(&guests_now).for_each(|route| self.routes.unwant(route));
        guests_now.difference(&guests).for_each(|route| self.routes.want(route.clone()));
        before
    }

    pub(super) fn host<'a>(&'a self, bound: &'a Bindings) -> Host<'a> {
        Host { upstreams: &bound.upstreams, links: &self.links, routes: &self.routes }
    }

    /// Tells what becomes of the ranges that the host brings about. Those of the start are not news.
    fn tell_ranges(&mut self, next: &[RangePolicy]) {
        if self.phase != Phase::Serving {
            return;
        }
        let by_prefix = |ranges: &[RangePolicy]| {
            let by_prefix = ranges.iter().map(|range| (range.prefix, range.clone()));
            by_prefix.collect::<BTreeMap<Ipv6Net, RangePolicy>>()
        };
        let (before, after) = (by_prefix(&self.policy.ranges), by_prefix(next));
        let is_new = |range: &&RangePolicy| {
            before
                .get(&range.prefix)
                .is_none_or(|old| (&old.downstream, old.answer) != (&range.downstream, range.answer))
        };
        let new = next.iter().filter(is_new);
        let gone = before.values().filter(|range| !after.contains_key(&range.prefix));
        let followed = |range: &&RangePolicy| range.origin != Origin::Config;
        let new: Vec<_> = new.filter(followed).cloned().map(Box::new).map(Event::Serving).collect();
        let gone: Vec<_> = gone.filter(followed).cloned().map(Box::new).map(Event::Withdrawn).collect();
        gone.into_iter().chain(new).for_each(|event| self.tell(event));
    }

    /// Whether every route that concerns this policy concerned the present one too, so that it is
    /// known if it is there.
    fn knows_routes_for(&self, policy: &Policy) -> bool {
        let is_known =
            |range: &RangePolicy| self.policy.ranges.iter().any(|known| known.prefix.contains(&range.prefix));
        let follows_more = policy.is_derived() && !self.written.is_derived();
        policy.ranges.iter().all(is_known)
            && !follows_more
            && policy.routes.protocol == self.policy.routes.protocol
    }

    /// The routes of single guests that the policy asks for.
    fn guest_routes(&self) -> BTreeSet<KernelRoute> {
        if !self.policy.ranges.iter().any(|range| range.routes == RangeRoutes::Guests) {
            return BTreeSet::new();
        }
        let route = |(target, state): (Ipv6Addr, &State)| match state {
            State::Live(live) if self.keeps_guest_routes(target) => {
                Some(self.routes.guest(target, live.link))
            }
            State::Live(_) | State::Probing(_) | State::Absent => None,
        };
        self.targets.iter().filter_map(route).collect()
    }

    /// Ends what the policy does not serve any more. Whoever waits for a target asks anew, and has
    /// nothing lost where it is still served.
    fn review_targets(&mut self, now: Time) {
        let known: Vec<_> = self.targets.iter().map(|(target, _)| target).collect();
        for target in known {
            let range = self.ranges.find(target).filter(|range| {
                self.policy.ranges[range.0].looks_for_guests() && !self.ranges.excludes(*range, target)
            });
            match (self.targets.get(target).cloned(), range) {
                (Some(State::Live(Live { link, .. })), Some(range))
                    if self.behind(range, target).contains(link) => {}
                (Some(State::Live(Live { link, .. })), _) => self.end(target, link),
                (Some(State::Probing(probing)), Some(range)) => {
                    let is_answered = self.policy.ranges[range.0].answer == Answer::Live;
                    let upstream = self.bindings.ranges[range.0].upstream.filter(|_| is_answered);
                    let (stay, go) =
                        probing.askers.into_iter().partition(|asker| Some(asker.link) == upstream);
                    if let Some(askers) = self.targets.askers_mut(target) {
                        *askers = stay;
                    }
                    self.ask_anew(go, target, now);
                }
                (Some(State::Probing(probing)), None) => {
                    self.targets.remove(target);
                    self.ask_anew(probing.askers, target, now);
                }
                (Some(State::Absent), None) => _ = self.targets.remove(target),
                (Some(State::Absent), Some(_)) | (None, _) => {}
            }
        }
    }

    fn end(&mut self, target: Ipv6Addr, link: IfIndex) {
        self.targets.remove(target);
        // Where every address is answered, this one still is.
        let is_answered = self.ranges.find(target).is_some_and(|range| {
            self.policy.ranges[range.0].answer == Answer::Always && !self.ranges.excludes(range, target)
        });
        if !is_answered {
            self.tell(Event::Gone(target, link, Loss::Policy));
        }
    }

    fn ask_anew(&mut self, askers: Vec<Asker>, target: Ipv6Addr, now: Time) {
        for asker in askers {
            let verdict = match self.bindings.upstream(asker.link) {
                Some(_) => self.question(asker, target, now),
                None => self.question_of_guest(asker, target, now),
            };
            self.count(target, &asker, verdict);
        }
    }

    /// A target that had to go because there may be fewer now.
    fn evicted(&mut self, target: Ipv6Addr, state: State) {
        match state {
            State::Live(live) => self.tell(Event::Gone(target, live.link, Loss::NoRoom)),
            State::Probing(probing) => {
                for asker in probing.askers {
                    self.unanswered(target, &asker, DropReason::TargetsFull);
                }
            }
            State::Absent => {}
        }
    }

    /// Nothing is due later than the timers say now.
    fn hasten(&mut self, now: Time) {
        let due: Vec<_> =
            self.targets.iter().map(|(target, state)| (target, now + self.comes_back_after(state))).collect();
        due.into_iter().for_each(|(target, due)| self.targets.hasten(target, due));
    }
}
