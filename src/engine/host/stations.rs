//! Behind which port of a bridge a station is, where guests share the bridge with the provider's router: what comes
//! through the uplink, the port behind which the router is, comes from the provider, and everything else from guests.
//!
//! The bridge's forwarding table knows it, and the kernel tells of a new station before it hands on the station's frame.

use core::net::Ipv6Addr;
use core::ops::Bound::{Excluded, Unbounded};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::engine::facts::IfIndex;
use crate::engine::time::Time;
use crate::wire::Mac;

/// Where a station is on a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Behind the uplink, as the router is.
    Uplink,
    /// Behind another port: a guest.
    Guests,
    /// The bridge does not know, or it is not known yet where the router is.
    Unknown,
}

/// The stations of the bridges that are watched.
#[derive(Debug, Default)]
pub struct Stations {
    watched: BTreeSet<IfIndex>,
    ports: BTreeMap<(IfIndex, Mac), Port>,
    /// Counts the dumps of the kernel's tables.
    dump: u32,
    /// The last dump has told of stations.
    has_told: bool,
    /// Bridges on which it is not known where the router is: since when, and whether that was told.
    lost: BTreeMap<IfIndex, (Time, bool)>,
    routers: BTreeMap<(IfIndex, Ipv6Addr), Router>,
    /// When the routers of a bridge were asked last.
    asked: BTreeMap<IfIndex, Time>,
}

/// Where a station is, and which dump, or what came after it, has said so last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Port {
    link: IfIndex,
    dump: u32,
}

/// A router of the provider's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Router {
    mac: Mac,
    /// Where it was when last heard: the bridge forgets a station that is silent, and it is there all the same.
    port: Option<IfIndex>,
}

impl Stations {
    /// These bridges are watched, and no others. True if one is new, so that its stations are to be told.
    pub fn watch(&mut self, bridges: &BTreeSet<IfIndex>) -> bool {
        if self.watched == *bridges {
            return false;
        }
        let is_new = !bridges.is_subset(&self.watched);
        self.ports.retain(|(bridge, _), _| bridges.contains(bridge));
        self.routers.retain(|(bridge, _), _| bridges.contains(bridge));
        self.asked.retain(|bridge, _| bridges.contains(bridge));
        self.watched.clone_from(bridges);
        is_new
    }

    /// True if any bridge is watched.
    pub fn is_watching(&self) -> bool {
        !self.watched.is_empty()
    }

    /// True if this bridge is watched.
    pub fn watches(&self, bridge: IfIndex) -> bool {
        self.watched.contains(&bridge)
    }

    /// The bridge says where a station is.
    pub fn learn(&mut self, bridge: IfIndex, mac: Mac, port: IfIndex) {
        if !self.watches(bridge) {
            return;
        }
        for (_, router) in self.routers_on(bridge).filter(|(_, router)| router.mac == mac) {
            router.port = Some(port);
        }
        // Strangers choose what they send from. Of the others nothing is known, and they get no answer.
        if self.ports.len() < MOST || self.ports.contains_key(&(bridge, mac)) {
            self.ports.insert((bridge, mac), Port { link: port, dump: self.dump });
            self.has_told = true;
        }
    }

    /// The kernel tells everything that there is, from here on.
    pub fn begin_dump(&mut self) {
        self.dump = self.dump.wrapping_add(1);
        self.has_told = false;
    }

    /// It has told everything: stations that it did not tell of are forgotten, at most so many looked at, behind this
    /// one. Where to go on. A dump that tells of none was not asked for any.
    pub fn forget_untold(
        &mut self,
        behind: Option<(IfIndex, Mac)>,
        most: usize,
        gone: &mut BTreeSet<(IfIndex, Mac)>,
    ) -> Option<(IfIndex, Mac)> {
        if !self.has_told {
            return None;
        }
        let from = (behind.map_or(Unbounded, Excluded), Unbounded);
        let next: Vec<_> = self.ports.range(from).take(most).map(|(at, port)| (*at, port.dump)).collect();
        for (at, _) in next.iter().filter(|(_, dump)| *dump != self.dump) {
            self.ports.remove(at);
            gone.insert(*at);
        }
        next.last().filter(|_| next.len() == most).map(|(at, _)| *at)
    }

    /// These bridges are up and have routers, or should. True if it is news that it is not known where the router of
    /// one is, or that it is: a moment at the start, or after a change, is none.
    pub fn follow_uplinks(&mut self, up: &BTreeSet<IfIndex>, now: Time) -> bool {
        let is_lost = |bridge: &IfIndex| self.uplinks(*bridge).next().is_none();
        let lost: BTreeSet<_> = up.iter().copied().filter(is_lost).collect();
        let mut is_news = false;
        self.lost.retain(|bridge, (_, was_told)| {
            let stays = lost.contains(bridge);
            is_news |= !stays && *was_told;
            stays
        });
        for bridge in lost {
            let (since, is_told) = self.lost.entry(bridge).or_insert((now, false));
            if !*is_told && *since + PATIENCE <= now {
                *is_told = true;
                is_news = true;
            }
        }
        is_news
    }

    /// The bridges of which that was told.
    pub fn lost(&self) -> impl Iterator<Item = IfIndex> {
        self.lost.iter().filter(|(_, (_, is_told))| *is_told).map(|(bridge, _)| *bridge)
    }

    /// True if nothing is to be followed.
    pub fn has_lost_none(&self) -> bool {
        self.lost.is_empty()
    }

    /// When it is to be told of the next one.
    pub fn next_due(&self) -> Option<Time> {
        let waiting = self.lost.values().filter(|(_, is_told)| !is_told);
        waiting.map(|(since, _)| *since + PATIENCE).min()
    }

    /// Behind which port the station is.
    pub fn port(&self, bridge: IfIndex, mac: Mac) -> Option<IfIndex> {
        self.ports.get(&(bridge, mac)).map(|port| port.link)
    }

    /// The bridge has forgotten a station.
    pub fn forget(&mut self, bridge: IfIndex, mac: Mac) {
        self.ports.remove(&(bridge, mac));
    }

    /// The link is a port of this bridge, or of none any more.
    pub fn check_port(&mut self, port: IfIndex, master: Option<IfIndex>) {
        if self.is_watching() {
            self.ports.retain(|(bridge, _), known| known.link != port || master == Some(*bridge));
            for ((bridge, _), router) in &mut self.routers {
                router.port = router.port.filter(|known| *known != port || master == Some(*bridge));
            }
        }
    }

    /// A router of the provider's has this link-layer address.
    pub fn learn_router(&mut self, bridge: IfIndex, address: Ipv6Addr, mac: Mac) {
        if self.watches(bridge) {
            let port = self.port(bridge, mac);
            let before = self.routers.get(&(bridge, address)).filter(|before| before.mac == mac);
            let port = port.or_else(|| before.and_then(|before| before.port));
            self.routers.insert((bridge, address), Router { mac, port });
        }
    }

    /// The provider's routers on this bridge are these, and no others.
    pub fn keep_routers(&mut self, bridge: IfIndex, routers: &[Ipv6Addr]) {
        self.routers.retain(|(known, address), _| *known != bridge || routers.contains(address));
    }

    /// Where this station is.
    pub fn side(&self, bridge: IfIndex, mac: Mac) -> Side {
        let Some(port) = self.port(bridge, mac) else { return Side::Unknown };
        if self.uplinks(bridge).any(|uplink| uplink == port) {
            return Side::Uplink;
        }
        if self.uplinks(bridge).next().is_some() { Side::Guests } else { Side::Unknown }
    }

    /// The ports behind which the routers are.
    pub fn uplinks(&self, bridge: IfIndex) -> impl Iterator<Item = IfIndex> {
        let all = (bridge, Ipv6Addr::UNSPECIFIED)..=(bridge, Ipv6Addr::from_bits(u128::MAX));
        self.routers.range(all).filter_map(|(_, router)| router.port)
    }

    /// Whether the routers are to be asked where they are: nothing is known of it, and they were not asked a moment ago.
    pub fn is_to_ask(&mut self, bridge: IfIndex, now: Time) -> bool {
        let is_lost = self.watches(bridge) && self.uplinks(bridge).next().is_none();
        let is_early = self.asked.get(&bridge).is_some_and(|asked| now.since(*asked) < RETRANS_TIMER);
        if is_lost && !is_early {
            self.asked.insert(bridge, now);
        }
        is_lost && !is_early
    }

    /// The routers may be asked again at once.
    pub fn forget_question(&mut self, bridge: IfIndex) {
        self.asked.remove(&bridge);
    }

    fn routers_on(&mut self, bridge: IfIndex) -> impl Iterator<Item = (&(IfIndex, Ipv6Addr), &mut Router)> {
        let all = (bridge, Ipv6Addr::UNSPECIFIED)..=(bridge, Ipv6Addr::from_bits(u128::MAX));
        self.routers.range_mut(all)
    }
}

/// As many stations are known: a bridge forgets those that were not heard for minutes, and has no limit of its own.
const MOST: usize = 65_536;
/// RFC 4861 §10.
const RETRANS_TIMER: Duration = Duration::from_secs(1);
/// RFC 4861 §10, MAX_MULTICAST_SOLICIT: a router that is there has answered by then.
const PATIENCE: Duration = RETRANS_TIMER.saturating_mul(3);

#[cfg(test)]
mod tests {
    use super::*;

    const BRIDGE: IfIndex = IfIndex(2);
    const UPLINK: IfIndex = IfIndex(3);
    const TAP: IfIndex = IfIndex(4);
    const ROUTER: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const GUEST: Mac = Mac([2, 0, 0, 0, 0, 2]);
    const ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

    fn watching() -> Stations {
        let mut stations = Stations::default();
        assert!(stations.watch(&BTreeSet::from([BRIDGE])));
        stations.learn(BRIDGE, ROUTER, UPLINK);
        stations.learn(BRIDGE, GUEST, TAP);
        stations
    }

    #[test]
    fn the_uplink_is_where_the_router_is() {
        let mut stations = watching();
        assert_eq!(stations.side(BRIDGE, GUEST), Side::Unknown, "nothing is known of a router");
        stations.learn_router(BRIDGE, ADDRESS, ROUTER);
        let sides = [ROUTER, GUEST, Mac([2; 6])].map(|mac| stations.side(BRIDGE, mac));
        assert_eq!(sides, [Side::Uplink, Side::Guests, Side::Unknown]);
    }

    #[test]
    fn a_router_that_was_silent_for_long_has_not_moved() {
        let mut stations = watching();
        stations.learn_router(BRIDGE, ADDRESS, ROUTER);
        stations.forget(BRIDGE, ROUTER);
        stations.learn_router(BRIDGE, ADDRESS, ROUTER);
        assert_eq!(stations.side(BRIDGE, GUEST), Side::Guests);
        assert_eq!(stations.side(BRIDGE, ROUTER), Side::Unknown, "its next frame says where it is");
    }

    #[test]
    fn a_port_that_leaves_the_bridge_is_no_uplink() {
        let mut stations = watching();
        stations.learn_router(BRIDGE, ADDRESS, ROUTER);
        stations.check_port(UPLINK, Some(BRIDGE));
        assert_eq!(stations.side(BRIDGE, GUEST), Side::Guests);
        stations.check_port(UPLINK, None);
        assert_eq!(stations.side(BRIDGE, GUEST), Side::Unknown);
    }

    #[test]
    fn what_a_dump_does_not_tell_is_forgotten_and_one_that_was_not_asked_for_stations_changes_nothing() {
        let mut stations = watching();
        let mut forget = |told: &[Mac], most| {
            stations.begin_dump();
            told.iter().for_each(|mac| stations.learn(BRIDGE, *mac, TAP));
            let (mut gone, mut behind) = (BTreeSet::new(), None);
            loop {
                behind = stations.forget_untold(behind, most, &mut gone);
                if behind.is_none() {
                    return gone.into_iter().map(|(_, mac)| mac).collect::<Vec<_>>();
                }
            }
        };
        assert_eq!(forget(&[], 9), []);
        assert_eq!(forget(&[ROUTER, GUEST], 9), []);
        assert_eq!(forget(&[GUEST], 1), [ROUTER]);
        assert_eq!(forget(&[ROUTER], 1), [GUEST]);
    }

    #[test]
    fn it_is_told_that_a_router_is_nowhere_after_a_while_and_that_it_is_found() {
        let mut stations = Stations::default();
        let bridges = BTreeSet::from([BRIDGE]);
        stations.watch(&bridges);
        let now = Time::ORIGIN;
        assert!(!stations.follow_uplinks(&bridges, now) && stations.lost().next().is_none());
        assert_eq!(stations.next_due(), Some(now + PATIENCE));
        assert!(stations.follow_uplinks(&bridges, now + PATIENCE) && stations.lost().eq([BRIDGE]));
        assert!(!stations.follow_uplinks(&bridges, now + 2 * PATIENCE) && stations.next_due().is_none());
        stations.learn(BRIDGE, ROUTER, UPLINK);
        stations.learn_router(BRIDGE, ADDRESS, ROUTER);
        assert!(stations.follow_uplinks(&bridges, now + 2 * PATIENCE) && stations.has_lost_none());
    }

    #[test]
    fn the_routers_are_asked_once_in_a_while_until_it_is_known_where_they_are() {
        let mut stations = watching();
        let now = Time::ORIGIN;
        assert!(stations.is_to_ask(BRIDGE, now) && !stations.is_to_ask(BRIDGE, now));
        assert!(stations.is_to_ask(BRIDGE, now + RETRANS_TIMER));
        stations.learn_router(BRIDGE, ADDRESS, ROUTER);
        assert!(!stations.is_to_ask(BRIDGE, now + 2 * RETRANS_TIMER));
    }
}
