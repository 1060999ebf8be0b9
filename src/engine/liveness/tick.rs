//! What is due: another probe, the end of probing, the end of an absence. And walks over many targets, in
//! slices, so that answers need not wait for them.

use core::net::Ipv6Addr;

use super::ask::Paid;
use super::{Budget, Ground, Live, Liveness, Out, Standing, State, Subject, Why};
use crate::engine::facts::IfIndex;
use crate::engine::time::Time;

/// Unanswered questions after which a guest has moved: one to its station, one to its group.
const CHALLENGES: u8 = 2;

impl Liveness {
    /// Does what is due by now, for at most `most` targets. False if there is more.
    pub fn tick(&mut self, most: usize, ground: &impl Ground, budget: &mut Budget, now: Time) -> bool {
        for _ in 0..most {
            let Some(id) = self.table.first_due(now) else { return true };
            let target = self.table.address(id);
            match self.table.standing(id) {
                Standing::Live(_) => self.live_is_due(target, ground, budget, now),
                Standing::Probing => self.probing_is_due(target, ground, budget, now),
                Standing::Absent | Standing::Unknown => {
                    self.set(target, None, now, Why::Forgotten);
                }
            }
        }
        self.table.first_due(now).is_none()
    }

    fn live_is_due(&mut self, target: Ipv6Addr, ground: &impl Ground, budget: &mut Budget, now: Time) {
        let Some(id) = self.table.find(target) else { return };
        let Some(live) = self.table.live(id) else { return };
        if live.unanswered > 0 {
            // A check for duplicates lasts as long as one retransmission (RFC 4862 §5.4).
            let waited = self.table.take_askers(id);
            if !waited.is_empty() {
                self.out.push(Out::Unconfirmed(target, waited));
            }
        }
        match live.claim {
            Some(_) if live.unanswered < CHALLENGES => {
                self.challenge(target, live, ground, budget, now);
            }
            Some(claim) => match self.subject {
                Subject::Guests => self.move_to(target, live, claim, ground, now),
                Subject::Neighbors => {
                    self.set(target, None, now, Why::Elsewhere);
                    self.out.push(Out::Yielded(target, claim));
                }
            },
            // Nobody has asked for it for long enough.
            None if live.unanswered == 0 && self.subject == Subject::Neighbors => {
                self.set(target, None, now, Why::Forgotten);
            }
            None if live.unanswered < self.timers.retries => self.confirm(target, live, ground, budget, now),
            None if ground.vouches(target, live.link) => {
                self.put(target, State::Live(Live { unanswered: 0, ..live }), Why::Asked, now);
            }
            None => {
                self.put(target, State::Absent, Why::Unanswered, now);
                if self.subject == Subject::Guests {
                    self.forget_station(target, live.link, None, budget, now);
                    self.look_elsewhere(target, ground, budget, now);
                }
            }
        }
    }

    fn probing_is_due(&mut self, target: Ipv6Addr, ground: &impl Ground, budget: &mut Budget, now: Time) {
        let Some(id) = self.table.find(target) else { return };
        if ground.behind(target).is_none() {
            self.set(target, None, now, Why::Policy);
            return;
        }
        if self.is_unasked(target) {
            return self.follow_again(target, ground, budget, now);
        }
        // In the middle of a round, it goes on; between two, the next begins, if there is one.
        let is_over =
            self.table.probing_mut(id).is_none_or(|probing| probing.asked == 0 && probing.left == 0);
        if is_over {
            self.put(target, State::Absent, Why::Unanswered, now);
        } else {
            self.ask_round(target, Paid::None, ground, budget, now);
        }
    }

    /// The link is down or gone, and what is behind it cannot be reached: ends at most `most` of its targets.
    /// True when there are no more.
    pub fn end_on(
        &mut self,
        link: IfIndex,
        most: usize,
        ground: &impl Ground,
        budget: &mut Budget,
        now: Time,
    ) -> bool {
        for _ in 0..most {
            let Some(id) = self.table.first_on(link) else { break };
            let target = self.table.address(id);
            let Some(live) = self.table.live(id) else { break };
            match live.claim.filter(|claim| claim.link != link && ground.is_up(claim.link)) {
                // It has been heard elsewhere: that is where it went.
                Some(claim) => self.move_to(target, live, claim, ground, now),
                None => {
                    self.set(target, None, now, Why::Downstream);
                    if self.subject == Subject::Guests {
                        self.look_elsewhere(target, ground, budget, now);
                    }
                }
            }
        }
        if self.table.first_on(link).is_some() {
            return false;
        }
        // A claim that was made there has gone with the link, also if another has its number by now.
        for id in self.table.claimed_on(link) {
            let target = self.table.address(id);
            if let Some(live) = self.table.live(id) {
                self.put(target, State::Live(Live { claim: None, unanswered: 0, ..live }), Why::Heard, now);
            }
        }
        true
    }

    /// Walks over what is known from this number of an entry on, `most` entries at a time: ends the targets for
    /// which `verdict` has a reason, each of which costs as much as a few that stay. Where to go on; `None` at the end.
    pub fn review(
        &mut self,
        verdict: impl Fn(Ipv6Addr, Standing) -> Option<Why>,
        (mut from, most): (u32, usize),
        now: Time,
    ) -> Option<u32> {
        let mut cost = 0;
        while cost < most {
            let (next, id) = self.table.known_from(from)?;
            let target = self.table.address(id);
            cost += 1;
            if let Some(why) = verdict(target, self.table.standing(id)) {
                self.set(target, None, now, why);
                cost += ENDED;
            }
            from = next;
        }
        Some(from)
    }

    /// The timers are others now: nothing is due later than they say. Walks as [`Self::review`] does.
    pub fn hasten(&mut self, (mut from, most): (u32, usize), now: Time) -> Option<u32> {
        for _ in 0..most {
            let (next, id) = self.table.known_from(from)?;
            let due = now + self.comes_back_after(self.table.address(id), &self.table.state(id));
            if self.table.due_at(id) > due {
                self.table.postpone(id, due);
            }
            from = next;
        }
        Some(from)
    }

    /// The live targets from this number of an entry on, each with its number, `most` entries at a time, and where to
    /// go on: for those who follow what is live, when the plan has changed.
    pub fn live_from(&self, mut from: u32, most: usize) -> (Vec<(u32, Ipv6Addr, Live)>, Option<u32>) {
        let mut found = Vec::new();
        for _ in 0..most {
            let Some((next, id)) = self.table.known_from(from) else { return (found, None) };
            let live = self.table.live(id);
            found.extend(live.map(|live| (id.number(), self.table.address(id), live)));
            from = next;
        }
        (found, Some(from))
    }

    /// One step of such a walk: the target at this number or behind it, if it is live, and where to go on.
    pub fn live_at(&self, number: u32) -> Option<(u32, Option<Ipv6Addr>)> {
        let (next, id) = self.table.known_from(number)?;
        Some((next, self.table.live(id).map(|_| self.table.address(id))))
    }
}

/// To end a target costs as much as to look at so many that stay.
pub const ENDED: usize = 3;
