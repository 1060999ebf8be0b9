//! Whether the next hops that guests are behind are there: the machine of liveness once more, and who waits for what is
//! behind them.
//!
//! A next hop is a link and an address, and many links have a router at `fe80::1`; targets are told apart by their
//! address alone. So each next hop has a key of its own while the plan knows it.

use core::net::Ipv6Addr;
use std::collections::BTreeMap;

use super::asker::{Asker, join};
use super::facts::IfIndex;
use super::host::Host;
use super::liveness::{Ground, Liveness, Standing, Subject, Why};
use super::plan::{Behind, Hop, Hops};
use super::policy::{Limits, Timers};
use super::time::Time;
use crate::wire::DropReason;

/// All of them, and what is being found out about them.
#[derive(Debug)]
pub struct NextHops {
    liveness: Liveness,
    keys: Keys,
    /// By target, who waits for one of its next hops.
    waiting: BTreeMap<Ipv6Addr, Vec<Asker>>,
    /// For as many targets.
    most: usize,
}

/// Under which key each next hop is known.
#[derive(Debug, Default)]
struct Keys {
    of: BTreeMap<Hop, Ipv6Addr>,
    hops: BTreeMap<Ipv6Addr, Hop>,
    last: u128,
}

/// Where next hops are: each on its own link.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    keys: &'a Keys,
    host: &'a Host,
}

impl NextHops {
    /// None yet.
    pub fn new(timers: Timers, limits: &Limits, seed: [u64; 2]) -> Self {
        // Each guest may be one.
        let liveness = Liveness::new(Subject::Guests, limits.targets, timers, limits.pending, seed);
        Self { liveness, keys: Keys::default(), waiting: BTreeMap::new(), most: limits.pending }
    }

    /// Other limits and timers.
    pub fn change(&mut self, timers: Timers, limits: &Limits, now: Time) {
        self.most = limits.pending;
        self.liveness.change(limits.targets, timers, limits);
        self.liveness.shrink(usize::MAX);
        self.liveness.hasten((0, usize::MAX), now);
    }

    /// The plan knows these, and no others.
    pub fn follow(&mut self, hops: &Hops, now: Time) {
        let Self { liveness, keys, .. } = self;
        keys.of.retain(|hop, key| {
            let stays = hops.contains(hop);
            if !stays {
                keys.hops.remove(key);
                liveness.end(*key, Why::Policy, now);
            }
            stays
        });
        for hop in hops.iter() {
            keys.of.entry(hop).or_insert_with(|| {
                keys.last += 1;
                let key = Ipv6Addr::from_bits(keys.last);
                keys.hops.insert(key, hop);
                key
            });
        }
    }

    /// The machine, where its next hops are, and under which key it knows this one.
    pub fn machine<'a>(
        &'a mut self,
        hop: &Hop,
        host: &'a Host,
    ) -> Option<(&'a mut Liveness, Places<'a>, Ipv6Addr)> {
        let Self { liveness, keys, .. } = self;
        let key = *keys.of.get(hop)?;
        Some((liveness, Places { keys, host }, key))
    }

    /// The machine, and where its next hops are.
    pub fn all<'a>(&'a mut self, host: &'a Host) -> (&'a mut Liveness, Places<'a>) {
        let Self { liveness, keys, .. } = self;
        (liveness, Places { keys, host })
    }

    /// What is known of them, each by its key.
    pub fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// The next hop of this key.
    pub fn of_key(&self, key: Ipv6Addr) -> Option<Hop> {
        self.keys.hops.get(&key).copied()
    }

    /// The key of this next hop.
    pub fn key(&self, hop: &Hop) -> Option<Ipv6Addr> {
        self.keys.of.get(hop).copied()
    }

    /// What follows from what is known of this one.
    pub fn standing(&self, hop: &Hop) -> Standing {
        self.key(hop).map_or(Standing::Unknown, |key| self.liveness.standing(key))
    }

    /// The asker waits for one of the next hops of the target.
    pub fn wait(&mut self, target: Ipv6Addr, asker: Asker) -> Result<(), DropReason> {
        if self.waiting.len() >= self.most && !self.waiting.contains_key(&target) {
            return Err(DropReason::PendingFull);
        }
        join(self.waiting.entry(target).or_default(), asker)
    }

    /// Whether anybody waits.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Those who wait, each for its target.
    pub fn take_waiting(&mut self) -> BTreeMap<Ipv6Addr, Vec<Asker>> {
        std::mem::take(&mut self.waiting)
    }

    /// These wait on for the target.
    pub fn wait_on(&mut self, target: Ipv6Addr, askers: Vec<Asker>) {
        self.waiting.insert(target, askers);
    }
}

impl Ground for Places<'_> {
    fn behind(&self, key: Ipv6Addr) -> Option<Behind<'_>> {
        self.keys.hops.get(&key).map(|hop| Behind::Route(Some(hop.link)))
    }

    fn has_source(&self, link: IfIndex) -> bool {
        self.host.links.has_source(link) && !self.host.links.is_layer_3(link)
    }

    fn is_up(&self, link: IfIndex) -> bool {
        self.host.links.is_up(link)
    }

    fn why_not_asked(&self, _: Ipv6Addr) -> DropReason {
        DropReason::NoDownstream
    }
}
