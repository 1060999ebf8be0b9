//! What one program knows, as its daemon keeps it: the targets, how often each was answered for, and the ranges.

use core::net::Ipv6Addr;
use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::Ipv6Net;

use super::ranges::Ranges;
use super::targets::Targets;
use super::{BpfError, Maps, boot_time};
use crate::wire::program::Row;

/// The maps of a program, and what is in them.
#[derive(Debug)]
pub struct Table {
    maps: Arc<Maps>,
    targets: Targets,
    ranges: Ranges,
}

/// A target that was answered for since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The target.
    pub target: Ipv6Addr,
    /// How often since then.
    pub hits: u32,
    /// When last, to a millisecond: nanoseconds since the host started, those in which it slept among them.
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
    /// An empty one, for at least so many targets, and so many ranges at most.
    pub fn create(targets: u32, ranges: u32) -> Result<Self, BpfError> {
        Ok(Self::adopt(Maps::create(targets, ranges)?, 0)?.0)
    }

    /// What these maps hold, which a program may be at work with, and until when each of those targets is answered for, in
    /// nanoseconds since the host started. What it counted before is not told. What is not answered for any more at `now`
    /// goes.
    pub fn adopt(maps: Maps, now: u64) -> Result<(Self, Vec<(Ipv6Addr, u64)>), BpfError> {
        let mut targets = Targets::open(&maps)?;
        let ranges = Ranges::adopt(&maps.ranges)?;
        // A row that no search comes to is of no use: a predecessor was killed at the moment.
        targets.retain(|targets, number, row| {
            row.until > now && row.target.and_then(|target| targets.of(target)) == Some(number)
        });
        let known = targets.all().filter_map(|row| Some((row.target?, row.until))).collect();
        Ok((Self { maps: Arc::new(maps), targets, ranges }, known))
    }

    /// What a program with these maps knows of a target.
    pub fn row_of(maps: &Maps, target: Ipv6Addr) -> Result<Option<Row>, BpfError> {
        let targets = Targets::open(maps)?;
        Ok(targets.of(target).map(|row| targets.row(row)))
    }

    /// No target is answered for any more.
    pub fn clear(maps: &Maps) -> Result<(), BpfError> {
        Targets::open(maps)?.retain(|_, _, _| false);
        Ok(())
    }

    /// The maps, for the program and for pins.
    pub fn maps(&self) -> &Arc<Maps> {
        &self.maps
    }

    /// How many targets the program knows.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the program knows of a target.
    pub fn get(&self, target: Ipv6Addr) -> Option<Row> {
        self.targets.of(target).map(|row| self.targets.row(row))
    }

    /// Until when each of these is answered for from now on, in nanoseconds since the host started; none: what asks for
    /// it is passed on. Where one is named twice the last word counts. What fails leaves the others as they are to be.
    pub fn change(&mut self, changes: &[(Ipv6Addr, Option<u64>)]) -> Changed {
        let mut changed = Changed::default();
        for (target, until) in changes {
            let is_done = match until {
                Some(until) => self.targets.set(*target, *until),
                None => {
                    self.targets.remove(*target);
                    true
                }
            };
            match is_done {
                true => changed.done.push(*target),
                false => changed.fail(*target, BpfError::Full("targets")),
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
        match ranges.change(&maps.ranges, (answered, passed_on), until) {
            Ok(()) => RangesChanged::Done,
            Err(error) => match ranges.clear(&maps.ranges) {
                Ok(()) => RangesChanged::Nothing(error),
                Err(_) => RangesChanged::Stuck(error),
            },
        }
    }

    /// Tells which targets were answered for since the last look. No system call, however many there are.
    pub fn asked(&mut self, mut tell: impl FnMut(Asked)) {
        let now = boot_time();
        self.targets.asked(|target, hits, row| tell(Asked { target, hits, last_asked: row.last_asked(now) }));
    }
}

impl Changed {
    fn fail(&mut self, target: Ipv6Addr, error: BpfError) {
        self.failed.push(target);
        self.error.get_or_insert(error);
    }
}
