//! Next hops: what is heard of them, the questions for targets behind them, and what follows when one comes or goes.

use core::net::Ipv6Addr;

use super::{Desk, Said};
use crate::engine::answers::hops::Waits;
use crate::engine::asker::Asker;
use crate::engine::change::NeighborChange;
use crate::engine::effect::Output;
use crate::engine::event::Event;
use crate::engine::export::Standing;
use crate::engine::house::House;
use crate::engine::liveness::{Asking, Doubt, Heard, Out};
use crate::engine::plan::Hop;
use crate::engine::time::Time;
use crate::wire::DropReason;

impl Desk {
    /// A station, or the kernel, says something of an address that may be a next hop's.
    pub(super) fn hear_hop(&mut self, address: Ipv6Addr, heard: Heard, now: Time) {
        let hop = Hop { link: heard.link, address };
        // One that is a target is heard as that.
        if self.house.next_hops.key(&hop).is_none() || self.house.scene().routers().is_guest(&hop) {
            return;
        }
        let House { host, next_hops, budget, .. } = &mut self.house;
        if let Some((hops, ground, key)) = next_hops.machine(&hop, host) {
            hops.hear(key, heard, &ground, budget, now);
        }
    }

    /// The kernel has asked a next hop, and got no reply.
    pub(super) fn doubt_hop(&mut self, hop: &Hop, now: Time) {
        let House { host, next_hops, budget, .. } = &mut self.house;
        if let Some((hops, ground, key)) = next_hops.machine(hop, host) {
            hops.doubt(key, Doubt::Failed(hop.link), &ground, budget, now);
        }
    }

    /// The target was answered for because of this one: knowledge that has grown old is confirmed behind the answer.
    pub(super) fn confirm_hop(&mut self, hop: &Hop, now: Time) {
        let Some(live) = self.house.scene().routers().live(hop) else { return };
        let is_guest = self.house.scene().routers().is_guest(hop);
        if is_guest {
            let (guests, ground, budget) = self.house.guests();
            return guests.confirm_if_old(hop.address, &live, &ground, budget, now);
        }
        let House { host, next_hops, budget, .. } = &mut self.house;
        if let Some((hops, ground, key)) = next_hops.machine(hop, host) {
            hops.confirm_if_old(key, &live, &ground, budget, now);
        }
    }

    /// The target's next hops are asked whether they are there, and the asker waits for the first that is.
    pub(super) fn ask_hops(&mut self, asker: Asker, target: Ipv6Addr, now: Time) -> Result<Said, DropReason> {
        let share = self.house.share_of(&asker, target);
        let House { plan, host, .. } = &self.house;
        let range = plan.find(target).ok_or(DropReason::NoRange)?;
        let hops: Vec<_> = plan.hops_towards(range, target, host).collect();
        let mut verdict = Err(DropReason::NoDownstream);
        for hop in hops {
            let asked = match self.house.scene().routers().standing(&hop) {
                Standing::Probing => Ok(()),
                _ => self.ask_hop(&hop, share, now),
            };
            verdict = verdict.or(asked);
        }
        verdict?;
        self.house.next_hops.wait(target, asker).map(|()| Said::Later)
    }

    fn ask_hop(&mut self, hop: &Hop, share: usize, now: Time) -> Result<(), DropReason> {
        let asking = Asking { askers: Vec::new(), share };
        if self.house.scene().routers().is_guest(hop) {
            let (guests, ground, budget) = self.house.guests();
            return guests.ask(hop.address, asking, &ground, budget, now);
        }
        let House { host, next_hops, budget, .. } = &mut self.house;
        let (hops, ground, key) = next_hops.machine(hop, host).ok_or(DropReason::NoDownstream)?;
        hops.ask(key, asking, &ground, budget, now)
    }

    /// What has come out of the machine of next hops.
    pub(super) fn hop_out(&mut self, out: Out, now: Time) {
        match out {
            Out::Ask(key, link, known) => {
                let hop = self.house.next_hops.of_key(key);
                let probe = hop.and_then(|hop| self.house.probe(link, hop.address, known));
                self.send_probe(link, probe);
            }
            Out::Changed(transition, ..) => {
                let Some(hop) = self.house.next_hops.of_key(transition.target) else { return };
                let event = match (transition.was(), transition.is()) {
                    (None, Some(place)) => place.mac.map(|mac| Event::HopLive(hop.address, hop.link, mac)),
                    (Some(_), None) => Some(Event::HopGone(hop.address, hop.link)),
                    _ => None,
                };
                event.into_iter().for_each(|event| self.tell(event));
                if transition.is().is_none() {
                    self.identity_hop_gone(&hop, now);
                }
            }
            Out::Forget(key, link, keep) => {
                let hop = self.house.next_hops.of_key(key);
                let change = hop.map(|hop| NeighborChange::Forget(link, hop.address, keep));
                self.outputs.extend(change.map(Output::ChangeNeighbor));
            }
            // It is on one link, and nobody waits for itself.
            Out::Confirmed(..) | Out::Unconfirmed(..) | Out::Contested(..) | Out::Yielded(..) => {}
        }
    }

    /// A next hop is another than it was: those who wait for what is behind it have their verdict, or wait on.
    pub(super) fn settle_waiting(&mut self, now: Time) {
        self.wait_on(now, |desk, target, askers| desk.absent(target, &askers));
    }

    /// The plan is another. What is behind another next hop now is asked for there.
    pub fn follow_hops(&mut self, now: Time) {
        let House { plan, next_hops, .. } = &mut self.house;
        next_hops.follow(&plan.hops, now);
        self.wait_on(now, |desk, target, askers| {
            askers.into_iter().for_each(|asker| desk.question(asker, target, now));
        });
    }

    fn wait_on(&mut self, now: Time, in_vain: impl Fn(&mut Self, Ipv6Addr, Vec<Asker>)) {
        if !self.house.next_hops.has_waiting() {
            return;
        }
        for (target, askers) in self.house.next_hops.take_waiting() {
            match self.house.scene().waits_on(target) {
                Waits::On => self.house.next_hops.wait_on(target, askers),
                Waits::Over => askers.into_iter().for_each(|asker| self.question(asker, target, now)),
                Waits::InVain => in_vain(self, target, askers),
            }
        }
    }
}
