//! What the kernel says, fact by fact, and what at once follows from each; and what becomes of the changes that it
//! was asked for.

use core::net::Ipv6Addr;

use super::{Desk, Phase};
use crate::engine::answers::hops::Routers;
use crate::engine::change::{AddressChange, AddressOutcome, Change, Outcome};
use crate::engine::effect::Output;
use crate::engine::event::Event;
use crate::engine::export::Why;
use crate::engine::facts::{AddressState, Fact, IfIndex, KernelRoute};
use crate::engine::guests::Words;
use crate::engine::host::links::Links;
use crate::engine::host::{Delta, Host, News};
use crate::engine::house::House;
use crate::engine::keep::outcome::Verdict;
use crate::engine::keep::routes::Routes;
use crate::engine::liveness::{Liveness, Owner};
use crate::engine::manners::Manners;
use crate::engine::manners::asked::Asked;
use crate::engine::manners::footing::{Announced, Footing};
use crate::engine::manners::rivals::Rivals;
use crate::engine::manners::sources::Sources;
use crate::engine::next_hops::NextHops;
use crate::engine::plan::problem::Problem;
use crate::engine::plan::{Changes, Plan};
use crate::engine::policy::{Announce, Answer, Policy};
use crate::engine::time::Time;

impl Desk {
    /// Takes in what the kernel says.
    pub fn learn(&mut self, fact: Fact, delta: &mut Delta, now: Time) -> News {
        let House { host, keep, manners, masks, counters, .. } = &mut self.house;
        match fact {
            Fact::Neighbor(neighbor) => self.entry(neighbor, None, now),
            Fact::Marked(neighbor, mark) => self.entry(neighbor, Some(mark), now),
            Fact::NeighborGone { link, address } => self.entry_gone(link, address, now),
            Fact::Link(link) => {
                let index = link.index;
                let mut changed = Delta::default();
                let news = host.learn(Fact::Link(link), &mut changed);
                // Also what says nothing new may mean that something works now.
                keep.routes.retry_refused();
                keep.addresses.try_again_on(index, &host.links);
                changed.routes.iter().for_each(|destination| keep.routes.touch(*destination, host));
                delta.merge(changed);
                self.ask_listeners(index);
                return news;
            }
            Fact::LinkGone(link) => {
                let mut changed = Delta::default();
                let news = host.learn(Fact::LinkGone(link), &mut changed);
                masks.forget(link);
                counters.forget(link);
                manners.rivals.end_link(link);
                manners.sources.end_link(link);
                manners.admission.end_link(link);
                keep.addresses.remove_link(link, &host.links);
                changed.routes.iter().for_each(|destination| keep.routes.touch(*destination, host));
                delta.merge(changed);
                return news;
            }
            Fact::Address(address) => {
                let news = host.learn(Fact::Address(address), delta);
                keep.addresses.heard(&address, &host.links);
                // An interface gets addresses when IPv6 is switched on there.
                keep.routes.retry_refused();
                // Whichever station had it before, it is the host now; unless that station defends it.
                if address.state != AddressState::Tentative {
                    self.house.guests.end(address.address, Why::Host, now);
                    self.house.neighbors.end(address.address, Why::Host, now);
                }
                self.ask_listeners(address.link);
                return news;
            }
            Fact::AddressGone { link, address } => {
                let news = host.learn(fact, delta);
                keep.addresses.heard_gone((link, address), &host.links);
                // IPv6 may have been switched off there, and the routes be gone without a word.
                let is_last = news != News::Nothing && host.links.addresses_of(link).next().is_none();
                delta.is_unsure |= is_last && host.links.is_up(link) && host.routes.has_any_on(link);
                return news;
            }
            Fact::Route(route) => return self.learn_route(route, Said::There, delta),
            Fact::RouteReplaced(route) => return self.learn_route(route, Said::InPlace, delta),
            Fact::RouteGone(route) => return self.learn_route(route, Said::Gone, delta),
            // What is read from all bridges at once, where ports matter, says nothing of when.
            Fact::Station { bridge, mac, .. } if !host.stations.is_watching() => {
                self.house.identities.station_heard(mac);
                self.arrived(bridge, mac, now);
                self.station_on_link(bridge, mac, now);
                return News::Nothing;
            }
            Fact::Station { mac, .. } => {
                let news = host.learn(fact, delta);
                self.house.identities.station_heard(mac);
                return news;
            }
            Fact::Rule(_) | Fact::RuleGone(_) => return host.learn(fact, delta),
            Fact::Group { bridge, port, suffix } => self.bridge_reported((bridge, port), suffix, now),
            Fact::GroupGone { bridge, port, suffix } => self.bridge_forgot((bridge, port), suffix),
            // Taken in by the dozen.
            Fact::StationGone { .. } => {}
        }
        News::Nothing
    }

    fn learn_route(&mut self, route: KernelRoute, said: Said, delta: &mut Delta) -> News {
        let House { host, keep, plan, written, .. } = &mut self.house;
        let guest = keep.routes.guest_of(&route);
        if let Some((target, link)) = guest {
            if said == Said::InPlace {
                host.routes.make_way(&route);
            }
            keep.routes.heard_guest(target, link, said != Said::Gone, host);
            return News::Nothing;
        }
        let is_known = said == Said::Gone && host.routes.has(&route);
        if !is_known && !plan.is_concerned_by(&route, written, keep.routes.ours()) {
            return News::Nothing;
        }
        let (destination, is_ours) = (route.destination, keep.routes.ours().include(&route));
        if said == Said::InPlace {
            keep.routes.replaced_at(&route);
        }
        let fact = match said {
            Said::There => Fact::Route(route),
            Said::InPlace => Fact::RouteReplaced(route),
            Said::Gone => Fact::RouteGone(route),
        };
        // From ours nothing follows, unless it has taken the place of another, or ranges are where routes lead.
        let matters = !is_ours || said == Said::InPlace || plan.follows_routes();
        let delta = if matters { delta } else { &mut Delta::default() };
        let news = host.learn(fact, delta);
        keep.routes.touch(destination, host);
        news
    }

    /// Takes in what became of a change of the routes. What it changed for the plan is added.
    pub fn route_changed(&mut self, change: Change, outcome: &Outcome, delta: &mut Delta, now: Time) {
        let House { host, keep, plan, .. } = &mut self.house;
        let verdict = keep.routes.outcome(&change, outcome, host, now);
        let (Change::Add(route) | Change::Remove(route)) = &change;
        let is_watched = plan.find(route.destination.addr()).is_some_and(|range| plan.may_lead_back(range));
        // What is behind a next hop is there while that is.
        let concerns_plan = plan.follows_routes() || is_watched || route.hop().is_some();
        if verdict == Verdict::Made && concerns_plan && keep.routes.guest_of(route).is_none() {
            delta.routes.insert(route.destination);
        }
        if let Change::Add(route) = &change
            && route.destination.prefix_len() == 128
        {
            self.release(route.destination.addr(), now);
        }
        let event = match (change, verdict, outcome) {
            (Change::Add(route), Verdict::Made, _) => Event::RouteInstalled(route),
            (Change::Remove(route), Verdict::Made, _) => Event::RouteRemoved(route),
            (Change::Add(route), Verdict::KeptOut, _) => {
                let other = self.house.in_the_way_of(&route).cloned();
                Event::RouteConflict(route, other)
            }
            (Change::Add(route) | Change::Remove(route), Verdict::Refused, Outcome::Failed(said)) => {
                Event::RouteFailed(route, said.clone())
            }
            _ => return,
        };
        self.tell(event);
    }

    /// Takes in what became of a change of a gateway's address.
    pub fn address_changed(&mut self, change: AddressChange, outcome: &AddressOutcome, now: Time) {
        let House { host, keep, .. } = &mut self.house;
        keep.addresses.outcome(&change, outcome, &host.links, now);
        match (change, outcome) {
            (AddressChange::Add(ours), AddressOutcome::Done) => {
                self.tell(Event::GatewayAdded(ours.link, ours.address));
            }
            (AddressChange::Remove(ours), AddressOutcome::Done) => {
                self.tell(Event::GatewayRemoved(ours.link, ours.address));
            }
            _ => {}
        }
        self.tell_problems();
    }

    /// What became of an ear.
    pub fn ear_changed(&mut self, link: IfIndex, outcome: &Outcome, now: Time) {
        if self.house.keep.ear_changed(link, outcome, now) {
            self.tell_problems();
        }
        // A question that went out before was not heard to be answered.
        self.house.host.stations.forget_question(link);
        self.seek_uplink(link, now);
        self.ask_listeners(link);
    }

    /// Tells which problems are new, and which are solved; and what nobody serves.
    pub fn tell_problems(&mut self) {
        let House { host, keep, plan, .. } = &self.house;
        let mut problems = plan.bindings.problems.clone();
        problems.extend(keep.problems(plan, host));
        problems.extend(self.lost_uplinks());
        problems.extend(self.unguarded());
        let before = std::mem::replace(&mut self.house.problems, problems);
        self.tell_unserved();
        self.tell_notes();
        if self.phase != Phase::Serving || before == self.house.problems {
            return;
        }
        let is_missing = |problem: &&Problem, others: &[Problem]| !others.contains(problem);
        let new = self.house.problems.iter().filter(|problem| is_missing(problem, &before));
        let solved = before.iter().filter(|problem| is_missing(problem, &self.house.problems));
        let events = new.cloned().map(Event::Problem).chain(solved.cloned().map(Event::Solved));
        self.outputs.extend(events.map(Output::Event).collect::<Vec<_>>());
    }

    fn tell_unserved(&mut self) {
        if self.phase == Phase::Serving {
            let House { plan, told, .. } = &mut self.house;
            let news = told.follow(&plan.unserved, |prefix| plan.may_answer_in(prefix));
            self.outputs.extend(news.into_iter().map(Output::Event));
        }
    }

    /// Other limits and timers.
    pub fn change_limits(&mut self, policy: &Policy, now: Time) {
        let Policy { limits, timers, .. } = policy;
        let House { guests, neighbors, next_hops, budget, manners, .. } = &mut self.house;
        budget.change(limits.probes_per_second, now);
        manners.announcements.change(limits, now);
        manners.groups.change(limits.groups);
        guests.change(limits.targets, *timers, limits);
        neighbors.change(limits.pending, *timers, limits);
        next_hops.change(*timers, limits, now);
    }

    /// Tells what becomes of the ranges that the host brings about. Those of the start are not news.
    pub fn tell_changes(&mut self, changes: &Changes) {
        if self.phase == Phase::Serving {
            Event::of_changes(changes).into_iter().for_each(|event| self.tell(event));
        }
    }

    /// The administrator wants to know whether the target is there.
    pub fn look(&mut self, target: Ipv6Addr, now: Time) {
        let House { plan, host, .. } = &self.house;
        if plan.find(target).is_some_and(|range| plan.is_looked_for(range, target, host)) {
            let (guests, ground, budget) = self.house.guests();
            guests.look(target, &ground, budget, now);
        }
    }

    /// Sends the announcements that are due, at most so many. False if there are more.
    pub fn announce(&mut self, most: usize, now: Time) -> bool {
        self.tick_claims(now);
        let House { plan, host, guests, identities, next_hops, keep, manners, counters, .. } =
            &mut self.house;
        let Manners { announcements, admission, rivals, asked, sources, .. } = manners;
        let (is_serving, routes, words) = (self.phase == Phase::Serving, &keep.routes, identities.words());
        let audience =
            Audience { plan, host, guests, next_hops, routes, rivals, asked, sources, words, is_serving };
        let mut out = Vec::new();
        let is_all = announcements.tick(most, &audience, &mut out, now);
        for (target, router) in announcements.take_asked() {
            admission.asked(target, audience.number(target), router, now);
        }
        admission.tick(&audience, &mut out, now);
        for output in &out {
            match output {
                Output::Advertise(_, said) => sources.tell(said.target, now),
                Output::Solicit(_, asked) => sources.tell(asked.source, now),
                _ => {}
            }
        }
        let sent = out.iter().filter(|output| matches!(output, Output::Advertise(..))).count();
        counters.announcements += sent as u64;
        self.outputs.extend(out);
        for target in self.house.manners.announcements.take_free() {
            self.link_is_silent(target, now);
        }
        self.end_checks();
        self.tell_admission(now);
        is_all
    }
}

/// What the kernel says of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    There,
    /// There, in the place of another.
    InPlace,
    Gone,
}

/// What announcements have to know.
struct Audience<'a> {
    plan: &'a Plan,
    host: &'a Host,
    guests: &'a Liveness,
    next_hops: &'a NextHops,
    routes: &'a Routes,
    rivals: &'a Rivals,
    asked: &'a Asked,
    sources: &'a Sources,
    words: &'a Words,
    is_serving: bool,
}

impl Announced for Audience<'_> {
    /// It is answered for, and announced if it exists behind us beyond its own word and that is wanted.
    fn footing(&self, target: Ipv6Addr, now: Time) -> Option<Footing> {
        let Self { plan, host, guests, next_hops, is_serving, .. } = *self;
        if !is_serving {
            return None;
        }
        let routers = Routers { plan, host, guests, next_hops };
        let range = plan.find(target)?;
        let upstream = self.sources.face(plan.upstream(plan.place(range).upstream?)?, &host.links);
        let (is_own, live) = (plan.own_target(target, host).is_some(), self.guests.live(target));
        let is_answered = match plan.range(range).answer {
            Answer::Never => false,
            Answer::Always => plan.check_whole(range, target, host).is_ok(),
            Answer::Live => {
                is_own
                    || live.is_some()
                    || routers.bring(range, target)
                    || plan.routed_to_layer_3(range, target, host).is_some()
            }
        };
        let is_ours = is_answered
            && host.links.is_up(upstream.link)
            && !plan.index.excludes(range, target)
            && !host.links.has(upstream.link, target)
            && !plan.is_router(target, host)
            && (!plan.range(range).standby || self.words.is_claimed(target));
        let owner = self.guests.owner(target).unwrap_or_else(|| self.asked.owner(target, now));
        let is_disputed = self.rivals.defend(target);
        let is_proved = live.is_some_and(|live| live.place().is_proved());
        let is_shared = plan.place(range).own_bridge().is_some();
        let is_taken_over = plan.range(range).standby && plan.range(range).answer == Answer::Always;
        is_ours.then_some(Footing {
            upstream,
            is_free: owner == Owner::Nobody && !is_disputed,
            is_disputed,
            is_kept: self.rivals.may_return(target, |link, mac| host.gateways.have(link, mac)),
            // An advertisement to all would turn guests away from each other.
            is_announced: upstream.announce != Announce::No
                && (is_own || is_proved || is_taken_over)
                && !is_shared,
            is_shared,
        })
    }

    fn is_route_under_way(&self, target: Ipv6Addr) -> bool {
        self.guests.live(target).is_some_and(|live| self.routes.is_under_way(target, live.link))
    }

    fn routers(&self, upstream: IfIndex) -> Vec<Ipv6Addr> {
        self.host.routes.routers(upstream)
    }

    fn links(&self) -> &Links {
        &self.host.links
    }

    fn live_at(&self, number: u32) -> Option<(u32, Option<Ipv6Addr>)> {
        self.guests.live_at(number)
    }

    fn guest(&self, number: u32) -> Option<Ipv6Addr> {
        self.guests.live_at(number).filter(|(next, _)| *next == number + 1)?.1
    }

    fn number(&self, target: Ipv6Addr) -> Option<u32> {
        self.guests.number(target)
    }
}
