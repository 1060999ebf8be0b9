//! One target, in 64 bytes.

use core::net::Ipv6Addr;

use super::state::{Evidence, Live, Owner, Proof};
use crate::engine::facts::IfIndex;
use crate::engine::time::Time;
use crate::wire::Mac;

/// One target. The order keeps it in one line of the processor's cache.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub struct Entry {
    pub address: Ipv6Addr,
    /// When something is due for it.
    pub due: Time,
    seen: Time,
    since: u32,
    pub link: IfIndex,
    /// Questions for it that were answered.
    pub answered: u32,
    /// Its place in the heap of its kind; [`NONE`] for a free entry.
    pub heap: u32,
    /// Its neighbors in the list of the live targets on the same link, in the order in which they came.
    pub next: u32,
    pub previous: u32,
    mac: Mac,
    unanswered: u8,
    /// From the lowest: two bits of kind, whether a link-layer address is known, whether it was proved, two bits of
    /// evidence, and two of what the upstream's link says.
    bits: u8,
}

/// What is due is kept apart by this, and so is what has to go first where room is scarce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It exists, and was asked.
    Live,
    /// It has announced itself.
    Announced,
    /// It is being asked.
    Probing,
    /// It did not reply.
    Absent,
}

impl Entry {
    /// Of a target of which nothing is known yet.
    pub fn new(address: Ipv6Addr) -> Self {
        Self {
            address,
            due: Time::ORIGIN,
            seen: Time::ORIGIN,
            since: 0,
            link: IfIndex(0),
            answered: 0,
            heap: NONE,
            next: NONE,
            previous: NONE,
            mac: Mac([0; 6]),
            unanswered: 0,
            bits: Kind::Absent as u8,
        }
    }

    /// What kind of state it is in.
    pub fn kind(&self) -> Kind {
        match self.bits & KIND {
            0 => Kind::Live,
            1 => Kind::Announced,
            2 => Kind::Probing,
            _ => Kind::Absent,
        }
    }

    /// It is not live.
    pub fn set_kind(&mut self, kind: Kind) {
        self.bits = kind as u8;
    }

    /// What is known of it if it is live, but for a claim.
    pub fn live(&self) -> Option<Live> {
        let proof = match self.kind() {
            Kind::Live => Proof::Replied,
            Kind::Announced => Proof::Announced,
            Kind::Probing | Kind::Absent => return None,
        };
        Some(Live {
            link: self.link,
            mac: (self.bits & HAS_MAC != 0).then_some(self.mac),
            evidence: EVIDENCES[usize::from(self.bits >> EVIDENCE) % EVIDENCES.len()],
            proof,
            was_proved: self.bits & WAS_PROVED != 0,
            since: Time::from_coarse(self.since),
            seen: self.seen,
            unanswered: self.unanswered,
            claim: None,
        })
    }

    /// What the upstream's link says of who has it.
    pub fn owner(&self) -> Owner {
        OWNERS[usize::from(self.bits >> OWNER)]
    }

    /// The upstream's link says this. It is forgotten when the target is not live any more.
    pub fn set_owner(&mut self, owner: Owner) {
        self.bits = self.bits & ((1 << OWNER) - 1) | (owner as u8) << OWNER;
    }

    /// It is live, and this is known of it.
    pub fn set_live(&mut self, live: &Live) {
        let kind = if live.proof == Proof::Replied { Kind::Live } else { Kind::Announced };
        let has_mac = if live.mac.is_some() { HAS_MAC } else { 0 };
        let was_proved = if live.was_proved { WAS_PROVED } else { 0 };
        let owner = self.bits & !((1 << OWNER) - 1);
        self.bits = kind as u8 | has_mac | was_proved | (live.evidence.stored() as u8) << EVIDENCE | owner;
        self.link = live.link;
        self.mac = live.mac.unwrap_or(Mac([0; 6]));
        self.since = live.since.coarse();
        self.seen = live.seen;
        self.unanswered = live.unanswered;
    }
}

/// No entry.
pub const NONE: u32 = u32::MAX;
/// How many kinds there are.
pub const KINDS: usize = 4;
const KIND: u8 = 0b11;
const HAS_MAC: u8 = 1 << 2;
const WAS_PROVED: u8 = 1 << 3;
const EVIDENCE: u8 = 4;
const OWNER: u8 = 6;
/// In the order of their numbers.
const EVIDENCES: [Evidence; 4] = [Evidence::Probe, Evidence::Neighbor, Evidence::Dad, Evidence::Route];
const OWNERS: [Owner; 4] = [Owner::Unknown, Owner::Asked, Owner::Nobody, Owner::Unknown];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_known_in_one_line_of_the_cache() {
        assert_eq!(size_of::<Entry>(), 64);
        let mut entry = Entry::new(Ipv6Addr::LOCALHOST);
        for (evidence, mac) in EVIDENCES.into_iter().zip([None, Some(Mac([2, 0, 0, 0, 0, 1])), None, None]) {
            let proof = if mac.is_some() { Proof::Replied } else { Proof::Announced };
            let live = Live {
                link: IfIndex(3),
                mac,
                evidence,
                proof,
                was_proved: mac.is_some(),
                since: Time::from_coarse(77),
                seen: Time::ORIGIN,
                unanswered: 2,
                claim: None,
            };
            entry.set_owner(Owner::Nobody);
            entry.set_live(&live);
            assert_eq!((entry.live(), entry.owner()), (Some(live), Owner::Nobody));
        }
        entry.set_kind(Kind::Probing);
        assert_eq!((entry.live(), entry.kind(), entry.owner()), (None, Kind::Probing, Owner::Unknown));
    }
}
