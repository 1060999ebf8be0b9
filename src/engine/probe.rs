//! Probing: asking a downstream whether a target is live, and what follows when nobody replies.

use std::net::Ipv6Addr;

use super::facts::IfIndex;
use super::output::{Loss, Output};
use super::targets::{Live, Probing, State};
use super::time::Time;
use super::{Engine, Event};
use crate::wire::{DropReason, Mac, Solicitation, solicited_node};

impl Engine {
    /// Whatever is due by now: another probe, the end of probing, the end of an absence.
    pub(super) fn due(&mut self, now: Time) {
        while let Some(target) = self.targets.first_due(now) {
            match self.targets.get(target).map(|known| known.state.clone()) {
                Some(State::Live(live)) => self.live_is_due(target, live, now),
                Some(State::Probing(probing)) => self.probing_is_due(target, probing, now),
                Some(State::Absent) | None => {
                    self.targets.remove(target);
                }
            }
        }
    }

    /// Asks a live target whether it is still there; `unanswered` counts from here on.
    pub(super) fn confirm(&mut self, target: Ipv6Addr, live: Live, now: Time) {
        let retransmit = self.policy.timers.retransmit;
        // The last try goes to the group: the guest may have another link-layer address now.
        let is_last = live.unanswered + 1 >= self.policy.timers.retries;
        let known = (!is_last).then_some(live.mac);
        if let Some(probe) = self.probe(live.link, target, known)
            && self.probe_limit.take(now)
        {
            if let Some(State::Live(live)) = self.targets.get_mut(target).map(|known| &mut known.state) {
                live.unanswered += 1;
            }
            self.send_probe(live.link, probe);
        }
        self.targets.postpone(target, now + retransmit);
    }

    /// A probe for the target: RFC 4861 §7.2.2, from an address of that downstream, with our
    /// link-layer address, to the solicited-node group or to the station that is known.
    pub(super) fn probe(&self, link: IfIndex, target: Ipv6Addr, known: Option<Mac>) -> Option<Solicitation> {
        let source_mac = self.links.mac(link)?;
        let source = self.links.link_local(link).or_else(|| self.links.global(link))?;
        let group = solicited_node(target);
        Some(Solicitation {
            source_mac,
            destination_mac: known.unwrap_or(Mac::multicast(group)),
            source,
            destination: if known.is_some() { target } else { group },
            target,
            source_link_layer: Some(source_mac),
        })
    }

    pub(super) fn send_probe(&mut self, link: IfIndex, probe: Solicitation) {
        self.counters.probes += 1;
        self.outputs.push_back(Output::Solicit(link, probe));
    }

    fn live_is_due(&mut self, target: Ipv6Addr, live: Live, now: Time) {
        if live.unanswered < self.policy.timers.retries {
            return self.confirm(target, live, now);
        }
        self.set_absent(target, now);
        self.tell(Event::Gone(target, live.link, Loss::Unanswered));
    }

    fn probing_is_due(&mut self, target: Ipv6Addr, probing: Probing, now: Time) {
        let Probing { left, askers } = probing;
        let Some(left) = left.checked_sub(1) else {
            for asker in &askers {
                self.counters.dropped(asker.link, DropReason::Absent);
            }
            return self.set_absent(target, now);
        };
        let link = self.ranges.find(target).and_then(|range| self.behind(range, target));
        let probe = link.and_then(|link| Some((link, self.probe(link, target, None)?)));
        let due = now + self.policy.timers.retransmit;
        // A try that could not go out does not count, unless there is no way for it any more.
        match probe {
            Some((link, probe)) if self.probe_limit.take(now) => {
                self.keep(target, State::Probing(Probing { left, askers }), due);
                self.send_probe(link, probe);
            }
            Some(_) => self.targets.postpone(target, due),
            None => self.keep(target, State::Probing(Probing { left, askers }), due),
        }
    }

    fn set_absent(&mut self, target: Ipv6Addr, now: Time) {
        self.keep(target, State::Absent, now + self.policy.timers.absent);
    }

    /// Changes the state of a target that is known, for which there is always room.
    pub(super) fn keep(&mut self, target: Ipv6Addr, state: State, due: Time) {
        let kept = self.targets.put(target, state, due);
        debug_assert!(kept.is_ok(), "a known target keeps its place");
    }
}
