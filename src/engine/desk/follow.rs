//! What comes out of the machines of liveness, and who follows a change of a target, in which order.

use core::net::Ipv6Addr;

use super::{Desk, Phase};
use crate::engine::asker::Asker;
use crate::engine::change::{Exported, NeighborChange};
use crate::engine::effect::Output;
use crate::engine::event::Event;
use crate::engine::export::{Place, Transition, Why};
use crate::engine::facts::IfIndex;
use crate::engine::house::House;
use crate::engine::liveness::Out;
use crate::engine::manners::rivals::Rivals;
use crate::engine::plan::Plan;
use crate::engine::policy::{Answer, RangeRoutes};
use crate::engine::time::Time;
use crate::wire::{DropReason, Solicitation};

impl Desk {
    /// Takes up what has come out of the machines of liveness, until they are quiet.
    pub fn settle(&mut self, now: Time) {
        while !self.house.is_quiet() {
            for out in self.house.guests.take_out() {
                self.guest_out(out, now);
            }
            for out in self.house.neighbors.take_out() {
                self.neighbor_out(out, now);
            }
            for out in self.house.next_hops_out() {
                self.hop_out(out, now);
            }
            self.settle_waiting(now);
        }
        self.follow_uplinks(now);
    }

    fn guest_out(&mut self, out: Out, now: Time) {
        match out {
            Out::Ask(target, link, known) => {
                let probe = self.house.probe(link, target, known);
                self.send_probe(link, probe);
            }
            Out::Changed(transition, number, waited) => {
                self.follow(transition, number, now);
                match transition.is() {
                    Some(_) => self.answer_waiting(waited, transition.target, now),
                    None => self.resolve(&transition, waited, now),
                }
            }
            Out::Confirmed(target, askers) => self.answer_waiting(askers, target, now),
            Out::Unconfirmed(target, askers) => self.absent(target, &askers),
            Out::Contested(target, link, claim) => {
                self.tell(Event::Contested(target, link, claim.link, claim.mac));
            }
            Out::Forget(target, link, keep) => {
                self.outputs.push_back(Output::ChangeNeighbor(NeighborChange::Forget(link, target, keep)));
            }
            // Of neighbors only.
            Out::Yielded(..) => {}
        }
    }

    fn neighbor_out(&mut self, out: Out, now: Time) {
        match out {
            Out::Ask(target, link, known) => {
                let probe = self.house.probe_upstream(link, target, known);
                self.send_probe(link, probe);
            }
            Out::Changed(transition, _, waited) => match transition.is() {
                Some(_) => self.answer_neighbor(waited, transition.target, now),
                None => self.resolve(&transition, waited, now),
            },
            Out::Confirmed(target, askers) | Out::Unconfirmed(target, askers) => self.absent(target, &askers),
            Out::Contested(target, link, claim) => {
                self.tell(Event::Contested(target, link, claim.link, claim.mac));
            }
            // It may have been heard from behind a link that is down meanwhile.
            Out::Yielded(target, claim) if self.house.host.links.is_up(claim.link) => {
                self.hear(target, claim.heard(), now);
            }
            Out::Yielded(..) => {}
            // What the kernel knows of neighbors is its own.
            Out::Forget(..) => {}
        }
    }

    pub(super) fn send_probe(&mut self, link: IfIndex, probe: Option<Solicitation>) {
        if let Some(probe) = probe {
            self.house.counters.probes += 1;
            self.outputs.push_back(Output::Solicit(link, probe));
        }
    }

    /// A guest has changed: the mirror, routes, groups, rivals, announcements and events follow, in this order. The answers to
    /// those who waited come after the routes, in [`Self::resolve`].
    fn follow(&mut self, transition: Transition, number: u32, now: Time) {
        let Transition { target, why, .. } = transition;
        let (was, is) = (transition.was(), transition.is());
        self.house.keep.mirror.touch(target);
        self.house.keep.exports.say(Exported::Live(target), is.is_some());
        if was.map(|place| place.link) != is.map(|place| place.link) {
            self.follow_route(target, is.map(|place| place.link), why);
        }
        if self.phase == Phase::Serving {
            let joined = is.filter(|place| place.was_proved).and_then(|_| self.house.plan.group_link(target));
            self.house.manners.groups.count(number, target, joined);
        }
        if let (Why::Moved, Some(place)) = (why, is) {
            self.identity_moved(target, place.link, now);
        }
        if why == Why::Policy || why == Why::Host {
            self.house.manners.rivals.end(target);
        }
        if is.is_some() {
            // One that is a guest is no neighbor on an upstream.
            self.house.neighbors.end(target, Why::Elsewhere, now);
        }
        if is.is_none() {
            self.house.manners.announcements.forget(number);
            self.house.manners.admission.forget(number);
        }
        let key = |place: Place| (place.link, place.proof);
        if is.is_some_and(|place| place.is_proved()) && is.map(key) != was.map(key) {
            self.begin_claim(target, now, now);
        } else if let Some(upstream) =
            self.house.plan.link_around(target).filter(|_| was.is_none() && is.is_some())
        {
            self.ask_link(target, upstream, now);
        }
        if let Some(event) = Event::of(&transition).filter(|_| !self.is_still_answered(target, why)) {
            self.tell(event);
        }
    }

    fn follow_route(&mut self, target: Ipv6Addr, link: Option<IfIndex>, why: Why) {
        let House { plan, host, keep, manners, identities, .. } = &mut self.house;
        let keeps_routes = keeps_route(target, plan, &manners.rivals) && !identities.is_late(target);
        match link {
            // Everything is being given back.
            Some(_) if self.phase == Phase::Stopping => {}
            Some(link) if keeps_routes => keep.routes.want_guest(target, link, host),
            _ => keep.routes.unwant_guest(target),
        }
        // The kernel drops the routes of an interface that goes, not always with a word.
        if link.is_none() && why == Why::Downstream {
            keep.routes.check_link_of(target, host);
        }
    }

    /// The upstream's link has said something of who has the target: the route of its guest follows.
    pub(super) fn reroute(&mut self, target: Ipv6Addr) {
        if let Some(live) = self.house.guests.live(target) {
            self.follow_route(target, Some(live.link), Why::Heard);
        }
    }

    /// Where every address is answered, one that is no target any more still is.
    fn is_still_answered(&self, target: Ipv6Addr, why: Why) -> bool {
        let plan = &self.house.plan;
        why == Why::Policy
            && plan.find(target).is_some_and(|range| {
                plan.range(range).answer == Answer::Always && !plan.index.excludes(range, target)
            })
    }

    /// A target is not live: those who waited for what becomes of it have their verdict.
    fn resolve(&mut self, transition: &Transition, mut waited: Vec<Asker>, now: Time) {
        let Transition { target, why, .. } = *transition;
        if transition.was().is_some() {
            waited.extend(self.house.held.release(target));
        }
        match why {
            // What was true when they asked is not true any more.
            Why::Policy | Why::Host | Why::Router | Why::Elsewhere => {
                waited.into_iter().for_each(|asker| self.question(asker, target, now));
            }
            Why::NoRoom => {
                let full = DropReason::TargetsFull;
                waited.iter().for_each(|asker| self.dropped(Some(target), asker.link, full));
            }
            _ => self.absent(target, &waited),
        }
    }

    pub(super) fn absent(&mut self, target: Ipv6Addr, askers: &[Asker]) {
        askers.iter().for_each(|asker| self.dropped(Some(target), asker.link, DropReason::Absent));
    }
}

/// Whether a live guest has a route of its own. Not one whose address a station on the link has that is all in its
/// range: what is for that station goes there.
pub(super) fn keeps_route(target: Ipv6Addr, plan: &Plan, rivals: &Rivals) -> bool {
    let has_own = plan.find(target).is_some_and(|range| plan.range(range).routes == RangeRoutes::Guests);
    has_own && (plan.link_around(target).is_none() || !rivals.defend(target))
}
