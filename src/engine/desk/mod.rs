//! The desk: what arrives on the wire is decided, heard and answered here, and what follows from a change of a
//! target is handed on.
//!
//! It composes the machines as far as frames and targets are concerned. What the kernel and the administrator say
//! is the engine's.

mod bridge;
mod claims;
mod door;
mod exports;
mod follow;
mod guards;
mod hops;
mod identities;
mod idle;
mod kernel;
mod listeners;
mod mirror;
mod mirrored_ranges;
mod moves;
mod pins;
mod programs;
mod provider;
mod signs;
mod snapshot;
mod standby;
mod switches;
mod walks;

use core::net::Ipv6Addr;
use std::collections::VecDeque;

use ipnet::Ipv6Net;

use super::answer;
use super::answers::{AlsoGuest, Because, Decision};
use super::asker::Asker;
use super::effect::Output;
use super::event::Event;
use super::export::{Standing, Watch};
use super::facts::IfIndex;
use super::house::House;
use super::liveness::Asking;
use super::time::Time;
use crate::wire::DropReason;
pub(super) use identities::Ground;

/// The machines, and what comes out.
#[derive(Debug)]
pub struct Desk {
    pub(super) house: House,
    pub(super) outputs: VecDeque<Output>,
    pub(super) watch: Watch,
    pub(super) phase: Phase,
    /// Prefixes that were claimed, in ranges that stand by: what is live there is to be announced.
    woken: Vec<Ipv6Net>,
    /// Whether it is heard that stations arrive.
    hears_arrivals: bool,
    /// Guests with an identity are looked at, one after the other: what follows for the kernel waits for the last.
    reviews: bool,
}

/// How far the engine's life has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The kernel is still telling what there is.
    Learning,
    /// Routes are kept as they should be.
    Serving,
    /// Everything is being given back.
    Stopping,
}

/// What a question leads to at once.
enum Said {
    /// The answer is on its way.
    Answered,
    /// The answer, or its absence, will follow.
    Later,
}

impl Desk {
    /// A desk at which nothing has arrived yet.
    pub fn new(house: House) -> Self {
        let (outputs, watch, phase) = (VecDeque::new(), Watch::default(), Phase::Learning);
        Self { house, outputs, watch, phase, woken: Vec::new(), hears_arrivals: false, reviews: false }
    }

    /// Decides for an asker that has waited, or whose way back was missing.
    pub(super) fn question(&mut self, asker: Asker, target: Ipv6Addr, now: Time) {
        let decision = match self.house.plan.upstream(asker.link) {
            Some(_) => self.house.scene().decide(&asker, target, now),
            None => self.house.scene().decide_for_guest(&asker, target),
        };
        self.carry_out(decision, asker, target, now);
    }

    /// Carries a decision out.
    pub(super) fn carry_out(&mut self, decision: Decision, asker: Asker, target: Ipv6Addr, now: Time) {
        // An asker that is answered at once has no share in probes.
        let is_asking = matches!(decision, Decision::Ask | Decision::AskBefore(_) | Decision::Neighbor(..));
        let share = if is_asking { self.house.share_of(&asker, target) } else { 0 };
        let (guests, ground, budget) = self.house.guests();
        let later = |()| Said::Later;
        let verdict = match decision {
            Decision::Drop(reason) => Err(reason),
            Decision::Answer(Because::NextHop(hop)) => {
                let verdict = self.answer(&asker, target, now);
                self.confirm_hop(&hop, now);
                verdict
            }
            Decision::Answer(_) => self.answer(&asker, target, now),
            Decision::AskHops => self.ask_hops(asker, target, now),
            Decision::Listen => self.listen(asker, target, now).map(later),
            Decision::AnswerLive(live) => {
                let verdict = self.answer_once_routed(asker, target, live.link, now);
                let (guests, ground, budget) = self.house.guests();
                guests.confirm_if_old(target, &live, &ground, budget, now);
                verdict
            }
            Decision::AskBefore(live) => {
                match guests.ask_before_defending(target, asker, share, &ground, budget, now) {
                    Ok(true) => Ok(Said::Later),
                    Ok(false) => self.answer_once_routed(asker, target, live.link, now),
                    Err(reason) => Err(reason),
                }
            }
            Decision::Wait => guests.wait(target, asker).map(later),
            Decision::Ask => {
                guests.ask(target, Asking { askers: vec![asker], share }, &ground, budget, now).map(later)
            }
            Decision::Neighbor(_, also) => {
                if also == AlsoGuest::Yes {
                    // Nobody waits for it there.
                    let _ = guests.ask(target, Asking { askers: Vec::new(), share }, &ground, budget, now);
                }
                let (neighbors, ground, budget) = self.house.neighbors();
                match neighbors.standing(target) {
                    Standing::Live(_) => {
                        if let Some(live) = neighbors.live(target) {
                            neighbors.confirm_if_old(target, &live, &ground, budget, now);
                        }
                        self.answer(&asker, target, now)
                    }
                    Standing::Probing => neighbors.wait(target, asker).map(later),
                    Standing::Absent | Standing::Unknown => {
                        let asking = Asking { askers: vec![asker], share };
                        neighbors.ask(target, asking, &ground, budget, now).map(later)
                    }
                }
            }
        };
        self.count(target, &asker, verdict, now);
    }

    fn answer(&mut self, asker: &Asker, target: Ipv6Addr, now: Time) -> Result<Said, DropReason> {
        let face = self.face_for(asker, target, now).ok_or(DropReason::NotUpstream)?;
        let advertisement = answer::advertisement(&face, asker, target, &self.house.host.links);
        let mut advertisement = advertisement.ok_or(DropReason::NoSource)?;
        // The guest must not hear that another station has its address.
        if self.house.plan.is_shared(asker.link) {
            advertisement.destination_mac = asker.mac;
        }
        self.outputs.push_back(Output::Advertise(asker.link, advertisement));
        Ok(Said::Answered)
    }

    /// Whether one answer, and nothing else, has come out behind the first outputs.
    pub fn has_only_answered_since(&self, outputs: usize) -> bool {
        self.outputs.len() == outputs + 1 && matches!(self.outputs.back(), Some(Output::Advertise(..)))
    }

    fn answer_once_routed(
        &mut self,
        asker: Asker,
        target: Ipv6Addr,
        link: IfIndex,
        now: Time,
    ) -> Result<Said, DropReason> {
        // A target on the asker's own link answers for itself.
        if link == asker.link && !self.house.plan.is_shared(link) {
            return Err(DropReason::NotUpstream);
        }
        match self.house.keep.routes.is_under_way(target, link) {
            true => self.house.held.hold(target, asker).map(|()| Said::Later),
            false => self.answer(&asker, target, now),
        }
    }

    /// The target is there: those who have waited for that are answered.
    pub(super) fn answer_waiting(&mut self, askers: Vec<Asker>, target: Ipv6Addr, now: Time) {
        for asker in askers {
            let link = self.house.guests.standing(target).live().map(|place| place.link);
            let verdict = match link {
                _ if self.is_the_kernels(asker.link, target) => Err(DropReason::UpstreamAddress),
                Some(link) => self.answer_once_routed(asker, target, link, now),
                None => Err(DropReason::Absent),
            };
            self.count(target, &asker, verdict, now);
        }
    }

    /// A neighbor on an upstream is there: the guests that have waited for that are answered.
    fn answer_neighbor(&mut self, askers: Vec<Asker>, target: Ipv6Addr, now: Time) {
        for asker in askers {
            let verdict = match self.is_the_kernels(asker.link, target) {
                true => Err(DropReason::UpstreamAddress),
                false => self.answer(&asker, target, now),
            };
            self.count(target, &asker, verdict, now);
        }
    }

    /// Whether the host has the target on this interface: it may have got it since somebody asked, and be checking it.
    fn is_the_kernels(&self, link: IfIndex, target: Ipv6Addr) -> bool {
        self.house.host.links.has(link, target)
    }

    /// The kernel has said what became of a guest's route. Those who have waited for it are answered, also if it was
    /// refused, because then there may be another way.
    pub(super) fn release(&mut self, guest: Ipv6Addr, now: Time) {
        self.house.manners.announcements.routed(guest, now);
        self.house.look_again();
        let waited = self.house.held.release(guest);
        self.answer_waiting(waited, guest, now);
        for (asker, target) in self.house.held.release_back(guest) {
            self.question(asker, target, now);
        }
    }

    /// A question has arrived.
    pub(super) fn solicited(&mut self, asker: Asker, target: Ipv6Addr) {
        if self.watch == Watch::Questions {
            self.tell(Event::Solicited(target, asker));
        }
    }

    /// What became of a question.
    fn count(&mut self, target: Ipv6Addr, asker: &Asker, verdict: Result<Said, DropReason>, now: Time) {
        match verdict {
            Ok(Said::Answered) => {
                self.house.counters.answered(asker.link, 1);
                match self.house.plan.upstream(asker.link) {
                    None => self.house.counters.downstream_answers += 1,
                    Some(_) if asker.address.is_unspecified() => self.refused(asker, target, now),
                    Some(_) => self.ask_link(target, asker.link, now),
                }
                self.house.guests.count_answers(target, 1);
                if self.watch == Watch::Questions {
                    self.tell(Event::Answered(target, *asker));
                }
            }
            Ok(Said::Later) => {}
            Err(reason) => self.dropped(Some(target), asker.link, reason),
        }
    }

    /// A frame on this interface, a question for the target if it was one, gets no answer.
    pub(super) fn dropped(&mut self, target: Option<Ipv6Addr>, link: IfIndex, reason: DropReason) {
        self.house.counters.dropped(link, reason);
        if self.watch == Watch::Questions {
            self.tell(Event::Dropped(target, link, reason));
        }
    }

    /// Tells those who want to know.
    pub(super) fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
