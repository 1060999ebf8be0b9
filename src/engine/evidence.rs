//! Signs of life: what a downstream tells about its guests.

use std::net::Ipv6Addr;

use super::facts::{IfIndex, Neighbour, NeighbourState};
use super::output::Loss;
use super::policy::Answer;
use super::targets::{Evidence, Live, State};
use super::time::Time;
use super::{Engine, Event};
use crate::wire::{Advertisement, DropReason, Mac, Solicitation};

impl Engine {
    /// An advertisement arrived. On an upstream it makes nothing live.
    pub(super) fn advertisement(&mut self, link: IfIndex, advertisement: &Advertisement, now: Time) {
        let (target, mac) = (advertisement.target, advertisement.owner_mac());
        self.sign_of_life(link, target, mac, Evidence::Probe, now);
    }

    /// A guest asked for something, or checked that nobody else has its address. It is never
    /// answered: its own link is not where this host stands in for anybody.
    pub(super) fn heard_solicitation(&mut self, link: IfIndex, solicitation: &Solicitation, now: Time) {
        let (address, evidence) = if solicitation.is_dad() {
            (solicitation.target, Evidence::Dad)
        } else {
            (solicitation.source, Evidence::Neighbour)
        };
        self.sign_of_life(link, address, solicitation.asker_mac(), evidence, now);
        self.counters.dropped(link, DropReason::NotUpstream);
    }

    /// The kernel's neighbour table says something of a guest.
    pub(super) fn neighbour(&mut self, neighbour: Neighbour, now: Time) {
        let Neighbour { link, address, mac, state } = neighbour;
        match (state, mac) {
            (NeighbourState::Reachable | NeighbourState::Permanent, Some(mac)) => {
                self.sign_of_life(link, address, mac, Evidence::Neighbour, now);
            }
            // The kernel may have asked in vain for a reason of its own: it is asked again first.
            (NeighbourState::Failed, _) => {
                if let Some(State::Live(live)) = self.targets.get(address).map(|known| &known.state)
                    && live.link == link
                    && live.unanswered == 0
                {
                    self.confirm(address, *live, now);
                }
            }
            _ => {}
        }
    }

    /// The downstream is down or gone: nothing behind it can be reached.
    pub(super) fn end_link(&mut self, link: IfIndex) {
        let behind = |state: &State| matches!(state, State::Live(live) if live.link == link);
        let gone: Vec<_> =
            self.targets.iter().filter(|(_, known)| behind(&known.state)).map(|(target, _)| target).collect();
        for target in gone {
            self.targets.remove(target);
            self.tell(Event::Gone(target, link, Loss::Downstream));
        }
    }

    /// The address was seen in use on this link.
    ///
    /// Believed only where the guests of its range are: nothing that a downstream says concerns
    /// an address outside that downstream's ranges, or one of the host.
    fn sign_of_life(&mut self, link: IfIndex, address: Ipv6Addr, mac: Mac, evidence: Evidence, now: Time) {
        let Some(range) = self.ranges.find(address) else { return };
        let is_here = self.behind(range, address) == Some(link);
        let is_asked_for =
            self.policy.ranges[range.0].answer == Answer::Live && !self.ranges.excludes(range, address);
        if !is_here || !is_asked_for || !mac.is_station() || self.links.owners(address).next().is_some() {
            return;
        }
        let live = Live { link, mac, evidence, seen: now, unanswered: 0 };
        let due = now + self.policy.timers.keepalive;
        // No room: all are live, and the newcomer waits until one goes.
        let Ok(before) = self.targets.put(address, State::Live(live), due) else { return };
        match before {
            Some(State::Live(_)) => {}
            Some(State::Probing(probing)) => {
                self.tell(Event::Live(address, link, mac, evidence));
                self.answer_waiting(&probing.askers, address);
            }
            Some(State::Absent) | None => self.tell(Event::Live(address, link, mac, evidence)),
        }
    }
}
