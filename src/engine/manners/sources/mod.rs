//! Which source of answers each asker takes (`source = "auto"`).
//!
//! Some providers drop advertisements from addresses that they do not expect, and none says so. But an asker that takes
//! an answer does not ask again, and one that does not take it does: "if no Neighbor Advertisement is received" it
//! asks again after RetransTimer (RFC 4861 §7.2.2). One that does so three times for one target has the next answers from
//! another source, and so on; what it falls silent after is kept for it. Where nothing helps the source is not the
//! reason: its table is full, it has a limit of addresses for each MAC, or a list of those that it takes.
//!
//! Nothing is sent for this. Strangers choose what they ask for, and from how many stations; so the askers that are
//! known are few, one of which there is something to say keeps its place, and nothing that one does changes
//! what another gets.

mod pending;
mod seen;
mod tried;

use core::net::Ipv6Addr;
use std::collections::BTreeMap;

use crate::engine::answer::with_source;
use crate::engine::asker::Asker;
use crate::engine::effect::Remembered;
use crate::engine::facts::{IfIndex, IfName};
use crate::engine::host::links::Links;
use crate::engine::plan::bindings::Upstream;
use crate::engine::policy::Source;
use crate::engine::seed::{AddressHash, Seed};
use crate::engine::time::Time;
use crate::wire::Mac;

use pending::Pending;
pub use seen::{Cast, Sight};
use tried::{Exception, Tried};
pub use tried::{Outcome, Taking};

/// The askers that are known, and what they take.
#[derive(Debug)]
pub struct Sources {
    hash: AddressHash,
    /// Few, and most questions come from the one that asked last.
    askers: Vec<(Asker, Tried)>,
    /// Where that one is.
    latest: usize,
    /// What has helped, by the name of the interface, the asker's link-layer address and its address.
    kept: BTreeMap<(IfName, Mac, Ipv6Addr), Source>,
    pending: Pending,
    /// When silence is to be looked at.
    due: Option<Time>,
    news: Vec<News>,
    is_changed: bool,
    /// What is an exception may be another than at the last look.
    is_excepted: bool,
}

/// Something to tell of an asker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    pub asker: Asker,
    pub outcome: Outcome,
    /// How its answers stand.
    pub taking: Taking,
}

/// What is to be told of an asker to those who want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notable {
    /// The asker.
    pub asker: Asker,
    /// It is a router of a default route, and no stranger.
    pub is_gateway: bool,
    /// The source of its answers, but for targets with which others are tried.
    pub source: Source,
    /// Whether other sources are being tried.
    pub is_tried: bool,
    /// How many targets it takes, of those that it has asked for lately.
    pub taken: usize,
    /// Those that it does not take.
    pub refused: Vec<Ipv6Addr>,
}

/// What has to be known of an asker that is new here.
pub trait Acquaintance {
    /// The name of the interface that it asks on.
    fn interface(&self, asker: &Asker) -> Option<IfName>;
    /// Whether it is a router of a default route.
    fn is_gateway(&self, asker: &Asker) -> bool;
}

impl Sources {
    /// Nobody yet.
    pub fn new(seed: Seed) -> Self {
        Self {
            hash: AddressHash::new(seed),
            askers: Vec::new(),
            latest: 0,
            kept: BTreeMap::new(),
            pending: Pending::default(),
            due: None,
            news: Vec::new(),
            is_changed: false,
            is_excepted: true,
        }
    }

    /// Somebody asks for the target. `ways` are the sources that there are for an answer, the first ones first. True if it
    /// does so again right after an answer, and no other source is tried yet.
    pub fn ask(
        &mut self,
        asker: Asker,
        target: Ipv6Addr,
        (cast, sight): (Cast, Sight),
        ways: impl FnOnce() -> Vec<Source>,
        now: Time,
    ) -> bool {
        // Duplicate address detection never counts: nobody says there what it took.
        if asker.address.is_unspecified() {
            return false;
        }
        self.pending.ask(asker, target, sight, now);
        let hash = self.hash.of(target);
        // A station that asks from several addresses has one entry for the target.
        if cast == Cast::Multicast {
            let others = self.askers.iter_mut().filter(|(other, _)| {
                (other.link, other.mac) == (asker.link, asker.mac) && other.address != asker.address
            });
            others.for_each(|(_, tried)| tried.ask_elsewhere(target, hash, now));
        }
        let Some(tried) = self.find(&asker) else { return false };
        let before = tried.exception();
        let outcome = tried.ask(target, (cast, sight), hash, ways, now);
        let (due, asks_again) = (tried.tell_due(), tried.doubts(now));
        self.is_excepted |= self.find(&asker).map(|tried| tried.exception()) != Some(before);
        self.look_at(due);
        if let Some(outcome) = outcome {
            self.take_in(asker, outcome, now);
        }
        asks_again
    }

    /// An answer goes to the asker: where it comes from.
    pub fn answer(
        &mut self,
        asker: Asker,
        target: Ipv6Addr,
        acquaintance: &impl Acquaintance,
        now: Time,
    ) -> Source {
        if asker.address.is_unspecified() {
            return Source::Scope;
        }
        let question = self.pending.answer(&asker, target);
        if self.find(&asker).is_none() && !self.admit(asker, acquaintance, now) {
            return self.kept_for(&asker, acquaintance).unwrap_or(Source::Scope);
        }
        let hash = self.hash.of(target);
        let Some(tried) = self.find(&asker) else { return Source::Scope };
        let due = tried.answer(target, question, hash, now);
        let source = tried.source_for(target, hash);
        self.look_at(due);
        source
    }

    /// The upstream, with the source that its gateway takes: for what is sent to all.
    pub fn face(&self, upstream: &Upstream, links: &Links) -> Upstream {
        let mut gateways = self.askers.iter().filter(|(asker, tried)| {
            upstream.source == Source::Auto && asker.link == upstream.link && tried.is_gateway
        });
        let found = gateways.find_map(|(_, tried)| tried.kept);
        found.map_or(*upstream, |source| with_source(upstream, source, links))
    }

    /// The interface did not take an answer to this address.
    pub fn unsend(&mut self, asker: &Asker, target: Ipv6Addr) {
        let hash = self.hash.of(target);
        if let Some(tried) = self.find(asker) {
            tried.unsend(target, hash);
        }
    }

    /// The interface is gone; another may get its number.
    pub fn end_link(&mut self, link: IfIndex) {
        self.askers.retain(|(asker, _)| asker.link != link);
        self.is_excepted = true;
    }

    /// A switch kept the answers for this target back, and does no more: what was tried meanwhile says nothing.
    pub fn forgive(&mut self, target: Ipv6Addr) {
        let hash = self.hash.of(target);
        self.askers.iter_mut().for_each(|(_, tried)| tried.forgive(target, hash));
        self.is_excepted = true;
    }

    /// The target is announced, or asks for a router: who is silent now may have learned it from that.
    pub fn tell(&mut self, target: Ipv6Addr, now: Time) {
        let hash = self.hash.of(target);
        self.askers.iter_mut().for_each(|(_, tried)| tried.tell(target, hash, now));
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Time> {
        self.due
    }

    /// Looks at silences that say something by now.
    pub fn tick(&mut self, now: Time) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        let mut outcomes = Vec::new();
        self.due = None;
        for (asker, tried) in &mut self.askers {
            let before = tried.exception();
            let (these, due) = tried.tick(now);
            self.is_excepted |= tried.exception() != before;
            outcomes.extend(these.into_iter().map(|outcome| (*asker, outcome)));
            self.due = self.due.into_iter().chain(due).min();
        }
        outcomes.into_iter().for_each(|(asker, outcome)| self.take_in(asker, outcome, now));
    }

    /// What is to be told since the last look.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// The source that has helped this asker is kept for it, under the name of its interface.
    pub fn keep(&mut self, asker: &Asker, interface: IfName, source: Source, is_gateway: bool) {
        let key = (interface, asker.mac, asker.address);
        self.is_excepted = true;
        if source == Source::Scope {
            self.is_changed |= self.kept.remove(&key).is_some();
            return;
        }
        // Strangers can pretend to be routers that take this or that; the routers of default routes have room of their own.
        let most = if is_gateway { Remembered::MOST } else { Remembered::MOST / 2 };
        if self.kept.len() < most || self.kept.contains_key(&key) {
            self.is_changed |= self.kept.insert(key, source) != Some(source);
        }
    }

    /// This was remembered from before.
    pub fn remember(&mut self, all: Vec<Remembered>) {
        for Remembered { interface, mac, address, source } in all.into_iter().take(Remembered::MOST) {
            self.kept.insert((interface, mac, address), source);
        }
        self.is_excepted = true;
    }

    /// All that is to be remembered, if it is something else than before.
    pub fn take_changed(&mut self) -> Option<Vec<Remembered>> {
        let all = self.kept.iter().map(|((interface, mac, address), source)| Remembered {
            interface: *interface,
            mac: *mac,
            address: *address,
            source: *source,
        });
        std::mem::take(&mut self.is_changed).then(|| all.collect())
    }

    /// Those of which there is something to say.
    pub fn notable(&self, now: Time) -> Vec<Notable> {
        let notable = self.askers.iter().filter(|(_, tried)| tried.is_notable());
        let mut all: Vec<_> = notable
            .map(|(asker, tried)| {
                let Taking { taken, refused } = tried.taking(now);
                let source = tried.kept.unwrap_or(Source::Scope);
                let is_gateway = tried.is_gateway;
                Notable { asker: *asker, is_gateway, source, is_tried: tried.is_tried(), taken, refused }
            })
            .collect();
        all.sort_unstable_by_key(|notable| (notable.asker.link, notable.asker.mac, notable.asker.address));
        all
    }

    /// Whether what is an exception may be another than at the last look.
    pub fn take_excepted(&mut self) -> bool {
        std::mem::take(&mut self.is_excepted)
    }

    /// The askers on this interface that do not get what the others do, in their order: the source that is kept for
    /// them; none, where every question of them is to be seen.
    pub fn exceptions(&self, link: IfIndex, name: IfName) -> BTreeMap<(Mac, Ipv6Addr), Option<Source>> {
        let kept = self.kept.iter().filter(|((interface, ..), _)| *interface == name);
        let mut all: BTreeMap<_, _> =
            kept.map(|((_, mac, address), source)| ((*mac, *address), Some(*source))).collect();
        for (asker, tried) in self.askers.iter().filter(|(asker, _)| asker.link == link) {
            let key = (asker.mac, asker.address);
            match tried.exception() {
                Exception::None => _ = all.remove(&key),
                Exception::Kept(source) => _ = all.insert(key, Some(source)),
                Exception::Watched => _ = all.insert(key, None),
            }
        }
        all
    }

    fn find(&mut self, asker: &Asker) -> Option<&mut Tried> {
        let is_it = |place: &usize| self.askers.get(*place).is_some_and(|(known, _)| known == asker);
        let place = Some(self.latest).filter(is_it).or_else(|| (0..self.askers.len()).find(is_it))?;
        self.latest = place;
        self.askers.get_mut(place).map(|(_, tried)| tried)
    }

    fn look_at(&mut self, due: Option<Time>) {
        self.due = self.due.into_iter().chain(due).min();
    }

    fn take_in(&mut self, asker: Asker, outcome: Outcome, now: Time) {
        let taking = self.find(&asker).map(|tried| tried.taking(now)).unwrap_or_default();
        self.news.push(News { asker, outcome, taking });
    }

    fn kept_for(&self, asker: &Asker, acquaintance: &impl Acquaintance) -> Option<Source> {
        // So that it costs nothing where nothing is kept.
        if self.kept.is_empty() {
            return None;
        }
        let interface = acquaintance.interface(asker)?;
        self.kept.get(&(interface, asker.mac, asker.address)).copied()
    }

    /// One more is known, if there is room, or one that gives way.
    fn admit(&mut self, asker: Asker, acquaintance: &impl Acquaintance, now: Time) -> bool {
        let is_gateway = acquaintance.is_gateway(&asker);
        let mut room = Vec::new();
        if self.askers.len() >= MOST_ASKERS {
            // Strangers that complain are as many as one of them wants: they do not keep a router out.
            let is_less = |tried: &Tried| is_gateway && !tried.is_gateway;
            let ready = self
                .askers
                .iter()
                .enumerate()
                .filter(|(_, (_, tried))| tried.gives_way(now) || is_less(tried));
            let first = ready.min_by_key(|(_, (_, tried))| {
                (tried.is_gateway, !tried.gives_way(now), tried.is_notable(), tried.heard)
            });
            let Some(first) = first.map(|(place, _)| place) else { return false };
            room = self.askers.swap_remove(first).1.into_room();
            self.is_excepted = true;
        }
        let kept = self.kept_for(&asker, acquaintance);
        self.askers.push((asker, Tried::new(is_gateway, kept, room, now)));
        true
    }
}

/// As many askers are known: a link has one router, or two, each with some addresses.
const MOST_ASKERS: usize = 64;

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;
