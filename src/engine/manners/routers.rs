//! The provider's router: its entry in the kernel's neighbor table, kept fresh from a global address: for
//! providers that drop Neighbor Discovery from link-local addresses (`gateway-source = "global"`; with "auto", where
//! [`super::filtered`] has found that out).
//!
//! When it forwards, the kernel asks for its router from its link-local address, without an answer there, and
//! the guests lose their way out. So the router is asked from the upstream's global address, often
//! enough that its entry never needs confirming: RFC 4861 §7.2.2 and §7.3.3. The kernel takes the
//! answer to our question as one to its own wherever it has an entry that has not failed (measured:
//! INCOMPLETE, STALE, DELAY and PROBE become REACHABLE); one that has failed it leaves so, and it
//! makes none (§7.2.5), so there it is told.

use core::net::Ipv6Addr;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::change::NeighborChange;
use crate::engine::facts::{IfIndex, NeighborState};
use crate::engine::time::Time;
use crate::wire::{Advertisement, Mac, Solicitation, solicited_node};

/// The routers that are asked for.
#[derive(Debug, Default)]
pub struct Routers {
    known: BTreeMap<(IfIndex, Ipv6Addr), Router>,
}

#[derive(Debug, Clone, Copy)]
struct Router {
    /// Our own link-layer address, which it is to answer to.
    station: Mac,
    /// Its link-layer address, once it has answered.
    mac: Option<Mac>,
    /// What the kernel believes of it; `None` without an entry.
    entry: Option<NeighborState>,
    /// The kernel has said something of its entry since it is kept.
    is_told: bool,
    /// When it was asked last.
    asked: Option<Time>,
    /// How often it was, since it last answered.
    unanswered: u8,
    /// How often it has answered without the kernel saying that its entry is good.
    unconfirmed: u8,
    due: Time,
    origin: Origin,
}

/// Where the kernel has the entry of a router from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// From its own questions, or from an administrator.
    Kernel,
    /// We have told it, and it may have refused because there was one.
    Told,
    /// From us.
    Us,
}

impl Routers {
    /// When one of them is to be asked next.
    pub fn next_due(&self) -> Option<Time> {
        self.known.values().map(|router| router.due).min()
    }

    /// Everything is told again: whatever entries there are, are told too.
    pub fn forget_entries(&mut self) {
        self.known.values_mut().for_each(|router| router.entry = None);
    }

    /// The kernel's neighbor table says something of a neighbor, which may be a router.
    pub fn entry(&mut self, link: IfIndex, address: Ipv6Addr, entry: Option<NeighborState>, now: Time) {
        let Some(router) = self.known.get_mut(&(link, address)) else { return };
        router.entry = entry;
        router.is_told = true;
        router.origin = match (entry, router.origin) {
            (Some(NeighborState::Reachable), Origin::Told) => Origin::Us,
            (None, _) => Origin::Kernel,
            (Some(_), origin) => origin,
        };
        if is_good(entry) {
            router.unconfirmed = 0;
            if router.unanswered == 0 {
                router.due = now + PERIOD;
            }
        } else {
            // RFC 4861 §7.2.2: "at most one solicitation per neighbor every RetransTimer milliseconds".
            let earliest = router.asked.map_or(now, |asked| (asked + RETRANS_TIMER).max(now));
            router.due = router.due.min(earliest);
        }
    }

    /// The kernel was told of this router, and has an entry already. True if it has never said what it believes of
    /// that one, so that it is to be asked: it may have failed before the router was to be kept.
    pub fn has_entry(&mut self, link: IfIndex, address: Ipv6Addr) -> bool {
        let router = self.known.get_mut(&(link, address));
        router.is_some_and(|router| !std::mem::replace(&mut router.is_told, true))
    }

    /// An advertisement on the upstream, whose global address is `own`: the answer of a router, if we asked for
    /// one. What the kernel is to be told of it.
    pub fn heard(
        &mut self,
        link: IfIndex,
        own: Option<Ipv6Addr>,
        advertisement: &Advertisement,
        now: Time,
    ) -> Option<NeighborChange> {
        let &Advertisement { target, destination, flags, .. } = advertisement;
        let mac = advertisement.owner_mac();
        let router = self.known.get_mut(&(link, target))?;
        let is_answer = flags.solicited && own == Some(destination) && router.unanswered > 0;
        if !is_answer || !mac.is_station() || mac == router.station {
            return None;
        }
        router.mac = Some(mac);
        router.unanswered = 0;
        // The kernel says soon that it has taken it. If it does not, what we believe of its entry may be
        // out of date, and it is told what does no harm where that is not so.
        let is_confirmed = is_good(router.entry) || router.unconfirmed >= MOST_UNCONFIRMED;
        router.due = now + if is_confirmed { PERIOD } else { RETRANS_TIMER };
        router.unconfirmed =
            if is_good(router.entry) { 0 } else { MOST_UNCONFIRMED.min(router.unconfirmed + 1) };
        if router.unconfirmed == MOST_UNCONFIRMED && !is_good(router.entry) {
            router.entry = None;
        }
        let change = match router.entry {
            None => NeighborChange::Add(link, target, mac),
            Some(NeighborState::Failed) => NeighborChange::Revive(link, target, mac),
            // Its own question has found its answer.
            Some(_) => return None,
        };
        router.origin = Origin::Told;
        Some(change)
    }

    /// The questions to those whose time has come, from the global address that `source` has for an upstream.
    pub fn tick(
        &mut self,
        source: impl Fn(IfIndex) -> Option<Ipv6Addr>,
        now: Time,
    ) -> Vec<(IfIndex, Solicitation)> {
        let mut questions = Vec::new();
        for (&(link, address), router) in &mut self.known {
            if router.due > now {
                continue;
            }
            let global = source(link);
            if let Some(source) = global {
                // One that has moved is found through its group.
                let known = router.mac.filter(|_| router.unanswered == 0);
                questions.push((link, solicitation(router.station, source, address, known)));
                router.asked = Some(now);
                router.unanswered = router.unanswered.saturating_add(1);
            }
            let is_lost = global.is_none() || router.unanswered >= MAX_MULTICAST_SOLICIT;
            router.due = now + if is_lost { PERIOD } else { RETRANS_TIMER };
        }
        questions
    }

    /// These are to be kept, each with our link-layer address on its upstream. The entries of the others that the
    /// kernel has from us alone go.
    pub fn keep(&mut self, wanted: BTreeMap<(IfIndex, Ipv6Addr), Mac>, now: Time) -> Vec<NeighborChange> {
        let mut before = std::mem::take(&mut self.known);
        for (key, station) in wanted {
            let known = before.remove(&key).unwrap_or(Router {
                station,
                mac: None,
                entry: None,
                is_told: false,
                asked: None,
                unanswered: 0,
                unconfirmed: 0,
                due: now,
                origin: Origin::Kernel,
            });
            let due = if known.station == station { known.due } else { now };
            self.known.insert(key, Router { station, due, ..known });
        }
        // An administrator's entry is the administrator's own.
        let is_ours =
            |router: &Router| router.origin == Origin::Us && router.entry != Some(NeighborState::Permanent);
        let gone = before.into_iter().filter(|(_, router)| is_ours(router));
        gone.map(|((link, address), _)| NeighborChange::Remove(link, address)).collect()
    }
}

/// A question for a router, from this address, to the station that is known or to its group.
pub(super) fn solicitation(
    station: Mac,
    source: Ipv6Addr,
    router: Ipv6Addr,
    known: Option<Mac>,
) -> Solicitation {
    let group = solicited_node(router);
    Solicitation {
        source_mac: station,
        destination_mac: known.unwrap_or(Mac::multicast(group)),
        source,
        destination: if known.is_some() { router } else { group },
        target: router,
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
pub(super) const RETRANS_TIMER: Duration = Duration::from_secs(1);
/// RFC 4861 §10.
const MAX_MULTICAST_SOLICIT: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Flags;

    const UP: IfIndex = IfIndex(2);
    const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const OWN: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
    const STATION: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);

    fn at(seconds: u64) -> Time {
        Time::at(Duration::from_secs(seconds))
    }

    fn kept() -> Routers {
        let mut routers = Routers::default();
        routers.keep(BTreeMap::from([((UP, ROUTER), STATION)]), at(0));
        routers
    }

    fn answer() -> Advertisement {
        Advertisement {
            source_mac: MAC,
            destination_mac: STATION,
            source: ROUTER,
            destination: OWN,
            target: ROUTER,
            flags: Flags { router: true, solicited: true, override_entry: true },
            target_link_layer: Some(MAC),
        }
    }

    #[test]
    fn a_router_is_asked_from_the_global_address_and_the_kernel_told_of_its_answer() {
        let mut routers = kept();
        assert_eq!(routers.next_due(), Some(at(0)));
        let questions = routers.tick(|_| Some(OWN), at(0));
        assert_eq!((questions.len(), questions[0].1.source, questions[0].1.target), (1, OWN, ROUTER));
        assert_eq!(routers.tick(|_| Some(OWN), at(0)), [], "it is not its time yet");
        let change = routers.heard(UP, Some(OWN), &answer(), at(0));
        assert_eq!(change, Some(NeighborChange::Add(UP, ROUTER, MAC)));
        routers.entry(UP, ROUTER, Some(NeighborState::Reachable), at(0));
        assert_eq!(routers.next_due(), Some(at(10)));
        let gone = routers.keep(BTreeMap::new(), at(1));
        assert_eq!(gone, [NeighborChange::Remove(UP, ROUTER)], "what the kernel has from us is given back");
    }

    #[test]
    fn an_entry_that_was_never_told_is_asked_for_once() {
        let mut routers = kept();
        assert!(routers.has_entry(UP, ROUTER));
        assert!(!routers.has_entry(UP, ROUTER));
        assert!(!routers.has_entry(UP, OWN), "it is not kept");
        let mut routers = kept();
        routers.entry(UP, ROUTER, Some(NeighborState::Stale), at(0));
        assert!(!routers.has_entry(UP, ROUTER));
    }

    #[test]
    fn an_answer_that_nobody_asked_for_tells_nothing() {
        let mut routers = kept();
        assert_eq!(routers.heard(UP, Some(OWN), &answer(), at(0)), None);
        routers.tick(|_| Some(OWN), at(0));
        let unsolicited = Advertisement { flags: Flags { solicited: false, ..answer().flags }, ..answer() };
        assert_eq!(routers.heard(UP, Some(OWN), &unsolicited, at(0)), None);
        let own = Advertisement { target_link_layer: Some(STATION), ..answer() };
        assert_eq!(routers.heard(UP, Some(OWN), &own, at(0)), None, "it is our own, sent back by a switch");
    }

    #[test]
    fn an_entry_of_the_kernels_own_is_left_to_it() {
        let mut routers = kept();
        routers.entry(UP, ROUTER, Some(NeighborState::Stale), at(0));
        routers.tick(|_| Some(OWN), at(0));
        assert_eq!(routers.heard(UP, Some(OWN), &answer(), at(0)), None, "it has found its answer");
        assert_eq!(routers.keep(BTreeMap::new(), at(1)), []);
    }
}
