//! In what one plan differs from another, range by range.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv6Net;

use super::Plan;
use super::bindings::Place;
use crate::engine::facts::IfIndex;
use crate::engine::policy::RangePolicy;

/// A range, and where it is served.
pub type Served = (RangePolicy, Place);

/// In what a plan differs from the one before.
#[derive(Debug, Default)]
pub struct Changes {
    /// By prefix, the range as it was and as it is.
    pub ranges: BTreeMap<Ipv6Net, (Option<Served>, Option<Served>)>,
    /// The upstreams are others, or have other addresses.
    pub are_upstreams_new: bool,
    /// The interfaces that were upstreams before.
    pub upstreams_before: Vec<IfIndex>,
    /// Every range is to be looked at as if it were new.
    pub concern_all: bool,
}

/// Two plans that are being compared.
#[derive(Debug)]
pub struct Comparison {
    found: Changes,
    /// As many of the first ranges are alike, and as many of the last.
    alike: (usize, usize),
    /// As many of those between have been looked at: first all of the old plan, then all of the new one.
    looked_at: usize,
}

impl Comparison {
    /// Of these two.
    pub fn of(before: &Plan, next: &Plan) -> Self {
        let (old, new) = (&before.policy.ranges, &next.policy.ranges);
        let (old_at, new_at) = (&before.bindings.ranges, &next.bindings.ranges);
        let is_same = |a: usize, b: usize| old_at[a] == new_at[b] && old[a] == new[b];
        let shorter = old.len().min(new.len());
        let first = (0..shorter).take_while(|i| is_same(*i, *i)).count();
        let behind = |i: &usize| is_same(old.len() - 1 - i, new.len() - 1 - i);
        let last = (0..shorter - first).take_while(behind).count();
        let are_upstreams_new = next.bindings.upstreams != before.bindings.upstreams;
        let upstreams = before.bindings.upstreams.iter().filter(|_| are_upstreams_new);
        let upstreams_before = upstreams.map(|upstream| upstream.link).collect();
        let found = Changes { are_upstreams_new, upstreams_before, ..Changes::default() };
        Self { found, alike: (first, last), looked_at: 0 }
    }

    /// Looks at `most` more ranges of the same two. `Ok` at the end.
    pub fn go_on(mut self, before: &Plan, next: &Plan, most: usize) -> Result<Changes, Self> {
        let (first, last) = self.alike;
        let between = |plan: &Plan| plan.policy.ranges.len() - last - first;
        let (old, new) = (between(before), between(next));
        for at in self.looked_at..(self.looked_at + most).min(old + new) {
            let served = |plan: &Plan, at: usize| {
                (plan.policy.ranges[first + at].clone(), plan.bindings.ranges[first + at].clone())
            };
            if at < old {
                let was = served(before, at);
                let prefix = was.0.prefix;
                self.found.ranges.insert(prefix, (Some(was), None));
                continue;
            }
            let is = served(next, at - old);
            match self.found.ranges.get_mut(&is.0.prefix) {
                Some((Some(was), _)) if *was == is => _ = self.found.ranges.remove(&is.0.prefix),
                Some(change) => change.1 = Some(is),
                None => _ = self.found.ranges.insert(is.0.prefix, (None, Some(is))),
            }
        }
        self.looked_at += most;
        if self.looked_at < old + new { Err(self) } else { Ok(self.found) }
    }
}

impl Changes {
    /// Nothing is another.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty() && !self.are_upstreams_new && !self.concern_all
    }

    /// Ranges of this plan that are to be looked at as if they were new: those from this position on, at most so many.
    pub fn none_but(plan: &Plan, from: usize, most: usize) -> Self {
        let as_is = |(range, place): (&RangePolicy, &Place)| {
            let served = (range.clone(), place.clone());
            (range.prefix, (Some(served.clone()), Some(served)))
        };
        Self { ranges: plan.served().skip(from).take(most).map(as_is).collect(), ..Self::default() }
    }

    /// Takes off as many ranges as are looked at in one go. `None` if there are no more.
    pub fn split_off(&mut self, most: usize) -> Option<Self> {
        let next = *self.ranges.keys().nth(most)?;
        let ranges = self.ranges.split_off(&next);
        Some(Self { ranges, ..Self::default() })
    }

    /// The prefixes whose ranges ask for something else than before, or are answered on another upstream.
    pub fn other_ranges(&self) -> BTreeSet<Ipv6Net> {
        let is_other = |(before, after): &(Option<Served>, Option<Served>)| match (before, after) {
            (Some((old, old_place)), Some((new, place))) => {
                old != new || old_place.upstream != place.upstream
            }
            _ => true,
        };
        self.ranges.iter().filter(|(_, change)| is_other(change)).map(|(prefix, _)| *prefix).collect()
    }

    /// The ranges as they are now; `None` for one that is gone.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&Served>, Option<&Served>)> {
        self.ranges.values().map(|(before, after)| (before.as_ref(), after.as_ref()))
    }
}
