//! The link-layer addresses of the provider's routers: a router has more addresses than the one that a route leads
//! through.

use core::net::Ipv6Addr;
use std::collections::BTreeMap;

use crate::engine::facts::IfIndex;
use crate::wire::Mac;

/// What is known of the routers of default routes, on the upstreams' links.
#[derive(Debug, Default)]
pub struct Gateways {
    stations: BTreeMap<(IfIndex, Ipv6Addr), Mac>,
}

impl Gateways {
    /// The router with this address has this link-layer address.
    pub fn learn(&mut self, link: IfIndex, router: Ipv6Addr, mac: Mac) {
        if self.stations.len() < MOST || self.stations.contains_key(&(link, router)) {
            self.stations.insert((link, router), mac);
        }
    }

    /// Forgets those that are no routers any more.
    pub fn retain(&mut self, is_router: impl Fn(IfIndex, Ipv6Addr) -> bool) {
        self.stations.retain(|(link, router), _| is_router(*link, *router));
    }

    /// Whether a router on this link has the link-layer address.
    pub fn have(&self, link: IfIndex, mac: Mac) -> bool {
        let on_link = self.stations.range((link, Ipv6Addr::UNSPECIFIED)..=(link, LAST));
        on_link.into_iter().any(|(_, known)| *known == mac)
    }
}

/// The last address there is.
const LAST: Ipv6Addr = Ipv6Addr::from_bits(u128::MAX);
/// A link has one router, or two.
const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_is_known_by_its_station_until_no_route_leads_through_it() {
        let (link, mac) = (IfIndex(2), Mac([2, 0, 0, 0, 0, 1]));
        let mut gateways = Gateways::default();
        gateways.learn(link, Ipv6Addr::LOCALHOST, mac);
        assert!(gateways.have(link, mac) && !gateways.have(IfIndex(3), mac));
        assert!(!gateways.have(link, Mac([2, 0, 0, 0, 0, 2])));
        gateways.retain(|_, router| router != Ipv6Addr::LOCALHOST);
        assert!(!gateways.have(link, mac));
    }
}
