//! Claims as they come and end.

use core::net::Ipv6Addr;

use super::claim::{Claim, Object};
use super::meaning::Meaning;
use super::missing::Missing;
use super::{Claimed, Given, Guests, Terrain, by};
use crate::engine::time::Time;

impl Guests {
    /// Why this cannot be claimed, if so.
    pub fn check(&self, claim: &Claim, terrain: &impl Terrain) -> Result<(), Missing> {
        if self.claims.len() >= MOST_CLAIMS && !self.claims.contains_key(&claim.object) {
            return Err(Missing::Room(MOST_CLAIMS));
        }
        if let Some(via) = claim.via.filter(|via| !is_next_hop(*via)) {
            return Err(Missing::NextHop(via));
        }
        if let Some(mac) = claim.mac.filter(|mac| !mac.is_station()) {
            return Err(Missing::NoStation(mac));
        }
        if let Object::Guest(name) = &claim.object {
            let id = self.names.get(name).ok_or_else(|| Missing::Guest(name.clone()))?;
            let own = self.known.get(id).and_then(|known| known.policy.mac);
            if claim.mac.is_some() && own.is_some() && claim.mac != own {
                return Err(Missing::OtherMac(name.clone()));
            }
        }
        if let Some((address, mac)) = claim.object.address().zip(claim.mac)
            && let Some(known) = self.owner(address).filter(|known| known.policy.mac != Some(mac))
        {
            return Err(Missing::OthersAddress(address, known.policy.name.clone()));
        }
        let missing = self.meaning_of_claim(claim, terrain).missing;
        missing.filter(Missing::is_refusal).map_or(Ok(()), Err)
    }

    /// This is here from now on. What was claimed of the same before is over.
    pub fn claim(&mut self, claim: Claim, terrain: &impl Terrain) {
        let object = claim.object.clone();
        self.ends.extend(claim.until.map(|until| (until, object.clone())));
        let given = match self.claims.remove(&object) {
            Some(before) => {
                if let Some(until) = before.claim.until.filter(|until| claim.until != Some(*until)) {
                    self.ends.remove(&(until, object.clone()));
                }
                before.given
            }
            None => Given::default(),
        };
        self.claims.insert(object.clone(), Claimed { claim, given });
        self.new_claims.insert(object.clone());
        self.settle_claim(&object, terrain);
    }

    /// These were claimed before a restart. What follows from them shows when all of the start has been told.
    pub fn remember(&mut self, claims: Vec<Claim>) {
        for claim in claims.into_iter().take(MOST_CLAIMS) {
            self.ends.extend(claim.until.map(|until| (until, claim.object.clone())));
            self.claims.insert(claim.object.clone(), Claimed { claim, given: Given::default() });
        }
    }

    /// This is not claimed any more. The claim, if there was one.
    pub fn release(&mut self, object: &Object) -> Option<Claim> {
        let Claimed { claim, given } = self.claims.remove(object)?;
        if let Some(until) = claim.until {
            self.ends.remove(&(until, object.clone()));
        }
        self.give(by(object), None, given, Meaning::default());
        self.touch_guard_of_claim(object);
        self.new_claims.insert(object.clone());
        Some(claim)
    }

    /// The next claim whose time is over.
    pub fn take_over(&mut self, now: Time) -> Option<Object> {
        let (until, _) = self.ends.first()?;
        if *until > now {
            return None;
        }
        let (_, object) = self.ends.pop_first()?;
        self.release(&object).map(|claim| claim.object)
    }

    /// When the next claim ends, or something is due of a guest that moves.
    pub fn next_due(&self) -> Option<Time> {
        let ends = self.ends.first().map(|(until, _)| *until);
        ends.into_iter().chain(self.due.first().map(|(due, _)| *due)).min()
    }

    /// What is claimed differently than when this was last asked, and how; `None`: it is not any more.
    pub fn take_changed(&mut self) -> Vec<(Object, Option<Claim>)> {
        let changed = std::mem::take(&mut self.new_claims).into_iter();
        let now = |object: &Object| self.claims.get(object).map(|claimed| claimed.claim.clone());
        changed.map(|object| (now(&object), object)).map(|(claim, object)| (object, claim)).collect()
    }

    /// The addresses that follow from a claim.
    pub fn addresses_of(&self, object: &Object) -> Vec<Ipv6Addr> {
        self.claims.get(object).map(|claimed| claimed.given.addresses.to_vec()).unwrap_or_default()
    }
}

/// Whether packets can be sent through it at all. Whether it is there is another question.
fn is_next_hop(address: Ipv6Addr) -> bool {
    !address.is_multicast()
        && !address.is_unspecified()
        && !address.is_loopback()
        && address.to_ipv4_mapped().is_none()
}

/// As many are claimed at once.
const MOST_CLAIMS: usize = 16_384;
