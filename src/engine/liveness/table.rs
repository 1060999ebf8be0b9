//! All targets of one kind, bounded in number: what is known of each, and when something is due for it.
//!
//! One entry of 64 bytes for each, in chunks that never move. An index of numbers finds it by address, and
//! four heaps of numbers, one for each kind of state, have the order in which something is due. What few
//! targets have (askers that wait, claims) is beside the table.

use core::cell::Cell;
use core::hint::black_box;
use core::net::Ipv6Addr;
use std::collections::BTreeMap;

use hashbrown::HashTable;

use super::budget::UNASKED;
use super::entry::{Entry, KINDS, Kind, NONE};
use super::state::{Claim, Live, Owner, Probing, Standing, State};
use super::store::entry_of;
use crate::engine::asker::Asker;
use crate::engine::facts::IfIndex;
use crate::engine::seed::{AddressHash, Seed};
use crate::engine::time::Time;

/// All targets that something is known of.
#[derive(Debug)]
pub struct Table {
    pub(super) index: HashTable<u32>,
    pub(super) hash: AddressHash,
    pub(super) chunks: Vec<Vec<Entry>>,
    pub(super) free: Vec<u32>,
    pub(super) due: [Vec<u32>; KINDS],
    pub(super) by_link: BTreeMap<IfIndex, OnLink>,
    pub(super) extras: BTreeMap<u32, Extra>,
    pub(super) by_share: [usize; UNASKED + 1],
    pub(super) limit: usize,
    /// A question looks its target up several times; [`NONE`] if that one is forgotten.
    pub(super) last_found: Cell<u32>,
}

/// The number of an entry, as long as its target is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(pub(super) u32);

/// What few targets have.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub(super) probing: Probing,
    pub(super) claim: Option<Claim>,
}

/// The live targets on one link.
#[derive(Debug, Clone, Copy)]
pub(super) struct OnLink {
    pub(super) first: u32,
    pub(super) last: u32,
    /// How many of them are live by nothing but their own word.
    pub(super) announced: usize,
}

/// On which links anybody is live.
#[derive(Debug, Clone, Copy)]
pub struct OnLinks<'a>(&'a BTreeMap<IfIndex, OnLink>);

impl OnLinks<'_> {
    /// Whether anybody is on this one.
    pub fn has(&self, link: IfIndex) -> bool {
        self.0.contains_key(&link)
    }
}

impl Id {
    /// The number itself; another target may have it later.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl Table {
    /// Room for `limit` targets; `seed` keeps strangers from choosing addresses that collide.
    pub fn new(limit: usize, seed: [u64; 2]) -> Self {
        Self {
            // At once, because a table that grows is copied as a whole, and answers would wait.
            index: HashTable::with_capacity(limit),
            hash: AddressHash::new(Seed(seed)),
            chunks: Vec::new(),
            free: Vec::new(),
            due: Default::default(),
            by_link: BTreeMap::new(),
            extras: BTreeMap::new(),
            by_share: [0; UNASKED + 1],
            limit,
            last_found: Cell::new(NONE),
        }
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// How many may be known.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// From here on as many may be known.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        let Self { index, hash, chunks, .. } = self;
        index.reserve(limit.saturating_sub(index.len()), |id| hash.of(entry_of(chunks, *id).address));
    }

    /// How many are of this kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.due[kind as usize].len()
    }

    /// How many on this link are live by nothing but their own word.
    pub fn announced_on(&self, link: IfIndex) -> usize {
        self.by_link.get(&link).map_or(0, |on| on.announced)
    }

    /// How many are being probed because somebody with this share asked.
    pub fn probing_for(&self, share: usize) -> usize {
        self.by_share[share]
    }

    /// The number of this target.
    pub fn find(&self, address: Ipv6Addr) -> Option<Id> {
        let is_it = |id: &u32| self.entry(*id).address == address;
        let last = self.last_found.get();
        if last != NONE && is_it(&last) {
            return Some(Id(last));
        }
        let id = *self.index.find(self.hash.of(address), is_it)?;
        self.last_found.set(id);
        Some(Id(id))
    }

    /// These will be looked for in a moment: brings what is known of them into the processor's caches. Of thousands
    /// most are in none, and where each question waits for its own target, that is a third of what an answer takes.
    /// Here the memory is asked for many of them at a time.
    pub fn look_ahead(&self, targets: impl Iterator<Item = Ipv6Addr>) {
        if self.len() < MANY {
            return;
        }
        let (mut ids, mut count) = ([NONE; AHEAD], 0);
        for (id, target) in ids.iter_mut().zip(targets) {
            // Without a look at the entry, for which the next would have to wait: it is another's one time in thirty.
            *id = self.index.find(self.hash.of(target), |_| true).copied().unwrap_or(NONE);
            count += 1;
        }
        for id in ids.into_iter().take(count).filter(|id| *id != NONE) {
            black_box(self.entry(id).heap);
        }
    }

    /// The target's address.
    pub fn address(&self, Id(id): Id) -> Ipv6Addr {
        self.entry(id).address
    }

    /// When something is to be done for it.
    pub fn due(&self, Id(id): Id) -> Time {
        self.entry(id).due
    }

    /// What kind of state it is in.
    pub fn kind(&self, Id(id): Id) -> Kind {
        self.entry(id).kind()
    }

    /// What is known of it if it is live.
    pub fn live(&self, Id(id): Id) -> Option<Live> {
        let entry = self.entry(id);
        let live = entry.live()?;
        if self.extras.is_empty() {
            return Some(live);
        }
        Some(Live { claim: self.extras.get(&id).and_then(|extra| extra.claim), ..live })
    }

    /// The live targets that are claimed on this link.
    pub fn claimed_on(&self, link: IfIndex) -> Vec<Id> {
        let is_there = |extra: &Extra| extra.claim.is_some_and(|claim| claim.link == link);
        self.extras.iter().filter(|(_, extra)| is_there(extra)).map(|(id, _)| Id(*id)).collect()
    }

    /// What is known of it.
    pub fn state(&self, id: Id) -> State {
        match self.live(id) {
            Some(live) => State::Live(live),
            None if self.kind(id) == Kind::Absent => State::Absent,
            None => State::Probing(self.extras.get(&id.0).map(|e| e.probing.clone()).unwrap_or_default()),
        }
    }

    /// What follows from what is known of it.
    pub fn standing(&self, id: Id) -> Standing {
        match self.live(id) {
            Some(live) => Standing::Live(live.place()),
            None if self.kind(id) == Kind::Absent => Standing::Absent,
            None => Standing::Probing,
        }
    }

    /// How far the asking has come; only while it is probed, or askers wait for it.
    pub fn probing(&self, Id(id): Id) -> Option<&Probing> {
        self.extras.get(&id).map(|extra| &extra.probing)
    }

    /// The same, and on which links anybody is live.
    pub fn probing_and_links(&mut self, Id(id): Id) -> Option<(&mut Probing, OnLinks<'_>)> {
        let Self { extras, by_link, .. } = self;
        extras.get_mut(&id).map(|extra| (&mut extra.probing, OnLinks(by_link)))
    }

    /// The same, to be changed.
    pub fn probing_mut(&mut self, Id(id): Id) -> Option<&mut Probing> {
        self.extras.get_mut(&id).map(|extra| &mut extra.probing)
    }

    /// The askers that wait for it.
    pub fn askers_mut(&mut self, Id(id): Id) -> &mut Vec<Asker> {
        &mut self.extras.entry(id).or_default().probing.askers
    }

    /// The askers that have waited for it; none wait any more.
    pub fn take_askers(&mut self, Id(id): Id) -> Vec<Asker> {
        let Some(extra) = self.extras.get_mut(&id) else { return Vec::new() };
        let askers = std::mem::take(&mut extra.probing.askers);
        if extra.claim.is_none() && self.entry(id).kind() != Kind::Probing {
            self.extras.remove(&id);
        }
        askers
    }

    /// How many questions for it were answered since something is known of it.
    pub fn answered(&self, Id(id): Id) -> u32 {
        self.entry(id).answered
    }

    /// So many more questions for it were answered.
    pub fn count_answers(&mut self, Id(id): Id, count: u32) {
        let entry = self.entry_mut(id);
        entry.answered = entry.answered.saturating_add(count);
    }

    /// What the upstream's link says of who has it.
    pub fn owner(&self, Id(id): Id) -> Owner {
        self.entry(id).owner()
    }

    /// The upstream's link says this.
    pub fn set_owner(&mut self, Id(id): Id, owner: Owner) {
        self.entry_mut(id).set_owner(owner);
    }

    /// When something is due for it.
    pub fn due_at(&self, Id(id): Id) -> Time {
        self.entry(id).due
    }

    /// Something is due for it at this time, whatever was thought before.
    pub fn postpone(&mut self, Id(id): Id, due: Time) {
        let entry = self.entry_mut(id);
        entry.due = due;
        let (kind, at) = (entry.kind(), entry.heap);
        self.sift(kind, at as usize);
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Time> {
        self.first().map(|id| self.entry(id).due)
    }

    /// The first target for which something is due by now.
    pub fn first_due(&self, now: Time) -> Option<Id> {
        self.first().filter(|id| self.entry(*id).due <= now).map(Id)
    }

    /// The target of this kind for which something is due first.
    pub fn first_of(&self, kind: Kind) -> Option<Id> {
        self.due[kind as usize].first().map(|id| Id(*id))
    }

    /// Some of this kind for which something is due soon, the first of all first.
    pub fn early_ones(&self, kind: Kind) -> impl Iterator<Item = Id> {
        self.due[kind as usize].iter().take(EARLY).map(|id| Id(*id))
    }

    /// The first of the live targets on this link.
    pub fn first_on(&self, link: IfIndex) -> Option<Id> {
        self.by_link.get(&link).map(|on| Id(on.first))
    }

    /// The known target at this number or the next one behind it; for a walk over all in slices.
    pub fn known_from(&self, number: u32) -> Option<(u32, Id)> {
        let all = self.chunks.iter().map(Vec::len).sum::<usize>();
        (number..u32::try_from(all).unwrap_or(u32::MAX))
            .find(|id| self.entry(*id).heap != NONE)
            .map(|id| (id + 1, Id(id)))
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Id> {
        self.index.iter().map(|id| Id(*id))
    }

    /// Puts the target into this state, or forgets it, with something due at `due`. What it was, and the
    /// askers that waited. The one place at which a target's state is written.
    pub fn set(&mut self, address: Ipv6Addr, state: Option<State>, due: Time) -> (Standing, Vec<Asker>) {
        let (before, mut waited, id) = match self.find(address) {
            Some(id) => {
                let (standing, waited) = (self.standing(id), self.take_askers(id));
                self.detach(id.0);
                (standing, waited, Some(id.0))
            }
            None => (Standing::Unknown, Vec::new(), None),
        };
        let Some(state) = state else {
            id.into_iter().for_each(|id| self.forget(id));
            return (before, waited);
        };
        let id = id.unwrap_or_else(|| self.allocate(address));
        let entry = self.entry_mut(id);
        entry.due = due;
        match state {
            State::Absent => entry.set_kind(Kind::Absent),
            State::Probing(mut probing) => {
                entry.set_kind(Kind::Probing);
                probing.askers.splice(0..0, std::mem::take(&mut waited));
                self.by_share[probing.share] += 1;
                self.extras.insert(id, Extra { probing, claim: None });
            }
            State::Live(live) => {
                entry.set_live(&live);
                // Those who wait for a live target wait for its next word, which this need not be.
                let stays = before.live().is_some();
                let askers = if stays { std::mem::take(&mut waited) } else { Vec::new() };
                if live.claim.is_some() || !askers.is_empty() {
                    let probing = Probing { askers, ..Probing::default() };
                    self.extras.insert(id, Extra { probing, claim: live.claim });
                }
                self.enter_link(id);
            }
        }
        self.push(id);
        (before, waited)
    }
}

/// As many fit into the caches anyway.
const MANY: usize = 4_096;
/// As many of those that are due soon are looked at.
const EARLY: usize = 16;
/// As many targets are looked for ahead of time: what comes in one batch of frames.
const AHEAD: usize = 64;

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
