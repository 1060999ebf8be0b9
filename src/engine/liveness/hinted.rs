//! Asking where somebody listens to the group of an address: for a target that somebody asks for, and for one that nobody
//! has asked for yet.

use core::net::Ipv6Addr;

use super::{Budget, Ground, HINTED, Liveness, Out, Probing, Standing, State, UNASKED, Why};
use crate::engine::asker::Asker;
use crate::engine::facts::IfIndex;
use crate::engine::time::Time;
use crate::wire::group_suffix;

impl Liveness {
    /// Asks where somebody listens to the target's group, outside of the budget; the other links follow within it when
    /// nobody replies. If there is no such link the askers come back.
    pub(super) fn ask_hinted(
        &mut self,
        target: Ipv6Addr,
        askers: Vec<Asker>,
        ground: &impl Ground,
        budget: &mut Budget,
        now: Time,
    ) -> Option<Vec<Asker>> {
        let Some(behind) = ground.behind(target).filter(|_| self.table.probing_for(HINTED) < self.pending)
        else {
            return Some(askers);
        };
        let may_be_asked = |link| behind.contains(link) && ground.can_ask(link);
        let few = budget.hints.take(group_suffix(target), may_be_asked, now);
        let links = few.as_slice();
        if links.is_empty() {
            return Some(askers);
        }
        let is_everywhere = links.len() == behind.as_slice().len();
        let left = self.tries(target) - u8::from(is_everywhere);
        let spent = u32::try_from(links.len()).unwrap_or(u32::MAX);
        let probing = Probing { left, share: HINTED, spent, askers, ..Probing::default() };
        let retransmit = self.timers.retransmit;
        let due = now + if is_everywhere { retransmit } else { retransmit / 4 };
        if self.set(target, Some(State::Probing(probing)), due, Why::Asked) {
            self.out.extend(links.iter().map(|link| Out::Ask(target, *link, None)));
        }
        None
    }

    /// Asks on this link for a target that nobody has asked for yet. Nobody waits for it, so it takes the place of nothing
    /// else, and only probes of which there are plenty; if nobody replies it is as if it had not been asked. False if
    /// that has to wait: there are not enough probes, or many of these are being asked.
    pub fn follow(&mut self, target: Ipv6Addr, link: IfIndex, budget: &mut Budget, now: Time) -> bool {
        if self.standing(target) != Standing::Unknown || self.table.len() >= self.table.limit() {
            return true;
        }
        if self.table.probing_for(UNASKED) >= self.pending.div_ceil(PART) || !budget.take_if_plenty(now) {
            return false;
        }
        let probing = Probing { left: 1, share: UNASKED, spent: 1, ..Probing::default() };
        if self.put(target, State::Probing(probing), Why::Heard, now) {
            self.out.push(Out::Ask(target, link, None));
        }
        true
    }

    /// It has not replied. A guest that comes up reports its group before it has its address (RFC 4862 §5.4.2: "Before
    /// sending a Neighbor Solicitation, an interface MUST join the all-nodes multicast address and the solicited-node
    /// multicast address of the tentative address"), which it has a retransmission time later: it is asked once more.
    pub(super) fn follow_again(
        &mut self,
        target: Ipv6Addr,
        ground: &impl Ground,
        budget: &mut Budget,
        now: Time,
    ) {
        let Some(id) = self.table.find(target) else { return };
        let Some(behind) = ground.behind(target) else { return };
        let may_be_asked = |link: &IfIndex| behind.contains(*link) && ground.can_ask(*link);
        let link = budget.hints.known(group_suffix(target)).find(may_be_asked);
        let probing = self.table.probing(id).filter(|probing| probing.left > 0).cloned();
        match (probing, link) {
            (Some(probing), Some(link)) if budget.take_if_plenty(now) => {
                let again = Probing { left: probing.left - 1, spent: probing.spent + 1, ..probing };
                self.put(target, State::Probing(again), Why::Heard, now);
                self.out.push(Out::Ask(target, link, None));
            }
            _ => self.end(target, Why::Unanswered, now),
        }
    }

    /// Whether the target is being asked, and nobody has asked for it.
    pub fn is_unasked(&self, target: Ipv6Addr) -> bool {
        let probing = self.table.find(target).and_then(|id| self.table.probing(id));
        probing.is_some_and(|probing| probing.share == UNASKED)
    }
}

/// One in so many of those that may be asked at once may be one that nobody has asked for.
const PART: usize = 8;
