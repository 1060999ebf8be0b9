//! What switches are told, and what is told of those that cannot be.

use super::{Desk, Phase};
use crate::engine::effect::Output;
use crate::engine::event::Event;
use crate::engine::house::House;
use crate::engine::time::Time;

impl Desk {
    /// Tells switches which groups are listened to, as far as that is due.
    pub fn report(&mut self, now: Time) {
        let House { host, plan, manners, .. } = &mut self.house;
        if !manners.must_report(now) {
            return;
        }
        for event in manners.groups.take_events() {
            // Where a multicast router is advertised, everything arrives.
            let link = match &event {
                Event::GroupsFull(link, _) => Some(*link),
                Event::TooWideToJoin(prefix) => {
                    plan.find(prefix.addr()).and_then(|range| plan.place(range).upstream)
                }
                _ => None,
            };
            if !link.is_some_and(|link| manners.snoopers.are_told_on(link)) {
                self.outputs.push_back(Output::Event(event));
            }
        }
        if self.phase == Phase::Serving {
            let mut out = Vec::new();
            manners.report(host, &mut out, now);
            self.outputs.extend(out);
        }
    }
}
