//! The engine room: the decisions. PURE: no clock, no socket, no file, no environment.
//!
//! Everything that the engine knows came in through [`Engine::handle`], and everything that it wants done leaves as an
//! [`Output`]. The contract with its caller, which the daemon's loop follows in the same numbers:
//!
//! 1. Call [`Engine::handle`] with what happened, and the time.
//! 2. Drain [`Engine::poll_output`] until it returns nothing, and carry the outputs out in order.
//! 3. Wait until something happens, at most until [`Engine::next_timeout`]; then hand in [`Input::Timeout`].
//!
//! Time never runs backwards between two calls. Effects are idempotent. What takes long is done in slices (`work`), so
//! that questions are answered in between. A run of inputs and times, recorded, is a test.
//!
//! # Where a line belongs
//!
//! | machine | owns | gives |
//! |---|---|---|
//! | `host` | links, addresses, routes | what each fact changed |
//! | `plan` | nothing: a pure function | upstreams, ranges, where each is served, problems |
//! | `liveness` | targets, the budget of probes, claims, who waits | probes, verdicts, a [`Transition`] for every change |
//! | `next_hops` | routers that guests are behind, who waits for them | whether they are there |
//! | `answers` | who waits for a route, masks | what a question gets, and why |
//! | `manners` | announcements, rivals, routers' entries, groups, sources | what is sent of our own accord |
//! | `guests` | guests with an identity, claims | which addresses and prefixes are here by the administrator's word |
//! | `keep` | what the kernel holds for us | changes to ask for, tried again when refused |
//!
//! A machine knows no other. The `desk` hands the output of one to the others as far as frames and targets are
//! concerned; this file does so for what the kernel and the administrator say.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod answer;
mod answers;
mod asker;
mod asking;
mod change;
mod counters;
mod desk;
mod effect;
mod event;
mod export;
pub mod facts;
pub mod guests;
mod hints;
mod host;
mod house;
mod input;
mod keep;
mod leads;
mod limiter;
mod liveness;
mod manners;
mod next_hops;
mod ours;
mod pattern;
mod plan;
pub mod policy;
mod seed;
mod time;
mod told;
mod unread;
mod work;

use std::collections::VecDeque;
use std::ops::Deref;
use std::vec::IntoIter;

pub use answer::{advertisement, responder};
pub use answers::explain::{Expected, Explanation, Holds, Step, Subject};
pub use answers::masks::WideMask;
pub use asker::Asker;
pub use change::{
    AddressChange, AddressOutcome, Change, Exported, Fate, GatewayAddress, NeighborChange, Obstacle, Outcome,
    Over, Pin, RouteState, Suppression,
};
pub use counters::{Counters, LinkCounters};
pub use effect::{Ear, MirroredRanges, Output, Program, Remembered, Role};
pub use event::{Ended, Event, GuestMove, Guests, Loss, NoProgram, NotTaken, Note, Unserved};
pub use export::{Census, Notable, Place as TargetPlace, Standing, Target, Transition, Watch, Which, Why};
pub use host::links::Links;
pub use house::House;
pub use input::{Claiming, Input};
pub use keep::pins::PinCount;
pub use limiter::Limiter;
pub use liveness::{Claim, Evidence, Live, Probing, Proof, State};
pub use plan::bindings::{self, Bindings, Problem};
pub use plan::{Hop, idle::Idle};
pub use time::Time;
pub use unread::{Unread, unread_table};

use answers::guests::Neighborhood;
use desk::{Desk, Phase};
use facts::Fact;
use guests::Cursor;
use host::{Delta, News};
use manners::suppression;
use plan::{Changes, Making, Plan};
use policy::Policy;
use work::{Occasion, Planning, SLICE, Serving, Work};

/// The responder, without its sockets. What may be looked at is in the [`House`].
#[derive(Debug)]
pub struct Engine {
    desk: Desk,
    /// What has changed since the plan was last made.
    delta: Delta,
    backlog: VecDeque<Work>,
    /// More was due than one slice could do.
    overdue: bool,
    /// When the next slice of what is left over is taken.
    resume_at: Option<Time>,
}

impl Deref for Engine {
    type Target = House;

    fn deref(&self) -> &House {
        &self.desk.house
    }
}

impl Engine {
    /// An engine that knows nothing but its policy. `seed` is random, and nobody else's to know.
    pub fn new(policy: Policy, seed: [u64; 2]) -> Self {
        let desk = Desk::new(House::new(policy, seed));
        Self { desk, delta: Delta::default(), backlog: VecDeque::new(), overdue: false, resume_at: None }
    }

    /// Takes in one thing that happened at the time `now`.
    pub fn handle(&mut self, input: Input, now: Time) {
        let before = matches!(input, Input::Solicitation(..)).then_some(self.desk.outputs.len());
        match input {
            Input::Facts(facts) => self.begin_work(Work::Facts(facts.into_iter()), now),
            Input::Snapshot(facts) => self.begin_work(Work::Told(facts), now),
            Input::Synced => self.begin_work(Work::Begin, now),
            Input::Reload(policy) => self.begin_work(Work::Reload(policy), now),
            Input::RouteChanged(change, outcome) => {
                self.desk.route_changed(change, &outcome, &mut self.delta, now);
                self.begin_work(Work::Facts(Vec::new().into_iter()), now);
            }
            Input::Timeout => self.due(now),
            Input::Mirrored(link, guests) => {
                let work = self.desk.inherit_mirrored(link, guests);
                self.begin_work(work, now);
            }
            Input::Stop => self.stop(now),
            of_the_desk => self.desk.take(of_the_desk, now),
        }
        self.desk.settle(now);
        self.desk.ask_kernel(now);
        // Every live guest may have to be looked at for the programs in the kernel.
        let walks = [self.desk.mirror_all(), self.desk.export_all(), self.desk.take_woken()];
        for walk in walks.into_iter().flatten() {
            self.backlog.push_back(walk);
            self.resume_at = Some(now.next());
        }
        let has_only_answered = before.is_some_and(|before| self.desk.has_only_answered_since(before));
        // An answer moves nothing that switches are told. What of that is due by now comes with the next timeout.
        if !has_only_answered || self.desk.house.manners.has_news_for_switches() {
            self.desk.report(now);
        }
        if !has_only_answered {
            self.desk.house.look_again();
        }
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.desk.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is to be handed in, if nothing else happens before.
    pub fn next_timeout(&self) -> Option<Time> {
        self.resume_at.or_else(|| self.desk.house.next_due())
    }

    /// True if there is work left over, to be gone on with at [`Self::next_timeout`].
    pub fn is_behind(&self) -> bool {
        self.overdue || !self.backlog.is_empty() || !self.delta.is_empty()
    }

    /// Does what is due by now, in a slice.
    fn due(&mut self, now: Time) {
        self.work(now);
        let mut is_all = self.desk.house.tick(SLICE, now);
        self.desk.house.keep.tick(now);
        self.desk.settle(now);
        is_all &= self.desk.follow_leads(SLICE, now);
        is_all &= self.desk.announce(SLICE, now);
        self.desk.tick_provider(now);
        self.desk.tick_identities(now);
        self.overdue = !is_all;
        self.resume_at = self.is_behind().then(|| now.next());
    }

    // ---- Work in slices ----

    fn begin_work(&mut self, work: Work, now: Time) {
        self.backlog.push_back(work);
        if self.backlog.len() == 1 {
            self.work(now);
        }
    }

    /// Does a slice of what is to be done. While the kernel is still telling what there is nobody waits, and it is
    /// all done at once.
    fn work(&mut self, now: Time) {
        let mut left = SLICE;
        loop {
            if left == 0 && self.desk.phase != Phase::Learning {
                break;
            }
            left = left.max(1);
            let Some(work) = self.backlog.pop_front() else {
                if self.delta.is_empty() {
                    break;
                }
                let plan = self.replan(Occasion::Host);
                self.backlog.push_back(plan);
                continue;
            };
            let rest = self.step(work, &mut left, now);
            rest.into_iter().rev().for_each(|work| self.backlog.push_front(work));
            self.desk.settle(now);
        }
        self.resume_at = self.is_behind().then(|| now.next());
    }

    /// One piece of work, as far as this slice goes. What is to be done next, in order.
    fn step(&mut self, work: Work, left: &mut usize, now: Time) -> Vec<Work> {
        match work {
            Work::Facts(facts) => self.take_facts(facts, left, now),
            Work::Told(facts) => vec![self.desk.compare(facts)],
            Work::Snapshot(snapshot) => self.desk.take_snapshot(snapshot, left),
            Work::ToldAll => vec![self.replan(Occasion::Host), Work::TakenIn],
            Work::Plan(planning) => self.plan(*planning, left, now),
            Work::Begin => self.begin(now),
            Work::Reload(policy) => self.reload(*policy),
            walk => self.desk.walk(walk, left, now).into_iter().collect(),
        }
    }

    /// Facts in their order. Where one is about something that has changed already since the plan was made, or
    /// about a neighbor, the plan is made first: so a burst ends as its facts would one by one.
    fn take_facts(&mut self, mut facts: IntoIter<Fact>, left: &mut usize, now: Time) -> Vec<Work> {
        let mut first = Vec::new();
        // What was settled before is asked for before, so that what is deleted and made again is closed and opened.
        self.desk.ask_kernel(now);
        while *left > 0 && first.is_empty() {
            let Some(next) = facts.as_slice().first() else { return first };
            *left -= 1;
            if self.delta.has_seen(next) {
                first.push(self.replan(Occasion::Host));
                continue;
            }
            match facts.next() {
                Some(Fact::StationGone { bridge, mac }) => {
                    first.push(Work::stations_gone((bridge, mac), &mut facts));
                }
                Some(fact) => {
                    let news = self.desk.learn(fact, &mut self.delta, now);
                    if let News::LinkDown(link) | News::LinkGone(link) = news {
                        first.push(self.desk.end_link(link));
                    }
                }
                None => return first,
            }
            self.desk.settle(now);
        }
        first.push(Work::Facts(facts));
        first
    }

    // ---- The plan, and who follows it ----

    /// The plan is to be made again.
    fn replan(&mut self, occasion: Occasion) -> Work {
        let delta = std::mem::take(&mut self.delta);
        Work::Plan(Box::new(Planning { making: Making::default(), delta, occasion }))
    }

    /// One step on with a plan.
    fn plan(&mut self, planning: Planning, left: &mut usize, now: Time) -> Vec<Work> {
        let Planning { making, delta, occasion } = planning;
        *left = left.saturating_sub(work::plan_step(self.plan_weight()));
        let (next, changes) = match self.desk.house.go_on(making) {
            Err(making) => return vec![Work::Plan(Box::new(Planning { making, delta, occasion }))],
            Ok(made) => made,
        };
        match occasion {
            Occasion::Host => self.adopt(next, changes, delta, now),
            Occasion::Begin => {
                let work = self.adopt(next, Changes { concern_all: true, ..changes }, delta, now);
                self.desk.house.follow_protocol();
                work
            }
            Occasion::Reload(before) => self.reloaded(&before, (next, changes, delta), now),
        }
    }

    /// A plan takes the place of the one before: neighborhood, what the kernel keeps, manners, problems follow, in
    /// this order, and then the targets.
    fn adopt(&mut self, next: Plan, changes: Changes, delta: Delta, now: Time) -> Vec<Work> {
        self.desk.outputs.extend(delta.is_unsure.then_some(Output::Resync));
        // Then only guests can be others.
        let is_alike = delta.is_empty() && changes.is_empty() && self.desk.phase == Phase::Serving;
        let House { host, plan, neighborhood, keep, manners, masks, .. } = &mut self.desk.house;
        *plan = next;
        *neighborhood = Neighborhood::of(plan, host, keep.routes.ours());
        neighborhood.downstreams().for_each(|(link, _)| masks.forget(link));
        if self.desk.phase == Phase::Stopping {
            return Vec::new();
        }
        keep.settle(plan, host, (&delta, &changes), |upstream| neighborhood.prefixes_of(upstream));
        let mut work = Vec::new();
        if self.desk.phase == Phase::Serving {
            let on_downstreams = neighborhood.groups(plan, host);
            let upstreams = manners.settle(plan, host, &delta, on_downstreams, now);
            let told = manners.settle_routers(plan, host, now);
            let snoopers = manners.settle_snoopers(&neighborhood.snooped(plan), host, now);
            self.desk.outputs.extend(snoopers);
            keep.want_suppression(suppression::wanted(plan, host));
            self.desk.outputs.extend(told.into_iter().map(Output::ChangeNeighbor));
            work.extend((!upstreams.is_empty()).then_some(Work::Announce(upstreams, 0)));
            self.desk.settle_programs();
        }
        self.desk.watch_bridges(now);
        self.desk.reserve_link_locals();
        self.desk.hear_arrivals();
        let House { host, plan, guests, .. } = &mut self.desk.house;
        // The provider's router is no guest.
        plan.routers(host).into_iter().for_each(|router| guests.end(router, Why::Router, now));
        self.desk.follow_hops(now);
        let House { plan, guests, .. } = &self.desk.house;
        let follows = plan.is_led_by(&delta.routes);
        if guests.len() > 0 && (!changes.is_empty() || follows) {
            work.insert(0, Work::Review(changes.other_ranges(), 0));
        }
        self.desk.tell_problems();
        if !self.desk.house.identities.is_empty() || !self.desk.house.keep.pins.is_idle() {
            work.push(self.desk.begin_review(if is_alike { Cursor::changed() } else { Cursor::first() }));
        }
        work.insert(0, Work::Serve(Box::new(Serving::of(changes))));
        work
    }

    /// Everything of the start has been told.
    fn begin(&mut self, now: Time) -> Vec<Work> {
        if self.desk.phase != Phase::Learning {
            return Vec::new();
        }
        self.desk.phase = Phase::Serving;
        // Problems are told as they come; those there are from the start, now.
        self.desk.house.problems.clear();
        self.desk.inherit(now);
        vec![self.replan(Occasion::Begin)]
    }

    /// From here on this is what the administrator wants. What both policies share goes on undisturbed.
    fn reload(&mut self, policy: Policy) -> Vec<Work> {
        if policy == self.desk.house.written || self.desk.phase == Phase::Stopping {
            return Vec::new();
        }
        if self.desk.house.reroute(policy.routes) {
            return vec![Work::Reroute, Work::Reload(Box::new(policy))];
        }
        let before = self.desk.house.rewrite(policy);
        vec![self.replan(Occasion::Reload(Box::new(before)))]
    }

    /// The plan that another policy has brought about. The policy as it was before.
    fn reloaded(
        &mut self,
        before: &Policy,
        (next, mut changes, delta): (Plan, Changes, Delta),
        now: Time,
    ) -> Vec<Work> {
        let policy = self.desk.house.written.without_guests();
        let is_routing_new = !before.routes.looks_like(&policy.routes);
        let knew_all = self.plan.knew_routes_for(&next, before, &policy);
        changes.concern_all = is_routing_new || !before.serves_like(&policy);
        self.desk.change_limits(&policy, now);
        let mut work = self.adopt(next, changes, delta, now);
        if is_routing_new {
            self.desk.house.follow_protocol();
        }
        work.push(Work::Shrink);
        work.extend((before.timers != policy.timers).then_some(Work::Hasten(0)));
        if !knew_all || self.desk.house.identities.has_new_unheard() {
            self.desk.outputs.push_back(Output::Resync);
        }
        work
    }

    /// Everything that the kernel holds for us is given back.
    fn stop(&mut self, now: Time) {
        self.backlog.clear();
        self.desk.give_back(now);
        self.begin_work(Work::GiveBack, now);
    }
}
