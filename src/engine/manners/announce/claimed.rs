//! What is claimed is announced at once: an administrator, keepalived or a migration has moved it here, and until others
//! know that, it cannot be reached.
//!
//! So it does not wait for its turn, which comes `announcements-per-second` times in a second. But thousands may be
//! claimed in one go, and RFC 4861 §7.2.6 wants "a small delay between the sending of each advertisement to reduce the
//! probability of the advertisements being lost due to congestion": a thousand take half a second.

use core::net::Ipv6Addr;
use std::time::Duration;

use super::{Announcements, MAX_NEIGHBOR_ADVERTISEMENT, PAUSE, Run, Step};
use crate::engine::effect::Output;
use crate::engine::manners::footing::{Announced, Footing};
use crate::engine::policy::Announce;
use crate::engine::time::Time;

impl Announcements {
    /// The target, a live guest if it has a number, is claimed: it is announced before all that wait.
    pub fn begin_claimed(&mut self, target: Ipv6Addr, number: Option<u32>, now: Time) {
        if self.is_claimed(target) {
            return;
        }
        if self.runs.len() >= self.limit && !self.runs.contains_key(&target) {
            return self.begin(target, number, now, now);
        }
        self.stop(target, number);
        let due = self.claimed_from.max(now);
        self.claimed_from = due + SPACING;
        self.go_on(target, due, Step::Claimed);
    }

    /// Another station has announced the target just after we did, maybe before it heard of that: the next of our
    /// announcements goes out now. Only once, so that two hosts that both claim a target do not go on.
    pub fn insist(&mut self, target: Ipv6Addr, now: Time) -> bool {
        match self.runs.get(&target).copied() {
            Some(Run::Next(_, Step::Claimed)) => true,
            Some(Run::Next(due, Step::Again(left)))
                if left + 1 == MAX_NEIGHBOR_ADVERTISEMENT && due > now + CROSSING =>
            {
                self.go_on(target, now, Step::Again(left));
                true
            }
            _ => false,
        }
    }

    /// The route that the target waited for is there, or was refused: it waits no longer than for those before it.
    pub fn routed(&mut self, target: Ipv6Addr, now: Time) {
        if let Some(Run::Next(due, step @ (Step::Claimed | Step::Pause))) = self.runs.get(&target).copied() {
            let next = self.routed_from.max(now);
            if next < due && due <= now + PAUSE {
                self.routed_from = next + SPACING;
                self.go_on(target, next, step);
            }
        }
    }

    /// Whether it is about to be announced because it is claimed.
    pub(super) fn is_claimed(&self, target: Ipv6Addr) -> bool {
        matches!(self.runs.get(&target), Some(Run::Next(_, Step::Claimed)))
    }

    pub(super) fn claimed(
        &mut self,
        target: Ipv6Addr,
        footing: &Footing,
        ground: &impl Announced,
        out: &mut Vec<Output>,
        now: Time,
    ) {
        // As an answer, an announcement is a promise that the next packet arrives.
        if ground.is_route_under_way(target) {
            return self.go_on(target, now + PAUSE, Step::Claimed);
        }
        let is_asked = footing.is_free && footing.upstream.announce != Announce::Dad;
        match (is_asked, footing.is_disputed) {
            (true, _) => self.go_through(Step::First, target, footing, ground, out, now),
            (false, true) => self.ask(target, footing, Step::Ask, out, now),
            (false, false) => self.ask(target, footing, Step::Asked, out, now),
        }
    }
}

/// Two thousand in a second: an advertisement and a solicitation each, 350 kB.
const SPACING: Duration = Duration::from_micros(500);
/// What another says within half a second of the first announcement may have crossed it; the second one is due a second after
/// the first.
const CROSSING: Duration = Duration::from_millis(500);
