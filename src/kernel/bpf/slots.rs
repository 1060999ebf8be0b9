//! Which target is counted in which slot, and what was read of each.

use core::net::Ipv6Addr;
use std::collections::HashMap;

/// The slots of one program's targets.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// By target.
    of: HashMap<Ipv6Addr, u32>,
    /// By slot: whose it is, and how many hits it had when it was last read, the lower half of their number.
    all: Vec<(Option<Ipv6Addr>, u32)>,
    /// Those that are nobody's. One of them may have been taken over since: that is seen when its turn comes.
    free: Vec<u32>,
    /// There are no more.
    most: u32,
}

impl Slots {
    /// None is taken yet, of so many.
    pub(super) fn new(most: u32) -> Self {
        Self { most, ..Self::default() }
    }

    /// The slot of this target, if it has one.
    pub(super) fn of(&self, target: Ipv6Addr) -> Option<u32> {
        self.of.get(&target).copied()
    }

    /// The slot that this target has, or has from now on; none is left where all are taken. `hits` says how many a slot
    /// has: those of one that was another's before do not count.
    pub(super) fn take(&mut self, target: Ipv6Addr, hits: impl Fn(u32) -> u32) -> Option<u32> {
        if let Some(slot) = self.of(target) {
            return Some(slot);
        }
        let next = u32::try_from(self.all.len()).ok().filter(|next| *next < self.most);
        let Self { free, all, .. } = self;
        let mut left = std::iter::from_fn(|| free.pop()).filter(|slot| all[*slot as usize].0.is_none());
        let slot = left.next().or(next)?;
        self.give(slot, target, hits(slot));
        Some(slot)
    }

    /// This target has that slot since before. False if that cannot be.
    pub(super) fn adopt(&mut self, slot: u32, target: Ipv6Addr, hits: u32) -> bool {
        if slot >= self.most || self.of(target).is_some() {
            return false;
        }
        let place = slot as usize;
        if self.all.get(place).is_some_and(|(owner, _)| owner.is_some()) {
            return false;
        }
        let before = self.all.len();
        if place >= before {
            self.all.resize(place + 1, (None, 0));
            self.free.extend(before as u32..slot);
        }
        self.give(slot, target, hits);
        true
    }

    /// The target is not there any more.
    pub(super) fn free(&mut self, target: Ipv6Addr) {
        if let Some(slot) = self.of.remove(&target) {
            self.all[slot as usize].0 = None;
            self.free.push(slot);
        }
    }

    /// How many targets there are.
    pub(super) fn len(&self) -> usize {
        self.of.len()
    }

    /// A slot has had so many hits by now: whose it is, and how many of them are new.
    pub(super) fn read(&mut self, slot: usize, hits: u32) -> Option<(Ipv6Addr, u32)> {
        let (owner, before) = self.all.get_mut(slot)?;
        let new = hits.wrapping_sub(std::mem::replace(before, hits));
        owner.filter(|_| new > 0).map(|owner| (owner, new))
    }

    fn give(&mut self, slot: u32, target: Ipv6Addr, hits: u32) {
        let place = slot as usize;
        if place == self.all.len() {
            self.all.push((None, 0));
        }
        self.all[place] = (Some(target), hits);
        self.of.insert(target, slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(last: u16) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)
    }

    #[test]
    fn a_target_keeps_its_slot_and_leaves_it_to_another() {
        let mut slots = Slots::new(2);
        let taken = [1, 2, 1, 3].map(|last| slots.take(target(last), |_| 0));
        assert_eq!(taken, [Some(0), Some(1), Some(0), None]);
        slots.free(target(1));
        slots.free(target(1));
        assert_eq!((slots.take(target(3), |_| 0), slots.len()), (Some(0), 2));
        assert_eq!((slots.of(target(1)), slots.of(target(3))), (None, Some(0)));
    }

    #[test]
    fn only_new_hits_of_the_present_target_are_told() {
        let mut slots = Slots::new(2);
        slots.take(target(1), |_| 7);
        assert_eq!(slots.read(0, 7), None);
        assert_eq!(slots.read(0, 9), Some((target(1), 2)));
        slots.free(target(1));
        assert_eq!((slots.read(0, 11), slots.read(1, 5)), (None, None));
        // It is asked for once more between the last reading and the end: that is nobody's.
        slots.take(target(2), |_| 12);
        assert_eq!(slots.read(0, 12), None);
        // The number goes round.
        slots.read(0, u32::MAX);
        assert_eq!(slots.read(0, 1), Some((target(2), 2)));
    }

    #[test]
    fn slots_that_were_taken_before_are_left_alone() {
        let mut slots = Slots::new(5);
        assert!(slots.adopt(3, target(3), 0) && slots.adopt(1, target(1), 0));
        assert!(!slots.adopt(3, target(4), 0), "it is another's");
        assert!(!slots.adopt(2, target(3), 0), "it has one");
        assert!(!slots.adopt(5, target(4), 0), "there is none");
        let mut taken: Vec<_> = (10..14).map(|last| slots.take(target(last), |_| 0)).collect();
        taken.sort();
        assert_eq!(taken, [None, Some(0), Some(2), Some(4)]);
    }

    #[test]
    fn a_slot_that_was_taken_over_and_freed_is_given_once() {
        let mut slots = Slots::new(3);
        assert!(slots.adopt(2, target(2), 0) && slots.adopt(0, target(0), 0));
        slots.free(target(0));
        let mut taken: Vec<_> = (10..13).map(|last| slots.take(target(last), |_| 0)).collect();
        taken.sort();
        assert_eq!(taken, [None, Some(0), Some(1)]);
    }

    /// A start may find a hundred thousand of them, in the order of a hash. If each looked at all the others this would
    /// not end.
    #[test]
    fn many_slots_are_taken_over() {
        let most = 1 << 19;
        let mut slots = Slots::new(most);
        let target = |slot: u32| Ipv6Addr::from_bits(u128::from(slot) + 1);
        assert!((1..most).rev().all(|slot| slots.adopt(slot, target(slot), 0)));
        assert_eq!((slots.take(target(0), |_| 0), slots.take(target(most), |_| 0)), (Some(0), None));
    }
}
