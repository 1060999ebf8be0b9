//! Pins: permanent neighbor entries for the addresses of guests that have `pin = true`. Ours bear our protocol number
//! (NDA_PROTOCOL, Linux 5.0), so that they are known again after a crash.
//!
//! A routing daemon replaces permanent entries with its own, and the kernel does not say that as a removal: every word of an
//! entry is compared with what is wanted. What is overwritten is put back at once, and each no more often than once in
//! [`PUT_BACK`].

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::keeper::{Found, Keeper, Manner, Step};
use crate::engine::change::{At, NeighborChange, Outcome, Over, Pin};
use crate::engine::effect::Output;
use crate::engine::facts::{IfIndex, Mark, Neighbor, NeighborState};
use crate::engine::host::links::Links;
use crate::engine::plan::problem::Problem;
use crate::engine::seed::Seed;
use crate::engine::time::Time;
use crate::wire::Mac;

/// What is wanted of pins, and what becomes of it.
#[derive(Debug)]
pub struct Pins {
    protocol: u8,
    /// The numbers that marked ours before.
    former: BTreeSet<u8>,
    /// By address, the link on which it is pinned.
    places: BTreeMap<Ipv6Addr, IfIndex>,
    kept: Keeper<At, Mac>,
    /// Wanted, and not known to have been there: another program's permanent entry stays.
    fresh: BTreeSet<At>,
    /// Another program's permanent entry holds another MAC than this one, which is wanted.
    kept_out: BTreeMap<At, Mac>,
    /// What the kernel said of those that it refused.
    refused: BTreeMap<At, String>,
    /// When each was put there last, of those of the last second.
    put: BTreeMap<At, Time>,
    /// Overwritten, with this MAC or none, and not put back yet.
    lost: BTreeMap<At, Option<Mac>>,
    due: BTreeSet<(Time, At)>,
    /// Left by a predecessor. `None`: what nobody has wanted by now has been removed.
    inherited: Option<BTreeMap<At, Mac>>,
    /// What a snapshot has told so far of what is known.
    told: Option<BTreeSet<At>>,
    put_back: u64,
    /// When it was last told of each that is overwritten again and again.
    mentioned: BTreeMap<At, Time>,
    news: Vec<Overwritten>,
}

/// A pin that another program has overwritten or removed, and that is put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overwritten {
    /// Which.
    pub at: At,
    /// The MAC that it was given; `None`: it was removed.
    pub mac: Option<Mac>,
}

/// How many pins there are, by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PinCount {
    /// There.
    pub kept: usize,
    /// Another program's permanent entry has another MAC.
    pub kept_out: usize,
    /// The kernel refused them.
    pub refused: usize,
    /// How often one was put back because it had been overwritten or removed.
    pub put_back: u64,
}

impl Pins {
    /// None yet.
    pub fn new(protocol: u8, seed: Seed) -> Self {
        Self {
            protocol,
            former: BTreeSet::new(),
            places: BTreeMap::new(),
            kept: Keeper::new(Manner::Assumed, seed),
            fresh: BTreeSet::new(),
            kept_out: BTreeMap::new(),
            refused: BTreeMap::new(),
            put: BTreeMap::new(),
            lost: BTreeMap::new(),
            due: BTreeSet::new(),
            inherited: Some(BTreeMap::new()),
            told: None,
            put_back: 0,
            mentioned: BTreeMap::new(),
            news: Vec::new(),
        }
    }

    /// From here on ours bear this number: those that are there are given it.
    pub fn set_protocol(&mut self, protocol: u8) {
        if protocol != self.protocol {
            self.former.insert(self.protocol);
            self.former.remove(&protocol);
            self.protocol = protocol;
            let all: Vec<_> = self.places.iter().map(|(address, link)| (*link, *address)).collect();
            all.into_iter().for_each(|at| self.kept.lost(at));
        }
    }

    /// The address is to be pinned there from here on; or nowhere.
    pub fn want(&mut self, address: Ipv6Addr, place: Option<(IfIndex, Mac)>) {
        let before = self.places.get(&address).copied();
        if let Some(link) = before.filter(|link| place.is_none_or(|(other, _)| other != *link)) {
            self.places.remove(&address);
            self.forget((link, address));
            self.kept.want((link, address), None);
        }
        let Some((link, mac)) = place else { return };
        let at = (link, address);
        self.places.insert(address, link);
        if self.kept_out.get(&at).is_some_and(|wanted| *wanted == mac) {
            return;
        }
        if let Some(there) = self.inherited.as_mut().and_then(|all| all.remove(&at)) {
            self.kept.found(at, Found::Ours(there));
        } else if self.kept.wanted(&at).is_none() {
            self.fresh.insert(at);
        }
        self.kept_out.remove(&at);
        self.kept.want(at, Some(mac));
    }

    /// Everybody has had the opportunity to want what a predecessor left: the rest is removed.
    pub fn want_no_other(&mut self) {
        for (at, mac) in self.inherited.take().unwrap_or_default() {
            self.kept.found(at, Found::Ours(mac));
        }
    }

    /// As many are not wanted any more. How many they were.
    pub fn want_less(&mut self, most: usize) -> usize {
        self.want_no_other();
        let some: Vec<_> = self.places.keys().copied().take(most).collect();
        some.iter().for_each(|address| self.want(*address, None));
        some.len()
    }

    /// What a predecessor left, and nobody has wanted yet.
    pub fn inherited(&self) -> Vec<(At, Mac)> {
        self.inherited.iter().flatten().map(|(at, mac)| (*at, *mac)).collect()
    }

    /// The kernel has told of an entry. True if that is ours, from which nothing follows for others.
    pub fn heard(&mut self, neighbor: &Neighbor, mark: Option<Mark>, now: Time) -> bool {
        let Neighbor { link, address, mac, state } = *neighbor;
        let at = (link, address);
        let is_ours = state == NeighborState::Permanent
            && mark.is_some_and(|mark| {
                !mark.is_external && (mark.protocol == self.protocol || self.former.contains(&mark.protocol))
            });
        let is_fixed = state == NeighborState::Permanent && mark.is_none_or(|mark| !mark.is_external);
        if let Some(told) = self.told.as_mut().filter(|_| self.kept.knows(&at)) {
            told.insert(at);
        }
        if let Some(wanted) = self.kept_out.get(&at).copied() {
            // Nothing is in the way any more.
            if !is_fixed || mac == Some(wanted) {
                self.fresh.insert(at);
                self.kept.want(at, Some(wanted));
            }
            return is_ours;
        }
        let Some(wanted) = self.kept.wanted(&at).copied() else {
            if let Some(mac) = mac.filter(|_| is_ours) {
                match &mut self.inherited {
                    Some(inherited) => _ = inherited.insert(at, mac),
                    None => self.kept.found(at, Found::Ours(mac)),
                }
            }
            return is_ours;
        };
        if is_fixed && mac == Some(wanted) {
            self.fresh.remove(&at);
            self.lost.remove(&at);
            self.kept.found(at, Found::Ours(wanted));
        } else {
            self.lose(at, mac, now);
        }
        is_ours
    }

    /// The kernel has told that there is no entry any more.
    pub fn heard_gone(&mut self, at: At, now: Time) {
        if let Some(inherited) = &mut self.inherited {
            inherited.remove(&at);
        }
        if let Some(wanted) = self.kept_out.get(&at).copied() {
            self.fresh.insert(at);
            self.kept.want(at, Some(wanted));
        } else if self.kept.wanted(&at).is_some() {
            self.lose(at, None, now);
        }
    }

    /// Everything is about to be told again.
    pub fn begin_dump(&mut self) {
        self.told = Some(BTreeSet::new());
    }

    /// Everything has been told: what was not is gone.
    pub fn end_dump(&mut self, now: Time) {
        let Some(told) = self.told.take() else { return };
        let known = self.places.iter().map(|(address, link)| (*link, *address));
        let gone: Vec<_> = known.filter(|at| !told.contains(at) && self.kept.has_ours(at)).collect();
        gone.into_iter().for_each(|at| self.lose(at, None, now));
    }

    /// What is wanted there is not there any more. Of what is under way, or was put there within the last second, the
    /// word may be older than that: it counts if it is still so after the second.
    fn lose(&mut self, at: At, mac: Option<Mac>, now: Time) {
        if self.fresh.contains(&at) {
            return;
        }
        let due = self.put.get(&at).map_or(now, |put| (*put + PUT_BACK).max(now));
        if self.lost.insert(at, mac).is_none() {
            self.due.insert((due, at));
        }
        self.tick(now);
    }

    /// Puts back what is due.
    pub fn tick(&mut self, now: Time) {
        while let Some((_, at)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.due.pop_first();
            let earliest = self.put.get(&at).map(|put| *put + PUT_BACK).filter(|earliest| *earliest > now);
            if let Some(earliest) = earliest {
                self.due.insert((earliest, at));
            } else if let Some(mac) = self.lost.remove(&at) {
                self.kept.lost(at);
                self.put_back += 1;
                if self.mentioned.get(&at).is_none_or(|told| *told + MENTIONED <= now) {
                    self.mentioned.insert(at, now);
                    self.news.push(Overwritten { at, mac });
                }
            } else if let Some(wanted) = self.kept_out.get(&at).copied() {
                // The end of what is in the way is told by the kernel; this is for where that got lost.
                self.fresh.insert(at);
                self.kept.want(at, Some(wanted));
                self.due.insert((now + KEPT_OUT, at));
            }
        }
        self.put.retain(|_, put| *put + PUT_BACK > now);
        self.mentioned.retain(|_, told| *told + MENTIONED > now);
        self.kept.tick(now);
    }

    /// When something is to be done again.
    pub fn next_due(&self) -> Option<Time> {
        let due = self.due.first().map(|(due, _)| *due);
        due.into_iter().chain(self.kept.next_due()).min()
    }

    /// True if nothing has happened since the last look.
    pub fn is_quiet(&self) -> bool {
        self.kept.is_quiet()
    }

    /// True where nothing is wanted, and nothing is there that could be ours.
    pub fn is_idle(&self) -> bool {
        self.places.is_empty() && self.inherited.as_ref().is_none_or(BTreeMap::is_empty)
    }

    /// The changes that lead from what there is to what is wanted.
    pub fn changes(&mut self, outputs: &mut impl Extend<Output>, now: Time) {
        for (at, step) in self.kept.steps() {
            let pin = |mac| Pin { link: at.0, address: at.1, mac, protocol: self.protocol };
            let change = match step {
                Step::Add(mac) => {
                    self.put.insert(at, now);
                    let over = if self.fresh.contains(&at) { Over::Learnt } else { Over::Anything };
                    NeighborChange::Pin(pin(mac), over)
                }
                Step::Remove(mac) => NeighborChange::Unpin(pin(mac)),
            };
            outputs.extend([Output::ChangeNeighbor(change)]);
        }
    }

    /// What became of a pin. True if that is news for [`Self::problems`].
    pub fn outcome(&mut self, pin: &Pin, outcome: &Outcome, now: Time) -> bool {
        let at = (pin.link, pin.address);
        // Something else is wanted meanwhile, which has an outcome of its own.
        if self.kept.wanted(&at) != Some(&pin.mac) {
            return false;
        }
        match outcome {
            Outcome::Done => {
                self.fresh.remove(&at);
                self.kept.outcome(at, true, outcome, now);
                self.refused.remove(&at).is_some() | self.kept_out.remove(&at).is_some()
            }
            Outcome::Exists => {
                self.kept.lost(at);
                self.kept.want(at, None);
                self.forget_what_happened(at);
                let is_news = self.kept_out.insert(at, pin.mac).is_none();
                self.due.extend(is_news.then_some((now + KEPT_OUT, at)));
                is_news
            }
            Outcome::Failed(said) => {
                self.kept.outcome(at, true, outcome, now);
                self.refused.insert(at, said.clone()).as_ref() != Some(said)
            }
        }
    }

    fn forget(&mut self, at: At) {
        self.forget_what_happened(at);
        self.kept_out.remove(&at);
    }

    fn forget_what_happened(&mut self, at: At) {
        self.fresh.remove(&at);
        self.refused.remove(&at);
        self.lost.remove(&at);
        self.mentioned.remove(&at);
    }

    /// Those that were overwritten since the last look: each again after a minute.
    pub fn take_news(&mut self) -> Vec<Overwritten> {
        std::mem::take(&mut self.news)
    }

    /// Whether it was overwritten within the last minute.
    pub fn is_overwritten(&self, at: At) -> bool {
        self.mentioned.contains_key(&at)
    }

    /// How many there are.
    pub fn count(&self) -> PinCount {
        let (kept_out, refused) = (self.kept_out.len(), self.refused.len());
        let kept = self.places.len().saturating_sub(kept_out + refused);
        PinCount { kept, kept_out, refused, put_back: self.put_back }
    }

    /// What keeps pins out.
    pub fn problems(&self, links: &Links) -> Vec<Problem> {
        let name = |link: &IfIndex| links.get(*link).map(|link| link.name);
        let kept_out = self
            .kept_out
            .iter()
            .filter_map(|((link, address), mac)| Some(Problem::PinKeptOut(name(link)?, *address, *mac)));
        let refused = self.refused.iter().filter_map(|((link, address), said)| {
            Some(Problem::PinRefused(name(link)?, *address, said.clone()))
        });
        kept_out.take(MOST_TOLD).chain(refused.take(MOST_TOLD)).collect()
    }
}

/// "Back within a second, and not more than once a second."
const PUT_BACK: Duration = Duration::from_secs(1);
/// How often it is told of one that is overwritten again and again.
const MENTIONED: Duration = Duration::from_secs(60);
/// When it is tried again where another program's is in the way.
const KEPT_OUT: Duration = Duration::from_secs(30);
/// Problems that are told at once.
const MOST_TOLD: usize = 16;
