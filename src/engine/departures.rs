//! How guests end without a word of their own: bridges forget them, downstreams go, ranges move on.

use std::collections::BTreeSet;

use super::bindings::Bindings;
use super::facts::IfIndex;
use super::output::Loss;
use super::policy::{Downstream, RangePolicy};
use super::time::Time;
use super::{Engine, Event};
use crate::wire::Mac;

impl Engine {
    /// Bridges have forgotten stations, as when a container ends or a virtual machine moves to another
    /// host: their guests are asked at once, by their group, whether they are still there.
    pub(super) fn stations_gone(&mut self, stations: &BTreeSet<(IfIndex, Mac)>, now: Time) {
        let bridges: BTreeSet<_> = stations.iter().map(|(bridge, _)| *bridge).collect();
        for target in bridges.into_iter().flat_map(|bridge| self.targets.on_link(bridge)).collect::<Vec<_>>()
        {
            let Some(live) = self.targets.live(target).copied() else { continue };
            let is_one_of_them = live.mac.is_some_and(|mac| stations.contains(&(live.link, mac)));
            if is_one_of_them && live.claim.is_none() {
                self.ask_once_more(target, live, now);
            }
        }
    }

    /// The downstream is down or gone: nothing behind it can be reached.
    pub(super) fn end_link(&mut self, link: IfIndex, now: Time) {
        for target in self.targets.on_link(link).collect::<Vec<_>>() {
            let Some(live) = self.targets.live(target).copied() else { continue };
            match live.claim.filter(|claim| self.links.is_up(claim.link)) {
                // It has been heard elsewhere: that is where it went.
                Some(claim) => self.move_to(target, live, claim, now),
                None => {
                    self.forget(target);
                    self.tell(Event::Gone(target, link, Loss::Downstream));
                }
            }
        }
    }

    /// Targets that cannot be where they were any more, because that is not one of their range's
    /// downstreams now.
    pub(super) fn end_misplaced(&mut self, before: &Bindings, were_routes_changed: bool) {
        let mut links = BTreeSet::new();
        for (old, new) in before.ranges.iter().zip(&self.bindings.ranges) {
            links.extend(old.downstreams.iter().filter(|link| new.downstreams.binary_search(link).is_err()));
        }
        let mut suspects: Vec<_> = links.into_iter().flat_map(|link| self.targets.on_link(link)).collect();
        let follows_routes = |range: &RangePolicy| range.downstream == Downstream::Kernel;
        if were_routes_changed && self.policy.ranges.iter().any(follows_routes) {
            suspects.extend(self.targets.iter().map(|(target, _)| target));
        }
        for target in suspects {
            let Some(live) = self.targets.live(target) else { continue };
            let (link, range) = (live.link, self.ranges.find(target));
            if !range.is_some_and(|range| self.behind(range, target).contains(link)) {
                self.forget(target);
                self.tell(Event::Gone(target, link, Loss::Downstream));
            }
        }
    }
}
