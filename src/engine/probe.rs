//! Probing: asking downstreams whether a target is live, and what follows when nobody replies.

use core::net::Ipv6Addr;
use std::time::Duration;

use super::facts::IfIndex;
use super::output::{Loss, Output};
use super::question::Paid;
use super::ranges::RangeId;
use super::targets::{Evidence, Live, Probing, Proof, State};
use super::time::Time;
use super::{Engine, Event};
use crate::wire::{DropReason, Mac, Solicitation, solicited_node};

impl Engine {
    /// Whatever is due by now: another probe, the end of probing, the end of an absence.
    pub(super) fn due(&mut self, now: Time) {
        while let Some(target) = self.targets.first_due(now) {
            match self.targets.get(target).cloned() {
                Some(State::Live(live)) => self.live_is_due(target, live, now),
                Some(State::Probing(probing)) => self.probing_is_due(target, probing, now),
                Some(State::Absent) | None => {
                    self.targets.remove(target);
                }
            }
        }
        self.neighbors_due(now);
        self.announce_due(now);
        self.ask_gateways(now);
        self.retry_gateways(now);
        self.settle_routes();
    }

    /// Asks a live target whether it is still there; `unanswered` counts from here on.
    pub(super) fn confirm(&mut self, target: Ipv6Addr, live: Live, now: Time) {
        let retransmit = self.policy.timers.retransmit;
        // The last try goes to the group: the guest may have another link-layer address now.
        let is_last = live.unanswered + 1 >= self.policy.timers.retries;
        // So does the first after a guest's DAD, for the kernel that may be asking for it as well: RFC 4861
        // §7.2.4, "If the IP Destination Address is a multicast address, the Target Link-Layer option MUST
        // be included in the advertisement", and without one the kernel learns nothing (§7.2.5).
        let is_new = live.evidence == Evidence::Dad && live.proof == Proof::Announced;
        let known = live.mac.filter(|_| !is_last && !is_new);
        // Linux ends a guest's DAD up to 80 ms late. What is asked until then may be too early, so it is
        // asked a few times, as long as probes are plenty, and none of them counts as unanswered.
        let is_unknown = live.unanswered == 0 && (is_new || live.mac.is_none());
        if is_unknown
            && (retransmit..retransmit + retransmit / 8).contains(&now.since(live.seen))
            && let Some(probe) = self.probe(live.link, target, None)
            && self.probe_limit.take(now)
        {
            self.send_probe(live.link, probe);
            self.targets.put(target, State::Live(live), now + retransmit / 32);
            return;
        }
        self.ask_live(target, live, known, retransmit, now);
    }

    /// Somebody else says that he has the target's address now: asks the one who had it, and gives
    /// him half of a retransmission time, so that a guest that moved is not out of reach long.
    pub(super) fn challenge(&mut self, target: Ipv6Addr, live: Live, now: Time) {
        self.ask_live(target, live, live.mac, self.policy.timers.retransmit / 2, now);
    }

    /// There is a sign that the target has gone: asks it a last time, whoever has its address now, and
    /// gives it half of a retransmission time.
    pub(super) fn ask_once_more(&mut self, target: Ipv6Addr, live: Live, now: Time) {
        let live = Live { unanswered: self.policy.timers.retries - 1, ..live };
        self.ask_live(target, live, None, self.policy.timers.retransmit / 2, now);
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

    /// True if guests on this link can be asked whether they are there.
    pub(super) fn can_probe(&self, link: IfIndex) -> bool {
        self.links.is_up(link) && self.probe(link, Ipv6Addr::UNSPECIFIED, None).is_some()
    }

    /// Asks the target's downstreams, as many as the limit allows in one turn; the rest follow.
    pub(super) fn ask_round(&mut self, target: Ipv6Addr, range: RangeId, paid: Paid, now: Time) {
        let Some(State::Probing(mut probing)) = self.targets.get(target).cloned() else { return };
        let behind = self.behind(range, target);
        let mut turn: Vec<IfIndex> = behind.iter().skip(probing.asked).take(TURN).copied().collect();
        let is_last_turn = behind.iter().len() <= probing.asked + turn.len();
        let mut paid = paid == Paid::First;
        let mut is_cut_short = false;
        for link in turn.drain(..) {
            if self.can_probe(link)
                && let Some(probe) = self.probe(link, target, None)
            {
                if !std::mem::take(&mut paid) && !self.probe_limit.take(now) {
                    is_cut_short = true;
                    break;
                }
                self.send_probe(link, probe);
            }
            probing.asked += 1;
        }
        let is_done = is_last_turn && !is_cut_short;
        if is_done {
            probing.asked = 0;
        }
        let retransmit = self.policy.timers.retransmit;
        let pause = match (is_done, is_cut_short) {
            (true, _) => retransmit,
            // Thousands may wait for probes: each comes back as often as there are some to be had.
            (false, true) => SCARCE.min(retransmit / 4),
            (false, false) => PAUSE.min(retransmit),
        };
        self.targets.put(target, State::Probing(probing), now + pause);
    }

    fn ask_live(&mut self, target: Ipv6Addr, live: Live, known: Option<Mac>, pause: Duration, now: Time) {
        let mut asked = live;
        match self.probe(live.link, target, known) {
            Some(probe) if self.probe_limit.take_in_debt(now) => {
                asked.unanswered += 1;
                self.send_probe(live.link, probe);
            }
            // Not asked for want of probes: that is no silence of the guest's.
            Some(_) => {}
            // A downstream without an address: nobody behind it can be reached any more.
            None => asked.unanswered += 1,
        }
        self.targets.put(target, State::Live(asked), now + pause);
    }

    pub(super) fn send_probe(&mut self, link: IfIndex, probe: Solicitation) {
        self.counters.probes += 1;
        self.outputs.push_back(Output::Solicit(link, probe));
    }

    fn live_is_due(&mut self, target: Ipv6Addr, live: Live, now: Time) {
        match live.claim {
            Some(_) if live.unanswered < CHALLENGES => self.challenge(target, live, now),
            Some(claim) => self.move_to(target, live, claim, now),
            None if live.unanswered < self.policy.timers.retries => self.confirm(target, live, now),
            None => {
                self.put(target, State::Absent, now);
                self.forget_station(target, live.link, None, now);
                self.tell(Event::Gone(target, live.link, Loss::Unanswered));
            }
        }
    }

    fn probing_is_due(&mut self, target: Ipv6Addr, mut probing: Probing, now: Time) {
        let Some(range) = self.ranges.find(target) else {
            self.targets.remove(target);
            return;
        };
        // In the middle of a round, it goes on; between two, the next begins, if there is one.
        if probing.asked == 0 {
            let Some(left) = probing.left.checked_sub(1) else {
                for asker in &probing.askers {
                    self.unanswered(target, asker, DropReason::Absent);
                }
                self.put(target, State::Absent, now);
                return;
            };
            probing.left = left;
            self.targets.put(target, State::Probing(probing), now);
        }
        self.ask_round(target, range, Paid::None, now);
    }
}

/// As many downstreams are asked in one turn; a range may have thousands.
const TURN: usize = 64;
/// Until the next turn.
const PAUSE: Duration = Duration::from_millis(10);
/// Until the next turn where there were not enough probes for this one.
pub(super) const SCARCE: Duration = Duration::from_millis(250);
/// Unanswered questions after which a guest has moved.
pub(super) const CHALLENGES: u8 = 1;
