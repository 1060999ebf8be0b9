//! What is known of each target, bounded in number, and when something is due for it.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::net::Ipv6Addr;

use siphasher::sip::SipHasher13;

use super::answer::Asker;
use super::facts::IfIndex;
use super::time::Time;
use crate::wire::Mac;

/// All targets that something is known of.
#[derive(Debug)]
pub struct Targets {
    known: HashMap<Ipv6Addr, Target, Seed>,
    /// When something is due, by state: live, probing, absent.
    due: [BTreeSet<(Time, Ipv6Addr)>; 3],
    limit: usize,
}

/// A target and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What is known.
    pub state: State,
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
    /// Its link-layer address.
    pub mac: Mac,
    /// What was seen of it last.
    pub evidence: Evidence,
    /// When that was.
    pub seen: Time,
    /// How many probes have gone out since, unanswered.
    pub unanswered: u8,
}

/// A target that may exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probing {
    /// How many more probes will go out.
    pub left: u8,
    /// Who waits for the answer.
    pub askers: Vec<Asker>,
}

/// What showed that a target is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// It replied to a probe, or advertised itself.
    Probe,
    /// It asked for something from its address.
    Neighbour,
    /// It checked that nobody else has its address.
    Dad,
}

impl Evidence {
    /// The name in events and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Neighbour => "neighbour",
            Self::Dad => "dad",
        }
    }
}

impl Targets {
    /// Room for `limit` targets; `seed` keeps strangers from choosing addresses that collide.
    pub fn new(limit: usize, seed: [u64; 2]) -> Self {
        Self { known: HashMap::with_hasher(Seed(seed)), due: Default::default(), limit }
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// How many are being probed.
    pub fn probing(&self) -> usize {
        self.due[PROBING].len()
    }

    /// What is known of the target.
    pub fn get(&self, address: Ipv6Addr) -> Option<&Target> {
        self.known.get(&address)
    }

    /// What is known of the target, to be changed without changing its kind or what is due.
    pub fn get_mut(&mut self, address: Ipv6Addr) -> Option<&mut Target> {
        self.known.get_mut(&address)
    }

    /// Every target.
    pub fn iter(&self) -> impl Iterator<Item = (Ipv6Addr, &Target)> {
        self.known.iter().map(|(address, target)| (*address, target))
    }

    /// Puts the target into this state, with something due at `due`; returns what it was before.
    ///
    /// Where the limit is reached a new target takes the place of an absent one, or of the one
    /// whose probing is furthest; a live one never goes for it, and then `Err` gives the state back.
    pub fn put(&mut self, address: Ipv6Addr, state: State, due: Time) -> Result<Option<State>, State> {
        let before = self.remove(address);
        if before.is_none() && self.known.len() >= self.limit && !self.make_room() {
            return Err(state);
        }
        self.due[kind(&state)].insert((due, address));
        self.known.insert(address, Target { state, due });
        Ok(before)
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

    /// Forgets the target.
    pub fn remove(&mut self, address: Ipv6Addr) -> Option<State> {
        let target = self.known.remove(&address)?;
        self.due[kind(&target.state)].remove(&(target.due, address));
        Some(target.state)
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

    fn make_room(&mut self) -> bool {
        let victim = [ABSENT, PROBING].into_iter().find_map(|kind| self.due[kind].first());
        victim.copied().is_some_and(|(_, address)| self.remove(address).is_some())
    }
}

fn kind(state: &State) -> usize {
    match state {
        State::Live(_) => LIVE,
        State::Probing(_) => PROBING,
        State::Absent => ABSENT,
    }
}

const LIVE: usize = 0;
const PROBING: usize = 1;
const ABSENT: usize = 2;

#[derive(Debug, Clone, Copy)]
struct Seed([u64; 2]);

impl BuildHasher for Seed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0[0], self.0[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn address(last: u16) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)
    }

    fn live() -> State {
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let evidence = Evidence::Probe;
        State::Live(Live { link: IfIndex(3), mac, evidence, seen: Time::ORIGIN, unanswered: 0 })
    }

    fn probing() -> State {
        State::Probing(Probing { left: 2, askers: Vec::new() })
    }

    fn seconds(seconds: u64) -> Time {
        Time::at(Duration::from_secs(seconds))
    }

    #[test]
    fn gives_up_the_absent_then_the_probed_and_never_the_live() {
        let mut targets = Targets::new(3, [1, 2]);
        for (last, state) in [(1, live()), (2, probing()), (3, State::Absent)] {
            targets.put(address(last), state, seconds(u64::from(last))).expect("room");
        }
        targets.put(address(4), live(), seconds(9)).expect("the absent one goes");
        assert!(targets.get(address(3)).is_none() && targets.get(address(2)).is_some());
        targets.put(address(5), live(), seconds(9)).expect("the probed one goes");
        assert!(targets.get(address(2)).is_none());
        assert_eq!(targets.put(address(6), probing(), seconds(9)), Err(probing()));
        assert_eq!(targets.len(), 3);
    }

    #[test]
    fn tells_what_is_due_in_order() {
        let mut targets = Targets::new(9, [1, 2]);
        targets.put(address(1), live(), seconds(5)).expect("room");
        targets.put(address(2), State::Absent, seconds(3)).expect("room");
        assert_eq!((targets.next_due(), targets.first_due(seconds(2))), (Some(seconds(3)), None));
        assert_eq!(targets.first_due(seconds(4)), Some(address(2)));
        targets.postpone(address(2), seconds(7));
        assert_eq!(targets.first_due(seconds(9)), Some(address(1)));
        targets.remove(address(1));
        targets.remove(address(2));
        assert_eq!(targets.next_due(), None);
    }
}
