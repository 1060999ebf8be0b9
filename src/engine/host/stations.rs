//! Behind which port of a bridge a station is, where guests share the bridge with the provider's router: what comes
//! through the uplink, the port behind which the router is, comes from the provider, and everything else from guests.
//!
//! The bridge's forwarding table knows it, and the kernel tells of a new station before it hands on the station's frame.

use core::net::Ipv6Addr;
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
    ports: BTreeMap<(IfIndex, Mac), IfIndex>,
    routers: BTreeMap<(IfIndex, Ipv6Addr), Router>,
    /// When the routers of a bridge were asked last.
    asked: BTreeMap<IfIndex, Time>,
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
            self.ports.insert((bridge, mac), port);
        }
    }

    /// The bridge has forgotten a station.
    pub fn forget(&mut self, bridge: IfIndex, mac: Mac) {
        self.ports.remove(&(bridge, mac));
    }

    /// The link is a port of this bridge, or of none any more.
    pub fn check_port(&mut self, port: IfIndex, master: Option<IfIndex>) {
        if self.is_watching() {
            self.ports.retain(|(bridge, _), known| *known != port || master == Some(*bridge));
            for ((bridge, _), router) in &mut self.routers {
                router.port = router.port.filter(|known| *known != port || master == Some(*bridge));
            }
        }
    }

    /// A router of the provider's has this link-layer address.
    pub fn learn_router(&mut self, bridge: IfIndex, address: Ipv6Addr, mac: Mac) {
        if self.watches(bridge) {
            let port = self.ports.get(&(bridge, mac)).copied();
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
        let Some(port) = self.ports.get(&(bridge, mac)) else { return Side::Unknown };
        if self.uplinks(bridge).any(|uplink| uplink == *port) {
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
    fn the_routers_are_asked_once_in_a_while_until_it_is_known_where_they_are() {
        let mut stations = watching();
        let now = Time::ORIGIN;
        assert!(stations.is_to_ask(BRIDGE, now) && !stations.is_to_ask(BRIDGE, now));
        assert!(stations.is_to_ask(BRIDGE, now + RETRANS_TIMER));
        stations.learn_router(BRIDGE, ADDRESS, ROUTER);
        assert!(!stations.is_to_ask(BRIDGE, now + 2 * RETRANS_TIMER));
    }
}
