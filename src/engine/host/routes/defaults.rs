//! Which of the kernel's routes are default routes, and through which routers they lead.

use core::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::{MAIN, Routes};
use crate::engine::facts::{IfIndex, KernelRoute, NextHop};

impl KernelRoute {
    /// Whether it leads to everywhere, or to so much that it is a default route by another name.
    pub fn leads_everywhere(&self) -> bool {
        self.destination.prefix_len() <= WIDEST
    }

    /// Whether a router stands before what it leads to, and it is no default route.
    pub fn leads_behind_a_router(&self) -> bool {
        self.unicast_link().is_some() && self.next_hop != NextHop::OnLink && !self.leads_everywhere()
    }
}

impl Routes {
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
    pub fn routers(&self, link: IfIndex) -> Vec<Ipv6Addr> {
        let via = |route: &KernelRoute| match route.next_hop {
            NextHop::Via(router) if route.unicast_link() == Some(link) => Some((route.metric, router)),
            NextHop::Via(_) | NextHop::OnLink => None,
        };
        let mut found: Vec<_> = self.all_defaults().filter_map(via).collect();
        found.sort_unstable();
        let mut routers: Vec<Ipv6Addr> = Vec::new();
        for (_, router) in found {
            if !routers.contains(&router) && routers.len() < MOST_ROUTERS {
                routers.push(router);
            }
        }
        routers
    }

    /// Every router that a default route leads through.
    pub fn all_routers(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.defaults().filter_map(|route| match route.next_hop {
            NextHop::Via(router) => Some(router),
            NextHop::OnLink => None,
        })
    }

    /// True if a default route leads through this address.
    pub fn is_router(&self, address: Ipv6Addr) -> bool {
        self.defaults().any(|route| route.next_hop == NextHop::Via(address))
    }

    /// True if a default route out of this interface leads through this address.
    pub fn is_router_of(&self, link: IfIndex, address: Ipv6Addr) -> bool {
        let mut out_of = self.all_defaults().filter(|route| route.unicast_link() == Some(link));
        out_of.any(|route| route.next_hop == NextHop::Via(address))
    }

    /// The default routes: those of the main table; where it has none, those of the tables that rules name.
    pub fn defaults(&self) -> impl Iterator<Item = &KernelRoute> {
        let has_main = self.at(&DEFAULT).any(|route| route.table == MAIN);
        let tables = move |table| if has_main { table == MAIN } else { self.rules.read(table) };
        self.at(&DEFAULT).filter(move |route| tables(route.table))
    }

    /// Those of every table that a rule names.
    fn all_defaults(&self) -> impl Iterator<Item = &KernelRoute> {
        self.at(&DEFAULT).filter(|route| self.rules.read(route.table))
    }
}

/// A link has one router or two; each costs a frame for every target that is announced.
const MOST_ROUTERS: usize = 2;
/// All addresses that are handed out are `2000::/3`.
const WIDEST: u8 = 3;
/// `::/0`
const DEFAULT: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0);
