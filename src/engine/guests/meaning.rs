//! What a guest or a claim means on the host as it is: words, ways, and what is missing. It looks, and changes nothing.

use core::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::claim::{Claim, Object};
use super::missing::{Covered, Missing};
use super::words::{By, GuestId, Way, Word};
use super::{Guests, Known, Terrain};
use crate::engine::facts::IfIndex;
use crate::engine::policy::{GuestAddresses, eui64};

/// What follows at this moment.
#[derive(Debug, Default)]
pub(super) struct Meaning {
    pub(super) words: Vec<(Ipv6Addr, Word)>,
    pub(super) ways: Vec<(Ipv6Net, Way)>,
    /// Where it is; `None` while that is not known, or its interface is down.
    pub(super) link: Option<IfIndex>,
    /// The first thing that is missing.
    pub(super) missing: Option<Missing>,
    /// All of this is answered for, in a range that stands by.
    pub(super) awake: Option<Ipv6Net>,
}

impl Meaning {
    fn lacking(missing: Missing) -> Self {
        Self { missing: Some(missing), ..Self::default() }
    }

    fn lack(&mut self, missing: Missing) {
        self.missing.get_or_insert(missing);
    }
}

impl Guests {
    /// Of a guest, as it is written; or as this claim has it.
    pub(super) fn meaning_of_guest(
        &self,
        id: GuestId,
        by: By,
        claim: Option<&Claim>,
        terrain: &impl Terrain,
    ) -> Meaning {
        let Some(known) = self.known.get(&id) else { return Meaning::default() };
        let policy = &known.policy;
        let named = claim.and_then(|claim| claim.interface).or(policy.interface);
        let link = match (named, known.seen, policy.mac) {
            (Some(name), ..) => terrain.named(&name).ok_or(Missing::Interface(name)),
            (None, Some(seen), _) => Ok(seen),
            (None, None, Some(mac)) => Err(known.on_link(terrain).unwrap_or(Missing::Station(mac))),
            // The configuration has one of both.
            (None, None, None) => return Meaning::default(),
        };
        let link = match link.and_then(|link| up(link, terrain)) {
            Ok(link) => link,
            Err(missing) => return Meaning::lacking(missing),
        };
        let mut meaning = Meaning { link: Some(link), ..Meaning::default() };
        if let (By::Guest, Some(by)) = (by, known.course.away()) {
            let own = policy.mac.filter(|mac| *mac == by).and_then(|_| known.on_link(terrain));
            meaning.lack(own.unwrap_or(Missing::Elsewhere(by)));
            return meaning;
        }
        if let (By::Guest, Some(name)) = (by, terrain.name(link).filter(|_| terrain.is_upstream(link))) {
            meaning.lack(Missing::OnLink(name));
            return meaning;
        }
        let addresses = match (&policy.addresses, policy.mac) {
            (GuestAddresses::Listed(addresses), _) => addresses.clone(),
            (GuestAddresses::Eui64, Some(mac)) => {
                let prefixes = terrain.slash_64s(link).into_iter();
                prefixes.filter_map(|prefix| eui64(prefix, mac)).collect()
            }
            (GuestAddresses::Eui64, None) => Vec::new(),
        };
        if let (true, GuestAddresses::Eui64, Some(name)) =
            (addresses.is_empty(), &policy.addresses, terrain.name(link))
        {
            meaning.lack(Missing::Slash64(name));
        }
        let is_fixed = named.is_some();
        let word = Word { link, mac: policy.mac, by, guest: Some(id), is_fixed, is_pinned: policy.pin };
        for address in addresses {
            match terrain.check_address(address, link) {
                Ok(()) => meaning.words.push((address, word)),
                Err(missing) => meaning.lack(missing),
            }
        }
        for prefix in &policy.delegate {
            let via = claim.and_then(|claim| claim.via);
            let way = way_to(known, link, via, terrain);
            match way.and_then(|way| self.check_prefix(prefix, link, (by, Some(id)), terrain).map(|()| way)) {
                Ok(way) => meaning.ways.push((*prefix, way)),
                Err(missing) => meaning.lack(missing),
            }
        }
        meaning
    }

    /// Of a claim.
    pub(super) fn meaning_of_claim(&self, claim: &Claim, terrain: &impl Terrain) -> Meaning {
        let prefix = match &claim.object {
            Object::Guest(name) => {
                return match self.names.get(name) {
                    Some(id) => self.meaning_of_guest(*id, By::NamedClaim, Some(claim), terrain),
                    None => Meaning::lacking(Missing::Guest(name.clone())),
                };
            }
            Object::Prefix(prefix) => *prefix,
        };
        let address = claim.object.address();
        let is_part = address.is_none() || terrain.is_answered_as_a_whole(&prefix);
        if is_part && claim.via.is_none() && claim.mac.is_none() && terrain.stands_by(&prefix) {
            let link = terrain.only_downstream(&prefix).ok();
            return Meaning { awake: Some(prefix), link, ..Meaning::default() };
        }
        let owner = address.and_then(|address| self.owner(address));
        let by_mac = claim.mac.and_then(|mac| self.known.get(self.stations.get(&mac)?)).map(Box::as_ref);
        let link = match claim.interface.or(owner.and_then(|known| known.policy.interface)) {
            Some(name) => terrain.named(&name).ok_or(Missing::Interface(name)),
            None => match by_mac.or(owner).and_then(|known| known.given.link.or(known.seen)) {
                Some(link) => Ok(link),
                None => terrain.only_downstream(&prefix),
            },
        };
        let link = match link.and_then(|link| up(link, terrain)) {
            Ok(link) => link,
            Err(missing) => return Meaning::lacking(missing),
        };
        let mut meaning = Meaning { link: Some(link), ..Meaning::default() };
        match address.filter(|_| claim.via.is_none()) {
            Some(address) => match terrain.check_address(address, link) {
                Ok(()) => {
                    let mac = claim.mac.or(owner.and_then(|known| known.policy.mac));
                    let guest = owner.and_then(|known| self.names.get(&known.policy.name).copied());
                    let is_pinned = owner.is_some_and(|known| known.policy.pin);
                    let word = Word { link, mac, by: By::Claim, guest, is_fixed: true, is_pinned };
                    meaning.words.push((address, word));
                }
                Err(missing) => meaning.lack(missing),
            },
            None => {
                let heard = by_mac.and_then(|known| known.hop);
                let way = match (claim.via, heard) {
                    (Some(via), _) => Ok(Way::Via(link, via)),
                    (None, Some((on, via))) if on == link => Ok(Way::Via(link, via)),
                    (None, _) if terrain.is_layer_3(link) => Ok(Way::Direct(link)),
                    (None, _) => Err(Missing::Via(prefix)),
                };
                match way.and_then(|way| {
                    self.check_prefix(&prefix, link, (By::Claim, None), terrain).map(|()| way)
                }) {
                    Ok(way) => meaning.ways.push((prefix, way)),
                    Err(missing) => meaning.lack(missing),
                }
            }
        }
        meaning
    }

    /// The guest that has this address.
    pub(super) fn owner(&self, address: Ipv6Addr) -> Option<&Known> {
        let by_word = || self.words.of(address)?.guest;
        self.known.get(&self.owners.get(&address).copied().or_else(by_word)?).map(Box::as_ref)
    }

    /// Whether the prefix can be routed to this guest: nothing in it is another's.
    fn check_prefix(
        &self,
        prefix: &Ipv6Net,
        link: IfIndex,
        (by, own): (By, Option<GuestId>),
        terrain: &impl Terrain,
    ) -> Result<(), Missing> {
        terrain.check_prefix(prefix, link)?;
        let covered = |covered| Err(Missing::Covers(*prefix, covered));
        if let Some((address, word)) = self.words.other_inside(prefix, own) {
            let name = word.guest.and_then(|id| self.name(id));
            return covered(Covered::Guest(name.map_or_else(|| address.to_string(), str::to_owned)));
        }
        self.words.overlapping(prefix, by, own).map_or(Ok(()), |other| covered(Covered::Delegated(other)))
    }
}

impl Known {
    /// That it is on an upstream, if it was heard there last.
    fn on_link(&self, terrain: &impl Terrain) -> Option<Missing> {
        let link = self.on_link.filter(|link| terrain.is_up(*link))?;
        terrain.name(link).map(Missing::OnLink)
    }
}

/// Through the link-local address that was heard, or the one that a claim names.
fn way_to(
    known: &Known,
    link: IfIndex,
    via: Option<Ipv6Addr>,
    terrain: &impl Terrain,
) -> Result<Way, Missing> {
    match (via, known.hop, known.policy.mac) {
        (Some(via), ..) => Ok(Way::Via(link, via)),
        _ if terrain.is_layer_3(link) => Ok(Way::Direct(link)),
        (None, Some((on, via)), _) if on == link => Ok(Way::Via(link, via)),
        (None, _, Some(mac)) => {
            let name = terrain.name(link).ok_or(Missing::Guest(known.policy.name.clone()))?;
            Err(Missing::LinkLocal(mac, name))
        }
        (None, _, None) => Err(Missing::UnknownMac(known.policy.name.clone())),
    }
}

fn up(link: IfIndex, terrain: &impl Terrain) -> Result<IfIndex, Missing> {
    match terrain.name(link).filter(|_| !terrain.is_up(link)) {
        Some(name) => Err(Missing::Up(name)),
        None => Ok(link),
    }
}
