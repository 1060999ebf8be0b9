//! Asking where somebody listens to the group of an address.

use core::net::Ipv6Addr;

use super::{Budget, Ground, HINTED, Liveness, Out, Probing, State, Why};
use crate::engine::asker::Asker;
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
}
