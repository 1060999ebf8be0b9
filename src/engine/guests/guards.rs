//! Guards: which guests are held to their own addresses, and what that means on the host as it is. What was heard of a
//! guest first counts as its own: its link-local address, where that is not the one of its MAC, and the port of a
//! bridge, where the configuration names none.

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv6Net;

use super::claim::Object;
use super::guard::{Breach, Family, GuardKey, Guarded, NoGuard, is_plain};
use super::words::GuestId;
use super::{Claimed, Guests, Known, Terrain};
use crate::engine::facts::{IfIndex, IfName};
use crate::engine::policy::{GuestAddresses, GuestPolicy, eui64};
use crate::wire::Mac;

/// What guards follow from, beside the configuration.
#[derive(Debug, Default)]
pub struct Guards {
    /// Something happened to these since the last look.
    touched: BTreeSet<GuestId>,
    /// The link-local address that was heard first, where no other guest had it.
    link_locals: BTreeMap<GuestId, Ipv6Addr>,
    owners: BTreeMap<Ipv6Addr, GuestId>,
    /// The port of a bridge on which the guest was heard first.
    ports: BTreeMap<GuestId, (IfIndex, IfIndex)>,
    /// Links that are no ports of bridges, with the guests that have each of them alone.
    alone: BTreeSet<(IfIndex, GuestId)>,
    alone_on: BTreeMap<GuestId, IfIndex>,
    claims: BTreeMap<GuestId, BTreeSet<Object>>,
    claimants: BTreeMap<Object, GuestId>,
    /// Guests that are guarded, and those that should be and cannot.
    guarded: BTreeSet<GuestId>,
    missing: BTreeMap<GuestId, NoGuard>,
    drops: BTreeMap<GuestId, [u64; Breach::ALL.len()]>,
}

/// What an interface is to a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// A port of this bridge; or, `true`, one with one guest alone at its other end.
    Port(IfIndex, bool),
    /// A bridge.
    Bridge,
    /// Neither; `true`: with one guest alone at its other end.
    Routed(bool),
    /// It has no Ethernet.
    NoEthernet,
}

/// What is known of where guards can be.
pub trait Watched: Terrain {
    /// The interface with exactly this name, also if it is a port of a bridge.
    fn exactly(&self, name: &IfName) -> Option<IfIndex>;
    /// What the interface is.
    fn spot(&self, link: IfIndex) -> Spot;
    /// Behind which port of the bridge the station is.
    fn port_of(&self, bridge: IfIndex, mac: Mac) -> Option<IfIndex>;
    /// Whether the guests of all of this are guarded because their range says so.
    fn guards(&self, prefix: &Ipv6Net) -> bool;
    /// Every range that is a /64.
    fn every_64(&self) -> Vec<Ipv6Net>;
    /// Whether the link-local address is the host's or the guests' gateway's.
    fn is_reserved(&self, address: Ipv6Addr) -> bool;
}

impl Guests {
    /// Something may have changed for the guard of this guest.
    pub(super) fn touch_guard(&mut self, id: GuestId) {
        self.guards.touched.insert(id);
    }

    /// This is claimed, or not any more: for a guest with a guard it is one more that is its own.
    pub(super) fn touch_guard_of_claim(&mut self, object: &Object) {
        let claim = self.claims.get(object).map(|claimed| &claimed.claim);
        let by_mac = claim.and_then(|claim| self.stations.get(&claim.mac?)).copied();
        let by_name = || match object {
            Object::Guest(name) => self.names.get(name).copied(),
            Object::Prefix(_) => self.owners.get(&object.address()?).copied(),
        };
        let id = claim.and_then(|_| by_mac.or_else(by_name));
        let Guards { claims, claimants, touched, .. } = &mut self.guards;
        if let Some(before) = claimants.remove(object) {
            touched.insert(before);
            if let Some(all) = claims.get_mut(&before) {
                all.remove(object);
            }
        }
        if let Some(id) = id {
            touched.insert(id);
            claimants.insert(object.clone(), id);
            claims.entry(id).or_default().insert(object.clone());
        }
    }

    /// A bridge has learnt behind which port this MAC is.
    pub fn station_heard(&mut self, mac: Mac) {
        if let Some(id) = self.stations.get(&mac).copied()
            && self.guards.guarded.contains(&id)
            && !self.guards.ports.contains_key(&id)
        {
            self.touch_guard(id);
        }
    }

    /// Something was heard from this MAC on a downstream, from this address or about it. The first link-local address that
    /// nobody else has is the guest's own.
    pub fn observe(&mut self, (link, mac): (IfIndex, Mac), address: Ipv6Addr, terrain: &impl Watched) {
        let Some(id) = self.stations.get(&mac).copied() else { return };
        // The one that is made of its MAC counts in any case: what loads the guest's system often uses that one, and the
        // system another.
        let is_new = address.is_unicast_link_local()
            && address != link_local_of(mac)
            && self.guards.guarded.contains(&id)
            && !self.guards.link_locals.contains_key(&id);
        if !is_new || terrain.is_reserved(address) {
            return;
        }
        let computed = mac_of(address).and_then(|mac| self.stations.get(&mac));
        let is_others = self.guards.owners.get(&address).or(computed).is_some_and(|other| *other != id);
        let is_there = self.known.get(&id).and_then(|known| self.link_of(known, terrain)).is_none_or(|own| {
            own == link || matches!(terrain.spot(own), Spot::Port(bridge, _) if bridge == link)
        });
        if !is_others && is_there {
            self.guards.link_locals.insert(id, address);
            self.guards.owners.insert(address, id);
            self.touch_guard(id);
        }
    }

    /// Whether a guard drops what says this of the address: it is not the guest's own, or the guest has the link alone, and
    /// this is another's MAC. On a link that is no port of a bridge it is heard before it is dropped.
    pub fn is_dropped(&self, (link, mac): (IfIndex, Mac), address: Ipv6Addr, terrain: &impl Watched) -> bool {
        let id = self.stations.get(&mac).filter(|id| self.guards.guarded.contains(id));
        let is_had =
            self.guards.alone.range((link, GuestId::default())..).next().is_some_and(|(on, _)| *on == link);
        let is_out_of_place = is_had && id.is_none_or(|id| !self.guards.alone.contains(&(link, *id)));
        let is_own = |id: &GuestId| {
            address.is_unspecified()
                || address.is_unicast_link_local()
                || self.owns(*id, mac, address, terrain)
        };
        is_out_of_place || id.is_some_and(|id| !is_own(id))
    }

    fn owns(&self, id: GuestId, mac: Mac, address: Ipv6Addr, terrain: &impl Watched) -> bool {
        let Some(policy) = self.known.get(&id).map(|known| &known.policy) else { return false };
        let objects = self.guards.claims.get(&id).into_iter().flatten();
        let mut claimed = objects.filter_map(|object| self.claims.get(object));
        policy.delegate.iter().any(|prefix| prefix.contains(&address))
            || own_addresses(policy, mac, terrain).contains(&address)
            || claimed.any(|Claimed { given, .. }| {
                given.addresses.contains(&address)
                    || given.prefixes.iter().any(|prefix| prefix.contains(&address))
            })
    }

    /// So many packets of this guest were dropped since the last time that this was said.
    pub fn count_drops(&mut self, id: GuestId, breach: Breach, packets: u64) {
        if self.known.contains_key(&id) {
            let drops = self.guards.drops.entry(id).or_default();
            drops[breach as usize] = drops[breach as usize].saturating_add(packets);
        }
    }

    /// The guards that may be others than when this was last asked.
    pub fn take_guards(&mut self, terrain: &impl Watched) -> Vec<(GuardKey, Option<Guarded>)> {
        let mut guards = Vec::new();
        while let Some(id) = self.guards.touched.pop_first() {
            if let Some(link) = self.guards.alone_on.remove(&id) {
                self.guards.alone.remove(&(link, id));
            }
            let guarded = self.guard_of(id, terrain);
            self.guards.missing.remove(&id);
            let guarded = match guarded {
                Ok(guarded) => guarded,
                Err(missing) => {
                    self.guards.missing.insert(id, missing);
                    None
                }
            };
            let was_guarded = match guarded {
                Some(_) => !self.guards.guarded.insert(id),
                None => self.guards.guarded.remove(&id),
            };
            if guarded.is_none() {
                self.forget_heard(id);
                self.guards.ports.remove(&id);
            }
            if !self.known.contains_key(&id) {
                self.guards.drops.remove(&id);
                self.guards.claims.remove(&id);
            }
            if guarded.is_some() || was_guarded {
                guards.push((GuardKey::Guest(id), guarded));
            }
        }
        guards
    }

    /// Whether there is any guard, or may be after the next look.
    pub fn has_guards(&self) -> bool {
        !self.guards.touched.is_empty() || !self.guards.guarded.is_empty()
    }

    /// Whether there is something for [`Self::take_guards`].
    pub fn has_touched_guards(&self) -> bool {
        !self.guards.touched.is_empty()
    }

    /// Whether this guest is guarded, and what was dropped of it for which reason.
    pub fn guard(&self, id: GuestId) -> (bool, Option<&[u64; Breach::ALL.len()]>) {
        (self.guards.guarded.contains(&id), self.guards.drops.get(&id))
    }

    /// The guests that are to be guarded and cannot be, by name, and why; the first of them.
    pub fn unguarded(&self) -> impl Iterator<Item = (&str, &NoGuard)> {
        let named = self.guards.missing.iter().filter_map(|(id, why)| Some((self.name(*id)?, why)));
        named.take(MOST_TOLD)
    }

    /// The bridges on which it matters behind which port a guest is.
    pub fn watched_bridges(&self, terrain: &impl Watched) -> BTreeSet<IfIndex> {
        let guarded = self.guards.guarded.iter().filter_map(|id| self.known.get(id));
        let links = guarded.filter_map(|known| self.link_of(known, terrain));
        links.filter(|link| terrain.spot(*link) == Spot::Bridge).collect()
    }

    /// Where the guest is: the interface that is written, also if it is a port; else where it was heard.
    fn link_of(&self, known: &Known, terrain: &impl Watched) -> Option<IfIndex> {
        match known.policy.interface {
            Some(name) => terrain.exactly(&name),
            None => known.given.link.or(known.seen),
        }
    }

    fn guard_of(&mut self, id: GuestId, terrain: &impl Watched) -> Result<Option<Guarded>, NoGuard> {
        let Some(known) = self.known.get(&id) else { return Ok(None) };
        if !is_wanted(&known.policy, terrain) {
            return Ok(None);
        }
        let mac = known.policy.mac.ok_or(NoGuard::Mac)?;
        let link = self.link_of(known, terrain);
        let (family, port) = match link.map(|link| (link, terrain.spot(link))) {
            None => (Family::Either, None),
            Some((link, Spot::NoEthernet)) => {
                return terrain.name(link).map_or(Ok(None), |name| Err(NoGuard::Ethernet(name)));
            }
            Some((link, Spot::Port(_, true))) => (Family::Bridge, Some(link)),
            Some((_, Spot::Port(_, false))) => (Family::Bridge, None),
            Some((link, Spot::Routed(true))) => {
                self.guards.alone.insert((link, id));
                self.guards.alone_on.insert(id, link);
                (Family::Routed, Some(link))
            }
            Some((_, Spot::Routed(false))) => (Family::Routed, None),
            Some((bridge, Spot::Bridge)) => (Family::Bridge, self.port_on(id, bridge, mac, terrain)),
        };
        // One that is switched on again may have another link-local address.
        if port.or(link).is_none_or(|link| !terrain.is_up(link)) {
            self.forget_heard(id);
        }
        let port = port.and_then(|port| terrain.name(port));
        if let Some(name) = port.filter(|name| !is_plain(name)) {
            return Err(NoGuard::Name(name));
        }
        let heard = self.guards.link_locals.get(&id).copied();
        let Some(known) = self.known.get(&id) else { return Ok(None) };
        let mut addresses = own_addresses(&known.policy, mac, terrain);
        addresses.extend(heard);
        let mut prefixes = known.policy.delegate.clone();
        let objects = self.guards.claims.get(&id).into_iter().flatten();
        for claimed in objects.filter_map(|object| self.claims.get(object)) {
            addresses.extend(&claimed.given.addresses);
            prefixes.extend(&claimed.given.prefixes);
        }
        addresses.sort_unstable();
        addresses.dedup();
        addresses.shrink_to_fit();
        let mut prefixes = Ipv6Net::aggregate(&prefixes);
        prefixes.shrink_to_fit();
        Ok(Some(Guarded { mac, family, port, addresses, prefixes, is_fresh: heard.is_none() }))
    }

    /// The port of the bridge that the guest has alone: the first on which it was heard, as long as it is a port of that
    /// bridge. Anybody can send with its MAC before it does; once it was heard, the port is its own.
    fn port_on(&mut self, id: GuestId, bridge: IfIndex, mac: Mac, terrain: &impl Watched) -> Option<IfIndex> {
        let is_port = |port: IfIndex| terrain.spot(port) == Spot::Port(bridge, true);
        if let Some((_, port)) = self.guards.ports.get(&id).copied() {
            if is_port(port) {
                return Some(port);
            }
            self.guards.ports.remove(&id);
            self.forget_heard(id);
        }
        let port = terrain.port_of(bridge, mac).filter(|port| is_port(*port))?;
        self.guards.ports.insert(id, (bridge, port));
        Some(port)
    }

    /// The guest is written with another MAC, or on another interface.
    pub(super) fn forget_place(&mut self, id: GuestId) {
        self.guards.ports.remove(&id);
        self.forget_heard(id);
    }

    fn forget_heard(&mut self, id: GuestId) {
        if let Some(address) = self.guards.link_locals.remove(&id) {
            self.guards.owners.remove(&address);
        }
    }
}

/// Whether the guest is to be guarded: it says so itself, or its range does.
fn is_wanted(policy: &GuestPolicy, terrain: &impl Watched) -> bool {
    policy.guard.unwrap_or_else(|| {
        let of_range = |address: &Ipv6Addr| terrain.guards(&Ipv6Net::from(*address));
        let is_computed = policy.addresses == GuestAddresses::Eui64;
        policy.addresses.listed().iter().any(of_range)
            || policy.delegate.iter().any(|prefix| terrain.guards(prefix))
            || is_computed && terrain.every_64().iter().any(|prefix| terrain.guards(prefix))
    })
}

/// The addresses that are its own whatever the host is like: so they are known before its interface is there.
fn own_addresses(policy: &GuestPolicy, mac: Mac, terrain: &impl Watched) -> Vec<Ipv6Addr> {
    let mut own = vec![link_local_of(mac)];
    match &policy.addresses {
        GuestAddresses::Listed(listed) => own.extend(listed),
        GuestAddresses::Eui64 => {
            own.extend(terrain.every_64().into_iter().filter_map(|prefix| eui64(prefix, mac)));
        }
    }
    own
}

/// RFC 4291 §2.5.6 with the interface identifier of RFC 2464 §4.
fn link_local_of(mac: Mac) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(mac.interface_id()))
}

/// The MAC that the link-local address is computed from, if it is.
fn mac_of(address: Ipv6Addr) -> Option<Mac> {
    let [.., a, b, c, 0xff, 0xfe, d, e, f] = address.octets() else { return None };
    Some(Mac([a ^ 0x02, b, c, d, e, f])).filter(|mac| link_local_of(*mac) == address)
}

/// As many are named: what they lack is often the same.
const MOST_TOLD: usize = 8;
