//! What is known of each target, bounded in number, and when something is due for it.

use core::net::Ipv6Addr;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::answer::Asker;
use super::facts::IfIndex;
use super::time::Time;
use super::view::Census;
use crate::wire::Mac;

/// All targets that something is known of.
#[derive(Debug)]
pub struct Targets {
    known: HashMap<Ipv6Addr, Target, Seed>,
    /// When something is due, by what kind of target it is due for.
    due: [BTreeSet<(Time, Ipv6Addr)>; 4],
    /// Those that exist, by the downstream that they are on.
    by_link: BTreeSet<(IfIndex, Ipv6Addr)>,
    /// How many are live by nothing but their own word, by downstream.
    announced_on: BTreeMap<IfIndex, usize>,
    /// How many are being probed, by whose share.
    by_share: [usize; SHARES],
    limit: usize,
}

/// A target and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What is known.
    pub state: State,
    /// How many questions for it were answered since something is known of it.
    pub answered: u32,
    due: Time,
}

/// What is known of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It exists.
    Live(Live),
    /// It is being asked for the first time, or after an absence.
    Probing(Probing),
    /// It did not reply a moment ago.
    Absent,
}

/// A target that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    /// The downstream that it is on.
    pub link: IfIndex,
    /// Its link-layer address, where it is known.
    pub mac: Option<Mac>,
    /// What was seen of it last.
    pub evidence: Evidence,
    /// Whether anything but its own word speaks for it.
    pub proof: Proof,
    /// Since when it is live, behind whatever downstream.
    pub since: Time,
    /// When it was seen last.
    pub seen: Time,
    /// How many probes have gone out since, unanswered.
    pub unanswered: u8,
    /// Somebody behind another downstream says that it is there now.
    pub claim: Option<Claim>,
}

/// Whether a target that says that it exists has been asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// It has announced itself; anybody on its downstream could have done that.
    Announced,
    /// It has replied to a question, or the kernel found it.
    Replied,
}

/// Somebody behind another downstream says that a live target is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Where it was heard.
    pub link: IfIndex,
    /// Who said it.
    pub mac: Mac,
    /// How.
    pub evidence: Evidence,
}

/// A target that may exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probing {
    /// How many more times its downstreams will be asked.
    pub left: u8,
    /// How many of its downstreams have been asked this time; the rest follow as the limit allows.
    pub asked: usize,
    /// Whose share of the probes it counts for.
    pub share: usize,
    /// Who waits for the answer.
    pub askers: Vec<Asker>,
}

/// What showed that a target is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// It replied to a probe, or advertised itself.
    Probe,
    /// It asked for something from its address, or the kernel's neighbor table has it.
    Neighbor,
    /// It checked that nobody else has its address.
    Dad,
    /// A predecessor of this process knew it, and left its route.
    Route,
}

impl Evidence {
    /// The name in events and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Neighbor => "neighbor",
            Self::Dad => "dad",
            Self::Route => "route",
        }
    }
}

/// What [`Targets::put`] did besides.
#[derive(Debug, PartialEq, Eq)]
pub enum Put {
    /// It is in, and this is what it was before.
    Kept(Option<State>),
    /// It is in, and this one had to go for it.
    Instead(Ipv6Addr, State),
    /// There is no room for it.
    Full,
}

impl Targets {
    /// Room for `limit` targets; `seed` keeps strangers from choosing addresses that collide.
    pub fn new(limit: usize, seed: [u64; 2]) -> Self {
        let known = HashMap::with_hasher(Seed(seed));
        Self {
            known,
            due: Default::default(),
            by_link: BTreeSet::new(),
            announced_on: BTreeMap::new(),
            by_share: [0; SHARES],
            limit,
        }
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// How many are being probed.
    pub fn probing(&self) -> usize {
        self.due[PROBING].len()
    }

    /// How many are being probed because somebody with this share asked.
    pub fn probing_for(&self, share: usize) -> usize {
        self.by_share[share]
    }

    /// How many are live by nothing but their own word.
    pub fn announced(&self) -> usize {
        self.due[ANNOUNCED].len()
    }

    /// How many of these are on this downstream.
    pub fn announced_on(&self, link: IfIndex) -> usize {
        self.announced_on.get(&link).copied().unwrap_or(0)
    }

    /// How many questions for it were answered since something is known of it.
    pub fn answered_for(&self, address: Ipv6Addr) -> u32 {
        self.known.get(&address).map_or(0, |target| target.answered)
    }

    /// What is known of the target.
    pub fn get(&self, address: Ipv6Addr) -> Option<&State> {
        self.known.get(&address).map(|target| &target.state)
    }

    /// What is known of a live target.
    pub fn live(&self, address: Ipv6Addr) -> Option<&Live> {
        match self.get(address)? {
            State::Live(live) => Some(live),
            State::Probing(_) | State::Absent => None,
        }
    }

    /// The askers of a target that is being probed.
    pub fn askers_mut(&mut self, address: Ipv6Addr) -> Option<&mut Vec<Asker>> {
        match &mut self.known.get_mut(&address)?.state {
            State::Probing(probing) => Some(&mut probing.askers),
            State::Live(_) | State::Absent => None,
        }
    }

    /// Every target.
    pub fn iter(&self) -> impl Iterator<Item = (Ipv6Addr, &State)> {
        self.known.iter().map(|(address, target)| (*address, &target.state))
    }

    /// All about one target.
    pub fn target(&self, address: Ipv6Addr) -> Option<&Target> {
        self.known.get(&address)
    }

    /// Counts one answer.
    pub fn answered(&mut self, address: Ipv6Addr) {
        if let Some(target) = self.known.get_mut(&address) {
            target.answered = target.answered.saturating_add(1);
        }
    }

    /// How many there are of each kind.
    pub fn census(&self) -> Census {
        Census {
            live: self.due[LIVE].len() + self.due[ANNOUNCED].len(),
            probing: self.due[PROBING].len(),
            absent: self.due[ABSENT].len(),
        }
    }

    /// The targets that are live on this downstream.
    pub fn on_link(&self, link: IfIndex) -> impl Iterator<Item = Ipv6Addr> {
        let all = (link, Ipv6Addr::UNSPECIFIED)..=(link, Ipv6Addr::from_bits(u128::MAX));
        self.by_link.range(all).map(|(_, address)| *address)
    }

    /// Puts the target into this state, with something due at `due`.
    ///
    /// Where the limit is reached a new target takes the place of an absent one, else of the probed
    /// one whose turn is next; one that is proved, else also of one that has merely announced
    /// itself. A live one that was proved never goes.
    pub fn put(&mut self, address: Ipv6Addr, state: State, due: Time) -> Put {
        let (before, answered) = match self.take(address) {
            Some(target) => (Some(target.state), target.answered),
            None => (None, 0),
        };
        let mut evicted = None;
        if before.is_none() && self.known.len() >= self.limit {
            evicted = self.make_room(kind(&state));
            if evicted.is_none() {
                return Put::Full;
            }
        }
        self.due[kind(&state)].insert((due, address));
        match &state {
            State::Live(live) => {
                self.by_link.insert((live.link, address));
                if live.proof == Proof::Announced {
                    *self.announced_on.entry(live.link).or_default() += 1;
                }
            }
            State::Probing(probing) => self.by_share[probing.share] += 1,
            State::Absent => {}
        }
        self.known.insert(address, Target { state, answered, due });
        evicted.map_or(Put::Kept(before), |(address, state)| Put::Instead(address, state))
    }

    /// Whether [`Self::put`] would find room for a target of which little is known.
    pub fn has_room_for(&self, address: Ipv6Addr) -> bool {
        let evictable = || victims(PROBING).iter().any(|kind| !self.due[*kind].is_empty());
        self.known.len() < self.limit || self.known.contains_key(&address) || evictable()
    }

    /// Something is due for a target at another time than was thought.
    pub fn postpone(&mut self, address: Ipv6Addr, due: Time) {
        if let Some(target) = self.known.get_mut(&address) {
            let queue = &mut self.due[kind(&target.state)];
            queue.remove(&(target.due, address));
            queue.insert((due, address));
            target.due = due;
        }
    }

    /// Something is due for a target no later than this.
    pub fn hasten(&mut self, address: Ipv6Addr, due: Time) {
        if self.known.get(&address).is_some_and(|target| target.due > due) {
            self.postpone(address, due);
        }
    }

    /// There is room for so many from here on; those that had to go for it, live ones last.
    pub fn set_limit(&mut self, limit: usize) -> Vec<(Ipv6Addr, State)> {
        self.limit = limit;
        let excess = self.known.len().saturating_sub(limit);
        let order = [ABSENT, PROBING, ANNOUNCED, LIVE].iter().flat_map(|kind| &self.due[*kind]);
        let victims: Vec<_> = order.take(excess).map(|(_, address)| *address).collect();
        victims.into_iter().filter_map(|address| Some((address, self.remove(address)?))).collect()
    }

    /// Forgets the target.
    pub fn remove(&mut self, address: Ipv6Addr) -> Option<State> {
        self.take(address).map(|target| target.state)
    }

    fn take(&mut self, address: Ipv6Addr) -> Option<Target> {
        let target = self.known.remove(&address)?;
        self.due[kind(&target.state)].remove(&(target.due, address));
        match &target.state {
            State::Live(live) => {
                self.by_link.remove(&(live.link, address));
                if live.proof == Proof::Announced
                    && let Entry::Occupied(mut count) = self.announced_on.entry(live.link)
                {
                    *count.get_mut() -= 1;
                    if *count.get() == 0 {
                        count.remove();
                    }
                }
            }
            State::Probing(probing) => self.by_share[probing.share] -= 1,
            State::Absent => {}
        }
        Some(target)
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Time> {
        self.due.iter().filter_map(BTreeSet::first).map(|(due, _)| *due).min()
    }

    /// The first target for which something is due by now.
    pub fn first_due(&self, now: Time) -> Option<Ipv6Addr> {
        let first = self.due.iter().filter_map(BTreeSet::first).min()?;
        (first.0 <= now).then_some(first.1)
    }

    fn make_room(&mut self, newcomer: usize) -> Option<(Ipv6Addr, State)> {
        let victim = victims(newcomer).iter().find_map(|kind| self.due[*kind].first());
        let (_, address) = *victim?;
        self.remove(address).map(|state| (address, state))
    }
}

/// Who goes for a newcomer of this kind, the first first.
fn victims(newcomer: usize) -> &'static [usize] {
    if newcomer == LIVE { &[ABSENT, PROBING, ANNOUNCED] } else { &[ABSENT, PROBING] }
}

fn kind(state: &State) -> usize {
    match state {
        State::Live(Live { proof: Proof::Replied, .. }) => LIVE,
        State::Live(Live { proof: Proof::Announced, .. }) => ANNOUNCED,
        State::Probing(_) => PROBING,
        State::Absent => ABSENT,
    }
}

/// Askers are told apart as far as this; a stranger with many addresses has few shares all the same.
pub const SHARES: usize = 64;
const LIVE: usize = 0;
const ANNOUNCED: usize = 1;
const PROBING: usize = 2;
const ABSENT: usize = 3;

#[derive(Debug, Clone, Copy)]
struct Seed([u64; 2]);

impl BuildHasher for Seed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0[0], self.0[1])
    }
}

#[cfg(test)]
#[path = "targets_tests.rs"]
mod tests;
