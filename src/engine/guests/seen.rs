//! Guests and claims as others see them: status, explain, metrics.

use core::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::claim::{Claim, Object};
use super::guard::Breach;
use super::missing::Missing;
use super::words::GuestId;
use super::{Claimed, Guests, Known};
use crate::engine::facts::IfIndex;
use crate::engine::policy::GuestPolicy;

/// A guest as others see it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Its number, as long as its name is written.
    pub id: GuestId,
    /// As it was written.
    pub policy: &'a GuestPolicy,
    /// Where it is, if that is known.
    pub link: Option<IfIndex>,
    /// Its addresses that are here.
    pub addresses: &'a [Ipv6Addr],
    /// The prefixes that are routed to it.
    pub prefixes: &'a [Ipv6Net],
    /// The first thing that is missing.
    pub missing: Option<&'a Missing>,
    /// Whether it is held to its own addresses, or is to be as soon as nftables has it.
    pub is_guarded: bool,
    /// How many packets of it were dropped, for each reason in the order of [`Breach::ALL`]; `None`: none.
    pub drops: Option<&'a [u64; Breach::ALL.len()]>,
    /// Whether it comes and goes too often to be announced unasked.
    pub is_flapping: bool,
}

impl Seen<'_> {
    /// Whether its interface is there, and at least a part of what it is to have.
    pub fn is_here(&self) -> bool {
        let has_some = !self.addresses.is_empty() || !self.prefixes.is_empty();
        self.link.is_some() && (has_some || self.missing.is_none())
    }
}

/// A claim as others see it.
#[derive(Debug, Clone, Copy)]
pub struct SeenClaim<'a> {
    /// As it was made.
    pub claim: &'a Claim,
    /// Where it is, if that is known.
    pub link: Option<IfIndex>,
    /// What is missing.
    pub missing: Option<&'a Missing>,
    /// Whether it is all of a prefix in a range that stands by, wherever its guests are.
    pub is_awake: bool,
}

impl SeenClaim<'_> {
    /// Whether it is here: nothing is missing.
    pub fn is_here(&self) -> bool {
        self.missing.is_none() && (self.link.is_some() || self.is_awake)
    }
}

impl Guests {
    /// The name of a guest.
    pub fn name(&self, id: GuestId) -> Option<&str> {
        self.known.get(&id).map(|known| known.policy.name.as_str())
    }

    /// Every guest, in the order in which they became known.
    pub fn iter(&self) -> impl Iterator<Item = Seen<'_>> {
        self.known.iter().map(|(id, known)| {
            let Known { policy, given, course, .. } = &**known;
            let (is_guarded, drops) = self.guard(*id);
            Seen {
                id: *id,
                policy,
                link: given.link,
                addresses: &given.addresses,
                prefixes: &given.prefixes,
                missing: given.missing.as_deref(),
                is_guarded,
                drops,
                is_flapping: course.is_flapping(),
            }
        })
    }

    /// Every claim, in the order of what is claimed.
    pub fn claims(&self) -> impl Iterator<Item = SeenClaim<'_>> {
        self.claims.values().map(|Claimed { claim, given }| SeenClaim {
            claim,
            link: given.link,
            missing: given.missing.as_deref(),
            is_awake: given.awake.is_some(),
        })
    }

    /// The claim of this, if there is one.
    pub fn claim_of(&self, object: &Object) -> Option<SeenClaim<'_>> {
        let Claimed { claim, given } = self.claims.get(object)?;
        let (missing, is_awake) = (given.missing.as_deref(), given.awake.is_some());
        Some(SeenClaim { claim, link: given.link, missing, is_awake })
    }

    /// The guest that has this address or a prefix with it, and what it lacks to be here.
    pub fn lacking(&self, target: Ipv6Addr) -> Option<(&str, &Missing)> {
        let of_prefix = |known: &&Known| known.policy.delegate.iter().any(|prefix| prefix.contains(&target));
        let known = self.owner(target).or_else(|| self.known.values().map(Box::as_ref).find(of_prefix))?;
        Some((known.policy.name.as_str(), known.given.missing.as_deref()?))
    }

    /// How many guests are known, how many of them are here, and how many claims there are.
    pub fn count(&self) -> (usize, usize, usize) {
        let here = self.iter().filter(Seen::is_here);
        (self.known.len(), here.count(), self.claims.len())
    }
}
