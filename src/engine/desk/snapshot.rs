//! Everything that the kernel says at once, against what is known; and what a predecessor of this process left there.

use super::Desk;
use crate::engine::facts::Fact;
use crate::engine::house::House;
use crate::engine::policy::RangeRoutes;
use crate::engine::time::Time;
use crate::engine::work::{Snapshot, Work};

impl Desk {
    /// A snapshot has been told: it is compared with what is known.
    pub fn compare(&mut self, facts: Vec<Fact>) -> Work {
        let House { host, keep, manners, counters, seed, .. } = &mut self.house;
        counters.resyncs += 1;
        host.stations.begin_dump();
        manners.routers.forget_entries();
        keep.addresses.forget_answers();
        keep.pins.begin_dump();
        let snapshot = Snapshot::new(facts, host.untold(), keep.routes.inherited(), *seed);
        Work::Snapshot(Box::new(snapshot))
    }

    /// What a snapshot did not tell is gone; then what it did tell is taken in.
    pub fn take_snapshot(&mut self, mut snapshot: Box<Snapshot>, left: &mut usize) -> Vec<Work> {
        let House { host, keep, .. } = &mut self.house;
        let guest_of = |fact: &Fact| match fact {
            Fact::Route(route) => keep.routes.guest_of(route),
            _ => None,
        };
        while *left > 0 {
            match snapshot.compare_some(guest_of) {
                0 => break,
                compared => *left = left.saturating_sub(compared),
            }
        }
        while let Some((target, link)) = snapshot.next_untold_guest(left) {
            keep.routes.heard_guest(target, link, false, host);
        }
        if *left == 0 {
            return vec![Work::Snapshot(snapshot)];
        }
        let facts = snapshot.into_facts().map(|facts| Work::Facts(facts.into_iter()));
        facts.chain([Work::ToldAll]).collect()
    }

    /// A predecessor of this process left routes for its guests: they are answered for at once, and asked whether
    /// they are still there.
    pub fn inherit(&mut self, now: Time) {
        for (target, link) in self.house.keep.routes.inherited() {
            let House { plan, host, guests, .. } = &mut self.house;
            let keeps = plan.find(target).is_some_and(|r| plan.range(r).routes == RangeRoutes::Guests);
            if keeps && plan.may_live(target, link, host) && host.links.is_up(link) {
                guests.inherit(target, link, now);
            }
        }
        self.inherit_pins(now);
        self.settle(now);
    }
}
