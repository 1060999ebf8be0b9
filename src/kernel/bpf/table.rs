//! What one program knows, as its daemon keeps it: the targets, each with a slot in which the program counts, and what was
//! asked of each since the last look.

use core::net::Ipv6Addr;
use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::Ipv6Net;

use super::call::Mapping;
use super::ranges::Ranges;
use super::slots::Slots;
use super::{BpfError, Maps};
use crate::wire::program::{Entry, Hits, target_key};

/// The maps of a program, and who is counted where.
#[derive(Debug)]
pub struct Table {
    maps: Arc<Maps>,
    hits: Mapping,
    slots: Slots,
    ranges: Ranges,
}

/// A target that was answered for since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The target.
    pub target: Ipv6Addr,
    /// How often since then.
    pub hits: u32,
    /// When last: nanoseconds since the host started, those in which it slept among them.
    pub last_asked: u64,
}

/// What became of changes.
#[derive(Debug, Default)]
pub struct Changed {
    /// These are as they are to be.
    pub done: Vec<Ipv6Addr>,
    /// These are not.
    pub failed: Vec<Ipv6Addr>,
    /// Why, of the first of them.
    pub error: Option<BpfError>,
}

/// What became of a change of ranges.
#[derive(Debug)]
pub enum RangesChanged {
    /// They are as they are to be.
    Done,
    /// Nothing of any range is answered for any more.
    Nothing(BpfError),
    /// More may be answered for than is to be.
    Stuck(BpfError),
}

impl Table {
    /// An empty one, for as many targets and ranges at most.
    pub fn create(targets: u32, ranges: u32) -> Result<Self, BpfError> {
        Ok(Self::adopt(Maps::create(targets, ranges)?)?.0)
    }

    /// What these maps hold, which a program may be at work with, and until when each of those targets is answered for, in
    /// nanoseconds since the host started. What it counted before is not told.
    pub fn adopt(maps: Maps) -> Result<(Self, Vec<(Ipv6Addr, u64)>), BpfError> {
        let hits = maps.hits.mapping()?;
        // Behind these are those of the questions for addresses of ranges.
        let mut slots = Slots::new(maps.targets.capacity());
        let (mut known, mut homeless) = (Vec::new(), Vec::new());
        for key in maps.targets.keys()? {
            let Some(entry) = maps.targets.get(&key)? else { continue };
            let octets: [u8; 16] = key.try_into().expect("a target's size");
            let target = Ipv6Addr::from(octets);
            known.push((target, entry.until));
            if !slots.adopt(entry.slot, target, count(&hits, entry.slot)) {
                homeless.push((target, Some(entry.until)));
            }
        }
        let ranges = Ranges::adopt(&maps.ranges)?;
        let mut table = Self { maps: Arc::new(maps), hits, slots, ranges };
        // Nobody has counted there whom we know: they get slots of their own.
        match table.change(&homeless).error {
            Some(error) => Err(error),
            None => Ok((table, known)),
        }
    }

    /// The maps, for the program and for pins.
    pub fn maps(&self) -> &Arc<Maps> {
        &self.maps
    }

    /// How many targets the program knows.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Until when each of these is answered for from now on, in nanoseconds since the host started; none: what asks for
    /// it is passed on. Where one is named twice the last word counts. What fails leaves the others as they are to be.
    pub fn change(&mut self, changes: &[(Ipv6Addr, Option<u64>)]) -> Changed {
        let mut changed = Changed::default();
        for some in changes.chunk_by(|(_, before), (_, after)| before.is_some() == after.is_some()) {
            match some[0].1 {
                Some(_) => self.set(some, &mut changed),
                None => self.remove(some, &mut changed),
            }
        }
        changed
    }

    /// Every address of `answered` is answered for until this moment, in nanoseconds since the host started, but for those
    /// of which a longer prefix is among `passed_on`.
    pub fn change_ranges(
        &mut self,
        answered: &BTreeSet<Ipv6Net>,
        passed_on: &BTreeSet<Ipv6Net>,
        until: u64,
    ) -> RangesChanged {
        let Self { maps, ranges, .. } = self;
        let slot = maps.targets.capacity();
        match ranges.change(&maps.ranges, (answered, passed_on), until, slot) {
            Ok(()) => RangesChanged::Done,
            Err(error) => match ranges.clear(&maps.ranges) {
                Ok(()) => RangesChanged::Nothing(error),
                Err(_) => RangesChanged::Stuck(error),
            },
        }
    }

    /// Tells which targets were answered for since the last look. No system call, however many there are.
    pub fn asked(&mut self, mut tell: impl FnMut(Asked)) {
        let mut numbers = self.hits.numbers();
        let mut slot = 0;
        while let (Some(hits), Some(last_asked)) = (numbers.next(), numbers.next()) {
            if let Some((target, hits)) = self.slots.read(slot, low(hits)) {
                tell(Asked { target, hits, last_asked });
            }
            slot += 1;
        }
    }

    fn set(&mut self, changes: &[(Ipv6Addr, Option<u64>)], changed: &mut Changed) {
        let Self { maps, hits, slots, .. } = self;
        let most = maps.targets.capacity() as usize;
        let mut entries = Vec::with_capacity(changes.len());
        for (target, until) in changes {
            let is_known = slots.of(*target).is_some();
            let slot = if is_known || slots.len() < most {
                slots.take(*target, |slot| count(hits, slot))
            } else {
                None
            };
            match slot {
                Some(slot) => {
                    let entry = Entry { until: until.unwrap_or_default(), slot };
                    entries.push((*target, target_key(*target), entry, is_known));
                }
                None => changed.fail(*target, BpfError::Full("targets")),
            }
        }
        while !entries.is_empty() {
            let all: Vec<_> = entries.iter().map(|(_, key, entry, _)| (&key[..], *entry)).collect();
            let (done, result) = maps.targets.set_all(&all);
            changed.done.extend(entries.drain(..done).map(|(target, ..)| target));
            let Err(error) = result else { break };
            let Some((target, _, _, is_known)) = entries.first().copied() else { break };
            if !is_known {
                slots.free(target);
            }
            entries.retain(|(other, ..)| *other != target);
            changed.fail(target, error);
        }
    }

    fn remove(&mut self, changes: &[(Ipv6Addr, Option<u64>)], changed: &mut Changed) {
        let keys: Vec<_> = changes.iter().map(|(target, _)| target_key(*target)).collect();
        let mut rest = changes;
        while !rest.is_empty() {
            let all: Vec<_> = keys[keys.len() - rest.len()..].iter().map(|key| &key[..]).collect();
            let (done, result) = self.maps.targets.remove_all(&all);
            for (target, _) in &rest[..done] {
                self.slots.free(*target);
                changed.done.push(*target);
            }
            rest = &rest[done..];
            let Err(error) = result else { break };
            let Some(((target, _), behind)) = rest.split_first() else { break };
            changed.fail(*target, error);
            rest = behind;
        }
    }
}

impl Changed {
    fn fail(&mut self, target: Ipv6Addr, error: BpfError) {
        self.failed.push(target);
        self.error.get_or_insert(error);
    }
}

/// How many hits this slot has.
fn count(hits: &Mapping, slot: u32) -> u32 {
    let numbers = Hits::SIZE / size_of::<u64>();
    hits.number(slot as usize * numbers).map_or(0, low)
}

/// The lower half: what is read often enough is told apart by it.
fn low(hits: u64) -> u32 {
    (hits & u64::from(u32::MAX)) as u32
}
