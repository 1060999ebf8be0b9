//! What the kernel's routes say about where things are.

use core::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::Routes;
use crate::engine::facts::{IfIndex, KernelRoute, NextHop};

impl Routes {
    /// Ours that lead to a single address: the guests that a predecessor knew.
    pub fn inherited_guests(&self) -> impl Iterator<Item = (Ipv6Addr, IfIndex)> {
        let single = self.known.iter().filter(|(destination, _)| destination.prefix_len() == 128);
        single.flat_map(|(_, routes)| routes).filter(|route| self.is_ours(route)).filter_map(|route| {
            let link = route.unicast_link().filter(|_| route.next_hop == NextHop::OnLink)?;
            Some((route.destination.addr(), link))
        })
    }

    /// The interfaces that default routes leave by, the preferred first.
    pub fn default_links(&self) -> Vec<IfIndex> {
        let mut defaults: Vec<_> =
            self.defaults().filter_map(|route| Some((route.metric, route.unicast_link()?))).collect();
        defaults.sort_unstable();
        let mut links = Vec::new();
        for (_, link) in defaults {
            if !links.contains(&link) {
                links.push(link);
            }
        }
        links
    }

    /// The routers that default routes out of this interface lead through, the preferred first.
    pub fn gateways(&self, link: IfIndex) -> Vec<Ipv6Addr> {
        let via = |route: &KernelRoute| match route.next_hop {
            NextHop::Via(router) if route.unicast_link() == Some(link) => Some((route.metric, router)),
            NextHop::Via(_) | NextHop::OnLink => None,
        };
        let mut gateways: Vec<_> = self.defaults().filter_map(via).collect();
        gateways.sort_unstable();
        let mut routers: Vec<Ipv6Addr> = Vec::new();
        for (_, router) in gateways {
            if !routers.contains(&router) && routers.len() < MOST_GATEWAYS {
                routers.push(router);
            }
        }
        routers
    }

    /// True if a default route leads through this address.
    pub fn is_gateway(&self, address: Ipv6Addr) -> bool {
        self.defaults().any(|route| route.next_hop == NextHop::Via(address))
    }

    /// True if a default route out of this interface leads through this address.
    pub fn is_gateway_of(&self, link: IfIndex, address: Ipv6Addr) -> bool {
        let mut out_of = self.defaults().filter(|route| route.unicast_link() == Some(link));
        out_of.any(|route| route.next_hop == NextHop::Via(address))
    }

    /// The interface that a packet to `target` leaves by, as far as the main table decides.
    pub fn leads_to(&self, target: Ipv6Addr) -> Option<IfIndex> {
        self.leads_to_all(&target.into())
    }

    /// The same for a whole prefix, where no route inside it decides.
    pub fn leads_to_all(&self, prefix: &Ipv6Net) -> Option<IfIndex> {
        self.deciding(prefix).and_then(KernelRoute::unicast_link)
    }

    /// The route that decides for a whole prefix, where none inside it does: as far as the main table
    /// decides.
    pub fn deciding(&self, prefix: &Ipv6Net) -> Option<&KernelRoute> {
        self.known
            .cover_values(prefix)
            .filter_map(|routes| routes.iter().filter(|route| route.table == MAIN).min_by_key(|r| r.metric))
            .last()
    }

    /// The interfaces that routes inside `prefix` leave by.
    pub fn links_inside<'a>(&'a self, prefix: &Ipv6Net) -> impl Iterator<Item = IfIndex> + 'a {
        self.known.children(prefix).flat_map(|(_, routes)| routes).filter_map(KernelRoute::unicast_link)
    }

    /// For each destination inside `prefix`, the route that decides there, but for ours: as far as the
    /// main table decides, and in the order of the addresses.
    pub fn deciding_inside<'a>(&'a self, prefix: &Ipv6Net) -> impl Iterator<Item = &'a KernelRoute> + 'a {
        let deciding = |routes: &'a Vec<KernelRoute>| {
            let foreign = routes.iter().filter(|route| route.table == MAIN && !self.is_ours(route));
            foreign.min_by_key(|route| route.metric)
        };
        self.known.children(prefix).filter_map(move |(_, routes)| deciding(routes))
    }

    /// The interfaces on which `prefix` itself is on-link, the upstreams among them.
    pub fn links_of(&self, prefix: &Ipv6Net) -> impl Iterator<Item = IfIndex> {
        let on_link = |route: &&KernelRoute| route.table == MAIN && route.next_hop == NextHop::OnLink;
        self.at(prefix).filter(on_link).filter_map(KernelRoute::unicast_link)
    }

    /// The prefixes that foreign routes say are on this link itself, in the order of the addresses.
    pub fn on_link(&self, link: IfIndex) -> impl Iterator<Item = Ipv6Net> {
        let is_on_link = move |destination: &&Ipv6Net| {
            let foreign = self.at(destination).filter(|route| !self.is_ours(route));
            foreign
                .filter(|route| route.table == MAIN && route.next_hop == NextHop::OnLink)
                .any(|route| route.unicast_link() == Some(link))
        };
        self.by_link.get(&link).into_iter().flatten().filter(is_on_link).copied()
    }

    /// The default routes of the main table.
    pub fn defaults(&self) -> impl Iterator<Item = &KernelRoute> {
        self.at(&DEFAULT).filter(|route| route.table == MAIN)
    }
}

/// A link has one router or two; each costs a frame for every target that is announced.
const MOST_GATEWAYS: usize = 2;
/// The number of the table `main`.
pub const MAIN: u32 = 254;
/// `::/0`
const DEFAULT: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0);
