//! Targets behind a next hop: whether one of the routers that they are behind is there.
//!
//! One that is a target itself, because it is in a range, is as live as it is as a guest; no other machine asks it.

use core::net::Ipv6Addr;

use super::{Because, Decision, Scene};
use crate::engine::asker::Asker;
use crate::engine::host::Host;
use crate::engine::liveness::{Live, Liveness, Standing};
use crate::engine::next_hops::NextHops;
use crate::engine::plan::{Hop, Plan, RangeId};
use crate::engine::time::Time;
use crate::wire::DropReason;

/// What is known of next hops.
#[derive(Debug, Clone, Copy)]
pub struct Routers<'a> {
    /// Who is behind which.
    pub plan: &'a Plan,
    /// What the kernel says.
    pub host: &'a Host,
    /// Those that are targets themselves.
    pub guests: &'a Liveness,
    /// The others.
    pub next_hops: &'a NextHops,
}

impl<'a> Routers<'a> {
    /// Whether it is a target itself.
    pub fn is_guest(&self, hop: &Hop) -> bool {
        self.plan.may_live(hop.address, hop.link, self.host)
    }

    /// What follows from what is known of it.
    pub fn standing(&self, hop: &Hop) -> Standing {
        match self.is_guest(hop) {
            true => self.guests.standing(hop.address),
            false => self.next_hops.standing(hop),
        }
    }

    /// What is known of it, if it is there.
    pub fn live(&self, hop: &Hop) -> Option<Live> {
        let live = match self.is_guest(hop) {
            true => self.guests.live(hop.address),
            false => self.next_hops.key(hop).and_then(|key| self.next_hops.liveness().live(key)),
        };
        live.filter(|live| live.link == hop.link && self.host.links.is_up(hop.link))
    }

    /// One that is there, and that the target is behind.
    pub fn live_towards(&self, range: RangeId, target: Ipv6Addr) -> Option<Hop> {
        let mut hops = self.plan.hops_towards(range, target, self.host);
        hops.find(|hop| self.live(hop).is_some())
    }

    /// Whether the target is behind one that is there.
    pub fn bring(&self, range: RangeId, target: Ipv6Addr) -> bool {
        self.live_towards(range, target).is_some()
    }

    /// Whether it can be asked.
    pub fn can_be_asked(&self, hop: &Hop) -> bool {
        self.host.links.is_up(hop.link) && self.host.links.has_source(hop.link)
    }
}

impl<'a> Scene<'a> {
    /// What is known of next hops.
    pub fn routers(&self) -> Routers<'a> {
        let Self { plan, host, guests, next_hops, .. } = *self;
        Routers { plan, host, guests, next_hops }
    }

    /// What a question for a target behind next hops comes to; `None` for one that is behind none.
    pub(super) fn decide_behind_hops(
        &self,
        asker: &Asker,
        target: Ipv6Addr,
        range: RangeId,
        now: Time,
    ) -> Option<Decision> {
        if !self.plan.is_behind_a_hop(range, target, self.host) {
            return None;
        }
        let because = match self.routers().live_towards(range, target) {
            Some(hop) => Because::NextHop(hop),
            None => match self.plan.routed_to_layer_3(range, target, self.host) {
                Some(link) => Because::Layer3(link),
                None => return Some(Decision::AskHops),
            },
        };
        Some(self.decide_there(asker, target, because, now))
    }

    /// The same for a guest that asks on its own link. What is behind a router there is that router's to answer for.
    pub(super) fn decide_behind_hops_for_guest(
        &self,
        asker: &Asker,
        target: Ipv6Addr,
        range: RangeId,
    ) -> Option<Decision> {
        let mut hops = self.plan.hops_towards(range, target, self.host).peekable();
        hops.peek()?;
        if hops.any(|hop| hop.link == asker.link) {
            return Some(Decision::Drop(DropReason::NotUpstream));
        }
        Some(match self.routers().live_towards(range, target) {
            Some(hop) => Decision::Answer(Because::NextHop(hop)),
            None => match self.plan.routed_to_layer_3(range, target, self.host) {
                Some(link) => Decision::Answer(Because::Layer3(link)),
                None => Decision::AskHops,
            },
        })
    }

    /// What becomes of those who wait for a target's next hops.
    pub fn waits_on(&self, target: Ipv6Addr) -> Waits {
        let Some(range) = self.plan.find(target) else { return Waits::Over };
        let routers = self.routers();
        let mut hops = self.plan.hops_towards(range, target, self.host).peekable();
        if hops.peek().is_none() || routers.bring(range, target) {
            return Waits::Over;
        }
        match hops.any(|hop| routers.standing(&hop) == Standing::Probing) {
            true => Waits::On,
            false => Waits::InVain,
        }
    }
}

/// What becomes of those who wait for a target's next hops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// They wait on: one of them is being asked.
    On,
    /// One is there, or the target is behind none any more: it is to be decided again.
    Over,
    /// All are silent.
    InVain,
}
