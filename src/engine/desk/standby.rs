//! Ranges that stand by: another host has them, until all or a part of them is claimed here.

use core::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::Desk;
use crate::engine::house::House;
use crate::engine::policy::Answer;
use crate::engine::time::Time;
use crate::engine::work::Work;

impl Desk {
    /// All of this is claimed: what is there is announced, in slices.
    pub(super) fn woke(&mut self, prefix: Ipv6Net) {
        self.changed_hands(prefix);
        self.woken.push(prefix);
    }

    /// It is claimed, or not any more: what others have said of it, and what programs in the kernel know of it, is of
    /// before. What is still to be announced is looked at when its turn comes.
    pub(super) fn changed_hands(&mut self, prefix: Ipv6Net) {
        let House { manners, keep, .. } = &mut self.house;
        let disputed =
            manners.rivals.iter().map(|(target, ..)| target).filter(|target| prefix.contains(target));
        let disputed: Vec<_> = disputed.collect();
        disputed.into_iter().for_each(|target| _ = manners.rivals.end(target));
        keep.mirror.touch_all();
    }

    /// The walk over what is to be announced, if it is.
    pub fn take_woken(&mut self) -> Option<Work> {
        self.woken.pop().map(|prefix| Work::Wake(prefix, 0))
    }

    /// Goes on with that walk, for at most `most` targets. Where it goes on.
    pub(super) fn wake(&mut self, prefix: Ipv6Net, from: u32, most: usize, now: Time) -> Option<u32> {
        if from == 0 {
            let House { host, .. } = &self.house;
            let own: Vec<_> = host.links.addresses_inside(&prefix).map(|known| known.address).collect();
            own.into_iter().for_each(|address| self.announce_claimed(address, now));
            if self.is_answered_as_a_whole(prefix.network()) && prefix.prefix_len() >= WIDEST {
                prefix.hosts().for_each(|target| self.announce_claimed(target, now));
            }
        }
        let (live, next) = self.house.guests.live_from(from, most);
        for (_, target, _) in live.into_iter().filter(|(_, target, _)| prefix.contains(target)) {
            self.announce_claimed(target, now);
        }
        next
    }

    fn is_answered_as_a_whole(&self, target: Ipv6Addr) -> bool {
        let plan = &self.house.plan;
        plan.find(target).is_some_and(|range| plan.range(range).answer == Answer::Always)
    }
}

/// Of a range that is answered for as a whole, each address of a prefix of this length is announced: 4,096 of them.
const WIDEST: u8 = 116;
