//! Who is there: one machine, used for guests and for the upstream's neighbors.
//!
//! It learns of a target by what is heard ([`Liveness::hear`]), by questions ([`Liveness::ask`]) and by doubts
//! ([`Liveness::doubt`]); it gives back probes to send, verdicts for those who waited, and a [`Transition`] for
//! every change. Where targets can be, and whether they can be asked, is told by the [`Ground`].
//!
//! A guest is kept live and asked at intervals; a neighbor is forgotten when nobody asks for it any more.

mod ask;
mod budget;
mod entry;
mod hear;
mod hinted;
mod state;
mod store;
mod table;
mod tick;

use core::net::Ipv6Addr;
use std::time::Duration;

pub use ask::Asking;
pub use budget::{Budget, HINTED, SHARES, UNASKED};
pub use entry::Kind;
pub use state::{
    Claim, Evidence, Heard, Live, Owner, Place, Probing, Proof, Sign, Standing, State, Transition, Vouched,
    Why,
};
pub use tick::ENDED;

use super::asker::{Asker, join};
use super::facts::IfIndex;
use super::plan::Behind;
use super::policy::{Limits, Timers};
use super::time::Time;
use crate::wire::{DropReason, Mac};
use table::{Id, Table};

/// All targets of one kind, and what is being found out about them.
#[derive(Debug)]
pub struct Liveness {
    table: Table,
    subject: Subject,
    timers: Timers,
    /// As many are asked at once.
    pending: usize,
    out: Vec<Out>,
}

/// Whom it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Guests: kept live, asked at intervals, never given up for a newcomer once they were proved.
    Guests,
    /// Neighbors on the upstream: known while guests ask for them.
    Neighbors,
}

/// What comes out.
#[derive(Debug, PartialEq, Eq)]
pub enum Out {
    /// Send this probe: to the station that is known, else to the solicited-node group.
    Ask(Ipv6Addr, IfIndex, Option<Mac>),
    /// The target of this number has changed, and these have waited for what becomes of it.
    Changed(Transition, u32, Vec<Asker>),
    /// A live target has been asked, and is there; these have waited for that.
    Confirmed(Ipv6Addr, Vec<Asker>),
    /// A live target has been asked, and has not replied in time for these.
    Unconfirmed(Ipv6Addr, Vec<Asker>),
    /// A claim to a live target came to nothing: it is on the first link, and was claimed on the second.
    Contested(Ipv6Addr, IfIndex, Claim),
    /// The station that had the address on this link has gone, or this one is about to have it: what the
    /// kernel has learnt of another should go.
    Forget(Ipv6Addr, IfIndex, Option<Mac>),
    /// A neighbor is silent, and a guest says that it has the address now.
    Yielded(Ipv6Addr, Claim),
}

/// What is known of the links that targets can be on.
pub trait Ground {
    /// The links that the target may be on; `None` where it is not looked for any more.
    fn behind(&self, target: Ipv6Addr) -> Option<Behind<'_>>;
    /// Whether this link has an address and a link-layer address to ask from.
    fn has_source(&self, link: IfIndex) -> bool;
    /// Whether this link carries traffic.
    fn is_up(&self, link: IfIndex) -> bool;
    /// Why a target cannot be asked for, where none of its links can be asked.
    fn why_not_asked(&self, target: Ipv6Addr) -> DropReason;

    /// Whether the target is on this link by the administrator's word, so that silence says nothing.
    fn vouches(&self, _target: Ipv6Addr, _link: IfIndex) -> bool {
        false
    }

    /// Whether nothing that is heard on another link speaks against that.
    fn fixes(&self, _target: Ipv6Addr, _link: IfIndex) -> bool {
        false
    }

    /// Whether a target on this link can be asked whether it is there.
    fn can_ask(&self, link: IfIndex) -> bool {
        self.is_up(link) && self.has_source(link)
    }
}

/// A reason to ask a live target whether it is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The kernel has asked it on this link, and got no reply.
    Failed(IfIndex),
    /// A bridge has forgotten its station.
    StationGone,
    /// A station on the upstream says that it has the address.
    Rival,
    /// The administrator wants to know.
    Wanted,
}

impl Liveness {
    /// None yet, and room for `most`.
    pub fn new(subject: Subject, most: usize, timers: Timers, pending: usize, seed: [u64; 2]) -> Self {
        Self { table: Table::new(most, seed), subject, timers, pending, out: Vec::new() }
    }

    /// Other limits and timers from here on. What is known stays; see [`Self::shrink`] and [`Self::hasten`].
    pub fn change(&mut self, most: usize, timers: Timers, limits: &Limits) {
        self.table.set_limit(most);
        self.timers = timers;
        self.pending = limits.pending;
    }

    /// What has come out since the last look, in order.
    pub fn take_out(&mut self) -> Vec<Out> {
        std::mem::take(&mut self.out)
    }

    /// True if nothing has come out.
    pub fn is_quiet(&self) -> bool {
        self.out.is_empty()
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// How many are of this kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.table.count(kind)
    }

    /// What is known of the target.
    pub fn get(&self, target: Ipv6Addr) -> Option<State> {
        self.table.find(target).map(|id| self.table.state(id))
    }

    /// What follows from what is known of the target.
    pub fn standing(&self, target: Ipv6Addr) -> Standing {
        self.table.find(target).map_or(Standing::Unknown, |id| self.table.standing(id))
    }

    /// These will be asked for in a moment. It changes nothing but how long that takes.
    pub fn look_ahead(&self, targets: impl Iterator<Item = Ipv6Addr>) {
        self.table.look_ahead(targets);
    }

    /// What is known of a live target.
    pub fn live(&self, target: Ipv6Addr) -> Option<Live> {
        self.table.find(target).and_then(|id| self.table.live(id))
    }

    /// Every target that something is known of, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Ipv6Addr, State)> {
        self.table.iter().map(|id| (self.table.address(id), self.table.state(id)))
    }

    /// Every target, and whether it is live, in no order.
    pub fn addresses(&self) -> impl Iterator<Item = (Ipv6Addr, bool)> {
        let is_live = |id| matches!(self.table.kind(id), Kind::Live | Kind::Announced);
        self.table.iter().map(move |id| (self.table.address(id), is_live(id)))
    }

    /// How many questions for it were answered since something is known of it.
    pub fn answered(&self, target: Ipv6Addr) -> u32 {
        self.table.find(target).map_or(0, |id| self.table.answered(id))
    }

    /// So many more questions for it were answered.
    pub fn count_answers(&mut self, target: Ipv6Addr, count: u32) {
        if let Some(id) = self.table.find(target) {
            self.table.count_answers(id, count);
        }
    }

    /// The number of a live target: another may have it later.
    pub fn number(&self, target: Ipv6Addr) -> Option<u32> {
        self.table.find(target).filter(|id| self.table.live(*id).is_some()).map(|id| id.number())
    }

    /// What the upstream's link says of who has a live target; none of another.
    pub fn owner(&self, target: Ipv6Addr) -> Option<Owner> {
        let is_live = |id: &Id| matches!(self.table.kind(*id), Kind::Live | Kind::Announced);
        self.table.find(target).filter(is_live).map(|id| self.table.owner(id))
    }

    /// The upstream's link says this of a live target, as long as it is live. It is nothing that the target does, so
    /// nobody is told.
    pub fn set_owner(&mut self, target: Ipv6Addr, owner: Owner) {
        if let Some(id) = self.table.find(target)
            && self.table.standing(id).live().is_some()
        {
            self.table.set_owner(id, owner);
        }
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Time> {
        self.table.next_due()
    }

    /// One more waits for what becomes of a target that is being asked.
    pub fn wait(&mut self, target: Ipv6Addr, asker: Asker) -> Result<(), DropReason> {
        match self.table.find(target) {
            Some(id) => join(self.table.askers_mut(id), asker),
            None => Err(DropReason::Absent),
        }
    }

    /// The target is not what it was, for a reason that nothing was heard of.
    pub fn end(&mut self, target: Ipv6Addr, why: Why, now: Time) {
        if self.table.find(target).is_some() {
            self.set(target, None, now, why);
        }
    }

    /// Puts a target into a state, or forgets it, and tells what changed. False if there was no room. Nothing
    /// else changes what is known of a target.
    fn set(&mut self, target: Ipv6Addr, state: Option<State>, due: Time, why: Why) -> bool {
        if let Some(state) = &state
            && self.table.find(target).is_none()
            && !self.make_room_for(state)
        {
            return false;
        }
        let after = state.as_ref().map_or(Standing::Unknown, State::standing);
        let known = self.table.find(target);
        let (before, waited) = self.table.set(target, state, due);
        if before != after || !waited.is_empty() {
            // As long as it is known, and once more when it is forgotten.
            let number = self.table.find(target).or(known).map_or(0, |id| id.number());
            self.out.push(Out::Changed(Transition { target, before, after, why }, number, waited));
        }
        true
    }

    /// The same, with the moment at which such a state has something due.
    fn put(&mut self, target: Ipv6Addr, state: State, why: Why, now: Time) -> bool {
        let due = now + self.comes_back_after(target, &state);
        self.set(target, Some(state), due, why)
    }

    /// Where the limit is reached, a newcomer takes the place of an absent target, else of the probed one whose
    /// turn is next; one that is proved, else also of one that has merely announced itself. A guest that was
    /// proved never goes. Of the neighbors, the one that has not been heard for longest goes: it is asked again
    /// when somebody wants it.
    fn make_room_for(&mut self, newcomer: &State) -> bool {
        if self.table.len() < self.table.limit() {
            return true;
        }
        let is_proved = newcomer.standing().live().is_some_and(|place| place.is_proved());
        let Some(victim) = self.victim(is_proved) else { return false };
        self.evict(victim);
        true
    }

    fn victim(&self, for_a_proved_one: bool) -> Option<Id> {
        let few = [Kind::Absent, Kind::Probing];
        let more = [Kind::Absent, Kind::Probing, Kind::Announced];
        let kinds: &[Kind] = if for_a_proved_one { &more } else { &few };
        let found = kinds.iter().find_map(|kind| self.table.first_of(*kind));
        match self.subject {
            Subject::Guests => found,
            Subject::Neighbors => found.or_else(|| self.table.first_due(Time::at(Duration::MAX))),
        }
    }

    fn evict(&mut self, victim: Id) {
        let target = self.table.address(victim);
        self.set(target, None, Time::ORIGIN, Why::NoRoom);
    }

    /// Whether there is room for a target of which little is known.
    pub fn has_room_for(&self, target: Ipv6Addr) -> bool {
        self.table.len() < self.table.limit()
            || self.table.find(target).is_some()
            || self.victim(false).is_some()
    }

    /// There may be fewer than there are: those that have to go, live ones last, at most `most` of them now.
    /// True when there are no more.
    pub fn shrink(&mut self, most: usize) -> bool {
        for _ in 0..most {
            if self.table.len() <= self.table.limit() {
                return true;
            }
            let order = [Kind::Absent, Kind::Probing, Kind::Announced, Kind::Live];
            let Some(victim) = order.iter().find_map(|kind| self.table.first_of(*kind)) else { return true };
            self.evict(victim);
        }
        self.table.len() <= self.table.limit()
    }

    /// When something is to be done for a target in this state.
    fn comes_back_after(&self, target: Ipv6Addr, state: &State) -> Duration {
        let timers = &self.timers;
        match state {
            // The reply tells the kernel too: packets may wait there for a guest that it has asked for
            // too early, and would ask for again a second later.
            State::Live(Live { proof: Proof::Announced, evidence: Evidence::Dad, .. }) => self.end_of_dad(),
            State::Live(Live { proof: Proof::Announced, .. }) => timers.retransmit / 4,
            // One that has just been found. From then on each has its own moment.
            State::Live(Live { since, seen, .. }) if since == seen => timers.keepalive - self.spread(target),
            State::Live(_) => timers.keepalive,
            State::Probing(_) => timers.retransmit,
            State::Absent => timers.absent,
        }
    }

    /// How much earlier than others a new target is asked again. Many may be found at the same moment, and would be asked
    /// at the same moment for ever.
    fn spread(&self, target: Ipv6Addr) -> Duration {
        if self.table.count(Kind::Live) < MANY {
            return Duration::ZERO;
        }
        let low = (target.to_bits() ^ target.to_bits() >> 64) as u64;
        let share = low.wrapping_mul(GOLDEN) >> 54;
        self.timers.keepalive / 4 * u32::try_from(share).expect("ten bits") / 1_024
    }

    /// RFC 4862 §5.4: an address is the guest's one retransmission time after its last solicitation, and
    /// until then the guest does not reply. When it is asked first; for what follows see [`Self::confirm`].
    fn end_of_dad(&self) -> Duration {
        let retransmit = self.timers.retransmit;
        retransmit + retransmit / 64
    }
}

/// As many live targets are spread over a quarter of the time between two keepalives.
const MANY: usize = 64;
/// 2^64 through the golden ratio: multiples of it are spread evenly (Knuth, volume 3, section 6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
