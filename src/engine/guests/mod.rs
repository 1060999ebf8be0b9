//! Guests with an identity, and what is claimed: of which addresses and prefixes the administrator says that they are here,
//! and where that is. A machine of its own: where guests can be is told by the [`Terrain`].
//!
//! A word counts while its interface is up. It holds no frame and no timer but the ends of claims: what follows from a word
//! is the desk's to hand on.

mod claim;
mod claims;
mod course;
#[cfg(test)]
mod course_tests;
mod guard;
mod guards;
mod heard;
mod meaning;
mod missing;
mod moves;
mod seen;
mod words;
mod written;

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::Ipv6Net;

use super::facts::{IfIndex, IfName};
use super::policy::GuestPolicy;
use super::time::Time;
use crate::wire::Mac;
pub use claim::{Claim, Ended, Object};
use course::Course;
pub use course::{Crossed, Sighting};
pub use guard::{Breach, Family, GuardKey, Guarded, Guarding, NoGuard};
pub use guards::{Guards, Spot, Watched};
use meaning::Meaning;
pub use missing::{Covered, Missing};
pub use moves::Moves;
pub use seen::{Seen, SeenClaim};
pub use words::{By, GuestId, Way, Word, Words};

/// All guests with an identity, all claims, and what follows from them.
#[derive(Debug, Default)]
pub struct Guests {
    /// Each by itself: in a tree of thousands that has grown, almost half of the places are empty.
    known: BTreeMap<GuestId, Box<Known>>,
    names: BTreeMap<String, GuestId>,
    stations: BTreeMap<Mac, GuestId>,
    owners: BTreeMap<Ipv6Addr, GuestId>,
    last: GuestId,
    claims: BTreeMap<Object, Claimed>,
    ends: BTreeSet<(Time, Object)>,
    /// When something is due of guests that move.
    due: BTreeSet<(Time, GuestId)>,
    moves: Moves,
    words: Words,
    guards: Guards,
    /// These are new, or written differently, and were not looked at since.
    changed: BTreeSet<GuestId>,
    /// The claims of these are others than when they were last told.
    new_claims: BTreeSet<Object>,
    out: Vec<Out>,
}

/// A guest, and what is known of it.
#[derive(Debug)]
struct Known {
    policy: Arc<GuestPolicy>,
    /// The link on which its MAC was heard, where the policy names none.
    seen: Option<IfIndex>,
    /// The upstream on which its MAC was heard since.
    on_link: Option<IfIndex>,
    /// The link-local address that was heard from its MAC, and where.
    hop: Option<(IfIndex, Ipv6Addr)>,
    /// Another one that was heard since.
    next_hop: Option<Ipv6Addr>,
    course: Course,
    given: Given,
}

#[derive(Debug)]
struct Claimed {
    claim: Claim,
    given: Given,
}

/// What follows from a guest or a claim at this moment.
#[derive(Debug, Default)]
struct Given {
    addresses: Box<[Ipv6Addr]>,
    prefixes: Box<[Ipv6Net]>,
    link: Option<IfIndex>,
    missing: Option<Box<Missing>>,
    awake: Option<Ipv6Net>,
}

/// What comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Out {
    /// The address is here.
    Here(Ipv6Addr, Word),
    /// Nobody says so any more: why.
    Gone(Ipv6Addr, By),
    /// This leads to the prefix from here on; `None`: nothing does.
    Lead(Ipv6Net, Option<Way>),
    /// Another link-local address was heard from this next hop's MAC: is it still there?
    Doubt(IfIndex, Ipv6Addr),
    /// Another station announces the address of this MAC: is it still on this link?
    Ask(Ipv6Addr, IfIndex, Mac),
    /// All of this prefix, in a range that stands by, is claimed.
    Woke(Ipv6Net),
    /// It is not any more.
    Slept(Ipv6Net),
    /// This guest has come to this link.
    Arrived(GuestId, IfIndex),
    /// It has said so once more.
    Again(GuestId, IfIndex),
    /// It is here still, although another station announces its addresses.
    Stays(GuestId),
    /// It does not reply, and is not routed meanwhile; or it does.
    Reroute(GuestId),
    /// It has left this link: that station announces its addresses.
    Left(GuestId, IfIndex, Mac),
    /// It comes to this link and goes too often.
    Flaps(GuestId, IfIndex),
    /// It does, and has moved all the same: it was away, and replies here.
    Moved(GuestId),
    /// That is over.
    Quiet(GuestId),
}

/// Whose place is looked at next, in a walk over all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// That of the next guest that is written differently, or lacks what another may have had; behind those, that of the
    /// claims.
    Changed,
    /// That of this guest, or of the first behind it.
    Guest(GuestId),
    /// That of the claim behind this one.
    Claim(Option<Object>),
}

impl Cursor {
    /// Before all.
    pub fn first() -> Self {
        Self::Guest(GuestId::default())
    }

    /// Before those alone for which it makes a difference that guests are written differently.
    pub fn changed() -> Self {
        Self::Changed
    }
}

/// What is known of where guests can be.
pub trait Terrain {
    /// The interface of this name.
    fn named(&self, name: &IfName) -> Option<IfIndex>;
    /// Its name.
    fn name(&self, link: IfIndex) -> Option<IfName>;
    /// Whether it carries traffic.
    fn is_up(&self, link: IfIndex) -> bool;
    /// Whether there is no Neighbor Discovery on it.
    fn is_layer_3(&self, link: IfIndex) -> bool;
    /// The only downstream of the range that has all of this.
    fn only_downstream(&self, prefix: &Ipv6Net) -> Result<IfIndex, Missing>;
    /// Whether a guest behind this link can have the address.
    fn check_address(&self, address: Ipv6Addr, link: IfIndex) -> Result<(), Missing>;
    /// Whether all of the prefix can be routed to a guest behind this link.
    fn check_prefix(&self, prefix: &Ipv6Net, link: IfIndex) -> Result<(), Missing>;
    /// The ranges that are a /64 and have guests behind this link.
    fn slash_64s(&self, link: IfIndex) -> Vec<Ipv6Net>;
    /// Whether all of the prefix is in a range that stands by.
    fn stands_by(&self, prefix: &Ipv6Net) -> bool;
    /// Whether it is an upstream, and guests on it answer there for themselves.
    fn is_upstream(&self, link: IfIndex) -> bool;
    /// Whether every address of the prefix is answered for, so that there are no guests in it.
    fn is_answered_as_a_whole(&self, prefix: &Ipv6Net) -> bool;
    /// Whether the address is known to be on this link.
    fn is_live_on(&self, address: Ipv6Addr, link: IfIndex) -> bool;
}

impl Guests {
    /// Whether there is anything to be looked at.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.claims.is_empty() && self.out.is_empty()
    }

    /// What has come out since the last look, in order.
    pub fn take_out(&mut self) -> Vec<Out> {
        std::mem::take(&mut self.out)
    }

    /// Every word.
    pub fn words(&self) -> &Words {
        &self.words
    }

    // ---- What follows ----

    fn settle_guest(&mut self, id: GuestId, terrain: &impl Terrain) {
        let meaning = self.meaning_of_guest(id, By::Guest, None, terrain);
        let Some(known) = self.known.get_mut(&id) else { return };
        if meaning.link.is_none() {
            let due = known.course.next_due();
            known.course.lost_its_link();
            self.is_due_again(id, due);
        }
        let Some(known) = self.known.get_mut(&id) else { return };
        let given = std::mem::take(&mut known.given);
        let given = self.give_again(By::Guest, Some(id), given, meaning, terrain);
        if let Some(known) = self.known.get_mut(&id) {
            known.given = given;
        }
        self.touch_guard(id);
    }

    fn settle_claim(&mut self, object: &Object, terrain: &impl Terrain) {
        let Some(claimed) = self.claims.get_mut(object) else { return };
        let given = std::mem::take(&mut claimed.given);
        let claim = claimed.claim.clone();
        let meaning = self.meaning_of_claim(&claim, terrain);
        // By its own name it is no other guest.
        let id = match object {
            Object::Guest(name) => self.names.get(name).copied(),
            Object::Prefix(_) => None,
        };
        let given = self.give_again(by(object), id, given, meaning, terrain);
        if let Some(claimed) = self.claims.get_mut(object) {
            claimed.given = given;
        }
        self.touch_guard_of_claim(object);
    }

    /// As [`Self::give`]; and what is not known to be there, though it was said before, is said again.
    fn give_again(
        &mut self,
        by: By,
        id: Option<GuestId>,
        before: Given,
        meaning: Meaning,
        terrain: &impl Terrain,
    ) -> Given {
        let given = self.give(by, id, before, meaning);
        for address in &given.addresses {
            if let Some(word) = self.words.of(*address).copied()
                && !terrain.is_live_on(*address, word.link)
            {
                self.here(*address, word);
            }
        }
        given
    }

    /// This follows in the place of what followed before.
    fn give(&mut self, by: By, id: Option<GuestId>, before: Given, meaning: Meaning) -> Given {
        let Meaning { words, ways, link, missing, awake } = meaning;
        if let Some(prefix) = before.awake.filter(|before| awake != Some(*before))
            && self.words.wake(prefix, false)
        {
            self.out.push(Out::Slept(prefix));
        }
        for address in before.addresses {
            if !words.iter().any(|(other, _)| *other == address) && self.words.say(address, by, None) {
                match self.words.of(address).copied() {
                    Some(word) => self.here(address, word),
                    None => self.out.push(Out::Gone(address, by)),
                }
            }
        }
        for prefix in before.prefixes {
            if !ways.iter().any(|(other, _)| *other == prefix) && self.words.lead(prefix, by, None) {
                self.out.push(Out::Lead(prefix, self.words.way(&prefix)));
            }
        }
        for (address, word) in &words {
            if self.words.say(*address, by, Some(*word)) {
                self.here(*address, *word);
            }
        }
        for (prefix, way) in &ways {
            if self.words.lead(*prefix, by, Some((*way, id))) {
                self.out.push(Out::Lead(*prefix, self.words.way(prefix)));
            }
        }
        if let Some(prefix) = awake
            && self.words.wake(prefix, true)
        {
            self.out.push(Out::Woke(prefix));
        }
        let addresses = words.into_iter().map(|(address, _)| address).collect();
        let prefixes = ways.into_iter().map(|(prefix, _)| prefix).collect();
        Given { addresses, prefixes, link, missing: missing.map(Box::new), awake }
    }

    /// Once for what is told several times in a row.
    fn here(&mut self, address: Ipv6Addr, word: Word) {
        let out = Out::Here(address, word);
        if self.out.last() != Some(&out) {
            self.out.push(out);
        }
    }
}

impl Known {
    fn new(policy: Arc<GuestPolicy>) -> Self {
        let given = Given::default();
        Self {
            policy,
            seen: None,
            on_link: None,
            hop: None,
            next_hop: None,
            course: Course::default(),
            given,
        }
    }
}

fn by(object: &Object) -> By {
    match object {
        Object::Prefix(_) => By::Claim,
        Object::Guest(_) => By::NamedClaim,
    }
}

#[cfg(test)]
#[path = "guests_tests.rs"]
mod tests;
