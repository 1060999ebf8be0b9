//! The gateway's entry in the kernel's neighbor table, kept fresh from a global address: for
//! providers that drop Neighbor Discovery from link-local addresses (`gateway-source = "global"`).
//!
//! When it forwards, the kernel asks for its gateway from its link-local address, in vain there, and
//! the guests lose their way out. So the gateway is asked from the upstream's global address, often
//! enough that its entry never needs confirming: RFC 4861 §7.2.2 and §7.3.3. The kernel takes the
//! answer to our question as one to its own wherever it has an entry that has not failed (measured:
//! INCOMPLETE, STALE, DELAY and PROBE become REACHABLE); one that has failed it leaves so, and it
//! makes none (§7.2.5), so there it is told.

use core::net::Ipv6Addr;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Engine;
use super::bindings::Upstream;
use super::facts::{IfIndex, NeighborState};
use super::output::Output;
use super::policy::GatewaySource;
use super::time::Time;
use crate::wire::{Advertisement, Mac, Solicitation, solicited_node};

/// The gateways that are asked for.
#[derive(Debug, Default)]
pub struct Gateways {
    known: BTreeMap<(IfIndex, Ipv6Addr), Gateway>,
}

/// A change of the kernel's neighbor entry of a gateway, or of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NeighborChange {
    /// Make an entry, unless there is one.
    Add(IfIndex, Ipv6Addr, Mac),
    /// The entry that there is has failed, and is to hold this address.
    Revive(IfIndex, Ipv6Addr, Mac),
    /// Remove what was added or revived.
    Remove(IfIndex, Ipv6Addr),
    /// Who had the guest's address has gone, or this station is about to have it: remove the entry if the
    /// kernel has learnt it by itself, and if it holds another than this station.
    Forget(IfIndex, Ipv6Addr, Option<Mac>),
}

#[derive(Debug, Clone, Copy)]
struct Gateway {
    /// Our own address, which it is to answer to.
    station: Mac,
    /// Its address, once it has answered.
    mac: Option<Mac>,
    /// What the kernel believes of it; `None` without an entry.
    entry: Option<NeighborState>,
    /// When it was asked last.
    asked: Option<Time>,
    /// How often it was, since it last answered.
    unanswered: u8,
    /// How often it has answered without the kernel saying that its entry is good.
    unconfirmed: u8,
    due: Time,
    origin: Origin,
}

/// Where the kernel has the entry of a gateway from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// From its own questions, or from an administrator.
    Kernel,
    /// We have told it, and it may have refused because there was one.
    Told,
    /// From us.
    Us,
}

impl Gateways {
    /// When one of them is to be asked next.
    pub fn next_due(&self) -> Option<Time> {
        self.known.values().map(|gateway| gateway.due).min()
    }

    /// Everything is told anew: whatever entries there are, are told too.
    pub fn forget_entries(&mut self) {
        self.known.values_mut().for_each(|gateway| gateway.entry = None);
    }
}

impl Engine {
    /// What follows for announcements and gateways when links, addresses or routes have changed.
    pub(super) fn settle_upstreams(&mut self, now: Time) {
        self.announce_what_is_new(now);
        self.settle_gateways(now);
    }

    /// The gateways of this upstream whose entries are ours to keep.
    pub(super) fn gateways_to_keep(&self, upstream: &Upstream) -> Vec<Ipv6Addr> {
        match upstream.gateway_source {
            GatewaySource::Kernel => Vec::new(),
            GatewaySource::Global => self.routes.gateways(upstream.link),
        }
    }

    /// The kernel's neighbor table says something of a neighbor, which may be a gateway.
    pub(super) fn gateway_entry(
        &mut self,
        link: IfIndex,
        address: Ipv6Addr,
        entry: Option<NeighborState>,
        now: Time,
    ) {
        let Some(gateway) = self.gateways.known.get_mut(&(link, address)) else { return };
        gateway.entry = entry;
        gateway.origin = match (entry, gateway.origin) {
            (Some(NeighborState::Reachable), Origin::Told) => Origin::Us,
            (None, _) => Origin::Kernel,
            (Some(_), origin) => origin,
        };
        if is_good(entry) {
            gateway.unconfirmed = 0;
            if gateway.unanswered == 0 {
                gateway.due = now + PERIOD;
            }
        } else {
            // RFC 4861 §7.2.2: "at most one solicitation per neighbor every RetransTimer milliseconds".
            let earliest = gateway.asked.map_or(now, |asked| (asked + RETRANS_TIMER).max(now));
            gateway.due = gateway.due.min(earliest);
        }
    }

    /// An advertisement on the upstream: the answer of a gateway, if we asked for one.
    pub(super) fn heard_gateway(&mut self, link: IfIndex, advertisement: &Advertisement, now: Time) {
        let &Advertisement { target, destination, flags, .. } = advertisement;
        let (mac, own) = (advertisement.owner_mac(), self.bindings.upstream(link).and_then(|up| up.global));
        let Some(gateway) = self.gateways.known.get_mut(&(link, target)) else { return };
        let is_answer = flags.solicited && own == Some(destination) && gateway.unanswered > 0;
        if !is_answer || !mac.is_station() || mac == gateway.station {
            return;
        }
        gateway.mac = Some(mac);
        gateway.unanswered = 0;
        // The kernel says soon that it has taken it. If it does not, what we believe of its entry may be
        // out of date, and it is told what does no harm where that is not so.
        let is_confirmed = is_good(gateway.entry) || gateway.unconfirmed >= MOST_UNCONFIRMED;
        gateway.due = now + if is_confirmed { PERIOD } else { RETRANS_TIMER };
        gateway.unconfirmed =
            if is_good(gateway.entry) { 0 } else { MOST_UNCONFIRMED.min(gateway.unconfirmed + 1) };
        if gateway.unconfirmed == MOST_UNCONFIRMED && !is_good(gateway.entry) {
            gateway.entry = None;
        }
        let change = match gateway.entry {
            None => NeighborChange::Add(link, target, mac),
            Some(NeighborState::Failed) => NeighborChange::Revive(link, target, mac),
            // Its own question has found its answer.
            Some(_) => return,
        };
        gateway.origin = Origin::Told;
        self.outputs.push_back(Output::ChangeNeighbor(change));
    }

    /// Asks those whose time has come.
    pub(super) fn ask_gateways(&mut self, now: Time) {
        for (&(link, address), gateway) in &mut self.gateways.known {
            if gateway.due > now {
                continue;
            }
            let global = self.bindings.upstream(link).and_then(|upstream| upstream.global);
            if let Some(source) = global {
                // One that has moved is found through its group.
                let known = gateway.mac.filter(|_| gateway.unanswered == 0);
                let solicitation = solicitation(gateway.station, source, address, known);
                self.outputs.push_back(Output::Solicit(link, solicitation));
                gateway.asked = Some(now);
                gateway.unanswered = gateway.unanswered.saturating_add(1);
            }
            let is_lost = global.is_none() || gateway.unanswered >= MAX_MULTICAST_SOLICIT;
            gateway.due = now + if is_lost { PERIOD } else { RETRANS_TIMER };
        }
    }

    /// The daemon ends: entries that the kernel has from us alone go.
    pub(super) fn give_back_gateways(&mut self) {
        for ((link, address), gateway) in std::mem::take(&mut self.gateways.known) {
            self.give_back_gateway(link, address, &gateway);
        }
    }

    fn give_back_gateway(&mut self, link: IfIndex, address: Ipv6Addr, gateway: &Gateway) {
        // An administrator's entry is his own.
        let is_ours = gateway.origin == Origin::Us && gateway.entry != Some(NeighborState::Permanent);
        if is_ours && self.links.get(link).is_some() {
            self.outputs.push_back(Output::ChangeNeighbor(NeighborChange::Remove(link, address)));
        }
    }

    fn settle_gateways(&mut self, now: Time) {
        let mut wanted = BTreeMap::new();
        for upstream in self.bindings.upstreams.iter().filter(|upstream| self.links.is_up(upstream.link)) {
            for address in self.gateways_to_keep(upstream) {
                wanted.insert((upstream.link, address), upstream.mac);
            }
        }
        let mut before = std::mem::take(&mut self.gateways.known);
        for (key, station) in wanted {
            let known = before.remove(&key).unwrap_or(Gateway {
                station,
                mac: None,
                entry: None,
                asked: None,
                unanswered: 0,
                unconfirmed: 0,
                due: now,
                origin: Origin::Kernel,
            });
            let due = if known.station == station { known.due } else { now };
            self.gateways.known.insert(key, Gateway { station, due, ..known });
        }
        for ((link, address), gateway) in before {
            self.give_back_gateway(link, address, &gateway);
        }
    }
}

fn solicitation(station: Mac, source: Ipv6Addr, gateway: Ipv6Addr, known: Option<Mac>) -> Solicitation {
    let group = solicited_node(gateway);
    Solicitation {
        source_mac: station,
        destination_mac: known.unwrap_or(Mac::multicast(group)),
        source,
        destination: if known.is_some() { gateway } else { group },
        target: gateway,
        source_link_layer: Some(station),
    }
}

/// True for an entry that the kernel need not ask for.
fn is_good(entry: Option<NeighborState>) -> bool {
    use NeighborState::{Noarp, Permanent, Reachable};
    matches!(entry, Some(Reachable | Permanent | Noarp))
}

/// After as many answers the kernel is told, whatever is known of its entry.
const MOST_UNCONFIRMED: u8 = 3;
/// An entry is good for REACHABLE_TIME (RFC 4861 §10), 30 s, times 0.5 at least (§6.3.2).
const PERIOD: Duration = Duration::from_secs(10);
/// RFC 4861 §10.
const RETRANS_TIMER: Duration = Duration::from_secs(1);
/// RFC 4861 §10.
const MAX_MULTICAST_SOLICIT: u8 = 3;
